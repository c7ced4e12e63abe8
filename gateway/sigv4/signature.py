"""The verifier: is this request what the owner of the secret signed, and is it still good?

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html

Every x-amz-* header must be signed: S3 acts on such headers, so one that is not signed is an order from somebody else
(`x-amz-copy-source` on a captured upload). Only those that describe the envelope of the body are exempt.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from gateway.bounded import BoundedMap
from gateway.errors import Code, S3Error
from gateway.sigv4.canonical import (
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    encode_text,
    query_as_sent,
    string_to_sign,
)
from gateway.sigv4.chunks import ChunkVerifier
from gateway.sigv4.hosts import PublicHosts
from gateway.sigv4.model import (
    HEADER,
    MAX_SKEW_S,
    QUERY,
    S3,
    STS,
    Credentials,
    CredentialScope,
    SecretAccessKey,
    WireRequest,
)
from gateway.sigv4.payload import Payload, parse_payload, parse_small_payload
from gateway.sigv4.signing_key import Signature, SigningKey, SigningKeys, derive_signing_key
from gateway.sigv4.sigv2 import verify_sigv2_query
from gateway.sigv4.timestamps import render_iso_date

__all__ = ["Signature", "SigningKey", "SigningKeys", "Verified", "Verifier", "derive_signing_key"]

# x-amz-content-sha256 is bound by the last line of the canonical request; the others only say how the body is framed.
_ENVELOPE: Final = frozenset(
    {"x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-checksum-algorithm"}
)
_ONLY_HOST: Final = ("host",)
_NOBODY: Final = SecretAccessKey(b"the secret of an access key that does not exist")


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose signature holds."""

    credentials: Credentials
    payload: Payload
    _key: SigningKey | None = field(repr=False)

    def chunks(self) -> ChunkVerifier:
        """The verifier of the body's chunks; only where `payload.signed_chunks`."""
        if self._key is None or self.credentials.scope is None:
            raise ValueError("a SigV2 request has no signed chunks")
        credentials = self.credentials
        return ChunkVerifier(self._key, credentials.timestamp, self.credentials.scope.text, credentials.signature)


class Verifier:
    """Checks signatures. `regions`: those accepted, None for any. `sigv2`: accept SigV2 URLs and POST forms.

    `domains` are the virtual-host domains, exactly those that requests are routed by: whether `bucket.domain` names a
    bucket decides what a signature is good for. `hosts` are further names that clients sign for and that do not reach
    us (a proxy's `Host`, a host name exchanged after signing), with their ports unless they are 80 or 443.
    """

    def __init__(
        self,
        regions: frozenset[str] | None = None,
        sigv2: bool = True,
        hosts: tuple[str, ...] = (),
        *,
        domains: tuple[str, ...],
    ) -> None:
        self._regions = regions
        self._sigv2 = sigv2
        self._hosts = PublicHosts(hosts, domains)
        self._keys = SigningKeys()
        self._presigned: BoundedMap[tuple[bytes, str, str, str, str | None], Verified] = BoundedMap(4096)

    def verify(
        self,
        request: WireRequest,
        credentials: Credentials,
        secret: SecretAccessKey,
        *,
        now_s: int,
        session_token: str | None = None,
    ) -> Verified:
        """Check a request against the secret of its access key, and against the clock.

        `session_token` is the one that was issued with the secret, if it is a temporary one.
        Raises S3Error: AccessDenied (HeadersNotSigned, expired, not yet valid), RequestTimeTooSkewed,
        SignatureDoesNotMatch, AuthorizationHeaderMalformed and AuthorizationQueryParametersError (region),
        InvalidRequest (SigV2 is off; x-amz-content-sha256 is missing), InvalidArgument, InvalidToken, InvalidURI.
        """
        if credentials.scheme is HEADER:
            verified = self._verify_sigv4(request, credentials, secret, now_s)
        elif credentials.scheme is QUERY:
            verified = self._verify_presigned(request, credentials, secret, now_s)
        else:
            verified = self._verify_sigv2(request, credentials, secret, now_s)
        _check_session_token(credentials, session_token)
        return verified

    def verify_sts(
        self,
        request: WireRequest,
        credentials: Credentials,
        secret: SecretAccessKey,
        body_sha256: str,
        *,
        now_s: int,
        session_token: str | None = None,
    ) -> Verified:
        """The same for a request to STS, whose body was read already; `body_sha256` is its hash in hex.

        Raises S3Error: AccessDenied (HeadersNotSigned), RequestTimeTooSkewed, SignatureDoesNotMatch,
        AuthorizationHeaderMalformed (region), XAmzContentSHA256Mismatch, InvalidToken, InvalidURI.
        """
        scope = self._check_claim(request, credentials, STS, now_s)
        payload = parse_small_payload(request.headers, body_sha256)
        verified = self._prove(request, credentials, scope, payload, secret)
        _check_session_token(credentials, session_token)
        return verified

    def refuse_unknown(self, request: WireRequest, credentials: Credentials, now_s: int) -> NoReturn:
        """Answer for an access key id that nobody has, after the work that a known one would have cost.

        Raises S3Error: InvalidAccessKeyId, or what `verify` raises before it compares signatures.
        """
        try:
            self.verify(request, credentials, _NOBODY, now_s=now_s, session_token=credentials.session_token)
        except S3Error as error:
            if error.code is not Code.SignatureDoesNotMatch:
                raise
        raise S3Error(Code.InvalidAccessKeyId, AWSAccessKeyId=credentials.access_key_id)

    def refuse_unknown_sts(
        self, request: WireRequest, credentials: Credentials, body_sha256: str, now_s: int
    ) -> NoReturn:
        """The same for a request to STS. Raises S3Error: InvalidAccessKeyId, or what `verify_sts` raises before."""
        try:
            self.verify_sts(
                request, credentials, _NOBODY, body_sha256, now_s=now_s, session_token=credentials.session_token
            )
        except S3Error as error:
            if error.code is not Code.SignatureDoesNotMatch:
                raise
        raise S3Error(Code.InvalidAccessKeyId, AWSAccessKeyId=credentials.access_key_id)

    def forget(self) -> None:
        """Drop what is remembered of keys and URLs: call it when a key was changed, disabled or deleted."""
        self._keys.forget()
        self._presigned.clear()

    # --- SigV4

    def _verify_presigned(
        self, request: WireRequest, credentials: Credentials, secret: SecretAccessKey, now_s: int
    ) -> Verified:
        """A presigned URL that signs nothing but the host is a function of five texts, and remembered by them.

        Its life is checked every time. Any header whose name has `x-amz-` in it goes the long way.
        """
        headers = request.headers
        if credentials.signed_headers != _ONLY_HOST or "x-amz-" in "\n".join(headers):
            return self._verify_sigv4(request, credentials, secret, now_s)
        name = (secret.identity, request.raw_query, request.raw_path, request.method, headers.get("host"))
        verified = self._presigned.get(name)
        if verified is None:
            verified = self._verify_sigv4(request, credentials, secret, now_s)
            self._presigned.put(name, verified)
            return verified
        _check_life(credentials, now_s)
        return verified

    def _verify_sigv4(
        self, request: WireRequest, credentials: Credentials, secret: SecretAccessKey, now_s: int
    ) -> Verified:
        scope = self._check_claim(request, credentials, S3, now_s)
        payload = parse_payload(request.headers, credentials.scheme, credentials.payload_hash)
        return self._prove(request, credentials, scope, payload, secret)

    def _check_claim(self, request: WireRequest, credentials: Credentials, service: str, now_s: int) -> CredentialScope:
        """What can be refused without the secret; the scope where nothing is. Raises S3Error as `verify` says."""
        scope = credentials.scope
        if scope is None or scope.service != service:
            raise ValueError(f"these are not SigV4 credentials for {service}")
        if self._regions is not None and scope.region not in self._regions:
            raise self._wrong_region(credentials, scope)
        if credentials.scheme is HEADER:
            _check_skew(credentials, now_s)
        else:
            _check_life(credentials, now_s)
        _check_headers_signed(request.headers, credentials.signed_headers)
        return scope

    def _prove(
        self,
        request: WireRequest,
        credentials: Credentials,
        scope: CredentialScope,
        payload: Payload,
        secret: SecretAccessKey,
    ) -> Verified:
        """Compare signatures. Raises S3Error: SignatureDoesNotMatch, InvalidURI."""
        key = self._keys.get(credentials.access_key_id, secret, scope)
        self._check_signature(request, credentials, scope, payload, key)
        self._keys.keep(credentials.access_key_id, secret, scope, key)
        return Verified(credentials, payload, key)

    def _check_signature(
        self, request: WireRequest, credentials: Credentials, scope: CredentialScope, payload: Payload, key: SigningKey
    ) -> None:
        names = credentials.signed_headers
        presigned = credentials.scheme is QUERY
        path = canonical_path(request.raw_path)
        query = canonical_query(request.raw_query, credentials.signature if presigned else None)
        lines = canonical_headers(names, request.headers)
        canonical = canonical_request(request.method, path, query, lines, names, payload.text)
        text = string_to_sign(credentials.timestamp, scope.text, canonical)
        if key.sign(text.encode()).matches(credentials.signature):
            return
        for other in self._other_forms(request, credentials, path, query, payload):
            text_of_other = string_to_sign(credentials.timestamp, scope.text, other)
            if key.sign(text_of_other.encode()).matches(credentials.signature):
                return
        raise _does_not_match(credentials, text, canonical)

    def _other_forms(
        self, request: WireRequest, credentials: Credentials, path: str, query: str, payload: Payload
    ) -> Iterator[str]:
        """Canonical requests that the client may have signed besides the first: as sent, and for our other hosts."""
        names = credentials.signed_headers
        forms = [(path, query)]
        sent = query_as_sent(request.raw_query, without_signature=credentials.scheme is QUERY)
        if (request.raw_path, sent) != (path, query):
            forms.append((request.raw_path, sent))
            lines = canonical_headers(names, request.headers)
            yield canonical_request(request.method, request.raw_path, sent, lines, names, payload.text)
        for host in self._hosts.alternatives(request.headers.get("host", "")):
            lines = canonical_headers(names, request.headers, host)
            for form_path, form_query in forms:
                yield canonical_request(request.method, form_path, form_query, lines, names, payload.text)

    def _wrong_region(self, credentials: Credentials, scope: CredentialScope) -> S3Error:
        expected = min(self._regions or ())
        code = Code.AuthorizationQueryParametersError
        if credentials.scheme is HEADER:
            code = Code.AuthorizationHeaderMalformed
        message = f"The region '{scope.region}' is wrong; expecting '{expected}'"
        return S3Error(code, message, Region=expected)

    # --- SigV2

    def _verify_sigv2(
        self, request: WireRequest, credentials: Credentials, secret: SecretAccessKey, now_s: int
    ) -> Verified:
        self.check_sigv2_allowed()
        _check_life(credentials, now_s)
        payload = parse_payload(request.headers, credentials.scheme)
        verify_sigv2_query(request, credentials, secret, self._hosts.bucket_of(request.headers.get("host", "")))
        return Verified(credentials, payload, None)

    # --- POST forms need the same settings and keys

    def check_sigv2_allowed(self) -> None:
        """Raises S3Error: InvalidRequest where SigV2 is switched off."""
        if not self._sigv2:
            raise S3Error(
                Code.InvalidRequest,
                "Signature Version 2 is switched off on this server. Please use AWS4-HMAC-SHA256.",
            )

    def signing_key(self, credentials: Credentials, secret: SecretAccessKey) -> SigningKey:
        """The key of a scope whose region is accepted. Raises S3Error: AuthorizationQueryParametersError."""
        scope = credentials.scope
        if scope is None:
            raise ValueError("SigV4 credentials have a scope")
        if self._regions is not None and scope.region not in self._regions:
            raise self._wrong_region(credentials, scope)
        return self._keys.get(credentials.access_key_id, secret, scope)


def _check_session_token(credentials: Credentials, session_token: str | None) -> None:
    """Asked after the signature, so that its timing tells a stranger nothing. Raises S3Error: InvalidToken."""
    if credentials.session_token != session_token:
        raise S3Error(Code.InvalidToken)


def _check_skew(credentials: Credentials, now_s: int) -> None:
    if abs(now_s - credentials.time_s) > MAX_SKEW_S:
        raise S3Error(
            Code.RequestTimeTooSkewed,
            RequestTime=render_iso_date(credentials.time_s),
            ServerTime=render_iso_date(now_s),
            MaxAllowedSkewMilliseconds=MAX_SKEW_S * 1000,
        )


def is_alive(credentials: Credentials, now_s: int) -> bool:
    """May a presigned URL be used at this moment?"""
    try:
        _check_life(credentials, now_s)
    except S3Error:
        return False
    return True


def _check_life(credentials: Credentials, now_s: int) -> None:
    """A presigned URL is good from its signing time (less the skew) to its end, that second included."""
    expires_s = credentials.expires_s
    if expires_s is None:
        raise ValueError("a presigned URL has an end")
    end_s = credentials.time_s + expires_s
    if now_s > end_s:
        raise S3Error(
            Code.AccessDenied,
            "Request has expired",
            Expires=render_iso_date(end_s),
            ServerTime=render_iso_date(now_s),
        )
    if credentials.time_s > now_s + MAX_SKEW_S:
        raise S3Error(
            Code.AccessDenied,
            "Request is not yet valid",
            RequestTime=render_iso_date(credentials.time_s),
            ServerTime=render_iso_date(now_s),
        )


def _check_headers_signed(headers: Mapping[str, str], signed: tuple[str, ...]) -> None:
    for name in headers:
        if name.startswith("x-amz-") and name not in signed and name not in _ENVELOPE:
            raise _headers_not_signed(headers, signed)
    if "host" not in signed:
        raise _headers_not_signed(headers, signed)


def _headers_not_signed(headers: Mapping[str, str], signed: tuple[str, ...]) -> S3Error:
    names = [name for name in headers if name.startswith("x-amz-") and name not in signed and name not in _ENVELOPE]
    if "host" not in signed:
        names.append("host")
    return S3Error(
        Code.AccessDenied,
        "There were headers present in the request which were not signed",
        HeadersNotSigned=", ".join(sorted(names))[:1024].encode("ascii", "replace").decode("ascii"),
    )


def _does_not_match(credentials: Credentials, text: str, canonical: str) -> S3Error:
    """The client's own texts, so that a developer can compare; never the signature that was expected."""
    return S3Error(
        Code.SignatureDoesNotMatch,
        AWSAccessKeyId=credentials.access_key_id,
        StringToSign=text,
        SignatureProvided=credentials.signature,
        CanonicalRequest=encode_text(canonical).decode("utf-8", "replace"),
    )
