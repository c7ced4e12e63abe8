"""The catalog against what lies at an origin: lost rows come back, foreign objects are told or taken in."""

from dataclasses import replace

import pytest

from gateway.objects.adopt import find_or_adopt
from gateway.objects.drift import Drift, DriftSearch, Wanted, key_of
from gateway.origin.errors import OriginError
from gateway.origin.survey import ExaminedBody, LyingBody
from gateway.policy.end_users import ADOPTED
from gateway.store import writes
from gateway.store.adopted import Progress
from gateway.store.records import Intent
from tests.support.house import MEDIA, House, open_house
from tests.support.memory_origin import MemoryOrigin


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin(own_keys=True)


async def searched(house: House, *, adopt: bool = False, forget: bool = False, dry_run: bool = False) -> list[Drift]:
    wanted = Wanted(adopt, forget, dry_run)
    survey = house.rooms.origin("local").survey
    search = DriftSearch({"local": survey}, house.store.adoptions, wanted, house.clock, lambda _: None)
    return await search.search(MEDIA)


def told(drifts: list[Drift]) -> list[tuple[str, str, str, bool]]:
    return [(each.key, each.state, each.owner, each.done) for each in drifts]


async def test_what_agrees_is_not_told(house):
    for key in ("a", "b/c", "ü"):
        await house.put(key, b"abc")
        await house.put(key, b"replaced")
    await house.settle()
    assert await searched(house) == []


async def test_a_lost_catalog_is_made_again(tmp_path, origin):
    async with open_house(tmp_path / "lost", origin) as house:
        stored = [await house.put(key, key.encode(), uploader="sara") for key in ("a", "b/c", "ü")]
        await house.put("a", b"another", uploader="tom")
        await house.settle()
    async with open_house(tmp_path / "new", origin) as house:
        assert told(await searched(house, dry_run=True)) == [
            ("a", "restored", "tom", False),
            ("b/c", "restored", "sara", False),
            ("ü", "restored", "sara", False),
        ]
        assert [done for *_, done in told(await searched(house))] == [True] * 3
        found = await house.find("b/c")
        assert found is not None
        assert (found.uploader, found.etag, found.size) == ("sara", stored[1].etag, 3)
        assert await house.get("a") == b"another"
        house.usage_is_the_sum_of_the_objects()
        assert await searched(house) == []


async def test_of_two_bodies_of_one_key_the_later_is_the_object(tmp_path, origin, monkeypatch):
    """The old one was still to be removed when the catalog was lost."""
    async with open_house(tmp_path / "lost", origin) as house:
        await house.put("k", b"old")
        origin.faults.fail("delete", times=9)
        await house.put("k", b"new")
        await house.settle()
    origin.faults.heal()
    examine = origin.survey.examine

    async def dated(location: str) -> ExaminedBody | None:
        found = await examine(location)
        return found and ExaminedBody(
            **{name: getattr(found, name) for name in found.__slots__} | {"modified_s": len(location)}
        )

    monkeypatch.setattr(origin.survey, "examine", dated)
    async with open_house(tmp_path / "new", origin) as house:
        assert [state for _, state, *_ in told(await searched(house))] == ["restored", "restored"]
        assert await house.get("k") == b"new"
        assert [state for _, state, *_ in told(await searched(house))] == ["left over"]
        house.usage_is_the_sum_of_the_objects()


async def test_what_others_have_put_there_is_told_and_left_alone(house, origin):
    origin.put_behind("demo-media/k", b"abc")
    for _ in range(2):
        assert told(await searched(house)) == [("k", "unknown", ADOPTED, False)]
    assert await house.find("k") is None


async def test_what_others_have_put_there_is_taken_in_where_asked(house, origin):
    origin.put_behind("demo-media/k", b"abc")
    assert told(await searched(house, adopt=True)) == [("k", "adopted", ADOPTED, True)]
    assert await house.get("k") == b"abc"
    assert await searched(house) == []
    house.usage_is_the_sum_of_the_objects()


async def test_a_foreign_key_that_looks_like_one_of_ours_is_its_own(house, origin):
    key = f"k%40{'0' * 32}"
    origin.put_behind(f"demo-media/{key}", b"abc")
    assert told(await searched(house, adopt=True)) == [(key, "adopted", ADOPTED, True)]


async def test_a_body_that_others_have_changed_is_followed(house, origin):
    await house.put("k", b"abc", uploader="sara")
    origin.put_behind("demo-media/k", b"another")
    assert told(await searched(house, dry_run=True)) == [("k", "changed", ADOPTED, False)]
    assert told(await searched(house)) == [("k", "changed", ADOPTED, True)]
    assert (await house.find("k")).size == 7
    assert await searched(house) == []
    house.usage_is_the_sum_of_the_objects()


async def test_a_body_of_ours_that_is_only_called_otherwise_by_now_keeps_its_row(house, origin):
    record = await house.put("k", b"abc", uploader="sara")
    origin.versions["demo-media/k"] += 1  # as by a copy onto itself
    assert await searched(house, dry_run=True) == []
    assert await searched(house) == []
    assert await house.find("k") == replace(record, origin_etag='"demo-media/k~1"')


async def test_a_body_that_is_gone_is_told_and_its_row_dropped_only_where_asked(house, origin):
    await house.put("k", b"abc", uploader="sara")
    del origin.bodies["demo-media/k"]
    for _ in range(2):
        assert told(await searched(house)) == [("k", "missing", "sara", False)]
    assert told(await searched(house, forget=True, dry_run=True)) == [("k", "missing", "sara", False)]
    assert told(await searched(house, forget=True)) == [("k", "missing", "sara", True)]
    assert await house.find("k") is None
    house.usage_is_the_sum_of_the_objects()


async def test_a_replaced_body_that_was_not_removed_is_left_over_and_stays(house, origin):
    await house.put("k", b"abc")
    origin.bodies[f"demo-media/k%40{'f' * 32}"] = b"old"
    origin.metas[f"demo-media/k%40{'f' * 32}"] = origin.metas["demo-media/k"]
    assert [state for _, state, *_ in told(await searched(house, adopt=True, forget=True))] == ["left over"]
    assert len(origin.bodies) == 2


async def test_what_a_write_or_a_removal_holds_is_passed_over(house, origin):
    intent = Intent("w" * 32, "put", "demo-media", "under-way", "ops", 3, "local", "demo-media/under-way", 1)
    await house.database.write(lambda c: writes.begin(c, intent, None))
    origin.put_behind("demo-media/under-way", b"abc")
    await house.put("going", b"abc")
    origin.faults.fail("delete", times=9)
    await house.store.catalog.delete("demo-media", "going", None)
    assert await searched(house, adopt=True) == []
    assert await find_or_adopt(house.rooms, MEDIA, "under-way") is None


async def test_a_search_that_was_cut_off_goes_on_where_it_was(house, origin):
    for number in range(4):
        origin.put_behind(f"demo-media/{number}", b"abc")
    task = "drift local demo-media/ adopt=True"
    await house.store.adoptions.note(task, Progress("demo-media/1", 2), house.clock())
    assert [key for key, *_ in told(await searched(house, adopt=True))] == ["2", "3", "0", "1"]
    await house.store.adoptions.note(task, Progress("demo-media/9", 2), house.clock() - 30 * 86400)
    origin.put_behind("demo-media/5", b"abc")
    assert [key for key, *_ in told(await searched(house, adopt=True))] == ["5"]


@pytest.mark.parametrize("failing", ["3", None], ids=["at a body", "behind the last one"])
async def test_a_search_that_goes_on_looks_for_every_body_that_is_gone(house, origin, failing):
    for key in ("0", "1", "2", "3", "4"):
        await house.put(key, b"abc", uploader="sara")
    for key in ("1", "4"):
        del origin.bodies[f"demo-media/{key}"]
    if failing is not None:
        origin.put_behind(f"demo-media/{failing}", b"another")
    origin.faults.fail("examine", times=9)
    with pytest.raises(OriginError):
        await searched(house, forget=True)
    origin.faults.heal()
    gone = [drift for drift in told(await searched(house, forget=True)) if drift[1] == "missing"]
    assert gone == [("1", "missing", "sara", True), ("4", "missing", "sara", True)]
    house.usage_is_the_sum_of_the_objects()
    assert await searched(house) == []


async def test_a_search_that_goes_on_asks_for_no_body_that_a_listing_shows(house, origin):
    for key in ("0", "1", "2", "3"):
        await house.put(key, b"abc")
    await house.store.adoptions.note("drift local demo-media/ adopt=False", Progress("demo-media/1", 2), house.clock())
    origin.faults.fail("examine", times=9)
    assert await searched(house) == []


@pytest.mark.parametrize("key", ["a\nb", "../x", "x" * 1025, ""])
def test_a_key_that_no_client_could_name_is_nothing(key):
    body = LyingBody("b/k", (key,), 1, None, "k")
    assert key_of(body, ExaminedBody(1, '"e"', None, 1)) is None
