"""Signing: requests to origins, presigned URLs for people, chunks of a streamed upload.

The same canonical form as for verifying, the other way round. A request signed with a key at hand costs 10 µs.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from gateway.sigv4.canonical import (
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    string_to_sign,
    uri_encode,
)
from gateway.sigv4.chunks import ChunkSigner
from gateway.sigv4.model import ALGORITHM, MAX_EXPIRES_S, CredentialScope, SecretAccessKey
from gateway.sigv4.payload import HEADER, UNSIGNED_PAYLOAD
from gateway.sigv4.signing_key import SigningKey, derive_signing_key
from gateway.sigv4.timestamps import render_amz_date


class Signer:
    """Signs as one access key for one region; keeps the key of the day, and the second as it is written."""

    __slots__ = ("_key", "_now_s", "_region", "_scope", "_secret", "_timestamp", "access_key_id")

    def __init__(self, access_key_id: str, secret: SecretAccessKey, region: str) -> None:
        self.access_key_id = access_key_id
        self._secret = secret
        self._region = region
        self._scope: CredentialScope | None = None
        self._key: SigningKey | None = None
        self._now_s = -1
        self._timestamp = ""

    def _render_time(self, now_s: int) -> str:
        if now_s != self._now_s:
            self._timestamp = render_amz_date(now_s)
            self._now_s = now_s
        return self._timestamp

    def _today(self, timestamp: str) -> tuple[CredentialScope, SigningKey]:
        if self._scope is None or self._key is None or not timestamp.startswith(self._scope.date):
            self._scope = CredentialScope(timestamp[:8], self._region)
            self._key = derive_signing_key(self._secret, self._scope)
        return self._scope, self._key

    def sign_headers(
        self, method: str, raw_path: str, raw_query: str, headers: Mapping[str, str], *, payload_hash: str, now_s: int
    ) -> dict[str, str]:
        """The headers to add: x-amz-date, x-amz-content-sha256 and authorization.

        `headers` (lower-case names, with host) are signed, all of them. `payload_hash` is the body's SHA-256 in hex or
        `UNSIGNED-PAYLOAD`; a streaming one makes a seed for `sign_chunks`.
        """
        timestamp = self._render_time(now_s)
        scope, key = self._today(timestamp)
        added = {HEADER: payload_hash, "x-amz-date": timestamp}
        signed = {**headers, **added}
        names = sorted(signed)
        request = canonical_request(
            method,
            canonical_path(raw_path),
            canonical_query(raw_query),
            canonical_headers(names, signed),
            names,
            payload_hash,
        )
        signature = key.sign(string_to_sign(timestamp, scope.text, request).encode()).reveal()
        added["authorization"] = (
            f"{ALGORITHM} Credential={self.access_key_id}/{scope.text}, SignedHeaders={';'.join(names)},"
            f" Signature={signature}"
        )
        return added

    def presign(
        self,
        method: str,
        host: str,
        raw_path: str,
        *,
        expires_s: int,
        now_s: int,
        parameters: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """The query of a presigned URL, without `?`.

        `parameters` are decoded names and values; `headers` (lower-case names) those that the user of the URL must
        send beside Host. Raises ValueError: `expires_s` is not between 1 second and 7 days.
        """
        if not 1 <= expires_s <= MAX_EXPIRES_S:
            raise ValueError(f"a presigned URL lives from 1 to {MAX_EXPIRES_S} seconds")
        timestamp = render_amz_date(now_s)
        scope, key = self._today(timestamp)
        signed = {**(headers or {}), "host": host}
        names = sorted(signed)
        query = _encode_query(
            [
                *parameters,
                ("X-Amz-Algorithm", ALGORITHM),
                ("X-Amz-Credential", f"{self.access_key_id}/{scope.text}"),
                ("X-Amz-Date", timestamp),
                ("X-Amz-Expires", str(expires_s)),
                ("X-Amz-SignedHeaders", ";".join(names)),
            ]
        )
        request = canonical_request(
            method, canonical_path(raw_path), query, canonical_headers(names, signed), names, UNSIGNED_PAYLOAD
        )
        signature = key.sign(string_to_sign(timestamp, scope.text, request).encode()).reveal()
        return f"{query}&X-Amz-Signature={signature}"

    def sign_chunks(self, signed_headers: Mapping[str, str]) -> ChunkSigner:
        """Sign the chunks of a request whose headers `sign_headers` has just made."""
        timestamp = signed_headers["x-amz-date"]
        scope, key = self._today(timestamp)
        seed = signed_headers["authorization"].rpartition("Signature=")[2]
        return ChunkSigner(key, timestamp, scope.text, seed)

    def __repr__(self) -> str:
        return f"Signer({self.access_key_id!r}, region={self._region!r})"


def sign_headers(
    signer: Signer, method: str, url: str, headers: Mapping[str, str], *, payload_hash: str, now_s: int
) -> dict[str, str]:
    """All headers of a request to `url` (path and query percent-encoded): those given, Host, and the signature's."""
    parts = urlsplit(url)
    with_host = {**headers, "host": parts.netloc}
    return with_host | signer.sign_headers(
        method, parts.path or "/", parts.query, with_host, payload_hash=payload_hash, now_s=now_s
    )


def presign(
    method: str,
    endpoint: str,
    bucket: str,
    key: str,
    signer: Signer,
    *,
    expires_s: int,
    now_s: int,
    parameters: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> str:
    """A presigned path-style URL: `endpoint` is `http://host[:port]`, `key` decoded text ("" for the bucket itself).

    Raises ValueError: `expires_s` is not between 1 second and 7 days.
    """
    parts = urlsplit(endpoint)
    path = uri_encode(f"/{bucket}/{key}" if key else f"/{bucket}", keep_slash=True)
    query = signer.presign(
        method, parts.netloc, path, expires_s=expires_s, now_s=now_s, parameters=parameters, headers=headers
    )
    return f"{parts.scheme}://{parts.netloc}{path}?{query}"


def _encode_query(parameters: Sequence[tuple[str, str]]) -> str:
    """Encode and sort as the canonical query has it."""
    encoded = sorted((uri_encode(name), uri_encode(value)) for name, value in parameters)
    return "&".join([f"{name}={value}" for name, value in encoded])
