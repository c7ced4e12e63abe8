"""On raw sockets, every fault and barrier of the scripted origin exactly as it was asked for."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import SSLError

from tests.support.data import pattern
from tests.support.origin_clients import BUCKET, begin, client_of, connect, request, send
from tests.support.origin_faults import (
    ApplyLate,
    Change,
    Chunked,
    CloseAfter,
    Cut,
    Delay,
    Drip,
    EarlyAnswer,
    ErrorInside,
    ExtraBytes,
    Fail,
    Garbage,
    HangUp,
    Hold,
    LoseAnswer,
    Redirect,
    SlowRead,
    Stall,
    WrongETag,
    WrongLength,
)
from tests.support.origin_scripts import NotReached
from tests.support.raw_http import BrokenAnswer, Connection, connected, eventually
from tests.support.s3_model import Switches
from tests.support.scripted_origin import ScriptedOrigin

BODY = pattern(5000)


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        running.make_bucket(BUCKET)
        yield running


@pytest.fixture
def client(origin: ScriptedOrigin) -> Iterator[Any]:
    with closing(client_of(origin)) as made:
        yield made


# Faults


@pytest.mark.parametrize(
    ("do", "code"),
    [(Fail(), 500), (Fail(503, "SlowDown"), 503), (Redirect("http://127.0.0.1:1/"), 307), (ErrorInside(), 200)],
)
def test_an_error_is_answered_and_nothing_applied(origin, do, code):
    origin.script("PutObject", key="a", do=do)
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "PUT", "other", BODY)).status == 200
        answer = connection.exchange(request(origin, "PUT", "a", BODY))
        assert (answer.status, b"<Error>" in answer.body) == (code, True)
        assert connection.exchange(request(origin, "PUT", "a", BODY)).status == 200
    first, failed, second = origin.journal
    assert (first.applied, failed.applied, second.applied) == (1, None, 2)
    assert (failed.complete, failed.connection, failed.turn) == (True, 1, 2)


def test_scripts_are_used_up_in_turn(origin):
    origin.script("GetObject", do=Fail(500), times=2)
    origin.script("GetObject", do=Fail(503, "SlowDown"))
    origin.script("GetObject", do=Change(status=418), times=None, when=lambda entry: entry.header("range") is not None)
    plain = [send(origin, "GET", "a").status for _ in range(4)]
    assert plain == [500, 500, 503, 404]
    assert [send(origin, "GET", "a", headers=(("Range", "bytes=0-"),)).status for _ in range(2)] == [418, 418]
    origin.heal()
    assert send(origin, "GET", "a", headers=(("Range", "bytes=0-"),)).status == 404


def test_an_early_answer_comes_before_the_body(origin):
    origin.script("PutObject", do=EarlyAnswer(503, "SlowDown"))
    with connect(origin) as connection:
        connection.send(request(origin, "PUT", "a", BODY).head())
        assert connection.answer().status == 503
        connection.send(BODY)
        assert connection.ended()
    assert (origin.journal[0].complete, origin.objects(BUCKET)) == (False, {})


@pytest.mark.parametrize("reset", [False, True])
def test_hanging_up_on_a_kept_connection_leaves_no_answer(origin, reset):
    origin.script("PutObject", do=HangUp(reset), when=lambda entry: entry.turn > 1)
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "PUT", "a", BODY)).status == 200
        with pytest.raises(BrokenAnswer):
            connection.exchange(request(origin, "PUT", "b", BODY))
    assert list(origin.objects(BUCKET)) == ["a"]


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_says_nothing_of_what_was_applied(origin, applied):
    origin.script("PutObject", do=LoseAnswer(applied))
    with connect(origin) as connection, pytest.raises(BrokenAnswer):
        connection.exchange(request(origin, "PUT", "a", BODY))
    (entry,) = origin.wait_for("PutObject")
    assert (entry.complete, entry.answered) == (True, False)
    assert ("a" in origin.objects(BUCKET), entry.applied) == ((True, 1) if applied else (False, None))


def test_an_operation_may_take_effect_after_its_connection_broke(origin):
    script = origin.script("PutObject", do=ApplyLate())
    with connect(origin) as connection, pytest.raises(BrokenAnswer):
        connection.exchange(request(origin, "PUT", "a", BODY))
    script.wait_reached()
    assert origin.objects(BUCKET) == {}
    assert send(origin, "DELETE", "a").status == 204
    script.release()
    origin.wait_for("PutObject")
    assert origin.objects(BUCKET)["a"].body == BODY
    assert [entry.applied for entry in origin.journal] == [2, 1]


def was_reset(connection: Connection) -> bool:
    """Whether the stream that has ended was reset: then there is nobody left to send to."""
    return not connection.send_leniently(b"x")


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("at", "body"), [("head", None), ("mid-head", None), (0, b""), (100, BODY[:100]), ("last", BODY[:-1])]
)
def test_an_answer_is_cut_at_the_byte(origin, at, body, reset):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=Cut(at, reset))
    with connect(origin) as connection:
        begin(connection, request(origin, "GET", "a"))
        came = connection.rest()
        assert was_reset(connection) is reset
    assert came == b"" if at == "head" else came.startswith(b"HTTP/1.1 200 OK\r\n")
    if body is not None:
        assert came.partition(b"\r\n\r\n")[2] == body
    else:
        assert b"\r\n\r\n" not in came


@pytest.mark.parametrize(("at", "before"), [("head", 0), (1000, 1000), ("last", 4999)])
def test_a_stalled_answer_goes_on_when_released(origin, at, before):
    origin.put_behind(BUCKET, "a", BODY)
    script = origin.script("GetObject", do=Stall(at))
    with connect(origin) as connection:
        begin(connection, request(origin, "GET", "a"))
        script.wait_reached()
        if before:
            while connection.line():
                pass
            assert connection.exactly(before) == BODY[:before]
        connection.socket.settimeout(0.02)
        with pytest.raises(TimeoutError):
            connection.fill()
        connection.socket.settimeout(10)
        script.release()
        assert (connection.exactly(5000 - before) if before else connection.answer().body) == BODY[before:]


def test_a_stalled_answer_ends_with_its_caller(origin):
    origin.put_behind(BUCKET, "a", BODY)
    script = origin.script("GetObject", do=Stall(10))
    with connect(origin) as connection:
        begin(connection, request(origin, "GET", "a"))
        script.wait_reached()
        assert origin.open_connections == 1
    (entry,) = origin.wait_for("GetObject")
    assert not entry.answered
    assert eventually(lambda: origin.open_connections == 0)


def test_a_stall_may_have_applied_nothing(origin):
    script = origin.script("PutObject", do=Stall(applied=False))
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        script.wait_reached()
        script.release()
        assert connection.answer().status == 503
    assert origin.objects(BUCKET) == {}


@pytest.mark.parametrize(
    "do", [Drip(1000, 0.001), Delay(0.01), Delay(0.01, at=17), Chunked(300), [Delay(0.01), Drip(2000), Chunked(17)]]
)
def test_slow_and_chunked_answers_are_whole(origin, do):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=do)
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "GET", "a")).body == BODY
        assert connection.exchange(request(origin, "GET", "a")).body == BODY


def test_a_chunked_answer_may_lack_its_end(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=Chunked(ended=False))
    with pytest.raises(BrokenAnswer):
        send(origin, "GET", "a")


def test_a_body_may_be_read_slowly(origin):
    origin.script("PutObject", do=SlowRead(1000, 0.001))
    assert send(origin, "PUT", "a", BODY).status == 200
    assert origin.objects(BUCKET)["a"].body == BODY


def test_a_good_answer_may_be_the_last_on_its_connection(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=CloseAfter())
    with connect(origin) as connection:
        answer = connection.exchange(request(origin, "GET", "a"))
        assert (answer.body, answer.header("connection")) == (BODY, None)
        assert connection.ended()


@pytest.mark.parametrize("reset", [False, True])
def test_idle_connections_can_be_closed(origin, reset):
    script = origin.script("GetObject", do=Stall())
    with connect(origin) as idle, connect(origin) as busy:
        idle.exchange(request(origin, "HEAD", "a"))
        begin(busy, request(origin, "GET", "a"))
        script.wait_reached()
        assert origin.close_idle(reset=reset) == 1
        assert idle.ended()
        script.release()
        assert busy.answer().status == 404


def test_an_etag_may_be_wrong(origin, client):
    origin.script("PutObject", do=WrongETag('"bad"'))
    origin.script("CopyObject", do=WrongETag('"bad"'))
    assert client.put_object(Bucket=BUCKET, Key="a", Body=BODY)["ETag"] == '"bad"'
    copied = client.copy_object(Bucket=BUCKET, Key="b", CopySource={"Bucket": BUCKET, "Key": "a"})
    assert copied["CopyObjectResult"]["ETag"] == '"bad"'
    assert origin.objects(BUCKET)["a"].etag == f'"{hashlib.md5(BODY).hexdigest()}"'


def test_lengths_may_be_wrong_both_ways(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=WrongLength(+1))
    with pytest.raises(BrokenAnswer):
        send(origin, "GET", "a")
    origin.script("GetObject", do=WrongLength(-10))
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "GET", "a")).body == BODY[:-10]
        assert connection.exactly(10) == BODY[-10:]
        assert connection.exchange(request(origin, "GET", "a")).body == BODY


def test_bytes_may_follow_an_answer(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=ExtraBytes())
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "GET", "a")).body == BODY
        assert connection.answer().body == b"poison"


def test_an_answer_may_be_no_http(origin):
    origin.script("PutObject", do=Garbage())
    with pytest.raises(BrokenAnswer):
        send(origin, "PUT", "a", BODY)
    assert origin.objects(BUCKET) == {}


def test_an_answer_may_have_other_headers_and_another_body(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=Change(206, {"Set-Cookie": "a\x01b"}, ("ETag",), b"other"))
    answer = send(origin, "GET", "a")
    assert (answer.status, answer.header("set-cookie"), answer.header("etag"), answer.body) == (
        206,
        "a\x01b",
        None,
        b"other",
    )


# Barriers


def test_each_phase_holds_a_request_where_it_says(origin):
    put = request(origin, "PUT", "a", BODY)
    barriers = [origin.barrier("PutObject", key="a", phase=phase) for phase in ("head", 1234, "body", "applied")]
    seen = []
    with connect(origin) as connection:
        begin(connection, put)
        for barrier in barriers:
            entry = barrier.wait_reached()
            seen.append((entry.received, entry.complete, entry.applied, "a" in origin.objects(BUCKET)))
            assert entry.status is None
            barrier.release()
        assert connection.answer().status == 200
    assert seen == [
        (0, False, None, False),
        (1234, False, None, False),
        (5000, True, None, False),
        (5000, True, 1, True),
    ]


def test_barriers_decide_a_race(origin):
    barrier = origin.barrier("PutObject", phase="body", times=2)
    with ThreadPoolExecutor() as pool:
        racing = []
        for body in (b"first", b"second"):
            racing.append(pool.submit(send, origin, "PUT", "a", body))
            barrier.wait_reached(count=len(racing))
        for one in racing:
            barrier.release_one()
            assert one.result(10).status == 200
    assert origin.objects(BUCKET)["a"].body == b"second"
    assert [entry.applied for entry in origin.journal] == [1, 2]


def test_a_held_request_takes_effect_although_its_caller_has_died(origin):
    barrier = origin.barrier("PutObject", phase="body")
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        barrier.wait_reached()
        connection.reset()
    barrier.release()
    origin.wait_for("PutObject")
    assert origin.objects(BUCKET)["a"].body == BODY


def test_a_barrier_and_a_fault_go_together(origin):
    barrier = origin.barrier("PutObject", phase="applied")
    origin.script("PutObject", do=[Cut("head", reset=True)])
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        barrier.wait_reached()
        assert "a" in origin.objects(BUCKET)
        origin.release()
        assert connection.ended()


def test_a_barrier_that_nobody_reaches_says_so(origin):
    barrier = origin.barrier("PutObject")
    with pytest.raises(NotReached):
        barrier.wait_reached(0.01)
    with pytest.raises(NotReached):
        barrier.release_one()
    barrier.remove()
    assert send(origin, "PUT", "a", BODY).status == 200
    assert barrier.taken == []


async def test_barriers_serve_asynchronous_tests(origin):
    script = origin.script("PutObject", do=Hold("head"))
    with ThreadPoolExecutor() as pool:
        put = pool.submit(send, origin, "PUT", "a", BODY)
        entry = await script.reach()
        assert not entry.complete
        script.release()
        assert put.result(10).status == 200


# Running


def test_what_it_holds_outlives_a_stop(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(origin)
    assert origin.open_connections == 0
    origin.start()
    assert send(origin, "GET", "a").body == BODY
    origin.remove_behind(BUCKET, "a")
    assert send(origin, "GET", "a").status == 404


@pytest.mark.parametrize("do", [Hold("head"), Hold(7), Hold("body"), ApplyLate(), Stall(), Drip(1, 60), Delay(60)])
def test_stopping_ends_what_waits_and_applies_nothing_more(origin, do):
    script = origin.script("PutObject", do=do)
    waits = isinstance(do, Hold | ApplyLate)
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        if waits or isinstance(do, Stall):
            script.wait_reached()
        else:
            assert origin.wait_until(lambda: bool(origin.journal) and origin.journal[0].status is not None)
        origin.stop()
        assert BODY not in connection.rest()
    assert ("a" in origin.objects(BUCKET)) is not waits
    assert origin.journal[0].ended


def test_an_error_of_the_origin_itself_fails_the_test():
    origin = ScriptedOrigin()
    origin.start()
    origin.script("GetObject", do=Fail(), when=lambda entry: bool(entry.query["nothing"]))
    with connected("127.0.0.1", origin.port) as connection:
        begin(connection, request(origin, "GET", "a"))
        assert connection.ended()
    with pytest.raises(AssertionError, match="KeyError"):
        origin.stop()


def test_tls_has_a_certificate_that_can_go_bad(tmp_path: Path):
    with ScriptedOrigin(tls=True) as origin:
        origin.make_bucket(BUCKET)
        ca = str(origin.write_ca(tmp_path / "ca.pem"))
        with closing(client_of(origin, verify=ca)) as client:
            client.put_object(Bucket=BUCKET, Key="a", Body=BODY)
            origin.script("GetObject", do=Cut(100, reset=True))
            with pytest.raises(Exception, match="Connection"):
                client.get_object(Bucket=BUCKET, Key="a")["Body"].read()
        for change in ({"not_after": datetime.now(UTC) - timedelta(days=1)}, {"trusted": False}):
            origin.change_certificate(**change)
            with closing(client_of(origin, verify=ca)) as client, pytest.raises(SSLError):
                client.get_object(Bucket=BUCKET, Key="a")
        origin.change_certificate()
        with closing(client_of(origin, verify=ca)) as client:
            assert client.get_object(Bucket=BUCKET, Key="a")["Body"].read() == BODY


def test_switches_may_be_set_at_the_start():
    with ScriptedOrigin(switches=Switches(copy=False, list_page_size=1)) as origin:
        origin.make_bucket(BUCKET)
        assert send(origin, "PUT", "a", headers=(("x-amz-copy-source", "/photos/b"),)).status == 501
