"""gateway/sigv4/hoisted.py: headers that a presigned URL carries in its query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.sigv4.credentials import Scheme, parse_credentials
from gateway.sigv4.hoisted import hoisted_headers, parse_hoisted
from tests.sigv4.signers import ENDPOINT, header_signed, presigned, presigned_v2, refused, with_headers, with_query

URL = f"{ENDPOINT}/media/key"


def hoisted(request):
    credentials = parse_credentials(request)
    assert credentials is not None
    return hoisted_headers(request, credentials)


def test_a_sigv4_query_brings_its_x_amz_headers_along():
    query = "?x-amz-acl=private&x-amz-meta-album=7%20x&x-amz-storage-class=STANDARD&x-id=PutObject&Content-Type=a%2Fb"
    assert hoisted(presigned("PUT", URL + query, token="T")) == {
        "x-amz-acl": "private",
        "x-amz-meta-album": "7 x",
        "x-amz-storage-class": "STANDARD",
    }


def test_a_checksum_of_the_body_there_was_not_is_left_out():
    """JS v3 signs `x-amz-checksum-crc32=AAAAAA==`, the checksum of the empty body."""
    query = "?x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-amz-checksum-mode=ENABLED"
    assert hoisted(presigned("PUT", URL + query)) == {"x-amz-checksum-mode": "ENABLED"}


def test_a_sigv2_query_brings_its_content_headers_along_too():
    request = presigned_v2("PUT", URL, {"Content-Type": "image/png", "x-amz-meta-a": "1", "Cache-Control": "no-cache"})
    assert hoisted(request) == {"content-type": "image/png", "x-amz-meta-a": "1"}


def test_a_header_that_is_sent_too_must_say_the_same():
    request = presigned_v2("PUT", URL, {"x-amz-acl": "private"})
    assert hoisted(with_headers(request, x_amz_acl="private")) == {}
    with refused(Code.AccessDenied, HeadersNotSigned="x-amz-acl"):
        hoisted(with_headers(request, x_amz_acl="public-read"))


def test_a_request_signed_by_header_has_none():
    assert hoisted(header_signed("PUT", URL + "?x-amz-acl=private")) == {}


@pytest.mark.parametrize(
    "query",
    [
        "x-amz-acl=a&X-Amz-Acl=b",
        "x-amz-acl=a&x-amz-acl=a",
        "x-amz-meta-a=1%0Ax-amz-acl:x",
        "x-amz-a:b=1",
        "x-amz-é=1",
        "x-amz-meta-a=%00",
        "x-amz-meta-a=%0d",
    ],
)
def test_what_could_pass_for_another_header_is_refused(query):
    with refused(Code.InvalidArgument):
        parse_hoisted(query, sigv2=False)


@given(st.text(st.characters()))
def test_garbage_is_a_400(text):
    for sigv2 in (True, False):
        try:
            parse_hoisted(f"x-amz-{text}", sigv2=sigv2)
        except S3Error as error:
            assert error.code.status == 400


def test_malformed_escapes_are_invalid_uri():
    request = with_query(presigned("PUT", URL), presigned("PUT", URL).raw_query + "&x-amz-acl=%zz")
    credentials = parse_credentials(request)
    assert credentials is not None
    assert credentials.scheme is Scheme.QUERY
    with refused(Code.InvalidURI):
        hoisted_headers(request, credentials)


def test_a_sigv2_query_may_not_hide_a_header_behind_the_name_of_a_sigv4_parameter():
    assert parse_hoisted("X-Amz-Date=a&X-Amz-Expires=1", sigv2=False) == {}
    assert parse_hoisted("X-Amz-Date=a&X-Amz-Expires=1", sigv2=True) == {"x-amz-date": "a", "x-amz-expires": "1"}
