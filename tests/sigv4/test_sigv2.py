"""gateway/sigv4/sigv2.py: presigned URLs of SigV2, as real clients make them and as attackers change them."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.sigv4.credentials import parse_credentials
from gateway.sigv4.hoisted import hoisted_headers
from gateway.sigv4.model import SecretAccessKey, WireRequest
from gateway.sigv4.signature import Verifier
from gateway.sigv4.sigv2 import matches_sigv2, sign_sigv2
from tests.sigv4.signers import (
    AWS_NOW_S,
    ENDPOINT,
    SECRET,
    presigned_v2,
    refused,
    verify,
    wire,
    with_headers,
    with_query,
)

URL = f"{ENDPOINT}/media/key"
HOST = "http://s3.localhost:9000"
VIRTUAL = "http://media.s3.localhost:9000"
KEY = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE"
JS_V2_EXPIRES = 1795343419


def test_the_published_query_string_example_verifies():
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html#RESTAuthenticationQueryStringAuth"""
    assert sign_sigv2(SECRET, "GET\n\n\n1175139620\n/johnsmith/photos/puppy.jpg") == "NpgCjnDzrM+WFzoENXmpNDUsSn8="
    query = f"?{KEY}&Expires=1175139620&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D"
    virtual = wire("GET", f"http://johnsmith.s3.amazonaws.com/photos/puppy.jpg{query}")
    verifier = Verifier(domains=("s3.amazonaws.com",))
    verify(virtual, now_s=1175139620, verifier=verifier)
    verify(wire("GET", f"{ENDPOINT}/johnsmith/photos/puppy.jpg{query}"), now_s=0, verifier=verifier)
    with refused(Code.AccessDenied) as caught:
        verify(virtual, now_s=1175139621, verifier=verifier)
    assert caught.error.message == "Request has expired"


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        (
            "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg",
            "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
        ),
    ],
)
def test_the_published_signatures(text, signature):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html#RESTAuthenticationExamples"""
    assert matches_sigv2(SECRET, text, signature)
    assert not matches_sigv2(SECRET, text + " ", signature)
    assert not matches_sigv2(SECRET, text, "é")


# `s3.getSignedUrl(…)` of aws-sdk 2.1693.0 for putObject (type, ACL, cache control, disposition, metadata), getObject (disposition, version;
# plain), getObjectTagging and uploadPart; path style, then virtual-host style.
JS_V2 = [
    (
        "PUT",
        f"{HOST}/media/a%20b/%C3%A9%281%29%2B.png?{KEY}&Cache-Control=max-age%3D3&Content-Disposition=attachment%3B%20filename%3D%22x%20y%22&Content-Type=image%2Fpng&Expires=1795343419&Signature=9MKzYHz1quHrnmeVJMGOKb75RT0%3D&x-amz-acl=private&x-amz-meta-album=7%20x&x-amz-meta-two=b",
    ),
    (
        "GET",
        f"{HOST}/media/a%20b/%C3%A9%281%29%2B%27%21.png?{KEY}&Expires=1795343419&Signature=jFtvSaTTZohxdycXrRICX1UfRnM%3D&response-content-disposition=attachment%3B%20filename%3D%22a%26b.txt%22&versionId=null",
    ),
    (
        "GET",
        f"{HOST}/media/k?{KEY}&Expires=1795343419&Signature=2VAvS%2BmHRf%2BWPhjBWz4ygKwLVjU%3D",
    ),
    (
        "GET",
        f"{HOST}/media/k?{KEY}&Expires=1795343419&Signature=PDiNSnFt2lIF8OcdXIgoaamGjeQ%3D&tagging=",
    ),
    (
        "PUT",
        f"{HOST}/media/k?{KEY}&Expires=1795343419&Signature=n%2BiKy8n4WxsWR63ajRlR2pDcrVg%3D&partNumber=2&uploadId=a%2Fb%2Bc%3D%3D",
    ),
    (
        "PUT",
        f"{VIRTUAL}/a%20b/%C3%A9%281%29%2B.png?{KEY}&Cache-Control=max-age%3D3&Content-Disposition=attachment%3B%20filename%3D%22x%20y%22&Content-Type=image%2Fpng&Expires=1795343419&Signature=9MKzYHz1quHrnmeVJMGOKb75RT0%3D&x-amz-acl=private&x-amz-meta-album=7%20x&x-amz-meta-two=b",
    ),
    (
        "GET",
        f"{VIRTUAL}/a%20b/%C3%A9%281%29%2B%27%21.png?{KEY}&Expires=1795343419&Signature=jFtvSaTTZohxdycXrRICX1UfRnM%3D&response-content-disposition=attachment%3B%20filename%3D%22a%26b.txt%22&versionId=null",
    ),
    (
        "GET",
        f"{VIRTUAL}/k?{KEY}&Expires=1795343419&Signature=2VAvS%2BmHRf%2BWPhjBWz4ygKwLVjU%3D",
    ),
    (
        "GET",
        f"{VIRTUAL}/k?{KEY}&Expires=1795343419&Signature=PDiNSnFt2lIF8OcdXIgoaamGjeQ%3D&tagging=",
    ),
    (
        "PUT",
        f"{VIRTUAL}/k?{KEY}&Expires=1795343419&Signature=n%2BiKy8n4WxsWR63ajRlR2pDcrVg%3D&partNumber=2&uploadId=a%2Fb%2Bc%3D%3D",
    ),
]


@pytest.mark.parametrize(("method", "url"), JS_V2)
def test_urls_of_js_v2_verify(method, url):
    headers = {"content-type": "image/png"} if "Content-Type" in url else {}
    verify(wire(method, url, headers), now_s=JS_V2_EXPIRES)
    verify(wire(method, url), now_s=JS_V2_EXPIRES)
    with refused(Code.AccessDenied):
        verify(wire(method, url, headers), now_s=JS_V2_EXPIRES + 1)


def test_an_url_of_s3cmd_verifies():
    """`s3cmd signurl` 2.4.0 with a content disposition and a virtual-host `host_bucket`."""
    request = wire(
        "GET",
        f"{VIRTUAL}/a%20b/%C3%A9%2B1.png?{KEY}&Expires=1795342852&Signature=w1GbF8%2FDq3Erq%2Fb5UCrKfcudGUc%3D"
        "&response-content-disposition=attachment%3B%20filename%3D%22a%20b.txt%22",
    )
    verify(request, now_s=1795342852)


# --- botocore


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?acl",
        "?acl=",
        "?versionId=null",
        "?uploadId=a%2Fb%2Bc%3D%3D&partNumber=2",
        "?tagging&versionId=a",
        "?response-content-type=image%2Fpng%3B%20a%3D%22b%20c%22&response-expires=0",
        "?response-content-disposition=attachment%3B%20filename%3D%22a%26b.txt%22&versionId=a",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
def test_urls_of_botocore_verify(method, query):
    verify(presigned_v2(method, URL + query))


def test_a_put_of_botocore_brings_its_headers_in_the_query():
    headers = {
        "Content-Type": "image/png",
        "Content-MD5": "XUFAKrxLKna5cZ2REBfFkg==",
        "x-amz-acl": "private",
        "x-amz-meta-Zed": "y  z",
        "x-amz-meta-a": "v x",
        "x-amz-storage-class": "STANDARD",
    }
    request = presigned_v2("PUT", URL, headers)
    verify(request)
    sent = {name.lower().replace("-", "_"): value for name, value in headers.items()}
    verify(with_headers(request, **sent))
    credentials = parse_credentials(request)
    assert credentials is not None
    assert hoisted_headers(request, credentials) == {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("query", ["", "?acl", "?location"])
def test_botocore_signs_a_bucket_in_path_style_with_a_slash_at_its_end(query):
    request = presigned_v2("GET", f"{ENDPOINT}/media{query}", auth_path="/media/")
    verify(request)
    for auth_path in ("/media//", "/medi/", "/media/a", "//media/"):
        with refused(Code.SignatureDoesNotMatch):
            verify(presigned_v2("GET", f"{ENDPOINT}/media{query}", auth_path=auth_path))
    with refused(Code.SignatureDoesNotMatch):
        verify(presigned_v2("GET", f"{ENDPOINT}/", auth_path="//"))
    with refused(Code.SignatureDoesNotMatch):
        verify(presigned_v2("GET", f"{ENDPOINT}/media/key", auth_path="/media/key/"))


def test_botocore_signs_the_bucket_of_a_virtual_host():
    verifier = Verifier(domains=("s3.localhost",))
    request = presigned_v2("GET", f"{VIRTUAL}/key", auth_path="/media/key")
    verify(request, verifier=verifier)
    verify(with_headers(request, host="media.s3.localhost"), verifier=verifier)
    for host in ("other.s3.localhost", "s3.localhost", "10.0.0.7"):
        with refused(Code.SignatureDoesNotMatch):
            verify(with_headers(request, host=host), verifier=verifier)


def test_a_path_style_url_opens_nothing_in_a_virtual_host():
    request = presigned_v2("GET", f"{HOST}/media/key")
    verify(request)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, host="other.s3.localhost:9000"))


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/?#"), min_size=1, max_size=20),
    st.sampled_from(["", "versionId", "uploadId", "response-content-type"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.dictionaries(st.sampled_from(["x-amz-acl", "x-amz-meta-a", "Content-Type"]), st.text("ab cd/;=", max_size=9)),
)
def test_what_botocore_signs_verifies_and_each_change_is_refused(key, name, value, headers):
    query = f"?{name}={quote(value, safe='')}" if name else ""
    headers = {header: text.strip() for header, text in headers.items()}
    request = presigned_v2("PUT", f"{ENDPOINT}/media/{quote(key, safe='')}{query}", headers)
    try:
        verify(request)
    except S3Error as error:
        assert error.code is Code.AccessDenied  # a value that reads as a further sub-resource
        assert "&" in value
        return
    changed = [
        WireRequest("GET", request.raw_path, request.raw_query, request.headers),
        WireRequest("PUT", request.raw_path + "x", request.raw_query, request.headers),
        with_query(request, request.raw_query + "&acl"),
        with_query(request, request.raw_query + "&x-amz-tagging=a"),
        with_query(request, request.raw_query.replace("Expires=", "Expires=1")),
        with_headers(request, x_amz_copy_source="/other/secret"),
        with_headers(request, content_md5="XUFAKrxLKna5cZ2REBfFkg=="),
    ]
    for other in changed:
        with refused(Code.SignatureDoesNotMatch):
            verify(other)


# --- strictness


@pytest.mark.parametrize(
    "name",
    ["prefix", "list-type", "x", "encoding-type", "delimiter", "encryption", "attributes", "x-id", "ACL", "ac%6C"],
)
def test_a11_a_parameter_that_sigv2_does_not_sign_is_refused(name):
    request = presigned_v2("GET", URL)
    with refused(Code.AccessDenied) as caught:
        verify(with_query(request, f"{request.raw_query}&{name}=1"))
    assert "AWS4-HMAC-SHA256" in caught.error.message


@pytest.mark.parametrize(
    "name", ["acl", "versionId", "uploadId", "partNumber", "tagging", "response-content-type", "delete", "uploads"]
)
def test_a11_a_sub_resource_cannot_be_added_changed_or_taken_away(name):
    plain, signed = presigned_v2("GET", URL), presigned_v2("GET", f"{URL}?{name}=1")
    verify(signed)
    for query in (
        f"{plain.raw_query}&{name}=1",
        f"{plain.raw_query}&{name}",
        signed.raw_query.replace(f"{name}=1", f"{name}=2"),
        signed.raw_query.replace(f"{name}=1&", ""),
    ):
        with refused(Code.SignatureDoesNotMatch):
            verify(with_query(signed, query))
    with refused(Code.InvalidArgument):
        verify(with_query(signed, f"{signed.raw_query}&{name}=1"))


def test_two_sub_resources_cannot_be_folded_into_one_value():
    signed = presigned_v2("GET", f"{URL}?response-content-type=a&versionId=3")
    verify(signed)
    for folded in ("response-content-type=a%26versionId=3", "response-content-type=a%26versionId%3D3"):
        with refused(Code.AccessDenied):
            verify(with_query(signed, signed.raw_query.replace("response-content-type=a&versionId=3", folded)))


def test_two_headers_cannot_be_folded_into_one_value():
    signed = presigned_v2("PUT", URL, {"x-amz-acl": "private", "x-amz-meta-a": "1"})
    verify(signed)
    query = signed.raw_query.replace("&x-amz-meta-a=1", "").replace("private", "private%0Ax-amz-meta-a:1")
    with refused(Code.InvalidArgument):
        verify(with_query(signed, query))


@pytest.mark.parametrize("name", ["x-amz-copy-source", "x-amz-acl", "x-amz-meta-a", "x-amz-tagging", "x-amz-date"])
def test_a11_an_unsigned_x_amz_header_is_refused(name):
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(presigned_v2("PUT", URL), **{name: "a"}))


def test_a11_a_header_must_say_what_the_query_says():
    request = presigned_v2("PUT", URL, {"x-amz-acl": "private", "Content-Type": "image/png"})
    for changed in ({"x_amz_acl": "public-read"}, {"content_type": "text/html"}):
        with refused(Code.AccessDenied):
            verify(with_headers(request, **changed))


def test_a11_a_content_type_that_was_not_signed_does_not_match():
    request = presigned_v2("PUT", URL)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, content_type="text/html"))
    with refused(Code.SignatureDoesNotMatch):
        verify(with_query(request, request.raw_query + "&content-type=text/html"))


def test_a11_switched_off_it_is_refused_with_a_clear_text():
    with refused(Code.InvalidRequest) as caught:
        verify(presigned_v2("GET", URL), verifier=Verifier(sigv2=False, domains=()))
    assert "AWS4-HMAC-SHA256" in caught.error.message


def test_a11_forged_expired_and_foreign_signatures_are_refused():
    request = presigned_v2("GET", URL, expires_s=60)
    verify(request, now_s=AWS_NOW_S + 60)
    with refused(Code.AccessDenied):
        verify(request, now_s=AWS_NOW_S + 61)
    with refused(Code.SignatureDoesNotMatch):
        verify(request, secret=SecretAccessKey("another"))
    with refused(Code.SignatureDoesNotMatch):
        verify(with_query(request, request.raw_query.replace("Expires=1", "Expires=2")))


@given(st.text(st.characters()))
def test_garbage_beside_a_sigv2_signature_is_a_4xx(text):
    request = presigned_v2("GET", URL)
    for other in (
        with_query(request, f"{request.raw_query}&{text}"),
        with_query(request, f"{request.raw_query}&x-amz-{text}"),
        with_headers(request, x_amz_meta_a=text),
        WireRequest("GET", f"/{text}", request.raw_query, request.headers),
    ):
        try:
            verify(other)
        except S3Error as error:
            assert 400 <= error.code.status < 500
