"""Whatever stands before a secret, it is gone; what is none stays readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.redact import GONE, redact

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNATURE = "fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /b/k?X-Amz-Expires=300&X-Amz-Signature={SIGNATURE}&x=1",
        f"GET /b/k%3FX-Amz-Signature%3D{SIGNATURE}",
        f"/b/k?AWSAccessKeyId=AKIA&Signature={SIGNATURE}",
        f"x-amz-security-token: {SECRET}",
        f"X-Amz-Security-Token={SECRET}&",
        f"{{'X-Amz-Security-Token': '{SECRET}'}}",
        f'{{"session_token":"{SECRET}"}}',
        f'{{\\"session_token\\": \\"{SECRET}\\"}}',
        f'secret_access_key = "{SECRET}"',
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"NewAccessKey(access_key_id='AK', secret_access_key='{SECRET}')",
        f"aws_secret_access_key: b'{SECRET}'",
        f"password={SECRET}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=AK/20260101/r/s3/aws4_request, SignedHeaders=host, Signature={SIGNATURE}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=AK/20260101/r/s3/aws4_request,SignedHeaders=host,Signature={SIGNATURE}\r\nHost: x",
        f"Authorization: AWS AKIAIOSFODNN7EXAMPLE:{SIGNATURE[:28]}=",
        f"Authorization: Bearer {SECRET}",
        f"proxy http://user:{SECRET.replace('/', '')}@proxy:3128/",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
        f"x-amz-server-side-encryption-customer-key: {SECRET}=",
    ],
)
def test_secrets_are_taken_out(text):
    told = redact(text)
    assert GONE in told
    for secret in (SECRET, SECRET.replace("/", ""), SIGNATURE, SIGNATURE[:28]):
        assert secret not in told


@pytest.mark.parametrize(
    "text",
    [
        "origin main does not answer, requests to it are refused for a while: 127.0.0.1:9: no connection in time",
        "access key AKMI2QFJ2R5FSQWVKT7Q cannot be opened: its key k1 is in no ring",
        "PATH has no key K, which sealed 3 access keys: the secrets are lost",
        "project demo: 92160 of 102400 bytes of category media are used (90 %)",
        "a body is gone from origin local: demo-media/2026/a@de3606e6463d6d6046c00628f073134a",
        "SignatureDoesNotMatch",
        "basic rights",
        "http://127.0.0.1:9000/a@b",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


@given(st.text())
def test_any_text_is_taken(text):
    redact(text)


def test_long_texts_take_time_in_proportion():
    """A text that a pattern began over at every character would not end before the tests do."""
    for piece in ("signature", "secret ", "Basic ", "AWS ", "://", "x-amz-", "signature ' ", "secret" + " " * 50):
        redact(piece * 20_000)
