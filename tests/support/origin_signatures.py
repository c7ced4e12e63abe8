"""What a scripted origin checks of a request's head: its SigV4 signature, and that a plain S3 client could have sent it.

The signature is computed anew by tests.support.signer, which shares no line with the gateway. Of the headers only those
pass that a gateway needs upstream: what a client sent to the gateway must not get here by accident.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import base64
import binascii
import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_to_bytes

from awscrt import checksums  # type: ignore[import-untyped]

from tests.support.raw_http import Request
from tests.support.s3_model import Refusal
from tests.support.signer import UNSIGNED, Signer, uri_encode

MAX_SKEW = timedelta(minutes=15)

CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "x-amz-checksum-crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "x-amz-checksum-crc32c": lambda body: checksums.crc32c(body).to_bytes(4, "big"),
    "x-amz-checksum-crc64nvme": lambda body: checksums.crc64nvme(body).to_bytes(8, "big"),
    "x-amz-checksum-sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda body: hashlib.sha256(body).digest(),
}
"""How each checksum is computed, by its header."""

ALLOWED_HEADERS = frozenset(
    [
        "accept-encoding",  # only "identity", see below
        "authorization",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "expires",
        "host",
        "if-match",
        "if-none-match",
        "range",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-copy-source",
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-range",
        "x-amz-date",
        "x-amz-metadata-directive",
        "x-amz-security-token",
        "x-amz-tagging",
        "x-amz-tagging-directive",
    ]
)
METADATA = "x-amz-meta-"
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/,]+)/(?P<day>\d{8})/(?P<region>[^/,]+)/s3/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
DATE = re.compile(r"\d{8}T\d{6}Z")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A secret that the origin knows; temporary credentials have a token too."""

    secret_access_key: str
    session_token: str | None = None


def verify_signature(request: Request, keys: Mapping[str, KnownKey], *, region: str, now: datetime) -> None:
    """Check the Authorization header.

    Raises Refusal: AccessDenied (no signature, or not over all that must be signed), AuthorizationHeaderMalformed,
    InvalidAccessKeyId, InvalidToken, InvalidRequest, NotImplemented (a signed stream), RequestTimeTooSkewed,
    SignatureDoesNotMatch.
    """
    authorization = request.header("authorization")
    if authorization is None:
        raise Refusal("AccessDenied", "The request is not signed.")
    match = AUTHORIZATION.fullmatch(authorization)
    if match is None:
        raise Refusal("AuthorizationHeaderMalformed")
    key = keys.get(match["id"])
    if key is None:
        raise Refusal("InvalidAccessKeyId", AWSAccessKeyId=match["id"])
    if request.header("x-amz-security-token") != key.session_token:
        raise Refusal("InvalidToken")
    date = _check_date(request, match["day"], now)
    if match["region"] != region:
        raise Refusal("AuthorizationHeaderMalformed", f"the region is wrong; expecting '{region}'", Region=region)
    signed = match["signed"].split(";")
    unsigned = sorted(_must_be_signed(request) - set(signed))
    if unsigned:
        raise Refusal("AccessDenied", "Headers are not signed.", HeadersNotSigned=", ".join(unsigned))
    signer = Signer(match["id"], key.secret_access_key, region)
    expected = signer.signature(request, signed, _payload(request), date)
    if not hmac.compare_digest(expected, match["signature"]):
        raise Refusal("SignatureDoesNotMatch", AWSAccessKeyId=match["id"])


def verify_body(request: Request, body: bytes) -> None:
    """Check the hashes that the head announces.

    Raises Refusal: XAmzContentSHA256Mismatch, InvalidDigest, BadDigest.
    """
    payload = request.header("x-amz-content-sha256") or UNSIGNED
    if payload != UNSIGNED and payload != hashlib.sha256(body).hexdigest():
        raise Refusal("XAmzContentSHA256Mismatch", ClientComputedContentSHA256=payload)
    content_md5 = request.header("content-md5")
    if content_md5 is not None:
        try:
            digest = base64.b64decode(content_md5, validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != 16:
            raise Refusal("InvalidDigest")
        if digest != hashlib.md5(body, usedforsecurity=False).digest():
            raise Refusal("BadDigest")
    for name, compute in CHECKSUMS.items():
        checksum = request.header(name)
        if checksum is not None and checksum != base64.b64encode(compute(body)).decode():
            raise Refusal("BadDigest")


def breaches(request: Request, *, tls: bool, also_allowed: frozenset[str] = frozenset()) -> Iterator[str]:
    """What a plain client would not have sent, in words."""
    names = [name.lower() for name, _ in request.headers]
    for name, value in request.headers:
        name = name.lower()
        if name in also_allowed:
            continue
        if name not in ALLOWED_HEADERS and not (name.startswith(METADATA) and name != METADATA):
            yield f"header {name}: {value}"
        if name == "accept-encoding" and value != "identity":
            yield f"accept-encoding is {value}"
        if name == "content-encoding" and "aws-chunked" in value.lower():
            yield f"content-encoding is {value}"
    yield from (f"{name} comes {names.count(name)} times" for name in sorted(set(names)) if names.count(name) > 1)
    signed = re.search(r"SignedHeaders=([^,]*)", request.header("authorization") or "")
    if signed is not None:
        yield from (f"{name} is not signed" for name in sorted(_must_be_signed(request) - {*signed[1].split(";")}))
    if not tls and request.header("x-amz-content-sha256") == UNSIGNED:
        yield "the payload is not signed, and there is no TLS"
    if _encoded(request.raw_path, keep="/") != request.raw_path:
        yield "the path is not written as S3 encodes it"
    if any(_encoded(part, keep="") != part for item in request.raw_query.split("&") for part in item.split("=", 1)):
        yield "the query is not written as S3 encodes it"
    if request.version != "HTTP/1.1":
        yield f"the version is {request.version}"


def _check_date(request: Request, day: str, now: datetime) -> str:
    date = request.header("x-amz-date") or ""
    if not DATE.fullmatch(date) or date[:8] != day:
        raise Refusal("AccessDenied", "x-amz-date is not there, or is of another day than the scope.")
    sent = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(now - sent) > MAX_SKEW:
        raise Refusal(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            RequestTime=date,
            ServerTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            MaxAllowedSkewMilliseconds="900000",
        )
    return date


def _payload(request: Request) -> str:
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        raise Refusal("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if payload != UNSIGNED and not SHA256.fullmatch(payload):
        raise Refusal("NotImplemented", "Signed streams are not for this origin.")
    return payload


def _encoded(text: str, *, keep: str = "=") -> str:
    return uri_encode(unquote_to_bytes(text), keep=keep)


def _must_be_signed(request: Request) -> set[str]:
    return {"host"} | {name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")}
