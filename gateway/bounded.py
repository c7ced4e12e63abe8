"""A small map that forgets its oldest entries: the memory behind fast paths.

Nothing is right or wrong by what such a map holds: an entry only saves work that would give the same result again.
Used from one thread.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedMap(Generic[K, V]):
    """At most `limit` entries; the one that was put in first goes first.

    `get` is the dictionary's own method, so a hit costs what a dictionary costs.
    """

    __slots__ = ("_entries", "_limit", "get")

    def __init__(self, limit: int) -> None:
        self._entries: dict[K, V] = {}
        self._limit = limit
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: K, value: V) -> None:
        """Remember `value`, and forget the oldest entry where the map is full."""
        entries = self._entries
        if key not in entries and len(entries) >= self._limit:
            del entries[next(iter(entries))]
        entries[key] = value

    def discard(self, key: K) -> None:
        """Forget one entry; no matter whether it is there."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
