"""Buckets follow the policies: made, moved and dropped with them, but never while they hold something."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from gateway.errors import Code, S3Error
from gateway.store.bucket_changes import BucketChanges, PolicyRefused
from gateway.store.buckets import Bucket
from gateway.store.ledger import read_usage
from gateway.store.records import Garbage, Intent, ObjectRecord, UploadPart, UploadRecord
from gateway.store.revisions import NewRevision
from gateway.store.store import Store
from tests.support.house import MEDIA, VOICE

SHOP = Bucket("shop-items", "shop", "items", "local", "shop-items", "", "policy", 1)
PICTURES = replace(MEDIA, bucket="demo-pictures", origin_bucket="demo-pictures", created_s=9)


def clients(name: str, project: str = "demo") -> Bucket:
    """A bucket as CreateBucket makes it."""
    return Bucket(name, project, name, "local", name, "", "client", 5)


async def follow(store: Store, *buckets: Bucket, projects: Collection[str] = ("demo",)) -> None:
    latest = await store.revisions.latest()
    new = NewRevision(1, "root", "", "", [], {})
    await store.revisions.apply(new, buckets, projects, base=latest.revision if latest else None)
    remembered = {each.bucket: each for each in store.buckets.all()}
    await store.buckets.load()
    assert remembered == {each.bucket: each for each in store.buckets.all()}, "memory follows"


async def refusals(store: Store, *buckets: Bucket, projects: Collection[str] = ("demo",)) -> Sequence[str]:
    """What is refused, when it is asked and when it is done: nothing has changed after it."""
    before = list(store.buckets.all())
    found: BucketChanges = await store.revisions.bucket_changes(buckets, projects)
    with pytest.raises(PolicyRefused) as refused:
        await follow(store, *buckets, projects=projects)
    assert refused.value.lines == found.refusals
    assert str(refused.value) == "\n".join(found.refusals)
    await store.buckets.load()
    assert list(store.buckets.all()) == before
    assert await store.revisions.latest() is None
    return found.refusals


def names(store: Store) -> list[str]:
    return sorted(each.bucket for each in store.buckets.all())


async def put(store: Store, bucket: Bucket = MEDIA, key: str = "k", size: int = 3) -> None:
    intent = Intent(
        f"i-{bucket.bucket}-{key}", "put", bucket.bucket, key, "ops", size, "local", f"at-{bucket.bucket}-{key}", 1
    )
    await store.catalog.begin(intent, None)
    await store.catalog.commit(bucket, intent, row(intent), None)


def row(of: Intent) -> ObjectRecord:
    return ObjectRecord(of.bucket, of.key, of.uploader, of.size, '"e"', 10, of.origin, of.location)


async def begin_upload(store: Store, bucket: Bucket = MEDIA, upload_id: str = "u1") -> None:
    record = UploadRecord(
        upload_id=upload_id,
        bucket=bucket.bucket,
        key="k",
        uploader="ops",
        initiator="ops",
        state="open",
        created_s=1,
        origin="local",
        location=f"at-{upload_id}/",
        checksum_algorithm=None,
        checksum_type=None,
        headers={},
        metadata={},
        tags={},
    )
    await store.uploads.create(bucket, record)


async def test_the_first_state_makes_its_buckets(store):
    await follow(store, MEDIA, VOICE, SHOP, projects={"demo", "shop"})
    assert store.buckets.get("shop-items") == SHOP


async def test_what_would_happen_is_told_without_doing_it(store):
    moved = replace(VOICE, origin_prefix="p/", created_s=9)
    found = await store.revisions.bucket_changes([PICTURES, moved, SHOP], {"demo", "shop"})
    assert found == BucketChanges((MEDIA,), (replace(moved, created_s=1),), (PICTURES, SHOP), ())
    await store.buckets.load()
    assert names(store) == ["demo-media", "demo-voice"]


async def test_a_state_that_changes_no_bucket_changes_none(store):
    again = [replace(each, created_s=99) for each in (MEDIA, VOICE)]
    assert await store.revisions.bucket_changes(again, {"demo"}) == BucketChanges((), (), (), ())


async def test_a_place_that_changes_is_that_of_new_objects_only(store):
    await put(store)
    await follow(store, replace(MEDIA, origin="other", origin_bucket="o", origin_prefix="p/", created_s=9), VOICE)
    assert store.buckets.get("demo-media") == replace(MEDIA, origin="other", origin_bucket="o", origin_prefix="p/")
    store.catalog.forget()
    found = await store.catalog.find("demo-media", "k")
    assert (found.origin, found.location) == ("local", "at-demo-media-k")


async def test_an_empty_bucket_is_replaced_when_its_category_names_another(store):
    await follow(store, PICTURES, VOICE)
    assert names(store) == ["demo-pictures", "demo-voice"]
    await put(store, PICTURES)
    [total, *_] = await read_usage(store.database, "demo")
    assert (total.bytes, total.objects) == (3, 1)


async def test_a_bucket_with_objects_is_not_replaced(store):
    await put(store)
    await put(store, key="k2", size=1_000_000)
    [line] = await refusals(store, PICTURES, VOICE)
    assert line == (
        'project demo, category media: its bucket "demo-media" would be replaced by "demo-pictures", '
        'but it holds 2 objects (1,000,003 bytes); put bucket = "demo-media" back, or move or delete its objects first'
    )


async def test_an_empty_bucket_goes_with_its_category(store):
    await follow(store, VOICE)
    assert names(store) == ["demo-voice"]


async def test_a_bucket_with_one_object_outlives_its_category(store):
    await put(store)
    [line] = await refusals(store, VOICE)
    assert line == (
        'project demo, category media: its bucket "demo-media" would be dropped, but it holds 1 object (3 bytes); '
        'put that category with bucket = "demo-media" back, or move or delete its objects first'
    )


async def test_a_bucket_is_empty_again_when_its_last_object_was_deleted_and_its_bytes_are_still_given_back(store):
    await put(store, size=70)
    garbage = await store.catalog.delete("demo-media", "k", None)
    await follow(store, VOICE)
    assert (await read_usage(store.database, "demo"))[0].bytes == 70, "charged until the body is gone"
    await store.catalog.forget_garbage([garbage])
    assert await read_usage(store.database, "demo") == []


async def test_a_project_goes_with_all_its_empty_buckets_those_of_clients_too(store):
    await store.buckets.create(clients("photos"))
    await store.buckets.create(clients("theirs", "shop"))
    await follow(store, SHOP, projects={"shop"})
    assert names(store) == ["shop-items", "theirs"]


async def test_a_project_stays_while_any_of_its_buckets_holds_something(store):
    await store.buckets.create(clients("photos"))
    await put(store, clients("photos"))
    [line] = await refusals(store, SHOP, projects={"shop"})
    assert line == (
        'project demo, category photos: its bucket "photos" would be dropped, but it holds 1 object (3 bytes); '
        "put the file of project demo back, or move or delete its objects first"
    )


async def test_what_clients_made_in_a_project_that_stays_is_left_alone(store):
    await store.buckets.create(clients("photos"))
    await put(store, clients("photos"))
    await follow(store, MEDIA, VOICE)
    assert store.buckets.get("photos") == clients("photos")


async def test_a_clients_bucket_becomes_that_of_the_category_of_its_name(store):
    await store.buckets.create(clients("photos"))
    await put(store, clients("photos"))
    photos = Bucket("photos", "demo", "photos", "other", "o", "p/", "policy", 99)
    await follow(store, MEDIA, VOICE, photos)
    assert store.buckets.get("photos") == replace(photos, created_s=5)
    assert await store.catalog.find("photos", "k") is not None
    await follow(store, MEDIA, VOICE, photos)
    assert any("photos" in line for line in (await store.revisions.bucket_changes([MEDIA, VOICE], {"demo"})).refusals)


@pytest.mark.parametrize("project", ["demo", "shop"])
@pytest.mark.parametrize("holds", [False, True])
async def test_a_clients_bucket_is_nobody_elses_even_if_it_is_empty(store, project, holds):
    await store.buckets.create(clients("photos", project))
    if holds:
        await put(store, clients("photos", project))
    claim = replace(MEDIA, bucket="photos", category="album")
    [line] = await refusals(store, MEDIA, VOICE, claim, projects={"demo", "shop"})
    assert line == (
        'project demo, category album: it cannot have the bucket "photos", which a client of project '
        f"{project} made; take another name, or delete that bucket first"
    )


async def test_a_category_cannot_lie_where_a_clients_bucket_lies(store):
    await store.buckets.create(clients("photos"))
    [line] = await refusals(store, replace(MEDIA, origin_bucket="photos", origin_prefix="p/"), VOICE)
    assert line.startswith("project demo, category media: its objects cannot lie in photos at origin local, ")


async def test_a_category_of_a_clients_buckets_name_must_have_that_bucket(store):
    await store.buckets.create(clients("photos"))
    claim = replace(MEDIA, bucket="demo-photos", category="photos")
    [line] = await refusals(store, MEDIA, VOICE, claim)
    assert line == (
        'project demo, category photos: it cannot have the bucket "demo-photos", for a client made the bucket "photos" '
        'of the same name as the category; put bucket = "photos" into the category, or delete that bucket first'
    )


async def test_empty_buckets_may_change_hands(store):
    """Two categories swap their buckets, another project takes over a third one."""
    await follow(store, MEDIA, VOICE, SHOP, projects={"demo", "shop"})
    swapped = [replace(MEDIA, bucket="demo-voice"), replace(VOICE, bucket="demo-media")]
    taken = replace(SHOP, project="demo", category="items")
    await follow(store, *swapped, taken, projects={"demo", "shop"})
    assert store.buckets.get("demo-voice").category == "media"
    assert store.buckets.get("demo-media").category == "voice"
    assert store.buckets.get("shop-items").project == "demo"


async def test_a_bucket_with_objects_does_not_change_hands(store):
    await put(store)
    taken = replace(MEDIA, project="shop", category="items")
    [line] = await refusals(store, VOICE, taken, projects={"demo", "shop"})
    assert line == (
        'project demo, category media: its bucket "demo-media" would be that of category items of project shop, '
        'but it holds 1 object (3 bytes); put that category with bucket = "demo-media" back, '
        "or move or delete its objects first"
    )


async def test_everything_that_is_in_the_way_is_told_together(store):
    await put(store)
    await put(store, VOICE)
    await store.buckets.create(clients("photos"))
    told = await refusals(store, PICTURES, replace(MEDIA, bucket="photos", category="album"))
    assert [line.partition(":")[0] for line in told] == [
        "project demo, category media",
        "project demo, category voice",
        "project demo, category album",
    ]


async def test_open_uploads_of_a_bucket_that_goes_end_as_garbage(store):
    await begin_upload(store)
    part = Intent("i1", "part", "demo-media", "k", "ops", 3, "local", "at-u1/1", 2, "u1")
    await store.catalog.begin(part, None)
    await store.uploads.commit_part(part, UploadPart(1, 3, '"e"', 2, "at-u1/1"))
    await follow(store, PICTURES, VOICE)
    with pytest.raises(S3Error) as refused:
        await store.uploads.find("u1", "demo-media", "k")
    assert refused.value.code is Code.NoSuchUpload
    assert await store.uploads.parts("u1") == []
    [garbage] = await store.catalog.list_garbage(10)
    assert garbage == Garbage("at-u1/", "local", "demo", "media", "ops", write_id="u1", begun_s=1)
    await store.catalog.forget_garbage([garbage])
    assert await read_usage(store.database, "demo") == []


async def test_a_bucket_stays_while_one_of_its_uploads_is_being_completed(store):
    await begin_upload(store)
    await store.uploads.start_completing("u1")
    [line] = await refusals(store, VOICE)
    assert "but it holds an upload that is being completed" in line
    await store.uploads.reopen("u1")
    await follow(store, VOICE)


@pytest.mark.parametrize(
    "later",
    [
        [PICTURES, VOICE],
        [VOICE],
        [replace(MEDIA, bucket="demo-voice"), replace(VOICE, bucket="demo-media")],
        [VOICE, replace(MEDIA, project="shop")],
    ],
)
async def test_a_put_under_way_is_not_committed_into_a_bucket_that_went_or_became_anothers(store, later):
    intent = Intent("i1", "put", "demo-media", "k", "ops", 3, "local", "at-i1", 1)
    await store.catalog.begin(intent, None)
    await follow(store, *later, projects={"demo", "shop"})
    with pytest.raises(S3Error) as refused:
        await store.catalog.commit(MEDIA, intent, row(intent), None)
    assert refused.value.code is Code.NoSuchBucket
    assert await store.catalog.release(intent) is not None
    assert await read_usage(store.database) == []


async def test_a_put_under_way_into_a_bucket_whose_place_changes_is_kept_where_it_was_written(store):
    intent = Intent("i1", "put", "demo-media", "k", "ops", 3, "local", "at-i1", 1)
    await store.catalog.begin(intent, None)
    await follow(store, replace(MEDIA, origin="other"), VOICE)
    await store.catalog.commit(MEDIA, intent, row(intent), None)
    found = await store.catalog.find("demo-media", "k")
    assert (found.origin, found.location) == ("local", "at-i1")
