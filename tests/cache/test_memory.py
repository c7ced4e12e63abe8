"""gateway/cache/memory.py: small blocks, bounded in bytes."""

from gateway.cache.memory import Held, MemoryTier


def test_what_is_kept_never_takes_more_than_it_may():
    memory = MemoryTier(100_000, 50_000)
    gone = 0
    for number in range(1000):
        gone += memory.put(number.to_bytes(24, "big"), Held(bytes(number), 1))
        assert memory.size <= 100_000
    assert gone > 900
    assert sum(number.to_bytes(24, "big") in memory for number in range(1000)) == 1000 - gone


def test_what_is_too_large_is_not_kept():
    memory = MemoryTier(100_000, 50_000)
    memory.put(b"large", Held(bytes(50_001), 1))
    assert memory.get(b"large") is None
    assert MemoryTier(0, 100).put(b"any", Held(b"", 1)) == 0


def test_a_block_put_again_is_the_new_one():
    memory = MemoryTier(100_000, 50_000)
    memory.put(b"one", Held(b"1", 1))
    memory.put(b"one", Held(b"2", 2))
    assert memory.get(b"one") == Held(b"2", 2)
    memory.discard(b"one")
    memory.discard(b"one")
    assert memory.get(b"one") is None


def test_clear_keeps_nothing():
    memory = MemoryTier(100_000, 50_000)
    memory.put(b"one", Held(b"1", 1))
    memory.clear()
    assert (memory.get(b"one"), memory.size) == (None, 0)
