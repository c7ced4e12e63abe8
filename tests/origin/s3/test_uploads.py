"""gateway/origin/s3/uploads.py: begun, put together and ended once, and what others have begun goes on."""

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from gateway.origin.base import Begun, PartBody
from gateway.origin.errors import OriginError, OutcomeUnknown
from gateway.origin.s3.failures import Refused
from tests.origin.s3.origins import (
    FULL,
    ID,
    OTHER_ID,
    PART,
    PLAIN,
    is_post,
    is_put,
    meta,
    opened,
    put,
    upload_of,
    uploads_to,
    whole,
    written,
)
from tests.origin.s3.proxy import Proxy
from tests.origin.s3.scripted import NOW_S, Server, answer, refusal
from tests.support.data import pattern

UPLOAD = "b/k?uploadId=1&partNumber=1"

pytestmark = pytest.mark.usefixtures("no_pauses")


async def test_parts_become_one_body_with_what_is_kept_of_it(origin, proxy, bucket):
    bodies = (pattern(PART, 1), pattern(PART, 2), b"end")
    location, parts = await upload_of(origin, f"{bucket}/film", meta(bucket), *bodies)
    stored = await origin.assemble(location, parts, meta(bucket))
    assert stored.location == f"{bucket}/film"
    assert await whole(origin, stored.location, 2 * PART + 3, stored.etag) == b"".join(bodies)
    found = await origin._settling.look(stored.location)
    assert found is not None
    assert (found[0].write_id, found[0].metadata) == (ID, {"a": "ü"})
    assert "if-none-match" not in proxy.asked("PUT")[0].headers
    assert not [name for name in proxy.asked("PUT")[0].headers if name.startswith("x-amz-meta-")]


async def test_a_streamed_part(origin, bucket):
    location = await origin.begin_upload(origin.locate_upload(f"{bucket}/k"), meta(bucket))
    part = origin.locate_part(location, 1, OTHER_ID)
    etag = await written(origin, part, b"hello", None)
    stored = await origin.assemble(location, [PartBody(part, 5, etag)], meta(bucket))
    assert await whole(origin, stored.location, 5, stored.etag) == b"hello"


async def test_a_complete_whose_answer_was_lost_is_found_to_have_been_done_and_so_is_a_second_one(
    origin, proxy, bucket
):
    location, parts = await upload_of(origin, f"{bucket}/k", meta(bucket), b"hello")
    proxy.lose_answers.append(is_post)
    stored = await origin.assemble(location, parts, meta(bucket))
    assert await origin.assemble(location, parts, meta(bucket)) == stored
    assert await whole(origin, f"{bucket}/k", 5, stored.etag) == b"hello"


async def test_a_complete_that_never_arrived_may_be_repeated(origin, proxy, bucket):
    location, parts = await upload_of(origin, f"{bucket}/k", meta(bucket), b"hello")
    proxy.lose_requests.append(is_post)
    with pytest.raises(OutcomeUnknown):
        await origin.assemble(location, parts, meta(bucket))
    assert (await origin.assemble(location, parts, meta(bucket))).etag


async def test_a_complete_of_what_is_not_there_is_refused(origin, bucket):
    location, parts = await upload_of(origin, f"{bucket}/k", meta(bucket), b"hello")
    with pytest.raises(Refused, match="InvalidPart"):
        await origin.assemble(location, [replace_part(parts[0], '"00000000000000000000000000000000"')], meta(bucket))
    with pytest.raises(OriginError, match="not a part"):
        await origin.assemble(location, [PartBody(f"{bucket}/k", 5)], meta(bucket))


async def test_a_complete_of_an_upload_that_is_gone_is_refused():
    async with Server(refusal(404, "NoSuchUpload"), answer(404)) as server, opened(server.port) as origin:
        with pytest.raises(Refused, match="NoSuchUpload"):
            await origin.assemble("b/k?uploadId=1", [PartBody(f"b/k?uploadId=1&partNumber=1#{ID}", 1)], meta("b"))


@pytest.mark.parametrize("profile", [FULL, PLAIN], ids=["full", "plain"])
async def test_a_body_that_was_made_of_other_parts_is_not_taken_for_that_of_a_lost_complete(profile):
    """A store that gives multipart objects S3's ETag says of which parts the body is."""
    lies = answer(200, b"", 'etag: "0123456789abcdef0123456789abcdef-1"', f"x-amz-meta-anbar-write: {ID}", length=5)
    about, parts = replace(meta("b"), etag='"00000000000000000000000000000000-1"'), [PartBody(f"{UPLOAD}#{ID}", 5)]
    async with Server(refusal(404, "NoSuchUpload"), lies) as server, opened(server.port, profile) as origin:
        if profile.multipart_etags:
            with pytest.raises(Refused, match="NoSuchUpload"):
                await origin.assemble("b/k?uploadId=1", parts, about)
        else:
            assert (await origin.assemble("b/k?uploadId=1", parts, about)).location == "b/k"


def replace_part(part: PartBody, etag: str) -> PartBody:
    return part._replace(etag=etag)


async def test_a_part_whose_answer_was_lost_has_an_open_end(origin, proxy, bucket):
    location = await origin.begin_upload(origin.locate_upload(f"{bucket}/k"), meta(bucket))
    proxy.lose_answers.append(is_put)
    with pytest.raises(OutcomeUnknown):
        await put(origin, origin.locate_part(location, 1, ID), b"hello", None)


async def test_an_upload_id_of_any_characters_comes_back_as_it_was():
    begun = answer(200, b"<R><UploadId>a+b/c==&amp;?#~ d</UploadId></R>")
    done = answer(200, b"<R><ETag>&quot;e&quot;</ETag></R>")
    stored = answer(200, b"", 'etag: "5d41402abc4b2a76b9719d911017c592"')
    async with Server(begun, stored, done, answer(204), answer(404)) as server, opened(server.port) as origin:
        location = await origin.begin_upload("b/k?uploads", meta("b"))
        part = origin.locate_part(location, 3, ID)
        await put(origin, part, b"hello", None)
        await origin.assemble(location, [PartBody(part, 5, '"e"')], meta("b"))
        await origin.delete(location, ID)
        encoded = "a%2Bb%2Fc%3D%3D%26%3F%23~%20d"
        assert [seen.target for seen in server.seen[1:4]] == [
            f"/b/k?partNumber=3&uploadId={encoded}",
            f"/b/k?uploadId={encoded}",
            f"/b/k?uploadId={encoded}",
        ]


async def test_an_upload_is_removed_before_its_complete_and_after_it(origin, proxy, bucket):
    location, parts = await upload_of(origin, f"{bucket}/k", meta(bucket), b"hello")
    await origin.delete(parts[0].location)  # goes with the upload
    await origin.delete(location, ID)
    assert await uploads_to(origin, bucket, "k") == []
    location, parts = await upload_of(origin, f"{bucket}/k", meta(bucket), b"hello")
    await origin.assemble(location, parts, meta(bucket))
    await origin.delete(location, ID)
    assert await origin._settling.look(f"{bucket}/k") is None
    await origin.delete(location, ID)


def begun_now(proxy: Proxy) -> Begun:
    """The store says of its uploads that they have just been begun; these are the seconds by the session's clock."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
    proxy.change = lambda seen, told: told.replace(b"2010-11-10T20:48:33.000Z", now)
    return Begun(NOW_S, NOW_S + 900)


@pytest.mark.parametrize("own", [True, False], ids=["own place", "fresh place"])
@pytest.mark.parametrize("profile", [FULL, PLAIN], ids=["full", "plain"])
async def test_an_upload_that_nobody_heard_the_id_of_is_removed_too(proxy, bucket, profile, own):
    begun = begun_now(proxy) if own else None
    async with opened(proxy.port, profile) as origin:
        other, _ = await upload_of(origin, f"{bucket}/k+2", meta(bucket))
        for key in ("k", "k+", "k /é"):
            place = origin.own_location(bucket, key) if own else origin.locate(bucket, key, ID)
            lying_key = key if own else f"{key}@{ID}"
            proxy.lose_answers.append(is_post)
            with pytest.raises(OutcomeUnknown):
                await origin.begin_upload(origin.locate_upload(place or ""), meta(bucket))
            assert len(await uploads_to(origin, bucket, lying_key)) == 1
            await origin.delete(origin.locate_upload(place or ""), ID, begun=begun)
            assert await uploads_to(origin, bucket, lying_key) == []
        assert len(await uploads_to(origin, bucket, "k+2")) == 1, "another key's upload stays"
        await origin.delete(other, ID)


async def test_a_write_that_was_lost_may_have_left_pieces(origin, proxy, bucket):
    begun = begun_now(proxy)
    await upload_of(origin, f"{bucket}/k", meta(bucket))
    for location in (f"{bucket}/k", f"{bucket}/k?uploads"):
        await origin.delete(location, ID)
    assert len(await uploads_to(origin, bucket, "k")) == 1
    await origin.delete(f"{bucket}/k", ID, begun=begun)
    assert await uploads_to(origin, bucket, "k") == []


def listed_upload(initiated: str) -> bytes:
    return f"<R><Upload><Key>k</Key><UploadId>theirs</UploadId>{initiated}</Upload></R>".encode()


@pytest.mark.parametrize(
    ("initiated_s", "date", "ours"),
    [
        (NOW_S + 1, None, True),
        (NOW_S - 4, None, True),
        (NOW_S + 904, None, True),
        (NOW_S - 6, None, False),
        (NOW_S + 906, None, False),
        (NOW_S - 6, NOW_S - 100, True),  # the origin's clock is behind
        (NOW_S + 1, NOW_S + 100, False),
        (NOW_S + 101, NOW_S + 100, True),
        (None, None, False),
    ],
)
async def test_uploads_of_others_to_the_same_key_are_left_alone(initiated_s, date, ours):
    initiated = (
        "" if initiated_s is None else f"<Initiated>{datetime.fromtimestamp(initiated_s, UTC).isoformat()}</Initiated>"
    )
    headers = [] if date is None else [f"date: {formatdate(date, usegmt=True)}"]
    listed = answer(200, listed_upload(initiated), *headers)
    async with Server(listed, answer(204 if ours else 404), answer(404)) as server, opened(server.port) as origin:
        await origin.delete("b/k?uploads", ID, begun=Begun(NOW_S, NOW_S + 900))
        assert ("/b/k?uploadId=theirs" in [seen.target for seen in server.seen]) is ours
