"""One connection of a server: what a client sees of order, bounds, broken framing and time."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from gateway.web.connection import BodyError, Connection, Request

HEAD = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1 << 20


def put(length: int, *more: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in more)
    return b"PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n" % (length, lines)


@dataclass
class Server:
    """Answers with the target of each request, after `work` is done with it."""

    work: Callable[[Request], Awaitable[object]] | None = None
    connections: set[Connection] = field(default_factory=set)
    header_timeout_s: float = 30.0
    idle_s: float = 30.0
    port: int = 0
    raised: list[BaseException] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    most: int = 10
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> bool:
        self.requests.append(request)
        self.asked.set()
        if self.work is not None:
            try:
                await self.work(request)
            except (BodyError, ConnectionError) as error:
                self.raised.append(error)
                self.failed.set()
        if request.transport is not None:
            request.transport.write(f"{request.target}\n".encode())
        return request.keeps_alive

    @property
    def open_connections(self) -> int:
        return len(self.connections)

    def opened(self, connection: Connection) -> bool:
        if len(self.connections) >= self.most:
            return False
        self.connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def render_refusal(self, error: Exception | None) -> bytes:
        return b"too many\n" if error is None else b"refused\n"


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def told(self) -> bytes:
        """Everything until the server hangs up."""
        with contextlib.suppress(ConnectionResetError):
            return await self.reader.read()
        return b""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(made, loop), "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await listening.wait_closed()
    for connection in tuple(made.connections):
        await connection.shut_down(1.0)


@contextlib.asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def read_all(request: Request) -> None:
    while not request.body.at_eof():
        await request.body.readany()


async def test_pipelined_requests_are_answered_in_their_order(server):
    async with client_of(server) as client:
        client.writer.write(b"".join(HEAD % number for number in range(100)))
        assert [await client.reader.readline() for _ in range(100)] == [b"/%d\n" % number for number in range(100)]


async def test_requests_that_follow_an_upload_are_all_answered(server):
    """However many: the upload, whose body came after its head, is not counted among those that wait for ever."""
    server.work = read_all
    async with client_of(server) as client:
        for _ in range(3):
            client.writer.write(put(5))
            await server.asked.wait()
            server.asked.clear()
            client.writer.write(b"hello" + b"".join(HEAD % number for number in range(40)))
            async with asyncio.timeout(10):
                assert await client.reader.readline() == b"/k\n"
                assert [await client.reader.readline() for _ in range(40)] == [b"/%d\n" % n for n in range(40)]
            server.asked.clear()


@pytest.mark.parametrize("count", [*range(510, 516), 1025, 1026, 1027, 5000])
async def test_an_upload_after_one_of_many_small_chunks_is_taken(server, count):
    server.work = read_all
    chunked = CHUNKED + b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    async with client_of(server) as client:
        for following in (put(11) + b"hello world", chunked, put(11) + b"hello world" + HEAD % 1, HEAD % 2):
            client.writer.write(chunked)
            async with asyncio.timeout(10):
                assert await client.reader.readline() == b"/k\n"
                client.writer.write(following)
                for _ in range(following.count(b"HTTP/1.1\r\n")):
                    assert (await client.reader.readline()).startswith(b"/")
    assert server.raised == []


async def test_a_flood_of_requests_waits_at_the_client_and_not_here(server):
    """The first is not answered yet: what follows is not taken in without end, and none of it is lost."""
    go_on = asyncio.Event()
    server.work = lambda _: go_on.wait()
    count = 400_000
    async with client_of(server) as client:
        flood = asyncio.ensure_future(asyncio.to_thread(b"".join, [HEAD % (number % 10) for number in range(count)]))
        client.writer.write(await flood)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), 0.5)
        (connection,) = server.connections
        assert len(connection._queue) <= 16
        go_on.set()
        for number in range(count):
            assert await client.reader.readline() == b"/%d\n" % (number % 10)


async def test_a_body_that_nobody_reads_is_not_taken_in(server):
    go_on = asyncio.Event()
    server.work = lambda _: go_on.wait()
    async with client_of(server) as client:
        client.writer.write(put(50 * MIB) + bytes(50 * MIB))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), 0.5)
        assert server.requests[0].body.total_bytes <= 128 << 10
        server.work = None
        go_on.set()


async def test_a_large_body_arrives_whole(server):
    received = bytearray()

    async def take(request: Request) -> None:
        while not request.body.at_eof():
            received.extend(await request.body.readany())

    server.work = take
    body = bytes(range(256)) * (20 * MIB // 256)
    async with client_of(server) as client:
        client.writer.write(put(len(body)) + body + HEAD % 2)
        assert await client.reader.readline() == b"/k\n"
        assert await client.reader.readline() == b"/2\n"
    assert received == body


@pytest.mark.parametrize("broken", [b"nonsense\r\n", b"5\r\nabcdefgh\r\n", b"-1\r\n", b"5\nabcde\r\n"])
async def test_whoever_reads_a_body_is_told_at_once_that_its_framing_is_wrong(server, broken):
    server.work = read_all
    async with client_of(server) as client:
        client.writer.write(CHUNKED + b"3\r\nabc\r\n")
        await server.asked.wait()
        client.writer.write(broken)
        assert await client.told() == b"/k\n"
    assert [type(error) for error in server.raised] == [BodyError]


async def test_what_cannot_be_parsed_is_refused_after_the_answers_before_it_and_ends_the_connection(server):
    async with client_of(server) as client:
        client.writer.write(HEAD % 1 + HEAD % 2)
        await server.asked.wait()
        client.writer.write(b"GET / HTTP/1.1\r\nHost : h\r\n\r\n" + HEAD % 3)
        assert await client.told() == b"/1\n/2\nrefused\n"


async def test_a_small_body_that_nobody_wants_is_dropped_and_the_next_request_answered(server):
    async with client_of(server) as client:
        client.writer.write(put(1000))
        assert await client.reader.readline() == b"/k\n"
        client.writer.write(bytes(1000) + HEAD % 2)
        assert await client.reader.readline() == b"/2\n"


async def test_a_client_that_was_not_told_to_continue_is_not_waited_for(server):
    async with client_of(server) as client:
        client.writer.write(put(1000, b"Expect: 100-continue"))
        assert await client.told() == b"/k\n"
    assert server.requests[0].continued is False


async def test_a_head_has_its_time_from_its_first_byte_on_however_it_trickles(server):
    server.header_timeout_s = 0.3
    async with client_of(server) as client:
        ended = asyncio.ensure_future(client.told())
        for byte in b"GET / HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 4000:
            client.writer.write(bytes([byte]))
            await asyncio.wait([ended], timeout=0.01)
            if ended.done():
                break
        assert await ended == b""
    assert server.requests == []


async def test_an_idle_connection_is_closed_but_none_that_is_being_answered(server):
    server.idle_s = 0.2
    go_on = asyncio.Event()
    server.work = lambda _: go_on.wait()
    async with client_of(server) as busy, client_of(server) as idle:
        busy.writer.write(HEAD % 1)
        assert await idle.told() == b""
        go_on.set()
        assert await busy.told() == b"/1\n"


async def test_who_waits_for_a_client_learns_that_it_is_gone(server):
    server.work = read_all
    async with client_of(server) as client:
        client.writer.write(put(1000))
        await server.asked.wait()
        client.writer.transport.abort()
        await server.failed.wait()
    assert isinstance(server.raised[0], ConnectionError)
    assert server.connections == set()


async def test_who_writes_waits_until_the_client_has_taken_it_or_is_gone(server):
    async def fill(request: Request) -> None:
        assert request.transport is not None
        request.transport.write(bytes(64 * MIB))
        await request.connection.drained()

    server.work = fill
    async with client_of(server) as client:
        client.writer.write(HEAD % 1)
        assert len(await client.reader.readexactly(64 * MIB)) == 64 * MIB
        assert await client.reader.readline() == b"/1\n"
        client.writer.write(HEAD % 2)
        await client.reader.readexactly(MIB)
        client.writer.transport.abort()
        await server.failed.wait()
    assert isinstance(server.raised[0], ConnectionError)


async def test_a_bug_ends_its_connection_and_no_other(server, caplog):
    async def bug(request: Request) -> None:
        if request.target == "/1":
            raise KeyError("a bug")

    server.work = bug
    async with client_of(server) as client, client_of(server) as other:
        client.writer.write(HEAD % 1 + HEAD % 2)
        with caplog.at_level(logging.ERROR):
            assert await client.told() == b""
        other.writer.write(HEAD % 2)
        assert await other.reader.readline() == b"/2\n"
    assert "a bug" in caplog.text


async def test_a_connection_that_is_too_many_is_told_so_and_closed(server):
    server.most = 1
    async with client_of(server) as first:
        first.writer.write(HEAD % 1)
        assert await first.reader.readline() == b"/1\n"
        async with client_of(server) as second:
            assert await second.told() == b"too many\n"
        first.writer.write(HEAD % 2)
        assert await first.reader.readline() == b"/2\n"
    async with client_of(server) as third:
        third.writer.write(HEAD % 3)
        assert await third.reader.readline() in (b"/3\n", b"too many\n")


async def test_nothing_is_read_behind_a_request_to_speak_something_else(server):
    async with client_of(server) as client:
        client.writer.write(
            b"GET /1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + HEAD % 2
        )
        assert await client.told() == b"/1\n"
