"""A key's own location goes to one body at a time, whatever it is just now."""

import sqlite3
from dataclasses import replace

import pytest

from gateway.errors import S3Error
from gateway.store.records import Garbage, Intent, ObjectRecord, UploadRecord
from gateway.store.writes import add_garbage
from tests.support.buckets import make_buckets
from tests.support.house import MEDIA

OWN = "b/k"


def intent(intent_id: str, *, own: str | None = OWN) -> Intent:
    return Intent(intent_id, "put", "demo-media", "k", "ops", 3, "s3", f"b/k@{intent_id}", 1, own_location=own)


def upload(upload_id: str) -> UploadRecord:
    return UploadRecord(
        upload_id, "demo-media", "k", "ops", "ops", "open", 1, "s3", f"b/k@{upload_id}?uploads", None, None, {}, {}, {}
    )


def record(location: str, key: str = "k") -> ObjectRecord:
    return ObjectRecord("demo-media", key, "ops", 3, '"e"', 1, "s3", location, '"origin"')


@pytest.fixture
async def catalog(store):
    await make_buckets(store.buckets, MEDIA)
    return store.catalog


async def test_the_first_write_gets_the_own_location_and_the_next_ones_theirs(store, catalog):
    first = await catalog.begin(intent("one"), None)
    assert first.location == OWN
    assert (await catalog.begin(intent("two"), None)).location == "b/k@two"
    await catalog.commit(MEDIA, first, record(first.location), None)
    assert (await catalog.begin(intent("three"), None)).location == "b/k@three"


async def test_without_an_own_location_each_write_has_its_own_place(catalog):
    assert (await catalog.begin(intent("one", own=None), None)).location == "b/k@one"


async def test_a_removed_body_keeps_its_place_until_it_is_gone(store, catalog):
    first = await catalog.begin(intent("one"), None)
    await catalog.commit(MEDIA, first, record(first.location), None)
    garbage = await catalog.delete("demo-media", "k", None)
    assert (await catalog.begin(intent("two"), None)).location == "b/k@two"
    await catalog.forget_garbage([garbage])
    assert (await catalog.begin(intent("three"), None)).location == OWN


async def test_a_failed_write_keeps_its_place_until_it_is_cleaned_up(catalog):
    first = await catalog.begin(intent("one"), None)
    garbage = await catalog.release(first, until_s=9)
    assert (garbage.location, garbage.write_id, garbage.until_s) == (OWN, "one", 9)
    assert (await catalog.list_garbage(9)) == [garbage]
    assert (await catalog.begin(intent("two"), None)).location == "b/k@two"


@pytest.mark.parametrize("location", [f"{OWN}?uploads", f"{OWN}?uploadId=x", f"{OWN}?uploadId=x&partNumber=1#w"])
async def test_what_is_left_of_an_upload_keeps_its_place(store, catalog, location):
    await store.database.write(lambda c: add_garbage(c, Garbage(location, "s3", "", "", "ops")))
    assert (await catalog.begin(intent("one"), None)).location == "b/k@one"


async def test_an_upload_holds_its_place_until_it_is_over(store, catalog):
    begun = await store.uploads.create(MEDIA, upload("u1"), own_location=f"{OWN}?uploads")
    assert begun.location == f"{OWN}?uploads"
    begun = await store.uploads.locate(begun, f"{OWN}?uploadId=x")
    assert (await store.uploads.find("u1", "demo-media", "k")).location == f"{OWN}?uploadId=x"
    assert (await catalog.begin(intent("one"), None)).location == "b/k@one"
    second = await store.uploads.create(MEDIA, upload("u2"), own_location=f"{OWN}?uploads")
    assert second.location == "b/k@u2?uploads"
    garbage = await store.uploads.abort("u1")
    assert (garbage.location, garbage.write_id) == (f"{OWN}?uploadId=x", "u1")
    await catalog.forget_garbage([garbage])
    assert (await catalog.begin(intent("three"), None)).location == OWN


async def test_other_keys_and_origins_are_in_nobodys_way(store, catalog):
    others = [("s3", "b/k/deeper"), ("s3", "b/k@one"), ("s3", "b/k%3Fuploads"), ("s3", "b/"), ("elsewhere", OWN)]
    for origin, location in others:
        garbage = Garbage(location, origin, "", "", "ops")
        await store.database.write(lambda c, garbage=garbage: add_garbage(c, garbage))
    assert (await catalog.begin(intent("one"), None)).location == OWN


async def test_two_objects_never_share_a_body(store, catalog):
    first = await catalog.begin(intent("one"), None)
    await catalog.commit(MEDIA, first, record(first.location), None)
    other = await catalog.begin(replace(intent("two"), key="other", own_location=None), None)
    with pytest.raises(sqlite3.IntegrityError):
        await catalog.commit(MEDIA, other, record(first.location, "other"), None)


async def test_a_write_steps_aside_from_its_keys_own_place_which_stays_taken(store, catalog):
    begun = await catalog.begin(intent("one"), None)
    assert (begun.location, begun.beside) == (OWN, "b/k@one")
    moved = await catalog.step_aside(begun, until_s=9)
    assert (moved.location, moved.beside) == ("b/k@one", None)
    (garbage,) = await catalog.list_garbage(9)
    assert (garbage.location, garbage.write_id, garbage.until_s, garbage.begun_s) == (OWN, "one", 9, 0)
    assert (await catalog.begin(intent("two"), None)).location == "b/k@two"
    await catalog.commit(MEDIA, moved, record(moved.location), None)
    assert [each.location for each in await catalog.list_garbage(9)] == [OWN]


async def test_a_write_that_stepped_aside_unheard_is_released_where_it_is(catalog):
    """Whoever was interrupted knows only of the place that it had at first."""
    begun = await catalog.begin(intent("one"), None)
    await catalog.step_aside(begun, until_s=9)
    released = await catalog.release(begun)
    assert released.location == "b/k@one"
    assert sorted(each.location for each in await catalog.list_garbage(9)) == [OWN, "b/k@one"]


async def test_a_write_that_was_swept_away_cannot_step_aside(catalog):
    begun = await catalog.begin(intent("one"), None)
    garbage = await catalog.release(begun)
    with pytest.raises(S3Error, match="OperationAborted"):
        await catalog.step_aside(begun, until_s=9)
    assert await catalog.list_garbage(9) == [garbage]


async def test_a_place_is_kept_clear_until_the_latest_time_that_was_said(store, catalog):
    mark = Garbage(OWN, "s3", "", "", "ops", write_id="nobody")
    for until_s in (9, 20, 5):
        await catalog.keep_clear(mark, until_s)
    assert await catalog.list_garbage(9) == [replace(mark, until_s=20)]
    assert (await catalog.begin(intent("one"), None)).location == "b/k@one"
