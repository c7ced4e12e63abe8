"""What is counted of requests and connections: plain numbers while they come, metrics when somebody asks."""

from collections.abc import Sized

from gateway.metrics import (
    ACCEPTED,
    BROKEN_OFF,
    CONNECTIONS,
    FIRST_BYTE,
    FIRST_BYTE_BOUNDS,
    IN_FLIGHT,
    RECEIVED,
    REQUESTS,
    SENT,
    WHOLE,
    WHOLE_BOUNDS,
    Count,
    Observations,
    Tally,
)
from gateway.web.exchange import UNKNOWN, Exchange


class _OfOperation:
    """What is counted of one operation."""

    __slots__ = ("broken_off", "codes", "first_byte", "received", "sent", "whole")

    def __init__(self) -> None:
        self.codes: dict[int, Count] = {}
        self.first_byte = Observations(FIRST_BYTE_BOUNDS)
        self.whole = Observations(WHOLE_BOUNDS)
        self.received = Count()
        self.sent = Count()
        self.broken_off = Count()

    def count(self, status: int) -> None:
        counted = self.codes.get(status)
        if counted is None:
            counted = self.codes[status] = Count()
        counted.number += 1

    def tell(self, operation: str) -> None:
        for status, counted in self.codes.items():
            counted.tell(REQUESTS.labels(operation, str(status)))
        self.first_byte.tell(FIRST_BYTE.labels(operation))
        self.whole.tell(WHOLE.labels(operation))
        self.received.tell(RECEIVED.labels(operation))
        self.sent.tell(SENT.labels(operation))
        self.broken_off.tell(BROKEN_OFF.labels(operation))


class RequestTally(Tally):
    """Counts what a server answers; used from its loop."""

    __slots__ = ("_connections", "_operations", "accepted", "in_flight")

    def __init__(self, connections: Sized) -> None:
        super().__init__()
        self._connections = connections
        self._operations: dict[str, _OfOperation] = {}
        self.in_flight = 0
        self.accepted = Count()

    def count(self, exchange: Exchange, ended_s: float) -> None:
        """A request is over."""
        counted, answer = self._of(exchange.operation), exchange.answer
        began_s, head_s = exchange.began_s, exchange.head_s
        counted.count(exchange.status)
        if head_s:
            counted.first_byte.note(head_s - began_s)
        counted.whole.note(ended_s - began_s)
        counted.received.number += exchange.request.body.total_bytes
        if answer is not None:
            counted.sent.number += answer.sent
            if not exchange.is_whole:
                counted.broken_off.number += 1

    def count_unreadable(self, status: int) -> None:
        """What came could not be read as a request."""
        self._of(UNKNOWN).count(status)

    def tell(self) -> None:
        CONNECTIONS.set(len(self._connections))
        IN_FLIGHT.set(self.in_flight)
        self.accepted.tell(ACCEPTED)
        for operation, counted in self._operations.items():
            counted.tell(operation)

    def _of(self, operation: str) -> _OfOperation:
        found = self._operations.get(operation)
        if found is None:
            found = self._operations[operation] = _OfOperation()
        return found
