"""A request and what became of it: what is counted and logged of it once it is over."""

from time import perf_counter
from typing import Final

from gateway.errors import S3Error
from gateway.s3.operations import PREFLIGHT
from gateway.web.answers import Answer
from gateway.web.call import Call
from gateway.web.connection import Request

UNKNOWN: Final = "unknown"
"""The operation of a request that was refused before it was looked up, or that is none."""

CLIENT_GONE: Final = 499
"""The status that is noted where the client was gone before there was an answer, as nginx does."""


class Exchange:
    """One request on its way. Times are of perf_counter; `head_s` is 0 until the head of the answer is written.

    `is_whole`: the answer was sent to its end.
    """

    __slots__ = ("answer", "began_s", "call", "error", "head_s", "is_whole", "request", "request_id")

    def __init__(self, request: Request, request_id: str) -> None:
        self.request = request
        self.request_id = request_id
        self.began_s = perf_counter()
        self.head_s = 0.0
        self.call: Call | None = None
        self.answer: Answer | None = None
        self.error: S3Error | None = None
        self.is_whole = False

    @property
    def operation(self) -> str:
        """One of the operations table, or UNKNOWN."""
        call = self.call
        if call is None or (call.operation is PREFLIGHT and self.request.method != "OPTIONS"):
            return UNKNOWN
        return call.operation.name

    @property
    def status(self) -> int:
        return self.answer.status if self.answer is not None else CLIENT_GONE

    @property
    def sent(self) -> int:
        """Bytes of the answer's body that were sent."""
        return self.answer.sent if self.answer is not None else 0
