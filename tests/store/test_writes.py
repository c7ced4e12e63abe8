"""The commit protocol's transactions, each on its own: a write ends once, and what it left is always on record."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.errors import Code, S3Error
from gateway.policy.model import Quota
from gateway.s3.conditions import WriteCondition
from gateway.store import writes
from gateway.store.database import Connection, Database
from gateway.store.ledger import Allowance, UsageRow, read_usage
from gateway.store.records import Garbage, Intent, ObjectRecord
from gateway.store.store import Store
from tests.support.house import MEDIA, RING

ABSENT = WriteCondition(if_none_match=True)
PRESENT = WriteCondition(if_match="*")


@pytest.fixture
def names() -> Iterator[str]:
    return iter(f"w{number}" for number in range(10_000))


def intent(name: str, key: str = "k", bucket: str = "demo-media", size: int = 3) -> Intent:
    return Intent(name, "put", bucket, key, "ops", size, "local", f"at-{name}", 1)


def row(of: Intent, size: int = 3) -> ObjectRecord:
    return ObjectRecord(of.bucket, of.key, of.uploader, size, f'"{of.intent_id}"', 10, "local", of.location)


async def put(store, name: str, key: str = "k", size: int = 3, condition=None) -> Garbage | None:
    begun = intent(name, key, size=size)
    await store.catalog.begin(begun, condition)
    replaced: Garbage | None = await store.catalog.commit(MEDIA, begun, row(begun, size), condition)
    return replaced


async def rows(store, table: str) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = await store.database.read(
        lambda c: c.execute(f"SELECT * FROM {table}").fetchall()
    )
    return found


async def used(store) -> UsageRow:
    found = await read_usage(store.database, "demo")
    return found[0] if found else UsageRow("demo", None, None, 0, 0)


async def test_a_write_ends_committed_and_leaves_no_intent(store):
    assert await put(store, "a") is None
    assert await rows(store, "intents") == []
    assert (await used(store)).bytes == 3


async def test_a_write_ends_once(store):
    begun = intent("a")
    await store.catalog.begin(begun, None)
    await store.catalog.commit(MEDIA, begun, row(begun), None)
    assert await store.catalog.release(begun) is None, "what was committed is left alone"
    with pytest.raises(S3Error) as refused:
        await store.catalog.commit(MEDIA, begun, row(begun), None)
    assert refused.value.code is Code.OperationAborted
    assert await rows(store, "garbage") == []
    assert (await used(store)).objects == 1


async def test_a_released_write_can_not_be_committed_and_its_body_is_on_record(store):
    begun = intent("a")
    await store.catalog.begin(begun, None)
    assert await store.catalog.release(begun) == Garbage("at-a", "local", "", "", "ops", write_id="a")
    with pytest.raises(S3Error):
        await store.catalog.commit(MEDIA, begun, row(begun), None)
    assert await store.catalog.find("demo-media", "k") is None
    assert len(await rows(store, "garbage")) == 1


async def test_the_body_that_is_replaced_is_on_record_and_charged_no_more(store):
    await put(store, "a", size=5)
    replaced = await put(store, "b", size=7)
    assert replaced == Garbage("at-a", "local", "demo", "media", "ops")
    assert await store.catalog.list_garbage(10) == [replaced]
    assert ((await used(store)).bytes, (await used(store)).objects) == (7, 1)


async def test_a_write_of_unknown_end_is_on_record_with_its_beginning(store):
    for until_s, begun_s in ((0, 0), (900, 7)):
        begun = replace(intent("a"), created_s=7)
        await store.catalog.begin(begun, None)
        garbage = await store.catalog.release(begun, until_s)
        assert garbage is not None
        assert (garbage.until_s, garbage.begun_s) == (until_s, begun_s)
        assert await store.catalog.list_garbage(10) == [garbage]
        await store.catalog.forget_garbage([garbage])


async def test_a_body_on_record_is_known_by_its_write_and_its_etag(store):
    """Others may have put something else in its place."""
    for remove in (put(store, "c"), store.catalog.delete("demo-media", "k", None)):
        begun = intent("a")
        await store.catalog.begin(begun, None)
        await store.catalog.commit(MEDIA, begun, replace(row(begun), write_id="a", origin_etag='"e"'), None)
        await remove
        (found,) = [each for each in await store.catalog.list_garbage(10) if each.location == "at-a"]
        assert (found.write_id, found.origin_etag) == ("a", '"e"')
        await store.catalog.forget_garbage([found])


async def test_a_deleted_body_is_charged_until_it_is_gone_and_given_back_once(store):
    await put(store, "a", size=5)
    garbage = await store.catalog.delete("demo-media", "k", None)
    assert garbage == Garbage("at-a", "local", "demo", "media", "ops", 5, 1)
    assert (await used(store)).bytes == 5
    await asyncio.gather(*(store.catalog.forget_garbage([garbage]) for _ in range(3)))
    assert await used(store) == UsageRow("demo", None, None, 0, 0)
    assert await store.catalog.delete("demo-media", "k", None) is None


async def test_nothing_is_committed_into_a_bucket_that_is_not_there(store):
    begun = intent("a", bucket="nowhere")
    await store.catalog.begin(begun, None)
    with pytest.raises(S3Error) as refused:
        await store.catalog.commit(replace(MEDIA, bucket=begun.bucket), begun, row(begun), None)
    assert refused.value.code is Code.NoSuchBucket
    assert await store.catalog.release(begun) is not None


async def test_a_bucket_that_is_removed_during_a_write_refuses_its_commit(store):
    await store.buckets.create(
        replace(store.buckets.get("demo-media"), bucket="new", category="new", origin_bucket="new", source="client")
    )
    begun = intent("a", bucket="new")
    await store.catalog.begin(begun, None)
    await store.buckets.delete("new")
    with pytest.raises(S3Error) as refused:
        await store.catalog.commit(replace(MEDIA, bucket=begun.bucket), begun, row(begun), None)
    assert refused.value.code is Code.NoSuchBucket
    assert await store.catalog.release(begun) is not None


async def test_a_write_does_not_land_in_a_bucket_that_another_project_made_meanwhile(store):
    mine = replace(MEDIA, bucket="shared", category="shared", origin_bucket="shared", source="client")
    await store.buckets.create(mine)
    begun = intent("a", bucket="shared")
    await store.catalog.begin(begun, None)
    await store.buckets.delete("shared")
    await store.buckets.create(replace(mine, project="other"))
    with pytest.raises(S3Error) as refused:
        await store.catalog.commit(mine, begun, row(begun), None)
    assert refused.value.code is Code.NoSuchBucket
    assert await rows(store, "objects") == []
    assert (await used(store)).bytes == 0


async def test_a_bucket_with_an_object_is_not_removed(store):
    await put(store, "a")
    with pytest.raises(S3Error) as refused:
        await store.buckets.delete("demo-media")
    assert refused.value.code is Code.BucketNotEmpty


@pytest.mark.parametrize(
    ("condition", "there", "code"),
    [
        (ABSENT, True, Code.PreconditionFailed),
        (PRESENT, False, Code.NoSuchKey),
        (WriteCondition(if_match='"other"'), True, Code.PreconditionFailed),
        (ABSENT, False, None),
        (PRESENT, True, None),
        (WriteCondition(if_match='"a"'), True, None),
    ],
)
async def test_a_condition_is_checked_at_the_beginning_at_the_commit_and_at_a_delete(store, condition, there, code):
    if there:
        await put(store, "a")
    late = intent("late")
    await store.catalog.begin(late, None)
    works = [
        store.catalog.begin(intent("b"), condition),
        store.catalog.commit(MEDIA, late, row(late), condition) if code else store.catalog.release(late),
    ]
    if condition is not ABSENT:
        works.append(store.catalog.delete("demo-media", "k", condition))
    for work in works:
        if code is None:
            await work
            continue
        with pytest.raises(S3Error) as refused:
            await work
        assert refused.value.code is code


async def test_of_many_commits_that_all_found_nothing_one_wins(store):
    begun = [intent(f"w{number}") for number in range(20)]
    for each in begun:
        await store.catalog.begin(each, ABSENT)
    results = await asyncio.gather(
        *(store.catalog.commit(MEDIA, each, row(each), ABSENT) for each in begun), return_exceptions=True
    )
    assert len([result for result in results if result is None]) == 1
    assert {str(result) for result in results if result is not None} == {"PreconditionFailed"}
    assert (await used(store)).objects == 1
    assert len(await rows(store, "intents")) == 19, "those that lost are still to be released"


async def test_what_a_dead_process_has_begun_is_released_and_what_a_living_one_has_is_not(store, store_path):
    """A process is one that has the store open: its lock is gone when it is."""
    await put(store, "done")
    dying = await Database.open(store_path)
    for number in range(3):
        await Store(dying, RING).catalog.begin(intent(f"open{number}"), None)
    await store.catalog.begin(intent("living"), None)
    assert await store.catalog.recover({}) == 0
    await dying.close()
    assert await store.catalog.recover({}) == 3
    assert await store.catalog.recover({}) == 0
    assert {garbage.location for garbage in await store.catalog.list_garbage(10)} == {f"at-open{n}" for n in range(3)}
    assert len(await rows(store, "intents")) == 1
    assert await store.catalog.find("demo-media", "k") is not None


async def test_a_transaction_that_fails_after_its_first_statement_leaves_no_trace(store):
    begun = intent("a")
    await store.catalog.begin(begun, None)
    before = await rows(store, "usage")

    def half(connection: Connection) -> None:
        writes.commit(connection, MEDIA, begun, row(begun), (), None)
        raise RuntimeError("the rest of it")

    with pytest.raises(RuntimeError):
        await store.database.write(half)
    assert len(await rows(store, "intents")) == 1
    assert await rows(store, "objects") == []
    assert await rows(store, "usage") == before


NINE = Allowance(category=Quota(bytes=9))


def charged(of: Intent) -> Intent:
    return replace(of, project="demo", category="media")


async def test_a_write_that_comes_near_to_a_limit_is_in_the_audit_and_in_the_log(store, caplog):
    begun = charged(intent("a", size=8))
    await store.catalog.begin(begun, None, allowance=NINE)
    with caplog.at_level(logging.WARNING, "anbar.quota"):
        await store.catalog.commit(MEDIA, begun, row(begun, 8), None, allowance=NINE)
    (recorded,) = await store.audit.list(event="quota.near")
    entry = recorded.entry
    assert (entry.time_s, entry.actor, entry.project, entry.subject) == (10, "ops", "demo", "category media")
    assert entry.details == {"limit": 9, "used": 8, "percent": 88, "unit": "bytes"}
    assert [record.getMessage() for record in caplog.records] == [
        "project demo: 8 of 9 bytes of category media are used (88 %)"
    ]


async def test_going_up_and_down_at_a_limit_is_told_once_a_day_and_again_where_it_comes_nearer(store):
    async def told_after(size: int, now_s: int, limit: int = 100) -> list[int]:
        allowance = Allowance(category=Quota(bytes=limit))
        for each in (1, size):
            write = charged(intent(f"{now_s}-{each}", size=each))
            await store.catalog.begin(write, None, allowance=allowance)
            stored = replace(row(write, each), modified_s=now_s)
            await store.catalog.commit(MEDIA, write, stored, None, allowance=allowance)
        return [each.entry.details["percent"] for each in await store.audit.list(event="quota.near")]

    assert await told_after(85, 100_000) == [85]
    assert await told_after(81, 100_001) == [85]
    assert await told_after(97, 100_002) == [85, 97], "this is nearer than what was told"
    assert await told_after(81, 100_003) == [85, 97]
    assert await told_after(96, 186_399) == [85, 97]
    assert await told_after(81, 186_402) == [85, 97, 81], "a day is over"
    assert await told_after(8, 186_403, limit=10) == [85, 97, 81, 80], "another limit"


async def test_a_write_that_is_taken_back_has_come_near_to_nothing(store, caplog):
    begun = charged(intent("a", size=8))
    await store.catalog.begin(begun, None, allowance=NINE)

    def half(connection: Connection) -> None:
        assert writes.commit(connection, MEDIA, begun, row(begun, 8), (), None, None, NINE).near
        raise RuntimeError("the rest of it")

    with caplog.at_level(logging.WARNING, "anbar.quota"), pytest.raises(RuntimeError):
        await store.database.write(half)
    assert await store.audit.list(event="quota.near") == []
    assert caplog.records == []


async def test_a_waiter_that_is_gone_does_not_keep_the_operator_from_being_told(store, caplog):
    begun = charged(intent("a", size=8))
    await store.catalog.begin(begun, None, allowance=NINE)
    with caplog.at_level(logging.WARNING, "anbar.quota"):
        waiting = asyncio.ensure_future(store.catalog.commit(MEDIA, begun, row(begun, 8), None, allowance=NINE))
        await asyncio.sleep(0)
        waiting.cancel()
        assert len(await store.audit.list(event="quota.near")) <= 1
        await store.database.write(lambda _: None)
    assert len(caplog.records) == len(await store.audit.list(event="quota.near")) == 1
