"""bench/hit_ratio.py: what stays, counted on small traces."""

import pytest

from bench.hit_ratio import POLICIES, best, lru, ratio, zipf


def test_the_best_is_never_worse_and_a_scan_costs_little():
    trace = zipf(30_000, 2_000, 0.9, seed=3)
    for capacity in (20, 200):
        found = {name: ratio(policy, trace, capacity) for name, policy in POLICIES.items()}
        assert found["the best"] >= found["S3-FIFO"] > found["LRU"]
        cost = found["S3-FIFO"] - ratio(POLICIES["S3-FIFO"], trace, capacity, scan=10 * capacity)
        assert cost < 0.05


@pytest.mark.parametrize(
    ("policy", "hits"),
    [(lru, [False, False, True, False, False, False]), (best, [False, False, True, False, True, True])],
)
def test_a_trace_that_can_be_followed_by_hand(policy, hits):
    """Room for two: after 1, 2, 1, 3 the least recent is 2; the best knows that 2 and 1 come again."""
    assert policy([1, 2, 1, 3, 2, 1], 2) == hits
