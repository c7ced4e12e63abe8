"""The Range header, as RFC 9110 section 14 has it and S3 answers it: one range of bytes, or the whole object.

bytes=0-99 · bytes=100- · bytes=-500
"""

import re
from dataclasses import dataclass

from gateway.errors import Code, S3Error
from gateway.s3.conditions import parse_etags
from gateway.s3.headers import parse_http_date

_RANGE = re.compile(r"[Bb][Yy][Tt][Ee][Ss]=([0-9]*)-([0-9]*)\Z")
_COPY_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})\Z")
_BEYOND_ANY_SIZE = 1 << 62


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `first` to `last` of an object, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class RangeSpec:
    """A range as asked for: `first` is None for the last `last` bytes, `last` is None for all from `first`."""

    first: int | None
    last: int | None
    text: str


def parse_range(header: str | None) -> RangeSpec | None:
    """Read a Range header; None: serve the whole object.

    RFC 9110 lets a server ignore the header, and S3 does so when it is malformed, in another unit, or has several
    ranges; so does this. https://www.rfc-editor.org/rfc/rfc9110#field.range
    """
    if header is None:
        return None
    found = _RANGE.match(header)
    if found is None or found[1] == found[2] == "":
        return None
    first, last = _position(found[1]), _position(found[2])
    if first is not None and last is not None and last < first:
        return None
    return RangeSpec(first, last, header[:100])


def resolve_range(spec: RangeSpec | None, size: int) -> ByteRange | None:
    """The bytes meant of an object of `size` bytes: a last position past the end means the end.

    Raises S3Error: InvalidRange, where not one byte is meant.
    """
    if spec is None:
        return None
    if spec.first is None:
        wanted = min(spec.last or 0, size)
        first, last = size - wanted, size - 1
    else:
        first, last = spec.first, size - 1 if spec.last is None else min(spec.last, size - 1)
    if first >= size or size == 0:
        raise S3Error(Code.InvalidRange, RangeRequested=spec.text, ActualObjectSize=size)
    return ByteRange(first, last)


def if_range_holds(value: str | None, etag: str, modified_s: int) -> bool:
    """Whether an If-Range header lets the Range header count: the same strong ETag, or exactly the same date.

    https://www.rfc-editor.org/rfc/rfc9110#field.if-range
    """
    if value is None:
        return True
    date_s = parse_http_date(value)
    if date_s is not None:
        return date_s == modified_s
    try:
        return parse_etags(value, "If-Range") == (etag,)
    except S3Error:
        return False


def parse_copy_range(value: str, source_size: int) -> ByteRange:
    """The bytes of the source that x-amz-copy-source-range names: `bytes=first-last`, wholly inside the source.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
    Raises S3Error: InvalidArgument.
    """
    found = _COPY_RANGE.match(value)
    if found is None:
        message = "The x-amz-copy-source-range value must be of the form bytes=first-last."
        raise _invalid_copy_range(message, value)
    first, last = int(found[1]), int(found[2])
    if not first <= last < source_size:
        raise _invalid_copy_range(f"Range specified is not valid for source object of size: {source_size}", value)
    return ByteRange(first, last)


def _position(digits: str) -> int | None:
    if not digits:
        return None
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= 18 else _BEYOND_ANY_SIZE


def _invalid_copy_range(message: str, value: str) -> S3Error:
    return S3Error(Code.InvalidArgument, message, ArgumentName="x-amz-copy-source-range", ArgumentValue=value[:100])
