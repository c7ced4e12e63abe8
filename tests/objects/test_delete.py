"""Deleting: gone for clients at once, charged until the bytes are gone, conditions decided in the store."""

import asyncio

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.delete import delete_object
from gateway.s3.conditions import WriteCondition


async def deleted(house, key="k", condition=None) -> None:
    await delete_object(house.rooms, "demo-media", key, condition)


async def test_bytes_and_usage_are_gone_when_it_returns(house, origin):
    await house.put("k", b"abc")
    await deleted(house)
    assert await house.get("k") is None
    assert origin.locations == set()
    house.is_clean(origin.locations)
    assert house.rows("SELECT sum(bytes), sum(objects) FROM usage") == [(0, 0)]


async def test_what_is_not_there_may_be_deleted(house, origin):
    await deleted(house)
    assert "delete" not in origin.faults.seen


async def test_an_origin_that_cannot_remove_now_makes_it_gone_for_clients_and_still_charged(house, origin):
    await house.put("k", b"abc")
    origin.faults.fail("delete")
    await deleted(house)
    assert await house.find("k") is None
    assert house.rows("SELECT bytes FROM usage WHERE category = ''") == [(3,)]
    await house.rooms.collector.collect_all()
    house.is_clean(origin.locations)


@pytest.mark.parametrize(
    ("there", "condition", "code"),
    [
        (True, WriteCondition(if_match='"x"'), Code.PreconditionFailed),
        (False, WriteCondition(if_match='"x"'), Code.NoSuchKey),
        (True, WriteCondition(if_match="*"), None),
    ],
)
async def test_a_condition_decides(house, there, condition, code):
    if there:
        await house.put("k", b"abc")
    if code is None:
        await deleted(house, condition=condition)
        assert await house.find("k") is None
        return
    with pytest.raises(S3Error) as refused:
        await deleted(house, condition=condition)
    assert refused.value.code is code
    assert (await house.find("k") is not None) == there


async def test_a_delete_whose_client_has_gone_is_finished(house, origin):
    await house.put("k", b"abc")
    pause = origin.faults.pause("delete")
    deleting = asyncio.ensure_future(deleted(house))
    await pause.reached.wait()
    deleting.cancel()
    await asyncio.gather(deleting, return_exceptions=True)
    pause.resume.set()
    await house.settle()
    house.is_clean(origin.locations)


async def test_many_deletes_of_one_object_give_back_once(house, origin):
    await house.put("k", b"abc")
    await house.put("kept", b"12345")
    await asyncio.gather(*(deleted(house) for _ in range(10)))
    house.is_clean(origin.locations)
    assert house.rows("SELECT bytes, objects FROM usage WHERE category = ''") == [(5, 1)]


async def test_puts_and_deletes_in_any_order_end_with_exact_usage(house, origin):
    works = []
    for number in range(60):
        key = f"k{number % 4}"
        works.append(house.put(key, b"x" * number) if number % 3 else deleted(house, key))
    await asyncio.gather(*works)
    await house.settle()
    house.is_clean(origin.locations)
    assert set(origin.bodies) == house.needed_locations()
