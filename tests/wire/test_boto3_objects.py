"""boto3: objects put, read, described, tagged and deleted."""

import base64
import gzip
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import pytest
from awscrt.checksums import crc32c, crc64nvme  # type: ignore[import-untyped]
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client, status
from tests.support.data import KIB, MIB, ODD_KEYS, pattern
from tests.support.gateway import Gateway

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as body:
        data: bytes = body.read()
    return data


@pytest.mark.parametrize("size", [0, 1, 64 * KIB, MIB - 1, MIB + 1, 9 * MIB])
def test_put_object_is_read_back_byte_for_byte(s3: Any, bucket: str, size: int) -> None:
    body = pattern(size)
    put = s3.put_object(Bucket=bucket, Key="photo.jpg", Body=body, ContentType="image/jpeg")
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="photo.jpg")
    with got["Body"] as stream:
        assert stream.read() == body
    assert got["ContentLength"] == size
    assert got["ContentType"] == "image/jpeg"
    assert got["ETag"] == put["ETag"]
    assert got["AcceptRanges"] == "bytes"


def test_a_stream_of_unknown_kind_is_stored_without_its_framing(s3: Any, bucket: str) -> None:
    body = pattern(3 * MIB + 17)
    s3.upload_fileobj(io.BytesIO(body), bucket, "stream", ExtraArgs={"ContentEncoding": "identity"})
    assert read(s3, bucket, "stream") == body


def test_content_encoding_keeps_the_client_s_own_coding_and_drops_aws_chunked(s3: Any, bucket: str) -> None:
    body = gzip.compress(b"words " * 1000, mtime=0)
    s3.put_object(Bucket=bucket, Key="words.txt.gz", Body=body, ContentEncoding="gzip")
    assert s3.head_object(Bucket=bucket, Key="words.txt.gz")["ContentEncoding"] == "gzip"
    assert read(s3, bucket, "words.txt.gz") == body
    s3.put_object(Bucket=bucket, Key="plain", Body=b"plain")
    assert "ContentEncoding" not in s3.head_object(Bucket=bucket, Key="plain")


@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
def test_any_key_is_stored_read_listed_copied_and_deleted(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(s3, bucket, key) == key.encode()
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(key.encode())
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert read(s3, bucket, "copy") == key.encode()
    s3.delete_object(Bucket=bucket, Key=key)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy"]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
    assert {entry["Key"] for entry in done["Deleted"]} == {key, "copy"}


def test_keys_that_look_alike_are_different_objects(s3: Any, bucket: str) -> None:
    keys = ("a", "a/", "a/b", "a//b", "A", "a%2Fb", "a b", "a+b", "a%20b", "e\u0301", "\u00e9")
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=f"<{key}>".encode())
    assert {key: read(s3, bucket, key) for key in keys} == {key: f"<{key}>".encode() for key in keys}


def test_standard_headers_and_metadata_come_back(s3: Any, bucket: str) -> None:
    headers = {
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a.txt"',
        "ContentLanguage": "fa",
        "ContentType": "text/plain; charset=utf-8",
    }
    metadata = {"uploaded-by": "sara", "mixed": "Case Kept", "empty": ""}
    expires = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata=metadata, Expires=expires, **headers)
    head = s3.head_object(Bucket=bucket, Key="a")
    assert {name: head[name] for name in headers} == headers
    assert head["Metadata"] == metadata
    assert head["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"


def test_an_object_without_content_type_has_s3_s_default(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="a")["ContentType"] == "binary/octet-stream"


def test_an_overwrite_replaces_body_headers_metadata_and_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"first", Metadata={"v": "1"}, ContentType="text/html", Tagging="t=1")
    s3.put_object(Bucket=bucket, Key="a", Body=b"second body")
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["Metadata"], head["ContentType"], head["ContentLength"]) == ({}, "binary/octet-stream", 11)
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []
    assert read(s3, bucket, "a") == b"second body"


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-1", 0, 1),
        ("bytes=10-19", 10, 19),
        ("bytes=99990-", 99990, 99999),
        ("bytes=-7", 99993, 99999),
        ("bytes=99999-200000", 99999, 99999),
        ("bytes=-200000", 0, 99999),
    ],
)
def test_ranges_give_exactly_their_bytes(s3: Any, bucket: str, wanted: str, first: int, last: int) -> None:
    body = pattern(100_000)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    got = s3.get_object(Bucket=bucket, Key="a", Range=wanted)
    with got["Body"] as stream:
        assert stream.read() == body[first : last + 1]
    assert status(got) == 206
    assert got["ContentRange"] == f"bytes {first}-{last}/100000"
    head = s3.head_object(Bucket=bucket, Key="a", Range=wanted)
    assert (status(head), head["ContentLength"]) == (206, last - first + 1)


@pytest.mark.parametrize("wanted", ["bytes=100000-", "bytes=200000-300000", "bytes=-0"])
def test_a_range_past_the_end_is_invalid_range(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=pattern(100_000))
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="a", Range=wanted)
    assert error_code(refused) == ("InvalidRange", 416)
    assert refused.value.response["Error"]["ActualObjectSize"] == "100000"


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6"])
def test_a_range_that_is_none_gives_the_whole_object(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="a", Range=wanted)
    with got["Body"] as stream:
        assert (status(got), stream.read()) == (200, b"0123456789")


def test_a_ranged_read_has_no_checksum_of_the_whole(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789", ChecksumAlgorithm="CRC32C")
    got = s3.get_object(Bucket=bucket, Key="a", Range="bytes=2-4", ChecksumMode="ENABLED")
    with got["Body"] as stream:
        assert stream.read() == b"234"
    assert "ChecksumCRC32C" not in got


def test_response_overrides_replace_headers_of_this_answer_only(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentType="text/plain")
    wanted = {
        "ContentType": "application/x-thing",
        "ContentDisposition": 'attachment; filename="b.bin"',
        "CacheControl": "no-store",
        "ContentLanguage": "de",
        "ContentEncoding": "x-test",
    }
    asked = {f"Response{name}": value for name, value in wanted.items()}
    got = s3.get_object(Bucket=bucket, Key="a", **asked)
    got["Body"].close()
    head = s3.head_object(Bucket=bucket, Key="a", **asked)
    assert {name: got.get(name) for name in wanted} == wanted
    assert {name: head.get(name) for name in wanted} == wanted
    assert s3.head_object(Bucket=bucket, Key="a")["ContentType"] == "text/plain"


CHECKSUMS = {
    "CRC32": lambda body: crc32(body).to_bytes(4, "big"),
    "CRC32C": lambda body: crc32c(body).to_bytes(4, "big"),
    "CRC64NVME": lambda body: crc64nvme(body).to_bytes(8, "big"),
    "SHA1": lambda body: hashlib.sha1(body).digest(),
    "SHA256": lambda body: hashlib.sha256(body).digest(),
}


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_checksums_are_computed_by_the_client_stored_and_returned(s3: Any, bucket: str, algorithm: str) -> None:
    body = pattern(100_000)
    expected = base64.b64encode(CHECKSUMS[algorithm](body)).decode()
    put = s3.put_object(Bucket=bucket, Key="a", Body=body, ChecksumAlgorithm=algorithm)
    assert put[f"Checksum{algorithm}"] == expected
    assert put["ChecksumType"] == "FULL_OBJECT"
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == expected
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert read(s3, bucket, "a") == body
    attributes = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["Checksum"])
    assert attributes["Checksum"][f"Checksum{algorithm}"] == expected
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_a_wrong_checksum_is_bad_digest_and_stores_nothing(s3: Any, bucket: str, algorithm: str) -> None:
    wrong = base64.b64encode(CHECKSUMS[algorithm](b"another body")).decode()
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="a", Body=b"body", **{f"Checksum{algorithm}": wrong})
    assert error_code(refused) == ("BadDigest", 400)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_content_md5_is_verified(s3: Any, bucket: str) -> None:
    right = base64.b64encode(hashlib.md5(b"body").digest()).decode()
    s3.put_object(Bucket=bucket, Key="a", Body=b"body", ContentMD5=right)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="a", Body=b"other", ContentMD5=right)
    assert error_code(refused) == ("BadDigest", 400)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="a", Body=b"other", ContentMD5="not base64")
    assert error_code(refused) == ("InvalidDigest", 400)
    assert read(s3, bucket, "a") == b"body"


def test_reads_hold_to_if_match_and_if_none_match(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    assert read(s3, bucket, "a", IfMatch=etag) == b"x"
    assert read(s3, bucket, "a", IfMatch=etag.strip('"')) == b"x"
    assert read(s3, bucket, "a", IfNoneMatch='"other"') == b"x"
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="a", IfMatch='"other"')
    assert error_code(refused) == ("PreconditionFailed", 412)
    for call in (s3.get_object, s3.head_object):
        with pytest.raises(ClientError) as unchanged:
            call(Bucket=bucket, Key="a", IfNoneMatch=etag)
        assert status(unchanged.value.response) == 304


def test_reads_hold_to_dates(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    modified = s3.head_object(Bucket=bucket, Key="a")["LastModified"]
    assert read(s3, bucket, "a", IfModifiedSince=LONG_AGO, IfUnmodifiedSince=modified) == b"x"
    with pytest.raises(ClientError) as unchanged:
        s3.get_object(Bucket=bucket, Key="a", IfModifiedSince=modified)
    assert status(unchanged.value.response) == 304
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="a", IfUnmodifiedSince=LONG_AGO)
    assert error_code(refused) == ("PreconditionFailed", 412)
    assert abs(datetime.now(UTC) - modified) < timedelta(minutes=5)


def test_if_none_match_creates_and_never_overwrites(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="a", Body=b"second", IfNoneMatch="*")
    assert error_code(refused) == ("PreconditionFailed", 412)
    assert read(s3, bucket, "a") == b"first"


def test_of_many_conditional_creates_exactly_one_wins(s3: Any, bucket: str) -> None:
    def create(number: int) -> int:
        try:
            s3.put_object(Bucket=bucket, Key="lock", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return int(status(error.response))
        return 200

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(8)))
    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 412}
    assert read(s3, bucket, "lock") == str(answers.index(200)).encode()


def test_if_match_updates_only_what_was_read(s3: Any, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"first")["ETag"]
    second = s3.put_object(Bucket=bucket, Key="a", Body=b"second", IfMatch=first)["ETag"]
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="a", Body=b"third", IfMatch=first)
    assert error_code(refused) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="missing", Body=b"x", IfMatch=second)
    assert error_code(refused) == ("NoSuchKey", 404)
    assert read(s3, bucket, "a") == b"second"


def test_delete_object_answers_204_also_for_what_is_not_there(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert status(s3.delete_object(Bucket=bucket, Key="a")) == 204
    assert status(s3.delete_object(Bucket=bucket, Key="a")) == 204
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket=bucket, Key="a")
    assert error_code(gone) == ("NoSuchKey", 404)
    assert gone.value.response["Error"]["Key"] == "a"


def test_delete_object_with_if_match_deletes_only_that_one(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket=bucket, Key="a", IfMatch='"00000000000000000000000000000000"')
    assert error_code(refused) == ("PreconditionFailed", 412)
    assert status(s3.delete_object(Bucket=bucket, Key="a", IfMatch=etag)) == 204
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_delete_objects_deletes_a_thousand_at_once(s3: Any, bucket: str) -> None:
    keys = [f"many/{number:04d} & <more>" for number in range(1000)]
    present = keys[::10]
    for key in present:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_object(Bucket=bucket, Key="stays", Body=b"x")
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert [entry["Key"] for entry in done["Deleted"]] == keys
    assert "Errors" not in done
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["stays"]


def test_delete_objects_in_quiet_mode_names_only_errors(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    etag = s3.put_object(Bucket=bucket, Key="b", Body=b"x")["ETag"]
    wanted = [{"Key": "a"}, {"Key": "b", "ETag": '"00000000000000000000000000000000"'}]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
    assert "Deleted" not in done
    assert [(entry["Key"], entry["Code"]) for entry in done["Errors"]] == [("b", "PreconditionFailed")]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b", "ETag": etag}]})
    assert [entry["Key"] for entry in done["Deleted"]] == ["b"]


def test_delete_objects_of_more_than_a_thousand_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key-0", Body=b"x")
    with pytest.raises(ClientError) as refused:
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"key-{number}"} for number in range(1001)]})
    assert error_code(refused) == ("MalformedXML", 400)
    assert read(s3, bucket, "key-0") == b"x"


def test_tags_are_put_read_counted_and_deleted(s3: Any, bucket: str) -> None:
    tags = [{"Key": "kind", "Value": "voice"}, {"Key": "صدا", "Value": "a b+c/d=e:f@g"}]
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": tags})
    found = s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"]
    assert sorted(found, key=lambda tag: tag["Key"]) == tags
    got = s3.get_object(Bucket=bucket, Key="a")
    got["Body"].close()
    assert got["TagCount"] == 2
    assert status(s3.delete_object_tagging(Bucket=bucket, Key="a")) == 204
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []


def test_tags_come_with_the_object_in_a_header(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="kind=voice&note=a%20b%2Bc&empty=")
    found = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"]}
    assert found == {"kind": "voice", "note": "a b+c", "empty": ""}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([{"Key": f"k{number}", "Value": ""} for number in range(11)], {"BadRequest", "InvalidTag"}),
        ([{"Key": "k" * 129, "Value": ""}], {"InvalidTag"}),
        ([{"Key": "k", "Value": "v" * 257}], {"InvalidTag"}),
        ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], {"InvalidTag"}),
    ],
)
def test_tags_beyond_s3_s_limits_are_refused(s3: Any, bucket: str, tags: list[dict[str, str]], code: set[str]) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="kept=1")
    with pytest.raises(ClientError) as refused:
        s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": tags})
    assert refused.value.response["Error"]["Code"] in code
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "kept", "Value": "1"}]


def test_get_object_attributes_of_a_plain_object(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"12345")["ETag"]
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    found = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=wanted)
    assert found["ETag"] == etag.strip('"')
    assert (found["ObjectSize"], found["StorageClass"]) == (5, "STANDARD")
    assert "ObjectParts" not in found
    only_size = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["ObjectSize"])
    assert (only_size["ObjectSize"], "ETag" in only_size) == (5, False)


def test_the_null_version_is_the_object_and_any_other_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert read(s3, bucket, "a", VersionId="null") == b"x"
    assert s3.head_object(Bucket=bucket, Key="a", VersionId="null")["ContentLength"] == 1
    for call in (s3.get_object, s3.delete_object, s3.head_object):
        with pytest.raises(ClientError) as refused:
            call(Bucket=bucket, Key="a", VersionId="3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo")
        assert status(refused.value.response) in (400, 404)
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a", "VersionId": "null"}]})
    assert [entry["Key"] for entry in done["Deleted"]] == ["a"]
    s3.put_object(Bucket=bucket, Key="b", Body=b"x")
    assert status(s3.delete_object(Bucket=bucket, Key="b", VersionId="null")) == 204
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_expected_bucket_owner_is_a_check_and_not_a_decoration(s3: Any, bucket: str) -> None:
    owner = s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ExpectedBucketOwner=owner)
    assert read(s3, bucket, "a", ExpectedBucketOwner=owner) == b"x"
    for refuse in (
        lambda: s3.put_object(Bucket=bucket, Key="a", Body=b"y", ExpectedBucketOwner="111122223333"),
        lambda: s3.get_object(Bucket=bucket, Key="a", ExpectedBucketOwner="111122223333"),
        lambda: s3.delete_object(Bucket=bucket, Key="a", ExpectedBucketOwner="111122223333"),
        lambda: s3.list_objects_v2(Bucket=bucket, ExpectedBucketOwner="111122223333"),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("AccessDenied", 403)
    assert read(s3, bucket, "a") == b"x"


def test_acls_are_answered_truly_and_private_is_accepted(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL="private")
    s3.put_object(Bucket=bucket, Key="b", Body=b"x", ACL="bucket-owner-full-control")
    acl = s3.get_object_acl(Bucket=bucket, Key="a")
    assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
    assert acl["Grants"][0]["Grantee"]["ID"] == acl["Owner"]["ID"]


def test_a_multipart_sized_file_goes_up_and_down_by_the_transfer_manager(s3: Any, bucket: str) -> None:
    body = pattern(17 * MIB + 3)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big.bin", ExtraArgs={"Metadata": {"a": "b"}})
    head = s3.head_object(Bucket=bucket, Key="big.bin")
    assert (head["ContentLength"], head["Metadata"]) == (len(body), {"a": "b"})
    assert head["ETag"].endswith('-3"')
    back = io.BytesIO()
    s3.download_fileobj(bucket, "big.bin", back)
    assert back.getvalue() == body


def test_clients_that_add_no_checksum_of_their_own_are_served_too(any_gateway: Gateway, bucket: str) -> None:
    client = s3_client(
        any_gateway, request_checksum_calculation="when_required", response_checksum_validation="when_required"
    )
    body = pattern(200_000)
    client.put_object(Bucket=bucket, Key="a", Body=body)
    assert read(client, bucket, "a") == body
    assert client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}]})["Deleted"] == [{"Key": "a"}]
    client.close()


@pytest.mark.parametrize("region", ["us-east-1", "default", "auto", "ir-thr-1", "eu-central-1"])
def test_any_region_is_accepted_in_a_signature(any_gateway: Gateway, bucket: str, region: str) -> None:
    client = s3_client(any_gateway, region=region)
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert read(client, bucket, "a") == b"x"
    client.close()
