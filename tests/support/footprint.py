"""What a running gateway takes of its machine: each process by itself, and what all have under way."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.support.gateway import Gateway
from tests.support.oracle import open_intents
from tests.support.process import open_paths, proportional_memory, resident_memory, threads

_NUMBER = re.compile(rb"\0worker\0.*\0--number\0([0-9]+)\0", re.DOTALL)
_TASKS = re.compile(r"^anbar_tasks ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one process; `proportional` and `resident` are bytes of memory.

    `kept` are the files that it has open for the next reader, bodies and blocks of the cache; `descriptors` all others.
    """

    pid: int
    descriptors: int
    kept: int
    threads: int
    proportional: int
    resident: int


@dataclass(frozen=True, slots=True)
class Footprints:
    """Of all processes, by `keeper` and `worker 0` and so on; tasks and open writes are those of all together.

    `store` is the size of the store's file in bytes.
    """

    processes: Mapping[str, Footprint]
    tasks: int
    intents: int
    store: int


def footprints(gateway: Gateway) -> Footprints:
    """Raises OSError where a process ends meanwhile."""
    processes = {name: _footprint(gateway, pid) for name, pid in processes_of(gateway).items()}
    return Footprints(processes, running_tasks(gateway), open_intents(gateway), gateway.store_file.stat().st_size)


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


def kept_files(gateway: Gateway, pid: int) -> list[str]:
    """The bodies and blocks that a process has open for the next reader."""
    folders = tuple(f"{gateway.directory}/var/{name}/" for name in ("disk", "cache"))
    return [path for path in open_paths(pid) if path.startswith(folders)]


def _footprint(gateway: Gateway, pid: int) -> Footprint:
    paths, kept = open_paths(pid), kept_files(gateway, pid)
    return Footprint(
        pid,
        descriptors=len(paths) - len(kept),
        kept=len(kept),
        threads=threads(pid),
        proportional=proportional_memory(pid),
        resident=resident_memory(pid),
    )
