"""The manifest: what was cut off, changed or leads elsewhere is not taken for a backup."""

import hashlib
import json
from pathlib import Path

import pytest

from gateway.backup.manifest import (
    NAME,
    BackupError,
    Contents,
    Lost,
    copy_checked,
    describe_file,
    read_manifest,
    write_manifest,
)

CONTENTS = Contents("1.0", "2026-11-22T09:00:00Z", 4, True, ("local",), 3, (Lost("b", "k", "local", "b/k@1"),))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    (tmp_path / "media/سلام").write_bytes(b"one")
    (tmp_path / "two").write_bytes(b"")
    write_manifest(tmp_path, CONTENTS, [describe_file(tmp_path, "media/سلام"), describe_file(tmp_path, "two")])
    return tmp_path


def test_what_was_written_is_read(tree):
    found = read_manifest(tree)
    assert found.contents == CONTENTS
    assert [file.path for file in found.files] == ["media/سلام", "two"]
    assert (found.files[0].size, found.files[0].sha256) == (3, hashlib.sha256(b"one").hexdigest())
    assert list(found.below("media")) == [found.files[0]]
    assert (tree / NAME).stat().st_mode & 0o777 == 0o600


def test_every_shorter_manifest_is_refused(tree):
    whole = (tree / NAME).read_bytes()
    for size in range(len(whole)):
        (tree / NAME).write_bytes(whole[:size])
        with pytest.raises(BackupError, match="damaged"):
            read_manifest(tree)


def test_every_changed_byte_is_found(tree):
    whole = (tree / NAME).read_bytes()
    for at in range(len(whole)):
        (tree / NAME).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BackupError):
            read_manifest(tree)


def test_a_directory_without_one_is_no_whole_backup(tmp_path):
    with pytest.raises(BackupError, match="not a whole backup: MANIFEST: No such file"):
        read_manifest(tmp_path)


def signed(root: Path, *lines: object) -> None:
    """A manifest whose sums are right, whatever it says."""
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    end = {"files": len(lines) - 1, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (root / NAME).write_text(f"{text}{json.dumps(end)}\n")


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "media/../../up", "media//x", ".", "", "a\0b"])
def test_a_path_that_leads_elsewhere_is_refused(tree, path):
    head = json.loads((tree / NAME).read_text().splitlines()[0])
    signed(tree, head, {"path": path, "size": 0, "sha256": ""})
    with pytest.raises(BackupError, match="damaged"):
        read_manifest(tree)


def test_a_newer_format_is_told(tree):
    signed(tree, {"format": 2})
    with pytest.raises(BackupError, match="has format 2, this program knows 1"):
        read_manifest(tree)


def test_a_copy_of_changed_bytes_is_refused(tree):
    file = read_manifest(tree).files[0]
    copy_checked(tree, file, tree / "copy")
    assert (tree / "copy").read_bytes() == b"one"
    (tree / file.path).write_bytes(b"0ne")
    with pytest.raises(BackupError, match="not what was backed up"):
        copy_checked(tree, file, tree / "again")


def test_symbolic_links_are_not_followed(tree):
    file = read_manifest(tree).files[1]
    (tree / file.path).unlink()
    (tree / file.path).symlink_to("/dev/null")
    with pytest.raises(BackupError):
        copy_checked(tree, file, tree / "copy")
