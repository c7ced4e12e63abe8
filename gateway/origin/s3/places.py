"""Where a body lies at an S3 origin: the target of its request, percent-encoded once.

    photos/2026/sara.jpg                                  an object under its own key
    photos/2026/sara.jpg%40WRITE-ID                       one that could not have that, as another body was there
    photos/2026/sara.jpg?uploads                          an upload that the origin has not been told of yet
    photos/2026/sara.jpg?uploadId=ID                      one that it knows
    photos/2026/sara.jpg?uploadId=ID&partNumber=7#WRITE-ID    a part of it

The first segment is the bucket. A key that leaves no room for a write's id (S3 takes 1,024 bytes) is cut, and a digest
of all of it stands for the rest. So it is with keys that are not the same to every store: many make paths of keys, in
which `a//b` is `a/b` and `..` leads elsewhere, so that what lies under one would be replaced by the other, and in which
a name has 255 bytes.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from gateway.sigv4.canonical import encode_text, uri_encode

MAX_KEY_BYTES = 1024
"""Of a key at an origin, in UTF-8. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

_AT_ID_BYTES = 33
_CUT_BYTES = 900
_NAME_BYTES = 255
_CUT_NAME_BYTES = 180
_AMBIGUOUS = re.compile(r"\A/|//|(?:\A|[/\\])\.{1,2}(?:[/\\]|\Z)")
_ENDS_IN_ID = re.compile(r"@[0-9a-f]{32}\Z")
_ENCODED_ID = re.compile(r"%40([0-9a-f]{32})\Z")
_LOOKS_CUT = re.compile(r"~[0-9a-f]{32}%40[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """A location taken apart: `bucket`, the encoded `path` of the key in it, and the `query` with it."""

    bucket: str
    path: str
    query: str = ""

    @property
    def key(self) -> str:
        """The key at the origin; bytes that are no UTF-8 become lone surrogates."""
        return unquote_to_bytes(self.path).decode("utf-8", "surrogateescape")

    @property
    def object_location(self) -> str:
        """The location of the object itself."""
        return f"{self.bucket}/{self.path}"

    @property
    def upload_id(self) -> str | None:
        """The origin's id of the upload, percent-encoded; None: it is no upload, or not known to the origin."""
        name, _, value = self.query.partition("&")[0].partition("=")
        return value if name == "uploadId" else None

    @property
    def part_number(self) -> int | None:
        _, _, number = self.query.partition("&partNumber=")
        return int(number) if number else None

    @property
    def write_id(self) -> str | None:
        """The id of the write that the key ends in; None: it is an own key."""
        found = _ENCODED_ID.search(self.path)
        return found[1] if found else None

    @property
    def is_own(self) -> bool:
        """Is it a key's own, where others may write as well?"""
        return self.write_id is None

    @property
    def may_be_cut(self) -> bool:
        """Is the key perhaps not to be read from it? So of every place whose key was cut, and of few others."""
        return _LOOKS_CUT.search(self.path) is not None


def parse_place(location: str) -> Place:
    bucket, _, rest = location.partition("#")[0].partition("/")
    path, _, query = rest.partition("?")
    return Place(bucket, path, query)


def fresh_location(bucket: str, key: str, write_id: str) -> str:
    """The location that no other write has."""
    if _is_cut(key):
        key = f"{_cut(key)}~{sha256(encode_text(key)).hexdigest()[:32]}"
    return f"{bucket}/{uri_encode(f'{key}@{write_id}', keep_slash=True)}"


def own_location(bucket: str, key: str) -> str | None:
    """The location under the key alone.

    None for keys that look like another one's fresh location, that a console shows as a folder, that are too long, or
    that a store which makes paths of keys would not take, or take for another key.
    """
    if key.endswith("/") or len(encode_text(key)) > MAX_KEY_BYTES or _ENDS_IN_ID.search(key):
        return None
    if _is_no_path(key):
        return None
    return f"{bucket}/{uri_encode(key, keep_slash=True)}"


def location_of(bucket: str, key: str) -> str:
    """The location of an object that the origin has under this key, whoever wrote it."""
    return f"{bucket}/{uri_encode(key, keep_slash=True)}"


def _is_cut(key: str) -> bool:
    return len(encode_text(key)) > MAX_KEY_BYTES - _AT_ID_BYTES or _is_no_path(key, _AT_ID_BYTES)


def _is_no_path(key: str, more: int = 0) -> bool:
    """Would a store that makes a path of a key, with `more` bytes behind it, refuse it or take it for another?"""
    if _AMBIGUOUS.search(key):
        return True
    if len(key) + more <= _NAME_BYTES and key.isascii():
        return False
    *folders, name = encode_text(key).split(b"/")
    return len(name) + more > _NAME_BYTES or any(len(folder) > _NAME_BYTES for folder in folders)


def _cut(key: str) -> str:
    """What still shows which key it was: a plain path, below whatever folder the key is in."""
    *folders, name = key.split("/")
    if _AMBIGUOUS.search(key):
        *folders, name = key.replace("\\", "_").split("/")
        folders, name = [folder for folder in folders if folder.strip(".")], name if name.strip(".") else ""
    path = "".join(f"{_shortened(folder, _NAME_BYTES)}/" for folder in folders) + name
    above, slash, last = _shortened(path, _CUT_BYTES).rpartition("/")
    return above + slash + _shortened(last, _CUT_NAME_BYTES)


def _shortened(text: str, size: int) -> str:
    return encode_text(text)[:size].decode("utf-8", "ignore")
