"""The public listener: from a request to the bytes of its answer. What cannot be parsed is answered in S3's XML too."""

import asyncio
import base64
import logging
import secrets
import time
from collections import Counter
from time import perf_counter

from aiohttp.http_exceptions import LineTooLong

from gateway.errors import Code, S3Error
from gateway.traces import current as current_traces
from gateway.web.access_log import AccessLog
from gateway.web.answers import Answer, DateLine, error_answer, render_head, write_answer
from gateway.web.ask import answer_nginx, asked_by_nginx, is_authorising
from gateway.web.call import Services
from gateway.web.client_address import is_trusted
from gateway.web.connection import Connection, Request
from gateway.web.cors import cors_headers
from gateway.web.denials import note_denial
from gateway.web.dispatch import HANDLERS
from gateway.web.exchange import Exchange
from gateway.web.gate import Gate, new_request_id
from gateway.web.quota_headers import TOLD, quota_headers
from gateway.web.spans import begin_span, end_span
from gateway.web.sts import is_sts, sts_error_answer
from gateway.web.tally import RequestTally

_log = logging.getLogger("anbar.server")
_DRAIN_BODY = 64 << 10
_BREAK_OFF_S = 1.0
_DENIED = 403
_BAD_TOKENS = (Code.ExpiredToken, Code.InvalidToken)


class S3Server:
    """Makes connections, answers their requests, and drains them at the end."""

    def __init__(
        self, services: Services, loop: asyncio.AbstractEventLoop, access_log: AccessLog | None = None
    ) -> None:
        self.connections: set[Connection] = set()
        self.open_connections = 0
        self._of_address: Counter[str] = Counter()
        self._loop = loop
        self.go_on_with(services)
        self._dates = DateLine()
        self._host_id = base64.b64encode(secrets.token_bytes(24)).decode("ascii")
        self._host_line = f"x-amz-id-2: {self._host_id}\r\n"
        self._draining = False
        self.tally = RequestTally(self.connections)
        self._access_log = access_log
        self._traces = current_traces()

    def go_on_with(self, services: Services) -> None:
        """From the next request on these are what is served with."""
        limits = services.settings.limits
        self.header_timeout_s = limits.header_timeout_s
        self.idle_s = limits.idle_s
        self._gate = Gate(services)
        self._write_timeout_s = limits.write_timeout_s
        self._tells_quotas = limits.quota_headers
        workers = services.settings.server.worker_count
        self._most_connections = max(limits.max_connections // workers, 1)
        of_address = limits.connections_per_address
        self._most_of_address = None if of_address is None else max(of_address // workers, 1)
        self._trusted_proxies = services.settings.server.trusted_proxies

    def __call__(self) -> Connection:
        self.tally.accepted.number += 1
        return Connection(self, self._loop)

    def for_nginx(self) -> Connection:
        """A connection to the listener that is nginx's alone."""
        return Connection(self, self._loop, is_nginx=True)

    async def answer(self, request: Request) -> bool:
        """One request, from its head to the last byte of its answer; does the connection live on?"""
        exchange, traces = Exchange(request, new_request_id()), self._traces
        span = begin_span(traces, request, self._trusted_proxies) if traces is not None else None
        self.tally.in_flight += 1
        try:
            return await self._answer(exchange)
        finally:
            self.tally.in_flight -= 1
            ended_s = perf_counter()
            self.tally.count(exchange, ended_s)
            if self._access_log is not None:
                self._access_log.note(exchange, ended_s)
            if traces is not None and span is not None:
                end_span(traces, span, exchange)

    async def _answer(self, exchange: Exchange) -> bool:
        request, request_id = exchange.request, exchange.request_id
        try:
            try:
                exchange.call = call = self._gate.read(request, request_id)
                await self._gate.admit(call)
                asked = asked_by_nginx(call)
                answer = await (HANDLERS[call.operation.name](call) if asked is None else answer_nginx(call, asked))
                if self._tells_quotas and call.operation.name in TOLD:
                    answer.headers += await quota_headers(call)
            except S3Error as error:
                answer = self._refused(exchange, error)
                if self._tells_quotas and error.code is Code.QuotaExceeded and exchange.call is not None:
                    answer.headers += await quota_headers(exchange.call)
            except (asyncio.CancelledError, ConnectionError):
                raise
            except Exception:  # noqa: BLE001  (a bug: the client learns nothing of it, the log all)
                _log.exception("request %s failed", request_id)
                answer = self._refused(exchange, S3Error(Code.InternalError))
            exchange.answer = answer
            if not request.body.is_eof():
                await self._spare_the_proxy(request)
            return await self._write(exchange, answer)
        except ConnectionError:
            self._abandon(request)
            raise
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001  (the head may be out: a polite end would be a lie)
            _log.exception("answer %s was broken off", request_id)
            self._abandon(request)
            raise ConnectionResetError from None

    def opened(self, connection: Connection) -> bool:
        """Take a connection among those that are answered; False: they are too many, or those of its address."""
        if not self._take_place(connection.peer):
            return False
        self.connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self.left(connection.peer)

    def arrived(self, peer: str) -> bool:
        """Count a connection whose handshake begins; False: they are too many, or those of its address."""
        self.tally.accepted.number += 1
        return self._take_place(peer)

    def left(self, peer: str) -> None:
        """One fewer from this address."""
        self.open_connections -= 1
        self._of_address[peer] -= 1
        if not self._of_address[peer]:
            del self._of_address[peer]

    def _take_place(self, peer: str) -> bool:
        most = self._most_of_address
        if self.open_connections >= self._most_connections:
            return False
        if most is not None and self._of_address[peer] >= most and not is_trusted(peer, self._trusted_proxies):
            return False
        self.open_connections += 1
        self._of_address[peer] += 1
        return True

    async def drain(self, timeout_s: float) -> None:
        """Let the requests that have begun finish; then, or after the time is up, close every connection."""
        self._draining = True
        deadline = self._loop.time() + timeout_s
        while True:
            for connection in tuple(self.connections):
                if connection.is_idle:
                    connection.hang_up()
            if not self.connections or self._loop.time() >= deadline:
                break
            await asyncio.sleep(0.02)
        await asyncio.gather(*(connection.shut_down(_BREAK_OFF_S) for connection in tuple(self.connections)))
        self.tally.end()

    def render_refusal(self, error: Exception | None) -> bytes:
        """All bytes of the answer to what could not be parsed; None: to a connection that is too many."""
        code = Code.SlowDown if error is None else Code.BadRequest
        if isinstance(error, LineTooLong):
            code = Code.RequestHeaderSectionTooLarge
        request_id = new_request_id()
        answer = error_answer(S3Error(code), "", request_id, self._host_id)
        self.tally.count_unreadable(answer.status)
        return render_head(answer, self._common(request_id), close=True) + answer.body

    def _refused(self, exchange: Exchange, error: S3Error) -> Answer:
        call, exchange.error = exchange.call, error
        if call is not None and (error.code.status == _DENIED or error.code in _BAD_TOKENS):
            note_denial(call, error)
        if call is not None and is_sts(call):
            return sts_error_answer(error, exchange.request_id)
        resource = exchange.request.target.partition("?")[0]
        answer = error_answer(error, resource, exchange.request_id, self._host_id)
        if call is not None and is_authorising(call) and answer.status < 500:
            answer.status = _DENIED  # nginx knows no other no; it asks again for its words
        return answer

    async def _write(self, exchange: Exchange, answer: Answer) -> bool:
        request, call = exchange.request, exchange.call
        method = request.method
        try:
            if call is not None and method != "OPTIONS":
                answer.headers += cors_headers(
                    call.rules.policies, call.store.buckets, call.address.bucket, method, call.headers.get("origin")
                )
            close = call is None or self._closes(request)  # what was not understood may be framed otherwise, too
            head = render_head(answer, self._common(exchange.request_id), close=close)
            exchange.head_s = perf_counter()
            await write_answer(
                request.connection, head, answer, is_head=method == "HEAD", timeout_s=self._write_timeout_s
            )
            exchange.is_whole = True
        finally:
            if answer.slice is not None:
                answer.slice.reader.close()
        return not close

    def _common(self, request_id: str) -> str:
        return f"{self._dates.at(int(time.time()))}x-amz-request-id: {request_id}\r\n{self._host_line}"

    def _closes(self, request: Request) -> bool:
        """Must the connection end with this answer? Also where much of a body is left that nobody will read."""
        if self._draining or not request.keeps_alive:
            return True
        if request.body.is_eof():
            return False
        if request.awaits_continue:  # nothing of the body comes
            return True
        length = next((value for name, value in request.fields if name.lower() == b"content-length"), b"")
        return not (length.isdigit() and int(length) <= _DRAIN_BODY)

    async def _spare_the_proxy(self, request: Request) -> None:
        """Read what is left of a small body before its refusal, where nginx passes it on.

        nginx closes a client's connection if it has the answer before the body, but has told the client otherwise: the
        client's next request would meet a connection that is gone.
        """
        if not self._closes(request) and is_trusted(request.connection.peer, self._trusted_proxies):
            await request.connection.discard(request)

    def _abandon(self, request: Request) -> None:
        transport = request.transport
        if transport is not None:
            transport.abort()
