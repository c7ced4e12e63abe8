"""What an S3 origin keeps with a body: our record of it as headers, and back.

Standard headers and user metadata travel natively, so that others read them too; with them go small entries of ours:

    x-amz-meta-anbar-uploader     whose object it is
    x-amz-meta-anbar-write        the id of the write that made it
    x-amz-meta-anbar-tags         its tags, at an origin that has none
    x-amz-meta-anbar-key          its key, where the origin's key was cut
    x-amz-meta-anbar-left-out     how many of the others were not written, as they had no room

A store takes 2 KiB of metadata, and a client may use all of it. Whose an object is and which write made it is needed to
know a body again, so these are always written; of what the client gave, the largest entries are left out then. They are
in the catalog, which every answer is made from; only a catalog that was lost is made again without them.

Header values at origins are US-ASCII. A metadata value that is not, or that looks encoded already, is written as an
encoded word (RFC 2047 section 2), as S3 itself returns such; a standard header that is not goes into an entry instead,
and so does an Expires that is no date: S3 takes any text, others refuse it.
A user's name that begins with `anbar-` is written with `anbar-meta-` before it, so nobody can forge an entry.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from gateway.errors import S3Error
from gateway.origin.base import BodyMeta
from gateway.origin.errors import MetadataTooLarge
from gateway.origin.providers import Provider
from gateway.origin.s3.places import Place
from gateway.s3.headers import parse_tagging_header

METADATA = "x-amz-meta-"
STANDARD = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
_OURS = "anbar-"
_UPLOADER = f"{METADATA}{_OURS}uploader"
_WRITE = f"{METADATA}{_OURS}write"
_TAGS = f"{METADATA}{_OURS}tags"
_KEY = f"{METADATA}{_OURS}key"
_LEFT_OUT = f"{METADATA}{_OURS}left-out"
_HEADER = f"{METADATA}{_OURS}header-"
_NEEDED = frozenset({_UPLOADER, _WRITE, _KEY})
_MOST_DIGITS = 4  # of a number of entries that 2 KiB have room for
_ESCAPE = f"{_OURS}meta-"
_PLAIN = re.compile(r"[\x20-\x7e]*\Z")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\Z")
_WORD = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/]*={0,2})\?=\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Kept:
    """What an origin keeps with a body, read back. `uploader` and `write_id` are None where it was not written by us.

    `tags` are those of our entry; None: there is none. `key` is the object's where the origin's was cut.
    """

    uploader: str | None = None
    write_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None
    key: str | None = None


def render_entries(meta: BodyMeta, *, native_tags: bool, cut_key: bool, most_bytes: int) -> dict[str, str]:
    """The headers of a request that stores a body with `meta`, by lower-case name.

    `native_tags`: the origin has tags of its own. `most_bytes`: names and values of all metadata at that origin.
    Raises MetadataTooLarge: our own entries alone are more.
    """
    headers: dict[str, str] = {}
    for name, value in meta.headers.items():
        if _PLAIN.match(value) and (name != "expires" or _DATE.match(value)):
            headers[name] = value
        else:
            headers[f"{_HEADER}{name}"] = _word(value)
    for name, value in meta.metadata.items():
        name = name.lower()  # as every origin has it: so a name in capitals is no way round the next line
        headers[f"{METADATA}{_ESCAPE if name.startswith(_OURS) else ''}{name}"] = _encoded(value)
    headers[_UPLOADER] = _encoded(meta.uploader)
    if meta.write_id:
        headers[_WRITE] = meta.write_id
    if cut_key:
        headers[_KEY] = _encoded(meta.key)
    if meta.tags:
        headers["x-amz-tagging" if native_tags else _TAGS] = render_tags(meta.tags)
    return _fitting(headers, most_bytes)


def _fitting(headers: dict[str, str], most_bytes: int) -> dict[str, str]:
    """The same without the largest entries, as many as have no room; what a body is known by is never left out."""
    sizes = {
        name: len(name) - len(METADATA) + len(value) for name, value in headers.items() if name.startswith(METADATA)
    }
    size = sum(sizes.values())
    if size <= most_bytes:
        return headers
    size += len(_LEFT_OUT) - len(METADATA) + _MOST_DIGITS
    left_out = 0
    for name in sorted(sizes.keys() - _NEEDED, key=lambda name: (sizes[name], name), reverse=True):
        if size <= most_bytes:
            break
        size -= sizes[name]
        left_out += 1
        del headers[name]
    if size > most_bytes:
        raise MetadataTooLarge(f"{size} bytes of metadata, of which the origin takes {most_bytes}")
    return {**headers, _LEFT_OUT: str(left_out)}


def entries_at(place: Place, meta: BodyMeta, profile: Provider) -> dict[str, str]:
    """The same, for a place at such a store."""
    return render_entries(
        meta,
        native_tags=profile.tagging,
        cut_key=place.may_be_cut,
        most_bytes=profile.max_metadata_bytes,
    )


def parse_entries(headers: Mapping[str, str]) -> Kept:
    """What the headers of an answer say, by lower-case name, of the body that it is about."""
    kept: dict[str, str] = {name: headers[name] for name in STANDARD if name in headers}
    metadata: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith(_HEADER):
            if name.removeprefix(_HEADER) in STANDARD:  # others write there too
                kept[name.removeprefix(_HEADER)] = _decoded(value)
        elif name.startswith(METADATA) and not name.startswith(METADATA + _OURS):
            metadata[name.removeprefix(METADATA)] = _decoded(value)
        elif name.startswith(METADATA + _ESCAPE):
            metadata[name.removeprefix(METADATA + _ESCAPE)] = _decoded(value)
    uploader, key = headers.get(_UPLOADER), headers.get(_KEY)
    return Kept(
        uploader=None if uploader is None else _decoded(uploader),
        write_id=headers.get(_WRITE),
        headers=kept,
        metadata=metadata,
        tags=_parse_tags(headers.get(_TAGS)),
        key=None if key is None else _decoded(key),
    )


def render_tags(tags: Mapping[str, str]) -> str:
    """Tags as x-amz-tagging has them."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in tags.items())


def _parse_tags(text: str | None) -> dict[str, str] | None:
    try:
        return None if text is None else parse_tagging_header(text)
    except S3Error:
        return None


def _encoded(value: str) -> str:
    return value if _PLAIN.match(value) and not value.startswith("=?") and value == value.strip() else _word(value)


def _word(value: str) -> str:
    return f"=?UTF-8?B?{b64encode(value.encode()).decode('ascii')}?="


def _decoded(value: str) -> str:
    """The text of an encoded word; one that holds what no header of ours may carry stays as it is."""
    found = _WORD.match(value)
    if found is None:
        return value
    try:
        text = b64decode(found[1], validate=True).decode()
    except ValueError:
        return value
    return value if _UNSENDABLE.search(text) else text
