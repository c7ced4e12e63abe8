"""Listing by seeking: from one key or common prefix to the next, so that cost grows with what is returned.

SQLite compares TEXT as UTF-8 bytes, which is the order S3 lists keys in, and also the order of code points: the
smallest text after everything that starts with a prefix is found by raising the prefix's last code point.
With a delimiter one recursive statement walks: from a plain key to the next key, from a key below a common prefix to
the first one beyond it. A page of 1,000 common prefixes costs 1,000 seeks inside SQLite, whatever lies below them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.policy.spans import after_prefix
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
    """What to list: at most `limit` keys and common prefixes after `after` (exclusive; a prefix skips its keys).

    `past_group`: where `after` lies below a common prefix, that prefix counts as listed already (S3's markers do so).
    """

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000
    past_group: bool = False


def start_of(query: ListQuery) -> tuple[str, bool]:
    """Where a listing starts, and whether a key equal to that is part of it."""
    after = query.after
    if after < query.prefix:
        return query.prefix, True
    if query.delimiter and after.startswith(query.prefix):
        group = _common_prefix(after, query)
        if group is not None and (group == after or query.past_group):  # the page ended with this common prefix
            beyond = after_prefix(group)
            return ("\U0010ffff" * 257, False) if beyond is None else (beyond, True)
    return after, False


def list_page(query: ListQuery, rows: Iterator[Row], build: Callable[[Row], R]) -> Page[R]:
    """One page of `rows`, which start where the query says, are in order and have the key first.

    Of the rows below one common prefix the first counts; there may be more.
    """
    entries: list[R] = []
    prefixes: list[str] = []
    last: str | None = None
    for row in rows:
        key: str = row[0]
        common = _common_prefix(key, query)
        if common is not None and prefixes and common == prefixes[-1]:
            continue
        if len(entries) + len(prefixes) >= query.limit:
            return Page(tuple(entries), tuple(prefixes), last)
        if common is None:
            entries.append(build(row))
            last = key
        else:
            prefixes.append(common)
            last = common
    return Page(tuple(entries), tuple(prefixes), None)


def _common_prefix(key: str, query: ListQuery) -> str | None:
    if not query.delimiter:
        return None
    found = key.find(query.delimiter, len(query.prefix))
    return None if found < 0 else key[: found + len(query.delimiter)]


def select_rows(connection: Connection, query: ListQuery, columns: str, source: str, order: str) -> Iterator[Row]:
    """The rows of `source` (table and condition on :bucket) from the query's start on, every one of them."""
    bounds, values = _bounds(query)
    sql = f"SELECT {columns} FROM {source} AND key {bounds} ORDER BY {order}"
    return connection.execute(sql, {"bucket": query.bucket, **values})


def walk_rows(connection: Connection, query: ListQuery, columns: str, table: str) -> Iterator[Row]:
    """The same for a table with one row a key, but only one row for each key or common prefix of the page."""
    beyond = after_prefix(query.delimiter[-1:])
    if not query.delimiter or beyond is None:
        return select_rows(connection, query, columns, f"{table} WHERE bucket = :bucket", "key")
    bounds, values = _bounds(query)
    until = "AND key < :end" if "end" in values else ""
    first = f"SELECT key FROM {table} WHERE bucket = :bucket AND key"
    below = "instr(substr(walk.entry, :rest), :delimiter)"
    sql = f"""
        WITH RECURSIVE walk (entry) AS (
            SELECT ({first} {bounds} ORDER BY key LIMIT 1)
            UNION ALL
            SELECT CASE WHEN {below} = 0
                THEN ({first} > walk.entry {until} ORDER BY key LIMIT 1)
                ELSE ({first} >= substr(walk.entry, 1, :kept + {below}) || :beyond {until} ORDER BY key LIMIT 1)
                END
            FROM walk WHERE walk.entry IS NOT NULL LIMIT :entries
        )
        SELECT {columns} FROM walk CROSS JOIN {table} ON bucket = :bucket AND key = walk.entry ORDER BY key"""
    size = len(query.prefix)
    return connection.execute(
        sql,
        {
            "bucket": query.bucket,
            "delimiter": query.delimiter,
            "rest": size + 1,
            "kept": size + len(query.delimiter) - 2,
            "beyond": beyond,
            "entries": query.limit + 1,
            **values,
        },
    )


def _bounds(query: ListQuery) -> tuple[str, dict[str, str]]:
    """The condition on `key` that a listing starts with, and its values."""
    start, inclusive = start_of(query)
    end = after_prefix(query.prefix) if query.prefix else None
    condition = ">= :start" if inclusive else "> :start"
    if end is None:
        return condition, {"start": start}
    return f"{condition} AND key < :end", {"start": start, "end": end}
