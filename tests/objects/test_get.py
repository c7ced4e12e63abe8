"""Reading: one answer is of one body, also where it is replaced or removed while it is looked at."""

from collections.abc import AsyncIterator

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.complete import CompleteRequest, complete_upload
from gateway.objects.copy import CopyRequest, copy_object
from gateway.objects.delete import delete_object
from gateway.objects.get import Found, Wanted, find_bytes, open_object
from gateway.objects.multipart import create_upload, put_part
from gateway.objects.put import Attributes
from gateway.origin.errors import BodyNotFound
from gateway.s3.conditions import NO_CONDITIONS, Conditions
from gateway.s3.documents import CompletePart
from gateway.s3.ranges import parse_range
from gateway.store.database import Database
from gateway.store.records import ObjectRecord
from tests.support.data import pattern
from tests.support.house import LIMITS, House, body_of, read_to_the_end

MIB = 1 << 20


async def multipart(house, *bodies: bytes, key: str = "film"):
    upload = await create_upload(house.rooms, house.target(key), "ops", Attributes(), None, None)
    parts = [(await put_part(house.rooms, upload, n, body_of(body, piece=MIB)))[0] for n, body in enumerate(bodies, 1)]
    listed = [CompletePart(part.part_number, part.etag, {}) for part in parts]
    return await complete_upload(house.rooms, upload, CompleteRequest(listed))


async def bytes_of(house, record, wanted: Wanted) -> tuple[Found, bytes]:
    found, reader = await open_object(house.rooms, record, wanted)
    if reader is None:
        return found, b""
    data = await read_to_the_end(reader, found.offset, found.size)
    reader.close()
    return found, data


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=990-", 990, 999), ("bytes=-1", 999, 999), ("bytes=0-5000", 0, 999)],
)
async def test_a_range_is_these_bytes(house, header, first, last):
    record = await house.put("k", pattern(1000))
    found, data = await bytes_of(house, record, Wanted(NO_CONDITIONS, parse_range(header)))
    assert found.partial
    assert data == pattern(1000)[first : last + 1]


async def test_a_range_past_the_end_is_invalid_range(house):
    record = await house.put("k", b"abc")
    for key_record in (record, await house.put("empty", b"")):
        with pytest.raises(S3Error) as refused:
            await find_bytes(house.rooms, key_record, Wanted(NO_CONDITIONS, parse_range("bytes=3-")))
        assert refused.value.code is Code.InvalidRange


async def test_an_empty_object_has_no_reader_and_costs_the_origin_nothing(house, origin):
    record = await house.put("k", b"")
    found, reader = await open_object(house.rooms, record, Wanted(NO_CONDITIONS))
    assert (found.size, reader) == (0, None)
    assert "open" not in origin.faults.seen


async def test_what_the_client_has_already_is_not_modified_and_not_opened(house, origin):
    record = await house.put("k", b"abc")
    found, reader = await open_object(house.rooms, record, Wanted(Conditions(if_none_match=(record.etag,))))
    assert found.not_modified
    assert reader is None
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, record, Wanted(Conditions(if_match=('"x"',))))
    assert refused.value.code is Code.PreconditionFailed
    assert origin.open_readers == 0


async def test_parts_are_read_by_their_place(house):
    bodies = [pattern(5 * MIB, 1), pattern(5 * MIB, 2), b"end"]
    record = await multipart(house, *bodies)
    for number, body in enumerate(bodies, 1):
        found, data = await bytes_of(house, record, Wanted(NO_CONDITIONS, part_number=number))
        assert data == body
        assert (found.part_count, found.partial) == (3, True)
    with pytest.raises(S3Error) as refused:
        await find_bytes(house.rooms, record, Wanted(NO_CONDITIONS, part_number=4))
    assert refused.value.code is Code.InvalidPartNumber


async def test_an_object_in_one_piece_has_one_part(house):
    record = await house.put("k", b"abc")
    found, data = await bytes_of(house, record, Wanted(NO_CONDITIONS, part_number=1))
    assert (data, found.part_count) == (b"abc", None)
    empty = await house.put("e", b"")
    found, _ = await bytes_of(house, empty, Wanted(NO_CONDITIONS, part_number=1))
    assert found.size == 0


async def test_a_row_whose_body_was_replaced_is_answered_with_what_replaced_it(house):
    old = await house.put("k", b"old")
    await house.put("k", b"newer")
    await house.settle()
    found, data = await bytes_of(house, old, Wanted(NO_CONDITIONS, parse_range("bytes=1-9")))
    assert data == b"ewer"
    assert found.record.size == 5
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, old, Wanted(Conditions(if_match=(old.etag,))))
    assert refused.value.code is Code.PreconditionFailed, "the conditions are the new row's"


async def test_a_row_whose_object_was_deleted_is_no_such_key(house):
    old = await house.put("k", b"old")
    await delete_object(house.rooms, "demo-media", "k", None)
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, old, Wanted(NO_CONDITIONS))
    assert refused.value.code is Code.NoSuchKey


@pytest.fixture
async def beside(house, origin) -> AsyncIterator[House]:
    """Another worker on the same store."""
    database = await Database.open(house.path)
    opened = House(house.path, database, origin, house.clock, LIMITS)
    yield opened
    await opened.background.close(10.0)
    await database.close()
    await opened.hashing.close()


async def test_a_row_that_another_worker_has_replaced_is_answered_with_what_replaced_it(house, beside):
    await house.put("k", b"old")
    old = await beside.find("k")
    new = await house.put("k", b"newer")
    await house.settle()
    found, data = await bytes_of(beside, old, Wanted(NO_CONDITIONS))
    assert (found.record, data) == (new, b"newer")
    again = await house.put("k", b"newest")
    await house.settle()
    copied = await copy_object(beside.rooms, found.record, CopyRequest(beside.target("copy"), lambda _: Attributes()))
    assert copied.etag == again.etag
    assert not beside.store.is_fresh(), "the next request is still told to drop what is in memory"


async def test_the_parts_of_a_row_that_another_worker_has_replaced_are_those_of_the_new_one(house, beside):
    await multipart(house, b"one part")
    old = await beside.find("film")
    new = await multipart(house, pattern(5 * MIB, 1), b"two")
    found = await find_bytes(beside.rooms, old, Wanted(NO_CONDITIONS, part_number=2))
    assert (found.record, found.part_count, found.size) == (new, 2, 3)


async def test_a_row_whose_object_another_worker_has_deleted_is_no_such_key(house, beside):
    await house.put("k", b"old")
    old = await beside.find("k")
    await delete_object(house.rooms, "demo-media", "k", None)
    with pytest.raises(S3Error) as refused:
        await open_object(beside.rooms, old, Wanted(NO_CONDITIONS))
    assert refused.value.code is Code.NoSuchKey


async def test_a_body_that_is_lost_is_our_error_and_is_cried_about(house, origin, caplog):
    record = await house.put("k", b"old")
    origin.bodies.clear()
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, record, Wanted(NO_CONDITIONS))
    assert refused.value.code is Code.InternalError
    assert "demo-media/k" in caplog.text


async def test_an_origin_that_cannot_open_now_is_service_unavailable(house, origin):
    record = await house.put("k", b"old")
    origin.faults.fail("open")
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, record, Wanted(NO_CONDITIONS))
    assert refused.value.code is Code.ServiceUnavailable


async def test_an_object_that_is_replaced_again_and_again_ends_the_search(house, origin):
    record = await house.put("k", b"0")
    origin.faults.fail("open", times=10, error=BodyNotFound("again"))
    for number in range(3):
        record = await house.put("k", b"%d" % number)
        with pytest.raises(S3Error) as refused:
            await open_object(house.rooms, record, Wanted(NO_CONDITIONS))
        assert refused.value.code in (Code.ServiceUnavailable, Code.InternalError)


@pytest.mark.parametrize("replacement", ["multipart", "plain"])
async def test_the_parts_of_a_replaced_row_are_not_mixed_with_those_of_the_new_one(house, origin, replacement):
    """The row was looked up before the overwrite, its parts are looked up after it: one body, its own parts."""
    old_bodies = [pattern(5 * MIB, 1), pattern(5 * MIB, 2), b"old end"]
    old = await multipart(house, *old_bodies)
    pause = origin.faults.pause("delete")  # the old body is still there
    if replacement == "multipart":
        new_bodies = [pattern(6 * MIB, 3), b"new"]
        await multipart(house, *new_bodies)
    else:
        new_bodies = [b"one piece"]
        await house.put("film", new_bodies[0])
    found, data = await bytes_of(house, old, Wanted(NO_CONDITIONS, part_number=1))
    pause.resume.set()
    assert (found.record.etag == old.etag, data) in [(True, old_bodies[0]), (False, new_bodies[0])]
    assert found.part_count in ((3,) if found.record.etag == old.etag else (len(new_bodies), None))


async def test_a_row_of_another_uploader_is_asked_about_anew(house):
    await house.put("k", b"of ann", uploader="ann")
    old = await house.find("k")
    await house.put("k", b"of bob", uploader="bob")
    await house.settle()
    with pytest.raises(S3Error) as refused:
        await open_object(house.rooms, old, Wanted(NO_CONDITIONS))
    assert refused.value.code is Code.AccessDenied
    asked: list[ObjectRecord] = []
    found, reader = await open_object(house.rooms, old, Wanted(NO_CONDITIONS, may_read=asked.append))
    assert reader is not None
    assert await reader.read(0, 6) == b"of bob"
    reader.close()
    assert [record.uploader for record in asked] == ["bob"] == [found.record.uploader]
