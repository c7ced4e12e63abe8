"""Revisions: numbered without a gap, whole, never changed; each takes effect as one, with its buckets and its audit."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.audit import AuditEntry
from gateway.store.bucket_changes import PolicyRefused
from gateway.store.buckets import Bucket
from gateway.store.database import Connection, Database
from gateway.store.revisions import NewRevision, Revision, RevisionConflict, UnknownRevision, digest_of
from gateway.store.store import Store
from tests.support.house import MEDIA, RING, VOICE

TEXTS = {"demo.toml": 'project = "demo"\n', "shop.toml": 'project = "shop"\n# ☕'}
BOTH = (MEDIA, VOICE)
ALL_TABLES = ("revisions", "policy_texts", "revision_files", "audit", "buckets", "garbage", "uploads")
texts = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
)


def new(number: int = 1, **fields: Any) -> NewRevision:
    made = NewRevision(1000 + number, "root", f"change {number}", digest_of(TEXTS), [{"line": number}], TEXTS)
    return replace(made, **fields)


async def apply(
    store: Store, base: int | None, made: NewRevision | None = None, buckets: Sequence[Bucket] = BOTH
) -> Revision:
    return await store.revisions.apply(made or new((base or 0) + 1), buckets, {"demo"}, base=base)


async def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    def work(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in ALL_TABLES}

    return await store.database.read(work)


async def test_a_store_without_revisions_says_so(store):
    assert await store.revisions.latest() is None
    assert await store.revisions.find(1) is None
    assert await store.revisions.list(10) == []
    with pytest.raises(UnknownRevision):
        await store.revisions.texts(1)


async def test_a_revision_is_kept_whole(store):
    applied = await apply(store, None)
    assert applied == Revision(1, 1001, "root", "change 1", digest_of(TEXTS), [{"line": 1}])
    assert await store.revisions.latest() == applied
    assert await store.revisions.find(1) == applied
    assert await store.revisions.texts(1) == TEXTS


async def test_a_revision_of_no_files_is_not_an_unknown_one(store):
    await store.revisions.apply(new(texts={}), [], set(), base=None)
    assert await store.revisions.texts(1) == {}


async def test_numbers_go_up_by_one_and_the_newest_comes_first(store):
    for base in (None, 1, 2, 3):
        await apply(store, base)
    assert [each.revision for each in await store.revisions.list(10)] == [4, 3, 2, 1]
    assert [each.revision for each in await store.revisions.list(2)] == [4, 3]
    assert [each.revision for each in await store.revisions.list(2, before=3)] == [2, 1]


async def test_a_text_is_kept_once_and_every_revision_has_its_own(store):
    await apply(store, None)
    changed = {"demo.toml": "# new\n", "copy.toml": TEXTS["shop.toml"]}
    await apply(store, 1, new(2, texts=changed))
    await apply(store, 2, new(3))
    assert [await store.revisions.texts(number) for number in (1, 2, 3)] == [TEXTS, changed, TEXTS]
    assert len((await everything(store))["policy_texts"]) == 3


async def test_an_apply_is_in_the_audit_with_its_number(store):
    await apply(store, None, new(details={"summary": "2 categories added"}))
    await apply(store, 1, new(2, event="policy.rollback", author="sara", details={"restores": 1}))
    assert [each.entry for each in await store.audit.list()] == [
        AuditEntry(1001, "root", "policy.apply", None, "revision 1", {"revision": 1, "summary": "2 categories added"}),
        AuditEntry(1002, "sara", "policy.rollback", None, "revision 2", {"revision": 2, "restores": 1}),
    ]


@pytest.mark.parametrize(("there", "base"), [(0, 1), (1, None), (2, 1), (2, 3), (2, 0)])
async def test_a_revision_on_another_base_than_the_latest_changes_nothing(store, there, base):
    for number in range(there):
        await apply(store, number or None)
    before = await everything(store)
    with pytest.raises(RevisionConflict) as refused:
        await apply(store, base, buckets=[MEDIA, VOICE, replace(MEDIA, bucket="demo-new", category="new")])
    assert refused.value.latest == (there or None)
    assert await everything(store) == before
    assert store.buckets.find("demo-new") is None


async def test_a_refused_revision_changes_nothing(store):
    await apply(store, None)
    await store.buckets.create(Bucket("photos", "other", "photos", "local", "photos", "", "client", 5))
    before = await everything(store)
    with pytest.raises(PolicyRefused):
        await store.revisions.apply(
            new(2),
            [MEDIA, replace(MEDIA, bucket="demo-new", category="new"), replace(VOICE, bucket="photos", category="p")],
            {"demo", "other"},
            base=1,
        )
    assert await everything(store) == before
    assert store.buckets.find("demo-new") is None
    assert store.buckets.find("demo-voice") == VOICE


@pytest.mark.parametrize("broken", [{"details": {"summary": "x" * 5000}}, {"texts": {**TEXTS, "z.toml": "\ud800"}}])
async def test_a_revision_that_fails_on_its_way_changes_nothing(store, broken):
    await apply(store, None)
    before = await everything(store)
    with pytest.raises(ValueError, match=r"larger than|surrogates"):
        await apply(store, 1, new(2, **broken), [replace(MEDIA, origin_prefix="p/")])
    assert await everything(store) == before
    assert store.buckets.get("demo-media") == MEDIA


async def test_a_revision_beside_a_write_that_fails_is_applied_once(store):
    """The batch is run again, each write on its own."""

    def fail(_: Connection) -> None:
        raise KeyError("another's")

    failing = asyncio.ensure_future(store.database.write(fail))
    applied = await apply(store, None)
    with pytest.raises(KeyError):
        await failing
    assert await store.revisions.list(10) == [applied]
    assert len(await store.audit.list()) == 1


async def test_only_one_of_many_appliers_on_one_base_wins(store, store_path):
    await apply(store, None)
    others = [await Database.open(store_path) for _ in range(2)]
    stores = [store, *(Store(each, RING) for each in others)]
    results = await asyncio.gather(
        *(apply(each, 1, new(2, author=f"a{n}-{turn}")) for turn in range(4) for n, each in enumerate(stores)),
        return_exceptions=True,
    )
    won = [each for each in results if isinstance(each, Revision)]
    assert [each.revision for each in won] == [2]
    assert [type(each) for each in results if each not in won] == [RevisionConflict] * 11
    assert await store.revisions.latest() == won[0]
    assert len(await store.audit.list()) == 2
    for each in others:
        await each.close()


async def test_appliers_that_try_again_on_what_they_find_all_get_a_number(store, store_path):
    other = await Database.open(store_path)

    async def keep_trying(mine: Store, author: str) -> None:
        while True:
            latest = await mine.revisions.latest()
            try:
                await apply(mine, latest.revision if latest else None, new(author=author))
            except RevisionConflict:
                continue
            return

    await asyncio.gather(*(keep_trying(each, f"{n}") for n, each in enumerate([store, Store(other, RING)] * 5)))
    found = await store.revisions.list(100)
    assert [each.revision for each in found] == list(range(10, 0, -1))
    assert {each.author for each in found} == {f"{n}" for n in range(10)}
    await other.close()


async def test_the_buckets_of_a_revision_are_known_at_once_here_and_after_a_refresh_elsewhere(store, store_path):
    other = Store(await Database.open(store_path), RING)
    await other.refresh()
    fresh = replace(MEDIA, bucket="demo-new", category="new")
    await apply(store, None, buckets=[replace(MEDIA, origin_prefix="p/"), fresh])
    for mine in (store, other):
        if not mine.is_fresh():
            await mine.refresh()
        assert [each.bucket for each in mine.buckets.all()] == ["demo-media", "demo-new"]
        assert mine.buckets.get("demo-media").origin_prefix == "p/"
    assert await other.revisions.latest() == await store.revisions.latest()
    await other.database.close()


async def test_an_applier_that_is_cancelled_leaves_memory_and_store_agreeing(store):
    applying = asyncio.ensure_future(apply(store, None, buckets=[MEDIA]))
    await asyncio.sleep(0)
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    await store.database.write(lambda _: None)  # behind it in the queue
    remembered = list(store.buckets.all())
    await store.buckets.load()
    assert remembered == list(store.buckets.all()) == [MEDIA]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE revisions SET author = 'nobody'",
        "UPDATE revisions SET revision = 7",
        "DELETE FROM revisions",
        "REPLACE INTO revisions VALUES (1, 1, 'nobody', '', '', '[]')",
        "UPDATE policy_texts SET text = ''",
        "DELETE FROM policy_texts",
        "REPLACE INTO policy_texts SELECT digest, '' FROM policy_texts LIMIT 1",
        "UPDATE revision_files SET name = 'x'",
        "DELETE FROM revision_files WHERE name = 'demo.toml'",
        "REPLACE INTO revision_files SELECT revision, name, digest FROM revision_files LIMIT 1",
    ],
)
async def test_a_revision_can_be_neither_changed_nor_removed(store, store_path, sql):
    await apply(store, None)
    before = await everything(store)
    with closing(sqlite3.connect(store_path)) as foreign, pytest.raises(sqlite3.IntegrityError, match="never"):
        foreign.execute(sql)
    assert await everything(store) == before


@given(texts, texts)
def test_folders_have_one_digest_when_and_only_when_they_say_the_same(one, other):
    assert (digest_of(one) == digest_of(other)) == (one == other)
    assert digest_of(dict(reversed(one.items()))) == digest_of(one)


@pytest.mark.parametrize(
    "other",
    [{}, {"ab": "c"}, {"a": "b", "c": ""}, {"a": "", "bc": ""}, {"": "abc"}, {"a": "b\0c"}, {"a": "bc", "": ""}],
)
def test_a_digest_knows_where_names_and_texts_end(other):
    assert digest_of({"a": "bc"}) != digest_of(other)


def test_a_folder_with_a_name_that_is_no_utf_8_has_a_digest():
    names = [os.fsdecode(b"\xff.toml"), os.fsdecode(b"\xfe.toml"), "demo.toml"]
    assert len({digest_of({name: ""}) for name in names}) == 3
