"""Open descriptors of immutable files, kept for the next reader. Used from one thread, the loop's."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from gateway.threads import Threads


class OpenFile:
    """An open file: its descriptor and its size in bytes."""

    __slots__ = ("doomed", "fd", "size", "uses")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self.uses = 0
        self.doomed = False


def open_file(path: str) -> OpenFile:
    """Open a file for reading; blocks. Symbolic links are not followed."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return OpenFile(fd, os.fstat(fd).st_size)
    except BaseException:
        os.close(fd)
        raise


F = TypeVar("F", bound=OpenFile)


class OpenFiles(Generic[F]):
    """At most `limit` idle descriptors by path; the ones in use come on top."""

    def __init__(self, limit: int, close: Callable[[int], None] = os.close) -> None:
        """`close`: how a descriptor is closed that is kept no more."""
        self._limit = limit
        self._close = close
        self._files: OrderedDict[str, F] = OrderedDict()
        self._opening: dict[str, int] = {}
        self._removed_meanwhile: set[str] = set()

    def take(self, path: str) -> F | None:
        """The open file if there is one; to be given back by `release`."""
        file = self._files.get(path)
        if file is not None:
            file.uses += 1
            self._files.move_to_end(path)
        return file

    @contextmanager
    def opening(self, path: str) -> Iterator[None]:
        """While a file is being opened elsewhere: it may be removed before `add` is reached, and is not kept then."""
        self._opening[path] = self._opening.get(path, 0) + 1
        try:
            yield
        finally:
            self._opening[path] -= 1
            if not self._opening[path]:
                del self._opening[path]
                self._removed_meanwhile.discard(path)

    def add(self, path: str, opened: F) -> F:
        """Take a newly opened file and keep it; a twin that was opened meanwhile wins."""
        opened.uses = 1
        if path in self._removed_meanwhile:
            opened.doomed = True
            return opened
        known = self.take(path)
        if known is not None:
            self._close(opened.fd)
            return known
        self._files[path] = opened
        while len(self._files) > self._limit:
            self._drop(self._files.popitem(last=False)[1])
        return opened

    def release(self, file: F) -> None:
        file.uses -= 1
        if file.doomed and file.uses == 0:
            self._close(file.fd)

    def forget(self, path: str) -> None:
        """The file is removed: its descriptor is closed as soon as nobody reads it."""
        if path in self._opening:
            self._removed_meanwhile.add(path)
        file = self._files.pop(path, None)
        if file is not None:
            self._drop(file)

    def forget_below(self, folder: str) -> None:
        """The same for every file whose path starts with `folder`."""
        for path in [path for path in (*self._files, *self._opening) if path.startswith(folder)]:
            self.forget(path)

    async def forget_removed(self, threads: Threads) -> None:
        """The same for those that another process has removed: the disk gets their room back when nobody has them."""
        held = list(self._files.items())
        for _, file in held:
            file.uses += 1
        try:
            removed = await threads.run(_removed, [file for _, file in held])
        finally:
            for _, file in held:
                self.release(file)
        for (path, file), is_removed in zip(held, removed, strict=True):
            if is_removed and self._files.get(path) is file:
                self.forget(path)

    def close(self) -> None:
        while self._files:
            self._drop(self._files.popitem()[1])

    def _drop(self, file: F) -> None:
        file.doomed = True
        if file.uses == 0:
            self._close(file.fd)


def _removed(files: Sequence[OpenFile]) -> list[bool]:
    """Which of them no folder has any more; blocks."""
    return [is_removed(file.fd) for file in files]


def is_removed(fd: int) -> bool:
    """Has no folder this open file any more?"""
    try:
        return os.fstat(fd).st_nlink == 0
    except OSError:  # a share of another machine calls it stale
        return True
