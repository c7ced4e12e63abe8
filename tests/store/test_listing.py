"""Listing against an obvious model: every entry once, in the order of bytes, whatever page size and code points."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.spans import EVERYTHING, Span, visible_spans
from gateway.store.listing import ListQuery, Page, Row, list_page, select_rows, walk_rows
from gateway.store.migrate import migrate

ODD = "a/b\ud7ff\ue000\U0010ffff🎧é%_*\x01\uffff"
texts = st.text(st.sampled_from(ODD), max_size=5)
uploaders = st.sampled_from(["ann", "bob"])
some_rows = st.dictionaries(st.text(st.sampled_from(ODD), min_size=1, max_size=6), uploaders, max_size=30)
delimiters = st.sampled_from(["", "/", "//", "b/", "é", "\U0010ffff", "\ud7ff", "ab"])
prefixes = st.lists(st.text(st.sampled_from(ODD), max_size=2), max_size=4)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a caller may see, said key by key."""

    everything: bool = True
    own: str | None = None
    allowed: Iterable[str] = ()
    denied: Iterable[str] = ()

    def shows(self, key: str, uploader: str) -> bool:
        wanted = self.everything or uploader == self.own or any(key.startswith(prefix) for prefix in self.allowed)
        return wanted and not any(key.startswith(prefix) for prefix in self.denied)

    def spans(self) -> tuple[Span, ...]:
        return visible_spans(everything=self.everything, own=self.own, allowed=self.allowed, denied=self.denied)


rules = st.builds(Rule, st.booleans(), st.sampled_from([None, "ann"]), prefixes, prefixes) | st.just(Rule())


def entry_of(key: str, prefix: str, delimiter: str) -> str:
    """The key itself, or the common prefix that stands for it."""
    found = key.find(delimiter, len(prefix)) if delimiter else -1
    return key if found < 0 else key[: found + len(delimiter)]


def obvious_page(keys: Iterable[str], query: ListQuery) -> tuple[list[str], list[str], str | None]:
    """What list_page should say of a bucket with these keys alone: keys, common prefixes, the last where more follow."""
    listed_already = {query.after}
    if query.past_group:
        listed_already.add(entry_of(query.after, query.prefix, query.delimiter))
    entries: dict[str, bool] = {}  # entry → is it a key?
    for key in sorted(keys, key=str.encode):
        entry = entry_of(key, query.prefix, query.delimiter)
        if key.startswith(query.prefix) and key > query.after and entry not in listed_already:
            is_key = not query.delimiter or query.delimiter not in key[len(query.prefix) :]
            entries.setdefault(entry, is_key)
    page = list(entries)[: query.limit]
    more = 0 < len(page) < len(entries)
    return [e for e in page if entries[e]], [e for e in page if not entries[e]], page[-1] if more else None


def seek_over(rows: Mapping[str, str]) -> sqlite3.Connection:
    """A small table of keys and their uploaders, between the rows of other buckets."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE k (bucket TEXT, key TEXT, uploader TEXT, PRIMARY KEY (bucket, key)) WITHOUT ROWID")
    connection.execute("CREATE INDEX k_by_uploader ON k (bucket, uploader, key)")
    connection.executemany("INSERT INTO k VALUES ('b', ?, ?)", rows.items())
    connection.executemany("INSERT INTO k VALUES (?, 'x', 'ann')", [("a",), ("c",)])
    return connection


def seek_over_keys(keys: Iterable[str]) -> sqlite3.Connection:
    return seek_over(dict.fromkeys(keys, "ann"))


def listed(connection: sqlite3.Connection, query: ListQuery) -> Page[str]:
    """Walking and reading every row must say the same."""
    walked = list_page(query, walk_rows(connection, query, "key", "k"), lambda row: row[0])
    every_row = select_rows(connection, query, "key", "k WHERE bucket = :bucket", "key")
    assert list_page(query, every_row, lambda row: row[0]) == walked
    return walked


@given(some_rows, rules, texts, delimiters, texts, st.integers(0, 8), st.booleans())
def test_a_page_is_that_of_a_bucket_with_the_visible_keys_alone(
    rows, rule, prefix, delimiter, after, limit, past_group
):
    query = ListQuery("b", prefix, delimiter, after, limit, past_group, rule.spans())
    with closing(seek_over(rows)) as connection:
        page = listed(connection, query)
    visible = [key for key, uploader in rows.items() if rule.shows(key, uploader)]
    assert (list(page.rows), list(page.common_prefixes), page.next_after) == obvious_page(visible, query)


@given(some_rows, rules, texts, delimiters, st.integers(1, 5), st.booleans())
def test_paging_gives_every_visible_entry_once_in_order_and_in_full_pages(
    rows, rule, prefix, delimiter, limit, past_group
):
    after, entries = "", []
    with closing(seek_over(rows)) as connection:
        while True:
            page = listed(connection, ListQuery("b", prefix, delimiter, after, limit, past_group, rule.spans()))
            entries += sorted([*page.rows, *page.common_prefixes])
            if page.next_after is None:
                break
            assert len(page.rows) + len(page.common_prefixes) == limit
            assert page.next_after > after or not after
            after = page.next_after
    visible = [key for key, uploader in rows.items() if rule.shows(key, uploader)]
    assert entries == sorted({entry_of(key, prefix, delimiter) for key in visible if key.startswith(prefix)})


OWN_AND_SHARED = Rule(everything=False, own="ann", allowed=["shared/"], denied=["shared/secret/"]).spans()
OTHERS = {"bob/1": "bob", "d/1": "bob", "shared/secret/1": "ann", "x": "bob", "z": "bob"}
VISIBLE = {"ann/1": "ann", "d/2": "ann", "shared/1": "bob", "shared/z/1": "bob", "y": "ann"}


def test_a_common_prefix_is_shown_for_what_is_visible_below_it_only():
    query = ListQuery("b", delimiter="/", spans=OWN_AND_SHARED)
    with closing(seek_over(OTHERS | VISIBLE)) as connection:
        assert listed(connection, query) == Page(("y",), ("ann/", "d/", "shared/"), None)
        within = listed(connection, replace(query, prefix="shared/"))
        assert within == Page(("shared/1",), ("shared/z/",), None)
        assert listed(connection, replace(query, prefix="bob/")) == Page((), (), None)


def test_a_page_is_not_truncated_because_of_what_the_caller_may_not_see():
    query = ListQuery("b", delimiter="/", spans=OWN_AND_SHARED)
    with closing(seek_over(OTHERS | VISIBLE)) as connection:
        assert listed(connection, replace(query, limit=3)) == Page((), ("ann/", "d/", "shared/"), "shared/")
        assert listed(connection, replace(query, limit=4)) == Page(("y",), ("ann/", "d/", "shared/"), None)
        assert listed(connection, replace(query, limit=1, after="shared/")) == Page(("y",), (), None)


def test_a_marker_may_be_a_key_that_the_caller_may_not_see():
    query = ListQuery("b", spans=OWN_AND_SHARED, limit=1)
    with closing(seek_over(OTHERS | VISIBLE)) as connection:
        assert listed(connection, replace(query, after="d/1")) == Page(("d/2",), (), "d/2")
        assert listed(connection, replace(query, after="shared/secret/1")) == Page(("shared/z/1",), (), "shared/z/1")
        assert listed(connection, replace(query, after="x", limit=0)) == Page((), (), None)


def test_one_group_in_several_spans_is_listed_once_and_does_not_shorten_the_page():
    spans = Rule(everything=True, denied=["a/2", "a/4"]).spans()
    assert len(spans) == 3
    with closing(seek_over_keys(["a/1", "a/2", "a/3", "a/4", "a/5", "b", "c"])) as connection:
        page = listed(connection, ListQuery("b", delimiter="/", limit=2, spans=spans))
        assert page == Page(("b",), ("a/",), "b")
        assert listed(connection, ListQuery("b", after="a/1", spans=spans)).rows == ("a/3", "a/5", "b", "c")


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_who_may_see_nothing_gets_an_empty_page_and_asks_the_database_nothing(delimiter):
    with closing(seek_over_keys(["a/1", "b"])) as connection:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        assert listed(connection, ListQuery("b", delimiter=delimiter, spans=())) == Page((), (), None)
        assert asked == []


@pytest.mark.parametrize(
    ("delimiter", "after", "statements"), [("", "", 1), ("/", "", 2), ("", "c/3", 2), ("/", "c/", 2), ("", "d0", 1)]
)
def test_spans_before_and_behind_a_page_are_not_looked_at(delimiter, after, statements):
    spans = visible_spans(everything=False, own=None, allowed=["a/", "c/", "e/", "g/", "i/"], denied=[])
    query = ListQuery("b", delimiter=delimiter, after=after, limit=1, spans=spans)
    with closing(seek_over_keys(f"{folder}/{name}" for folder in "abcdefghi" for name in "123")) as connection:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        assert list_page(query, walk_rows(connection, query, "key", "k"), str).next_after is not None
    assert len(asked) == statements


def test_a_common_prefix_costs_one_row_however_much_is_below_it():
    keys = [f"{folder}/{number:05d}" for folder in "abc" for number in range(3000)]
    query = ListQuery("b", delimiter="/")
    with closing(seek_over_keys(keys)) as connection:
        assert len(list(walk_rows(connection, query, "key", "k"))) == 3
        assert listed(connection, query).common_prefixes == ("a/", "b/", "c/")


def test_a_page_of_common_prefixes_takes_few_steps_in_the_database():
    keys = [f"{folder:03d}/{number:04d}" for folder in range(200) for number in range(50)]
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(seek_over_keys(keys)) as connection:
        connection.set_progress_handler(count, 100)
        rows = list(walk_rows(connection, ListQuery("b", delimiter="/", limit=100), "key", "k"))
    assert len(rows) == 101
    assert steps < 200, "hundreds of virtual machine steps for each of the 10,000 keys would be thousands"


Read = Callable[[sqlite3.Connection, ListQuery], Iterator[Row]]


def read_every_row(connection: sqlite3.Connection, query: ListQuery) -> Iterator[Row]:
    return select_rows(connection, query, "key, size", "objects WHERE bucket = :bucket", "key")


def walk(connection: sqlite3.Connection, query: ListQuery) -> Iterator[Row]:
    return walk_rows(connection, query, "key, size", "objects")


def store_with(others: int) -> sqlite3.Connection:
    """The store's own table with three objects of ann's among so many of others."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, check=False)
    number = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {})"
    insert = (
        "INSERT INTO objects {} SELECT 'b', printf('{}', i), 'null', '{}', 1, '', 1, 'o', '', NULL, '', '', '', 0, "
        "'', '', '', '' FROM n"
    )
    connection.execute(insert.format(number.format(others), "%05d/k", "bob"))
    connection.execute(insert.format(number.format(3), "0000%d/of-ann", "ann"))
    return connection


def steps_of(connection: sqlite3.Connection, read: Read, query: ListQuery) -> int:
    """How many instructions SQLite's virtual machine takes to read three rows."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 1)
    rows = list(read(connection, query))
    connection.set_progress_handler(None, 1)
    assert [row[0] for row in rows] == ["00000/of-ann", "00001/of-ann", "00002/of-ann"]
    return steps


@pytest.mark.parametrize("read", [read_every_row, walk])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "0"])
def test_what_others_store_costs_a_listing_of_own_objects_nothing(read, delimiter, prefix):
    query = ListQuery("b", prefix, delimiter, spans=Rule(everything=False, own="ann").spans())
    with closing(store_with(20)) as small, closing(store_with(20_000)) as large:
        few = steps_of(small, read, query)
        assert few < 300
        assert steps_of(large, read, query) == few


def plans_of(read: Read, query: ListQuery) -> list[str]:
    """How SQLite goes about the statements of a listing."""
    statements: list[str] = []
    with closing(store_with(1)) as connection:
        connection.set_trace_callback(statements.append)
        list(read(connection, query))
        connection.set_trace_callback(None)
        return [row[3] for sql in statements for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize("read", [read_every_row, walk])
@pytest.mark.parametrize(
    ("delimiter", "prefix", "after"), [("", "", ""), ("/", "", ""), ("/", "a", ""), ("/", "a", "a")]
)
@pytest.mark.parametrize(
    ("spans", "index"),
    [
        (EVERYTHING, "USING PRIMARY KEY (bucket=? AND key>?"),
        ((Span(uploader="ann"),), "INDEX objects_by_uploader (bucket=? AND uploader=? AND key>?"),
    ],
)
def test_every_seek_uses_the_index_made_for_it(read, delimiter, prefix, after, spans, index):
    plan = plans_of(read, ListQuery("b", prefix, delimiter, after, spans=spans))
    walking = bool(delimiter) and read is walk
    reads = [line for line in plan if " objects" in line]
    assert len([line for line in reads if index in line]) == (3 if walking else 1)
    assert len([line for line in reads if "key=?" in line]) == (1 if walking else 0)
    assert len(reads) == (4 if walking else 1)
    assert walking or len(plan) == 1, "no sorting"
