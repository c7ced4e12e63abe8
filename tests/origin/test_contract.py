"""What gateway.origin.base promises of every origin: a directory, the tests' own in memory, an S3 endpoint.

What only one of them does is in the tests of that one.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.origin.base import Begun, BodyMeta, Checked, Origin, PartBody
from gateway.origin.directory import DirectoryOrigin
from gateway.origin.errors import BodyNotFound, OriginError
from gateway.origin.providers import PROVIDERS
from gateway.origin.s3.origin import S3Origin
from gateway.origin.s3.places import Place
from gateway.origin.s3.requests import Request
from tests.origin.s3.scripted import session_to
from tests.support.data import ODD_KEYS, pattern
from tests.support.house import read_to_the_end
from tests.support.memory_origin import MemoryOrigin

PART = 5 << 20
"""Bytes; no part but the last may be smaller at S3."""

FIRST, SECOND, THIRD = ("0123456789abcdef" * 2, "fedcba9876543210" * 2, "00112233445566778899aabbccddeeff")
KINDS = ("directory", "memory", "s3, full", "s3, plain")


@pytest.fixture(params=KINDS)
async def origin(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> AsyncIterator[Origin]:
    opened: Origin
    if request.param == "directory":
        opened = DirectoryOrigin(tmp_path / "objects")
    elif request.param == "memory":
        opened = MemoryOrigin()
    else:
        session = session_to(request.getfixturevalue("moto_port"), first_byte_s=20.0, whole_s=20.0)
        profile = PROVIDERS["minio" if request.param == "s3, full" else "generic"]
        await session.done(Request("PUT", Place(bucket, "")))
        opened = S3Origin(session, profile, sign_bodies=True)
    yield opened
    await opened.close()


def meta_of(bucket: str, write_id: str, key: str = "k") -> BodyMeta:
    return BodyMeta(bucket, key, "ann", write_id, "", {"content-type": "text/é"}, {"a": "ü"}, {"t": "1"})


async def whole(origin: Origin, location: str, size: int, etag: str | None = None, offset: int = 0) -> bytes:
    reader = await origin.open(location, etag, offset, size)
    try:
        return await read_to_the_end(reader, offset, size)
    finally:
        reader.close()


async def is_there(origin: Origin, location: str) -> bool:
    try:
        (await origin.open(location)).close()
    except BodyNotFound:
        return False
    return True


async def uploaded(origin: Origin, bucket: str, *bodies: bytes) -> tuple[str, list[PartBody]]:
    """An upload with these parts in it."""
    location = origin.locate_upload(origin.locate(bucket, "film", FIRST))
    location = await origin.begin_upload(location, meta_of(bucket, FIRST, "film"))
    parts = []
    for number, body in enumerate(bodies, 1):
        part = origin.locate_part(location, number, SECOND)
        parts.append(PartBody(part, len(body), await origin.store(part, body, Checked)))
    return location, parts


def test_locations_are_pure_and_no_two_writes_share_one(origin):
    locations = [origin.locate("b", key, write_id) for key in ODD_KEYS for write_id in (FIRST, SECOND)]
    assert len(set(locations)) == len(locations)
    assert locations[0] == origin.locate("b", ODD_KEYS[0], FIRST)
    upload = origin.locate_upload(locations[0])
    parts = [origin.locate_part(upload, number, write_id) for number in (1, 2) for write_id in (FIRST, SECOND)]
    assert len({*locations, upload, *parts}) == len(locations) + 5
    assert isinstance(origin.settle_s, int)
    assert isinstance(origin.md5_etags, bool)


@pytest.mark.parametrize("size", [0, 1, 20_000, 3 << 20])
async def test_a_stored_body_is_read_back(origin, bucket, size):
    body = pattern(size)
    location = origin.locate(bucket, "k", FIRST)
    etag = await origin.store(location, body, lambda: Checked(meta_of(bucket, FIRST)))
    assert await whole(origin, location, size, etag) == body


@pytest.mark.parametrize("size", [1, 20_000, 3 << 20])
@pytest.mark.parametrize("known", [True, False])
async def test_a_written_body_is_read_back(origin, bucket, size, known):
    body = pattern(size)
    location = origin.locate(bucket, "k", FIRST)
    writer = await origin.create(location, size if known else None, meta_of(bucket, FIRST))
    assert writer.location == location
    for start in range(0, size, 300_000):
        await writer.write(memoryview(body)[start : start + 300_000])
    etag = await writer.finish()
    await writer.abort()
    assert await whole(origin, location, size, etag) == body


@pytest.mark.parametrize("data", [b"", b"ab", b"abcd"])
async def test_a_body_that_is_not_what_was_announced_does_not_exist(origin, bucket, data):
    location = origin.locate(bucket, "k", FIRST)
    writer = await origin.create(location, 3, meta_of(bucket, FIRST))
    with pytest.raises(OriginError):
        await writer.write(data)
        await writer.finish()
    await writer.abort()
    assert not await is_there(origin, location)


async def test_a_body_that_is_given_up_does_not_exist(origin, bucket):
    location = origin.locate(bucket, "k", FIRST)
    for size in (5, None):
        writer = await origin.create(location, size, meta_of(bucket, FIRST))
        await writer.write(b"abc")
        await writer.abort()
        assert not await is_there(origin, location)


async def test_what_the_check_raises_ends_the_write(origin, bucket):
    def check() -> Checked:
        raise ValueError("not what was claimed")

    for body in (b"hello", bytes(100_000)):
        location = origin.locate(bucket, "k", FIRST)
        with pytest.raises(ValueError, match="claimed"):
            await origin.store(location, body, check)
        assert not await is_there(origin, location)


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_odd_keys(origin, bucket, key):
    location = origin.locate(bucket, key, FIRST)
    about = BodyMeta(bucket, key, "ann", FIRST)
    etag = await origin.store(location, key.encode(), lambda: Checked(about))
    assert await whole(origin, location, len(key.encode()), etag) == key.encode()
    await origin.delete(location, FIRST)
    assert not await is_there(origin, location)


@pytest.mark.parametrize(("offset", "size"), [(0, 10), (0, 4), (3, 4), (9, 1)])
async def test_bytes_from_the_middle(origin, bucket, offset, size):
    location = origin.locate(bucket, "k", FIRST)
    etag = await origin.store(location, b"0123456789", lambda: Checked(meta_of(bucket, FIRST)))
    assert await whole(origin, location, size, etag, offset) == b"0123456789"[offset : offset + size]


async def test_a_reader_may_jump_and_is_told_of_the_end(origin, bucket):
    body = pattern(500_000)
    location = origin.locate(bucket, "k", FIRST)
    await origin.store(location, body, lambda: Checked(meta_of(bucket, FIRST)))
    reader = await origin.open(location)
    assert await read_to_the_end(reader, 400_000, 1000) == body[400_000:401_000]
    assert await read_to_the_end(reader, 10, 1000) == body[10:1010]
    assert await read_to_the_end(reader, 499_999, 1) == body[-1:]
    with pytest.raises(OriginError):
        await reader.read(500_000, 1)
    reader.close()


async def test_an_empty_body_can_be_opened(origin, bucket):
    location = origin.locate(bucket, "k", FIRST)
    etag = await origin.store(location, b"", lambda: Checked(meta_of(bucket, FIRST)))
    for size in (0, None):
        reader = await origin.open(location, etag, 0, size)
        with pytest.raises(OriginError):
            await reader.read(0, 1)
        reader.close()


async def test_readers_do_not_disturb_each_other(origin, bucket):
    bodies = {FIRST: pattern(200_000, 1), SECOND: pattern(200_000, 2)}
    locations = {write_id: origin.locate(bucket, "k", write_id) for write_id in bodies}
    for write_id, body in bodies.items():
        await origin.store(locations[write_id], body, lambda: Checked(meta_of(bucket, FIRST)))
    found = await asyncio.gather(*[whole(origin, locations[each], 200_000) for each in [*bodies] * 4])
    assert found == [*bodies.values()] * 4


async def test_what_is_not_there_is_not_found_and_may_be_removed(origin, bucket):
    location = origin.locate(bucket, "none", FIRST)
    with pytest.raises(BodyNotFound):
        await origin.open(location)
    with pytest.raises(BodyNotFound):
        await origin.copy(location, 0, 1, origin.locate(bucket, "l", SECOND), meta_of(bucket, SECOND))
    for begun in (None, Begun(1, 1000)):
        await origin.delete(location, FIRST, begun=begun)
        await origin.delete(origin.locate_upload(location), FIRST, begun=begun)


@pytest.mark.parametrize("body", [b"", b"0123456789", bytes(2_000_000)], ids=len)
async def test_a_copy(origin, bucket, body):
    source, target = origin.locate(bucket, "a%b é", FIRST), origin.locate(bucket, "copy", SECOND)
    etag = await origin.store(source, body, lambda: Checked(meta_of(bucket, FIRST)))
    copied = await origin.copy(source, 0, len(body), target, meta_of(bucket, SECOND, "copy"), etag)
    await origin.delete(source, FIRST)
    assert await whole(origin, target, len(body), copied) == body


async def test_a_copy_of_a_range(origin, bucket):
    source, target = origin.locate(bucket, "k", FIRST), origin.locate(bucket, "copy", SECOND)
    etag = await origin.store(source, b"0123456789", lambda: Checked(meta_of(bucket, FIRST)))
    copied = await origin.copy(source, 3, 4, target, meta_of(bucket, SECOND, "copy"), etag)
    assert await whole(origin, target, 4, copied) == b"3456"


async def test_parts_become_one_body(origin, bucket):
    bodies = (pattern(PART, 1), pattern(PART, 2), b"the end")
    location, parts = await uploaded(origin, bucket, *bodies)
    stored = await origin.assemble(location, parts, meta_of(bucket, FIRST, "film"))
    assert await origin.assemble(location, parts, meta_of(bucket, FIRST, "film")) == stored, "it is repeatable"
    size = 2 * PART + 7
    assert await whole(origin, stored.location, size, stored.etag) == b"".join(bodies)
    assert await whole(origin, stored.location, 20, stored.etag, PART - 10) == bodies[0][-10:] + bodies[1][:10]
    await origin.delete(stored.location, FIRST)
    assert not await is_there(origin, stored.location)


async def test_an_upload_is_removed_with_its_parts(origin, bucket):
    location, parts = await uploaded(origin, bucket, pattern(PART), b"end")
    await origin.delete(parts[1].location)
    await origin.delete(location, FIRST)
    with pytest.raises((OriginError, KeyError)):
        await origin.assemble(location, parts, meta_of(bucket, FIRST, "film"))
    await origin.delete(location, FIRST)


async def test_an_upload_is_removed_with_the_body_that_it_has_become(origin, bucket):
    location, parts = await uploaded(origin, bucket, b"hello")
    stored = await origin.assemble(location, parts, meta_of(bucket, FIRST, "film"))
    await origin.delete(location, FIRST)
    assert not await is_there(origin, stored.location)


async def test_a_description_does_not_touch_the_body(origin, bucket):
    location = origin.locate(bucket, "k", FIRST)
    etag = await origin.store(location, b"hello", lambda: Checked(meta_of(bucket, FIRST)))
    try:
        etag = await origin.describe(location, meta_of(bucket, "")) or etag
    except OriginError as error:
        assert "no tags" in str(error), "only an origin that cannot may refuse"
    assert await whole(origin, location, 5, etag) == b"hello"
    with pytest.raises(BodyNotFound):
        await origin.describe(origin.locate(bucket, "none", SECOND), meta_of(bucket, ""))
