"""What nobody waits for: idle uploads, what a crash left, and what could not be removed before."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from gateway.app import build_services
from gateway.config import parse_settings
from gateway.errors import Code, S3Error
from gateway.objects.get import Wanted, open_object
from gateway.objects.multipart import create_upload, put_part
from gateway.objects.put import Attributes, new_intent
from gateway.objects.sweeper import recover, settle, sweep, sweep_once
from gateway.origin.base import Checked
from gateway.origin.directory import DirectoryOrigin
from gateway.s3.conditions import NO_CONDITIONS
from gateway.store.key_ring import KeyRing
from tests.support.descriptors import become_few, open_though_removed
from tests.support.house import body_of, open_house, read_to_the_end
from tests.support.memory_origin import MemoryOrigin

DAY_S = 86400


async def upload(house, key: str):
    return await create_upload(house.rooms, house.target(key), "ops", Attributes(), None, None)


async def test_an_upload_without_a_new_part_for_too_long_is_aborted(house, origin):
    idle, fed = await upload(house, "idle"), await upload(house, "fed")
    for each in (idle, fed):
        await put_part(house.rooms, each, 1, body_of(b"x"))
    house.clock.now_s += house.rooms.limits.upload_expiry_s
    await put_part(house.rooms, fed, 2, body_of(b"y"))
    await sweep(house.rooms)
    assert house.count("uploads") == 2, "just in time"
    house.clock.now_s += 1
    await sweep(house.rooms)
    assert sorted(origin.bodies.values()) == [b"x", b"y"]
    assert house.rows("SELECT key FROM uploads") == [("fed",)]
    house.is_clean(origin.locations)


async def test_many_idle_uploads_are_all_ended_in_the_end(house, origin):
    for number in range(130):
        await upload(house, f"k{number}")
    house.clock.now_s += house.rooms.limits.upload_expiry_s + 1
    await sweep(house.rooms)
    await sweep(house.rooms)
    assert house.count("uploads") == 0


@pytest.mark.parametrize("for_all", [True, False], ids=["one process", "a worker"])
async def test_each_process_lets_go_of_what_others_have_removed(house, origin, for_all):
    await sweep_once(house.rooms, for_all=for_all)
    assert origin.faults.seen.count("forget_removed") == 1


async def test_an_upload_that_cannot_be_removed_is_in_nobodys_way(house, origin):
    await put_part(house.rooms, await upload(house, "a"), 1, body_of(b"x"))
    await put_part(house.rooms, await upload(house, "b"), 1, body_of(b"y"))
    house.clock.now_s += house.rooms.limits.upload_expiry_s + 1
    origin.faults.fail("delete")
    await sweep(house.rooms)
    assert house.count("uploads") == 0
    await sweep(house.rooms)
    house.is_clean(origin.locations)


async def test_when_keys_were_used_is_written(house):
    new = await house.store.access_keys.create("demo", "ops", 1, actor="ops")
    house.store.access_keys.note_use(new.access_key_id, 77)
    await sweep(house.rooms)
    assert house.rows("SELECT last_used_s FROM access_keys") == [(77,)]


async def test_what_another_worker_has_removed_takes_no_room_after_the_next_settling(directory_house, objects_root):
    house, other = directory_house, DirectoryOrigin(objects_root)
    for key in ("idle", "open"):
        await house.put(key, b"x" * 5000)
        await house.get(key)
    _, reader = await open_object(house.rooms, await house.find("open"), Wanted(NO_CONDITIONS))
    assert reader is not None
    for key in ("idle", "open"):
        await other.delete((await house.find(key)).location)
    assert len(open_though_removed(objects_root)) == 2
    await settle(house.rooms)
    await become_few(objects_root, 1)
    assert await read_to_the_end(reader, 0, 5000) == b"x" * 5000
    reader.close()
    await settle(house.rooms)
    await become_few(objects_root)
    await other.close()


async def test_writes_that_are_under_way_are_left_alone(house, origin):
    pause = origin.faults.pause_after("store")
    putting = asyncio.ensure_future(house.put("k", b"abc"))
    await pause.reached.wait()
    house.clock.now_s += 30 * DAY_S
    await sweep(house.rooms)
    pause.resume.set()
    await putting
    assert await house.get("k") == b"abc"


async def test_after_a_crash_every_kind_of_write_is_ended_and_its_bytes_removed(tmp_path):
    origin = MemoryOrigin()
    async with open_house(tmp_path / "store", origin) as house:
        kept = await upload(house, "film")
        await put_part(house.rooms, kept, 1, body_of(b"kept"))
        for kind in ("put", "copy"):
            intent = new_intent(house.rooms, kind, house.target(kind), 3)
            await house.store.catalog.begin(intent, None)
            await origin.store(intent.location, b"abc", Checked)
        nothing_written = new_intent(house.rooms, "put", house.target("nothing"), 3)
        await house.store.catalog.begin(nothing_written, None)
    async with open_house(tmp_path / "store", origin) as again:
        await recover(again.rooms)
        assert list(origin.bodies.values()) == [b"kept"]
        again.is_clean(origin.locations)
        await recover(again.rooms)


async def test_a_crash_while_garbage_is_removed_ends_with_it_removed_and_given_back_once(tmp_path):
    origin = MemoryOrigin()
    async with open_house(tmp_path / "store", origin) as house:
        await house.put("k", b"abc")
        garbage = await house.store.catalog.delete("demo-media", "k", None)
        assert garbage is not None
        await origin.delete(garbage.location)
    async with open_house(tmp_path / "store", origin) as again:
        assert again.rows("SELECT bytes FROM usage WHERE category = ''") == [(3,)]
        await recover(again.rooms)
        again.is_clean(origin.locations)
        assert again.rows("SELECT sum(bytes) FROM usage") == [(0,)]


async def test_an_origin_that_is_away_at_the_start_does_not_prevent_it(tmp_path):
    origin = MemoryOrigin()
    async with open_house(tmp_path / "store", origin) as house:
        intent = new_intent(house.rooms, "put", house.target("k"), 3)
        await house.store.catalog.begin(intent, None)
    origin.faults.fail("delete", times=5)
    async with open_house(tmp_path / "store", origin) as again:
        await recover(again.rooms)
        assert again.count("garbage") == 1


async def test_a_sweep_that_meets_a_locked_store_says_so(house):
    await house.database.close()
    with pytest.raises(S3Error) as refused:
        await sweep(house.rooms)
    assert refused.value.code is Code.ServiceUnavailable


SETTINGS = """
[store]
path = "var/anbar.sqlite"
[secrets]
key_ring = "var/key_ring"
[origins.local]
kind = "directory"
path = "var/objects"
[policies]
path = "policies"
[limits]
drain_s = 3600
"""


async def test_a_start_that_fails_does_not_wait_for_the_sweeper(tmp_path: Path):
    """An address that is taken is told at once, not after the time that requests have to end."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "demo.toml").write_text(
        'project = "demo"\n[categories.media]\norigin = "local"\n[principals.ops]\nrole = "admin"\n'
    )
    KeyRing.create(tmp_path / "var" / "key_ring")
    settings = parse_settings(SETTINGS, tmp_path / "gateway.toml")
    with pytest.raises(OSError, match="taken"):
        async with asyncio.timeout(5):
            async with build_services(settings):
                raise OSError("taken")


async def test_after_a_crash_the_place_of_a_removal_that_was_on_its_way_is_kept(tmp_path):
    origin = MemoryOrigin(own_keys=True, settle_s=900)
    async with open_house(tmp_path / "store", origin) as house:
        await house.put("k", b"abc")
        await house.store.catalog.delete("demo-media", "k", None)
    async with open_house(tmp_path / "store", origin) as again:
        await recover(again.rooms)
        await again.settle()
        assert origin.bodies == {}
        assert (await again.put("k", b"new")).location != "demo-media/k"
        again.clock.now_s += 900
        await again.rooms.collector.collect_all()
        assert await again.get("k") == b"new"
        again.is_clean(origin.locations)


def sweeps(outcome: str) -> float:
    return REGISTRY.get_sample_value("anbar_sweeps_total", {"outcome": outcome}) or 0.0


async def test_a_sweep_is_counted_by_how_it_ended(house, monkeypatch, caplog):
    before = {outcome: sweeps(outcome) for outcome in ("done", "postponed", "failed")}
    await sweep_once(house.rooms)
    assert sweeps("done") == before["done"] + 1
    assert REGISTRY.get_sample_value("anbar_sweep_last_success_timestamp_seconds") == house.clock.now_s
    for error, outcome in ((S3Error(Code.SlowDown), "postponed"), (KeyError("a bug"), "failed")):

        async def fails(error=error):
            raise error

        monkeypatch.setattr(house.rooms.store.denials, "flush", fails)
        await sweep_once(house.rooms)
        assert sweeps(outcome) == before[outcome] + 1
    assert sweeps("done") == before["done"] + 1
    assert "the sweep failed" in caplog.text
