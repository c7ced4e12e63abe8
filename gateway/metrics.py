"""What is counted for the operator's monitoring: one table of metrics, and the tallies that cost little to keep.

https://prometheus.io/docs/practices/naming/
Labels are names of the configuration and closed sets, never what a client sends.

A metric of prometheus_client takes a lock for each number, which is most of what a small request may cost. So whatever
is counted with requests is counted in plain numbers of a Tally, which moves their growth into the metrics when it is
asked to: before each scrape, and with several processes from time to time in each of them. Their sums are right with
PROMETHEUS_MULTIPROC_DIR too, where every process has its own: https://prometheus.github.io/client_python/multiprocess/
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from weakref import WeakSet

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]

SEVERAL_PROCESSES: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that says that there are several, and where their numbers lie."""

OTHERS: Final = "(others)"
"""The label of all buckets together that are no category's: no category has such a name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table: its name as Prometheus shows it, what kind it is, its labels, what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """A gauge of what all processes share, looked up when somebody asks; only the one who answers tells it."""

    row: Metric

    def family(self, values: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
        """Its values by labels, as a collector gives them."""
        family = GaugeMetricFamily(self.row.name, self.row.help, labels=self.row.labels)
        for labels, value in values:
            family.add_metric(labels, value)
        return family


class GrowingHistogram(Histogram):
    """A histogram that takes what others have counted."""

    def add(self, growth: Sequence[int], total: float) -> None:
        """Add so many observations to each bucket, and their sum."""
        for bucket, more in zip(self._buckets, growth, strict=True):
            if more:
                bucket.inc(more)
        self._sum.inc(total)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a further series for each, which says nothing here
METRICS: Final[list[Metric]] = []


def _row(name: str, kind: Kind, labels: tuple[str, ...], text: str) -> Metric:
    METRICS.append(Metric(name, kind, labels, text))
    return METRICS[-1]


def _counter(name: str, text: str, *labels: str) -> Counter:
    row = _row(name, "counter", labels, text)
    return Counter(row.name, row.help, row.labels)


def _gauge(name: str, text: str, *labels: str, several: Literal["livesum", "livemax", "max"] = "livesum") -> Gauge:
    """`several`: what of several processes' values is told."""
    row = _row(name, "gauge", labels, text)
    return Gauge(row.name, row.help, row.labels, multiprocess_mode=several)


def _histogram(name: str, text: str, bounds: Sequence[float], *labels: str) -> GrowingHistogram:
    row = _row(name, "histogram", labels, text)
    return GrowingHistogram(row.name, row.help, row.labels, buckets=bounds)


def _gathered(name: str, text: str, *labels: str) -> Gathered:
    return Gathered(_row(name, "gauge", labels, text))


FIRST_BYTE_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
WHOLE_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
COMMIT_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LAG_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

# --- requests
REQUESTS: Final = _counter(
    "anbar_requests_total",
    "Requests that have ended, by S3 operation and by the status of the answer; 499: the client was gone before there "
    "was one. The operation is unknown where a request was refused before it was looked up.",
    "operation",
    "code",
)
FIRST_BYTE: Final = _histogram(
    "anbar_request_first_byte_seconds",
    "From a request's head to the first byte of its answer; of an upload that includes its body.",
    FIRST_BYTE_BOUNDS,
    "operation",
)
WHOLE: Final = _histogram(
    "anbar_request_duration_seconds",
    "From a request's head until the kernel has the last byte of its answer.",
    WHOLE_BOUNDS,
    "operation",
)
RECEIVED: Final = _counter(
    "anbar_received_bytes_total", "Bytes of request bodies that have arrived, with their framing by S3.", "operation"
)
SENT: Final = _counter("anbar_sent_bytes_total", "Bytes of answers' bodies that were sent.", "operation")
BROKEN_OFF: Final = _counter(
    "anbar_answers_broken_off_total",
    "Answers that ended before their last byte: the client went, or the body could not be read on.",
    "operation",
)
IN_FLIGHT: Final = _gauge("anbar_requests_in_flight", "Requests that have begun and not ended.")
CONNECTIONS: Final = _gauge("anbar_connections", "Open connections of clients, idle ones as well.")
ACCEPTED: Final = _counter("anbar_connections_accepted_total", "Connections that clients have made.")

# --- quotas
PROJECT_USED_BYTES: Final = _gathered("anbar_project_used_bytes", "Bytes that a project's objects take.", "project")
PROJECT_USED_OBJECTS: Final = _gathered("anbar_project_used_objects", "Objects of a project.", "project")
PROJECT_RESERVED_BYTES: Final = _gathered(
    "anbar_project_reserved_bytes", "Bytes that writes under way and open uploads have reserved.", "project"
)
PROJECT_LIMIT_BYTES: Final = _gathered(
    "anbar_project_limit_bytes", "The quota of a project in bytes, where it has one.", "project"
)
PROJECT_LIMIT_OBJECTS: Final = _gathered(
    "anbar_project_limit_objects", "The quota of a project in objects, where it has one.", "project"
)
CATEGORY_USED_BYTES: Final = _gathered(
    "anbar_category_used_bytes",
    f"Bytes that the objects of a category take; {OTHERS}: of all buckets together that clients have made.",
    "project",
    "category",
)
CATEGORY_USED_OBJECTS: Final = _gathered("anbar_category_used_objects", "Objects of a category.", "project", "category")
CATEGORY_RESERVED_BYTES: Final = _gathered(
    "anbar_category_reserved_bytes",
    "Bytes that writes under way and open uploads have reserved in a category.",
    "project",
    "category",
)
CATEGORY_LIMIT_BYTES: Final = _gathered(
    "anbar_category_limit_bytes", "The quota of a category in bytes, where it has one.", "project", "category"
)
CATEGORY_LIMIT_OBJECTS: Final = _gathered(
    "anbar_category_limit_objects", "The quota of a category in objects, where it has one.", "project", "category"
)
QUOTA_NEAR: Final = _counter(
    "anbar_quota_near_total",
    "Writes that brought a quota to 80 or 95 percent, or beyond.",
    "project",
    "percent",
)
QUOTA_REFUSED: Final = _counter("anbar_quota_refused_total", "Requests that a quota has refused.", "project")

# --- origins that speak S3
ORIGIN_REQUESTS: Final = _counter(
    "anbar_origin_requests_total",
    "Requests to an origin, each attempt by itself. Outcomes: ok; refused (an answer of status 3xx or 4xx); busy (429, "
    "503); failed (any other 5xx); not_reached; broken (the connection, or its answer); late; no_connection (all were "
    "busy); held_back (the breaker is open, nothing was sent).",
    "origin",
    "outcome",
)
ORIGIN_FIRST_BYTE: Final = _histogram(
    "anbar_origin_first_byte_seconds",
    "From a request to an origin to the head of its answer; of a streamed upload from the last byte of its body.",
    FIRST_BYTE_BOUNDS,
    "origin",
)
ORIGIN_BREAKER_OPEN: Final = _gauge(
    "anbar_origin_breaker_open",
    "1: the origin does not answer, requests to it are refused at once. Of several processes: how many do so.",
    "origin",
)

# --- the store
STORE_COMMIT: Final = _histogram(
    "anbar_store_commit_seconds",
    "The time for one commit, from its first statement until it is on the disk.",
    COMMIT_BOUNDS,
)
STORE_BATCH: Final = _histogram("anbar_store_commit_writes", "How many writes were committed together.", BATCH_BOUNDS)
STORE_QUEUE: Final = _gauge("anbar_store_queued_writes", "Writes that wait for the store, or are being committed.")
STORE_FAILURES: Final = _counter(
    "anbar_store_failures_total", "Times that the store could not be read or written; clients got 503."
)

# --- what goes on beside the requests
SWEEPS: Final = _counter(
    "anbar_sweeps_total",
    "Rounds of housekeeping, one a minute: done, postponed (the store refused) or failed.",
    "outcome",
)
SWEPT: Final = _gauge(
    "anbar_sweep_last_success_timestamp_seconds",
    "When the last round of housekeeping was done, since the epoch.",
    several="max",
)
GARBAGE: Final = _gathered(
    "anbar_garbage_bodies", "Bodies at origins that nothing refers to and that are to be removed."
)
OPEN_WRITES: Final = _gathered("anbar_open_writes", "Writes that have reserved room and are not done.")
OPEN_UPLOADS: Final = _gathered("anbar_open_uploads", "Multipart uploads that are neither completed nor aborted.")

# --- the process
LOOP_LAG: Final = _histogram(
    "anbar_loop_lag_seconds", "How late the event loop was for a timer, measured four times a second.", LAG_BOUNDS
)
TASKS: Final = _gauge(
    "anbar_tasks", "Tasks of the event loop that have not ended: the requests being answered, and what goes on beside."
)
WORKER_DEATHS: Final = _counter(
    "anbar_worker_deaths_total",
    "Workers that have ended and were replaced: died, or stuck (killed, as its event loop turned no more).",
    "reason",
)
ACCESS_LINES_LOST: Final = _counter(
    "anbar_access_log_lost_lines_total", "Lines of the access log that were not written: the disk is full, or too slow."
)
LOG_LEFT_OUT: Final = _counter(
    "anbar_log_left_out_messages_total", "Messages that were not logged, since there were too many of their kind."
)
BUILD: Final = _gathered("anbar_build_info", "Always 1; the version that runs.", "version")

# --- the cache of S3 origins' bodies
CACHE_REQUESTS: Final = _counter(
    "anbar_cache_requests_total",
    "Reads that the cache was asked for: hit (nothing came from the origin), partial, miss, passed (past the cache for "
    "want of memory).",
    "result",
)
CACHE_BYTES: Final = _counter(
    "anbar_cache_asked_bytes_total", "Bytes that were asked for and kept (hit), or fetched (miss).", "result"
)
CACHE_FOLLOWERS: Final = _counter(
    "anbar_cache_followers_total", "Reads that waited for a block that another one was fetching."
)
CACHE_FETCHES: Final = _counter("anbar_cache_fetches_total", "Requests to origins, each for one or more blocks.")
CACHE_FILLS: Final = _counter("anbar_cache_fills_total", "Blocks that came from origins.")
CACHE_FAILURES: Final = _counter("anbar_cache_failed_fetches_total", "Fetches that came to nothing.")
CACHE_EVICTIONS: Final = _counter("anbar_cache_evictions_total", "Blocks that made room, in memory and on disk.")
CACHE_DAMAGED: Final = _counter(
    "anbar_cache_damaged_blocks_total", "Blocks on disk that were not what was written; they were fetched anew."
)
CACHE_ERRORS: Final = _counter("anbar_cache_disk_errors_total", "Errors of the cache's disk.")
CACHE_MEMORY_BYTES: Final = _gauge("anbar_cache_memory_bytes", "Bytes that the cache holds in memory.")
CACHE_DISK_BYTES: Final = _gauge(
    "anbar_cache_disk_bytes", "Bytes that the cache holds on disk, for all processes together.", several="livemax"
)


_tallies: WeakSet["Tally"] = WeakSet()


class Tally(ABC):
    """Numbers that somebody counts. They only grow, so one thread may count while another tells."""

    __slots__ = ("__weakref__",)

    def __init__(self) -> None:
        _tallies.add(self)

    @abstractmethod
    def tell(self) -> None:
        """Move into the metrics what has come since the last time."""
        ...

    def end(self) -> None:
        """Tell what is left; there is nothing more to count."""
        self.tell()
        _tallies.discard(self)


def tell_all() -> None:
    """Bring the metrics up to date with every tally that is kept. From one thread only."""
    for tally in list(_tallies):
        tally.tell()


class Count:
    """A number that grows, and how much of it was told."""

    __slots__ = ("_told", "number")

    def __init__(self) -> None:
        self.number = 0
        self._told = 0

    def tell(self, counter: Counter) -> None:
        growth, self._told = self.number - self._told, self.number
        if growth:
            counter.inc(growth)


class Observations:
    """What a histogram's buckets have got; counted by one thread."""

    __slots__ = ("_bounds", "_told", "_told_total", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._told = list(self.counts)
        self._told_total = 0.0

    def note(self, value: float) -> None:
        """Count a value; a fifth of what the histogram itself would cost."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def tell(self, histogram: GrowingHistogram) -> None:
        counts, total = list(self.counts), self.total
        growth = [now - before for now, before in zip(counts, self._told, strict=True)]
        if any(growth):
            histogram.add(growth, max(total - self._told_total, 0.0))
            self._told, self._told_total = counts, total


def told_by_libraries() -> Iterator[Metric]:
    """Of the process itself; prometheus_client reads them from the kernel and the interpreter.

    Of several processes each is told, by the label `process`; one alone has none.
    """
    of_several = ("process",)
    rows: tuple[tuple[str, Kind, tuple[str, ...], str], ...] = (
        ("process_cpu_seconds_total", "counter", of_several, "CPU time, of the user and of the system."),
        ("process_resident_memory_bytes", "gauge", of_several, "Memory that is resident."),
        ("process_virtual_memory_bytes", "gauge", of_several, "Memory that is mapped."),
        ("process_start_time_seconds", "gauge", of_several, "When the process began, since the epoch."),
        ("process_open_fds", "gauge", of_several, "Open file descriptors."),
        ("process_max_fds", "gauge", of_several, "The most file descriptors that it may have open."),
        ("python_gc_collections_total", "counter", ("generation",), "Runs of the garbage collector."),
        ("python_gc_objects_collected_total", "counter", ("generation",), "Objects that it has freed."),
        ("python_gc_objects_uncollectable_total", "counter", ("generation",), "Objects that it could not free."),
        (
            "python_info",
            "gauge",
            ("implementation", "major", "minor", "patchlevel", "version"),
            "Always 1; the interpreter.",
        ),
    )
    return (Metric(*row) for row in rows)


def all_metrics() -> list[Metric]:
    """Every metric that a scrape may show."""
    return [*METRICS, *told_by_libraries()]
