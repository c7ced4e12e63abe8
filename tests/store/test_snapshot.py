"""A snapshot: one moment of the store while others write, and a moment at which nobody does."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from gateway.store import snapshot as snapshot_module
from gateway.store.database import Database, StoreError
from gateway.store.migrate import migrations
from gateway.store.records import Intent, ObjectRecord, UploadPart, UploadRecord
from gateway.store.snapshot import NamedBody, Snapshot, TimeIsUp
from tests.support.house import MEDIA


@pytest.fixture
def snapshot(store, store_path) -> Iterator[Snapshot]:
    opened = Snapshot.open(store_path)
    yield opened
    opened.close()


def intent(name: str, **more) -> Intent:
    return Intent(
        name, more.pop("kind", "put"), MEDIA.bucket, name, "ann", 5, "local", f"at-{name}", 1,
        project=MEDIA.project, category=MEDIA.category, **more,
    )  # fmt: skip


async def put(store, name: str, modified_s: int = 10) -> None:
    begun = intent(name)
    await store.catalog.begin(begun, None)
    row = ObjectRecord(MEDIA.bucket, name, "ann", 5, '"e"', modified_s, "local", begun.location)
    await store.catalog.commit(MEDIA, begun, row, None)


def keys(snapshot: Snapshot, since_s: int = 0) -> list[str]:
    return [body.key for body in snapshot.bodies(since_s)]


async def test_it_is_the_store_of_the_last_look(store, snapshot, tmp_path):
    await put(store, "a")
    snapshot.look()
    await put(store, "b")
    await store.catalog.delete(MEDIA.bucket, "a", None)
    assert keys(snapshot) == ["a"]
    snapshot.write(tmp_path / "copy")
    with closing(Snapshot.open_copy(tmp_path / "copy")) as copy:
        assert keys(copy) == ["a"]
        assert copy.damage() is None
        assert copy.schema == snapshot.schema
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    snapshot.look()
    assert keys(snapshot) == ["b"]


async def test_it_names_the_bodies_of_objects_and_of_open_uploads(store, snapshot):
    await put(store, "a", modified_s=10)
    upload = UploadRecord(
        "u", MEDIA.bucket, "film", "bob", "ops", "open", 1, "local", "film@u/", None, None, {}, {}, {}
    )
    await store.uploads.create(MEDIA, upload)
    part = intent("p", kind="part", upload_id="u", part_number=1)
    await store.catalog.begin(part, None)
    await store.uploads.commit_part(part, UploadPart(1, 5, '"1"', 20, part.location, None, None))
    snapshot.look()
    found = list(snapshot.bodies())
    assert found == [
        NamedBody(MEDIA.bucket, "a", 5, "local", "at-a", ""),
        NamedBody(MEDIA.bucket, "film", 5, "local", "at-p", "u"),
    ]
    assert keys(snapshot, 11) == ["film"]
    assert all(map(snapshot.names, found))
    await store.catalog.delete(MEDIA.bucket, "a", None)
    await store.uploads.abort("u")
    assert all(map(snapshot.names, found)), "at that moment it did"
    snapshot.look()
    assert not any(map(snapshot.names, found))


async def test_nobody_commits_while_it_stands_still(store, snapshot):
    await put(store, "a")
    with snapshot.still():
        writing = asyncio.ensure_future(put(store, "b"))
        await store.database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        snapshot.look()
        assert keys(snapshot) == ["a"]
        assert not writing.done()
    await writing
    snapshot.look()
    assert keys(snapshot) == ["a", "b"]


async def test_after_its_time_it_reads_no_more_and_is_the_store_of_that_moment_still(store, snapshot, monkeypatch):
    """Also where nothing is found that could be counted: nobody may commit before the search is over."""
    monkeypatch.setattr(snapshot_module, "_CLOCK_STEPS", 100)
    for number in range(50):
        await put(store, f"{number:02}")
    snapshot.look()
    with snapshot.still(-1.0), pytest.raises(TimeIsUp):
        keys(snapshot, since_s=1000)
    await put(store, "later")
    assert keys(snapshot) == [f"{number:02}" for number in range(50)]


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="there is no store yet"):
        Snapshot.open(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text").write_text("not a database at all" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        Snapshot.open(tmp_path / "text")
    with closing(sqlite3.connect(tmp_path / "foreign")) as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="not a store of anbar"):
        Snapshot.open_copy(tmp_path / "foreign")


@pytest.mark.parametrize("schema", [number for number, _ in migrations()])
def test_the_store_of_an_older_version_is_read_as_it_is(tmp_path, schema):
    """A backup before an upgrade may be made by either version."""
    with closing(sqlite3.connect(tmp_path / "old")) as old:
        for number, sql in migrations()[:schema]:
            old.executescript(f"{sql}\nPRAGMA application_id = 0x414E4252; PRAGMA user_version = {number};")
    with closing(Snapshot.open(tmp_path / "old")) as snapshot:
        snapshot.look()
        assert list(snapshot.bodies()) == []
        assert snapshot.identities() == {}
        snapshot.write(tmp_path / "copy")
    with closing(Snapshot.open_copy(tmp_path / "copy")) as copy:
        assert copy.schema == schema
        assert copy.damage() is None


async def test_damage_is_found(tmp_path, store_path):
    await (await Database.open(store_path)).close()
    data = store_path.read_bytes()
    store_path.write_bytes(data[: 3 * 4096] + b"\xff" * 4096 + data[4 * 4096 :])
    with closing(Snapshot.open_copy(store_path)) as copy:
        assert copy.damage() is not None
