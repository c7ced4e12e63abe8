"""The disk tier as the loop sees it: which blocks there are, which of them are open and were found right, what goes.

Nothing here is needed: a disk that cannot be used is told of once, and tried again from time to time.
"""

import asyncio
import logging
import os
import resource
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.cache.admission import Admission
from gateway.cache.block_file import TRAILER_SIZE, Damaged
from gateway.cache.blocks import FOLDERS, Blocks, FoundBlock, OpenBlock, Stamp, charge_of
from gateway.cache.board import DAMAGED, ERRORS, EVICTIONS, Board
from gateway.origin.open_files import OpenFiles
from gateway.threads import Threads

_THREADS: Final = 2
_MOST_OPEN: Final = 1024
_FOLDERS_AT_ONCE: Final = 64
_TRIES: Final = 3
_READ_IF_CACHED: Final = getattr(os, "RWF_NOWAIT", 0)
_log = logging.getLogger("anbar.cache")


Start = Callable[[Coroutine[Any, Any, None], str], object]


class DiskTier:
    """Blocks below one directory, at most `max_bytes` of all processes that share it.

    A block that another process has put there is found as well: once this one knows what lies there, it looks for more
    only while the board tells of additions that are not its own.
    """

    def __init__(self, root: Path, max_bytes: int, board: Board, start: Start, *, retry_s: float = 10.0) -> None:
        """`start` keeps a task until it ends. `retry_s`: how long a disk that has failed is left alone."""
        self._blocks = Blocks(root, max_bytes)
        self._board = board
        self._start = start
        self._retry_s = retry_s
        self._threads = Threads(_THREADS, "cache")
        self._admission = Admission(max_bytes)
        self._stamps: dict[bytes, Stamp] = {}
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._files: OpenFiles[OpenBlock] = OpenFiles(min(_MOST_OPEN, max(soft // 8, 8)))
        self._opening: dict[bytes, asyncio.Future[None]] = {}
        self._ready = self._failing = False
        self._listed = self._outdated = self._surveying = False
        self._retry_at = 0.0
        self._seen = board.additions
        self._own = 0

    @property
    def size(self) -> int:
        """Bytes of the blocks that this process knows of."""
        return self._admission.size

    async def start(self, *, survey: bool = True) -> None:
        """Make the directory ready, if that can be done now. It is looked through later: nobody waits for that."""
        if await self._prepare() and survey:
            self.look_anew()

    async def close(self) -> None:
        self._files.close()
        await self._threads.close()
        self._blocks.close()

    def look_anew(self) -> None:
        """Learn what lies there from earlier runs and from other processes, who may have removed any of it."""
        self._admission.clear()
        self._listed, self._outdated = False, True
        if not self._surveying:
            self._surveying = True
            self._start(self._survey(), "cache survey")

    async def _survey(self) -> None:
        try:
            while self._outdated:
                self._outdated = False
                await self._look_through()
        finally:
            self._surveying = False

    async def _look_through(self) -> None:
        seen, own = self._board.additions, self._own
        try:
            for start in range(0, len(FOLDERS), _FOLDERS_AT_ONCE):
                found = await self._threads.run(self._list, FOLDERS[start : start + _FOLDERS_AT_ONCE])
                unwanted = [name for block in found for name in self._admission.restore(*block)]
                await self._threads.run(self._remove, unwanted)
            await self._threads.run(self._blocks.recount)
        except OSError as error:
            self._trouble(error)
            return
        self._seen, self._own, self._listed = seen, self._own - own, not self._outdated

    def may_have(self, name: bytes) -> bool:
        """Is a block there, as far as is known without looking?"""
        if name in self._admission:
            return True
        return self._ready and not (self._listed and self._board.additions - self._seen == self._own)

    def knows(self, name: bytes) -> bool:
        """Is a block there for sure, unless it was damaged or removed?"""
        return name in self._admission

    def remembers(self, name: bytes) -> bool:
        """Was a block asked for not long ago that is not there?"""
        return self._admission.remembers(name)

    def remember(self, name: bytes, size: int) -> None:
        """A block was asked for once, and is not there."""
        self._admission.remember(name, charge_of(size))

    def at_hand(self, name: bytes) -> OpenBlock | None:
        """A block's open file, found right, untouched since; to be given back by `release`."""
        file = self._files.take(_text(name))
        if file is None:
            return None
        if file.is_untouched():
            self._admission.touch(name)
            return file
        self._files.release(file)
        self.forget(name)
        return None

    def release(self, file: OpenBlock) -> None:
        self._files.release(file)

    def let_go(self) -> None:
        """Close what other processes have removed."""
        self._files.forget_removed()

    def forget(self, name: bytes) -> None:
        """Believe nothing of a block any more; what lies there is looked at anew."""
        self._files.forget(_text(name))
        self._stamps.pop(name, None)

    async def open(self, name: bytes) -> OpenBlock | None:
        """A block's file, opened and found right; None where there is none. What is damaged is removed."""
        while (going := self._opening.get(name)) is not None:
            await asyncio.wait([going])
        file = self.at_hand(name)
        if file is not None or not self._ready:
            return file
        going = self._opening[name] = asyncio.get_running_loop().create_future()
        try:
            return await self._open(name)
        finally:
            del self._opening[name]
            going.set_result(None)

    async def keep(
        self,
        name: bytes,
        label: bytes,
        pieces: Sequence[bytes],
        fetched_s: int,
        still_wanted: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Put a block there; `still_wanted` is asked, in a thread, at the moment it would appear."""
        if (self._failing or not self._ready) and not await self._prepare():
            return False
        charge = charge_of(sum(map(len, pieces)) + len(label) + TRAILER_SIZE)
        gone = self._admission.add(name, charge)
        if gone is None:
            return False
        try:
            for _ in range(_TRIES):
                self._drop(gone)
                await self._threads.run(self._remove, gone)
                if await self._write(name, pieces, label, fetched_s, still_wanted):
                    self._works()
                    return True
                gone = self._make_room(charge, name)  # other processes have filled the directory
                if not gone or not still_wanted():
                    break
        except OSError as error:
            self._trouble(error)
        self._admission.discard(name)
        return False

    def claim(self, name: bytes) -> bool:
        """May this process fetch a block, or does another one? Nobody waits."""
        return not self._ready or self._blocks.claim(name)

    def unclaim(self, name: bytes) -> None:
        if self._ready:
            self._blocks.unclaim(name)

    async def discard(self, names: Sequence[bytes]) -> None:
        """Some blocks are wanted no more."""
        self._drop(names, count=0)
        for name in names:
            self._admission.discard(name)
        try:
            await self._threads.run(self._remove, names)
        except OSError as error:
            self._trouble(error)

    async def read(self, file: OpenBlock, offset: int, size: int) -> bytes:
        """Bytes of an open block, without waiting where the page cache has them; fewer, or none, where it ends."""
        found = read_now(file, offset, size)
        if found is not None:
            return found
        return await self._threads.run(os.pread, file.fd, size, offset)

    async def _open(self, name: bytes) -> OpenBlock | None:
        opened: list[OpenBlock] = []
        known = self._stamps.get(name)
        path = _text(name)
        with self._files.opening(path):
            try:
                await self._threads.run(lambda: opened.append(self._blocks.open(name, known)))
            except FileNotFoundError:
                self._admission.discard(name)
                self._stamps.pop(name, None)
                return None
            except Damaged as damage:
                self._board.counts[DAMAGED] += 1
                _log.warning("a block of the cache is dropped: %s", damage)
                await self.discard([name])
                return None
            except OSError as error:
                self._trouble(error)
                return None
            except BaseException:
                for unwanted in opened:
                    os.close(unwanted.fd)
                raise
            file = opened[0]
            self._stamps[name] = file.stamp
            self._know(name, file.stamp.size)
            return self._files.add(path, file)

    def _know(self, name: bytes, size: int) -> None:
        """Another process has put it there, or it was asked for."""
        if self._admission.touch(name):
            return
        gone = self._admission.add(name, charge_of(size))
        if gone:
            self._drop(gone)
            self._threads.launch(self._remove, gone)

    async def _write(
        self,
        name: bytes,
        pieces: Sequence[bytes],
        label: bytes,
        fetched_s: int,
        still_wanted: Callable[[], bool],
    ) -> bool:
        written: list[OpenBlock] = []

        def write() -> None:
            file = self._blocks.write(name, pieces, label, fetched_s, still_wanted)
            if file is not None:
                written.append(file)

        try:
            await self._threads.run(write)
        finally:
            for file in written:
                self._board.added()
                self._own += 1
                self.forget(name)
                self._stamps[name] = file.stamp
                self._files.release(self._files.add(_text(name), file))
        return bool(written)

    def _make_room(self, charge: int, name: bytes) -> list[bytes]:
        """Let more go than the own share needs."""
        gone: list[bytes] = []
        target = self._admission.size - charge
        while self._admission.size > target and (one := self._admission.evict()) is not None:
            if one != name:
                gone.append(one)
        return gone

    def _drop(self, names: Sequence[bytes], count: int = 1) -> None:
        """They are to be removed: nobody here is to find them any more."""
        for name in names:
            self.forget(name)
            self._board.counts[EVICTIONS] += count

    def _remove(self, names: Sequence[bytes]) -> None:
        for name in names:
            self._blocks.remove(name)

    def _list(self, folders: Sequence[str]) -> list[FoundBlock]:
        return [block for folder in folders for block in self._blocks.survey(folder)]

    async def _prepare(self) -> bool:
        if self._failing and asyncio.get_running_loop().time() < self._retry_at:
            return False
        try:
            await self._threads.run(self._blocks.prepare)
        except OSError as error:
            self._trouble(error)
            return False
        if self._failing:
            self.look_anew()  # much may have happened there
        self._ready = True
        return True

    def _trouble(self, error: OSError) -> None:
        """Write nothing for a while; it is told once, until it works again."""
        self._board.counts[ERRORS] += 1
        self._retry_at = asyncio.get_running_loop().time() + self._retry_s
        if not self._failing:
            self._failing = True
            _log.error(
                "the cache's disk cannot be used, bodies come from the origin: %s: %s",
                error.filename or self._blocks.root,
                error.strerror or error,
            )

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("the cache's disk works again")


def read_now(file: OpenBlock, offset: int, size: int) -> bytes | None:
    """Bytes of an open block that the page cache has; None where that would wait for the disk."""
    buffer = bytearray(size)
    try:
        count = os.preadv(file.fd, [buffer], offset, _READ_IF_CACHED)
    except OSError:
        return None
    if not count:
        return None
    return buffer if count == size else buffer[:count]  # type: ignore[return-value]


def _text(name: bytes) -> str:
    return name.decode("latin-1")
