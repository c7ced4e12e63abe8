"""Talking to one S3 endpoint: signing, sending, trying again where that is safe, giving up in time.

    ask()        a whole request and its answer: tried again as long as a repetition does no harm
    upload()     a request whose body is streamed: sent once

Only the first attempt is on the hot path; whatever goes wrong is looked at afterwards.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from gateway.origin.credentials import CredentialsSource, OriginCredentials
from gateway.origin.errors import (
    AllBusy,
    BadResponse,
    BodyNotFound,
    ConnectionBroken,
    NotReached,
    OriginDown,
    OriginError,
    OutcomeUnknown,
    TooSlow,
)
from gateway.origin.http_client import Deadlines, EarlyAnswer, Endpoint, HttpClient, Response, Upload
from gateway.origin.providers import Upstream
from gateway.origin.resilience import Breaker, RetryBudget, pause_s
from gateway.origin.s3.documents import parse_error
from gateway.origin.s3.failures import BadCredentials, Busy, ClockSkewed, Failed, MayNot, Refused, failure_of
from gateway.origin.s3.requests import Request, RequestSigner
from gateway.origin.tally import OriginTally
from gateway.stream_memory import StreamMemory

_log = logging.getLogger("anbar.origin")
MOST_ERROR_BYTES = 64 << 10
MOST_SKEW_S = 15 * 60
"""Seconds that S3 lets two clocks differ."""

_MOST_DOCUMENT_BYTES = 8 << 20
_FINE = frozenset({200, 204, 206})
_END_OF_TIME_S = 1 << 32  # in 2106: what says more is no clock


class Session:
    """Requests to one endpoint. Used from one event loop."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        credentials: CredentialsSource,
        *,
        deadlines: Deadlines,
        whole_s: float,
        retries: int,
        most_connections: int,
        tls: ssl.SSLContext | None,
        clock: Callable[[], float] = time.time,
        memory: StreamMemory | None = None,
    ) -> None:
        """`tls`: what the endpoint's certificate is checked with; None: plain HTTP. `memory`: as HttpClient's."""
        self.name = name
        self._upstream = upstream
        self._credentials = credentials
        self._deadlines = deadlines
        self._whole_s = whole_s
        self._retries = retries
        self._most_connections = most_connections
        self._tls = tls
        self._clock = clock
        self._memory = memory or StreamMemory()
        self._skew_s = 0.0
        self._virtual = upstream.addressing == "virtual"
        self._signer = RequestSigner(upstream.endpoint.authority, upstream.region, virtual=self._virtual)
        self._clients: dict[str, HttpClient] = {}
        self._breaker = Breaker(time.monotonic)
        self._tally = OriginTally(name, self._breaker)
        self._budget = RetryBudget()

    async def ask(
        self,
        request: Request,
        body: bytes | bytearray | memoryview = b"",
        *,
        fine: frozenset[int] = _FINE,
        repeatable: bool = True,
        slow: bool = False,
    ) -> Response:
        """The answer to a whole request, whose status is one of `fine`; its body is still to be read, or closed.

        `repeatable`: a repetition does no harm, also where the first one took effect. `slow`: the origin may take
        `whole_s` to begin its answer.
        Raises OriginError: OutcomeUnknown where nobody knows whether it took effect, OriginDown where it did not.
        """
        self._budget.earn()
        attempt = 1
        unknown: OutcomeUnknown | None = None
        while True:
            credentials = await self._credentials.current()
            try:
                return await self._ask_once(request, body, credentials, fine, slow=slow)
            except OriginError as error:
                known = self._known(error, request)
                if isinstance(known, OutcomeUnknown):
                    unknown = known
                if not await self._may_repeat(known, attempt, credentials, repeatable=repeatable):
                    if unknown is not None and unknown is not known and isinstance(known, OriginDown):
                        raise unknown from error  # an earlier attempt may have taken effect, or still will
                    raise known from known.__cause__
            attempt += 1

    async def document(
        self,
        request: Request,
        body: bytes = b"",
        *,
        most: int = _MOST_DOCUMENT_BYTES,
        repeatable: bool = True,
        slow: bool = False,
    ) -> bytes:
        """The whole body of an answer that is a document; one that is an error is raised, also under status 200."""
        return (await self._document(request, body, most, repeatable=repeatable, slow=slow))[0]

    async def dated_document(self, request: Request) -> tuple[bytes, float]:
        """A document, and by how many seconds the origin's clock is ahead of ours, as far as its answer shows."""
        answer, response = await self._document(request)
        ahead_s = self._skew_to(response.headers.get("date"))
        return answer, self._skew_s if ahead_s is None else ahead_s

    async def done(
        self, request: Request, body: bytes = b"", *, fine: frozenset[int] = _FINE, repeatable: bool = True
    ) -> None:
        """The same where the answer is only that it is done."""
        try:
            async with asyncio.timeout(self._whole_s):
                response = await self.ask(request, body, fine=fine, repeatable=repeatable)
                await self._read(request, response, MOST_ERROR_BYTES)
        except TimeoutError as error:
            raise OutcomeUnknown(f"{self.name}: {_what(request)}: not done in {self._whole_s:g} seconds") from error

    async def remove(self, request: Request, *, repeatable: bool = True) -> None:
        """Delete what may not be there; a bucket that is not there is no proof that its bodies are gone."""
        try:
            await self.done(request, repeatable=repeatable)
        except BodyNotFound:
            pass
        except Refused as error:
            if error.code != "NoSuchUpload":
                raise

    async def upload(self, request: Request) -> Upload:
        """Begin a request whose body follows; raises OriginError."""
        self._budget.earn()
        attempt = 1
        while True:
            credentials = await self._credentials.current()
            try:
                client, head = self._prepare(request, credentials)
                return await client.upload(head, request.length)
            except NotReached as error:
                known = self._known(error, request)
                if not await self._may_repeat(known, attempt, credentials, repeatable=True):
                    raise known from known.__cause__
            attempt += 1

    async def answered(self, request: Request, upload: Upload) -> Response:
        """The answer to an upload whose body is written; raises OriginError as ask() does."""
        began_s = time.perf_counter()
        try:
            response = await upload.finish()
            self._tally.answered(request.method, response.status, time.perf_counter() - began_s)
            return await self._accepted(request, response, _FINE)
        except OriginError as error:
            known = await self._unrepeatable(self._known(error, request))
            raise known from (known.__cause__ if known is error else error)

    async def refused(self, request: Request, error: OriginError) -> OriginError:
        """What stopped an upload on its way, in our words: the origin has not got all of it, so nothing was stored."""
        if isinstance(error, EarlyAnswer):
            self._tally.answered(request.method, error.response.status)
            try:
                await self._accepted(request, error.response, frozenset())
            except OriginError as found:
                known = await self._unrepeatable(found)
                return OriginDown(str(known)) if isinstance(known, OutcomeUnknown) else known
        known = self._known(error, request)
        return OriginDown(str(known)) if isinstance(known, OutcomeUnknown) else known

    async def _unrepeatable(self, error: OriginError) -> OriginError:
        """An error of a request whose body is gone: where the next one may have more luck, it says so."""
        if isinstance(error, BadCredentials) and await self._credentials.refresh():
            return OriginDown(f"{error}; there are other credentials now")
        return OriginDown(str(error)) if isinstance(error, ClockSkewed) else error

    async def close(self) -> None:
        for client in list(self._clients.values()):
            await client.close()
        self._tally.end()

    def _client(self, host: str) -> HttpClient:
        client = self._clients.get(host)
        if client is None:
            endpoint = self._upstream.endpoint
            name = host.partition(":")[0] if self._virtual else endpoint.host
            client = self._clients[host] = HttpClient(
                Endpoint(name, endpoint.port, self._tls),
                self._deadlines,
                most_connections=self._most_connections,
                memory=self._memory,
            )
        return client

    def _prepare(self, request: Request, credentials: OriginCredentials) -> tuple[HttpClient, bytes]:
        head = self._signer.render(request, credentials, int(self._clock() + self._skew_s))
        self._check_breaker()  # last: who is let through may be the trial
        return self._client(self._signer.host_of(request.place)), head

    async def _ask_once(
        self,
        request: Request,
        body: bytes | bytearray | memoryview,
        credentials: OriginCredentials,
        fine: frozenset[int],
        *,
        slow: bool,
    ) -> Response:
        client, head = self._prepare(request, credentials)
        first_byte_s = self._whole_s if slow else None
        began_s = time.perf_counter()
        response = await client.ask(head, body, bodyless=request.is_head, first_byte_s=first_byte_s)
        self._tally.answered(request.method, response.status, time.perf_counter() - began_s)
        return await self._accepted(request, response, fine)

    async def _accepted(self, request: Request, response: Response, fine: frozenset[int]) -> Response:
        """The response if its status is fine; raises the error that it is otherwise."""
        status = response.status
        if status in fine:
            if self._breaker.succeeded():
                _log.warning("origin %s answers again", self.name)
            return response
        error = await self._failure_of(request, response)
        if isinstance(error, Busy | Failed):
            self._breaker_failed(error)
        elif self._breaker.succeeded():
            _log.warning("origin %s answers again", self.name)
        if isinstance(error, ClockSkewed):
            self._note_skew(response.headers.get("date"))
        raise error

    async def _failure_of(self, request: Request, response: Response) -> OriginError:
        """The error that an answer is; where what it says cannot be read, its status says enough."""
        try:
            text = await response.read_all(MOST_ERROR_BYTES)
        except OriginError:
            text = b""
        finally:
            response.close()
        found = parse_error(text) if text else None
        code, message = (found.code, found.message) if found else ("", "")
        if response.status == 403 and not code:  # HEAD has no document that says why
            skew_s = self._skew_to(response.headers.get("date"))
            if skew_s is not None and abs(skew_s - self._skew_s) > MOST_SKEW_S:
                code = "RequestTimeTooSkewed"
        return failure_of(response.status, code, message, self._told(request))

    async def _document(
        self,
        request: Request,
        body: bytes = b"",
        most: int = _MOST_DOCUMENT_BYTES,
        *,
        repeatable: bool = True,
        slow: bool = False,
    ) -> tuple[bytes, Response]:
        try:
            async with asyncio.timeout(self._whole_s):
                response = await self.ask(request, body, repeatable=repeatable, slow=slow)
                answer = await self._read(request, response, most)
        except TimeoutError as error:
            raise OutcomeUnknown(f"{self.name}: {_what(request)}: not done in {self._whole_s:g} seconds") from error
        found = parse_error(answer) if answer else None
        if found is not None:
            raise failure_of(response.status, found.code, found.message, self._told(request))
        return answer, response

    async def _read(self, request: Request, response: Response, most: int) -> bytes:
        """The whole body of an answer; one that breaks off leaves open what was done."""
        try:
            return await response.read_all(most)
        except OriginError as error:
            raise self._known(error, request) from error
        finally:
            response.close()

    async def _may_repeat(self, error: OriginError, attempt: int, used: OriginCredentials, *, repeatable: bool) -> bool:
        """Wait for the moment of another attempt; False: there is none."""
        if isinstance(error, BadCredentials) or (isinstance(error, MayNot) and not error.code):  # HEAD does not say
            return attempt == 1 and await self._credentials.refresh(used)
        if isinstance(error, ClockSkewed):
            return attempt == 1
        if not isinstance(error, OriginDown) or (isinstance(error, OutcomeUnknown) and not repeatable):
            return False
        if attempt > self._retries or not self._breaker.lets_through_now or not self._budget.spend():
            return False
        cause = error.__cause__
        if not (isinstance(cause, ConnectionBroken) and cause.reused and attempt == 1):
            await asyncio.sleep(pause_s(attempt))
        return True

    def _known(self, error: OriginError, request: Request) -> OriginError:
        """A failure of the connection as what it means: nothing was sent, or nobody knows."""
        if isinstance(error, NotReached):
            self._tally.failed(error)
            if not isinstance(error, AllBusy):
                self._breaker_failed(error)
            known: OriginError = OriginDown(f"{self.name}: {error}")
        elif isinstance(error, ConnectionBroken | TooSlow | BadResponse):
            self._tally.failed(error)
            if not getattr(error, "reused", False):
                self._breaker_failed(error)
            known = OutcomeUnknown(f"{self.name}: {_what(request)}: {error}")
        else:
            return error
        known.__cause__ = error
        return known

    def _check_breaker(self) -> None:
        if not self._breaker.lets_through():
            self._tally.held_back()
            raise OriginDown(
                f"{self.name}: it does not answer; it is asked again in {self._breaker.retry_after_s:.1f} seconds"
            )

    def _breaker_failed(self, error: OriginError) -> None:
        if self._breaker.failed():
            _log.error("origin %s does not answer, requests to it are refused for a while: %s", self.name, error)

    def _note_skew(self, date: str | None) -> None:
        """Sign by the origin's clock from now on."""
        skew_s = self._skew_to(date)
        if skew_s is not None:
            self._skew_s = skew_s
            _log.error("the clock of origin %s is %.0f seconds from ours: is ours right?", self.name, skew_s)

    def _skew_to(self, date: str | None) -> float | None:
        """Seconds from our clock to the one that an answer's Date shows; None: it shows none."""
        try:
            told_s = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
        return told_s - self._clock() if 0 <= told_s < _END_OF_TIME_S else None

    def _told(self, request: Request) -> str:
        return f"{self.name}: {_what(request)}"


def _what(request: Request) -> str:
    """A request in words for the operator: without query values, and without a signature anyway."""
    return f"{request.method} {request.place.bucket}/{request.place.path}"
