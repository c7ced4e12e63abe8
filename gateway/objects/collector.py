"""Removing bodies that nothing refers to: what the store calls garbage.

Garbage is on record before anything is removed, so a removal that fails or is cut off is done again later; what a
body was charged is given back only once it is gone.

From then on its place may have another body, so a place is in one hand at a time, and looked up in the record once it
is: whoever learned of it earlier may be late, and would remove the new one.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from gateway.errors import S3Error
from gateway.objects.background import Background
from gateway.objects.locks import SharedLocks
from gateway.origin.base import Begun, Origin
from gateway.origin.errors import OriginError, OutcomeUnknown
from gateway.store.catalog import Catalog
from gateway.store.records import Garbage

_log = logging.getLogger("anbar.collector")
_BATCH = 256
_AT_ONCE = 16
_Place = tuple[str, str]  # an origin and a location


class Collector:
    """Removes garbage: at once where somebody waits for it, in batches otherwise."""

    def __init__(
        self,
        catalog: Catalog,
        origins: Mapping[str, Origin],
        background: Background,
        now_s: Callable[[], int],
        shared: SharedLocks | None = None,
    ) -> None:
        self._catalog = catalog
        self._origins = origins
        self._background = background
        self._now_s = now_s
        self._shared = shared
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting: list[Garbage] = []
        self._running = False
        self._in_hand: dict[_Place, asyncio.Event] = {}
        self._looking = False
        self._look_again = False

    def notice(self, garbage: Garbage | None) -> None:
        """Remove it soon."""
        if garbage is None:
            return
        self._waiting.append(garbage)
        if not self._running:
            self._running = True
            self._background.launch(self._collect_waiting(), "collector")

    def notice_all(self, *, watched: bool = False) -> None:
        """Remove soon whatever is on record; `watched`: also what was removed and may come back."""
        if watched:
            self._background.launch(self._collect_recorded(watched=True), "collector")
        elif self._looking:
            self._look_again = True
        else:
            self._looking = True
            self._background.launch(self._look(), "collector")

    async def collect(self, garbage: Sequence[Garbage]) -> int:
        """Remove these bodies now; gives how many are gone. Those that could not be removed stay on record.

        So do those that a write whose end is not known may still bring back: they are removed again later. One body is
        waited for where it is in another hand, of several that one is passed over.
        """
        places = [(item.origin, item.location) for item in garbage]
        if len(places) == 1:
            await self._free(places[0])
        taken = [place for place in dict.fromkeys(places) if self._take(place)]
        try:
            return await self._collect(await self._catalog.find_garbage(taken)) if taken else 0
        finally:
            for place in taken:
                self._let_go(place)

    async def collect_all(self, *, watched: bool = True) -> None:
        """Remove everything that is on record and can be removed; unless `watched`, not what may only come back."""
        last: Garbage | None = None
        while page := await self._catalog.list_garbage(_BATCH, last):
            last = page[-1]
            if garbage := [item for item in page if watched or not item.until_s]:
                await self.collect(garbage)

    def _take(self, place: "_Place") -> bool:
        """Take a place in hand, unless it is in another one: a task's, or another process's."""
        if place in self._in_hand or (self._shared is not None and not self._shared.try_lock(_name(place))):
            return False
        self._in_hand[place] = asyncio.Event()
        return True

    def _let_go(self, place: "_Place") -> None:
        if self._shared is not None:
            self._shared.unlock(_name(place))
        self._in_hand.pop(place).set()

    async def _free(self, place: "_Place") -> None:
        while (event := self._in_hand.get(place)) is not None:
            await event.wait()

    async def _collect(self, garbage: Sequence[Garbage]) -> int:
        removed = await asyncio.gather(*[self._remove_in_turn(item) for item in garbage])
        now_s = self._now_s()
        gone = [item for item, done in zip(garbage, removed, strict=True) if done and item.until_s <= now_s]
        if gone:
            await self._catalog.forget_garbage(gone)
        return len(gone)

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

    async def _look(self) -> None:
        try:
            self._look_again = True
            while self._look_again:
                self._look_again = False
                await self._collect_recorded(watched=False)
        finally:
            self._looking = False

    async def _collect_recorded(self, *, watched: bool) -> None:
        try:
            await self.collect_all(watched=watched)
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
        body, begun = (garbage.location, garbage.write_id, garbage.origin_etag), _begun(garbage, origin.settle_s)
        try:
            try:
                await origin.delete(*body, begun=begun)
            except OutcomeUnknown as error:  # it may still be done later: nobody else gets the place until it cannot
                _log.error("nobody knows whether a body was removed, it is tried again: %s", error)
                await self._catalog.watch_garbage(garbage, self._now_s() + origin.settle_s)
                await origin.delete(*body, begun=begun)
                return False
        except OriginError as error:
            _log.error("a body could not be removed, it is tried again later: %s", error)
            return False
        except S3Error as error:  # the store is busy: the others are still waited for
            _log.warning("garbage is left for later: %s", error)
            return False
        return True


def _name(place: "_Place") -> str:
    return "\n".join(place)


def _begun(garbage: Garbage, settle_s: int) -> Begun | None:
    return Begun(garbage.begun_s, garbage.until_s or garbage.begun_s + settle_s) if garbage.begun_s else None
