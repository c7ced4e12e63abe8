"""Removing bodies that nothing refers to: what the store calls garbage.

Garbage is on record before anything is removed, so a removal that fails or is cut off is done again later; what a
body was charged is given back only once it is gone.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from gateway.errors import S3Error
from gateway.objects.background import Background
from gateway.origin.base import Origin
from gateway.origin.errors import OriginError
from gateway.store.catalog import Catalog
from gateway.store.records import Garbage

_log = logging.getLogger("anbar.collector")
_BATCH = 256
_AT_ONCE = 16


class Collector:
    """Removes garbage: at once where somebody waits for it, in batches otherwise."""

    def __init__(
        self, catalog: Catalog, origins: Mapping[str, Origin], background: Background, now_s: Callable[[], int]
    ) -> None:
        self._catalog = catalog
        self._origins = origins
        self._background = background
        self._now_s = now_s
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting: list[Garbage] = []
        self._running = False

    def notice(self, garbage: Garbage | None) -> None:
        """Remove it soon."""
        if garbage is None:
            return
        self._waiting.append(garbage)
        if not self._running:
            self._running = True
            self._background.launch(self._collect_waiting(), "collector")

    def notice_all(self) -> None:
        """Remove soon whatever is on record."""
        self._background.launch(self._collect_recorded(), "collector")

    async def collect(self, garbage: Sequence[Garbage]) -> int:
        """Remove these bodies now; gives how many are gone. Those that could not be removed stay on record.

        So do those that a write whose end is not known may still bring back: they are removed again later.
        """
        removed = await asyncio.gather(*[self._remove_in_turn(item) for item in garbage])
        now_s = self._now_s()
        gone = [item for item, done in zip(garbage, removed, strict=True) if done and item.until_s <= now_s]
        if gone:
            await self._catalog.forget_garbage(gone)
        return len(gone)

    async def collect_all(self) -> None:
        """Remove everything that is on record and can be removed."""
        last: Garbage | None = None
        while garbage := await self._catalog.list_garbage(_BATCH, last):
            await self.collect(garbage)
            last = garbage[-1]

    async def _collect_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                try:
                    await self.collect(batch)
                except S3Error as error:  # the store is busy: it is on record, and the sweeper comes again
                    _log.warning("garbage is left for later: %s", error)
        finally:
            self._running = False

    async def _collect_recorded(self) -> None:
        try:
            await self.collect_all()
        except S3Error as error:
            _log.warning("garbage is left for later: %s", error)

    async def _remove_in_turn(self, garbage: Garbage) -> bool:
        async with self._turns:
            return await self._remove(garbage)

    async def _remove(self, garbage: Garbage) -> bool:
        origin = self._origins.get(garbage.origin)
        if origin is None:
            _log.error("no origin %s: a body stays where it is", garbage.origin)
            return False
        try:
            await origin.delete(garbage.location, garbage.write_id, lost=garbage.until_s > 0)
        except OriginError as error:
            _log.error("a body could not be removed, it is tried again later: %s", error)
            return False
        return True
