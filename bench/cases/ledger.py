"""What exact quotas cost: room taken before a body and settled after it, durably, on the disk."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from bench.environment import Environment
from bench.report import Sample, Target
from gateway.policy.model import Quota
from gateway.store.buckets import Bucket, Buckets
from gateway.store.database import Connection, Database
from gateway.store.ledger import Account, Allowance, Amount, release, reserve

_LIMITS = Allowance(Quota(bytes=1 << 50), Quota(bytes=1 << 50, objects=1 << 30), Quota(bytes=1 << 40, objects=1 << 20))
_BUCKET = Bucket("bench-media", "bench", "media", "local", "bench-media", "", "policy", 0)
_TASKS = 64
_SECONDS = 2.0


class Reserve:
    """Time for each reservation, in every scope and durably, of 64 writers at once: 500 µs are 2,000 in a second."""

    name = "reserve"
    target = Target(500.0, "µs")

    def measure(self, _environment: Environment, /) -> Sample:
        with tempfile.TemporaryDirectory(dir=Path.cwd() / "var" if Path("var").is_dir() else None) as directory:
            return asyncio.run(_measure(Path(directory, "anbar.sqlite")))


async def _measure(path: Path) -> Sample:
    database = await Database.open(path)
    try:
        await Buckets(database).create(_BUCKET)
        rate, _ = await _run(database, _TASKS)
        alone, median_ms = await _run(database, 1)
        bare_ms = await _bare(database)
    finally:
        await database.close()
    details = {"reservations/s": rate, "alone/s": alone, "alone, median ms": median_ms, "empty commit ms": bare_ms}
    return Sample(1e6 / rate, details)


async def _run(database: Database, tasks: int) -> tuple[float, float]:
    """Reservations a second, and the median of what one waits; each is released again, outside of the count."""
    spent: list[float] = []
    until = time.monotonic() + _SECONDS

    async def one(number: int) -> None:
        account, wanted = Account("bench", "media", f"user-{number}"), Amount(65536, 1)
        while time.monotonic() < until:
            began = time.monotonic()
            refusal = await database.write(lambda connection: reserve(connection, account, wanted, _LIMITS))
            spent.append(time.monotonic() - began)
            if refusal is not None:
                raise refusal
            await database.write(lambda connection: release(connection, account, wanted))

    await asyncio.gather(*(one(number) for number in range(tasks)))
    return len(spent) / _SECONDS, statistics.median(spent) * 1000


async def _bare(database: Database) -> float:
    """The median of a durable commit that writes one row, in milliseconds."""
    spent = []

    def touch(connection: Connection) -> None:
        connection.execute("UPDATE buckets SET created_s = created_s + 1")

    for _ in range(300):
        began = time.monotonic()
        await database.write(touch)
        spent.append(time.monotonic() - began)
    return statistics.median(spent) * 1000
