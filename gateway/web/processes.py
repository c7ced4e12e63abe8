"""What the kernel says of each of several processes: the keeper, which answers scrapes, and its workers.

prometheus_client reads `/proc` of one process, by default its own; the others here are of the same user.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector

KEEPER = "keeper"


class Processes(Collector):
    """A collector. `workers`: the processes by the workers' numbers; one that ends meanwhile is not told."""

    def __init__(self, workers: Mapping[int, int]) -> None:
        self._found = {KEEPER: _collector("self")}
        self._found |= {f"worker-{number}": _collector(pid) for number, pid in workers.items()}

    def collect(self) -> Iterator[Metric]:
        told: dict[str, Metric] = {}
        for process, collector in self._found.items():
            for family in collector.collect():
                whole = told.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    whole.add_sample(sample.name, {"process": process}, sample.value)
        yield from told.values()

    def describe(self) -> list[Metric]:
        return []


def _collector(pid: int | str) -> ProcessCollector:
    return ProcessCollector(pid=lambda: pid, registry=None)
