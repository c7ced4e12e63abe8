"""The table of metrics keeps Prometheus' conventions, and tallies tell exactly what they were given, once."""

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.metrics import METRICS, Count, GrowingHistogram, Observations, Tally, all_metrics, tell_all

BOUNDED = {"operation", "code", "project", "category", "percent", "origin", "outcome", "reason", "result", "version"}
UNITS = ("_seconds", "_bytes", "_total", "_objects", "_info")
PLAIN = {  # counts of things, which have no unit
    "anbar_connections",
    "anbar_garbage_bodies",
    "anbar_open_uploads",
    "anbar_open_writes",
    "anbar_origin_breaker_open",
    "anbar_requests_in_flight",
    "anbar_store_commit_writes",
    "anbar_store_queued_writes",
    "anbar_tasks",
}
BOUNDS = (0.1, 1, 10)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_keeps_the_conventions(metric):
    assert re.fullmatch(r"anbar_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name in PLAIN or metric.name.endswith(UNITS)
    assert metric.help.endswith(".")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_labels_are_of_closed_sets(metric):
    assert set(metric.labels) <= BOUNDED


def test_no_name_is_in_the_table_twice():
    names = [metric.name for metric in all_metrics()]
    assert len(names) == len(set(names))


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


@given(st.lists(st.floats(min_value=0, max_value=20) | st.sampled_from(BOUNDS)), st.integers(0, 20))
def test_observations_are_told_as_the_histogram_itself_would_have_counted_them(values, first):
    told, counted = CollectorRegistry(), CollectorRegistry()
    growing = GrowingHistogram("h", "help", registry=told, buckets=BOUNDS)
    plain = Histogram("h", "help", registry=counted, buckets=BOUNDS)
    observations = Observations(BOUNDS)
    for index, value in enumerate(values):
        if index == first:
            observations.tell(growing)
        observations.note(value)
        plain.observe(value)
    observations.tell(growing)
    observations.tell(growing)
    assert samples(told) == pytest.approx(samples(counted))


def test_a_count_is_told_once():
    registry = CollectorRegistry()
    counter = Counter("c_total", "help", registry=registry)
    count = Count()
    count.number += 3
    count.tell(counter)
    count.tell(counter)
    count.number += 1
    count.tell(counter)
    assert samples(registry) == {("c_total", ""): 4}


class Noted(Tally):
    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def tell(self) -> None:
        self.told += 1


def test_every_tally_is_told_until_it_ends():
    kept, ended = Noted(), Noted()
    ended.end()
    assert ended.told == 1, "what was left"
    tell_all()
    assert (kept.told, ended.told) == (1, 1)


WORKER = """
import os
import sys
from gateway.metrics import FIRST_BYTE, FIRST_BYTE_BOUNDS, IN_FLIGHT, SENT, SWEPT, Count, Observations
observed, sent = Observations(FIRST_BYTE_BOUNDS), Count()
for _ in range(int(sys.argv[1])):
    observed.note(0.002)
    sent.number += 10
observed.tell(FIRST_BYTE.labels("GetObject"))
sent.tell(SENT.labels("GetObject"))
IN_FLIGHT.set(int(sys.argv[1]))
SWEPT.set(int(sys.argv[1]))
from gateway.web.exposition import _render
from prometheus_client import CollectorRegistry
print(_render(CollectorRegistry(), {0: os.getppid(), 1: 0}).decode())
"""


def test_several_processes_are_told_together(tmp_path):
    """Each keeps its numbers in a directory that all share; who is asked last tells the sums."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for growth in ("3", "4"):
        done = subprocess.run(
            [sys.executable, "-c", WORKER, growth], env=environment, capture_output=True, text=True, check=True
        )
    told = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines() if line[:1] not in ("", "#"))
    assert float(told['anbar_sent_bytes_total{operation="GetObject"}']) == 70
    assert float(told['anbar_request_first_byte_seconds_count{operation="GetObject"}']) == 7
    assert float(told['anbar_request_first_byte_seconds_bucket{le="0.001",operation="GetObject"}']) == 0
    assert float(told['anbar_request_first_byte_seconds_sum{operation="GetObject"}']) == pytest.approx(0.014)
    assert float(told["anbar_sweep_last_success_timestamp_seconds"]) == 4
    assert float(told["anbar_requests_in_flight"]) in (4, 7)  # of living processes only
    assert {name for name in told if name.startswith("process_open_fds")} == {
        'process_open_fds{process="keeper"}',
        'process_open_fds{process="worker-0"}',
    }
