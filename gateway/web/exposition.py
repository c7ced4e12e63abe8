"""What /-/metrics answers: what was counted, and what all processes share as the store has it now.

Nothing here is done for a request, only for a scrape.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway import __version__
from gateway.errors import S3Error
from gateway.metrics import (
    BUILD,
    CATEGORY_LIMIT_BYTES,
    CATEGORY_LIMIT_OBJECTS,
    CATEGORY_RESERVED_BYTES,
    CATEGORY_USED_BYTES,
    CATEGORY_USED_OBJECTS,
    GARBAGE,
    OPEN_UPLOADS,
    OPEN_WRITES,
    OTHERS,
    PROJECT_LIMIT_BYTES,
    PROJECT_LIMIT_OBJECTS,
    PROJECT_RESERVED_BYTES,
    PROJECT_USED_BYTES,
    PROJECT_USED_OBJECTS,
    SEVERAL_PROCESSES,
    Gathered,
    tell_all,
)
from gateway.policy.model import PolicySet, Quota
from gateway.store.ledger import UsageRow, read_totals
from gateway.store.store import Store
from gateway.web.processes import Processes

_Labels = tuple[str, ...]
_Values = dict[_Labels, float]


class Exposition:
    """Answers scrapes. With several processes their keeper does so, for all; `workers`: their processes by number."""

    def __init__(
        self, store: Store, policies: Callable[[], PolicySet], workers: Callable[[], Mapping[int, int]] = dict
    ) -> None:
        self._store = store
        self._policies = policies
        self._workers = workers

    async def text(self) -> bytes:
        """All metrics in Prometheus' text form; without those of the store while it cannot be read."""
        tell_all()
        shared = CollectorRegistry()
        shared.register(_Shared(await self._gather()))
        return await asyncio.to_thread(_render, shared, self._workers())

    async def _gather(self) -> list[Metric]:
        families: list[Metric] = [BUILD.family([((__version__,), 1.0)])]
        try:
            if not self._store.is_fresh():  # this process need not be one that answers requests
                await self._store.refresh()
            totals = await read_totals(self._store.database)
            garbage, writes, uploads = await self._store.catalog.backlog()
        except S3Error:
            return families
        families += [
            GARBAGE.family([((), garbage)]),
            OPEN_WRITES.family([((), writes)]),
            OPEN_UPLOADS.family([((), uploads)]),
            *_usage(totals, self._policies()),
        ]
        return families


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """What was gathered, as a collector."""

    families: list[Metric]

    def collect(self) -> list[Metric]:
        return self.families

    def describe(self) -> list[Metric]:
        return []


def _render(shared: CollectorRegistry, workers: Mapping[int, int]) -> bytes:
    counted: CollectorRegistry = REGISTRY
    if SEVERAL_PROCESSES in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        counted.register(Processes(workers))
    return generate_latest(counted) + generate_latest(shared)


def _usage(rows: Iterable[UsageRow], policies: PolicySet) -> Iterator[Metric]:
    """Use and limits of projects and categories; names that only clients have made are told together."""
    told: dict[Gathered, _Values] = {}
    for row in rows:
        labels: _Labels = (row.project,)
        gathered = _OF_PROJECTS
        if row.category is not None:
            policy = policies.project(row.project)
            known = policy is not None and row.category in policy.categories
            gathered, labels = _OF_CATEGORIES, (row.project, row.category if known else OTHERS)
        for metric, value in zip(gathered, (row.bytes, row.objects, row.reserved_bytes), strict=True):
            values = told.setdefault(metric, {})
            values[labels] = values.get(labels, 0) + value
    for project in policies.projects:
        _limit(told, _PROJECT_LIMITS, (project.name,), project.quota)
        for category in project.categories.values():
            _limit(told, _CATEGORY_LIMITS, (project.name, category.name), category.quota)
    for metric, values in told.items():
        yield metric.family(values.items())


_OF_PROJECTS = (PROJECT_USED_BYTES, PROJECT_USED_OBJECTS, PROJECT_RESERVED_BYTES)
_OF_CATEGORIES = (CATEGORY_USED_BYTES, CATEGORY_USED_OBJECTS, CATEGORY_RESERVED_BYTES)
_PROJECT_LIMITS = (PROJECT_LIMIT_BYTES, PROJECT_LIMIT_OBJECTS)
_CATEGORY_LIMITS = (CATEGORY_LIMIT_BYTES, CATEGORY_LIMIT_OBJECTS)


def _limit(
    told: dict[Gathered, _Values], metrics: tuple[Gathered, Gathered], labels: _Labels, quota: Quota | None
) -> None:
    for metric, limit in zip(metrics, (quota.bytes, quota.objects) if quota else (None, None), strict=True):
        if limit is not None:
            told.setdefault(metric, {})[labels] = limit
