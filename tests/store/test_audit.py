"""The audit: entries are only ever added; denied requests are counted, and no failed write loses a count."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.errors import Code, S3Error
from gateway.store.audit import AuditEntry, Recorded, record

DENIED = ("demo", "sara", "GetObject", "demo-media", "AccessDenied")


def entry(
    subject: str = "AKONE", event: str = "key.create", project: str | None = "demo", **details: str
) -> AuditEntry:
    return AuditEntry(7, "root", event, project, subject, details)


def counts(found: list[Recorded]) -> Counter[tuple[str | None, str, str]]:
    """How many denied requests all entries together tell of, by project, actor and bucket."""
    told: Counter[tuple[str | None, str, str]] = Counter()
    for each in found:
        count = each.entry.details["count"]
        assert isinstance(count, int)
        told[each.entry.project, each.entry.actor, each.entry.subject] += count
    return told


async def test_entries_come_back_as_they_were_told_and_the_newest_is_last(store):
    told = [entry(f"AK{number}", principal="café") for number in range(3)]
    await store.audit.record(told)
    found = await store.audit.list()
    assert [each.entry for each in found] == told
    assert [each.id for each in found] == [1, 2, 3]


async def test_a_list_is_of_the_last_entries_or_of_those_behind_one(store):
    await store.audit.record([entry(f"AK{number}") for number in range(1, 8)])
    assert [each.id for each in await store.audit.list(limit=3)] == [5, 6, 7]
    assert [each.id for each in await store.audit.list(after_id=0, limit=3)] == [1, 2, 3]
    assert [each.id for each in await store.audit.list(after_id=3, limit=3)] == [4, 5, 6]
    assert await store.audit.list(after_id=7) == []


async def test_a_list_is_of_a_project_or_of_one_kind_of_event(store):
    await store.audit.record(
        [entry("a"), entry("b", project="other"), entry("c", "key.delete"), entry("d", project=None)]
    )
    assert [each.entry.subject for each in await store.audit.list(project="demo")] == ["a", "c"]
    assert [each.entry.subject for each in await store.audit.list(event="key.create")] == ["a", "b", "d"]
    assert [each.entry.subject for each in await store.audit.list(project="demo", event="key.delete")] == ["c"]


async def test_details_are_bounded_in_bytes(store):
    frame = len('{"principal":""}')
    await store.audit.record([entry(principal="x" * (4096 - frame))])
    for too_large in ("x" * (4097 - frame), "é" * ((4096 - frame) // 2 + 1)):
        with pytest.raises(ValueError, match="larger than 4096 bytes"):
            await store.audit.record([entry("before"), entry(principal=too_large)])
    assert len(await store.audit.list()) == 1, "nothing of the refused batches is kept"


async def test_an_entry_of_a_failed_write_is_not_kept(store):
    def work(connection: sqlite3.Connection) -> None:
        record(connection, entry())
        raise S3Error(Code.NoSuchKey)

    with pytest.raises(S3Error):
        await store.database.write(work)
    assert await store.audit.list() == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET actor = 'nobody'",
        "UPDATE OR REPLACE audit SET id = 2",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
        "INSERT OR REPLACE INTO audit VALUES (1, 1, 'nobody', 'e', NULL, 's', '{}')",
        "REPLACE INTO audit VALUES (1, 1, 'nobody', 'e', NULL, 's', '{}')",
        "INSERT INTO audit VALUES (1, 1, 'nobody', 'e', NULL, 's', '{}') ON CONFLICT DO UPDATE SET actor = 'nobody'",
    ],
)
async def test_nothing_in_the_audit_can_be_changed_or_removed(store, store_path, sql):
    await store.audit.record([entry()])
    with pytest.raises(sqlite3.IntegrityError, match="audit"):
        await store.database.write(lambda connection: connection.execute(sql))
    with closing(sqlite3.connect(store_path)) as foreign, pytest.raises(sqlite3.IntegrityError, match="audit"):
        foreign.execute(sql)
    assert [each.entry for each in await store.audit.list()] == [entry()]


async def test_denied_requests_are_counted_by_class(store):
    for now_s in (10, 11, 15):
        store.denials.note(*DENIED, now_s)
    store.denials.note("demo", "backend/sara", "GetObject", "demo-media", "AccessDenied", 12)
    store.denials.note(None, "anonymous", "PutObject", "", "InvalidAccessKeyId", 13)
    await store.denials.flush()
    first, second, third = [each.entry for each in await store.audit.list()]
    assert first == AuditEntry(
        15,
        "sara",
        "request.denied",
        "demo",
        "demo-media",
        {"operation": "GetObject", "code": "AccessDenied", "count": 3, "first_s": 10, "last_s": 15},
    )
    assert (second.actor, second.details["count"]) == ("backend/sara", 1)
    assert (third.project, third.actor, third.subject) == (None, "anonymous", "")


async def test_what_was_written_is_not_written_again(store):
    store.denials.note(*DENIED, 10)
    await store.denials.flush()
    await store.denials.flush()
    store.denials.note(*DENIED, 20)
    await store.denials.flush()
    assert [each.entry.details["first_s"] for each in await store.audit.list()] == [10, 20]


async def test_classes_beyond_a_hundred_are_counted_as_one(store):
    for turn in range(2):
        for number in range(150):
            store.denials.note("demo", f"u{number}", "GetObject", "demo-media", "AccessDenied", turn)
    await store.denials.flush()
    found = counts(await store.audit.list(limit=1000))
    assert len(found) == 101
    assert found.pop((None, "other", "")) == 100
    assert found == {("demo", f"u{number}", "demo-media"): 2 for number in range(100)}
    store.denials.note("demo", "u149", "GetObject", "demo-media", "AccessDenied", 9)
    await store.denials.flush()
    assert (await store.audit.list(limit=1))[0].entry.actor == "u149", "a flush makes room"


async def test_what_clients_choose_is_cut_short_and_can_always_be_stored(store):
    store.denials.note("demo", "\udcff", "GetObject", "b" * 10_000, "NoSuchBucket", 1)
    await store.denials.flush()
    [found] = await store.audit.list()
    assert (found.entry.actor, found.entry.subject) == ("?", "b" * 255)


@contextmanager
def without_its_audit(path: Path) -> Iterator[None]:
    """The store as it is where nothing can be written into the audit."""
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("PRAGMA legacy_alter_table = ON")
        foreign.execute("ALTER TABLE audit RENAME TO hidden")
        yield
        foreign.execute("ALTER TABLE hidden RENAME TO audit")


async def test_a_flush_that_fails_is_counted_on(store, store_path):
    store.denials.note(*DENIED, 10)
    store.denials.note("demo", "old", *DENIED[2:], 10)
    with without_its_audit(store_path):
        failing = asyncio.ensure_future(store.denials.flush())
        await asyncio.sleep(0)
        store.denials.note(*DENIED, 30)
        store.denials.note("demo", "new", *DENIED[2:], 30)
        with pytest.raises(sqlite3.OperationalError):
            await failing
    await store.denials.flush()
    found = await store.audit.list()
    assert counts(found) == {
        ("demo", "sara", "demo-media"): 2,
        ("demo", "old", "demo-media"): 1,
        ("demo", "new", "demo-media"): 1,
    }
    [both] = [each.entry.details for each in found if each.entry.actor == "sara"]
    assert (both["first_s"], both["last_s"]) == (10, 30)


async def test_flushes_that_fail_again_and_again_stay_bounded_and_lose_nothing(store, store_path):
    with without_its_audit(store_path):
        for turn in range(5):
            for number in range(100):
                store.denials.note("demo", f"u{turn}-{number}", *DENIED[2:], turn)
            with pytest.raises(sqlite3.OperationalError):
                await store.denials.flush()
    await store.denials.flush()
    found = counts(await store.audit.list(limit=1000))
    assert len(found) == 101
    assert found[None, "other", ""] == 400


async def test_a_flush_whose_waiter_is_cancelled_counts_nothing_twice(store):
    store.denials.note(*DENIED, 10)
    flushing = asyncio.ensure_future(store.denials.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    await store.denials.flush()
    await store.database.write(lambda _: None)  # behind whatever is in the queue
    assert counts(await store.audit.list()) == {("demo", "sara", "demo-media"): 1}


async def test_flushes_at_the_same_time_count_nothing_twice(store):
    for _ in range(3):
        store.denials.note(*DENIED, 10)
    await asyncio.gather(*(store.denials.flush() for _ in range(4)))
    assert counts(await store.audit.list()) == {("demo", "sara", "demo-media"): 3}
