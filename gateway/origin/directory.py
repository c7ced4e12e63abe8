"""An origin in a local directory: one file a body, a small JSON file beside it, no file ever changed.

`disk.py` says what lies there. Everything that may wait for the disk runs in a few threads; bytes that the page cache
has are read in the loop.
"""

import asyncio
import os
import resource
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gateway.origin.base import Begun, BodyMeta, BodyReader, BodyWriter, Checked, KeptAs, PartBody, StoredBody
from gateway.origin.bodies import Assembled, FileReader, FileWriter, PartsReader
from gateway.origin.directory_survey import DirectorySurvey
from gateway.origin.disk import Disk, Manifest, copy_range, load_manifest, write_all
from gateway.origin.errors import BodyNotFound, OriginError, origin_errors
from gateway.origin.open_files import OpenFile, OpenFiles, open_file
from gateway.origin.paths import object_path, write_id_of
from gateway.origin.read_locks import OneProcess, ReadLocks
from gateway.threads import Threads

_THREADS = 4
_MOST_OPEN_FILES = 512
_MOST_MANIFESTS = 256
_COPY_SLICE = 64 << 20
_READ_IF_CACHED = getattr(os, "RWF_NOWAIT", 0)


class DirectoryOrigin:
    """Bodies below one directory; implements gateway.origin.base.Origin.

    `durable` False leaves out every fsync: then a power cut may lose bodies that were acknowledged. Every location
    carries its write's id, so a body of another write is never met, and a call that has ended has no effect later.
    """

    md5_etags = False
    confirms_checksums = False
    copies = True
    assembles_once = False
    settle_s = 0

    def __init__(
        self, root: Path, read_locks: ReadLocks | None = None, *, durable: bool = True, group_read: bool = False
    ) -> None:
        """`read_locks`: of all processes here; None: there are no others. `group_read`: the group reads bodies."""
        self._disk = Disk(root, durable=durable, group_read=group_read)
        self._read_locks = read_locks or OneProcess()
        self._threads = Threads(_THREADS, "origin")
        self._run = self._threads.run
        self.survey = DirectorySurvey(root, self._threads)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._files: OpenFiles[OpenFile] = OpenFiles(min(_MOST_OPEN_FILES, max(soft // 8, 8)), self._close)
        self._assembled: OrderedDict[str, Assembled] = OrderedDict()
        self._closed = False
        self._going: dict[str, asyncio.Future[None]] = {}
        for aside in self._disk.all_aside():  # its readers may have died
            with suppress(OSError):
                self._remove_unread(aside)

    async def make_bucket(self, bucket: str) -> None:
        """A bucket is a directory, which comes with its first body."""

    def locate(self, bucket: str, key: str, write_id: str) -> str:
        return object_path(bucket, key, write_id)

    def own_location(self, bucket: str, key: str) -> str | None:
        return None

    def foreign_location(self, bucket: str, key: str) -> str | None:
        return None

    async def require_free(self, location: str, write_id: str) -> None:
        """Each location is one write's alone."""

    def locate_upload(self, object_location: str) -> str:
        return object_location + "/"

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str:
        return f"{upload_location}{part_number:05d}-{write_id}"

    async def create(
        self, location: str, size: int | None, meta: BodyMeta | None = None, sha256_hex: str | None = None
    ) -> BodyWriter:
        return FileWriter(self, location, await self._open_target(location), size, meta)

    async def store(self, location: str, data: bytes, check: Callable[[], Checked]) -> str | None:
        with origin_errors(location):
            await self._run(self._disk.store, self._disk.path(location), data, lambda: check().meta)
        return None

    async def open(
        self,
        location: str,
        etag: str | None = None,
        offset: int = 0,
        size: int | None = None,
        kept_as: KeptAs | None = None,
    ) -> BodyReader:
        if not location.endswith("/"):
            return FileReader(self, location, await self.take(self._disk.path(location)))
        return await self._open_assembled(location)

    async def copy(
        self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None, etag: str | None = None
    ) -> str | None:
        if await self._link(source, offset, size, target):
            await self.finish(target, None, meta)
            return None
        reader = await self.open(source)
        try:
            writer = FileWriter(self, target, await self._open_target(target), size, meta)
            try:
                await self._copy_regions(reader, offset, size, writer)
                await writer.finish()
            except BaseException:
                await writer.abort()
                raise
        finally:
            reader.close()
        return None

    async def begin_upload(self, location: str, meta: BodyMeta) -> str:
        return location

    async def assemble(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        names = [(part.location.removeprefix(upload_location), part.size) for part in parts]
        folder = self._disk.path(upload_location)
        if (known := self._assembled.get(upload_location)) is not None:
            known.manifest = None
        with origin_errors(upload_location):
            await self._run(self._disk.write_meta, folder, meta)
            await self._run(self._disk.write_manifest, folder, names)
        return StoredBody(upload_location)

    async def describe(self, location: str, meta: BodyMeta) -> str | None:
        with origin_errors(location):
            await self._run(
                self._disk.describe, self._disk.path(location), replace(meta, write_id=write_id_of(location))
            )
        return None

    async def delete(
        self, location: str, write_id: str = "", etag: str | None = None, *, begun: Begun | None = None
    ) -> None:
        path = self._disk.path(location)
        with origin_errors(location):
            if location.endswith("/"):
                await self._remove_assembled(location, path)
                self._files.forget_below(path)
                self._files.forget_below(self.aside(location))
            else:
                await self._run(self._disk.remove, path)
                self._files.forget(path)  # now, so that what was opened until just now is forgotten too

    async def forget_removed(self) -> None:
        await self._files.forget_removed(self._threads)

    async def close(self) -> None:
        self._closed = True  # the locks may be closed after us: those of late readers end with them
        self._files.close()
        await self._threads.close()

    # For the readers and writers of bodies.py.

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
                    self._close(unwanted.fd)
                raise
            return self._files.add(path, opened[0])

    def release(self, file: OpenFile) -> None:
        self._files.release(file)

    def aside(self, location: str) -> str:
        """Where a multipart object is that was removed while it was read."""
        return self._disk.aside(location)

    def end_reading(self, assembled: Assembled) -> None:
        """A reader is done; the last one of a removed body, in whichever process, takes what is left of it along."""
        assembled.readers -= 1
        if assembled.readers or self._closed:
            return
        location, aside = assembled.location, self.aside(assembled.location)
        self._read_locks.unshare(_lock_name(aside))
        if assembled.leaving or assembled.manifest is None or assembled.folder == aside:
            del self._assembled[location]
            self._files.forget_below(self._disk.path(location))
            self._files.forget_below(aside)
        self._threads.launch(self._remove_unread, aside)

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
            await self._run(write_all, fd, data)

    async def finish(self, location: str, fd: int | None, meta: BodyMeta | None) -> None:
        """Make a written file safe: its bytes, what lies beside it, its name."""
        with origin_errors(location):
            await self._run(self._disk.finish, self._disk.path(location), fd, meta)

    async def discard(self, location: str, fd: int) -> None:
        os.close(fd)
        await self.delete(location)

    def _close(self, fd: int) -> None:
        """Close a file that is kept no more. The last close of a removed one frees its blocks, which takes its time."""
        try:
            is_removed = not os.fstat(fd).st_nlink
        except OSError:  # a share of another machine calls it stale
            is_removed = True
        if is_removed:
            self._threads.launch(os.close, fd)
        else:
            os.close(fd)

    async def _open_assembled(self, location: str) -> BodyReader:
        assembled = self._assembled.setdefault(location, Assembled(location, self._disk.path(location)))
        assembled.readers += 1
        try:
            manifest = await self._manifest_of(assembled)
        except BaseException:
            assembled.manifest = None
            self.end_reading(assembled)
            raise
        self._forget_unread()
        return PartsReader(self, assembled, manifest)

    async def _manifest_of(self, assembled: Assembled) -> Manifest:
        """The parts of a body that from now on stays readable; raises BodyNotFound, OriginError.

        Another process may have removed it since they were known; or put others together, while its upload was open.
        """
        location = assembled.location
        if location in self._going or assembled.leaving:
            raise BodyNotFound(location)
        with origin_errors(location):
            if assembled.readers == 1 and not self._read_locks.share(_lock_name(self.aside(location))):
                raise BodyNotFound(location)
            manifest = await self._run(load_manifest, assembled.folder, assembled.manifest)
        assembled.manifest = manifest
        return manifest

    async def _remove_assembled(self, location: str, path: str) -> None:
        """Remove a multipart object, one remover at a time; whoever opens it meanwhile finds nothing."""
        while (going := self._going.get(location)) is not None:
            await asyncio.wait([going])
        going = self._going[location] = asyncio.get_running_loop().create_future()
        try:
            await self._remove_or_move(location, path)
        finally:
            del self._going[location]
            going.set_result(None)

    async def _remove_or_move(self, location: str, path: str) -> None:
        """While it is read, here or in another process, it is moved aside, as an open file outlives its name."""
        aside = self.aside(location)
        if self._read_locks.try_lock(name := _lock_name(aside)):
            try:
                self._assembled.pop(location, None)
                await self._run(self._disk.remove_tree, path)
            finally:
                self._read_locks.unlock(name)
        else:
            await self._run(self._disk.move_aside, path, aside)
            if (assembled := self._assembled.get(location)) is not None:
                assembled.leaving = True
            await self._run(self._disk.remove_tree, path)  # the directories above it
        await self._run(self._remove_unread, aside)  # they ended meanwhile, or a remover died before it came to this

    def _remove_unread(self, aside: str) -> None:
        """Remove what was moved aside, unless somebody reads it still; blocks."""
        name = _lock_name(aside)
        if os.path.exists(aside) and self._read_locks.try_lock(name):
            try:
                self._disk.remove_tree(aside)
            finally:
                self._read_locks.unlock(name)

    def _forget_unread(self) -> None:
        """Keep the map of manifests small; those that are being read stay."""
        if len(self._assembled) > _MOST_MANIFESTS:
            for location in [name for name, assembled in self._assembled.items() if not assembled.readers]:
                del self._assembled[location]

    async def _open_target(self, target: str) -> int:
        """Open a new file; a descriptor that nobody waits for any more is closed."""
        opened: list[int] = []
        try:
            with origin_errors(target):
                await self._run(lambda: opened.append(self._disk.open_new(self._disk.path(target))))
        except BaseException:
            for unwanted in opened:
                os.close(unwanted)
            raise
        return opened[0]

    async def _link(self, source: str, offset: int, size: int, target: str) -> bool:
        """Give a whole body a second name instead of copying it; False where that cannot be."""
        if offset or source.endswith("/"):
            return False
        file = await self.take(self._disk.path(source))
        try:
            if file.size != size:
                return False
            with origin_errors(target):
                return await self._run(self._disk.link, self._disk.path(source), self._disk.path(target))
        finally:
            self.release(file)

    async def _copy_regions(self, reader: BodyReader, offset: int, size: int, writer: FileWriter) -> None:
        end = offset + size
        while offset < end:
            region = await reader.region(offset, min(end - offset, _COPY_SLICE))
            if region is None:
                raise OriginError("a body ended early")
            with origin_errors(writer.location):
                copied = await self._run(copy_range, region, writer.fd)
            writer.written += copied
            offset += copied


def _lock_name(aside: str) -> str:
    """What the readers of a multipart object share: of its name aside, which has the id of its write."""
    return "read\n" + aside.rstrip("/").rpartition("/")[2]
