"""The scripted origin itself: a strict S3 to boto3, and on raw sockets every fault exactly as it was asked for."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

from tests.support.clients import error_code, status
from tests.support.data import MIB, ODD_KEYS, pattern
from tests.support.origin_faults import (
    ApplyLate,
    Change,
    Chunked,
    CloseAfter,
    Cut,
    Delay,
    Drip,
    EarlyAnswer,
    ErrorInside,
    ExtraBytes,
    Fail,
    Garbage,
    HangUp,
    Hold,
    LoseAnswer,
    Redirect,
    SlowRead,
    Stall,
    WrongETag,
    WrongLength,
)
from tests.support.origin_scripts import NotReached
from tests.support.raw_http import Answer, BrokenAnswer, Connection, Request, ask, connected, eventually
from tests.support.s3_listing import ListQuirks
from tests.support.s3_model import Switches
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import STREAMING_SIGNED, UNSIGNED, Signer, content_md5, object_path

BUCKET = "photos"
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


def client_of(origin: ScriptedOrigin, **settings: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=origin.endpoint,
        region_name=origin.region,
        aws_access_key_id=origin.access_key_id,
        aws_secret_access_key=origin.secret_access_key,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},
        ),
        **settings,
    )


def request(
    origin: ScriptedOrigin,
    method: str,
    key: str,
    body: bytes = b"",
    *,
    query: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    signer: Signer | None = None,
    **signing: Any,
) -> Request:
    """A plain client's request, signed over all its headers."""
    sized = (("Content-Length", str(len(body))),) if method in ("PUT", "POST") else ()
    target = object_path(BUCKET, key) + (f"?{query}" if query else "")
    plain = Request(method, target, (("Host", f"127.0.0.1:{origin.port}"), *sized, *headers), body)
    return (signer or Signer(origin.access_key_id, origin.secret_access_key)).sign(plain, **signing)


def send(origin: ScriptedOrigin, method: str, key: str, body: bytes = b"", **more: Any) -> Answer:
    return ask("127.0.0.1", origin.port, request(origin, method, key, body, **more))


def connect(origin: ScriptedOrigin) -> Connection:
    return Connection.open("127.0.0.1", origin.port)


def begin(connection: Connection, wanted: Request) -> None:
    connection.send(wanted.encode())


# The model


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


# What a plain client may send


def test_a_plain_request_is_expected_in_every_way(origin):
    headers = (("x-amz-meta-a", "1"), ("Content-Type", "a/b"), ("Content-MD5", content_md5(BODY)))
    assert send(origin, "PUT", "a b/ü", BODY, headers=headers).status == 200
    assert send(origin, "GET", "a b/ü", headers=(("Range", "bytes=0-1"), ("Accept-Encoding", "identity"))).status == 206
    assert origin.unexpected == []


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (("x-amz-acl", "private"), "header x-amz-acl"),
        (("X-Forwarded-For", "1.2.3.4"), "header x-forwarded-for"),
        (("Accept-Encoding", "gzip"), "accept-encoding is gzip"),
        (("Content-Encoding", "gzip,aws-chunked"), "content-encoding is"),
        (("Accept", "*/*"), "header accept"),
    ],
)
def test_any_other_header_is_unexpected(origin, header, said):
    send(origin, "GET", "a", headers=(header,))
    assert len(origin.unexpected) == 1
    assert said in origin.unexpected[0]


def test_an_allowed_header_may_be_added():
    with ScriptedOrigin(also_allowed=["accept"]) as origin:
        send(origin, "GET", "a", headers=(("Accept", "*/*"),))
        assert origin.unexpected == []


def test_paths_and_queries_not_in_the_writing_of_s3_are_unexpected(origin):
    plain = request(origin, "GET", "a")
    for target in ("/photos/a%2fb", "/photos/(a)", "/photos/a?uploadId=a+b", "/photos/a?uploadId=%7e"):
        ask("127.0.0.1", origin.port, Request("GET", target, plain.headers))
    assert len([said for said in origin.unexpected if "as S3 encodes it" in said]) == 4


def test_an_unsigned_payload_needs_tls(origin):
    assert send(origin, "PUT", "a", BODY, payload=UNSIGNED).status == 200
    assert "no TLS" in origin.unexpected[0]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "AKIANOBODY"}, "InvalidAccessKeyId"),
        ({"region": "eu-west-1"}, "AuthorizationHeaderMalformed"),
        ({"service": "sts"}, "AuthorizationHeaderMalformed"),
        ({"scope_day": "20200101"}, "AccessDenied"),
        ({"session_token": "token"}, "InvalidToken"),
    ],
)
def test_signatures_are_checked(origin, changed, code):
    signer = Signer(
        **({"access_key_id": origin.access_key_id, "secret_access_key": origin.secret_access_key} | changed)
    )
    answer = send(origin, "PUT", "a", BODY, signer=signer)
    assert (answer.status in (400, 403), f"<Code>{code}</Code>".encode() in answer.body) == (True, True)
    assert origin.objects(BUCKET) == {}
    assert origin.journal[0].code == code


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        (lambda put: put.without_header("authorization"), "AccessDenied"),
        (lambda put: put.with_header("x-amz-tagging", "a=b"), "AccessDenied"),
        (lambda put: put.changing_header("x-amz-meta-a", "2"), "SignatureDoesNotMatch"),
        (lambda put: put.with_body(bytes(5000)), "XAmzContentSHA256Mismatch"),
        (lambda put: put.without_header("content-length"), "MissingContentLength"),
        (lambda put: put.changing_header("content-length", "5_000"), "InvalidArgument"),
        (lambda put: put.with_header("Transfer-Encoding", "chunked"), "NotImplemented"),
        (lambda put: put.with_query("acl"), "NotImplemented"),
    ],
)
def test_spoilt_requests_have_no_effect(origin, spoilt, code):
    put = request(origin, "PUT", "a", BODY, headers=(("x-amz-meta-a", "1"),))
    if code == "NotImplemented" and "?" in spoilt(put).target:
        put, spoilt = request(origin, "PUT", "a", BODY, query="acl"), lambda same: same
    answer = ask("127.0.0.1", origin.port, spoilt(put))
    assert f"<Code>{code}</Code>".encode() in answer.body
    assert origin.objects(BUCKET) == {}


def test_a_signed_stream_is_refused(origin):
    answer = send(origin, "PUT", "a", BODY, payload=STREAMING_SIGNED)
    assert answer.status == 501


def test_a_wrong_content_md5_is_bad_digest(origin):
    answer = send(origin, "PUT", "a", BODY, headers=(("Content-MD5", content_md5(b"other")),))
    assert (answer.status, origin.journal[0].code) == (400, "BadDigest")
    assert send(origin, "PUT", "a", BODY, headers=(("Content-MD5", "no"),)).status == 400


def test_keys_can_be_rotated(origin):
    new = Signer("AKIANEW", "new", session_token="token")
    assert send(origin, "GET", "a", signer=new).status == 403
    origin.add_key("AKIANEW", "new", "token")
    origin.revoke_key(origin.access_key_id)
    assert send(origin, "GET", "a", signer=new).status == 404
    assert send(origin, "GET", "a").status == 403


@pytest.mark.parametrize("minutes", [16, -16])
def test_a_clock_that_differs_refuses_requests_until_they_follow_it(origin, minutes):
    origin.clock_shift = timedelta(minutes=minutes)
    answer = send(origin, "GET", "a")
    assert b"RequestTimeTooSkewed" in answer.body
    there = datetime.strptime(answer.header("date") or "", "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert send(origin, "GET", "a", now_s=there.timestamp()).status == 404


def test_a_head_that_is_no_http_is_answered_and_closed(origin):
    for head in (
        b"GET /photos/a\r\n\r\n",
        b"GET /photos/a HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n",
    ):
        with connect(origin) as connection:
            connection.send(head)
            assert connection.answer().status == 400
            assert connection.ended()
    assert len(origin.unexpected) == 3
    assert origin.journal == []


def test_a_body_that_ends_early_never_becomes_an_object(origin):
    with connect(origin) as connection:
        connection.send(request(origin, "PUT", "a", BODY).encode()[:-1])
        assert origin.wait_until(lambda: bool(origin.journal) and origin.journal[0].received == len(BODY) - 1)
        connection.reset()
    (entry,) = origin.wait_for("PutObject")
    assert (entry.complete, entry.applied, entry.status) == (False, None, None)
    assert origin.objects(BUCKET) == {}


def test_the_bucket_may_be_in_the_host(origin):
    origin.put_behind(BUCKET, "a", BODY)
    signer = Signer(origin.access_key_id, origin.secret_access_key)
    wanted = signer.sign(Request("GET", "/a", (("Host", f"{BUCKET}.localhost:{origin.port}"),)))
    assert ask("127.0.0.1", origin.port, wanted).body == BODY


# Faults


@pytest.mark.parametrize(
    ("do", "code"),
    [(Fail(), 500), (Fail(503, "SlowDown"), 503), (Redirect("http://127.0.0.1:1/"), 307), (ErrorInside(), 200)],
)
def test_an_error_is_answered_and_nothing_applied(origin, do, code):
    origin.script("PutObject", key="a", do=do)
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "PUT", "other", BODY)).status == 200
        answer = connection.exchange(request(origin, "PUT", "a", BODY))
        assert (answer.status, b"<Error>" in answer.body) == (code, True)
        assert connection.exchange(request(origin, "PUT", "a", BODY)).status == 200
    first, failed, second = origin.journal
    assert (first.applied, failed.applied, second.applied) == (1, None, 2)
    assert (failed.complete, failed.connection, failed.turn) == (True, 1, 2)


def test_scripts_are_used_up_in_turn(origin):
    origin.script("GetObject", do=Fail(500), times=2)
    origin.script("GetObject", do=Fail(503, "SlowDown"))
    origin.script("GetObject", do=Change(status=418), times=None, when=lambda entry: entry.header("range") is not None)
    plain = [send(origin, "GET", "a").status for _ in range(4)]
    assert plain == [500, 500, 503, 404]
    assert [send(origin, "GET", "a", headers=(("Range", "bytes=0-"),)).status for _ in range(2)] == [418, 418]
    origin.heal()
    assert send(origin, "GET", "a", headers=(("Range", "bytes=0-"),)).status == 404


def test_an_early_answer_comes_before_the_body(origin):
    origin.script("PutObject", do=EarlyAnswer(503, "SlowDown"))
    with connect(origin) as connection:
        connection.send(request(origin, "PUT", "a", BODY).head())
        assert connection.answer().status == 503
        connection.send(BODY)
        assert connection.ended()
    assert (origin.journal[0].complete, origin.objects(BUCKET)) == (False, {})


@pytest.mark.parametrize("reset", [False, True])
def test_hanging_up_on_a_kept_connection_leaves_no_answer(origin, reset):
    origin.script("PutObject", do=HangUp(reset), when=lambda entry: entry.turn > 1)
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "PUT", "a", BODY)).status == 200
        with pytest.raises(BrokenAnswer):
            connection.exchange(request(origin, "PUT", "b", BODY))
    assert list(origin.objects(BUCKET)) == ["a"]


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_says_nothing_of_what_was_applied(origin, applied):
    origin.script("PutObject", do=LoseAnswer(applied))
    with connect(origin) as connection, pytest.raises(BrokenAnswer):
        connection.exchange(request(origin, "PUT", "a", BODY))
    (entry,) = origin.wait_for("PutObject")
    assert (entry.complete, entry.answered) == (True, False)
    assert ("a" in origin.objects(BUCKET), entry.applied) == ((True, 1) if applied else (False, None))


def test_an_operation_may_take_effect_after_its_connection_broke(origin):
    script = origin.script("PutObject", do=ApplyLate())
    with connect(origin) as connection, pytest.raises(BrokenAnswer):
        connection.exchange(request(origin, "PUT", "a", BODY))
    script.wait_reached()
    assert origin.objects(BUCKET) == {}
    assert send(origin, "DELETE", "a").status == 204
    script.release()
    origin.wait_for("PutObject")
    assert origin.objects(BUCKET)["a"].body == BODY
    assert [entry.applied for entry in origin.journal] == [2, 1]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("at", "body"), [("head", None), ("mid-head", None), (0, b""), (100, BODY[:100]), ("last", BODY[:-1])]
)
def test_an_answer_is_cut_at_the_byte(origin, at, body, reset):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=Cut(at, reset))
    with connect(origin) as connection:
        begin(connection, request(origin, "GET", "a"))
        came = connection.rest()
    assert came == b"" if at == "head" else came.startswith(b"HTTP/1.1 200 OK\r\n")
    if body is not None:
        assert came.partition(b"\r\n\r\n")[2] == body
    else:
        assert b"\r\n\r\n" not in came


@pytest.mark.parametrize(("at", "before"), [("head", 0), (1000, 1000), ("last", 4999)])
def test_a_stalled_answer_goes_on_when_released(origin, at, before):
    origin.put_behind(BUCKET, "a", BODY)
    script = origin.script("GetObject", do=Stall(at))
    with connect(origin) as connection:
        begin(connection, request(origin, "GET", "a"))
        script.wait_reached()
        if before:
            while connection.line():
                pass
            assert connection.exactly(before) == BODY[:before]
        connection.socket.settimeout(0.02)
        with pytest.raises(TimeoutError):
            connection.fill()
        connection.socket.settimeout(10)
        script.release()
        assert (connection.exactly(5000 - before) if before else connection.answer().body) == BODY[before:]


def test_a_stalled_answer_ends_with_its_caller(origin):
    origin.put_behind(BUCKET, "a", BODY)
    script = origin.script("GetObject", do=Stall(10))
    with connect(origin) as connection:
        begin(connection, request(origin, "GET", "a"))
        script.wait_reached()
        assert origin.open_connections == 1
    (entry,) = origin.wait_for("GetObject")
    assert not entry.answered
    assert eventually(lambda: origin.open_connections == 0)


def test_a_stall_may_have_applied_nothing(origin):
    script = origin.script("PutObject", do=Stall(applied=False))
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        script.wait_reached()
        script.release()
        assert connection.answer().status == 503
    assert origin.objects(BUCKET) == {}


@pytest.mark.parametrize(
    "do", [Drip(1000, 0.001), Delay(0.01), Delay(0.01, at=17), Chunked(300), [Delay(0.01), Drip(2000), Chunked(17)]]
)
def test_slow_and_chunked_answers_are_whole(origin, do):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=do)
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "GET", "a")).body == BODY
        assert connection.exchange(request(origin, "GET", "a")).body == BODY


def test_a_chunked_answer_may_lack_its_end(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=Chunked(ended=False))
    with pytest.raises(BrokenAnswer):
        send(origin, "GET", "a")


def test_a_body_may_be_read_slowly(origin):
    origin.script("PutObject", do=SlowRead(1000, 0.001))
    assert send(origin, "PUT", "a", BODY).status == 200
    assert origin.objects(BUCKET)["a"].body == BODY


def test_a_good_answer_may_be_the_last_on_its_connection(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=CloseAfter())
    with connect(origin) as connection:
        answer = connection.exchange(request(origin, "GET", "a"))
        assert (answer.body, answer.header("connection")) == (BODY, None)
        assert connection.ended()


@pytest.mark.parametrize("reset", [False, True])
def test_idle_connections_can_be_closed(origin, reset):
    script = origin.script("GetObject", do=Stall())
    with connect(origin) as idle, connect(origin) as busy:
        idle.exchange(request(origin, "HEAD", "a"))
        begin(busy, request(origin, "GET", "a"))
        script.wait_reached()
        assert origin.close_idle(reset=reset) == 1
        assert idle.ended()
        script.release()
        assert busy.answer().status == 404


def test_an_etag_may_be_wrong(origin, client):
    origin.script("PutObject", do=WrongETag('"bad"'))
    origin.script("CopyObject", do=WrongETag('"bad"'))
    assert client.put_object(Bucket=BUCKET, Key="a", Body=BODY)["ETag"] == '"bad"'
    copied = client.copy_object(Bucket=BUCKET, Key="b", CopySource={"Bucket": BUCKET, "Key": "a"})
    assert copied["CopyObjectResult"]["ETag"] == '"bad"'
    assert origin.objects(BUCKET)["a"].etag == f'"{hashlib.md5(BODY).hexdigest()}"'


def test_lengths_may_be_wrong_both_ways(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=WrongLength(+1))
    with pytest.raises(BrokenAnswer):
        send(origin, "GET", "a")
    origin.script("GetObject", do=WrongLength(-10))
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "GET", "a")).body == BODY[:-10]
        assert connection.exactly(10) == BODY[-10:]
        assert connection.exchange(request(origin, "GET", "a")).body == BODY


def test_bytes_may_follow_an_answer(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=ExtraBytes())
    with connect(origin) as connection:
        assert connection.exchange(request(origin, "GET", "a")).body == BODY
        assert connection.answer().body == b"poison"


def test_an_answer_may_be_no_http(origin):
    origin.script("PutObject", do=Garbage())
    with pytest.raises(BrokenAnswer):
        send(origin, "PUT", "a", BODY)
    assert origin.objects(BUCKET) == {}


def test_an_answer_may_have_other_headers_and_another_body(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.script("GetObject", do=Change(206, {"Set-Cookie": "a\x01b"}, ("ETag",), b"other"))
    answer = send(origin, "GET", "a")
    assert (answer.status, answer.header("set-cookie"), answer.header("etag"), answer.body) == (
        206,
        "a\x01b",
        None,
        b"other",
    )


# Barriers


def test_each_phase_holds_a_request_where_it_says(origin):
    put = request(origin, "PUT", "a", BODY)
    barriers = [origin.barrier("PutObject", key="a", phase=phase) for phase in ("head", 1234, "body", "applied")]
    seen = []
    with connect(origin) as connection:
        begin(connection, put)
        for barrier in barriers:
            entry = barrier.wait_reached()
            seen.append((entry.received, entry.complete, entry.applied, "a" in origin.objects(BUCKET)))
            assert entry.status is None
            barrier.release()
        assert connection.answer().status == 200
    assert seen == [
        (0, False, None, False),
        (1234, False, None, False),
        (5000, True, None, False),
        (5000, True, 1, True),
    ]


def test_barriers_decide_a_race(origin):
    barrier = origin.barrier("PutObject", phase="body", times=2)
    with ThreadPoolExecutor() as pool:
        racing = []
        for body in (b"first", b"second"):
            racing.append(pool.submit(send, origin, "PUT", "a", body))
            barrier.wait_reached(count=len(racing))
        for one in racing:
            barrier.release_one()
            assert one.result(10).status == 200
    assert origin.objects(BUCKET)["a"].body == b"second"
    assert [entry.applied for entry in origin.journal] == [1, 2]


def test_a_held_request_takes_effect_although_its_caller_has_died(origin):
    barrier = origin.barrier("PutObject", phase="body")
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        barrier.wait_reached()
        connection.reset()
    barrier.release()
    origin.wait_for("PutObject")
    assert origin.objects(BUCKET)["a"].body == BODY


def test_a_barrier_and_a_fault_go_together(origin):
    barrier = origin.barrier("PutObject", phase="applied")
    origin.script("PutObject", do=[Cut("head", reset=True)])
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        barrier.wait_reached()
        assert "a" in origin.objects(BUCKET)
        origin.release()
        assert connection.ended()


def test_a_barrier_that_nobody_reaches_says_so(origin):
    barrier = origin.barrier("PutObject")
    with pytest.raises(NotReached):
        barrier.wait_reached(0.01)
    with pytest.raises(NotReached):
        barrier.release_one()
    barrier.remove()
    assert send(origin, "PUT", "a", BODY).status == 200
    assert barrier.taken == []


async def test_barriers_serve_asynchronous_tests(origin):
    script = origin.script("PutObject", do=Hold("head"))
    with ThreadPoolExecutor() as pool:
        put = pool.submit(send, origin, "PUT", "a", BODY)
        entry = await script.reach()
        assert not entry.complete
        script.release()
        assert put.result(10).status == 200


# Running


def test_what_it_holds_outlives_a_stop(origin):
    origin.put_behind(BUCKET, "a", BODY)
    origin.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(origin)
    assert origin.open_connections == 0
    origin.start()
    assert send(origin, "GET", "a").body == BODY
    origin.remove_behind(BUCKET, "a")
    assert send(origin, "GET", "a").status == 404


@pytest.mark.parametrize("do", [Hold("head"), Hold(7), Hold("body"), ApplyLate(), Stall(), Drip(1, 60), Delay(60)])
def test_stopping_ends_what_waits_and_applies_nothing_more(origin, do):
    script = origin.script("PutObject", do=do)
    waits = isinstance(do, Hold | ApplyLate)
    with connect(origin) as connection:
        begin(connection, request(origin, "PUT", "a", BODY))
        if waits or isinstance(do, Stall):
            script.wait_reached()
        else:
            assert origin.wait_until(lambda: bool(origin.journal) and origin.journal[0].status is not None)
        origin.stop()
        assert BODY not in connection.rest()
    assert ("a" in origin.objects(BUCKET)) is not waits
    assert origin.journal[0].ended


def test_an_error_of_the_origin_itself_fails_the_test():
    origin = ScriptedOrigin()
    origin.start()
    origin.script("GetObject", do=Fail(), when=lambda entry: bool(entry.query["nothing"]))
    with connected("127.0.0.1", origin.port) as connection:
        begin(connection, request(origin, "GET", "a"))
        assert connection.ended()
    with pytest.raises(AssertionError, match="KeyError"):
        origin.stop()


def test_tls_has_a_certificate_that_can_go_bad(tmp_path: Path):
    with ScriptedOrigin(tls=True) as origin:
        origin.make_bucket(BUCKET)
        ca = str(origin.write_ca(tmp_path / "ca.pem"))
        with closing(client_of(origin, verify=ca)) as client:
            client.put_object(Bucket=BUCKET, Key="a", Body=BODY)
            origin.script("GetObject", do=Cut(100, reset=True))
            with pytest.raises(Exception, match="Connection"):
                client.get_object(Bucket=BUCKET, Key="a")["Body"].read()
        for change in ({"not_after": datetime.now(UTC) - timedelta(days=1)}, {"trusted": False}):
            origin.change_certificate(**change)
            with closing(client_of(origin, verify=ca)) as client, pytest.raises(SSLError):
                client.get_object(Bucket=BUCKET, Key="a")
        origin.change_certificate()
        with closing(client_of(origin, verify=ca)) as client:
            assert client.get_object(Bucket=BUCKET, Key="a")["Body"].read() == BODY


def test_switches_may_be_set_at_the_start():
    with ScriptedOrigin(switches=Switches(copy=False, list_page_size=1)) as origin:
        origin.make_bucket(BUCKET)
        assert send(origin, "PUT", "a", headers=(("x-amz-copy-source", "/photos/b"),)).status == 501
