"""What keeps a sick origin from making its gateway sick: a breaker, a budget of retries, and when to try again.

A request is tried again only where a repetition is safe, after a pause that grows and is drawn by lot (tenacity), and
only as long as retries are few beside requests: an origin that fails for everybody is not asked three times as often.
When nothing answers any more, the breaker refuses requests at once, and lets one through from time to time to see.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from tenacity import RetryCallState, wait_random_exponential

FAILURES_TO_OPEN = 5
SHORTEST_OPEN_S = 1.0
LONGEST_OPEN_S = 30.0
RETRY_SHARE = 0.1
MOST_SAVED_RETRIES = 20.0
_WAIT = wait_random_exponential(multiplier=0.1, max=5.0)


class State(Enum):
    """What a breaker does with the next request."""

    CLOSED = "closed"
    OPEN = "open"
    TRYING = "trying"


class Breaker:
    """Opens after some failures in a row, for a time that doubles with each trial that fails too."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._open_s = SHORTEST_OPEN_S
        self._closed_from = 0.0
        self.state = State.CLOSED

    def lets_through(self) -> bool:
        """May a request be sent? Where it was the trial's turn, this request is the trial."""
        if self.state is State.CLOSED:
            return True
        if self._clock() < self._closed_from:  # open, or a trial that takes its time
            return False
        self.state = State.TRYING
        self._closed_from = self._clock() + self._open_s
        return True

    @property
    def lets_through_now(self) -> bool:
        """Would it, without being asked for the trial?"""
        return self.state is State.CLOSED

    def succeeded(self) -> bool:
        """The origin has answered; gives whether that closed the breaker."""
        self._failures = 0
        if self.state is State.CLOSED:
            return False
        self.state = State.CLOSED
        self._open_s = SHORTEST_OPEN_S
        return True

    def failed(self) -> bool:
        """The origin could not be reached, or did not answer; gives whether that opened the breaker."""
        self._failures += 1
        if self.state is State.TRYING:
            self._open_s = min(2 * self._open_s, LONGEST_OPEN_S)
        elif self.state is State.OPEN or self._failures < FAILURES_TO_OPEN:
            return False
        was_closed = self.state is State.CLOSED
        self.state = State.OPEN
        self._closed_from = self._clock() + self._open_s
        return was_closed

    @property
    def retry_after_s(self) -> float:
        """Seconds until the next trial."""
        return max(self._closed_from - self._clock(), 0.0)


class RetryBudget:
    """Retries that may be made: a tenth of the requests, saved up to a few."""

    def __init__(self) -> None:
        self._saved = MOST_SAVED_RETRIES

    def earn(self) -> None:
        """A request was made."""
        if self._saved < MOST_SAVED_RETRIES:
            self._saved += RETRY_SHARE

    def spend(self) -> bool:
        """May a retry be made?"""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def pause_s(attempt: int) -> float:
    """Seconds to wait after the attempt of this number, counted from 1, has failed."""
    unused: Any = None
    state = RetryCallState(unused, None, (), {})
    state.attempt_number = attempt
    return _WAIT(state)
