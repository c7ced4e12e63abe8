"""The blocks on disk, as blocking calls for threads.

    cache/
      key          32 random bytes: what the files are sealed with
      usage        how many bytes lie in each folder, and in all
      claims       an empty file; a lock on one of its bytes says that somebody fetches a block
      fresh/       what is being written
      blocks/0/ab/0123…   a block: 1 hex digit, 2, and the rest of its name

Directories are 0700, files 0600, and no symbolic link is followed. A file is written under a name of its own and
renamed, under the lock that guards the usage; so what the usage says and what lies there differ only after a crash, and
`survey` sets it right. Any number of processes may share the directory.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.cache.block_file import (
    KEY_SIZE,
    MOST_BYTES,
    NONCE_SIZE,
    TRAILER_SIZE,
    Damaged,
    parse_label,
    parse_trailer,
    render_tail,
    verify_file,
)
from gateway.cache.board import is_alive
from gateway.cache.names import block_path, parse_block_path
from gateway.origin.open_files import OpenFile

FOLDERS: Final = tuple(f"{first:x}/{second:02x}" for first in range(16) for second in range(256))
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PAGE: Final = 4096
_COUNTER: Final = struct.Struct("<Q")
_FOLDER_OF: Final = {folder: index + 1 for index, folder in enumerate(FOLDERS)}
_FLOCK: Final = struct.Struct("hhqqi4x")
_STALE_S: Final = 3600.0


class Stamp(NamedTuple):
    """What changes when somebody touches a file."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    links: int


class OpenBlock(OpenFile):
    """A block's open file, whose bytes were found right when it had this stamp; `size` is the block's."""

    __slots__ = ("fetched_s", "stamp")

    def __init__(self, fd: int, size: int, fetched_s: int, stamp: Stamp) -> None:
        super().__init__(fd, size)
        self.fetched_s = fetched_s
        self.stamp = stamp

    def is_untouched(self) -> bool:
        """Is it the file that was verified, and still there? No, where the disk cannot tell any more."""
        try:
            return stamp_of(self.fd) == self.stamp
        except OSError:
            return False


class FoundBlock(NamedTuple):
    """A block that lies there, and what it takes."""

    name: bytes
    charge: int


class Blocks:
    """The directory of blocks. All methods block, and raise OSError."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._key = b""
        self._usage = self._claims = -1
        self._mutex = threading.Lock()

    def prepare(self) -> None:
        """Make what is missing, after which everything else may be called."""
        self._take_root()
        for folder in (self.root / "fresh", self.root / "blocks"):
            folder.mkdir(mode=0o700, exist_ok=True)
        with self._mutex:
            key, usage = _load_key(self.root / "key"), _open_file(self.root / "usage")
            try:
                claims = _open_file(self.root / "claims")
            except BaseException:
                os.close(usage)
                raise
            self._close_files()  # only now: others use them while this is tried again and again
            self._key, self._usage, self._claims = key, usage, claims

    def close(self) -> None:
        with self._mutex:
            self._close_files()

    def used(self) -> int:
        """Bytes of all files, each rounded up to pages."""
        return self._read_counter(0)

    def write(
        self, name: bytes, pieces: Sequence[bytes], label: bytes, fetched_s: int, still_wanted: Callable[[], bool]
    ) -> OpenBlock | None:
        """Put a block there; None: there is no room, or nobody wants it any more when it would appear."""
        path = self.root / "fresh" / f"{os.getpid():x}-{secrets.token_hex(8)}"
        fd = os.open(path, _NEW, 0o600)
        try:
            nonce = secrets.token_bytes(NONCE_SIZE)
            tail = render_tail(self._key, nonce, name, pieces, label, fetched_s)
            _write_all(fd, [*pieces, tail])
            if not self._place(path, name, still_wanted):
                os.unlink(path)
                os.close(fd)
                return None
            return OpenBlock(fd, sum(map(len, pieces)), fetched_s, stamp_of(fd))
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise

    def open(self, name: bytes, known: Stamp | None = None) -> OpenBlock:
        """Open a block and see that it is whole; with a stamp that it still has, it was seen before.

        Raises FileNotFoundError, Damaged.
        """
        try:
            fd = os.open(self._path(name), _READ)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise Damaged(f"it cannot be opened: {error.strerror}") from error
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > MOST_BYTES:
                raise Damaged("not a file of ours")
            stamp = stamp_of(fd)
            if stamp == known:
                trailer = parse_trailer(os.pread(fd, TRAILER_SIZE, stamp.size - TRAILER_SIZE))
            else:
                trailer = verify_file(self._key, name, memoryview(_read_all(fd, stamp.size)))
            return OpenBlock(fd, trailer.size, trailer.fetched_s, stamp)
        except BaseException:
            os.close(fd)
            raise

    def remove(self, name: bytes) -> bool:
        """False: it was not there."""
        with self._locked():
            try:
                found = os.lstat(self._path(name))
                os.unlink(self._path(name))
            except FileNotFoundError:
                return False
            self._count(name, -charge_of(found.st_size))
            return True

    def survey(self, folder: str) -> list[FoundBlock]:
        """What lies in one of FOLDERS; its usage is set to that, and what is no block's is removed."""
        place = self.root / "blocks" / folder
        with self._locked():
            found = []
            for entry in _entries(place):
                name = parse_block_path(folder, entry.name)
                if name is None or not entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)
                    continue
                found.append(FoundBlock(name, charge_of(entry.stat(follow_symlinks=False).st_size)))
            counted, index = sum(block.charge for block in found), _FOLDER_OF[folder]
            self._set_counter(0, max(self._read_counter(0) + counted - self._read_counter(index), 0))
            self._set_counter(index, counted)
            return found

    def recount(self) -> None:
        """Make the sum that of the folders, once each of them is right; and remove what a dead process was writing."""
        with self._locked():
            data = os.pread(self._usage, _COUNTER.size * (len(FOLDERS) + 1), 0)
            counted = [value for (value,) in _COUNTER.iter_unpack(data[: len(data) // 8 * 8])]
            os.pwrite(self._usage, _COUNTER.pack(sum(counted[1:])), 0)
        now = time.time()
        for entry in _entries(self.root / "fresh"):
            with contextlib.suppress(OSError):
                owner = int(entry.name.partition("-")[0], 16) if "-" in entry.name else 0
                if not is_alive(owner) or now - entry.stat(follow_symlinks=False).st_mtime > _STALE_S:
                    os.unlink(entry.path)

    def label(self, name: bytes) -> tuple[str, str]:
        """The bucket and the key whose block this is, as its file says; raises FileNotFoundError, Damaged."""
        fd = os.open(self._path(name), _READ)
        try:
            size = os.fstat(fd).st_size
            trailer = parse_trailer(os.pread(fd, TRAILER_SIZE, max(size - TRAILER_SIZE, 0)))
            return parse_label(os.pread(fd, trailer.label_size, size - TRAILER_SIZE - trailer.label_size))
        finally:
            os.close(fd)

    def claim(self, name: bytes) -> bool:
        """Say that this process fetches a block, until `unclaim` or its death; False: another process does.

        It does not wait. Where the file system has no such locks, everybody fetches.
        """
        return self._lock_byte(name, fcntl.F_WRLCK)

    def unclaim(self, name: bytes) -> None:
        self._lock_byte(name, fcntl.F_UNLCK)

    def _lock_byte(self, name: bytes, kind: int) -> bool:
        if self._claims < 0:
            return True
        place = int.from_bytes(name[:7], "big") + int.from_bytes(name[-4:], "big")
        request = _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0)
        try:
            fcntl.fcntl(self._claims, fcntl.F_OFD_SETLK, request)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True

    def _take_root(self) -> None:
        """A directory that holds something else is not made a cache: its rights are somebody else's business."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.root / "key").exists() and any(self.root.iterdir()):
            raise FileExistsError(errno.EEXIST, "something else lies there", str(self.root))
        os.chmod(self.root, 0o700)

    def _place(self, fresh: Path, name: bytes, still_wanted: Callable[[], bool]) -> bool:
        target = self._path(name)
        charge = charge_of(os.stat(fresh).st_size)
        with self._locked():
            if self._read_counter(0) + charge > self.max_bytes or not still_wanted():
                return False
            replaced = _size_of(target)
            try:
                os.rename(fresh, target)
            except FileNotFoundError:
                parent = Path(target).parent
                for folder in (parent.parent, parent):
                    folder.mkdir(mode=0o700, exist_ok=True)
                os.rename(fresh, target)
            self._count(name, charge - (0 if replaced is None else charge_of(replaced)))
            return True

    def _path(self, name: bytes) -> str:
        return f"{self.root}/blocks/{block_path(name)}"

    def _count(self, name: bytes, change: int) -> None:
        for index in (0, _FOLDER_OF[block_path(name)[:4]]):
            self._set_counter(index, max(self._read_counter(index) + change, 0))

    def _read_counter(self, index: int) -> int:
        data = os.pread(self._usage, _COUNTER.size, index * _COUNTER.size)
        return int(_COUNTER.unpack(data)[0]) if len(data) == _COUNTER.size else 0

    def _set_counter(self, index: int, value: int) -> None:
        os.pwrite(self._usage, _COUNTER.pack(value), index * _COUNTER.size)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            fcntl.flock(self._usage, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._usage, fcntl.LOCK_UN)

    def _close_files(self) -> None:
        for fd in (self._usage, self._claims):
            if fd >= 0:
                os.close(fd)
        self._usage = self._claims = -1


def stamp_of(fd: int) -> Stamp:
    found = os.fstat(fd)
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_nlink)


def charge_of(size: int) -> int:
    """What a file of `size` bytes counts for: whole pages."""
    return -(-size // _PAGE) * _PAGE


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _size_of(path: str) -> int | None:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return None


def _open_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _load_key(path: Path) -> bytes:
    """The key of this directory, made where there is none; files that another one sealed are then no blocks."""
    for _ in range(2):
        fd = _open_file(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            key = os.pread(fd, KEY_SIZE, 0)
            if len(key) == KEY_SIZE:
                return key
            os.pwrite(fd, secrets.token_bytes(KEY_SIZE), 0)
        finally:
            os.close(fd)
    raise OSError(f"{path}: no key can be written")


def _write_all(fd: int, pieces: list[bytes]) -> None:
    left = [memoryview(piece) for piece in pieces if piece]
    while left:
        count = os.writev(fd, left[:512])
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if count:
            left[0] = left[0][count:]


def _read_all(fd: int, size: int) -> bytes:
    data = os.pread(fd, size, 0)
    if len(data) != size:
        raise Damaged("it became shorter")
    return data
