"""A connection to each of a gateway's workers, however the kernel spreads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from tests.support.caller import Caller
from tests.support.raw_http import Answer, Connection, Request

BUCKET = "demo-media"


def who(answer: Answer) -> str:
    """Each worker has a host id of its own."""
    return answer.header("x-amz-id-2") or ""


@contextmanager
def connections_to_each(caller: Caller, count: int = 2) -> Iterator[list[Connection]]:
    """A connection to each worker; the kernel spreads them by the client's port."""
    found: dict[str, Connection] = {}
    spare: list[Connection] = []
    try:
        while len(found) < count:
            connection = caller.connect()
            answer = connection.exchange(caller.signed("HEAD", f"/{BUCKET}"))
            if who(answer) in found:
                spare.append(connection)
            else:
                found[who(answer)] = connection
        yield list(found.values())
    finally:
        for connection in [*found.values(), *spare]:
            connection.close()


@dataclass(frozen=True, slots=True)
class CallerOfOne(Caller):
    """Somebody whose every request goes to one worker, over one connection."""

    connection: Connection

    @classmethod
    def over(cls, caller: Caller, connection: Connection) -> Self:
        return cls(caller.host, caller.port, caller.signer, connection)

    def ask(self, request: Request, *, timeout_s: float = 15.0) -> Answer:
        self.connection.socket.settimeout(timeout_s)
        return self.connection.exchange(request)
