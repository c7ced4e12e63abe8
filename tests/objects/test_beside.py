"""What others have put at a key's own place stays; the write goes on beside it, and nothing is left of either try."""

import asyncio

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.complete import CompleteRequest, complete_upload
from gateway.objects.copy import CopyRequest, copy_object
from gateway.objects.multipart import create_upload, put_part
from gateway.objects.own_keys import AT_REST_S, move_home
from gateway.objects.put import Attributes
from gateway.objects.sweeper import recover, sweep
from gateway.origin.errors import BodyExists, OutcomeUnknown
from gateway.s3.conditions import WriteCondition
from gateway.s3.documents import CompletePart
from tests.support.data import pattern
from tests.support.house import LIMITS, body_of
from tests.support.memory_origin import MemoryOrigin

OWN = "demo-media/k"
SETTLE_S = 900
SMALL, LARGE = b"ours", pattern(LIMITS.small_body + 1)


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin(own_keys=True, settle_s=SETTLE_S)


@pytest.fixture
async def foreign(house, origin):
    """Others have put something at the key's own place; at the end it is there as it was, and nothing of ours."""
    origin.put_behind(OWN, b"foreign")
    yield
    assert origin.bodies[OWN] == b"foreign"
    house.clock.now_s += SETTLE_S + 1
    await sweep(house.rooms)
    await house.settle()
    assert origin.bodies.pop(OWN) == b"foreign"
    house.is_clean(origin.locations)


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "streamed"])
async def test_a_put_is_stored_beside_what_others_have_put_there(house, body):
    record = await house.put("k", body)
    assert record.location == f"{OWN}%40{record.write_id}"
    assert await house.get("k") == body
    assert await house.find("k") == record


@pytest.mark.usefixtures("foreign")
async def test_for_a_while_the_next_writes_of_the_key_do_not_try_its_own_place(house, origin):
    await house.put("k", SMALL)
    tried = origin.faults.seen.count("store")
    await house.put("k", b"ours again")
    assert origin.faults.seen.count("store") == tried + 1
    await house.settle()
    house.clock.now_s += SETTLE_S + 1
    await sweep(house.rooms)
    tried = origin.faults.seen.count("store")
    await house.put("k", b"and again")
    assert origin.faults.seen.count("store") == tried + 2
    assert await house.get("k") == b"and again"


async def test_once_the_place_is_free_the_body_goes_home(house, origin):
    origin.put_behind(OWN, b"foreign")
    await house.put("k", SMALL)
    del origin.bodies[OWN]
    house.clock.now_s += SETTLE_S + AT_REST_S
    await sweep(house.rooms)
    await house.settle()
    house.clock.now_s += 1
    await sweep(house.rooms)
    await house.settle()
    assert origin.bodies == {OWN: SMALL}
    assert await house.get("k") == SMALL
    house.is_clean(origin.locations)


@pytest.mark.usefixtures("foreign")
async def test_a_copy_is_made_beside_what_others_have_put_there(house):
    source = await house.put("source", b"bytes")
    record = await copy_object(house.rooms, source, CopyRequest(house.target("k"), lambda _: Attributes()))
    assert record.location == f"{OWN}%40{record.write_id}"
    assert await house.get("k") == b"bytes"


@pytest.mark.usefixtures("foreign")
async def test_an_upload_is_begun_beside_what_others_have_put_there(house):
    upload = await create_upload(house.rooms, house.target("k"), "ops", Attributes(), None, None)
    part, _ = await put_part(house.rooms, upload, 1, body_of(b"part"))
    record = await complete_upload(house.rooms, upload, CompleteRequest([CompletePart(1, part.etag, {})]))
    assert record.location.startswith(f"{OWN}%40{upload.upload_id}")


async def test_what_comes_while_a_body_is_streamed_ends_the_write_and_the_next_one_lands_beside(house, origin):
    pause = origin.faults.pause("finish")
    putting = asyncio.ensure_future(house.put("k", LARGE))
    await pause.reached.wait()
    origin.put_behind(OWN, b"foreign")
    pause.resume.set()
    with pytest.raises(S3Error) as told:
        await putting
    assert told.value.code is Code.SlowDown, "a client tries again by itself"
    assert await house.find("k") is None
    origin.faults.fail("require_free", error=AssertionError("it need not look: the place is known to be taken"))
    record = await house.put("k", LARGE)
    assert record.location == f"{OWN}%40{record.write_id}"
    assert origin.bodies[OWN] == b"foreign"


async def test_a_place_that_is_refused_though_nothing_can_be_seen_there_is_left_alone_too(house, origin):
    """A store that makes paths of keys takes the folder of `k/below` for an object `k`."""
    origin.faults.fail("finish", error=BodyExists(OWN))
    with pytest.raises(S3Error, match="SlowDown"):
        await house.put("k", LARGE)
    origin.faults.fail("store", error=BodyExists(OWN))
    assert (await house.put("k", LARGE)).location != OWN
    assert (await house.put("other", SMALL)).location != "demo-media/other"


async def test_a_complete_that_is_refused_for_what_came_since_is_begun_anew_beside_it(house, origin):
    upload = await create_upload(house.rooms, house.target("k"), "ops", Attributes(), None, None)
    part, _ = await put_part(house.rooms, upload, 1, body_of(b"part"))
    request = CompleteRequest([CompletePart(1, part.etag, {})])
    for _ in range(2):
        origin.faults.fail("assemble", error=BodyExists(OWN))
        with pytest.raises(S3Error) as told:
            await complete_upload(house.rooms, upload, request)
        assert told.value.code is Code.ConditionalRequestConflict
    anew = await create_upload(house.rooms, house.target("k"), "ops", Attributes(), None, None)
    assert anew.location.startswith(f"{OWN}%40")
    # Where it is gone again, the first one can be completed after all: nothing that is kept clear is removed.
    record = await complete_upload(house.rooms, upload, request)
    house.clock.now_s += SETTLE_S + 1
    await sweep(house.rooms)
    assert origin.bodies[record.location] == b"part"


@pytest.mark.usefixtures("foreign")
async def test_a_condition_is_looked_at_as_if_nothing_had_been_there(house):
    once = WriteCondition(if_none_match=True)
    await house.put("k", SMALL, once)
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await house.put("k", b"other", once)
    assert await house.get("k") == SMALL


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("step", ["store", "step"])
async def test_a_write_that_is_given_up_between_its_two_tries_leaves_nothing(house, origin, step):
    """Its client goes away; what is at either place is on record before anything comes to lie there."""
    pause = origin.faults.pause("store")
    putting = asyncio.ensure_future(house.put("k", SMALL))
    await pause.reached.wait()
    if step == "step":  # the second try has begun
        again = origin.faults.pause("store")
        pause.resume.set()
        await again.reached.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    await house.settle()
    assert house.count("intents") == 0
    assert await house.find("k") is None


@pytest.mark.usefixtures("foreign")
async def test_a_second_try_that_fails_is_undone(house, origin):
    origin.faults.fail("store", error=BodyExists(OWN))
    origin.faults.fail("store", error=OutcomeUnknown("no answer"))
    with pytest.raises(S3Error, match="SlowDown"):
        await house.put("k", SMALL)
    assert house.count("intents") == 0
    assert house.count("garbage") == 2
    assert await house.put("k", SMALL)


@pytest.mark.usefixtures("foreign")
async def test_a_process_that_dies_in_the_second_try_leaves_both_places_on_record(house, origin):
    """The origin has stored it, and nobody has heard: the next start removes it, and not what others have."""
    pause = origin.faults.pause("store")
    putting = asyncio.ensure_future(house.put("k", SMALL))
    await pause.reached.wait()
    after = origin.faults.pause_after("store")
    pause.resume.set()
    await after.reached.wait()
    places = house.rows("SELECT location FROM intents UNION SELECT location FROM garbage")
    assert len(places) == 2
    assert set(origin.bodies) <= {place for (place,) in places}
    after.resume.set()
    await putting
    await recover(house.rooms)


async def test_one_place_that_others_have_taken_keeps_nobody_else_away_from_home(house, origin):
    for key in ("a", "b"):
        await house.put(key, b"old")
        await house.put(key, b"new")
    await house.settle()
    origin.put_behind("demo-media/a", b"foreign")
    house.clock.now_s += AT_REST_S + 1
    begun = house.count("intents")
    assert await move_home(house.rooms) == 1
    await house.settle()
    assert house.count("intents") == begun
    assert origin.bodies["demo-media/b"] == b"new"
    assert origin.bodies["demo-media/a"] == b"foreign"
    assert await house.get("a") == b"new"


async def test_a_part_has_one_place(house, origin):
    upload = await create_upload(house.rooms, house.target("k"), "ops", Attributes(), None, None)
    origin.faults.fail("store", error=BodyExists("a part"))
    with pytest.raises(S3Error, match="OperationAborted"):
        await put_part(house.rooms, upload, 1, body_of(b"part"))
