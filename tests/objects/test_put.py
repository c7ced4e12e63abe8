"""PUT is all or nothing, whoever fails at whatever step, and of many at once each is whole."""

import asyncio
import hashlib

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.bodies import Claims, IncomingBody
from gateway.objects.delete import delete_object
from gateway.objects.get import Wanted, open_object
from gateway.objects.put import Attributes, put_object
from gateway.objects.sweeper import recover, sweep
from gateway.origin.errors import OriginFull, OutcomeUnknown
from gateway.s3.checksums import Algorithm, Checksum
from gateway.s3.conditions import NO_CONDITIONS, WriteCondition
from gateway.store import database as database_module
from gateway.store.changes import ChangeCounter
from tests.support.data import pattern
from tests.support.house import LARGE, VOICE, body_of, copy_store, open_house, pieces_of
from tests.support.memory_origin import MemoryOrigin

ABSENT = WriteCondition(if_none_match=True)
SMALL = 1000
STEPS = [(SMALL, "store"), (LARGE, "create"), (LARGE, "write"), (LARGE, "finish")]
WRONG = [
    ("sha256", Code.XAmzContentSHA256Mismatch, Claims(sha256_hex="0" * 64)),
    ("md5", Code.BadDigest, Claims(md5=bytes(16))),
    ("crc", Code.BadDigest, Claims(algorithm=Algorithm.CRC32, checksum=lambda: Checksum(Algorithm.CRC32, "AAAAAA=="))),
]


async def refusal(work) -> S3Error:
    with pytest.raises(S3Error) as refused:
        await work
    return refused.value


@pytest.mark.parametrize("size", [0, 1, SMALL, LARGE, 256 << 10, (256 << 10) + 1])
async def test_an_object_is_stored_with_its_etag_its_checksum_and_what_was_said_of_it(house, origin, size):
    body = pattern(size)
    attributes = Attributes({"content-type": "audio/ogg"}, {"a": "é"}, {"t": "1"})
    record = await house.put("k", body, attributes=attributes)
    assert record.etag == f'"{hashlib.md5(body).hexdigest()}"'
    assert record.checksum is not None
    assert (record.checksum.algorithm, record.checksum.type) == ("CRC64NVME", "FULL_OBJECT")
    assert (record.size, record.modified_s, record.uploader) == (size, house.clock.now_s, "ops")
    assert await house.get("k") == body
    house.store.catalog.forget()
    assert await house.find("k") == record
    meta = origin.metas[record.location]
    assert (meta.bucket, meta.key, meta.uploader, meta.etag) == ("demo-media", "k", "ops", record.etag)
    assert (meta.headers, meta.metadata, meta.tags) == (attributes.headers, attributes.metadata, attributes.tags)
    house.is_clean(origin.locations)


async def test_the_same_over_a_directory(directory_house, objects_root):
    for key in ("a", "a/b", "a/", "..x/..", "é" * 500):
        await directory_house.put(key, pattern(LARGE))
        await directory_house.put(key, pattern(SMALL))
        assert await directory_house.get(key) == pattern(SMALL)
    await directory_house.settle()
    files = {str(path.relative_to(objects_root)) for path in objects_root.rglob("*") if path.is_file()}
    directory_house.is_clean(name for name in files if not name.endswith(".json"))
    assert len(files) == 10


@pytest.mark.parametrize(("size", "step"), STEPS)
@pytest.mark.parametrize("before", [None, b"the first"])
async def test_an_origin_that_fails_at_any_step_leaves_what_was_there(house, origin, size, step, before):
    if before is not None:
        await house.put("k", before)
    origin.faults.fail(step)
    error = await refusal(house.put("k", pattern(size)))
    assert error.code is Code.ServiceUnavailable
    assert await house.get("k") == before
    house.is_clean(origin.locations)
    await house.put("k", pattern(size))
    assert await house.get("k") == pattern(size)


@pytest.mark.parametrize(("size", "step"), [(SMALL, "store"), (LARGE, "create"), (LARGE, "write"), (LARGE, "finish")])
async def test_an_origin_whose_answer_is_lost_leaves_no_body_that_nothing_refers_to(house, origin, size, step):
    await house.put("k", b"the first")
    origin.faults.lose_answer(step)
    await refusal(house.put("k", pattern(size)))
    assert await house.get("k") == b"the first"
    house.is_clean(origin.locations)


async def test_an_origin_that_is_full_says_so(house, origin):
    origin.faults.fail("store", error=OriginFull("full"))
    error = await refusal(house.put("k", b"x"))
    assert error.code is Code.ServiceUnavailable
    assert "full" in error.message


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(("name", "code", "claims"), WRONG, ids=[row[0] for row in WRONG])
async def test_a_body_that_is_not_what_was_claimed_is_no_object(house, origin, size, name, code, claims):
    await house.put("k", b"the first")
    body = body_of(pattern(size), claims)
    error = await refusal(put_object(house.rooms, house.target("k"), body, Attributes(), None))
    assert error.code is code
    assert await house.get("k") == b"the first"
    house.is_clean(origin.locations)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_body_that_is_what_was_claimed_is_stored_with_that_checksum(house, size):
    body = pattern(size)
    record = await put_object(
        house.rooms,
        house.target("k"),
        body_of(body, Claims(hashlib.sha256(body).hexdigest(), hashlib.md5(body).digest(), Algorithm.SHA1)),
        Attributes(),
        None,
    )
    assert record.checksum is not None
    assert record.checksum.algorithm == "SHA1"


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_client_that_leaves_in_the_middle_leaves_nothing(house, origin, size):
    async def half():
        async for piece in pieces_of(pattern(size // 2)):
            yield piece
        raise S3Error(Code.IncompleteBody)

    error = await refusal(put_object(house.rooms, house.target("k"), IncomingBody(size, half()), Attributes(), None))
    assert error.code is Code.IncompleteBody
    assert await house.find("k") is None
    house.is_clean(origin.locations)


@pytest.mark.parametrize(("size", "step"), STEPS)
async def test_a_put_that_is_cancelled_at_any_step_leaves_nothing(house, origin, size, step):
    await house.put("k", b"the first")
    pause = origin.faults.pause(step)
    putting = asyncio.ensure_future(house.put("k", pattern(size)))
    await pause.reached.wait()
    putting.cancel()
    pause.resume.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    await house.settle()
    assert await house.get("k") == b"the first"
    house.is_clean(origin.locations)


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8])
async def test_a_put_that_is_cancelled_at_any_turn_of_the_loop_is_whole_or_nothing(house, origin, turns):
    """Also while it waits for the store: what was begun there is ended, without waiting for the next start."""
    await house.put("k", b"the first")
    putting = asyncio.ensure_future(house.put("k", b"the second"))
    for _ in range(turns):
        await asyncio.sleep(0)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    await house.settle()
    await house.database.write(lambda _: None)
    await sweep(house.rooms)
    house.store.catalog.forget()
    assert await house.get("k") in (b"the first", b"the second")
    house.is_clean(origin.locations)


async def test_a_body_that_cannot_be_removed_stays_on_record_and_is_removed_later(house, origin):
    origin.faults.fail("store")
    origin.faults.fail("delete", times=2)
    await refusal(house.put("k", b"x"))
    assert house.count("garbage") == 1
    await house.rooms.collector.collect_all()
    assert house.count("garbage") == 1
    await sweep(house.rooms)
    house.is_clean(origin.locations)


async def test_a_write_whose_end_the_store_refused_is_ended_by_the_sweeper(house, origin, monkeypatch):
    """The store is locked while a failed write is undone: that must not wait for the next start of the gateway."""
    monkeypatch.setattr(database_module, "_LOCK_TIMEOUT_S", 0.05)
    lock = ChangeCounter(house.path.with_name(house.path.name + "-lock"))
    pause = origin.faults.pause("store")
    origin.faults.fail("store")
    putting = asyncio.ensure_future(house.put("k", b"x"))
    await pause.reached.wait()
    lock.lock(1.0)
    pause.resume.set()
    error = (await asyncio.gather(putting, return_exceptions=True))[0]
    assert isinstance(error, S3Error)
    lock.unlock()
    lock.close()
    await house.settle()
    await sweep(house.rooms)
    house.is_clean(origin.locations)


async def test_the_replaced_body_is_removed_and_usage_follows(house, origin):
    await house.put("k", pattern(5000), uploader="ann")
    await house.put("k", pattern(70), uploader="bob")
    await house.put("k", pattern(9), bucket=VOICE)
    await house.settle()
    assert len(origin.bodies) == 2
    house.is_clean(origin.locations)


async def test_whoever_reads_while_it_is_replaced_or_deleted_gets_the_old_bytes(house):
    old = pattern(LARGE)
    for end in ("replaced", "deleted"):
        record = await house.put("k", old)
        found, reader = await open_object(house.rooms, record, Wanted(NO_CONDITIONS))
        assert reader is not None
        if end == "replaced":
            await house.put("k", b"new")
        await delete_object(house.rooms, "demo-media", "k", None)
        await house.settle()
        assert await reader.read(0, found.size) == old
        reader.close()


async def test_of_twenty_who_want_to_be_first_one_is(house, origin):
    results = await asyncio.gather(
        *(house.put("k", b"%d" % number, ABSENT) for number in range(20)), return_exceptions=True
    )
    won = [number for number, result in enumerate(results) if not isinstance(result, BaseException)]
    assert len(won) == 1
    assert {result.code for result in results if isinstance(result, S3Error)} == {Code.PreconditionFailed}
    assert await house.get("k") == b"%d" % won[0]
    await house.settle()
    house.is_clean(origin.locations)


async def test_of_twenty_who_want_to_replace_the_same_one_does(house, origin):
    first = await house.put("k", b"first")
    condition = WriteCondition(if_match=first.etag)
    results = await asyncio.gather(
        *(house.put("k", b"new %d" % number, condition) for number in range(20)), return_exceptions=True
    )
    assert len([result for result in results if not isinstance(result, BaseException)]) == 1
    await house.settle()
    house.is_clean(origin.locations)


async def test_many_puts_of_few_keys_end_whole_and_with_exact_usage(house, origin):
    bodies = {pattern(size, seed) for seed, size in enumerate([0, 10, SMALL, LARGE, 60_000])}
    works = [
        house.put(f"k{number % 3}", body, uploader=f"u{number % 2}") for number, body in enumerate(list(bodies) * 6)
    ]
    await asyncio.gather(*works)
    await house.settle()
    for number in range(3):
        assert await house.get(f"k{number}") in bodies
    house.is_clean(origin.locations)
    assert len(origin.bodies) == 3


async def test_a_condition_that_fails_at_once_takes_no_body(house, origin):
    await house.put("k", b"first")
    origin.faults.seen.clear()
    error = await refusal(house.put("k", b"second", ABSENT))
    assert error.code is Code.PreconditionFailed
    assert origin.faults.seen == []


async def test_memory_for_bodies_is_given_back_however_they_end(house, origin):
    left = house.rooms.budget._left
    await house.put("k", pattern(SMALL))
    origin.faults.fail("store")
    await refusal(house.put("k", pattern(SMALL)))
    await refusal(put_object(house.rooms, house.target("k"), body_of(b"x", WRONG[0][2]), Attributes(), None))
    assert house.rooms.budget._left == left


async def test_without_memory_small_bodies_are_streamed(house, origin):
    assert house.rooms.budget.take(house.rooms.budget._left)
    await house.put("k", pattern(SMALL))
    assert "create" in origin.faults.seen
    assert "store" not in origin.faults.seen
    assert await house.get("k") == pattern(SMALL)


async def test_a_put_that_is_cancelled_while_it_is_committed_is_committed(house, origin):
    await house.put("k", b"the first")
    await house.settle()
    lock = ChangeCounter(house.path.with_name(house.path.name + "-lock"))
    pause = origin.faults.pause("store")
    putting = asyncio.ensure_future(house.put("k", b"the second"))
    await pause.reached.wait()
    lock.lock(1.0)
    pause.resume.set()
    for _ in range(10):  # far enough to wait for the store
        await asyncio.sleep(0)
    putting.cancel()
    await asyncio.sleep(0)
    lock.unlock()
    lock.close()
    await asyncio.gather(putting, return_exceptions=True)
    await house.settle()
    await sweep(house.rooms)
    assert await house.get("k") == b"the second"
    house.is_clean(origin.locations)


MOMENTS = ["begun", "stored", "undone", "committed"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("before", [None, b"the first"])
async def test_a_crash_at_any_moment_leaves_the_old_or_the_new_object_and_nothing_else(tmp_path, moment, before):
    """The state is built by the steps themselves; then everything is dropped, and opened again from copies."""
    origin = MemoryOrigin()
    path, copied = tmp_path / "store", tmp_path / "crashed"
    async with open_house(path, origin) as house:
        if before is not None:
            await house.put("k", before)
        if moment == "undone":
            origin.faults.lose_answer("store")
        pause = {
            "begun": lambda: origin.faults.pause("store"),
            "stored": lambda: origin.faults.pause_after("store"),
            "undone": lambda: origin.faults.pause("delete"),
            "committed": lambda: origin.faults.pause("delete"),
        }[moment]()
        putting = asyncio.ensure_future(house.put("k", b"the second"))
        await (putting if moment == "committed" and before is None else pause.reached.wait())
        after = MemoryOrigin()
        after.bodies, after.metas = dict(origin.bodies), dict(origin.metas)
        copy_store(path, copied)
        pause.resume.set()
        await asyncio.gather(putting, return_exceptions=True)
    async with open_house(copied, after) as again:
        await recover(again.rooms)
        assert await again.get("k") == (b"the second" if moment == "committed" else before)
        again.is_clean(after.locations)
        assert set(after.bodies) == again.needed_locations()


async def test_a_write_of_unknown_end_is_an_error_and_stays_on_record_until_it_can_do_nothing_more(tmp_path):
    origin = MemoryOrigin(settle_s=900)
    async with open_house(tmp_path / "store", origin) as house:
        origin.faults.fail("store", error=OutcomeUnknown("no answer"))
        with pytest.raises(S3Error) as failed:
            await house.put("k", b"abc")
        assert failed.value.code is Code.SlowDown
        assert await house.find("k") is None
        assert house.rows("SELECT until_s - 900 FROM garbage") == [(house.clock(),)]
        house.usage_is_the_sum_of_the_objects()
        house.clock.now_s += 900
        await sweep(house.rooms)
        house.is_clean(origin.locations)


async def test_a_write_that_failed_for_certain_leaves_nothing_on_record(tmp_path):
    origin = MemoryOrigin(settle_s=900)
    async with open_house(tmp_path / "store", origin) as house:
        origin.faults.fail("store")
        with pytest.raises(S3Error):
            await house.put("k", b"abc")
        house.is_clean(origin.locations)


async def test_objects_lie_under_their_own_key_as_long_as_nothing_else_does(tmp_path):
    origin = MemoryOrigin(own_keys=True)
    async with open_house(tmp_path / "store", origin) as house:
        first = await house.put("k", b"one")
        assert (first.location, first.origin_etag) == ("demo-media/k", '"demo-media/k~0"')
        second = await house.put("k", b"two")
        assert second.location == f"demo-media/k%40{origin.metas[second.location].write_id}"
        assert await house.get("k") == b"two"
        await house.settle()
        third = await house.put("k", b"three")
        assert third.location == "demo-media/k"
        await house.settle()
        assert origin.locations == {"demo-media/k"}
