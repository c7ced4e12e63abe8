"""The scripted origin as boto3 sees it: a strict S3, which may be modest or odd."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, status
from tests.support.data import MIB, ODD_KEYS, pattern
from tests.support.origin_clients import BUCKET, client_of, send
from tests.support.s3_listing import ListQuirks
from tests.support.scripted_origin import ScriptedOrigin

BODY = pattern(5000)


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        running.make_bucket(BUCKET)
        yield running


@pytest.fixture
def client(origin: ScriptedOrigin) -> Iterator[Any]:
    with closing(client_of(origin)) as made:
        yield made


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_object_comes_back_as_it_was_put(origin, client, key):
    put = client.put_object(
        Bucket=BUCKET, Key=key, Body=BODY, ContentType="image/png", CacheControl="no-cache", Metadata={"by": "me"}
    )
    assert put["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'
    got = client.get_object(Bucket=BUCKET, Key=key)
    assert got["Body"].read() == BODY
    assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == ("image/png", "no-cache", {"by": "me"})
    assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(BODY)
    assert [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]] == [key]
    assert list(origin.objects(BUCKET)) == [key]
    client.delete_object(Bucket=BUCKET, Key=key)
    assert origin.objects(BUCKET) == {}
    assert origin.requests("PutObject", key=key)[0].received == len(BODY)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-0", (0, 1)), ("bytes=10-19", (10, 20)), ("bytes=-7", (4993, 5000)), ("bytes=4990-9999", (4990, 5000))],
)
def test_a_range_is_a_range(origin, client, asked, expected):
    origin.put_behind(BUCKET, "a", BODY)
    got = client.get_object(Bucket=BUCKET, Key="a", Range=asked)
    assert got["Body"].read() == BODY[slice(*expected)]
    assert got["ContentRange"] == f"bytes {expected[0]}-{expected[1] - 1}/5000"


@pytest.mark.parametrize("asked", ["bytes=5000-", "bytes=-0"])
def test_a_range_past_the_end_is_invalid(origin, client, asked):
    origin.put_behind(BUCKET, "a", BODY)
    with pytest.raises(ClientError) as refused:
        client.get_object(Bucket=BUCKET, Key="a", Range=asked)
    assert error_code(refused) == ("InvalidRange", 416)


def test_conditions_hold_for_reads_and_writes(origin, client):
    etag = origin.put_behind(BUCKET, "a", BODY).etag
    for call, arguments, code in [
        (client.get_object, {"IfMatch": '"other"'}, 412),
        (client.get_object, {"IfNoneMatch": etag}, 304),
        (client.put_object, {"IfNoneMatch": "*"}, 412),
        (client.put_object, {"IfMatch": '"other"'}, 412),
    ]:
        with pytest.raises(ClientError) as refused:
            call(Bucket=BUCKET, Key="a", **arguments)
        assert status(refused.value.response) == code
    assert status(client.put_object(Bucket=BUCKET, Key="a", Body=b"new", IfMatch=etag)) == 200
    assert status(client.put_object(Bucket=BUCKET, Key="b", Body=b"new", IfNoneMatch="*")) == 200


@pytest.mark.parametrize(("support", "code"), [("ignored", 200), ("refused", 501)])
def test_a_modest_origin_has_no_conditional_writes(origin, support, code):
    origin.put_behind(BUCKET, "a", BODY)
    origin.switches.conditional_writes = support
    assert send(origin, "PUT", "a", b"new", headers=(("If-None-Match", "*"),)).status == code


def test_tags_are_kept_beside_the_object(origin, client):
    client.put_object(Bucket=BUCKET, Key="a", Body=BODY, Tagging="who=me&why=a%20test")
    assert origin.objects(BUCKET)["a"].tags == {"who": "me", "why": "a test"}
    client.put_object_tagging(Bucket=BUCKET, Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "<v>"}]})
    assert client.get_object_tagging(Bucket=BUCKET, Key="a")["TagSet"] == [{"Key": "k", "Value": "<v>"}]
    client.delete_object_tagging(Bucket=BUCKET, Key="a")
    assert origin.objects(BUCKET)["a"].tags == {}
    origin.switches.tagging = "ignored"
    client.put_object(Bucket=BUCKET, Key="a", Body=BODY, Tagging="who=me")
    assert origin.objects(BUCKET)["a"].tags == {}
    with pytest.raises(ClientError) as refused:
        client.get_object_tagging(Bucket=BUCKET, Key="a")
    assert error_code(refused) == ("NotImplemented", 501)


def test_a_copy_takes_or_replaces_what_is_said_of_its_source(origin, client):
    source = origin.put_behind(
        BUCKET, "a", BODY, headers={"content-type": "text/x"}, metadata={"m": "1"}, tags={"t": "1"}
    )
    place = {"Bucket": BUCKET, "Key": "a"}
    client.copy_object(Bucket=BUCKET, Key="b", CopySource=place, CopySourceIfMatch=source.etag)
    copied = client.copy_object(
        Bucket=BUCKET, Key="c", CopySource=place, MetadataDirective="REPLACE", ContentType="text/y", Metadata={"n": "2"}
    )
    assert copied["CopyObjectResult"]["ETag"] == source.etag
    found = origin.objects(BUCKET)
    assert found["b"].description == source.description
    assert (found["c"].headers["content-type"], found["c"].metadata, found["c"].tags) == (
        "text/y",
        {"n": "2"},
        {"t": "1"},
    )
    with pytest.raises(ClientError) as refused:
        client.copy_object(Bucket=BUCKET, Key="d", CopySource=place, CopySourceIfMatch='"other"')
    assert error_code(refused) == ("PreconditionFailed", 412)
    origin.switches.copy = False
    with pytest.raises(ClientError) as refused:
        client.copy_object(Bucket=BUCKET, Key="d", CopySource=place)
    assert error_code(refused) == ("NotImplemented", 501)


def test_a_multipart_upload_becomes_one_object(origin, client):
    origin.put_behind(BUCKET, "source", BODY)
    upload_id = client.create_multipart_upload(Bucket=BUCKET, Key="big", ContentType="a/b")["UploadId"]
    place = {"Bucket": BUCKET, "Key": "big", "UploadId": upload_id}
    first = client.upload_part(**place, PartNumber=1, Body=bytes(5 * MIB))
    second = client.upload_part_copy(
        **place, PartNumber=7, CopySource={"Bucket": BUCKET, "Key": "source"}, CopySourceRange="bytes=10-19"
    )["CopyPartResult"]
    assert [part["PartNumber"] for part in client.list_parts(**place)["Parts"]] == [1, 7]
    assert client.list_parts(**place, MaxParts=1)["NextPartNumberMarker"] == 1
    assert client.list_multipart_uploads(Bucket=BUCKET, Prefix="b")["Uploads"][0]["UploadId"] == upload_id
    assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET, Prefix="c")
    assert list(origin.uploads(BUCKET)) == [upload_id]
    parts = [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 7, "ETag": second["ETag"]}]
    done = client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    made = origin.objects(BUCKET)["big"]
    digests = hashlib.md5(bytes(5 * MIB)).digest() + hashlib.md5(BODY[10:20]).digest()
    assert done["ETag"] == made.etag == f'"{hashlib.md5(digests).hexdigest()}-2"'
    assert (len(made.body), made.headers["content-type"]) == (5 * MIB + 10, "a/b")
    assert origin.uploads(BUCKET) == {}


@pytest.mark.parametrize(
    ("numbers", "etag", "code"),
    [
        ((1, 2), None, "EntityTooSmall"),
        ((2, 1), None, "InvalidPartOrder"),
        ((1, 3), None, "InvalidPart"),
        ((1,), '"x"', "InvalidPart"),
    ],
)
def test_a_complete_that_does_not_fit_its_parts_is_refused(origin, client, numbers, etag, code):
    upload_id = client.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
    place = {"Bucket": BUCKET, "Key": "big", "UploadId": upload_id}
    made = [client.upload_part(**place, PartNumber=number, Body=b"small")["ETag"] for number in (1, 2)]
    parts = [{"PartNumber": number, "ETag": etag or made[0]} for number in numbers]
    with pytest.raises(ClientError) as refused:
        client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    assert error_code(refused) == (code, 400)
    assert origin.objects(BUCKET) == {}
    client.abort_multipart_upload(**place)
    with pytest.raises(ClientError) as refused:
        client.abort_multipart_upload(**place)
    assert error_code(refused) == ("NoSuchUpload", 404)


def test_listings_come_in_pages_and_in_the_order_of_bytes(origin, client):
    keys = ["a/1", "a/2", "a</Key>", "b", "é", "\U0001f3a7", "a/\r"]
    for key in keys:
        origin.put_behind(BUCKET, key, b"x")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2})
    assert [found["Key"] for page in pages for found in page["Contents"]] == sorted(keys, key=str.encode)
    rolled = client.list_objects_v2(Bucket=BUCKET, Delimiter="/", StartAfter="a")
    assert [found["Prefix"] for found in rolled["CommonPrefixes"]] == ["a/", "a</"]
    assert rolled["KeyCount"] == 5
    assert [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET, Prefix="b")["Contents"]] == ["b"]
    client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
    assert client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def listed(client: Any, pages: int) -> list[list[str]]:
    found: list[list[str]] = []
    more: dict[str, str] = {}
    while len(found) < pages:
        page = client.list_objects_v2(Bucket=BUCKET, MaxKeys=2, **more)
        found.append([item["Key"] for item in page.get("Contents", [])])
        if not page["IsTruncated"]:
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    return found


@pytest.mark.parametrize(
    ("quirks", "expected"),
    [
        (ListQuirks(), [["a", "b"], ["c"]]),
        (ListQuirks(duplicate_page=True), [["a", "b"], ["a", "b"], ["c"]]),
        (ListQuirks(missing=frozenset("b")), [["a", "c"]]),
        (ListQuirks(foreign=("</Key>",)), [["a", "b", "</Key>"], ["c", "</Key>"]]),
        (ListQuirks(endless=True), [["a", "b"], ["c"], ["c"], ["c"]]),
        (ListQuirks(ignore_max_keys=True), [["a", "b", "c"]]),
        (ListQuirks(empty_first_page=True), [[], ["a", "b"], ["c"]]),
    ],
)
def test_listings_can_be_odd(origin, client, quirks, expected):
    for key in "abc":
        origin.put_behind(BUCKET, key, b"x")
    origin.switches.list_quirks = quirks
    assert listed(client, 4) == expected


def test_etags_can_be_opaque(origin, client):
    origin.switches.md5_etags = False
    etags = {client.put_object(Bucket=BUCKET, Key="a", Body=BODY)["ETag"] for _ in range(2)}
    assert len(etags) == 2
    assert hashlib.md5(BODY).hexdigest() not in str(etags)
