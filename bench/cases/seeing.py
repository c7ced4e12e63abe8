"""What it costs to see a request, in this process: counting it, and a line of the access log with its writing."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from bench.environment import Environment
from bench.report import Sample, Target
from gateway.s3.operations import OPERATIONS
from gateway.web.access_log import AccessLog
from gateway.web.answers import Answer
from gateway.web.exchange import Exchange
from gateway.web.line_writer import LineWriter
from gateway.web.tally import RequestTally

_REPEATS = 20_000
_AGENT = "Boto3/1.35.0 md/Botocore#1.35.0 ua/2.0 os/linux#6.1 md/arch#x86_64 lang/python#3.11"


class SeeCount:
    """All that the metrics count of a request."""

    name = "see-count"
    target = Target(3.0, "CPU µs")

    def __init__(self) -> None:
        self._tally = RequestTally(())

    def measure(self, _environment: Environment, /) -> Sample:
        return Sample(_cpu_us(self._count), {})

    def _count(self) -> None:
        exchange = _answered()
        self._tally.count(exchange, exchange.head_s)


class SeeLog:
    """A line of the access log, until the kernel has it, in JSON; beside it, as text."""

    name = "see-log"
    target = Target(5.0, "CPU µs")

    def measure(self, _environment: Environment, /) -> Sample:
        return Sample(self._of("json"), {"as text": self._of("text")})

    def _of(self, form: str) -> float:
        with TemporaryDirectory() as folder:
            writer = LineWriter(Path(folder) / "access.log", most_waiting=1 << 30)
            log = AccessLog(writer, form)
            exchange = _answered()

            def write() -> None:
                log.note(exchange, exchange.head_s)

            return _cpu_us(write, log.close)


def _cpu_us(see: Callable[[], None], end: Callable[[], None] = lambda: None) -> float:
    """CPU µs for one request, in all threads."""
    before_ns = time.process_time_ns()
    for _ in range(_REPEATS):
        see()
    end()
    return (time.process_time_ns() - before_ns) / _REPEATS / 1000


_GET = next(row for row in OPERATIONS if row.name == "GetObject")
_REQUEST: Any = SimpleNamespace(
    method="GET", body=SimpleNamespace(total_bytes=0), connection=SimpleNamespace(peer="192.0.2.7", tls="")
)
_CALL: Any = SimpleNamespace(
    operation=_GET,
    headers={"user-agent": _AGENT, "referer": "https://app.example/album/7"},
    identity=SimpleNamespace(project="demo", label="ops"),
    address=SimpleNamespace(bucket="demo-media", key="profile-images/2026/11/photo-00042.jpg"),
    found_bucket=SimpleNamespace(project="demo"),
    found_object=SimpleNamespace(size=48_211),
    host="media.example.com",
)


def _answered() -> Exchange:
    """A GET that was answered."""
    exchange = Exchange(_REQUEST, "562ADA0D00000002")
    exchange.call = _CALL
    exchange.answer = Answer(sent=48_211)
    exchange.head_s = exchange.began_s + 0.001
    exchange.is_whole = True
    return exchange
