"""A few threads for work that may wait for the disk or keep the loop busy, at a third of an executor's price.

`concurrent.futures` makes a future with a lock and a condition of its own for each call and couples it to the loop's;
here a call is one object in a queue and one wake-up of the loop.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Call:
    """One call: what to do, who waits for its result, and whether it has ended."""

    __slots__ = ("args", "done", "ended", "future", "loop", "work")

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.loop = loop
        self.work = work
        self.args = args
        self.future: asyncio.Future[Any] = loop.create_future()
        self.ended: asyncio.Future[None] | None = None
        self.done = False

    def settle(self, result: Any, error: BaseException | None) -> None:
        """In the loop: hand over what the thread has got."""
        self.done = True
        if self.ended is not None:
            self.ended.set_result(None)
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    async def end(self) -> None:
        """Wait for the thread however often the waiter is cancelled meanwhile."""
        while not self.done:
            self.ended = self.ended or self.loop.create_future()
            try:
                await asyncio.shield(self.ended)
            except asyncio.CancelledError:
                continue


class Threads:
    """`count` threads, started at the first call."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, work: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        """Call `work` in a thread. It always runs to its end, and nobody goes on before, not even when cancelled."""
        call = self._start(work, args)
        try:
            result: T = await call.future
        except asyncio.CancelledError:
            await call.end()
            raise
        return result

    def launch(self, work: Callable[..., object], *args: object) -> None:
        """Call `work` in a thread; nobody waits for it, and its failure is nobody's."""
        self._start(work, args).future.cancel()

    async def close(self) -> None:
        """Finish what is queued and end the threads."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._calls.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    def _start(self, work: Callable[..., Any], args: tuple[Any, ...]) -> _Call:
        if not self._threads:
            for number in range(self._count):
                thread = threading.Thread(target=self._serve, name=f"{self._name}-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()
        call = _Call(asyncio.get_running_loop(), work, args)
        self._calls.put(call)
        return call

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                result, error = call.work(*call.args), None
            except BaseException as raised:  # noqa: BLE001  (whoever waits for it decides)
                result, error = None, raised
            try:
                call.loop.call_soon_threadsafe(call.settle, result, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del call, result, error
