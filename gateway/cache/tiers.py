"""Where blocks are kept and how they get there: memory, disk, and those that are on their way."""

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
from gateway.cache.memory import Held, MemoryTier
from gateway.cache.names import BLOCK

SMALL: Final = 128 << 10
"""Bytes of the largest block that is in memory where there is a disk for the others: above it, sendfile is cheaper."""


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
        **times: float,
    ) -> None:
        """Without `path` there is no disk tier. `times` go to Flights."""
        self.board = board
        self.disk = None if path is None else DiskTier(path, max_bytes, board, start)
        self.memory = MemoryTier(memory_bytes, BLOCK if path is None else SMALL)
        self.flights = Flights(self, budget, start, board, now_s, **times)
        self._generation = board.generation

    async def start(self, *, survey: bool = True) -> None:
        if self.disk is not None:
            await self.disk.start(survey=survey)

    async def close(self) -> None:
        if self.disk is not None:
            await self.disk.close()
        self.memory.clear()

    def at_hand(self, name: bytes, within: int, size: int) -> Held | None:
        """`size` bytes of a block that are in memory, here or in the page cache."""
        held = self._remembered(name)
        if held is not None:
            data = held.data
            return held if size == len(data) else Held(data[within : within + size], held.fetched_s)
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
            self._remember(name, Held(bytes(found), file.fetched_s))
        return Held(found, file.fetched_s)

    async def find(self, name: bytes) -> Held | OpenBlock | Flight | None:
        """A block, wherever it is by now; an open one is to be given back by `release`."""
        held = self._remembered(name)
        if held is not None:
            return held
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
        board, generation = self.board, flight.generation
        if board.generation != generation:
            return
        if flight.size <= self.memory.largest:
            pieces = flight.pieces
            self._remember(name, Held(pieces[0] if len(pieces) == 1 else b"".join(pieces), flight.fetched_s))
        if self.disk is not None and not self.disk.knows(name):
            label = label_of(source.body.bucket, source.body.key)
            await self.disk.keep(name, label, flight.pieces, flight.fetched_s, lambda: board.generation == generation)

    async def find_elsewhere(self, name: bytes) -> Held | None:
        if self.disk is None or not self.disk.may_have(name):
            return None
        file = await self.disk.open(name)
        if file is None:
            return None
        try:
            data = await self.disk.read(file, 0, file.size)
            return Held(data, file.fetched_s) if file.is_untouched() else None
        except OSError:
            return None
        finally:
            self.disk.release(file)

    def claim(self, name: bytes) -> bool:
        return self.disk is None or self.disk.claim(name)

    def unclaim(self, name: bytes) -> None:
        if self.disk is not None:
            self.disk.unclaim(name)

    def _remember(self, name: bytes, held: Held) -> None:
        self.board.counts[EVICTIONS] += self.memory.put(name, held)

    def _remembered(self, name: bytes) -> Held | None:
        """A block in memory. Once somebody has purged something there is none, since memory cannot tell what it was."""
        generation = self.board.generation
        if generation != self._generation:
            self._generation = generation
            self.memory.clear()
            if self.disk is not None:
                self.disk.look_anew()
        return self.memory.get(name)
