"""The headers of answers about one object."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.bounded import BoundedMap
from gateway.cache.readers import BlockReader, HeldReader
from gateway.objects.get import Found
from gateway.origin.base import BodyReader
from gateway.policy.model import Category
from gateway.s3.checksums import Algorithm
from gateway.s3.headers import content_disposition_for, render_http_date
from gateway.store.records import ObjectRecord, StoredChecksum

_NAMES = {
    "content-type": "Content-Type",
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
}
_OF_THE_CACHE = (HeldReader, BlockReader)
_DEFAULT_TYPE = "binary/octet-stream"
# Media is shown, never run: whatever an uploader called it (https://www.w3.org/TR/CSP3/#directive-sandbox).
_SAFETY = [("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox; default-src 'none'")]


class _Said(NamedTuple):
    """Headers that were answered about a row, and what they depend on besides: reserved, tags_shown, cache_control."""

    record: ObjectRecord
    asked: tuple[str, bool, str | None]
    headers: list[tuple[str, str]]


_said: BoundedMap[tuple[str, str], _Said] = BoundedMap(2048)  # by bucket and key


def read_headers(
    found: Found,
    overrides: Mapping[str, str] | None = None,
    *,
    checksum_mode: bool = False,
    reserved: str = "",
    tags_shown: bool = True,
    cache_control: str | None = None,
) -> list[tuple[str, str]]:
    """GetObject's and HeadObject's headers.

    `reserved` is the name among the metadata that says whose an object is to be: what somebody wrote there proves
    nothing, and is not told. The number of tags is for those who may read them. `cache_control` is told where the
    object has none of its own.
    """
    record = found.record
    if overrides:
        headers = _headers_of(record, overrides, reserved, tags_shown=tags_shown, cache_control=cache_control)
    else:
        headers = _remembered_headers(record, reserved, tags_shown=tags_shown, cache_control=cache_control)
    if found.part_count is not None:
        headers.append(("x-amz-mp-parts-count", str(found.part_count)))
    if found.range is not None:
        headers.append(("Content-Range", f"bytes {found.range.first}-{found.range.last}/{record.size}"))
    if checksum_mode and found.checksum is not None:
        headers += checksum_headers(found.checksum)
    return headers


def _remembered_headers(
    record: ObjectRecord, reserved: str, *, tags_shown: bool, cache_control: str | None
) -> list[tuple[str, str]]:
    """A list of its own for each caller, made anew only for another row or for other words about it."""
    name = (record.bucket, record.key)
    asked = (reserved, tags_shown, cache_control)
    said = _said.get(name)
    if said is not None and said.record is record and said.asked == asked:
        return said.headers.copy()
    headers = _headers_of(record, {}, reserved, tags_shown=tags_shown, cache_control=cache_control)
    _said.put(name, _Said(record, asked, headers.copy()))
    return headers


def _headers_of(
    record: ObjectRecord, overrides: Mapping[str, str], reserved: str, *, tags_shown: bool, cache_control: str | None
) -> list[tuple[str, str]]:
    headers = validators(record)
    headers.append(("Accept-Ranges", "bytes"))
    headers += _content_headers(record, overrides, cache_control)
    headers += [(f"x-amz-meta-{name}", value) for name, value in record.metadata.items() if name != reserved]
    if record.tags and tags_shown:
        headers.append(("x-amz-tagging-count", str(len(record.tags))))
    return headers


def validators(record: ObjectRecord) -> list[tuple[str, str]]:
    """What a client compares with what it has."""
    return [("ETag", record.etag), ("Last-Modified", render_http_date(record.modified_s))]


def not_modified_headers(record: ObjectRecord, cache_control: str | None = None) -> list[tuple[str, str]]:
    """https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5"""
    kept = [(_NAMES[name], record.headers[name]) for name in ("cache-control", "expires") if name in record.headers]
    if cache_control is not None and "cache-control" not in record.headers:
        kept.append(("Cache-Control", cache_control))
    return validators(record) + kept


def downstream_control(category: Category | None) -> str:
    """What browsers and proxies may do with objects that say nothing of it themselves.

    Who has not signed for an object of a private category must ask for it; a public one is kept as long as its category
    says, and asked for again by its ETag after that. https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
    """
    return f"public, max-age={category.max_age_s}" if category is not None and category.public else "private"


def cache_headers(reader: BodyReader, now_s: int) -> list[tuple[str, str]]:
    """Whether a body was kept here, and for how long; nothing of one that no cache was asked for."""
    if not isinstance(reader, _OF_THE_CACHE):
        return []
    fetched_s = now_s if reader.fetched_s is None else reader.fetched_s
    return [("X-Cache", reader.state), ("Age", str(max(now_s - fetched_s, 0)))]


def cache_state(reader: BodyReader) -> str:
    """The same in a word for the access log, or none."""
    return reader.state if isinstance(reader, _OF_THE_CACHE) else ""


def checksum_headers(checksum: StoredChecksum) -> list[tuple[str, str]]:
    return [(Algorithm[checksum.algorithm].header, checksum.value), ("x-amz-checksum-type", checksum.type)]


def _content_headers(
    record: ObjectRecord, overrides: Mapping[str, str], cache_control: str | None
) -> list[tuple[str, str]]:
    values = {**record.headers, **overrides} if overrides else dict(record.headers)
    if cache_control is not None:
        values.setdefault("cache-control", cache_control)
    content_type = values.setdefault("content-type", _DEFAULT_TYPE)
    disposition = content_disposition_for(content_type, values.get("content-disposition"))
    if disposition is not None:
        values["content-disposition"] = disposition
    return [(_NAMES[name], value) for name, value in values.items() if name in _NAMES] + _SAFETY
