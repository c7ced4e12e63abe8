"""How large a body is, seen from outside: whole, cut off, gone, and never touched."""

import os
from pathlib import Path

import pytest

from gateway.origin.base import BodyMeta
from gateway.origin.disk import Disk
from gateway.origin.errors import BodyNotFound, OriginError
from gateway.origin.measure import measure_body

META = BodyMeta("b", "k", "ops", "w")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def disk(root: Path) -> Disk:
    return Disk(root, durable=False)


@pytest.fixture
def film(disk: Disk) -> Path:
    """A multipart object of 5, 7 and 1 bytes, at b/film@up/."""
    parts = [(f"0000{number}-w", size) for number, size in enumerate((5, 7, 1), start=1)]
    for name, size in parts:
        disk.store(disk.path(f"b/film@up/{name}"), bytes(size), lambda: None)
    folder = disk.path("b/film@up/")
    disk.write_manifest(folder, parts)
    return Path(folder)


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_a_body_in_one_file_has_its_size(disk, root, size):
    disk.store(disk.path("b/k@w"), bytes(size), lambda: META)
    assert measure_body(root, "b/k@w") == size


@pytest.mark.parametrize(
    ("part", "size", "readable"),
    [("00003-w", 1, 13), ("00003-w", 0, 12), ("00001-w", 4, 4), ("00002-w", 3, 8), ("00002-w", 9, 13)],
)
def test_a_multipart_object_can_be_read_up_to_its_first_gap(film, root, part, size, readable):
    os.truncate(film / part, size)
    assert measure_body(root, "b/film@up/") == readable


@pytest.mark.parametrize("part", ["00001-w", "00003-w", "manifest.json"])
def test_a_multipart_object_without_one_of_its_files_is_not_there(film, root, part):
    (film / part).unlink()
    with pytest.raises(BodyNotFound):
        measure_body(root, "b/film@up/")


def test_a_body_that_is_gone_is_not_there(root):
    with pytest.raises(BodyNotFound):
        measure_body(root, "b/k@w")
    assert not root.exists()


def test_what_is_no_file_is_an_origin_error(root):
    (root / "b").mkdir(parents=True)
    (root / "b/folder@w").mkdir()
    (root / "b/link@w").symlink_to(__file__)
    for location in ("b/folder@w", "b/link@w"):
        with pytest.raises(OriginError):
            measure_body(root, location)


def test_what_a_running_gateway_has_moved_aside_for_its_readers_stays(disk, film, root):
    disk.move_aside(str(film) + "/", disk.aside("b/film@up/"))
    with pytest.raises(BodyNotFound):
        measure_body(root, "b/film@up/")
    assert Path(disk.aside("b/film@up/"), "00001-w").exists()
