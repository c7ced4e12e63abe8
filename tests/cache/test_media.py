"""gateway/cache/media.py: what was read is kept, what is on its way is fetched once, and nothing old is ever given."""

import asyncio
import random

import pytest

from gateway.cache.names import BLOCK
from gateway.origin.errors import BodyChanged, BodyNotFound, OriginError
from tests.support.memory_origin import MemoryOrigin
from tests.support.warm import Worker, worker

LARGE = random.Random(1).randbytes(3 * BLOCK + 1000)
SMALL = b"small" * 1000


@pytest.fixture(params=["memory", "disk"])
async def warm(request, tmp_path):
    path = tmp_path / "cache" if request.param == "disk" else None
    async with worker(path=path) as found:
        await found.rest()
        yield found


async def test_the_second_get_asks_nobody(warm):
    for key, data in (("small", SMALL), ("large", LARGE)):
        warm.put(key, data)
        assert await warm.ask(key) == ("miss", data)
        await warm.rest()
        asked = warm.fetches
        assert await warm.ask(key) == ("hit", data)
        assert warm.fetches == asked


async def test_a_range_fetches_its_blocks_alone(warm):
    warm.put("large", LARGE)
    assert await warm.ask("large", BLOCK + 10, 20) == ("miss", LARGE[BLOCK + 10 : BLOCK + 30])
    await warm.rest()
    assert warm.counted("fills") == 1
    assert await warm.ask("large", BLOCK, BLOCK) == ("hit", LARGE[BLOCK : 2 * BLOCK])
    assert warm.fetches == 1
    assert await warm.ask("large") == ("partial", LARGE)
    await warm.rest()
    assert warm.counted("fills") == 4
    assert warm.fetches == 3  # what lies before the block, and what lies behind it
    assert await warm.ask("large") == ("hit", LARGE)


async def test_blocks_side_by_side_are_one_request(warm):
    warm.put("large", LARGE)
    assert await warm.get("large") == LARGE
    assert (warm.fetches, warm.counted("fills")) == (1, 4)


async def test_two_hundred_misses_are_one_fetch(warm):
    warm.put("large", LARGE)
    found = await asyncio.gather(*[warm.get("large") for _ in range(200)])
    assert all(data == LARGE for data in found)
    await warm.rest()
    assert (warm.fetches, warm.counted("fills")) == (1, 4)
    assert warm.counted("followers") == 199


async def test_followers_get_bytes_while_the_block_arrives(warm):
    warm.put("large", LARGE)
    leader = await warm.open("large")
    pause = warm.origin.faults.pause("read")
    first = await leader.read(0, 100)
    follower = await warm.open("large")
    assert await follower.read(0, 100) == first == LARGE[:100]
    await pause.reached.wait()
    assert warm.counted("fills") == 0
    pause.resume.set()
    leader.close()
    follower.close()


async def test_the_leaders_end_ends_nothing(warm):
    warm.put("large", LARGE)
    pause = warm.origin.faults.pause("read")
    leader = asyncio.ensure_future(warm.get("large"))
    await pause.reached.wait()
    follower = asyncio.ensure_future(warm.get("large"))
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.wait([leader])
    pause.resume.set()
    assert await follower == LARGE
    assert warm.fetches == 1


async def test_what_was_begun_is_kept_when_everybody_has_left(warm):
    warm.put("small", SMALL)
    pause = warm.origin.faults.pause("read")
    leader = asyncio.ensure_future(warm.get("small"))
    await pause.reached.wait()
    leader.cancel()
    await asyncio.wait([leader])
    pause.resume.set()
    await warm.rest()
    assert await warm.ask("small") == ("hit", SMALL)
    assert warm.fetches == 1


async def test_nobody_fetches_far_ahead_of_who_reads():
    data = random.Random(2).randbytes(8 * BLOCK)
    async with worker() as warm:
        warm.put("film", data)
        reader = await warm.open("film")
        assert await reader.read(0, 10) == data[:10]
        for _ in range(200):
            await asyncio.sleep(0)
        assert warm.counted("fills") == 3
        reader.close()
        await warm.rest()
        assert warm.counted("fills") == 3


async def test_a_failed_fetch_is_kept_nowhere_and_the_next_one_works(warm):
    warm.put("large", LARGE)
    warm.origin.faults.fail("read")
    with pytest.raises(OriginError):
        await warm.get("large")
    await warm.rest()
    assert warm.counted("fills") == 0
    assert await warm.ask("large") == ("miss", LARGE)


@pytest.mark.parametrize("size", [len(LARGE) - 1, BLOCK, BLOCK + 1, 1])
async def test_a_body_that_is_too_short_is_not_kept(warm, size):
    warm.put("large", LARGE)
    location, _, _ = warm.rows["large"]
    warm.origin.bodies[location] = LARGE[:size]  # with the ETag that it had
    with pytest.raises(OriginError):
        await warm.get("large")
    await warm.rest()
    assert warm.counted("fills") == size // BLOCK  # whole ones are what they are


async def test_what_the_origin_says_of_a_body_is_said_before_anything_is_read(warm):
    warm.put("large", LARGE)
    warm.origin.put_behind("media/large", LARGE[::-1])
    with pytest.raises(BodyChanged):
        await warm.open("large")
    await warm.origin.delete("media/large")
    with pytest.raises(BodyNotFound):
        await warm.open("large")


async def test_a_body_that_is_gone_but_for_its_first_block_is_said_to_be_gone(warm):
    warm.put("large", LARGE)
    await warm.get("large", 0, 10)
    await warm.rest()
    await warm.origin.delete("media/large")
    assert await warm.get("large", 5, 10) == LARGE[5:15]
    with pytest.raises(BodyNotFound):
        await warm.open("large")


async def test_a_body_whose_first_block_is_just_arriving_for_another_is_said_to_be_gone():
    async with worker() as warm:
        warm.put("large", LARGE)
        pause = warm.origin.faults.pause("read")
        part = asyncio.ensure_future(warm.get("large", 0, 10))
        await pause.reached.wait()
        whole = asyncio.ensure_future(warm.open("large"))
        await asyncio.sleep(0)
        await warm.origin.delete("media/large")
        pause.resume.set()
        assert await part == LARGE[:10]
        with pytest.raises(BodyNotFound):
            await whole


async def test_followers_hear_of_a_failure(warm):
    warm.put("small", SMALL)
    pause = warm.origin.faults.pause("open")
    warm.origin.faults.fail("open")
    asking = [asyncio.ensure_future(warm.get("small")) for _ in range(5)]
    await pause.reached.wait()
    pause.resume.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in found] == [OriginError] * 5


async def test_without_memory_requests_go_past_the_cache():
    async with worker(budget=BLOCK) as warm:
        warm.put("large", LARGE)
        warm.put("small", SMALL)
        pause = warm.origin.faults.pause("read")
        held = asyncio.ensure_future(warm.get("large", 0, 10))
        await pause.reached.wait()
        assert await warm.get("small") == SMALL
        assert warm.counted("passed") == 1
        pause.resume.set()
        assert await held == LARGE[:10]
        await warm.rest()
        assert await warm.get("large") == LARGE
        assert await warm.ask("small") == ("miss", SMALL)


async def test_a_fetch_that_takes_for_ever_is_given_up():
    async with worker(block_s=0.01) as warm:
        warm.put("small", SMALL)
        warm.origin.faults.pause("read")
        with pytest.raises(OriginError, match="too long"):
            await warm.get("small")


async def test_what_is_not_to_be_kept_is_not(warm):
    warm.put("small", SMALL)
    location, etag, _ = warm.rows["small"]
    for _ in range(2):
        reader = await warm.cache.open(location, etag, 0, len(SMALL))
        assert await reader.read(0, 10) == SMALL[:10]
        reader.close()
    assert warm.fetches == 2


async def test_a_purge_empties_memory_and_what_was_under_way_is_not_kept(warm):
    warm.put("small", SMALL)
    pause = warm.origin.faults.pause("read")
    asking = asyncio.ensure_future(warm.get("small"))
    await pause.reached.wait()
    warm.board.begin_generation()
    assert warm.cache.at_hand(warm.rows["small"][2], 0, 1) is None  # and this worker has noticed the purge
    pause.resume.set()
    assert await asking == SMALL
    await warm.rest()
    assert await warm.ask("small") == ("miss", SMALL)
    await warm.rest()
    assert warm.cache.at_hand(warm.rows["small"][2], 0, len(SMALL)) is not None
    if warm.tiers.disk is None:
        warm.board.begin_generation()
        assert warm.cache.at_hand(warm.rows["small"][2], 0, len(SMALL)) is None


async def test_bytes_at_hand_need_no_loop(warm):
    warm.put("large", LARGE)
    await warm.get("large")
    await warm.rest()
    kept_as = warm.rows["large"][2]
    for offset, size in ((0, 64 << 10), (2 * BLOCK + 5, 1000), (3 * BLOCK, 1000)):
        held = warm.cache.at_hand(kept_as, offset, size)
        assert held is not None
        assert held.data == LARGE[offset : offset + size]
    assert warm.cache.at_hand(kept_as, BLOCK - 1, 2) is None


BODIES = [random.Random(number).randbytes(BLOCK + 5000) for number in range(6)]


async def _reader(warm: Worker, rng: random.Random) -> None:
    """A GET: the row as it is now, then its bytes, however late; what it gives is that row's body or an error."""
    location, etag, kept_as = warm.rows["key"]
    body = BODIES[int(f"{etag}".rpartition("~")[2][:-1]) % len(BODIES)]
    offset = rng.choice([0, 0, 3000, BLOCK - 10, BLOCK + 1])
    size = rng.choice([len(body) - offset, 20])
    try:
        reader = await warm.cache.open(location, etag, offset, size, kept_as)
    except BodyChanged:
        return
    got = b""
    try:
        while len(got) < size:
            got += await reader.read(offset + len(got), min(size - len(got), rng.choice([7000, 400_000])))
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
    except BodyChanged:
        pass
    finally:
        reader.close()
    assert got == body[offset : offset + len(got)]


async def _writer(warm: Worker, rng: random.Random) -> None:
    for _ in range(rng.randrange(12)):
        await asyncio.sleep(0)
    version = warm.origin.versions["media/key"] + 1
    warm.put("key", BODIES[version % len(BODIES)], str(version))


async def _race(warm: Worker, rng: random.Random) -> None:
    version = warm.origin.versions["media/key"] + 1
    warm.put("key", BODIES[version % len(BODIES)], str(version))
    work = [_reader(warm, rng) for _ in range(4)] + [_writer(warm, rng) for _ in range(rng.randrange(1, 3))]
    rng.shuffle(work)
    await asyncio.gather(*work)
    await _reader(warm, rng)


@pytest.mark.parametrize("first", range(0, 3000, 500))
async def test_no_order_of_gets_and_puts_gives_old_bytes_for_a_new_etag_or_a_mix(first):
    """Every read and every write gives way to the others a random number of times."""
    for seed in range(first, first + 500):
        rng = random.Random(seed)
        async with worker(MemoryOrigin(own_keys=True), memory=rng.choice([1 << 20, 8 << 20])) as warm:
            await _race(warm, rng)


@pytest.mark.parametrize("write_through", [False, True])
async def test_no_order_does_so_with_a_disk_either(tmp_path, write_through):
    """The disk is small, so that blocks come and go."""
    async with worker(path=tmp_path, disk=3 << 20, memory=6 << 20, write_through=write_through) as warm:
        for seed in range(100):
            await _race(warm, random.Random(seed))
        await warm.rest()
        assert warm.counted("damaged") == 0
