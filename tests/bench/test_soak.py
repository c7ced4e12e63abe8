"""bench/soak.py: what grows is told from what varies, on samples that are made up."""

from dataclasses import replace

from bench.soak import Sample, judge, render, replaced
from tests.support.footprint import Footprint, Footprints
from tests.support.process import MIB

WORKER = Footprint(pid=7, descriptors=40, kept=300, threads=15, proportional=100 * MIB, resident=140 * MIB)
STEADY = [
    Sample(at_s, Footprints({"worker 0": WORKER}, tasks=20, intents=3, store=5 * MIB)) for at_s in range(0, 1800, 10)
]


def growing(**an_hour: float) -> list[Sample]:
    """The same, where these figures of the worker grow by so much an hour."""

    def later(sample: Sample) -> Sample:
        more = {name: getattr(WORKER, name) + int(growth * sample.at_s / 3600) for name, growth in an_hour.items()}
        return replace(sample, taken=replace(sample.taken, processes={"worker 0": replace(WORKER, **more)}))

    return [later(sample) for sample in STEADY]


def grew(samples: list[Sample]) -> list[str]:
    return [row.what for row in judge(samples) if row.grew]


def test_what_stays_as_it_is_has_not_grown():
    assert grew(STEADY) == []
    assert "GREW" not in render(judge(STEADY))


def test_what_varies_from_one_moment_to_the_next_has_not_grown():
    varying = [
        replace(sample, taken=replace(sample.taken, tasks=5 if number % 2 else 60, intents=number % 5))
        for number, sample in enumerate(STEADY)
    ]
    assert grew(varying) == []


def test_whatever_grows_is_named():
    assert grew(growing(descriptors=300)) == ["descriptors"]
    assert grew(growing(kept=1000)) == ["kept"]
    assert grew(growing(threads=20)) == ["threads"]
    assert grew(growing(proportional=40 * MIB, resident=20 * MIB)) == ["proportional MiB"]
    assert "GREW" in render(judge(growing(resident=40 * MIB)))


def test_tasks_and_open_writes_of_all_that_add_up_are_named():
    adding = [
        replace(sample, taken=replace(sample.taken, tasks=20 + number, intents=number // 4))
        for number, sample in enumerate(STEADY)
    ]
    assert grew(adding) == ["tasks", "intents"]


def test_memory_that_is_taken_in_the_beginning_only_is_no_leak():
    filling = [
        sample if sample.at_s < 500 else later for sample, later in zip(STEADY, growing(resident=0), strict=True)
    ]
    small = replace(WORKER, resident=80 * MIB)
    filling = [
        replace(each, taken=replace(each.taken, processes={"worker 0": small})) if each.at_s < 500 else each
        for each in filling
    ]
    assert grew(filling) == []


def test_what_is_kept_of_a_store_that_grows_is_no_leak():
    larger = [
        replace(sample, taken=replace(sample.taken, store=int((5 + 20 * sample.at_s / 3600) * MIB)))
        for sample in growing(resident=60 * MIB, proportional=60 * MIB)
    ]
    assert grew(growing(resident=60 * MIB)) == ["resident MiB"]
    assert grew(larger) == []


def test_a_process_that_was_replaced_is_named():
    another = Footprints({"worker 0": replace(WORKER, pid=8)}, tasks=20, intents=3, store=5 * MIB)
    assert replaced(STEADY) == []
    assert replaced([*STEADY, Sample(1800, another)]) == ["worker 0"]
