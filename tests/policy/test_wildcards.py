"""Stars stand for any text, and nothing else is special."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.wildcards import matches_wildcard


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("*", ""), ("a", "a"), ("a*", "a"), ("a*", "a/b"), ("*a", "ba"), ("a*a", "aa"), ("a*b*c", "a-b-c"), ("**", "x")],
)
def test_what_matches(pattern, text):
    assert matches_wildcard(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", "a"),
        ("a", "A"),
        ("a*a", "a"),
        ("ab*ba", "aba"),
        ("a.c", "abc"),
        ("a?c", "abc"),
        ("[ab]", "a"),
        ("a*b*c", "acb"),
    ],
)
def test_what_does_not_match(pattern, text):
    assert not matches_wildcard(pattern, text)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_it_is_the_regular_expression_of_the_same_meaning(pattern, text):
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
    assert matches_wildcard(pattern, text) is expected


def test_n07_a_pattern_of_many_stars_costs_what_its_text_is_long():
    assert not matches_wildcard("*a" * 100 + "*b", "a" * 1024)  # a matcher that goes back would never end
