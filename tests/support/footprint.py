"""What a running gateway takes of its machine: each process by itself, and what all have under way."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.support.gateway import Gateway
from tests.support.oracle import open_intents
from tests.support.process import open_descriptors, proportional_memory, resident_memory, threads

_NUMBER = re.compile(rb"\0worker\0.*\0--number\0([0-9]+)\0", re.DOTALL)
_TASKS = re.compile(r"^anbar_tasks ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one process; `proportional` and `resident` are bytes of memory."""

    pid: int
    descriptors: int
    threads: int
    proportional: int
    resident: int


@dataclass(frozen=True, slots=True)
class Footprints:
    """Of all processes, by `keeper` and `worker 0` and so on; tasks and open writes are those of all together."""

    processes: Mapping[str, Footprint]
    tasks: int
    intents: int


def footprints(gateway: Gateway) -> Footprints:
    """Raises OSError where a process ends meanwhile."""
    processes = {name: _footprint(pid) for name, pid in processes_of(gateway).items()}
    return Footprints(processes, running_tasks(gateway), open_intents(gateway))


def processes_of(gateway: Gateway) -> dict[str, int]:
    """The process ids of a gateway with several workers: its keeper, and they by their numbers."""
    found = {"keeper": gateway.pid}
    for child in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split():
        if number := _NUMBER.search(Path(f"/proc/{child}/cmdline").read_bytes()):
            found[f"worker {int(number[1])}"] = int(child)
    return dict(sorted(found.items()))


def running_tasks(gateway: Gateway) -> int:
    """As the metrics have it, which workers tell four times a second."""
    with urlopen(f"{gateway.admin_endpoint}/-/metrics", timeout=30) as answer:
        found = _TASKS.search(answer.read().decode())
    assert found is not None, "no anbar_tasks"
    return int(float(found[1]))


def _footprint(pid: int) -> Footprint:
    return Footprint(pid, open_descriptors(pid), threads(pid), proportional_memory(pid), resident_memory(pid))
