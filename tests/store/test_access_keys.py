"""Access keys: shown once, sealed to their row, forgotten from memory when somebody changes them."""

import pytest

from gateway.errors import Code, S3Error
from gateway.store.access_keys import AccessKeys, UnknownAccessKey
from gateway.store.key_ring import KeyRing

NOW_S = 1_700_000_000


@pytest.fixture
def keys(store) -> AccessKeys:
    found: AccessKeys = store.access_keys
    return found


async def test_a_new_key_opens_with_the_secret_that_was_shown(keys):
    new = await keys.create("demo", "ops", NOW_S)
    opened = await keys.open(new.access_key_id)
    assert opened is not None
    assert opened.secret.reveal().decode() == new.secret_access_key
    assert (opened.project, opened.principal) == ("demo", "ops")
    assert keys.at_hand(new.access_key_id) is opened
    assert await keys.secret(new.access_key_id) == new.secret_access_key


async def test_an_unknown_key_is_none_and_cannot_be_changed(keys):
    assert await keys.open("AKNOBODY") is None
    assert await keys.find("AKNOBODY") is None
    for work in (keys.set_state("AKNOBODY", "disabled"), keys.delete("AKNOBODY"), keys.secret("AKNOBODY")):
        with pytest.raises(UnknownAccessKey):
            await work


async def test_a_disabled_key_opens_nothing_at_once_and_again_when_it_is_active(keys):
    new = await keys.create("demo", "ops", NOW_S)
    await keys.open(new.access_key_id)
    await keys.set_state(new.access_key_id, "disabled")
    assert keys.at_hand(new.access_key_id) is None
    assert await keys.open(new.access_key_id) is None
    await keys.set_state(new.access_key_id, "active")
    assert await keys.open(new.access_key_id) is not None


async def test_a_deleted_key_is_gone(keys):
    new = await keys.create("demo", "ops", NOW_S)
    await keys.open(new.access_key_id)
    await keys.delete(new.access_key_id)
    assert await keys.open(new.access_key_id) is None
    assert await keys.list() == []


async def test_lists_are_of_all_of_a_project_or_of_a_principal(keys):
    made = [await keys.create(project, name, NOW_S) for project, name in (("a", "x"), ("a", "y"), ("b", "x"))]
    assert {key.access_key_id for key in await keys.list()} == {key.access_key_id for key in made}
    assert [key.access_key_id for key in await keys.list("a", "y")] == [made[1].access_key_id]
    assert len(await keys.list("a")) == 2
    assert len(await keys.list(principal="x")) == 2


async def test_the_last_use_is_written_once_and_forgotten(keys):
    new = await keys.create("demo", "ops", NOW_S)
    keys.note_use(new.access_key_id, NOW_S + 1)
    keys.note_use(new.access_key_id, NOW_S + 5)
    await keys.write_uses()
    found = await keys.find(new.access_key_id)
    assert found is not None
    assert found.last_used_s == NOW_S + 5
    await keys.write_uses()


async def test_no_secret_is_in_the_store(keys, store_path):
    new = await keys.create("demo", "ops", NOW_S)
    for path in store_path.parent.iterdir():
        assert new.secret_access_key.encode() not in path.read_bytes()


@pytest.mark.parametrize("column", ["project", "principal", "generation"])
async def test_a_row_that_was_moved_to_somebody_else_opens_nothing(keys, store, column):
    new = await keys.create("demo", "ops", NOW_S)
    await store.database.write(lambda c: c.execute(f"UPDATE access_keys SET {column} = '7'"))
    with pytest.raises(S3Error) as refused:
        await keys.open(new.access_key_id)
    assert refused.value.code is Code.ServiceUnavailable


async def test_secrets_that_were_swapped_between_rows_open_nothing(keys, store):
    first, second = [await keys.create("demo", "ops", NOW_S) for _ in range(2)]
    sealed = await store.database.read(
        lambda c: c.execute(
            "SELECT access_key_id, nonce, ciphertext FROM access_keys ORDER BY access_key_id"
        ).fetchall()
    )
    swapped = [(*sealed[1][1:], sealed[0][0]), (*sealed[0][1:], sealed[1][0])]
    await store.database.write(
        lambda c: c.executemany("UPDATE access_keys SET nonce = ?, ciphertext = ? WHERE access_key_id = ?", swapped)
    )
    for key in (first, second):
        with pytest.raises(S3Error):
            await keys.open(key.access_key_id)


async def test_a_key_that_the_ring_cannot_open_is_never_taken_for_missing(keys, store):
    new = await keys.create("demo", "ops", NOW_S)
    other = AccessKeys(store.database, KeyRing({"another": bytes(32)}))
    with pytest.raises(S3Error) as refused:
        await other.open(new.access_key_id)
    assert refused.value.code is Code.ServiceUnavailable
