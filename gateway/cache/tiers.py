"""Where blocks are kept and how they get there: memory, disk, and those that are on their way.

A block that was fetched is in memory first, and is put on disk when it is asked for again, as the authors of S3-FIFO do
with flash: most of what is read is read once, and a file costs several times what forwarding its bytes does. It is
written at once where others look for it there, and where it was asked for not long ago; and in the end, so that a
restart loses nothing.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.budget import MemoryBudget
from gateway.cache.block_file import label_of
from gateway.cache.blocks import OpenBlock
from gateway.cache.board import EVICTIONS, HIT_BYTES, HITS, MISS_BYTES, MISSES, PARTIALS, PASSED, Board
from gateway.cache.disk import DiskTier, Start, read_now
from gateway.cache.flights import Flight, Flights, Source
from gateway.cache.memory import Block, MemoryTier
from gateway.cache.names import BLOCK, block_count, block_name
from gateway.cache.tally import CacheTally
from gateway.origin.base import KeptAs

SMALL: Final = 128 << 10
"""Bytes of the largest block that stays in memory once it is on disk: above it, sendfile is cheaper."""

_DROPPED: Final = 4096
_LAST_WRITES_S: Final = 5.0
_log = logging.getLogger("anbar.cache")


class Tiers:
    """The tiers of one worker, for all origins. `budget` bounds what is on its way."""

    def __init__(
        self,
        board: Board,
        budget: MemoryBudget,
        start: Start,
        now_s: Callable[[], int],
        *,
        memory_bytes: int,
        path: Path | None = None,
        max_bytes: int = 0,
        write_through: bool = False,
        **times: float,
    ) -> None:
        """Without `path` there is no disk tier.

        `write_through`: everything is put there at once. `times` go to Flights.
        """
        self.board = board
        self.disk = None if path is None else DiskTier(path, max_bytes, board, start)
        self.memory = MemoryTier(memory_bytes, BLOCK)
        self.flights = Flights(self, budget, start, board, now_s, **times)
        self._tally = CacheTally(board, self.memory, self.disk)
        self._start = start
        self._write_through = write_through
        self._claimed: set[bytes] = set()
        self._generation = board.generation

    async def start(self, *, survey: bool = True) -> None:
        if self.disk is not None:
            await self.disk.start(survey=survey)

    async def close(self) -> None:
        if self.disk is not None:
            try:
                async with asyncio.timeout(_LAST_WRITES_S):
                    for name, block in self.memory.pending():
                        await self._write(name, block)
            except TimeoutError:
                _log.info("not everything was put on the cache's disk in time")
            await self.disk.close()
        self.memory.clear()
        self._tally.end()

    def at_hand(self, name: bytes, within: int, size: int) -> tuple[bytes, int] | None:
        """`size` bytes of a block that are in memory, here or in the page cache, and when they were fetched."""
        block = self._remembered(name)
        if block is not None:
            if size > SMALL and len(block.pieces) > 1:
                return None
            return block.read_all(within, size), block.fetched_s
        if self.disk is None or size > SMALL:
            return None
        file = self.disk.at_hand(name)
        if file is None:
            return None
        try:
            found = read_now(file, within, size)
            if found is None or len(found) != size or not file.is_untouched():
                return None
        finally:
            self.disk.release(file)
        if size == file.size:
            self._remember(name, Block(bytes(found), fetched_s=file.fetched_s))
        return found, file.fetched_s

    async def find(self, name: bytes, run: int = 0) -> Block | OpenBlock | Flight | None:
        """A block, wherever it is by now; an open one is to be given back by `release`.

        Whoever follows the run that has fetched it, by its number, does not ask for it again.
        """
        block = self._remembered(name, run)
        if block is not None:
            return block
        file = self.disk.at_hand(name) if self.disk is not None else None
        if file is not None:
            return file
        flight = self.flights.get(name)
        if flight is not None or self.disk is None or not self.disk.may_have(name):
            return flight
        return await self.disk.open(name) or self.flights.get(name)

    def is_kept(self, name: bytes) -> bool:
        """Is a block in a tier, as far as is known without looking?"""
        return name in self.memory or (self.disk is not None and self.disk.knows(name))

    async def look(self, name: bytes) -> bool:
        """Is a block on disk that this process has not heard of?"""
        if self.disk is None or not self.disk.may_have(name) or self.flights.get(name) is not None:
            return False
        file = await self.disk.open(name)
        if file is not None:
            self.disk.release(file)
        return file is not None

    def release(self, file: OpenBlock) -> None:
        if self.disk is not None:
            self.disk.release(file)

    def forget(self, name: bytes) -> None:
        if self.disk is not None:
            self.disk.forget(name)

    async def read(self, file: OpenBlock, offset: int, size: int) -> bytes:
        if self.disk is None:
            return os.pread(file.fd, size, offset)
        return await self.disk.read(file, offset, size)

    def let_go(self) -> None:
        """Give back what is still held of blocks that other processes have removed."""
        if self.disk is not None:
            self.disk.let_go()

    def drop(self, body: KeptAs) -> None:
        """A body is gone: so are its blocks, in the end; those of a huge one make room by themselves."""
        names = [block_name(body.name, index) for index in range(min(block_count(body.size), _DROPPED))]
        for name in names:
            self.memory.discard(name)
        if self.disk is not None:
            on_disk = [name for name in names if self.disk.knows(name)]
            if on_disk:
                self._start(self.disk.discard(on_disk), "cache drop")

    def hit(self, size: int) -> None:
        counts = self.board.counts
        counts[HITS] += 1
        counts[HIT_BYTES] += size

    def missed(self, kept: int, fetched: int) -> None:
        """A request for so many bytes that were kept, and so many that were not."""
        counts = self.board.counts
        counts[PARTIALS if kept else MISSES] += 1
        counts[HIT_BYTES] += kept
        counts[MISS_BYTES] += fetched

    def passed(self) -> None:
        self.board.counts[PASSED] += 1

    # For flights.

    def has(self, name: bytes) -> bool:
        return self.is_kept(name)

    async def keep(self, source: Source, name: bytes, flight: Flight) -> None:
        block = flight.block
        if self.board.generation != flight.generation:
            return
        block.label = label_of(source.body.bucket, source.body.key)
        if self.disk is None or not self._is_due(name, block):
            if self.disk is not None:
                block.pending, block.fetched_by = True, flight.run.number
            self._remember(name, block)
            return
        if block.size <= SMALL:
            self._remember(name, block)
        if not self.disk.knows(name):
            await self._write(name, block, flight.generation)

    async def find_elsewhere(self, name: bytes) -> Block | None:
        if self.disk is None or not self.disk.may_have(name):
            return None
        file = await self.disk.open(name)
        if file is None:
            return None
        try:
            data = await self.disk.read(file, 0, file.size)
            return Block(data, fetched_s=file.fetched_s) if file.is_untouched() else None
        except OSError:
            return None
        finally:
            self.disk.release(file)

    def claim(self, name: bytes) -> bool:
        if self.disk is None or not self._is_shared:
            return True
        if not self.disk.claim(name):
            return False
        self._claimed.add(name)
        return True

    def unclaim(self, name: bytes) -> None:
        if self.disk is not None and name in self._claimed:
            self._claimed.discard(name)
            self.disk.unclaim(name)

    @property
    def _is_shared(self) -> bool:
        """Do others look on disk for what this worker fetches?"""
        return self._write_through or self.board.is_shared

    def _is_due(self, name: bytes, block: Block) -> bool:
        """Must it be put on disk at once?"""
        if self._is_shared or block.size > self.memory.largest:
            return True
        return self.disk is not None and self.disk.remembers(name)

    def _remember(self, name: bytes, block: Block) -> None:
        if block.size <= SMALL and len(block.pieces) > 1:
            joined = Block(b"".join(block.pieces), fetched_s=block.fetched_s, label=block.label)
            joined.pending, joined.fetched_by, block = block.pending, block.fetched_by, joined
        gone = self.memory.put(name, block)
        self.board.counts[EVICTIONS] += len(gone)
        if self.disk is not None:
            for each, evicted in gone:
                if evicted.pending:
                    self.disk.remember(each, evicted.size)

    def _remembered(self, name: bytes, run: int = 0) -> Block | None:
        """A block in memory. Once somebody has purged something there is none, since memory cannot tell what it was."""
        generation = self.board.generation
        if generation != self._generation:
            self._generation = generation
            self.memory.clear()
            if self.disk is not None:
                self.disk.look_anew()
        block = self.memory.get(name)
        if block is not None and block.pending and block.fetched_by != run:
            block.pending = False
            self._start(self._write(name, block), "cache write")
        return block

    async def _write(self, name: bytes, block: Block, generation: int | None = None) -> None:
        """Put a block on disk, unless something is purged meanwhile."""
        board = self.board
        wanted = self._generation if generation is None else generation
        if self.disk is None or board.generation != wanted:
            return
        done = await self.disk.keep(
            name, block.label, block.pieces, block.fetched_s, lambda: board.generation == wanted
        )
        if done and block.size > SMALL:
            self.memory.discard(name)
