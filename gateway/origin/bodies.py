"""The bodies of a directory origin that are being read or written."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.origin.base import BodyMeta, FileRegion
from gateway.origin.disk import Manifest
from gateway.origin.errors import BodyNotFound, OriginError
from gateway.origin.open_files import OpenFile


@dataclass(slots=True)
class Assembled:
    """An assembled body: where its directory is now, its parts, its readers in this process.

    `leaving`: this process has removed it, and only its readers go on.
    """

    location: str
    folder: str
    manifest: Manifest | None = None
    readers: int = 0
    leaving: bool = False


class ReadingOrigin(Protocol):
    """What the readers need of their origin."""

    async def take(self, path: str) -> OpenFile: ...

    def release(self, file: OpenFile) -> None: ...

    async def read(self, file: OpenFile, offset: int, size: int) -> bytes: ...

    def aside(self, location: str) -> str: ...

    def end_reading(self, assembled: Assembled) -> None: ...


class WritingOrigin(Protocol):
    """What a writer needs of its origin."""

    async def write(self, fd: int, data: bytes | bytearray | memoryview) -> None: ...

    async def finish(self, location: str, fd: int | None, meta: BodyMeta | None) -> None: ...

    async def discard(self, location: str, fd: int) -> None: ...


class FileReader:
    """A body in one file."""

    __slots__ = ("_file", "_origin", "plain_file")

    def __init__(self, origin: ReadingOrigin, location: str, file: OpenFile) -> None:
        self._origin = origin
        self._file = file
        self.plain_file: str | None = location

    async def read(self, offset: int, size: int) -> bytes:
        return await self._origin.read(self._file, offset, size)

    async def region(self, offset: int, size: int) -> FileRegion | None:
        return (
            FileRegion(self._file.fd, offset, min(size, self._file.size - offset)) if offset < self._file.size else None
        )

    def close(self) -> None:
        self._origin.release(self._file)


class PartsReader:
    """A body in several files; one of them is open at a time. It was counted among the body's readers before."""

    plain_file: None = None
    __slots__ = ("_assembled", "_file", "_index", "_manifest", "_origin")

    def __init__(self, origin: ReadingOrigin, assembled: Assembled, manifest: Manifest) -> None:
        self._origin = origin
        self._assembled = assembled
        self._manifest = manifest
        self._index = -1
        self._file: OpenFile | None = None

    async def read(self, offset: int, size: int) -> bytes:
        file, start = await self._at(offset)
        return await self._origin.read(file, offset - start, min(size, file.size - (offset - start)))

    async def region(self, offset: int, size: int) -> FileRegion | None:
        if offset >= self._manifest.ends[-1]:
            return None
        file, start = await self._at(offset)
        return FileRegion(file.fd, offset - start, min(size, file.size - (offset - start)))

    def close(self) -> None:
        self._close_file()
        self._origin.end_reading(self._assembled)

    def _close_file(self) -> None:
        if self._file is not None:
            self._origin.release(self._file)
            self._file = None

    async def _at(self, offset: int) -> tuple[OpenFile, int]:
        """The file that holds `offset`, and the offset of its first byte."""
        assembled, manifest = self._assembled, self._manifest
        index = bisect_right(manifest.ends, offset)
        if index >= len(manifest.names):
            raise OriginError(f"{assembled.location}: the body ended early")
        if index != self._index or self._file is None:
            self._close_file()
            try:
                self._file = await self._origin.take(assembled.folder + manifest.names[index])
            except BodyNotFound:  # it was removed, perhaps by another process, and waits aside for its readers
                aside = self._origin.aside(assembled.location)
                self._file = await self._origin.take(aside + manifest.names[index])
                assembled.folder = aside
            self._index = index
        return self._file, manifest.ends[index - 1] if index else 0


class FileWriter:
    """A body that is being written."""

    def __init__(
        self, origin: WritingOrigin, location: str, fd: int, size: int | None, meta: BodyMeta | None = None
    ) -> None:
        self._origin = origin
        self._size = size
        self._meta = meta
        self._ended = False
        self.location = location
        self.fd = fd
        self.written = 0

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._origin.write(self.fd, data)
        self.written += len(data)

    async def finish(self, etag: str | None = None) -> str | None:
        if self._size is not None and self.written != self._size:
            raise OriginError(f"{self.location}: {self.written} bytes were written, {self._size} announced")
        self._ended = True
        meta = self._meta
        if meta is not None and etag is not None and not meta.etag:
            meta = replace(meta, etag=etag)
        await self._origin.finish(self.location, self.fd, meta)
        return None

    async def abort(self) -> None:
        if not self._ended:
            self._ended = True
            await self._origin.discard(self.location, self.fd)
