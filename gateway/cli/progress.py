"""A line on standard error that is written over, for who looks at a terminal."""

import sys
import time

_EVERY_S = 0.5


class Progress:
    """Shows how far a long command has come; whoever looks at a file or a pipe sees nothing."""

    def __init__(self) -> None:
        self._wanted = sys.stderr.isatty()
        self._next_s = time.monotonic() + _EVERY_S
        self._shown = False

    def show(self, text: str) -> None:
        if self._wanted and time.monotonic() >= self._next_s:
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._next_s = time.monotonic() + _EVERY_S
            self._shown = True

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
