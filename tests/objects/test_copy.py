"""Copies: a second body of the same bytes, all or nothing, of the source as it is when it is read."""

import asyncio

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.copy import CopyRequest, copy_object
from gateway.objects.delete import delete_object
from gateway.objects.put import Attributes
from gateway.s3.checksums import Algorithm
from gateway.s3.conditions import Conditions, WriteCondition
from tests.support.data import pattern
from tests.support.house import LARGE, VOICE


def request(house, key="copy", bucket=None, attributes=None, **options) -> CopyRequest:
    target = house.target(key, bucket) if bucket else house.target(key)
    keep = lambda source: Attributes(source.headers, source.metadata, source.tags)  # noqa: E731
    return CopyRequest(target, attributes or keep, **options)


async def refusal(work) -> Code:
    with pytest.raises(S3Error) as refused:
        await work
    return refused.value.code


@pytest.mark.parametrize("size", [0, 10, LARGE])
async def test_a_copy_is_an_object_of_its_own(house, origin, size):
    source = await house.put("k", pattern(size), attributes=Attributes({"content-type": "a/b"}, {"m": "1"}, {"t": "1"}))
    record = await copy_object(house.rooms, source, request(house, bucket=VOICE))
    assert (record.bucket, record.key, record.etag, record.size) == ("demo-voice", "copy", source.etag, size)
    assert (record.headers, record.metadata, record.tags) == (source.headers, source.metadata, source.tags)
    assert record.location != source.location
    assert origin.metas[record.location].key == "copy"
    await delete_object(house.rooms, "demo-media", "k", None)
    assert await house.get("copy", "demo-voice") == pattern(size)
    house.is_clean(origin.locations)


async def test_a_copy_onto_itself_replaces_what_is_said_of_it(house, origin):
    source = await house.put("k", b"abc", attributes=Attributes({"content-type": "old/type"}))
    await copy_object(
        house.rooms, source, request(house, "k", attributes=lambda _: Attributes({"content-type": "new/type"}))
    )
    await house.settle()
    found = await house.find("k")
    assert found is not None
    assert found.headers == {"content-type": "new/type"}
    assert await house.get("k") == b"abc"
    assert len(origin.bodies) == 1
    house.is_clean(origin.locations)


async def test_another_checksum_is_computed_and_the_same_one_kept(house):
    source = await house.put("k", pattern(LARGE))
    kept = await copy_object(house.rooms, source, request(house, algorithm=Algorithm.CRC64NVME))
    assert kept.checksum == source.checksum
    computed = await copy_object(house.rooms, source, request(house, algorithm=Algorithm.SHA256))
    assert computed.checksum is not None
    assert (computed.checksum.algorithm, computed.checksum.type) == ("SHA256", "FULL_OBJECT")


@pytest.mark.parametrize("step", ["copy", "open", "read"])
@pytest.mark.parametrize("lost", [False, True])
async def test_an_origin_that_fails_at_any_step_leaves_what_was_there(house, origin, step, lost):
    source = await house.put("k", pattern(1000))
    await house.put("copy", b"the first")
    (origin.faults.lose_answer if lost else origin.faults.fail)(step)
    code = await refusal(copy_object(house.rooms, source, request(house, algorithm=Algorithm.SHA1)))
    assert code is Code.ServiceUnavailable
    assert await house.get("copy") == b"the first"
    assert origin.open_readers == 0 or step == "open"
    house.is_clean(origin.locations)


async def test_a_source_that_was_replaced_is_copied_as_it_is_now(house, origin):
    old = await house.put("k", b"old")
    await house.put("k", b"newer")
    await house.settle()
    record = await copy_object(house.rooms, old, request(house))
    assert record.size == 5
    assert await house.get("copy") == b"newer"
    house.is_clean(origin.locations)


async def test_the_largest_object_is_asked_of_what_replaced_the_source_too(house, origin):
    old = await house.put("k", b"old")
    await copy_object(house.rooms, old, request(house, key="fits", max_size=3))
    await house.put("k", b"newer")
    await house.settle()
    assert await refusal(copy_object(house.rooms, old, request(house, max_size=3))) is Code.EntityTooLarge
    house.is_clean(origin.locations)


async def test_a_condition_on_the_source_is_asked_of_what_replaced_it_too(house, origin):
    old = await house.put("k", b"old")
    await house.put("k", b"newer")
    await house.settle()
    code = await refusal(
        copy_object(house.rooms, old, request(house, source_conditions=Conditions(if_match=(old.etag,))))
    )
    assert code is Code.PreconditionFailed
    house.is_clean(origin.locations)


async def test_a_source_that_was_deleted_is_no_such_key(house, origin):
    old = await house.put("k", b"old")
    await delete_object(house.rooms, "demo-media", "k", None)
    assert await refusal(copy_object(house.rooms, old, request(house))) is Code.NoSuchKey
    house.is_clean(origin.locations)


async def test_a_source_that_is_deleted_after_the_copy_began_may_be_copied_or_gone_but_not_half(directory_house):
    house = directory_house
    for number in range(20):
        source = await house.put("k", pattern(100_000, number))
        copying = asyncio.ensure_future(copy_object(house.rooms, source, request(house)))
        deleting = asyncio.ensure_future(delete_object(house.rooms, "demo-media", "k", None))
        results = await asyncio.gather(copying, deleting, return_exceptions=True)
        if isinstance(results[0], S3Error):
            assert results[0].code is Code.NoSuchKey
        else:
            assert await house.get("copy") == pattern(100_000, number)


async def test_of_ten_copies_to_one_new_key_one_is_the_first(house, origin):
    source = await house.put("k", b"abc")
    wanted = request(house, condition=WriteCondition(if_none_match=True))
    results = await asyncio.gather(
        *(copy_object(house.rooms, source, wanted) for _ in range(10)), return_exceptions=True
    )
    assert len([result for result in results if not isinstance(result, BaseException)]) == 1
    house.is_clean(origin.locations)
