"""One at a time for each key, and nothing kept for keys that nobody holds."""

import asyncio

import pytest

from gateway.objects.locks import KeyedLocks
from gateway.store.runs import Runs


async def test_one_at_a_time_for_one_key_and_others_beside():
    locks, inside, most = KeyedLocks(), {"a": 0, "b": 0}, {"a": 0, "b": 0}

    async def work(key: str) -> None:
        async with locks.hold(key):
            inside[key] += 1
            most[key] = max(most[key], inside[key])
            await asyncio.sleep(0)
            inside[key] -= 1

    await asyncio.gather(*(work(key) for key in "ab" * 10))
    assert most == {"a": 1, "b": 1}
    assert locks._locks == {}


async def test_those_who_give_up_waiting_or_fail_inside_leave_no_lock_behind():
    locks = KeyedLocks()

    async def hold() -> None:
        async with locks.hold("k"):
            await asyncio.Event().wait()

    tasks = [asyncio.ensure_future(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in (tasks[1], tasks[0], tasks[2]):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ValueError):
        async with locks.hold("k"):
            raise ValueError
    assert locks._locks == {}
    async with locks.hold("k"):
        pass


async def test_another_process_is_kept_out_until_it_is_done(tmp_path):
    ours, theirs = Runs(tmp_path / "runs"), Runs(tmp_path / "runs")
    mine, others = KeyedLocks(ours), KeyedLocks(theirs)
    told = []

    async def wait(name: str) -> None:
        async with others.hold("k"):
            told.append(name)

    async with mine.hold("k"):
        waiting = [asyncio.ensure_future(wait("first")), asyncio.ensure_future(wait("second"))]
        async with others.hold("another"):
            told.append("beside")
        await asyncio.sleep(0)
        told.append("ours")
    await asyncio.gather(*waiting)
    assert told == ["beside", "ours", "first", "second"]
    ours.close()
    theirs.close()
