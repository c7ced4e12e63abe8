"""What others have put at an origin: taken in as it is asked for, followed when it changes, the admins' alone."""

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.adopt import find_or_adopt, owner_of
from gateway.objects.delete import delete_object
from gateway.objects.get import Wanted, open_object
from gateway.origin.errors import OriginDown
from gateway.origin.survey import ExaminedBody
from gateway.policy.end_users import ADOPTED
from gateway.s3.conditions import NO_CONDITIONS
from gateway.store.records import ObjectRecord
from tests.support.house import MEDIA, open_house
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


@pytest.mark.parametrize("uploader", [None, "", "no name", "a/b", "*", "ä"])
def test_a_name_that_nobody_can_have_owns_nothing(uploader):
    assert owner_of(ExaminedBody(1, '"e"', None, 1, uploader=uploader)) == ADOPTED
