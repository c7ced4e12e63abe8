"""gateway/sigv4/payload.py: what x-amz-content-sha256 says about the body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.sigv4.model import Scheme
from gateway.sigv4.payload import PayloadKind, parse_payload, parse_small_payload
from tests.sigv4.signers import EMPTY, refused

HASH = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
SENTINELS = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": PayloadKind.STREAMING_SIGNED,
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": PayloadKind.STREAMING_SIGNED_TRAILER,
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": PayloadKind.STREAMING_UNSIGNED_TRAILER,
}


@pytest.mark.parametrize("value", [HASH, EMPTY])
def test_a_hash_is_what_the_body_must_have(value):
    payload = parse_payload({"x-amz-content-sha256": value}, Scheme.HEADER)
    assert (payload.kind, payload.sha256_hex, payload.text) == (PayloadKind.SHA256, value, value)
    assert not payload.streaming


def test_an_unsigned_payload_declares_nothing():
    payload = parse_payload({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, Scheme.HEADER)
    assert (payload.kind, payload.sha256_hex, payload.streaming) == (PayloadKind.UNSIGNED, None, False)


@pytest.mark.parametrize(("value", "kind"), SENTINELS.items())
def test_a_sentinel_announces_aws_chunked(value, kind):
    payload = parse_payload({"x-amz-content-sha256": value}, Scheme.HEADER)
    assert (payload.kind, payload.text, payload.sha256_hex) == (kind, value, None)
    assert payload.streaming
    assert payload.signed_chunks == ("HMAC" in value)
    assert payload.has_trailer == value.endswith("TRAILER")


@pytest.mark.parametrize("scheme", [Scheme.QUERY, Scheme.SIGV2_QUERY, None])
def test_without_the_header_a_presigned_or_anonymous_body_is_unsigned(scheme):
    assert parse_payload({}, scheme).kind is PayloadKind.UNSIGNED


def test_without_the_header_a_header_signature_is_refused():
    with refused(Code.InvalidRequest):
        parse_payload({}, Scheme.HEADER)


@pytest.mark.parametrize("scheme", [Scheme.QUERY, Scheme.SIGV2_QUERY, None])
@pytest.mark.parametrize("value", [*SENTINELS, "STREAMING-ANYTHING"])
def test_b08_a_streaming_body_needs_a_header_signature(scheme, value):
    with refused(Code.AccessDenied):
        parse_payload({"x-amz-content-sha256": value}, scheme)


@pytest.mark.parametrize("trailer", ["", "-TRAILER"])
def test_sigv4a_chunks_are_not_implemented(trailer):
    with refused(Code.NotImplemented):
        parse_payload({"x-amz-content-sha256": f"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD{trailer}"}, Scheme.HEADER)


def test_a_presigned_query_may_carry_the_value():
    assert parse_payload({}, Scheme.QUERY, "UNSIGNED-PAYLOAD").kind is PayloadKind.UNSIGNED
    assert parse_payload({}, Scheme.QUERY, HASH).sha256_hex == HASH
    assert parse_payload({"x-amz-content-sha256": HASH}, Scheme.QUERY, HASH).sha256_hex == HASH


def test_header_and_query_must_agree():
    with refused(Code.InvalidArgument):
        parse_payload({"x-amz-content-sha256": HASH}, Scheme.QUERY, "UNSIGNED-PAYLOAD")


@pytest.mark.parametrize(
    "value",
    ["", "x", HASH.upper(), HASH[:-1], HASH + "0", f" {HASH}", f"{HASH}\n", "unsigned-payload", "STREAMING-", "٠" * 64],
)
def test_anything_else_is_an_invalid_argument(value):
    with refused(Code.InvalidArgument):
        parse_payload({"x-amz-content-sha256": value}, Scheme.HEADER)


@given(st.text(), st.sampled_from([*Scheme, None]))
def test_garbage_is_a_4xx(value, scheme):
    try:
        parse_payload({"x-amz-content-sha256": value}, scheme)
    except S3Error as error:
        assert error.code.status in (400, 403)


def test_a_body_that_was_read_already_is_what_its_header_says_or_no_header_says_anything():
    for headers in ({}, {"x-amz-content-sha256": HASH}):
        assert parse_small_payload(headers, HASH).sha256_hex == HASH
    for value in (EMPTY, HASH.upper(), f"{HASH} ", "", "UNSIGNED-PAYLOAD", *SENTINELS, "\udcff"):
        with refused(Code.XAmzContentSHA256Mismatch, S3ComputedContentSHA256=HASH):
            parse_small_payload({"x-amz-content-sha256": value}, HASH)
