"""One at a time for each key, in this process and in all that share a store, without keeping a lock for keys unused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.1


class SharedLocks(Protocol):
    """Locks that other processes respect; all tasks of one process hold them together."""

    def try_lock(self, name: str) -> bool: ...

    def unlock(self, name: str) -> None: ...


class KeyedLocks:
    """A lock for each text. `shared`: what keeps other processes out; None: there are none."""

    def __init__(self, shared: SharedLocks | None = None) -> None:
        self._shared = shared
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                await self._keep_others_out(key)
                try:
                    yield
                finally:
                    if self._shared is not None:
                        self._shared.unlock(key)
        finally:
            _, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = lock, users - 1

    async def _keep_others_out(self, key: str) -> None:
        """Nobody tells when another process is done, so it is asked again and again, less and less often."""
        pause_s = _FIRST_PAUSE_S
        while self._shared is not None and not self._shared.try_lock(key):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
