"""Bodies that are kept outlive their removal and reach the backup whole, on its file system or another."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backup.media import KeptBodies, copy_file
from gateway.backup.scratch import scratch
from gateway.origin.disk import Disk
from tests.support.file_systems import another_file_system

FILM = "media/film@f/"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = tmp_path / "objects"
    disk = Disk(root, durable=False)
    disk.store(disk.path("media/a@1"), b"12345", lambda: None)
    (root / "media/a@1.json").write_text("{}")
    for number in (1, 2):
        disk.store(disk.path(f"{FILM}0000{number}-p"), b"part" * number, lambda: None)
    return root


@pytest.fixture
def kept(origin: Path) -> Iterator[KeptBodies]:
    with scratch(origin, ".kept-") as folder:
        yield KeptBodies(origin, folder)


def complete(origin: Path) -> None:
    disk = Disk(origin, durable=False)
    disk.write_manifest(disk.path(FILM), [("00002-p", 8), ("00001-p", 4)])


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_kept_body_outlives_its_removal(origin, kept, tmp_path):
    assert kept.keep("media/a@1")
    disk = Disk(origin, durable=False)
    disk.remove(disk.path("media/a@1"))
    assert kept.keep("media/a@1"), "it still is"
    assert kept.size("media/a@1") == 5
    kept.hand_over("media/a@1", tmp_path / "backup")
    assert files(tmp_path / "backup") == {"media/a@1": b"12345", "media/a@1.json": b"{}"}


def test_an_object_in_parts_is_kept_with_its_manifest(origin, kept, tmp_path):
    assert kept.keep(f"{FILM}00001-p"), "a part of an open upload"
    assert not kept.keep(FILM), "nothing was made of them yet"
    complete(origin)
    (origin / FILM / "00003-unlisted").touch()
    assert kept.keep(FILM)
    disk = Disk(origin, durable=False)
    disk.remove_tree(disk.path(FILM))
    assert kept.size(FILM) == 12
    kept.hand_over(f"{FILM}00001-p", tmp_path / "backup")
    kept.hand_over(FILM, tmp_path / "backup")
    assert set(files(tmp_path / "backup/media/film@f")) == {"00001-p", "00002-p", "manifest.json"}


def test_an_object_in_parts_of_which_one_is_gone_is_not_kept(origin, kept):
    complete(origin)
    (origin / FILM / "00001-p").unlink()
    assert not kept.keep(FILM)


def test_what_is_not_there_is_not_kept(kept):
    assert not kept.keep("media/none@2")
    assert not kept.keep("media/none@2/")
    assert not kept.keep("media/a@1/x@3")


def test_a_body_without_its_description_is_kept(origin, kept, tmp_path):
    (origin / "media/a@1.json").unlink()
    assert kept.keep("media/a@1")
    kept.hand_over("media/a@1", tmp_path / "backup")
    assert set(files(tmp_path / "backup")) == {"media/a@1"}


def test_a_backup_may_lie_on_another_file_system(origin, kept):
    complete(origin)
    with scratch(another_file_system(origin), ".anbar-test-") as folder:
        for location in ("media/a@1", FILM):
            assert kept.keep(location)
            kept.hand_over(location, folder)
        assert files(folder)["media/a@1"] == b"12345"
        assert files(folder)[f"{FILM}00002-p"] == b"part" * 2


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.EACCES])
def test_a_body_that_the_file_system_gives_no_further_name_is_copied(origin, kept, tmp_path, monkeypatch, code):
    """What it says where it has no links, or where a file has as many names as it may have."""

    def refuse(source: str, target: str, **_: object) -> None:
        raise OSError(code, "no further name", source)

    monkeypatch.setattr("os.link", refuse)
    assert kept.keep("media/a@1")
    assert kept.size("media/a@1") == 5
    kept.hand_over("media/a@1", tmp_path / "backup")
    assert files(tmp_path / "backup") == {"media/a@1": b"12345", "media/a@1.json": b"{}"}


def test_a_copy_has_the_bytes_and_is_private(tmp_path):
    (tmp_path / "source").write_bytes(b"x" * 3_000_000)
    copy_file(str(tmp_path / "source"), str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == b"x" * 3_000_000
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
