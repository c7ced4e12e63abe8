"""gateway/sigv4/post_policy.py: who signed a browser's POST form."""

import json
from base64 import b64encode

import botocore.auth
import pytest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.sigv4.model import Scheme, SecretAccessKey
from gateway.sigv4.post_policy import parse_post_credentials, verify_post, verify_post_signature
from gateway.sigv4.signature import Verifier
from tests.sigv4.signers import ACCESS_KEY_ID, AWS_NOW_S, ENDPOINT, SECRET, SECRET_TEXT, at, botocore_request, refused

VERIFIER = Verifier(domains=())

# The policy of AWS's page, with its blanks and CRLFs, as it is signed there.
POLICY = (
    "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2"
    "NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMt"
    "cmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29t"
    "L3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4"
    "LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0s"
    "DQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZP"
    "RE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1B"
    "Qy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
)
AWS_FORM = {
    "key": "user/user1/${filename}",
    "X-Amz-Credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Date": "20151229T000000Z",
    "Policy": POLICY,
    "X-Amz-Signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
}


def secret_for(access_key_id: str) -> SecretAccessKey | None:
    return SECRET if access_key_id == ACCESS_KEY_ID else None


def botocore_form(signer: str, *, token: str | None = None, region: str = "us-east-1") -> dict[str, str]:
    """The fields that botocore makes; `signer` is one of its two classes for POST forms."""
    request = botocore_request("POST", f"{ENDPOINT}/media")
    request.context["s3-presign-post-fields"] = {"key": "a/${filename}", "Content-Type": "image/png"}
    request.context["s3-presign-post-policy"] = {
        "expiration": "2013-05-25T00:00:00Z",
        "conditions": [{"bucket": "media"}],
    }
    with at(AWS_NOW_S):
        getattr(botocore.auth, signer)(BotocoreCredentials(ACCESS_KEY_ID, SECRET_TEXT, token), "s3", region).add_auth(
            request
        )
    return request.context["s3-presign-post-fields"]


SIGNERS = ("S3SigV4PostAuth", "HmacV1PostAuth")


def verify(fields: dict[str, str], verifier: Verifier = VERIFIER) -> str | None:
    return verify_post_signature(fields, secret_for, verifier)


def test_the_published_form_verifies():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html"""
    assert verify(AWS_FORM) == ACCESS_KEY_ID


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("change", [str, str.lower, str.upper, str.title])
def test_forms_of_botocore_verify_with_names_in_any_case(signer, change):
    fields = {change(name): value for name, value in botocore_form(signer).items()}
    assert verify(fields) == ACCESS_KEY_ID


@pytest.mark.parametrize("region", ["default", "auto", "eu-west-1"])
def test_any_region_verifies_by_default(region):
    fields = botocore_form("S3SigV4PostAuth", region=region)
    assert verify(fields) == ACCESS_KEY_ID
    with refused(Code.AuthorizationQueryParametersError, Region="ir-thr-1"):
        verify(fields, Verifier(frozenset({"ir-thr-1"}), domains=()))


@pytest.mark.parametrize("signer", SIGNERS)
def test_an_altered_policy_does_not_match(signer):
    fields = botocore_form(signer)
    altered = b64encode(json.dumps({"expiration": "2030-01-01T00:00:00Z", "conditions": []}).encode()).decode()
    for policy in (
        altered,
        fields["policy"] + " ",
        fields["policy"] + "\n",
        fields["policy"].rstrip("="),
        "",
        "\udcff",
    ):
        if policy != fields["policy"]:
            with refused(Code.SignatureDoesNotMatch):
                verify(fields | {"policy": policy})


@pytest.mark.parametrize("signer", SIGNERS)
def test_a_wrong_secret_does_not_match_and_an_unknown_key_is_refused(signer):
    fields = botocore_form(signer)
    with refused(Code.SignatureDoesNotMatch):
        verify_post_signature(fields, lambda _: SecretAccessKey("another"), VERIFIER)
    with refused(Code.InvalidAccessKeyId, AWSAccessKeyId=ACCESS_KEY_ID):
        verify_post_signature(fields, lambda _: None, VERIFIER)


@pytest.mark.parametrize("signer", SIGNERS)
def test_a_session_token_must_be_the_one_that_was_issued(signer):
    fields = botocore_form(signer, token="TOKEN")
    credentials = parse_post_credentials(fields)
    assert credentials is not None
    verify_post(fields, credentials, SECRET, VERIFIER, session_token="TOKEN")
    for token in (None, "OTHER"):
        with refused(Code.InvalidToken):
            verify_post(fields, credentials, SECRET, VERIFIER, session_token=token)


def test_a11_sigv2_forms_can_be_switched_off():
    off = Verifier(sigv2=False, domains=())
    assert verify(botocore_form("S3SigV4PostAuth"), off) == ACCESS_KEY_ID
    with refused(Code.InvalidRequest):
        verify(botocore_form("HmacV1PostAuth"), off)


def test_g01_a_form_without_policy_and_signature_is_anonymous():
    assert verify({"key": "a", "Content-Type": "image/png", "x-amz-meta-a": "1"}) is None


@pytest.mark.parametrize("signer", SIGNERS)
def test_g01_a_field_that_is_missing_is_named(signer):
    fields = botocore_form(signer)
    for name in (
        "policy",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
        "x-amz-algorithm",
        "AWSAccessKeyId",
        "signature",
    ):
        if name in fields:
            with refused(Code.InvalidArgument, ArgumentName=name.lower()):
                verify({field: value for field, value in fields.items() if field != name})


def test_a_field_of_the_signature_must_not_be_there_twice():
    with refused(Code.InvalidArgument):
        verify(AWS_FORM | {"policy": POLICY})
    with refused(Code.InvalidArgument):
        verify(AWS_FORM | {"x-amz-credential": "x"})
    assert verify(AWS_FORM | {"KEY": "b"}) == ACCESS_KEY_ID  # not this module's business


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", Code.InvalidArgument),
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", Code.NotImplemented),
        ("X-Amz-Credential", "x", Code.InvalidArgument),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/sts/aws4_request", Code.InvalidArgument),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151230/us-east-1/s3/aws4_request", Code.InvalidArgument),
        ("X-Amz-Date", "", Code.InvalidArgument),
        ("X-Amz-Date", "20151230T000000Z", Code.InvalidArgument),
        ("X-Amz-Signature", "", Code.SignatureDoesNotMatch),
        ("X-Amz-Signature", "é" * 64, Code.SignatureDoesNotMatch),
        ("X-Amz-Signature", AWS_FORM["X-Amz-Signature"].upper(), Code.SignatureDoesNotMatch),
    ],
)
def test_a_malformed_field_is_refused(name, value, code):
    with refused(code):
        verify(AWS_FORM | {name: value})


def test_the_scheme_and_time_of_a_form_are_read():
    found = parse_post_credentials(AWS_FORM)
    assert found is not None
    assert (found.scheme, found.access_key_id, found.time_s) == (Scheme.QUERY, ACCESS_KEY_ID, 1451347200)


@given(st.sampled_from([*AWS_FORM, "AWSAccessKeyId", "signature", "x-amz-security-token"]), st.text(st.characters()))
def test_garbage_in_a_field_is_a_4xx(name, value):
    sigv2 = botocore_form("HmacV1PostAuth")
    for fields in (AWS_FORM | {name: value}, sigv2 | {name: value}, {name: value}):
        try:
            verify(fields)
        except S3Error as error:
            assert 400 <= error.code.status < 500 or error.code is Code.NotImplemented
