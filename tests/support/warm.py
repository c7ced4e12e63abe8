"""A cache over a small origin in memory, as a worker has it: its tiers, its tasks, and the bodies behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.budget import MemoryBudget
from gateway.cache.board import COUNTED, Board
from gateway.cache.media import MediaCache
from gateway.cache.names import body_name
from gateway.cache.readers import BlockReader, HeldReader
from gateway.cache.tiers import Tiers
from gateway.objects.background import Background
from gateway.origin.base import BodyReader, KeptAs
from tests.support.house import Clock, read_to_the_end
from tests.support.memory_origin import MemoryOrigin

MEMORY = 4 << 20
DISK = 64 << 20
BUDGET = 32 << 20


class Worker:
    """One worker's cache. `put` is what a write and the catalog do: from then on `get` asks for the new body."""

    def __init__(self, tiers: Tiers, board: Board, background: Background, origin: MemoryOrigin, clock: Clock) -> None:
        self.tiers = tiers
        self.board = board
        self.background = background
        self.origin = origin
        self.clock = clock
        self.cache = MediaCache(origin, tiers)
        self.rows: dict[str, tuple[str, str | None, KeptAs]] = {}

    def put(self, key: str, data: bytes, write_id: str = "1") -> None:
        """The body lies under its own key, as that of whoever wrote last."""
        location = f"media/{key}"
        self.origin.put_behind(location, data)
        etag = self.origin._etag(location)
        name = body_name("media", key, f"{etag}", str(len(data)), write_id)
        self.rows[key] = location, etag, KeptAs(name, "media", key, len(data))

    async def open(self, key: str, offset: int = 0, size: int | None = None) -> BodyReader:
        location, etag, kept_as = self.rows[key]
        wanted = kept_as.size - offset if size is None else size
        return await self.cache.open(location, etag, offset, wanted, kept_as)

    async def get(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        return (await self.ask(key, offset, size))[1]

    async def ask(self, key: str, offset: int = 0, size: int | None = None) -> tuple[str, bytes]:
        """How much was kept, and the bytes."""
        wanted = self.rows[key][2].size - offset if size is None else size
        reader = await self.open(key, offset, wanted)
        try:
            assert isinstance(reader, BlockReader | HeldReader)
            return reader.state, await read_to_the_end(reader, offset, wanted, 512 << 10)
        finally:
            reader.close()

    @property
    def fetches(self) -> int:
        """How often the origin was asked for a body."""
        return self.origin.faults.seen.count("open")

    def counted(self, name: str) -> int:
        found: int = self.board.counts[COUNTED.index(name) + 1]
        return found

    async def rest(self) -> None:
        """Wait until nothing is fetched or kept any more."""
        while self.background._tasks:
            await asyncio.wait(self.background._tasks)


@asynccontextmanager
async def worker(
    origin: MemoryOrigin | None = None,
    path: Path | None = None,
    *,
    board: Board | None = None,
    budget: int = BUDGET,
    memory: int = MEMORY,
    disk: int = DISK,
    survey: bool = True,
    write_through: bool = True,
    **times: float,
) -> AsyncIterator[Worker]:
    """A worker's cache, in memory alone or with a directory."""
    origin = MemoryOrigin(own_keys=True) if origin is None else origin
    board = Board(None) if board is None else board
    background, clock = Background(), Clock()
    tiers = Tiers(
        board,
        MemoryBudget(budget),
        background.start,
        clock,
        memory_bytes=memory,
        path=path,
        max_bytes=disk,
        write_through=write_through,
        **times,
    )
    await tiers.start(survey=survey)
    found = Worker(tiers, board, background, origin, clock)
    try:
        yield found
        await background.close(10.0)
        assert len(tiers.flights) == 0
        assert tiers.flights._budget._left == budget
        assert origin.open_readers == 0
    finally:
        await background.close(10.0)
        await tiers.close()
