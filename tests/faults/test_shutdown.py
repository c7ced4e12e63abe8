"""X22, X23: SIGTERM in the middle of work."""

import signal
import time
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.gateway import Gateway, Settings
from tests.support.oracle import at_rest, open_intents, usage_is_the_sum_of_the_objects
from tests.support.origin_faults import Hold
from tests.support.process import MIB
from tests.support.raw_http import BrokenAnswer, Connection, eventually
from tests.support.s3_gateway import garbage_at_once, s3_gateway, settled
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.transfers import BUCKET, TRANSFERS, begin_downloads, begin_uploads, read_on


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def workers(request) -> int:
    return request.param


def refuses_newcomers(caller: Caller) -> bool:
    """Whether a new connection is refused, closed unanswered, or told 503; raises TimeoutError where it is left waiting."""
    try:
        answer = caller.ask(caller.signed("GET", f"/{BUCKET}/large", b"", [("Range", "bytes=0-0")]), timeout_s=10)
    except (ConnectionError, BrokenAnswer):
        return True
    return answer.status == 503 and refused(answer, 503) is not None


def test_x22_what_has_begun_is_finished_and_nothing_new_begins(tmp_path: Path, crowd: list[Connection], workers: int):
    gateway = Gateway(tmp_path, settings={"server": {"workers": workers}, "limits": {"drain_s": 60.0}}).start()
    try:
        caller = Caller.of(gateway)
        large, body = b"l" * 4 * MIB, b"u" * 200_000
        caller.put(BUCKET, "large", large)
        idle = caller.connect()
        crowd.append(idle)
        assert idle.exchange(caller.signed("GET", f"/{BUCKET}/large", b"", [("Range", "bytes=0-0")])).status == 206
        uploads, downloads = begin_uploads(caller, body, crowd), begin_downloads(caller, crowd)
        assert eventually(lambda: open_intents(gateway) == TRANSFERS)
        process = gateway.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: refuses_newcomers(caller))
        assert idle.ended(), "an idle connection is closed at once"
        for connection in uploads:
            connection.send(b"u")
        answers = [connection.answer("PUT") for connection in uploads]
        assert [answer.status for answer in answers] == [200] * TRANSFERS
        assert {answer.header("connection") for answer in answers} == {"close"}, "nobody asks on"
        assert all(read_on(connection) == large for connection in downloads)
        assert process.wait(30) == 0
        gateway.kill()
        gateway.start()
        for number in range(TRANSFERS):
            assert caller.get(BUCKET, f"up-{number}").body == body
        assert at_rest(gateway)
        usage_is_the_sum_of_the_objects(gateway)
    finally:
        gateway.stop()


def test_x22_what_does_not_end_is_cut_off_at_the_end_of_the_drain(
    tmp_path: Path, crowd: list[Connection], workers: int
):
    gateway = Gateway(tmp_path, settings={"server": {"workers": workers}, "limits": {"drain_s": 1.0}}).start()
    try:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "large", b"l" * 4 * MIB)
        uploads, downloads = begin_uploads(caller, b"u" * 200_000, crowd), begin_downloads(caller, crowd)
        assert eventually(lambda: open_intents(gateway) == TRANSFERS)
        process = gateway.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        gateway.kill()
        for connection in uploads:
            connection.socket.settimeout(2)
            with pytest.raises((BrokenAnswer, ConnectionError)):
                assert connection.answer("PUT").status >= 400
                raise BrokenAnswer
        for connection in downloads:
            with pytest.raises((BrokenAnswer, ConnectionError)):
                read_on(connection)
        gateway.start()
        assert caller.keys(BUCKET) == ["large"]
        assert eventually(lambda: at_rest(gateway))
        usage_is_the_sum_of_the_objects(gateway)
    finally:
        gateway.stop()


def test_an_origin_that_takes_its_time_holds_up_no_end_and_what_is_left_is_done_after_the_next_start(
    tmp_path: Path, workers: int
):
    with ScriptedOrigin() as origin:
        settings: Settings = {"server": {"workers": workers}, "limits": {"drain_s": 1.0}}
        patient = s3_gateway(
            tmp_path, origin, settings=settings, first_byte_timeout_s=60, whole_timeout_s=60, retries=0
        )
        with patient as gateway:
            caller = Caller.of(gateway)
            caller.put(BUCKET, "k", b"bytes")
            origin.stop()
            assert caller.call("DELETE", f"/{BUCKET}/k").status == 204, "its bytes are removed later"
            origin.start()
            held = origin.script("DeleteObject", do=Hold("head"), times=None)
            process = gateway.process
            assert process is not None
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            gateway.kill()
            assert garbage_at_once(gateway) == 1
            held.release()
            origin.heal()
            gateway.start()
            settled(gateway, origin)
            assert origin.objects(BUCKET) == {}


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_x23_a_kill_in_the_middle_of_the_drain_loses_nothing(
    tmp_path: Path, crowd: list[Connection], pause_s: float, workers: int
):
    gateway = Gateway(tmp_path, settings={"server": {"workers": workers}, "limits": {"drain_s": 60.0}}).start()
    try:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "large", b"l" * 4 * MIB)
        body = b"u" * 200_000
        uploads = begin_uploads(caller, body, crowd)
        assert eventually(lambda: open_intents(gateway) == TRANSFERS)
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGTERM)
        acknowledged = []
        for number, connection in enumerate(uploads[:10]):
            connection.send(b"u")
            assert connection.answer("PUT").status == 200
            acknowledged.append(f"up-{number}")
        time.sleep(pause_s)  # where in the drain the kill falls
        gateway.kill()
        gateway.start()
        assert caller.keys(BUCKET) == sorted(["large", *acknowledged])
        for key in acknowledged:
            assert caller.get(BUCKET, key).body == body
        assert eventually(lambda: at_rest(gateway))
        usage_is_the_sum_of_the_objects(gateway)
    finally:
        gateway.stop()


def test_x22_a_second_start_on_the_same_port_works_at_once(tmp_path: Path):
    with Gateway(tmp_path) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"bytes")
        for _ in range(2):
            port = gateway.port
            gateway.restart()
            assert gateway.port == port
            assert caller.get(BUCKET, "k").body == b"bytes"
