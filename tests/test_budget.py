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
