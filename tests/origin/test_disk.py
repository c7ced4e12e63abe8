"""The files of a directory origin: whole, safe and gone without a trace, whichever threads are at it."""

import errno
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.origin.base import BodyMeta, FileRegion
from gateway.origin.disk import Disk, Manifest, copy_range, load_manifest, write_all
from gateway.origin.errors import OriginError

META = BodyMeta("b", "k", "ann", "w1", '"e"', {"content-type": "text/é"}, {"a": "ü"}, {"t": "1"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def disk(root: Path) -> Disk:
    return Disk(root, durable=True)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def names_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def stored(disk: Disk, location: str, data: bytes = b"x", meta: BodyMeta | None = META) -> str:
    path = disk.path(location)
    disk.store(path, data, lambda: meta)
    return path


def multipart(disk: Disk, location: str, sizes: list[int]) -> str:
    parts = [(f"{number:05d}-w", size) for number, size in enumerate(sizes, 1)]
    for name, size in parts:
        stored(disk, location + name, b"p" * size, None)
    folder = disk.path(location)
    disk.write_meta(folder, META)
    disk.write_manifest(folder, parts)
    return folder


def test_what_lies_beside_a_body_is_enough_to_rebuild_its_row(disk):
    path = stored(disk, "b/k@w1")
    assert json.loads(Path(path + ".json").read_bytes()) == {
        "bucket": "b", "key": "k", "uploader": "ann", "write_id": "w1", "etag": '"e"',
        "headers": {"content-type": "text/é"}, "metadata": {"a": "ü"}, "tags": {"t": "1"},
    }  # fmt: skip


def test_a_body_whose_check_fails_is_never_begun(disk, root):
    def wrong() -> BodyMeta:
        raise ValueError("another checksum")

    with pytest.raises(ValueError, match="another checksum"):
        disk.store(disk.path("b/k@w1"), b"x", wrong)
    assert names_in(root) == set()


def test_a_body_is_safe_in_directories_that_somebody_else_has_made_and_not_synced_yet(disk, root, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), root))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    (root / "b/x").mkdir(parents=True)
    first = stored(disk, "b/x/k@w1")
    assert synced == ["b/x/k@w1", "b/x", "b", "."]
    synced.clear()
    second = stored(disk, "b/x/k@w2")
    assert synced == ["b/x/k@w2", "b/x"], "it is known to be safe from now on"
    synced.clear()
    for path in (first, second):
        disk.remove(path)
    (root / "b/x").mkdir(parents=True)
    stored(disk, "b/x/k@w3")
    assert synced == ["b/x/k@w3", "b/x", "b", "."], "and it is another one now"


def test_what_is_not_durable_is_never_synced(root, monkeypatch):
    def never(_fd: int) -> None:
        raise AssertionError("synced")

    monkeypatch.setattr(os, "fsync", never)
    disk = Disk(root, durable=False)
    folder = multipart(disk, "b/film@up/", [1, 2])
    disk.describe(folder, META)
    assert disk.link(stored(disk, "b/k@w1"), disk.path("c/k@w2"))


def test_a_manifest_says_where_each_part_ends(disk):
    folder = multipart(disk, "b/film@up/", [5, 7, 1])
    assert load_manifest(folder) == Manifest(("00001-w", "00002-w", "00003-w"), (5, 12, 13))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b"{}", b'"parts"', b'{"parts":[]}'])
def test_a_manifest_that_names_no_parts_is_an_origin_error(disk, text):
    folder = multipart(disk, "b/film@up/", [1])
    Path(folder + "manifest.json").write_bytes(text)
    with pytest.raises(OriginError):
        load_manifest(folder)


def test_a_multipart_object_that_was_moved_aside_leaves_no_directory_where_it_was(disk, root):
    folder = multipart(disk, "b/x/film@up/", [1])
    aside = disk.aside("b/x/film@up/")
    disk.move_aside(folder, aside)
    disk.remove_tree(folder)
    assert load_manifest(aside).names == ("00001-w",)
    assert {path.name for path in root.iterdir()} == {".leaving"}
    disk.remove_tree(aside)
    disk.remove_tree(aside)
    assert names_in(root) == set()


def test_a_second_name_makes_its_directories_and_outlives_the_first(disk):
    source, target = stored(disk, "b/k@w1", b"same"), disk.path("c/deep/er/k@w2")
    assert disk.link(source, target)
    disk.remove(source)
    assert Path(target).read_bytes() == b"same"


def test_there_is_no_second_name_for_what_is_gone_or_for_a_name_that_is_taken(disk, root):
    assert not disk.link(disk.path("b/none@w"), disk.path("c/k@w2"))
    assert names_in(root) == set()
    source, taken = stored(disk, "b/k@w1", b"first"), stored(disk, "c/k@w2", b"other")
    assert not disk.link(source, taken)
    assert Path(taken).read_bytes() == b"other"


def test_everything_is_written_by_a_disk_that_takes_a_little_at_a_time(disk, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    assert Path(stored(disk, "b/k@w1", b"0123456789", None)).read_bytes() == b"0123456789"


@pytest.mark.parametrize("in_the_kernel", [True, False])
def test_a_range_is_copied_with_and_without_the_kernels_help(disk, tmp_path, monkeypatch, in_the_kernel):
    def unsupported(*_: int) -> int:
        raise OSError("not on this file system")

    if not in_the_kernel:
        monkeypatch.setattr(os, "copy_file_range", unsupported)
    with (tmp_path / "source").open("w+b") as source, (tmp_path / "target").open("w+b") as target:
        write_all(source.fileno(), memoryview(b"0123456789"))
        region = FileRegion(source.fileno(), 2, 5)
        assert copy_range(region, target.fileno()) == 5
        assert os.pread(target.fileno(), 99, 0) == b"23456"
        with pytest.raises(OSError, match="ended early"):
            copy_range(FileRegion(source.fileno(), 10, 5), target.fileno())


@pytest.mark.parametrize("kind", ["body", "multipart"])
def test_descriptions_at_the_same_time_never_mix(disk, root, threads, kind):
    """Each description is whole, whoever comes last."""
    if kind == "body":
        path = stored(disk, "b/k@w1")
        beside = Path(path + ".json")
    else:
        path = multipart(disk, "b/film@up/", [1, 1])
        beside = Path(path + "meta.json")
    metas = [replace(META, tags={f"t{number}": "x" * (number * 3000)}) for number in range(8)]
    for _ in range(40):
        assert list(threads.map(lambda meta: disk.describe(path, meta), metas)) == [None] * len(metas)
        assert json.loads(beside.read_bytes())["tags"] in [meta.tags for meta in metas]
    assert not [name for name in names_in(root) if "~" in name]


def test_many_writers_and_removers_in_one_tree_do_not_disturb_each_other(disk, root, threads):
    """Empty directories are removed while others make them."""

    def come_and_go(number: int) -> None:
        for turn in range(15):
            path = stored(disk, f"b/x/y/{number % 2}/k@w{number}-{turn}", b"%d" % number)
            assert Path(path).read_bytes() == b"%d" % number
            disk.remove(path)

    assert list(threads.map(come_and_go, range(8))) == [None] * 8
    assert names_in(root) == set()


@pytest.mark.parametrize("path", ["k@w", "film@w/"])
def test_what_cannot_be_looked_at_is_not_taken_for_gone(disk, monkeypatch, path):
    """Its description stays, and nobody is told that it was removed."""
    body = disk.path(path)
    described = Path(f"{body}meta.json" if path.endswith("/") else f"{body}.json")
    os.close(disk.open_new(f"{body}00001-p" if path.endswith("/") else body))
    disk.describe(body, META)
    stat = os.stat

    def failing(asked: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if asked == body:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return stat(asked, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr("os.stat", failing)
        with pytest.raises(OSError, match="Input/output"):
            disk.describe(body, META)
        with pytest.raises(OSError, match="Input/output"):
            disk.remove_tree(body)
    assert described.exists()
