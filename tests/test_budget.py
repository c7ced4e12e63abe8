"""gateway/budget.py: never more than there is."""

from gateway.budget import MemoryBudget


def test_no_more_is_taken_than_there_is():
    budget = MemoryBudget(10)
    assert budget.take(4)
    assert not budget.take(7)
    assert budget.take(6)
    budget.give(4)
    assert not budget.take(5)
    assert budget.take(4)


def test_what_is_kept_is_for_those_who_ask_for_it():
    budget = MemoryBudget(10, kept=3)
    assert not budget.take(8)
    assert budget.take(7)
    assert not budget.take(1)
    assert budget.take_kept(3)
    assert not budget.take_kept(1)
    budget.give(4)
    assert not budget.take(2)
    assert budget.take(1)
