"""What the processes of one installation tell each other about the cache, in a small file that all of them map.

64-bit numbers in the machine's own order: first which format this is, a *generation* that a purge raises, how many
blocks were ever put on disk, by anybody, and how many workers there are; then one slot for each worker, its process id
and what it has counted. A slot whose process is gone is anybody's. Without the file (a full disk) a process keeps the
same numbers to itself.
"""

import contextlib
import fcntl
import logging
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

COUNTED: Final = (
    "hits",  # requests that needed nothing from the origin
    "partials",  # those that needed some blocks
    "misses",  # those that needed all
    "passed",  # those that went past the cache for want of memory
    "followers",  # those that waited for a block that somebody else was fetching
    "hit_bytes",  # bytes that were asked for and kept
    "miss_bytes",  # bytes that were asked for and fetched
    "requests",  # to the origin, each for one or more blocks
    "fills",  # blocks that came from the origin
    "failures",  # fetches that came to nothing
    "evictions",  # blocks that went, in memory and on disk
    "damaged",  # blocks on disk that were not what was written
    "errors",  # of the cache's disk
)
"""What a worker counts, in the order of its slot; bytes or pieces since it began."""

(
    HITS,
    PARTIALS,
    MISSES,
    PASSED,
    FOLLOWERS,
    HIT_BYTES,
    MISS_BYTES,
    REQUESTS,
    FILLS,
    FAILURES,
    EVICTIONS,
    DAMAGED,
    ERRORS,
) = range(1, len(COUNTED) + 1)

_FORMAT: Final = 0x31_4452_414F_4252
_GENERATION: Final = 1
_ADDITIONS: Final = 2
_JOINED: Final = 3
_HEADER: Final = 4
_SLOT: Final = 32
_SLOTS: Final = 64
_WORDS: Final = _HEADER + _SLOTS * _SLOT
_SIZE: Final = _WORDS * 8
_log = logging.getLogger("anbar.cache")


class Board:
    """The mapped file, or none; `counts[HITS] += 1` counts. What several processes change they change under a lock."""

    def __init__(self, path: Path | None) -> None:
        self._fd: int | None = None
        self._mutex = threading.Lock()
        mapped: mmap.mmap | bytearray = bytearray(_SIZE)
        if path is not None:
            try:
                self._fd = _open(path)
                mapped = mmap.mmap(self._fd, _SIZE)
            except OSError as error:
                _log.error("%s: %s; purges of other processes will not be seen", path, error.strerror)
        self._words = memoryview(mapped).cast("Q")
        self._slot = _HEADER
        self.counts: memoryview = memoryview(bytearray(_SLOT * 8)).cast("Q")
        with self._locked():
            if self._words[0] != _FORMAT:
                for index in range(_WORDS):
                    self._words[index] = 0
                self._words[0] = _FORMAT

    def join(self) -> None:
        """Take a slot, so that others see what is counted here; where none is free nobody does."""
        starts = range(_HEADER, _WORDS, _SLOT)
        with self._locked():
            for start in starts:
                if self._words[start] == os.getpid():  # killed, and of our number: a container counts from 1 each time
                    self._words[start] = 0
            for start in starts:
                if not is_alive(self._words[start]):
                    for index in range(start, start + _SLOT):
                        self._words[index] = 0
                    self._words[start] = os.getpid()
                    self.counts = self._words[start : start + _SLOT]
                    break
            self._count_workers()

    @property
    def generation(self) -> int:
        """Whatever was fetched or put in memory under another generation is kept no more."""
        found: int = self._words[_GENERATION]
        return found

    @property
    def additions(self) -> int:
        """How many blocks all processes have put on disk."""
        found: int = self._words[_ADDITIONS]
        return found

    @property
    def is_shared(self) -> bool:
        """Is there another worker? One that died counts until somebody comes or goes."""
        found: bool = self._words[_JOINED] > 1
        return found

    def begin_generation(self) -> None:
        with self._locked():
            self._words[_GENERATION] += 1

    def added(self) -> None:
        with self._locked():
            self._words[_ADDITIONS] += 1

    def workers(self) -> list[dict[str, int]]:
        """What each running worker has counted, by name."""
        starts = range(_HEADER, _WORDS, _SLOT)
        slots = [list(self._words[start : start + _SLOT]) for start in starts if is_alive(self._words[start])]
        return [dict(zip(COUNTED, slot[1:], strict=False)) for slot in slots]

    def close(self) -> None:
        if self.counts[0] == os.getpid():
            with self._locked():
                self.counts[0] = 0
                self._count_workers()
        self.counts = memoryview(bytearray(_SLOT * 8)).cast("Q")
        self._words = memoryview(bytearray(self._words)).cast("Q")
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _count_workers(self) -> None:
        self._words[_JOINED] = sum(is_alive(self._words[start]) for start in range(_HEADER, _WORDS, _SLOT))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            if self._fd is not None:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if self._fd is not None:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)


def board_path(store: Path) -> Path:
    """Beside the store: what needs no disk tier must not need a directory for one."""
    return store.with_name(store.name + "-cache")


def _open(path: Path) -> int:
    """The file at its full size, all of it on disk: a page that cannot be written later would end the process."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        missing = _SIZE - os.fstat(fd).st_size
        if missing > 0:
            os.pwrite(fd, bytes(missing), _SIZE - missing)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_alive(process_id: int) -> bool:
    """Is there a process of this number, whatever it is?"""
    if not process_id:
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
