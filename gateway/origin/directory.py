"""An origin in a local directory: one file a body, a small JSON file beside it, no file ever changed.

`paths.py` says where a body lies. Beside `sara.jpg@ID` lies `sara.jpg@ID.json`, what is needed to rebuild the catalog;
it is written after the body is safe, so a body without it is one that was never finished. A multipart object is a
directory `film.mp4@ID/` with its parts, a `manifest.json` that names them in order, and a `meta.json`: completing an
upload writes a few hundred bytes, whatever the size of the object.
Everything that may wait for the disk runs in a few threads; bytes that the page cache has are read in the loop.
"""

import json
import os
import resource
import secrets
import shutil
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from gateway.origin.base import BodyMeta, BodyReader, BodyWriter, FileRegion
from gateway.origin.errors import BodyNotFound, OriginError, origin_errors
from gateway.origin.open_files import OpenFile, OpenFiles, open_file
from gateway.origin.paths import object_path
from gateway.threads import Threads

_THREADS = 4
_MOST_OPEN_FILES = 512
_MOST_MANIFESTS = 256
_COPY_SLICE = 64 << 20
_MANIFEST = "manifest.json"
_META = "meta.json"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_LEAVING = ".leaving"  # no segment of a body's path begins with a dot
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ_IF_CACHED = getattr(os, "RWF_NOWAIT", 0)


@dataclass(slots=True)
class _Assembled:
    """An assembled body: where its directory is now, its files' names, the offset of each file's end, its readers."""

    folder: str
    names: tuple[str, ...]
    ends: tuple[int, ...]
    readers: int = 0
    leaving: bool = False


class DirectoryOrigin:
    """Bodies below one directory; implements gateway.origin.base.Origin.

    `durable` False leaves out every fsync: then a power cut may lose bodies that were acknowledged.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self._root = str(root)
        self._durable = durable
        self._threads = Threads(_THREADS, "origin")
        self._run = self._threads.run
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._files = OpenFiles(min(_MOST_OPEN_FILES, max(soft // 8, 8)))
        self._assembled: OrderedDict[str, _Assembled] = OrderedDict()
        self._going: set[str] = set()
        self._leaving = f"{self._root}/{_LEAVING}"
        os.makedirs(root, mode=0o700, exist_ok=True)
        shutil.rmtree(self._leaving, ignore_errors=True)  # whoever read there is gone

    def locate(self, bucket: str, key: str, write_id: str) -> str:
        return object_path(bucket, key, write_id)

    def locate_upload(self, bucket: str, key: str, write_id: str) -> str:
        return object_path(bucket, key, write_id) + "/"

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str:
        return f"{upload_location}{part_number:05d}-{write_id}"

    async def create(self, location: str, size: int | None) -> BodyWriter:
        return _FileWriter(self, location, await self._open_target(location), size)

    async def store(self, location: str, data: bytes, meta: Callable[[], BodyMeta | None]) -> None:
        with origin_errors(location):
            await self._run(self._store, self._path(location), data, meta)

    async def open(self, location: str) -> BodyReader:
        if not location.endswith("/"):
            return _FileReader(self, await self.take(self._path(location)))
        assembled = self._assembled.get(location)
        if assembled is None:
            with origin_errors(location):
                loaded = await self._run(_load_manifest, self._path(location))
            if location in self._going:
                raise BodyNotFound(location)
            assembled = self._assembled.setdefault(location, loaded)
            self._forget_unread()
        return _PartsReader(self, location, assembled)

    async def copy(self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None) -> None:
        if await self._link(source, offset, size, target):
            await self.finish(target, None, meta)
            return
        reader = await self.open(source)
        try:
            writer = _FileWriter(self, target, await self._open_target(target), size)
            try:
                await self._copy_regions(reader, offset, size, writer)
                await writer.finish(meta)
            except BaseException:
                await writer.abort()
                raise
        finally:
            reader.close()

    async def assemble(self, upload_location: str, parts: Sequence[tuple[str, int]], meta: BodyMeta) -> None:
        names = [[location.removeprefix(upload_location), size] for location, size in parts]
        folder = self._path(upload_location)
        self._assembled.pop(upload_location, None)
        with origin_errors(upload_location):
            await self._run(self._replace, folder + _META, _dump(_document(meta)), False)
            await self._run(self._replace, folder + _MANIFEST, _dump({"parts": names}), self._durable)

    async def describe(self, location: str, meta: BodyMeta) -> None:
        with origin_errors(location):
            await self._run(self._describe, self._path(location), _dump(_document(meta)))

    async def delete(self, location: str) -> None:
        path = self._path(location)
        with origin_errors(location):
            if location.endswith("/"):
                await self._remove_assembled(location, path)
                self._files.forget_below(path)
            else:
                await self._run(self._remove, path)
                self._files.forget(path)  # now, so that what was opened until just now is forgotten too

    async def close(self) -> None:
        self._files.close()
        await self._threads.close()

    # For the readers and writers of this module.

    async def take(self, path: str) -> OpenFile:
        """An open file, from those at hand or newly opened; raises BodyNotFound, OriginError."""
        file = self._files.take(path)
        if file is not None:
            return file
        opened: list[OpenFile] = []
        with self._files.opening(path):
            try:
                with origin_errors(path):
                    await self._run(lambda: opened.append(open_file(path)))
            except BaseException:
                for unwanted in opened:
                    os.close(unwanted.fd)
                raise
            return self._files.add(path, opened[0])

    def release(self, file: OpenFile) -> None:
        self._files.release(file)

    def end_reading(self, assembled: _Assembled) -> None:
        """A reader is done; the last one of a removed body takes what is left of it along."""
        assembled.readers -= 1
        if assembled.leaving and not assembled.readers:
            self._files.forget_below(assembled.folder)
            self._threads.launch(shutil.rmtree, assembled.folder, True)

    async def read(self, file: OpenFile, offset: int, size: int) -> bytes:
        """Read without waiting what the page cache has, or else in a thread."""
        try:
            buffer = bytearray(size)
            count = os.preadv(file.fd, [buffer], offset, _READ_IF_CACHED)
            if count:
                return buffer if count == size else buffer[:count]  # type: ignore[return-value]
        except OSError:  # not in the page cache, or a file system that cannot tell
            pass
        with origin_errors("body"):
            data = await self._run(os.pread, file.fd, size, offset)
        if not data:
            raise OriginError("a body ended early")
        return data

    async def write(self, fd: int, data: bytes | bytearray | memoryview) -> None:
        with origin_errors("body"):
            await self._run(_write_all, fd, data)

    async def finish(self, location: str, fd: int | None, meta: BodyMeta | None) -> None:
        """Make a written file safe: its bytes, what lies beside it, its name."""
        with origin_errors(location):
            await self._run(self._finish, self._path(location), fd, meta)

    async def discard(self, location: str, fd: int) -> None:
        os.close(fd)
        await self.delete(location)

    # What runs in the threads.

    def _path(self, location: str) -> str:
        return f"{self._root}/{location}"

    def _open_new(self, path: str) -> int:
        """Open a new file, making its directories; another thread may be removing empty ones."""
        for _ in range(100):
            try:
                return os.open(path, _NEW_FILE, 0o600)
            except FileNotFoundError:
                self._make_folders(os.path.dirname(path))
        raise FileNotFoundError(path)

    def _make_folders(self, folder: str) -> None:
        """Make a directory and those above it; where somebody removes one meanwhile, the caller tries again."""
        missing = [folder]
        while not os.path.isdir(parent := os.path.dirname(missing[-1])):
            missing.append(parent)
        for path in reversed(missing):
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                pass  # whoever made it may not have synced it yet
            except FileNotFoundError:
                return
            self._sync_folder(os.path.dirname(path))

    def _sync_folder(self, folder: str) -> None:
        if not self._durable:
            return
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _store(self, path: str, data: bytes, meta: Callable[[], BodyMeta | None]) -> None:
        beside = meta()
        fd = self._open_new(path)
        try:
            _write_all(fd, data)
        except BaseException:
            os.close(fd)
            raise
        self._finish(path, fd, beside)

    def _finish(self, path: str, fd: int | None, meta: BodyMeta | None) -> None:
        if fd is not None:
            try:
                if self._durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
        if meta is not None:  # a second copy of what the catalog keeps durably, so it is not waited for
            beside = os.open(path + ".json", _NEW_FILE, 0o600)
            try:
                _write_all(beside, _dump(_document(meta)))
            finally:
                os.close(beside)
        self._sync_folder(os.path.dirname(path))

    def _replace(self, path: str, data: bytes, durable: bool) -> None:
        """Write a small file whole, in place of the one that is there."""
        fresh = f"{path}~{secrets.token_hex(4)}"
        fd = os.open(fresh, _NEW_FILE, 0o600)
        try:
            try:
                _write_all(fd, data)
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(fresh, path)
        except BaseException:
            os.unlink(fresh)
            raise
        if durable:
            self._sync_folder(os.path.dirname(path))

    def _describe(self, path: str, data: bytes) -> None:
        beside = path + _META if path.endswith("/") else path + ".json"
        self._replace(beside, data, False)
        if not os.path.exists(path):  # removed meanwhile, the body first
            os.unlink(beside)
            raise FileNotFoundError(path)

    def _remove(self, path: str) -> None:
        for name in (path, path + ".json"):
            try:
                os.unlink(name)
            except FileNotFoundError:
                pass
        self._remove_empty(os.path.dirname(path))

    async def _remove_assembled(self, location: str, path: str) -> None:
        """Remove a multipart object; while it is read it is moved aside, as an open file outlives its name."""
        self._going.add(location)  # whoever opens it now finds nothing
        try:
            assembled = self._assembled.pop(location, None)
            if assembled is None or not assembled.readers:
                await self._run(self._remove_tree, path)
                return
            aside = f"{self._leaving}/{location.rstrip('/').rpartition('@')[2]}/"
            await self._run(self._move_aside, path, aside)
            assembled.folder, assembled.leaving = aside, True
            if not assembled.readers:  # they ended meanwhile
                await self._run(self._remove_tree, aside)
        finally:
            self._going.discard(location)

    def _forget_unread(self) -> None:
        """Keep the map of manifests small; those that are being read stay."""
        if len(self._assembled) > _MOST_MANIFESTS:
            for location in [name for name, assembled in self._assembled.items() if not assembled.readers]:
                del self._assembled[location]

    def _move_aside(self, path: str, aside: str) -> None:
        os.makedirs(self._leaving, mode=0o700, exist_ok=True)
        os.rename(path, aside)
        self._remove_empty(os.path.dirname(path.rstrip("/")))

    def _remove_tree(self, path: str) -> None:
        while os.path.exists(path):
            try:
                shutil.rmtree(path)
            except FileNotFoundError:  # somebody else removes it, too
                continue
        self._remove_empty(os.path.dirname(path.rstrip("/")))

    def _remove_empty(self, folder: str) -> None:
        """Remove directories that have become empty, up to the root."""
        while len(folder) > len(self._root):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)

    async def _open_target(self, target: str) -> int:
        """Open a new file; a descriptor that nobody waits for any more is closed."""
        opened: list[int] = []
        try:
            with origin_errors(target):
                await self._run(lambda: opened.append(self._open_new(self._path(target))))
        except BaseException:
            for unwanted in opened:
                os.close(unwanted)
            raise
        return opened[0]

    async def _link(self, source: str, offset: int, size: int, target: str) -> bool:
        """Give a whole body a second name instead of copying it; False where that cannot be."""
        if offset or source.endswith("/"):
            return False
        file = await self.take(self._path(source))
        try:
            if file.size != size:
                return False
            return await self._run(self._try_link, self._path(source), self._path(target))
        finally:
            self.release(file)

    def _try_link(self, source: str, target: str) -> bool:
        for _ in range(100):
            try:
                os.link(source, target, follow_symlinks=False)
                return True
            except FileNotFoundError:
                if not os.path.exists(source):
                    return False
                self._make_folders(os.path.dirname(target))
            except OSError:  # too many links, or a file system without them
                return False
        return False

    async def _copy_regions(self, reader: BodyReader, offset: int, size: int, writer: "_FileWriter") -> None:
        end = offset + size
        while offset < end:
            region = await reader.region(offset, min(end - offset, _COPY_SLICE))
            if region is None:
                raise OriginError("a body ended early")
            with origin_errors(writer.location):
                copied = await self._run(_copy_range, region, writer.fd)
            writer.written += copied
            offset += copied


class _FileReader:
    """A body in one file."""

    __slots__ = ("_file", "_origin")

    def __init__(self, origin: DirectoryOrigin, file: OpenFile) -> None:
        self._origin = origin
        self._file = file

    async def read(self, offset: int, size: int) -> bytes:
        return await self._origin.read(self._file, offset, size)

    async def region(self, offset: int, size: int) -> FileRegion | None:
        return (
            FileRegion(self._file.fd, offset, min(size, self._file.size - offset)) if offset < self._file.size else None
        )

    def close(self) -> None:
        self._origin.release(self._file)


class _PartsReader:
    """A body in several files; one of them is open at a time."""

    __slots__ = ("_assembled", "_file", "_index", "_location", "_origin")

    def __init__(self, origin: DirectoryOrigin, location: str, assembled: _Assembled) -> None:
        self._origin = origin
        self._location = location
        self._assembled = assembled
        assembled.readers += 1
        self._index = -1
        self._file: OpenFile | None = None

    async def read(self, offset: int, size: int) -> bytes:
        file, start = await self._at(offset)
        return await self._origin.read(file, offset - start, min(size, file.size - (offset - start)))

    async def region(self, offset: int, size: int) -> FileRegion | None:
        if offset >= self._assembled.ends[-1]:
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
        assembled = self._assembled
        index = bisect_right(assembled.ends, offset)
        if index >= len(assembled.names):
            raise OriginError(f"{self._location}: the body ended early")
        if index != self._index or self._file is None:
            self._close_file()
            try:
                self._file = await self._origin.take(assembled.folder + assembled.names[index])
            except BodyNotFound:  # moved aside just now
                self._file = await self._origin.take(assembled.folder + assembled.names[index])
            self._index = index
        return self._file, assembled.ends[index - 1] if index else 0


class _FileWriter:
    """A body that is being written."""

    def __init__(self, origin: DirectoryOrigin, location: str, fd: int, size: int | None) -> None:
        self._origin = origin
        self._size = size
        self._ended = False
        self.location = location
        self.fd = fd
        self.written = 0

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._origin.write(self.fd, data)
        self.written += len(data)

    async def finish(self, meta: BodyMeta | None) -> None:
        if self._size is not None and self.written != self._size:
            raise OriginError(f"{self.location}: {self.written} bytes were written, {self._size} announced")
        self._ended = True
        await self._origin.finish(self.location, self.fd, meta)

    async def abort(self) -> None:
        if not self._ended:
            self._ended = True
            await self._origin.discard(self.location, self.fd)


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _copy_range(region: FileRegion, fd: int) -> int:
    """Copy a region to the end of a file, within the kernel where the file system can; gives the bytes copied."""
    try:
        copied = os.copy_file_range(region.fd, fd, region.size, region.offset)
    except OSError:
        data = os.pread(region.fd, min(region.size, 1 << 20), region.offset)
        _write_all(fd, data)
        copied = len(data)
    if not copied:
        raise OSError("a body ended early")
    return copied


def _load_manifest(folder: str) -> _Assembled:
    with open(folder + _MANIFEST, "rb") as file:
        text = file.read()
    try:
        parts: list[tuple[str, int]] = json.loads(text)["parts"]
    except (ValueError, KeyError, TypeError) as error:
        raise OriginError(f"{folder}{_MANIFEST} is damaged") from error
    if not parts:
        raise OriginError(f"{folder}{_MANIFEST} names no part")
    return _Assembled(folder, tuple(name for name, _ in parts), tuple(accumulate(size for _, size in parts)))


def _document(meta: BodyMeta) -> dict[str, Any]:
    return {
        "bucket": meta.bucket,
        "key": meta.key,
        "uploader": meta.uploader,
        "write_id": meta.write_id,
        "etag": meta.etag,
        "headers": dict(meta.headers),
        "metadata": dict(meta.metadata),
        "tags": dict(meta.tags),
    }


def _dump(document: dict[str, Any]) -> bytes:
    return _encode(document).encode()
