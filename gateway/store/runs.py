"""The processes that work on a store: who of them lives, and what only one of them may do at a time.

Each run has a number, a row in `runs`, and a lock on one byte of a file, at the offset that is its number. The kernel
drops the lock when the process ends, however it ends: so nobody needs a heartbeat to know whose writes are abandoned.
What is done by one process at a time is locked in the same way, further behind; so is what many read and one removes.

Locks are those of the open file (https://www.gnu.org/software/libc/manual/html_node/Open-File-Description-Locks.html):
closing another descriptor of the file does not drop them.
"""

import fcntl
import os
import secrets
import struct
from hashlib import blake2b
from pathlib import Path

_FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid, and padding on 64-bit Linux
_RUN_BITS = 40
_NAMES_BEGIN = 1 << 48
_NAME_BYTES = 6


class Runs:
    """This process among those that work on a store. `number` is its own, and never used twice."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._reading_fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)  # it locks out this process, too
        self.number = 0
        while not self.number or not self._lock(self.number):
            self.number = secrets.randbits(_RUN_BITS)

    def is_alive(self, number: int) -> bool:
        """Does the process of this run still live?"""
        return number == self.number or self._is_locked(number)

    def try_lock(self, name: str) -> bool:
        """Take what one process at a time may have; False: another one has it. Tasks of one process share it.

        Two names may share a lock: what is waited for then ends all the same.
        """
        return self._lock(_offset(name))

    def unlock(self, name: str) -> None:
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, _offset(name)))

    def share(self, name: str) -> bool:
        """Take what every process may have unless one has it by `try_lock`, this one as well; False: one has.

        It is not counted: one `unshare` ends it for all tasks of this process.
        """
        return self._lock(_offset(name), self._reading_fd, fcntl.F_RDLCK)

    def unshare(self, name: str) -> None:
        fcntl.fcntl(self._reading_fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, _offset(name)))

    def close(self) -> None:
        """Drop every lock: this run is over."""
        os.close(self._reading_fd)
        os.close(self._fd)

    def _lock(self, offset: int, fd: int | None = None, kind: int = fcntl.F_WRLCK) -> bool:
        try:
            fcntl.fcntl(self._fd if fd is None else fd, fcntl.F_OFD_SETLK, _flock(kind, offset))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _is_locked(self, offset: int) -> bool:
        answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, offset))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _flock(kind: int, offset: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0)


def _offset(name: str) -> int:
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_NAME_BYTES).digest()
    return _NAMES_BEGIN + int.from_bytes(digest, "little")
