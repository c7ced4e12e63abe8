"""The store tells which origins its rows need, and remembers which place each name stood for."""

from dataclasses import replace

from gateway.store.origins import known_identity, origins_in_use, remember_identity
from gateway.store.records import Intent, ObjectRecord
from tests.support.house import MEDIA


async def test_an_identity_is_remembered_and_can_be_changed(database):
    assert await known_identity(database, "local") is None
    await remember_identity(database, "local", "a")
    await remember_identity(database, "other", "b")
    assert await known_identity(database, "local") == "a"
    await remember_identity(database, "local", "c")
    assert await known_identity(database, "local") == "c"


async def test_origins_are_counted_by_what_lies_there(store):
    assert await origins_in_use(store.database) == {}
    for number, origin in enumerate(["local", "local", "liara"]):
        intent = Intent(f"w{number}", "put", MEDIA.bucket, f"k{number}", "ops", 1, origin, f"at-{number}", 1)
        await store.catalog.begin(intent, None)
        row = ObjectRecord(MEDIA.bucket, intent.key, "ops", 1, '"e"', 1, origin, intent.location)
        await store.catalog.commit(replace(MEDIA, origin=origin), intent, row, None)
    assert await origins_in_use(store.database) == {"local": 2, "liara": 1}
    await store.catalog.delete(MEDIA.bucket, "k2", None)
    assert await origins_in_use(store.database) == {"local": 2, "liara": 1}, "a body to be removed lies there still"
