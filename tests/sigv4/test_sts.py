"""Requests to STS as botocore and MinIO's SDK sign them: accepted, each change refused, and never good for S3."""

import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

import botocore.auth
import pytest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st
from minio.credentials.credentials import Credentials as MinioCredentials
from minio.signer import sign_v4_sts

from gateway.errors import Code
from gateway.sigv4.credentials import Credentials, parse_credentials
from gateway.sigv4.model import STS, SecretAccessKey, WireRequest
from gateway.sigv4.signature import Verified, Verifier
from tests.sigv4.signers import (
    ACCESS_KEY_ID,
    AWS_NOW_S,
    ENDPOINT,
    SECRET,
    SECRET_TEXT,
    as_wire,
    at,
    botocore_request,
    header_signed,
    refused,
    wire,
    with_headers,
    with_query,
)

URL = f"{ENDPOINT}/"
BODY = urlencode({"Action": "AssumeRole", "Version": "2011-06-15", "RoleSessionName": "sara"}).encode()
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


def signed(
    *,
    service: str = "sts",
    region: str = "us-east-1",
    token: str | None = None,
    url: str = URL,
    body: bytes = BODY,
    headers: dict[str, str] | None = None,
) -> WireRequest:
    """As botocore's STS client signs."""
    request = botocore_request("POST", url, FORM | (headers or {}), body)
    with at(AWS_NOW_S):
        credentials = BotocoreCredentials(ACCESS_KEY_ID, SECRET_TEXT, token)
        botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    return as_wire(request)


def signed_by_minio(region: str) -> WireRequest:
    """As minio-py's AssumeRoleProvider signs; its region is empty unless it is given one."""
    unsigned: Any = {"Host": "127.0.0.1:9000", "X-Amz-Date": "20130524T000000Z"} | FORM
    moment = datetime.datetime.fromtimestamp(AWS_NOW_S, datetime.UTC)
    headers = sign_v4_sts(
        method="POST",
        url=urlsplit(ENDPOINT),
        region=region,
        headers=unsigned,
        credentials=MinioCredentials(ACCESS_KEY_ID, SECRET_TEXT),
        content_sha256=sha256(BODY).hexdigest(),
        date=moment,
    )
    return wire("POST", URL, {name: str(value) for name, value in headers.items()})


def claimed(request: WireRequest, service: str = STS) -> Credentials:
    credentials = parse_credentials(request, service)
    assert credentials is not None
    return credentials


def verify(
    request: WireRequest,
    body: bytes = BODY,
    *,
    secret: SecretAccessKey = SECRET,
    now_s: int = AWS_NOW_S,
    regions: frozenset[str] | None = None,
    session_token: str | None = None,
) -> Verified:
    verifier = Verifier(regions, domains=("s3.localhost",))
    digest = sha256(body).hexdigest()
    return verifier.verify_sts(request, claimed(request), secret, digest, now_s=now_s, session_token=session_token)


# --- accepted


@pytest.mark.parametrize("region", ["us-east-1", "default", "eu-central-1"])
def test_what_botocore_signs_is_accepted_without_a_header_for_the_payload(region):
    request = signed(region=region)
    assert "x-amz-content-sha256" not in request.headers
    verified = verify(request)
    assert verified.payload.sha256_hex == sha256(BODY).hexdigest()
    assert verified.credentials.access_key_id == ACCESS_KEY_ID


def test_the_hash_of_the_body_may_be_sent_as_js_sdks_do():
    verify(signed(headers={"X-Amz-Content-SHA256": sha256(BODY).hexdigest()}))


@pytest.mark.parametrize("region", ["", "us-east-1"])
def test_what_minio_signs_is_accepted_even_without_a_region(region):
    verify(signed_by_minio(region))


@given(st.binary(max_size=100))
def test_any_body_is_bound_to_its_signature(body):
    request = signed(body=body)
    verify(request, body)
    with refused(Code.SignatureDoesNotMatch):
        verify(request, body + b"&")


# --- refused


def test_another_body_is_refused():
    for body in (b"", BODY + b"&DurationSeconds=43200", BODY.replace(b"sara", b"root")):
        with refused(Code.SignatureDoesNotMatch):
            verify(signed(), body)


def test_another_body_is_refused_where_its_hash_is_sent():
    request = signed(headers={"X-Amz-Content-SHA256": sha256(BODY).hexdigest()})
    with refused(Code.XAmzContentSHA256Mismatch):
        verify(request, b"other")
    for changed in (sha256(b"other").hexdigest(), None):
        other = with_headers(request, x_amz_content_sha256=changed)
        with refused(Code.XAmzContentSHA256Mismatch, Code.SignatureDoesNotMatch):
            verify(other, b"other")


@pytest.mark.parametrize(
    "value", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "", "E3"]
)
def test_a_signature_that_leaves_the_body_open_is_refused(value):
    request = signed(headers={"X-Amz-Content-SHA256": value})
    with refused(Code.XAmzContentSHA256Mismatch):
        verify(request)


def test_each_change_to_a_request_is_refused():
    request = signed(url=f"{URL}?a=1", headers={"X-Amz-Meta-A": "1"})
    verify(request)
    changed = [
        WireRequest("PUT", request.raw_path, request.raw_query, request.headers),
        WireRequest(request.method, "/sts", request.raw_query, request.headers),
        with_query(request, ""),
        with_query(request, "a=2"),
        with_query(request, "a=1&b=2"),
        with_headers(request, host="127.0.0.1:9001"),
        with_headers(request, content_type="text/plain"),
        with_headers(request, x_amz_meta_a="2"),
        with_headers(request, x_amz_meta_a=None),
        with_headers(request, x_amz_meta_b="2"),
        with_headers(request, x_amz_security_token="T"),
        with_headers(request, x_amz_date="20130524T000001Z"),
        with_headers(request, authorization=request.headers["authorization"].replace("us-east-1", "us-east-2")),
    ]
    for other in changed:
        with refused(Code.SignatureDoesNotMatch, Code.AccessDenied):
            verify(other)


def test_another_secret_is_refused():
    with refused(Code.SignatureDoesNotMatch):
        verify(signed(), secret=SecretAccessKey("another"))


@pytest.mark.parametrize("seconds", [-901, 901])
def test_a_request_of_another_time_is_refused(seconds):
    verify(signed(), now_s=AWS_NOW_S + seconds // 901 * 900)
    with refused(Code.RequestTimeTooSkewed):
        verify(signed(), now_s=AWS_NOW_S + seconds)


def test_regions_apply_as_they_do_for_s3():
    regions = frozenset({"us-east-1"})
    verify(signed(), regions=regions)
    for request in (signed(region="eu-central-1"), signed_by_minio("")):
        with refused(Code.AuthorizationHeaderMalformed, Region="us-east-1"):
            verify(request, regions=regions)


def test_a_session_token_must_be_the_one_that_was_issued():
    verify(signed(token="T"), session_token="T")
    for request, token in ((signed(token="T"), None), (signed(token="T"), "U"), (signed(), "T")):
        with refused(Code.InvalidToken):
            verify(request, session_token=token)


def test_an_unknown_key_is_refused_after_the_same_checks():
    verifier = Verifier(domains=())
    request = signed(token="T")
    digest = sha256(BODY).hexdigest()
    with refused(Code.InvalidAccessKeyId, AWSAccessKeyId=ACCESS_KEY_ID):
        verifier.refuse_unknown_sts(request, claimed(request), digest, AWS_NOW_S)
    with refused(Code.RequestTimeTooSkewed):
        verifier.refuse_unknown_sts(request, claimed(request), digest, AWS_NOW_S + 901)
    other = with_headers(request, x_amz_content_sha256="UNSIGNED-PAYLOAD")
    with refused(Code.XAmzContentSHA256Mismatch):
        verifier.refuse_unknown_sts(other, claimed(other), digest, AWS_NOW_S)
    other = with_headers(request, x_amz_acl="private")
    with refused(Code.AccessDenied, HeadersNotSigned="x-amz-acl"):
        verifier.refuse_unknown_sts(other, claimed(other), digest, AWS_NOW_S)


# --- STS and S3 apart


def test_a_request_for_one_service_is_never_read_as_one_for_the_other():
    """Twice each, as what was read once is remembered."""
    sts, s3 = signed(), header_signed("POST", URL, FORM, body=BODY)
    for _ in range(2):
        claimed(sts)
        with refused(Code.AuthorizationHeaderMalformed):
            parse_credentials(sts)
        assert parse_credentials(s3)
        with refused(Code.AuthorizationHeaderMalformed):
            parse_credentials(s3, STS)


@pytest.mark.parametrize("service", ["iam", "STS", "s3,sts", "sts4", "s"])
def test_a_request_for_any_other_service_is_refused_by_both(service):
    request = signed(service=service)
    for door in ("s3", STS):
        with refused(Code.AuthorizationHeaderMalformed):
            parse_credentials(request, door)


def test_credentials_for_one_service_are_never_verified_for_the_other():
    verifier = Verifier(domains=())
    sts, s3 = signed(), header_signed("POST", URL, FORM, body=BODY)
    with pytest.raises(ValueError, match="for s3"):
        verifier.verify(sts, claimed(sts), SECRET, now_s=AWS_NOW_S)
    with pytest.raises(ValueError, match="for sts"):
        verifier.verify_sts(s3, claimed(s3, "s3"), SECRET, sha256(BODY).hexdigest(), now_s=AWS_NOW_S)


def test_only_sts_takes_an_empty_region():
    authorization = signed_by_minio("").headers["authorization"]
    for service in ("s3", STS):
        request = wire("POST", URL, {"authorization": authorization.replace("//sts/", f"//{service}/")})
        request = with_headers(request, x_amz_date="20130524T000000Z")
        if service == STS:
            assert claimed(request).scope == claimed(signed_by_minio("")).scope
        else:
            with refused(Code.AuthorizationHeaderMalformed):
                parse_credentials(request)


@pytest.mark.parametrize("service", ["sts", "s3"])
def test_a_presigned_url_is_no_request_to_sts(service):
    request = botocore_request("POST", f"{URL}?Action=AssumeRole", FORM)
    with at(AWS_NOW_S):
        credentials = BotocoreCredentials(ACCESS_KEY_ID, SECRET_TEXT)
        botocore.auth.SigV4QueryAuth(credentials, service, "us-east-1").add_auth(request)
    presigned = as_wire(request)
    for _ in range(2):
        with refused(Code.AuthorizationQueryParametersError):
            parse_credentials(presigned, STS)
        if service == "s3":
            assert parse_credentials(presigned)
        else:
            with refused(Code.AuthorizationQueryParametersError):
                parse_credentials(presigned)


def test_a_sigv2_url_is_no_request_to_sts():
    request = wire("POST", f"{URL}?AWSAccessKeyId={ACCESS_KEY_ID}&Expires=1999999999&Signature=AAAA")
    with refused(Code.AuthorizationQueryParametersError):
        parse_credentials(request, STS)


def test_a_request_to_sts_that_nobody_signed_is_anonymous():
    assert parse_credentials(wire("POST", f"{URL}?Action=AssumeRole", FORM), STS) is None
