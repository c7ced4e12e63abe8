"""What is kept in memory is what the store says, also when another process has written."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store.buckets import Bucket
from gateway.store.changes import ChangeCounter

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = Bucket("photos", "demo", "photos", "local", "photos", "", "client", 5)


async def another_process(path: Path, script: str) -> None:
    """Run lines with `store`, `database` and `counter` in another process."""
    program = f"""
import asyncio, os, pathlib
from gateway.store.buckets import Bucket
from gateway.store.database import Database
from gateway.store.store import Store
from tests.support.house import MEDIA, RING
async def main():
    database = await Database.open(pathlib.Path({str(path)!r}))
    store = Store(database, RING)
    {script}
    await database.close()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT)
    assert await process.wait() == 0


async def test_a_store_that_nobody_else_touches_is_fresh(store):
    assert store.is_fresh()
    await store.buckets.create(PHOTOS)
    assert store.is_fresh()


async def test_a_bucket_that_another_process_made_is_known_after_a_refresh(store, store_path):
    await another_process(
        store_path, "await store.buckets.create(Bucket('photos', 'demo', 'photos', 'local', 'photos', '', 'client', 5))"
    )
    assert not store.is_fresh()
    await store.refresh()
    assert store.is_fresh()
    assert store.buckets.get("photos") == PHOTOS


async def test_a_row_that_another_process_changed_is_read_again(store, store_path):
    assert await store.catalog.find("demo-media", "k") is None
    row = "'demo-media', 'k', 'null', 'ops', 1, '\"e\"', 1, 'local', 'x', 0, '{}', '{}', '{}'"
    columns = "bucket, key, version_id, uploader, size, etag, modified_s, origin, location, part_count, headers, metadata, tags"
    await another_process(
        store_path, f"await database.write(lambda c: c.execute({f'INSERT INTO objects ({columns}) VALUES ({row})'!r}))"
    )
    assert not store.is_fresh()
    await store.refresh()
    found = await store.catalog.find("demo-media", "k")
    assert found is not None
    assert found.size == 1


async def test_a_key_that_another_process_disabled_opens_nothing_any_more(store, store_path):
    new = await store.access_keys.create("demo", "ops", 1, actor="ops")
    assert await store.access_keys.open(new.access_key_id) is not None
    await another_process(
        store_path, f"await store.access_keys.set_state({new.access_key_id!r}, 'disabled', actor='ops', now_s=2)"
    )
    assert not store.is_fresh()
    await store.refresh()
    assert store.access_keys.at_hand(new.access_key_id) is None
    assert await store.access_keys.open(new.access_key_id) is None


async def test_a_writer_that_died_in_its_commit_costs_a_refresh_each_time_and_nothing_else(store, store_path):
    await another_process(store_path, "database._changes.lock(1.0); database._changes.begin(); os._exit(0)")
    for _ in range(3):
        assert not store.is_fresh()
        await store.refresh()
        assert store.buckets.find("demo-media") is not None
    await store.buckets.create(PHOTOS)
    if not store.is_fresh():
        await store.refresh()
    assert store.is_fresh()


async def test_a_refresh_that_fails_is_not_taken_for_done(store, store_path):
    """The readers fail once, as on a bad disk: whoever comes next must not be served from what was known before."""
    counter = ChangeCounter(store_path.with_name(store_path.name + "-lock"))
    counter.lock(1.0)
    with closing(sqlite3.connect(store_path)) as foreign:
        foreign.execute("INSERT INTO buckets VALUES ('photos', 'demo', 'photos', 'local', 'photos', '', 'client', 5)")
        foreign.execute("PRAGMA legacy_alter_table = ON")
        foreign.execute("ALTER TABLE buckets RENAME TO hidden")
        foreign.commit()
        counter.begin()
        counter.end()
        counter.unlock()
        assert not store.is_fresh()
        with pytest.raises(sqlite3.OperationalError):
            await store.refresh()
        foreign.execute("ALTER TABLE hidden RENAME TO buckets")
        foreign.commit()
    if not store.is_fresh():
        await store.refresh()
    assert store.buckets.find("photos") is not None
    counter.close()


async def test_many_who_find_the_store_changed_wait_for_one_reading(store, store_path):
    await another_process(
        store_path, "await store.buckets.create(Bucket('photos', 'demo', 'photos', 'local', 'photos', '', 'client', 5))"
    )
    assert not store.is_fresh()
    await asyncio.gather(*(store.refresh() for _ in range(20)))
    assert store.is_fresh()
    assert store.buckets.find("photos") is not None


async def test_a_refresh_outlives_the_one_who_began_it(store):
    first = asyncio.ensure_future(store.refresh())
    await asyncio.sleep(0)
    second = asyncio.ensure_future(store.refresh())
    await asyncio.sleep(0)
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert store.is_fresh()
