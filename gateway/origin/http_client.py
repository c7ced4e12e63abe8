"""A small HTTP/1.1 client for the data path to an origin: keep-alive, deadlines, back pressure, nothing else.

It sends finished heads and follows nothing: a redirect is an answer like any other. Every failure is an OriginError,
and what may be tried again is told by its class.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, NoReturn

from gateway.origin.errors import AllBusy, NotReached, OriginError, Phase, not_reached
from gateway.origin.http_connection import Connection, Response
from gateway.origin_settings import is_no_store
from gateway.stream_memory import StreamMemory

__all__ = ["Deadlines", "EarlyAnswer", "Endpoint", "HttpClient", "Response", "Upload"]

MOST_EARLY: Final = 64 << 10
"""Bytes of an early answer that are kept; what S3 says is a short document."""

STALLED_S: Final = 1.0
"""Where requests queue for a connection, an answer that nobody reads on for so long gives its own up."""

_LOOK_S: Final = 0.25
_CLOSED = "the client is closed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an origin listens; `server_name` is the name in its certificate where that is not `host`."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Deadlines:
    """`first_byte_s` ends with the last byte of the head. `gap_s` is the longest wait for one piece, either way."""

    connect_s: float = 5.0
    first_byte_s: float = 30.0
    gap_s: float = 30.0


class EarlyAnswer(OriginError):
    """The origin answered before it had the whole request; `response` is the answer, read into memory."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the origin answered {response.status} before it had the whole request")
        self.response = response


class HttpClient:
    """Connections to one endpoint, at most `most_connections`, the one used last used first.

    An idle one is closed after `idle_s`: sooner than the origin would do it, so that requests seldom meet in the middle
    with its FIN. Used from one event loop.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        deadlines: Deadlines = Deadlines(),
        *,
        most_connections: int = 256,
        idle_s: float = 20.0,
        memory: StreamMemory | None = None,
    ) -> None:
        """`memory`: out of which its responses come, where that is not its own."""
        self._memory = memory or StreamMemory()
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._idle_s = idle_s
        self._name = f"{endpoint.host}:{endpoint.port}"
        self._free = most_connections  # requests that may have a connection; while it is positive nobody queues
        self._queue: deque[asyncio.Future[None]] = deque()
        self._looking: asyncio.TimerHandle | None = None
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._closed = False
        self._all_lost: asyncio.Future[None] | None = None

    async def ask(
        self,
        head: bytes,
        body: bytes | bytearray | memoryview = b"",
        *,
        bodyless: bool = False,
        first_byte_s: float | None = None,
    ) -> Response:
        """Send a whole request; give its response once the head is there. `bodyless`: this is a HEAD.

        `first_byte_s`: for what takes the origin longer than the deadlines say. `body` must not be changed meanwhile.
        Raises NotReached, ConnectionBroken, TooSlow, BadResponse.
        """
        connection = await self._lend()
        response = Response(connection, self._deadlines.gap_s, bodyless=bodyless)
        try:
            if body:
                connection.transport.writelines((head, body))
            else:
                connection.transport.write(head)
            await response.wait_for_head(first_byte_s or self._deadlines.first_byte_s)
        except BaseException:
            response.close()
            raise
        return response

    async def upload(self, head: bytes, size: int) -> "Upload":
        """Send the head of a request with a body of exactly `size` bytes; raises NotReached."""
        connection = await self._lend()
        response = Response(connection, self._deadlines.gap_s, bodyless=False)
        upload = Upload(connection, response, size, self._deadlines)
        try:
            connection.transport.write(head)
        except BaseException:
            upload.abort()
            raise
        return upload

    async def close(self) -> None:
        """Break off whatever is going on; returns once every connection is closed."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        for waiter in self._queue:
            if not waiter.done():
                waiter.set_exception(NotReached(f"{self._name}: {_CLOSED}"))
        for connection in list(self._open):
            connection.abandon(OriginError(f"{self._name}: {_CLOSED}"))
        while self._open:
            if self._all_lost is None:
                self._all_lost = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_lost)

    # For requests: a connection for each.

    async def _lend(self) -> Connection:
        """A connection, to be given back by its own end(); raises NotReached."""
        if self._free:
            self._free -= 1
        else:
            await self._queue_up()
        try:
            return self._at_hand() or await self._connect()
        except BaseException:
            self.spent()
            raise

    async def _queue_up(self) -> None:
        """Wait for a request to end, first come, first served."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        if self._looking is None:
            self._make_room()
        try:
            async with asyncio.timeout(self._deadlines.connect_s):
                await waiter
        except BaseException as error:
            if waiter in self._queue:
                self._queue.remove(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.spent()  # our turn came in the very moment in which we gave up: it is the next one's
            if isinstance(error, TimeoutError):
                raise AllBusy(f"{self._name}: all connections were busy") from error
            raise

    def _make_room(self) -> None:
        """Have as many stalled answers give way as requests queue, the longest stalled first; and look again soon.

        Clients who take their time may be many more than there are connections, and must not keep the others waiting.
        """
        self._looking = None
        waiting = sum(not waiter.done() for waiter in self._queue)
        if not waiting:
            return
        loop = asyncio.get_running_loop()
        stalled = [each for each in self._open if 0.0 < each.stalled_since <= loop.time() - STALLED_S]
        for connection in sorted(stalled, key=lambda each: each.stalled_since)[:waiting]:
            connection.give_way()
        self._looking = loop.call_later(_LOOK_S, self._make_room)

    def _at_hand(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fit():
                return connection
            connection.drop()
        return None

    @property
    def _is_closed(self) -> bool:
        return self._closed

    async def _connect(self) -> Connection:
        if self._is_closed:
            raise NotReached(f"{self._name}: {_CLOSED}")
        loop = asyncio.get_running_loop()
        endpoint = self._endpoint
        server_name = (endpoint.server_name or endpoint.host) if endpoint.tls else None
        with not_reached(self._name):
            async with asyncio.timeout(self._deadlines.connect_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, self._name, loop, self._memory),
                    endpoint.host,
                    endpoint.port,
                    ssl=endpoint.tls,
                    server_hostname=server_name,
                )
        if connection.transport.is_closing():
            raise NotReached(f"{self._name}: it closed the connection at once")
        peer = connection.transport.get_extra_info("peername")
        if is_no_store(ip_address(peer[0].partition("%")[0])):  # a name can lead anywhere
            connection.drop()
            raise NotReached(f"{self._name}: its name stands for {peer[0]}, where no store is")
        # Only now: when this is cancelled the loop closes the connection, and uvloop tells nobody that it is lost.
        self._open.add(connection)
        if self._is_closed:
            connection.drop()
            raise NotReached(f"{self._name}: {_CLOSED}")
        return connection

    # For connections: gateway.origin.http_connection.Pool.

    def give_back(self, connection: Connection) -> None:
        self._idle.append(connection)
        connection.allow(self._idle_s)
        self.spent()

    def spent(self) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def unfit(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self.unfit(connection)
        if self._all_lost is not None and not self._open:
            self._all_lost.set_result(None)
            self._all_lost = None


class Upload:
    """A request whose body is being written. Either finish() or abort() ends it."""

    __slots__ = ("_connection", "_deadlines", "_response", "_size")

    def __init__(self, connection: Connection, response: Response, size: int, deadlines: Deadlines) -> None:
        self._connection = connection
        self._response = response
        self._size = size
        self._deadlines = deadlines
        response.unwritten = size

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write the next bytes, which must not be changed afterwards; returns when there is room for more.

        Raises EarlyAnswer, ConnectionBroken, TooSlow, BadResponse; the upload is over then.
        """
        response, connection = self._response, self._connection
        left = response.unwritten - len(data)
        if left < 0:
            self.abort()
            raise OriginError(f"{self._size - left} bytes were written, {self._size} announced")
        if response.status or not response.is_open:
            await self._give_up()
        connection.transport.write(data)
        response.unwritten = left
        while not connection.writable and not response.status:
            await response.wait(Phase.WRITE, self._deadlines.gap_s)
        if left and response.status:
            await self._give_up()

    async def finish(self) -> Response:
        """The body is written: wait for the answer's head. Raises what write() raises."""
        response = self._response
        if response.unwritten:
            self.abort()
            raise OriginError(f"{self._size - response.unwritten} bytes were written, {self._size} announced")
        try:
            await response.wait_for_head(self._deadlines.first_byte_s)
        except BaseException:
            response.close()
            raise
        return response

    def abort(self) -> None:
        """Reset the connection, so that the origin sees a body that is too short; after finish() close the answer."""
        self._response.close()

    async def _give_up(self) -> NoReturn:
        """There was an answer already, or the connection is gone."""
        response = self._response
        if not response.status:
            await response.wait_for_head(0)  # raises what went wrong
        await response.hold(MOST_EARLY)
        raise EarlyAnswer(response)
