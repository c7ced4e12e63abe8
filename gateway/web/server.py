"""The public listener: aiohttp's parser and connections, one handler, answers written as bytes.

aiohttp's low level is used: no application, router or middleware. What its parser refuses is answered in S3's XML too.
"""

import asyncio
import base64
import logging
import secrets
import time
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.errors import Code, S3Error
from gateway.web.answers import Answer, DateLine, error_answer, render_head, write_answer
from gateway.web.bodies import wants_continue
from gateway.web.call import Call, Services
from gateway.web.cors import cors_headers
from gateway.web.denials import note_denial
from gateway.web.dispatch import HANDLERS
from gateway.web.gate import Gate, new_request_id
from gateway.web.quota_headers import TOLD, quota_headers
from gateway.web.sts import is_sts, sts_error_answer

_log = logging.getLogger("anbar.server")
_MAX_LINE = 16 << 10
_MAX_FIELD = 8190
_MAX_HEADERS = 128
_DRAIN_BODY = 64 << 10
_LINGER_S = 5.0
_DENIED = 403
_BAD_TOKENS = (Code.ExpiredToken, Code.InvalidToken)


class Sent:
    """What aiohttp is told when an answer has been written: only whether the connection lives on."""

    __slots__ = ("keep_alive",)

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """It is written already."""

    async def write_eof(self) -> None:
        """It is written already."""


class _Refusal(Sent):
    """An answer to what could not be parsed; written when aiohttp is ready for it."""

    __slots__ = ("_bytes",)

    def __init__(self, data: bytes) -> None:
        super().__init__(keep_alive=False)
        self._bytes = data

    async def prepare(self, request: web.BaseRequest) -> None:
        if request.transport is not None:
            request.transport.write(self._bytes)


class Connection(RequestHandler):
    """A connection that gives up on heads that do not arrive, and refuses in XML."""

    __slots__ = ("_head_timer", "_s3")

    def __init__(self, server: "S3Server", **options: Any) -> None:
        super().__init__(server, **options)
        self._s3 = server
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(transport, asyncio.Transport) and transport.get_extra_info("sslcontext") is None:
            transport.set_write_buffer_limits(high=0)  # resume when all is out: then the kernel can send files

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._close = True  # nothing behind what could not be read is read, or kept
        waiting = not self._messages and not self._request_in_progress  # what came is less than a whole head
        if waiting and self._head_timer is None:
            self._head_timer = self._loop.call_later(self._s3.header_timeout_s, self._head_is_late)
        elif not waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().connection_lost(exc)

    def handle_error(  # type: ignore[override]
        self,
        _request: web.BaseRequest,
        _status: int = 500,
        exc: BaseException | None = None,
        _message: str | None = None,
    ) -> Sent:
        """Answer what the parser refused; its own words may hold the request, so they are neither sent nor logged."""
        return _Refusal(self._s3.render_refusal(exc))

    def is_idle(self) -> bool:
        """Does it wait for a request, and has the client got every answer?"""
        waiting = self._waiter is not None and not self._waiter.done()
        return waiting and (self.transport is None or self.transport.get_write_buffer_size() == 0)

    def hang_up(self) -> None:
        """Close an idle connection at once, also where TLS would wait for the client's goodbye."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def _process_keepalive(self) -> None:
        """After idling too long: close, and do not wait for a client that has not read its last answer either."""
        transport = self.transport
        super()._process_keepalive()
        if transport is not None and transport.is_closing() and transport.get_write_buffer_size():
            transport.abort()

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._waiter is not None and not self._waiter.done():
            self.force_close()


class S3Server(web.Server):
    """Makes connections, answers their requests, and drains them at the end."""

    def __init__(self, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        limits = services.settings.limits
        super().__init__(
            self.answer,  # type: ignore[arg-type]
            loop=loop,
            keepalive_timeout=limits.idle_s,
            access_log=None,
            auto_decompress=False,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_HEADERS,
            lingering_time=_LINGER_S,
        )
        self.header_timeout_s = limits.header_timeout_s
        self._gate = Gate(services)
        self._write_timeout_s = limits.write_timeout_s
        self._dates = DateLine()
        self._host_id = base64.b64encode(secrets.token_bytes(24)).decode("ascii")
        self._host_line = f"x-amz-id-2: {self._host_id}\r\n"
        self._tells_quotas = limits.quota_headers
        self._draining = False

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    async def answer(self, request: web.BaseRequest) -> Sent:
        """One request, from its head to the last byte of its answer."""
        request_id = new_request_id()
        call: Call | None = None
        try:
            try:
                call = self._gate.read(request, request_id)
                await self._gate.admit(call)
                answer = await HANDLERS[call.operation.name](call)
                if self._tells_quotas and call.operation.name in TOLD:
                    answer.headers += await quota_headers(call)
            except S3Error as error:
                answer = self._refused(request, error, request_id, call)
                if self._tells_quotas and error.code is Code.QuotaExceeded and call is not None:
                    answer.headers += await quota_headers(call)
            except (asyncio.CancelledError, ConnectionError):
                raise
            except Exception:  # noqa: BLE001  (a bug: the client learns nothing of it, the log all)
                _log.exception("request %s failed", request_id)
                answer = self._refused(request, S3Error(Code.InternalError), request_id, call)
            return await self._write(request, answer, request_id, call)
        except ConnectionError:
            self._abandon(request)
            raise
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001  (the head may be out: a polite end would be a lie)
            _log.exception("answer %s was broken off", request_id)
            self._abandon(request)
            raise ConnectionResetError from None

    async def drain(self, timeout_s: float) -> None:
        """Let the requests that have begun finish; then, or after the time is up, close every connection."""
        self._draining = True
        deadline = self._loop.time() + timeout_s
        while True:
            for connection in self.connections:
                if isinstance(connection, Connection) and connection.is_idle():
                    connection.hang_up()
            if not self.connections or self._loop.time() >= deadline:
                break
            await asyncio.sleep(0.02)
        await self.shutdown(1.0)

    def render_refusal(self, error: BaseException | None) -> bytes:
        """The bytes of an answer to a request that could not be parsed."""
        code = Code.RequestHeaderSectionTooLarge if isinstance(error, LineTooLong) else Code.BadRequest
        request_id = new_request_id()
        answer = error_answer(S3Error(code), "", request_id, self._host_id)
        return render_head(answer, self._common(request_id), close=True) + answer.body

    def _refused(self, request: web.BaseRequest, error: S3Error, request_id: str, call: Call | None) -> Answer:
        if call is not None and (error.code.status == _DENIED or error.code in _BAD_TOKENS):
            note_denial(call, error)
        if call is not None and is_sts(call):
            return sts_error_answer(error, request_id)
        resource = request._message.path.partition("?")[0]
        return error_answer(error, resource, request_id, self._host_id)

    async def _write(self, request: web.BaseRequest, answer: Answer, request_id: str, call: Call | None) -> Sent:
        method = request._message.method
        try:
            if call is not None and method != "OPTIONS":
                answer.headers += cors_headers(
                    call.rules.policies, call.store.buckets, call.address.bucket, method, call.headers.get("origin")
                )
            close = call is None or self._closes(
                request
            )  # what could not be read may be framed otherwise than it seems
            head = render_head(answer, self._common(request_id), close=close)
            await write_answer(
                request.protocol, head, answer, is_head=method == "HEAD", timeout_s=self._write_timeout_s
            )
        finally:
            if answer.slice is not None:
                answer.slice.reader.close()
        return Sent(keep_alive=not close)

    def _common(self, request_id: str) -> str:
        return f"{self._dates.at(int(time.time()))}x-amz-request-id: {request_id}\r\n{self._host_line}"

    def _closes(self, request: web.BaseRequest) -> bool:
        """Must the connection end with this answer? Also where much of a body is left that nobody will read."""
        message = request._message
        if self._draining or message.should_close or message.upgrade or message.version < (1, 1):
            return True
        if request._payload.is_eof():
            return False
        if wants_continue(request):
            request.protocol._lingering_time = 0.0  # the client waits: nothing of the body comes
            return True
        length = message.headers.get("Content-Length", "")
        return not (length.isascii() and length.isdigit() and int(length) <= _DRAIN_BODY)

    def _abandon(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is not None:
            transport.abort()
