"""Taking in a body: nothing is visible at the origin before every claim holds, and blocks keep their order."""

import asyncio
import hashlib
import logging
import tracemalloc
from dataclasses import replace

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.beside import Writing
from gateway.objects.bodies import BLOCK, Claims, IncomingBody, origin_failed, take_in
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyMeta
from gateway.origin.errors import BodyNotFound, MetadataTooLarge, OriginError, OriginFull, UploadNotFound
from gateway.s3.checksums import Algorithm, Checksum
from gateway.store.records import Intent
from gateway.stream_memory import SMALL, StreamMemory
from tests.support.data import pattern
from tests.support.house import body_of, pieces_of

META = BodyMeta("b", "k", "u", "w")


def writing(rooms: Rooms) -> Writing:
    return Writing(rooms, Intent("w", "put", "b", "k", "u", 0, "local", "place", 0))


async def taken(house, origin, body: IncomingBody):
    assert house.rooms.origin("local") is origin
    return await take_in(house.rooms, writing(house.rooms), body, META)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("piece", [1000, BLOCK, 10 * BLOCK])
async def test_digests_are_of_all_bytes_in_their_order(house, origin, size, piece):
    body = pattern(size)
    digests = await taken(house, origin, body_of(body, Claims(algorithm=Algorithm.SHA1), piece))
    assert (digests.size, digests.md5) == (size, hashlib.md5(body).digest())
    assert digests.etag == f'"{hashlib.md5(body).hexdigest()}"'
    assert origin.bodies == {"place": body}


async def test_pieces_may_be_of_any_kind_of_bytes_and_reused_by_who_gave_them(house, origin):
    async def pieces():
        buffer = bytearray(50_000)
        for number in range(20):
            buffer[:] = bytes([number]) * len(buffer)
            yield memoryview(buffer)

    wanted = b"".join(bytes([number]) * 50_000 for number in range(20))
    digests = await taken(house, origin, IncomingBody(len(wanted), pieces()))
    assert digests.md5 == hashlib.md5(wanted).digest()
    assert origin.bodies["place"] == wanted


async def test_a_small_body_takes_no_more_memory_when_it_comes_two_bytes_at_a_time(house, origin):
    """Of one in large pieces its bytes are counted twice; each small piece would cost twenty times its bytes."""
    body = pattern(house.rooms.limits.small_body)
    tracemalloc.start()
    try:
        await taken(house, origin, body_of(body, piece=2))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert origin.bodies == {"place": body}
    assert peak < 4 * len(body)


async def test_the_last_bytes_are_held_back_until_the_claims_hold(house, origin):
    body = pattern(5 * BLOCK)
    with pytest.raises(S3Error) as refused:
        await taken(house, origin, body_of(body, Claims(md5=bytes(16))))
    assert refused.value.code is Code.BadDigest
    assert origin.faults.seen.count("write") < 5
    assert "finish" not in origin.faults.seen
    assert origin.locations == set()


async def test_the_last_bytes_of_a_form_are_held_back_though_nobody_knows_that_they_are_the_last(house, origin):
    body = pattern(BLOCK)
    with pytest.raises(S3Error) as refused:
        await taken(house, origin, IncomingBody(2 * BLOCK, pieces_of(body), Claims(md5=bytes(16)), exact=False))
    assert refused.value.code is Code.BadDigest
    assert "write" not in origin.faults.seen
    assert origin.locations == set()


async def test_blocks_are_small_and_one_at_a_time_where_many_bodies_stream(house, origin):
    body = pattern(3 * BLOCK)
    crowded = replace(house.rooms, stream_memory=StreamMemory(0))
    asked = 0

    async def pieces():
        nonlocal asked
        async for piece in pieces_of(body, SMALL):
            asked += 1
            yield piece

    pause = origin.faults.pause("write")
    uploading = asyncio.ensure_future(take_in(crowded, writing(crowded), IncomingBody(len(body), pieces()), META))
    await pause.reached.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert asked == 1  # what is not asked for stays with the client
    pause.resume.set()
    digests = await uploading
    assert digests.md5 == hashlib.md5(body).digest()
    assert origin.bodies == {"place": body}


async def test_the_next_block_arrives_while_one_is_written_where_few_bodies_stream(house, origin):
    body = pattern(3 * BLOCK)
    asked = 0

    async def pieces():
        nonlocal asked
        async for piece in pieces_of(body, BLOCK):
            asked += 1
            yield piece

    pause = origin.faults.pause("write")
    uploading = asyncio.ensure_future(taken(house, origin, IncomingBody(len(body), pieces())))
    await pause.reached.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert asked == 2
    pause.resume.set()
    await uploading


@pytest.mark.parametrize("how", ["whole", "short", "refused", "cancelled"])
async def test_however_a_body_ends_it_gives_back_the_memory_of_its_blocks(house, origin, how):
    memory = house.rooms.stream_memory
    before = memory.left
    pause = origin.faults.pause("write")
    if how == "refused":
        origin.faults.fail("finish")
    pieces = pieces_of(pattern(4 * BLOCK - (how == "short")))
    uploading = asyncio.ensure_future(taken(house, origin, IncomingBody(4 * BLOCK, pieces)))
    await pause.reached.wait()
    assert memory.left <= before - BLOCK
    if how == "cancelled":
        uploading.cancel()
    pause.resume.set()
    await asyncio.wait([uploading])
    assert memory.left == before
    assert uploading.cancelled() == (how == "cancelled")


async def test_a_trailing_checksum_is_asked_for_after_the_last_piece(house, origin):
    ended = []

    async def pieces():
        async for piece in pieces_of(pattern(100_000)):
            yield piece
        ended.append(1)

    def claimed() -> Checksum:
        assert ended
        return Checksum(Algorithm.CRC32, "AAAAAA==")

    with pytest.raises(S3Error) as refused:
        await taken(house, origin, IncomingBody(100_000, pieces(), Claims(algorithm=Algorithm.CRC32, checksum=claimed)))
    assert refused.value.code is Code.BadDigest


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_form_may_bring_less_than_it_announced(house, origin, size):
    body = IncomingBody(size + 500, pieces_of(pattern(size)), exact=False)
    assert (await taken(house, origin, body)).size == size
    assert origin.bodies["place"] == pattern(size)


async def test_a_client_and_an_origin_that_fail_together_leave_no_task_behind(house, origin, caplog):
    async def pieces():
        for _ in range(4):
            yield pattern(BLOCK)
        raise S3Error(Code.IncompleteBody)

    origin.faults.fail("write")
    with caplog.at_level(logging.ERROR), pytest.raises(S3Error):
        await taken(house, origin, IncomingBody(9 * BLOCK, pieces()))
    import gc

    gc.collect()
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if "never retrieved" in record.getMessage()] == []
    assert origin.locations == set()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OriginError("x"), Code.ServiceUnavailable),
        (OriginFull("x"), Code.ServiceUnavailable),
        (BodyNotFound("x"), Code.InternalError),
    ],
)
def test_what_the_origin_says_is_for_the_operator_alone(error, code, caplog):
    told = origin_failed(error, "local")
    assert told.code is code
    assert "x" not in told.message
    assert "x" not in told.fields
    assert len(caplog.records) == 1
    assert "local" in caplog.text
    assert caplog.text.rstrip().endswith("x")


def test_metadata_that_the_origin_does_not_take_is_the_clients_own_affair(caplog):
    assert origin_failed(MetadataTooLarge("too much"), "local").code is Code.MetadataTooLarge
    assert caplog.records == []


def test_a_part_of_an_upload_that_has_ended_at_the_origin_is_told_so():
    assert origin_failed(UploadNotFound("x"), "local").code is Code.NoSuchUpload


async def test_a_block_under_way_is_written_to_its_end_however_often_its_upload_is_cancelled(house, origin):
    """Its descriptor must not be closed, and given to somebody else, while a thread still writes to it."""
    never = asyncio.Event()

    async def pieces():
        yield pattern(BLOCK)
        await never.wait()

    pause = origin.faults.pause("write")
    uploading = asyncio.ensure_future(taken(house, origin, IncomingBody(9 * BLOCK, pieces())))
    await pause.reached.wait()
    for _ in range(3):
        uploading.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
    assert not uploading.done()
    assert "abort" not in origin.faults.seen
    pause.resume.set()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert "abort" in origin.faults.seen
    assert origin.locations == set()
