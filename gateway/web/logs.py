"""The program's own log: to standard error, in text or JSON, and never more of it than a disk can hold.

Everybody logs by the standard library; structlog makes of each record what is written, and takes out what should not
be.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.processors import format_exc_info
from structlog.stdlib import ProcessorFormatter

from gateway.config import Log
from gateway.metrics import LOG_LEFT_OUT
from gateway.web.redact import GONE, redact

_Event = MutableMapping[str, Any]
FIELDS: Final = ("time", "level", "logger", "message", "exception")
_SECRET_NAMES = re.compile(r"(?i)secret|password|passphrase|token|signature|authorization|credential|cookie")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BURST: Final = 50
_WINDOW_S: Final = 10.0


class Throttle(logging.Filter):
    """Lets `burst` records of a logger through in each `window_s`, then says how many it kept back."""

    def __init__(self, burst: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst = burst
        self._window_s = window_s
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        started, count = self._windows.get(record.name, (now, 0))
        if now - started >= self._window_s:
            if count > self._burst:
                record.msg = f"({count - self._burst} further messages were left out) {record.msg}"
            started, count = now, 0
        self._windows[record.name] = started, count + 1
        if count < self._burst:
            return True
        LOG_LEFT_OUT.inc()
        return False


def configure_logging(settings: Log) -> None:
    """Log to standard error as the settings want it; a log that cannot be written stops nothing."""
    logging.raiseExceptions = False
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    # Of libraries never more than this: some of them tell at DEBUG what they sign, and with what.
    logging.basicConfig(level=max(level, logging.INFO), handlers=[log_handler(settings.format, sys.stderr)], force=True)
    logging.getLogger("anbar").setLevel(level)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # we tell what a change has led to


def log_handler(form: str, stream: TextIO) -> logging.Handler:
    """Writes records to a stream as `form` (text or json) has them, redacted and throttled."""
    handler = logging.StreamHandler(stream)
    render = _render_json if form == "json" else _render_text
    handler.setFormatter(ProcessorFormatter(processors=[_tell, format_exc_info, _redact, render]))
    handler.addFilter(Throttle(_BURST, _WINDOW_S))
    return handler


def _tell(_: Any, __: str, event: _Event) -> _Event:
    """What a record is, by the names under which it is written."""
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog")
    message = str(event.pop("event"))
    return {"time": record.created, "level": record.levelname, "logger": record.name, "message": message, **event}


def _redact(_: Any, __: str, event: _Event) -> _Event:
    for name, value in event.items():
        if name not in FIELDS and _SECRET_NAMES.search(name):
            event[name] = GONE
        elif not isinstance(value, int | float | None):
            event[name] = redact(value if isinstance(value, str) else repr(value))
    return event


def _render_json(_: Any, __: str, event: _Event) -> str:
    created = event["time"]
    event["time"] = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(created))}.{int(created % 1 * 1000):03d}Z"
    return json.dumps(event)


def _render_text(_: Any, __: str, event: _Event) -> str:
    """One line a record; what belongs to it begins with blanks, so that nobody takes it for another one."""
    created, level, logger, message, exception = (event.pop(name, None) for name in FIELDS)
    when = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(created))},{int(created % 1 * 1000):03d}"
    more = "".join(f" {name}={value!r}" for name, value in event.items())
    text = f"{when} {level} {logger}: {message}{more}" + (f"\n{exception}" if exception else "")
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text).replace("\n", "\n    ")
