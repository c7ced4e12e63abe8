"""Headers that a presigned URL carries in its query: SDKs move x-amz-* headers there, so that who uses the URL need
not send them, and S3 reads them as if they were headers.

    ?x-amz-meta-album=7&x-amz-acl=private&X-Amz-Algorithm=…          JS v3
    ?AWSAccessKeyId=…&content-type=image%2Fpng&x-amz-meta-album=7    boto3's and JS v2's SigV2 URLs
"""

import re
from collections.abc import Mapping
from typing import Final

from gateway.errors import Code, S3Error
from gateway.sigv4.canonical import decode_parameter
from gateway.sigv4.model import Credentials, Scheme, WireRequest

# Those that belong to the signature itself.
_OF_THE_SIGNATURE: Final = frozenset(
    f"x-amz-{name}"
    for name in (
        "algorithm",
        "credential",
        "date",
        "expires",
        "signedheaders",
        "signature",
        "security-token",
        "content-sha256",
    )
)
# JS v3 hoists the checksum of the empty body that it had when it signed: it says nothing about the body that comes.
_CHECKSUMS: Final = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm")
_NOT_CHECKSUMS: Final = frozenset({"x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-checksum-type"})
_SIGV2_CONTENT: Final = frozenset({"content-type", "content-md5"})
# In a SigV4 query these are the signature's in this spelling; they are passed over quickly, as every presigned GET has
# them. (In a SigV2 query they would be headers like others.)
_SIGV4_PARAMETERS: Final = frozenset(
    f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
)
_NAME = re.compile(r"[a-z0-9!#$&'*+.^_|~-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def hoisted_headers(request: WireRequest, credentials: Credentials) -> Mapping[str, str]:
    """The headers that a verified presigned URL brings along and the request does not send; lower-case names.

    The signature covers them. Empty for a request signed by header.
    Raises S3Error: InvalidArgument (malformed, or given twice), AccessDenied (the request sends another value).
    """
    if credentials.scheme is Scheme.HEADER:
        return {}
    found = parse_hoisted(request.raw_query, sigv2=credentials.scheme is Scheme.SIGV2_QUERY)
    return {
        name: value
        for name, value in found.items()
        if (name in _NOT_CHECKSUMS or not name.startswith(_CHECKSUMS))
        and name not in _OF_THE_SIGNATURE
        and not _is_sent(name, value, request.headers)
    }


def _is_sent(name: str, value: str, headers: Mapping[str, str]) -> bool:
    """Whether the request sends a hoisted header itself. Raises S3Error: AccessDenied, when with another value."""
    sent = headers.get(name)
    if sent is not None and sent.strip(" \t") != value.strip(" \t"):
        raise S3Error(
            Code.AccessDenied, "There were headers present in the request which were not signed", HeadersNotSigned=name
        )
    return sent is not None


def parse_hoisted(raw_query: str, *, sigv2: bool) -> dict[str, str]:
    """Every x-amz-* parameter, and of SigV2 URLs Content-Type and Content-MD5; lower-case names.

    Control characters are refused, because a line break in a value could pass for another header in what is signed.
    Raises S3Error: InvalidArgument, InvalidURI.
    """
    found: dict[str, str] = {}
    for pair in raw_query.split("&"):
        raw_name, _, raw_value = pair.partition("=")
        if raw_name in _SIGV4_PARAMETERS and not sigv2:
            continue
        name = decode_parameter(raw_name).lower()
        if not name.startswith("x-amz-") and not (sigv2 and name in _SIGV2_CONTENT):
            continue
        value = decode_parameter(raw_value)
        if name in found or _NAME.fullmatch(name) is None or _CONTROL.search(value) is not None:
            raise S3Error(Code.InvalidArgument, "A header in the query is malformed or given twice.")
        found[name] = value
    return found
