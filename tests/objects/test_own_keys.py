"""Bodies go back to their own keys once nothing else is there, and nothing that others have put there is replaced or removed."""

import asyncio

import pytest

from gateway.objects.adopt import find_or_adopt
from gateway.objects.copy import CopyRequest, copy_object
from gateway.objects.delete import delete_object
from gateway.objects.describe import set_tags
from gateway.objects.own_keys import AT_REST_S, move_home
from gateway.objects.put import Attributes
from gateway.objects.sweeper import sweep
from gateway.origin.errors import OutcomeUnknown
from tests.support.house import MEDIA
from tests.support.memory_origin import MemoryOrigin

OWN = "demo-media/k"


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin(own_keys=True)


async def replaced(house) -> None:
    """An object whose body lies beside its own key's place, which is free by now."""
    await house.put("k", b"old")
    await house.put("k", b"new")
    await house.settle()


async def test_a_body_goes_home_once_it_is_at_rest(house, origin):
    await replaced(house)
    assert OWN not in origin.bodies
    assert await move_home(house.rooms) == 0
    house.clock.now_s += AT_REST_S + 1
    await sweep(house.rooms)
    await house.settle()
    assert origin.bodies == {OWN: b"new"}
    record = await house.find("k")
    assert (record.location, record.origin_etag) == (OWN, origin._etag(OWN))
    assert await house.get("k") == b"new"
    assert await move_home(house.rooms) == 0
    house.is_clean(origin.locations)


async def test_what_is_read_meanwhile_stays_whole(house, origin):
    await replaced(house)
    before = await house.find("k")
    house.clock.now_s += AT_REST_S + 1
    await move_home(house.rooms)
    await house.settle()
    assert await house.read(before) == b"new"


async def test_what_others_have_put_there_stays(house, origin):
    await replaced(house)
    origin.put_behind(OWN, b"foreign")
    house.clock.now_s += AT_REST_S + 1
    assert await move_home(house.rooms) == 0
    await house.settle()
    assert origin.bodies[OWN] == b"foreign"
    assert await house.get("k") == b"new"


async def test_an_object_that_is_replaced_meanwhile_is_the_new_one(house, origin):
    await replaced(house)
    house.clock.now_s += AT_REST_S + 1
    pause = origin.faults.pause_after("copy")
    moving = asyncio.ensure_future(move_home(house.rooms))
    await pause.reached.wait()
    await house.put("k", b"newest")
    pause.resume.set()
    assert await moving == 0
    await house.settle()
    assert await house.get("k") == b"newest"
    house.is_clean(origin.locations)


async def test_a_copy_of_unknown_end_leaves_the_object_where_it_was(house, origin):
    await replaced(house)
    house.clock.now_s += AT_REST_S + 1
    origin.settle_s = 900
    origin.faults.fail("copy", error=OutcomeUnknown("no answer"))
    assert await move_home(house.rooms) == 0
    assert await house.get("k") == b"new"
    house.usage_is_the_sum_of_the_objects()
    house.clock.now_s += 900
    await sweep(house.rooms)
    await sweep(house.rooms)
    await house.settle()
    assert origin.bodies == {OWN: b"new"}
    house.is_clean(origin.locations)


async def test_an_origin_that_makes_no_copies_is_left_alone(house, origin):
    await replaced(house)
    origin.copies = False
    house.clock.now_s += AT_REST_S + 1
    assert await move_home(house.rooms) == 0
    house.is_clean(origin.locations)


async def test_an_object_whose_tags_change_meanwhile_stays_where_it_was_described(house, origin):
    await replaced(house)
    house.clock.now_s += AT_REST_S + 1
    pause = origin.faults.pause_after("copy")
    moving = asyncio.ensure_future(move_home(house.rooms))
    await pause.reached.wait()
    await set_tags(house.rooms, await house.find("k"), {"new": "1"})
    pause.resume.set()
    assert await moving == 0
    await house.settle()
    record = await house.find("k")
    assert record.tags == origin.metas[record.location].tags == {"new": "1"}
    house.is_clean(origin.locations)


@pytest.mark.parametrize("foreign", [b"foreign", b"12345"], ids=["other", "the same bytes"])
async def test_what_others_have_put_in_the_place_of_a_body_stays_and_ours_is_given_back(house, origin, foreign):
    for key in ("deleted", "replaced"):
        await house.put(key, b"12345")
        origin.put_behind(f"demo-media/{key}", foreign)
    await delete_object(house.rooms, "demo-media", "deleted", None)
    await house.put("replaced", b"new")
    await house.settle()
    assert origin.bodies["demo-media/deleted"] == origin.bodies["demo-media/replaced"] == foreign
    assert house.count("garbage") == 0
    house.usage_is_the_sum_of_the_objects()
    assert await house.get("replaced") == b"new"


async def test_every_row_knows_the_write_that_made_its_body(house, origin):
    await house.put("put", b"old")
    await house.put("put", b"new")
    await house.settle()
    copying = CopyRequest(house.target("copy"), lambda _: Attributes())
    await copy_object(house.rooms, await house.find("put"), copying)
    house.clock.now_s += AT_REST_S + 1
    assert await move_home(house.rooms) == 1
    record = await house.find("put")
    await set_tags(house.rooms, record, {"t": "1"})
    origin.put_behind("demo-media/foreign", b"foreign")
    await find_or_adopt(house.rooms, MEDIA, "foreign")
    await house.settle()
    for key in ("put", "copy"):
        found = await house.find(key)
        assert found.write_id == origin.metas[found.location].write_id != ""
    assert (await house.find("foreign")).write_id == ""
    for key in ("put", "copy", "foreign"):
        await delete_object(house.rooms, "demo-media", key, None)
    house.is_clean(origin.locations)
