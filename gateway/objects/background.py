"""Tasks with a keeper: every one is referenced until it ends, its failure is logged, and close() waits for all."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_CUTS, _CUT_S = 3, 1.0
T = TypeVar("T")
_log = logging.getLogger("anbar.background")


class Background:
    """Starts tasks that outlive the request that asked for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` on its own; whatever it raises is logged."""
        task = self._keep(work, name)
        task.add_done_callback(_log_failure)
        return task

    def launch(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """The same, where nobody waits for it."""
        self.start(work, name)  # type: ignore[unused-awaitable]

    async def finish(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Run `work` and wait for it; the waiter's cancellation does not reach it."""
        task = self._keep(work, name)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)  # nobody else will see it
            raise

    async def close(self, timeout_s: float) -> None:
        """Wait for all tasks, and those they start; what does not end in time is cancelled.

        So is what a task does about its own cancellation, after another second: an origin may never answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self._tasks and loop.time() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - loop.time())
        for _ in range(_CUTS):
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_CUT_S)

    def _keep(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background task %s failed", task.get_name(), exc_info=error)
