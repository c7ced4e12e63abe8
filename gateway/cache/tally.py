"""What the cache counts, as metrics: its own numbers, looked at when somebody asks."""

from gateway.cache.board import (
    DAMAGED,
    ERRORS,
    EVICTIONS,
    FAILURES,
    FILLS,
    FOLLOWERS,
    HIT_BYTES,
    HITS,
    MISS_BYTES,
    MISSES,
    PARTIALS,
    PASSED,
    REQUESTS,
    Board,
)
from gateway.cache.disk import DiskTier
from gateway.cache.memory import MemoryTier
from gateway.metrics import (
    CACHE_BYTES,
    CACHE_DAMAGED,
    CACHE_DISK_BYTES,
    CACHE_ERRORS,
    CACHE_EVICTIONS,
    CACHE_FAILURES,
    CACHE_FETCHES,
    CACHE_FILLS,
    CACHE_FOLLOWERS,
    CACHE_MEMORY_BYTES,
    CACHE_REQUESTS,
    Tally,
)


class CacheTally(Tally):
    """The numbers of this process's slot of the board, and what its tiers hold."""

    __slots__ = ("_board", "_disk", "_memory", "_told")

    def __init__(self, board: Board, memory: MemoryTier, disk: DiskTier | None) -> None:
        super().__init__()
        self._board = board
        self._memory = memory
        self._disk = disk
        self._told = list(board.counts)

    def tell(self) -> None:
        counts, told = list(self._board.counts), self._told
        self._told = counts
        for index, counter in _COUNTERS:
            growth = counts[index] - told[index]
            if growth > 0:
                counter.inc(growth)
        CACHE_MEMORY_BYTES.set(self._memory.size)
        CACHE_DISK_BYTES.set(self._disk.size if self._disk is not None else 0)


_COUNTERS = (
    (HITS, CACHE_REQUESTS.labels("hit")),
    (PARTIALS, CACHE_REQUESTS.labels("partial")),
    (MISSES, CACHE_REQUESTS.labels("miss")),
    (PASSED, CACHE_REQUESTS.labels("passed")),
    (HIT_BYTES, CACHE_BYTES.labels("hit")),
    (MISS_BYTES, CACHE_BYTES.labels("miss")),
    (FOLLOWERS, CACHE_FOLLOWERS),
    (REQUESTS, CACHE_FETCHES),
    (FILLS, CACHE_FILLS),
    (FAILURES, CACHE_FAILURES),
    (EVICTIONS, CACHE_EVICTIONS),
    (DAMAGED, CACHE_DAMAGED),
    (ERRORS, CACHE_ERRORS),
)
