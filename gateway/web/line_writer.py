"""Lines to a file, off the hot path: whoever writes one puts it into a queue, a thread does the rest.

The thread looks five times a second, so that a line costs its writer neither a system call nor a wake-up. A disk that
is slow or full makes lines be lost, and counted; it never makes anybody wait.
"""

import logging
import os
import threading
from collections import deque
from pathlib import Path

from gateway.metrics import ACCESS_LINES_LOST, Count, Tally

_log = logging.getLogger("anbar.access")
_EVERY_S = 0.2
_MOST_WAITING = 8 << 20
_PIECE = 256 << 10
_MODE = 0o640
_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY


class LineWriter(Tally):
    """Appends lines to a file, or to standard output (`path` None). One thread puts, another one writes."""

    def __init__(self, path: Path | None, *, most_waiting: int = _MOST_WAITING, every_s: float = _EVERY_S) -> None:
        """`most_waiting`: bytes that may wait for the disk. Raises OSError: the file cannot be opened."""
        super().__init__()
        self._path = path
        self._most_waiting = most_waiting
        self._every_s = every_s
        self._lines: deque[bytes] = deque()
        self._put_bytes = 0  # by who puts
        self._refused = Count()
        self._taken_bytes = 0  # by the thread, and so is all that follows
        self._failed = Count()
        self._is_failing = False
        self._is_torn = False
        self._ending = threading.Event()
        self._reopening = threading.Event()
        self._descriptor = _open(path)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that are not, and will not be, in the file."""
        return self._refused.number + self._failed.number

    def put(self, line: str) -> None:
        """Have a line written soon, without its end; it is lost where too much waits already."""
        data = line.encode("ascii", "backslashreplace") + b"\n"
        if self._put_bytes - self._taken_bytes + len(data) > self._most_waiting:
            self._refused.number += 1
            return
        self._put_bytes += len(data)
        self._lines.append(data)

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away. Done within a moment, by the thread."""
        self._reopening.set()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, as far as the disk takes it in time. Blocks."""
        self._ending.set()
        self._thread.join(timeout_s)
        self.end()

    def tell(self) -> None:
        self._refused.tell(ACCESS_LINES_LOST)
        self._failed.tell(ACCESS_LINES_LOST)

    def _run(self) -> None:
        ending = False
        while not ending:
            ending = self._ending.wait(self._every_s)
            if self._reopening.is_set():
                self._reopening.clear()
                self._write_waiting()  # what was put before belongs into the old file
                self._open_again()
            self._write_waiting()
        if self._path is not None:
            os.close(self._descriptor)

    def _open_again(self) -> None:
        if self._path is None:
            return
        try:
            opened = _open(self._path)
        except OSError as error:
            _log.warning("the access log goes on in the old file: %s: %s", self._path, error.strerror)
            return
        os.close(self._descriptor)
        self._descriptor = opened
        self._is_torn = False

    def _write_waiting(self) -> None:
        while self._lines:
            lines: list[bytes] = []
            size = 0
            while self._lines and size < _PIECE:
                lines.append(self._lines.popleft())
                size += len(lines[-1])
            self._write(lines)
            self._taken_bytes += size

    def _write(self, lines: list[bytes]) -> None:
        left = memoryview(b"".join([b"\n", *lines] if self._is_torn else lines))
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self._is_torn = len(left) != sum(map(len, lines))
            self._failed.number += min(bytes(left).count(b"\n"), len(lines))
            if not self._is_failing:
                self._is_failing = True
                _log.warning("the access log cannot be written, lines are lost: %s", error.strerror)
            return
        self._is_torn = False
        if self._is_failing:
            self._is_failing = False
            _log.warning("the access log is written again, %d lines were lost", self.lost)


def _open(path: Path | None) -> int:
    return 1 if path is None else os.open(path, _OPEN, _MODE)
