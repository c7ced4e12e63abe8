"""Clients in processes of their own, who all want the same at once."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from tests.support.caller import Caller, parse_xml, text

RACERS = 8

Job = tuple[str, str, bytes, tuple[tuple[str, str], ...]]
"""Method, target, body, headers to sign."""


class Race:
    """Eight processes, each with a connection of its own."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, caller: Caller, jobs: Sequence[Job]) -> list[tuple[int, str]]:
        """Send all requests, an eighth from each process; statuses and error codes in the order of the jobs."""
        lanes = [jobs[lane::RACERS] for lane in range(RACERS)]
        answers = list(self._pool.map(_send_all, [caller] * RACERS, lanes))
        return [answers[number % RACERS][number // RACERS] for number in range(len(jobs))]


@contextmanager
def race() -> Iterator[Race]:
    """The processes, ready before anybody starts."""
    with ProcessPoolExecutor(RACERS, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_ready, range(RACERS * 4)))
        yield Race(pool)


def outcomes(answers: Sequence[tuple[int, str]]) -> Counter[str]:
    """How often each outcome was: "200", or the code of an error."""
    return Counter(code or str(status) for status, code in answers)


def _ready(number: int) -> int:
    return number


def _send_all(caller: Caller, jobs: Sequence[Job]) -> list[tuple[int, str]]:
    answers = []
    with caller.connect(timeout_s=60) as connection:
        for method, target, body, headers in jobs:
            answer = connection.exchange(caller.signed(method, target, body, headers))
            answers.append((answer.status, text(parse_xml(answer.body), "Code") if answer.status >= 300 else ""))
    return answers
