"""Readers and writers of an S3 origin: one answer at a time, and an ETag that is looked at."""

import asyncio
from typing import Any

import pytest

from gateway.origin import http_client
from gateway.origin.errors import OriginDown, OriginError, OutcomeUnknown
from gateway.origin.http_client import Response, Upload
from gateway.origin.s3.bodies import S3Reader, S3Writer, check_etag
from gateway.origin.s3.places import Place
from gateway.origin.s3.requests import UNSIGNED_PAYLOAD, Request
from gateway.stream_memory import StreamMemory
from tests.origin.s3.scripted import HANGS, Server, Step, all_arrived, answer, session_to
from tests.support.house import read_to_the_end

MD5 = '"5d41402abc4b2a76b9719d911017c592"'
BODY = b"0123456789"
LARGE = bytes(range(256)) * (8 << 12)
"""More than the kernel takes in for a reader who reads nothing."""

PUT = Request("PUT", Place("b", "k"), "", {}, UNSIGNED_PAYLOAD, 5)


@pytest.mark.parametrize(
    ("found", "md5", "md5_etags", "fine"),
    [
        (MD5, MD5, True, True),
        (MD5, None, True, True),
        (MD5, '"00000000000000000000000000000000"', True, False),
        (MD5.upper(), MD5, True, False),
        ('"5d41402abc4b2a76b9719d911017c592-2"', None, True, False),
        (f"W/{MD5}", MD5, True, False),
        ('""', None, True, False),
        (f"{MD5}\n", None, True, False),
        ('"anything"', MD5, False, True),
    ],
)
def test_an_etag_is_the_md5_where_it_should_be(found, md5, md5_etags, fine):
    if fine:
        assert check_etag(found, md5, "b/k", md5_etags=md5_etags) == found
    else:
        with pytest.raises(OriginError, match="md5_etags = false"):
            check_etag(found, md5, "b/k", md5_etags=md5_etags)


class Ranges:
    """What a reader asks for, and the answers it gets."""

    def __init__(self, port: int, **more: Any) -> None:
        self.session = session_to(port, **more)
        self.asked: list[tuple[int, int | None]] = []

    async def read_from(self, location: str, etag: str | None, offset: int, size: int | None) -> Response:
        self.asked.append((offset, size))
        return await self.session.ask(Request("GET", Place("b", "k")))

    async def opened(self, offset: int, size: int | None) -> S3Reader:
        response = await self.read_from("b/k", '"e"', offset, size)
        return S3Reader(self, "b/k", '"e"', response, offset, size)


async def test_reading_on_asks_once_and_a_jump_asks_for_the_rest():
    async with Server(answer(200, BODY), answer(200, BODY[7:]), answer(200, BODY[2:])) as server:
        ranges = Ranges(server.port)
        reader = await ranges.opened(0, 10)
        assert [await reader.read(0, 3), await reader.read(3, 2)] == [b"012", b"34"]
        assert await reader.read(7, 1) == b"7"
        assert await reader.read(8, 5) == b"89"
        assert await reader.read(2, 1) == b"2"
        assert ranges.asked == [(0, 10), (7, 3), (2, 8)]
        reader.close()
        await ranges.session.close()


async def test_a_jump_in_a_body_of_unknown_end_or_past_the_end_asks_for_all_that_is_left():
    async with Server(answer(200, BODY), answer(200, BODY[7:]), answer(200, b"x")) as server:
        ranges = Ranges(server.port)
        reader = await ranges.opened(0, None)
        await reader.read(7, 1)
        reader.close()
        reader = await ranges.opened(0, 5)
        reader.close()
        assert ranges.asked == [(0, None), (7, None), (0, 5)]
        await ranges.session.close()


async def test_readers_who_take_their_time_give_way_to_others_and_read_on_later(monkeypatch):
    monkeypatch.setattr(http_client, "STALLED_S", 0.0)
    memory = StreamMemory()
    before = memory.left
    async with Server(answer(200, LARGE), answer(200, LARGE)) as server:
        ranges = Ranges(server.port, most_connections=2, memory=memory)
        slow = [await ranges.opened(0, len(LARGE)) for _ in range(2)]
        read = [await reader.read(0, 100) for reader in slow]
        server.script += [Step(answer(200, b"other"))] * 3
        server.script.append(Step(answer(200, LARGE[len(read[0]) :])))
        async with asyncio.timeout(20):
            for _ in range(3):
                other = await ranges.opened(0, 5)
                assert await other.read(0, 5) == b"other"
                other.close()
            for reader, begun in zip(slow, read, strict=True):
                assert begun + await read_to_the_end(reader, len(begun), len(LARGE) - len(begun)) == LARGE
                reader.close()
        assert ranges.asked[5:] == [(len(read[0]), len(LARGE) - len(read[0]))], "one gave way, and no more than that"
        assert memory.left == before
        await ranges.session.close()


async def test_a_reader_of_what_may_have_become_another_body_keeps_its_connection(monkeypatch):
    """Without an ETag nobody could tell whether the rest is of the same body."""
    monkeypatch.setattr(http_client, "STALLED_S", 0.0)
    async with Server(answer(200, LARGE)) as server:
        ranges = Ranges(server.port, most_connections=1, connect_s=0.3, retries=0)
        reader = S3Reader(ranges, "b/k", None, await ranges.read_from("b/k", None, 0, None), 0, None)
        begun = await reader.read(0, 100)
        with pytest.raises(OriginDown):
            await ranges.opened(0, 5)
        assert begun + await read_to_the_end(reader, len(begun), len(LARGE) - len(begun)) == LARGE
        reader.close()
        await ranges.session.close()


async def test_a_jump_that_is_cancelled_leaves_no_connection():
    async with Server(answer(200, BODY), HANGS) as server:
        ranges = Ranges(server.port)
        reader = await ranges.opened(0, 10)
        jump = asyncio.ensure_future(reader.read(7, 1))
        await server.saw(2)
        jump.cancel()
        await asyncio.gather(jump, return_exceptions=True)
        reader.close()
        assert ranges.session._client(f"127.0.0.1:{server.port}")._free == 8
        await ranges.session.close()


class Origin:
    """What a writer tells of its end."""

    def __init__(self, port: int) -> None:
        self.session = session_to(port)

    async def refused(self, request: Request, error: OriginError) -> OriginError:
        return await self.session.refused(request, error)

    async def stored(self, request: Request, upload: Upload, location: str, write_id: str, size: int) -> str:
        (await self.session.answered(request, upload)).close()
        return MD5

    async def writer(self) -> S3Writer:
        return S3Writer(self, "b/k", PUT, await self.session.upload(PUT), "w1", md5_etags=True)


async def test_a_writer_ends_once():
    async with Server(answer()) as server:
        origin = Origin(server.port)
        writer = await origin.writer()
        await writer.write(b"hel")
        await writer.write(b"")
        await writer.write(bytearray(b"lo"))
        assert await writer.finish(MD5) == MD5
        await writer.abort()
        assert server.seen[0].body == b"hello"
        await origin.session.close()


async def test_a_writer_that_is_aborted_cuts_its_request_off():
    async with Server(answer()) as server:
        origin = Origin(server.port)
        writer = await origin.writer()
        await writer.write(b"hel")
        await writer.abort()
        await all_arrived()
        assert server.seen == []
        assert origin.session._client(f"127.0.0.1:{server.port}")._free == 8
        await origin.session.close()


async def test_a_failed_write_ends_the_writer_with_what_is_known():
    async with Server(Step(early=True, close=True), HANGS) as server:
        origin = Origin(server.port)
        writer = await origin.writer()
        await all_arrived()
        with pytest.raises(OriginDown) as raised:
            await writer.write(b"hel")
        assert raised.value.__cause__ is not raised.value
        await writer.abort()
        writer = await origin.writer()
        with pytest.raises(OriginError, match="announced") as too_long:
            await writer.write(b"too long")
        assert too_long.value.__cause__ is None
        await writer.abort()
        await origin.session.close()


@pytest.mark.parametrize(("data", "is_unknown"), [(b"hel", False), (b"hello", True)])
async def test_who_cannot_hand_over_the_last_bytes_does_not_know_whether_they_arrived(data, is_unknown):
    async with Server(Step(early=True, close=True)) as server:
        origin = Origin(server.port)
        writer = await origin.writer()
        await all_arrived()
        with pytest.raises(OriginDown) as raised:
            await writer.write(data)
        assert isinstance(raised.value, OutcomeUnknown) is is_unknown
        await writer.abort()
        await origin.session.close()


async def test_a_writer_whose_write_is_cancelled_can_be_aborted():
    async with Server(HANGS) as server:
        origin = Origin(server.port)
        request = Request("PUT", Place("b", "k"), "", {}, UNSIGNED_PAYLOAD, 64 << 20)
        writer = S3Writer(origin, "b/k", request, await origin.session.upload(request), "w1", md5_etags=True)
        server.script.clear()

        async def write() -> None:
            for _ in range(64):
                await writer.write(bytes(1 << 20))

        writing = asyncio.ensure_future(write())
        await all_arrived()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await writer.abort()
        assert origin.session._client(f"127.0.0.1:{server.port}")._free == 8
        await origin.session.close()
