"""Complete: the listed parts become one object, once; one winner, the same answer when asked again."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.bodies import Claims
from gateway.objects.complete import MIN_PART_SIZE, CompleteRequest, choose_parts, complete_upload
from gateway.objects.delete import delete_object
from gateway.objects.get import Wanted, open_object
from gateway.objects.multipart import abort_upload, create_upload, put_part
from gateway.objects.put import Attributes, put_object
from gateway.objects.sweeper import recover, sweep
from gateway.origin.errors import OriginDown, OutcomeUnknown
from gateway.policy.model import Quota
from gateway.s3.checksums import Algorithm, Checksum, ChecksumType
from gateway.s3.conditions import NO_CONDITIONS, WriteCondition
from gateway.s3.documents import CompletePart
from gateway.store import database as database_module
from gateway.store.changes import ChangeCounter
from gateway.store.ledger import Allowance
from gateway.store.records import UploadPart, UploadRecord
from tests.objects.uploads import FIRST, LAST, begun, parts_of, refusal
from tests.support.data import pattern
from tests.support.house import House, body_of, copy_store, open_house, read_to_the_end
from tests.support.memory_origin import MemoryOrigin


@pytest.fixture
async def once(tmp_path: Path) -> AsyncIterator[tuple[House, MemoryOrigin]]:
    """Over an origin whose parts are gone once they are put together."""
    origin = MemoryOrigin(own_keys=True)
    async with open_house(tmp_path / "once", origin) as house:
        yield house, origin
        origin.faults.heal()


async def test_parts_become_one_object_with_s3s_etag(house, origin):
    upload = await begun(house, headers={"content-type": "video/mp4"}, metadata={"a": "b"}, tags={"t": "u"})
    listed = await parts_of(house, upload, FIRST, FIRST, LAST)
    record = await complete_upload(house.rooms, upload, CompleteRequest(listed))
    assert record.write_id == origin.metas[record.location].write_id != ""
    digests = b"".join(hashlib.md5(body).digest() for body in (FIRST, FIRST, LAST))
    assert record.etag == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert (record.size, record.part_count) == (2 * len(FIRST) + len(LAST), 3)
    assert (record.headers, record.metadata, record.tags) == ({"content-type": "video/mp4"}, {"a": "b"}, {"t": "u"})
    assert await house.get("film") == FIRST + FIRST + LAST
    house.store.catalog.forget()
    assert await house.find("film") == record
    await house.settle()
    house.is_clean(origin.locations)


async def test_the_same_over_a_directory(directory_house, objects_root):
    house = directory_house
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST, LAST)
    await complete_upload(house.rooms, upload, CompleteRequest(listed[:2]))
    await house.settle()
    assert await house.get("film") == FIRST + LAST
    files = {str(path.relative_to(objects_root)) for path in objects_root.rglob("*") if path.is_file()}
    house.is_clean(files)
    assert len([name for name in files if not name.endswith(".json")]) == 2, "the two parts that were listed"
    await house.put("film", b"small")
    await house.settle()
    assert len([path for path in objects_root.rglob("*") if path.is_file()]) == 2


async def test_a_reader_of_a_multipart_object_reads_on_when_it_is_replaced(directory_house):
    house = directory_house
    upload = await begun(house)
    record = await complete_upload(house.rooms, upload, CompleteRequest(await parts_of(house, upload, FIRST, LAST)))
    found, reader = await open_object(house.rooms, record, Wanted(NO_CONDITIONS))
    assert reader is not None
    assert await reader.read(0, 10) == FIRST[:10]
    await house.put("film", b"new")
    await house.settle()
    assert await read_to_the_end(reader, 0, found.size) == FIRST + LAST
    reader.close()


async def test_unlisted_parts_are_removed(house, origin):
    upload = await begun(house)
    listed = await parts_of(house, upload, b"one", b"two")
    await complete_upload(house.rooms, upload, CompleteRequest(listed[1:]))
    await house.settle()
    assert await house.get("film") == b"two"
    assert list(origin.bodies.values()) == [b"two"]


async def test_complete_may_be_asked_again_and_answers_the_same(house):
    upload = await begun(house, algorithm=Algorithm.CRC32)
    listed = await parts_of(house, upload, FIRST, LAST)
    first = await complete_upload(house.rooms, upload, CompleteRequest(listed))
    await house.put("film", b"overwritten meanwhile")
    second = await complete_upload(house.rooms, upload, CompleteRequest(listed))
    assert (second.etag, second.size, second.checksum, second.modified_s) == (
        first.etag,
        first.size,
        first.checksum,
        first.modified_s,
    )
    assert await house.get("film") == b"overwritten meanwhile", "asking again stores nothing"
    other = await refusal(complete_upload(house.rooms, upload, CompleteRequest(listed[:1])))
    assert other.code is Code.NoSuchUpload


async def test_ten_completes_at_once_make_one_object(house, origin):
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST)
    records = await asyncio.gather(*(complete_upload(house.rooms, upload, CompleteRequest(listed)) for _ in range(10)))
    assert len({record.etag for record in records}) == 1
    assert origin.faults.seen.count("assemble") == 1
    await house.settle()
    house.is_clean(origin.locations)
    assert house.rows("SELECT objects FROM usage WHERE category = ''") == [(1,)]


async def test_complete_and_abort_at_once_have_one_winner(house, origin):
    for _ in range(5):
        upload = await begun(house)
        listed = await parts_of(house, upload, b"x")
        completed, aborted = await asyncio.gather(
            complete_upload(house.rooms, upload, CompleteRequest(listed)),
            abort_upload(house.rooms, upload.upload_id),
            return_exceptions=True,
        )
        assert isinstance(completed, S3Error) != isinstance(aborted, S3Error)
        await house.settle()
        house.is_clean(origin.locations)


async def test_a_part_that_arrives_while_complete_runs_is_not_in_it_and_leaves_nothing(house, origin):
    upload = await begun(house)
    listed = await parts_of(house, upload, b"x")
    pause = origin.faults.pause("store")
    late = asyncio.ensure_future(put_part(house.rooms, upload, 2, body_of(b"late")))
    await pause.reached.wait()
    await complete_upload(house.rooms, upload, CompleteRequest(listed))
    pause.resume.set()
    assert (await refusal(late)).code is Code.NoSuchUpload
    await house.settle()
    assert list(origin.bodies.values()) == [b"x"]
    house.is_clean(origin.locations)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda listed: [listed[1], listed[0]], Code.InvalidPartOrder),
        (lambda listed: [listed[0], listed[0]], Code.InvalidPartOrder),
        (lambda listed: [*listed, CompletePart(9, listed[0].etag, {})], Code.InvalidPart),
        (lambda listed: [CompletePart(1, '"0"', {}), listed[1]], Code.InvalidPart),
        (lambda listed: [CompletePart(1, listed[0].etag, {"CRC64NVME": "AAAAAAAAAAA="}), listed[1]], Code.InvalidPart),
    ],
)
async def test_a_wrong_list_is_refused_and_the_upload_goes_on(house, change, code):
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST)
    assert (await refusal(complete_upload(house.rooms, upload, CompleteRequest(change(listed))))).code is code
    assert await house.find("film") is None
    assert (await complete_upload(house.rooms, upload, CompleteRequest(listed))).part_count == 2


def test_only_the_last_part_may_be_small():
    def stored(number: int, size: int) -> UploadPart:
        return UploadPart(number, size, f'"{number}"', 1, f"at-{number}")

    def wanted(*numbers: int) -> list[CompletePart]:
        return [CompletePart(number, f"{number}", {}) for number in numbers]

    parts = [stored(1, MIN_PART_SIZE), stored(2, MIN_PART_SIZE - 1), stored(3, 0)]
    assert [part.part_number for part in choose_parts(parts, wanted(1, 2))] == [1, 2]
    assert choose_parts(parts, wanted(3))[0].size == 0
    with pytest.raises(S3Error) as refused:
        choose_parts(parts, wanted(1, 2, 3))
    assert refused.value.code is Code.EntityTooSmall
    assert refused.value.fields["PartNumber"] == 2


@pytest.mark.parametrize(
    ("request_of", "code"),
    [
        (lambda listed: CompleteRequest(listed, object_size=1), Code.InvalidRequest),
        (
            lambda listed: CompleteRequest(listed, checksum=Checksum(Algorithm.CRC64NVME, "AAAAAAAAAAA=")),
            Code.BadDigest,
        ),
        (lambda listed: CompleteRequest(listed, condition=WriteCondition(if_none_match=True)), Code.PreconditionFailed),
    ],
)
async def test_a_claim_or_condition_that_does_not_hold_changes_nothing_and_leaves_the_upload_open(
    house, origin, request_of, code
):
    await house.put("film", b"there")
    upload = await begun(house, algorithm=Algorithm.CRC32, kind=ChecksumType.FULL_OBJECT)
    listed = await parts_of(house, upload, FIRST, LAST)
    assert (await refusal(complete_upload(house.rooms, upload, request_of(listed)))).code is code
    assert await house.get("film") == b"there"
    await complete_upload(house.rooms, upload, CompleteRequest(listed))
    await house.settle()
    house.is_clean(origin.locations)


@pytest.mark.parametrize("step", ["assemble"])
@pytest.mark.parametrize("lost", [False, True])
async def test_an_origin_that_fails_to_assemble_leaves_the_upload_as_it_was(house, origin, step, lost):
    await house.put("film", b"the first")
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST)
    (origin.faults.lose_answer if lost else origin.faults.fail)(step)
    assert (
        await refusal(complete_upload(house.rooms, upload, CompleteRequest(listed)))
    ).code is Code.ServiceUnavailable
    assert await house.get("film") == b"the first"
    await complete_upload(house.rooms, upload, CompleteRequest(listed))
    assert await house.get("film") == FIRST + LAST
    await house.settle()
    house.is_clean(origin.locations)


async def test_a_complete_whose_client_has_gone_is_finished(house, origin):
    upload = await begun(house)
    listed = await parts_of(house, upload, b"x")
    pause = origin.faults.pause("assemble")
    completing = asyncio.ensure_future(complete_upload(house.rooms, upload, CompleteRequest(listed)))
    await pause.reached.wait()
    completing.cancel()
    await asyncio.gather(completing, return_exceptions=True)
    again = asyncio.ensure_future(complete_upload(house.rooms, upload, CompleteRequest(listed)))
    await asyncio.sleep(0)
    pause.resume.set()
    assert (await again).size == 1, "whoever asks again waits for the one that is under way"
    await house.settle()
    assert await house.get("film") == b"x"
    house.is_clean(origin.locations)


async def test_an_upload_whose_complete_the_store_refused_to_end_is_healed_by_the_sweeper(house, origin, monkeypatch):
    monkeypatch.setattr(database_module, "_LOCK_TIMEOUT_S", 0.05)
    upload = await begun(house)
    listed = await parts_of(house, upload, b"x")
    lock = ChangeCounter(house.path.with_name(house.path.name + "-lock"))
    pause = origin.faults.pause("assemble")
    completing = asyncio.ensure_future(complete_upload(house.rooms, upload, CompleteRequest(listed)))
    await pause.reached.wait()
    lock.lock(1.0)
    pause.resume.set()
    assert (await refusal(completing)).code is Code.SlowDown
    lock.unlock()
    lock.close()
    await sweep(house.rooms)
    assert (await complete_upload(house.rooms, upload, CompleteRequest(listed))).size == 1


@pytest.mark.parametrize(
    ("kind", "value_has_parts"), [(ChecksumType.COMPOSITE, True), (ChecksumType.FULL_OBJECT, False)]
)
async def test_the_objects_checksum_is_of_the_kind_that_was_asked_for(house, kind, value_has_parts):
    upload = await begun(house, algorithm=Algorithm.CRC32C, kind=kind)
    listed = await parts_of(house, upload, FIRST, LAST)
    record = await complete_upload(house.rooms, upload, CompleteRequest(listed))
    assert record.checksum is not None
    assert (record.checksum.algorithm, record.checksum.type) == ("CRC32C", kind.value)
    assert record.checksum.value.endswith("-2") == value_has_parts
    if kind is ChecksumType.FULL_OBJECT:
        whole = await house.put("whole", FIRST + LAST)
        claimed = Checksum(Algorithm.CRC32C, record.checksum.value)
        claims = Claims(algorithm=Algorithm.CRC32C, checksum=lambda: claimed)
        again = await put_object(house.rooms, house.target("w"), body_of(FIRST + LAST, claims), Attributes(), None)
        assert again.size == whole.size


MOMENTS = ["completing", "assembled", "done"]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_after_a_crash_in_complete_it_is_done_or_may_be_asked_again(tmp_path, moment):
    origin = MemoryOrigin()
    path, copied = tmp_path / "store", tmp_path / "crashed"
    async with open_house(path, origin) as house:
        await house.put("film", b"the first")
        upload = await begun(house)
        listed = await parts_of(house, upload, FIRST, LAST)
        pauses = {
            "completing": lambda: origin.faults.pause("assemble"),
            "assembled": lambda: origin.faults.pause_after("assemble"),
            "done": lambda: origin.faults.pause("delete"),
        }
        pause = pauses[moment]()
        completing = asyncio.ensure_future(complete_upload(house.rooms, upload, CompleteRequest(listed)))
        await pause.reached.wait()
        after = MemoryOrigin()
        after.bodies, after.manifests, after.metas = dict(origin.bodies), dict(origin.manifests), dict(origin.metas)
        copy_store(path, copied)
        pause.resume.set()
        await completing
    async with open_house(copied, after) as again:
        await recover(again.rooms)
        assert await again.get("film") == (FIRST + LAST if moment == "done" else b"the first")
        record = await complete_upload(again.rooms, upload, CompleteRequest(listed))
        assert record.size == len(FIRST) + len(LAST)
        await again.settle()
        assert await again.get("film") == FIRST + LAST
        again.is_clean(after.locations)


# What can be seen to fail is refused before the origin is asked.


async def test_a_condition_that_does_not_hold_is_refused_before_the_origin_is_asked(once):
    house, origin = once
    await house.put("film", b"there")
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST)
    request = CompleteRequest(listed, condition=WriteCondition(if_none_match=True))
    assert (await refusal(complete_upload(house.rooms, upload, request))).code is Code.PreconditionFailed
    assert "assemble" not in origin.faults.seen
    mended, _ = await put_part(house.rooms, upload, 2, body_of(b"another end"))
    await complete_upload(house.rooms, upload, CompleteRequest([listed[0], CompletePart(2, mended.etag, {})]))
    assert await house.get("film") == FIRST + b"another end"


async def test_an_object_without_room_is_refused_before_the_origin_is_asked(once):
    """The upload was to replace an object, whose room has gone to another one since."""
    house, origin = once
    one = Allowance(category=Quota(objects=1))
    await house.put("film", b"there")
    upload = await create_upload(
        house.rooms, replace(house.target("film"), allowance=one), "ops", Attributes(), None, None
    )
    request = CompleteRequest(await parts_of(house, upload, b"x"), allowance=one)
    await delete_object(house.rooms, "demo-media", "film", None)
    await house.put("in its room", b"")
    assert (await refusal(complete_upload(house.rooms, upload, request))).code is Code.QuotaExceeded
    assert "assemble" not in origin.faults.seen
    await delete_object(house.rooms, "demo-media", "in its room", None)
    pause = origin.faults.pause("assemble")
    completing = asyncio.ensure_future(complete_upload(house.rooms, upload, request))
    await pause.reached.wait()
    too_late = house.rooms, replace(house.target("late"), allowance=one), body_of(b""), Attributes(), None
    assert (await refusal(put_object(*too_late))).code is Code.QuotaExceeded, "the room is the upload's"
    pause.resume.set()
    await completing
    await house.settle()
    house.is_clean(origin.locations)


async def test_a_key_that_has_become_somebody_elses_is_refused_before_the_origin_is_asked(once):
    house, origin = once
    upload = await begun(house)
    request = CompleteRequest(await parts_of(house, upload, b"x"), only_of="ops")
    await house.put("film", b"of ann", uploader="ann")
    assert (await refusal(complete_upload(house.rooms, upload, request))).code is Code.AccessDenied
    assert "assemble" not in origin.faults.seen
    await house.settle()
    house.is_clean(origin.locations)


# An origin that can put an upload together once only keeps no parts for another list.

OTHER = pattern(len(LAST), 9)


async def put_together_in_vain(
    house: House, origin: MemoryOrigin, upload: UploadRecord, request: CompleteRequest
) -> None:
    """What is refused is known only when the parts have become a body."""
    pause = origin.faults.pause_after("assemble")
    completing = asyncio.ensure_future(
        complete_upload(house.rooms, upload, replace(request, condition=WriteCondition(if_none_match=True)))
    )
    await pause.reached.wait()
    await house.put("film", b"meanwhile")
    pause.resume.set()
    assert (await refusal(completing)).code is Code.PreconditionFailed
    assert await house.get("film") == b"meanwhile"


async def is_bound_to(house: House, upload: UploadRecord, listed: list[CompletePart]) -> None:
    """It takes this list of two parts, and neither another list nor a part."""
    other = CompleteRequest([listed[0], listed[2]])
    assert (await refusal(complete_upload(house.rooms, upload, other))).code is Code.NoSuchUpload
    late = put_part(house.rooms, upload, 2, body_of(OTHER))
    assert (await refusal(late)).code is Code.NoSuchUpload
    record = await complete_upload(house.rooms, upload, CompleteRequest(listed[:2]))
    assert record.etag == (await complete_upload(house.rooms, upload, CompleteRequest(listed[:2]))).etag
    assert await house.get("film") == FIRST + LAST
    await house.settle()


async def test_what_was_put_together_in_vain_is_the_object_of_no_other_list(once):
    house, origin = once
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST, OTHER)
    await put_together_in_vain(house, origin, upload, CompleteRequest(listed[:2]))
    await is_bound_to(house, upload, listed)
    house.is_clean(origin.locations)


@pytest.mark.parametrize("happened", [True, False])
async def test_a_complete_whose_end_nobody_knows_binds_the_upload_to_its_list(once, happened):
    house, origin = once
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST, OTHER)
    if happened:
        origin.faults.lose_answer("assemble", OutcomeUnknown("lost"))
    else:
        origin.faults.fail("assemble", error=OutcomeUnknown("lost"))
    assert (await refusal(complete_upload(house.rooms, upload, CompleteRequest(listed[:2])))).code is Code.SlowDown
    origin.faults.fail("assemble", error=OriginDown("busy"))
    assert (await refusal(complete_upload(house.rooms, upload, CompleteRequest(listed[:2])))).code is Code.SlowDown
    await is_bound_to(house, upload, listed)
    house.is_clean(origin.locations)


async def test_a_complete_that_never_began_binds_nobody(once):
    house, origin = once
    upload = await begun(house)
    listed = await parts_of(house, upload, FIRST, LAST, OTHER)
    origin.faults.fail("assemble", error=OriginDown("busy"))
    assert (await refusal(complete_upload(house.rooms, upload, CompleteRequest(listed[:2])))).code is Code.SlowDown
    await complete_upload(house.rooms, upload, CompleteRequest([listed[0], listed[2]]))
    assert await house.get("film") == FIRST + OTHER


async def test_an_abort_of_what_was_put_together_in_vain_leaves_nothing(once):
    house, origin = once
    upload = await begun(house)
    await put_together_in_vain(house, origin, upload, CompleteRequest(await parts_of(house, upload, FIRST, LAST)))
    await abort_upload(house.rooms, upload.upload_id)
    await house.settle()
    assert list(origin.bodies.values()) == [b"meanwhile"]
    house.is_clean(origin.locations)


@pytest.mark.parametrize("moment", ["completing", "assembled"])
async def test_after_a_crash_in_complete_only_its_list_may_be_asked_again(tmp_path, moment):
    origin, after = MemoryOrigin(own_keys=True), MemoryOrigin(own_keys=True)
    path, copied = tmp_path / "store", tmp_path / "crashed"
    async with open_house(path, origin) as house:
        upload = await begun(house)
        listed = await parts_of(house, upload, FIRST, LAST, OTHER)
        pause = (origin.faults.pause if moment == "completing" else origin.faults.pause_after)("assemble")
        completing = asyncio.ensure_future(complete_upload(house.rooms, upload, CompleteRequest(listed[:2])))
        await pause.reached.wait()
        after.bodies, after.metas = dict(origin.bodies), dict(origin.metas)
        copy_store(path, copied)
        pause.resume.set()
        await completing
    async with open_house(copied, after) as again:
        await recover(again.rooms)
        await is_bound_to(again, upload, listed)
        again.is_clean(after.locations)
