"""Multipart uploads in the store: one state, one winner, and a record of every body that is let go."""

import asyncio
from dataclasses import replace

import pytest

from gateway.errors import Code, S3Error
from gateway.policy.model import Quota
from gateway.policy.spans import EVERYTHING, Span
from gateway.store import uploads
from gateway.store.database import Database
from gateway.store.ledger import Allowance
from gateway.store.listing import ListQuery
from gateway.store.records import Intent, ObjectPart, ObjectRecord, UploadPart, UploadRecord
from gateway.store.store import Store
from tests.support import house

MEDIA = "demo-media"


def upload(upload_id: str, key: str = "k", created_s: int = 10) -> UploadRecord:
    return UploadRecord(
        upload_id, MEDIA, key, "ann", "ops", "open", created_s, "local", f"{key}@{upload_id}/", None, None,
        {"content-type": "é"}, {"a": "b"}, {"t": "u"},
    )  # fmt: skip


async def part(store: Store, upload_id: str, number: int, name: str = "", *, size: int = 5, at_s: int = 20):
    location = f"at-{upload_id}-{number}-{name}"
    intent = Intent(location, "part", MEDIA, "k", "ann", size, "local", location, at_s, upload_id)
    await store.catalog.begin(intent, None)
    stored = UploadPart(number, size, f'"{number}"', at_s, location, "CRC32", "AAAA")
    return await store.uploads.commit_part(intent, stored)


def made(upload_id: str, key: str = "k") -> ObjectRecord:
    return ObjectRecord(MEDIA, key, "ann", 10, '"e-2"', 30, "local", f"{key}@{upload_id}/", part_count=2)


async def finish(store: Store, upload_id: str, unused=()) -> None:
    await store.uploads.finish(
        house.MEDIA, upload_id, made(upload_id), [ObjectPart(1, 5), ObjectPart(2, 5)], unused, None, {"etag": "e"}, 30
    )


async def refusal(work) -> Code:
    with pytest.raises(S3Error) as refused:
        await work
    return refused.value.code


async def count(store: Store, table: str) -> int:
    found: int = await store.database.read(lambda c: c.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    return found


async def test_an_upload_comes_back_as_it_was(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    assert await store.uploads.find("u", MEDIA, "k") == upload("u")


@pytest.mark.parametrize("place", [("u", MEDIA, "other"), ("u", "demo-voice", "k"), ("v", MEDIA, "k")])
async def test_an_id_is_bound_to_its_bucket_and_key(store, place):
    await store.uploads.create(house.MEDIA, upload("u"))
    assert await refusal(store.uploads.find(*place)) is Code.NoSuchUpload


async def test_no_upload_begins_in_a_bucket_that_is_not_there(store):
    nowhere = replace(house.MEDIA, bucket="nowhere")
    assert await refusal(store.uploads.create(nowhere, replace(upload("u"), bucket="nowhere"))) is Code.NoSuchBucket
    of_others = replace(house.MEDIA, project="other")
    assert await refusal(store.uploads.create(of_others, upload("u"))) is Code.NoSuchBucket


async def test_parts_come_in_order_and_in_pages(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    for number in (3, 1, 10_000, 2):
        await part(store, "u", number)
    assert [stored.part_number for stored in await store.uploads.parts("u")] == [1, 2, 3, 10_000]
    assert [stored.part_number for stored in await store.uploads.parts("u", 1, 2)] == [2, 3]


async def test_a_part_in_place_of_an_earlier_one_gives_that_ones_body(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    assert await part(store, "u", 1, "old") is None
    replaced = await part(store, "u", 1, "new")
    assert replaced.location == "at-u-1-old"
    assert [garbage.location for garbage in await store.catalog.list_garbage(9)] == ["at-u-1-old"]
    assert [stored.location for stored in await store.uploads.parts("u")] == ["at-u-1-new"]


@pytest.mark.parametrize("end", ["completing", "done", "aborted", "unknown"])
async def test_no_part_begins_or_is_added_unless_the_upload_is_open(store, end):
    await store.uploads.create(house.MEDIA, upload("u"))
    late = Intent("late", "part", MEDIA, "k", "ann", 5, "local", "at-late", 1, "u")
    await store.catalog.begin(late, None)
    if end in ("completing", "done"):
        await store.uploads.start_completing("u")
    if end == "done":
        await finish(store, "u")
    if end == "aborted":
        await store.uploads.abort("u")
    name = "v" if end == "unknown" else "u"
    assert await refusal(part(store, name, 2)) is Code.NoSuchUpload
    if end != "unknown":
        assert await refusal(store.uploads.commit_part(late, UploadPart(1, 5, "e", 1, "at-late"))) is Code.NoSuchUpload
    released = await store.catalog.release(late)
    assert released is not None
    assert await count(store, "intents") == 0


async def test_one_of_many_completes_takes_the_upload(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    results = await asyncio.gather(*(store.uploads.start_completing("u") for _ in range(10)), return_exceptions=True)
    assert [result for result in results if result is None] == [None]


async def test_complete_and_abort_cannot_both_have_it(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    await store.uploads.start_completing("u")
    assert await refusal(store.uploads.abort("u")) is Code.NoSuchUpload
    await store.uploads.reopen("u")
    await store.uploads.abort("u")
    assert await refusal(store.uploads.start_completing("u")) is Code.NoSuchUpload
    assert await count(store, "upload_parts") == 0


async def test_finish_makes_the_object_and_lets_go_of_unlisted_parts(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    for number in (1, 2, 3):
        await part(store, "u", number)
    await store.uploads.start_completing("u")
    unused = [stored for stored in await store.uploads.parts("u") if stored.part_number == 3]
    await finish(store, "u", unused)
    done = await store.uploads.find("u", MEDIA, "k")
    assert (done.state, done.result) == ("done", {"etag": "e"})
    assert [garbage.location for garbage in await store.catalog.list_garbage(9)] == ["at-u-3-"]
    assert store.catalog.at_hand(MEDIA, "k") == made("u")
    assert await count(store, "upload_parts") == 0
    assert await refusal(finish(store, "u")) is Code.NoSuchUpload


async def test_reopen_does_nothing_to_what_is_done(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    await store.uploads.start_completing("u")
    await finish(store, "u")
    await store.uploads.reopen("u")
    assert (await store.uploads.find("u", MEDIA, "k")).state == "done"


async def test_idle_uploads_are_those_without_a_new_part_for_long(store):
    for name in ("old", "fed", "done"):
        await store.uploads.create(house.MEDIA, upload(name, created_s=10))
    await part(store, "fed", 1, at_s=500)
    await store.uploads.start_completing("done")
    await finish(store, "done")
    assert await store.uploads.idle_since(100, 10) == ["old"]
    assert await store.uploads.idle_since(10, 10) == []


async def test_what_was_done_long_ago_is_forgotten_and_its_object_stays(store):
    await store.uploads.create(house.MEDIA, upload("u"))
    await store.uploads.start_completing("u")
    await finish(store, "u")
    await store.uploads.forget_done(30)
    assert (await store.uploads.find("u", MEDIA, "k")).state == "done"
    await store.uploads.forget_done(31)
    assert await refusal(store.uploads.find("u", MEDIA, "k")) is Code.NoSuchUpload
    assert await store.catalog.find(MEDIA, "k") == made("u")


async def test_a_removed_bucket_takes_its_uploads_along_and_records_their_bodies(store):
    await store.buckets.create(
        replace(store.buckets.get(MEDIA), bucket="new", category="new", origin_bucket="new", source="client")
    )
    await store.uploads.create(house.MEDIA, replace(upload("u"), bucket="new"))
    await store.buckets.delete("new")
    assert [garbage.location for garbage in await store.catalog.list_garbage(9)] == ["k@u/"]
    assert await count(store, "uploads") == 0


async def test_a_bucket_is_not_empty_while_an_upload_of_it_is_being_completed(store):
    """Its body may be assembled at any moment: garbage that was removed before would be there again."""
    await store.uploads.create(house.MEDIA, upload("u1"))
    await store.uploads.start_completing("u1")
    assert await refusal(store.buckets.delete(MEDIA)) is Code.BucketNotEmpty
    assert await count(store, "garbage") == 0
    assert store.buckets.find(MEDIA) is not None
    await store.uploads.reopen("u1")
    await store.buckets.delete(MEDIA)
    assert await count(store, "garbage") == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_paging_lists_every_unfinished_upload_once_by_key_and_id(store, limit):
    wanted = [(key, name) for key in ("a", "b/1", "b/2", "é") for name in (f"{key}-1", f"{key}-2", f"{key}-3")]
    for key, name in reversed(wanted):
        await store.uploads.create(house.MEDIA, upload(name, key))
    await store.uploads.create(house.MEDIA, upload("finished", "b/1"))
    await store.uploads.start_completing("finished")
    await store.uploads.finish(house.MEDIA, "finished", replace(made("finished"), key="b/1"), [], [], None, {}, 1)
    found, marker, id_marker = [], "", ""
    while True:
        page = await store.uploads.list_uploads(ListQuery(MEDIA, after=marker, limit=limit), id_marker)
        found += [(row.key, row.upload_id) for row in page.rows]
        if page.next_after is None:
            break
        marker, id_marker = page.next_after, page.rows[-1].upload_id
    assert found == wanted


OWN = (Span(uploader="ann"),)
SHARED = (Span("", "b/1", "ann"), Span("b/1", "b/2"), Span("c", None, "ann"))


async def start_uploads_of_two(store: Store) -> list[tuple[str, str, str]]:
    """Three uploads each to a few keys, ann's and bob's in turn: key, id and uploader, in the order of listings."""
    made = [(key, f"{key}-{number}") for key in ("a", "b/1", "b/2", "é") for number in range(3)]
    uploads = [(key, name, "ann" if turn % 2 else "bob") for turn, (key, name) in enumerate(made)]
    for key, name, uploader in reversed(uploads):
        await store.uploads.create(house.MEDIA, replace(upload(name, key), uploader=uploader))
    return uploads


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("spans", [EVERYTHING, OWN, SHARED, ()])
async def test_paging_lists_every_visible_upload_once_and_in_full_pages(store, spans, limit):
    visible = [
        (key, name)
        for key, name, uploader in await start_uploads_of_two(store)
        if any(span.covers(key) and span.uploader in (None, uploader) for span in spans)
    ]
    found, marker, id_marker = [], "", ""
    while True:
        page = await store.uploads.list_uploads(ListQuery(MEDIA, after=marker, limit=limit, spans=spans), id_marker)
        found += [(row.key, row.upload_id) for row in page.rows]
        if page.next_after is None:
            break
        assert len(page.rows) == limit
        assert len(found) < len(visible)
        marker, id_marker = page.next_after, page.rows[-1].upload_id
    assert found == visible


@pytest.mark.parametrize(
    ("spans", "ids"),
    [
        (EVERYTHING, ["b/1-1", "b/1-2", "b/2-0", "b/2-1", "b/2-2"]),
        (OWN, ["b/1-2", "b/2-1"]),
        (SHARED, ["b/1-1", "b/1-2"]),
        ((Span("b/2"),), ["b/2-0", "b/2-1", "b/2-2"]),
        ((), []),
    ],
)
async def test_a_marker_shows_no_more_of_its_key_than_the_caller_may_see(store, spans, ids):
    await start_uploads_of_two(store)
    page = await store.uploads.list_uploads(ListQuery(MEDIA, prefix="b/", after="b/1", spans=spans), "b/1-0")
    assert [row.upload_id for row in page.rows] == ids


async def test_a_common_prefix_of_uploads_is_shown_for_visible_ones_only(store):
    for key, uploader in (("b/1", "bob"), ("c/1", "bob"), ("c/2", "ann"), ("d", "bob")):
        await store.uploads.create(house.MEDIA, replace(upload(f"id-{key}", key), uploader=uploader))
    page = await store.uploads.list_uploads(ListQuery(MEDIA, delimiter="/", limit=1, spans=OWN), "")
    assert (page.rows, page.common_prefixes, page.next_after) == ((), ("c/",), None)


async def test_uploads_are_grouped_by_a_delimiter_and_narrowed_by_a_prefix(store):
    for key in ("a", "b/1", "b/2", "c"):
        await store.uploads.create(house.MEDIA, upload(f"id-{key}", key))
    page = await store.uploads.list_uploads(ListQuery(MEDIA, delimiter="/"), "")
    assert [row.key for row in page.rows] == ["a", "c"]
    assert page.common_prefixes == ("b/",)
    page = await store.uploads.list_uploads(ListQuery(MEDIA, prefix="b/"), "")
    assert [row.key for row in page.rows] == ["b/1", "b/2"]


TWO_OPEN = Allowance(open_uploads=2)


async def begin_upload(store: Store, upload_id: str, initiator: str = "ops", bucket=house.MEDIA) -> None:
    wanted = replace(upload(upload_id), initiator=initiator, bucket=bucket.bucket)
    await store.uploads.create(bucket, wanted, allowance=TWO_OPEN)


async def test_a_principal_has_no_more_uploads_open_than_its_project_allows(store):
    await begin_upload(store, "a")
    await begin_upload(store, "b", bucket=house.VOICE)
    with pytest.raises(S3Error) as refused:
        await begin_upload(store, "c")
    assert refused.value.code is Code.QuotaExceeded
    assert refused.value.fields == {
        "Scope": "principal ops", "Unit": "open uploads", "Limit": 2, "Used": 2, "Requested": 1,
    }  # fmt: skip
    assert await count(store, "uploads") == 2
    held = "SELECT reserved_objects FROM usage WHERE project = 'demo' AND category = ''"
    assert await store.database.read(lambda c: c.execute(held).fetchone()) == (2,)


async def test_every_principal_and_every_end_user_has_its_own_uploads(store):
    for number, initiator in enumerate(("ops", "ops", "backend", "backend/ann", "backend/ann")):
        await begin_upload(store, f"u{number}", initiator)
    assert await refusal(begin_upload(store, "v", "backend/ann")) is Code.QuotaExceeded
    await begin_upload(store, "v", "backend")


async def test_an_upload_that_has_ended_makes_room_for_another_one(store):
    for name in ("a", "b"):
        await begin_upload(store, name)
    for number in (1, 2):
        await part(store, "a", number)
    await store.uploads.start_completing("a")
    assert await refusal(begin_upload(store, "c")) is Code.QuotaExceeded
    await finish(store, "a")
    await begin_upload(store, "c")
    assert await refusal(begin_upload(store, "d")) is Code.QuotaExceeded
    await store.uploads.abort("b")
    await begin_upload(store, "d")


async def test_uploads_that_begin_at_once_do_not_share_the_last_place(store):
    begun = await asyncio.gather(*(begin_upload(store, f"u{n}") for n in range(10)), return_exceptions=True)
    assert sum(each is None for each in begun) == 2
    assert await count(store, "uploads") == 2


async def test_a_quota_that_has_no_room_refuses_the_upload_too(store):
    full = Allowance(category=Quota(objects=1), open_uploads=5)
    await store.uploads.create(house.MEDIA, upload("a"), allowance=full)
    assert await refusal(store.uploads.create(house.MEDIA, upload("b"), allowance=full)) is Code.QuotaExceeded


async def test_counting_open_uploads_looks_at_no_others(store):
    def plan(connection) -> str:
        sql = uploads._OPEN.replace("?", "'x'")
        return " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())

    assert "uploads_by_initiator" in await store.database.read(plan)


async def test_an_upload_that_a_dead_process_was_completing_is_open_again(store, store_path):
    dying = await Database.open(store_path)
    for upload_id in ("dead", "living"):
        await store.uploads.create(house.MEDIA, upload(upload_id))
    await Store(dying, house.RING).uploads.start_completing("dead")
    await store.uploads.start_completing("living")
    await dying.close()
    await store.catalog.recover({})
    await store.uploads.start_completing("dead")
    assert await refusal(store.uploads.start_completing("living")) is Code.NoSuchUpload
