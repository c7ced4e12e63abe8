"""What is counted of the requests to one origin."""

from gateway.metrics import (
    FIRST_BYTE_BOUNDS,
    ORIGIN_BREAKER_OPEN,
    ORIGIN_FIRST_BYTE,
    ORIGIN_REQUESTS,
    Count,
    Observations,
    Tally,
)
from gateway.origin.errors import AllBusy, NotReached, OriginError, TooSlow
from gateway.origin.resilience import Breaker, State
from gateway.traces import current as current_traces

_BUSY = (429, 503)


class OriginTally(Tally):
    """Used from one loop."""

    __slots__ = ("_breaker", "_first_byte", "_name", "_outcomes")

    def __init__(self, name: str, breaker: Breaker) -> None:
        super().__init__()
        self._name = name
        self._breaker = breaker
        self._outcomes: dict[str, Count] = {}
        self._first_byte = Observations(FIRST_BYTE_BOUNDS)

    def answered(self, method: str, status: int, seconds: float | None = None) -> None:
        """The head of an answer has come; `seconds` None: before the whole request was sent."""
        self._count(_outcome_of_status(status))
        if seconds is not None:
            self._first_byte.note(seconds)
        if (traces := current_traces()) is not None:
            traces.origin_answered(self._name, method, status, seconds or 0.0)

    def failed(self, error: OriginError) -> None:
        """There was no answer, or it broke off."""
        self._failed(_outcome_of_failure(error))

    def held_back(self) -> None:
        """Nothing was sent: the breaker is open."""
        self._failed("held_back")

    def tell(self) -> None:
        ORIGIN_BREAKER_OPEN.labels(self._name).set(self._breaker.state is not State.CLOSED)
        for outcome, counted in self._outcomes.items():
            counted.tell(ORIGIN_REQUESTS.labels(self._name, outcome))
        self._first_byte.tell(ORIGIN_FIRST_BYTE.labels(self._name))

    def _failed(self, outcome: str) -> None:
        self._count(outcome)
        if (traces := current_traces()) is not None:
            traces.origin_failed(self._name, outcome)

    def _count(self, outcome: str) -> None:
        counted = self._outcomes.get(outcome)
        if counted is None:
            counted = self._outcomes[outcome] = Count()
        counted.number += 1


def _outcome_of_status(status: int) -> str:
    if status < 300:
        return "ok"
    if status in _BUSY:
        return "busy"
    return "refused" if status < 500 else "failed"


def _outcome_of_failure(error: OriginError) -> str:
    if isinstance(error, AllBusy):
        return "no_connection"
    if isinstance(error, NotReached):
        return "not_reached"
    return "late" if isinstance(error, TooSlow) else "broken"
