"""A count of commits that all processes on one store share, so that rows kept in memory are never stale.

The lock file that serialises write transactions holds two little-endian 64-bit counters, mapped into every process:
commits *begun* (raised before COMMIT) and commits *ended* (raised after it, before anybody is told). Both are only
written under the lock. A process that finds both equal to what it saw last, its own commits aside, knows that nobody
else has changed the store. One that died in between leaves begun > ended, and is trusted by nobody until the next
writer closes the gap.
"""

import fcntl
import mmap
import os
import struct
import time
from pathlib import Path

_COUNTERS = struct.Struct("<QQ")
_POLL_S = 0.005


class LockTimeout(Exception):
    """Another process held the store's lock for longer than the caller would wait."""


class ChangeCounter:
    """The lock file of a store and its counters. The lock methods are for one thread, the check is for another."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.fstat(self._fd).st_size < _COUNTERS.size:
            os.ftruncate(self._fd, _COUNTERS.size)
        self._map = mmap.mmap(self._fd, _COUNTERS.size)
        self._own = 0
        self._seen = _COUNTERS.unpack_from(self._map)[1]

    def lock(self, timeout_s: float) -> None:
        """Take the lock; raises LockTimeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockTimeout("another process holds the store's lock") from None
                time.sleep(_POLL_S)

    def unlock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def begin(self) -> None:
        """A commit of ours is about to happen; the caller holds the lock."""
        begun, ended = _COUNTERS.unpack_from(self._map)
        if begun != ended:  # somebody died between the two: count that commit as ended
            ended = begun
        _COUNTERS.pack_into(self._map, 0, begun + 1, ended)
        self._own += 1  # after the map: a look between the two takes our commit for somebody's, and overlooks nobody's

    def end(self) -> None:
        """Our commit has happened, or has failed; the caller holds the lock."""
        begun, _ = _COUNTERS.unpack_from(self._map)
        _COUNTERS.pack_into(self._map, 0, begun, begun)

    def changed_elsewhere(self) -> bool:
        """Has another process committed, or begun to, since the last call that said so? Once closed, nobody knows."""
        if self._map.closed:
            return True
        while True:
            own = self._own
            begun, ended = _COUNTERS.unpack_from(self._map)
            if own == self._own:  # our writer did not begin between the two
                break
        if begun - own <= self._seen and ended - own <= self._seen:
            return False
        self._seen = ended - own
        return True

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)
