"""A few threads for work that may wait for the disk or keep the loop busy, at a third of an executor's price.

`concurrent.futures` makes a future with a lock and a condition of its own for each call and couples it to the loop's;
here a call is a tuple in a queue and one wake-up of the loop.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Threads:
    """`count` threads, started at the first call."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, work: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        """Call `work` in a thread. It always runs to its end, and nobody goes on before, not even when cancelled."""
        if not self._threads:
            self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, future, work, args))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _ended(future)
            raise

    def launch(self, work: Callable[..., object], *args: object) -> None:
        """Call `work` in a thread; nobody waits for it, and its failure is nobody's."""
        if not self._threads:
            self._start()
        self._jobs.put((asyncio.get_running_loop(), asyncio.get_running_loop().create_future(), work, args))

    async def close(self) -> None:
        """Finish what is queued and end the threads."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    def _start(self) -> None:
        for number in range(self._count):
            thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, work, args = job
            try:
                result, error = work(*args), None
            except BaseException as raised:  # noqa: BLE001  (whoever waits for it decides)
                result, error = None, raised
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del job, future, work, args, result, error


async def _ended(future: "asyncio.Future[Any]") -> None:
    """Wait for a thread's work however often the waiter is cancelled meanwhile."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()  # seen: the cancellation is what counts


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
