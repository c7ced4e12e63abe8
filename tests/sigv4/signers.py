"""What the tests of gateway/sigv4 sign with: AWS's published example key, botocore's signers, one moment in time."""

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from gateway.errors import Code, S3Error
from gateway.sigv4.credentials import SecretAccessKey, WireRequest, parse_credentials
from gateway.sigv4.signature import Verified, Verifier

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_TEXT = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SECRET = SecretAccessKey(SECRET_TEXT)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
AWS_NOW_S = 1369353600  # 20130524T000000Z, the time of AWS's examples
ENDPOINT = "http://127.0.0.1:9000"


@contextmanager
def refused(*codes: Code, **fields: str | int) -> Iterator[SimpleNamespace]:
    """What is done inside raises an S3Error with one of these codes and at least these fields; it is `.error`."""
    caught = SimpleNamespace()
    with pytest.raises(S3Error) as raised:
        yield caught
    caught.error = raised.value
    assert raised.value.code in codes, raised.value
    assert {name: raised.value.fields.get(name) for name in fields} == fields


@contextmanager
def at(now_s: int) -> Iterator[None]:
    """botocore's clocks show this time."""
    moment = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    with (
        patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: moment),
        patch.object(botocore.auth.time, "time", lambda: now_s),
    ):
        yield


def wire(method: str, url: str, headers: Mapping[str, str] | None = None) -> WireRequest:
    """A request as a server sees it."""
    parts = urlsplit(url)
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    lowered.setdefault("host", parts.netloc)
    return WireRequest(method, parts.path or "/", parts.query, lowered)


def botocore_request(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> AWSRequest:
    return AWSRequest(method, url, headers=dict(headers or {}), data=body)


def as_wire(request: AWSRequest) -> WireRequest:
    return wire(request.method, request.url, dict(request.headers.items()))


def header_signed(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    now_s: int = AWS_NOW_S,
    region: str = "us-east-1",
    token: str | None = None,
    body: bytes = b"",
) -> WireRequest:
    """Signed by botocore in the Authorization header."""
    request = botocore_request(method, url, headers, body)
    with at(now_s):
        credentials = BotocoreCredentials(ACCESS_KEY_ID, SECRET_TEXT, token)
        botocore.auth.S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return as_wire(request)


def presigned(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    now_s: int = AWS_NOW_S,
    expires_s: int = 3600,
    region: str = "us-east-1",
    token: str | None = None,
) -> WireRequest:
    """Signed by botocore in the query; `headers` are signed and sent."""
    request = botocore_request(method, url, headers)
    with at(now_s):
        credentials = BotocoreCredentials(ACCESS_KEY_ID, SECRET_TEXT, token)
        botocore.auth.S3SigV4QueryAuth(credentials, "s3", region, expires_s).add_auth(request)
    return as_wire(request)


def presigned_v2(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    now_s: int = AWS_NOW_S,
    expires_s: int = 3600,
    token: str | None = None,
    auth_path: str | None = None,
) -> WireRequest:
    """Signed by botocore in the query with SigV2; `headers` are in the URL, and not sent."""
    request = botocore_request(method, url, headers)
    request.auth_path = auth_path
    with at(now_s):
        credentials = BotocoreCredentials(ACCESS_KEY_ID, SECRET_TEXT, token)
        botocore.auth.HmacV1QueryAuth(credentials, expires_s).add_auth(request)
    return wire(method, request.url)


def with_headers(request: WireRequest, **headers: str | None) -> WireRequest:
    """The same request with headers changed or (None) taken away; `_` in a name stands for `-`."""
    changed = dict(request.headers)
    for name, value in headers.items():
        changed.pop(name.replace("_", "-"), None)
        if value is not None:
            changed[name.replace("_", "-")] = value
    return WireRequest(request.method, request.raw_path, request.raw_query, changed)


def with_query(request: WireRequest, raw_query: str) -> WireRequest:
    return WireRequest(request.method, request.raw_path, raw_query, request.headers)


def verify(
    request: WireRequest,
    *,
    secret: SecretAccessKey = SECRET,
    now_s: int = AWS_NOW_S,
    verifier: Verifier | None = None,
    session_token: str | None = None,
) -> Verified:
    """Parse and verify, as the gate does."""
    credentials = parse_credentials(request)
    assert credentials is not None, "the request is anonymous"
    assert credentials.access_key_id == ACCESS_KEY_ID
    chosen = verifier or Verifier(domains=("s3.localhost",))
    return chosen.verify(request, credentials, secret, now_s=now_s, session_token=session_token)
