"""gateway/sigv4/signature.py: AWS's published examples, real clients' URLs, and everything that must be refused."""

import pytest

from gateway.errors import Code, S3Error
from gateway.sigv4.credentials import parse_credentials
from gateway.sigv4.hoisted import hoisted_headers
from gateway.sigv4.model import SecretAccessKey, WireRequest
from gateway.sigv4.payload import PayloadKind
from gateway.sigv4.signature import Verifier
from tests.sigv4.signers import (
    ACCESS_KEY_ID,
    AWS_NOW_S,
    EMPTY,
    ENDPOINT,
    SECRET,
    SECRET_TEXT,
    header_signed,
    presigned,
    presigned_v2,
    refused,
    verify,
    wire,
    with_headers,
    with_query,
)

URL = f"{ENDPOINT}/media/key"
DATE = "20130524T000000Z"
EXAMPLE = "https://examplebucket.s3.amazonaws.com"
ZEROS = "0" * 64


def aws_example(method: str, url: str, headers: dict[str, str], signature: str) -> WireRequest:
    """A request of AWS's pages: all headers are signed, at 20130524T000000Z, by the example key for us-east-1."""
    request = wire(method, url, headers | {"x-amz-date": DATE})
    names = ";".join(sorted(request.headers))
    scope = "20130524/us-east-1/s3/aws4_request"
    return with_headers(
        request,
        authorization=f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope},SignedHeaders={names},Signature={signature}",
    )


# --- published examples


@pytest.mark.parametrize(
    ("method", "url", "headers", "signature"),
    [
        (
            "GET",
            f"{EXAMPLE}/test.txt",
            {"range": "bytes=0-9", "x-amz-content-sha256": EMPTY},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            f"{EXAMPLE}/test%24file.text",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
                "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            },
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            f"{EXAMPLE}/?lifecycle",
            {"x-amz-content-sha256": EMPTY},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            f"{EXAMPLE}/?max-keys=2&prefix=J",
            {"x-amz-content-sha256": EMPTY},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_published_header_examples_verify(method, url, headers, signature):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
    verified = verify(aws_example(method, url, headers, signature))
    assert verified.payload.sha256_hex == headers["x-amz-content-sha256"]
    with refused(Code.SignatureDoesNotMatch):
        verify(aws_example(method, url + "x", headers, signature))


def test_the_published_presigned_url_verifies():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html"""
    request = wire(
        "GET",
        f"{EXAMPLE}/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    )
    assert verify(request).payload.kind is PayloadKind.UNSIGNED
    verify(request, now_s=AWS_NOW_S + 86400)
    with refused(Code.AccessDenied):
        verify(request, now_s=AWS_NOW_S + 86401)


@pytest.mark.parametrize(
    ("extra", "seed", "chunk"),
    [
        (
            {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "content-length": "66824"},
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        ),
        (
            {
                "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                "x-amz-trailer": "x-amz-checksum-crc32c",
            },
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        ),
    ],
)
def test_the_published_chunked_uploads_verify(extra, seed, chunk):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html"""
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    url = "https://s3.amazonaws.com/examplebucket/chunkObject.txt"
    verified = verify(aws_example("PUT", url, headers | extra, seed))
    assert verified.payload.signed_chunks
    chunks = verified.chunks()
    chunks.verify_chunk("bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a", chunk)
    with refused(Code.SignatureDoesNotMatch):
        chunks.verify_chunk(EMPTY, chunk)


# --- what clients send


JS_V3 = (
    "http://media.s3.localhost:9000/a%20b/%C3%A9%281%29%2B%27%21.png?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fdefault%2Fs3%2Faws4_request&X-Amz-Date=20261122T100000Z"
    "&X-Amz-Expires=600&X-Amz-Signature=1c8e58feacbb1e983061adf4a9f9eca52910d410372535510eb1eb77d51dc3a6"
    "&X-Amz-SignedHeaders=host&x-amz-acl=private&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-meta-album=7%20x"
    "&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject"
)
JS_V3_NOW_S = 1795341600
JS_V2 = (
    "http://s3.localhost:9000/media/a%20b/%C3%A9%281%29%2B%27%21.png?Content-Type=image%2Fpng"
    "&X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fdefault%2Fs3%2Faws4_request&X-Amz-Date=20261122T101128Z"
    "&X-Amz-Expires=600&X-Amz-Signature=b6c0904530937ed00309124da1e903ee5c4c8adbf37ed8789bb2699cb77f4836"
    "&X-Amz-SignedHeaders=host%3Bx-amz-acl%3Bx-amz-meta-album&x-amz-acl=private&x-amz-meta-album=7%20x"
)


def test_a_presigned_put_of_js_v3_verifies_and_brings_its_headers():
    request = wire("PUT", JS_V3)
    assert verify(request, now_s=JS_V3_NOW_S).payload.kind is PayloadKind.UNSIGNED
    credentials = parse_credentials(request)
    assert credentials is not None
    assert hoisted_headers(request, credentials) == {"x-amz-acl": "private", "x-amz-meta-album": "7 x"}


def test_a_presigned_put_of_js_v2_verifies_with_the_headers_it_signed():
    request = with_headers(wire("PUT", JS_V2), x_amz_acl="private", x_amz_meta_album="7 x")
    verify(request, now_s=JS_V3_NOW_S + 700)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, x_amz_meta_album="8"), now_s=JS_V3_NOW_S + 700)


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("/b/%C3%A9", "/b/%c3%a9"),  # C11
        ("/b/%C3%A9", "/b/é"),
        ("/b/a~b", "/b/a%7Eb"),
        ("/b/?list-type=2&prefix=od%2F&delimiter=%2F", "/b/?list-type=2&prefix=od/&delimiter=/"),  # opendal
        ("/b/?prefix=a%20b", "/b/?prefix=a+b"),
        ("/b/?acl=", "/b/?acl"),
        ("/b/?prefix=%C3%A9", "/b/?prefix=%c3%a9"),
        ("/b/?a=1&b=2", "/b/?b=2&a=1"),
    ],
)
def test_what_is_sent_otherwise_than_signed_is_brought_to_the_canonical_form(signed, sent):
    request = header_signed("GET", ENDPOINT + signed)
    path, _, query = sent.partition("?")
    verify(WireRequest("GET", path, query, request.headers))


@pytest.mark.parametrize(
    "url", ["/b/a(1)!*'", "/b/a+b,c;d=e:f@g", "/b/k?x=(1)", "/b/?prefix=a/b&delimiter=/", "/b/?p=a+b"]
)
def test_what_is_signed_exactly_as_sent_verifies_too(url):
    """botocore's S3 signers take path and query as they stand."""
    verify(header_signed("GET", ENDPOINT + url))
    verify(header_signed("GET", ENDPOINT + url), now_s=AWS_NOW_S)


def test_a_plus_in_a_query_is_a_space_and_never_a_plus():
    request = header_signed("GET", f"{ENDPOINT}/b/?prefix=a%2Bb")
    with refused(Code.SignatureDoesNotMatch):
        verify(with_query(request, "prefix=a+b"))


def test_an_expect_header_that_a_proxy_took_away_is_put_back():
    request = header_signed("PUT", URL, {"x-amz-meta-a": "1"})
    credentials = parse_credentials(request)
    assert credentials is not None
    verify(with_headers(request, expect=None))


def test_a_session_token_must_be_the_one_that_was_issued():
    for request in (
        header_signed("GET", URL, token="TOKEN"),
        presigned("GET", URL, token="TOKEN"),
        presigned_v2("GET", URL, token="TOKEN"),
    ):
        for _ in range(2):
            verify(request, session_token="TOKEN")
            for other in (None, "", "ANOTHER"):
                with refused(Code.InvalidToken):
                    verify(request, session_token=other)
    with refused(Code.InvalidToken):
        verify(presigned("GET", URL), session_token="TOKEN")


# --- unsigned headers


UNSIGNED_HEADERS = [
    "x-amz-copy-source",
    "x-amz-acl",
    "x-amz-grant-read",
    "x-amz-tagging",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "x-amz-meta-a",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-object-lock-mode",
    "x-amz-security-token",
    "x-amz-bypass-governance-retention",
    "x-amz-anything-to-come",
]


@pytest.mark.parametrize("name", UNSIGNED_HEADERS)
@pytest.mark.parametrize("sign", [header_signed, presigned])
def test_a01_a02_b01_an_unsigned_x_amz_header_is_access_denied(sign, name):
    request = sign("PUT", URL)
    verify(request)
    with refused(Code.AccessDenied, HeadersNotSigned=name) as caught:
        verify(with_headers(request, **{name: "/other/secret"}))
    assert caught.error.message == "There were headers present in the request which were not signed"


def test_a01_all_unsigned_headers_are_named():
    request = with_headers(header_signed("PUT", URL), x_amz_tagging="a=b", x_amz_acl="private")
    with refused(Code.AccessDenied, HeadersNotSigned="x-amz-acl, x-amz-tagging"):
        verify(request)


def test_a02_envelope_headers_and_other_prefixes_may_stay_unsigned():
    request = with_headers(
        header_signed("PUT", URL),
        x_amz_decoded_content_length="5",
        x_amz_trailer="x-amz-checksum-crc32",
        x_amz_checksum_algorithm="CRC32",
        x_amzn_trace_id="Root=1",
    )
    verify(request)


@pytest.mark.parametrize("sign", [header_signed, presigned])
def test_a08_the_host_must_be_signed(sign):
    request = sign("GET", URL)
    unsigned = [
        with_headers(
            request,
            authorization=request.headers.get("authorization", "").replace("host;", "") or None,
        )
    ]
    if sign is presigned:
        unsigned = [with_query(request, request.raw_query.replace("SignedHeaders=host", "SignedHeaders=range"))]
    with refused(Code.AccessDenied, HeadersNotSigned="host"):
        verify(unsigned[0])


# --- time


@pytest.mark.parametrize("skew_s", [-900, 0, 900])
def test_fifteen_minutes_of_skew_are_accepted(skew_s):
    verify(header_signed("GET", URL), now_s=AWS_NOW_S + skew_s)


@pytest.mark.parametrize("skew_s", [-901, 901, 960, 86400])
def test_a13_more_skew_is_refused(skew_s):
    with refused(Code.RequestTimeTooSkewed, MaxAllowedSkewMilliseconds=900000, RequestTime="2013-05-24T00:00:00Z"):
        verify(header_signed("GET", URL), now_s=AWS_NOW_S + skew_s)


def test_a13_the_same_request_twice_in_a_second_passes():
    verifier = Verifier(domains=())
    verify(header_signed("GET", URL), verifier=verifier)
    verify(header_signed("GET", URL), verifier=verifier)


def test_b04_a_presigned_url_ends_with_its_last_second():
    verifier = Verifier(domains=())
    request = presigned("GET", URL, expires_s=60)
    verify(request, verifier=verifier, now_s=AWS_NOW_S + 60)
    for _ in range(2):
        with refused(Code.AccessDenied, Expires="2013-05-24T00:01:00Z", ServerTime="2013-05-24T00:01:01Z") as caught:
            verify(request, verifier=verifier, now_s=AWS_NOW_S + 61)
        assert caught.error.message == "Request has expired"


def test_b04_a_presigned_url_of_the_future_is_not_yet_valid():
    verify(presigned("GET", URL), now_s=AWS_NOW_S - 900)
    with refused(Code.AccessDenied):
        verify(presigned("GET", URL), now_s=AWS_NOW_S - 901)


# --- regions


@pytest.mark.parametrize("region", ["us-east-1", "default", "auto", "ir-thr-1", "eu_west.1"])
def test_any_region_verifies_by_default(region):
    verify(header_signed("GET", URL, region=region))
    verify(presigned("GET", URL, region=region))


def test_a14_a_region_that_is_not_configured_is_400():
    verifier = Verifier(frozenset({"default"}), domains=())
    verify(header_signed("GET", URL, region="default"), verifier=verifier)
    with refused(Code.AuthorizationHeaderMalformed, Region="default"):
        verify(header_signed("GET", URL), verifier=verifier)
    with refused(Code.AuthorizationQueryParametersError, Region="default"):
        verify(presigned("GET", URL), verifier=verifier)


# --- hosts


def test_b11_the_signed_host_may_be_any_public_host():
    verifier = Verifier(hosts=("s3.example.com", "files.example.com:9000"), domains=("s3.localhost",))
    for signed in ("s3.example.com", "s3.example.com:443", "files.example.com:9000"):
        request = header_signed("GET", "http://10.0.0.7:9000/media/key", {"Host": signed})
        assert request.headers["host"] == signed
        for sent in (signed, "10.0.0.7:9000", "127.0.0.1"):
            verify(with_headers(request, host=sent), verifier=verifier)
    with refused(Code.SignatureDoesNotMatch):
        verify(
            with_headers(header_signed("GET", URL, {"Host": "other.example.com"}), host="10.0.0.7"), verifier=verifier
        )


@pytest.mark.parametrize(
    ("signed", "sent"),
    [("a", "b"), ("a:9000", "a"), ("a", "a:9000"), ("a:9000", "a:9001"), ("a", "a."), ("a:80", "a:443")],
)
def test_b11_another_host_or_port_does_not_match(signed, sent):
    request = presigned("GET", f"http://{signed}/media/key", {"Host": signed})
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, host=sent))


@pytest.mark.parametrize(
    ("signed", "sent"), [("a", "A"), ("a", "a:80"), ("a", "a:443"), ("a:443", "a"), ("a:80", "a"), ("a", "A:443")]
)
def test_b11_case_and_default_port_are_the_same_host(signed, sent):
    request = presigned("GET", "http://x/media/key", {"Host": signed})
    verify(with_headers(request, host=sent))


def test_a_path_style_signature_opens_nothing_in_a_virtual_host():
    """`s3.localhost/media/key` and `key media/key of bucket other` have the same path."""
    verifier = Verifier(hosts=("s3.localhost", "s3.example.com"), domains=("s3.localhost",))
    request = presigned("GET", "http://s3.localhost/media/key")
    verify(request, verifier=verifier)
    verify(with_headers(request, host="10.0.0.7"), verifier=verifier)
    for sent in ("other.s3.localhost", "OTHER.s3.localhost:80", "other.s3.localhost."):
        with refused(Code.SignatureDoesNotMatch):
            verify(with_headers(request, host=sent), verifier=verifier)


def test_a_virtual_host_signature_opens_nothing_path_style():
    verifier = Verifier(hosts=("s3.localhost", "media.s3.localhost"), domains=("s3.localhost",))
    request = presigned("GET", "http://media.s3.localhost/other/key")
    verify(request, verifier=verifier)
    for sent in ("s3.localhost", "10.0.0.7", "private.s3.localhost"):
        with refused(Code.SignatureDoesNotMatch):
            verify(with_headers(request, host=sent), verifier=verifier)


def test_the_bucket_stays_when_another_domain_was_signed():
    verifier = Verifier(hosts=("s3.example.com",), domains=("s3.localhost", "s3.example.com"))
    request = presigned("GET", "http://media.s3.example.com/key")
    verify(with_headers(request, host="media.s3.localhost"), verifier=verifier)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, host="other.s3.localhost"), verifier=verifier)


# --- the body


def test_a_header_signature_needs_x_amz_content_sha256():
    with refused(Code.InvalidRequest):
        verify(with_headers(header_signed("GET", URL), x_amz_content_sha256=None))


def test_the_payload_hash_is_bound_by_the_signature():
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(header_signed("PUT", URL, body=b"hello"), x_amz_content_sha256="UNSIGNED-PAYLOAD"))


def test_b07_a_hash_pinned_in_a_presigned_url_is_what_the_body_must_have():
    url = f"{URL}?X-Amz-Content-Sha256={ZEROS}"
    request = presigned("PUT", url)
    with refused(Code.SignatureDoesNotMatch):  # botocore signs UNSIGNED-PAYLOAD whatever the query says
        verify(request)


def test_b08_an_unsigned_hash_on_a_presigned_url_fails_closed():
    verify(with_headers(presigned("PUT", URL), x_amz_content_sha256="UNSIGNED-PAYLOAD"))
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(presigned("PUT", URL), x_amz_content_sha256=ZEROS))
    with refused(Code.AccessDenied):
        verify(with_headers(presigned("PUT", URL), x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER"))


def test_a04_a_forged_streaming_request_does_not_match():
    request = header_signed("PUT", URL)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER"))


def test_a_request_without_chunks_has_no_chunk_verifier_for_sigv2():
    with pytest.raises(ValueError, match="SigV2"):
        verify(presigned_v2("GET", URL)).chunks()


# --- presigned queries


@pytest.mark.parametrize(
    "extra",
    [
        "versionId=1",
        "acl",
        "acl=",
        "tagging",
        "uploadId=a&partNumber=1",
        "response-content-type=text%2Fhtml",
        "x=1",
        "X=1",
        "x-amz-signature=1",
        "X-Amz-Signature2=1",
    ],
)
def test_b02_no_parameter_can_be_added_to_a_presigned_url(extra):
    request = presigned("GET", URL)
    for query in (f"{request.raw_query}&{extra}", f"{extra}&{request.raw_query}"):
        with refused(Code.SignatureDoesNotMatch):
            verify(with_query(request, query))


def test_b02_no_parameter_can_be_changed_or_taken_away():
    request = presigned("GET", f"{URL}?versionId=1")
    for query in (
        request.raw_query.replace("versionId=1", "versionId=2"),
        request.raw_query.replace("versionId=1&", ""),
        request.raw_query.replace("Expires=3600", "Expires=3601"),
    ):
        with refused(Code.SignatureDoesNotMatch):
            verify(with_query(request, query))


@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE", "POST", "get"])
def test_a_presigned_url_is_for_one_method(method):
    request = presigned("GET", URL)
    with refused(Code.SignatureDoesNotMatch):
        verify(WireRequest(method, request.raw_path, request.raw_query, request.headers))


# --- keys


def test_a_wrong_secret_does_not_match():
    for sign in (header_signed, presigned, presigned_v2):
        with refused(Code.SignatureDoesNotMatch):
            verify(sign("GET", URL), secret=SecretAccessKey(SECRET_TEXT + "x"))


def test_b10_a_rotated_secret_is_not_answered_from_memory():
    verifier = Verifier(domains=())
    for sign in (header_signed, presigned):
        request = sign("GET", URL)
        verify(request, verifier=verifier)
        verify(request, verifier=verifier)
        with refused(Code.SignatureDoesNotMatch):
            verify(request, verifier=verifier, secret=SecretAccessKey("rotated"))
        verifier.forget()
        with refused(Code.SignatureDoesNotMatch):
            verify(request, verifier=verifier, secret=SecretAccessKey("rotated"))
        verify(request, verifier=verifier)


def test_a_verified_url_is_remembered_by_all_that_was_signed():
    verifier = Verifier(domains=())
    request = presigned("GET", URL)
    first = verify(request, verifier=verifier)
    assert verify(request, verifier=verifier) is first
    assert verify(with_headers(request, range="bytes=0-1", user_agent="x"), verifier=verifier) is first
    others = [
        WireRequest("PUT", request.raw_path, request.raw_query, request.headers),
        WireRequest("GET", "/media/other", request.raw_query, request.headers),
        with_query(request, request.raw_query + "&a=b"),
        with_headers(request, host="other"),
        with_headers(request, host=None),
    ]
    for other in others:
        with refused(Code.SignatureDoesNotMatch):
            verify(other, verifier=verifier)
    with refused(Code.AccessDenied, HeadersNotSigned="x-amz-copy-source"):
        verify(with_headers(request, x_amz_copy_source="/other/secret"), verifier=verifier)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, x_amz_content_sha256=ZEROS), verifier=verifier)


def test_a_refused_url_is_not_remembered():
    verifier = Verifier(domains=())
    request = with_query(presigned("GET", URL), presigned("GET", f"{ENDPOINT}/media/other").raw_query)
    for _ in range(2):
        with refused(Code.SignatureDoesNotMatch):
            verify(request, verifier=verifier)


@pytest.mark.parametrize("sign", [header_signed, presigned, presigned_v2])
def test_a20_an_unknown_key_is_refused_after_the_same_work(sign):
    verifier = Verifier(domains=())
    request = sign("GET", URL)
    credentials = parse_credentials(request)
    assert credentials is not None
    for _ in range(2):
        with refused(Code.InvalidAccessKeyId, AWSAccessKeyId=ACCESS_KEY_ID):
            verifier.refuse_unknown(request, credentials, AWS_NOW_S)


def test_a20_an_unknown_key_gets_the_same_refusals_before_the_signature():
    verifier = Verifier(domains=())
    request = with_headers(header_signed("GET", URL), x_amz_acl="private")
    credentials = parse_credentials(request)
    assert credentials is not None
    with refused(Code.AccessDenied):
        verifier.refuse_unknown(request, credentials, AWS_NOW_S)
    with refused(Code.RequestTimeTooSkewed):
        verifier.refuse_unknown(request, credentials, AWS_NOW_S + 1000)


# --- the refusal


@pytest.mark.parametrize("sign", [header_signed, presigned, presigned_v2])
def test_o04_the_refusal_shows_the_callers_texts_and_never_the_expected_signature(sign):
    good = sign("GET", URL)
    expected = parse_credentials(good)
    assert expected is not None
    tampered = WireRequest("PUT", good.raw_path, good.raw_query, good.headers)
    with refused(
        Code.SignatureDoesNotMatch, AWSAccessKeyId=ACCESS_KEY_ID, SignatureProvided=expected.signature
    ) as caught:
        verify(tampered)
    fields = caught.error.fields
    assert fields["StringToSign"].startswith(
        "AWS4-HMAC-SHA256\n20130524T000000Z" if sign is not presigned_v2 else "PUT\n"
    )
    if sign is not presigned_v2:
        assert fields["CanonicalRequest"].startswith("PUT\n/media/key\n")
    with refused(Code.SignatureDoesNotMatch) as other:
        verify(good, secret=SecretAccessKey("another"))
    assert SECRET_TEXT not in str(other.error.fields) + str(fields)
    assert list(other.error.fields) == list(fields)


def test_a_refusal_can_be_rendered_whatever_bytes_were_sent():
    request = with_headers(header_signed("GET", URL), user_agent="\udcff", accept="\udce9")
    authorization = request.headers["authorization"].replace("SignedHeaders=host", "SignedHeaders=accept;host")
    with refused(Code.SignatureDoesNotMatch) as caught:
        verify(with_headers(request, authorization=authorization))
    for value in caught.error.fields.values():
        str(value).encode()


def test_utf8_and_other_bytes_in_signed_headers_verify():
    request = header_signed("PUT", URL, {"x-amz-meta-a": "é"})
    verify(request)
    with refused(Code.SignatureDoesNotMatch):
        verify(with_headers(request, x_amz_meta_a="\udce9"))


def test_a_malformed_path_or_query_is_invalid_uri():
    for raw_path, raw_query in (("/b/%zz", ""), ("/b/k", "a=%zz")):
        request = header_signed("GET", URL)
        with refused(Code.InvalidURI):
            verify(WireRequest("GET", raw_path, raw_query, request.headers))


def test_text_that_no_wire_carries_is_a_400():
    request = with_headers(header_signed("GET", URL), host="\ud800")
    with pytest.raises(S3Error) as caught:
        verify(request)
    assert caught.value.code.status == 400
    assert SECRET.reveal() not in repr(caught.value).encode()
