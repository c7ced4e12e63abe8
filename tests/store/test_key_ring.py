"""The key ring: who may read it, and that nothing it sealed can be changed or moved."""

import base64
import dataclasses
import os
import pickle
import re
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import parse_settings
from gateway.store.key_ring import KeyRing, KeyRingError, NewSecret, Sealed, generate_access_key, load_key_ring

OLD = bytes(range(32))
NEW = bytes(range(32, 64))
RING = KeyRing({"old": OLD, "new": NEW})


def line(key_id: str, key: bytes) -> str:
    return f"{key_id}: {base64.b64encode(key).decode()}\n"


def written(tmp_path, text: str | bytes, mode: int = 0o600):
    path = tmp_path / "key_ring"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def test_a_new_ring_is_its_owners_alone_and_loads(tmp_path):
    path = tmp_path / "var" / "key_ring"
    ring = KeyRing.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing.load(path).fingerprints() == ring.fingerprints()
    assert [entry.name for entry in path.parent.iterdir()] == ["key_ring"]


def test_a_new_ring_is_private_under_any_umask(tmp_path):
    before = os.umask(0)
    try:
        KeyRing.create(tmp_path / "key_ring")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key_ring").stat().st_mode) == 0o600


def test_two_new_rings_have_different_keys(tmp_path):
    first, second = KeyRing.create(tmp_path / "a"), KeyRing.create(tmp_path / "b")
    assert set(first.fingerprints().values()) != set(second.fingerprints().values())


def test_a_ring_is_never_overwritten(tmp_path):
    path = written(tmp_path, "precious")
    with pytest.raises(FileExistsError):
        KeyRing.create(path)
    assert path.read_text() == "precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key_ring"]


def test_a_dangling_link_is_not_followed_when_a_ring_is_made(tmp_path):
    (tmp_path / "key_ring").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        KeyRing.create(tmp_path / "key_ring")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666, 0o777])
def test_a_ring_that_others_may_touch_is_refused(tmp_path, mode):
    with pytest.raises(KeyRingError, match="chmod 600"):
        KeyRing.load(written(tmp_path, line("a", OLD), mode))


def test_a_read_only_ring_is_fine(tmp_path):
    assert KeyRing.load(written(tmp_path, line("a", OLD), 0o400)).ids == ("a",)


def test_a_missing_ring_is_refused_by_name(tmp_path):
    with pytest.raises(KeyRingError, match=r"key_ring: No such file"):
        KeyRing.load(tmp_path / "key_ring")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The settings of an installation that has no key ring; it is not the working directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = (
        '[store]\npath = "anbar.sqlite"\n[secrets]\nkey_ring = "key_ring"\n'
        '[origins.local]\nkind = "directory"\npath = "objects"\n[policies]\npath = "policies"\n'
    )
    return parse_settings(text, tmp_path / "gateway.toml")


def test_the_ring_of_an_installation_loads(tmp_path, settings):
    assert KeyRing.create(tmp_path / "key_ring").ids == load_key_ring(settings).ids


def test_a_ring_that_was_never_made_is_told_with_the_command_that_makes_one(tmp_path, settings, monkeypatch):
    told = f"{tmp_path}/key_ring: No such file or directory; to make one, run: anbar init"
    with pytest.raises(KeyRingError) as refused:
        load_key_ring(settings)
    assert str(refused.value) == f"{told} --dir {tmp_path}"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyRingError) as refused:
        load_key_ring(settings)
    assert str(refused.value) == told


def test_a_ring_that_the_store_has_outlived_is_to_be_restored(tmp_path, settings):
    (tmp_path / "anbar.sqlite").write_bytes(b"")
    with pytest.raises(KeyRingError) as refused:
        load_key_ring(settings)
    assert str(refused.value) == (
        f"{tmp_path}/key_ring is missing, but the store {tmp_path}/anbar.sqlite was sealed with it. "
        "Restore the key ring from its backup."
    )


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("fifo", "folder"):
        with pytest.raises(KeyRingError):
            KeyRing.load(tmp_path / name)


def test_the_last_key_is_primary_and_comments_are_passed_over(tmp_path):
    ring = KeyRing.load(written(tmp_path, f"# made in May\n\n{line('old', OLD)}{line('new', NEW)}"))
    assert ring.ids == ("old", "new")
    assert ring.primary_id == "new"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "a\n",
        "a: \n",
        "a: AAAA\n",
        line("a", OLD)[:-3] + "\n",
        line("a", OLD).replace("A", "_", 1),
        line("a b", OLD),
        line("a", OLD) + line("a", NEW),
        line("a", OLD) + line("b", OLD),
        line("a", OLD).replace("\n", "x\n"),
        line("a", OLD + b"\0"),
        line("é", OLD),
        b"\xff\xfe",
        b"#" * 70_000,
    ],
)
def test_a_malformed_ring_is_refused_without_showing_keys(tmp_path, text):
    with pytest.raises(KeyRingError) as refusal:
        KeyRing.load(written(tmp_path, text))
    assert base64.b64encode(OLD).decode()[:20] not in str(refusal.value)


def test_keys_of_a_wrong_length_are_refused():
    with pytest.raises(KeyRingError, match="32 bytes"):
        KeyRing({"a": b"short"})


def test_fingerprints_are_sha256_of_the_keys():
    assert RING.fingerprints()["old"] == "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd"


def test_sealing_uses_the_primary_key_and_a_new_nonce_each_time():
    first, second = RING.seal(b"secret", b"row"), RING.seal(b"secret", b"row")
    assert first.key_id == second.key_id == "new"
    assert len(first.nonce) == 12
    assert first.nonce != second.nonce
    assert b"secret" not in first.ciphertext


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_what_was_sealed_opens(plaintext, associated):
    assert RING.open(RING.seal(plaintext, associated), associated) == plaintext


def test_what_an_older_key_sealed_still_opens():
    assert RING.open(KeyRing({"old": OLD}).seal(b"secret", b"row"), b"row") == b"secret"


def test_a_secret_cannot_be_moved_to_another_row():
    with pytest.raises(KeyRingError, match="another row"):
        RING.open(RING.seal(b"secret", b"s3key|v1|A|demo|ops|1"), b"s3key|v1|A|demo|ops|2")


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_changed_bit_is_found(position, bit):
    sealed = RING.seal(b"secret", b"row")
    joined = bytearray(sealed.nonce + sealed.ciphertext)
    joined[position % len(joined)] ^= 1 << bit
    with pytest.raises(KeyRingError):
        RING.open(Sealed(sealed.key_id, bytes(joined[:12]), bytes(joined[12:])), b"row")


@pytest.mark.parametrize("changed", [{"nonce": b""}, {"ciphertext": b""}, {"key_id": "gone"}, {"key_id": "old"}])
def test_a_broken_row_is_key_ring_error(changed):
    with pytest.raises(KeyRingError):
        RING.open(dataclasses.replace(RING.seal(b"secret", b"row"), **changed), b"row")


def test_a_ring_shows_no_key():
    assert repr(RING) == str(RING) == "KeyRing(ids=['old', 'new'])"
    with pytest.raises(TypeError):
        pickle.dumps(RING)


def test_access_keys_look_as_they_should_and_never_repeat():
    keys = [generate_access_key() for _ in range(200)]
    assert all(re.fullmatch(r"AK[A-Z2-7]{18}", key.access_key_id) for key in keys)
    assert all(re.fullmatch(r"[A-Za-z0-9+/]{40}", key.secret_access_key) for key in keys)
    assert re.fullmatch(r"AS[A-Z2-7]{18}", generate_access_key("AS").access_key_id)
    assert len({key.access_key_id for key in keys} | {key.secret_access_key for key in keys}) == 400


def test_a_new_secret_is_not_in_its_repr():
    assert "hidden" not in repr(NewSecret("AKX", "hidden"))
