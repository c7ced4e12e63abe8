"""A second SigV4, written from AWS's pages alone and sharing no line with the gateway.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html (SigV2)

Two implementations that agree by accident are rare, and this one also makes what no client would: any scope, any date, any
list of signed headers, any order of parameters.
"""

import base64
import hashlib
import hmac
import json
import re
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote_to_bytes

from tests.support.raw_http import Headers, Request

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

# What SigV2 puts into its resource besides the path.
SIGV2_SUBRESOURCES = frozenset(
    [
        "acl",
        "delete",
        "lifecycle",
        "location",
        "logging",
        "notification",
        "partNumber",
        "policy",
        "requestPayment",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
        "cors",
        "response-content-type",
        "response-content-language",
        "response-expires",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
    ]
)


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def uri_encode(text: str | bytes, *, keep: str = "") -> str:
    """AWS's UriEncode: every byte but A-Z a-z 0-9 - . _ ~ (and those of `keep`) as %XX in upper case."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return quote(data, safe="-._~" + keep)


def object_path(bucket: str, key: str) -> str:
    """The path-style request path of an object."""
    return f"/{bucket}/{uri_encode(key, keep='/')}"


def amz_date(now_s: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))


def content_md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def crc32(body: bytes) -> str:
    """The x-amz-checksum-crc32 value."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def canonical_query(raw_query: str) -> str:
    """Each name and value decoded, encoded again and sorted by name, then by value."""
    pairs = []
    for item in filter(None, raw_query.split("&")):
        name, _, value = item.partition("=")
        pairs.append((uri_encode(unquote_to_bytes(name)), uri_encode(unquote_to_bytes(value))))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def canonical_headers(request: Request, signed: Sequence[str]) -> str:
    """`name:value` lines, blanks at the ends removed and runs of them made one, repeated lines joined by commas."""
    lines = []
    for name in signed:
        values = [re.sub(" +", " ", value.strip(" ")) for key, value in request.headers if key.lower() == name]
        lines.append(f"{name}:{','.join(values)}\n")
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class Signer:
    """One access key, and the scope it signs for; `dataclasses.replace` makes the wrong ones.

    `session_token` is that of temporary credentials; it goes along wherever they sign.
    """

    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"
    service: str = "s3"
    terminator: str = "aws4_request"
    algorithm: str = "AWS4-HMAC-SHA256"
    scope_day: str | None = None
    session_token: str | None = None

    def scope(self, date: str) -> str:
        return (
            f"{date[:8] if self.scope_day is None else self.scope_day}/{self.region}/{self.service}/{self.terminator}"
        )

    def signing_key(self, date: str) -> bytes:
        key = b"AWS4" + self.secret_access_key.encode()
        for part in self.scope(date).split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key

    def seal(self, date: str, text: str) -> str:
        """The signature of a string to sign."""
        return hmac.new(self.signing_key(date), text.encode("utf-8", "surrogateescape"), "sha256").hexdigest()

    def signature(self, request: Request, signed: Sequence[str], payload: str, date: str) -> str:
        canonical = "\n".join(
            [
                request.method,
                request.raw_path,
                canonical_query(request.raw_query),
                canonical_headers(request, signed),
                ";".join(signed),
                payload,
            ]
        )
        digest = sha256_hex(canonical.encode("utf-8", "surrogateescape"))
        return self.seal(date, "\n".join([self.algorithm, date, self.scope(date), digest]))

    def sign(
        self,
        request: Request,
        *,
        payload: str | None = None,
        now_s: float | None = None,
        signed: Sequence[str] | None = None,
        sign_as: Request | None = None,
    ) -> Request:
        """Authorization header over every header of the request, or over `signed` only.

        `payload` is the x-amz-content-sha256 value (default: the body's hash); `sign_as` is another request to
        compute the signature over.
        """
        payload = sha256_hex(request.body) if payload is None else payload
        date = amz_date(time.time() if now_s is None else now_s)
        extra: Headers = (("x-amz-content-sha256", payload), ("x-amz-date", date))
        if self.session_token is not None:
            extra += (("x-amz-security-token", self.session_token),)
        request = replace(request, headers=request.headers + extra)
        source = request if sign_as is None else replace(sign_as, headers=sign_as.headers + extra)
        names = sorted({name.lower() for name, _ in source.headers} if signed is None else signed)
        signature = self.signature(source, names, payload, date)
        return request.with_header(
            "Authorization",
            f"{self.algorithm} Credential={self.access_key_id}/{self.scope(date)}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}",
        )

    def presign(
        self,
        request: Request,
        *,
        expires: str | None = "300",
        now_s: float | None = None,
        signed: Sequence[str] | None = None,
        payload: str = UNSIGNED,
    ) -> Request:
        """A presigned URL for the request; `expires` goes in as it is (None: no such parameter)."""
        date = amz_date(time.time() if now_s is None else now_s)
        names = sorted({name.lower() for name, _ in request.headers} if signed is None else signed)
        parameters = [
            ("X-Amz-Algorithm", self.algorithm),
            ("X-Amz-Credential", f"{self.access_key_id}/{self.scope(date)}"),
            ("X-Amz-Date", date),
            *([("X-Amz-Expires", expires)] if expires is not None else []),
            *([("X-Amz-Security-Token", self.session_token)] if self.session_token is not None else []),
            ("X-Amz-SignedHeaders", ";".join(names)),
        ]
        request = request.with_query("&".join(f"{name}={uri_encode(value)}" for name, value in parameters))
        return request.with_query(f"X-Amz-Signature={self.signature(request, names, payload, date)}")

    def presign_v2(self, request: Request, *, expires_s: int | None = None) -> Request:
        """A SigV2 presigned URL, as boto3 makes them for us-east-1."""
        expires = int(time.time()) + 300 if expires_s is None else expires_s
        amz = sorted((name.lower(), value) for name, value in request.headers if name.lower().startswith("x-amz-"))
        named = [item for item in request.raw_query.split("&") if item.partition("=")[0] in SIGV2_SUBRESOURCES]
        decoded = "&".join(sorted(unquote_to_bytes(item).decode("utf-8", "surrogateescape") for item in named))
        text = "".join(
            [
                f"{request.method}\n",
                f"{request.header('content-md5') or ''}\n",
                f"{request.header('content-type') or ''}\n",
                f"{expires}\n",
                *(f"{name}:{value}\n" for name, value in amz),
                request.raw_path + ("?" + decoded if decoded else ""),
            ]
        )
        return request.with_query(
            f"AWSAccessKeyId={self.access_key_id}&Expires={expires}&Signature={uri_encode(self.signature_v2(text))}"
        )

    def signature_v2(self, text: str) -> str:
        key = self.secret_access_key.encode()
        return base64.b64encode(hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha1")).decode()

    def post_fields(self, policy: str, *, now_s: float | None = None) -> dict[str, str]:
        """The form fields that sign a policy text (already base64)."""
        date = amz_date(time.time() if now_s is None else now_s)
        return {
            "x-amz-algorithm": self.algorithm,
            "x-amz-credential": f"{self.access_key_id}/{self.scope(date)}",
            "x-amz-date": date,
            "policy": policy,
            **({"x-amz-security-token": self.session_token} if self.session_token is not None else {}),
            "x-amz-signature": self.seal(date, policy),
        }


@dataclass(slots=True)
class ChunkSigner:
    """The chain of chunk signatures that follows a signed head."""

    signer: Signer
    date: str
    previous: str

    @classmethod
    def after(cls, signer: Signer, head: Request) -> "ChunkSigner":
        authorization, date = head.header("authorization"), head.header("x-amz-date")
        assert authorization is not None
        assert date is not None
        return cls(signer, date, authorization.rpartition("Signature=")[2])

    def chunk(self, data: bytes) -> bytes:
        """One framed chunk; empty data makes the last one, without the line that ends the body."""
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256-PAYLOAD",
                self.date,
                self.signer.scope(self.date),
                self.previous,
                EMPTY_SHA256,
                sha256_hex(data),
            ]
        )
        self.previous = self.signer.seal(self.date, text)
        head = b"%x;chunk-signature=%b\r\n" % (len(data), self.previous.encode())
        return head + data + b"\r\n" if data else head

    def trailer(self, trailers: Mapping[str, str]) -> bytes:
        """Trailer lines and their signature."""
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(trailers.items()))
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256-TRAILER",
                self.date,
                self.signer.scope(self.date),
                self.previous,
                sha256_hex(lines.encode()),
            ]
        )
        self.previous = self.signer.seal(self.date, text)
        return (lines.replace("\n", "\r\n") + f"x-amz-trailer-signature:{self.previous}\r\n").encode()

    def body(self, pieces: Iterable[bytes], trailers: Mapping[str, str] | None = None) -> bytes:
        """The whole framed body."""
        framed = b"".join(self.chunk(piece) for piece in pieces) + self.chunk(b"")
        return framed + (self.trailer(trailers) if trailers else b"") + b"\r\n"


def unsigned_chunks(pieces: Iterable[bytes], trailers: Mapping[str, str] | None = None) -> bytes:
    """aws-chunked without signatures, as SDKs send it over TLS."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    lines = "".join(f"{name}:{value}\r\n" for name, value in (trailers or {}).items())
    return framed + b"0\r\n" + lines.encode() + b"\r\n"


def signed_chunks_size(sizes: Iterable[int]) -> int:
    """How long a signed chunked body without trailers is on the wire."""
    line = len(";chunk-signature=") + 64 + 2
    return sum(len(b"%x" % size) + line + size + 2 for size in (*sizes, 0))


def post_policy(conditions: Sequence[object], *, expiration_s: float | None = None, **members: object) -> str:
    """A policy document in base64: by default it expires in five minutes."""
    when = time.time() + 300 if expiration_s is None else expiration_s
    expiration = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))
    return base64.b64encode(
        json.dumps({"expiration": expiration, "conditions": conditions, **members}).encode()
    ).decode()


BOUNDARY = "----form-boundary-7MA4YWxkTrZu0gW"


def form_body(fields: Iterable[tuple[str, str]], file: bytes | None, *, filename: str = "a.txt") -> bytes:
    """multipart/form-data with the file as its last field."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode(
            "utf-8", "surrogateescape"
        )
        for name, value in fields
    ]
    if file is not None:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        parts.append(head.encode("utf-8", "surrogateescape") + file + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
