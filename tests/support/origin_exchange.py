"""One connection to a scripted origin, request after request: read, hold, check, apply, answer, and depart from that as
the request's script says.
"""

import asyncio
from dataclasses import dataclass, field

from tests.support.origin_faults import Phase
from tests.support.origin_journal import Entry, Journal
from tests.support.origin_scripts import Course, Script, Scripts
from tests.support.origin_signatures import KnownKey, breaches, verify_body, verify_signature
from tests.support.origin_wire import BadHead, Gone, Wire, body_length, render
from tests.support.raw_http import Headers
from tests.support.s3_calls import Call, http_date
from tests.support.s3_documents import Reply, error_reply, refusal_reply
from tests.support.s3_model import Clock, Refusal, S3Model
from tests.support.s3_operations import perform

WITH_BODY = frozenset(
    ["PutObject", "UploadPart", "PutObjectTagging", "CompleteMultipartUpload", "DeleteObjects", "Unknown"]
)
"""Operations without a Content-Length of which are refused when their method is PUT or POST."""


@dataclass(slots=True)
class Inside:
    """What the origin's connections share with each other and with the test."""

    model: S3Model
    clock: Clock
    region: str
    tls: bool
    keys: dict[str, KnownKey]
    also_allowed: frozenset[str] = frozenset()
    journal: Journal = field(default_factory=Journal)
    scripts: Scripts = field(default_factory=Scripts)
    stopping: bool = False


class Exchange:
    """One connection's requests."""

    def __init__(self, inside: Inside, wire: Wire, number: int) -> None:
        self.inside = inside
        self.wire = wire
        self.number = number
        self.idle = True
        """No request has begun since the last answer."""
        self.turn = 0
        self.entry: Entry | None = None

    async def serve(self) -> None:
        """Until either side ends the connection."""
        try:
            while await self._next():
                self.idle = True
            if self.wire.open:
                await self.wire.finish()
        except Gone:
            pass
        finally:
            await self.wire.close()

    async def _next(self) -> bool:
        """Read and answer one request; False when it is the connection's last."""
        try:
            request = await self.wire.head()
        except BadHead as bad:
            self.inside.journal.unexpected.append(f"connection {self.number}: {bad}")
            await self._answer_plainly(error_reply(400, "BadRequest"))
            return False
        if request is None:
            return False
        self.idle = False
        self.turn += 1
        entry = self.entry = self.inside.journal.begin(request, self.number, self.turn)
        for breach in breaches(request, tls=self.inside.tls, also_allowed=self.inside.also_allowed):
            self.inside.journal.breach(entry, breach)
        course = self.inside.scripts.course_for(entry)
        try:
            return await self._exchange(entry, course)
        finally:
            self.inside.journal.end(entry)
            course.end(entry)

    async def _exchange(self, entry: Entry, course: Course) -> bool:
        plan = course.plan
        await self._hold("head", entry, course)
        if plan.hang_up is not None:
            await (self.wire.reset() if plan.hang_up == "rst" else self.wire.finish())
            return False
        if plan.early is not None:
            await self._answer(entry, course, plan.early)
            return False
        try:
            length = body_length(entry.request, needed=entry.operation in WITH_BODY and entry.method in ("PUT", "POST"))
        except Refusal as refusal:
            await self._answer(entry, course, refusal_reply(refusal))
            return False
        body = await self._body(entry, course, length)
        entry.complete = True
        self.inside.journal.notify()
        await self._hold("body", entry, course)
        if plan.applies == "late":
            await self.wire.reset()
            await self._wait(course.script, entry)
        reply = plan.instead
        if plan.applies != "never":
            own = self._apply(entry, body)
            reply = reply or own
        await self._hold("applied", entry, course)
        if plan.applies == "late" or not await self._answer(entry, course, reply or Reply(200)):
            return False
        return not plan.close_after and (entry.header("connection") or "").lower() != "close"

    async def _body(self, entry: Entry, course: Course, length: int) -> bytes:
        """All of the body: one that ends early raises IncompleteReadError, and nothing is applied."""
        if (entry.header("expect") or "").lower() == "100-continue":
            await self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        size, pause_s = course.plan.read_pace or (length, 0.0)
        body = bytearray()
        while entry.received < length:
            limit = min([size, length - entry.received, *course.next_holds(entry.received)])
            body += await self.wire.piece(max(1, limit))
            before, entry.received = entry.received, len(body)
            self.inside.journal.notify()
            for script in course.holders_within(before, entry.received):
                await self._wait(script, entry)
            await self.wire.pause(pause_s)
        return bytes(body)

    def _apply(self, entry: Entry, body: bytes) -> Reply:
        """The operation, if the request may have it: at one moment, and in the journal's count of what took effect."""
        inside = self.inside
        try:
            verify_signature(entry.request, inside.keys, region=inside.region, now=inside.clock.now())
            verify_body(entry.request, body)
        except Refusal as refusal:
            return refusal_reply(refusal)
        with inside.model.lock:
            reply = perform(Call(inside.model, entry, body))
        if reply.status < 300:
            inside.journal.apply(entry)
        return reply

    async def _answer(self, entry: Entry, course: Course, reply: Reply) -> bool:
        """Write the answer; False when it broke off as planned."""
        for change in course.plan.changes:
            reply = change(reply)
        entry.code = reply.code
        answer, head_size = render(reply, self._base(entry), course.plan, head_only=entry.method == "HEAD")
        entry.status = reply.status if course.plan.raw is None else None
        self.inside.journal.notify()

        def stall() -> asyncio.Event:
            assert course.script is not None
            ticket = course.script.gate.ticket()
            course.script.mark(entry)
            return ticket

        entry.answered = await self.wire.send_answer(answer, head_size, course.plan, stall)
        return entry.answered

    async def _answer_plainly(self, reply: Reply) -> None:
        answer, _ = render(reply, (("Connection", "close"),), Course().plan, head_only=False)
        await self.wire.send(answer)

    async def _hold(self, phase: Phase, entry: Entry, course: Course) -> None:
        for script in course.holders(phase):
            await self._wait(script, entry)

    async def _wait(self, script: Script | None, entry: Entry) -> None:
        """Until the test lets the request go on; whether the caller is still there does not matter. When the origin is
        stopped the request comes to nothing: raises ConnectionAbortedError."""
        if script is not None:
            ticket = script.gate.ticket()
            script.mark(entry)
            await ticket.wait()
            if self.inside.stopping:
                raise ConnectionAbortedError

    def _base(self, entry: Entry) -> Headers:
        """What every answer of S3 has, and no client of the gateway should see."""
        return (
            ("Date", http_date(self.inside.clock.now())),
            ("Server", "ScriptedOrigin"),
            ("x-amz-request-id", f"SCRIPTED{entry.number:08d}"),
            ("x-amz-id-2", "scripted-host-id"),
        )
