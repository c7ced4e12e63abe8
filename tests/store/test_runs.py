"""Processes that work on one store: who lives, and what one of them does at a time. Real ones, and really killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store.runs import Runs

HOLDS = """
import sys
from pathlib import Path
from gateway.store.runs import Runs
runs = Runs(Path(sys.argv[1]))
assert runs.try_lock("k")
print(runs.number, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store-runs"


def test_a_process_lives_until_it_is_killed_and_what_it_held_is_free_then(path):
    mine = Runs(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        number = int(other.stdout.readline())
        assert mine.is_alive(number)
        assert not mine.try_lock("k")
        assert mine.try_lock("another")
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert not mine.is_alive(number)
        assert mine.try_lock("k")
    mine.close()


def test_a_run_knows_itself_and_no_number_that_nobody_has(path):
    runs = Runs(path)
    assert runs.is_alive(runs.number)
    assert not runs.is_alive(0)
    assert not runs.is_alive(runs.number ^ 1)
    runs.close()


def test_what_is_let_go_is_anybodys(path):
    first, second = Runs(path), Runs(path)
    assert first.number != second.number
    assert first.try_lock("k")
    assert not second.try_lock("k")
    first.unlock("k")
    assert second.try_lock("k")
    first.close()
    second.close()


def test_closing_another_descriptor_of_the_file_drops_no_lock(path):
    runs, other = Runs(path), Runs(path)
    os.close(os.open(path, os.O_RDWR))
    assert other.is_alive(runs.number)
    runs.close()
    other.close()


def test_what_several_read_nobody_has_alone_and_what_one_has_alone_nobody_reads(path):
    first, second = Runs(path), Runs(path)
    assert first.share("k")
    assert second.share("k")
    assert not first.try_lock("k"), "its own readers count as well"
    assert first.try_lock("another")
    first.unshare("k")
    assert not first.try_lock("k")
    second.unshare("k")
    assert first.try_lock("k")
    assert not first.share("k")
    assert not second.share("k")
    first.unlock("k")
    assert first.share("k")
    first.close()
    assert second.try_lock("k")
    second.close()


def test_the_file_is_its_owners_alone(path):
    Runs(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
