"""Scratch directories: private, gone at the end, and told from those that are being filled."""

import subprocess
import sys

import pytest

from gateway.backup.scratch import scratch


def test_it_is_private_and_gone_at_the_end(tmp_path):
    with scratch(tmp_path, ".draft-") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_it_is_gone_after_a_failure(tmp_path):
    with pytest.raises(ValueError), scratch(tmp_path, ".draft-"):
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_it_may_be_moved_away(tmp_path):
    with scratch(tmp_path, ".draft-") as folder:
        folder.rename(tmp_path / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_what_a_killed_maker_left_goes_and_what_is_being_filled_stays(tmp_path):
    (tmp_path / ".draft-left").mkdir()
    (tmp_path / ".draft-left/file").touch()
    (tmp_path / ".other-left").mkdir()
    (tmp_path / ".draft-link").symlink_to(tmp_path / ".other-left")
    program = (
        "import sys, pathlib\nfrom gateway.backup.scratch import scratch\n"
        "with scratch(pathlib.Path(sys.argv[1]), '.draft-') as folder:\n"
        "    print(folder.name, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        with scratch(tmp_path, ".draft-") as own:
            assert {path.name for path in tmp_path.iterdir()} == {name, own.name, ".other-left", ".draft-link"}
        process.communicate("")
    assert {path.name for path in tmp_path.iterdir()} == {".other-left", ".draft-link"}
