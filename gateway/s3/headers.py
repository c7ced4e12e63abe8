"""What request headers say about an object, and the texts that headers are made of: dates and numbers.

Values come decoded as UTF-8, a lone surrogate for each byte that is not; whatever is stored with an object must go
out again in a header, so characters that no header can carry are refused when they come in.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache

from gateway.errors import Code, S3Error
from gateway.s3.address import parse_query

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
METADATA_PREFIX = "x-amz-meta-"
MAX_METADATA_BYTES = 2048
MAX_TAGS = 10
MAX_TAG_KEY_CHARACTERS = 128
MAX_TAG_VALUE_CHARACTERS = 256
OBJECT_ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})

_STANDARD_HEADERS = ("content-type", "cache-control", "content-disposition", "content-language", "expires")
_OVERRIDES = {f"response-{name}": name for name in (*_STANDARD_HEADERS, "content-encoding")}
_OVERRIDING = frozenset(_OVERRIDES)
# Types that a browser shows without running anything in them. Not here: HTML, SVG, XML, PDF, scripts, and whatever
# we do not know.
# fmt: off
_INLINE_TYPES = frozenset({
    "image/apng", "image/avif", "image/bmp", "image/gif", "image/heic", "image/heif", "image/jpeg", "image/jxl",
    "image/png", "image/tiff", "image/vnd.microsoft.icon", "image/webp", "image/x-icon", "text/plain",
})
# fmt: on
_INLINE_FAMILIES = re.compile(r"(?:audio|video)/[a-z0-9.+-]{1,64}\Z")

# Presigned URLs may carry any x-amz- header as a query parameter instead. These are not headers moved there: SigV4's
# own parameters, and checksums, which JS v3 computes of the empty body that it has when it signs.
_INTEGER = re.compile(r"[0-9]{1,18}\Z")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MD5_BASE64 = re.compile(r"[A-Za-z0-9+/]{22}==\Z")
_TAG_TEXT = re.compile(r"[\w +\-=.:/@]*\Z")  # \w: letters and digits of any script, and _

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "|".join(_MONTHS)
_CLOCK = "([0-9]{2}):([0-9]{2}):([0-9]{2})"
_IMF_FIXDATE = re.compile(rf"(?:{'|'.join(_DAYS)}), ([0-9]{{2}}) ({_MONTH}) ([0-9]{{4}}) {_CLOCK} GMT\Z")
_RFC_850 = re.compile(rf"[A-Z][a-z]{{5,8}}, ([0-9]{{2}})-({_MONTH})-([0-9]{{2}}) {_CLOCK} GMT\Z")
_ASCTIME = re.compile(rf"(?:{'|'.join(_DAYS)}) ({_MONTH}) ([0-9 ][0-9]) {_CLOCK} ([0-9]{{4}})\Z")
_ISO_DATE = re.compile(rf"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})T{_CLOCK}(?:\.[0-9]{{1,9}})?Z\Z")
_TWO_DIGITS = tuple(f"{number:02}" for number in range(60))
_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


class Directive(Enum):
    """Whether a copy takes its source's metadata (or tags), or those of the request."""

    COPY = "COPY"
    REPLACE = "REPLACE"


def parse_object_headers(headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What is kept with an object: standard headers by lower-case name, and user metadata without its prefix.

    Content-Type is always there. Of Content-Encoding, aws-chunked is left out: it is how the body travels.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    Raises S3Error: InvalidArgument (characters that no header can carry), MetadataTooLarge.
    """
    standard: dict[str, str] = {"content-type": DEFAULT_CONTENT_TYPE}
    for name in _STANDARD_HEADERS:
        value = headers.get(name)
        if value:
            standard[name] = _sendable(name, value)
    encoding = _without_aws_chunked(headers.get("content-encoding", ""))
    if encoding:
        standard["content-encoding"] = _sendable("content-encoding", encoding)
    return standard, _parse_metadata(headers)


def parse_response_overrides(query: Mapping[str, str]) -> dict[str, str]:
    """The response headers that the query sets (response-content-type, …), by lower-case name.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    Raises S3Error: InvalidArgument (characters that no header can carry).
    """
    if _OVERRIDING.isdisjoint(query):
        return {}
    return {
        header: _sendable(parameter, query[parameter])
        for parameter, header in _OVERRIDES.items()
        if query.get(parameter)
    }


def content_disposition_for(content_type: str, stored: str | None) -> str | None:
    """The Content-Disposition to answer with: the object's own, else `attachment` where showing it might run code.

    Pictures (not SVG), audio, video and plain text are shown by browsers without harm; anything else that an
    uploader chose to store, HTML above all, is offered as a download.
    """
    if stored is not None:
        return stored
    essence = content_type.partition(";")[0].strip(" \t").lower()
    return None if essence in _INLINE_TYPES or _INLINE_FAMILIES.match(essence) else "attachment"


def may_be_kept(cache_control: str) -> bool:
    """May a shared cache keep what came with this Cache-Control?

    https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
    """
    names = {part.partition("=")[0].strip().lower() for part in cache_control.split(",")}
    return names.isdisjoint(("no-store", "private"))


def parse_tagging_header(value: str) -> dict[str, str]:
    """Tags as x-amz-tagging has them: `key=value&key2=value2`, percent-encoded.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    Raises S3Error: InvalidArgument, InvalidTag, BadRequest (more than 10).
    """
    try:
        pairs = [pair for part in value.split("&") for pair in parse_query(part).items()]
    except S3Error as error:
        message = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters."
        raise S3Error(Code.InvalidArgument, message, ArgumentName="x-amz-tagging") from error
    return validate_tags(pairs)


def validate_tags(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The tags of an object, after S3's rules about their number, lengths and characters.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    Raises S3Error: InvalidTag, BadRequest (more than 10).
    """
    tags: dict[str, str] = {}
    for key, value in pairs:
        if not 0 < len(key) <= MAX_TAG_KEY_CHARACTERS or not _TAG_TEXT.match(key):
            raise S3Error(Code.InvalidTag, "The TagKey you have provided is invalid", TagKey=key[:256])
        if key.lower().startswith("aws:"):
            raise S3Error(Code.InvalidTag, "System tags cannot be added/updated by requester", TagKey=key)
        if len(value) > MAX_TAG_VALUE_CHARACTERS or not _TAG_TEXT.match(value):
            raise S3Error(
                Code.InvalidTag, "The TagValue you have provided is invalid", TagKey=key, TagValue=value[:256]
            )
        if key in tags:
            raise S3Error(Code.InvalidTag, "Cannot provide multiple Tags with the same key", TagKey=key)
        tags[key] = value
        if len(tags) > MAX_TAGS:
            raise S3Error(Code.BadRequest, f"Object tags cannot be greater than {MAX_TAGS}")
    return tags


def parse_directive(value: str | None, name: str) -> Directive:
    """A copy's x-amz-metadata-directive or x-amz-tagging-directive; COPY where there is none.

    Raises S3Error: InvalidArgument.
    """
    if value is None or value == "COPY":
        return Directive.COPY
    if value == "REPLACE":
        return Directive.REPLACE
    raise _invalid(f"Unknown {name}.", name, value)


def parse_object_attributes(value: str | None) -> frozenset[str]:
    """The names in GetObjectAttributes' x-amz-object-attributes.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
    Raises S3Error: InvalidArgument.
    """
    name = "x-amz-object-attributes"
    wanted = frozenset(part.strip(" \t") for part in (value or "").split(","))
    if not value or not wanted <= OBJECT_ATTRIBUTES:
        raise _invalid("Invalid attribute name specified.", name, value or "")
    return wanted


def parse_content_length(headers: Mapping[str, str]) -> int | None:
    """Content-Length in bytes; None: there is no such header.

    Raises S3Error: InvalidArgument.
    """
    text = headers.get("content-length")
    return None if text is None else parse_integer(text, "Content-Length", minimum=0, maximum=10**18)


def parse_content_md5(headers: Mapping[str, str]) -> bytes | None:
    """The 16 bytes of Content-MD5; None: there is no such header.

    Raises S3Error: InvalidDigest.
    """
    text = headers.get("content-md5")
    if text is None:
        return None
    try:
        if _MD5_BASE64.match(text):
            return base64.b64decode(text, validate=True)
    except binascii.Error:
        pass
    raise S3Error(Code.InvalidDigest, **{"Content-MD5": text[:256]})


def parse_integer(text: str, name: str, *, minimum: int, maximum: int) -> int:
    """A number in ASCII digits and nothing else, within limits that are themselves allowed.

    Raises S3Error: InvalidArgument.
    """
    if not _INTEGER.match(text):
        raise _invalid(f"Provided {name} not an integer or within integer range", name, text)
    number = int(text)
    if not minimum <= number <= maximum:
        raise _invalid(f"Argument {name} must be an integer between {minimum} and {maximum}", name, text)
    return number


def parse_http_date(text: str) -> int | None:
    """Epoch seconds of a date in one of the three forms of RFC 9110 section 5.6.7; None: it is none of them.

    A two-digit year is one of 1970 to 2069, so that the answer does not depend on the day it is asked.
    """
    if found := _IMF_FIXDATE.match(text):
        day, month, year, *clock = found.groups()
    elif found := _RFC_850.match(text):
        day, month, short, *clock = found.groups()
        year = f"{'20' if short < '70' else '19'}{short}"
    elif found := _ASCTIME.match(text):
        month, day, *clock, year = found.groups()
    else:
        return None
    return _epoch_s(year, str(_MONTHS.index(month) + 1), day, clock)


def parse_iso_date(text: str) -> int | None:
    """Epoch seconds of a date like 2026-11-22T09:00:00.000Z, a fraction of a second left out; None: it is not one."""
    found = _ISO_DATE.match(text)
    if found is None:
        return None
    year, month, day, *clock = found.groups()
    return _epoch_s(year, month, day, clock)


def render_http_date(epoch_s: int) -> str:
    """A time as headers have it: "Sun, 22 Nov 2026 09:00:00 GMT"."""
    day, second = divmod(epoch_s, 86400)
    minute, second = divmod(second, 60)
    return f"{_day_names(day)[0]} {_TWO_DIGITS[minute // 60]}:{_TWO_DIGITS[minute % 60]}:{_TWO_DIGITS[second]} GMT"


def render_iso_date(epoch_s: int) -> str:
    """A time as XML documents have it: "2026-11-22T09:00:00.000Z"."""
    day, second = divmod(epoch_s, 86400)
    minute, second = divmod(second, 60)
    return f"{_day_names(day)[1]}T{_TWO_DIGITS[minute // 60]}:{_TWO_DIGITS[minute % 60]}:{_TWO_DIGITS[second]}.000Z"


@lru_cache(maxsize=4096)
def _day_names(day: int) -> tuple[str, str]:
    """A day since 1970 as headers and as XML write it; strftime would use the machine's language."""
    date = datetime.fromordinal(_EPOCH_DAY + day)
    written = f"{_DAYS[date.weekday()]}, {date.day:02} {_MONTHS[date.month - 1]} {date.year:04}"
    return written, f"{date.year:04}-{date.month:02}-{date.day:02}"


def _epoch_s(year: str, month: str, day: str, clock: list[str]) -> int | None:
    hour, minute, second = map(int, clock)
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second, which counts as the next minute's first
        return None
    try:
        date = datetime(int(year), int(month), int(day), tzinfo=UTC)
    except ValueError:
        return None
    return (date.toordinal() - _EPOCH_DAY) * 86400 + hour * 3600 + minute * 60 + second


def _parse_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    metadata: dict[str, str] = {}
    size = 0
    for header in [header for header in headers if header.startswith(METADATA_PREFIX)]:
        value = headers[header]
        name = header.removeprefix(METADATA_PREFIX)
        if not _TOKEN.match(name):
            raise _invalid("A metadata name must be an HTTP token.", "x-amz-meta-*", name)
        metadata[name] = _sendable(header, value)
        size += len(name) + len(value.encode())
    if size > MAX_METADATA_BYTES:
        raise S3Error(Code.MetadataTooLarge, Size=size, MaxSizeAllowed=MAX_METADATA_BYTES)
    return metadata


def _sendable(name: str, value: str) -> str:
    if _UNSAFE.search(value):
        message = f"The value of {name} must be UTF-8 without control characters."
        raise S3Error(Code.InvalidArgument, message, ArgumentName=name)
    return value


def _without_aws_chunked(value: str) -> str:
    if "aws-chunked" not in value.lower():
        return value
    codings = (coding.strip(" \t") for coding in value.split(","))
    return ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")


def _invalid(message: str, name: str, value: str) -> S3Error:
    return S3Error(Code.InvalidArgument, message, ArgumentName=name, ArgumentValue=value[:256])
