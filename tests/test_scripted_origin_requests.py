"""What the scripted origin takes from a caller: signed plain requests, and nothing that is spoilt or unexpected."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.data import pattern
from tests.support.origin_clients import BUCKET, connect, request, send
from tests.support.raw_http import Request, ask
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import STREAMING_SIGNED, UNSIGNED, Signer, content_md5

BODY = pattern(5000)


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        running.make_bucket(BUCKET)
        yield running


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
