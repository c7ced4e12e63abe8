"""The writer and the readers: group commit, failures that stay with who caused them, and other processes."""

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from gateway.errors import Code, S3Error
from gateway.store import database as module
from gateway.store.changes import ChangeCounter
from gateway.store.database import Connection, Database, StoreError
from tests.support.house import copy_store

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


@pytest.fixture
async def notes(database: Database) -> Database:
    """A store with a table to write to."""
    await database.write(lambda c: c.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)"))
    return database


def insert(text: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))

    return work


def insert_then_fail(text: str, error: Exception) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        raise error

    return work


async def texts(database: Database) -> list[str]:
    rows = await database.read(lambda c: c.execute("SELECT text FROM notes ORDER BY id").fetchall())
    return [row[0] for row in rows]


async def test_a_write_gives_its_result_and_the_next_read_sees_it(notes):
    assert await notes.write(lambda c: c.execute("INSERT INTO notes (text) VALUES ('a') RETURNING id").fetchone()) == (
        1,
    )
    assert await texts(notes) == ["a"]


async def test_many_writes_at_once_are_all_done_in_their_order(notes):
    await asyncio.gather(*(notes.write(insert(f"{number:04d}")) for number in range(1200)))
    assert await texts(notes) == [f"{number:04d}" for number in range(1200)]


async def test_a_write_that_fails_undoes_itself_and_none_of_its_batch(notes):
    works = [insert("first"), insert_then_fail("half", ValueError("mine")), insert("last")]
    results = await asyncio.gather(*(notes.write(work) for work in works), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    assert await texts(notes) == ["first", "last"]


async def test_a_write_that_fails_alone_undoes_itself(notes):
    with pytest.raises(ValueError, match="mine"):
        await notes.write(insert_then_fail("half", ValueError("mine")))
    await notes.write(insert("next"))
    assert await texts(notes) == ["next"]


async def test_a_statement_that_breaks_a_constraint_fails_alone_in_its_batch(notes):
    works = [insert("one"), insert("one"), insert("two")]
    results = await asyncio.gather(*(notes.write(work) for work in works), return_exceptions=True)
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert await texts(notes) == ["one", "two"]


async def test_all_of_a_batch_may_fail(notes):
    works = [insert_then_fail(str(number), S3Error(Code.NoSuchKey)) for number in range(5)]
    results = await asyncio.gather(*(notes.write(work) for work in works), return_exceptions=True)
    assert all(isinstance(result, S3Error) for result in results)
    assert await texts(notes) == []


async def test_a_write_stands_when_nobody_waits_for_it_any_more(notes):
    told: list[object] = []
    task = asyncio.ensure_future(notes.write(insert("stands"), told.append))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await notes.write(insert("later"))
    assert await texts(notes) == ["stands", "later"]
    assert told == [None]


async def test_on_commit_is_called_before_the_waiter_goes_on_and_only_for_what_was_committed(notes):
    order: list[str] = []
    await notes.write(insert("a"), lambda _: order.append("committed"))
    order.append("waiter")
    with pytest.raises(ValueError):
        await notes.write(insert_then_fail("b", ValueError()), lambda _: order.append("never"))
    assert order == ["committed", "waiter"]


async def test_a_reader_cannot_write(notes):
    with pytest.raises(S3Error) as refused:
        await notes.read(lambda c: c.execute("INSERT INTO notes (text) VALUES ('x')"))
    assert refused.value.code is Code.SlowDown


@pytest.mark.parametrize("way", ["read", "write"])
async def test_text_that_is_damaged_is_slow_down_and_not_logged(notes, caplog, way):
    with pytest.raises(S3Error) as refused:
        await getattr(notes, way)(lambda c: c.execute("SELECT CAST(x'73656372657420ff' AS TEXT)").fetchall())
    assert refused.value.code is Code.SlowDown
    assert "the store failed: Could not decode to UTF-8" in caplog.text
    assert "secret" not in caplog.text


async def test_a_store_that_another_process_holds_is_slow_down_and_heals(notes, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_TIMEOUT_S", 0.05)
    other = ChangeCounter(notes.path.with_name(notes.path.name + "-lock"))
    other.lock(1.0)
    failures = REGISTRY.get_sample_value("anbar_store_failures_total") or 0.0
    results = await asyncio.gather(*(notes.write(insert(text)) for text in "ab"), return_exceptions=True)
    assert [str(result) for result in results] == ["SlowDown", "SlowDown"]
    assert REGISTRY.get_sample_value("anbar_store_failures_total") == failures + 1, "one batch"
    assert await texts(notes) == [], "readers go on"
    other.unlock()
    await notes.write(insert("c"))
    assert await texts(notes) == ["c"]
    other.close()


async def test_a_store_that_a_foreign_program_has_locked_is_slow_down_and_heals(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BUSY_TIMEOUT_MS", 50)
    database = await Database.open(tmp_path / "store")
    await database.write(lambda c: c.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)"))
    with closing(sqlite3.connect(tmp_path / "store", isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(S3Error) as refused:
            await database.write(insert("a"))
        assert refused.value.code is Code.SlowDown
        foreign.execute("ROLLBACK")
        await database.write(insert("b"))
    assert await texts(database) == ["b"]
    await database.close()


async def test_a_full_disk_is_slow_down_for_who_needs_the_room_and_heals(notes):
    def fill(connection: Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        connection.execute("INSERT INTO notes (text) VALUES (?)", ("x" * MIB,))

    with pytest.raises(S3Error) as refused:
        await notes.write(fill)
    assert refused.value.code is Code.SlowDown
    results = await asyncio.gather(
        notes.write(insert("small")), notes.write(fill), notes.write(insert("other")), return_exceptions=True
    )
    assert isinstance(results[1], S3Error)
    told = [text for text, result in zip(("small", "big", "other"), results, strict=True) if result is None]
    assert await texts(notes) == told, "what was acknowledged is there, what was refused is not"
    await notes.write(lambda c: c.execute("PRAGMA max_page_count = 1000000"))
    await notes.write(insert("y" * MIB))
    assert len(await texts(notes)) == len(told) + 1


async def test_close_finishes_what_is_queued_and_may_be_called_again(store_path):
    database = await Database.open(store_path)
    await database.write(lambda c: c.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)"))
    writes = [asyncio.ensure_future(database.write(insert(str(number)))) for number in range(600)]
    await asyncio.sleep(0)
    await database.close()
    await database.close()
    await asyncio.gather(*writes)
    with closing(sqlite3.connect(store_path)) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (600,)


async def test_a_closed_store_is_service_unavailable(store_path):
    database = await Database.open(store_path)
    await database.close()
    for call in (database.read, database.write):
        with pytest.raises(S3Error) as refused:
            await call(lambda c: c.execute("SELECT 1"))
        assert refused.value.code is Code.ServiceUnavailable


async def test_an_acknowledged_write_is_in_a_copy_of_the_files_taken_at_once(notes, tmp_path):
    await notes.write(insert("safe"))
    copied = tmp_path / "copy.sqlite"
    copy_store(notes.path, copied)
    with closing(sqlite3.connect(copied)) as connection:
        assert connection.execute("SELECT text FROM notes").fetchall() == [("safe",)]


async def test_the_log_is_moved_into_the_file_when_it_has_grown_and_not_at_every_commit_after(notes):
    """A checkpoint costs two more flushes: one after each commit would make every write as dear as three."""
    for number in range(12):
        await notes.write(insert(f"{number}" + "x" * MIB))
    moved = notes.path.stat().st_size
    assert moved > MIB
    # Two small commits that meet no reader: the first may find the log to be started anew.
    for number in range(2):
        await notes.write(insert(f"settle {number}"))
    await asyncio.to_thread(_writer_is_idle, notes)
    before = notes.path.stat().st_mtime_ns
    for number in range(5):
        await notes.write(insert(f"small {number}"))
    await asyncio.to_thread(_writer_is_idle, notes)
    assert notes.path.stat().st_mtime_ns == before


def _writer_is_idle(database: Database) -> None:
    """The writer holds its lock while it commits and while it checkpoints."""
    for _ in range(3):
        counter = ChangeCounter(database.path.with_name(database.path.name + "-lock"))
        counter.lock(10.0)
        counter.unlock()
        counter.close()


async def test_a_store_holds_rows_that_only_its_owner_may_read(store_path):
    before = os.umask(0o022)
    try:
        database = await Database.open(store_path)
        await database.write(lambda c: c.execute("CREATE TABLE notes (text TEXT)"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in store_path.parent.iterdir()}
        await database.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0}, modes


@pytest.mark.parametrize("content", [b"", b"this is no database\n" * 100, b"\0" * 5000])
async def test_a_file_that_is_no_database_is_refused_unless_it_is_empty(tmp_path, content):
    path = tmp_path / "store"
    path.write_bytes(content)
    if not content:
        await (await Database.open(path)).close()
        return
    with pytest.raises(StoreError):
        await Database.open(path)
    assert path.read_bytes() == content


async def test_a_foreign_sqlite_file_is_refused_and_not_changed(tmp_path):
    path = tmp_path / "store"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE somebody (else_ TEXT)")
    content = path.read_bytes()
    with pytest.raises(StoreError, match="not a store of anbar"):
        await Database.open(path)
    assert path.read_bytes() == content


async def test_a_store_of_a_newer_program_is_refused(store_path):
    await (await Database.open(store_path)).close()
    with closing(sqlite3.connect(store_path)) as connection:
        connection.execute("PRAGMA user_version = 9999")
    with pytest.raises(StoreError, match="newer"):
        await Database.open(store_path)


@pytest.mark.parametrize("place", ["a directory", "below a file"])
async def test_a_place_that_can_hold_no_store_is_a_store_error(tmp_path, place):
    if place == "a directory":
        path = tmp_path
    else:
        (tmp_path / "file").write_bytes(b"")
        path = tmp_path / "file" / "store"
    with pytest.raises((StoreError, OSError)) as refused:
        await Database.open(path)
    assert isinstance(refused.value, StoreError), "the operator is told in our words"


async def test_damage_is_found_by_the_check_at_the_start(store_path):
    database = await Database.open(store_path)
    await database.write(lambda c: c.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)"))
    for number in range(50):
        await database.write(insert(f"{number}" + "x" * 4000))
    await database.close()
    data = bytearray(store_path.read_bytes())
    for offset in range(8192, len(data), 4096 * 2):
        data[offset : offset + 600] = b"\xff" * 600
    store_path.write_bytes(data)
    with pytest.raises(StoreError):
        await Database.open(store_path, check=True)


WRITE = """
import asyncio, pathlib, sys
from gateway.store.database import Database
async def main():
    database = await Database.open(pathlib.Path(sys.argv[1]))
    for number in range(int(sys.argv[3])):
        await database.write(lambda c: c.execute("INSERT INTO notes (text) VALUES (?)", (f"{sys.argv[2]}-{number}",)))
    await database.close()
asyncio.run(main())
"""


async def another_process(path: Path, name: str, writes: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", WRITE, str(path), name, str(writes), cwd=ROOT)


async def test_a_commit_of_another_process_is_noticed_and_read(notes):
    await notes.write(insert("ours"))
    assert not notes.changed_elsewhere()
    other = await another_process(notes.path, "theirs", 1)
    assert await other.wait() == 0
    assert notes.changed_elsewhere()
    assert not notes.changed_elsewhere()
    assert await texts(notes) == ["ours", "theirs-0"]


async def test_a_process_that_comes_and_goes_takes_nothing_away_from_the_one_that_stays(notes):
    """The last one to close a store removes its log; whoever still has it open must be seen to have it open."""
    await notes.write(insert("before"))
    await asyncio.gather(*(texts(notes) for _ in range(8)))  # every reader has opened its connection
    log = notes.path.with_name(notes.path.name + "-wal")
    inode = log.stat().st_ino
    assert await (await another_process(notes.path, "guest", 1)).wait() == 0
    assert log.exists()
    assert log.stat().st_ino == inode
    await notes.write(insert("after"))
    with closing(sqlite3.connect(f"file:{notes.path}?mode=ro", uri=True)) as connection:
        assert [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")] == [
            "before",
            "guest-0",
            "after",
        ]


async def test_two_processes_write_at_once_and_nothing_is_lost(notes):
    others = [await another_process(notes.path, name, 60) for name in ("b", "c")]
    for number in range(60):
        await notes.write(insert(f"a-{number}"))
    assert [await other.wait() for other in others] == [0, 0]
    wanted = {f"{name}-{number}" for name in "abc" for number in range(60)}
    assert set(await texts(notes)) == wanted
    found = await notes.read(lambda c: c.execute("PRAGMA integrity_check").fetchone())
    assert found == ("ok",)


async def test_two_processes_may_make_a_store_at_the_same_time(store_path):
    opening = "import asyncio, pathlib, sys\nfrom gateway.store.database import Database\nasyncio.run(Database.open(pathlib.Path(sys.argv[1])))"
    others = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", opening, str(store_path), cwd=ROOT) for _ in range(3)
    ]
    database = await Database.open(store_path)
    assert [await other.wait() for other in others] == [0, 0, 0]
    tables: Any = await database.read(
        lambda c: c.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'objects'").fetchone()
    )
    assert tables == (1,)
    await database.close()
