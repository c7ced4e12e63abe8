"""What clients do at each step of a backup: whatever it is, the backup is of one moment, and whole.

The backup is taken in this process, which hears of each step, and speaks to a gateway that serves in another.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from gateway.backup import take as take_module
from gateway.backup.manifest import Contents
from gateway.backup.scratch import scratch
from gateway.backup.take import Wanted, take_backup
from gateway.backup.verify import verify_backup
from gateway.config import load_settings
from gateway.store.snapshot import Snapshot
from tests.support.caller import Caller, complete_document
from tests.support.file_systems import another_file_system
from tests.support.gateway import Gateway
from tests.support.signer import object_path

BUCKET = "demo-media"
STEPS = (
    "1 bodies kept",
    "waiting for the store to stand still",
    "looking whether every body is kept",
    "copying the store",
    "1 bodies backed up",
)
"""Those at which others may write."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("take")) as gateway:
        yield gateway


@pytest.fixture
def caller(running: Gateway) -> Caller:
    """The bucket has three objects, one of them in parts."""
    caller = Caller.of(running)
    for key in caller.keys(BUCKET):
        assert remove(caller, key)
    for key in ("a", "b"):
        caller.put(BUCKET, key, b"old " + key.encode())
    store_film(caller, b"old film")
    return caller


def remove(caller: Caller, key: str) -> bool:
    return caller.call("DELETE", object_path(BUCKET, key)).status == 204


def store_film(caller: Caller, body: bytes) -> None:
    upload_id = caller.start_upload(BUCKET, "film")
    etag = caller.put_part(BUCKET, "film", upload_id, 1, body)
    assert caller.complete(BUCKET, "film", upload_id, complete_document([(1, etag)])).status == 200


def take(gateway: Gateway, target: Path, at: Mapping[str, Callable[[], object]]) -> Contents:
    """Take a backup; `at` says what happens when it first comes to a step."""
    waiting = dict(at)

    def told(step: str) -> None:
        if step in waiting:
            waiting.pop(step)()

    settings = load_settings(gateway.config)
    contents = take_backup(gateway.config, settings, target, Wanted(media=True, key_ring=True), told)
    assert waiting == {}, "it came to every step"
    assert contents.lost == ()
    assert verify_backup(target, lambda text: None).contents == contents
    assert not list(gateway.origin_directory.glob(".anbar-backup-*"))
    return contents


def bodies(backup: Path) -> dict[str, bytes]:
    """What the store of a backup names, and the bytes that are there."""
    found = {}
    with closing(Snapshot.open_copy(backup / "anbar.sqlite")) as copy:
        for body in copy.bodies():
            place = backup / "media" / body.origin / body.location
            files = [place] if place.is_file() else sorted(place.glob("0*"))
            found[body.key] = b"".join(file.read_bytes() for file in files)
    return found


OLD = {"a": b"old a", "b": b"old b", "film": b"old film"}
NEW = {"a": b"new a", "film": b"new film", "c": b"new c"}


@pytest.mark.parametrize(("step", "expected"), list(zip(STEPS, (NEW, NEW, OLD, OLD, OLD), strict=True)))
def test_what_is_replaced_removed_and_stored_at_a_step(caller, running, tmp_path, step, expected):
    """Up to the moment at which the store stands still it is in the backup, and after it it is not."""

    def turn() -> None:
        caller.put(BUCKET, "a", b"new a")
        assert remove(caller, "b")
        store_film(caller, b"new film")
        caller.put(BUCKET, "c", b"new c")

    contents = take(running, tmp_path / "backup", {step: turn})
    assert bodies(tmp_path / "backup") == expected
    assert contents.bodies == len(expected)
    files = {path.name.partition("@")[0] for path in (tmp_path / "backup/media/local" / BUCKET).iterdir()}
    assert files == set(expected), "and no other bodies"


def test_nobody_can_commit_while_the_last_bodies_are_kept(caller, running, tmp_path):
    """The lock is the one that every write transaction goes through."""
    writing = threading.Thread(target=caller.put, args=(BUCKET, "c", b"new c"))

    def try_to_commit() -> None:
        writing.start()
        lock = os.open(f"{running.store_file}-lock", os.O_RDWR)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(lock)

    take(running, tmp_path / "backup", {"keeping the last bodies": try_to_commit})
    writing.join()
    assert bodies(tmp_path / "backup") == OLD
    assert caller.get(BUCKET, "c").body == b"new c"


def test_where_there_is_no_time_to_stand_still_the_backup_is_whole_all_the_same(caller, running, tmp_path, monkeypatch):
    """What was not kept then is kept while others write; what was removed before that makes it look again."""
    monkeypatch.setattr(take_module, "_STILL_S", -1.0)
    at = {
        "waiting for the store to stand still": lambda: caller.put(BUCKET, "c", b"new c"),
        "looking whether every body is kept": lambda: remove(caller, "c"),
        "copying the store": lambda: remove(caller, "a"),
    }
    take(running, tmp_path / "backup", at)
    assert bodies(tmp_path / "backup") == OLD


def put_as_of_old(gateway: Gateway, caller: Caller, key: str) -> None:
    """An object that says it is older than it is, as one that was restored, or stored by a clock that is off."""
    caller.put(BUCKET, key, b"late")
    with closing(sqlite3.connect(gateway.store_file, timeout=10)) as store, store:
        store.execute("UPDATE objects SET modified_s = 1 WHERE key = ?", (key,))


def test_an_object_that_says_it_is_older_than_it_is_is_kept(caller, running, tmp_path):
    step = "waiting for the store to stand still"
    take(running, tmp_path / "backup", {step: lambda: put_as_of_old(running, caller, "late")})
    assert bodies(tmp_path / "backup") == OLD | {"late": b"late"}


def test_one_that_is_removed_before_it_was_kept_makes_it_look_again(caller, running, tmp_path):
    at = {
        "waiting for the store to stand still": lambda: put_as_of_old(running, caller, "late"),
        "looking whether every body is kept": lambda: remove(caller, "late"),
    }
    take(running, tmp_path / "backup", at)
    assert bodies(tmp_path / "backup") == OLD


def test_a_backup_on_another_file_system_has_bytes_of_its_own(caller, running):
    with scratch(another_file_system(running.origin_directory), ".anbar-test-") as folder:
        take(running, folder / "backup", {"copying the store": lambda: remove(caller, "a")})
        assert bodies(folder / "backup") == OLD
