"""Lines reach their file in order and whole; a disk that is slow or full costs lines, and nobody's time."""

import logging
import os
import resource
import signal
import threading
from functools import partial

import pytest
from prometheus_client import REGISTRY

from gateway.web.line_writer import LineWriter
from tests.support.raw_http import eventually


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access.log"


def test_lines_are_appended_in_their_order(path):
    path.write_text("old\n")
    writer = LineWriter(path)
    for number in range(5000):
        writer.put(f"line {number}")
    writer.close()
    assert path.read_text() == "old\n" + "".join(f"line {number}\n" for number in range(5000))
    assert writer.lost == 0


def test_the_file_is_not_for_everybody(path):
    LineWriter(path).close()
    assert path.stat().st_mode & 0o007 == 0


def test_standard_output_is_written_and_stays_open(capfd):
    writer = LineWriter(None)
    writer.put("line")
    writer.close()
    os.fstat(1)
    assert capfd.readouterr().out == "line\n"


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        LineWriter(tmp_path / "missing" / "access.log")


def test_reopened_it_goes_on_in_a_new_file_and_loses_nothing(path):
    writer = LineWriter(path, every_s=0.001)
    writer.put("before")
    moved = path.with_suffix(".1")
    path.rename(moved)
    writer.reopen()
    assert eventually(path.exists)
    writer.put("after")
    writer.close()
    assert moved.read_text() == "before\n"
    assert path.read_text() == "after\n"


def test_a_new_file_that_cannot_be_opened_leaves_the_old_one(path, caplog):
    writer = LineWriter(path, every_s=0.001)
    kept = path.parent / "kept"
    path.rename(kept)
    path.mkdir()
    with caplog.at_level(logging.WARNING):
        writer.reopen()
        assert eventually(lambda: "goes on in the old file" in caplog.text)
    writer.put("line")
    writer.close()
    assert kept.read_text() == "line\n"


def test_a_disk_that_takes_nothing_costs_lines_and_no_time(path):
    """A pipe that nobody reads is a disk that never answers."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    line = "x" * 999
    writer = LineWriter(path, most_waiting=100_000, every_s=0.001)
    for _ in range(1000):
        writer.put(line)
    assert writer.lost >= 1000 - 100, "one hundred may wait"
    os.set_blocking(reader, True)
    drained = threading.Thread(target=_read_all, args=(reader,))
    drained.start()
    writer.close()
    drained.join()


def _read_all(descriptor: int) -> None:
    while os.read(descriptor, 1 << 20):
        pass
    os.close(descriptor)


def test_what_is_lost_is_counted(path):
    before = REGISTRY.get_sample_value("anbar_access_log_lost_lines_total") or 0.0
    writer = LineWriter(path, most_waiting=10)
    writer.put("longer than ten bytes")
    writer.put("short")
    writer.close()
    assert path.read_text() == "short\n"
    assert REGISTRY.get_sample_value("anbar_access_log_lost_lines_total") == before + 1


def _has_lost(writer: LineWriter, lines: int) -> bool:
    return writer.lost == lines


def test_a_full_disk_is_told_once_and_survived(path, caplog):
    """/dev/full answers every write as a full disk does."""
    full = LineWriter(path.parent / "full", every_s=0.001)
    (path.parent / "full").unlink()
    os.dup2(os.open("/dev/full", os.O_WRONLY), full._descriptor)
    with caplog.at_level(logging.WARNING):
        for lost in (1, 2, 3):
            full.put("line")
            assert eventually(partial(_has_lost, full, lost))
        assert [record.getMessage() for record in caplog.records] == [
            "the access log cannot be written, lines are lost: No space left on device"
        ]
        full.reopen()  # there is room again
        assert eventually((path.parent / "full").exists)
        full.put("written")
        full.close()
    assert full.lost == 3
    assert "the access log is written again, 3 lines were lost" in caplog.text
    assert (path.parent / "full").read_text() == "written\n"


def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(path):
    """The file may grow by 10 bytes only, then by as much as it wants."""
    writer = LineWriter(path, every_s=0.001)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        writer.put("twelve bytes")
        assert eventually(partial(_has_lost, writer, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    writer.put("next")
    writer.close()
    assert path.read_text() == "twelve byt\nnext\n"
    assert writer.lost == 1
