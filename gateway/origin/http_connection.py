"""One connection to an origin, and the response that is being received on it.

A connection serves one request at a time. The moment the last byte of a response has come, the connection is given
back; what the response holds in memory is then read from there.

Deadlines: somebody waits for the other side at most once at a time, so a connection has one timer. It is not moved for
every wait: when it fires it looks how much of the current wait is left, and sleeps on. A request costs no timer.
"""

import asyncio
import select
import socket
from collections import deque
from typing import Final, Protocol, cast

from gateway.origin.errors import BadResponse, ConnectionBroken, GaveWay, OriginError, Phase, TooSlow
from gateway.origin.http_response import ResponseReader
from gateway.stream_memory import LARGE, SMALL, StreamMemory

MOST_HELD: Final = 32 << 10
"""Bytes of a response that are held for its reader before the origin is made to wait; one piece more may come."""

RESUME_BELOW: Final = 16 << 10
MOST_UNSENT: Final = 32 << 10
"""Bytes of a request that wait in our process before its writer is made to wait: the kernel has a buffer of its own."""

WRITE_BELOW: Final = 16 << 10
_PIECE = 64  # what a piece costs beside its bytes: a body in pieces of one byte is bounded too


class Pool(Protocol):
    """What a connection needs of the pool it belongs to."""

    def give_back(self, connection: "Connection") -> None:
        """It is whole, quiet and free for the next request."""
        ...

    def spent(self) -> None:
        """A connection that was lent is gone."""
        ...

    def unfit(self, connection: "Connection") -> None:
        """If it waits for its next request, it waits in vain."""
        ...

    def lost(self, connection: "Connection") -> None:
        """It is closed."""
        ...


class Connection(asyncio.BufferedProtocol):
    """A connection; `served` says whether a whole response has come on it before.

    It says itself how much is read at once: a loop of its own mind reads up to 256 KiB.
    """

    __slots__ = (
        "_due", "_poll", "_pool", "_response", "_timer", "_timer_at", "_unsent",
        "loop", "memory", "name", "served", "transport", "writable",
    )  # fmt: skip

    def __init__(self, pool: Pool, name: str, loop: asyncio.AbstractEventLoop, memory: StreamMemory) -> None:
        self.loop = loop
        self.memory = memory
        self.name = name
        self.served = False
        self.writable = True
        self._pool = pool
        self._poll = select.poll()
        self._response: Response | None = None
        self._due = 0.0  # when the other side is late, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._unsent = 0  # bytes that had not left when the current wait began

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self.transport.set_write_buffer_limits(high=MOST_UNSENT, low=WRITE_BELOW)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(sock.fileno(), select.POLLIN)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self.memory.scratch[: self.memory.piece_size()]

    def buffer_updated(self, nbytes: int) -> None:
        response = self._response
        if response is None:  # an answer that nobody asked for must not become the next request's
            self.drop()
            return
        try:
            piece = response.reader.feed(bytes(self.memory.scratch[:nbytes]))
        except BadResponse as error:
            response.fail(BadResponse(f"{self.name}: {error}"))
            return
        response.received(piece)

    def eof_received(self) -> None:
        response = self._response
        if response is None:
            self._pool.unfit(self)
        elif self.transport.get_extra_info("ssl_object") is None and response.reader.end():
            # Over TLS anybody could have cut it off: not every loop tells a close_notify from a bare FIN.
            response.received(b"")
        else:
            response.broken(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._response is not None:
            self._response.broken(error)
        self._pool.lost(self)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self._response is not None:
            self._response.wake()

    def is_fit(self) -> bool:
        """Whether an idle connection may be used: it is open, and nothing has come since.

        The kernel is asked too: what came in this very turn of the loop has not been read yet.
        """
        return not self.transport.is_closing() and not self._poll.poll(0)

    def begin(self, response: "Response") -> None:
        self._response = response

    def end(self, *, keep: bool) -> None:
        """The response is whole, or will never be."""
        self._response = None
        if keep and not self.transport.get_write_buffer_size():
            self.served = True
            self._pool.give_back(self)
        else:
            self.drop()
            self._pool.spent()

    def abandon(self, error: OriginError) -> None:
        """Give it up, whatever it is doing; `error` is raised to whom it serves."""
        if self._response is not None:
            self._response.fail(error)
        else:
            self.drop()

    @property
    def stalled_since(self) -> float:
        """Since when nobody reads what it receives, by the loop's clock, and could do without it; 0: it is needed."""
        return self._response.stalled_since if self._response is not None else 0.0

    def give_way(self) -> None:
        """Serve others; whoever has read so far asks for the rest when it is wanted."""
        if self._response is not None:
            self._response.give_way()

    def drop(self) -> None:
        self._pool.unfit(self)
        self.transport.abort()  # close() would wait for a buffer, or for a TLS shutdown, that may never end

    def allow(self, seconds: float) -> None:
        """From now on the other side has so long for what somebody waits for; an idle connection, to be used again."""
        self._unsent = self.transport.get_write_buffer_size()
        self._due = due = self.loop.time() + seconds
        if self._timer is None:
            self._timer_at = due
            self._timer = self.loop.call_at(due, self._look)
        elif due < self._timer_at:
            self._timer.cancel()
            self._timer_at = due
            self._timer = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        """The timer fired, perhaps for a wait that is long over."""
        self._timer = None
        now = self.loop.time()
        response = self._response
        if response is not None and not response.is_awaited:
            return  # whoever waits next starts the timer
        if now < self._due:
            self._timer_at = self._due
            self._timer = self.loop.call_at(self._due, self._look)
        elif response is None:
            self.drop()
        elif self.transport.get_write_buffer_size() < self._unsent:
            self.allow(response.patience_s)  # while our own bytes are leaving it is not late
        else:
            response.late()


class Response:
    """A response whose body is still coming, or is all here. `status` is 0 until the head has come.

    `length` is what Content-Length says, in bytes, also where there is no body (HEAD). Whoever has it reads it to the
    end or calls close(). One reader at a time.

    The last piece that was read counts as held until the next one is asked for: then its reader is done with it.
    `resumable`: its reader can ask for the rest again, so where others need the connection it may raise GaveWay.
    """

    __slots__ = (
        "_connection", "_counted", "_error", "_gap_s", "_held", "_lent", "_memory", "_offset", "_paused", "_paused_at",
        "_phase", "_pieces", "_waiter", "headers", "length", "patience_s", "reader", "resumable", "status", "unwritten",
    )  # fmt: skip

    def __init__(self, connection: Connection, gap_s: float, *, bodyless: bool) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.reader = ResponseReader(bodyless=bodyless)
        self.unwritten = 0  # bytes of the request that its writer still has
        self.patience_s = gap_s
        self.resumable = False
        self._connection: Connection | None = connection
        self._gap_s = gap_s
        self._error: OriginError | None = None
        self._pieces: deque[bytes] = deque()
        self._offset = 0  # bytes of the first piece that were read
        self._held = 0
        self._memory = connection.memory
        self._counted = 0  # bytes of large pieces that are held, or were read last
        self._lent = 0  # those that were read last
        self._paused = False
        self._paused_at = 0.0
        self._phase = Phase.READ
        self._waiter: asyncio.Future[None] | None = None
        connection.begin(self)

    async def read(self, size: int) -> bytes:
        """Give 1 to `size` bytes as they come, b"" at the end.

        Raises ConnectionBroken, TooSlow and BadResponse, after what had come before. Cancelling it closes the response.
        """
        pieces = self._pieces
        if self._lent:
            self._give_back(self._lent)
        while not pieces:
            if self._connection is None:
                if self._error is not None:
                    raise self._error
                return b""
            await self.wait(Phase.READ, self._gap_s)
        piece = pieces[0]
        if len(piece) <= size and not self._offset:
            self._forget_first(len(piece))
            return piece
        part = piece[self._offset : self._offset + size]
        self._offset += len(part)
        if self._offset == len(piece):
            self._offset = 0
            self._forget_first(len(piece))
        return part

    async def read_all(self, most: int) -> bytes:
        """The whole rest of the body; raises BadResponse where it has more than `most` bytes."""
        pieces: list[bytes] = []
        left = most
        while piece := await self.read(LARGE):
            left -= len(piece)
            if left < 0:
                self.close()
                raise BadResponse(f"a body of more than {most} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Be done with it, however much was read; its connection is given up unless all of it had come."""
        if self._connection is not None:
            self.fail(OriginError("the response was closed"))
        if self._counted:
            self._give_back(self._counted)

    # For the connection and the client.

    @property
    def is_awaited(self) -> bool:
        return self._waiter is not None

    @property
    def is_open(self) -> bool:
        """More may come."""
        return self._connection is not None

    @property
    def stalled_since(self) -> float:
        """Since when the origin is made to wait for a reader who could do without this connection; 0: it is not."""
        return self._paused_at if self._paused and self.resumable else 0.0

    def give_way(self) -> None:
        """Keep neither the connection nor what is held: there may be any number of slow readers."""
        self._pieces.clear()
        self._offset = self._held = 0
        self._memory.give(self._counted - self._lent)
        self._counted = self._lent
        name = self._connection.name if self._connection is not None else ""
        self.fail(GaveWay(f"{name}: others needed the connection of an answer that nobody read on"))

    async def wait(self, phase: Phase, patience_s: float) -> None:
        """Wait until something happens; raises what went wrong."""
        connection = self._connection
        if connection is None:
            raise self._error or OriginError("the response is over")
        self._phase = phase
        self.patience_s = patience_s
        self._waiter = waiter = connection.loop.create_future()
        connection.allow(patience_s)
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiter = None
            self.close()
            raise
        if self._error is not None and not self._pieces:
            raise self._error

    async def wait_for_head(self, patience_s: float) -> None:
        while not self.status:
            await self.wait(Phase.FIRST_BYTE, patience_s)

    async def hold(self, most: int) -> None:
        """Take the rest into memory and let the connection go; of a body of more than `most` bytes, the beginning.

        What goes wrong meanwhile is raised by the reads.
        """
        try:
            while self._connection is not None and self._held < most:
                await self.wait(Phase.READ, self._gap_s)
        except OriginError:
            pass
        self.close()

    def received(self, piece: bytes) -> None:
        """Something came: a head, or a piece of the body, or the end."""
        reader = self.reader
        if not self.status:
            if not reader.status:
                return
            self.status = reader.status
            self.headers = reader.headers
            self.length = reader.length
        elif not piece and not reader.done:
            return
        if piece:
            self._pieces.append(piece)
            self._held += len(piece) + _PIECE
            self._counted += self._memory.hold(len(piece))
        connection = self._connection
        if connection is not None:
            if reader.done:
                self._connection = None
                if self._paused:
                    connection.transport.resume_reading()
                connection.end(keep=reader.may_keep and not self.unwritten)
            elif self._held > MOST_HELD and not self._paused:
                self._paused = True
                self._paused_at = connection.loop.time()
                connection.transport.pause_reading()
        self.wake()

    def broken(self, error: Exception | None) -> None:
        connection = self._connection
        if connection is not None:
            text = f"{connection.name}: the connection broke" + (f": {error}" if error else "")
            broken = ConnectionBroken(text, reused=connection.served and not self.reader.started)
            broken.__cause__ = error
            self.fail(broken)

    def late(self) -> None:
        connection = self._connection
        if connection is not None:
            text = f"{connection.name}: {self.patience_s:g} seconds were too short for {self._phase.value}"
            self.fail(TooSlow(text, self._phase))

    def fail(self, error: OriginError) -> None:
        """The response will never be whole."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            self._error = error
            connection.end(keep=False)
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _forget_first(self, size: int) -> None:
        self._pieces.popleft()
        self._held -= size + _PIECE
        self._lent = size if SMALL < size <= self._counted else 0
        if self._paused and self._held < RESUME_BELOW:
            self._paused = False
            if self._connection is not None:
                self._connection.transport.resume_reading()

    def _give_back(self, counted: int) -> None:
        self._memory.give(counted)
        self._counted -= counted
        self._lent = 0
