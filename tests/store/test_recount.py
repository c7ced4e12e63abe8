"""The recount: right books stay as they are, wrong ones are found to the byte and put right, with a record of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.store import recount
from gateway.store.ledger import UsageRow, read_usage
from gateway.store.records import Intent, ObjectRecord, UploadPart, UploadRecord
from gateway.store.recount import Correction, StoredBody, correct, find_corrections, is_current, list_bodies
from gateway.store.store import Store
from tests.support.house import MEDIA, VOICE


def intent(name: str, bucket=MEDIA, uploader: str = "ann", size: int = 5) -> Intent:
    return Intent(
        name, "put", bucket.bucket, name, uploader, size, "local", f"at-{name}", 1,
        project=bucket.project, category=bucket.category,
    )  # fmt: skip


async def put(store: Store, name: str, bucket=MEDIA, uploader: str = "ann", size: int = 5) -> None:
    begun = intent(name, bucket, uploader, size)
    await store.catalog.begin(begun, None)
    row = ObjectRecord(bucket.bucket, name, uploader, size, '"e"', 10, "local", begun.location)
    await store.catalog.commit(bucket, begun, row, None)


async def execute(store: Store, sql: str) -> None:
    await store.database.write(lambda connection: connection.execute(sql))


@pytest.fixture
async def busy(store: Store) -> Store:
    """Objects, garbage, an open upload with a part, one under way, a write under way, a completed upload."""
    await put(store, "a")
    await put(store, "b", uploader="bob", size=7)
    await put(store, "c", VOICE, size=11)
    await put(store, "gone", size=3)
    await store.catalog.delete(MEDIA.bucket, "gone", None)
    await store.catalog.begin(intent("under-way", size=100), None)
    upload = UploadRecord(
        "u", MEDIA.bucket, "film", "bob", "ops", "open", 1, "local", "film@u/", None, None, {}, {}, {}
    )
    await store.uploads.create(MEDIA, upload)
    for number in (1, 2):
        part = replace(intent(f"p{number}", uploader="bob", size=20), kind="part", upload_id="u", part_number=number)
        await store.catalog.begin(part, None)
        if number == 1:
            await store.uploads.commit_part(part, UploadPart(1, 20, '"1"', 1, part.location, None, None))
    return store


async def usage(store: Store) -> list[UsageRow]:
    return await read_usage(store.database)


async def test_right_books_need_no_correction(busy):
    before = await usage(busy)
    assert before[0] == UsageRow("demo", None, None, 26, 4, 140, 2)
    assert await find_corrections(busy.database) == []
    assert await correct(busy.database, "root", 5) == []
    assert await usage(busy) == before
    assert await busy.audit.list(event="usage.corrected") == []


async def test_an_empty_store_needs_none(store):
    assert await find_corrections(store.database) == []


DAMAGES = [
    "UPDATE usage SET bytes = bytes + 1 WHERE uploader = 'ann' AND category = 'media'",
    "UPDATE usage SET objects = 0 WHERE uploader = ''",
    "UPDATE usage SET reserved_bytes = reserved_bytes + 1000000",
    "UPDATE usage SET reserved_objects = 0",
    "DELETE FROM usage WHERE uploader = 'bob'",
    "DELETE FROM usage",
    "INSERT INTO usage VALUES ('demo', 'media', 'nobody', 9, 9, 9, 9)",
    "INSERT INTO usage VALUES ('gone', '', '', 1, 1, 0, 0)",
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_wrong_books_are_put_right(busy, damage):
    right = await usage(busy)
    await execute(busy, damage)
    wrong = await usage(busy)
    assert wrong != right
    found = await find_corrections(busy.database)
    assert await usage(busy) == wrong
    assert found
    assert await correct(busy.database, "root", 5) == found
    assert await usage(busy) == right
    assert await find_corrections(busy.database) == []


async def test_a_correction_says_what_was_and_what_is_and_is_in_the_audit(busy):
    await execute(busy, DAMAGES[0])
    assert await correct(busy.database, "root", 5) == [
        Correction(UsageRow("demo", "media", "ann", 9, 2, 100, 1), UsageRow("demo", "media", "ann", 8, 2, 100, 1))
    ]
    (recorded,) = await busy.audit.list(event="usage.corrected")
    entry = recorded.entry
    assert (entry.time_s, entry.actor, entry.project) == (5, "root", "demo")
    assert (entry.subject, entry.details) == ("uploader ann in category media", {"bytes": "9 → 8"})


async def test_only_the_named_project_or_category_is_put_right(busy):
    await execute(busy, "UPDATE usage SET bytes = bytes + 1")
    await execute(busy, "INSERT INTO usage VALUES ('other', '', '', 1, 1, 0, 0)")
    assert {each.scope for each in await find_corrections(busy.database, "other")} == {"project other"}
    of_voice = await correct(busy.database, "root", 5, "demo", "voice")
    assert {each.scope for each in of_voice} == {
        "project demo", "category voice", "uploader ann in category voice",
    }  # fmt: skip
    left = {each.scope for each in await find_corrections(busy.database, "demo")}
    assert left == {"category media", "uploader ann in category media", "uploader bob in category media"}


async def test_writes_that_go_on_meanwhile_are_counted_once(busy):
    await execute(busy, DAMAGES[5])
    writing = [put(busy, f"w{number}", size=number) for number in range(40)]
    await asyncio.gather(*writing[:20], correct(busy.database, "root", 5), *writing[20:])
    assert await find_corrections(busy.database) == []
    total = (await usage(busy))[0]
    assert (total.bytes, total.objects) == (26 + sum(range(40)), 44)


async def test_bodies_are_told_in_pages(busy):
    first = await list_bodies(busy.database, None, 2)
    assert first == [
        StoredBody("demo-media", "a", 5, "local", "at-a"), StoredBody("demo-media", "b", 7, "local", "at-b"),
    ]  # fmt: skip
    assert [body.key for body in await list_bodies(busy.database, first[-1], 2)] == ["c"]
    assert [body.key for body in await list_bodies(busy.database, None, 9, "demo", "voice")] == ["c"]
    assert await list_bodies(busy.database, None, 9, "other") == []


async def test_a_page_of_bodies_is_found_without_sorting(busy):
    def plan(connection: Any) -> str:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {recount._BODIES}", ("", "", None, None, 5)).fetchall()
        return " ".join(row[3] for row in rows)

    told = await busy.database.read(plan)
    assert "SEARCH o" in told
    assert "TEMP B-TREE" not in told


async def test_a_body_that_was_replaced_is_not_current(busy):
    (body, *_) = await list_bodies(busy.database, None, 1)
    assert await is_current(busy.database, body)
    begun = replace(intent("new"), key="a")
    await busy.catalog.begin(begun, None)
    row = ObjectRecord(MEDIA.bucket, "a", "ann", 5, '"e"', 10, "local", begun.location)
    await busy.catalog.commit(MEDIA, begun, row, None)
    assert not await is_current(busy.database, body)
