"""Tags: the catalog decides, the origin's copy follows as well as it can."""

import asyncio

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.complete import CompleteRequest, complete_upload
from gateway.objects.delete import delete_object
from gateway.objects.describe import set_tags
from gateway.objects.put import Attributes
from gateway.objects.sweeper import recover
from gateway.store.records import ObjectRecord
from tests.objects.uploads import begun, parts_of
from tests.support.house import House, copy_store, open_house
from tests.support.memory_origin import MemoryOrigin


async def test_tags_are_replaced_in_the_catalog_and_beside_the_body(house, origin):
    record = await house.put("k", b"abc", attributes=Attributes({}, {"m": "1"}, {"old": "1"}))
    await set_tags(house.rooms, record, {"new": "2"})
    found = await house.find("k")
    assert found is not None
    assert (found.tags, found.metadata, found.etag) == ({"new": "2"}, {"m": "1"}, record.etag)
    meta = origin.metas[record.location]
    assert (meta.tags, meta.metadata) == ({"new": "2"}, {"m": "1"})
    house.is_clean(origin.locations)


async def test_an_origin_that_cannot_follow_changes_nothing_for_clients(house, origin):
    record = await house.put("k", b"abc")
    origin.faults.fail("describe")
    await set_tags(house.rooms, record, {"new": "2"})
    found = await house.find("k")
    assert found is not None
    assert found.tags == {"new": "2"}


async def test_a_deleted_object_is_no_such_key(house, origin):
    record = await house.put("k", b"abc")
    await delete_object(house.rooms, "demo-media", "k", None)
    with pytest.raises(S3Error) as refused:
        await set_tags(house.rooms, record, {})
    assert refused.value.code is Code.NoSuchKey
    assert origin.locations == set()


# An origin without tags copies the body onto itself, and calls it otherwise from then on.


async def stored(house: House, way: str) -> ObjectRecord:
    if way == "whole":
        return await house.put("k", b"abc", uploader="sara")
    upload = await begun(house, "k")
    return await complete_upload(house.rooms, upload, CompleteRequest(await parts_of(house, upload, b"abc")))


def is_as_stored(found: ObjectRecord | None, record: ObjectRecord) -> bool:
    assert found is not None
    return (found.etag, found.checksum, found.part_count, found.uploader, found.tags) == (
        record.etag,
        record.checksum,
        record.part_count,
        record.uploader,
        {"new": "2"},
    )


@pytest.mark.parametrize("way", ["whole", "parts"])
async def test_a_read_between_the_copy_and_its_commit_changes_nothing_of_the_object(tmp_path, way):
    origin = MemoryOrigin(own_keys=True, describes_by_copy=True)
    async with open_house(tmp_path / "store", origin) as house:
        record = await stored(house, way)
        pause = origin.faults.pause_after("describe")
        tagging = asyncio.ensure_future(set_tags(house.rooms, record, {"new": "2"}))
        await pause.reached.wait()
        assert await house.get("k") == b"abc"
        pause.resume.set()
        await tagging
        assert is_as_stored(await house.find("k"), record)
        assert len(await house.store.catalog.parts(record) or ()) == record.part_count
        origin.faults.seen.clear()
        assert await house.get("k") == b"abc"
        assert "examine" not in origin.faults.seen, "the row says what the origin calls it"


@pytest.mark.parametrize("way", ["whole", "parts"])
async def test_after_a_crash_between_the_copy_and_its_commit_the_object_is_what_it_was(tmp_path, way):
    origin = MemoryOrigin(own_keys=True, describes_by_copy=True)
    path, copied = tmp_path / "store", tmp_path / "crashed"
    async with open_house(path, origin) as house:
        record = await stored(house, way)
        pause = origin.faults.pause_after("describe")
        tagging = asyncio.ensure_future(set_tags(house.rooms, record, {"new": "2"}))
        await pause.reached.wait()
        copy_store(path, copied)
        pause.resume.set()
        await tagging
    async with open_house(copied, origin) as again:
        await recover(again.rooms)
        assert await again.get("k") == b"abc"
        assert is_as_stored(await again.find("k"), record)
        assert len(await again.store.catalog.parts(record) or ()) == record.part_count
