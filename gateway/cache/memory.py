"""The hot tier: whole blocks in the memory of one worker."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from gateway.cache.admission import Admission

_OVERHEAD: Final = 500
"""Bytes that an entry takes beside its block: three dictionary entries, the name, the objects."""

_LARGEST_SHARE: Final = 4


class Block:
    """The bytes of a block in the pieces in which they came: joining them would cost as much as sending them.

    `fetched_s`: when it came from the origin (epoch seconds). `label`: whose it is; `pending`: it is not on disk yet,
    and the run `fetched_by` has brought it.
    """

    __slots__ = ("_ends", "fetched_by", "fetched_s", "label", "pending", "pieces", "size")

    def __init__(self, *pieces: bytes, fetched_s: int = 0, label: bytes = b"") -> None:
        self.pieces: list[bytes] = []
        self._ends: list[int] = []
        self.size = 0
        self.fetched_s = fetched_s
        self.label = label
        self.pending = False
        self.fetched_by = 0
        for piece in pieces:
            self.add(piece)

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.size += len(piece)
        self._ends.append(self.size)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`, of one piece."""
        index = bisect_right(self._ends, offset)
        piece = self.pieces[index]
        start = offset - (self._ends[index] - len(piece))
        return piece if not start and len(piece) <= size else piece[start : start + size]

    def read_all(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; they are copied where they are of several pieces."""
        data = self.read(offset, size)
        while len(data) < size:
            data += self.read(offset + len(data), size - len(data))
        return data


class MemoryTier:
    """Blocks by their names, at most `max_bytes` in all, none of which takes more than a quarter of that."""

    def __init__(self, max_bytes: int, largest: int) -> None:
        self._admission = Admission(max_bytes)
        self._blocks: dict[bytes, Block] = {}
        self.largest = min(largest, max_bytes // _LARGEST_SHARE)

    def __contains__(self, name: bytes) -> bool:
        return name in self._blocks

    @property
    def size(self) -> int:
        """Bytes that are taken, with all that goes along."""
        return self._admission.size

    def get(self, name: bytes) -> Block | None:
        block = self._blocks.get(name)
        if block is not None:
            self._admission.touch(name)
        return block

    def put(self, name: bytes, block: Block) -> list[tuple[bytes, Block]]:
        """Keep a block, if it is small enough; gives the others that went for it."""
        if block.size > self.largest:
            return []
        evicted = self._admission.add(name, block.size + _OVERHEAD)
        if evicted is None:
            return []
        gone = [(each, self._blocks.pop(each)) for each in evicted]
        self._blocks[name] = block
        return gone

    def pending(self) -> Iterator[tuple[bytes, Block]]:
        """What is not on disk yet, as it is now."""
        return iter([(name, block) for name, block in self._blocks.items() if block.pending])

    def discard(self, name: bytes) -> None:
        if self._blocks.pop(name, None) is not None:
            self._admission.discard(name)

    def clear(self) -> None:
        self._blocks.clear()
        self._admission.clear()
