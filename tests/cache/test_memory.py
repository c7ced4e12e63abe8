"""gateway/cache/memory.py: small blocks, bounded in bytes."""

import pytest

from gateway.cache.memory import Block, MemoryTier


def test_what_is_kept_never_takes_more_than_it_may():
    memory = MemoryTier(100_000, 50_000)
    gone = 0
    for number in range(1000):
        gone += len(memory.put(number.to_bytes(24, "big"), Block(bytes(number + 1))))
        assert memory.size <= 100_000
    assert gone > 900
    assert sum(number.to_bytes(24, "big") in memory for number in range(1000)) == 1000 - gone


def test_what_is_too_large_is_not_kept():
    memory = MemoryTier(400_000, 50_000)
    memory.put(b"large", Block(bytes(50_001)))
    assert memory.get(b"large") is None
    assert MemoryTier(100_000, 50_000).largest == 25_000
    nothing = MemoryTier(0, 100)
    assert nothing.put(b"any", Block(b"x")) == []
    assert nothing.get(b"any") is None


def test_a_block_put_again_is_the_new_one():
    memory = MemoryTier(100_000, 50_000)
    memory.put(b"one", Block(b"1", fetched_s=1))
    memory.put(b"one", Block(b"2", fetched_s=2))
    found = memory.get(b"one")
    assert found is not None
    assert (found.read(0, 9), found.fetched_s) == (b"2", 2)
    memory.discard(b"one")
    memory.discard(b"one")
    assert memory.get(b"one") is None


def test_clear_keeps_nothing():
    memory = MemoryTier(100_000, 50_000)
    memory.put(b"one", Block(b"1", fetched_s=1))
    memory.clear()
    assert (memory.get(b"one"), memory.size) == (None, 0)


@pytest.mark.parametrize("pieces", [[b"abcdefgh"], [b"ab", b"c", b"defgh"]])
def test_a_block_is_read_from_anywhere(pieces):
    block = Block(*pieces)
    whole = b"".join(pieces)
    for offset in range(8):
        for size in range(1, 9 - offset):
            assert block.read_all(offset, size) == whole[offset : offset + size]
            assert whole[offset:].startswith(block.read(offset, size))
    assert block.size == 8


def test_what_went_and_what_waits_is_told():
    memory = MemoryTier(4000, 1000)
    waiting = Block(bytes(500))
    waiting.pending = True
    memory.put(b"waits", waiting)
    assert list(memory.pending()) == [(b"waits", waiting)]
    gone = [each for number in range(4) for each in memory.put(b"%d" % number, Block(bytes(800)))]
    assert (b"waits", waiting) in gone
