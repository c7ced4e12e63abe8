"""The public listener: from a request to the bytes of its answer. What cannot be parsed is answered in S3's XML too."""

import asyncio
import base64
import logging
import secrets
import time

from aiohttp.http_exceptions import LineTooLong

from gateway.errors import Code, S3Error
from gateway.web.answers import Answer, DateLine, error_answer, render_head, write_answer
from gateway.web.ask import answer_nginx, asked_by_nginx, is_authorising
from gateway.web.call import Call, Services
from gateway.web.connection import Connection, Request
from gateway.web.cors import cors_headers
from gateway.web.denials import note_denial
from gateway.web.dispatch import HANDLERS
from gateway.web.gate import Gate, new_request_id
from gateway.web.quota_headers import TOLD, quota_headers
from gateway.web.sts import is_sts, sts_error_answer

_log = logging.getLogger("anbar.server")
_DRAIN_BODY = 64 << 10
_BREAK_OFF_S = 1.0
_DENIED = 403
_BAD_TOKENS = (Code.ExpiredToken, Code.InvalidToken)


class S3Server:
    """Makes connections, answers their requests, and drains them at the end."""

    def __init__(self, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self.connections: set[Connection] = set()
        self._loop = loop
        self.go_on_with(services)
        self._dates = DateLine()
        self._host_id = base64.b64encode(secrets.token_bytes(24)).decode("ascii")
        self._host_line = f"x-amz-id-2: {self._host_id}\r\n"
        self._draining = False

    def go_on_with(self, services: Services) -> None:
        """From the next request on these are what is served with."""
        limits = services.settings.limits
        self.header_timeout_s = limits.header_timeout_s
        self.idle_s = limits.idle_s
        self._gate = Gate(services)
        self._write_timeout_s = limits.write_timeout_s
        self._tells_quotas = limits.quota_headers

    def __call__(self) -> Connection:
        return Connection(self, self._loop)

    def for_nginx(self) -> Connection:
        """A connection to the listener that is nginx's alone."""
        return Connection(self, self._loop, is_nginx=True)

    async def answer(self, request: Request) -> bool:
        """One request, from its head to the last byte of its answer; does the connection live on?"""
        request_id = new_request_id()
        call: Call | None = None
        try:
            try:
                call = self._gate.read(request, request_id)
                await self._gate.admit(call)
                asked = asked_by_nginx(call)
                answer = await (HANDLERS[call.operation.name](call) if asked is None else answer_nginx(call, asked))
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
            for connection in tuple(self.connections):
                if connection.is_idle:
                    connection.hang_up()
            if not self.connections or self._loop.time() >= deadline:
                break
            await asyncio.sleep(0.02)
        await asyncio.gather(*(connection.shut_down(_BREAK_OFF_S) for connection in tuple(self.connections)))

    def render_refusal(self, error: BaseException | None) -> bytes:
        """The bytes of an answer to a request that could not be parsed."""
        code = Code.RequestHeaderSectionTooLarge if isinstance(error, LineTooLong) else Code.BadRequest
        request_id = new_request_id()
        answer = error_answer(S3Error(code), "", request_id, self._host_id)
        return render_head(answer, self._common(request_id), close=True) + answer.body

    def _refused(self, request: Request, error: S3Error, request_id: str, call: Call | None) -> Answer:
        if call is not None and (error.code.status == _DENIED or error.code in _BAD_TOKENS):
            note_denial(call, error)
        if call is not None and is_sts(call):
            return sts_error_answer(error, request_id)
        resource = request.target.partition("?")[0]
        answer = error_answer(error, resource, request_id, self._host_id)
        if call is not None and is_authorising(call) and answer.status < 500:
            answer.status = _DENIED  # nginx knows no other no; it asks again for its words
        return answer

    async def _write(self, request: Request, answer: Answer, request_id: str, call: Call | None) -> bool:
        method = request.method
        try:
            if call is not None and method != "OPTIONS":
                answer.headers += cors_headers(
                    call.rules.policies, call.store.buckets, call.address.bucket, method, call.headers.get("origin")
                )
            close = call is None or self._closes(request)  # what was not understood may be framed otherwise, too
            head = render_head(answer, self._common(request_id), close=close)
            await write_answer(
                request.connection, head, answer, is_head=method == "HEAD", timeout_s=self._write_timeout_s
            )
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

    def _abandon(self, request: Request) -> None:
        transport = request.transport
        if transport is not None:
            transport.abort()
