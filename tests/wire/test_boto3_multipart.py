"""boto3: multipart uploads, from Create to Complete or Abort, with copies of parts and checksums."""

import base64
import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, status
from tests.support.data import KIB, MIB, pattern

PART_SIZE = 5 * MIB
FIRST = pattern(PART_SIZE, seed=1)
SECOND = pattern(PART_SIZE, seed=2)
LAST = pattern(1000, seed=3)


def upload_parts(s3: Any, bucket: str, key: str, upload_id: str, bodies: list[bytes]) -> list[dict[str, Any]]:
    parts = []
    for number, body in enumerate(bodies, 1):
        put = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
        parts.append(part_of(number, put))
    return parts


def part_of(number: int, answer: dict[str, Any]) -> dict[str, Any]:
    """What Complete is told of a part: its number, its ETag and the checksum that the SDK asked for."""
    checksums = {
        name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"
    }
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}


def complete(s3: Any, bucket: str, key: str, upload_id: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


def start(s3: Any, bucket: str, key: str = "big", **more: Any) -> str:
    upload_id: str = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    return upload_id


def multipart_etag(bodies: list[bytes]) -> str:
    joined = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(bodies)}"'


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as body:
        data: bytes = body.read()
    return data


def test_parts_become_one_object_with_what_create_said(s3: Any, bucket: str) -> None:
    upload_id = start(
        s3, bucket, ContentType="audio/ogg", Metadata={"a": "b"}, Tagging="kind=voice", CacheControl="no-cache"
    )
    bodies = [FIRST, SECOND, LAST]
    parts = upload_parts(s3, bucket, "big", upload_id, bodies)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    done = complete(s3, bucket, "big", upload_id, parts)
    assert (done["Bucket"], done["Key"], done["ETag"]) == (bucket, "big", multipart_etag(bodies))
    head = s3.head_object(Bucket=bucket, Key="big")
    assert (head["ContentLength"], head["ETag"]) == (2 * PART_SIZE + 1000, done["ETag"])
    assert (head["ContentType"], head["Metadata"], head["CacheControl"]) == ("audio/ogg", {"a": "b"}, "no-cache")
    assert s3.get_object_tagging(Bucket=bucket, Key="big")["TagSet"] == [{"Key": "kind", "Value": "voice"}]
    assert read(s3, bucket, "big") == b"".join(bodies)
    across = read(s3, bucket, "big", Range=f"bytes={PART_SIZE - 10}-{PART_SIZE + 9}")
    assert across == FIRST[-10:] + SECOND[:10]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_the_location_of_complete_is_an_address_of_the_object(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket, "dir/a b.jpg")
    parts = upload_parts(s3, bucket, "dir/a b.jpg", upload_id, [LAST])
    done = complete(s3, bucket, "dir/a b.jpg", upload_id, parts)
    assert done["Location"] == f"{s3.meta.endpoint_url}/{bucket}/dir/a%20b.jpg"


def test_parts_may_come_in_any_order_and_twice(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    last = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=9, Body=LAST)
    s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=2, Body=SECOND)
    first = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=2, Body=FIRST)
    parts = [part_of(2, first), part_of(9, last)]
    complete(s3, bucket, "big", upload_id, parts)
    assert read(s3, bucket, "big") == FIRST + LAST


def test_complete_takes_only_the_parts_it_names(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    parts = upload_parts(s3, bucket, "big", upload_id, [FIRST, SECOND, LAST])
    complete(s3, bucket, "big", upload_id, [parts[0], parts[2]])
    assert read(s3, bucket, "big") == FIRST + LAST


def test_complete_may_be_repeated(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    parts = upload_parts(s3, bucket, "big", upload_id, [LAST])
    once = complete(s3, bucket, "big", upload_id, parts)
    again = complete(s3, bucket, "big", upload_id, parts)
    assert again["ETag"] == once["ETag"]


def test_upload_part_copy_takes_ranges_of_objects(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source é+%", Body=FIRST + LAST)
    source = {"Bucket": bucket, "Key": "source é+%"}
    upload_id = start(s3, bucket)
    common = {"Bucket": bucket, "Key": "big", "UploadId": upload_id, "CopySource": source}
    one = s3.upload_part_copy(PartNumber=1, CopySourceRange=f"bytes=0-{PART_SIZE - 1}", **common)["CopyPartResult"]
    two = s3.upload_part_copy(PartNumber=2, **common)["CopyPartResult"]
    parts = [part_of(1, one), part_of(2, two)]
    assert one["ETag"] == f'"{hashlib.md5(FIRST).hexdigest()}"'
    complete(s3, bucket, "big", upload_id, parts)
    assert read(s3, bucket, "big") == FIRST + FIRST + LAST


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=-5", "bytes=5-1", "bytes=0-99999999", "0-5", "bytes=0-1,2-3"])
def test_upload_part_copy_refuses_ranges_that_are_not_wholly_there(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=LAST)
    upload_id = start(s3, bucket)
    with pytest.raises(ClientError) as refused:
        s3.upload_part_copy(
            Bucket=bucket,
            Key="big",
            UploadId=upload_id,
            PartNumber=1,
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceRange=wanted,
        )
    assert error_code(refused)[0] in ("InvalidArgument", "InvalidRange")
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="big", UploadId=upload_id)


def test_upload_part_copy_holds_to_conditions_on_the_source(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="source", Body=LAST)["ETag"]
    upload_id = start(s3, bucket)
    common = {"Bucket": bucket, "Key": "big", "UploadId": upload_id, "PartNumber": 1}
    source = {"Bucket": bucket, "Key": "source"}
    s3.upload_part_copy(CopySource=source, CopySourceIfMatch=etag, **common)
    with pytest.raises(ClientError) as refused:
        s3.upload_part_copy(CopySource=source, CopySourceIfNoneMatch=etag, **common)
    assert error_code(refused) == ("PreconditionFailed", 412)


def test_nothing_of_another_project_becomes_a_part(s3: Any, other_s3: Any, bucket: str) -> None:
    other_s3.put_object(Bucket="other-media", Key="secret", Body=LAST)
    upload_id = start(s3, bucket)
    with pytest.raises(ClientError) as refused:
        s3.upload_part_copy(
            Bucket=bucket,
            Key="big",
            UploadId=upload_id,
            PartNumber=1,
            CopySource={"Bucket": "other-media", "Key": "secret"},
        )
    assert error_code(refused) == ("AccessDenied", 403)


def test_an_upload_is_not_reached_from_another_key_or_project(s3: Any, other_s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    with pytest.raises(ClientError) as refused:
        s3.upload_part(Bucket=bucket, Key="another", UploadId=upload_id, PartNumber=1, Body=b"x")
    assert error_code(refused) == ("NoSuchUpload", 404)
    with pytest.raises(ClientError) as refused:
        other_s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=1, Body=b"x")
    assert error_code(refused) == ("AccessDenied", 403)
    with pytest.raises(ClientError) as refused:
        other_s3.upload_part(Bucket="other-media", Key="big", UploadId=upload_id, PartNumber=1, Body=b"x")
    assert error_code(refused) == ("NoSuchUpload", 404)


def test_abort_removes_the_upload_and_its_parts(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    parts = upload_parts(s3, bucket, "big", upload_id, [LAST])
    assert status(s3.abort_multipart_upload(Bucket=bucket, Key="big", UploadId=upload_id)) == 204
    for refuse in (
        lambda: s3.list_parts(Bucket=bucket, Key="big", UploadId=upload_id),
        lambda: complete(s3, bucket, "big", upload_id, parts),
        lambda: s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=1, Body=b"x"),
        lambda: s3.abort_multipart_upload(Bucket=bucket, Key="big", UploadId="bm90IGFuIHVwbG9hZA"),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("NoSuchUpload", 404)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_small_part_that_is_not_the_last_is_entity_too_small(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    parts = upload_parts(s3, bucket, "big", upload_id, [LAST, LAST])
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, "big", upload_id, parts)
    assert error_code(refused) == ("EntityTooSmall", 400)
    complete(s3, bucket, "big", upload_id, parts[:1])
    assert read(s3, bucket, "big") == LAST


def test_complete_refuses_lists_that_do_not_fit(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    first, second = upload_parts(s3, bucket, "big", upload_id, [FIRST, LAST])
    wrong = {**first, "ETag": '"00000000000000000000000000000000"'}
    missing = {**first, "PartNumber": 7}
    for parts, code in (
        ([second, first], "InvalidPartOrder"),
        ([first, first], "InvalidPartOrder"),
        ([wrong, second], "InvalidPart"),
        ([first, missing], "InvalidPart"),
        ([], "MalformedXML"),
    ):
        with pytest.raises(ClientError) as refused:
            complete(s3, bucket, "big", upload_id, parts)
        assert error_code(refused) == (code, 400)
    complete(s3, bucket, "big", upload_id, [first, second])


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_part_numbers_are_between_1_and_10000(s3: Any, bucket: str, number: int) -> None:
    upload_id = start(s3, bucket)
    with pytest.raises(ClientError) as refused:
        s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=number, Body=b"x")
    assert error_code(refused) == ("InvalidArgument", 400)


def test_the_last_part_number_is_10000(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    put = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=10_000, Body=b"x")
    complete(s3, bucket, "big", upload_id, [part_of(10_000, put)])
    assert read(s3, bucket, "big") == b"x"


def test_list_parts_pages_to_the_end(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    for number in (1, 3, 5, 7, 9):
        s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=number, Body=b"x" * number)
    marker, found = 0, []
    while True:
        page = s3.list_parts(Bucket=bucket, Key="big", UploadId=upload_id, MaxParts=2, PartNumberMarker=marker)
        found += [(part["PartNumber"], part["Size"]) for part in page["Parts"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert found == [(number, number) for number in (1, 3, 5, 7, 9)]
    assert (page["Key"], page["UploadId"], page["StorageClass"]) == ("big", upload_id, "STANDARD")
    assert "Initiator" in page


def test_list_multipart_uploads_pages_groups_and_filters(s3: Any, bucket: str) -> None:
    keys = ["a/1", "a/1", "a/2", "b", "c/é &", "d+e"]
    expected = sorted((key, start(s3, bucket, key)) for key in keys)
    found: list[tuple[str, str]] = []
    markers: dict[str, str] = {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **markers)
        assert len(page["Uploads"]) <= 2
        found += [(upload["Key"], upload["UploadId"]) for upload in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert sorted(found) == expected
    assert [key for key, _ in found] == sorted(keys)
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["a/", "c/"]
    assert [upload["Key"] for upload in page["Uploads"]] == ["b", "d+e"]
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="a/")
    assert [upload["Key"] for upload in page["Uploads"]] == ["a/1", "a/1", "a/2"]


def test_a_part_is_read_by_its_number(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    parts = upload_parts(s3, bucket, "big", upload_id, [FIRST, LAST])
    complete(s3, bucket, "big", upload_id, parts)
    got = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    with got["Body"] as body:
        assert body.read() == LAST
    assert (status(got), got["PartsCount"]) == (206, 2)
    assert got["ContentRange"] == f"bytes {PART_SIZE}-{PART_SIZE + 999}/{PART_SIZE + 1000}"
    head = s3.head_object(Bucket=bucket, Key="big", PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (PART_SIZE, 2)
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="big", PartNumber=3)
    assert error_code(refused) == ("InvalidPartNumber", 416)
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    assert read(s3, bucket, "plain", PartNumber=1) == b"x"


def test_composite_checksums_are_made_of_those_of_the_parts(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket, ChecksumAlgorithm="SHA256")
    parts = []
    for number, body in enumerate((FIRST, LAST), 1):
        put = s3.upload_part(
            Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        assert put["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        parts.append(part_of(number, put))
    listed = s3.list_parts(Bucket=bucket, Key="big", UploadId=upload_id)
    assert [part["ChecksumSHA256"] for part in listed["Parts"]] == [part["ChecksumSHA256"] for part in parts]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ("SHA256", "COMPOSITE")
    done = complete(s3, bucket, "big", upload_id, parts)
    digests = hashlib.sha256(FIRST).digest() + hashlib.sha256(LAST).digest()
    expected = base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (expected, "COMPOSITE")
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (expected, "COMPOSITE")
    wanted = ["ObjectParts", "Checksum", "ETag"]
    found = s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=wanted)
    assert found["ObjectParts"]["TotalPartsCount"] == 2
    sizes = [(part["PartNumber"], part["Size"], part["ChecksumSHA256"]) for part in found["ObjectParts"]["Parts"]]
    assert sizes == [(1, PART_SIZE, parts[0]["ChecksumSHA256"]), (2, 1000, parts[1]["ChecksumSHA256"])]
    paged = s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectParts"], MaxParts=1)
    assert (paged["ObjectParts"]["IsTruncated"], len(paged["ObjectParts"]["Parts"])) == (True, 1)
    rest = s3.get_object_attributes(
        Bucket=bucket,
        Key="big",
        ObjectAttributes=["ObjectParts"],
        PartNumberMarker=paged["ObjectParts"]["NextPartNumberMarker"],
    )
    assert [part["PartNumber"] for part in rest["ObjectParts"]["Parts"]] == [2]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_full_object_checksums_are_those_of_the_whole(s3: Any, bucket: str, algorithm: str) -> None:
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=FIRST + LAST, ChecksumAlgorithm=algorithm)
    expected = whole[f"Checksum{algorithm}"]
    upload_id = start(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    parts = []
    for number, body in enumerate((FIRST, LAST), 1):
        put = s3.upload_part(
            Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm
        )
        parts.append(part_of(number, put))
    wrong = {f"Checksum{algorithm}": whole[f"Checksum{algorithm}"][::-1].replace("=", "A")[: len(expected)]}
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, "big", upload_id, parts, ChecksumType="FULL_OBJECT", **wrong)
    assert error_code(refused)[1] == 400
    right = {f"Checksum{algorithm}": expected}
    done = complete(s3, bucket, "big", upload_id, parts, ChecksumType="FULL_OBJECT", **right)
    assert (done[f"Checksum{algorithm}"], done["ChecksumType"]) == (expected, "FULL_OBJECT")
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (expected, "FULL_OBJECT")
    assert read(s3, bucket, "big", ChecksumMode="ENABLED") == FIRST + LAST


def test_a_part_with_a_wrong_checksum_is_refused_and_not_kept(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    wrong = base64.b64encode(bytes(16)).decode()
    with pytest.raises(ClientError) as refused:
        s3.upload_part(
            Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=1, Body=pattern(64 * KIB), ContentMD5=wrong
        )
    assert error_code(refused) == ("BadDigest", 400)
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="big", UploadId=upload_id)


def test_complete_holds_to_if_none_match_and_if_match(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="big", Body=b"there")["ETag"]
    upload_id = start(s3, bucket)
    parts = upload_parts(s3, bucket, "big", upload_id, [LAST])
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, "big", upload_id, parts, IfNoneMatch="*")
    assert error_code(refused) == ("PreconditionFailed", 412)
    assert read(s3, bucket, "big") == b"there"
    complete(s3, bucket, "big", upload_id, parts, IfMatch=etag)
    assert read(s3, bucket, "big") == LAST


def test_complete_checks_the_size_that_the_client_expects(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    parts = upload_parts(s3, bucket, "big", upload_id, [LAST])
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, "big", upload_id, parts, MpuObjectSize=999)
    assert error_code(refused)[1] == 400
    complete(s3, bucket, "big", upload_id, parts, MpuObjectSize=1000)


def test_a_bucket_with_an_open_upload_can_be_emptied_and_deleted(s3: Any, bucket: str) -> None:
    upload_id = start(s3, bucket)
    upload_parts(s3, bucket, "big", upload_id, [LAST])
    s3.abort_multipart_upload(Bucket=bucket, Key="big", UploadId=upload_id)
    assert status(s3.delete_bucket(Bucket=bucket)) == 204
