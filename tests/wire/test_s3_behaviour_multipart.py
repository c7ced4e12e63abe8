"""Multipart uploads at their corners: lists, checksums of both kinds, parts read by number, copies, as S3 answers them."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from awscrt.checksums import crc32, crc64nvme  # type: ignore[import-untyped]
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client, status
from tests.support.data import MIB, pattern
from tests.support.gateway import Gateway
from tests.support.plain_http import Response
from tests.support.signed_http import SignedConnection

FIRST = pattern(5 * MIB, seed=7)
LAST = b"the last part"
NOWHERE = '"00000000000000000000000000000000"'
Parts = list[dict[str, Any]]


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Iterator[Any]:
    """A client that adds no checksum of its own."""
    config: dict[str, Any] = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    with closing(s3_client(gateway, **config)) as client:
        yield client


@pytest.fixture
def signed(gateway: Gateway) -> Iterator[SignedConnection]:
    with SignedConnection(gateway) as connection:
        yield connection


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


DIGESTS = {
    "CRC32": lambda body: crc32(body).to_bytes(4, "big"),
    "CRC64NVME": lambda body: crc64nvme(body).to_bytes(8, "big"),
    "SHA1": lambda body: hashlib.sha1(body).digest(),
    "SHA256": lambda body: hashlib.sha256(body).digest(),
}


def upload(
    s3: Any, bucket: str, *bodies: bytes, key: str = "big", algorithm: str | None = None, **more: Any
) -> tuple[str, Parts]:
    """An upload that is ready to be completed: its id and its parts."""
    named = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **named, **more)["UploadId"]
    parts: Parts = []
    for number, body in enumerate(bodies, 1):
        put = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body, **named)
        sums = {} if algorithm is None else {f"Checksum{algorithm}": put[f"Checksum{algorithm}"]}
        parts.append({"PartNumber": number, "ETag": put["ETag"], **sums})
    return upload_id, parts


def complete(s3: Any, bucket: str, upload_id: str, parts: Parts, key: str = "big", **more: Any) -> Any:
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


def read(s3: Any, bucket: str, key: str = "big", **more: Any) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as body:
        return body.read()


# --- begin and parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "asked", "kind"),
    [
        ("CRC32", None, "COMPOSITE"),
        ("CRC32C", None, "COMPOSITE"),
        ("CRC64NVME", None, "FULL_OBJECT"),
        ("SHA1", None, "COMPOSITE"),
        ("SHA256", "COMPOSITE", "COMPOSITE"),
        ("crc32", "full_object", "FULL_OBJECT"),
        ("crc32C", "Composite", "COMPOSITE"),
    ],
)
def test_create_tells_the_algorithm_and_type_it_took(
    s3: Any, bucket: str, algorithm: str, asked: str | None, kind: str
) -> None:
    more = {} if asked is None else {"ChecksumType": asked}
    made = s3.create_multipart_upload(Bucket=bucket, Key="big", ChecksumAlgorithm=algorithm, **more)
    assert (made["ChecksumAlgorithm"], made["ChecksumType"]) == (algorithm.upper(), kind)
    (listed,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm.upper(), kind)


@pytest.mark.parametrize(
    "asked",
    [
        {"ChecksumAlgorithm": "ADLER32"},
        {"ChecksumType": "COMPOSITE"},
        {"ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC32", "ChecksumType": "HALF_OBJECT"},
        {"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
    ],
    ids=str,
)
def test_create_refuses_checksums_that_cannot_be(s3: Any, bucket: str, asked: dict[str, str]) -> None:
    with pytest.raises(ClientError) as refused:
        s3.create_multipart_upload(Bucket=bucket, Key="big", **asked)
    assert error_code(refused) == ("InvalidRequest", 400)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_create_checks_the_key_and_the_metadata(s3: Any, bucket: str) -> None:
    for asked, code in (
        ({"Key": "k" * 1025}, "KeyTooLongError"),
        ({"Key": "a", "Metadata": {"k": "v" * 2048}}, "MetadataTooLarge"),
        ({"Key": "a", "Tagging": "aws:a=1"}, "InvalidTag"),
        ({"Key": "a", "StorageClass": "GLACIER"}, "InvalidStorageClass"),
    ):
        with pytest.raises(ClientError) as refused:
            s3.create_multipart_upload(Bucket=bucket, **asked)
        assert error_code(refused) == (code, 400)


def test_a_part_keeps_to_the_algorithm_of_its_upload(s3: Any, bucket: str) -> None:
    upload_id, _ = upload(s3, bucket, algorithm="CRC32")
    with pytest.raises(ClientError) as refused:
        s3.upload_part(
            Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=1, Body=LAST, ChecksumAlgorithm="SHA256"
        )
    assert error_code(refused) == ("InvalidRequest", 400)
    assert "expected checksum Type: crc32" in refused.value.response["Error"]["Message"]
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="big", UploadId=upload_id)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC64NVME"])
def test_a_part_without_a_checksum_gets_that_of_a_full_object_upload(s3: Any, bucket: str, algorithm: str) -> None:
    upload_id, _ = upload(s3, bucket, algorithm=algorithm, ChecksumType="FULL_OBJECT")
    put = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=1, Body=LAST)
    assert put[f"Checksum{algorithm}"] == base64_of(DIGESTS[algorithm](LAST))


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_a_part_that_is_not_what_its_checksum_says_is_not_kept(s3: Any, bucket: str, algorithm: str) -> None:
    upload_id, _ = upload(s3, bucket, algorithm=algorithm)
    wrong = {f"Checksum{algorithm}": base64_of(DIGESTS[algorithm](b"another part"))}
    with pytest.raises(ClientError) as refused:
        s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=1, Body=LAST, **wrong)
    assert error_code(refused) == ("BadDigest", 400)
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="big", UploadId=upload_id)


@pytest.mark.parametrize("number", ["", "x", "1.0", "+1", "0", "10001", "-1", "9" * 30])
def test_a_part_number_is_a_number(s3: Any, bucket: str, signed: SignedConnection, number: str) -> None:
    upload_id, _ = upload(s3, bucket)
    query = [("partNumber", number), ("uploadId", upload_id)]
    refused = signed.signed("PUT", f"/{bucket}/big", query=query, body=LAST)
    assert (refused.status, refused.code) == (400, "InvalidArgument")


def test_half_an_address_of_a_part_never_becomes_an_object(s3: Any, bucket: str, signed: SignedConnection) -> None:
    upload_id, _ = upload(s3, bucket)
    for query in ([("uploadId", upload_id)], [("partNumber", "1")]):
        refused = signed.signed("PUT", f"/{bucket}/big", query=query, body=LAST)
        assert (refused.status, refused.code) == (400, "InvalidArgument")
    nobody_s = signed.signed("PUT", f"/{bucket}/big", query=[("partNumber", "1"), ("uploadId", "")], body=LAST)
    assert (nobody_s.status, nobody_s.code) == (404, "NoSuchUpload")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


# --- complete -----------------------------------------------------------------------------------------------------


def complete_raw(signed: SignedConnection, bucket: str, upload_id: str, document: str) -> Response:
    return signed.signed("POST", f"/{bucket}/big", query=[("uploadId", upload_id)], body=document.encode())


def part_xml(number: object, etag: str) -> str:
    return f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"


@pytest.mark.parametrize("before", ['"', "&quot;", ""])
@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_complete_takes_etags_in_any_dress(
    s3: Any, bucket: str, signed: SignedConnection, before: str, space: str
) -> None:
    upload_id, parts = upload(s3, bucket, LAST)
    etag = before + parts[0]["ETag"].strip('"') + before
    root = "CompleteMultipartUpload"
    done = complete_raw(signed, bucket, upload_id, f"<{root}{space}>{part_xml(1, etag)}</{root}>")
    assert (done.status, done.element("Key")) == (200, "big")
    assert done.element("ETag") == f'"{hashlib.md5(hashlib.md5(LAST).digest()).hexdigest()}-1"'


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "MalformedXML"),
        ("nonsense", "MalformedXML"),
        ("<CompleteMultipartUpload/>", "MalformedXML"),
        ("<CompleteMultipartUpload><Part/></CompleteMultipartUpload>", "MalformedXML"),
        (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
            "MalformedXML",
        ),
        (f"<CompleteMultipartUpload>{part_xml(0, 'x')}</CompleteMultipartUpload>", "InvalidArgument"),
        (f"<CompleteMultipartUpload>{part_xml(10_001, 'x')}</CompleteMultipartUpload>", "InvalidArgument"),
        (f"<CompleteMultipartUpload>{part_xml(1, '')}</CompleteMultipartUpload>", "MalformedXML"),
        (f"<CompleteMultipartUpload>{part_xml(1, 'x')}</CompleteMultipartUpload>", "InvalidPart"),
        (f"<CompleteMultipartUpload>{part_xml(5, 'x')}</CompleteMultipartUpload>", "InvalidPart"),
    ],
)
def test_complete_refuses_a_list_that_is_none_and_leaves_the_upload_open(
    s3: Any, bucket: str, signed: SignedConnection, document: str, code: str
) -> None:
    upload_id, parts = upload(s3, bucket, LAST)
    refused = complete_raw(signed, bucket, upload_id, document)
    assert (refused.status, refused.code) == (400, code)
    complete(s3, bucket, upload_id, parts)
    assert read(s3, bucket) == LAST


def test_nothing_more_can_be_done_with_an_upload_that_is_complete(s3: Any, bucket: str) -> None:
    upload_id, parts = upload(s3, bucket, LAST)
    complete(s3, bucket, upload_id, parts)
    there = {"Bucket": bucket, "Key": "big", "UploadId": upload_id}
    for refuse in (
        lambda: s3.list_parts(**there),
        lambda: s3.abort_multipart_upload(**there),
        lambda: s3.upload_part(PartNumber=2, Body=b"late", **there),
        lambda: s3.upload_part_copy(PartNumber=2, CopySource=f"{bucket}/big", **there),
        lambda: complete(s3, bucket, upload_id, [{"PartNumber": 1, "ETag": NOWHERE}]),
    ):
        with pytest.raises(ClientError) as refused:
            refuse()
        assert error_code(refused) == ("NoSuchUpload", 404)
    assert read(s3, bucket) == LAST


def test_a_late_repetition_of_complete_brings_nothing_old_back(s3: Any, bucket: str) -> None:
    upload_id, parts = upload(s3, bucket, LAST)
    once = complete(s3, bucket, upload_id, parts)
    s3.put_object(Bucket=bucket, Key="big", Body=b"newer")
    assert complete(s3, bucket, upload_id, parts)["ETag"] == once["ETag"]
    assert read(s3, bucket) == b"newer"


def test_the_old_object_is_read_until_complete(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="big", Body=b"old", Metadata={"age": "old"})
    upload_id, parts = upload(s3, bucket, LAST, Metadata={"age": "new"})
    assert (read(s3, bucket), s3.head_object(Bucket=bucket, Key="big")["Metadata"]) == (b"old", {"age": "old"})
    complete(s3, bucket, upload_id, parts)
    assert (read(s3, bucket), s3.head_object(Bucket=bucket, Key="big")["Metadata"]) == (LAST, {"age": "new"})


def test_a_part_may_be_empty_where_it_is_the_last(s3: Any, bucket: str) -> None:
    upload_id, parts = upload(s3, bucket, b"")
    complete(s3, bucket, upload_id, parts)
    assert s3.head_object(Bucket=bucket, Key="big")["ContentLength"] == 0
    assert read(s3, bucket, PartNumber=1) == b""


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"IfMatch": NOWHERE}, ("PreconditionFailed", 412)),
        ({"IfNoneMatch": "*"}, ("PreconditionFailed", 412)),
        ({"IfNoneMatch": NOWHERE}, ("NotImplemented", 501)),
        ({"IfMatch": NOWHERE, "IfNoneMatch": "*"}, ("NotImplemented", 501)),
    ],
    ids=str,
)
def test_a_condition_that_fails_leaves_object_and_upload_alone(
    s3: Any, bucket: str, conditions: dict[str, str], expected: tuple[str, int]
) -> None:
    etag = s3.put_object(Bucket=bucket, Key="big", Body=b"there")["ETag"]
    upload_id, parts = upload(s3, bucket, LAST)
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, upload_id, parts, **conditions)
    assert (error_code(refused), read(s3, bucket)) == (expected, b"there")
    complete(s3, bucket, upload_id, parts, IfMatch=etag.strip('"'))
    assert read(s3, bucket) == LAST


def test_if_match_of_a_complete_wants_an_object(s3: Any, bucket: str) -> None:
    upload_id, parts = upload(s3, bucket, LAST)
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, upload_id, parts, IfMatch=NOWHERE)
    assert error_code(refused) == ("NoSuchKey", 404)
    complete(s3, bucket, upload_id, parts, IfNoneMatch="*")


@pytest.mark.parametrize("size", ["-1", "x", "", "12", "14", "9" * 30])
def test_a_size_that_is_not_the_object_s_is_refused(s3: Any, bucket: str, signed: SignedConnection, size: str) -> None:
    upload_id, parts = upload(s3, bucket, LAST)
    document = f"<CompleteMultipartUpload>{part_xml(1, parts[0]['ETag'])}</CompleteMultipartUpload>".encode()
    query, headers = [("uploadId", upload_id)], {"x-amz-mp-object-size": size}
    refused = signed.signed("POST", f"/{bucket}/big", query=query, headers=headers, body=document)
    assert refused.status == 400
    right = {"x-amz-mp-object-size": str(len(LAST))}
    assert signed.signed("POST", f"/{bucket}/big", query=query, headers=right, body=document).status == 200


# --- checksums of the whole ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_composite_checksum_may_be_claimed_and_is_verified(s3: Any, bucket: str, algorithm: str) -> None:
    digest, name = DIGESTS[algorithm], f"Checksum{algorithm}"
    upload_id, parts = upload(s3, bucket, FIRST, LAST, algorithm=algorithm)
    for wrong in (parts[0][name], base64_of(digest(FIRST + LAST)), f"{base64_of(digest(b'x'))}-2"):
        with pytest.raises(ClientError) as refused:
            complete(s3, bucket, upload_id, parts, **{name: wrong})
        assert error_code(refused) == ("BadDigest", 400)
    right = f"{base64_of(digest(digest(FIRST) + digest(LAST)))}-2"
    done = complete(s3, bucket, upload_id, parts, **{name: right})
    assert (done[name], done["ChecksumType"]) == (right, "COMPOSITE")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC64NVME"])
def test_a_checksum_of_the_whole_may_be_claimed_and_is_verified(s3: Any, bucket: str, algorithm: str) -> None:
    name = f"Checksum{algorithm}"
    upload_id, parts = upload(s3, bucket, FIRST, LAST, algorithm=algorithm, ChecksumType="FULL_OBJECT")
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, upload_id, parts, **{name: parts[0][name]})
    assert error_code(refused) == ("BadDigest", 400)
    right = base64_of(DIGESTS[algorithm](FIRST + LAST))
    assert complete(s3, bucket, upload_id, parts, **{name: right})[name] == right


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_the_checksums_listed_for_parts_must_be_theirs(s3: Any, bucket: str, algorithm: str) -> None:
    upload_id, parts = upload(s3, bucket, LAST, algorithm=algorithm)
    wrong = {**parts[0], f"Checksum{algorithm}": base64_of(DIGESTS[algorithm](b"another part"))}
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, upload_id, [wrong])
    assert error_code(refused) == ("InvalidPart", 400)
    complete(s3, bucket, upload_id, parts)


def test_an_upload_without_checksums_has_crc64nvme_of_the_whole(s3: Any, bucket: str) -> None:
    upload_id, parts = upload(s3, bucket, FIRST, LAST)
    done = complete(s3, bucket, upload_id, parts)
    expected = base64_of(DIGESTS["CRC64NVME"](FIRST + LAST))
    assert (done["ChecksumCRC64NVME"], done["ChecksumType"]) == (expected, "FULL_OBJECT")
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == expected


# --- what was uploaded in parts -----------------------------------------------------------------------------------


@pytest.fixture
def in_two_parts(s3: Any, bucket: str) -> str:
    upload_id, parts = upload(s3, bucket, FIRST, LAST, algorithm="SHA256")
    return complete(s3, bucket, upload_id, parts)["ETag"]


def test_parts_are_read_by_number_and_never_beside_a_range(
    s3: Any, bucket: str, in_two_parts: str, signed: SignedConnection
) -> None:
    total = len(FIRST) + len(LAST)
    for call in (s3.get_object, s3.head_object):
        for number, size, start in ((1, len(FIRST), 0), (2, len(LAST), len(FIRST))):
            got = call(Bucket=bucket, Key="big", PartNumber=number)
            assert (status(got), got["PartsCount"], got["ETag"]) == (206, 2, in_two_parts)
            assert (got["ContentLength"], got["ContentRange"]) == (size, f"bytes {start}-{start + size - 1}/{total}")
            if "Body" in got:
                got["Body"].close()
    both = signed.signed("GET", f"/{bucket}/big", query=[("partNumber", "1")], headers={"range": "bytes=0-1"})
    assert (both.status, both.code) == (400, "InvalidRequest")
    for text in ("3", "10000"):
        beyond = signed.signed("GET", f"/{bucket}/big", query=[("partNumber", text)])
        assert (beyond.status, beyond.code) == (416, "InvalidPartNumber")
    for text in ("0", "-1", "x", "", "10001"):
        invalid = signed.signed("GET", f"/{bucket}/big", query=[("partNumber", text)])
        assert (invalid.status, invalid.code) == (400, "InvalidArgument")


def test_an_object_in_one_piece_has_one_part(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="plain", Body=LAST)
    got = s3.get_object(Bucket=bucket, Key="plain", PartNumber=1)
    with got["Body"] as body:
        assert (body.read(), "PartsCount" in got) == (LAST, False)
    for call in (s3.get_object, s3.head_object):
        with pytest.raises(ClientError) as refused:
            call(Bucket=bucket, Key="plain", PartNumber=2)
        assert status(refused.value.response) == 416


def test_attributes_page_through_the_parts(s3: Any, bucket: str, in_two_parts: str) -> None:
    asked = {"Bucket": bucket, "Key": "big", "ObjectAttributes": ["ObjectParts", "ETag", "ObjectSize"]}
    found = s3.get_object_attributes(**asked)
    assert (found["ETag"], found["ObjectSize"]) == (in_two_parts.strip('"'), len(FIRST) + len(LAST))
    for more, numbers, truncated in (
        ({}, [1, 2], False),
        ({"MaxParts": 1}, [1], True),
        ({"MaxParts": 1, "PartNumberMarker": 1}, [2], False),
        ({"PartNumberMarker": 1}, [2], False),
        ({"PartNumberMarker": 2}, [], False),
        ({"PartNumberMarker": 9}, [], False),
        ({"MaxParts": 0}, [], False),
    ):
        page = s3.get_object_attributes(**asked, **more)["ObjectParts"]
        assert [part["PartNumber"] for part in page.get("Parts", [])] == numbers
        assert (page["IsTruncated"], page["TotalPartsCount"]) == (truncated, 2)
    with pytest.raises(ClientError) as refused:
        s3.get_object_attributes(**asked, MaxParts=-1)
    assert error_code(refused) == ("InvalidArgument", 400)


@pytest.mark.parametrize("number", ["-1", "x", "1.0", "2147483648"])
@pytest.mark.parametrize("name", ["max-parts", "part-number-marker"])
def test_list_parts_takes_numbers_only(s3: Any, bucket: str, signed: SignedConnection, name: str, number: str) -> None:
    upload_id, _ = upload(s3, bucket)
    refused = signed.signed("GET", f"/{bucket}/big", query=[("uploadId", upload_id), (name, number)])
    assert (refused.status, refused.code, refused.element("ArgumentName")) == (400, "InvalidArgument", name)


# --- copies as parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["?versionId", "?versionId=null", "a?b=c", " ", "_", "a%20b", "a+b", "%2F", "é/ü"])
def test_a_part_is_copied_from_a_key_of_any_name(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode() * 10)
    upload_id, _ = upload(s3, bucket)
    source = {"Bucket": bucket, "Key": key}
    there = {"Bucket": bucket, "Key": "big", "UploadId": upload_id, "PartNumber": 1}
    copied = s3.upload_part_copy(CopySource=source, **there)["CopyPartResult"]
    complete(s3, bucket, upload_id, [{"PartNumber": 1, "ETag": copied["ETag"]}])
    assert read(s3, bucket) == key.encode() * 10


def test_copied_parts_carry_the_upload_s_checksum(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=FIRST + LAST)
    upload_id, _ = upload(s3, bucket, algorithm="SHA256")
    parts: Parts = []
    for number, (start, end) in enumerate(((0, len(FIRST) - 1), (len(FIRST), len(FIRST) + len(LAST) - 1)), 1):
        copied = s3.upload_part_copy(
            Bucket=bucket,
            Key="big",
            UploadId=upload_id,
            PartNumber=number,
            CopySource=f"{bucket}/source",
            CopySourceRange=f"bytes={start}-{end}",
        )["CopyPartResult"]
        assert copied["ChecksumSHA256"] == base64_of(hashlib.sha256((FIRST + LAST)[start : end + 1]).digest())
        parts.append({"PartNumber": number, "ETag": copied["ETag"], "ChecksumSHA256": copied["ChecksumSHA256"]})
    complete(s3, bucket, upload_id, parts)
    assert read(s3, bucket) == FIRST + LAST


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{bucket}/missing", (404, "NoSuchKey")),
        ("t-never-there/a", (404, "NoSuchBucket")),
        ("other-media/a", (403, "AccessDenied")),
        ("{bucket}", (400, "InvalidArgument")),
        ("{bucket}/", (400, "InvalidArgument")),
        ("", (400, "InvalidArgument")),
        ("/", (400, "InvalidArgument")),
        ("{bucket}/%ZZ", (400, "InvalidArgument")),
        ("{bucket}/source?versionId=1", (400, "InvalidArgument")),
        ("{bucket}/source?versionId=null", (200, "")),
        ("/{bucket}/source", (200, "")),
        ("{bucket}%2Fsource", (200, "")),
    ],
)
def test_the_source_of_a_part_is_read_strictly(
    s3: Any, bucket: str, signed: SignedConnection, source: str, expected: tuple[int, str]
) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=LAST)
    upload_id, _ = upload(s3, bucket)
    query = [("partNumber", "1"), ("uploadId", upload_id)]
    headers = {"x-amz-copy-source": source.format(bucket=bucket)}
    answer = signed.signed("PUT", f"/{bucket}/big", query=query, headers=headers)
    assert (answer.status, answer.code) == expected


def test_an_empty_source_is_a_part_without_a_range(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    upload_id, _ = upload(s3, bucket)
    there = {"Bucket": bucket, "Key": "big", "UploadId": upload_id, "PartNumber": 1, "CopySource": f"{bucket}/empty"}
    with pytest.raises(ClientError) as refused:
        s3.upload_part_copy(CopySourceRange="bytes=0-0", **there)
    assert error_code(refused) == ("InvalidArgument", 400)
    assert s3.upload_part_copy(**there)["CopyPartResult"]["ETag"] == f'"{hashlib.md5(b"").hexdigest()}"'
