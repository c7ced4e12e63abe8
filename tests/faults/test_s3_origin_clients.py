"""X01, X02, X25, X43, X44 over an S3 origin: clients that vanish, race or crawl; the origin is left as clean as we are."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_line import BadLine
from tests.support.caller import Caller, complete_document
from tests.support.gateway import Gateway
from tests.support.oracle import open_intents
from tests.support.origin_faults import Delay, Drip, LoseAnswer, SlowRead, Stall
from tests.support.process import MIB, open_descriptors
from tests.support.raw_http import Connection, eventually
from tests.support.s3_gateway import BUCKET, SMALL, calling, s3_gateway, settled
from tests.support.scripted_origin import ScriptedOrigin


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    limits = {"limits": {"body_gap_timeout_s": 1.0, "write_timeout_s": 1.0}}
    patient: dict[str, Any] = {"first_byte_timeout_s": 5, "gap_timeout_s": 5, "whole_timeout_s": 10}
    with s3_gateway(tmp_path_factory.mktemp("clients"), origin, settings=limits, **patient) as gateway:
        yield gateway


@pytest.fixture
def caller(running: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    with calling(running, origin) as caller:
        yield caller
    settled(running, origin)
    for key in caller.keys(BUCKET):
        assert caller.call("DELETE", f"/{BUCKET}/{key}").status == 204
    assert origin.objects(BUCKET) == {}


def test_a_part_that_lands_after_the_abort_of_its_upload_does_not_stay(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, monkeypatch: pytest.MonkeyPatch
):
    """As at AWS: an upload may have to be aborted again to free its parts."""
    monkeypatch.setattr(origin.switches, "late_parts", True)
    upload_id = caller.start_upload(BUCKET, "film")
    barrier = origin.barrier("UploadPart", key="film", phase="body")
    with caller.connect() as connection:
        query = f"partNumber=1&uploadId={upload_id}"
        connection.send(caller.signed("PUT", f"/{BUCKET}/film?{query}", b"late").encode())
        barrier.wait_reached()
        assert caller.call("DELETE", f"/{BUCKET}/film?uploadId={upload_id}").status == 204
        barrier.release()
        assert connection.answer("PUT").status == 404
    assert origin.uploads(BUCKET), "it has landed"
    running.restart()
    assert eventually(lambda: not origin.uploads(BUCKET))


def begin(caller: Caller, key: str, body: bytes, share: float) -> Connection:
    request = caller.signed("PUT", f"/{BUCKET}/{key}", body)
    connection = caller.connect()
    connection.send(request.head() + body[: min(int(len(body) * share), len(body) - 1)])
    return connection


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("size", [1000, 2 * MIB], ids=["small", "streamed"])
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_x01_an_upload_that_breaks_off_is_reset_at_the_origin(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int, share: float, reset: bool
):
    caller.put(BUCKET, "old", b"the old bytes")
    for key in ("old", "new"):
        connection = begin(caller, key, b"x" * size, share)
        connection.reset() if reset else connection.close()
    assert eventually(lambda: not open_intents(running))
    assert not [entry for entry in origin.requests("PutObject") if entry.complete and entry.received == size]
    assert eventually(lambda: all(entry.ended for entry in origin.journal)), "nothing is left open"
    assert caller.get(BUCKET, "old").body == b"the old bytes"
    assert caller.get(BUCKET, "new").status == 404


def test_x01_a_client_that_leaves_before_its_answer_leaves_all_or_nothing(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    for phase in ("body", "applied"):
        for size in (1000, 5 * SMALL):
            key = f"leaves-{phase}-{size}"
            barrier = origin.barrier("PutObject", key=key, phase=phase)
            connection = caller.connect()
            connection.send(caller.signed("PUT", f"/{BUCKET}/{key}", b"x" * size).encode())
            barrier.wait_reached()
            connection.reset()
            barrier.release()
            assert eventually(lambda: not open_intents(running))
            found = caller.get(BUCKET, key)
            assert found.status == 404 or found.body == b"x" * size


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_x02_a_download_that_breaks_off_closes_the_origins_stream(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, reset: bool
):
    caller.put(BUCKET, "large", b"x" * 16 * MIB)
    before = open_descriptors(running.pid)
    origin.clear_journal()
    for _ in range(20):
        connection = Connection.open(running.host, running.port, receive_buffer=4096)
        connection.send(caller.signed("GET", f"/{BUCKET}/large").encode())
        connection.fill()
        connection.reset() if reset else connection.close()
    assert eventually(lambda: len(origin.journal) == 20 and all(entry.ended for entry in origin.journal))
    assert eventually(lambda: open_descriptors(running.pid) <= before + 2)
    assert not all(entry.answered for entry in origin.journal)


def test_x02_a_download_whose_object_is_overwritten_or_deleted_is_the_old_one_whole(
    caller: Caller, running: Gateway, origin: ScriptedOrigin
):
    body = b"x" * 8 * MIB
    for end in ("overwritten", "deleted"):
        caller.put(BUCKET, "large", body)
        connection = Connection.open(running.host, running.port, receive_buffer=4096)
        connection.send(caller.signed("GET", f"/{BUCKET}/large").encode())
        connection.fill()
        if end == "overwritten":
            caller.put(BUCKET, "large", b"another")
        assert caller.call("DELETE", f"/{BUCKET}/large").status == 204
        assert connection.answer().body == body
        connection.close()


def together(*work) -> list:
    results: list = [None] * len(work)

    def run(number: int) -> None:
        results[number] = work[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_x25_writes_of_one_key_at_once_end_with_one_of_them(caller: Caller, origin: ScriptedOrigin):
    """All of them are at the origin at the same time; whichever wins is whole, the others' bodies go."""
    bodies = [bytes([97 + number]) * (SMALL * (1 + 4 * (number % 2))) for number in range(6)]
    barrier = origin.barrier("PutObject", phase="applied", times=None, when=lambda e: e.key.startswith("raced"))
    threads = [threading.Thread(target=caller.call, args=("PUT", f"/{BUCKET}/raced", body)) for body in bodies]
    for thread in threads:
        thread.start()
    barrier.wait_reached(count=len(bodies))
    barrier.remove()
    for thread in threads:
        thread.join()
    assert caller.get(BUCKET, "raced").body in bodies
    places = {entry.key for entry in origin.requests("PutObject")}
    assert len(places) == len(bodies), "each has a place of its own"


def test_x25_completes_of_one_upload_at_once_give_one_object(caller: Caller, origin: ScriptedOrigin):
    upload_id = caller.start_upload(BUCKET, "film")
    document = complete_document([(1, caller.put_part(BUCKET, "film", upload_id, 1, b"part"))])
    answers = together(*[lambda: caller.complete(BUCKET, "film", upload_id, document)] * 6)
    assert {answer.status for answer in answers} == {200}
    assert len(origin.requests("CompleteMultipartUpload")) == 1


def test_x25_a_complete_and_an_abort_at_once_have_one_winner(caller: Caller, origin: ScriptedOrigin):
    for number in range(8):
        key = f"either-{number}"
        upload_id = caller.start_upload(BUCKET, key)
        document = complete_document([(1, caller.put_part(BUCKET, key, upload_id, 1, b"part"))])

        def complete(key=key, upload_id=upload_id, document=document):
            return caller.complete(BUCKET, key, upload_id, document)

        def abort(key=key, upload_id=upload_id):
            return caller.call("DELETE", f"/{BUCKET}/{key}?uploadId={upload_id}")

        completed, aborted = together(complete, abort)
        found = caller.get(BUCKET, key)
        if completed.status == 200:
            assert found.body == b"part"
        else:
            assert completed.status == 404
            assert aborted.status == 204
            assert found.status == 404


def test_x25_a_put_and_a_delete_at_once_leave_a_consistent_end(caller: Caller):
    for number in range(10):
        put, deleted = together(
            lambda number=number: caller.call("PUT", f"/{BUCKET}/pd-{number}", b"x"),
            lambda number=number: caller.call("DELETE", f"/{BUCKET}/pd-{number}"),
        )
        assert (put.status, deleted.status) == (200, 204)
        assert caller.get(BUCKET, f"pd-{number}").status in (200, 404)


def test_x43_a_bad_line_to_the_origin_is_only_slow(caller: Caller, origin: ScriptedOrigin):
    """Delays, small pieces, and every twentieth answer lost: all bytes are right."""
    count = [0]

    def loses(_: object) -> bool:
        count[0] += 1
        return count[0] % 20 == 0

    origin.script("PutObject", when=loses, do=LoseAnswer(applied=True), times=None)
    origin.script("PutObject", do=(SlowRead(16 * 1024, 0.005), Delay(0.2)), times=None)
    origin.script("GetObject", do=(Delay(0.2), Drip(32 * 1024, 0.005)), times=None)
    bodies = {
        f"line-{number}": hashlib.sha256(str(number).encode()).digest() * (1 + 700 * number) for number in range(24)
    }
    together(*[lambda key=key: caller.put(BUCKET, key, bodies[key]) for key in bodies])
    found = together(*[lambda key=key: caller.get(BUCKET, key).body for key in bodies])
    assert dict(zip(bodies, found, strict=True)) == bodies


def test_x43_a_bad_line_to_clients_is_only_slow(caller: Caller, running: Gateway):
    """Latency, small pieces, and every twentieth of them sent once more: all bytes are right, in both directions."""
    sizes = (0, 1, 1000, SMALL, SMALL + 1, MIB, 3 * MIB)
    bodies = {f"client-{size}": hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1) for size in sizes}
    with BadLine(running.host, running.port) as line:
        far = replace(caller, host=line.host, port=line.port)
        together(*[lambda key=key: far.put(BUCKET, key, bodies[key]) for key in bodies])
        found = together(*[lambda key=key: far.get(BUCKET, key).body for key in bodies])
        part = far.call("GET", f"/{BUCKET}/client-{MIB}", b"", [("Range", "bytes=70000-900000")])
        upload_id = far.start_upload(BUCKET, "client-parts")
        body = b"p" * (5 * MIB)
        etags = together(*[lambda n=n: far.put_part(BUCKET, "client-parts", upload_id, n, body) for n in (1, 2)])
        document = complete_document(list(enumerate(etags, 1)))
        assert far.complete(BUCKET, "client-parts", upload_id, document).status == 200
    assert dict(zip(bodies, found, strict=True)) == bodies
    assert part.body == bodies[f"client-{MIB}"][70000:900001]
    assert caller.get(BUCKET, "client-parts").body == 2 * body


def test_x43_a_bad_line_to_both_sides_is_only_slow(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    origin.script("PutObject", do=(SlowRead(16 * 1024, 0.005), Delay(0.2)), times=None)
    origin.script("GetObject", do=(Delay(0.2), Drip(32 * 1024, 0.005)), times=None)
    bodies = {f"both-{size}": bytes([size % 251]) * size for size in (1000, SMALL + 1, MIB)}
    with BadLine(running.host, running.port, seed=1) as line:
        far = replace(caller, host=line.host, port=line.port)
        together(*[lambda key=key: far.put(BUCKET, key, bodies[key]) for key in bodies])
        found = together(*[lambda key=key: far.get(BUCKET, key).body for key in bodies])
    assert dict(zip(bodies, found, strict=True)) == bodies


@pytest.mark.parametrize("size", [1000, 2 * MIB], ids=["small", "streamed"])
def test_x44_a_client_that_falls_silent_in_its_upload_is_given_up(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int
):
    with begin(caller, "silent", b"x" * size, 0.5) as connection:
        assert eventually(lambda: open_intents(running) == 1)
        assert eventually(lambda: open_intents(running) == 0, within_s=10)
        connection.rest()
    assert eventually(lambda: all(entry.ended for entry in origin.journal))
    assert caller.get(BUCKET, "silent").status == 404


def test_x44_a_client_that_reads_no_more_is_given_up(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    caller.put(BUCKET, "unread", b"x" * 32 * MIB)
    before = open_descriptors(running.pid)
    connection = Connection.open(running.host, running.port, receive_buffer=4096)
    connection.send(caller.signed("GET", f"/{BUCKET}/unread").encode())
    connection.fill()
    assert eventually(lambda: all(entry.ended for entry in origin.journal), within_s=15)
    assert eventually(lambda: open_descriptors(running.pid) <= before + 1)
    connection.close()


def test_x02_a_client_that_leaves_while_the_origin_is_stalled_frees_it(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    caller.put(BUCKET, "stalled", b"x" * MIB)
    stall = origin.script("GetObject", do=Stall(1000), times=None)
    connection = caller.connect()
    connection.send(caller.signed("GET", f"/{BUCKET}/stalled").encode())
    stall.wait_reached()
    connection.reset()
    assert eventually(lambda: all(entry.ended for entry in origin.journal), within_s=10)


def test_readers_who_take_nothing_keep_no_connections_from_others_and_get_it_all_in_the_end(
    tmp_path: Path, origin: ScriptedOrigin
):
    large = random.Random(1).randbytes(24 * MIB)
    with s3_gateway(tmp_path, origin, settings={"limits": {"write_timeout_s": 60.0}}, max_connections=2) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "film", large)
        caller.put(BUCKET, "small", b"small")
        stalled = [Connection.open(caller.host, caller.port, receive_buffer=4096) for _ in range(4)]
        try:
            for connection in stalled:
                connection.send(caller.signed("GET", f"/{BUCKET}/film").encode())
                connection.fill()
            for number in range(3):
                assert caller.get(BUCKET, "small").body == b"small"
                caller.put(BUCKET, f"other-{number}", b"x")
            for connection in stalled:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                assert connection.answer().body == large
        finally:
            for connection in stalled:
                connection.close()
