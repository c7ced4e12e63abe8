"""anbar backup and anbar restore: what is in a backup, what is refused, and that nothing is ever replaced."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.backup.manifest import read_manifest
from gateway.backup.scratch import scratch
from gateway.startup import only_server_of

FILES = {"MANIFEST", "anbar.sqlite", "gateway.toml", "key_ring", "policies/demo.toml"}


@pytest.fixture
def taken(anbar, installation, hold) -> Path:
    """A backup of an installation with a store and a key."""
    assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    assert anbar("backup", "taken").code == 0
    return installation / "taken"


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def everything(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in files(root)}


def test_a_backup_holds_the_store_the_rules_and_the_key_ring_for_their_owner_alone(taken, installation):
    assert files(taken) == FILES
    for name in ("gateway.toml", "policies/demo.toml"):
        assert (taken / name).read_bytes() == (installation / name).read_bytes()
    assert (taken / "key_ring").read_bytes() == (installation / "var/key_ring").read_bytes()
    assert {path.stat().st_mode & 0o777 for path in taken.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (taken, taken / "policies")} == {0o700}
    with closing(sqlite3.connect(taken / "anbar.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert store.execute("PRAGMA journal_mode").fetchall() == [("delete",)], "one file, without a log beside it"
        assert store.execute("SELECT count(*) FROM access_keys").fetchall() == [(1,)]
    assert [path.name for path in installation.iterdir() if path.name.startswith(".")] == []


def test_the_key_ring_can_be_left_out(anbar, taken, tmp_path):
    assert anbar("backup", "without", "--without-key-ring").code == 0
    assert files(tmp_path / "without") == FILES - {"key_ring"}
    done = anbar("restore", "without", "--config", "new/gateway.toml")
    assert done.code == 0
    assert f"put it at {tmp_path}/new/var/key_ring (chmod 600)" in done.out


def test_a_backup_is_verified_and_told_for_machines(anbar, taken):
    done = anbar("backup", "taken", "--verify", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told.pop("taken").endswith("Z")
    assert told.pop("schema") > 0
    assert told == {"backup": "taken", "key_ring": True, "media": [], "bodies": 0, "lost": []}
    assert files(taken) == FILES, "looking leaves nothing behind"


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone"])
def test_a_damaged_backup_is_refused_and_nothing_is_restored(anbar, taken, tmp_path, name, damage):
    file = taken / name
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        half = len(data) // 2
        file.write_bytes(data[:half] + (bytes([data[half] ^ 4]) + data[half + 1 :] if damage == "flipped" else b""))
    assert anbar("backup", "--verify", "taken").code == 1
    done = anbar("restore", "taken", "--config", "new/gateway.toml")
    assert done.code == 1
    assert name in done.err
    new = tmp_path / "new"
    assert not new.exists() or files(new) <= {"var/anbar.sqlite-serving"}


def test_a_restored_installation_is_fit_to_serve(anbar, taken, tmp_path, monkeypatch):
    done = anbar("restore", "taken", "--config", "new/gateway.toml")
    assert done.code == 0, done.err
    assert "anbar reconcile" in done.out
    new = tmp_path / "new"
    assert {path.stat().st_mode & 0o777 for path in (new / "var").iterdir()} == {0o600}
    monkeypatch.chdir(new)
    doctor = anbar("doctor")
    assert doctor.code == 0, doctor.out
    assert len(anbar("keys", "list").out.splitlines()) == 2


def test_a_backup_never_replaces_one(anbar, taken):
    before = everything(taken)
    done = anbar("backup", "taken")
    assert (done.code, done.err) == (1, "anbar: taken is there already; a backup never replaces one\n")
    assert everything(taken) == before


def test_a_restore_replaces_nothing_and_names_all_that_is_in_the_way(anbar, taken, installation):
    (installation / "policies/demo.toml").write_text("# mine")
    before = everything(installation)
    done = anbar("restore", "taken")
    assert done.code == 1
    assert done.err.splitlines() == [
        f"anbar: {installation / name} is in the way: a restore replaces nothing"
        for name in ("policies/demo.toml", "var/anbar.sqlite")
    ]
    after = everything(installation)
    assert after.pop("var/anbar.sqlite-serving") == b""
    assert after == before


def test_what_is_there_with_the_same_bytes_stays_and_gateway_toml_says_where_the_rest_goes(anbar, taken, tmp_path):
    new = tmp_path / "new"
    (new / "policies").mkdir(parents=True)
    shutil.copy(taken / "policies/demo.toml", new / "policies/demo.toml")
    text = (taken / "gateway.toml").read_text().replace("var/anbar.sqlite", "elsewhere/catalog.sqlite")
    (new / "gateway.toml").write_text(text)
    done = anbar("restore", "taken", "--config", "new/gateway.toml")
    assert done.code == 0, done.err
    assert (new / "gateway.toml").read_text() == text
    assert (new / "elsewhere/catalog.sqlite").read_bytes() == (taken / "anbar.sqlite").read_bytes()
    assert [line.split()[0] for line in done.out.splitlines()[:4]] == ["kept", "kept", "made", "made"]


def test_rules_that_are_not_in_the_backup_are_in_the_way(anbar, taken, tmp_path):
    (tmp_path / "new/policies").mkdir(parents=True)
    (tmp_path / "new/policies/more.toml").write_text('project = "more"')
    done = anbar("restore", "taken", "--config", "new/gateway.toml")
    assert done.code == 1
    assert done.err == f"anbar: {tmp_path}/new/policies/more.toml is in the way: a restore replaces nothing\n"


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_restore_is_refused_beside_what_is_left_of_another_store(anbar, taken, tmp_path, suffix):
    (tmp_path / "new/var").mkdir(parents=True)
    (tmp_path / f"new/var/anbar.sqlite{suffix}").touch()
    done = anbar("restore", "taken", "--config", "new/gateway.toml")
    assert done.code == 1
    assert f"anbar.sqlite{suffix} is in the way" in done.err


def test_a_restore_is_refused_where_a_gateway_serves(anbar, taken, tmp_path):
    with only_server_of(tmp_path / "new/var/anbar.sqlite"):
        done = anbar("restore", "taken", "--config", "new/gateway.toml")
    assert done.code == 1
    assert "another process serves from" in done.err
    assert "stop it first" in done.err


def test_the_store_of_a_newer_version_is_refused(anbar, taken, tmp_path):
    with closing(sqlite3.connect("var/anbar.sqlite")) as store:
        store.execute("PRAGMA user_version = 999")
    done = anbar("backup", "newer")
    assert done.code == 1
    assert "made by a newer version" in done.err
    assert not (tmp_path / "newer").exists()


def test_there_is_nothing_to_back_up_before_the_first_start(anbar, installation):
    done = anbar("backup", "b")
    assert done.code == 1
    assert "there is no store yet" in done.err
    assert not (installation / "b").exists()


def test_a_key_ring_that_others_may_read_is_not_copied(anbar, taken, installation):
    (installation / "var/key_ring").chmod(0o644)
    done = anbar("backup", "b")
    assert done.code == 1
    assert "chmod 600" in done.err
    assert not (installation / "b").exists()


def test_verify_goes_without_what_a_backup_is_taken_with(anbar, installation):
    assert anbar("backup", "--verify", "--media", "b").code == 2


@pytest.fixture
def with_media(anbar, taken, installation) -> Iterator[Path]:
    """A backup with the directory of an origin that is known to the store."""
    objects = installation / "var/objects"
    objects.mkdir()
    (objects / ".anbar-origin").write_text("0" * 32)
    assert anbar("backup", "media", "--media").code == 0
    with scratch(objects, ".unrelated-"):
        yield installation / "media"


def test_a_directory_that_is_not_the_one_the_store_knows_is_refused(anbar, with_media, installation):
    with closing(sqlite3.connect("var/anbar.sqlite")) as store, store:
        store.execute("INSERT INTO origins VALUES ('local', ?)", ("1" * 32,))
    done = anbar("backup", "b", "--media")
    assert done.code == 1
    assert "is the disk mounted?" in done.err


def test_media_go_into_an_empty_directory_only(anbar, with_media, tmp_path):
    assert read_manifest(with_media).contents.media == ("local",)
    place = tmp_path / "new/var/objects"
    (place / "something").mkdir(parents=True)
    done = anbar("restore", "media", "--config", "new/gateway.toml")
    assert (done.code, done.err) == (1, f"anbar: {place} is in the way: a restore replaces nothing\n")
    (place / "something").rmdir()
    (place / ".anbar-restore-killed").mkdir()
    assert anbar("restore", "media", "--config", "new/gateway.toml").code == 0
    assert [path.name for path in place.iterdir()] == [".anbar-origin"]
