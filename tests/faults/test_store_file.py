"""X26, X28, X46, Q05: a store that is damaged, foreign, newer, older, locked or torn off in the middle."""

import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.support.caller import Caller, parse_xml, refused, texts
from tests.support.gateway import Gateway, GatewayError
from tests.support.oracle import at_rest, files_of, usage_is_the_sum_of_the_objects
from tests.support.process import open_paths
from tests.support.raw_http import Answer, eventually

BUCKET = "demo-media"
OBJECTS = 300


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """A stopped gateway with some hundred objects; tests work on copies of its directory."""
    gateway = Gateway(tmp_path_factory.mktemp("template"), settings={"origins.local": {"durable": False}})
    with gateway:
        caller = Caller.of(gateway)
        with caller.connect() as connection:
            for number in range(OBJECTS):
                body = b"bytes of %d" % number
                metadata = [("x-amz-meta-fill", "f" * 1000)]
                put = caller.signed("PUT", f"/{BUCKET}/k-{number:04d}", body, metadata)
                assert connection.exchange(put).status == 200
    return gateway


@pytest.fixture
def stopped(template: Gateway, tmp_path: Path) -> Gateway:
    """A copy of the template, not running."""
    shutil.copytree(template.directory / "var", tmp_path / "saved", symlinks=True)
    gateway = Gateway(tmp_path / "copy")
    shutil.rmtree(gateway.directory / "var")
    (tmp_path / "saved").rename(gateway.directory / "var")
    gateway.access_key_id, gateway.secret_access_key = template.access_key_id, template.secret_access_key
    return gateway


def store_files(gateway: Gateway) -> list[Path]:
    return sorted(gateway.store_file.parent.glob(gateway.store_file.name + "*"))


def flip(path: Path, offset: int, size: int = 64) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(size)
        file.seek(offset)
        file.write(bytes(byte ^ 0xFF for byte in old))


def flip_header(path: Path) -> None:
    flip(path, 0)


def flip_pages_in_the_middle(path: Path) -> None:
    size = path.stat().st_size
    for offset in range(4096 * 2, size, 4096 * 3):
        flip(path, offset, 512)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def cut_to_a_stump(path: Path) -> None:
    os.truncate(path, 100)


def fill_with_text(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1000)


def replace_by_a_foreign_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE somebody (else_ TEXT)")
        connection.commit()


def replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        flip_header,
        flip_pages_in_the_middle,
        cut_in_half,
        cut_to_a_stump,
        fill_with_text,
        replace_by_a_foreign_database,
        replace_by_a_directory,
    ],
)
def test_x28_a_damaged_store_is_refused_at_the_start_in_clear_words(stopped: Gateway, damage: Callable[[Path], None]):
    bodies = files_of(stopped.origin_directory)
    for path in store_files(stopped)[1:]:
        path.unlink()
    damage(stopped.store_file)
    damaged = stopped.store_file.read_bytes() if stopped.store_file.is_file() else b""
    with pytest.raises(GatewayError) as refusal:
        stopped.start()
    said = str(refusal.value)
    assert stopped.store_file.name in said
    assert "Traceback" not in said
    assert files_of(stopped.origin_directory) == bodies, "no body may be lost because the store is broken"
    assert (stopped.store_file.read_bytes() if stopped.store_file.is_file() else b"") == damaged


@pytest.mark.parametrize("damage", [flip_pages_in_the_middle, cut_in_half, fill_with_text])
def test_x28_a_store_that_is_damaged_while_it_serves_is_never_taken_for_an_empty_one(
    stopped: Gateway, damage: Callable[[Path], None]
):
    """What is answered is right, or 503; no body goes, and the next start is refused."""
    bodies = files_of(stopped.origin_directory)
    with stopped:
        caller = Caller.of(stopped)
        assert len(caller.keys(BUCKET)) == OBJECTS
        damage(stopped.store_file)
        for number in range(0, OBJECTS, 7):
            answer = caller.get(BUCKET, f"k-{number:04d}")
            if answer.status == 200:
                assert answer.body == b"bytes of %d" % number
            else:
                refused(answer, 503)
        listed = caller.call("GET", f"/{BUCKET}?list-type=2")
        if listed.status == 200:
            assert len(texts(parse_xml(listed.body), "Contents/Key")) == OBJECTS
        else:
            refused(listed, 503)
        for method, key in (("PUT", "new"), ("PUT", "k-0000"), ("DELETE", "k-0001")):
            answer = caller.call(method, f"/{BUCKET}/{key}", b"new" if method == "PUT" else b"")
            if answer.status not in (200, 204):
                refused(answer, 503)
    left = files_of(stopped.origin_directory)
    assert not [name for name in bodies - left if "k-0000@" not in name and "k-0001" not in name]
    with pytest.raises(GatewayError) as refusal:
        stopped.start()
    assert stopped.store_file.name in str(refusal.value)


def test_x28_a_lost_store_costs_no_body(stopped: Gateway):
    """Without the store nothing says which bodies are wanted: none is swept away, whether it starts or not."""
    bodies = files_of(stopped.origin_directory)
    for path in store_files(stopped):
        path.unlink()
    try:
        stopped.access_key_id = ""
        stopped.start().stop()
    except GatewayError as refusal:
        assert "Traceback" not in str(refusal)
    assert files_of(stopped.origin_directory) >= bodies


def test_x28_an_old_copy_of_the_store_costs_no_body(stopped: Gateway):
    """Bodies that a restored backup does not know may be all that is left of them."""
    old = {path.name: path.read_bytes() for path in store_files(stopped)}
    with stopped:
        Caller.of(stopped).put(BUCKET, "later", b"written after the backup")
    for path in store_files(stopped):
        path.unlink()
    for name, data in old.items():
        (stopped.store_file.parent / name).write_bytes(data)
    later = {name for name in files_of(stopped.origin_directory) if "later" in name}
    with stopped:
        caller = Caller.of(stopped)
        assert caller.get(BUCKET, "k-0000").body == b"bytes of 0"
        assert caller.get(BUCKET, "later").status == 404
    assert later
    assert files_of(stopped.origin_directory) >= later


def test_x28_a_store_without_its_write_ahead_log_is_whole_or_refused(stopped: Gateway):
    """kill -9, and somebody tidies up the files beside the store: never an empty catalog that looks fine."""
    stopped.start()
    Caller.of(stopped).put(BUCKET, "later", b"in the log only")
    stopped.kill()
    for path in store_files(stopped):
        if path != stopped.store_file:
            path.unlink()
    try:
        with stopped:
            assert len(Caller.of(stopped).keys(BUCKET)) >= OBJECTS
    except GatewayError as refusal:
        assert "Traceback" not in str(refusal)


def test_x28_commands_that_come_and_go_never_take_the_log_away(stopped: Gateway):
    """The last connection to leave removes SQLite's log; with the gateway running, a command's is never the last.

    A process that has lost its locks (closing any descriptor of the file drops them all) would go on writing into a
    log that has no name any more. https://sqlite.org/howtocorrupt.html
    """
    with stopped:
        caller = Caller.of(stopped)
        for number in range(3):
            caller.put(BUCKET, f"later-{number}", b"bytes")
            caller.keys(BUCKET)
            stopped.command("usage", "--json")
            stopped.command("keys", "list", "--json")
        assert [path for path in open_paths(stopped.pid) if "deleted" in path and "sqlite" in path] == []
        stopped.kill()
        stopped.start()
        assert {f"later-{number}" for number in range(3)} <= set(caller.keys(BUCKET))


def test_q05_a_store_of_a_newer_version_is_refused_and_left_as_it_is(stopped: Gateway):
    with closing(sqlite3.connect(stopped.store_file)) as connection:
        connection.execute("PRAGMA user_version = 9999")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = stopped.store_file.read_bytes()
    with pytest.raises(GatewayError) as refusal:
        stopped.start()
    assert "newer" in str(refusal.value)
    assert "Traceback" not in str(refusal.value)
    assert stopped.store_file.read_bytes() == before


def test_x28_a_key_ring_that_is_not_the_stores_is_refused(stopped: Gateway, template: Gateway):
    """Fail closed: with another ring no secret can be opened, so nothing is served."""
    from gateway.store.key_ring import KeyRing

    ring = stopped.directory / "var" / "key_ring"
    ring.unlink()
    KeyRing.create(ring)
    try:
        stopped.start()
    except GatewayError as refusal:
        assert "Traceback" not in str(refusal)
        return
    answer = Caller.of(stopped).get(BUCKET, "k-0000")
    stopped.stop()
    assert answer.status in (403, 503)


def test_x26_a_store_that_another_process_has_locked_delays_writes_and_not_reads(stopped: Gateway):
    with stopped:
        caller = Caller.of(stopped)
        answers: list[Answer] = []
        with closing(sqlite3.connect(stopped.store_file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            writer = threading.Thread(target=lambda: answers.append(caller.call("PUT", f"/{BUCKET}/locked", b"bytes")))
            writer.start()
            for number in range(20):
                assert caller.get(BUCKET, f"k-{number:04d}").status == 200
            assert answers == []
            other.execute("ROLLBACK")
        writer.join(30)
        assert [answer.status for answer in answers] == [200]
        assert caller.get(BUCKET, "locked").body == b"bytes"


def test_x26_a_store_that_stays_locked_is_a_slow_down_and_loses_nothing(stopped: Gateway):
    """Until the writes give up; reads go on, and what was refused has left nothing."""
    with stopped:
        caller = Caller.of(stopped)
        before = caller.get(BUCKET, "k-0000").body
        with closing(sqlite3.connect(stopped.store_file, isolation_level=None)) as other, ThreadPoolExecutor(3) as pool:
            other.execute("BEGIN EXCLUSIVE")
            writes = [
                pool.submit(caller.ask, caller.signed(method, f"/{BUCKET}/{key}", body), timeout_s=60)
                for method, key, body in (
                    ("PUT", "locked", b"x"),
                    ("PUT", "k-0000", b"other"),
                    ("DELETE", "k-0001", b""),
                )
            ]
            while not all(each.done() for each in writes):
                assert caller.get(BUCKET, "k-0002").status == 200
            other.execute("ROLLBACK")
        for each in writes:
            answer = each.result()
            refused(answer, 503, "SlowDown")
            assert answer.header("retry-after")
        assert caller.get(BUCKET, "locked").status == 404
        assert caller.get(BUCKET, "k-0000").body == before
        assert caller.get(BUCKET, "k-0001").status == 200
        caller.put(BUCKET, "k-0000", b"other")
        assert caller.get(BUCKET, "k-0000").body == b"other"
        assert eventually(lambda: at_rest(stopped))
        usage_is_the_sum_of_the_objects(stopped)


def longer_than(keys: list[str], count: int) -> bool:
    return len(keys) > count


@pytest.mark.parametrize("seed", range(2))
def test_x46_a_copy_of_the_store_taken_at_any_moment_opens_clean(stopped: Gateway, tmp_path: Path, seed: int):
    """The process is stopped for the copy, as a power cut stops it; what was acknowledged before is in the copy."""
    acknowledged: list[str] = []
    ending = threading.Event()
    with stopped:
        caller = Caller.of(stopped)

        def write(worker: int) -> None:
            with caller.connect() as connection:
                for number in range(10_000):
                    if ending.is_set():
                        return
                    key = f"w-{worker}-{seed}-{number}"
                    if connection.exchange(caller.signed("PUT", f"/{BUCKET}/{key}", b"x" * 100)).status == 200:
                        acknowledged.append(key)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        try:
            for moment in range(6):
                goal = len(acknowledged) + 7 + 5 * seed
                assert eventually(partial(longer_than, acknowledged, goal), within_s=20)
                folder = tmp_path / f"moment-{moment}"
                folder.mkdir()
                os.kill(stopped.pid, signal.SIGSTOP)
                try:
                    before = list(acknowledged)
                    for path in store_files(stopped):
                        shutil.copy(path, folder)
                finally:
                    os.kill(stopped.pid, signal.SIGCONT)
                with closing(sqlite3.connect(folder / stopped.store_file.name)) as copy:
                    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                    assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
                    found = {key for (key,) in copy.execute("SELECT key FROM objects WHERE bucket = ?", (BUCKET,))}
                assert set(before) <= found
        finally:
            ending.set()
            for writer in writers:
                writer.join()


def test_an_origin_that_is_not_mounted_is_not_taken_for_an_empty_one(stopped):
    """Serving from an empty place would forget bodies and give their room back; new ones would vanish behind the mount."""
    origin, aside = stopped.origin_directory, stopped.origin_directory.with_name("unmounted")
    origin.rename(aside)
    for made in (False, True):
        if made:
            origin.mkdir()
        with pytest.raises(GatewayError, match="is the disk mounted"):
            stopped.start()
        with pytest.raises(GatewayError):
            stopped.command("doctor")
        assert not made or list(origin.iterdir()) == [], "nothing is written where the disk should be"
    origin.rmdir()
    aside.rename(origin)
    with stopped:
        answer = Caller.of(stopped).call("GET", f"/{BUCKET}/k-0000")
        assert (answer.status, answer.body) == (200, b"bytes of 0")
