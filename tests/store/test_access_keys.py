"""Access keys: shown once, sealed to their row, forgotten from memory when somebody changes them."""

import logging
from pathlib import Path

import pytest

from gateway.errors import Code, S3Error
from gateway.store.access_keys import AccessKeys, UnknownAccessKey
from gateway.store.audit import AuditEntry
from gateway.store.key_ring import KeyRing, KeyRingError

NOW_S = 1_700_000_000
RING_FILE = Path("/etc/anbar/key_ring")


@pytest.fixture
def keys(store) -> AccessKeys:
    found: AccessKeys = store.access_keys
    return found


async def test_a_new_key_opens_with_the_secret_that_was_shown(keys):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    opened = await keys.open(new.access_key_id)
    assert opened is not None
    assert opened.secret.reveal().decode() == new.secret_access_key
    assert (opened.project, opened.principal) == ("demo", "ops")
    assert keys.at_hand(new.access_key_id) is opened
    assert await keys.secret(new.access_key_id) == new.secret_access_key


async def test_an_unknown_key_is_none_and_cannot_be_changed(keys):
    assert await keys.open("AKNOBODY") is None
    assert await keys.find("AKNOBODY") is None
    for work in (
        keys.set_state("AKNOBODY", "disabled", actor="root", now_s=NOW_S),
        keys.delete("AKNOBODY", actor="root", now_s=NOW_S),
        keys.secret("AKNOBODY"),
    ):
        with pytest.raises(UnknownAccessKey):
            await work


async def test_a_disabled_key_opens_nothing_at_once_and_again_when_it_is_active(keys):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    await keys.open(new.access_key_id)
    await keys.set_state(new.access_key_id, "disabled", actor="root", now_s=NOW_S)
    assert keys.at_hand(new.access_key_id) is None
    assert await keys.open(new.access_key_id) is None
    await keys.set_state(new.access_key_id, "active", actor="root", now_s=NOW_S)
    assert await keys.open(new.access_key_id) is not None


async def test_a_deleted_key_is_gone(keys):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    await keys.open(new.access_key_id)
    await keys.delete(new.access_key_id, actor="root", now_s=NOW_S)
    assert await keys.open(new.access_key_id) is None
    assert await keys.list() == []


async def test_every_change_of_a_key_is_in_the_audit_without_its_secret(keys, store):
    new = await keys.create("demo", "ops", 1, actor="root")
    second = await keys.create("demo", "ops", 2, actor="sara", beside=new.access_key_id)
    await keys.set_state(new.access_key_id, "disabled", actor="sara", now_s=3)
    await keys.set_state(new.access_key_id, "active", actor="root", now_s=4)
    await keys.delete(new.access_key_id, actor="root", now_s=5)
    whose = {"principal": "ops"}
    assert [each.entry for each in await store.audit.list()] == [
        AuditEntry(1, "root", "key.create", "demo", new.access_key_id, whose),
        AuditEntry(2, "sara", "key.create", "demo", second.access_key_id, {**whose, "beside": new.access_key_id}),
        AuditEntry(3, "sara", "key.disable", "demo", new.access_key_id, whose),
        AuditEntry(4, "root", "key.enable", "demo", new.access_key_id, whose),
        AuditEntry(5, "root", "key.delete", "demo", new.access_key_id, whose),
    ]


async def test_a_change_that_cannot_be_audited_is_not_made(keys, store):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    too_long = "x" * 5000
    with pytest.raises(ValueError, match="larger than"):
        await keys.create("demo", too_long, NOW_S, actor="root")
    await store.database.write(lambda c: c.execute("UPDATE access_keys SET principal = ?", (too_long,)))
    for work in (
        keys.set_state(new.access_key_id, "disabled", actor="root", now_s=NOW_S),
        keys.delete(new.access_key_id, actor="root", now_s=NOW_S),
    ):
        with pytest.raises(ValueError, match="larger than"):
            await work
    [left] = await keys.list()
    assert (left.access_key_id, left.state) == (new.access_key_id, "active")


async def test_a_change_of_an_unknown_key_is_not_in_the_audit(keys, store):
    with pytest.raises(UnknownAccessKey):
        await keys.set_state("AKNOBODY", "disabled", actor="root", now_s=NOW_S)
    assert await store.audit.list() == []


async def test_lists_are_of_all_of_a_project_or_of_a_principal(keys):
    made = [
        await keys.create(project, name, NOW_S, actor="root") for project, name in (("a", "x"), ("a", "y"), ("b", "x"))
    ]
    assert {key.access_key_id for key in await keys.list()} == {key.access_key_id for key in made}
    assert [key.access_key_id for key in await keys.list("a", "y")] == [made[1].access_key_id]
    assert len(await keys.list("a")) == 2
    assert len(await keys.list(principal="x")) == 2


async def test_the_last_use_is_written_once_and_forgotten(keys):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    keys.note_use(new.access_key_id, NOW_S + 1)
    keys.note_use(new.access_key_id, NOW_S + 5)
    await keys.write_uses()
    found = await keys.find(new.access_key_id)
    assert found is not None
    assert found.last_used_s == NOW_S + 5
    await keys.write_uses()


async def test_no_secret_is_in_the_store(keys, store_path):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    for path in store_path.parent.iterdir():
        assert new.secret_access_key.encode() not in path.read_bytes()


@pytest.mark.parametrize("column", ["project", "principal", "generation"])
async def test_a_row_that_was_moved_to_somebody_else_opens_nothing(keys, store, column):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    await store.database.write(lambda c: c.execute(f"UPDATE access_keys SET {column} = '7'"))
    with pytest.raises(S3Error) as refused:
        await keys.open(new.access_key_id)
    assert refused.value.code is Code.ServiceUnavailable


async def test_secrets_that_were_swapped_between_rows_open_nothing(keys, store):
    first, second = [await keys.create("demo", "ops", NOW_S, actor="root") for _ in range(2)]
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


@pytest.fixture
def other(store) -> AccessKeys:
    """The same store with a key ring that is not its own."""
    return AccessKeys(store.database, KeyRing({"another": bytes(32)}))


async def test_a_key_that_the_ring_cannot_open_is_never_taken_for_missing(keys, other, caplog):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    with pytest.raises(S3Error) as refused:
        await other.open(new.access_key_id)
    assert refused.value.code is Code.ServiceUnavailable
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        f"access key {new.access_key_id} cannot be opened: the key ring has no key test; it has another"
    )


async def test_an_operator_is_told_by_the_key_ring_itself(keys, other, caplog):
    new = await keys.create("demo", "ops", NOW_S, actor="root")
    with pytest.raises(KeyRingError, match="no key test"):
        await other.secret(new.access_key_id)
    assert caplog.records == []


async def test_a_store_without_access_keys_fits_every_ring(keys, other):
    seals = await other.seals()
    assert seals.missing == {}
    assert not seals.all_missing
    assert seals.mistakes(RING_FILE) == ()


async def test_seals_that_the_ring_lacks_are_counted(keys, other):
    await keys.create("demo", "ops", NOW_S, actor="root")
    assert not (await keys.seals()).missing
    assert (await other.seals()).all_missing
    await other.create("demo", "ops", NOW_S + 1, actor="root")
    await other.create("demo", "ops", NOW_S + 1, actor="root")
    seals = await other.seals()
    assert seals.counts == {"test": 1, "another": 2}
    assert not seals.all_missing
    [mistake] = seals.mistakes(RING_FILE)
    assert mistake == (
        "/etc/anbar/key_ring has no key test, which sealed 1 access key: "
        "restore the ring that belongs to this store (it has another)"
    )


async def test_access_keys_that_do_not_open_are_told_with_the_reason(keys, store):
    first, second = [await keys.create("demo", "ops", NOW_S, actor="root") for _ in range(2)]
    assert await keys.unopened() == {}
    await store.database.write(
        lambda c: c.execute("UPDATE access_keys SET project = 'x' WHERE access_key_id = ?", (first.access_key_id,))
    )
    assert set(await keys.unopened()) == {first.access_key_id}
    same_id = AccessKeys(store.database, KeyRing({"test": bytes(32)}))
    assert set(await same_id.unopened()) == {first.access_key_id, second.access_key_id}


async def test_access_keys_of_a_key_that_is_missing_are_counted_and_not_tried(keys, other):
    await keys.create("demo", "ops", NOW_S, actor="root")
    assert await other.unopened() == {}
