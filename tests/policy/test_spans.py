"""What a caller may see, as spans: the same set of keys as the rule says, in order, apart, and no more than needed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.spans import EVERYTHING, Span, after_prefix, visible_spans

ODD = "a/b\x01\ud7ff\ue000\uffff\U00010000\U0010ffff"
prefixes = st.lists(st.text(st.sampled_from(ODD), max_size=3), max_size=5)
some_keys = st.lists(st.text(st.sampled_from(ODD), max_size=5), max_size=20)
owners = st.sampled_from([None, "ann", "bob"])


def starts_with_one(key: str, of: list[str]) -> bool:
    return any(key.startswith(prefix) for prefix in of)


def spans_with(spans: tuple[Span, ...], key: str, uploader: str) -> list[Span]:
    return [span for span in spans if span.covers(key) and span.uploader in (None, uploader)]


@given(st.booleans(), owners, prefixes, prefixes, some_keys)
def test_the_spans_hold_what_the_rule_says_and_nothing_else(everything, own, allowed, denied, keys):
    spans = visible_spans(everything=everything, own=own, allowed=allowed, denied=denied)
    edges = [text for prefix in (*allowed, *denied) for text in (prefix, after_prefix(prefix)) if text is not None]
    near = [edge + more for edge in edges for more in ("", "\x00", "\U0010ffff")] + [edge[:-1] for edge in edges]
    for key in keys + near:
        for uploader in ("ann", "bob"):
            wanted = everything or own == uploader or starts_with_one(key, allowed)
            visible = wanted and not starts_with_one(key, denied)
            assert bool(spans_with(spans, key, uploader)) == visible


@given(st.booleans(), owners, prefixes, prefixes)
def test_the_spans_are_in_order_share_no_key_and_are_as_few_as_can_be(everything, own, allowed, denied):
    spans = visible_spans(everything=everything, own=own, allowed=allowed, denied=denied)
    for span in spans:
        assert span.end is None or span.start < span.end
        assert span.uploader in (None, own)
    for before, after in pairwise(spans):
        assert before.end is not None
        assert before.end <= after.start
        assert before.end < after.start or before.uploader != after.uploader


@given(prefixes, prefixes)
def test_where_a_key_is_shown_to_all_nobody_has_an_own_span(allowed, denied):
    spans = visible_spans(everything=False, own="ann", allowed=allowed, denied=denied)
    for own in (span for span in spans if span.uploader is not None):
        assert not starts_with_one(own.start, allowed)
        assert not any(own.covers(prefix) for prefix in allowed)


@pytest.mark.parametrize(
    ("everything", "own", "allowed", "denied", "spans"),
    [
        (True, None, [], [], EVERYTHING),
        (True, "ann", ["a"], [], EVERYTHING),
        (False, "ann", ["", "a"], [], EVERYTHING),
        (False, None, [], [], ()),
        (True, "ann", ["a"], [""], ()),
        (False, "ann", [], [], (Span(uploader="ann"),)),
        (False, None, ["b/", "b/c"], [], (Span("b/", "b0"),)),
        (False, None, ["b", "a"], [], (Span("a", "c"),)),
        (False, None, ["\ud7ff", "\ue000"], [], (Span("\ud7ff", "\ue001"),)),
        (False, None, ["\U0010ffff"], [], (Span("\U0010ffff"),)),
        (False, "ann", ["b"], [], (Span("", "b", "ann"), Span("b", "c"), Span("c", None, "ann"))),
        (False, "ann", ["b/"], ["b/c/"], (
            Span("", "b/", "ann"), Span("b/", "b/c/"), Span("b/c0", "b0"), Span("b0", None, "ann"),
        )),
        (True, None, [], ["tmp/"], (Span("", "tmp/"), Span("tmp0"))),
    ],
)  # fmt: skip
def test_spans_of_plain_rules(everything, own, allowed, denied, spans):
    assert visible_spans(everything=everything, own=own, allowed=allowed, denied=denied) == spans


def test_a_denied_prefix_hides_own_keys_and_allowed_prefixes_below_it():
    (before, behind) = visible_spans(everything=False, own="ann", allowed=["b/x/"], denied=["b/"])
    assert (before, behind) == (Span("", "b/", "ann"), Span("b0", None, "ann"))


@given(st.text(st.sampled_from(ODD), min_size=1, max_size=4), st.text(st.sampled_from(ODD), max_size=5))
def test_after_a_prefix_comes_the_first_text_that_does_not_start_with_it(prefix, rest):
    beyond = after_prefix(prefix)
    if beyond is None:
        assert set(prefix) == {"\U0010ffff"}
        return
    assert prefix + rest < beyond
    assert (prefix + rest).encode() < beyond.encode()
    assert not beyond.startswith(prefix)


@pytest.mark.parametrize(
    ("prefix", "beyond"),
    [("a", "b"), ("a\U0010ffff", "b"), ("\ud7ff", "\ue000"), ("\U0010ffff" * 3, None), ("/", "0"), ("", None)],
)
def test_after_prefix_at_the_edges(prefix, beyond):
    assert after_prefix(prefix) == beyond
