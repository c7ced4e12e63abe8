"""One page of ListObjectsV2, as S3 makes it, or as an odd origin does.

Keys are in the order of their UTF-8 bytes. A continuation token is opaque to callers; here it is the last key of the page
before, and a word about what odd page comes next.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListQuirks:
    """What a listing does wrong; nothing, unless a test says so."""

    duplicate_page: bool = False
    """The first page comes a second time under its continuation token, then the others."""
    missing: frozenset[str] = frozenset()
    """Keys that are not listed although they can be read."""
    foreign: tuple[str, ...] = ()
    """Keys shown at the end of every page, whatever the prefix and whether they exist or not."""
    endless: bool = False
    """The last page promises another one, which is itself again."""
    ignore_max_keys: bool = False
    """Everything in one page, however few keys were asked for."""
    empty_first_page: bool = False
    """The first page is empty and has a continuation token."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of a listing; `token` wins over `start_after`."""

    prefix: str = ""
    delimiter: str = ""
    start_after: str = ""
    token: str | None = None
    max_keys: int = 1000


@dataclass(frozen=True, slots=True)
class Page:
    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    next_token: str | None


def make_token(kind: str, after: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([kind, after]).encode()).decode()


def parse_token(token: str) -> tuple[str, str]:
    """Raises ValueError."""
    kind, after = json.loads(base64.urlsafe_b64decode(token.encode()))
    return str(kind), str(after)


def list_page(keys: Iterable[str], asked: Asked, quirks: ListQuirks) -> Page:
    """Raises ValueError for a token that this module did not make."""
    kind, after = ("first", asked.start_after) if asked.token is None else parse_token(asked.token)
    if quirks.empty_first_page and kind == "first":
        return Page((), (), make_token("next", after))
    names = [name for name in _names(keys, asked, quirks.missing) if _order(name) > _order(after)]
    size = len(names) if quirks.ignore_max_keys else asked.max_keys
    shown, rest = names[:size], names[size:]
    next_token = make_token("next", shown[-1]) if rest and shown else None
    if quirks.duplicate_page and kind == "first":
        next_token = make_token("again", after)
    if quirks.endless and next_token is None:
        next_token = make_token("next", after)
    prefixes = {name for name in shown if _is_prefix(name, asked)}
    return Page(
        (*(name for name in shown if name not in prefixes), *quirks.foreign),
        tuple(name for name in shown if name in prefixes),
        next_token,
    )


def _names(keys: Iterable[str], asked: Asked, missing: frozenset[str]) -> list[str]:
    """Keys and common prefixes below the prefix, in order."""
    names = {_rolled_up(key, asked) for key in keys if key.startswith(asked.prefix) and key not in missing}
    return sorted(names, key=_order)


def _rolled_up(key: str, asked: Asked) -> str:
    head, found, _ = key[len(asked.prefix) :].partition(asked.delimiter) if asked.delimiter else (key, "", "")
    return asked.prefix + head + found if found else key


def _is_prefix(name: str, asked: Asked) -> bool:
    return bool(asked.delimiter) and asked.delimiter in name[len(asked.prefix) :]


def _order(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
