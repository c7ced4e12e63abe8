"""What a request names: bucket and key from the path or the host, parameters from the query string.

    /bucket/key?versionId=null            path style
    /key           Host: bucket.domain    virtual-host style, for the configured domains

Both work from the request line as it was sent, and decode exactly once: whoever decides about a key, stores it or
asks an origin for it uses the text that came out here. A `%2F` is part of a name, never a separator.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from gateway.errors import Code, S3Error

MAX_KEY_BYTES = 1024
MAX_PARAMETERS = 100

# Every parameter that S3 itself reads. One of these given twice is refused: whichever of the two we took, the
# signer, a proxy or a log reader might take the other. Names that S3 does not know may repeat; they mean nothing.
# fmt: off
KNOWN_PARAMETERS = frozenset({
    # sub-resources, which choose the operation
    "abac", "accelerate", "acl", "analytics", "annotation", "attributes", "cors", "delete", "encryption",
    "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging", "metadataAnnotationTable",
    "metadataConfiguration", "metadataInventoryTable", "metadataJournalTable", "metadataTable", "metrics",
    "notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject",
    "replication", "requestPayment", "restore", "retention", "select", "session", "tagging", "torrent", "uploadId",
    "uploads", "versioning", "versions", "website",
    # what they are about
    "annotation-prefix", "annotationName", "bucket-region", "continuation-token", "delimiter", "encoding-type",
    "fetch-owner", "id", "key-marker", "list-type", "marker", "max-annotation-results", "max-buckets",
    "max-directory-buckets", "max-keys", "max-parts", "max-uploads", "part-number-marker", "partNumber", "prefix",
    "select-type", "start-after", "upload-id-marker", "version-id-marker", "versionId",
    # who asks, as SigV2 writes it (SigV4's parameters begin with X-Amz-)
    "AWSAccessKeyId", "Expires", "Signature",
})
# fmt: on
_KNOWN_PREFIXES = ("x-amz-", "response-")

_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# U+0080 to U+009F are kept: multer names files in UTF-8 read as Latin-1, and Persian names are full of them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DOT_SEGMENT = re.compile(r"(?:^|/)\.\.?(?:/|$)")
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_BUCKET = re.compile(rf"(?=[a-z0-9.-]{{3,63}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_IP_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\Z")
# The common case, recognised in one step: a bucket without dots, and a key of plain characters none of whose segments
# begins with a dot. (Each repetition begins with a character that the one before cannot hold, so matching is linear.)
_SEGMENTS = r"/*(?:[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9_.~!$&'()*+,;=:@-]*(?:/+|\Z))*"
_PLAIN_PATH = re.compile(rf"/([a-z0-9][a-z0-9-]{{1,61}}[a-z0-9])(?:/({_SEGMENTS}))?\Z")
_PLAIN_KEY = re.compile(rf"{_SEGMENTS}\Z")
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~/-]*\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """What a request is about: the service (no bucket), a bucket (no key) or an object."""

    bucket: str | None
    key: str | None


def parse_address(raw_path: str, host: str, domains: tuple[str, ...]) -> Address:
    """Tell bucket and key from the path as it was sent and the Host header (a port in it is ignored).

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    Raises S3Error: InvalidURI, InvalidBucketName, KeyTooLongError.
    """
    bucket = _bucket_of_host(host, domains)
    if bucket is not None:
        validate_bucket_name(bucket)
        return Address(bucket, _parse_key(_without_slash(raw_path)))
    if len(raw_path) <= MAX_KEY_BYTES and (plain := _PLAIN_PATH.match(raw_path)):
        return Address(plain[1], plain[2] or None)
    if raw_path == "/":
        return Address(None, None)
    raw_bucket, _, raw_key = _without_slash(raw_path).partition("/")
    bucket = _decode(raw_bucket)
    validate_bucket_name(bucket)
    return Address(bucket, _parse_key(raw_key))


def parse_query(raw_query: str) -> dict[str, str]:
    """Decode a query string; a parameter without a value is "".

    A literal `+` means a space, because S3 reads it so (Go's and Java's query parsers, which other stores use, do
    too) and clients that mean a plus send %2B. A signature is over the decoded value encoded anew, so it agrees.
    Raises S3Error: InvalidURI (malformed escapes, not UTF-8, NUL), InvalidArgument (too many, or a known one twice).
    """
    if not raw_query:
        return {}
    parts = raw_query.split("&", MAX_PARAMETERS)
    if len(parts) > MAX_PARAMETERS:
        raise S3Error(Code.InvalidArgument, f"A request may have at most {MAX_PARAMETERS} query parameters.")
    parameters: dict[str, str] = {}
    for part in parts:
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in part or "+" in part or not part.isprintable() or not part.isascii():
            name, value = _decode_parameter(name), _decode_parameter(value)
        if name not in parameters:
            parameters[name] = value
        elif name in KNOWN_PARAMETERS or name.lower().startswith(_KNOWN_PREFIXES):
            raise S3Error(Code.InvalidArgument, "A query parameter was given more than once.", ArgumentName=name)
    return parameters


def parse_copy_source(value: str) -> tuple[str, str, str | None]:
    """Bucket, key and version id of an x-amz-copy-source header: `[/]bucket/key[?versionId=id]`, percent-encoded.

    The whole text is decoded before bucket and key are told apart, because many clients encode the slash between
    them as well. A `+` is a space, as for S3: Go's SDK writes it so (aws/aws-sdk-js#1821); a plus is %2B.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    Raises S3Error: InvalidArgument, InvalidBucketName, KeyTooLongError.
    """
    path, mark, raw_query = value.partition("?")
    if mark and not raw_query.startswith("versionId="):
        raise _invalid_copy_source(value)
    version_id = raw_query.removeprefix("versionId=") or None
    try:
        bucket, _, key = _decode(path.replace("+", " ")).removeprefix("/").partition("/")
        version_id = _decode(version_id) if version_id else None
        if key:
            validate_key(key)
    except S3Error as error:
        if error.code is Code.KeyTooLongError:
            raise
        raise _invalid_copy_source(value) from error
    if not bucket or not key:
        raise _invalid_copy_source(value)
    validate_bucket_name(bucket)
    return bucket, key, version_id


def validate_bucket_name(name: str) -> None:
    """Check S3's rules for names of general purpose buckets; names reserved for AWS's own features are allowed.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    Raises S3Error: InvalidBucketName.
    """
    if not _BUCKET.match(name) or _IP_ADDRESS.match(name):
        raise S3Error(Code.InvalidBucketName, BucketName=name[:255])


def validate_key(key: str) -> None:
    """Check a decoded key: at most 1024 UTF-8 bytes, no control characters, no segment that is `.` or `..`.

    For keys from a path, and for those from forms and documents. S3 itself stores what we refuse here; but XML 1.0
    cannot carry most control characters, and every proxy, browser and file system on the way folds dot segments in
    its own manner. `..` inside a name is fine.
    Raises S3Error: InvalidURI, KeyTooLongError.
    """
    if _CONTROL.search(key) or _DOT_SEGMENT.search(key):
        raise S3Error(Code.InvalidURI, "A key must not have control characters, nor segments that are '.' or '..'.")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise S3Error(Code.InvalidURI) from error
    if size > MAX_KEY_BYTES:
        raise S3Error(Code.KeyTooLongError, Size=size, MaxSizeAllowed=MAX_KEY_BYTES)


def encode_key(key: str) -> str:
    """Percent-encode a key as RFC 3986 has it, `/` kept: the form in URLs, signatures and `encoding-type=url`."""
    return key if _UNRESERVED.match(key) else quote(key, safe="/")


@lru_cache(maxsize=1024)
def _bucket_of_host(host: str, domains: tuple[str, ...]) -> str | None:
    """The bucket that a virtual-host style host names; the longest domain wins, and a domain itself names none."""
    if not domains:
        return None
    name = host.lower()
    domains = tuple(domain.lower() for domain in domains)
    if not name.endswith("]"):  # the port, unless this is an IPv6 address without one
        name = name.partition(":")[0] if name[:1] != "[" else name.rpartition(":")[0]
    name = name.removesuffix(".")
    if name in domains:
        return None
    within = [domain for domain in domains if name.endswith(f".{domain}")]
    return name[: -len(max(within, key=len)) - 1] if within else None


def _without_slash(raw_path: str) -> str:
    if not raw_path.startswith("/"):
        raise S3Error(Code.InvalidURI)
    return raw_path[1:]


def _parse_key(raw_key: str) -> str | None:
    if not raw_key:
        return None
    if len(raw_key) <= MAX_KEY_BYTES and _PLAIN_KEY.match(raw_key):
        return raw_key
    key = _decode(raw_key)
    validate_key(key)
    return key


def _decode(text: str) -> str:
    """Undo percent-encoding, strictly: every % has two hex digits, and the bytes are UTF-8."""
    if "%" not in text and text.isascii():
        return text
    raw = text.encode("utf-8", "surrogateescape")
    if _PERCENT.search(raw):
        raise S3Error(Code.InvalidURI)
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise S3Error(Code.InvalidURI) from error


def _decode_parameter(text: str) -> str:
    decoded = _decode(text.replace("+", " "))
    if "\0" in decoded:
        raise S3Error(Code.InvalidURI)
    return decoded


def _invalid_copy_source(value: str) -> S3Error:
    return S3Error(
        Code.InvalidArgument,
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        ArgumentName="x-amz-copy-source",
        ArgumentValue=value[:2048],
    )
