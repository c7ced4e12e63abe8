"""SigV2 as boto3, django-storages, aws-cli v1, JS v2 and s3cmd still write it into presigned URLs and POST forms.

    PUT                                  method
    XUFAKrxLKna5cZ2REBfFkg==             Content-MD5, or nothing
    image/png                            Content-Type, or nothing
    1175139620                           Expires, epoch seconds
    x-amz-acl:private                    every x-amz-* header, sorted, also those that the query carries
    /bucket/key?acl&versionId=3          the bucket (of a virtual host too), the path as sent, sub-resources sorted

    base64(HMAC-SHA1(secret, text))

https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
SigV2 signs neither the host nor most of the query. What it does not sign is refused here, not ignored, so that nobody
can turn a URL into another request by adding to it.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Final

from gateway.errors import Code, S3Error
from gateway.sigv4.canonical import decode_parameter, encode_text
from gateway.sigv4.hoisted import parse_hoisted
from gateway.sigv4.model import Credentials, SecretAccessKey, WireRequest

_AUTH: Final = frozenset({"AWSAccessKeyId", "Signature", "Expires"})
# What SigV2 signers sign of a query: AWS's list with botocore's (HmacV1Auth.QSAOfInterest) and JS v2's (signers/s3.js).
_SUB_RESOURCES: Final = frozenset(
    {
        *("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location"),
        *("logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment"),
        *("restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId"),
        *("versioning", "versions", "website"),
        *("response-cache-control", "response-content-disposition", "response-content-encoding"),
        *("response-content-language", "response-content-type", "response-expires"),
    }
)
# JS v2 writes these headers into the URL too. They are not signed, and nobody reads them there.
_WITHOUT_EFFECT: Final = frozenset({"cache-control", "content-disposition", "content-encoding", "content-language"})
_HOISTED: Final = frozenset({"content-type", "content-md5"})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")


def verify_sigv2_query(
    request: WireRequest, credentials: Credentials, secret: SecretAccessKey, host_bucket: str | None
) -> None:
    """Check a presigned URL's signature; its life is checked by the caller. `host_bucket`: of a virtual-host request.

    Raises S3Error: SignatureDoesNotMatch, AccessDenied (a parameter that SigV2 does not sign), InvalidArgument.
    """
    texts = _strings_to_sign(request, credentials, host_bucket)
    # A list, not any(): every form is compared, wherever the right one stands.
    if True not in [matches_sigv2(secret, text, credentials.signature) for text in texts]:
        raise S3Error(
            Code.SignatureDoesNotMatch,
            AWSAccessKeyId=credentials.access_key_id,
            StringToSign=encode_text(texts[0]).decode("utf-8", "replace"),
            SignatureProvided=credentials.signature,
        )


def signed_by_sigv2(headers: Iterable[str]) -> tuple[str, ...]:
    """Which headers that a request sends its signature covers; lower-case names. No list in the URL says so."""
    return tuple([name for name in headers if name.startswith("x-amz-") or name in _HOISTED])


def sign_sigv2(secret: SecretAccessKey, text: str) -> str:
    """base64(HMAC-SHA1): of a string to sign, or of a POST form's policy."""
    return b64encode(hmac.digest(secret.reveal(), encode_text(text), "sha1")).decode("ascii")


def matches_sigv2(secret: SecretAccessKey, text: str, claimed: str) -> bool:
    """Compare a claimed signature of `text` in constant time."""
    return hmac.compare_digest(sign_sigv2(secret, text).encode("ascii"), encode_text(claimed))


def _strings_to_sign(request: WireRequest, credentials: Credentials, host_bucket: str | None) -> list[str]:
    """The forms that signers give one request: botocore signs decoded values, JS v2 partly those it sends.

    Of a bucket in path style botocore sends `/bucket`, and signs `/bucket/`.
    """
    pairs = _signed_pairs(request.raw_query)
    head = _head(request, credentials)
    path = f"/{host_bucket}{request.raw_path}" if host_bucket else request.raw_path
    decoded = [(name, None if value is None else _decode_value(value)) for name, value in pairs]
    bare = [(name, value or None) for name, value in decoded]  # HTTP libraries make `?acl=` of `?acl`
    paths = [path, f"{path}/"] if path != "/" and "/" not in path[1:] else [path]
    forms = [f"{head}{each}{_render_query(form)}" for each in paths for form in (decoded, pairs, bare)]
    return list(dict.fromkeys(forms))


def _head(request: WireRequest, credentials: Credentials) -> str:
    """All lines but the last."""
    hoisted = parse_hoisted(request.raw_query, sigv2=True)
    headers = {name: request.headers[name].strip(" \t") for name in signed_by_sigv2(request.headers)}
    for name, value in hoisted.items():
        if headers.setdefault(name, value.strip(" \t")) != value.strip(" \t"):
            raise S3Error(
                Code.AccessDenied,
                "There were headers present in the request which were not signed",
                HeadersNotSigned=name,
            )
    amz = "".join([f"{name}:{headers[name]}\n" for name in sorted(headers) if name not in _HOISTED])
    content = f"{headers.get('content-md5', '')}\n{headers.get('content-type', '')}"
    return f"{request.method}\n{content}\n{credentials.timestamp}\n{amz}"


def _signed_pairs(raw_query: str) -> list[tuple[str, str | None]]:
    """Sub-resources with their values as sent (None: no `=`), sorted by name.

    Raises S3Error: AccessDenied (another parameter), InvalidArgument (one twice).
    """
    pairs: dict[str, str | None] = {}
    for pair in raw_query.split("&"):
        name, equals, value = pair.partition("=")
        if name in _SUB_RESOURCES:
            if name in pairs:
                raise S3Error(Code.InvalidArgument, "A query parameter was given more than once.", ArgumentName=name)
            pairs[name] = value if equals else None
        elif pair and not _may_stay_unsigned(name):
            raise _unsigned_parameter(name)
    return sorted(pairs.items())


def _may_stay_unsigned(name: str) -> bool:
    lowered = name.lower()
    return name in _AUTH or lowered.startswith("x-amz-") or lowered in _HOISTED or lowered in _WITHOUT_EFFECT


def _unsigned_parameter(name: str) -> S3Error:
    shown = name[:64] if _PLAIN_NAME.fullmatch(name) else "(not shown)"
    return S3Error(
        Code.AccessDenied,
        "This query parameter is not covered by a Signature Version 2 signature. Please use AWS4-HMAC-SHA256.",
        ArgumentName=shown,
    )


def _decode_value(value: str) -> str:
    """Decode one value; what would read as a further sub-resource in the string to sign is refused.

    `response-content-type=x%26versionId=3` is signed as `response-content-type=x&versionId=3` is.
    """
    decoded = decode_parameter(value)
    for piece in decoded.split("&")[1:]:
        if piece.partition("=")[0] in _SUB_RESOURCES:
            raise S3Error(Code.AccessDenied, "A query parameter's value is ambiguous. Please use AWS4-HMAC-SHA256.")
    return decoded


def _render_query(pairs: list[tuple[str, str | None]]) -> str:
    if not pairs:
        return ""
    return "?" + "&".join([name if value is None else f"{name}={value}" for name, value in pairs])
