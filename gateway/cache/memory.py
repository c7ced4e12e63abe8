"""The hot tier: whole blocks in the memory of one worker."""

from typing import NamedTuple

from gateway.cache.admission import Admission

_OVERHEAD = 400
"""Bytes that an entry takes beside its block: three dictionary entries, the name, the objects."""


class Held(NamedTuple):
    """A block in memory, and when it came from the origin (epoch seconds)."""

    data: bytes
    fetched_s: int


class MemoryTier:
    """Blocks by their names, at most `max_bytes` in all; only those of at most `largest` bytes are kept."""

    def __init__(self, max_bytes: int, largest: int) -> None:
        self._admission = Admission(max_bytes)
        self._blocks: dict[bytes, Held] = {}
        self.largest = min(largest, max_bytes - _OVERHEAD)

    def __contains__(self, name: bytes) -> bool:
        return name in self._blocks

    @property
    def size(self) -> int:
        """Bytes that are taken, with all that goes along."""
        return self._admission.size

    def get(self, name: bytes) -> Held | None:
        held = self._blocks.get(name)
        if held is not None:
            self._admission.touch(name)
        return held

    def put(self, name: bytes, held: Held) -> int:
        """Keep a block, if it is small enough; gives how many others went for it."""
        if len(held.data) > self.largest:
            return 0
        evicted = self._admission.add(name, len(held.data) + _OVERHEAD)
        if evicted is None:
            return 0
        for each in evicted:
            del self._blocks[each]
        self._blocks[name] = held
        return len(evicted)

    def discard(self, name: bytes) -> None:
        if self._blocks.pop(name, None) is not None:
            self._admission.discard(name)

    def clear(self) -> None:
        self._blocks.clear()
        self._admission.clear()
