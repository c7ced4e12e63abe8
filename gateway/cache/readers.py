"""Open bodies of which some or all is kept: block by block, from wherever each is."""

import logging
from typing import Final, Literal, NamedTuple

from gateway.cache.blocks import OpenBlock
from gateway.cache.flights import AHEAD, Flight, Run, Source
from gateway.cache.memory import Block
from gateway.cache.names import BLOCK, block_name, block_size
from gateway.cache.tiers import Tiers
from gateway.origin.base import BodyReader, FileRegion
from gateway.origin.errors import OriginError

State = Literal["hit", "miss", "partial"]
_TRIES: Final = 4
_log = logging.getLogger("anbar.cache")


class HeldReader(NamedTuple):
    """All the bytes that were asked for, at hand: `data`, of which the first is at `offset` of the body.

    They came from the origin at `fetched_s`, in seconds since the epoch.
    """

    data: bytes
    offset: int
    fetched_s: int
    state: State = "hit"

    @property
    def plain_file(self) -> str | None:
        return None

    async def read(self, offset: int, size: int) -> bytes:
        start = offset - self.offset
        return self.data if not start and size >= len(self.data) else self.data[start : start + size]

    async def region(self, offset: int, size: int) -> FileRegion | None:
        return None

    def close(self) -> None:
        pass


class BlockReader:
    """The bytes `offset` to `end` of a body. `state` is what was kept of them when it was opened.

    Once there is no memory for the next block, the rest is read past the cache.
    """

    def __init__(self, tiers: Tiers, source: Source, offset: int, end: int) -> None:
        self._tiers = tiers
        self._source = source
        self._offset = offset
        self._end = end
        self._index = -1
        self._held: Block | OpenBlock | Flight | None = None
        self._run: Run | None = None
        self._direct: BodyReader | None = None
        self.state: State = "hit"
        self.fetched_s: int | None = None

    @property
    def plain_file(self) -> str | None:
        return None

    async def begin(self) -> bool:
        """Hold the first block, or its first byte that is wanted; is it one that was kept?

        So what the origin says of it can still be answered.
        """
        index, within = divmod(self._offset, BLOCK)
        await self._take(index, self._offset)
        held = self._held
        if isinstance(held, Flight):
            await held.beyond(within)
        if held is None or isinstance(held, Flight):
            return False
        self.fetched_s = held.fetched_s
        return True

    async def ask(self, index: int) -> bool:
        """Hear of a later block as well, which is not kept, before anything is answered; no more need be asked then.

        Of one that comes with the first one's request nothing new is to be heard.
        """
        if self._direct is not None:
            return True
        if self._run is not None and self._run.reaches(index):
            return False
        name = block_name(self._source.body.name, index)
        flight = self._tiers.flights.get(name) or self._tiers.flights.fetch(self._source, index, self._last)
        if flight is not None:
            self._join(flight.run)
            self._tiers.flights.follow(flight)
            try:
                await flight.beyond(0)
            finally:
                self._tiers.flights.leave(flight)
        return True

    async def read(self, offset: int, size: int) -> bytes:
        index, within = divmod(offset, BLOCK)
        for _ in range(_TRIES):
            if self._direct is None:
                await self._take(index, offset)
            if self._direct is not None:
                return await self._direct.read(offset, size)
            held, wanted = self._held, min(size, block_size(self._source.body.size, index) - within)
            if isinstance(held, Block):
                return held.read(within, wanted)
            if isinstance(held, Flight):
                await held.beyond(within)
                return held.block.read(within, wanted)
            if isinstance(held, OpenBlock):
                data = await self._read_file(held, within, wanted)
                if data:
                    return data
            self._let_go()
        raise OriginError(f"{self._source.location}: its blocks are not to be had")

    async def region(self, offset: int, size: int) -> FileRegion | None:
        index, within = divmod(offset, BLOCK)
        if self._direct is not None:
            return None
        await self._take(index, offset)
        held = self._held
        if not isinstance(held, OpenBlock):
            return None
        if not held.is_untouched():
            self._drop(held)
            return None
        return FileRegion(held.fd, within, min(size, held.size - within))

    def close(self) -> None:
        self._let_go()
        self._leave_run()
        if self._direct is not None:
            self._direct.close()

    async def _read_file(self, held: OpenBlock, within: int, wanted: int) -> bytes:
        try:
            if held.is_untouched():
                data = await self._tiers.read(held, within, min(wanted, held.size - within))
                if data and held.is_untouched():
                    return data
        except OSError as error:
            _log.warning("a block of the cache cannot be read: %s", error)
        self._drop(held)
        return b""

    def _drop(self, held: OpenBlock) -> None:
        """Somebody has touched its file: it is looked at anew."""
        self._tiers.forget(block_name(self._source.body.name, self._index))
        self._let_go()

    async def _take(self, index: int, offset: int) -> None:
        """Hold the block, wherever it is; or go past the cache from `offset` on."""
        held = self._held
        if index == self._index and held is not None and not (isinstance(held, Flight) and held.ended):
            return
        name = block_name(self._source.body.name, index)
        found = await self._tiers.find(name, 0 if self._run is None else self._run.number)
        if found is None and isinstance(held, Flight) and index == self._index:
            return  # it was kept nowhere: whoever has it reads it to its end
        if found is None:
            found = self._fetch(name, index)
        self._let_go()
        if found is None:
            self._tiers.passed()
            self._leave_run()
            source = self._source
            self._direct = await source.origin.open(source.location, source.etag, offset, self._end - offset)
            return
        self._index, self._held = index, found
        if isinstance(found, Flight):
            self._tiers.flights.follow(found)
            self._join(found.run)
            found.run.announce(min(index + AHEAD, self._last))

    def _fetch(self, name: bytes, index: int) -> Flight | None:
        """The block's flight, of the run that comes to it next, or of a new one."""
        if self._run is not None:
            self._run.announce(index)
            flight = self._tiers.flights.get(name)
            if flight is not None:
                return flight
        return self._tiers.flights.fetch(self._source, index, self._last)

    @property
    def _last(self) -> int:
        return (self._end - 1) // BLOCK

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if isinstance(held, OpenBlock):
            self._tiers.release(held)
        elif isinstance(held, Flight):
            self._tiers.flights.leave(held)

    def _join(self, run: Run) -> None:
        if run is not self._run:
            self._leave_run()
            self._run = run
            run.join()

    def _leave_run(self) -> None:
        if self._run is not None:
            self._run.part()
            self._run = None
