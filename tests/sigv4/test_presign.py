"""gateway/sigv4/presign.py: what we sign ourselves, against the verifier and against botocore."""

import hashlib
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code
from gateway.sigv4.presign import Signer, presign, sign_headers
from tests.sigv4.signers import (
    ACCESS_KEY_ID,
    AWS_NOW_S,
    EMPTY,
    ENDPOINT,
    SECRET,
    SECRET_TEXT,
    header_signed,
    presigned,
    refused,
    verify,
    wire,
    with_headers,
)

keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


def signer(region: str = "us-east-1") -> Signer:
    return Signer(ACCESS_KEY_ID, SECRET, region)


@pytest.mark.parametrize("query", ["", "?acl=", "?versionId=a&partNumber=1"])
def test_headers_are_signed_as_botocore_signs_them(query):
    url = f"{ENDPOINT}/media/a%20b{query}"
    ours = sign_headers(signer(), "GET", url, {"range": "bytes=0-1"}, payload_hash=EMPTY, now_s=AWS_NOW_S)
    theirs = header_signed("GET", url, {"Range": "bytes=0-1"})
    assert ours == dict(theirs.headers)


def test_the_published_presigned_url_is_made():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html"""
    query = signer().presign("GET", "examplebucket.s3.amazonaws.com", "/test.txt", expires_s=86400, now_s=AWS_NOW_S)
    assert query.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


@settings(max_examples=200, deadline=None)
@given(keys, st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]), st.text("ab/+ é=&", max_size=8))
def test_a_presigned_url_verifies_and_has_botocores_signature(key, method, value):
    url = presign(
        method,
        ENDPOINT,
        "media",
        key,
        signer(),
        expires_s=60,
        now_s=AWS_NOW_S,
        parameters=[("response-content-type", value)],
    )
    verify(wire(method, url))
    theirs = presigned(
        method,
        f"{ENDPOINT}/media/{quote(key, safe='/~')}?response-content-type={quote(value, safe='')}",
        expires_s=60,
    )
    assert theirs.raw_query.rpartition("=")[2] == url.rpartition("=")[2]


def test_headers_of_a_presigned_url_must_be_sent():
    headers = {"content-type": "image/png", "x-amz-meta-a": "1"}
    url = presign("PUT", ENDPOINT, "media", "key", signer(), expires_s=60, now_s=AWS_NOW_S, headers=headers)
    verify(wire("PUT", url, headers))
    with refused(Code.SignatureDoesNotMatch):
        verify(wire("PUT", url, headers | {"content-type": "text/html"}))
    with refused(Code.SignatureDoesNotMatch):
        verify(wire("PUT", url))


def test_a_bucket_is_presigned_without_a_slash():
    url = presign(
        "GET", ENDPOINT, "media", "", signer(), expires_s=60, now_s=AWS_NOW_S, parameters=[("list-type", "2")]
    )
    assert urlsplit(url).path == "/media"
    verify(wire("GET", url))


@pytest.mark.parametrize("expires_s", [0, -1, 604801])
def test_a_presigned_url_lives_from_a_second_to_a_week(expires_s):
    with pytest.raises(ValueError, match="604800"):
        presign("GET", ENDPOINT, "media", "key", signer(), expires_s=expires_s, now_s=AWS_NOW_S)
    assert presign("GET", ENDPOINT, "media", "key", signer(), expires_s=604800, now_s=AWS_NOW_S)


def test_a_new_day_has_a_new_key():
    one = signer()
    for now_s in (AWS_NOW_S, AWS_NOW_S + 86399, AWS_NOW_S + 86400, AWS_NOW_S):
        headers = sign_headers(one, "GET", f"{ENDPOINT}/media/key", {}, payload_hash=EMPTY, now_s=now_s)
        verify(wire("GET", f"{ENDPOINT}/media/key", headers), now_s=now_s)


@pytest.mark.parametrize("trailer", ["", "-TRAILER"])
def test_chunks_that_we_sign_verify(trailer):
    one = signer()
    headers = sign_headers(
        one,
        "PUT",
        f"{ENDPOINT}/media/key",
        {"x-amz-decoded-content-length": "5", "content-encoding": "aws-chunked"},
        payload_hash=f"STREAMING-AWS4-HMAC-SHA256-PAYLOAD{trailer}",
        now_s=AWS_NOW_S,
    )
    chunks = verify(wire("PUT", f"{ENDPOINT}/media/key", headers)).chunks()
    signing = one.sign_chunks(headers)
    for data in (b"hello", b""):
        digest = hashlib.sha256(data).hexdigest()
        chunks.verify_chunk(digest, signing.sign_chunk(digest))
    chunks.verify_trailer(b"x-amz-checksum-crc32:NhCmhg==\n", signing.sign_trailer(b"x-amz-checksum-crc32:NhCmhg==\n"))
    with refused(Code.SignatureDoesNotMatch):
        chunks.verify_trailer(b"x:y\n", signing.sign_trailer(b"x:z\n"))


def test_what_was_signed_for_an_origin_verifies_only_there():
    headers = sign_headers(signer(), "PUT", f"{ENDPOINT}/media/key", {}, payload_hash=EMPTY, now_s=AWS_NOW_S)
    request = wire("PUT", f"{ENDPOINT}/media/key", headers)
    verify(request)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, host="other"))


def test_a_signer_does_not_show_its_secret():
    assert SECRET_TEXT not in repr(signer())
    assert ACCESS_KEY_ID in repr(signer())
