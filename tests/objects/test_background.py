"""Tasks with a keeper: none is lost, none is cut off by who asked for it, and failures are told once."""

import asyncio
import logging

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.background import Background


async def test_close_waits_for_what_was_started():
    background, done = Background(), []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(1)

    background.launch(work(), "work")
    await background.close(10.0)
    assert done == [1]


async def test_close_waits_for_what_the_waited_for_starts():
    background, done = Background(), []

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        background.launch(second(), "second")

    background.launch(first(), "first")
    await background.close(10.0)
    assert done == ["second"]


async def test_what_does_not_end_in_time_is_cancelled():
    background = Background()
    task = background.start(asyncio.Event().wait(), "for ever")
    await background.close(0.01)
    assert task.cancelled()


async def test_what_is_begun_when_something_is_cancelled_is_cut_off_as_well():
    """As the removal of what a write has left, at an origin that never answers."""
    background = Background()
    began, answered = asyncio.Event(), asyncio.Event()

    async def undo() -> None:
        began.set()
        await answered.wait()

    async def write() -> None:
        try:
            await answered.wait()
        finally:
            await background.finish(undo(), "undo")

    writing = background.start(write(), "write")
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await background.close(0.0)
    assert began.is_set()
    assert writing.cancelled()


async def test_the_work_goes_on_when_its_waiter_is_cancelled():
    background, go, done = Background(), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(1)

    waiter = asyncio.ensure_future(background.finish(work(), "work"))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    go.set()
    await background.close(10.0)
    assert done == [1]


async def test_the_waiter_gets_the_result_and_the_error():
    background = Background()

    async def fails() -> None:
        raise S3Error(Code.NoSuchKey)

    assert await background.finish(asyncio.sleep(0, "result"), "work") == "result"
    with pytest.raises(S3Error):
        await background.finish(fails(), "work")


async def test_a_failure_that_somebody_waits_for_is_theirs_alone(caplog):
    background = Background()

    async def fails() -> None:
        raise S3Error(Code.NoSuchUpload)

    with caplog.at_level(logging.WARNING), pytest.raises(S3Error):
        await background.finish(fails(), "work")
    assert caplog.records == [], "an answer to a client is nothing for the operator"


async def test_a_failure_that_nobody_waits_for_is_logged(caplog):
    background, go = Background(), asyncio.Event()

    async def fails() -> None:
        await go.wait()
        raise ValueError("nobody sees this")

    background.launch(fails(), "alone")
    waiter = asyncio.ensure_future(background.finish(fails(), "left"))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    go.set()
    await background.close(10.0)
    assert sorted(record.getMessage() for record in caplog.records) == [
        "background task alone failed",
        "background task left failed",
    ]
