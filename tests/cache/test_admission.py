"""gateway/cache/admission.py: bounds that always hold, and what stays."""

import random
from hashlib import blake2b

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.cache.admission import Admission

CAPACITY = 20_000


def name(number: int) -> bytes:
    return blake2b(str(number).encode(), digest_size=20).digest() + bytes(4)


class Bounds(RuleBasedStateMachine):
    """The queues beside a plain dictionary of what is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(CAPACITY)
        self.kept: dict[bytes, int] = {}

    numbers = st.integers(0, 60)
    sizes = st.integers(1, CAPACITY + 500)

    @rule(number=numbers, size=st.one_of(st.integers(1, 3000), sizes))
    def add(self, number: int, size: int) -> None:
        gone = self.admission.add(name(number), size)
        if gone is None:
            assert size > CAPACITY
            return
        self.kept.pop(name(number), None)
        for each in gone:
            del self.kept[each]
        self.kept[name(number)] = max(size, 512)

    @rule(number=numbers)
    def touch(self, number: int) -> None:
        assert self.admission.touch(name(number)) is (name(number) in self.kept)

    @rule(number=numbers, size=sizes)
    def restore(self, number: int, size: int) -> None:
        known = name(number) in self.kept
        unwanted = self.admission.restore(name(number), size)
        assert unwanted in ([], [name(number)])
        if not unwanted and not known:
            self.kept[name(number)] = max(size, 512)

    @rule(number=numbers)
    def discard(self, number: int) -> None:
        self.admission.discard(name(number))
        self.kept.pop(name(number), None)

    @rule()
    def evict(self) -> None:
        gone = self.admission.evict()
        assert (gone is None) is (not self.kept)
        if gone is not None:
            del self.kept[gone]

    @invariant()
    def what_is_kept_is_what_was_added_and_did_not_go(self) -> None:
        assert len(self.admission) == len(self.kept)
        assert all(each in self.admission for each in self.kept)
        assert self.admission.size == sum(self.kept.values()) <= CAPACITY

    @invariant()
    def what_is_remembered_is_bounded(self) -> None:
        assert self.admission.ghosts <= CAPACITY // 512


TestBounds = Bounds.TestCase


def asked(admission: Admission, number: int, size: int = 1000) -> bool:
    if admission.touch(name(number)):
        return True
    admission.add(name(number), size)
    return False


def test_what_is_asked_for_once_leaves_before_what_is_asked_for_often():
    admission = Admission(20_000)
    for _ in range(4):
        for number in range(10):
            asked(admission, number)
    for number in range(1000, 1200):
        asked(admission, number)
    assert [name(number) in admission for number in range(10)] == [True] * 10


def test_whoever_comes_again_soon_goes_before_what_is_new():
    admission = Admission(10_000)
    for number in range(11):
        asked(admission, number)
    assert name(0) not in admission
    asked(admission, 0)
    for number in range(100, 108):
        asked(admission, number)
    assert name(0) in admission


def test_what_an_earlier_run_has_left_goes_after_what_is_new():
    admission = Admission(10_000)
    for number in range(9):
        assert admission.restore(name(number), 1000) == []
    for number in range(100, 200):
        asked(admission, number)
    assert [name(number) in admission for number in range(9)] == [True] * 9


def test_clear_forgets_everything():
    admission = Admission(10_000)
    for number in range(30):
        asked(admission, number)
    admission.clear()
    assert (len(admission), admission.size, admission.ghosts, admission.evict()) == (0, 0, 0, None)


def test_a_scan_of_ten_times_the_cache_costs_little():
    """Zipf(0.9) over 10,000 objects, a cache of a tenth of them; the scan's own requests are not counted."""
    rng = random.Random(7)
    weights = [1 / rank**0.9 for rank in range(1, 10_001)]
    trace = rng.choices(range(10_000), weights, k=120_000)

    def hits(scan: bool) -> float:
        admission, found = Admission(1_000_000), 0
        for position, number in enumerate(trace):
            if scan and position == 60_000:
                for each in range(20_000, 30_000):
                    asked(admission, each)
            found += asked(admission, number) and position >= 60_000
        return found / 60_000

    assert hits(scan=False) - hits(scan=True) < 0.05
