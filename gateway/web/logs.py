"""The program's own log: to standard error, and never more of it than a disk can hold."""

import logging
import sys
import time

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Throttle(logging.Filter):
    """Lets `burst` records of a logger through in each `window_s`, then says how many it kept back."""

    def __init__(self, burst: int, window_s: float) -> None:
        super().__init__()
        self._burst = burst
        self._window_s = window_s
        self._windows: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        started, count = self._windows.get(record.name, (0.0, 0))
        now = time.monotonic()
        if now - started >= self._window_s:
            if count > self._burst:
                record.msg = f"({count - self._burst} further messages were left out) {record.msg}"
            started, count = now, 0
        self._windows[record.name] = started, count + 1
        return count < self._burst


def configure_logging() -> None:
    """Log to standard error; a log that cannot be written stops nothing."""
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(Throttle(burst=50, window_s=10.0))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # we tell what a change has led to
