"""Readers and writers of a directory origin, over one that holds its files in memory."""

import pytest

from gateway.origin.base import BodyMeta
from gateway.origin.bodies import Assembled, FileWriter, PartsReader
from gateway.origin.disk import Manifest
from gateway.origin.errors import BodyNotFound, OriginError
from gateway.origin.open_files import OpenFile


class Shelf:
    """A small reading and writing origin: files by path, numbered by their order; notes what it is asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.taken: list[str] = []
        self.open = 0
        self.ended: list[str] = []

    async def take(self, path: str) -> OpenFile:
        self.taken.append(path)
        if path not in self.files:
            raise BodyNotFound(path)
        self.open += 1
        return OpenFile(list(self.files).index(path), len(self.files[path]))

    def release(self, file: OpenFile) -> None:
        self.open -= 1

    async def read(self, file: OpenFile, offset: int, size: int) -> bytes:
        return list(self.files.values())[file.fd][offset : offset + size]

    def aside(self, location: str) -> str:
        return "aside/"

    def end_reading(self, assembled: Assembled) -> None:
        assembled.readers -= 1

    async def write(self, fd: int, data: bytes | bytearray | memoryview) -> None: ...

    async def finish(self, location: str, fd: int | None, meta: BodyMeta | None) -> None:
        self.ended.append("finished")

    async def discard(self, location: str, fd: int) -> None:
        self.ended.append("discarded")


def film() -> Assembled:
    return Assembled("film/", "film/", readers=1)


def reader_of(shelf: Shelf, assembled: Assembled) -> PartsReader:
    return PartsReader(shelf, assembled, Manifest(("1", "2"), (3, 5)))


async def test_one_part_is_open_at_a_time_and_is_opened_once():
    shelf, assembled = Shelf({"film/1": b"abc", "film/2": b"de"}), film()
    reader = reader_of(shelf, assembled)
    assert [await reader.read(offset, 9) for offset in (0, 1, 3, 4)] == [b"abc", b"bc", b"de", b"e"]
    assert (shelf.taken, shelf.open, assembled.readers) == (["film/1", "film/2"], 1, 1)
    reader.close()
    assert (shelf.open, assembled.readers) == (0, 0)


async def test_parts_that_were_moved_aside_are_found_there_from_then_on():
    shelf = Shelf({"aside/1": b"abc", "aside/2": b"de"})
    reader = reader_of(shelf, film())
    assert await reader.read(3, 9) == b"de"
    assert await reader.read(0, 9) == b"abc"
    assert shelf.taken == ["film/2", "aside/2", "aside/1"]
    reader.close()


async def test_a_part_that_is_missing_is_looked_for_twice_and_then_said_to_be_missing():
    shelf = Shelf({"film/1": b"abc"})
    reader = reader_of(shelf, film())
    with pytest.raises(BodyNotFound):
        await reader.read(4, 1)
    assert await reader.read(0, 3) == b"abc"
    reader.close()
    assert shelf.open == 0


@pytest.mark.parametrize(("data", "ended"), [(b"abc", ["finished"]), (b"ab", ["discarded"]), (b"abcd", ["discarded"])])
async def test_a_writer_ends_once_and_only_at_the_announced_size(data, ended):
    shelf = Shelf({})
    writer = FileWriter(shelf, "k", 0, 3)
    await writer.write(data)
    if len(data) == 3:
        await writer.finish(None)
    else:
        with pytest.raises(OriginError):
            await writer.finish(None)
    await writer.abort()
    await writer.abort()
    assert shelf.ended == ended
