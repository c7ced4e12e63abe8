"""The bytes of requests to an origin: signed as two other signers sign them, with nothing in them that was not asked."""

from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.origin.base import BodyMeta
from gateway.origin.credentials import OriginCredentials
from gateway.origin.errors import OriginError
from gateway.origin.s3.entries import render_entries
from gateway.origin.s3.places import Place, fresh_location, parse_place
from gateway.origin.s3.requests import EMPTY_SHA256, UNSIGNED_PAYLOAD, Request, RequestSigner
from gateway.sigv4.model import SecretAccessKey
from tests.sigv4.signers import ACCESS_KEY_ID, AWS_NOW_S, SECRET, SECRET_TEXT, at
from tests.support import raw_http
from tests.support.data import ODD_KEYS
from tests.support.signer import Signer

KEY = OriginCredentials(ACCESS_KEY_ID, SECRET)
TOKEN = OriginCredentials(ACCESS_KEY_ID, SECRET, "IQoJb3JpZ2luX2VjE/+==")
ID = "0123456789abcdef" * 2
ALLOWED = {"host", "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "content-length"}
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def parsed(head: bytes) -> raw_http.Request:
    lines = head.decode("ascii").split("\r\n")
    assert lines[-2:] == ["", ""]
    method, target, version = lines[0].split(" ")
    assert version == "HTTP/1.1"
    headers = [line.split(": ", 1) for line in lines[1:-2]]
    assert len({name for name, _ in headers}) == len(headers)
    return raw_http.Request(method, target, tuple((name, value) for name, value in headers))


def signed_again(request: raw_http.Request, credentials: OriginCredentials) -> str | None:
    """The Authorization header as the signer of tests/support makes it."""
    added = {"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "content-length"}
    bare = raw_http.Request(
        request.method, request.target, tuple(pair for pair in request.headers if pair[0] not in added)
    )
    signer = Signer(ACCESS_KEY_ID, SECRET_TEXT, session_token=credentials.session_token)
    payload = request.header("x-amz-content-sha256") or ""
    return signer.sign(bare, payload=payload, now_s=AWS_NOW_S).header("authorization")


class _Botocore(S3SigV4Auth):
    """With the payload's hash that the request names."""

    def payload(self, request: AWSRequest) -> str:
        return str(self.hash)

    hash = ""


def signed_by_botocore(request: raw_http.Request, credentials: OriginCredentials) -> str:
    left = {"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "content-length"}
    host = request.header("host") or ""
    again = AWSRequest(
        request.method, f"http://{host}{request.target}", headers={n: v for n, v in request.headers if n not in left}
    )
    keys = Credentials(ACCESS_KEY_ID, SECRET_TEXT, credentials.session_token)
    signer = _Botocore(keys, "s3", "us-east-1")
    signer.hash = request.header("x-amz-content-sha256") or ""
    with at(AWS_NOW_S):
        signer.add_auth(again)
    return str(again.headers["Authorization"])


def render(
    request: Request, credentials: OriginCredentials = KEY, authority: str = "s3.example.com", *, virtual: bool = False
) -> raw_http.Request:
    return parsed(RequestSigner(authority, "us-east-1", virtual=virtual).render(request, credentials, AWS_NOW_S))


@pytest.mark.parametrize("credentials", [KEY, TOKEN])
@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("authority", ["s3.example.com", "127.0.0.1:9000", "[::1]:9000"])
@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", Place("photos", "a.jpg"), headers={"range": "bytes=0-9", "if-match": '"e"'}),
        Request("HEAD", Place("photos", "a%20b/%40%2F")),
        Request("PUT", Place("photos", "a"), "", {"content-type": "a  b ", "x-amz-meta-x": ""}, UNSIGNED_PAYLOAD, 5),
        Request("PUT", Place("photos", "a"), "partNumber=7&uploadId=a%2Bb%2Fc%3D%3D", {}, UNSIGNED_PAYLOAD, 5),
        Request("POST", Place("photos", "a"), "uploads="),
        Request("GET", Place("photos", ""), "max-uploads=1000&prefix=a%20b%2F&uploads="),
        Request("DELETE", Place("photos", "a"), "uploadId=2~x"),
    ],
    ids=lambda request: f"{request.method}-{request.query}",
)
def test_two_other_signers_sign_it_the_same(request_, authority, virtual, credentials):
    sent = render(request_, credentials, authority, virtual=virtual)
    assert sent.header("authorization") == signed_again(sent, credentials)
    assert sent.header("authorization") == signed_by_botocore(sent, credentials)
    assert sent.header("x-amz-security-token") == credentials.session_token
    assert sent.header("x-amz-content-sha256") == request_.payload_hash
    assert {name for name, _ in sent.headers} <= ALLOWED | set(request_.headers)


def test_where_a_request_goes():
    request = Request("GET", Place("photos", "a/b"), "x=1")
    path, virtual = render(request), render(request, virtual=True)
    assert (path.header("host"), path.target) == ("s3.example.com", "/photos/a/b?x=1")
    assert (virtual.header("host"), virtual.target) == ("photos.s3.example.com", "/a/b?x=1")
    bucket = Request("GET", Place("photos", ""))
    assert (render(bucket).target, render(bucket, virtual=True).target) == ("/photos", "/")


@pytest.mark.parametrize(
    ("method", "length"), [("PUT", "0"), ("POST", "0"), ("GET", None), ("HEAD", None), ("DELETE", None)]
)
def test_what_could_have_a_body_says_that_it_has_none(method, length):
    sent = render(Request(method, Place("b", "k")))
    assert sent.header("content-length") == length
    assert sent.header("x-amz-content-sha256") == EMPTY_SHA256


def test_new_credentials_sign_from_the_next_request_on():
    signer = RequestSigner("s3.example.com", "us-east-1", virtual=False)
    request = Request("GET", Place("b", "k"))
    first = signer.render(request, KEY, AWS_NOW_S)
    other = OriginCredentials("AKIDOTHER", SecretAccessKey("other"))
    assert b"Credential=AKIDOTHER/" in signer.render(request, other, AWS_NOW_S)
    assert signer.render(request, KEY, AWS_NOW_S) == first


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_signed_as_they_are_sent(key):
    sent = render(Request("GET", parse_place(fresh_location("photos", key, ID))))
    assert sent.header("authorization") == signed_again(sent, KEY) == signed_by_botocore(sent, KEY)
    assert sent.raw_path.startswith("/photos/")
    assert sent.raw_query == ""


@given(key=VALUES.filter(bool), name=st.from_regex(r"[!#$%&'*+.^_`|~0-9a-z-]{1,20}", fullmatch=True), value=VALUES)
@example("a\r\nHost: evil", "a", "b\r\nx-amz-acl: public-read\r\n\r\nGET / HTTP/1.1")
@example("k", "anbar-write", "0" * 32)
def test_no_key_and_no_metadata_break_out_of_their_place(key, name, value):
    meta = BodyMeta("b", key, value, ID, "", {"content-type": value}, {name: value}, {})
    headers = render_entries(meta, native_tags=False, cut_key=True, most_bytes=1 << 20)
    sent = render(Request("PUT", parse_place(fresh_location("photos", key, ID)), "", headers))
    assert sent.target.startswith("/photos/")
    assert {each for each, _ in sent.headers} == ALLOWED - {"x-amz-security-token"} | set(headers)
    assert sent.header("authorization") == signed_again(sent, KEY)


@pytest.mark.parametrize(
    "request_",
    [
        Request("PUT", Place("b", "k"), headers={"x-amz-meta-a": "b\r\nx-amz-acl: public-read"}),
        Request("PUT", Place("b", "k"), headers={"x-amz-meta-a\r\nx": "b"}),
        Request("PUT", Place("b", "k"), headers={"x-amz-meta-a": "b\n"}),
        Request("GET", Place("b", "k HTTP/1.1\r\nx: y")),
        Request("GET", Place("b k", "k")),
        Request("GET", Place("b", "k"), "a b"),
        Request("PUT", Place("b", "k"), headers={"x-amz-meta-a": "é"}),
    ],
)
def test_the_last_look_lets_no_line_end_through(request_):
    with pytest.raises(OriginError):
        RequestSigner("s3.example.com", "us-east-1", virtual=False).render(request_, KEY, AWS_NOW_S)


@given(st.text(min_size=1, max_size=40))
@example("a+b/c==")
def test_an_upload_id_is_signed_whatever_it_is(upload_id):
    place = parse_place(f"b/k?uploadId={quote(upload_id, safe='-._~')}")
    sent = render(Request("DELETE", Place("b", "k"), f"uploadId={place.upload_id}"))
    assert sent.header("authorization") == signed_again(sent, KEY)
