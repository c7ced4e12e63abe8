"""gateway/sigv4/bounded.py: a map that forgets its oldest entries."""

from gateway.bounded import BoundedMap


def test_the_oldest_entry_goes_first():
    entries: BoundedMap[str, int] = BoundedMap(2)
    for name, value in (("a", 1), ("b", 2), ("c", 3)):
        entries.put(name, value)
    assert [entries.get(name) for name in "abc"] == [None, 2, 3]
    assert len(entries) == 2


def test_putting_a_known_key_again_forgets_nothing():
    entries: BoundedMap[str, int] = BoundedMap(2)
    for name, value in (("a", 1), ("b", 2), ("a", 3)):
        entries.put(name, value)
    assert [entries.get(name) for name in "ab"] == [3, 2]


def test_discard_and_clear_forget():
    entries: BoundedMap[str, int] = BoundedMap(2)
    entries.put("a", 1)
    entries.put("b", 2)
    entries.discard("a")
    entries.discard("never there")
    assert entries.get("a") is None
    entries.clear()
    assert len(entries) == 0
    assert entries.get("b") is None
