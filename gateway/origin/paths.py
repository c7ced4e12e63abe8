"""Where an object lies in a directory: under its own bucket and key, readable, and never anywhere else.

`bucket/2024/sara.jpg@WRITE-ID`. Each segment of the key between slashes is a directory, the last one a file whose
name ends in `@` and the id of the write, so that a new body never touches an old one, `a` can lie beside `a/b`, and
two keys that a file system would take for one (case, Unicode forms) still have two files. A few characters are written
as %XX: `%`, `@`, control characters and a leading dot. An empty segment is `%`, and one too long for a file name is cut
into several directories, each but the last ending in `%~`. No escape is a whole `%` or `%~`, so nothing collides, and
no segment can be `.` or `..`.
"""

import re

SEGMENT_BYTES = 200
_CONTINUED = "%~"
_EMPTY = "%"
_ESCAPED = re.compile(r"[%@\x00-\x1f\x7f]|^\.")


def object_path(bucket: str, key: str, write_id: str) -> str:
    """The path of a body, relative to the origin's root; `key` may hold anything but NUL."""
    *folders, leaf = f"{bucket}/{key}".split("/")
    parts = [segment for folder in folders for segment in _segments(folder, _EMPTY)]
    *cut, name = _segments(leaf, "")
    return "/".join((*parts, *cut, f"{name}@{write_id}"))


def write_id_of(location: str) -> str:
    """The id of the write that made a body; locations end in it."""
    return location.rstrip("/").rpartition("@")[2]


def _segments(text: str, empty: str) -> list[str]:
    escaped = _ESCAPED.sub(_escape, text)
    if len(escaped) * 4 <= SEGMENT_BYTES or len(escaped.encode()) <= SEGMENT_BYTES:
        return [escaped or empty]
    return _cut(escaped)


def _escape(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _cut(escaped: str) -> list[str]:
    """Pieces of at most SEGMENT_BYTES bytes, never within a character or an escape."""
    pieces: list[str] = []
    piece, size = "", 0
    for unit in re.findall(r"%[0-9A-F]{2}|.", escaped, re.DOTALL):
        length = len(unit.encode())
        if size + length > SEGMENT_BYTES:
            pieces.append(piece + _CONTINUED)
            piece, size = "", 0
        if unit == "." and not piece:  # a piece is a name of its own
            unit, length = "%2E", 3
        piece += unit
        size += length
    return [*pieces, piece]
