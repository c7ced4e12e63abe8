"""The catalog: exact rows from memory, listings in the order of bytes, and a map that follows the store."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.policy.spans import Span
from gateway.s3.conditions import WriteCondition
from gateway.store.database import Connection, Database
from gateway.store.listing import ListQuery
from gateway.store.records import (
    Intent,
    ObjectPart,
    ObjectRecord,
    StoredChecksum,
    object_from_row,
    object_to_row,
)
from gateway.store.store import Store
from tests.support.buckets import make_buckets
from tests.support.house import MEDIA, RING

T = TypeVar("T")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maps = st.dictionaries(texts, texts, max_size=4)


def record(key: str, size: int = 3, location: str = "", uploader: str = "ops") -> ObjectRecord:
    return ObjectRecord("demo-media", key, uploader, size, f'"{key}-{size}"', 10, "local", location or f"at-{key}")


async def stored(store: Store, wanted: ObjectRecord, condition: WriteCondition | None = None) -> None:
    """Begin and commit a write of this row."""
    intent = Intent(
        wanted.location, "put", wanted.bucket, wanted.key, wanted.uploader, wanted.size, "local", wanted.location, 1
    )
    await store.catalog.begin(intent, condition)
    await store.catalog.commit(MEDIA, intent, wanted, condition)


@given(headers=maps, metadata=maps, tags=maps, checksum=st.none() | st.builds(StoredChecksum, texts, texts, texts))
def test_a_record_comes_back_from_its_row_as_it_was(headers, metadata, tags, checksum):
    wanted = replace(record("k"), headers=headers, metadata=metadata, tags=tags, checksum=checksum, part_count=2)
    assert object_from_row(object_to_row(wanted)) == wanted


async def test_a_committed_row_is_at_hand_and_the_same_in_the_store(store):
    wanted = replace(record("k"), headers={"content-type": "é/🎧"}, metadata={"a": "ü\u2028"}, tags={"t": ""})
    await stored(store, wanted)
    assert store.catalog.at_hand("demo-media", "k") == wanted
    store.catalog.forget()
    assert store.catalog.at_hand("demo-media", "k") is None
    assert await store.catalog.find("demo-media", "k") == wanted


async def test_that_there_is_no_object_is_remembered_until_there_is_one(store):
    assert await store.catalog.find("demo-media", "k") is None
    await stored(store, record("k"))
    assert await store.catalog.find("demo-media", "k") == record("k")
    await store.catalog.delete("demo-media", "k", None)
    assert await store.catalog.find("demo-media", "k") is None


async def test_keys_differ_by_case_by_unicode_form_and_by_a_blank(store):
    keys = ["a", "A", "a ", "e\u0301", "\u00e9", "a\x01"]
    for key in keys:
        await stored(store, record(key, location=f"at-{key!a}"))
    store.catalog.forget()
    for key in keys:
        found = await store.catalog.find("demo-media", key)
        assert found is not None
        assert found.key == key


async def test_a_failed_commit_leaves_memory_as_it_is(store):
    await stored(store, record("k", 3))
    second = record("k", 4, "at-k2")
    intent = Intent("i2", "put", "demo-media", "k", "ops", 4, "local", "at-k2", 1)
    await store.catalog.begin(intent, None)
    with pytest.raises(S3Error) as refused:
        await store.catalog.commit(MEDIA, intent, second, WriteCondition(if_none_match=True))
    assert refused.value.code is Code.PreconditionFailed
    assert store.catalog.at_hand("demo-media", "k") == record("k", 3)
    garbage = await store.catalog.release(intent)
    assert garbage is not None
    assert garbage.location == "at-k2"


async def test_a_listing_is_in_the_order_of_utf8_bytes(store):
    keys = ["z", "a/2", "a/1", "\U0010ffff", "🎧", "\uffff", "\ue000", "\ud7ff", "é", "Z", "a", "a0"]
    for number, key in enumerate(keys):
        await stored(store, record(key, location=f"at-{number}"))
    page = await store.catalog.list_objects(ListQuery("demo-media"))
    assert [row.key for row in page.rows] == sorted(keys, key=str.encode)
    page = await store.catalog.list_objects(ListQuery("demo-media", delimiter="/"))
    assert page.common_prefixes == ("a/",)
    assert (await store.catalog.list_objects(ListQuery("demo-voice"))).rows == ()


async def test_a_listing_of_own_objects_has_no_other_rows_prefixes_or_pages(store):
    for key, uploader in (("a", "bob"), ("b/1", "bob"), ("c/1", "bob"), ("c/2", "ann"), ("d", "ann"), ("e", "bob")):
        await stored(store, replace(record(key, location=f"at-{key}"), uploader=uploader))
    own = ListQuery("demo-media", spans=(Span(uploader="ann"),), limit=2)
    page = await store.catalog.list_objects(own)
    assert [(row.key, row.uploader) for row in page.rows] == [("c/2", "ann"), ("d", "ann")]
    assert page.next_after is None
    page = await store.catalog.list_objects(replace(own, delimiter="/"))
    assert ([row.key for row in page.rows], page.common_prefixes, page.next_after) == (["d"], ("c/",), None)


async def test_tags_are_replaced_and_nothing_else(store):
    await stored(store, replace(record("k"), tags={"old": "1"}, metadata={"kept": "yes"}))
    changed = await store.catalog.set_tags("demo-media", "k", {"new": "2"})
    assert changed == replace(record("k"), tags={"new": "2"}, metadata={"kept": "yes"})
    assert store.catalog.at_hand("demo-media", "k") == changed
    with pytest.raises(S3Error) as refused:
        await store.catalog.set_tags("demo-media", "nothing", {})
    assert refused.value.code is Code.NoSuchKey


async def test_parts_are_those_of_the_object(store):
    parts = [ObjectPart(number, number * 10, "c") for number in (1, 2, 7)]
    wanted = replace(record("k", 100), part_count=3)
    intent = Intent("i", "put", "demo-media", "k", "ops", 100, "local", "at-k", 1)
    await store.catalog.begin(intent, None)
    await store.catalog.commit(MEDIA, intent, wanted, None, parts)
    assert await store.catalog.parts(wanted) == parts
    await stored(store, record("k", 5, "at-k2"))
    assert await store.catalog.parts(record("k", 5, "at-k2")) == []
    assert await store.database.read(lambda c: c.execute("SELECT count(*) FROM object_parts").fetchone()) == (0,)


class PausedReads(Database):
    """A store whose readers, when they are told to, hand over what they have read a moment later."""

    pause: asyncio.Event | None = None
    reached: asyncio.Event

    async def read(self, work: Callable[[Connection], T]) -> T:
        result = await super().read(work)
        if self.pause is not None:
            self.reached.set()
            await self.pause.wait()
        return result


async def test_a_row_that_was_read_before_a_commit_is_not_remembered_after_it(store_path):
    database = await PausedReads.open(store_path)
    assert isinstance(database, PausedReads)
    store = Store(database, RING)
    await make_buckets(store.buckets, MEDIA)
    await stored(store, record("k", 3))
    for after in (
        lambda: stored(store, record("k", 4, "at-k2")),
        lambda: store.catalog.delete("demo-media", "k", None),
    ):
        store.catalog.forget()
        database.pause, database.reached = asyncio.Event(), asyncio.Event()
        looking = asyncio.ensure_future(store.catalog.find("demo-media", "k"))
        await database.reached.wait()
        await after()
        database.pause.set()
        await looking
        database.pause = None
        in_memory = await store.catalog.find("demo-media", "k")
        store.catalog.forget()
        assert in_memory == await store.catalog.find("demo-media", "k")
    await database.close()


async def test_a_row_that_was_read_before_another_process_was_noticed_is_not_remembered(store_path):
    database = await PausedReads.open(store_path)
    assert isinstance(database, PausedReads)
    store = Store(database, RING)
    await make_buckets(store.buckets, MEDIA)
    database.pause, database.reached = asyncio.Event(), asyncio.Event()
    looking = asyncio.ensure_future(store.catalog.find("demo-media", "k"))
    await database.reached.wait()
    store.catalog.forget()
    database.pause.set()
    assert await looking is None
    database.pause = None
    await database.write(
        lambda c: c.execute(
            "INSERT INTO objects (bucket, key, version_id, uploader, size, etag, modified_s, origin, location, part_count,"
            " headers, metadata, tags) VALUES ('demo-media', 'k', 'null', 'ops', 1, 'e', 1, 'local', 'x', 0, '{}', '{}', '{}')"
        )
    )
    assert await store.catalog.find("demo-media", "k") is not None
    await database.close()
