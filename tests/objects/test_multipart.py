"""Multipart uploads: parts in any order and in place of each other, and nothing left whoever fails."""

import asyncio

import pytest

from gateway.errors import Code
from gateway.objects.bodies import Claims
from gateway.objects.complete import CompleteRequest, complete_upload
from gateway.objects.multipart import abort_upload, copy_part, put_part, upload_meta
from gateway.objects.sweeper import recover, sweep
from gateway.origin.errors import OutcomeUnknown
from gateway.s3.checksums import Algorithm
from gateway.s3.conditions import NO_CONDITIONS, Conditions
from gateway.s3.documents import CompletePart
from gateway.store.changes import ChangeCounter
from tests.objects.uploads import begun, parts_of, refusal
from tests.support.data import pattern
from tests.support.house import House, body_of, copy_store, open_house
from tests.support.memory_origin import MemoryOrigin


async def test_a_part_in_place_of_another_counts_and_the_old_one_goes(house, origin):
    upload = await begun(house)
    await parts_of(house, upload, b"old")
    listed = await parts_of(house, upload, b"new")
    await complete_upload(house.rooms, upload, CompleteRequest(listed))
    await house.settle()
    assert await house.get("film") == b"new"
    assert sorted(origin.bodies.values()) == [b"new"]
    house.is_clean(origin.locations)


async def test_an_abort_removes_all_parts_and_ends_the_id(house, origin):
    upload = await begun(house)
    listed = await parts_of(house, upload, b"one", b"two")
    await abort_upload(house.rooms, upload.upload_id)
    assert origin.locations == set()
    house.is_clean(origin.locations)
    for work in (
        complete_upload(house.rooms, upload, CompleteRequest(listed)),
        put_part(house.rooms, upload, 1, body_of(b"x")),
        abort_upload(house.rooms, upload.upload_id),
    ):
        assert (await refusal(work)).code is Code.NoSuchUpload
    house.is_clean(origin.locations)


# What is under way when an upload ends may still land at an S3 endpoint.

SETTLE_S = 900


@pytest.fixture
def remote() -> MemoryOrigin:
    return MemoryOrigin(own_keys=True, settle_s=SETTLE_S)


async def nothing_is_left(house: House, origin: MemoryOrigin) -> None:
    """The next sweep removes what has landed since, and the upload is watched until nothing can land any more."""
    await house.settle()
    await sweep(house.rooms)
    assert origin.bodies == {}
    assert house.count("garbage") > 0, "something may still come"
    house.clock.now_s += SETTLE_S
    await sweep(house.rooms)
    house.is_clean(origin.locations)


async def test_a_part_that_lands_after_the_abort_of_its_upload_is_removed(tmp_path, remote):
    async with open_house(tmp_path / "store", remote) as house:
        upload = await begun(house)
        pause = remote.faults.pause("store")
        late = asyncio.ensure_future(put_part(house.rooms, upload, 1, body_of(b"late")))
        await pause.reached.wait()
        await abort_upload(house.rooms, upload.upload_id)
        pause.resume.set()
        assert (await refusal(late)).code is Code.NoSuchUpload
        assert list(remote.bodies.values()) == [b"late"]
        await nothing_is_left(house, remote)


async def test_a_part_of_which_nobody_heard_that_lands_after_the_abort_is_removed(tmp_path, remote):
    async with open_house(tmp_path / "store", remote) as house:
        upload = await begun(house)
        remote.faults.fail("store", error=OutcomeUnknown("lost"))
        assert (await refusal(put_part(house.rooms, upload, 1, body_of(b"late")))).code is Code.SlowDown
        await abort_upload(house.rooms, upload.upload_id)
        remote.bodies[f"{upload.location}1-late"] = b"late"
        await nothing_is_left(house, remote)


async def test_a_complete_of_which_nobody_heard_that_is_done_after_the_abort_is_undone(tmp_path, remote):
    async with open_house(tmp_path / "store", remote) as house:
        upload = await begun(house)
        listed = await parts_of(house, upload, b"x")
        remote.faults.fail("assemble", error=OutcomeUnknown("lost"))
        assert (await refusal(complete_upload(house.rooms, upload, CompleteRequest(listed)))).code is Code.SlowDown
        await abort_upload(house.rooms, upload.upload_id)
        remote.end(upload.location.partition("?")[0], b"x", upload_meta(upload))
        await nothing_is_left(house, remote)


async def test_an_upload_of_which_nothing_is_under_way_is_gone_with_its_abort(tmp_path, remote):
    async with open_house(tmp_path / "store", remote) as house:
        upload = await begun(house)
        other = await begun(house, "other")
        await parts_of(house, upload, b"x")
        pause = remote.faults.pause("store")
        part = asyncio.ensure_future(put_part(house.rooms, other, 1, body_of(b"of another upload")))
        await pause.reached.wait()
        await abort_upload(house.rooms, upload.upload_id)
        assert house.count("garbage") == 0
        pause.resume.set()
        await part


@pytest.mark.parametrize("step", ["store", "create", "write", "finish"])
@pytest.mark.parametrize("lost", [False, True])
async def test_an_origin_that_fails_a_part_leaves_the_part_that_was_there(house, origin, step, lost):
    upload = await begun(house)
    listed = await parts_of(house, upload, b"the first")
    (origin.faults.lose_answer if lost else origin.faults.fail)(step)
    body = b"second" if step == "store" else pattern(200_000)
    assert (await refusal(put_part(house.rooms, upload, 1, body_of(body)))).code is Code.ServiceUnavailable
    assert list(origin.bodies.values()) == [b"the first"]
    await complete_upload(house.rooms, upload, CompleteRequest(listed))
    await house.settle()
    house.is_clean(origin.locations)


@pytest.mark.parametrize("turns", [0, 1, 2, 4])
async def test_an_upload_whose_client_goes_before_it_is_told_the_id_holds_nothing(house, origin, turns):
    lock = ChangeCounter(house.path.with_name(house.path.name + "-lock"))
    lock.lock(1.0)  # so that it has to wait for the store
    creating = asyncio.ensure_future(begun(house))
    for _ in range(turns):
        await asyncio.sleep(0)
    creating.cancel()
    await asyncio.sleep(0)
    lock.unlock()
    lock.close()
    (created,) = await asyncio.gather(creating, return_exceptions=True)
    await house.database.write(lambda _: None)
    await house.settle()
    assert isinstance(created, asyncio.CancelledError)
    assert house.count("uploads") == 0
    house.is_clean(origin.locations)


async def test_a_part_with_another_algorithm_than_the_uploads_is_refused(house, origin):
    upload = await begun(house, algorithm=Algorithm.SHA256)
    error = await refusal(put_part(house.rooms, upload, 1, body_of(b"x", Claims(algorithm=Algorithm.CRC32))))
    assert error.code is Code.InvalidRequest
    house.is_clean(origin.locations)


async def test_a_part_may_be_a_range_of_an_object(house, origin):
    source = await house.put("source", pattern(300_000))
    upload = await begun(house)
    whole = await copy_part(house.rooms, upload, 1, source, None, NO_CONDITIONS)
    piece = await copy_part(house.rooms, upload, 2, source, "bytes=10-19", NO_CONDITIONS)
    assert (whole.etag, whole.size, piece.size) == (source.etag, source.size, 10)
    assert origin.open_readers == 0
    for range_, conditions, code in (
        ("bytes=0-300000", NO_CONDITIONS, Code.InvalidArgument),
        (None, Conditions(if_match=('"other"',)), Code.PreconditionFailed),
    ):
        assert (await refusal(copy_part(house.rooms, upload, 3, source, range_, conditions))).code is code
    origin.faults.fail("read")
    assert (
        await refusal(copy_part(house.rooms, upload, 3, source, None, NO_CONDITIONS))
    ).code is Code.ServiceUnavailable
    assert origin.open_readers == 0
    listed = [CompletePart(2, piece.etag, {})]
    await complete_upload(house.rooms, upload, CompleteRequest(listed))
    await house.settle()
    assert await house.get("film") == pattern(300_000)[10:20]
    house.is_clean(origin.locations)


async def test_a_part_that_is_copied_is_no_larger_than_a_whole_object_may_be(house: House):
    upload = await begun(house)
    source = await house.put("source", pattern(100))
    refused = await refusal(copy_part(house.rooms, upload, 1, source, None, NO_CONDITIONS, max_size=99))
    assert refused.code is Code.EntityTooLarge
    assert refused.fields == {"ProposedSize": 100, "MaxSizeAllowed": 99}
    part = await copy_part(house.rooms, upload, 1, source, "bytes=0-98", NO_CONDITIONS, max_size=99)
    assert part.size == 99


async def test_a_part_whose_source_was_replaced_is_of_what_replaced_it(house, origin):
    source = await house.put("source", b"old")
    await house.put("source", b"newer")
    await house.settle()
    upload = await begun(house)
    part = await copy_part(house.rooms, upload, 1, source, None, NO_CONDITIONS)
    assert part.size == 5


async def test_a_crash_in_the_middle_of_a_part_leaves_the_upload_with_its_other_parts(tmp_path):
    origin = MemoryOrigin()
    path, copied = tmp_path / "store", tmp_path / "crashed"
    async with open_house(path, origin) as house:
        upload = await begun(house)
        listed = await parts_of(house, upload, b"one")
        pause = origin.faults.pause_after("store")
        storing = asyncio.ensure_future(put_part(house.rooms, upload, 2, body_of(b"two")))
        await pause.reached.wait()
        after = MemoryOrigin()
        after.bodies = dict(origin.bodies)
        copy_store(path, copied)
        pause.resume.set()
        await storing
    async with open_house(copied, after) as again:
        await recover(again.rooms)
        assert sorted(after.bodies.values()) == [b"one"]
        await complete_upload(again.rooms, upload, CompleteRequest(listed))
        assert await again.get("film") == b"one"
