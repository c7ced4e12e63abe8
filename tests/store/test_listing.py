"""Listing against an obvious model: every entry once, in the order of bytes, whatever page size and code points."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.listing import ListQuery, Page, list_page, select_rows, walk_rows

ODD = "a/b\ud7ff\ue000\U0010ffff🎧é%_*\x01\uffff"
texts = st.text(st.sampled_from(ODD), max_size=5)
some_keys = st.sets(st.text(st.sampled_from(ODD), min_size=1, max_size=6), max_size=30)
delimiters = st.sampled_from(["", "/", "//", "b/", "é", "\U0010ffff", "\ud7ff", "ab"])


def entry_of(key: str, prefix: str, delimiter: str) -> str:
    """The key itself, or the common prefix that stands for it."""
    found = key.find(delimiter, len(prefix)) if delimiter else -1
    return key if found < 0 else key[: found + len(delimiter)]


def obvious_page(keys: Iterable[str], query: ListQuery) -> tuple[list[str], list[str], str | None]:
    """What list_page should say: keys, common prefixes, and the last entry where more follow."""
    entries: list[str] = []
    for key in sorted(keys, key=str.encode):
        entry = entry_of(key, query.prefix, query.delimiter)
        skipped = key <= query.after or (entry != key and entry == query.after)
        if key.startswith(query.prefix) and not skipped and entry not in entries:
            entries.append(entry)
    page, prefix = entries[: query.limit], {entry_of(key, query.prefix, query.delimiter) for key in keys}
    rows = [entry for entry in page if entry in keys and entry_of(entry, query.prefix, query.delimiter) == entry]
    rows = [entry for entry in rows if not query.delimiter or query.delimiter not in entry[len(query.prefix) :]]
    assert set(page) <= prefix
    return rows, [entry for entry in page if entry not in rows], page[-1] if 0 < len(page) < len(entries) else None


def seek_over(keys: Iterable[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE k (bucket TEXT, key TEXT, PRIMARY KEY (bucket, key)) WITHOUT ROWID")
    connection.executemany("INSERT INTO k VALUES ('b', ?)", [(key,) for key in keys])
    connection.executemany("INSERT INTO k VALUES (?, 'x')", [("a",), ("c",)])
    return connection


def listed(connection: sqlite3.Connection, query: ListQuery) -> Page[str]:
    """Walking and reading every row must say the same."""
    walked = list_page(query, walk_rows(connection, query, "key", "k"), lambda row: row[0])
    every_row = select_rows(connection, query, "key", "k WHERE bucket = :bucket", "key")
    assert list_page(query, every_row, lambda row: row[0]) == walked
    return walked


@given(some_keys, texts, delimiters, texts, st.integers(0, 8))
def test_a_page_is_what_the_obvious_model_says(keys, prefix, delimiter, after, limit):
    query = ListQuery("b", prefix, delimiter, after, limit)
    with closing(seek_over(keys)) as connection:
        page = listed(connection, query)
    assert (list(page.rows), list(page.common_prefixes), page.next_after) == obvious_page(keys, query)


@given(some_keys, texts, delimiters, st.integers(1, 5))
def test_paging_to_the_end_gives_every_entry_once_and_in_order(keys, prefix, delimiter, limit):
    after, entries = "", []
    with closing(seek_over(keys)) as connection:
        while True:
            page = listed(connection, ListQuery("b", prefix, delimiter, after, limit))
            entries += sorted([*page.rows, *page.common_prefixes])
            if page.next_after is None:
                break
            assert len(page.rows) + len(page.common_prefixes) == limit
            assert page.next_after > after or not after
            after = page.next_after
    wanted = {entry_of(key, prefix, delimiter) for key in keys if key.startswith(prefix)}
    assert entries == sorted(wanted)


def test_a_common_prefix_costs_one_row_however_much_is_below_it():
    keys = [f"{folder}/{number:05d}" for folder in "abc" for number in range(3000)]
    query = ListQuery("b", delimiter="/")
    with closing(seek_over(keys)) as connection:
        assert len(list(walk_rows(connection, query, "key", "k"))) == 3
        assert listed(connection, query).common_prefixes == ("a/", "b/", "c/")


def test_a_page_of_common_prefixes_takes_few_steps_in_the_database():
    keys = [f"{folder:03d}/{number:04d}" for folder in range(200) for number in range(50)]
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(seek_over(keys)) as connection:
        connection.set_progress_handler(count, 100)
        rows = list(walk_rows(connection, ListQuery("b", delimiter="/", limit=100), "key", "k"))
    assert len(rows) == 101
    assert steps < 200, "hundreds of virtual machine steps for each of the 10,000 keys would be thousands"


def test_the_index_is_used_for_every_seek():
    with closing(seek_over(["a", "b"])) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT key FROM k WHERE bucket = ? AND key > ? ORDER BY key", ("b", "a")
        ).fetchall()
    assert "USING PRIMARY KEY" in plan[0][3]
    assert len(plan) == 1, "no sorting"
