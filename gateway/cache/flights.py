"""Blocks on their way from the origin: each is fetched once, and everybody who wants it follows.

A *run* is one request to the origin, for blocks of a body that lie side by side. It announces the blocks that it will
fetch next, a *flight* each; readers take the bytes of a flight as they arrive, and push the run on. What was announced
is fetched even when nobody waits for it any more, and then the run ends. A flight holds its bytes until they are kept
and nobody reads them; all of them come out of one budget.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.budget import MemoryBudget
from gateway.cache.board import FAILURES, FILLS, FOLLOWERS, REQUESTS, Board
from gateway.cache.memory import Block
from gateway.cache.names import BLOCK, block_count, block_name, block_size
from gateway.origin.base import BodyReader, KeptAs, Origin
from gateway.origin.errors import OriginDown, OriginError

AHEAD: Final = 2
"""How many blocks are announced beyond the one that is read."""

_PIECE: Final = 512 << 10
_AT_ONCE: Final = 64 << 10
_POLL_S: Final = 0.02
_numbers = itertools.count(1)
_log = logging.getLogger("anbar.cache")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the blocks of a body come from; `etag` is the origin's own."""

    origin: Origin
    location: str
    etag: str | None
    body: KeptAs


class Keeper(Protocol):
    """What flights need of the tiers."""

    def has(self, name: bytes) -> bool:
        """Is a block kept?"""
        ...

    async def keep(self, source: Source, name: bytes, flight: "Flight") -> None:
        """Keep a block that has arrived, if it can be."""
        ...

    async def find_elsewhere(self, name: bytes) -> Block | None:
        """A block that another process has put on the common disk meanwhile."""
        ...

    def claim(self, name: bytes) -> bool: ...

    def unclaim(self, name: bytes) -> None: ...


class Flight:
    """One block, as far as it has arrived. `generation` is that of the board when it was announced."""

    __slots__ = ("_waiters", "block", "ended", "error", "generation", "run", "size", "users")

    def __init__(self, size: int, run: "Run", generation: int) -> None:
        self.size = size
        self.run = run
        self.generation = generation
        self.block = Block()
        self.users = 0
        self.ended = False
        self.error: OriginError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def whole(self) -> bool:
        return self.block.size == self.size

    def add(self, piece: bytes) -> None:
        self.block.add(piece)
        self._wake()

    def arrive(self, block: Block) -> None:
        """All of it is here at once."""
        self.block = block
        self._wake()

    def fail(self, error: OriginError) -> None:
        self.error = error
        self._wake()

    async def beyond(self, offset: int) -> None:
        """Wait until the byte at `offset` is here; raises OriginError where it will not come."""
        while self.block.size <= offset:
            if self.error is not None:
                raise self.error
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Flights:
    """All blocks that are on their way to this process."""

    def __init__(
        self,
        keeper: Keeper,
        budget: MemoryBudget,
        start: Callable[[Coroutine[Any, Any, None], str], object],
        board: Board,
        now_s: Callable[[], int],
        *,
        block_s: float = 120.0,
        turn_s: float = 10.0,
    ) -> None:
        """`start` keeps a task until it ends. `block_s`: within so many seconds a block must be here; `turn_s`: so long
        is waited for another process that fetches it.
        """
        self.keeper = keeper
        self.board = board
        self.now_s = now_s
        self.block_s = block_s
        self.turn_s = turn_s
        self._budget = budget
        self._start = start
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, name: bytes) -> Flight | None:
        return self._flights.get(name)

    def fetch(self, source: Source, first: int, last: int) -> Flight | None:
        """Begin to fetch the blocks `first` to `last`; gives the first one. None: there is no memory for it."""
        run = Run(self, source, first, last)
        run.announce(first)
        flight = self._flights.get(block_name(source.body.name, first))
        if flight is not None:
            run.announce(first + AHEAD)
            self._start(run.go(), "cache fill")
        return flight

    def announce(self, name: bytes, size: int, run: "Run") -> Flight | None:
        """None: there is no memory for it."""
        if not self._budget.take(size):
            return None
        flight = self._flights[name] = Flight(size, run, self.board.generation)
        return flight

    def follow(self, flight: Flight) -> None:
        """Somebody reads it; to be ended by `leave`."""
        flight.users += 1

    def leave(self, flight: Flight) -> None:
        flight.users -= 1
        if flight.ended and not flight.users:
            self._budget.give(flight.size)

    def end(self, name: bytes, flight: Flight) -> None:
        """It is kept, or has failed: nobody finds it here any more."""
        if self._flights.get(name) is flight:
            del self._flights[name]
        flight.ended = True
        if not flight.users:
            self._budget.give(flight.size)


class Run:
    """One request to the origin. `readers` are those who will want its next blocks, too."""

    def __init__(self, flights: Flights, source: Source, first: int, last: int) -> None:
        self._flights = flights
        self._source = source
        self._next = first
        self._last = min(last, block_count(source.body.size) - 1)
        self._waiting: dict[int, Flight] = {}
        self._announced = first - 1
        self._reader: BodyReader | None = None
        self._changed: asyncio.Future[None] | None = None
        self.number = next(_numbers)
        self.readers = 0
        self._followed = False

    def announce(self, index: int) -> None:
        """Fetch the blocks up to this one, as far as they are this run's and there is memory."""
        while self._announced < min(index, self._last):
            following = self._announced + 1
            name = block_name(self._source.body.name, following)
            if self._flights.get(name) is not None or self._flights.keeper.has(name):
                self._last = self._announced  # somebody else's
                break
            flight = self._flights.announce(name, block_size(self._source.body.size, following), self)
            if flight is None:
                break
            self._waiting[following] = flight
            self._announced = following
        self._wake()

    def reaches(self, index: int) -> bool:
        """Does its request go as far as this block?"""
        return index <= self._last

    def join(self) -> None:
        """Somebody reads its blocks one after the other; to be ended by `part`."""
        self.readers += 1
        if self._followed:
            self._flights.board.counts[FOLLOWERS] += 1
        self._followed = True

    def part(self) -> None:
        """A reader wants nothing more of it."""
        self.readers -= 1
        self._wake()

    async def go(self) -> None:
        """Fetch block after block, until there are no more or nobody wants them."""
        error = OriginError(f"{self._source.location}: the fetch was given up")
        try:
            while self._next <= self._last and await self._is_wanted():
                await self._fetch(self._next)
                self._next += 1
        except OriginError as failed:
            error = failed
        finally:
            self._close_reader()
            self._last = self._announced
            for index in list(self._waiting):
                self._flights.board.counts[FAILURES] += 1
                flight = self._waiting.pop(index)
                flight.fail(error)
                self._flights.end(block_name(self._source.body.name, index), flight)

    async def _is_wanted(self) -> bool:
        while self._next > self._announced:
            if not self.readers:
                return False
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
            if self._next > self._last:
                return False
        return True

    async def _fetch(self, index: int) -> None:
        name, flight = block_name(self._source.body.name, index), self._waiting[index]
        claimed = False
        try:
            async with asyncio.timeout(self._flights.block_s):
                claimed = self._flights.keeper.claim(name) or await self._take_turn(name, flight)
                if claimed:
                    await self._look_elsewhere(name, flight)
                if not flight.whole:
                    await self._receive(index, flight)
            if index == self._last:
                self._close_reader()  # its connection serves others while this block is kept
            await self._flights.keeper.keep(self._source, name, flight)
        except TimeoutError as error:
            raise OriginDown(f"{self._source.location}: a block took too long") from error
        finally:
            if claimed:
                self._flights.keeper.unclaim(name)
        del self._waiting[index]
        self._flights.end(name, flight)

    async def _take_turn(self, name: bytes, flight: Flight) -> bool:
        """Another process fetches it: wait for its block, or for its end. True: it is claimed for this one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._flights.turn_s
        while loop.time() < deadline:
            await asyncio.sleep(_POLL_S)
            claimed = self._flights.keeper.claim(name)
            if not claimed:
                await self._look_elsewhere(name, flight)
            if claimed or flight.whole:
                return claimed
        return False

    async def _look_elsewhere(self, name: bytes, flight: Flight) -> None:
        """Another process may have put the block on the common disk a moment ago."""
        block = await self._flights.keeper.find_elsewhere(name)
        if block is not None and block.size == flight.size:
            flight.arrive(block)

    async def _receive(self, index: int, flight: Flight) -> None:
        start = index * BLOCK
        if self._reader is None:
            self._flights.board.counts[REQUESTS] += 1
            source = self._source
            end = min((self._last + 1) * BLOCK, source.body.size)
            self._reader = await source.origin.open(source.location, source.etag, start, end - start)
        block = flight.block
        block.fetched_s = self._flights.now_s()
        while block.size < flight.size:
            flight.add(await _read_piece(self._reader, start + block.size, flight.size - block.size))
        self._flights.board.counts[FILLS] += 1

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


async def _read_piece(reader: BodyReader, offset: int, left: int) -> bytes:
    """The next bytes as they come; few are waited for together, as nobody is woken for less."""
    data = await reader.read(offset, min(_PIECE, left))
    if left > _AT_ONCE or len(data) == left:
        return bytes(data)
    pieces = [data]
    while (missing := left - sum(map(len, pieces))) > 0:
        pieces.append(await reader.read(offset + left - missing, missing))
    return b"".join(pieces)
