"""The listener over TLS: who counts, how long a handshake may take, and that nothing stays open, on both loops."""

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from gateway.web.connection import Connection, Request
from gateway.web.tls_listener import TlsListener
from tests.support.gateway import write_certificate

LOOPS = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
GET = b"GET /k HTTP/1.1\r\nHost: h\r\n\r\n"


class Server:
    """Answers with the target of each request. `places` are taken, at most `most` of them."""

    def __init__(self, *, most: int = 1000, header_timeout_s: float = 30.0) -> None:
        self.most = most
        self.header_timeout_s = header_timeout_s
        self.idle_s = 30.0
        self.places = 0
        self.connections: set[Connection] = set()

    @property
    def open_connections(self) -> int:
        return self.places

    async def answer(self, request: Request) -> bool:
        if request.transport is not None:
            request.transport.write(f"{request.target}\n".encode())
        return request.keeps_alive

    def arrived(self, peer: str) -> bool:
        assert peer == "127.0.0.1"
        if self.places >= self.most:
            return False
        self.places += 1
        return True

    def left(self, peer: str) -> None:
        assert peer == "127.0.0.1"
        self.places -= 1
        assert self.places >= 0

    def opened(self, connection: Connection) -> bool:
        if not self.arrived(connection.peer):
            return False
        self.connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self.left(connection.peer)

    def render_refusal(self, error: Exception | None) -> bytes:
        return b"too many\n" if error is None else b"refused\n"


class Up:
    """A listener that is up, and its clients."""

    def __init__(self, server: Server, listener: TlsListener, trusting: ssl.SSLContext) -> None:
        self.server = server
        self.listener = listener
        self.trusting = trusting
        self.address: tuple[str, int] = listener.sockets[0].getsockname()
        self.silent: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """A client that has not said anything yet."""
        made = socket.create_connection(self.address, timeout=20)
        made.setblocking(False)
        self.silent.append(made)
        return made

    async def ask(self) -> bytes:
        """What somebody is answered who shakes hands and asks; the connection is closed then."""
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(
                *self.address, ssl=self.trusting, server_hostname="localhost"
            )
            writer.write(GET)
            answer = await reader.readline()
            writer.transport.abort()
            return answer


@contextlib.asynccontextmanager
async def up(directory: Path, server: Server) -> AsyncIterator[Up]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setblocking(False)
    listener = TlsListener(server, asyncio.get_running_loop(), context, [listening])
    made = Up(server, listener, ssl.create_default_context(cafile=directory / "ca.pem"))
    try:
        yield made
    finally:
        listener.close()
        for connection in tuple(server.connections):
            await connection.shut_down(1.0)
        for each in made.silent:
            each.close()
        await until(lambda: server.places == 0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  (turns of the loop, no time)
            await asyncio.sleep(0)


async def closed(client: socket.socket) -> bool:
    """Has the server closed without a word? Raises TimeoutError while it has not."""
    async with asyncio.timeout(20):
        try:
            return await asyncio.get_running_loop().sock_recv(client, 1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificate")
    write_certificate(directory)
    return directory


def run(loop_factory: LoopFactory, scenario: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario)


@LOOPS
def test_who_has_not_shaken_hands_counts_and_one_more_is_closed_at_once(certificate, loop_factory):
    async def scenario() -> None:
        async with up(certificate, Server(most=3)) as there:
            silent = [there.connect() for _ in range(3)]
            await until(lambda: there.server.places == 3)
            for _ in range(5):
                assert await closed(there.connect())
            assert there.server.places == 3
            silent[0].close()
            await until(lambda: there.server.places == 2)
            assert await there.ask() == b"/k\n"
            await until(lambda: there.server.places == 2)
            assert await there.ask() == b"/k\n"

    run(loop_factory, scenario())


@LOOPS
def test_a_connection_has_one_place_before_and_after_its_handshake(certificate, loop_factory):
    async def scenario() -> None:
        async with up(certificate, Server(most=1)) as there:
            reader, writer = await asyncio.open_connection(
                *there.address, ssl=there.trusting, server_hostname="localhost"
            )
            for _ in range(3):
                writer.write(GET)
                assert await reader.readline() == b"/k\n"
                assert there.server.places == 1
            assert await closed(there.connect())
            writer.transport.abort()
            await until(lambda: there.server.places == 0)
            assert await there.ask() == b"/k\n"

    run(loop_factory, scenario())


@LOOPS
def test_a_handshake_that_takes_too_long_is_ended(certificate, loop_factory):
    async def scenario() -> None:
        async with up(certificate, Server(header_timeout_s=0.2)) as there:
            silent, begun = there.connect(), there.connect()
            begun.send(hello(there.trusting)[:100])
            assert await closed(silent)
            assert await closed(begun)
            await until(lambda: there.server.places == 0)

    run(loop_factory, scenario())


def hello(trusting: ssl.SSLContext) -> bytes:
    """A client's first words."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@LOOPS
def test_clients_that_leave_in_the_middle_of_a_handshake_leave_nothing_behind(certificate, loop_factory):
    """400 that leave after none, some or all of their first words, after a wrong one, or with the answer unread."""

    async def leave(there: Up, number: int) -> None:
        reader, writer = await asyncio.open_connection(*there.address)
        words = hello(there.trusting)
        how = number % 5
        writer.write((b"", words[: number % len(words)], words, b"GET / HTTP/1.1\r\n\r\n", words)[how])
        if how == 4:
            assert await reader.read(5)  # the head of the server's first record
        if number % 2:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        else:
            writer.transport.abort()

    async def scenario() -> None:
        async with up(certificate, Server()) as there:
            assert await there.ask() == b"/k\n"
            await until(lambda: there.server.places == 0)
            before = len(os.listdir("/proc/self/fd"))
            for first in range(0, 400, 40):
                async with asyncio.timeout(60):
                    await asyncio.gather(*(leave(there, number) for number in range(first, first + 40)))
            await until(lambda: there.server.places == 0 and len(os.listdir("/proc/self/fd")) <= before)
            assert await there.ask() == b"/k\n"

    run(loop_factory, scenario())


@LOOPS
def test_when_it_closes_those_in_their_handshake_are_let_go(certificate, loop_factory):
    async def scenario() -> None:
        server = Server()
        before = len(os.listdir("/proc/self/fd"))
        async with up(certificate, server) as there:
            silent = [there.connect() for _ in range(20)]
            await until(lambda: server.places == 20)
            late = there.connect()
            there.listener.close()
            for each in (*silent, late):
                assert await closed(each)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)

    run(loop_factory, scenario())


@LOOPS
def test_without_descriptors_nobody_is_accepted_and_everybody_who_waits_is_later(certificate, loop_factory, caplog):
    async def scenario() -> None:
        async with up(certificate, Server()) as there:
            assert await there.ask() == b"/k\n"
            await until(lambda: there.server.places == 0)
            for _ in range(3):  # they wait to be accepted, since the loop does not turn here
                there.connect()
            free = os.dup(0)
            os.close(free)
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
            try:
                await until(lambda: "no connection can be accepted" in caplog.text)
                assert there.server.places == 0
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert caplog.text.count("no connection can be accepted") == 1
            await until(lambda: there.server.places == 3)
            assert await there.ask() == b"/k\n"

    run(loop_factory, scenario())
