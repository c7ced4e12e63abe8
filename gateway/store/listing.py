"""Listing by seeking: from one key or common prefix to the next, so that cost grows with what is returned.

SQLite compares TEXT as UTF-8 bytes, which is the order S3 lists keys in, and also the order of code points: the
smallest text after everything that starts with a prefix is found by raising the prefix's last code point.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.store.database import Connection

Row = tuple[Any, ...]
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """A page of a listing: rows and common prefixes, in one order each; `next_after` is set where more follow.

    `next_after` is the last key or common prefix of the page.
    """

    rows: tuple[R, ...]
    common_prefixes: tuple[str, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What to list: at most `limit` keys and common prefixes after `after` (exclusive; a prefix skips its keys)."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000


def after_prefix(prefix: str) -> str | None:
    """The smallest text greater than every text that starts with `prefix`; None where there is none."""
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1]) + 1
        if point == 0xD800:  # surrogates are no characters
            point = 0xE000
        if point <= 0x10FFFF:
            return prefix[: end - 1] + chr(point)
    return None


def start_of(query: ListQuery) -> tuple[str, bool]:
    """Where a listing starts, and whether a key equal to that is part of it."""
    after = query.after
    if after < query.prefix:
        return query.prefix, True
    if query.delimiter and after.startswith(query.prefix):
        found = after.find(query.delimiter, len(query.prefix))
        if found >= 0 and found + len(query.delimiter) == len(after):  # the page ended with this common prefix
            beyond = after_prefix(after)
            return ("\U0010ffff" * 257, False) if beyond is None else (beyond, True)
    return after, False


def list_page(
    query: ListQuery, seek: Callable[[str, bool, str | None], Iterator[Row]], build: Callable[[Row], R]
) -> Page[R]:
    """One page. `seek(start, inclusive, end)` gives rows in order, the key first, from `start` to before `end`."""
    end = after_prefix(query.prefix) if query.prefix else None
    start, inclusive = start_of(query)
    rows: list[R] = []
    prefixes: list[str] = []
    last: str | None = None
    cursor = seek(start, inclusive, end)
    while True:
        row = next(cursor, None)
        if row is None:
            return Page(tuple(rows), tuple(prefixes), None)
        if len(rows) + len(prefixes) >= query.limit:
            return Page(tuple(rows), tuple(prefixes), last)
        key: str = row[0]
        common = _common_prefix(key, query)
        if common is None:
            rows.append(build(row))
            last = key
            continue
        prefixes.append(common)
        last = common
        beyond = after_prefix(common)
        if beyond is None:
            return Page(tuple(rows), tuple(prefixes), None)
        cursor = seek(beyond, True, end)


def _common_prefix(key: str, query: ListQuery) -> str | None:
    if not query.delimiter:
        return None
    found = key.find(query.delimiter, len(query.prefix))
    return None if found < 0 else key[: found + len(query.delimiter)]


def seek_sql(select: str, order: str) -> Callable[[Connection, str], Callable[[str, bool, str | None], Iterator[Row]]]:
    """A seek over `select` (which ends in `WHERE bucket = ?`), by its column `key`."""

    def bind(connection: Connection, bucket: str) -> Callable[[str, bool, str | None], Iterator[Row]]:
        def seek(start: str, inclusive: bool, end: str | None) -> Iterator[Row]:
            sql = f"{select} AND key {'>=' if inclusive else '>'} ?"
            if end is None:
                return connection.execute(f"{sql} ORDER BY {order}", (bucket, start))
            return connection.execute(f"{sql} AND key < ? ORDER BY {order}", (bucket, start, end))

        return seek

    return bind
