"""Who a request says it comes from: an Authorization header, a presigned URL of SigV4 or one of SigV2.

    Authorization: AWS4-HMAC-SHA256 Credential=AKID/20130524/us-east-1/s3/aws4_request,
                   SignedHeaders=host;x-amz-date, Signature=…
    ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=…&X-Amz-Date=…&X-Amz-Expires=…&X-Amz-SignedHeaders=…
     &X-Amz-Signature=…
    ?AWSAccessKeyId=AKID&Expires=1175139620&Signature=…

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html#RESTAuthenticationQueryStringAuth
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html (STS: the header, with `sts` in its scope)
Everything is read strictly, and what is read here is only a claim until `Verifier.verify` has checked it.
"""

import re
from collections.abc import Mapping
from typing import Final

from gateway.bounded import BoundedMap
from gateway.errors import Code, S3Error
from gateway.sigv4.canonical import decode_parameter
from gateway.sigv4.model import (
    ALGORITHM,
    HEADER,
    MAX_EXPIRES_S,
    QUERY,
    S3,
    SIGV2_QUERY,
    STS,
    Credentials,
    CredentialScope,
    Scheme,
    SecretAccessKey,
    WireRequest,
)
from gateway.sigv4.payload import HEADER as PAYLOAD_HEADER
from gateway.sigv4.payload import refuse_streaming
from gateway.sigv4.signing_key import is_signature
from gateway.sigv4.timestamps import parse_amz_date, parse_http_date, render_amz_date

__all__ = [
    "CredentialScope",
    "Credentials",
    "Scheme",
    "SecretAccessKey",
    "WireRequest",
    "parse_credential",
    "parse_credentials",
]

_CREDENTIAL = re.compile(
    r"([A-Za-z0-9._~=+@-]{1,128})/([0-9]{8})/([A-Za-z0-9._-]{0,64})/([a-z0-9-]{1,32})/([a-z0-9_]{1,32})"
)
_SIGNED_HEADERS = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+(?:;[!#$%&'*+.^_`|~0-9a-z-]+)*")
_COMPONENT = re.compile(r"[ \t]*(Credential|SignedHeaders|Signature)=([^,]*)")
_SECOND_MECHANISM = re.compile(r",[ \t]*[A-Za-z][A-Za-z0-9-]* +[^ ]")
_EXPIRES = re.compile(r"[1-9][0-9]{0,6}")
_SIGV2_EXPIRES = re.compile(r"[0-9]{1,12}")
_SIGV2_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}=")
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9._~=+@-]{1,128}")
# A parameter whose name claims a signature, or is written with escapes and might.
_MAY_CLAIM = re.compile(r"(?:^|&)(?:X-Amz-|Signature|AWSAccessKeyId|[^=&%]*%)")
_TOKEN_IN_QUERY = re.compile(r"(?:^|&)x-amz-security-token=", re.IGNORECASE)

_SIGV4_PARAMETERS: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_SIGV2_PARAMETERS: Final = ("Signature", "Expires", "AWSAccessKeyId")
# Present: the request claims to be signed. (X-Amz-Date, Expires and their like alone claim nothing.)
_SIGV4_CLAIMS: Final = frozenset({"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"})
_SIGV2_CLAIMS: Final = frozenset({"AWSAccessKeyId", "Signature"})
# SDKs write these two in either case, and neither must ever be overlooked.
_ANY_CASE: Final = frozenset({"x-amz-security-token", "x-amz-content-sha256"})
_READ: Final = frozenset({*_SIGV4_PARAMETERS, *_SIGV2_PARAMETERS, *_ANY_CASE})

# What was read before: clients send the same scope and list of headers all day, and the same presigned URL often.
# Headers are remembered apart for each service, so that no scope of one is ever read for the other.
_prefixes: Final[Mapping[str, BoundedMap[str, tuple[str, CredentialScope, tuple[str, ...]]]]] = {
    S3: BoundedMap(1024),
    STS: BoundedMap(64),
}
_scopes: BoundedMap[str, tuple[str, CredentialScope]] = BoundedMap(1024)
_header_lists: BoundedMap[str, tuple[str, ...]] = BoundedMap(256)
_queries: BoundedMap[str, Credentials] = BoundedMap(2048)
_MAX_REMEMBERED: Final = 2048  # characters of a query


def parse_credentials(request: WireRequest, service: str = S3) -> Credentials | None:
    """Read who signed a request to `service` (S3 or STS); None: nobody, it is anonymous.

    STS takes a signature in the header only: a presigned URL that makes credentials would outlive its purpose.
    A foreign Authorization header (a browser's `Basic`, a shared HTTP stack's `Bearer`) beside a presigned URL is
    ignored; without one it is refused, as S3 does.
    Raises S3Error: AuthorizationHeaderMalformed, AuthorizationQueryParametersError, InvalidArgument (two mechanisms,
    an unknown one), InvalidRequest (SigV2 in the header), NotImplemented (SigV4A), AccessDenied (no valid date; a
    streaming body without a signed Authorization header), SignatureDoesNotMatch (a signature of impossible form).
    """
    authorization = request.headers.get("authorization")
    if authorization is None or not authorization.startswith("AWS"):
        if service != S3 and request.raw_query and _claims(request.raw_query):
            raise _malformed_query(f"A request to {service} is signed in its Authorization header.")
        credentials = _parse_query(request.raw_query)
        if PAYLOAD_HEADER in request.headers:
            refuse_streaming(request.headers[PAYLOAD_HEADER])
        if credentials is None and authorization is not None:
            raise _foreign_authorization(authorization)
        return credentials
    if request.raw_query and _claims(request.raw_query):
        raise _two_mechanisms()
    return _parse_header(authorization, request, service)


def _claims(raw_query: str) -> bool:
    """Whether a query claims to be signed, where the Authorization header alone should."""
    if _MAY_CLAIM.search(raw_query) is None:
        return False
    names = {_decode_name(pair.partition("=")[0]) for pair in raw_query.split("&")}
    return not names.isdisjoint(_SIGV4_CLAIMS | _SIGV2_CLAIMS)


def _foreign_authorization(authorization: str) -> S3Error:
    if _SECOND_MECHANISM.search(authorization) is not None:
        return _two_mechanisms()
    return S3Error(Code.InvalidArgument, "Unsupported Authorization Type", ArgumentName="Authorization")


def _two_mechanisms() -> S3Error:
    return S3Error(
        Code.InvalidArgument,
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter"
        " or the Authorization header should be specified",
        ArgumentName="Authorization",
    )


# --- the Authorization header


def _parse_header(authorization: str, request: WireRequest, service: str) -> Credentials:
    prefix, _, signature = authorization.rpartition("Signature=")
    prefixes = _prefixes[service]
    known = prefixes.get(prefix)
    if known is None:
        known, signature = _parse_authorization(authorization, service)
        if signature and authorization.endswith(f"Signature={signature}"):
            prefixes.put(prefix, known)
    access_key_id, scope, signed_headers = known
    if not is_signature(signature):
        if _SECOND_MECHANISM.search(authorization) is not None:
            raise _two_mechanisms()
        raise _impossible_signature(access_key_id, signature)
    timestamp, time_s = _signing_time(request.headers)
    if not timestamp.startswith(scope.date):
        raise S3Error(
            Code.AuthorizationHeaderMalformed,
            "The authorization header is malformed; the date in the credential scope is not that of the request.",
        )
    if request.raw_query and _TOKEN_IN_QUERY.search(request.raw_query) is not None:
        raise S3Error(Code.InvalidArgument, "X-Amz-Security-Token belongs into a header of a request signed by header.")
    token = request.headers.get("x-amz-security-token")
    return Credentials(HEADER, access_key_id, scope, signed_headers, signature, time_s, None, token, timestamp, None)


def _parse_authorization(authorization: str, service: str) -> tuple[tuple[str, CredentialScope, tuple[str, ...]], str]:
    """Read a whole header: the components in any order, separated by commas, blanks before them."""
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise _refused_algorithm(algorithm)
    if _SECOND_MECHANISM.search(rest) is not None:
        raise _two_mechanisms()
    components: dict[str, str] = {}
    for part in rest.split(",", 3):
        match = _COMPONENT.fullmatch(part)
        if match is None or match[1] in components:
            raise S3Error(Code.AuthorizationHeaderMalformed)
        components[match[1]] = match[2].strip(" \t")
    if len(components) < 3:
        raise S3Error(
            Code.AuthorizationHeaderMalformed,
            "The authorization header is malformed; it needs Credential, SignedHeaders and Signature.",
        )
    access_key_id, scope = parse_credential(components["Credential"], Code.AuthorizationHeaderMalformed, service)
    signed_headers = _parse_signed_headers(components["SignedHeaders"], Code.AuthorizationHeaderMalformed)
    return (access_key_id, scope, signed_headers), components["Signature"]


def _refused_algorithm(algorithm: str) -> S3Error:
    if algorithm == "AWS":
        return S3Error(
            Code.InvalidRequest,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    if algorithm.startswith("AWS4-ECDSA-"):
        return S3Error(Code.NotImplemented, "AWS4-ECDSA-P256-SHA256 is not supported; use AWS4-HMAC-SHA256.")
    return S3Error(Code.InvalidArgument, "Unsupported Authorization Type", ArgumentName="Authorization")


def _signing_time(headers: Mapping[str, str]) -> tuple[str, int]:
    """The signing time, as written in the string to sign and in epoch seconds; Date counts where x-amz-date is not."""
    timestamp = headers.get("x-amz-date")
    if timestamp is None:
        return _signing_time_of_date(headers.get("date", ""))
    time_s = parse_amz_date(timestamp)
    if time_s is None:
        raise _no_valid_date()
    return timestamp, time_s


def _signing_time_of_date(date: str) -> tuple[str, int]:
    time_s = parse_amz_date(date)
    if time_s is not None:
        return date, time_s
    time_s = parse_http_date(date)
    if time_s is None:
        raise _no_valid_date()
    return render_amz_date(time_s), time_s


def _no_valid_date() -> S3Error:
    return S3Error(Code.AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")


def _impossible_signature(access_key_id: str, signature: str) -> S3Error:
    return S3Error(
        Code.SignatureDoesNotMatch,
        AWSAccessKeyId=access_key_id,
        SignatureProvided=signature[:128].encode("ascii", "replace").decode("ascii"),
    )


# --- what both forms share


def parse_credential(text: str, malformed: Code, service: str = S3) -> tuple[str, CredentialScope]:
    """`AKID/20130524/us-east-1/s3/aws4_request` → access key id and scope. Raises S3Error: the code handed in.

    For STS the region may be empty: MinIO's SDKs sign so unless they are told one.
    """
    match = _CREDENTIAL.fullmatch(text)
    if match is None or (service == S3 and not match[3]):
        raise S3Error(
            malformed, 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    access_key_id, date, region, named, terminator = match.groups()
    if named != service:
        raise S3Error(malformed, f'incorrect service in the credential scope. This endpoint belongs to "{service}".')
    if terminator != "aws4_request":
        raise S3Error(malformed, 'incorrect terminal in the credential scope. This endpoint uses "aws4_request".')
    return access_key_id, CredentialScope(date, region, named)


def _parse_signed_headers(text: str, malformed: Code) -> tuple[str, ...]:
    """`host;x-amz-date` → the names, sorted as the canonical request has them."""
    names = _header_lists.get(text)
    if names is None:
        names = tuple(sorted(text.split(";")))
        if _SIGNED_HEADERS.fullmatch(text) is None or len(set(names)) != len(names):
            raise S3Error(malformed, "SignedHeaders is not a list of distinct lower-case header names.")
        _header_lists.put(text, names)
    return names


# --- the query string


def _parse_query(raw_query: str) -> Credentials | None:
    known = _queries.get(raw_query)
    if known is not None:
        return known
    if not raw_query or _MAY_CLAIM.search(raw_query) is None:
        return None
    found = _auth_parameters(raw_query)
    sigv4, sigv2 = not _SIGV4_CLAIMS.isdisjoint(found), not _SIGV2_CLAIMS.isdisjoint(found)
    if not sigv4 and not sigv2:
        return None
    if sigv4 and sigv2:
        raise _two_mechanisms()
    credentials = _parse_sigv4_query(found) if sigv4 else _parse_sigv2_query(found)
    if len(raw_query) <= _MAX_REMEMBERED:
        _queries.put(raw_query, credentials)
    return credentials


def _auth_parameters(raw_query: str) -> dict[str, str]:
    """The parameters that concern the signature, their values as sent.

    One that is given twice is refused: neither can be trusted. Raises S3Error: AuthorizationQueryParametersError.
    """
    found: dict[str, str] = {}
    for pair in raw_query.split("&"):
        name, _, value = pair.partition("=")
        if name not in _READ:
            name = _decode_name(name)
            if name.lower() in _ANY_CASE:
                name = name.lower()
            elif name not in _READ:
                continue
        if name in found:
            raise _malformed_query(f"The {name} query parameter was given more than once.")
        found[name] = value
    return found


def _decode_name(name: str) -> str:
    return decode_parameter(name) if "%" in name else name


def _parse_sigv4_query(found: dict[str, str]) -> Credentials:
    for name in _SIGV4_PARAMETERS:
        if name not in found:
            raise _malformed_query(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature,"
                " X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
            )
    payload_hash = _decode_optional(found.get("x-amz-content-sha256"))
    if payload_hash is not None:
        refuse_streaming(payload_hash)
    _check_query_algorithm(decode_parameter(found["X-Amz-Algorithm"]))
    access_key_id, scope = _parse_query_credential(found["X-Amz-Credential"])
    signed_headers = _parse_query_signed_headers(found["X-Amz-SignedHeaders"])
    timestamp = decode_parameter(found["X-Amz-Date"])
    time_s = parse_amz_date(timestamp)
    if time_s is None:
        raise _malformed_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if not timestamp.startswith(scope.date):
        raise _malformed_query("The date in the credential scope is not that of X-Amz-Date.")
    expires_s = _parse_expires(decode_parameter(found["X-Amz-Expires"]))
    signature = decode_parameter(found["X-Amz-Signature"])
    if not is_signature(signature):
        raise _impossible_signature(access_key_id, signature)
    token = _decode_optional(found.get("x-amz-security-token"))
    return Credentials(
        QUERY, access_key_id, scope, signed_headers, signature, time_s, expires_s, token, timestamp, payload_hash
    )


def _decode_optional(value: str | None) -> str | None:
    return None if value is None else decode_parameter(value)


def _check_query_algorithm(algorithm: str) -> None:
    if algorithm.startswith("AWS4-ECDSA-"):
        raise S3Error(Code.NotImplemented, "AWS4-ECDSA-P256-SHA256 is not supported; use AWS4-HMAC-SHA256.")
    if algorithm != ALGORITHM:
        raise _malformed_query('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')


def _parse_query_credential(text: str) -> tuple[str, CredentialScope]:
    known = _scopes.get(text)
    if known is None:
        known = parse_credential(decode_parameter(text), Code.AuthorizationQueryParametersError)
        _scopes.put(text, known)
    return known


def _parse_query_signed_headers(text: str) -> tuple[str, ...]:
    names = _header_lists.get(text)
    if names is None:
        names = _parse_signed_headers(decode_parameter(text), Code.AuthorizationQueryParametersError)
        _header_lists.put(text, names)
    return names


def _parse_expires(text: str) -> int:
    if _EXPIRES.fullmatch(text) is None or int(text) > MAX_EXPIRES_S:
        raise _malformed_query(f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES_S} (a week).")
    return int(text)


def _parse_sigv2_query(found: dict[str, str]) -> Credentials:
    for name in _SIGV2_PARAMETERS:
        if name not in found:
            raise S3Error(
                Code.AccessDenied,
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
            )
    access_key_id, expires, signature = (
        decode_parameter(found[name]) for name in ("AWSAccessKeyId", "Expires", "Signature")
    )
    if _ACCESS_KEY_ID.fullmatch(access_key_id) is None:
        raise S3Error(Code.InvalidAccessKeyId)
    if _SIGV2_EXPIRES.fullmatch(expires) is None:
        raise S3Error(Code.AccessDenied, "Invalid date (should be seconds since epoch)")
    if _SIGV2_SIGNATURE.fullmatch(signature) is None:
        raise _impossible_signature(access_key_id, signature)
    token = _decode_optional(found.get("x-amz-security-token"))
    return Credentials(SIGV2_QUERY, access_key_id, None, (), signature, 0, int(expires), token, expires, None)


def _malformed_query(message: str) -> S3Error:
    return S3Error(Code.AuthorizationQueryParametersError, message)
