"""The lines of a TOML text's tables and keys, for messages about them (https://toml.io/en/v1.0.0).

    [categories.media]      → ("categories", "media")
    quota.bytes = 5         → ("categories", "media", "quota", "bytes")
    [[statements]]          → ("statements", "0"), the next one ("statements", "1")

The standard library's reader tells no positions. This one relies on it having taken the text before, and only finds
where things begin: it reads the heads of expressions and leaps over their values.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str, ...]

_PART = r'[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
_PARTS = re.compile(_PART)
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_HEAD = re.compile(rf"(\[{{0,2}})[ \t]*((?:{_PART})(?:[ \t]*\.[ \t]*(?:{_PART}))*)[ \t]*(?:=|\]{{1,2}})")
_PIECE = re.compile(  # of a value: a text, a comment, a bracket, the end of the line, or what is none of these
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}\n]|[^"\'#\[\]{}\n]+',
    re.DOTALL,
)


def lines_of_keys(text: str) -> Mapping[Path, int]:
    """The line, from 1, on which each table and key begins; what stands inside `{ }` has none of its own.

    Of a text that is not TOML it tells what it can.
    """
    lines: dict[Path, int] = {}
    indexes: dict[Path, int] = {}
    table: Path = ()
    for brackets, parts, line in _heads(text):
        if brackets:
            path = table = _resolve(parts, brackets == "[[", indexes)
            known = 0
        else:
            path, known = table + parts, len(table)
        for size in range(known + 1, len(path)):
            lines.setdefault(path[:size], line)
        lines[path] = line
    return lines


def _heads(text: str) -> Iterator[tuple[str, Path, int]]:
    """What each expression begins with: "", "[" or "[[", the parts of its key, its line."""
    position, line, counted = 0, 1, 0
    while True:
        position = _end(_BETWEEN, text, position)
        head = _HEAD.match(text, position)
        if head is None:
            return
        try:
            parts = tuple(map(_part, _PARTS.findall(head[2])))
        except tomllib.TOMLDecodeError:  # an escape that there is not
            return
        line += text.count("\n", counted, position)
        counted = position
        yield head[1], parts, line
        position = head.end() if head[1] else _after_value(text, head.end())


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _after_value(text: str, position: int) -> int:
    """Where the line ends on which a value ends."""
    depth = 0
    while found := _PIECE.match(text, position):
        piece = found[0]
        if piece in ("[", "{"):
            depth += 1
        elif piece in ("]", "}"):
            depth -= 1
        elif piece == "\n" and depth <= 0:
            break
        position = found.end()
    return position


def _part(text: str) -> str:
    if text[0] == "'":
        return text[1:-1]
    return str(tomllib.loads(f"part = {text}")["part"]) if text[0] == '"' else text


def _resolve(parts: Path, appends: bool, indexes: dict[Path, int]) -> Path:
    """A header's path, with the index of the newest element wherever it passes through an array of tables."""
    path: Path = ()
    for part in parts[:-1]:
        path = (*path, part)
        if path in indexes:
            path = (*path, str(indexes[path]))
    path = (*path, parts[-1])
    if not appends:
        return path
    indexes[path] = indexes.get(path, -1) + 1
    return (*path, str(indexes[path]))
