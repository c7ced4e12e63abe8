"""The breaker and the budget of retries, on a clock that only the test moves."""

import pytest

from gateway.origin.resilience import (
    FAILURES_TO_OPEN,
    LONGEST_OPEN_S,
    MOST_SAVED_RETRIES,
    SHORTEST_OPEN_S,
    Breaker,
    RetryBudget,
    State,
    pause_s,
)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def open_it(breaker: Breaker) -> None:
    assert [breaker.failed() for _ in range(FAILURES_TO_OPEN)] == [False] * (FAILURES_TO_OPEN - 1) + [True]


def test_only_failures_in_a_row_open_the_breaker(breaker):
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            assert not breaker.failed()
        assert not breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.lets_through()
    assert breaker.lets_through_now


def test_an_open_breaker_refuses_until_its_time_has_passed_and_then_lets_one_through(breaker, clock):
    open_it(breaker)
    assert breaker.state is State.OPEN
    assert breaker.retry_after_s == SHORTEST_OPEN_S
    clock.now += SHORTEST_OPEN_S - 0.01
    assert not breaker.lets_through()
    clock.now += 0.01
    assert breaker.retry_after_s == 0
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
    assert not breaker.lets_through_now, "a retry of another request is not the trial"


def test_a_trial_that_succeeds_closes_the_breaker(breaker, clock):
    open_it(breaker)
    clock.now += SHORTEST_OPEN_S
    assert breaker.lets_through()
    assert breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert all(breaker.lets_through() for _ in range(3))
    assert not breaker.succeeded(), "it is said once"


def test_each_trial_that_fails_doubles_the_time_up_to_the_longest(breaker, clock):
    open_it(breaker)
    waited = []
    for _ in range(8):
        waited.append(breaker.retry_after_s)
        clock.now += breaker.retry_after_s
        assert breaker.lets_through()
        assert not breaker.failed(), "that it is open was said already"
    assert waited == [1, 2, 4, 8, 16, LONGEST_OPEN_S, LONGEST_OPEN_S, LONGEST_OPEN_S]
    clock.now += LONGEST_OPEN_S
    assert breaker.lets_through()
    breaker.succeeded()
    open_it(breaker)
    assert breaker.retry_after_s == SHORTEST_OPEN_S, "a success forgets how long it was"


def test_a_trial_that_never_ends_is_followed_by_another(breaker, clock):
    """Its request may have been cancelled: nobody says then how it went."""
    open_it(breaker)
    clock.now += SHORTEST_OPEN_S
    assert breaker.lets_through()
    clock.now += SHORTEST_OPEN_S - 0.01
    assert not breaker.lets_through()
    clock.now += 0.01
    assert breaker.lets_through()


def test_stragglers_of_an_open_breaker_do_not_prolong_it(breaker, clock):
    open_it(breaker)
    clock.now += 0.5
    assert not any(breaker.failed() for _ in range(20))
    assert breaker.retry_after_s == 0.5


def test_an_answer_to_an_older_request_closes_it_too(breaker):
    open_it(breaker)
    assert breaker.succeeded()
    assert breaker.lets_through()


def test_retries_are_a_tenth_of_the_requests_beyond_what_was_saved():
    budget = RetryBudget()
    assert sum(budget.spend() for _ in range(100)) == MOST_SAVED_RETRIES
    for _ in range(1000):
        budget.earn()
        budget.spend()
    retried = 0
    for _ in range(1000):
        budget.earn()
        retried += budget.spend()
    assert 99 <= retried <= 101


def test_no_more_than_a_few_retries_are_saved_up():
    budget = RetryBudget()
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == MOST_SAVED_RETRIES


def test_pauses_grow_are_drawn_by_lot_and_end_at_five_seconds():
    for attempt, most in ((1, 0.1), (2, 0.2), (4, 0.8), (7, 5.0), (5000, 5.0)):
        drawn = [pause_s(attempt) for _ in range(50)]
        assert all(0 <= pause <= most for pause in drawn)
        assert len(set(drawn)) > 40
