"""Objects at their corners: metadata, headers, conditions, ranges, digests and versions, as S3 answers them."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clients import error_code, s3_client
from tests.support.gateway import Gateway
from tests.support.plain_http import Response
from tests.support.raw_http import Headers, Request, ask
from tests.support.signed_http import SignedConnection, sign_request

BODY = b"eleven long"
NOWHERE = '"00000000000000000000000000000000"'


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Iterator[Any]:
    with closing(s3_client(gateway)) as client:
        yield client


@pytest.fixture
def signed(gateway: Gateway) -> Iterator[SignedConnection]:
    with SignedConnection(gateway) as connection:
        yield connection


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as body:
        return body.read()


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


# --- metadata and headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "one", "with,comma", "two  blanks", "=?UTF-8?B?w6k=?=", '"quoted"', "100%"])
def test_metadata_comes_back_as_it_went(s3: Any, bucket: str, value: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata={"note": value})
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"note": value}


def test_names_of_metadata_lose_their_case_and_nothing_else(s3: Any, bucket: str) -> None:
    sent = {"UPPER": "1", "MiXeD-Case": "2", "with_underscore": "3", "with.dot": "4", "5digit": "5"}
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata=sent)
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {name.lower(): sent[name] for name in sent}


def test_metadata_in_utf_8_comes_back_byte_for_byte(bucket: str, signed: SignedConnection) -> None:
    assert signed.signed("PUT", f"/{bucket}/a", headers={"x-amz-meta-name": "صدا é"}).status == 200
    got = signed.signed("HEAD", f"/{bucket}/a").headers["x-amz-meta-name"]
    assert got.encode("latin-1").decode() == "صدا é"


def test_metadata_is_replaced_as_a_whole(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata={"one": "1", "two": "2"})
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata={"two": "3"})
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"two": "3"}
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("gzip", "gzip"),
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("deflate, gzip", "deflate, gzip"),
        ("br,aws-chunked,gzip", "br,gzip"),
    ],
)
def test_content_encoding_keeps_what_is_the_object_s_own(
    bucket: str, signed: SignedConnection, sent: str, kept: str | None
) -> None:
    assert signed.signed("PUT", f"/{bucket}/a", headers={"content-encoding": sent}).status == 200
    assert signed.signed("HEAD", f"/{bucket}/a").headers.get("content-encoding") == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("expires", "not a date"),
        ("expires", "Thu, 01 Dec 2033 16:00:00 GMT"),
        ("content-type", "text/plain; charset=utf-8"),
        ("content-type", "no-type-at-all"),
        ("cache-control", "public, max-age=14400"),
        ("content-disposition", "inline; filename*=UTF-8''%D8%B5.ogg"),
        ("content-language", "fa, en"),
    ],
)
def test_standard_headers_are_texts_to_s3(bucket: str, signed: SignedConnection, name: str, value: str) -> None:
    assert signed.signed("PUT", f"/{bucket}/a", headers={name: value}).status == 200
    assert signed.signed("GET", f"/{bucket}/a").headers[name] == value


def test_overrides_count_for_ranges_and_empty_ones_not_at_all(s3: Any, bucket: str, signed: SignedConnection) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, ContentType="text/plain")
    query = [("response-content-type", "audio/ogg"), ("response-expires", "soon"), ("response-cache-control", "")]
    part = signed.signed("GET", f"/{bucket}/a", query=query, headers={"range": "bytes=0-3"})
    assert (part.status, part.body, part.headers["content-type"]) == (206, BODY[:4], "audio/ogg")
    assert (part.headers["expires"], part.headers["cache-control"]) == ("soon", "private")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-amz-acl": "private"}, 200, ""),
        ({"x-amz-acl": "bucket-owner-full-control"}, 200, ""),
        ({"x-amz-acl": "public-read"}, 400, "AccessControlListNotSupported"),
        ({"x-amz-acl": "authenticated-read"}, 400, "AccessControlListNotSupported"),
        ({"x-amz-acl": "everyone"}, 400, "InvalidArgument"),
        ({"x-amz-grant-read": "id=someone"}, 400, "AccessControlListNotSupported"),
        ({"x-amz-storage-class": "STANDARD"}, 200, ""),
        ({"x-amz-storage-class": "GLACIER"}, 400, "InvalidStorageClass"),
        ({"x-amz-storage-class": "FASTEST"}, 400, "InvalidStorageClass"),
        ({"x-amz-server-side-encryption": "AES256"}, 501, "NotImplemented"),
        ({"x-amz-object-lock-mode": "GOVERNANCE"}, 501, "NotImplemented"),
        ({"x-amz-write-offset-bytes": "0"}, 501, "NotImplemented"),
        ({"x-amz-request-payer": "requester"}, 200, ""),
        ({"x-amz-expected-bucket-owner": "demo"}, 200, ""),
        ({"x-amz-expected-bucket-owner": "111122223333"}, 403, "AccessDenied"),
    ],
    ids=str,
)
def test_what_a_put_may_ask_for_besides(
    s3: Any, bucket: str, signed: SignedConnection, headers: dict[str, str], status: int, code: str
) -> None:
    put = signed.signed("PUT", f"/{bucket}/a", headers=headers, body=BODY)
    assert (put.status, put.code) == (status, code)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == (1 if status == 200 else 0)


# --- conditions ---------------------------------------------------------------------------------------------------


@pytest.fixture
def etag(s3: Any, bucket: str) -> str:
    return s3.put_object(Bucket=bucket, Key="a", Body=BODY)["ETag"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_of_reads_follow_their_order(
    s3: Any, bucket: str, etag: str, signed: SignedConnection, method: str
) -> None:
    modified = s3.head_object(Bucket=bucket, Key="a")["LastModified"]
    same, before = http_date(modified), http_date(modified - timedelta(days=1))
    for headers, status in (
        ({"if-match": "*"}, 200),
        ({"if-match": etag.strip('"')}, 200),
        ({"if-match": f"{NOWHERE}, {etag}"}, 200),
        ({"if-match": NOWHERE}, 412),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": f"W/{etag}"}, 304),
        ({"if-none-match": f"{NOWHERE}, {etag}"}, 304),
        ({"if-none-match": NOWHERE}, 200),
        ({"if-modified-since": same}, 304),
        ({"if-modified-since": before}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-unmodified-since": same}, 200),
        ({"if-unmodified-since": before}, 412),
        ({"if-unmodified-since": "yesterday"}, 200),
        ({"if-match": etag, "if-unmodified-since": before}, 200),
        ({"if-match": NOWHERE, "if-none-match": NOWHERE}, 412),
        ({"if-none-match": etag, "if-modified-since": before}, 304),
        ({"if-none-match": NOWHERE, "if-modified-since": same}, 200),
        ({"if-match": etag, "if-none-match": etag}, 304),
        ({"if-none-match": etag, "if-unmodified-since": before}, 412),
        ({"if-match": etag, "range": "bytes=0-3"}, 206),
        ({"if-match": NOWHERE, "range": "bytes=900-"}, 412),
        ({"if-none-match": etag, "range": "bytes=900-"}, 304),
    ):
        got = signed.signed(method, f"/{bucket}/a", headers=headers)
        assert got.status == status, headers
        if status == 304:
            assert (got.headers["etag"], "last-modified" in got.headers, got.body) == (etag, True, b"")


def test_a_failed_condition_is_named_by_the_refusal(bucket: str, etag: str, signed: SignedConnection) -> None:
    assert etag
    for name, value, condition in (
        ("if-match", NOWHERE, "If-Match"),
        ("if-unmodified-since", "Mon, 01 Jan 2001 00:00:00 GMT", "If-Unmodified-Since"),
    ):
        refused = signed.signed("GET", f"/{bucket}/a", headers={name: value})
        assert (refused.code, refused.element("Condition")) == ("PreconditionFailed", condition)


def test_what_is_not_there_is_missing_whatever_the_condition(bucket: str, signed: SignedConnection) -> None:
    for headers in ({"if-match": "*"}, {"if-none-match": "*"}, {"range": "bytes=0-1"}, {}):
        got = signed.signed("GET", f"/{bucket}/missing", headers=headers)
        assert (got.status, got.code) == (404, "NoSuchKey")
    assert signed.signed("GET", f"/{bucket}/missing", query=[("partNumber", "1")]).code == "NoSuchKey"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_if_match_guards_writes_and_deletes(
    s3: Any, bucket: str, etag: str, signed: SignedConnection, method: str
) -> None:
    def attempt(key: str, condition: str) -> tuple[int, str]:
        answer = signed.signed(method, f"/{bucket}/{key}", headers={"if-match": condition})
        return answer.status, answer.code

    done = 200 if method == "PUT" else 204
    assert attempt("a", NOWHERE) == (412, "PreconditionFailed")
    assert attempt("missing", NOWHERE) == (404, "NoSuchKey")
    assert attempt("missing", "*") == (404, "NoSuchKey")
    assert read(s3, bucket, "a") == BODY
    assert attempt("a", etag.strip('"')) == (done, "")
    s3.put_object(Bucket=bucket, Key="a", Body=b"again")
    assert attempt("a", "*") == (done, "")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == (1 if method == "PUT" else 0)


def test_conditions_that_no_write_knows_are_refused_and_nothing_is_written(
    s3: Any, bucket: str, etag: str, signed: SignedConnection
) -> None:
    for headers in (
        {"if-none-match": etag},
        {"if-none-match": "*", "if-match": etag},
        {"if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT"},
        {"if-unmodified-since": "Mon, 01 Jan 2035 00:00:00 GMT"},
    ):
        refused = signed.signed("PUT", f"/{bucket}/a", headers=headers, body=b"new")
        assert (refused.status, refused.code) == (501, "NotImplemented")
    for headers in ({"x-amz-if-match-size": "11"}, {"x-amz-if-match-last-modified-time": "2001-01-01T00:00:00Z"}):
        assert signed.signed("DELETE", f"/{bucket}/a", headers=headers).status == 501
    assert read(s3, bucket, "a") == BODY


def test_deleting_what_is_not_there_is_done_already(bucket: str, signed: SignedConnection) -> None:
    for query in ([], [("versionId", "null")]):
        assert signed.signed("DELETE", f"/{bucket}/missing", query=query).status == 204


# --- ranges -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=5-9"])
def test_an_empty_object_has_no_range(bucket: str, signed: SignedConnection, wanted: str) -> None:
    signed.signed("PUT", f"/{bucket}/empty")
    refused = signed.signed("GET", f"/{bucket}/empty", headers={"range": wanted})
    assert (refused.status, refused.code, refused.headers["content-range"]) == (416, "InvalidRange", "bytes */0")
    assert (refused.element("RangeRequested"), refused.element("ActualObjectSize")) == (wanted, "0")


@pytest.mark.parametrize("wanted", ["bytes", "bytes=", "bytes=-", "bytes= 0-1", "bytes=0 -1", "bytes=0-1;", "0-1"])
def test_what_is_no_range_gives_the_whole(bucket: str, etag: str, signed: SignedConnection, wanted: str) -> None:
    got = signed.signed("GET", f"/{bucket}/a", headers={"range": wanted})
    assert (got.status, got.body, got.headers["etag"]) == (200, BODY, etag)
    assert (got.headers["accept-ranges"], "content-range" in got.headers) == ("bytes", False)


def test_if_range_lets_a_range_count_for_the_same_object_only(
    s3: Any, bucket: str, etag: str, signed: SignedConnection
) -> None:
    modified = s3.head_object(Bucket=bucket, Key="a")["LastModified"]
    for value, status in (
        (etag, 206),
        (NOWHERE, 200),
        (f"W/{etag}", 200),
        (http_date(modified), 206),
        (http_date(modified - timedelta(seconds=1)), 200),
    ):
        got = signed.signed("GET", f"/{bucket}/a", headers={"range": "bytes=0-3", "if-range": value})
        assert (got.status, len(got.body)) == (status, 4 if status == 206 else len(BODY))


# --- digests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "InvalidDigest"),
        ("short", "InvalidDigest"),
        ("YWJyYWNhZGFicmE=", "InvalidDigest"),
        ("*" * 24, "InvalidDigest"),
        (base64.b64encode(hashlib.md5(b"another").digest()).decode(), "BadDigest"),
    ],
)
def test_a_content_md5_that_is_none_or_another_s_stores_nothing(
    s3: Any, bucket: str, signed: SignedConnection, value: str, code: str
) -> None:
    refused = signed.signed("PUT", f"/{bucket}/a", headers={"content-md5": value}, body=BODY)
    assert (refused.status, refused.code) == (400, code)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


SHA1 = base64.b64encode(hashlib.sha1(BODY).digest()).decode()
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-sha256": ""},
        {"x-amz-checksum-sha256": "not base64!"},
        {"x-amz-checksum-sha256": SHA1},
        {"x-amz-checksum-sha256": SHA256, "x-amz-checksum-sha1": SHA1},
        {"x-amz-checksum-sha256": "", "x-amz-checksum-sha1": ""},
        {"x-amz-checksum-sha256": SHA256, "x-amz-sdk-checksum-algorithm": "SHA1"},
        {"x-amz-sdk-checksum-algorithm": "SHA256"},
        {"x-amz-sdk-checksum-algorithm": "NONE"},
        {"x-amz-checksum-adler32": "AAAAAA=="},
    ],
    ids=str,
)
def test_checksums_that_cannot_be_verified_are_invalid_requests(
    s3: Any, bucket: str, signed: SignedConnection, headers: dict[str, str]
) -> None:
    refused = signed.signed("PUT", f"/{bucket}/a", headers=headers, body=BODY)
    assert (refused.status, refused.code) == (400, "InvalidRequest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_without_a_checksum_the_object_gets_crc64nvme(bucket: str, signed: SignedConnection) -> None:
    put = signed.signed("PUT", f"/{bucket}/a", body=b"123456789")
    expected = base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()  # the algorithm's published check value
    assert put.headers["x-amz-checksum-crc64nvme"] == expected
    got = signed.signed("GET", f"/{bucket}/a", headers={"x-amz-checksum-mode": "ENABLED"})
    assert got.headers["x-amz-checksum-crc64nvme"] == expected
    assert got.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    silent = signed.signed("GET", f"/{bucket}/a")
    assert not [name for name in silent.headers if name.startswith("x-amz-checksum")]


@pytest.mark.parametrize("value", [None, "ETag,Colour", "etag", ","])
def test_attributes_must_be_named_rightly(bucket: str, etag: str, signed: SignedConnection, value: str | None) -> None:
    headers = {} if value is None else {"x-amz-object-attributes": value}
    refused = signed.signed("GET", f"/{bucket}/a", query=[("attributes", "")], headers=headers)
    assert (refused.status, refused.code, bool(etag)) == (400, "InvalidArgument", True)


def test_attributes_of_what_is_not_there(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.get_object_attributes(Bucket=bucket, Key="missing", ObjectAttributes=["ETag"])
    assert error_code(refused) == ("NoSuchKey", 404)


# --- versions, names, framing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["", "1", "nul", "NULL", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_there_is_no_other_version_than_null(
    s3: Any, bucket: str, etag: str, signed: SignedConnection, method: str, version: str
) -> None:
    refused = signed.signed(method, f"/{bucket}/a", query=[("versionId", version)])
    assert refused.status == 400
    assert s3.head_object(Bucket=bucket, Key="a")["ETag"] == etag


@pytest.mark.parametrize(
    "key",
    ["%2e%2e/x", "%252e", "..%2fx", ".../...", "..\\x", "logs -> /etc", "%u002e", "a\u2215b", "\u0085", "$", "?acl"],
)
def test_names_that_only_look_like_trouble_are_names(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(s3, bucket, key) == key.encode()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def send(gateway: Gateway, method: str, path: str, body: bytes, *extra: tuple[str, str], **sign: Any) -> Response:
    """A signed request with the framing headers that the test names."""
    request = sign_request(gateway, method, path, body=body, **sign)
    headers: Headers = (*request.headers.items(), ("Host", f"{gateway.host}:{gateway.port}"), *extra)
    answer = ask(gateway.host, gateway.port, Request(method, request.target, headers, body))
    return Response(answer.status, {name.lower(): value for name, value in answer.headers}, answer.body)


@pytest.mark.parametrize("expect", ["200-ok", "", "100-continue; x"])
def test_an_expectation_that_is_none_is_no_reason_to_refuse(gateway: Gateway, bucket: str, expect: str) -> None:
    put = send(gateway, "PUT", f"/{bucket}/a", BODY, ("Content-Length", str(len(BODY))), ("Expect", expect))
    assert put.status == 200


def test_a_put_says_how_long_it_is(s3: Any, gateway: Gateway, bucket: str) -> None:
    unsaid = send(gateway, "PUT", f"/{bucket}/a", b"")
    assert (unsaid.status, unsaid.code) == (411, "MissingContentLength")
    for length in ("-1", "x", "1_0", "0x5"):
        assert send(gateway, "PUT", f"/{bucket}/a", b"", ("Content-Length", length)).status == 400
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_request_ids_of_header_and_document_agree(bucket: str, signed: SignedConnection) -> None:
    refused = signed.signed("GET", f"/{bucket}/missing")
    assert refused.headers["x-amz-request-id"] == refused.element("RequestId")
    assert refused.headers["x-amz-id-2"] == refused.element("HostId")
    assert abs(
        datetime.now(UTC) - datetime.strptime(refused.headers["date"], "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
    ) < timedelta(minutes=5)
