"""Which request gets which fault, and the gates at which requests wait for the test.

The oldest script that fits a request and is not used up takes it; barriers are scripts of their own, the oldest that
fits of each phase, so that a request can be held and then fail.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.origin_faults import Behaviour, Phase, Plan
from tests.support.origin_journal import Entry

PATIENCE_S = 10.0


class NotReached(AssertionError):
    """A request that the test waited for did not come this far."""


class Gate:
    """Where requests wait, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = deque()

    def ticket(self) -> asyncio.Event:
        """Set when the one who took it may go on. For coroutines of the calling loop."""
        ticket = asyncio.Event()
        with self._lock:
            if self._open:
                ticket.set()
            else:
                self._waiting.append((asyncio.get_running_loop(), ticket))
        return ticket

    def open(self) -> None:
        """Let all go on who wait, and who come later."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, deque()
        for loop, ticket in waiting:
            _set(loop, ticket)

    def open_for_one(self) -> None:
        with self._lock:
            if not self._waiting:
                raise NotReached("nobody waits at the gate")
            loop, ticket = self._waiting.popleft()
        _set(loop, ticket)


class Script:
    """A fault, or a barrier, for the requests that fit."""

    def __init__(
        self,
        behaviours: Sequence[Behaviour],
        *,
        operation: str | None = None,
        bucket: str | None = None,
        key: str | None = None,
        when: Callable[[Entry], bool] | None = None,
        times: int | None = 1,
    ) -> None:
        self.behaviours = tuple(behaviours)
        self.taken: list[Entry] = []
        """The requests that this script took."""
        self.reached: list[Entry] = []
        """Those of them that wait or waited where the script holds them, or, with nothing to wait for, have ended."""
        self.gate = Gate()
        self._operation, self._bucket, self._key, self._when = operation, bucket, key, when
        self._left = times
        self._changed = threading.Condition()

    def wait_reached(self, timeout_s: float = PATIENCE_S, *, count: int = 1) -> Entry:
        """The `count`-th request that came this far; raises NotReached if none has come within the deadline."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.reached) >= count, timeout_s):
                raise NotReached(f"{len(self.reached)} of {count} requests reached {self!r}")
            return self.reached[count - 1]

    async def reach(self, timeout_s: float = PATIENCE_S, *, count: int = 1) -> Entry:
        """`wait_reached` for asynchronous tests."""
        return await asyncio.to_thread(self.wait_reached, timeout_s, count=count)

    def release(self) -> None:
        """Let go on who waits here, and who comes later."""
        self.gate.open()

    def release_one(self) -> None:
        """Let the one go on who came first of those that wait; raises NotReached if nobody waits."""
        self.gate.open_for_one()

    def remove(self) -> None:
        """Take no more requests, and let go on who waits."""
        self._left = 0
        self.release()

    def fits(self, entry: Entry) -> bool:
        return (
            self._left != 0
            and self._operation in (None, entry.operation)
            and self._bucket in (None, entry.bucket)
            and self._key in (None, entry.key)
            and (self._when is None or self._when(entry))
        )

    def take(self, entry: Entry) -> None:
        if self._left is not None:
            self._left -= 1
        self.taken.append(entry)

    def mark(self, entry: Entry) -> None:
        """The request is where the test wanted it."""
        with self._changed:
            if entry not in self.reached:
                self.reached.append(entry)
                self._changed.notify_all()

    def __repr__(self) -> str:
        return f"Script({self._operation} {self._bucket}/{self._key}: {self.behaviours})"


@dataclass(slots=True)
class Course:
    """What is planned for one request: the plan of its script, and the barriers on its way."""

    plan: Plan = field(default_factory=Plan)
    script: Script | None = None
    barriers: dict[Phase | int, Script] = field(default_factory=dict)

    def holders(self, phase: Phase) -> list[Script]:
        held = [self.barriers[phase]] if phase in self.barriers else []
        return [*held, self.script] if self.script is not None and self.plan.hold == phase else held

    def holders_within(self, first: int, last: int) -> list[Script]:
        """Who holds the request when `last` bytes of its body have come, and did not at `first`."""
        return [script for at, script in self._holds_of_the_body() if first < at <= last]

    def next_holds(self, received: int) -> list[int]:
        """How many more bytes of the body come before each hold that is ahead."""
        return [at - received for at, _ in self._holds_of_the_body() if at > received]

    def _holds_of_the_body(self) -> list[tuple[int, Script]]:
        held = [(phase, script) for phase, script in self.barriers.items() if isinstance(phase, int)]
        if self.script is not None and isinstance(self.plan.hold, int):
            held.append((self.plan.hold, self.script))
        return held

    def end(self, entry: Entry) -> None:
        """The origin has done with the request; a barrier that it never came to stays unreached."""
        if self.script is not None:
            self.script.mark(entry)


class Scripts:
    """All that are armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Script] = []
        self._barriers: list[tuple[Phase | int, Script]] = []

    def arm(self, script: Script) -> Script:
        with self._lock:
            self._faults.append(script)
        return script

    def bar(self, phase: Phase | int, script: Script) -> Script:
        with self._lock:
            self._barriers.append((phase, script))
        return script

    def course_for(self, entry: Entry) -> Course:
        course = Course()
        with self._lock:
            for phase, barrier in self._barriers:
                if phase not in course.barriers and barrier.fits(entry):
                    barrier.take(entry)
                    course.barriers[phase] = barrier
            course.script = next((script for script in self._faults if script.fits(entry)), None)
            if course.script is not None:
                course.script.take(entry)
        for behaviour in course.script.behaviours if course.script else ():
            behaviour.shape(course.plan)
        return course

    def release(self) -> None:
        """Let all go on who wait anywhere; scripts stay armed, but hold nobody any more."""
        for script in self._all():
            script.release()

    def heal(self) -> None:
        """Forget all scripts and barriers, and let go on who waits."""
        for script in self._all():
            script.remove()
        with self._lock:
            self._faults.clear()
            self._barriers.clear()

    def _all(self) -> list[Script]:
        with self._lock:
            return [*self._faults, *(script for _, script in self._barriers)]


def _set(loop: asyncio.AbstractEventLoop, ticket: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(ticket.set)
    except RuntimeError:  # the loop is closed, and nobody waits any more
        pass
