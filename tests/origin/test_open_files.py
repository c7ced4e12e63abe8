"""Open descriptors: kept for the next reader, closed once, and never under a reader."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.origin.open_files import OpenFile, OpenFiles, open_file
from gateway.threads import Threads


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    for number in range(4):
        (tmp_path / f"{number}").write_bytes(b"x" * number)
    return [str(tmp_path / f"{number}") for number in range(4)]


def opened(files: OpenFiles, path: str) -> OpenFile:
    return files.take(path) or files.add(path, open_file(path))


def test_a_released_file_is_there_for_the_next_reader(paths):
    files: OpenFiles[OpenFile] = OpenFiles(2)
    first = opened(files, paths[3])
    assert first.size == 3
    files.release(first)
    assert files.take(paths[3]) is first
    files.release(first)
    files.close()
    assert not is_open(first.fd)


def test_beyond_the_limit_the_one_that_was_not_used_for_longest_is_closed(paths):
    files: OpenFiles[OpenFile] = OpenFiles(2)
    kept = [opened(files, path) for path in paths[:2]]
    for file in kept:
        files.release(file)
    files.release(files.take(paths[0]) or kept[1])
    third = opened(files, paths[2])
    assert [is_open(file.fd) for file in (*kept, third)] == [True, False, True]
    files.release(third)
    files.close()


def test_a_file_in_use_is_closed_by_its_last_reader_only(paths):
    files: OpenFiles[OpenFile] = OpenFiles(1)
    file = opened(files, paths[1])
    assert opened(files, paths[1]) is file
    files.forget(paths[1])
    assert files.take(paths[1]) is None
    files.release(file)
    assert os.pread(file.fd, 9, 0) == b"x"
    files.release(file)
    assert not is_open(file.fd)


def test_a_twin_that_was_opened_at_the_same_time_is_closed(paths):
    files: OpenFiles[OpenFile] = OpenFiles(2)
    first, second = open_file(paths[0]), open_file(paths[0])
    assert files.add(paths[0], first) is first
    assert files.add(paths[0], second) is first
    assert not is_open(second.fd)
    files.release(first)
    files.release(first)
    files.close()


def test_everything_below_a_folder_is_forgotten_and_nothing_beside_it(tmp_path):
    files: OpenFiles[OpenFile] = OpenFiles(9)
    for name in ("a/1", "a/2", "ab"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
        files.release(opened(files, str(tmp_path / name)))
    files.forget_below(f"{tmp_path}/a/")
    assert files.take(f"{tmp_path}/a/1") is None
    beside = files.take(f"{tmp_path}/ab")
    assert beside is not None
    files.release(beside)
    files.close()


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):
        open_file(str(tmp_path / "link"))


@given(st.lists(st.tuples(st.sampled_from(["open", "release", "forget"]), st.integers(0, 3)), max_size=40))
def test_whatever_the_order_no_reader_loses_its_file_and_none_stays_open(tmp_path_factory, moves):
    folder = tmp_path_factory.mktemp("files")
    files: OpenFiles[OpenFile] = OpenFiles(2)
    held: list[list[OpenFile]] = [[] for _ in range(4)]
    every: set[int] = set()
    for move, number in moves:
        path = folder / str(number)
        path.touch()
        if move == "open":
            file = opened(files, str(path))
            every.add(file.fd)
            held[number].append(file)
        elif move == "release" and held[number]:
            files.release(held[number].pop())
        elif move == "forget":
            files.forget(str(path))
        assert all(is_open(file.fd) for each in held for file in each)
    for file in [file for each in held for file in each]:
        files.release(file)
    files.close()
    assert not any(is_open(fd) for fd in every)


async def test_what_somebody_else_has_removed_is_closed_and_what_lies_there_still_is_kept(paths):
    files: OpenFiles[OpenFile] = OpenFiles(4)
    threads = Threads(1, "test")
    removed, read, linked, kept = [opened(files, path) for path in paths]
    for file in (removed, linked, kept):
        files.release(file)
    os.link(paths[2], f"{paths[2]}-copy")
    for path in paths[:3]:
        os.unlink(path)
    await files.forget_removed(threads)
    assert [is_open(file.fd) for file in (removed, read, linked, kept)] == [False, True, True, True]
    assert files.take(paths[1]) is None, "nobody new gets it"
    files.release(read)
    assert not is_open(read.fd)
    files.close()
    await threads.close()
