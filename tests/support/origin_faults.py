"""What a scripted origin may be told to do wrong: small values, each of which changes the plan of one exchange.

An exchange goes: head read, signature checked, body read, operation applied, answer written. A `Plan` says where it
departs from that. Several behaviours in one script lay their changes over each other, so Drip and Cut make a slow answer
that breaks off.

Where in an answer something happens: "head" (before its first byte), "mid-head", a number (after that many bytes of the
body, counted from its end when negative), "last" (one byte is missing) or "end" (all is sent).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from tests.support.s3_documents import Reply, error_document, error_reply

Where = Literal["head", "mid-head", "last", "end"] | int
Phase = Literal["head", "body", "applied"]
Applies = Literal["yes", "never", "late"]


@dataclass(frozen=True, slots=True)
class Stop:
    """An interruption of the answer: wait for the script's release, wait some seconds, or end the connection."""

    where: Where
    act: Literal["stall", "delay", "fin", "rst"]
    seconds: float = 0.0

    def offset(self, head: int, total: int) -> int:
        """After how many of the answer's bytes."""
        match self.where:
            case "head":
                return 0
            case "mid-head":
                return head // 2
            case "last":
                return max(0, total - 1)
            case "end":
                return total
            case number:
                return min(max(0, (head if number >= 0 else total) + number), total)


@dataclass(slots=True)
class Plan:
    """One exchange; this is the honest one."""

    hold: Phase | int | None = None
    """Where the request waits for the script's release; a number: after so many bytes of its body."""
    early: Reply | None = None
    """Answer this before the body is read, then close."""
    hang_up: Literal["fin", "rst"] | None = None
    """Close as soon as the head is read."""
    applies: Applies = "yes"
    instead: Reply | None = None
    """The answer, instead of the operation's own."""
    changes: list[Callable[[Reply], Reply]] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    pace: tuple[int, float] | None = None
    """Write so many bytes at a time, and pause so many seconds after each."""
    read_pace: tuple[int, float] | None = None
    length_off_by: int = 0
    chunked: int | None = None
    """Frame the body in chunks of this size."""
    last_chunk: bool = True
    extra: bytes = b""
    raw: bytes | None = None
    """Bytes to send in place of any HTTP."""
    close_after: bool = False


class Behaviour(Protocol):
    """One thing that goes wrong."""

    def shape(self, plan: Plan) -> None: ...


@dataclass(frozen=True, slots=True)
class Hold:
    """Go on only after release: in phase "head" nothing but the head is read, in "body" all is read and nothing applied,
    in "applied" the operation has taken effect and nothing is answered. A number: so many bytes of the body are read.
    """

    phase: Phase | int

    def shape(self, plan: Plan) -> None:
        plan.hold = self.phase


@dataclass(frozen=True, slots=True)
class Fail:
    """Apply nothing and answer an error."""

    status: int = 500
    code: str = "InternalError"
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def shape(self, plan: Plan) -> None:
        plan.applies = "never"
        reply = error_reply(self.status, self.code, self.message)
        plan.instead = replace(reply, headers=(*reply.headers, *self.headers.items()))


@dataclass(frozen=True, slots=True)
class Redirect:
    """Apply nothing and send the caller elsewhere."""

    location: str
    status: int = 307
    code: str = "TemporaryRedirect"

    def shape(self, plan: Plan) -> None:
        Fail(self.status, self.code, headers={"Location": self.location}).shape(plan)


@dataclass(frozen=True, slots=True)
class ErrorInside:
    """200 with an error document, as Complete and Copy may answer."""

    code: str = "InternalError"
    applied: bool = False

    def shape(self, plan: Plan) -> None:
        body = error_document(self.code, "We encountered an internal error. Please try again.", {})
        plan.applies = "yes" if self.applied else "never"
        plan.instead = Reply(200, (("Content-Type", "application/xml"),), body)


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """Apply nothing and answer when only the head has been read, then close."""

    status: int = 503
    code: str = "SlowDown"

    def shape(self, plan: Plan) -> None:
        plan.applies = "never"
        plan.early = error_reply(self.status, self.code)


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close when only the head has been read: what a client sees whose idle connection was closed as it sent."""

    reset: bool = False

    def shape(self, plan: Plan) -> None:
        plan.applies = "never"
        plan.hang_up = "rst" if self.reset else "fin"


@dataclass(frozen=True, slots=True)
class Delay:
    """Some seconds at one place of the answer."""

    seconds: float
    at: Where = "head"

    def shape(self, plan: Plan) -> None:
        plan.stops.append(Stop(self.at, "delay", self.seconds))


@dataclass(frozen=True, slots=True)
class Drip:
    """The answer in small pieces with pauses between them."""

    size: int = 1
    every_s: float = 0.01

    def shape(self, plan: Plan) -> None:
        plan.pace = self.size, self.every_s


@dataclass(frozen=True, slots=True)
class SlowRead:
    """The request's body is taken in small pieces with pauses between them."""

    size: int = 1024
    every_s: float = 0.01

    def shape(self, plan: Plan) -> None:
        plan.read_pace = self.size, self.every_s


@dataclass(frozen=True, slots=True)
class Stall:
    """The answer goes no further than here before release (or before the caller gives up). Not `applied`: the operation
    never takes effect, and the answer is a 503 in the end.
    """

    at: Where = "head"
    applied: bool = True

    def shape(self, plan: Plan) -> None:
        plan.stops.append(Stop(self.at, "stall"))
        if not self.applied:
            Fail(503, "ServiceUnavailable").shape(plan)


@dataclass(frozen=True, slots=True)
class Cut:
    """The operation is applied, its answer breaks off here, with FIN or with RST."""

    at: Where
    reset: bool = False

    def shape(self, plan: Plan) -> None:
        plan.stops.append(Stop(self.at, "rst" if self.reset else "fin"))


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The connection is reset when the request is read, before or after the operation took effect."""

    applied: bool
    reset: bool = True

    def shape(self, plan: Plan) -> None:
        plan.applies = "yes" if self.applied else "never"
        Cut("head", self.reset).shape(plan)


@dataclass(frozen=True, slots=True)
class ApplyLate:
    """The connection is reset when the request is read, and the operation takes effect after release."""

    def shape(self, plan: Plan) -> None:
        plan.applies = "late"


@dataclass(frozen=True, slots=True)
class CloseAfter:
    """A good answer, and then the connection is closed without a word of it."""

    def shape(self, plan: Plan) -> None:
        plan.close_after = True


@dataclass(frozen=True, slots=True)
class WrongETag:
    """The operation is applied; the answer has another ETag, in its header or its document."""

    etag: str = '"00000000000000000000000000000000"'

    def shape(self, plan: Plan) -> None:
        plan.changes.append(self._change)

    def _change(self, reply: Reply) -> Reply:
        if reply.header("etag") is not None:
            return reply.with_header("ETag", self.etag)
        inside = b"<ETag>%b</ETag>" % self.etag.encode()
        return replace(reply, body=re.sub(b"<ETag>[^<]*</ETag>", lambda _: inside, reply.body))


@dataclass(frozen=True, slots=True)
class WrongLength:
    """Content-Length is too large (the connection then ends early) or too small by this much."""

    by: int

    def shape(self, plan: Plan) -> None:
        plan.length_off_by = self.by
        if self.by > 0:
            plan.close_after = True


@dataclass(frozen=True, slots=True)
class ExtraBytes:
    """A good answer with more bytes after its end; the connection stays open."""

    data: bytes = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nETag: "0"\r\n\r\npoison'

    def shape(self, plan: Plan) -> None:
        plan.extra = self.data


@dataclass(frozen=True, slots=True)
class Garbage:
    """Apply nothing, and answer what is no HTTP; then close."""

    data: bytes = b"\x16\x03\x01\x00 this is no HTTP\r\n\r\n"

    def shape(self, plan: Plan) -> None:
        plan.applies = "never"
        plan.raw = self.data
        plan.close_after = True


@dataclass(frozen=True, slots=True)
class Change:
    """The operation is applied; its answer has another status, other headers, or another body (of any length)."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    body: bytes | None = None

    def shape(self, plan: Plan) -> None:
        plan.changes.append(self._change)

    def _change(self, reply: Reply) -> Reply:
        for name in self.without:
            reply = reply.without_header(name)
        for name, value in self.headers.items():
            reply = reply.with_header(name, value)
        body = reply.body if self.body is None else self.body
        return replace(reply, status=reply.status if self.status is None else self.status, body=body)


@dataclass(frozen=True, slots=True)
class Chunked:
    """The answer is chunked, without a Content-Length; not `ended`: its last chunk is missing and the connection ends."""

    size: int = 1024
    ended: bool = True

    def shape(self, plan: Plan) -> None:
        plan.chunked, plan.last_chunk = self.size, self.ended
        if not self.ended:
            plan.close_after = True
