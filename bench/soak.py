"""python -m bench.soak: does the gateway stay as small as it was, for as long as one likes?

A gateway with two workers, a cache, quotas, a directory and an S3 endpoint that fails now and then; clients that do
everything again and again with the same few keys, some of it wrong, and who sometimes leave in the middle. Every few
seconds each process is looked at from outside. Since there is never more to hold, whatever is larger in the last third
of the time than in the first one is a leak: then the exit code is 1. Memory is judged by its slope after the first
third, in which caches fill.
"""

import argparse
import asyncio
import json
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, linear_regression
from typing import TextIO

from tests.support.caller import Caller
from tests.support.footprint import Footprints, footprints
from tests.support.many_clients import arm
from tests.support.process import MIB
from tests.support.regulars import BUCKETS, Regular, gateway_of_regulars
from tests.support.s3_gateway import recovered, settled
from tests.support.scripted_origin import ScriptedOrigin

WORKERS = 2
CLIENTS = 16
FAULTS = 0.2
"""Of the shares of what goes wrong at the endpoint in the tests."""
MEMORY_MIB_PER_HOUR = 32.0
"""The most that a process may grow by, besides what it keeps of the store."""
CONNECTIONS = 3
"""Of a process to the store; each keeps what it has read of it, up to 16 MiB. The store grows: it remembers completed
uploads for a day."""
MORE = {"descriptors": 16.0, "kept": 128.0, "threads": 4.0, "tasks": 16.0, "intents": 8.0}
"""By how much the mean of the last third may be above that of the first: what clients have open at the moment varies,
and so does how many removed bodies are still open at other workers, until their next sweep."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was there at one moment, in seconds from the beginning."""

    at_s: float
    taken: Footprints


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one process, or of all: its means, by how much more it may be, and what it is in the end."""

    who: str
    what: str
    first: float
    last: float
    growth: float
    most: float

    @property
    def grew(self) -> bool:
        return self.growth > self.most


def judge(samples: Sequence[Sample]) -> list[Row]:
    """Hold the last third of the samples against the first one; there must be three at least."""
    third = len(samples) // 3
    first, last, later = samples[:third], samples[-third:], samples[third:]
    rows: list[Row] = []
    most = MEMORY_MIB_PER_HOUR + CONNECTIONS * max(_growth([(each.at_s, each.taken.store) for each in later]), 0.0)
    for who in samples[0].taken.processes:
        rows += [
            _counted(who, what, _mean_of(first, who, what), _mean_of(last, who, what))
            for what in ("descriptors", "kept", "threads")
        ]
        for what in ("proportional", "resident"):
            means = _mean_of(first, who, what) / MIB, _mean_of(last, who, what) / MIB
            rows.append(Row(who, f"{what} MiB", *means, _slope(later, who, what), most))
    for what in ("tasks", "intents"):
        means = fmean(getattr(each.taken, what) for each in first), fmean(getattr(each.taken, what) for each in last)
        rows.append(_counted("all", what, *means))
    return rows


def replaced(samples: Sequence[Sample]) -> list[str]:
    """The processes that are not the ones they were in the beginning."""
    began = {who: taken.pid for who, taken in samples[0].taken.processes.items()}
    return sorted(
        {who for sample in samples for who, taken in sample.taken.processes.items() if began.get(who) != taken.pid}
    )


def _counted(who: str, what: str, first: float, last: float) -> Row:
    return Row(who, what, first, last, last - first, MORE[what])


def _mean_of(samples: Sequence[Sample], who: str, what: str) -> float:
    return fmean(getattr(sample.taken.processes[who], what) for sample in samples if who in sample.taken.processes)


def _slope(samples: Sequence[Sample], who: str, what: str) -> float:
    return _growth(
        [(each.at_s, getattr(each.taken.processes[who], what)) for each in samples if who in each.taken.processes]
    )


def _growth(found: Sequence[tuple[float, int]]) -> float:
    """MiB an hour of sizes at times in seconds."""
    times, sizes = zip(*found, strict=True)
    return linear_regression(times, sizes).slope * 3600 / MIB


def render(rows: Sequence[Row]) -> str:
    lines = [f"{'process':<10}{'figure':<18}{'first third':>12}{'last third':>12}{'growth':>12}{'bound':>9}", "-" * 80]
    for row in rows:
        growth = f"{row.growth:+.1f}" + ("/h" if row.what.endswith("MiB") else "")
        verdict = "GREW" if row.grew else ""
        text = f"{row.who:<10}{row.what:<18}{row.first:>12.1f}{row.last:>12.1f}{growth:>12}{row.most:>9.0f} {verdict}"
        lines.append(text.rstrip())
    return "\n".join(lines)


class Soak:
    """One run: the load goes on in a thread of its own while this one looks."""

    def __init__(self, directory: Path, seed: str, looks: TextIO | None = None) -> None:
        """`looks`: where each sample goes, a line of JSON."""
        self._chance = random.Random(seed)
        self._directory = directory
        self._looks = looks
        self._over = threading.Event()
        self.rounds = 0
        self.samples: list[Sample] = []
        self.clients: list[Regular] = []

    def run(self, seconds: float, every_s: float) -> None:
        """Raises AssertionError for what is lost or left in the end."""
        with (
            ScriptedOrigin(tls=True) as origin,
            gateway_of_regulars(self._directory, origin, workers=WORKERS) as gateway,
        ):
            caller = Caller.of(gateway)
            for number in range(CLIENTS):
                chance = random.Random(self._chance.random())
                self.clients.append(Regular(caller, f"c{number}", chance, BUCKETS[number % len(BUCKETS)]))
            arm(origin, self._chance, part=FAULTS)
            load = threading.Thread(target=asyncio.run, args=[self._live()], name="load")
            load.start()
            began_s = time.monotonic()
            try:
                while (at_s := time.monotonic() - began_s) < seconds and load.is_alive():
                    self._look(Sample(at_s, footprints(gateway)))
                    origin.clear_journal()
                    _say(f"{at_s:.0f} of {seconds:.0f} s: {self.rounds} rounds")
                    self._over.wait(every_s)
            finally:
                self._over.set()
                load.join()
            _say("")
            recovered(caller, origin)
            asyncio.run(self._tidy())
            for client in self.clients:
                client.verify()
            assert origin.unexpected == [], origin.unexpected[:5]
            settled(gateway, origin)

    def _look(self, sample: Sample) -> None:
        self.samples.append(sample)
        if self._looks is not None:
            print(json.dumps(asdict(sample)), file=self._looks, flush=True)

    @property
    def heard(self) -> Counter[str]:
        return sum((client.heard for client in self.clients), Counter[str]())

    @property
    def mistakes(self) -> list[str]:
        return [mistake for client in self.clients for mistake in client.mistakes]

    async def _live(self) -> None:
        await asyncio.gather(*map(self._again_and_again, self.clients))

    async def _again_and_again(self, client: Regular) -> None:
        while not self._over.is_set():
            await client.round()
            await client.tidy()
            self.rounds += 1

    async def _tidy(self) -> None:
        await asyncio.gather(*[client.tidy() for client in self.clients])


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N")
    parser.add_argument("--every", type=float, default=5.0, metavar="S", help="seconds from one look to the next")
    parser.add_argument("--seed", default=secrets.token_hex(4), metavar="TEXT")
    parser.add_argument("--looks", type=argparse.FileType("w"), metavar="FILE", help="where each look goes, as JSON")
    arguments = parser.parse_args()
    if arguments.every <= 0 or arguments.minutes * 60 < 3 * arguments.every:
        parser.error("the time must be enough for three looks")
    print(f"--seed {arguments.seed} --minutes {arguments.minutes:g}", flush=True)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="anbar-soak-") as directory:
        soak = Soak(Path(directory) / "gateway", arguments.seed, arguments.looks)
        try:
            soak.run(arguments.minutes * 60, arguments.every)
        except AssertionError as error:
            wrong.append(f"in the end: {error}")
    rows = judge(soak.samples)
    print(render(rows))
    print(f"{soak.rounds} rounds, {soak.heard.total()} requests: {dict(sorted(soak.heard.items()))}")
    wrong += [*soak.mistakes[:20], *(f"{who} was replaced" for who in replaced(soak.samples))]
    for line in wrong:
        print(line)
    return 1 if wrong or any(row.grew for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
