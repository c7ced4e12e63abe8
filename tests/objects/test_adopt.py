"""What others have put at an origin: taken in as it is asked for, followed when it changes, the admins' alone."""

import asyncio

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.adopt import find_or_adopt, has_same_bytes, owner_of
from gateway.objects.complete import CompleteRequest, complete_upload
from gateway.objects.delete import delete_object
from gateway.objects.get import Wanted, find_bytes, open_object
from gateway.origin.errors import OriginDown
from gateway.origin.survey import ExaminedBody
from gateway.policy.end_users import ADOPTED
from gateway.s3.conditions import NO_CONDITIONS
from gateway.store.records import ObjectRecord
from tests.objects.uploads import begun, parts_of
from tests.support.house import MEDIA, House, open_house
from tests.support.memory_origin import MemoryOrigin

PLACE = "demo-media/k"


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin(own_keys=True)


async def test_an_object_of_others_becomes_the_admins(house, origin):
    origin.put_behind(PLACE, b"abc")
    found = await find_or_adopt(house.rooms, MEDIA, "k")
    assert found is not None
    assert (found.uploader, found.size, found.location) == (ADOPTED, 3, PLACE)
    assert await house.get("k") == b"abc"
    assert await find_or_adopt(house.rooms, MEDIA, "k") == found
    house.usage_is_the_sum_of_the_objects()


async def test_what_we_have_stored_comes_back_as_it_was(tmp_path, origin):
    async with open_house(tmp_path / "lost", origin) as house:
        stored = await house.put("k", b"abc", uploader="sara")
    async with open_house(tmp_path / "new", origin) as house:
        found = await find_or_adopt(house.rooms, MEDIA, "k")
        assert found is not None
        assert (found.uploader, found.etag, found.location) == ("sara", stored.etag, stored.location)


async def test_nothing_there_is_no_object(house):
    assert await find_or_adopt(house.rooms, MEDIA, "k") is None


async def test_an_origin_that_is_away_is_not_taken_for_an_empty_one(house, origin):
    origin.faults.fail("examine", error=OriginDown("away"))
    with pytest.raises(S3Error) as refused:
        await find_or_adopt(house.rooms, MEDIA, "k")
    assert refused.value.code is Code.SlowDown


async def test_a_body_that_is_about_to_go_is_not_taken_in(house, origin):
    await house.put("k", b"abc")
    origin.faults.fail("delete")
    await delete_object(house.rooms, "demo-media", "k", None)
    assert origin.bodies == {PLACE: b"abc"}
    assert await find_or_adopt(house.rooms, MEDIA, "k") is None


async def test_a_body_that_others_have_changed_is_read_as_it_is_now(house, origin):
    before = await house.put("k", b"abc")
    origin.put_behind(PLACE, b"another")
    asked: list[ObjectRecord] = []
    found, reader = await open_object(house.rooms, before, Wanted(NO_CONDITIONS, may_read=asked.append))
    assert reader is not None
    reader.close()
    assert (found.size, found.record.uploader) == (7, ADOPTED)
    assert asked == [found.record]
    assert await house.get("k") == b"another"
    house.usage_is_the_sum_of_the_objects()


async def test_who_may_not_read_what_is_there_now_gets_nothing(house, origin):
    before = await house.put("k", b"abc")
    origin.put_behind(PLACE, b"another")
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, before, Wanted(NO_CONDITIONS))
    assert refused.value.code is Code.AccessDenied


async def test_a_body_that_others_have_removed_is_an_error_and_its_row_stays(house, origin):
    before = await house.put("k", b"abc")
    del origin.bodies[PLACE]
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, before, Wanted(NO_CONDITIONS))
    assert refused.value.code is Code.InternalError
    assert await house.find("k") == before


async def put_whole(house: House) -> ObjectRecord:
    return await house.put("k", b"anew")


async def put_in_parts(house: House) -> ObjectRecord:
    upload = await begun(house, "k")
    return await complete_upload(house.rooms, upload, CompleteRequest(await parts_of(house, upload, b"anew")))


@pytest.mark.parametrize("way", [put_whole, put_in_parts])
async def test_a_read_that_comes_late_leaves_what_was_put_since_as_its_writer_was_told(house, way):
    before = await house.put("k", b"abc")
    await delete_object(house.rooms, "demo-media", "k", None)
    told = await way(house)
    assert told.location.startswith(PLACE), "the place is free again"
    assert await house.read(before) == b"anew"
    assert await house.find("k") == told
    assert len(await house.store.catalog.parts(told) or ()) == told.part_count
    house.usage_is_the_sum_of_the_objects()


async def test_a_read_that_looks_while_the_object_is_put_anew_leaves_the_new_one(house, origin):
    """It has asked the origin what lies there when the row that it asked about goes."""
    await house.put("k", b"abc")
    origin.put_behind(PLACE, b"another")
    pause = origin.faults.pause("examine")
    reading = asyncio.ensure_future(house.get("k"))
    await pause.reached.wait()
    await delete_object(house.rooms, "demo-media", "k", None)
    del origin.bodies[PLACE]
    told = await house.put("k", b"anew")
    pause.resume.set()
    assert await reading == b"anew"
    assert await house.find("k") == told


async def test_the_parts_that_an_object_had_are_not_those_of_the_one_that_came_to_its_place(house):
    before = await put_in_parts(house)
    await delete_object(house.rooms, "demo-media", "k", None)
    after = await put_in_parts(house)
    found = await find_bytes(house.rooms, before, Wanted(NO_CONDITIONS, part_number=1))
    assert (found.record, found.part_count) == (after, 1)


def row(etag: str, origin_etag: str | None, write_id: str = "w", size: int = 3) -> ObjectRecord:
    return ObjectRecord("b", "k", "ops", size, etag, 1, "local", "b/k", origin_etag, write_id=write_id)


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (row('"o1"', '"o1"'), True),
        (row('"o2"', '"o2"'), True),
        (row('"o2"', '"o2"', size=4), False),
        (row('"o2"', '"o2"', write_id="x"), False),
        (row('"o2"', '"o2"', write_id=""), False),
    ],
)
def test_a_body_of_the_same_write_has_the_same_bytes(found, same):
    assert has_same_bytes(row('"e"', '"o1"'), found) is same
    assert has_same_bytes(row('"e-2"', '"e-2"'), row('"f"', '"f"')), "a copy of what was put together is in one piece"


def test_a_body_whose_md5_is_another_has_other_bytes_whoever_it_says_has_written_it():
    assert not has_same_bytes(row('"e"', '"e"'), row('"f"', '"f"'))


def test_what_others_have_changed_never_has_the_same_bytes():
    assert not has_same_bytes(row('"e"', '"o1"', write_id=""), row('"o2"', '"o2"', write_id=""))


@pytest.mark.parametrize("uploader", [None, "", "no name", "a/b", "*", "ä"])
def test_a_name_that_nobody_can_have_owns_nothing(uploader):
    assert owner_of(ExaminedBody(1, '"e"', None, 1, uploader=uploader)) == ADOPTED
