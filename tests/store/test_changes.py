"""The count of commits: nobody misses a commit of somebody else, and nobody is disturbed by their own."""

import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import changes
from gateway.store.changes import ChangeCounter, LockTimeout

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store-lock"


@pytest.fixture
def ours(path: Path) -> Iterator[ChangeCounter]:
    counter = ChangeCounter(path)
    yield counter
    counter.close()


@pytest.fixture
def theirs(path: Path) -> Iterator[ChangeCounter]:
    counter = ChangeCounter(path)
    yield counter
    counter.close()


def commit(counter: ChangeCounter) -> None:
    counter.lock(1.0)
    counter.begin()
    counter.end()
    counter.unlock()


def in_another_process(path: Path, script: str) -> None:
    program = f"import os, pathlib\nfrom gateway.store.changes import ChangeCounter\ncounter = ChangeCounter(pathlib.Path({str(path)!r}))\n{script}"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_a_new_counter_has_seen_everything(ours):
    assert not ours.changed_elsewhere()


def test_a_counter_opened_later_has_seen_what_was_before(ours, path):
    commit(ours)
    later = ChangeCounter(path)
    assert not later.changed_elsewhere()
    later.close()


def test_our_own_commits_are_no_news(ours):
    for _ in range(3):
        commit(ours)
        assert not ours.changed_elsewhere()


def test_a_commit_of_somebody_else_is_told_once(ours, theirs):
    commit(theirs)
    assert ours.changed_elsewhere()
    assert not ours.changed_elsewhere()
    assert not theirs.changed_elsewhere()


def test_a_commit_of_another_process_is_told(ours, path):
    in_another_process(path, "counter.lock(1.0); counter.begin(); counter.end(); counter.unlock()")
    assert ours.changed_elsewhere()
    assert not ours.changed_elsewhere()


def test_while_somebody_commits_nothing_in_memory_is_trusted(ours, theirs):
    theirs.lock(1.0)
    theirs.begin()
    assert ours.changed_elsewhere()
    assert ours.changed_elsewhere()
    theirs.end()
    assert ours.changed_elsewhere()
    assert not ours.changed_elsewhere()


def test_a_writer_that_dies_between_begin_and_end_is_trusted_by_nobody_until_the_next_commit(ours, theirs, path):
    in_another_process(path, "counter.lock(1.0); counter.begin(); os._exit(0)")
    assert ours.changed_elsewhere()
    assert ours.changed_elsewhere()
    commit(theirs)
    assert ours.changed_elsewhere()
    assert not ours.changed_elsewhere()


def test_our_own_commit_after_a_writer_that_died_closes_the_gap_and_is_news_once(ours, path):
    in_another_process(path, "counter.lock(1.0); counter.begin(); os._exit(0)")
    commit(ours)
    assert ours.changed_elsewhere()
    assert not ours.changed_elsewhere()


def test_a_failed_commit_of_ours_hides_nothing(ours, theirs):
    ours.lock(1.0)
    ours.begin()
    ours.end()
    ours.unlock()
    commit(theirs)
    assert ours.changed_elsewhere()


@given(st.lists(st.sampled_from(["ours", "theirs", "third", "look"]), max_size=40))
def test_in_any_order_of_commits_nothing_is_missed_and_nothing_invented(tmp_path_factory, moves):
    path = tmp_path_factory.mktemp("changes") / "lock"
    counters = {name: ChangeCounter(path) for name in ("ours", "theirs", "third")}
    news = False
    for move in moves:
        if move == "look":
            assert counters["ours"].changed_elsewhere() == news
            news = False
        else:
            commit(counters[move])
            news = news or move != "ours"
    assert counters["ours"].changed_elsewhere() == news
    for counter in counters.values():
        counter.close()


def test_a_commit_of_somebody_else_is_not_missed_while_our_own_writer_commits(ours, theirs):
    """The look and our own writer are two threads: what is told must not depend on where they meet."""
    before = sys.getswitchinterval()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            commit(ours)

    writer = threading.Thread(target=write)
    sys.setswitchinterval(1e-6)
    writer.start()
    try:
        missed = 0
        for _ in range(300):
            commit(theirs)
            missed += not ours.changed_elsewhere()
    finally:
        stop.set()
        writer.join()
        sys.setswitchinterval(before)
    assert missed == 0


class LooksAtEachWrite:
    """The counters' format; somebody looks just before and just after they are written."""

    def __init__(self, counters: struct.Struct, look: Callable[[], None]) -> None:
        self._counters = counters
        self._look = look
        self.size, self.unpack_from = counters.size, counters.unpack_from

    def pack_into(self, *args: Any) -> None:
        self._look()
        self._counters.pack_into(*args)
        self._look()


def test_a_look_in_the_middle_of_our_own_commit_sees_the_one_of_somebody_else_before_it(ours, theirs, monkeypatch):
    seen: list[bool] = []
    watched = LooksAtEachWrite(changes._COUNTERS, lambda: seen.append(ours.changed_elsewhere()))
    commit(theirs)
    ours.lock(1.0)
    monkeypatch.setattr(changes, "_COUNTERS", watched)
    ours.begin()
    monkeypatch.undo()
    assert seen[0], "whoever was told of that commit must not read what was before it"
    ours.end()
    ours.unlock()
    assert not ours.changed_elsewhere()
    commit(theirs)
    assert ours.changed_elsewhere()


def test_one_at_a_time_holds_the_lock(ours, theirs):
    ours.lock(1.0)
    with pytest.raises(LockTimeout):
        theirs.lock(0.02)
    ours.unlock()
    theirs.lock(1.0)


def test_a_process_that_dies_lets_go_of_the_lock(ours, path):
    in_another_process(path, "counter.lock(1.0); os._exit(0)")
    ours.lock(1.0)


def test_the_file_is_its_owners_alone_and_no_symbolic_link(path, tmp_path):
    ChangeCounter(path).close()
    assert path.stat().st_mode & 0o077 == 0
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError):
        ChangeCounter(link)
