"""X04 to X16, M07, M08: an S3 origin that answers late, wrongly or not at all.

Whatever it does, the client hears the truth, the origin sees no more requests than it must, and nothing is left.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.gateway import Gateway
from tests.support.oracle import open_intents
from tests.support.origin_faults import (
    ApplyLate,
    Behaviour,
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
    LoseAnswer,
    Redirect,
    SlowRead,
    Stall,
    WrongETag,
    WrongLength,
)
from tests.support.process import MIB
from tests.support.raw_http import Answer, BrokenAnswer, eventually
from tests.support.s3_gateway import (
    BUCKET,
    SMALL,
    calling,
    end_waiting,
    recovered,
    s3_gateway,
    served,
    settled,
    stray_bodies,
    waiting_garbage,
)
from tests.support.scripted_origin import ScriptedOrigin

SIZES = [1000, 5 * SMALL]
IDS = ["small", "streamed"]
RETRIES = 2


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Gateway]:
    with served(s3_gateway(tmp_path_factory.mktemp("answers"), origin, retries=RETRIES), origin) as gateway:
        yield gateway


@pytest.fixture
def caller(running: Gateway, origin: ScriptedOrigin) -> Iterator[Caller]:
    with calling(running, origin) as caller:
        yield caller
    settled(running, origin)


def effective(origin: ScriptedOrigin, key: str) -> int:
    """How many writes of a key took effect."""
    writes = ("PutObject", "CopyObject", "CompleteMultipartUpload")
    return sum(e.applied is not None for e in origin.journal if e.key == key and e.operation in writes)


def put(caller: Caller, key: str, body: bytes) -> Answer:
    return caller.call("PUT", f"/{BUCKET}/{key}", body)


def assert_gone(caller: Caller, origin: ScriptedOrigin, running: Gateway, key: str) -> None:
    origin.heal()
    recovered(caller, origin)
    assert caller.get(BUCKET, key).status == 404
    assert eventually(lambda: key not in origin.objects(BUCKET) and not open_intents(running))


# X04, M08: no answer.


@pytest.mark.parametrize("size", SIZES, ids=IDS)
@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_x04_a_put_that_is_never_answered_ends_at_the_deadline(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int, applied: bool
):
    """Seen to have taken effect it is a success; otherwise it is refused, and tried no more often than allowed."""
    key = f"x04-{size}-{applied}"
    script = origin.script("PutObject", key=key, do=Stall("head", applied=applied), times=None)
    begun = time.monotonic()
    answer = put(caller, key, b"x" * size)
    assert time.monotonic() - begun < 12
    assert 1 <= len(script.taken) <= 1 + RETRIES
    if applied:
        assert answer.status == 200
        assert effective(origin, key) == 1
        script.remove()
        assert caller.get(BUCKET, key).body == b"x" * size
        assert caller.call("DELETE", f"/{BUCKET}/{key}").status == 204
    else:
        refused(answer, 503, "SlowDown", "ServiceUnavailable")
        assert answer.header("retry-after")
        assert_gone(caller, origin, running, key)


def test_x04_a_get_that_is_never_answered_is_a_503(caller: Caller, origin: ScriptedOrigin):
    caller.put(BUCKET, "x04-get", b"here")
    script = origin.script("GetObject", key="x04-get", do=Stall("head"), times=None)
    refused(caller.get(BUCKET, "x04-get"), 503)
    assert len(script.taken) <= 1 + RETRIES
    recovered(caller, origin)
    assert caller.get(BUCKET, "x04-get").body == b"here"


@pytest.mark.parametrize("size", SIZES, ids=IDS)
@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
def test_m08_an_answer_lost_after_the_write_is_found_out_and_counts(
    caller: Caller, origin: ScriptedOrigin, size: int, reset: bool
):
    key = f"m08-{size}-{reset}"
    origin.script("PutObject", key=key, do=LoseAnswer(applied=True, reset=reset))
    assert put(caller, key, b"m" * size).status == 200
    assert effective(origin, key) == 1
    assert caller.get(BUCKET, key).body == b"m" * size


@pytest.mark.parametrize("size", SIZES, ids=IDS)
def test_m08_an_answer_lost_before_the_write_is_no_success_unless_it_was_repeated(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int
):
    key = f"m08-lost-{size}"
    origin.script("PutObject", key=key, do=LoseAnswer(applied=False))
    answer = put(caller, key, b"m" * size)
    if size <= SMALL:
        assert answer.status == 200
        assert effective(origin, key) == 1
    else:
        refused(answer, 503, "SlowDown")
        assert effective(origin, key) == 0
        assert_gone(caller, origin, running, key)


@pytest.mark.parametrize("size", SIZES, ids=IDS)
def test_m08_a_lost_overwrite_leaves_the_old_object(caller: Caller, origin: ScriptedOrigin, size: int):
    """Inv2: whatever becomes of the new one."""
    key = f"m08-over-{size}"
    caller.put(BUCKET, key, b"old")
    origin.script("PutObject", when=lambda e: e.key.startswith(f"{key}@"), do=LoseAnswer(applied=False), times=None)
    refused(put(caller, key, b"n" * size), 503)
    origin.heal()
    assert caller.get(BUCKET, key).body == b"old"


@pytest.mark.parametrize("meanwhile", [False, True], ids=["", "with another write meanwhile"])
def test_m08_a_write_that_takes_effect_after_it_was_given_up_is_removed_again(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, meanwhile: bool
):
    key, body = f"m08-late-{meanwhile}", b"l" * SIZES[1]
    late = origin.script("PutObject", key=key, do=ApplyLate())
    refused(put(caller, key, body), 503, "SlowDown")
    assert caller.get(BUCKET, key).status == 404
    assert waiting_garbage(running) >= 1, "its place is watched"
    if meanwhile:
        caller.put(BUCKET, key, b"the new one")
    late.release()
    assert eventually(lambda: key in origin.objects(BUCKET))
    found = caller.get(BUCKET, key)
    assert found.body == b"the new one" if meanwhile else found.status == 404
    running.restart()  # at its start a gateway looks at all that is watched
    assert eventually(lambda: key not in origin.objects(BUCKET), within_s=10)
    assert (key in caller.keys(BUCKET)) is meanwhile
    if meanwhile:
        assert caller.get(BUCKET, key).body == b"the new one"
    running.stop()
    end_waiting(running)
    running.start()
    assert eventually(lambda: not waiting_garbage(running))
    if meanwhile:
        assert caller.get(BUCKET, key).body == b"the new one"


def test_m08_a_late_first_attempt_is_watched_for_however_the_last_one_ends(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    """The first attempt's end is unknown, the last one was refused: together they are unknown."""
    key = "m08-attempts"
    late = origin.script("PutObject", key=key, do=ApplyLate())
    origin.script("PutObject", key=key, do=Fail(503, "SlowDown"), times=None)
    refused(put(caller, key, b"small"), 503, "SlowDown")
    assert len(origin.requests("PutObject", key=key)) == 1 + RETRIES
    late.release()
    assert eventually(lambda: key in origin.objects(BUCKET))
    origin.heal()
    running.restart()
    assert eventually(lambda: key not in origin.objects(BUCKET), within_s=10)
    assert put(caller, key, b"again").status == 200
    assert caller.get(BUCKET, key).body == b"again"


def test_m08_a_multipart_upload_that_begins_after_it_was_given_up_is_aborted(
    caller: Caller, origin: ScriptedOrigin, running: Gateway
):
    late = origin.script("CreateMultipartUpload", key="m08-upload", do=ApplyLate())
    refused(caller.call("POST", f"/{BUCKET}/m08-upload?uploads="), 503, "SlowDown")
    assert caller.uploads(BUCKET) == []
    late.release()
    assert eventually(lambda: len(origin.uploads(BUCKET)) == 1)
    running.restart()
    assert eventually(lambda: not origin.uploads(BUCKET), within_s=10)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_m08_an_initiate_whose_answer_is_lost_leaves_no_upload(caller: Caller, origin: ScriptedOrigin, applied: bool):
    key = f"m08-begin-{applied}"
    origin.script("CreateMultipartUpload", key=key, do=LoseAnswer(applied=applied))
    refused(caller.call("POST", f"/{BUCKET}/{key}?uploads="), 503, "SlowDown")
    assert len(origin.requests("CreateMultipartUpload")) == 1, "each would be another upload"
    assert eventually(lambda: not origin.uploads(BUCKET))
    assert caller.uploads(BUCKET) == []


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_m08_a_complete_whose_answer_is_lost_ends_once(caller: Caller, origin: ScriptedOrigin, applied: bool):
    key = f"m08-complete-{applied}"
    upload_id = caller.start_upload(BUCKET, key)
    etag = caller.put_part(BUCKET, key, upload_id, 1, b"part")
    origin.script("CompleteMultipartUpload", key=key, do=LoseAnswer(applied=applied))
    document = complete_document([(1, etag)])
    assert caller.complete(BUCKET, key, upload_id, document).status == 200
    assert effective(origin, key) == 1
    assert caller.get(BUCKET, key).body == b"part"
    assert caller.complete(BUCKET, key, upload_id, document).status == 200


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_m08_a_copy_whose_answer_is_lost_ends_once(caller: Caller, origin: ScriptedOrigin, applied: bool):
    caller.put(BUCKET, "m08-source", b"copied bytes")
    origin.script("CopyObject", key=f"m08-copy-{applied}", do=LoseAnswer(applied=applied))
    headers = [("x-amz-copy-source", f"/{BUCKET}/m08-source")]
    assert caller.call("PUT", f"/{BUCKET}/m08-copy-{applied}", b"", headers).status == 200
    assert caller.get(BUCKET, f"m08-copy-{applied}").body == b"copied bytes"


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_m08_a_delete_whose_answer_is_lost_is_done_again(caller: Caller, origin: ScriptedOrigin, applied: bool):
    key = f"m08-delete-{applied}"
    caller.put(BUCKET, key, b"x")
    origin.script("DeleteObject", key=key, do=LoseAnswer(applied=applied))
    assert caller.call("DELETE", f"/{BUCKET}/{key}").status == 204
    assert caller.get(BUCKET, key).status == 404
    assert key not in origin.objects(BUCKET)


# X05, M07: errors.

ERRORS = [(500, "InternalError"), (502, ""), (503, "SlowDown"), (503, "ServiceUnavailable"), (429, "SlowDown")]


@pytest.mark.parametrize(("status", "code"), ERRORS)
def test_x05_an_error_once_is_not_seen_by_clients(caller: Caller, origin: ScriptedOrigin, status: int, code: str):
    key = f"x05-{status}-{code}"
    origin.script("PutObject", key=key, do=Fail(status, code))
    origin.script("GetObject", key=key, do=Fail(status, code))
    assert put(caller, key, b"once").status == 200
    assert caller.get(BUCKET, key).body == b"once"
    assert effective(origin, key) == 1
    assert len(origin.requests("PutObject", key=key)) == 2
    assert len(origin.requests("GetObject", key=key)) == 2


@pytest.mark.parametrize("early", [Fail(503, "SlowDown"), EarlyAnswer()], ids=["late", "early"])
def test_x05_a_streamed_body_is_sent_once(caller: Caller, origin: ScriptedOrigin, running: Gateway, early: Behaviour):
    key = f"x05-{type(early).__name__}"
    origin.script("PutObject", key=key, do=early)
    answer = put(caller, key, b"s" * MIB)
    refused(answer, 503, "SlowDown")
    assert len(origin.requests("PutObject", key=key)) == 1
    assert_gone(caller, origin, running, key)


def test_x05_an_origin_that_fails_always_is_not_stormed(caller: Caller, origin: ScriptedOrigin):
    """Retries are few beside requests, and once the breaker is open there are none at all."""
    caller.put(BUCKET, "x05-storm", b"x")
    origin.clear_journal()
    origin.script(do=Fail(503, "SlowDown"), times=None)
    asked = 200
    for _ in range(asked):
        refused(caller.get(BUCKET, "x05-storm"), 503, "SlowDown")
    assert len(origin.journal) < asked / 4, "the breaker is open nearly all the time"


def test_x05_retries_are_few_beside_requests(caller: Caller, origin: ScriptedOrigin):
    """Every second request fails, so that the breaker stays closed: the budget alone bounds them."""
    caller.put(BUCKET, "x05-budget", b"x")
    origin.clear_journal()
    keys = [f"x05-new-{number}" for number in range(60)]
    origin.script("PutObject", when=lambda e: e.key.startswith("x05-new-"), do=Fail(500, "InternalError"), times=None)
    for key in keys:
        refused(put(caller, key, b"x"), 503)
        for _ in range(2):
            assert caller.get(BUCKET, "x05-budget").status == 200
    attempts = len([entry for entry in origin.requests("PutObject") if entry.key.startswith("x05-new-")])
    assert attempts <= len(keys) + 20 + 0.1 * len(origin.journal) + 1, "20 saved ones, and one for ten requests"


def test_m07_nothing_stays_reserved_by_uploads_that_fail(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    ways: Sequence[Behaviour] = (
        Fail(500, "InternalError"),
        Fail(403, "AccessDenied"),
        Fail(400, "InvalidRequest"),
        LoseAnswer(applied=False),
        Garbage(),
        WrongETag(),
    )
    for way in ways:
        for size in SIZES if way != WrongETag() else SIZES[:1]:  # of a streamed body the origin alone knows the MD5
            script = origin.script("PutObject", when=lambda e: e.key.startswith("m07"), do=way, times=None)
            assert put(caller, "m07", b"x" * size).status >= 500, way
            script.remove()
            recovered(caller, origin)
    settled(running, origin)
    assert caller.get(BUCKET, "m07").status == 404


# X07: the connection breaks.

BREAKS: Sequence[Behaviour] = (Cut("head", reset=True), Cut("head"), Cut("mid-head", reset=True), Cut("mid-head"))


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_x07_a_get_that_breaks_before_its_head_is_asked_again(
    caller: Caller, origin: ScriptedOrigin, broken: Behaviour
):
    caller.put(BUCKET, "x07", b"whole")
    origin.script("GetObject", do=broken)
    assert caller.get(BUCKET, "x07").body == b"whole"
    assert len(origin.requests("GetObject")) == 2


MID_BODY: Sequence[Sequence[Behaviour]] = (
    (Cut(1000, reset=True),),
    (Cut(1000),),
    (Cut(-1),),
    (Cut("last", reset=True),),
    (Stall(1000),),
    (WrongLength(10),),
    (Chunked(4096, ended=False), Cut(-1000)),
)


@pytest.mark.parametrize("ways", MID_BODY, ids=str)
@pytest.mark.parametrize("ranged", [False, True], ids=["whole", "range"])
def test_x07_a_get_that_breaks_in_its_body_is_never_a_clean_short_200(
    caller: Caller, origin: ScriptedOrigin, ways: Sequence[Behaviour], ranged: bool
):
    body = bytes(range(256)) * 1024
    caller.put(BUCKET, "x07-body", body)
    headers = [("Range", "bytes=100-200000")] if ranged else []
    script = origin.script("GetObject", do=ways, times=None)
    wanted = body[100:200001] if ranged else body
    try:
        answer = caller.call("GET", f"/{BUCKET}/x07-body", b"", headers)
    except BrokenAnswer:
        pass
    else:  # a 200 that came is whole; what cannot be had is refused
        assert answer.status == 503 or answer.body == wanted, answer.status
        assert answer.status == 503, "there is no good answer to be had"
    script.remove()
    recovered(caller, origin)
    assert caller.call("GET", f"/{BUCKET}/x07-body", b"", headers).body == wanted


@pytest.mark.parametrize("by", [-1, -1000])
def test_x07_an_answer_that_is_too_short_by_its_own_words_is_refused(caller: Caller, origin: ScriptedOrigin, by: int):
    caller.put(BUCKET, "x07-short", b"s" * 2000)
    script = origin.script("GetObject", do=WrongLength(by), times=None)
    assert caller.get(BUCKET, "x07-short").status >= 500
    script.remove()
    assert caller.get(BUCKET, "x07-short").body == b"s" * 2000


@pytest.mark.parametrize("size", SIZES, ids=IDS)
def test_x07_garbage_is_no_answer(caller: Caller, origin: ScriptedOrigin, running: Gateway, size: int):
    key = f"x07-garbage-{size}"
    origin.script("PutObject", key=key, do=Garbage(), times=None)
    assert put(caller, key, b"g" * size).status >= 500
    assert_gone(caller, origin, running, key)
    caller.put(BUCKET, f"{key}-get", b"g")
    script = origin.script("GetObject", key=f"{key}-get", do=Garbage(), times=None)
    assert caller.get(BUCKET, f"{key}-get").status == 503
    script.remove()


# X08, X10: connections that are used again.


def test_x08_an_idle_connection_that_the_origin_closes_costs_no_request(caller: Caller, origin: ScriptedOrigin):
    for number in range(20):
        origin.close_idle(reset=bool(number % 2))
        assert put(caller, f"x08-{number}", b"x").status == 200
        origin.close_idle(reset=not number % 2)
        assert put(caller, f"x08-{number}", b"y" * SIZES[1]).status == 200
        assert effective(origin, f"x08-{number}") == 1


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_x08_a_connection_that_is_closed_as_we_send_is_no_second_write(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, reset: bool
):
    """Replayable bodies go out again, others are refused: at most one write takes effect."""
    for size, key in zip(SIZES, (f"x08-small-{reset}", f"x08-streamed-{reset}"), strict=True):
        origin.script("PutObject", key=key, do=HangUp(reset))
        answer = put(caller, key, b"x" * size)
        if size <= SMALL:
            assert answer.status == 200
            assert effective(origin, key) == 1
        else:
            refused(answer, 503, "SlowDown")
            assert len(origin.requests("PutObject", key=key)) == 1
            assert_gone(caller, origin, running, key)


def test_x08_answers_that_close_without_saying_so_are_good_ones(caller: Caller, origin: ScriptedOrigin):
    origin.script(do=CloseAfter(), times=None)
    for number in range(10):
        assert put(caller, f"x08-after-{number}", b"x").status == 200
        assert caller.get(BUCKET, f"x08-after-{number}").body == b"x"


def test_x10_bytes_after_an_answer_poison_nobody(caller: Caller, origin: ScriptedOrigin):
    caller.put(BUCKET, "x10", b"mine")
    caller.put(BUCKET, "x10-next", b"the next client's")
    origin.script("GetObject", key="x10", do=ExtraBytes(), times=None)
    for _ in range(20):
        assert caller.get(BUCKET, "x10").body == b"mine"
        assert caller.get(BUCKET, "x10-next").body == b"the next client's"
    poisoned = {entry.connection for entry in origin.requests("GetObject", key="x10")}
    later = [entry for entry in origin.requests("GetObject", key="x10-next") if entry.connection in poisoned]
    for entry in later:
        before = [each for each in origin.journal if (each.connection, each.turn + 1) == (entry.connection, entry.turn)]
        assert [each.key for each in before] != ["x10"], "the connection was used again"


def test_x10_bytes_after_the_answer_to_a_write_poison_nobody(caller: Caller, origin: ScriptedOrigin):
    caller.put(BUCKET, "x10-next", b"the next client's")
    for size in SIZES:
        script = origin.script("PutObject", key=f"x10-{size}", do=ExtraBytes())
        assert put(caller, f"x10-{size}", b"x" * size).status == 200
        assert script.taken
        assert caller.get(BUCKET, "x10-next").body == b"the next client's"


# X11: slow origins.


@pytest.mark.parametrize(
    "ways",
    [
        (Stall("head"),),
        (Drip(1, 0.02), Stall("mid-head")),
        (Stall(1),),
        (Stall("last"),),
    ],
    ids=str,
)
def test_x11_a_stalled_answer_ends_at_a_deadline_and_holds_up_nobody(
    caller: Caller, origin: ScriptedOrigin, ways: Sequence[Behaviour]
):
    caller.put(BUCKET, "x11-other", b"y" * 1000)
    caller.put(BUCKET, "x11", b"x" * 1000)
    script = origin.script("GetObject", when=lambda e: e.key.partition("@")[0] == "x11", do=ways, times=None)
    with caller.connect() as connection:
        connection.send(caller.signed("GET", f"/{BUCKET}/x11").encode())
        script.wait_reached()
        for _ in range(20):
            assert caller.get(BUCKET, "x11-other").body == b"y" * 1000
        try:
            assert connection.answer().status == 503
        except BrokenAnswer:
            pass


def test_x11_answers_that_drip_are_only_slow(caller: Caller, origin: ScriptedOrigin):
    """Pauses below the deadlines, all together well above them."""
    body = b"d" * 60
    caller.put(BUCKET, "x11-drip", body)
    origin.script("GetObject", key="x11-drip", do=(Drip(20, 0.1), Delay(0.7, "end")))
    assert caller.get(BUCKET, "x11-drip").body == body


def test_x11_an_origin_that_reads_slowly_is_only_slow(caller: Caller, origin: ScriptedOrigin):
    body = b"u" * 20 * SMALL
    origin.script("PutObject", key="x11-slow", do=SlowRead(SMALL, 0.03))
    assert put(caller, "x11-slow", body).status == 200
    assert caller.get(BUCKET, "x11-slow").body == body


def test_x11_an_origin_that_stops_reading_is_given_up(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    origin.barrier("PutObject", key="x11-full", phase="head")
    answer = caller.ask(caller.signed("PUT", f"/{BUCKET}/x11-full", b"f" * 32 * MIB), timeout_s=30)
    assert answer.status == 503
    assert_gone(caller, origin, running, "x11-full")


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "CopyObject"])
def test_x11_an_answer_that_drips_for_ever_ends_with_the_whole(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, operation: str
):
    """No pause is too long, but all of it is: of a document there is a deadline for the whole."""
    caller.put(BUCKET, "x11-source", b"s")
    key = f"x11-{operation}"
    script = origin.script(operation, key=key, do=Drip(1, 0.3), times=None)
    if operation == "CopyObject":
        request = caller.signed("PUT", f"/{BUCKET}/{key}", b"", [("x-amz-copy-source", f"/{BUCKET}/x11-source")])
    else:
        request = caller.signed("POST", f"/{BUCKET}/{key}?uploads=")
    with caller.connect() as connection:
        connection.send(request.encode())
        assert origin.wait_until(lambda: bool(script.taken))
        for _ in range(20):
            assert caller.get(BUCKET, "x11-source").body == b"s"
        answer = connection.answer(request.method)
    # A copy that was made all the same is found by a look; of an upload nobody heard the id.
    assert answer.status == (200 if operation == "CopyObject" else 503)
    origin.heal()
    settled(running, origin)


def test_x11_an_origin_that_takes_no_connection_is_given_up(origin: ScriptedOrigin, tmp_path: Path):
    """Whoever listens there has no room for one more: nothing answers, and nothing refuses."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(8):  # more than are taken unheard: these are the ones whose handshake ends nowhere
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with s3_gateway(tmp_path, origin, endpoint=f"http://127.0.0.1:{port}", retries=0) as gateway:
            caller = Caller.of(gateway)
            for size in (1, 3 * SMALL):
                refused(caller.call("PUT", f"/{BUCKET}/x11-connect", b"x" * size), 503, "SlowDown")
            assert caller.keys(BUCKET) == []


# X13: errors inside of 200.


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_x13_an_error_inside_a_complete_is_an_error(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, applied: bool
):
    key = f"x13-{applied}"
    upload_id = caller.start_upload(BUCKET, key)
    document = complete_document([(1, caller.put_part(BUCKET, key, upload_id, 1, b"part"))])
    script = origin.script("CompleteMultipartUpload", key=key, do=ErrorInside(applied=applied), times=None)
    answer = caller.complete(BUCKET, key, upload_id, document)
    if answer.status == 200:  # it was seen to have taken effect
        assert applied
    else:
        refused(answer, 503)
        assert caller.get(BUCKET, key).status == 404
    script.remove()
    assert caller.complete(BUCKET, key, upload_id, document).status == 200
    assert caller.get(BUCKET, key).body == b"part"
    settled(running, origin)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_x13_an_abort_after_an_error_inside_a_complete_leaves_nothing(
    caller: Caller, origin: ScriptedOrigin, applied: bool
):
    key = f"x13-abort-{applied}"
    upload_id = caller.start_upload(BUCKET, key)
    document = complete_document([(1, caller.put_part(BUCKET, key, upload_id, 1, b"part"))])
    origin.script("CompleteMultipartUpload", key=key, do=ErrorInside(applied=applied), times=None)
    unseen = origin.script("HeadObject", key=key, do=Fail(403, "AccessDenied"), times=None)
    refused(caller.complete(BUCKET, key, upload_id, document), 503)
    unseen.remove()
    assert caller.call("DELETE", f"/{BUCKET}/{key}?uploadId={upload_id}").status == 204
    assert key not in origin.objects(BUCKET)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_x13_an_error_inside_a_copy_is_an_error(
    caller: Caller, origin: ScriptedOrigin, running: Gateway, applied: bool
):
    caller.put(BUCKET, "x13-source", b"s")
    key = f"x13-copy-{applied}"
    origin.script("CopyObject", key=key, do=ErrorInside(applied=applied), times=None)
    headers = [("x-amz-copy-source", f"/{BUCKET}/x13-source")]
    answer = caller.call("PUT", f"/{BUCKET}/{key}", b"", headers)
    if applied:  # it was seen to have taken effect, so it is no error
        assert answer.status == 200
        assert caller.get(BUCKET, key).body == b"s"
    else:
        refused(answer, 503)
        assert_gone(caller, origin, running, key)
    assert not [place for place in stray_bodies(running, origin) if "x13" in place]


# X14: redirects. The origin of their target is another one, which must hear nothing.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_x14_a_redirect_of_a_multipart_upload_or_a_copy_is_not_followed(
    caller: Caller, origin: ScriptedOrigin, status: int
):
    caller.put(BUCKET, "x14-source", b"s")
    headers = [("x-amz-copy-source", f"/{BUCKET}/x14-source")]
    with ScriptedOrigin() as elsewhere:
        to = Redirect(f"{elsewhere.endpoint}/{BUCKET}/x14", status, "PermanentRedirect")
        for operation in ("CreateMultipartUpload", "CopyObject"):
            origin.script(operation, do=to, times=None)
        assert caller.call("POST", f"/{BUCKET}/x14?uploads=").status == 503
        assert caller.call("PUT", f"/{BUCKET}/x14", b"", headers).status == 503
        assert elsewhere.journal == []
        origin.heal()


# X16: another clock.


def test_x16_a_clock_that_differs_is_allowed_for(caller: Caller, origin: ScriptedOrigin, running: Gateway):
    """The first answer says so, and the next request is signed by the origin's clock; no request is repeated for ever."""
    caller.put(BUCKET, "x16", b"in time")
    for shift in (timedelta(hours=1), timedelta(hours=-3), timedelta(0)):
        origin.clock_shift = shift
        origin.clear_journal()
        assert caller.get(BUCKET, "x16").body == b"in time"
        assert len(origin.requests("GetObject", key="x16")) == 2
        assert caller.get(BUCKET, "x16").body == b"in time"
        assert len(origin.requests("GetObject", key="x16")) == 3
        assert put(caller, f"x16-{shift.total_seconds():.0f}", b"x").status == 200


def test_x16_a_streamed_body_has_its_second_chance_from_the_client(caller: Caller, origin: ScriptedOrigin):
    """Where its place is looked at before, it needs none; the second one's place is nobody else's, and is not."""
    origin.clock_shift = timedelta(hours=2)
    try:
        assert put(caller, "x16-streamed", b"x" * SIZES[1]).status == 200
        origin.clock_shift = timedelta(hours=4)
        refused(put(caller, "x16-streamed", b"x" * SIZES[1]), 503, "SlowDown")
        assert put(caller, "x16-streamed", b"x" * SIZES[1]).status == 200
    finally:
        origin.clock_shift = timedelta(0)
        assert caller.get(BUCKET, "x16-streamed").status == 200


def test_x16_a_clock_that_cannot_be_learnt_is_no_loop(caller: Caller, origin: ScriptedOrigin):
    caller.put(BUCKET, "x16-lost", b"x")
    origin.clear_journal()
    origin.script("GetObject", key="x16-lost", do=Fail(403, "RequestTimeTooSkewed", headers={"Date": "?"}), times=None)
    assert caller.get(BUCKET, "x16-lost").status == 503
    assert len(origin.requests("GetObject", key="x16-lost")) == 2
