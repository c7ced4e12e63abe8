"""gateway/cache/board.py: numbers that all processes see."""

import os
import subprocess
import sys

from gateway.cache.board import COUNTED, HITS, Board, board_path

_JOIN = """
import sys; from pathlib import Path; from gateway.cache.board import *
board = Board(Path(sys.argv[1])); board.join(); board.counts[HITS] += 7; board.begin_generation()
"""


def test_a_generation_is_seen_by_others(tmp_path):
    one, other = Board(tmp_path / "board"), Board(tmp_path / "board")
    before = one.generation
    other.begin_generation()
    assert one.generation == before + 1
    other.close()
    other.close()
    assert one.generation == before + 1
    one.close()


def test_what_a_worker_counts_is_told_while_it_runs(tmp_path):
    one, other = Board(tmp_path / "board"), Board(tmp_path / "board")
    assert other.workers() == []
    one.join()
    one.counts[HITS] += 3
    assert other.workers() == [dict.fromkeys(COUNTED, 0) | {"hits": 3}]
    one.close()
    assert other.workers() == []
    other.close()


def test_the_slot_of_a_dead_process_is_free_and_its_generation_stays(tmp_path):
    subprocess.run([sys.executable, "-c", _JOIN, str(tmp_path / "board")], check=True)
    board = Board(tmp_path / "board")
    assert (board.workers(), board.generation) == ([], 1)
    board.join()
    assert board.workers() == [dict.fromkeys(COUNTED, 0)]
    board.close()


def test_the_slots_of_killed_processes_that_had_our_number_are_free(tmp_path):
    killed = Board(tmp_path / "board")
    killed.join()
    killed.counts[HITS] += 3
    board = Board(tmp_path / "board")
    board.join()
    assert (board.workers(), board.is_shared) == ([dict.fromkeys(COUNTED, 0)], False)
    board.close()


def test_without_a_file_everything_is_counted_here(tmp_path, caplog):
    for board in (Board(None), Board(tmp_path / "missing" / "board")):
        board.join()
        board.counts[HITS] += 1
        board.begin_generation()
        board.added()
        assert (board.counts[HITS], board.generation, board.additions) == (1, 1, 1)
        board.close()
    assert "No such file" in caplog.text


def test_a_file_of_something_else_begins_anew(tmp_path):
    (tmp_path / "board").write_bytes(os.urandom(100_000))
    board = Board(tmp_path / "board")
    assert (board.generation, board.additions, board.workers()) == (0, 0, [])
    board.close()


def test_it_lies_beside_the_store(tmp_path):
    assert board_path(tmp_path / "anbar.sqlite").name == "anbar.sqlite-cache"
