"""An S3 origin before moto's store, through a proxy that loses answers: what is sent, and what is made of what comes."""

import hashlib
from dataclasses import replace

import pytest

from gateway.origin.base import Checked, PartBody
from gateway.origin.errors import (
    BodyChanged,
    BodyExists,
    BodyNotFound,
    BucketRefused,
    BucketTaken,
    MetadataTooLarge,
    OriginDown,
    OriginError,
    OriginFull,
    OutcomeUnknown,
)
from gateway.origin.s3 import pieces
from gateway.origin.s3.documents import parse_tags
from gateway.origin.s3.failures import Refused
from gateway.origin.s3.origin import S3Origin
from gateway.origin.s3.places import Place
from gateway.origin.s3.requests import UNSIGNED_PAYLOAD, Request
from tests.origin.s3.origins import (
    COPYING,
    FULL,
    ID,
    MIB,
    OTHER_ID,
    PART,
    PLAIN,
    is_put,
    meta,
    opened,
    put,
    upload_of,
    uploads_to,
    whole,
    written,
)
from tests.origin.s3.scripted import LOST, Server, Step, all_arrived, answer, refusal, session_to
from tests.support.data import ODD_KEYS, pattern
from tests.support.house import read_to_the_end

pytestmark = pytest.mark.usefixtures("no_pauses")


# What is sent.


async def test_a_small_body_is_one_plain_request(origin, proxy, bucket):
    body = b"hello"
    md5 = hashlib.md5(body)
    etag = await put(origin, f"{bucket}/k", body, meta(bucket))
    assert etag == f'"{md5.hexdigest()}"'
    (seen,) = proxy.seen
    assert (seen.method, seen.target, seen.body) == ("PUT", f"/{bucket}/k", body)
    assert set(seen.headers) == {
        "host", "content-length", "authorization", "x-amz-date", "x-amz-content-sha256", "content-md5", "if-none-match",
        "x-amz-meta-anbar-uploader", "x-amz-meta-anbar-write", "x-amz-meta-anbar-header-content-type", "x-amz-meta-a",
        "x-amz-tagging",
    }  # fmt: skip
    assert seen.headers["x-amz-content-sha256"] == UNSIGNED_PAYLOAD
    kept, found, size = await origin._settling.look(f"{bucket}/k") or (None, "", 0)
    assert kept is not None
    assert (kept.uploader, kept.write_id, kept.headers["content-type"], kept.metadata) == (
        "ann",
        ID,
        "text/é",
        {"a": "ü"},
    )
    assert (found, size) == (etag, 5)


@pytest.mark.parametrize("size", [0, 5, 100_000])
async def test_over_plain_http_a_body_that_is_here_is_signed_with_its_hash(proxy, bucket, size):
    body = pattern(size)
    async with opened(proxy.port, sign_bodies=True) as origin:
        await put(origin, f"{bucket}/k", body, meta(bucket))
        writer = await origin.create(f"{bucket}/l", size, meta(bucket), hashlib.sha256(body).hexdigest())
        await writer.write(body)
        await writer.finish()
    assert {seen.headers["x-amz-content-sha256"] for seen in proxy.seen} == {hashlib.sha256(body).hexdigest()}


async def test_what_the_check_raises_ends_the_write_before_it_begins(origin, proxy, bucket):
    def check() -> Checked:
        raise ValueError

    for size in (5, 100_000):
        with pytest.raises(ValueError):
            await origin.store(f"{bucket}/k", bytes(size), check)
    assert proxy.seen == []


async def test_metadata_that_the_origin_has_no_room_for_is_not_sent(origin, proxy, bucket):
    await put(origin, f"{bucket}/k", b"x", replace(meta(bucket), metadata={"a": "x" * 2000, "b": "kept"}))
    (sent,) = proxy.asked("PUT")
    assert "x-amz-meta-a" not in sent.headers
    assert (sent.headers["x-amz-meta-b"], sent.headers["x-amz-meta-anbar-left-out"]) == ("kept", "1")


async def test_a_body_that_could_not_be_known_again_is_not_sent(origin, proxy, bucket):
    with pytest.raises(MetadataTooLarge):
        await put(origin, f"{bucket}/k", b"x", replace(meta(bucket), uploader="x" * 2000))
    assert proxy.seen == []


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_odd_keys_are_written_read_and_removed(origin, bucket, key):
    location = origin.own_location(bucket, key) or origin.locate(bucket, key, ID)
    etag = await put(origin, location, key.encode(), replace(meta(bucket), key="k", metadata={}))
    assert await whole(origin, location, len(key.encode()), etag) == key.encode()
    await origin.delete(location, ID)
    assert await origin._settling.look(location) is None


async def test_a_cut_key_is_kept_beside_its_body_also_where_the_prefix_made_it_too_long(origin, bucket):
    key = "é" * 450
    location = origin.locate(bucket, "prefix/" * 20 + key, ID)
    await put(origin, location, b"x", replace(meta(bucket, headers={}), key=key, metadata={}))
    found = await origin._settling.look(location)
    assert found is not None
    assert found[0].key == key


# Reading.


@pytest.mark.parametrize(("offset", "size"), [(0, 10), (0, 4), (3, 4), (9, 1), (3, None), (0, None)])
async def test_ranges(origin, bucket, offset, size):
    etag = await put(origin, f"{bucket}/k", b"0123456789", meta(bucket))
    reader = await origin.open(f"{bucket}/k", etag, offset, size)
    wanted = b"0123456789"[offset:] if size is None else b"0123456789"[offset : offset + size]
    assert await read_to_the_end(reader, offset, len(wanted), 3) == wanted
    with pytest.raises(OriginError):
        await reader.read(offset + len(wanted), 1)
    reader.close()


@pytest.mark.parametrize("body", [b"", b"0123456789"])
@pytest.mark.parametrize("offset", [0, 5])
async def test_no_bytes_are_asked_for_without_a_range_that_there_is_not(origin, proxy, bucket, body, offset):
    etag = await put(origin, f"{bucket}/k", body, meta(bucket))
    reader = await origin.open(f"{bucket}/k", etag, offset, 0)
    with pytest.raises(OriginError):
        await reader.read(offset, 1)
    reader.close()
    assert "range" not in proxy.seen[-1].headers
    with pytest.raises(BodyChanged):
        await origin.open(f"{bucket}/k", '"other"', 0, 0)
    with pytest.raises(BodyNotFound):
        await origin.open(f"{bucket}/none", None, 0, 0)


async def test_another_body_than_the_one_asked_for_is_told_from_none(origin, bucket):
    await put(origin, f"{bucket}/k", b"0123456789", meta(bucket))
    for offset, size in ((0, 10), (5, None), (0, None)):
        with pytest.raises(BodyChanged):
            await origin.open(f"{bucket}/k", '"00000000000000000000000000000000"', offset, size)
        with pytest.raises(BodyNotFound):
            await origin.open(f"{bucket}/none", None, offset, size)
    with pytest.raises(BodyChanged):  # shorter than it was
        await origin.open(f"{bucket}/k", None, 20, 5)
    with pytest.raises(BodyChanged):
        await origin.open(f"{bucket}/k", None, 5, 20)


async def test_a_bucket_that_is_not_there_is_no_body_that_is_gone(origin):
    with pytest.raises(Refused, match="NoSuchBucket"):
        await origin.open("no-such-bucket/k", None, 0, 5)
    with pytest.raises(Refused, match="NoSuchBucket"):
        await origin.delete(f"no-such-bucket/k%40{ID}", ID)


@pytest.mark.parametrize(
    ("told", "offset", "size"),
    [
        (answer(200, b"0123456789"), 5, 5),  # it knows no ranges
        (answer(200, b"0123456789"), 5, None),
        (answer(200, b"0123456789"), 0, 5),
        (answer(206, b"01234", "content-range: bytes 1-5/10"), 0, 5),
        (answer(206, b"01234"), 0, 5),
        (answer(206, b"0123", "content-range: bytes 0-4/10"), 0, 5),
        (answer(206, b"01234", "content-range: bytes 50-54/60"), 5, None),
        (answer(206, b"01234", "content-range: bytes 0-4/10"), 0, None),
        (answer(200, b"0123456789", 'etag: "other"'), 0, 10),  # it knows no conditions
        (answer(206, b"01234", "content-range: bytes 5-9/10", "etag: other"), 5, 5),
        (answer(416, b""), 5, 5),
        (answer(412, b""), 5, 5),
    ],
)
async def test_other_bytes_than_those_asked_for_are_never_given(told, offset, size):
    async with Server(told) as server, opened(server.port) as origin:
        with pytest.raises(BodyChanged):
            await origin.open("b/k", '"e"', offset, size)


@pytest.mark.parametrize("etag", ['"e"', 'W/"e"'])
@pytest.mark.parametrize(
    ("told", "offset", "size"),
    [
        (answer(200, b"0123456789", 'etag: "e"'), 0, 10),
        (answer(200, b"0123456789", "etag: e"), 0, None),
        (answer(206, b"56789", "content-range: bytes 5-9/10", 'etag: W/"e"'), 5, 5),
        (answer(206, b"56789", "content-range: bytes 5-9/*"), 5, 5),
        (answer(206, b"56789", "content-range: bytes 5-9/10"), 5, None),
    ],
)
async def test_what_was_asked_for_is_taken_in_any_dress(told, offset, size, etag):
    async with Server(told) as server, opened(server.port) as origin:
        (await origin.open("b/k", etag, offset, size)).close()
        assert server.seen[0].headers.get("if-match") == (None if etag.startswith("W/") else etag)


async def test_a_body_that_breaks_off_is_an_error_and_not_its_end():
    cut = Step(answer(200, b"01234", length=10), close=True)
    async with Server(cut) as server, opened(server.port) as origin:
        reader = await origin.open("b/k")
        with pytest.raises(OriginError, match="broke"):
            await read_to_the_end(reader, 0, 10)
        reader.close()


async def test_a_jump_asks_again_and_a_failed_one_leaves_nothing_open(origin, proxy, bucket):
    body = pattern(100_000)
    etag = await put(origin, f"{bucket}/k", body, meta(bucket))
    reader = await origin.open(f"{bucket}/k", etag, 0, len(body))
    assert await reader.read(0, 10) == body[:10]
    assert await read_to_the_end(reader, 50_000, 1000) == body[50_000:51_000]
    assert proxy.seen[-1].headers["range"] == "bytes=50000-99999"
    assert await reader.region(0, 10) is None
    await origin.delete(f"{bucket}/k", ID)
    with pytest.raises(BodyNotFound):
        await reader.read(0, 10)
    reader.close()
    assert origin._session._client(f"127.0.0.1:{proxy.port}")._free == 8


# Writing.


@pytest.mark.parametrize("size", [1, 999, 100_000, 3 * MIB])
async def test_a_streamed_body_is_read_back(origin, bucket, size):
    body = pattern(size)
    location = origin.locate(bucket, "k", ID)
    etag = await written(origin, location, body, meta(bucket))
    assert etag == f'"{hashlib.md5(body).hexdigest()}"'
    assert await whole(origin, location, size, etag) == body


async def test_an_empty_streamed_body_may_be_answered_before_its_last_write():
    async with (
        Server(answer(200, b"", f'etag: "{hashlib.md5(b"").hexdigest()}"')) as server,
        opened(server.port) as origin,
    ):
        writer = await origin.create("b/k", 0, meta("b"))
        await all_arrived()
        await writer.write(b"")
        assert await writer.finish()


async def test_a_body_that_is_given_up_or_too_long_or_short_is_not_there(origin, bucket):
    for data, ended in ((b"1234", False), (b"1234", True), (b"123456", True)):
        writer = await origin.create(f"{bucket}/k", 5, meta(bucket))
        assert writer.location == f"{bucket}/k"
        with pytest.raises(OriginError):
            await writer.write(data)
            if ended:
                await writer.finish()
            raise OriginError
        await writer.abort()
        await writer.abort()
        assert await origin._settling.look(f"{bucket}/k") is None


@pytest.mark.parametrize("profile", [FULL, COPYING], ids=["full", "copying"])
async def test_nor_by_a_copy(proxy, bucket, profile):
    async with opened(proxy.port, profile) as origin:
        await put(origin, f"{bucket}/l", b"theirs", None)
        etag = await put(origin, f"{bucket}/k", b"hello", meta(bucket))
        with pytest.raises(BodyExists):
            await origin.copy(f"{bucket}/k", 0, 5, f"{bucket}/l", meta(bucket, OTHER_ID), etag)
        assert await whole(origin, f"{bucket}/l", 6) == b"theirs"


@pytest.mark.parametrize("write", [put, written])
async def test_what_others_have_put_under_a_key_is_never_replaced(origin, bucket, write):
    await put(origin, f"{bucket}/k", b"theirs", None)
    with pytest.raises(BodyExists):
        await write(origin, f"{bucket}/k", b"ours", meta(bucket))
    assert await whole(origin, f"{bucket}/k", 6) == b"theirs"


@pytest.mark.parametrize("write", [put, written])
@pytest.mark.parametrize("refused", [(412, "PreconditionFailed"), (409, "ExistingObjectIsDirectory")])
async def test_a_place_that_is_refused_though_a_look_shows_nothing_is_taken_all_the_same(write, refused):
    """A store that makes paths of keys takes the folder of `k/below` for an object `k`."""
    async with Server(refusal(*refused), refusal(404, "NoSuchKey")) as server, opened(server.port) as origin:
        with pytest.raises(BodyExists):
            await write(origin, "b/k", b"ours", meta("b"))


async def test_a_look_at_an_own_place_tells_others_from_this_write(origin, bucket):
    own, fresh = f"{bucket}/k", f"{bucket}/k%40{OTHER_ID}"
    await origin.require_free(own, ID)
    await put(origin, own, b"ours", meta(bucket))
    await put(origin, fresh, b"ours", meta(bucket))
    await origin.require_free(own, ID)
    await origin.require_free(fresh, ID)
    for place in (own, f"{own}?uploads"):
        with pytest.raises(BodyExists):
            await origin.require_free(place, OTHER_ID)


async def test_nor_by_an_upload(proxy, bucket):
    async with opened(proxy.port) as origin:
        location, parts = await upload_of(origin, f"{bucket}/k", meta(bucket), b"x")
        await origin.assemble(location, parts, meta(bucket))
        assert proxy.asked("POST")[-1].headers["if-none-match"] == "*"
        location, parts = await upload_of(origin, origin.locate(bucket, "k", ID), meta(bucket), b"x")
        await origin.assemble(location, parts, meta(bucket))
        assert "if-none-match" not in proxy.asked("POST")[-1].headers
    precondition = refusal(412, "PreconditionFailed")
    theirs = answer(200, b"", 'etag: "e"', length=6)
    async with Server(precondition, theirs) as server, opened(server.port) as origin:
        with pytest.raises(BodyExists):
            await origin.assemble("b/k?uploadId=1", [PartBody(f"b/k?uploadId=1&partNumber=1#{ID}", 1)], meta("b"))


@pytest.mark.parametrize("write", [put, written])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("profile", [FULL, PLAIN], ids=["full", "plain"])
async def test_a_write_whose_answer_was_lost_is_found_to_have_been_done(proxy, bucket, write, own, profile):
    location = f"{bucket}/k" if own else f"{bucket}/k%40{ID}"
    for retries in (0, 1):
        async with opened(proxy.port, profile, retries=retries) as origin:
            proxy.lose_answers.append(is_put)
            etag = await write(origin, location, b"hello", meta(bucket))
            assert etag is not None
            assert await whole(origin, location, 5, etag) == b"hello"
            await origin.delete(location, ID)


@pytest.mark.parametrize("write", [put, written])
async def test_a_write_that_never_arrived_has_an_open_end(origin, proxy, bucket, write):
    proxy.lose_requests.append(is_put)
    with pytest.raises(OutcomeUnknown):
        await write(origin, f"{bucket}/k", b"hello", meta(bucket))
    await put(origin, f"{bucket}/k", b"theirs", None)
    proxy.lose_requests.append(is_put)
    with pytest.raises(OutcomeUnknown):
        await write(origin, f"{bucket}/k", b"hello", meta(bucket))


async def test_a_look_that_fails_too_leaves_the_end_open(origin, proxy, bucket):
    proxy.lose_answers += [is_put, lambda seen: seen.method == "HEAD"]
    with pytest.raises(OutcomeUnknown):
        await put(origin, f"{bucket}/k", b"hello", meta(bucket))


async def test_a_body_of_another_size_is_not_the_one_that_was_written(origin, proxy, bucket):
    await put(origin, f"{bucket}/k", b"longer than it", meta(bucket))
    proxy.lose_requests.append(is_put)
    with pytest.raises(OutcomeUnknown):
        await put(origin, f"{bucket}/k", b"hello", meta(bucket))


@pytest.mark.parametrize("write", [put, written])
@pytest.mark.parametrize("etag", ['"00000000000000000000000000000000"', '"5d41402abc4b2a76b9719d911017c592-1"', "W/x"])
async def test_an_etag_that_is_not_the_md5_of_what_was_sent_is_an_error(write, etag):
    async with Server(answer(200, b"", f"etag: {etag}")) as server, opened(server.port) as origin:
        if write is written and etag.startswith('"0'):  # nobody has computed it here
            assert await write(origin, "b/k", b"hello", meta("b")) == etag
        else:
            with pytest.raises(OriginError, match="md5_etags"):
                await write(origin, "b/k", b"hello", meta("b"))
    async with Server(answer(200, b"", f"etag: {etag}")) as server, opened(server.port, PLAIN) as origin:
        assert await write(origin, "b/k", b"hello", meta("b")) is not None


@pytest.mark.parametrize("write", [put, written])
async def test_a_store_that_names_no_etag_has_not_stored_it(write):
    async with Server(answer(200)) as server, opened(server.port) as origin:
        with pytest.raises(OriginError, match="no ETag"):
            await write(origin, "b/k", b"hello", meta("b"))


@pytest.mark.parametrize("write", [put, written])
@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (refusal(403, "QuotaExceeded"), OriginFull),
        (refusal(403, "AccessDenied"), Refused),
        (refusal(503, "SlowDown"), OriginDown),
    ],
)
async def test_a_refused_write_is_what_the_store_says(write, told, kind):
    async with Server(told) as server, opened(server.port) as origin:
        with pytest.raises(kind):
            await write(origin, "b/k", b"hello", meta("b"))
        assert len(server.seen) == 1, "nobody looks for what was refused"


async def test_a_streamed_body_that_is_refused_on_its_way():
    async with (
        Server(Step(refusal(403, "AccessDenied"), early=True, close=True)) as server,
        opened(server.port) as origin,
    ):
        writer = await origin.create("b/k", 10, meta("b"))
        await all_arrived()
        with pytest.raises(Refused, match="AccessDenied"):
            await writer.write(b"hello")
        await writer.abort()


# Copies.


@pytest.mark.parametrize(
    ("profile", "moved"), [(FULL, False), (COPYING, False), (PLAIN, True)], ids=["full", "copying", "plain"]
)
@pytest.mark.parametrize("size", [0, 10, 3 * MIB])
async def test_a_copy_has_its_own_entries_and_moves_bytes_only_where_it_must(proxy, bucket, profile, moved, size):
    body = pattern(size)
    async with opened(proxy.port, profile) as origin:
        source, target = origin.locate(bucket, "a%b é", ID), f"{bucket}/copy"
        etag = await put(origin, source, body, meta(bucket))
        proxy.seen.clear()
        found = await origin.copy(source, 0, size, target, replace(meta(bucket, OTHER_ID), uploader="bob"), etag)
        assert found is not None
        assert await whole(origin, target, size, found) == body
        kept = await origin._settling.look(target)
        assert kept is not None
        assert (kept[0].uploader, kept[0].write_id, kept[0].headers["content-type"]) == ("bob", OTHER_ID, "text/é")
        assert any(seen.body for seen in proxy.seen) is (moved and size > 0)


@pytest.mark.parametrize("profile", [FULL, PLAIN], ids=["full", "plain"])
async def test_a_range_is_copied_too(proxy, bucket, profile):
    async with opened(proxy.port, profile) as origin:
        etag = await put(origin, f"{bucket}/k", b"0123456789", meta(bucket))
        await origin.copy(f"{bucket}/k", 3, 4, f"{bucket}/l", meta(bucket), etag)
        assert await whole(origin, f"{bucket}/l", 4) == b"3456"


@pytest.mark.parametrize("profile", [FULL, PLAIN], ids=["full", "plain"])
async def test_a_copy_of_what_is_gone_or_another_one(proxy, bucket, profile):
    async with opened(proxy.port, profile) as origin:
        with pytest.raises(BodyNotFound):
            await origin.copy(f"{bucket}/none", 0, 5, f"{bucket}/l", meta(bucket), '"e"')
        await put(origin, f"{bucket}/k", b"hello", meta(bucket))
        etag = '"00000000000000000000000000000000"'
        if profile is FULL:  # moto does not look at the condition; its answer is in the next tests
            await origin.copy(f"{bucket}/k", 0, 5, f"{bucket}/l", meta(bucket), etag)
            assert proxy.seen[-1].headers["x-amz-copy-source-if-match"] == etag
        else:
            with pytest.raises(BodyChanged):
                await origin.copy(f"{bucket}/k", 0, 5, f"{bucket}/l", meta(bucket), etag)
            assert await origin._settling.look(f"{bucket}/l") is None


async def test_a_copy_whose_answer_was_lost_is_found_to_have_been_done(origin, proxy, bucket):
    etag = await put(origin, f"{bucket}/k", b"hello", meta(bucket))
    proxy.lose_answers.append(lambda seen: "x-amz-copy-source" in seen.headers)
    assert await origin.copy(f"{bucket}/k", 0, 5, f"{bucket}/l", meta(bucket, OTHER_ID), etag) == etag


@pytest.mark.parametrize(
    "told", [refusal(200, "InternalError"), Step(answer(200, b"<CopyObjectRes", length=99), close=True)]
)
async def test_a_copy_that_fails_after_it_began_to_answer_was_perhaps_done(told):
    async with Server(told, answer(404)) as server, opened(server.port) as origin:
        with pytest.raises(OutcomeUnknown):
            await origin.copy("b/k", 0, 5, f"b/l%40{ID}", meta("b"))
        assert server.seen[1].method == "HEAD"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (refusal(200, "NoSuchKey"), BodyNotFound),
        (refusal(200, "PreconditionFailed"), BodyChanged),
        (refusal(403, "AccessDenied"), Refused),
    ],
)
async def test_what_a_copy_says_late_means_the_same(told, kind):
    async with Server(told) as server, opened(server.port) as origin:
        with pytest.raises(kind):
            await origin.copy("b/k", 0, 5, f"b/l%40{ID}", meta("b"), '"e"')


async def test_a_copy_that_is_moved_and_fails_is_given_up(proxy, bucket):
    async with opened(proxy.port, PLAIN) as origin:
        await put(origin, f"{bucket}/k", b"hello", meta(bucket))
        proxy.lose_requests.append(is_put)
        with pytest.raises(OutcomeUnknown):
            await origin.copy(f"{bucket}/k", 0, 5, f"{bucket}/l", meta(bucket, OTHER_ID))
        assert origin._session._client(f"127.0.0.1:{proxy.port}")._free == 8


# Removing.


async def test_what_others_have_put_under_a_key_is_not_removed_with_our_write(origin, proxy, bucket):
    await put(origin, f"{bucket}/k", b"theirs", None)
    await origin.delete(f"{bucket}/k", ID)
    await origin.delete(f"{bucket}/k?uploadId=none", ID)
    assert await whole(origin, f"{bucket}/k", 6) == b"theirs"
    await put(origin, f"{bucket}/l", b"another write's", meta(bucket, OTHER_ID))
    await origin.delete(f"{bucket}/l", ID)
    assert await origin._settling.look(f"{bucket}/l") is not None
    await origin.delete(f"{bucket}/l", OTHER_ID)
    assert await origin._settling.look(f"{bucket}/l") is None


ETAG, OTHER_ETAG = '"11111111111111111111111111111111"', '"22222222222222222222222222222222"'
ANY = ""
NOBODY = None


@pytest.mark.parametrize("profile", [FULL, COPYING], ids=["tags", "no tags"])
@pytest.mark.parametrize(
    ("write_id", "etag", "lies", "removed"),
    [
        (ID, ETAG, (ID, ETAG), {"tags", "no tags"}),
        (ID, ETAG, (OTHER_ID, ETAG), set()),
        (ID, ETAG, (NOBODY, ETAG), set()),
        (ID, ETAG, (ID, OTHER_ETAG), {"tags", "no tags"}),  # tags were set, it was encrypted anew, an answer has lied
        (ID, ETAG, (NOBODY, OTHER_ETAG), set()),
        (ID, None, (ID, ETAG), {"tags", "no tags"}),
        (ID, None, (NOBODY, ETAG), set()),
        (ANY, ETAG, (NOBODY, ETAG), {"tags", "no tags"}),  # adopted
        (ANY, ETAG, (NOBODY, ETAG.strip('"')), {"tags", "no tags"}),
        (ANY, ETAG, (NOBODY, f"W/{ETAG}"), {"tags", "no tags"}),
        (ANY, ETAG, (NOBODY, OTHER_ETAG), set()),
        (ANY, ETAG, (OTHER_ID, OTHER_ETAG), set()),
    ],
)
async def test_only_the_very_body_is_removed_from_its_keys_own_place(profile, write_id, etag, lies, removed, caplog):
    lying_id, lying_etag = lies
    entries = [] if lying_id is NOBODY else [f"x-amz-meta-anbar-write: {lying_id}"]
    there = answer(200, b"", f"etag: {lying_etag}", *entries, length=5)
    async with Server(there, answer(204)) as server, opened(server.port, profile) as origin:
        await origin.delete("b/k", write_id, etag)
        is_removed = [seen.method for seen in server.seen] == ["HEAD", "DELETE"]
    assert is_removed == (("tags" if profile.tagging else "no tags") in removed)
    assert is_removed == ("left alone" not in caplog.text)


async def test_a_body_that_nothing_is_known_of_is_removed_without_a_look():
    """Put on record by a version that did not remember."""
    async with Server(answer(204)) as server, opened(server.port) as origin:
        await origin.delete("b/k")
        assert [seen.method for seen in server.seen] == ["DELETE"]


@pytest.mark.parametrize("told", [LOST, answer(503), refusal(500, "InternalError")])
async def test_a_look_that_fails_is_no_removal_of_unknown_end(told):
    async with Server(told) as server, opened(server.port) as origin:
        with pytest.raises(OriginDown) as caught:
            await origin.delete("b/k", ID, ETAG)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert [seen.method for seen in server.seen] == ["HEAD"]


async def test_what_is_not_there_may_be_removed(origin, bucket):
    for location in (f"{bucket}/none", f"{bucket}/none%40{ID}", f"{bucket}/none?uploads", f"{bucket}/none?uploadId=x"):
        await origin.delete(location, ID)


@pytest.mark.parametrize(
    "told",
    [refusal(404, "NoSuchBucket"), refusal(403, "AccessDenied"), refusal(500, "InternalError"), refusal(409, "X")],
)
async def test_what_was_not_removed_is_not_said_to_be(told):
    async with Server(told) as server, opened(server.port) as origin:
        with pytest.raises(OriginError):
            await origin.delete(f"b/k%40{ID}", ID)


@pytest.mark.parametrize("told", [answer(204), answer(200), answer(404), refusal(404, "NoSuchKey")])
async def test_what_is_gone_is_gone(told):
    async with Server(told) as server, opened(server.port) as origin:
        await origin.delete(f"b/k%40{ID}", ID)


# Describing.


async def test_tags_are_replaced(origin, proxy, bucket):
    await put(origin, f"{bucket}/k", b"hello", meta(bucket))
    for tags in ({"a": "1/2"}, {"b": "", "c d": "e"}):
        assert await origin.describe(f"{bucket}/k", meta(bucket, "", tags=tags)) is None
        found = await origin._session.document(Request("GET", Place(bucket, "k"), "tagging="))
        assert parse_tags(found) == tags
    with pytest.raises(BodyNotFound):
        await origin.describe(f"{bucket}/none", meta(bucket, ""))


async def test_tags_are_an_entry_where_an_origin_has_none(proxy, bucket):
    async with opened(proxy.port, COPYING) as origin:
        await put(origin, f"{bucket}/k", b"hello", meta(bucket))
        etag = await origin.describe(f"{bucket}/k", meta(bucket, "", tags={"a": "é"}))
        kept, found, _ = await origin._settling.look(f"{bucket}/k") or (None, "", 0)
        assert kept is not None
        assert (kept.tags, kept.write_id, found) == ({"a": "é"}, ID, etag)
        assert await whole(origin, f"{bucket}/k", 5, etag) == b"hello"
        with pytest.raises(BodyNotFound):
            await origin.describe(f"{bucket}/none", meta(bucket, ""))
    async with opened(proxy.port, PLAIN) as origin:
        with pytest.raises(OriginError, match="no tags"):
            await origin.describe(f"{bucket}/k", meta(bucket, ""))


@pytest.mark.parametrize("retries", [0, 1])
async def test_a_description_whose_answer_was_lost_gives_the_etag_that_there_is_now(retries):
    """A copy onto itself gives a body another ETag; with the old one it would never be read again."""

    def head(etag: str, tags: str) -> bytes:
        entries = ("x-amz-meta-anbar-uploader: ann", f"x-amz-meta-anbar-write: {ID}", f"x-amz-meta-anbar-tags: {tags}")
        return answer(200, b"", f'etag: "{etag}"', *entries, length=5)

    lost: list[Step | bytes] = [Step(close=True)] + [refusal(412, "PreconditionFailed")] * retries
    about = meta("b", "", tags={"a": "2"})
    async with (
        Server(head("1", "a=1"), *lost, head("2", "a=2")) as server,
        opened(server.port, COPYING, retries=retries) as origin,
    ):
        assert await origin.describe("b/k", about) == '"2"'
    async with (
        Server(head("1", "a=1"), *lost, head("1", "a=1")) as server,
        opened(server.port, COPYING, retries=retries) as origin,
    ):
        with pytest.raises(OriginError):
            await origin.describe("b/k", about)
    async with (
        Server(head("1", "a=1"), *lost, answer(503)) as server,
        opened(server.port, COPYING, retries=retries) as origin,
    ):
        with pytest.raises(OriginError):
            await origin.describe("b/k", about)
    async with Server(head("1", "a=1"), refusal(403, "AccessDenied")) as server, opened(server.port, COPYING) as origin:
        with pytest.raises(Refused, match="AccessDenied"):
            await origin.describe("b/k", about)


# Buckets.

NO_BUCKET = refusal(404, "NoSuchBucket")
EMPTY = answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
HELD = answer(
    200, b"<ListBucketResult><Contents><Key>k</Key><Size>1</Size><ETag>e</ETag></Contents></ListBucketResult>"
)


async def test_a_bucket_is_made_where_there_is_none(origin, proxy):
    name = "made-" + ID[:8]
    await origin.make_bucket(name)
    await origin.make_bucket(name)
    assert len(proxy.asked("PUT")) == 1
    await put(origin, f"{name}/k", b"x", None)
    with pytest.raises(BucketTaken):
        await origin.make_bucket(name)


@pytest.mark.parametrize(
    "answers",
    [
        [EMPTY],
        [NO_BUCKET, answer()],
        [NO_BUCKET, LOST, refusal(409, "BucketAlreadyOwnedByYou")],
        [NO_BUCKET, LOST, refusal(409, "BucketAlreadyExists"), EMPTY],
    ],
)
async def test_an_empty_bucket_is_as_good_as_a_new_one(answers):
    async with Server(*answers) as server, opened(server.port, retries=1) as origin:
        await origin.make_bucket("new")
        assert len(server.seen) == len(answers)
        assert {seen.target for seen in server.seen} <= {"/new", "/new?list-type=2&max-keys=1"}


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([HELD], BucketTaken),
        ([NO_BUCKET, refusal(409, "BucketAlreadyExists"), HELD], BucketTaken),
        ([NO_BUCKET, refusal(409, "BucketAlreadyExists"), NO_BUCKET], BucketTaken),
        ([refusal(403, "AccessDenied")], BucketRefused),
        ([NO_BUCKET, refusal(403, "AccessDenied")], BucketRefused),
        ([NO_BUCKET, refusal(400, "InvalidBucketName")], BucketRefused),
        ([NO_BUCKET, refusal(400, "TooManyBuckets")], BucketRefused),
        ([answer(503)], OriginDown),
    ],
)
async def test_a_bucket_that_is_not_ours_to_have(answers, kind):
    async with Server(*answers) as server, opened(server.port) as origin:
        with pytest.raises(kind):
            await origin.make_bucket("new")


async def test_a_new_bucket_lies_in_the_region_that_must_be_named():
    async with Server(NO_BUCKET, answer()) as server:
        origin = S3Origin(session_to(server.port), FULL, sign_bodies=True, bucket_region="eu-central-1")
        await origin.make_bucket("new")
        await origin.close()
        assert b"<LocationConstraint>eu-central-1</LocationConstraint>" in server.seen[1].body


# Bodies of unknown size.


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 1])
async def test_a_body_of_unknown_size(origin, proxy, bucket, monkeypatch, size):
    monkeypatch.setattr(pieces, "PIECE", PART)
    body = pattern(size)
    writer = await origin.create(f"{bucket}/k", None, meta(bucket))
    for start in range(0, size, MIB):
        await writer.write(memoryview(body)[start : start + MIB])
    etag = await writer.finish(f'"{hashlib.md5(body).hexdigest()}"')
    await writer.abort()
    assert await whole(origin, f"{bucket}/k", size, etag) == body
    found = await origin._settling.look(f"{bucket}/k")
    assert found is not None
    assert found[0].write_id == ID
    assert len(proxy.asked("POST")) == (0 if size < PART else 2)


async def test_a_body_too_large_for_one_request_goes_in_pieces(proxy, bucket, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", PART)
    async with opened(proxy.port, replace(FULL, max_put_bytes=PART)) as origin:
        writer = await origin.create(f"{bucket}/k", PART + 1, meta(bucket))
        await writer.write(bytes(PART + 1))
        await writer.finish()
        assert len(proxy.asked("POST")) == 2
        with pytest.raises(OriginError, match="part"):
            await origin.create(f"{bucket}/k?uploadId=1&partNumber=1#{ID}", None, None)


async def test_pieces_that_are_given_up_leave_nothing(origin, bucket, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", PART)
    writer = await origin.create(f"{bucket}/k", None, meta(bucket))
    await writer.write(bytes(PART))
    assert len(await uploads_to(origin, bucket, "k")) == 1
    await writer.abort()
    assert await uploads_to(origin, bucket, "k") == []
    assert await origin._settling.look(f"{bucket}/k") is None


def test_what_an_origin_says_of_itself():
    origin = S3Origin(session_to(1), FULL, sign_bodies=True)
    assert (origin.md5_etags, origin.settle_s) == (True, 900)
    assert origin.own_location("b", "k") == "b/k"
    assert origin.locate("b", "k", ID) == f"b/k%40{ID}"
    assert origin.locate_upload("b/k") == "b/k?uploads"


@pytest.mark.parametrize(("location", "repeated"), [("b/k", False), (f"b/k%40{ID}", True)])
async def test_a_removal_under_an_own_key_is_not_repeated_where_nobody_knows_of_the_first(location, repeated):
    """A late one would take along what is there by then; under the id of a write nothing else ever is."""
    async with Server(refusal(500, "InternalError"), answer(204)) as server, opened(server.port, retries=1) as origin:
        if repeated:
            await origin.delete(location)
        else:
            with pytest.raises(OutcomeUnknown):
                await origin.delete(location)
        assert len(server.seen) == (2 if repeated else 1)
