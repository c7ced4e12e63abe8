"""gateway/origin/http_client.py and http_connection.py, against servers on the loopback that do what they must not do."""

import asyncio
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
import trustme
import uvloop

from gateway.origin.errors import BadResponse, ConnectionBroken, NotReached, OriginError, Phase, TooSlow
from gateway.origin.http_client import Deadlines, EarlyAnswer, Endpoint, HttpClient, Response
from gateway.origin.http_connection import MOST_HELD, MOST_UNSENT
from gateway.stream_memory import LARGE, SMALL, StreamMemory

GET = b"GET /key HTTP/1.1\r\nHost: origin\r\n\r\n"
HEAD = b"HEAD /key HTTP/1.1\r\nHost: origin\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nno way"
SHORT = 0.05
PATIENT = Deadlines(connect_s=20, first_byte_s=20, gap_s=20)


def put(size: int) -> bytes:
    return b"PUT /key HTTP/1.1\r\nHost: origin\r\nContent-Length: %d\r\n\r\n" % size


def on_both_loops(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Run a test under asyncio's own loop and under uvloop."""

    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], **arguments: object) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(test(**arguments))

    names = ["loop_factory", *inspect.signature(test).parameters]
    kind = inspect.Parameter.KEYWORD_ONLY
    run.__name__ = test.__name__
    run.__dict__.update(test.__dict__)
    run.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore[attr-defined]
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop_factory", loops, ids=["asyncio", "uvloop"])(run)


class Peer:
    """The origin's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[bytes] = []

    async def request(self) -> bytes:
        """The head of the next request."""
        self.requests.append(await self.reader.readuntil(b"\r\n\r\n"))
        return self.requests[-1]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> bytes:
        """What the gateway still sends until it is gone, however it goes."""
        data = bytearray()
        try:
            while piece := await self.reader.read(65536):
                data += piece
        except ConnectionError:
            pass
        return bytes(data)

    def reset(self) -> None:
        """Go with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def origin(
    script: Script,
    deadlines: Deadlines = PATIENT,
    *,
    tls: ssl.SSLContext | None = None,
    trusted: ssl.SSLContext | None = None,
    name: str | None = None,
    most_connections: int = 256,
    idle_s: float = 20.0,
    memory: StreamMemory | None = None,
) -> AsyncIterator[tuple[HttpClient, list[Peer]]]:
    """A server that plays `script` on every connection, a client for it, and the connections that were made."""
    peers: list[Peer] = []
    tasks: list[asyncio.Task] = []
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(Peer(reader, writer))
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await script(peers[-1])
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass
        except BaseException as error:  # noqa: BLE001  (the test that plays this script fails of it)
            failures.append(error)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient(
        Endpoint("127.0.0.1", port, trusted, name),
        deadlines,
        most_connections=most_connections,
        idle_s=idle_s,
        memory=memory,
    )
    try:
        yield client, peers
        assert not failures
    finally:
        await client.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (most of it is not ours to set an event)
            await asyncio.sleep(0.001)


async def until_came(peers: list[Peer], number: int) -> None:
    await until(lambda: len(peers) > number)


async def until_gone(peers: list[Peer], number: int) -> None:
    await until(lambda: len(peers) > number and peers[number].reader.at_eof())


def answering(*answers: bytes) -> Script:
    """A script: the answers one after the other, then wait for the gateway to go."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            await peer.send(answer)
        await peer.gone()

    return script


async def always_hello(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(HELLO)


async def text(response: Response) -> bytes:
    return await response.read_all(1 << 20)


async def hello(client: HttpClient) -> None:
    """The client still works."""
    assert await text(await client.ask(GET)) == b"hello"


@on_both_loops
async def test_a_connection_serves_one_request_after_the_other():
    async with origin(always_hello) as (client, peers):
        for _ in range(5):
            response = await client.ask(GET)
            assert (response.status, response.length, response.headers) == (200, 5, {"content-length": "5"})
            assert await response.read(3) == b"hel"
            assert await response.read(3) == b"lo"
            assert await response.read(3) == b""
            response.close()
        assert [len(peer.requests) for peer in peers] == [5]


@on_both_loops
async def test_a_response_that_has_come_gives_its_connection_back_before_it_is_read():
    async with origin(always_hello, most_connections=1) as (client, peers):
        first, second = await client.ask(GET), await client.ask(GET)
        first.close()
        assert await text(second) == b"hello"
        assert len(peers) == 1


@on_both_loops
async def test_a_small_body_goes_out_with_its_head():
    async def script(peer: Peer) -> None:
        await peer.request()
        assert await peer.reader.readexactly(6) == b"abcdef"
        await peer.send(HELLO)

    for body in (b"abcdef", bytearray(b"abcdef"), memoryview(b"abcdef")):
        async with origin(script) as (client, _):
            assert await text(await client.ask(put(6), body)) == b"hello"


@on_both_loops
async def test_heads_and_empty_answers_have_no_body():
    async def script(peer: Peer) -> None:
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n", HELLO):
            await peer.request()
            await peer.send(answer)

    async with origin(script) as (client, peers):
        head = await client.ask(HEAD, bodyless=True)
        assert (head.status, head.length, await head.read(9)) == (200, 700, b"")
        assert (await client.ask(GET)).status == 304
        await hello(client)
        assert len(peers) == 1


@on_both_loops
async def test_chunks_and_interim_responses():
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with origin(answering(interim + chunks, HELLO)) as (client, peers):
        response = await client.ask(GET)
        assert (response.status, response.length, await text(response)) == (200, None, b"abcde")
        await hello(client)
        assert len(peers) == 1


@on_both_loops
async def test_a_body_that_ends_with_the_connection():
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")

    async with origin(script) as (client, peers):
        await hello(client)
        await hello(client)
        assert len(peers) == 2


@on_both_loops
async def test_a_redirect_is_an_answer():
    answer = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with origin(answering(answer)) as (client, peers):
        assert (await client.ask(GET)).status == 307
        assert len(peers) == 1


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x"])
@on_both_loops
async def test_bytes_after_a_response_are_nobodys(extra):
    async with origin(answering(HELLO + extra)) as (client, peers):
        await hello(client)
        await hello(client)
        assert len(peers) == 2


@on_both_loops
async def test_what_comes_on_an_idle_connection_is_nobodys():
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HELLO)
        await go.wait()
        await peer.send(FORBIDDEN)
        await peer.gone()

    async with origin(script) as (client, peers):
        await hello(client)
        go.set()
        await until(peers[0].reader.at_eof)
        await hello(client)
        assert len(peers) == 2


@on_both_loops
async def test_a_connection_that_was_closed_while_idle_is_not_used():
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HELLO)

    async with origin(script) as (client, peers):
        for _ in range(3):
            response = await client.ask(GET)
            peers[-1].writer.close()
            await peers[-1].writer.wait_closed()  # its FIN is in our kernel, our loop has not looked yet
            assert await text(response) == b"hello"
        assert len(peers) == 3


@on_both_loops
async def test_an_idle_connection_is_closed_after_a_while():
    async with origin(always_hello, idle_s=SHORT) as (client, peers):
        await hello(client)
        await until(peers[0].reader.at_eof)
        await hello(client)
        assert len(peers) == 2


@on_both_loops
async def test_a_used_connection_lives_on():
    async with origin(always_hello, idle_s=0.3) as (client, peers):
        for _ in range(40):
            await hello(client)
            await asyncio.sleep(0.01)
        assert len(peers) == 1


@on_both_loops
async def test_a_connection_reset_before_the_answer_was_reused_or_not():
    async def script(peer: Peer) -> None:
        for _ in range(answers):
            await peer.request()
            await peer.send(HELLO)
        await peer.request()
        peer.reset()

    for answers in (0, 1):
        async with origin(script) as (client, _):
            for _ in range(answers):
                await hello(client)
            with pytest.raises(ConnectionBroken) as caught:
                await client.ask(GET)
            assert caught.value.reused is (answers == 1)


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 100 Continue\r\n\r\n"])
@on_both_loops
async def test_a_connection_that_ends_within_the_head_is_broken_and_nothing_to_repeat(begun):
    async def script(peer: Peer) -> None:
        for answer in (HELLO, begun):
            await peer.request()
            await peer.send(answer)

    async with origin(script) as (client, _):
        await hello(client)
        with pytest.raises(ConnectionBroken) as caught:
            await client.ask(GET)
        assert not caught.value.reused
        await hello(client)


@pytest.mark.parametrize("reset", [False, True])
@on_both_loops
async def test_a_body_that_breaks_off_is_never_a_short_one(reset):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        await go.wait()
        if reset:
            peer.reset()

    go = asyncio.Event()
    async with origin(script) as (client, _):
        response = await client.ask(GET)
        assert await response.read(9) == b"hello"
        go.set()
        for _ in range(2):
            with pytest.raises(ConnectionBroken) as caught:
                await response.read(9)
        assert not caught.value.reused


@on_both_loops
async def test_chunks_that_go_wrong_are_a_bad_response():
    bad = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with origin(answering(bad + b"0x0\r\n\r\n")) as (client, peers):
        with pytest.raises(BadResponse):
            await text(await client.ask(GET))
        await until(peers[0].reader.at_eof)
    async with origin(answering(b"SSH-2.0\r\n")) as (client, _):
        with pytest.raises(BadResponse):
            await client.ask(GET)


@on_both_loops
async def test_a_body_longer_than_wanted_is_refused():
    async with origin(always_hello) as (client, _):
        with pytest.raises(BadResponse):
            await (await client.ask(GET)).read_all(4)
        assert await (await client.ask(GET)).read_all(5) == b"hello"


@on_both_loops
async def test_a_response_that_is_closed_early_gives_its_connection_up():
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhello")
        await peer.gone()

    async with origin(script, most_connections=1) as (client, peers):
        for number in range(3):
            response = await client.ask(GET)
            response.close()
            response.close()
            await until_gone(peers, number)
        with pytest.raises(OriginError):
            await text(response)


async def silence(peer: Peer) -> None:
    await peer.gone()


@on_both_loops
async def test_a_silent_origin_is_too_slow_with_its_head():
    async with origin(silence, Deadlines(first_byte_s=SHORT), most_connections=1) as (client, peers):
        for _ in range(2):
            with pytest.raises(TooSlow) as caught:
                await client.ask(GET)
            assert caught.value.phase is Phase.FIRST_BYTE
        assert len(peers) == 2


@on_both_loops
async def test_a_head_that_drips_is_too_slow():
    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await peer.send(b"a")
            await asyncio.sleep(SHORT / 5)

    async with origin(drip, Deadlines(first_byte_s=SHORT)) as (client, _):
        with pytest.raises(TooSlow) as caught:
            await client.ask(GET)
        assert caught.value.phase is Phase.FIRST_BYTE


@on_both_loops
async def test_a_silent_body_is_too_slow_but_a_slow_reader_is_not():
    async with origin(answering(HELLO[:-1]), Deadlines(gap_s=SHORT, first_byte_s=SHORT)) as (client, _):
        response = await client.ask(GET)
        await asyncio.sleep(3 * SHORT)
        assert await response.read(2) == b"he"
        assert await response.read(9) == b"ll"
        with pytest.raises(TooSlow) as caught:
            await response.read(9)
        assert caught.value.phase is Phase.READ


@on_both_loops
async def test_an_origin_that_takes_no_bytes_is_too_slow():
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    size = 64 << 20
    async with origin(script, Deadlines(gap_s=SHORT)) as (client, _):
        upload = await client.upload(put(size), size)
        with pytest.raises(TooSlow) as caught:
            for _ in range(64):
                await upload.write(bytes(1 << 20))
        assert caught.value.phase is Phase.WRITE
        with pytest.raises(TooSlow):
            await upload.write(b"x")


@on_both_loops
async def test_nobody_listens():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = HttpClient(Endpoint("127.0.0.1", closed.getsockname()[1]))
        for _ in range(2):
            with pytest.raises(NotReached):
                await client.ask(GET)
        await client.close()


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "..", "\x00"])
@on_both_loops
async def test_a_name_that_is_no_address(host):
    client = HttpClient(Endpoint(host, 80))
    with pytest.raises(NotReached):
        await client.ask(GET)
    await client.close()


@on_both_loops
async def test_an_origin_that_accepts_nobody_is_not_reached_in_time():
    with socket.socket() as full:  # TLS: the handshake is never answered
        full.bind(("127.0.0.1", 0))
        full.listen()
        endpoint = Endpoint("127.0.0.1", full.getsockname()[1], ssl.create_default_context())
        client = HttpClient(endpoint, Deadlines(connect_s=SHORT), most_connections=1)
        for _ in range(2):
            with pytest.raises(NotReached):
                await client.ask(GET)
        await client.close()


@on_both_loops
async def test_an_upload_in_pieces():
    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            got.append(await peer.reader.readexactly(9 << 20))
            await peer.send(HELLO)

    got: list[bytes] = []
    block = bytes(range(256)) * 4096
    async with origin(script) as (client, peers):
        for _ in range(2):
            upload = await client.upload(put(9 << 20), 9 << 20)
            for kind in (bytes, bytearray, memoryview):
                for _ in range(3):
                    await upload.write(kind(block))
            assert await text(await upload.finish()) == b"hello"
        assert got == [block * 9] * 2
        assert len(peers) == 1


@on_both_loops
async def test_an_upload_waits_for_an_origin_that_takes_its_time():
    async def script(peer: Peer) -> None:
        await peer.request()
        await go.wait()
        await peer.reader.readexactly(size)
        await peer.send(HELLO)

    size = 32 << 20
    go = asyncio.Event()
    async with origin(script) as (client, _):
        upload = await client.upload(put(size), size)
        written = 0

        async def write() -> None:
            nonlocal written
            while written < size:
                await upload.write(bytes(1 << 16))
                written += 1 << 16

        writing = asyncio.ensure_future(write())
        await until(lambda: upload._connection.transport.get_write_buffer_size() > MOST_UNSENT)
        assert written < size
        assert upload._connection.transport.get_write_buffer_size() <= MOST_UNSENT + (1 << 16)
        go.set()
        await writing
        assert await text(await upload.finish()) == b"hello"


@pytest.mark.parametrize("written", [b"", b"abc"])
@on_both_loops
async def test_an_aborted_upload_is_a_body_that_is_too_short(written):
    async def script(peer: Peer) -> None:
        await peer.request()
        got.append(await peer.gone())

    got: list[bytes] = []
    async with origin(script, most_connections=1) as (client, _):
        upload = await client.upload(put(9), 9)
        await upload.write(written)
        await asyncio.sleep(0)
        upload.abort()
        upload.abort()
        await until(lambda: got)
        assert len(got[0]) < 9
        with pytest.raises(OriginError):
            await upload.write(b"abc")
        with pytest.raises(OriginError):
            await upload.finish()


@on_both_loops
async def test_an_upload_of_another_size_than_announced_is_aborted():
    async with origin(silence, most_connections=1) as (client, peers):
        upload = await client.upload(put(4), 4)
        await upload.write(b"abc")
        with pytest.raises(OriginError, match="3 bytes were written, 4 announced"):
            await upload.finish()
        upload = await client.upload(put(4), 4)
        with pytest.raises(OriginError, match="5 bytes were written, 4 announced"):
            await upload.write(b"abcde")
        await until(lambda: len(peers) == 2 and all(peer.reader.at_eof() for peer in peers))


@pytest.mark.parametrize("answer", [FORBIDDEN, FORBIDDEN[:-1], FORBIDDEN + b"HTTP/1.1 200 OK\r\n\r\n"])
@on_both_loops
async def test_an_answer_before_the_end_of_an_upload_ends_it(answer):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    deadlines = Deadlines(gap_s=SHORT)
    async with origin(script, deadlines, most_connections=1) as (client, peers):
        upload = await client.upload(put(1 << 30), 1 << 30)
        with pytest.raises(EarlyAnswer) as caught:
            for _ in range(1000):
                await upload.write(bytes(1 << 10))
                await asyncio.sleep(0.001)
        upload.abort()
        response = caught.value.response
        assert response.status == 403
        if answer == FORBIDDEN[:-1]:
            assert await response.read(9) == b"no wa"
            with pytest.raises(TooSlow):
                await response.read(9)
        else:
            assert await text(response) == b"no way"
        await until(peers[0].reader.at_eof)
        assert (await client.ask(GET)).status == 403
        assert len(peers) == 2


@on_both_loops
async def test_an_answer_wakes_a_writer_that_waits():
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        await peer.send(FORBIDDEN)
        await asyncio.Event().wait()

    go = asyncio.Event()
    size = 64 << 20
    async with origin(script) as (client, _):
        upload = await client.upload(put(size), size)
        with pytest.raises(EarlyAnswer) as caught:
            for _ in range(64):
                asyncio.get_running_loop().call_later(SHORT, go.set)
                await upload.write(bytes((1 << 20) - 1))
        assert await text(caught.value.response) == b"no way"


@on_both_loops
async def test_an_answer_to_a_body_that_is_still_leaving_costs_the_connection():
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await peer.send(HELLO)
        await asyncio.Event().wait()

    size = 32 << 20
    async with origin(script) as (client, peers):
        for _ in range(2):
            assert await text(await client.ask(put(size), bytes(size))) == b"hello"
        assert len(peers) == 2


@on_both_loops
async def test_a_reset_within_an_upload():
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    size = 64 << 20
    async with origin(script) as (client, _):
        upload = await client.upload(put(size), size)
        with pytest.raises(ConnectionBroken):
            for _ in range(64):
                await upload.write(bytes(1 << 20))
                await asyncio.sleep(0.001)


@on_both_loops
async def test_a_slow_reader_makes_the_origin_wait():
    size = 50 << 20

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(50):
            await peer.send(bytes(1 << 20))
            sent.append(1)
        await always_hello(peer)

    sent: list[int] = []
    async with origin(script, PATIENT) as (client, peers):
        response = await client.ask(GET)
        await until(lambda: response._paused)
        got = most = 0
        while piece := await response.read(100_000):
            assert len(piece) <= 100_000
            got += len(piece)
            most = max(most, response._held)
            if got % 7 == 0:
                await asyncio.sleep(0)
        assert got == size
        assert most <= MOST_HELD + (1 << 20)
        await hello(client)
        assert len(peers) == 1


@on_both_loops
async def test_an_answer_that_nobody_reads_is_bounded():
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"40\r\n%064d\r\n" % 0 * 1024)
            await asyncio.sleep(0)

    async with origin(script) as (client, _):
        response = await client.ask(GET)
        await until(lambda: response._paused)
        held = response._held
        await asyncio.sleep(SHORT)
        assert response._held == held < MOST_HELD + LARGE
        response.close()


LONG = 32 << 20


async def always_long(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG + bytes(LONG))


@on_both_loops
async def test_where_memory_is_used_up_a_response_is_read_in_small_pieces():
    memory = StreamMemory(0)
    async with origin(always_long, memory=memory) as (client, _):
        response = await client.ask(GET)
        await until(lambda: response._paused)
        await asyncio.sleep(SHORT)
        assert response._held < MOST_HELD + 2 * SMALL
        got = 0
        while piece := await response.read(LARGE):
            assert len(piece) <= SMALL
            got += len(piece)
        assert got == LONG
        assert memory.left == 0


@on_both_loops
async def test_a_large_piece_is_held_until_its_reader_asks_for_the_next_one():
    memory = StreamMemory(32 << 20)
    async with origin(always_long, memory=memory) as (client, _):
        response = await client.ask(GET)
        await until(lambda: response._paused)
        while len(piece := await response.read(LARGE)) <= SMALL:
            pass
        assert memory.left <= (32 << 20) - len(piece)
        while await response.read(LARGE):
            assert memory.left > (32 << 20) - 4 * LARGE
        assert memory.left == 32 << 20


@on_both_loops
@pytest.mark.parametrize("how", ["closed", "closed after a piece", "cancelled", "client closed"])
async def test_a_response_that_is_given_up_gives_its_memory_back(how):
    memory = StreamMemory(32 << 20)
    async with origin(always_long, memory=memory) as (client, _):
        response = await client.ask(GET)
        await until(lambda: response._paused)
        if how == "closed after a piece":
            assert await response.read(LARGE)
        elif how == "cancelled":
            while response._pieces:
                await response.read(LARGE)
            reading = asyncio.ensure_future(response.wait(Phase.READ, 20))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
        elif how == "client closed":
            await client.close()
        if how != "cancelled":
            response.close()
        assert memory.left == 32 << 20


@on_both_loops
async def test_requests_beyond_the_most_connections_wait_in_their_order():
    served: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            served.append((await peer.request())[4:6])
            await peer.send(HELLO)

    async with origin(script, most_connections=2) as (client, peers):

        async def one(number: int) -> None:
            assert await text(await client.ask(GET.replace(b"/key", b"%02d" % number))) == b"hello"

        await asyncio.gather(*(one(number) for number in range(30)))
        assert sorted(served) == [b"%02d" % number for number in range(30)]
        assert len(peers) == 2
        assert [int(number) // 10 for number in served] == [0] * 10 + [1] * 10 + [2] * 10


@on_both_loops
async def test_a_request_that_finds_no_connection_in_time_is_not_reached():
    deadlines = Deadlines(connect_s=SHORT)
    async with origin(answering(HELLO[:-1]), deadlines, most_connections=1) as (client, _):
        response = await client.ask(GET)
        with pytest.raises(NotReached, match="busy"):
            await client.ask(GET)
        response.close()
        await client.ask(GET)


async def cancelled(task: asyncio.Future) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@on_both_loops
async def test_a_request_cancelled_in_the_queue_leaves_its_place():
    async with origin(answering(HELLO[:-1]), most_connections=1) as (client, _peers):
        response = await client.ask(GET)
        first, second = (asyncio.ensure_future(client.ask(GET)) for _ in range(2))
        await until(lambda: len(client._queue) == 2)
        await cancelled(first)
        third = asyncio.ensure_future(client.ask(GET))
        await until(lambda: len(client._queue) == 2)
        response.close()  # the second has its turn
        await cancelled(second)  # and gives it up at the same moment
        (await third).close()
        assert not client._queue
        assert client._free == 1


@on_both_loops
async def test_a_request_cancelled_while_it_waits_for_its_answer_gives_its_connection_up():
    async with origin(silence, most_connections=1) as (client, peers):
        for number in range(3):
            asking = asyncio.ensure_future(client.ask(GET))
            await until_came(peers, number)
            await cancelled(asking)
            await until_gone(peers, number)
        assert client._free == 1


@pytest.mark.parametrize("turns", range(12))
@on_both_loops
async def test_a_request_cancelled_at_any_moment_leaks_nothing(turns):
    async with origin(always_hello, most_connections=1) as (client, _):
        for _ in range(5):
            asking = asyncio.ensure_future(client.ask(GET))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                (await asking).close()
        await hello(client)
        assert client._free == 1
        assert len(client._idle) == 1


@on_both_loops
async def test_a_read_and_a_write_that_are_cancelled_end_their_connection():
    async def script(peer: Peer) -> None:
        if (await peer.request()).startswith(b"GET"):
            await peer.send(HELLO[:-1])
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    size = 64 << 20
    async with origin(script, most_connections=1) as (client, _):
        response = await client.ask(GET)
        assert await response.read(9) == b"hell"
        reading = asyncio.ensure_future(response.read(9))
        await until(lambda: response.is_awaited)
        await cancelled(reading)
        with pytest.raises(OriginError):
            await response.read(9)
        upload = await client.upload(put(size), size)
        writing = asyncio.ensure_future(upload.write(bytes(size - 1)))
        await until(lambda: upload._response.is_awaited)
        await cancelled(writing)
        assert client._free == 1
        upload = await client.upload(put(0), 0)
        finishing = asyncio.ensure_future(upload.finish())
        await until(lambda: upload._response.is_awaited)
        await cancelled(finishing)
        assert client._free == 1


@on_both_loops
async def test_a_closed_client_breaks_everything_off():
    async with origin(answering(HELLO[:-1]), most_connections=2) as (client, _peers):
        response = await client.ask(GET)
        upload = await client.upload(put(5), 5)
        waiting = asyncio.ensure_future(client.ask(GET))
        await until(lambda: client._queue)
        await client.close()
        for what in (text(response), upload.write(b"x"), upload.finish()):
            with pytest.raises(OriginError):
                await what
        with pytest.raises(NotReached):
            await waiting
        with pytest.raises(NotReached):
            await client.ask(GET)
        await client.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@on_both_loops
async def test_tls(authority):
    size = 5 << 20

    async def script(peer: Peer) -> None:
        await peer.request()
        assert len(await peer.reader.readexactly(size)) == size
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await always_hello(peer)

    tls, trusted = server_context(authority, "origin.test"), trusting(authority)
    async with origin(script, tls=tls, trusted=trusted, name="origin.test") as (client, peers):
        upload = await client.upload(put(size), size)
        for _ in range(5):
            await upload.write(bytes(1 << 20))
        assert await (await upload.finish()).read_all(size) == bytes(size)
        for _ in range(3):
            await hello(client)
        assert len(peers) == 1


@pytest.mark.parametrize("fault", ["name", "authority", "plain"])
@on_both_loops
async def test_a_certificate_that_does_not_hold_is_no_connection(authority, fault):
    tls = None if fault == "plain" else server_context(authority, "origin.test")
    trusted = trusting(trustme.CA() if fault == "authority" else authority)
    name = "other.test" if fault == "name" else "origin.test"
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.reader.read(9))
        await peer.send(HELLO)

    async with origin(script, tls=tls, trusted=trusted, name=name, most_connections=1) as (client, _):
        for _ in range(2):
            with pytest.raises(NotReached) as caught:
                await client.ask(GET)
        if fault != "plain":
            assert "certificate" in str(caught.value)
        assert not [head for head in heads if head.startswith(b"GET")]


@on_both_loops
async def test_a_tls_connection_that_ends_without_saying_so_is_broken(authority):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        peer.writer.transport.abort()  # no close_notify: the body may have been cut by anybody

    tls, trusted = server_context(authority, "origin.test"), trusting(authority)
    async with origin(script, tls=tls, trusted=trusted, name="origin.test") as (client, _):
        with pytest.raises(ConnectionBroken):
            await text(await client.ask(GET))
