"""Buckets: names belong to one project and category, memory follows the store, policies and clients share the table."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from gateway.errors import Code, S3Error
from gateway.store.buckets import Bucket
from gateway.store.database import Connection, Database
from gateway.store.store import Store
from tests.support.buckets import make_buckets
from tests.support.house import MEDIA, RING

T = TypeVar("T")


def made(name: str, project: str = "demo") -> Bucket:
    """A bucket as CreateBucket makes it."""
    return Bucket(name, project, name, "local", name, "", "client", 5)


async def test_policy_buckets_are_there_and_in_order(store):
    assert [bucket.bucket for bucket in store.buckets.of_project("demo")] == ["demo-media", "demo-voice"]
    assert list(store.buckets.of_project("nobody")) == []
    assert store.buckets.get("demo-media") == MEDIA


async def test_an_unknown_bucket_is_no_such_bucket(store):
    assert store.buckets.find("nowhere") is None
    with pytest.raises(S3Error) as refused:
        store.buckets.get("nowhere")
    assert refused.value.code is Code.NoSuchBucket


@pytest.mark.parametrize(
    ("project", "code"), [("demo", Code.BucketAlreadyOwnedByYou), ("other", Code.BucketAlreadyExists)]
)
async def test_a_name_that_is_taken_tells_whose_it_is(store, project, code):
    await store.buckets.create(made("photos"))
    with pytest.raises(S3Error) as refused:
        await store.buckets.create(made("photos", project))
    assert refused.value.code is code
    assert store.buckets.get("photos").project == "demo"


async def test_a_bucket_named_like_a_category_of_its_project_is_made_or_refused_in_s3s_words(store):
    """The category `media` has the bucket `demo-media`; a client may still ask for a bucket called `media`."""
    try:
        await store.buckets.create(made("media"))
    except S3Error as error:
        assert error.code.status == 409
    else:
        assert store.buckets.get("media").bucket == "media"


async def test_only_one_of_many_who_make_the_same_bucket_makes_it(store):
    results = await asyncio.gather(
        *(store.buckets.create(made("photos", f"p{number}")) for number in range(8)), return_exceptions=True
    )
    assert [result for result in results if result is None] == [None]
    assert all(isinstance(result, S3Error) for result in results if result is not None)


async def test_a_deleted_bucket_is_gone_and_may_be_made_again(store):
    await store.buckets.create(made("photos"))
    await store.buckets.delete("photos")
    assert store.buckets.find("photos") is None
    await store.buckets.create(made("photos", "other"))
    assert store.buckets.get("photos").project == "other"
    with pytest.raises(S3Error) as refused:
        await store.buckets.delete("nowhere")
    assert refused.value.code is Code.NoSuchBucket


async def test_a_cancelled_waiter_leaves_memory_and_store_agreeing(store):
    await store.buckets.create(made("old"))
    for work in (store.buckets.create(made("new")), store.buckets.delete("old")):
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.database.write(lambda _: None)  # behind the two in the queue
    remembered = {bucket.bucket for bucket in store.buckets.of_project("demo")}
    await store.buckets.load()
    assert remembered == {bucket.bucket for bucket in store.buckets.of_project("demo")}


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


async def test_a_bucket_made_while_all_are_read_again_is_not_forgotten(store_path):
    database = await PausedReads.open(store_path)
    assert isinstance(database, PausedReads)
    store = Store(database, RING)
    await make_buckets(store.buckets, MEDIA)
    database.pause, database.reached = asyncio.Event(), asyncio.Event()
    loading = asyncio.ensure_future(store.refresh())
    await database.reached.wait()
    await store.buckets.create(made("photos"))
    database.pause.set()
    await loading
    database.pause = None
    assert store.buckets.find("photos") is not None
    await database.close()


async def test_a_client_cannot_make_a_bucket_where_a_category_keeps_its_bodies(store):
    await store.buckets.create(replace(made("album"), origin_bucket="photos", origin_prefix="album/"))
    with pytest.raises(S3Error) as refused:
        await store.buckets.create(made("photos"))
    assert refused.value.code is Code.BucketAlreadyExists
