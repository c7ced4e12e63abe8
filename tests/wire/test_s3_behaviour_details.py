"""Small print of S3 that clients rely on: checksums of parts, markers inside groups, forms' ACLs, copies of parts."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from urllib3.filepost import encode_multipart_formdata

from tests.support.clients import error_code, s3_client
from tests.support.plain_http import fetch
from tests.support.signed_http import SignedConnection

PART = bytes(5 << 20)


def upload(
    s3: Any, bucket: str, algorithm: str, bodies: tuple[bytes, ...] = (b"last",), **more: Any
) -> tuple[str, list[dict[str, Any]]]:
    """Begin an upload with this algorithm and store these parts; gives its id and the list for Complete."""
    uid = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm=algorithm, **more)["UploadId"]
    parts = []
    for n, body in enumerate(bodies, 1):
        put = s3.upload_part(Bucket=bucket, Key="m", UploadId=uid, PartNumber=n, Body=body, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": n, "ETag": put["ETag"], f"Checksum{algorithm}": put[f"Checksum{algorithm}"]})
    return uid, parts


def complete(s3: Any, bucket: str, uid: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    return s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=uid, MultipartUpload={"Parts": parts}, **more)


def test_a_storage_class_is_a_change(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="a", CopySource=f"{bucket}/a", StorageClass="STANDARD")


SHA1 = base64.b64encode(hashlib.sha1(b"q").digest()).decode()


@pytest.mark.parametrize("change", ["other", "two"])
def test_part_checksums_of_another_algorithm_are_not_passed_over(s3, bucket, change):
    uid, (part,) = upload(s3, bucket, "SHA256")
    listed = {**part, "ChecksumSHA1": SHA1}
    if change == "other":
        del listed["ChecksumSHA256"]
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, uid, [listed])
    assert error_code(refused)[1] == 400


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC64NVME"])
@pytest.mark.parametrize("kind", ["bogus", "other"])
def test_the_checksum_type_of_complete_is_the_upload_s(s3, bucket, algorithm, kind):
    uid, parts = upload(s3, bucket, algorithm)
    other = {"SHA256": "FULL_OBJECT", "CRC64NVME": "COMPOSITE"}[algorithm]
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, uid, parts, ChecksumType="bogus" if kind == "bogus" else other)
    assert error_code(refused) == ("InvalidRequest", 400)


@pytest.mark.parametrize("value", ["", "invalid"])
def test_a_final_checksum_that_is_none_is_invalid(s3, bucket, value):
    uid, parts = upload(s3, bucket, "SHA256")
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, uid, parts, ChecksumSHA256=value)
    assert error_code(refused) == ("InvalidRequest", 400)


def test_a_composite_checksum_of_another_number_of_parts_is_refused(s3, bucket):
    uid, parts = upload(s3, bucket, "SHA256")
    right = base64.b64encode(hashlib.sha256(hashlib.sha256(b"last").digest()).digest()).decode()
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, uid, parts, ChecksumSHA256=f"{right}-9")
    assert error_code(refused)[1] == 400


def test_without_an_algorithm_the_object_has_crc64nvme_of_the_whole(s3, bucket):
    for algorithms in (("CRC32",), ("SHA256", "CRC32")):
        uid = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
        parts = []
        for n, algorithm in enumerate(algorithms, 1):
            put = s3.upload_part(
                Bucket=bucket, Key="m", UploadId=uid, PartNumber=n, Body=PART, ChecksumAlgorithm=algorithm
            )
            parts.append({"PartNumber": n, "ETag": put["ETag"]})
        done = complete(s3, bucket, uid, parts)
        assert (done.get("ChecksumType"), "ChecksumCRC64NVME" in done) == ("FULL_OBJECT", True)


def test_a_part_that_is_read_comes_with_its_checksum(s3, bucket):
    uid, parts = upload(s3, bucket, "SHA256", (PART, b"last"))
    complete(s3, bucket, uid, parts)
    for n in (1, 2):
        head = s3.head_object(Bucket=bucket, Key="m", PartNumber=n, ChecksumMode="ENABLED")
        assert head.get("ChecksumSHA256") == parts[n - 1]["ChecksumSHA256"]


@pytest.mark.parametrize(
    ("acl", "status", "code"),
    [("public-read", 400, "AccessControlListNotSupported"), ("bogus", 400, "InvalidArgument"), ("private", 204, "")],
)
def test_the_acl_field_of_a_form_is_the_acl_header(any_gateway, bucket, acl, status, code):
    signer = s3_client(any_gateway, signature_version="s3v4")
    post = signer.generate_presigned_post(bucket, "a", Fields={"acl": acl}, Conditions=[{"acl": acl}])
    body, kind = encode_multipart_formdata([*post["fields"].items(), ("file", ("f", b"x", "text/plain"))])
    done = fetch(any_gateway, "POST", post["url"], {"Content-Type": kind}, body)
    assert (done.status, done.code) == (status, code)


def test_an_asterisk_in_a_batch_means_that_the_object_exists(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a", "ETag": "*"}, {"Key": "b", "ETag": "*"}]})
    assert [entry["Key"] for entry in done.get("Deleted", [])] == ["a"]
    assert [(entry["Key"], entry["Code"]) for entry in done["Errors"]] == [("b", "NoSuchKey")]


def test_if_none_match_is_no_condition_of_a_delete(gateway, bucket):
    with SignedConnection(gateway) as connection:
        assert connection.signed("DELETE", f"/{bucket}/a", headers={"if-none-match": "*"}).status == 501


def test_the_group_that_the_marker_is_in_is_not_given_again(s3, bucket):
    for key in ("a/x", "a/y", "b", "c/x"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    v1 = s3.list_objects(Bucket=bucket, Delimiter="/", Marker="a/x")
    versions = s3.list_object_versions(Bucket=bucket, Delimiter="/", KeyMarker="a/x")
    for page in (v1, versions):
        assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["c/"]


@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2", "list_object_versions", "list_multipart_uploads"])
def test_an_empty_encoding_is_no_encoding_s3_knows(s3, bucket, call):
    with pytest.raises(ClientError) as refused:
        getattr(s3, call)(Bucket=bucket, EncodingType="")
    assert error_code(refused) == ("InvalidArgument", 400)


def test_start_after_counts_only_without_a_token(s3, bucket):
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    token = s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
    page = s3.list_objects_v2(Bucket=bucket, StartAfter="b", ContinuationToken=token)
    assert [entry["Key"] for entry in page["Contents"]] == ["b", "c"]
    assert "StartAfter" not in page


def test_buckets_of_another_region_are_not_listed(s3, bucket):
    assert s3.list_buckets(BucketRegion="eu-west-1")["Buckets"] == []


def test_uploads_of_one_key_come_in_the_order_they_began(s3, bucket):
    began = [s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"] for _ in range(6)]
    assert [entry["UploadId"] for entry in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == began


def test_attributes_show_a_composite_checksum_without_the_number_of_parts(s3, bucket):
    uid, parts = upload(s3, bucket, "SHA256", (PART, b"last"))
    done = complete(s3, bucket, uid, parts)
    found = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["Checksum"])["Checksum"]
    assert found == {"ChecksumSHA256": done["ChecksumSHA256"].removesuffix("-2"), "ChecksumType": "COMPOSITE"}


def test_a_copy_is_not_held_to_a_date_that_is_to_come(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a", CopySourceIfModifiedSince=tomorrow)


def test_a_copy_has_the_parts_that_it_says(s3, bucket):
    uid, parts = upload(s3, bucket, "SHA256", (PART, b"last"))
    complete(s3, bucket, uid, parts)
    s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/m")
    head = s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    if head["ETag"].endswith('-2"') or head["ChecksumType"] == "COMPOSITE":
        assert s3.head_object(Bucket=bucket, Key="c", PartNumber=2)["ContentLength"] == 4
