"""A client's connection: heads and bodies by aiohttp's parser, one request answered after the other.

It is written for this server alone, since aiohttp's own handler costs as much as everything else that a small answer
needs. A connection that waits has neither a task nor a buffer of its own: all of them read into one, which the parser
has emptied before the next one is asked.

What the parser and its bodies call here (`pause_reading`, `resume_reading`, `connected`) is aiohttp's BaseProtocol.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable
from typing import Any, Protocol, cast

from aiohttp import StreamReader
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

_log = logging.getLogger("anbar.server")
_MAX_LINE = 16 << 10
_MAX_FIELD = 8190
_MAX_FIELDS = 128
# Bytes that are received at once, which may lie for long: much where there are few connections, since each turn of a
# body costs as much as receiving another 64 KiB of it, and little where there are many.
_FEW, _MANY = 64, 256
_OF_FEW, _OF_SOME, _OF_MANY = 512 << 10, 64 << 10, 32 << 10
_BODY_LOW_WATER = 8 << 10  # so that reading pauses at twice as much, and what waits is what one read has brought
_PIPELINED = 16
_LINGER_S = 5.0
_BUFFER = memoryview(bytearray(_OF_FEW))
_BUFFER_OF_SOME = _BUFFER[:_OF_SOME]
_BUFFER_OF_MANY = _BUFFER[:_OF_MANY]
_NEVER = float("inf")


class BodyError(Exception):
    """A body that broke off or whose framing is wrong."""


class Request:
    """A request as it came: its head, and the body that may still be arriving. `version` is (major, minor)."""

    __slots__ = ("body", "connection", "continued", "fields", "keeps_alive", "method", "target", "version")

    def __init__(self, connection: "Connection", message: RawRequestMessage, body: StreamReader) -> None:
        self.connection = connection
        self.method: str = message.method
        self.target: str = message.path
        self.version: tuple[int, int] = message.version
        self.fields: tuple[tuple[bytes, bytes], ...] = message.raw_headers
        self.keeps_alive: bool = not (message.should_close or message.upgrade) and message.version >= (1, 1)
        self.body = body
        self.continued = False

    @property
    def transport(self) -> asyncio.Transport | None:
        """None once the client is gone."""
        return self.connection.transport

    @property
    def awaits_continue(self) -> bool:
        """Is the client waiting for 100 Continue before it sends the body?"""
        if self.continued or self.version < (1, 1) or self.body.is_eof():
            return False
        return any(name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in self.fields)


class Answering(Protocol):
    """What a connection needs of its server. Times in seconds."""

    header_timeout_s: float
    idle_s: float

    @property
    def open_connections(self) -> int: ...

    def answer(self, request: Request) -> Awaitable[bool]:
        """Answer a request; does the connection live on? Raises ConnectionError where the client is gone."""
        ...

    def opened(self, connection: "Connection") -> bool:
        """Take it among the connections; False: there is no room for one more."""
        ...

    def closed(self, connection: "Connection") -> None:
        """It is gone."""
        ...

    def render_refusal(self, error: Exception | None) -> bytes:
        """All bytes of the answer to what could not be parsed; None: to a connection that is too many."""
        ...


class Connection(asyncio.BufferedProtocol):
    """One connection; its server has it as long as it is open.

    `peer` is the address at its other end, `tls` the version of TLS, or "". `is_nginx`: it came to the listener that is
    nginx's alone.
    """

    __slots__ = (
        "_answering",
        "_deadline_s",
        "_deaf",
        "_drained",
        "_head_has_begun",
        "_last_body",
        "_loop",
        "_parser",
        "_queue",
        "_queue_is_full",
        "_reading_paused",
        "_request",
        "_server",
        "_timer",
        "_writing_paused",
        "is_nginx",
        "peer",
        "tls",
        "transport",
    )

    def __init__(self, server: Answering, loop: asyncio.AbstractEventLoop, *, is_nginx: bool = False) -> None:
        self.is_nginx = is_nginx
        self._server = server
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.peer = self.tls = ""
        self._parser = HttpRequestParser(
            cast("Any", self),
            loop,
            _BODY_LOW_WATER,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
            payload_exception=BodyError,
            auto_decompress=False,
            max_msg_queue_size=_PIPELINED,
        )
        self._queue: deque[tuple[RawRequestMessage, StreamReader] | bytes] = deque()  # bytes: a refusal, the last one
        self._queue_is_full = False
        self._deaf = False  # nothing that comes is read any more
        self._last_body: StreamReader | None = None  # of the head that was parsed last
        self._request: Request | None = None
        self._answering: asyncio.Task[None] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._head_has_begun = False
        self._deadline_s = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return self.transport is not None

    @property
    def is_idle(self) -> bool:
        """Does it wait for a request, and has the client got every answer?"""
        return self._answering is None and (self.transport is None or self.transport.get_write_buffer_size() == 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)
        peer: socket.socket | None = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address, tls = transport.get_extra_info("peername"), transport.get_extra_info("ssl_object")
        self.peer = address[0] if address else ""
        if tls is not None:
            self.tls = tls.version() or ""
        else:
            transport.set_write_buffer_limits(high=0)  # resume when all is out: then the kernel can send files
        self._close_after(self._server.idle_s)
        if not self._server.opened(self):
            self._deaf = True
            transport.write(self._server.render_refusal(None))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        gone = ConnectionResetError("the client is gone")
        self.transport = None
        self._deaf = True
        self._queue.clear()
        self._server.closed(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._request is not None:
            self._request.body.set_exception(gone)
        self._wake(gone)

    def get_buffer(self, sizehint: int) -> memoryview:
        connections = self._server.open_connections
        return _BUFFER if connections <= _FEW else _BUFFER_OF_SOME if connections <= _MANY else _BUFFER_OF_MANY

    def buffer_updated(self, nbytes: int) -> None:
        self._feed(bytes(_BUFFER[:nbytes]))

    def pause_reading(self) -> None:
        """The body that arrives is not taken as fast."""
        self._reading_paused = True
        self._parser.pause_reading()
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        if not self._reading_paused:
            return
        self._reading_paused = False
        if resume_parser:
            self._feed(b"")  # what it has put aside
        self._resume_transport()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake(None)

    async def drained(self) -> None:
        """Wait until the client has taken what was written; raises ConnectionError where it is gone."""
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        if self._writing_paused:
            self._drained = self._loop.create_future()
            await self._drained

    def hang_up(self) -> None:
        """Close at once, also where TLS would wait for the client's goodbye."""
        self._deaf = True
        if self.transport is not None:
            self.transport.abort()

    async def shut_down(self, timeout_s: float) -> None:
        """Break off whatever is being answered, and close."""
        task = self._answering
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=timeout_s)
        self.hang_up()

    def _feed(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._deaf = True  # nothing behind what could not be read is read, or kept
            self._fail(error)
            return
        if messages:
            self._deaf = upgraded
            self._queue.extend(messages)
            self._last_body = messages[-1][1]
            self._begin()
        elif self._answering is None and data:  # less than a whole head
            self._await_head()

    def _fail(self, error: Exception) -> None:
        """Tell what could not be parsed to who reads the body that it is in, or refuse what should have been a head."""
        if self._last_body is not None and not self._last_body.is_eof():
            self._last_body.set_exception(BodyError("its framing is wrong"))
            return
        self._queue.append(self._server.render_refusal(error))
        self._begin()

    def _begin(self) -> None:
        if len(self._queue) >= _PIPELINED and not self._queue_is_full:
            self._queue_is_full = True
            if self.transport is not None:
                self.transport.pause_reading()
        if self._answering is None:
            self._deadline_s, self._head_has_begun = _NEVER, False
            self._answering = self._loop.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        """Answer what has come, in its order."""
        lives_on = False
        try:
            while self._queue:
                item = self._queue.popleft()
                if isinstance(item, bytes):
                    self._refuse(item)
                    break
                self._parser.message_consumed()
                if self._queue_is_full:
                    self._refill()
                self._request = request = Request(self, *item)
                lives_on = await self._server.answer(request)
                if not request.body.is_eof():
                    lives_on = await self.discard(request) and lives_on
                if not lives_on:
                    break
        except ConnectionError:
            lives_on = False
        except Exception:  # noqa: BLE001  (a bug: it ends this connection, and no other)
            lives_on = False
            _log.exception("a connection failed")
        finally:
            self._request = self._answering = None
            self._end(lives_on=lives_on)

    def _refuse(self, answer: bytes) -> None:
        if self.transport is not None:
            self.transport.write(answer)

    def _end(self, *, lives_on: bool) -> None:
        """All that has come is answered, or no more of it will be."""
        if self.transport is None:
            return
        self._close_after(self._server.idle_s)  # also a client that never takes its last answer
        if not lives_on or self._deaf:
            self._deaf = True
            self._queue.clear()
            self.transport.close()

    async def discard(self, request: Request) -> bool:
        """Read what is left of a body that nobody wants, so that the client gets its answer; was that all of it?"""
        if request.awaits_continue:  # nothing of it will come
            return False
        try:
            async with asyncio.timeout(_LINGER_S):
                while not request.body.is_eof():
                    await request.body.readany()
        except (TimeoutError, BodyError):
            return False
        return True

    def _refill(self) -> None:
        """Parse what waits behind the requests that wait."""
        if len(self._queue) > _PIPELINED // 2:
            return
        self._queue_is_full = False
        self._feed(b"")
        self._resume_transport()

    def _resume_transport(self) -> None:
        if self.transport is not None and not (self._reading_paused or self._queue_is_full):
            self.transport.resume_reading()

    def _wake(self, error: Exception | None) -> None:
        waiter, self._drained = self._drained, None
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    def _close_after(self, seconds: float) -> None:
        """Close unless a request begins until then; a timer that runs already finds out by itself that it was early."""
        self._deadline_s = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline_s, self._time_is_up)

    def _await_head(self) -> None:
        """The rest of a head may take only so long from its first byte on."""
        if self._head_has_begun or self._timer is None:
            return
        self._head_has_begun = True
        self._timer.cancel()
        self._timer = None
        self._close_after(self._server.header_timeout_s)

    def _time_is_up(self) -> None:
        self._timer = None
        if self.transport is None or self._deadline_s == _NEVER:
            return
        if self._loop.time() < self._deadline_s:
            self._timer = self._loop.call_at(self._deadline_s, self._time_is_up)
        elif self.transport.get_write_buffer_size():  # it has not taken its last answer either
            self.hang_up()
        else:
            self._deaf = True
            self.transport.close()
