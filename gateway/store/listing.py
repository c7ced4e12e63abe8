"""Listing by seeking: from one key or common prefix to the next, so that cost grows with what is returned.

SQLite compares TEXT as UTF-8 bytes, which is the order S3 lists keys in, and also the order of code points: the
smallest text after everything that starts with a prefix is found by raising the prefix's last code point.
With a delimiter one recursive statement walks: from a plain key to the next key, from a key below a common prefix to
the first one beyond it. A page of 1,000 common prefixes costs 1,000 seeks inside SQLite, whatever lies below them.
What the caller may not see is not read and thrown away: each span of a query is a statement of its own, and one
uploader's rows are found by an index of theirs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from gateway.policy.spans import EVERYTHING, Span, after_prefix
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
    `spans` hold what the caller may see, and are in order and apart, as `visible_spans` gives them.
    """

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000
    past_group: bool = False
    spans: tuple[Span, ...] = EVERYTHING


@dataclass(frozen=True, slots=True)
class _Seek:
    """What a statement reads of one span: a condition on the uploader (or none), one on `key`, and all its values."""

    whose: str
    bounds: str
    values: dict[str, str]


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
    """The rows of `source` (table and condition on :bucket) from the query's start on, all that its spans hold.

    A span's statement is run once the rows before it are used up.
    """
    return chain.from_iterable(
        connection.execute(
            f"SELECT {columns} FROM {source} {seek.whose} AND key {seek.bounds} ORDER BY {order}", seek.values
        )
        for seek in _seeks(query)
    )


def walk_rows(connection: Connection, query: ListQuery, columns: str, table: str) -> Iterator[Row]:
    """The same for a table with one row a key, but of each span one row for each key or common prefix of the page."""
    beyond = after_prefix(query.delimiter[-1:])
    if not query.delimiter or beyond is None:
        return select_rows(connection, query, columns, f"{table} WHERE bucket = :bucket", "key")
    size = len(query.prefix)
    steps = {
        "delimiter": query.delimiter,
        "rest": size + 1,
        "kept": size + len(query.delimiter) - 2,
        "beyond": beyond,
        "entries": query.limit + 1,
    }
    return chain.from_iterable(
        connection.execute(_walk(columns, table, seek), {**steps, **seek.values}) for seek in _seeks(query)
    )


def _walk(columns: str, table: str, seek: _Seek) -> str:
    """The statement that goes from entry to entry through one span."""
    until = "AND key < :end" if "end" in seek.values else ""
    first = f"SELECT key FROM {table} WHERE bucket = :bucket {seek.whose} AND key"
    below = "instr(substr(walk.entry, :rest), :delimiter)"
    return f"""
        WITH RECURSIVE walk (entry) AS (
            SELECT ({first} {seek.bounds} ORDER BY key LIMIT 1)
            UNION ALL
            SELECT CASE WHEN {below} = 0
                THEN ({first} > walk.entry {until} ORDER BY key LIMIT 1)
                ELSE ({first} >= substr(walk.entry, 1, :kept + {below}) || :beyond {until} ORDER BY key LIMIT 1)
                END
            FROM walk WHERE walk.entry IS NOT NULL LIMIT :entries
        )
        SELECT {columns} FROM walk CROSS JOIN {table} ON bucket = :bucket AND key = walk.entry {seek.whose} ORDER BY key
    """


def _seeks(query: ListQuery) -> Iterator[_Seek]:
    """Of every span what the query asks of it; spans outside of the query's bounds are passed over."""
    after, inclusive = start_of(query)
    beyond = after_prefix(query.prefix)
    for span in query.spans:
        start, comparison = (span.start, ">=") if span.start > after else (after, ">=" if inclusive else ">")
        ends = [end for end in (span.end, beyond) if end is not None]
        if ends and min(ends) <= start:
            continue
        bounds, values = f"{comparison} :start", {"bucket": query.bucket, "start": start}
        if ends:
            bounds, values["end"] = f"{bounds} AND key < :end", min(ends)
        whose = ""
        if span.uploader is not None:
            # SQLite guesses that a range of keys leaves fewer rows than an uploader does, and would read everybody's.
            whose, values["uploader"] = "AND unlikely(uploader = :uploader)", span.uploader
        yield _Seek(whose, bounds, values)
