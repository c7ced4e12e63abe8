"""gateway/cache/names.py: names that nothing else has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.names import (
    BLOCK,
    BLOCK_NAME_SIZE,
    block_count,
    block_name,
    block_path,
    block_size,
    body_name,
    parse_block_path,
)

facts = st.lists(st.text(st.characters(exclude_categories=[]), max_size=6), max_size=4)


@given(facts, facts)
def test_other_facts_are_another_name(one, other):
    assert (body_name(*one) == body_name(*other)) is (one == other)


def test_a_separator_within_a_fact_makes_no_other_facts():
    assert body_name("a\0b", "c") != body_name("a", "b\0c") != body_name("a", "b", "c")


@given(st.binary(min_size=20, max_size=20), st.integers(0, 2**32 - 1))
def test_a_path_tells_the_name(body, index):
    name = block_name(body, index)
    assert len(name) == BLOCK_NAME_SIZE
    folder, _, file = block_path(name).rpartition("/")
    assert parse_block_path(folder, file) == name


@pytest.mark.parametrize("file", ["", "x" * 45, "A" * 45, "0" * 44, "0" * 46, "../../../etc/passwd", " " * 45])
def test_what_is_no_name_of_ours_is_none(file):
    assert parse_block_path("0/00", file) is None


@pytest.mark.parametrize(("size", "sizes"), [(1, [1]), (BLOCK, [BLOCK]), (BLOCK + 1, [BLOCK, 1]), (0, [])])
def test_blocks_of_a_body(size, sizes):
    assert [block_size(size, index) for index in range(block_count(size))] == sizes
