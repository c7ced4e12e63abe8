"""Usage: three scopes of every object, in the same transaction, never below nothing."""

import sqlite3

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.migrate import migrate
from gateway.store.usage import UsageRow, charge, give_back, read_usage
from tests.support.house import MEDIA, VOICE

moves = st.lists(
    st.tuples(st.sampled_from([MEDIA, VOICE]), st.sampled_from(["ann", "bob"]), st.integers(0, 2**50)), max_size=20
)


async def test_every_object_counts_for_its_project_its_category_and_its_uploader(store):
    def work(connection: sqlite3.Connection) -> None:
        charge(connection, MEDIA, "ann", 5, 1)
        charge(connection, MEDIA, "bob", 7, 1)
        charge(connection, VOICE, "ann", 1, 1)

    await store.database.write(work)
    assert await read_usage(store.database, "demo") == [
        UsageRow("demo", None, None, 13, 3),
        UsageRow("demo", "media", None, 12, 2),
        UsageRow("demo", "media", "ann", 5, 1),
        UsageRow("demo", "media", "bob", 7, 1),
        UsageRow("demo", "voice", None, 1, 1),
        UsageRow("demo", "voice", "ann", 1, 1),
    ]
    assert await read_usage(store.database) == await read_usage(store.database, "demo")
    assert await read_usage(store.database, "nobody") == []


async def test_what_is_empty_again_is_not_told(store):
    await store.database.write(lambda c: charge(c, MEDIA, "ann", 5, 1))
    await store.database.write(lambda c: give_back(c, "demo", "media", "ann", 5, 1))
    assert await read_usage(store.database) == []


async def test_more_than_was_charged_ends_at_nothing_and_keeps_nobody_from_going_on(store):
    await store.database.write(lambda c: charge(c, MEDIA, "ann", 5, 1))
    await store.database.write(lambda c: give_back(c, "demo", "media", "ann", 6, 2))
    assert await read_usage(store.database) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
def test_scopes_add_up_after_any_charges_and_returns(moves):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, check=False)
    for bucket, uploader, size in moves:
        charge(connection, bucket, uploader, size, 1)
    for bucket, uploader, size in moves[::2]:
        give_back(connection, bucket.project, bucket.category, uploader, size, 1)
    kept = moves[1::2]
    totals = {
        (project, category, uploader): (size, count)
        for project, category, uploader, size, count in connection.execute("SELECT * FROM usage")
    }
    assert totals.get(("demo", "", ""), (0, 0)) == (sum(size for *_, size in kept), len(kept))
    for (_project, category, uploader), (size, count) in totals.items():
        fitting = [
            s for b, u, s in kept if (not category or b.category == category) and (not uploader or u == uploader)
        ]
        assert (size, count) == (sum(fitting), len(fitting))
    connection.close()
