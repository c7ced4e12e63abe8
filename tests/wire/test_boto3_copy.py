"""boto3: copies, with the source's or new metadata, under conditions, inside and across buckets and projects."""

import base64
import hashlib
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client, status
from tests.support.data import ODD_KEYS, pattern
from tests.support.gateway import Gateway

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
NO_ETAG = '"00000000000000000000000000000000"'


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, str]:
    s3.put_object(
        Bucket=bucket,
        Key="source",
        Body=b"the source",
        ContentType="text/plain",
        CacheControl="no-cache",
        Metadata={"from": "source"},
        Tagging="kind=source",
    )
    return {"Bucket": bucket, "Key": "source"}


def body_of(s3: Any, bucket: str, key: str) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
        data: bytes = body.read()
    return data


def tags_of(s3: Any, bucket: str, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def test_copy_takes_body_headers_metadata_and_tags_along(s3: Any, bucket: str, source: dict[str, str]) -> None:
    done = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert body_of(s3, bucket, "copy") == b"the source"
    assert done["ETag"] == head["ETag"] == s3.head_object(**source)["ETag"]
    assert done["LastModified"].replace(microsecond=0) == head["LastModified"]
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == (
        "text/plain",
        "no-cache",
        {"from": "source"},
    )
    assert tags_of(s3, bucket, "copy") == {"kind": "source"}


def test_copy_with_copy_ignores_what_the_request_says_of_metadata(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="COPY", Metadata={"from": "request"})
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"from": "source"}


def test_copy_with_replace_takes_all_of_it_from_the_request(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"new": "yes"},
        ContentType="image/png",
        TaggingDirective="REPLACE",
        Tagging="kind=copy",
    )
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["ContentType"], head["Metadata"], "CacheControl" in head) == ("image/png", {"new": "yes"}, False)
    assert tags_of(s3, bucket, "copy") == {"kind": "copy"}
    assert body_of(s3, bucket, "copy") == b"the source"


def test_an_object_is_copied_onto_itself_only_to_change_it(s3: Any, bucket: str, source: dict[str, str]) -> None:
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="source", CopySource=source)
    assert error_code(refused) == ("InvalidRequest", 400)
    s3.copy_object(
        Bucket=bucket, Key="source", CopySource=source, MetadataDirective="REPLACE", Metadata={"changed": "1"}
    )
    assert s3.head_object(**source)["Metadata"] == {"changed": "1"}
    assert body_of(s3, bucket, "source") == b"the source"


def test_copies_hold_to_conditions_on_the_source(s3: Any, bucket: str, source: dict[str, str]) -> None:
    etag = s3.head_object(**source)["ETag"]
    s3.copy_object(Bucket=bucket, Key="1", CopySource=source, CopySourceIfMatch=etag)
    s3.copy_object(Bucket=bucket, Key="2", CopySource=source, CopySourceIfNoneMatch=NO_ETAG)
    s3.copy_object(Bucket=bucket, Key="3", CopySource=source, CopySourceIfModifiedSince=LONG_AGO)
    s3.copy_object(Bucket=bucket, Key="4", CopySource=source, CopySourceIfUnmodifiedSince=datetime.now(UTC))
    for condition in (
        {"CopySourceIfMatch": NO_ETAG},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfUnmodifiedSince": LONG_AGO},
        {"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": LONG_AGO},
    ):
        with pytest.raises(ClientError) as refused:
            s3.copy_object(Bucket=bucket, Key="never", CopySource=source, **condition)
        assert error_code(refused) == ("PreconditionFailed", 412)
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["1", "2", "3", "4", "source"]


def test_copies_hold_to_conditions_on_the_destination(s3: Any, bucket: str, source: dict[str, str]) -> None:
    etag = s3.head_object(**source)["ETag"]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfNoneMatch="*")
    assert error_code(refused) == ("PreconditionFailed", 412)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfMatch=etag)
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfMatch=NO_ETAG)
    assert error_code(refused) == ("PreconditionFailed", 412)


@pytest.mark.parametrize("leading", ["", "/"])
def test_every_odd_key_is_a_source_with_and_without_leading_slash(s3: Any, bucket: str, leading: str) -> None:
    for number, key in enumerate(ODD_KEYS):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        s3.copy_object(Bucket=bucket, Key=f"copy-{number}", CopySource=f"{leading}{bucket}/{key}")
        assert body_of(s3, bucket, f"copy-{number}") == key.encode()


def test_a_source_may_name_the_null_version(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={**source, "VersionId": "null"})
    assert body_of(s3, bucket, "copy") == b"the source"


def test_copies_go_from_bucket_to_bucket_of_a_project(s3: Any, bucket: str) -> None:
    body = pattern(300_000)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    s3.copy_object(Bucket="demo-voice", Key=f"{bucket}/a", CopySource={"Bucket": bucket, "Key": "a"})
    assert body_of(s3, "demo-voice", f"{bucket}/a") == body


def test_nothing_is_copied_out_of_or_into_another_project(s3: Any, other_s3: Any, bucket: str) -> None:
    other_s3.put_object(Bucket="other-media", Key="secret", Body=b"of the other project")
    s3.put_object(Bucket=bucket, Key="mine", Body=b"mine")
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="stolen", CopySource={"Bucket": "other-media", "Key": "secret"})
    assert error_code(refused) == ("AccessDenied", 403)
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket="other-media", Key="planted", CopySource={"Bucket": bucket, "Key": "mine"})
    assert error_code(refused) == ("AccessDenied", 403)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["mine"]
    assert "planted" not in [entry["Key"] for entry in other_s3.list_objects_v2(Bucket="other-media")["Contents"]]


def test_a_missing_source_is_named_by_the_refusal(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "missing"})
    assert error_code(refused) == ("NoSuchKey", 404)
    assert refused.value.response["Error"]["Key"] == "missing"
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": "t-nowhere-to-be-found", "Key": "a"})
    assert error_code(refused) == ("NoSuchBucket", 404)


def test_source_expected_bucket_owner_is_checked(s3: Any, bucket: str, source: dict[str, str]) -> None:
    owner = s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ExpectedSourceBucketOwner=owner)
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="never", CopySource=source, ExpectedSourceBucketOwner="111122223333")
    assert error_code(refused) == ("AccessDenied", 403)


def test_a_copy_can_be_asked_for_another_checksum(s3: Any, bucket: str, source: dict[str, str]) -> None:
    done = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ChecksumAlgorithm="SHA256")
    expected = base64.b64encode(hashlib.sha256(b"the source").digest()).decode()
    assert done["CopyObjectResult"]["ChecksumSHA256"] == expected
    head = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == expected
    assert body_of(s3, bucket, "copy") == b"the source"


def test_the_transfer_manager_copies_what_is_large_by_parts(any_gateway: Gateway, bucket: str) -> None:
    body = pattern(11_000_000)
    with closing(s3_client(any_gateway)) as client:
        client.put_object(Bucket=bucket, Key="a", Body=body)
        small_parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
        client.copy({"Bucket": bucket, "Key": "a"}, bucket, "b", Config=small_parts)
        head = client.head_object(Bucket=bucket, Key="b")
        assert (status(head), head["ContentLength"]) == (200, len(body))
        assert head["ETag"].endswith('-3"')
        assert body_of(client, bucket, "b") == body
