"""What x-amz-content-sha256 says about the body.

    64 hex digits                                SHA-256 of the body
    UNSIGNED-PAYLOAD                             nothing is said
    STREAMING-AWS4-HMAC-SHA256-PAYLOAD           aws-chunked, each chunk signed
    STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER   the same, with signed trailers
    STREAMING-UNSIGNED-PAYLOAD-TRAILER           aws-chunked, a checksum in a trailer

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
The aws-chunked framing is told by this header, never by Content-Encoding: minio-go sends the framing without naming it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.errors import Code, S3Error
from gateway.sigv4.model import HEADER as SIGNED_BY_HEADER
from gateway.sigv4.model import Scheme

HEADER: Final = "x-amz-content-sha256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_STREAMING: Final = "STREAMING-"
_ECDSA: Final = ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER")
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


class PayloadKind(Enum):
    """How the body is protected."""

    UNSIGNED = "unsigned"
    SHA256 = "sha256"
    STREAMING_SIGNED = "streaming-signed"
    STREAMING_SIGNED_TRAILER = "streaming-signed-trailer"
    STREAMING_UNSIGNED_TRAILER = "streaming-unsigned-trailer"


@dataclass(frozen=True, slots=True)
class Payload:
    """The body's kind, and `text`: the last line of the canonical request."""

    kind: PayloadKind
    text: str

    @property
    def sha256_hex(self) -> str | None:
        """The hash that the body must have; None where none is declared."""
        return self.text if self.kind is _SHA256 else None

    @property
    def streaming(self) -> bool:
        """The body is framed as aws-chunked. Only PutObject and UploadPart may have such a body."""
        return self.kind not in _PLAIN

    @property
    def signed_chunks(self) -> bool:
        """Every chunk carries a signature."""
        return self.kind in _SIGNED

    @property
    def has_trailer(self) -> bool:
        """Trailers come after the last chunk."""
        return self.kind in _WITH_TRAILER


_SHA256: Final = PayloadKind.SHA256
_PLAIN: Final = (PayloadKind.UNSIGNED, PayloadKind.SHA256)
_SIGNED: Final = (PayloadKind.STREAMING_SIGNED, PayloadKind.STREAMING_SIGNED_TRAILER)
_WITH_TRAILER: Final = (PayloadKind.STREAMING_SIGNED_TRAILER, PayloadKind.STREAMING_UNSIGNED_TRAILER)

UNSIGNED: Final = Payload(PayloadKind.UNSIGNED, UNSIGNED_PAYLOAD)
_FIXED: Final = {
    payload.text: payload
    for payload in (
        UNSIGNED,
        Payload(PayloadKind.SHA256, EMPTY_SHA256),
        Payload(PayloadKind.STREAMING_SIGNED, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        Payload(PayloadKind.STREAMING_SIGNED_TRAILER, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
        Payload(PayloadKind.STREAMING_UNSIGNED_TRAILER, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
    )
}


def parse_payload(headers: Mapping[str, str], scheme: Scheme | None, query_value: str | None = None) -> Payload:
    """Read x-amz-content-sha256; `scheme` is None for an anonymous request.

    A presigned URL may carry the value in its query (JS v3 does); the header, if it is there too, must say the same.
    Raises S3Error: InvalidRequest (no header with a header signature), InvalidArgument, NotImplemented (SigV4A),
    AccessDenied (a streaming body without a signature in the Authorization header).
    """
    value = headers.get(HEADER, query_value)
    if value is None:
        if scheme is SIGNED_BY_HEADER:
            raise S3Error(Code.InvalidRequest, f"Missing required header for this request: {HEADER}")
        return UNSIGNED
    if query_value is not None and value != query_value:
        raise S3Error(Code.InvalidArgument, f"{HEADER} differs between header and query.", ArgumentName=HEADER)
    if scheme is not SIGNED_BY_HEADER:
        refuse_streaming(value)
    payload = _FIXED.get(value)
    return payload if payload is not None else _parse_hash(value)


def parse_small_payload(headers: Mapping[str, str], body_sha256: str) -> Payload:
    """The payload of a request whose whole body was read before its signature is checked, as STS's are.

    `body_sha256` is what was read, in hex. Clients of other services than S3 sign the hash of their body and may leave
    x-amz-content-sha256 out; where they send it, it says that hash and nothing looser.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    Raises S3Error: XAmzContentSHA256Mismatch.
    """
    claimed = headers.get(HEADER, body_sha256)
    if claimed != body_sha256:
        raise S3Error(
            Code.XAmzContentSHA256Mismatch,
            ClientComputedContentSHA256=claimed[:128].encode("ascii", "replace").decode("ascii"),
            S3ComputedContentSHA256=body_sha256,
        )
    return Payload(_SHA256, body_sha256)


def refuse_streaming(value: str) -> None:
    """Streaming bodies are bound to the signature of an Authorization header; without one they are nobody's.

    Raises S3Error: AccessDenied.
    """
    if value.startswith(_STREAMING):
        raise S3Error(Code.AccessDenied, f"{HEADER} announces a streaming body, which needs an Authorization header.")


def _parse_hash(value: str) -> Payload:
    if value in _ECDSA:
        raise S3Error(Code.NotImplemented, "AWS4-ECDSA-P256-SHA256 is not supported; use AWS4-HMAC-SHA256.")
    if _SHA256_HEX.fullmatch(value) is None:
        raise S3Error(
            Code.InvalidArgument,
            f"{HEADER} must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD,"
            " STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.",
            ArgumentName=HEADER,
        )
    return Payload(_SHA256, value)
