"""Answers as bytes: heads, error documents, and bodies that end whole or break the connection."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import trustme
import uvloop

from gateway.errors import Code, S3Error
from gateway.origin.base import BodyReader, Checked, FileRegion
from gateway.origin.directory import DirectoryOrigin
from gateway.origin.errors import OriginError
from gateway.web.answers import (
    Answer,
    BodySlice,
    Connection,
    DateLine,
    error_answer,
    render_head,
    write_answer,
    xml_answer,
)

MIB = 1 << 20
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def test_a_head_has_the_common_lines_the_own_ones_and_the_length():
    answer = Answer(200, [("ETag", '"e"'), ("x-amz-meta-a", "é")], b"body")
    assert render_head(answer, "Date: now\r\n", close=False) == (
        'HTTP/1.1 200 OK\r\nDate: now\r\nETag: "e"\r\nx-amz-meta-a: é\r\nContent-Length: 4\r\n\r\n'.encode()
    )
    assert render_head(Answer(), "", close=True).endswith(b"Content-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_can_have_no_body_has_no_length(status):
    assert b"Content-Length" not in render_head(Answer(status), "", close=False)


def test_the_length_of_a_head_request_is_that_of_the_object():
    assert b"Content-Length: 77\r\n" in render_head(Answer(length=77), "", close=False)


def test_bytes_that_were_no_utf8_leave_as_they_came():
    assert b"x: caf\xe9\r\n" in render_head(Answer(200, [("x", "caf\udce9")]), "", close=False)


@pytest.mark.parametrize("status", [code.status for code in Code])
def test_every_status_of_the_error_table_has_its_reason(status):
    line = render_head(Answer(status), "", close=False).split(b"\r\n")[0]
    assert line.startswith(f"HTTP/1.1 {status} ".encode())
    assert len(line) > len(f"HTTP/1.1 {status} ")


def test_an_error_says_what_else_the_client_needs():
    answer = error_answer(S3Error(Code.InvalidRange, ActualObjectSize=9), "/b/k", "R", "H")
    assert answer.status == 416
    assert ("Content-Range", "bytes */9") in answer.headers
    assert b"<Code>InvalidRange</Code>" in answer.body
    assert ("Retry-After", "1") in error_answer(S3Error(Code.SlowDown), "/", "R", "H").headers
    assert ("Retry-After", "1") not in error_answer(S3Error(Code.AccessDenied), "/", "R", "H").headers


def test_the_date_is_rendered_anew_when_the_second_changes():
    dates = DateLine()
    assert dates.at(0) == "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    assert dates.at(0) is dates.at(0)
    assert dates.at(1) == "Date: Thu, 01 Jan 1970 00:00:01 GMT\r\n"


def test_xml_says_that_it_is_xml():
    assert xml_answer(b"<a/>", ("X", "y")).headers == [("Content-Type", "application/xml"), ("X", "y")]


class Wire(asyncio.streams.FlowControlMixin):
    """One connection of a server that answers with whatever `work` writes, and then hangs up."""

    def __init__(
        self, work: Callable[["Wire"], Awaitable[None]], outcome: "asyncio.Future[BaseException | None]"
    ) -> None:
        super().__init__()
        self.transport: asyncio.Transport | None = None
        self._work = work
        self._outcome = outcome

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._task = asyncio.ensure_future(self._answer())

    async def drained(self) -> None:
        await self._drain_helper()  # type: ignore[attr-defined]

    async def _answer(self) -> None:
        assert self.transport is not None
        try:
            await self._work(self)
        except (OriginError, ConnectionError) as error:
            self._outcome.set_result(error)
            self.transport.abort()
        else:
            self._outcome.set_result(None)
            self.transport.close()


@dataclass
class Told:
    data: bytes
    error: BaseException | None


async def answered(
    answer: Answer, *, is_head: bool = False, timeout_s: float = 20.0, reads: bool = True, limit: int = 1 << 16
) -> Told:
    """What a client receives of an answer, and what write_answer raised."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[BaseException | None] = loop.create_future()

    async def work(wire: Wire) -> None:
        await write_answer(cast(Connection, wire), HEAD, answer, is_head=is_head, timeout_s=timeout_s)

    server = await loop.create_server(lambda: Wire(work, outcome), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=limit)
    try:
        if not reads:
            return Told(b"", await outcome)
        try:
            data = await reader.read()
        except ConnectionError:
            data = b"broken"
        return Told(data, await outcome)
    finally:
        writer.close()
        server.close()


class Broken:
    """A body that ends early: `good` bytes, then the origin dies."""

    plain_file = None

    def __init__(self, good: int) -> None:
        self._good = good

    async def read(self, offset: int, size: int) -> bytes:
        if offset >= self._good:
            raise OriginError("dead")
        return b"x" * min(size, self._good - offset)

    async def region(self, _offset: int, _size: int) -> FileRegion | None:
        return None

    def close(self) -> None:
        pass


@dataclass
class Short:
    """A body whose reads give less than was asked for."""

    data: bytes
    piece: int
    plain_file: str | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def read(self, offset: int, size: int) -> bytes:
        self.asked.append((offset, size))
        return self.data[offset : offset + min(size, self.piece)]

    async def region(self, _offset: int, _size: int) -> FileRegion | None:
        return None

    def close(self) -> None:
        pass


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[DirectoryOrigin]:
    opened = DirectoryOrigin(tmp_path / "objects", durable=False)
    yield opened
    await opened.close()


async def slice_of(origin: DirectoryOrigin, data: bytes, offset: int, size: int) -> BodySlice:
    location = origin.locate("b", "k", "w")
    await origin.store(location, data, Checked)
    return BodySlice(await origin.open(location), offset, size)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(("offset", "size"), [(0, 1), (5, 60_000), (0, 5 * MIB), (3, 5 * MIB - 3), (MIB, 2 * MIB + 1)])
def test_a_client_receives_exactly_the_slice(tmp_path, loop_factory, offset, size):
    data = os.urandom(5 * MIB)

    async def scenario() -> Told:
        origin = DirectoryOrigin(tmp_path / "objects", durable=False)
        part = await slice_of(origin, data, offset, size)
        told = await answered(Answer(slice=part))
        part.reader.close()
        await origin.close()
        return told

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        told = runner.run(scenario())
    assert told.error is None
    assert told.data == HEAD + data[offset : offset + size]


async def test_a_head_request_gets_no_byte_of_the_body(origin):
    part = await slice_of(origin, b"body", 0, 4)
    assert (await answered(Answer(slice=part), is_head=True)).data == HEAD
    assert (await answered(Answer(body=b"<Error/>"), is_head=True)).data == HEAD
    part.reader.close()


@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("piece", [700, 100_000])
async def test_reads_that_give_less_than_asked_are_asked_again(size, piece):
    body = Short(os.urandom(size), piece)
    reader: BodyReader = body
    told = await answered(Answer(slice=BodySlice(reader, 0, size)))
    assert told.data == HEAD + body.data


@pytest.mark.parametrize("good", [0, 1000, MIB])
async def test_a_body_that_breaks_off_is_raised_and_not_ended_politely(good):
    told = await answered(Answer(slice=BodySlice(Broken(good), 0, 3 * MIB)))
    assert isinstance(told.error, OriginError)
    assert b"<Error>" not in told.data
    assert told.data == b"broken" or len(told.data) < 3 * MIB


async def test_a_client_that_takes_nothing_is_cut_off(origin):
    part = await slice_of(origin, bytes(32 * MIB), 0, 32 * MIB)
    told = await answered(Answer(slice=part), timeout_s=0.2, reads=False, limit=1)
    assert isinstance(told.error, ConnectionResetError)
    part.reader.close()


async def taken_slowly(body: Short, size: int, pause_s: float, timeout_s: float) -> Told:
    """What a client with hardly any buffer receives, which takes up to `size` bytes and pauses."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[BaseException | None] = loop.create_future()

    async def work(wire: Wire) -> None:
        assert wire.transport is not None
        wire.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 10)
        answer = Answer(slice=BodySlice(body, 0, len(body.data)))
        await write_answer(cast(Connection, wire), HEAD, answer, is_head=False, timeout_s=timeout_s)

    server = await loop.create_server(lambda: Wire(work, outcome), "127.0.0.1", 0)
    received = bytearray()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(client, size):
                received += data
                await asyncio.sleep(pause_s)  # it is slow: nothing is waited for here
    server.close()
    return Told(bytes(received), await outcome)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_slow_client_may_take_longer_for_a_piece_as_long_as_it_goes_on_taking(loop_factory):
    """It takes 160 KiB a second; the piece is of 400 KiB, and 64 of them are enough each time."""
    body = Short(os.urandom(400 << 10), MIB)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        told = runner.run(taken_slowly(body, 8 << 10, 0.05, timeout_s=1.5))
    assert len(body.asked) == 1
    assert told.error is None
    assert told.data == HEAD + body.data


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_client_that_takes_next_to_nothing_is_cut_off(loop_factory):
    body = Short(bytes(400 << 10), MIB)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        told = runner.run(taken_slowly(body, 2 << 10, 0.05, timeout_s=0.5))
    assert isinstance(told.error, ConnectionResetError)
    assert len(told.data) < len(body.data)


@dataclass
class BrokenOff(Short):
    """A body whose connection is broken off while it is looked for in its file."""

    fd: int = -1
    transport: asyncio.Transport | None = None

    async def region(self, offset: int, size: int) -> FileRegion | None:
        assert self.transport is not None
        self.transport.abort()
        return FileRegion(self.fd, offset, size)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_connection_that_was_broken_off_is_sent_no_more_of_a_file(tmp_path, loop_factory):
    (tmp_path / "body").write_bytes(bytes(MIB))
    body = BrokenOff(bytes(MIB), MIB, fd=os.open(tmp_path / "body", os.O_RDONLY))
    answer = Answer(slice=BodySlice(body, 0, MIB))

    async def work(wire: Wire) -> None:
        body.transport = wire.transport
        await write_answer(cast(Connection, wire), HEAD, answer, is_head=False, timeout_s=20.0)

    async def scenario() -> tuple[bytes, BaseException | None]:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[BaseException | None] = loop.create_future()
        server = await loop.create_server(lambda: Wire(work, outcome), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            return await reader.read(), await outcome
        finally:
            writer.close()
            server.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        received, error = runner.run(scenario())
    os.close(body.fd)
    assert isinstance(error, ConnectionResetError)
    assert (received, answer.sent) == (HEAD, 0)


class Watched(Short):
    """Looks how much its client has not taken yet whenever more is read."""

    def __init__(self, data: bytes, piece: int) -> None:
        super().__init__(data, piece)
        self.transport: asyncio.Transport | None = None
        self.unsent: list[int] = []

    async def read(self, offset: int, size: int) -> bytes:
        assert self.transport is not None
        self.unsent.append(self.transport.get_write_buffer_size())
        return await super().read(offset, size)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(("encrypted", "most"), [(False, 0), (True, 32 << 10)])
def test_nothing_more_is_read_before_a_client_has_taken_what_was(loop_factory, encrypted, most):
    """The loops themselves would go on while 64 KiB wait, under TLS 512."""
    served = trusted = None
    if encrypted:
        authority = trustme.CA()
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(served)
        trusted = ssl.create_default_context()
        authority.configure_trust(trusted)
    body = Watched(bytes(16 * MIB), 20_000)

    async def work(wire: Wire) -> None:
        body.transport = wire.transport
        answer = Answer(slice=BodySlice(body, 0, len(body.data)))
        await write_answer(cast(Connection, wire), HEAD, answer, is_head=False, timeout_s=20.0)

    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[BaseException | None] = loop.create_future()
        server = await loop.create_server(lambda: Wire(work, outcome), "127.0.0.1", 0, ssl=served)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=trusted)
        await asyncio.sleep(0.2)
        received = len(await reader.read())
        writer.close()
        server.close()
        return received

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(scenario()) == len(HEAD) + len(body.data)
    assert max(body.unsent) <= most


async def test_a_client_that_has_gone_is_a_connection_error():
    class Gone:
        transport = None

        async def drained(self) -> None:
            pass

    with pytest.raises(ConnectionResetError):
        await write_answer(Gone(), HEAD, Answer(), is_head=False, timeout_s=1.0)
