"""What stays in a cache of bounded size, and what goes: S3-FIFO, counted in bytes.

Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023 (https://s3fifo.com). Three queues, none of
which is ever reordered by a hit:

    small   the newest tenth; whoever was asked for twice there goes on to main, everybody else leaves
    main    the rest; at its end, whoever was asked for since it last came there goes round once more
    ghost   fingerprints of those that left small; whoever comes again goes to main at once

A scan fills only the small queue, and leaves through it. Each step costs the same however much is kept.
"""

from collections import OrderedDict
from typing import Final

_SMALL_SHARE: Final = 10
_MOST_COUNTED: Final = 3
_WORTH_KEEPING: Final = 2
_DIGEST: Final = 8
_NUMBER: Final = 4
_LEAST_CHARGE: Final = 512


class Entry:
    """What is known of something kept: its bytes, how often it was asked for (up to 3), and in which queue it is."""

    __slots__ = ("in_main", "size", "uses")

    def __init__(self, size: int, *, in_main: bool) -> None:
        self.size = size
        self.uses = 0
        self.in_main = in_main


class Admission:
    """The queues. Names are bytes that begin with a digest; sizes are what something takes, with all that goes along.

    Nothing counts for less than 512 bytes, so the number of entries is bounded as well: of those that are kept, and of
    as many fingerprints. Whatever `add` and `evict` give back is kept no more.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._small_size = 0
        self._ghost_size = 0
        self._entries: dict[bytes, Entry] = {}
        self._small: OrderedDict[bytes, None] = OrderedDict()
        self._main: OrderedDict[bytes, None] = OrderedDict()
        self._ghost: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: bytes) -> bool:
        return name in self._entries

    @property
    def ghosts(self) -> int:
        """How many are remembered that are kept no more."""
        return len(self._ghost)

    def touch(self, name: bytes) -> bool:
        """It was asked for; False: it is not kept."""
        entry = self._entries.get(name)
        if entry is None:
            return False
        if entry.uses < _MOST_COUNTED:
            entry.uses += 1
        return True

    def add(self, name: bytes, size: int) -> list[bytes] | None:
        """Keep something new from now on; gives what has to go for it. None: it is larger than everything may be."""
        size = max(size, _LEAST_CHARGE)
        if size > self.capacity:
            return None
        self.discard(name)
        evicted: list[bytes] = []
        while self.size + size > self.capacity:
            evicted += self._evict()
        known = self._ghost.pop(_fingerprint(name), None)
        if known is not None:
            self._ghost_size -= known
        self._insert(name, Entry(size, in_main=known is not None))
        return evicted

    def restore(self, name: bytes, size: int) -> list[bytes]:
        """Something that was kept by an earlier run: it goes before what is new, and does not push anything out.

        Gives it back where there is no room.
        """
        size = max(size, _LEAST_CHARGE)
        if name in self._entries:
            return []
        if self.size + size > self.capacity:
            return [name]
        self._insert(name, Entry(size, in_main=True))
        return []

    def evict(self) -> bytes | None:
        """Let one more go, although there may be room; None: there is none left."""
        while self._entries:
            for name in self._evict():
                return name
        return None

    def remembers(self, name: bytes) -> bool:
        """Was it here, or nearly, not long ago?"""
        return _fingerprint(name) in self._ghost

    def remember(self, name: bytes, size: int) -> None:
        """It was asked for once and is not kept; whoever comes again goes to main. As many bytes as main holds."""
        fingerprint = _fingerprint(name)
        self._ghost_size += size - self._ghost.pop(fingerprint, 0)
        self._ghost[fingerprint] = size
        most = self.capacity - self.capacity // _SMALL_SHARE
        while self._ghost_size > most:
            _, gone = self._ghost.popitem(last=False)
            self._ghost_size -= gone

    def discard(self, name: bytes) -> None:
        """It is kept no more, for whatever reason; fine if it never was."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        self.size -= entry.size
        if entry.in_main:
            del self._main[name]
        else:
            del self._small[name]
            self._small_size -= entry.size

    def clear(self) -> None:
        """Nothing is kept, and nothing remembered."""
        for queue in (self._entries, self._small, self._main, self._ghost):
            queue.clear()
        self.size = self._small_size = self._ghost_size = 0

    def _insert(self, name: bytes, entry: Entry) -> None:
        self._entries[name] = entry
        self.size += entry.size
        if entry.in_main:
            self._main[name] = None
        else:
            self._small[name] = None
            self._small_size += entry.size

    def _evict(self) -> list[bytes]:
        """One step: something leaves, or moves on to the main queue."""
        if self._small and (not self._main or self._small_size * _SMALL_SHARE >= self.capacity):
            return self._leave_small()
        return self._leave_main()

    def _leave_small(self) -> list[bytes]:
        name, _ = self._small.popitem(last=False)
        entry = self._entries[name]
        self._small_size -= entry.size
        if entry.uses >= _WORTH_KEEPING:
            entry.in_main, entry.uses = True, 0
            self._main[name] = None
            return []
        del self._entries[name]
        self.size -= entry.size
        self.remember(name, entry.size)
        return [name]

    def _leave_main(self) -> list[bytes]:
        while True:
            name, _ = self._main.popitem(last=False)
            entry = self._entries[name]
            if not entry.uses:
                del self._entries[name]
                self.size -= entry.size
                return [name]
            entry.uses -= 1
            self._main[name] = None


def _fingerprint(name: bytes) -> bytes:
    """Of a block: some of the body's digest, and the number."""
    return name[:_DIGEST] + name[-_NUMBER:]
