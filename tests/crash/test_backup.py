"""A backup that is taken while clients write is of one moment, and whole; one that is cut off is none."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.backup.manifest import read_manifest
from gateway.backup.media import KEPT
from tests.support.caller import Caller, complete_document
from tests.support.gateway import Gateway, GatewayError
from tests.support.oracle import at_rest, rows, stray_files, usage_command_agrees, usage_is_the_sum_of_the_objects
from tests.support.raw_http import BrokenAnswer, eventually
from tests.support.signer import object_path

BUCKET = "demo-media"
LIMITS = {"limits": {"small_body": 16 * 1024}}
CHAIN = {"0": 10, "1": 20_000, "2": 300_000, "3": 0, "film": 100_000, "5": 5_000}
"""The keys that a writer stores again and again, always in this order, and the size of what it stores there."""


def body(writer: int, key: str, turn: int) -> bytes:
    name = f"{writer} {key} {turn} ".encode()
    return name + random.Random(name).randbytes(CHAIN.get(key, 100))


def turn_of(found: bytes, writer: int, key: str) -> int:
    """In which turn a body was stored; it must be that body, to the last byte."""
    turn = int(found.split(b" ", 3)[2])
    assert found == body(writer, key, turn)
    return turn


class Writer(threading.Thread):
    """Overwrites its chain of keys in turns, and stores and removes one that is never there for long."""

    def __init__(self, caller: Caller, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.caller, self.number, self.stop = caller, number, stop
        self.turns = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self.turn(self.turns + 1)
                self.turns += 1
        except (OSError, AssertionError, BrokenAnswer) as error:
            self.error = error

    def turn(self, turn: int) -> None:
        for key in CHAIN:
            new, name = body(self.number, key, turn), f"{self.number}/{key}"
            if key == "film":
                upload_id = self.caller.start_upload(BUCKET, name)
                etag = self.caller.put_part(BUCKET, name, upload_id, 1, new)
                done = self.caller.complete(BUCKET, name, upload_id, complete_document([(1, etag)]))
                assert done.status == 200, done
            else:
                self.caller.put(BUCKET, name, new)
        short = f"{self.number}/short-{turn}"
        self.caller.put(BUCKET, short, body(self.number, "short", turn))
        assert self.caller.call("DELETE", object_path(BUCKET, short)).status == 204


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "gateway", settings=LIMITS) as gateway:
        yield gateway


def take_away(gateway: Gateway) -> None:
    """The disk is gone."""
    gateway.stop()
    gateway.config.unlink()
    for folder in ("var", "policies"):
        shutil.rmtree(gateway.directory / folder)


def put_back(gateway: Gateway, backup: Path, *options: str) -> Caller:
    take_away(gateway)
    gateway.command("restore", str(backup), *options)
    gateway.start()
    return Caller.of(gateway)


def test_a_backup_under_a_stream_of_writes_is_the_whole_state_of_one_moment(running: Gateway, tmp_path: Path):
    caller, stop = Caller.of(running), threading.Event()
    upload_id = caller.start_upload(BUCKET, "open")
    part = b"p" * 5 * 1024 * 1024
    etag = caller.put_part(BUCKET, "open", upload_id, 1, part)
    writers = [Writer(caller, number, stop) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        for number in range(3):
            goal = max(writer.turns for writer in writers) + 2
            assert eventually(partial(all_reached, writers, goal), within_s=60)
            running.command("backup", str(tmp_path / f"b{number}"), "--media")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert [writer.error for writer in writers] == [None] * len(writers)
    for number in range(3):
        backup = tmp_path / f"b{number}"
        assert "a whole backup" in running.command("backup", "--verify", str(backup))
        assert read_manifest(backup).contents.lost == ()
        restored = put_back(running, backup)
        usage_is_the_sum_of_the_objects(running)
        usage_command_agrees(running)
        for writer in writers:
            expect_one_moment(restored, writer)
        assert eventually(lambda: at_rest(running)), stray_files(running)
        last = restored.put_part(BUCKET, "open", upload_id, 2, b"the end")
        done = restored.complete(BUCKET, "open", upload_id, complete_document([(1, etag), (2, last)]))
        assert done.status == 200
        assert restored.get(BUCKET, "open").body == part + b"the end"


def all_reached(writers: list[Writer], goal: int) -> bool:
    return all(writer.turns >= goal or writer.error for writer in writers)


def expect_one_moment(caller: Caller, writer: Writer) -> None:
    """All that a writer had stored, key after key, up to some point."""
    listed = [key for key in caller.keys(BUCKET) if key.startswith(f"{writer.number}/")]
    turns: dict[str, int] = {}
    for key in listed:
        answer = caller.get(BUCKET, key)
        assert answer.status == 200, (key, answer)
        name = key.partition("/")[2]
        turns[name] = turn_of(answer.body, writer.number, name.partition("-")[0])
    chain = [turns[key] for key in CHAIN]
    assert chain == sorted(chain, reverse=True)
    assert chain[0] - chain[-1] in (0, 1)
    short = [turn for name, turn in turns.items() if name.startswith("short")]
    assert short in ([], [chain[0]])
    assert not short or chain[0] == chain[-1]


def moments(gateway: Gateway, target: Path) -> dict[str, Callable[[], bool]]:
    """How it is told from outside how far a backup has come."""

    def begun(name: str) -> bool:
        return any(True for _ in target.parent.glob(f".{target.name}.partial-*/{name}"))

    return {
        "bodies are being kept": lambda: any(gateway.origin_directory.glob(f"{KEPT}*")),
        "the store is being copied": lambda: begun("anbar.sqlite"),
        "the bodies are in": lambda: begun("media/local/.anbar-origin"),
        "the manifest is being written": lambda: begun("MANIFEST"),
    }


def kill_backup_at(gateway: Gateway, target: Path, reached: Callable[[], bool]) -> bool:
    """False where the backup was quicker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "backup", str(target), "--media", "--config", str(gateway.config)],
        cwd=gateway.directory,
        env=gateway.environment,
        stdout=subprocess.DEVNULL,
    )
    assert eventually(lambda: reached() or process.poll() is not None, within_s=60, every_s=0.0002)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL and not target.exists()


def test_a_backup_that_is_killed_leaves_nothing_that_looks_whole(running: Gateway, tmp_path: Path):
    caller, killed = Caller.of(running), 0
    for number in range(40):
        caller.put(BUCKET, f"folder/{number}", b"x" * 1_000_000)
    for moment in moments(running, tmp_path):
        target = tmp_path / "backups" / "daily"
        target.parent.mkdir(exist_ok=True)
        if kill_backup_at(running, target, moments(running, target)[moment]):
            killed += 1
            for left in target.parent.iterdir():
                if not (left / "MANIFEST").exists():
                    with pytest.raises(GatewayError, match="not a whole backup"):
                        running.command("restore", str(left), "--config", str(tmp_path / "new.toml"))
        else:  # it was quicker
            shutil.rmtree(target)
    assert killed
    running.command("backup", str(target), "--media")
    assert os.listdir(target.parent) == ["daily"], "what the killed ones left is gone"
    assert stray_files(running) == set()
    restored = put_back(running, target)
    assert len(restored.keys(BUCKET)) == 40
    assert len(rows(running, "SELECT 1 FROM objects")) == 40


def test_what_came_after_the_backup_is_found_again_by_reconcile(running: Gateway, tmp_path: Path):
    """Only the store was lost, and an older one is put back beside the directory that went on."""
    caller = Caller.of(running)
    caller.put(BUCKET, "before", b"1")
    caller.put(BUCKET, "changed", b"old")
    running.command("backup", str(tmp_path / "b"))
    caller.put(BUCKET, "changed", b"new")
    caller.put(BUCKET, "after", b"2")
    running.stop()
    for file in running.store_file.parent.glob("anbar.sqlite*"):
        file.unlink()
    running.command("restore", str(tmp_path / "b"), "--without-media")
    running.command("reconcile", "--forget-missing")  # the old body of what was replaced
    running.command("reconcile")
    running.start()
    found = {key: Caller.of(running).get(BUCKET, key).body for key in caller.keys(BUCKET)}
    assert found == {"before": b"1", "changed": b"new", "after": b"2"}
    usage_is_the_sum_of_the_objects(running)


def test_a_restore_is_refused_while_a_gateway_serves(running: Gateway, tmp_path: Path):
    running.command("backup", str(tmp_path / "b"))
    with pytest.raises(GatewayError, match="another process serves from"):
        running.command("restore", str(tmp_path / "b"))


def test_a_body_that_was_lost_before_is_named_and_the_rest_is_backed_up(running: Gateway, tmp_path: Path):
    caller = Caller.of(running)
    for key in ("lost", "short", "whole"):
        caller.put(BUCKET, key, b"12345")
    for file in running.origin_directory.glob(f"{BUCKET}/lost@*"):
        file.unlink()
    (short,) = (file for file in running.origin_directory.glob(f"{BUCKET}/short@*") if file.suffix != ".json")
    short.write_bytes(b"123")
    with pytest.raises(GatewayError, match=f"s3://{BUCKET}/lost .*\n.*s3://{BUCKET}/short "):
        running.command("backup", str(tmp_path / "b"), "--media")
    running.command("backup", "--verify", str(tmp_path / "b"))
    restored = put_back(running, tmp_path / "b")
    assert restored.get(BUCKET, "whole").body == b"12345"
    assert restored.get(BUCKET, "lost").status == 500
