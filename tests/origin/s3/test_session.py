"""Talking to one endpoint: what is tried again and what is not, when it gives up, and what it learns."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest
from prometheus_client import REGISTRY

from gateway.metrics import tell_all
from gateway.origin import resilience
from gateway.origin.credentials import OriginCredentials
from gateway.origin.errors import BodyNotFound, NotReached, OriginDown, OriginError, OutcomeUnknown
from gateway.origin.resilience import FAILURES_TO_OPEN
from gateway.origin.s3 import session as module
from gateway.origin.s3.failures import BadCredentials, Busy, ClockSkewed, Failed, MayNot, Refused
from gateway.origin.s3.places import Place
from gateway.origin.s3.requests import UNSIGNED_PAYLOAD, Request
from gateway.origin.s3.session import MOST_ERROR_BYTES, Session
from gateway.sigv4.model import SecretAccessKey
from tests.origin.s3.scripted import HANGS, LOST, Keys, Server, Step, all_arrived, answer, refusal, session_to

GET = Request("GET", Place("b", "k"))
HEAD = Request("HEAD", Place("b", "k"))
PUT = Request("PUT", Place("b", "k"), "", {}, UNSIGNED_PAYLOAD, 5)
SLOW_DOWN = refusal(503, "SlowDown")
NOW_S = 1_700_000_000.0
SECOND = OriginCredentials("AKIDSECOND", SecretAccessKey("second"))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pause_s", lambda attempt: 0)


@asynccontextmanager
async def talking(*script: Step | bytes, again: bool = False, **settings) -> AsyncIterator[tuple[Server, Session]]:
    async with Server(*script, again=again) as server:
        session = session_to(server.port, **settings)
        try:
            yield server, session
        finally:
            await asyncio.wait_for(session.close(), 5)


async def test_an_answer_is_given_with_its_body_still_to_come():
    async with talking(answer(200, b"hello", 'etag: "e"')) as (server, session):
        response = await session.ask(GET)
        assert await response.read_all(100) == b"hello"
        assert response.headers["etag"] == '"e"'
        assert (server.seen[0].method, server.seen[0].target) == ("GET", "/b/k")


@pytest.mark.parametrize(
    ("failing", "kind"),
    [(SLOW_DOWN, Busy), (answer(502), Failed), (refusal(500, "InternalError"), Failed), (LOST, OutcomeUnknown)],
)
async def test_what_failed_is_tried_again_as_often_as_the_settings_say(failing, kind):
    async with talking(failing, failing, answer(200, b"x")) as (server, session):
        assert await session.document(GET) == b"x"
        assert len(server.seen) == 3
    async with talking(failing, failing, failing, answer()) as (server, session):
        with pytest.raises(kind):
            await session.ask(GET)
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (refusal(404, "NoSuchKey"), BodyNotFound),
        (refusal(404, "NoSuchBucket"), Refused),
        (refusal(403, "AccessDenied"), MayNot),
        (refusal(412, "PreconditionFailed"), Refused),
        (refusal(501, "NotImplemented"), Refused),
        (answer(301, b"", "location: http://169.254.169.254/"), Refused),
        (answer(307, b"", "location: http://127.0.0.1:1/"), Refused),
    ],
)
async def test_a_refusal_is_final_and_a_redirect_is_one(refused, kind):
    async with talking(refused) as (server, session):
        with pytest.raises(kind):
            await session.ask(GET)
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    "lost", [LOST, answer(504), Step(b"garbage\r\n\r\n", close=True), refusal(500, "InternalError")]
)
async def test_what_may_not_be_repeated_is_sent_once(lost):
    async with talking(lost, answer()) as (server, session):
        with pytest.raises(OutcomeUnknown):
            await session.document(GET, repeatable=False)
        assert len(server.seen) == 1


async def test_what_was_not_done_is_tried_again_even_so():
    async with talking(SLOW_DOWN, answer(200, b"x")) as (server, session):
        assert await session.document(GET, repeatable=False) == b"x"
        assert len(server.seen) == 2


async def test_nobody_there_means_that_nothing_was_done():
    async with Server() as server:
        port = server.port
    session = session_to(port, retries=1)
    with pytest.raises(OriginDown) as raised:
        await session.ask(GET)
    assert not isinstance(raised.value, OutcomeUnknown)
    with pytest.raises(OriginDown) as raised:
        await session.upload(PUT)
    assert not isinstance(raised.value, OutcomeUnknown)
    await session.close()


async def test_too_slow_a_beginning_leaves_the_outcome_open():
    async with talking(HANGS, first_byte_s=0.05, retries=0) as (_, session):
        with pytest.raises(OutcomeUnknown, match="too short"):
            await session.ask(PUT, b"12345")


async def test_a_kept_connection_that_died_meanwhile_costs_no_failure(monkeypatch):
    """The origin closes it just as the next request is sent: repeated at once, and nobody's fault."""
    paused: list[int] = []

    def pause_s(attempt: int) -> float:
        paused.append(attempt)
        return 0

    monkeypatch.setattr(module, "pause_s", pause_s)
    async with talking(answer(), LOST, answer(200, b"x")) as (server, session):
        (await session.ask(GET)).close()
        assert await session.document(GET) == b"x"
        assert (len(server.seen), server.connections, paused) == (3, 2, [])
        assert session._breaker._failures == 0


async def test_retries_end_with_the_budget():
    most = int(resilience.MOST_SAVED_RETRIES)
    async with talking(refusal(409, "OperationAborted"), again=True, retries=1000) as (server, session):
        session._breaker.failed = lambda: False  # type: ignore[method-assign]
        with pytest.raises(Busy):
            await session.ask(GET)
        assert len(server.seen) == 1 + most
        with pytest.raises(Busy):
            await session.ask(GET)
        assert len(server.seen) == 2 + most


async def test_the_breaker_answers_at_once_without_a_request_until_its_trial(monkeypatch):
    async with talking(SLOW_DOWN, again=True, retries=0) as (server, session):
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(Busy):
                await session.ask(GET)
        started = time.perf_counter()
        for begin in (session.ask, session.document, session.done, session.upload):
            with pytest.raises(OriginDown, match="asked again in"):
                await begin(GET)
        assert time.perf_counter() - started < 0.1
        assert len(server.seen) == FAILURES_TO_OPEN
        session._breaker._closed_from = 0.0  # its time has passed
        server.script[0] = Step(answer(200, b"x"))
        assert await session.document(GET) == b"x"
        assert await session.document(GET) == b"x"


async def test_a_trial_that_is_cancelled_is_followed_by_another():
    async with talking(SLOW_DOWN, again=True, retries=0) as (server, session):
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(Busy):
                await session.ask(GET)
        session._breaker._closed_from = 0.0
        server.script[0] = HANGS
        trial = asyncio.ensure_future(session.ask(GET))
        await server.saw(FAILURES_TO_OPEN + 1)
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        with pytest.raises(OriginDown, match="asked again in"):
            await session.ask(GET)
        session._breaker._closed_from = 0.0
        server.script[0] = Step(answer(200, b"x"))
        assert await session.document(GET) == b"x"


async def test_refusals_are_answers_and_never_open_the_breaker():
    async with talking(refusal(404, "NoSuchKey"), again=True) as (_, session):
        for _ in range(2 * FAILURES_TO_OPEN):
            with pytest.raises(BodyNotFound):
                await session.ask(GET)


async def test_a_refusal_closes_it_for_it_is_an_answer(caplog):
    async with talking(SLOW_DOWN, again=True, retries=0) as (server, session):
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(Busy):
                await session.ask(GET)
        session._breaker._closed_from = 0.0
        server.script[0] = Step(refusal(404, "NoSuchKey"))
        for _ in range(2):
            with pytest.raises(BodyNotFound):
                await session.ask(GET)
        told = [record.message for record in caplog.records if record.name == "anbar.origin"]
        assert len(told) == 2
        assert told[1] == "origin main answers again"


async def test_that_all_connections_are_busy_says_nothing_of_the_origin():
    """Else slow readers, a few hundred of them, would shut everybody out for half a minute."""
    settings = {"connect_s": 0.02, "retries": 0, "most_connections": 1}
    async with talking(answer(200, length=5), again=True, **settings) as (_, session):
        reading = await session.ask(GET)
        for _ in range(2 * FAILURES_TO_OPEN):
            with pytest.raises(OriginDown, match="busy") as raised:
                await session.ask(GET)
            assert not isinstance(raised.value, OutcomeUnknown)
        reading.close()
        (await session.ask(GET)).close()


async def test_a_request_that_cannot_be_rendered_is_no_trial():
    async with talking(SLOW_DOWN, again=True, retries=0) as (server, session):
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(Busy):
                await session.ask(GET)
        session._breaker._closed_from = 0.0
        with pytest.raises(OriginError, match="line end"):
            await session.ask(Request("GET", Place("b", "a b")))
        server.script[0] = Step(answer(200, b"x"))
        assert await session.document(GET) == b"x"


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
async def test_refused_credentials_are_replaced_and_tried_once(code):
    keys = Keys(next=SECOND)
    async with talking(refusal(403, code), answer(200, b"x"), keys=keys, retries=0) as (server, session):
        assert await session.document(GET) == b"x"
        assert "AKIDFIRST" in server.seen[0].headers["authorization"]
        assert "AKIDSECOND" in server.seen[1].headers["authorization"]
    keys = Keys(next=SECOND)
    async with talking(refusal(403, code), refusal(403, code), keys=keys) as (server, session):
        with pytest.raises(BadCredentials):
            await session.ask(GET)
        assert (len(server.seen), keys.asked) == (2, 1)


async def test_without_other_credentials_there_is_no_other_try():
    keys = Keys()
    async with talking(refusal(403, "InvalidAccessKeyId"), keys=keys) as (server, session):
        with pytest.raises(BadCredentials):
            await session.ask(GET)
        assert (len(server.seen), keys.asked) == (1, 1)


async def test_a_head_that_is_forbidden_may_be_about_the_credentials():
    """It has no document that says so."""
    keys = Keys(next=SECOND)
    forbidden = answer(403, b"", f"date: {formatdate(NOW_S, usegmt=True)}", length=200)
    async with talking(forbidden, answer(), keys=keys) as (server, session):
        (await session.ask(HEAD)).close()
        assert "AKIDSECOND" in server.seen[1].headers["authorization"]


@pytest.mark.parametrize("skew_s", [-3600, 3600, -100_000_000])
@pytest.mark.parametrize("request_", [GET, HEAD], ids=["GET", "HEAD"])
async def test_the_origins_clock_is_believed_once_it_refuses_ours(skew_s, request_):
    date = f"date: {formatdate(NOW_S + skew_s, usegmt=True)}"
    told = refusal(403, "RequestTimeTooSkewed", date) if request_ is GET else answer(403, b"", date, length=99)
    async with talking(told, answer(), answer()) as (server, session):
        for _ in range(2):
            (await session.ask(request_)).close()
        stamps = [seen.headers["x-amz-date"] for seen in server.seen]
        ours, theirs = (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW_S + each)) for each in (0, skew_s))
        assert stamps == [ours, theirs, theirs]


async def test_a_clock_that_is_never_right_ends_the_matter():
    date = f"date: {formatdate(NOW_S + 7200, usegmt=True)}"
    async with talking(refusal(403, "RequestTimeTooSkewed", date), again=True) as (server, session):
        with pytest.raises(ClockSkewed):
            await session.ask(GET)
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 28 Nov 2026 17:00:00 +99999999999999999999",
        "Wed, 31 Dec 1969 23:59:59 GMT",
    ],
)
async def test_a_date_that_is_none_moves_no_clock(date):
    async with talking(refusal(403, "RequestTimeTooSkewed", f"date: {date}"), again=True) as (server, session):
        with pytest.raises(ClockSkewed):
            await session.ask(GET)
        assert len({seen.headers["x-amz-date"] for seen in server.seen}) == 1


async def test_an_error_under_status_200_is_an_error():
    async with talking(refusal(200, "InternalError"), refusal(200, "NoSuchKey")) as (_, session):
        with pytest.raises(OutcomeUnknown):
            await session.document(PUT, b"12345")
        with pytest.raises(BodyNotFound):
            await session.document(PUT, b"12345")


@pytest.mark.parametrize(
    "broken",
    [
        Step(answer(200, b"<R><ETag>", length=100), close=True),
        answer(200, b"x" * 200),
    ],
)
async def test_an_answer_that_breaks_off_or_is_too_long_leaves_the_outcome_open(broken):
    async with talking(broken) as (_, session):
        with pytest.raises(OutcomeUnknown):
            await session.document(PUT, b"12345", most=100)
    async with talking(Step(answer(200, b"x", length=9), close=True)) as (_, session):
        with pytest.raises(OutcomeUnknown):
            await session.done(PUT, b"12345")


@pytest.mark.parametrize(
    ("status", "kind"), [(404, BodyNotFound), (403, MayNot), (503, Busy), (500, Failed), (412, Refused)]
)
@pytest.mark.parametrize(
    "rest", [Step(b"x" * 10, close=True), Step(b"y" * (MOST_ERROR_BYTES + 1))], ids=["cut off", "too long"]
)
async def test_a_refusal_that_cannot_be_read_is_known_by_its_status(status, kind, rest):
    length = 20 if rest.close else len(rest.answer)
    step = Step(answer(status, rest.answer, f"date: {formatdate(NOW_S, usegmt=True)}", length=length), close=rest.close)
    async with talking(step, retries=0) as (_, session):
        with pytest.raises(OriginError) as raised:
            await session.ask(GET)
        assert type(raised.value) is kind


@pytest.mark.parametrize("whole", [Session.document, Session.done])
async def test_everything_together_has_a_deadline(whole):
    async with talking(HANGS, answer(), whole_s=0.1) as (server, session):
        started = time.perf_counter()
        with pytest.raises(OutcomeUnknown, match="not done in"):
            await whole(session, PUT, b"12345")
        assert time.perf_counter() - started < 1
        (await session.ask(GET)).close()
        assert server.connections == 2, "what was given up is not used again"


async def test_what_is_slow_by_nature_has_until_the_deadline_of_the_whole():
    slow = Step(answer(200, b"<R/>"), pause_s=0.2)
    async with talking(slow, slow, first_byte_s=0.05, retries=0) as (_, session):
        assert await session.document(PUT, b"12345", slow=True) == b"<R/>"


async def test_cancelled_requests_leave_no_connection_behind():
    async with talking(HANGS, again=True) as (server, session):
        asking = [asyncio.ensure_future(session.document(GET)) for _ in range(20)]
        await server.saw(8)
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        server.script[0] = Step(answer(200, b"x"))
        assert await asyncio.gather(*[session.document(GET) for _ in range(20)]) == [b"x"] * 20


async def uploaded(session: Session, *pieces: bytes) -> None:
    """A streamed body, as a writer sends it."""
    upload = await session.upload(PUT)
    for piece in pieces:
        try:
            await upload.write(piece)
        except OriginError as error:
            raise await session.refused(PUT, error) from error
    (await session.answered(PUT, upload)).close()


async def test_a_streamed_body_arrives():
    async with talking(answer(200, b"", 'etag: "e"')) as (server, session):
        await uploaded(session, b"12", b"345")
        assert (server.seen[0].body, server.seen[0].headers["content-length"]) == (b"12345", "5")


@pytest.mark.parametrize("failing", [LOST, answer(502), answer(504), Step(answer(200, b"", length=5)[:20], close=True)])
async def test_a_streamed_body_whose_answer_is_lost_is_not_sent_again(failing):
    async with talking(failing) as (server, session):
        with pytest.raises(OutcomeUnknown):
            await uploaded(session, b"12345")
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("early", "kind"),
    [
        (refusal(403, "AccessDenied"), MayNot),
        (refusal(403, "QuotaExceeded"), OriginError),
        (SLOW_DOWN, OriginDown),
        (refusal(500, "InternalError"), OriginDown),
        (answer(200), Refused),
        (answer(301), Refused),
    ],
)
async def test_what_is_answered_before_the_body_was_there_was_not_stored(early, kind):
    async with talking(Step(early, early=True, close=True)) as (_, session):
        with pytest.raises(kind) as raised:
            upload = await session.upload(PUT)
            await upload.write(b"1")
            await all_arrived()
            try:
                await upload.write(b"2")
            except OriginError as error:
                raise await session.refused(PUT, error) from error
        assert not isinstance(raised.value, OutcomeUnknown)


async def test_a_streamed_body_that_breaks_on_its_way_was_not_stored():
    async with talking(Step(early=True, close=True)) as (_, session):
        upload = await session.upload(PUT)
        await upload.write(b"1")
        await all_arrived()
        with pytest.raises(OriginError) as broken:
            await upload.write(b"2")
        error = await session.refused(PUT, broken.value)
        assert isinstance(error, OriginDown)
        assert not isinstance(error, OutcomeUnknown)


async def test_more_bytes_than_announced_are_no_failure_of_the_origin():
    async with talking(HANGS) as (_, session):
        upload = await session.upload(PUT)
        with pytest.raises(OriginError) as broken:
            await upload.write(b"123456")
        assert await session.refused(PUT, broken.value) is broken.value
        assert session._breaker._failures == 0


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(
    ("told", "following", "kind"),
    [
        ("InvalidAccessKeyId", SECOND, OriginDown),
        ("InvalidAccessKeyId", None, BadCredentials),
        ("RequestTimeTooSkewed", None, OriginDown),
    ],
)
async def test_a_streamed_body_is_gone_but_the_next_one_has_more_luck(told, following, kind, early):
    keys = Keys(next=following)
    date = f"date: {formatdate(NOW_S + 7200, usegmt=True)}"
    step = Step(refusal(403, told, date), early=early, close=early)
    async with talking(step, answer(), keys=keys) as (server, session):
        with pytest.raises(kind) as raised:
            if early:
                upload = await session.upload(PUT)
                await all_arrived()
                try:
                    await upload.write(b"1")
                except OriginError as error:
                    raise await session.refused(PUT, error) from error
            else:
                await uploaded(session, b"12345")
        assert not isinstance(raised.value, OutcomeUnknown)
        await uploaded(session, b"12345")
        if following is not None:
            assert "AKIDSECOND" in server.seen[1].headers["authorization"]
        elif kind is OriginDown:
            assert server.seen[0].headers["x-amz-date"] != server.seen[1].headers["x-amz-date"]


async def test_an_upload_waits_for_a_connection_and_tries_for_it_again(monkeypatch):
    async with talking(answer()) as (_, session):
        client = session._client("127.0.0.1:" + str(session._upstream.endpoint.port))
        real: Callable = client.upload
        failed: list[int] = []

        async def upload(head, size):
            if not failed:
                failed.append(1)
                raise NotReached("no connection in time")
            return await real(head, size)

        monkeypatch.setattr(client, "upload", upload)
        await uploaded(session, b"12345")


async def test_a_session_closes_with_requests_under_way():
    async with talking(HANGS) as (server, session):
        asking = asyncio.ensure_future(session.ask(GET, repeatable=False))
        await server.saw(1)
        await session.close()
        with pytest.raises(OriginError, match="closed"):
            await asking


async def counted(name: str, **labels: str) -> float:
    tell_all()
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (answer(200, b"x"), "ok"),
        (refusal(404, "NoSuchKey"), "refused"),
        (SLOW_DOWN, "busy"),
        (refusal(500, "InternalError"), "failed"),
        (LOST, "broken"),
        (Step(b"garbage\r\n\r\n", close=True), "broken"),
    ],
)
async def test_every_attempt_is_counted_by_what_came_of_it(step, outcome):
    labels = {"origin": "main", "outcome": outcome}
    before = await counted("anbar_origin_requests_total", **labels)
    observed = await counted("anbar_origin_first_byte_seconds_count", origin="main")
    async with talking(step, step, retries=1) as (server, session):
        await asyncio.gather(session.document(GET), return_exceptions=True)
        attempts = len(server.seen)
        assert await counted("anbar_origin_requests_total", **labels) == before + attempts
        answered = attempts if outcome != "broken" else 0
        assert await counted("anbar_origin_first_byte_seconds_count", origin="main") == observed + answered


async def test_nobody_there_and_too_slow_an_answer_are_told_apart():
    async with Server() as server:
        port = server.port
    before = await counted("anbar_origin_requests_total", origin="main", outcome="not_reached")
    session = session_to(port, retries=0)
    with pytest.raises(OriginDown):
        await session.upload(PUT)
    assert await counted("anbar_origin_requests_total", origin="main", outcome="not_reached") == before + 1
    await session.close()
    before = await counted("anbar_origin_requests_total", origin="main", outcome="late")
    async with talking(HANGS, first_byte_s=0.05, retries=0) as (_, session):
        with pytest.raises(OutcomeUnknown):
            await session.ask(GET)
        assert await counted("anbar_origin_requests_total", origin="main", outcome="late") == before + 1


async def test_an_open_breaker_is_told_and_what_it_held_back():
    async with talking(SLOW_DOWN, again=True, retries=0) as (server, session):
        for _ in range(FAILURES_TO_OPEN):
            assert await counted("anbar_origin_breaker_open", origin="main") == 0
            with pytest.raises(Busy):
                await session.ask(GET)
        assert await counted("anbar_origin_breaker_open", origin="main") == 1
        before = await counted("anbar_origin_requests_total", origin="main", outcome="held_back")
        with pytest.raises(OriginDown):
            await session.ask(GET)
        assert await counted("anbar_origin_requests_total", origin="main", outcome="held_back") == before + 1
        session._breaker._closed_from = 0.0
        server.script[0] = Step(answer(200, b"x"))
        assert await session.document(GET) == b"x"
        assert await counted("anbar_origin_breaker_open", origin="main") == 0


async def test_a_streamed_upload_is_counted_once_its_answer_is_there():
    before = await counted("anbar_origin_requests_total", origin="main", outcome="ok")
    async with talking(answer()) as (_, session):
        upload = await session.upload(PUT)
        await upload.write(b"12345")
        assert await counted("anbar_origin_requests_total", origin="main", outcome="ok") == before
        (await session.answered(PUT, upload)).close()
        assert await counted("anbar_origin_requests_total", origin="main", outcome="ok") == before + 1
