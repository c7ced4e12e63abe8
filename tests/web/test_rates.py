"""Requests by name, as time goes by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.web.rates import BURST_S, Rates


def test_after_a_silence_some_come_at_once_and_then_as_many_as_the_rate_says():
    rates = Rates(10)
    assert [rates.take("k", 100.0) for _ in range(21)] == [True] * 20 + [False]
    assert [rates.take("k", 100.125), rates.take("k", 100.125)] == [True, False]
    assert [rates.take("k", 200.0) for _ in range(21)] == [True] * 20 + [False]


def test_who_has_no_token_left_is_told_to_slow_down():
    rates = Rates(0.5)
    rates.require("k", 1.0)
    with pytest.raises(S3Error) as refused:
        rates.require("k", 1.0)
    assert refused.value.code is Code.SlowDown


def test_workers_share_a_rate_and_without_one_there_is_none():
    shared = Rates.shared(20, 4)
    assert shared is not None
    assert [shared.take("k", 1.0) for _ in range(11)] == [True] * 10 + [False]
    assert Rates.shared(None, 4) is None


def test_each_name_has_its_own():
    rates = Rates(0.5)
    assert [rates.take(name, 1.0) for name in "abab"] == [True, True, False, False]


def test_a_rate_below_one_lets_the_first_through():
    rates = Rates(0.01)
    assert [rates.take("k", now_s) for now_s in (0.0, 50.0, 101.0)] == [True, False, True]


@given(st.floats(0.1, 100), st.lists(st.floats(0, 5), max_size=200))
def test_never_more_than_the_rate_and_one_burst(per_s, pauses):
    rates, now_s, allowed = Rates(per_s), 0.0, 0
    for pause_s in pauses:
        now_s += pause_s
        allowed += rates.take("k", now_s)
    assert allowed <= max(per_s * BURST_S, 1.0) + per_s * now_s + 1e-6


@pytest.mark.parametrize("count", [20_000])
def test_names_are_forgotten_in_the_end(count):
    rates = Rates(1)
    for number in range(count):
        rates.take(str(number), 1.0)
    assert len(rates._buckets) < count
