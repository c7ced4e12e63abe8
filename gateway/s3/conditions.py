"""Conditional requests: If-Match and its three companions, on reads, on copy sources and on writes.

If-Match: "etag", "etag" | *          If-None-Match: "etag", W/"etag" | *
If-Modified-Since: date               If-Unmodified-Since: date
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from gateway.errors import Code, S3Error
from gateway.s3.headers import parse_http_date

# One ETag and the comma after it. Clients also send ETags without their quotes; those hold no comma or blank.
_ETAG = re.compile(r'[ \t]*((?:W/)?"[^"\x00-\x1f\x7f]*"|[^",\x00-\x20\x7f]+)[ \t]*(?:,|\Z)')
_MAX_ETAGS = 100
_NAMES = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})


class Outcome(Enum):
    """What the conditions of a read say."""

    PROCEED = auto()
    NOT_MODIFIED = auto()


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a read; ETags with their quotes, `*` as ("*",), times in epoch seconds."""

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None

    @property
    def empty(self) -> bool:
        return self is NO_CONDITIONS or self == NO_CONDITIONS


NO_CONDITIONS = Conditions()


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What must hold of the object that a write replaces: its ETag (or "*": that it exists), or that there is none."""

    if_match: str | None = None
    if_none_match: bool = False


def parse_conditions(headers: Mapping[str, str], prefix: str = "") -> Conditions:
    """Read the conditional headers whose names begin with `prefix` ("x-amz-copy-source-" for the source of a copy).

    A date that cannot be read is ignored, as RFC 9110 asks; ETags that cannot be read are refused.
    Raises S3Error: InvalidArgument.
    """
    if not prefix and _NAMES.isdisjoint(headers):
        return NO_CONDITIONS
    return Conditions(
        _etags(headers, f"{prefix}if-match"),
        _etags(headers, f"{prefix}if-none-match"),
        _date(headers, f"{prefix}if-modified-since"),
        _date(headers, f"{prefix}if-unmodified-since"),
    )


def parse_etags(value: str, name: str) -> tuple[str, ...]:
    """The ETags of a header's value, in order, with quotes even where the client left them out; `*` as ("*",).

    Raises S3Error: InvalidArgument.
    """
    etags: list[str] = []
    position = 0
    while position < len(value):
        found = _ETAG.match(value, position)
        if found is None or len(etags) == _MAX_ETAGS:
            raise S3Error(Code.InvalidArgument, f"The {name} header is malformed.", ArgumentName=name)
        position = found.end()
        etags.append(found[1] if found[1] == "*" else quoted_etag(found[1]))
    return tuple(etags)


def quoted_etag(etag: str) -> str:
    """An ETag with its quotes, whether or not it had them."""
    return etag if etag.endswith('"') else f'"{etag}"'


def check_read(conditions: Conditions, etag: str, modified_s: int) -> Outcome:
    """Apply the conditions of GET or HEAD to what is stored, in the order of RFC 9110 section 13.2.2.

    https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2
    Raises S3Error: PreconditionFailed.
    """
    failed = _failed(conditions, etag, modified_s)
    if failed is None:
        return Outcome.PROCEED
    if failed in ("If-None-Match", "If-Modified-Since"):
        return Outcome.NOT_MODIFIED
    raise S3Error(Code.PreconditionFailed, Condition=failed)


def check_copy(conditions: Conditions, etag: str, modified_s: int) -> None:
    """Apply the conditions on a copy's source; there is no 304 for a write, so whatever fails is a failure.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    Raises S3Error: PreconditionFailed.
    """
    failed = _failed(conditions, etag, modified_s)
    if failed is not None:
        raise S3Error(Code.PreconditionFailed, Condition=f"x-amz-copy-source-{failed}")


def parse_write_condition(headers: Mapping[str, str]) -> WriteCondition | None:
    """The condition of a write or a delete: `If-None-Match: *`, or `If-Match` with one ETag or `*`.

    Whatever else a client asks for is refused rather than ignored, as S3 does: it thinks itself protected.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    Raises S3Error: NotImplemented, InvalidArgument.
    """
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    for name in ("if-modified-since", "if-unmodified-since"):
        if name in headers:
            raise _not_implemented(name)
    if if_match is None and if_none_match is None:
        return None
    if if_none_match is not None:
        if if_match is not None or if_none_match != "*":
            raise _not_implemented("If-None-Match")
        return WriteCondition(if_none_match=True)
    etags = parse_etags(if_match or "", "If-Match")
    if len(etags) != 1:
        raise S3Error(Code.InvalidArgument, "If-Match takes one ETag on a write.", ArgumentName="If-Match")
    return WriteCondition(if_match=etags[0])


def check_write(condition: WriteCondition | None, current_etag: str | None) -> None:
    """Apply a write's condition to the object that is there now (None: there is none).

    Raises S3Error: PreconditionFailed, NoSuchKey (If-Match, and no object to match).
    """
    if condition is None:
        return
    if condition.if_none_match and current_etag is not None:
        raise S3Error(Code.PreconditionFailed, Condition="If-None-Match")
    if condition.if_match is None:
        return
    if current_etag is None:
        raise S3Error(Code.NoSuchKey)
    if condition.if_match not in ("*", current_etag):
        raise S3Error(Code.PreconditionFailed, Condition="If-Match")


def _failed(conditions: Conditions, etag: str, modified_s: int) -> str | None:
    """The first condition that does not hold."""
    # Steps 1 and 2: If-Match, and only without it If-Unmodified-Since. If-Match compares strongly.
    if conditions.if_match is not None:
        if conditions.if_match != ("*",) and etag not in conditions.if_match:
            return "If-Match"
    elif conditions.if_unmodified_since is not None and modified_s > conditions.if_unmodified_since:
        return "If-Unmodified-Since"
    # Steps 3 and 4: If-None-Match, and only without it If-Modified-Since. Here weak ETags match, too: nginx makes
    # an ETag weak when it compresses.
    if conditions.if_none_match is not None:
        known = {known.removeprefix("W/") for known in conditions.if_none_match}
        if "*" in known or etag.removeprefix("W/") in known:
            return "If-None-Match"
    elif conditions.if_modified_since is not None and modified_s <= conditions.if_modified_since:
        return "If-Modified-Since"
    return None


def _etags(headers: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    value = headers.get(name)
    return None if value is None else parse_etags(value, name)


def _date(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    return None if value is None else parse_http_date(value)


def _not_implemented(name: str) -> S3Error:
    return S3Error(
        Code.NotImplemented, "A header you provided implies functionality that is not implemented", Header=name
    )
