"""What the cache counts is told to Prometheus, once, and what its tiers hold as it is."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from gateway.cache.board import COUNTED, Board
from gateway.cache.names import BLOCK
from gateway.metrics import tell_all
from tests.support.warm import worker

LARGE = bytes(3 * BLOCK + 1000)


class Growth:
    """What has come to a counter since the test began."""

    def __init__(self) -> None:
        tell_all()
        self._before: dict[tuple[str, str], float] = {}
        self._before = {(name, result): self(name, result) for name, result in self._names()}

    def __call__(self, name: str, result: str = "") -> float:
        labels = {"result": result} if result else {}
        value = REGISTRY.get_sample_value(f"anbar_cache_{name}", labels) or 0.0
        return value - self._before.get((name, result), 0.0)

    def _names(self) -> Iterator[tuple[str, str]]:
        for family in REGISTRY.collect():
            for sample in family.samples:
                if sample.name.startswith("anbar_cache_") and sample.name.endswith("_total"):
                    yield sample.name.removeprefix("anbar_cache_"), sample.labels.get("result", "")


@pytest.fixture
def growth() -> Growth:
    return Growth()


@pytest.mark.parametrize("on_disk", [False, True])
async def test_reads_are_told_by_what_was_kept_of_them(growth, tmp_path, on_disk):
    async with worker(path=tmp_path / "cache" if on_disk else None) as warm:
        await warm.rest()
        warm.put("large", LARGE)
        assert (await warm.ask("large", BLOCK, BLOCK))[0] == "miss"
        await warm.rest()
        assert (await warm.ask("large"))[0] == "partial"
        await warm.rest()
        assert (await warm.ask("large"))[0] == "hit"
        tell_all()
        tell_all()
        assert [growth("requests_total", result) for result in ("hit", "partial", "miss", "passed")] == [1, 1, 1, 0]
        assert growth("asked_bytes_total", "hit") == len(LARGE) + BLOCK
        assert growth("asked_bytes_total", "miss") == len(LARGE)
        assert growth("fills_total") == 4
        assert growth("fetches_total") == 3
        held = "disk" if on_disk else "memory"
        assert (REGISTRY.get_sample_value(f"anbar_cache_{held}_bytes") or 0) >= len(LARGE)
    assert REGISTRY.get_sample_value("anbar_cache_memory_bytes") == 0


async def test_a_slot_that_is_taken_later_begins_at_nothing(growth, tmp_path):
    board = Board(tmp_path / "board")
    async with worker(board=board) as warm:
        warm.put("k", b"x")
        await warm.get("k")
        tell_all()
        board.join()
        await warm.rest()
        await warm.get("k")
        tell_all()
        assert growth("requests_total", "miss") == 1
        assert growth("requests_total", "hit") == 1
    board.close()


async def test_whatever_a_worker_counts_is_told_under_its_own_name(growth):
    told = {
        "hits": ("requests_total", "hit"),
        "partials": ("requests_total", "partial"),
        "misses": ("requests_total", "miss"),
        "passed": ("requests_total", "passed"),
        "followers": ("followers_total", ""),
        "hit_bytes": ("asked_bytes_total", "hit"),
        "miss_bytes": ("asked_bytes_total", "miss"),
        "requests": ("fetches_total", ""),
        "fills": ("fills_total", ""),
        "failures": ("failed_fetches_total", ""),
        "evictions": ("evictions_total", ""),
        "damaged": ("damaged_blocks_total", ""),
        "errors": ("disk_errors_total", ""),
    }
    assert set(told) == set(COUNTED)
    async with worker() as warm:
        for index, _ in enumerate(COUNTED, start=1):
            warm.board.counts[index] += index
        tell_all()
        assert [growth(*told[name]) for name in COUNTED] == [*range(1, len(COUNTED) + 1)]


@pytest.mark.parametrize("on_disk", [False, True])
async def test_blocks_that_make_room_are_told(growth, tmp_path, on_disk):
    async with worker(path=tmp_path / "cache" if on_disk else None, memory=1 << 20, disk=1 << 20) as warm:
        await warm.rest()
        for number in range(10):
            warm.put(f"{number}", bytes(200_000) + bytes([number]))
            await warm.get(f"{number}")
            await warm.rest()
        tell_all()
        assert 5 <= growth("evictions_total") < 10
