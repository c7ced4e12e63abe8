"""How late the event loop is, since whatever keeps it busy keeps every client waiting; and how many tasks it has."""

import asyncio
import os
import time

from gateway.metrics import LAG_BOUNDS, LOOP_LAG, SEVERAL_PROCESSES, TASKS, Observations, Tally, tell_all

EVERY_S = 0.25


class LoopLag(Tally):
    """Looks four times a second how late a timer of the loop fires.

    Where another process may be the one that answers a scrape, it also tells what this one has counted.
    """

    __slots__ = ("_lag", "_loop", "_tells", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._lag = Observations(LAG_BOUNDS)
        self._loop = loop
        self._tells = SEVERAL_PROCESSES in os.environ
        self._timer = loop.call_later(EVERY_S, self.fire, time.monotonic() + EVERY_S)

    def fire(self, due_s: float) -> None:
        """The timer that should fire at `due_s` (by time.monotonic) does so now."""
        now_s = time.monotonic()
        self._lag.note(max(now_s - due_s, 0.0))
        self._timer = self._loop.call_later(EVERY_S, self.fire, now_s + EVERY_S)
        if self._tells:
            tell_all()

    def stop(self) -> None:
        self._timer.cancel()
        self.end()

    def tell(self) -> None:
        self._lag.tell(LOOP_LAG)
        TASKS.set(len(asyncio.all_tasks(self._loop)))
