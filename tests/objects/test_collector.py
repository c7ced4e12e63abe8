"""Removing what nothing refers to: on record first, tried again, given back once, and never in the way of others."""

import asyncio

from gateway.objects.collector import Collector
from gateway.objects.delete import delete_object
from gateway.origin.errors import OutcomeUnknown
from gateway.store import writes
from gateway.store.records import Garbage
from tests.support.house import MEDIA, open_house
from tests.support.memory_origin import MemoryOrigin


async def recorded(house, garbage: list[Garbage]) -> None:
    def work(connection) -> None:
        for item in garbage:
            writes.add_garbage(connection, item)

    await house.database.write(work)


async def test_what_is_noticed_is_removed_soon(house, origin):
    await house.put("k", b"old")
    await house.put("k", b"new")
    await house.settle()
    assert list(origin.bodies.values()) == [b"new"]
    house.is_clean(origin.locations)


async def test_nothing_to_notice_starts_nothing(house):
    house.rooms.collector.notice(None)
    assert not house.background._tasks


async def test_what_cannot_be_removed_now_stays_charged_and_is_removed_later(house, origin):
    await house.put("k", b"12345")
    garbage = await house.store.catalog.delete("demo-media", "k", None)
    origin.faults.fail("delete")
    assert await house.rooms.collector.collect([garbage]) == 0
    assert house.rows("SELECT bytes FROM usage WHERE category = ''") == [(5,)]
    house.usage_is_the_sum_of_the_objects()
    assert await house.rooms.collector.collect([garbage]) == 1
    house.is_clean(origin.locations)


async def test_one_body_that_cannot_be_removed_is_in_nobodys_way(house, origin):
    """More garbage than a batch holds; a few bodies are stuck: all others go in one turn."""
    await recorded(house, [Garbage(f"stuck-{number:04d}", "gone", "", "", "u") for number in range(300)])
    await recorded(house, [Garbage(f"free-{number:04d}", "local", "", "", "u") for number in range(600)])
    await house.rooms.collector.collect_all()
    assert house.rows("SELECT count(*) FROM garbage WHERE origin = 'local'") == [(0,)]
    assert house.count("garbage") == 300


async def test_many_collectors_give_back_once(house, origin):
    await house.put("k", b"12345")
    await house.put("kept", b"1")
    garbage = await house.store.catalog.delete("demo-media", "k", None)
    others = [Collector(house.store.catalog, {"local": origin}, house.background, house.clock) for _ in range(5)]
    await asyncio.gather(*(other.collect([garbage]) for other in others))
    house.is_clean(origin.locations)


async def test_an_upload_of_a_removed_bucket_goes_with_its_parts(house, origin):
    await recorded(house, [Garbage("demo-media/film@u/", "local", MEDIA.project, MEDIA.category, "u")])
    origin.bodies |= {"demo-media/film@u/1-a": b"x", "demo-media/film@u/2-b": b"y"}
    house.rooms.collector.notice_all()
    await house.settle()
    assert origin.locations == set()


async def test_what_a_write_of_unknown_end_may_bring_back_is_removed_until_it_cannot(house, origin):
    until_s = house.clock() + 900
    await recorded(house, [Garbage("late", "local", "", "", "u", write_id="w", until_s=until_s)])
    for _ in range(2):
        origin.bodies["late"] = b"x"
        await house.rooms.collector.collect_all()
        assert origin.locations == set()
        assert house.count("garbage") == 1
    house.clock.now_s = until_s
    await house.rooms.collector.collect_all()
    house.is_clean(origin.locations)


async def test_bodies_are_removed_side_by_side(house, origin):
    """An origin that is far away takes its time for each."""
    pause = origin.faults.pause("delete")
    await recorded(house, [Garbage(f"b-{number}", "local", "", "", "u") for number in range(9)])
    collecting = asyncio.ensure_future(house.rooms.collector.collect_all())
    await pause.reached.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert origin.faults.seen.count("delete") == 9
    pause.resume.set()
    await collecting
    house.is_clean(origin.locations)


async def test_who_comes_late_does_not_remove_what_has_taken_the_place_since(house, origin):
    """Two have learned of one body; once the first has removed it, its place is another's."""
    garbage = Garbage("place", "local", "", "", "u")
    await recorded(house, [garbage])
    origin.bodies["place"] = b"old"
    pause = origin.faults.pause("delete")
    first = asyncio.ensure_future(house.rooms.collector.collect([garbage]))
    await pause.reached.wait()
    others = [
        asyncio.ensure_future(house.rooms.collector.collect([garbage])),
        asyncio.ensure_future(house.rooms.collector.collect([garbage, Garbage("elsewhere", "local", "", "", "u")])),
    ]
    pause.resume.set()
    assert await first == 1
    origin.bodies["place"] = b"new"
    assert await asyncio.gather(*others) == [0, 0]
    assert await house.rooms.collector.collect([garbage]) == 0
    assert origin.bodies == {"place": b"new"}


async def test_whoever_looks_through_the_record_meanwhile_has_it_looked_through_once_more(house, origin):
    """Not side by side: many Completes at once would remove everything many times over."""
    pause = origin.faults.pause("delete")
    await recorded(house, [Garbage("a", "local", "", "", "u")])
    house.rooms.collector.notice_all()
    await pause.reached.wait()
    await recorded(house, [Garbage("b", "local", "", "", "u")])
    for _ in range(5):
        house.rooms.collector.notice_all()
    pause.resume.set()
    await house.settle()
    assert origin.faults.seen.count("delete") == 2
    assert house.count("garbage") == 0


async def test_what_is_only_watched_is_looked_at_by_the_sweeper_alone(house, origin):
    await recorded(house, [Garbage("late", "local", "", "", "u", write_id="w", until_s=house.clock() + 900)])
    house.rooms.collector.notice_all()
    await house.settle()
    assert origin.faults.seen.count("delete") == 0
    house.rooms.collector.notice_all(watched=True)
    await house.settle()
    assert origin.faults.seen.count("delete") == 1


async def test_a_removal_of_unknown_end_keeps_the_place_until_it_can_do_nothing_more(tmp_path):
    """A late one would take the next body of the key along."""
    origin = MemoryOrigin(own_keys=True, settle_s=900)
    async with open_house(tmp_path / "store", origin) as house:
        await house.put("k", b"old")
        origin.faults.fail("delete", error=OutcomeUnknown("no answer"))
        await delete_object(house.rooms, "demo-media", "k", None)
        assert (await house.put("k", b"new")).location != "demo-media/k"
        await house.rooms.collector.collect_all()
        assert "demo-media/k" not in origin.bodies
        assert house.rows("SELECT location, until_s FROM garbage") == [("demo-media/k", house.clock() + 900)]
        house.clock.now_s += 900
        await house.rooms.collector.collect_all()
        assert await house.get("k") == b"new"
        house.is_clean(origin.locations)
