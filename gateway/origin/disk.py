"""The files of a directory origin: opened, written, made safe, linked and removed. All of it blocks.

`paths.py` says where a body lies. Beside `sara.jpg@ID` lies `sara.jpg@ID.json`, what is needed to rebuild the catalog;
it is written after the body is safe, so a body without it is one that was never finished. A multipart object is a
directory `film.mp4@ID/` with its parts, a `manifest.json` that names them in order, and a `meta.json`: completing an
upload writes a few hundred bytes, whatever the size of the object.
"""

import contextlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from gateway.origin.base import BodyMeta, FileRegion
from gateway.origin.errors import OriginError

_MANIFEST = "manifest.json"
_META = "meta.json"
_LEAVING = ".leaving"  # no segment of a body's path begins with a dot
_MOST_KNOWN = 10_000  # directories
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a multipart object: their files' names, and the offset of each one's end.

    `stamp` is of the file that says so, and another one's where it was replaced.
    """

    names: tuple[str, ...]
    ends: tuple[int, ...]
    stamp: tuple[int, int, int] = field(default=(0, 0, 0), compare=False)


def load_manifest(folder: str, known: Manifest | None = None) -> Manifest:
    """The parts of a multipart object; `known` itself where it is still what is there.

    Blocks, raises OSError, and OriginError where the manifest is damaged.
    """
    if known is not None and _stamp_of(os.stat(folder + _MANIFEST)) == known.stamp:
        return known
    with open(folder + _MANIFEST, "rb") as file:
        stamp, text = _stamp_of(os.fstat(file.fileno())), file.read()
    try:
        parts = [(str(name), int(size)) for name, size in json.loads(text)["parts"]]
    except (ValueError, KeyError, TypeError) as error:
        raise OriginError(f"{folder}{_MANIFEST} is damaged") from error
    if not parts:
        raise OriginError(f"{folder}{_MANIFEST} names no part")
    return Manifest(tuple(name for name, _ in parts), tuple(accumulate(size for _, size in parts)), stamp)


def _stamp_of(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_size


_GROUP_ENTERS = 0o050
_GROUP_READS = 0o640


def open_to_group(root: Path) -> None:
    """Give what lies below a directory the rights that it has where the group reads bodies; blocks, raises OSError."""
    for folder, folders, names in os.walk(root):
        for name in folders:
            os.chmod(f"{folder}/{name}", 0o700 | _GROUP_ENTERS)
        for name in names:
            if not name.endswith(".json") and not name.startswith("."):  # a description, and the root's own
                os.chmod(f"{folder}/{name}", _GROUP_READS)


class Disk:
    """The files below one directory, by their paths; a folder's path ends with "/".

    Every method may be called in any thread, and raises OSError.
    `durable` False leaves out every fsync. `group_read`: the group may read bodies and go through their directories,
    whatever the umask; what is described beside them it may not.
    """

    def __init__(self, root: Path, *, durable: bool, group_read: bool = False) -> None:
        self._root = str(root)
        self._group_read = group_read
        self._durable = durable
        self._leaving = f"{self._root}/{_LEAVING}"
        self._safe: set[str] = set()  # directories whose own names are known to be on the disk
        os.makedirs(root, mode=0o700, exist_ok=True)
        if group_read:
            os.chmod(root, stat.S_IMODE(os.stat(root).st_mode) | _GROUP_ENTERS)

    def path(self, location: str) -> str:
        """Where a location lies; does not block."""
        return f"{self._root}/{location}"

    def aside(self, location: str) -> str:
        """Where a multipart object waits for its last readers; does not block."""
        return f"{self._leaving}/{location.rstrip('/').rpartition('@')[2]}/"

    def all_aside(self) -> list[str]:
        """The multipart objects that wait, or waited, for their last readers."""
        try:
            return [f"{self._leaving}/{name}/" for name in os.listdir(self._leaving)]
        except FileNotFoundError:
            return []

    def open_new(self, path: str) -> int:
        """Open a new file, making its directories; another thread may be removing empty ones."""
        for _ in range(100):
            try:
                fd = os.open(path, _NEW_FILE, 0o600)
            except FileNotFoundError:
                self._make_folders(os.path.dirname(path))
                continue
            if self._group_read:
                os.fchmod(fd, _GROUP_READS)
            return fd
        raise FileNotFoundError(path)

    def store(self, path: str, data: bytes, meta: Callable[[], BodyMeta | None]) -> None:
        """Write a whole new file and make it safe; what `meta` raises, before the first byte, ends it."""
        beside = meta()
        fd = self.open_new(path)
        try:
            write_all(fd, data)
        except BaseException:
            os.close(fd)
            raise
        self.finish(path, fd, beside)

    def finish(self, path: str, fd: int | None, meta: BodyMeta | None) -> None:
        """Make a written file safe: its bytes, what lies beside it, its name. `fd` is closed."""
        if fd is not None:
            try:
                if self._durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
        if meta is not None:  # a second copy of what the catalog keeps durably, so it is not waited for
            beside = os.open(path + ".json", _NEW_FILE, 0o600)
            try:
                write_all(beside, _meta_text(meta))
            finally:
                os.close(beside)
        self._sync_up(os.path.dirname(path))

    def write_meta(self, folder: str, meta: BodyMeta) -> None:
        """Write, or replace, what lies in a multipart object's directory."""
        self._replace(folder + _META, _meta_text(meta), False)

    def write_manifest(self, folder: str, parts: Sequence[tuple[str, int]]) -> None:
        """Name the files (name, size) that are a multipart object, in their order."""
        self._replace(folder + _MANIFEST, _text({"parts": parts}), self._durable)

    def describe(self, path: str, meta: BodyMeta) -> None:
        """Replace what lies beside a body or in a multipart object's directory."""
        beside = path + _META if path.endswith("/") else path + ".json"
        self._replace(beside, _meta_text(meta), False)
        if not _is_there(path):  # removed meanwhile, the body first
            os.unlink(beside)
            raise FileNotFoundError(path)

    def remove(self, path: str) -> None:
        """Remove a body and what lies beside it; fine if they are not there."""
        for name in (path, path + ".json"):
            try:
                os.unlink(name)
            except FileNotFoundError:
                pass
        self._remove_empty(os.path.dirname(path))

    def remove_tree(self, path: str) -> None:
        """Remove a multipart object with all its parts; fine if it is not there."""
        while _is_there(path):
            try:
                shutil.rmtree(path)
            except FileNotFoundError:  # somebody else removes it, too
                continue
        self._remove_empty(os.path.dirname(path.rstrip("/")))

    def move_aside(self, path: str, aside: str) -> None:
        """Give a multipart object the name `aside`, where its readers find it and nobody else looks.

        Fine if it is not there: it was moved before.
        """
        while _is_there(path):
            os.makedirs(self._leaving, mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # whoever removed what was aside took the directory along
                os.rename(path, aside)

    def link(self, source: str, target: str) -> bool:
        """Give a file a second name; False where that cannot be."""
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

    def _make_folders(self, folder: str) -> None:
        """Make a directory and those above it; where somebody removes one meanwhile, the caller tries again.

        `finish` makes them safe, as it must anyway: whoever finds one may be done before the one who has made it.
        """
        missing = [folder]
        while not os.path.isdir(parent := os.path.dirname(missing[-1])):
            missing.append(parent)
        for path in reversed(missing):
            self._safe.discard(path)
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, 0o700)
                    if self._group_read:
                        os.chmod(path, 0o700 | _GROUP_ENTERS)
            except FileNotFoundError:
                return

    def _sync_up(self, folder: str) -> None:
        """Make the names in a directory safe, and its own, and those of the directories above it."""
        if not self._durable:
            return
        self._sync_folder(folder)
        unknown: list[str] = []
        while len(folder) > len(self._root) and folder not in self._safe:
            unknown.append(folder)
            folder = os.path.dirname(folder)
            self._sync_folder(folder)
        if len(self._safe) + len(unknown) > _MOST_KNOWN:
            self._safe.clear()
        self._safe.update(unknown)

    def _sync_folder(self, folder: str) -> None:
        if not self._durable:
            return
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _replace(self, path: str, data: bytes, durable: bool) -> None:
        """Write a small file whole, in place of the one that is there."""
        fresh = f"{path}~{secrets.token_hex(4)}"
        fd = os.open(fresh, _NEW_FILE, 0o600)
        try:
            try:
                write_all(fd, data)
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

    def _remove_empty(self, folder: str) -> None:
        """Remove directories that have become empty, up to the root."""
        while len(folder) > len(self._root):
            self._safe.discard(folder)  # before it is gone: who makes it anew must not believe in it
            try:
                os.rmdir(folder)
            except FileNotFoundError:  # never made, or removed by somebody else: those above it may be empty
                pass
            except OSError:
                return
            folder = os.path.dirname(folder)


def _is_there(path: str) -> bool:
    """Raises OSError where nobody can tell, which os.path.exists takes for gone."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def copy_range(region: FileRegion, fd: int) -> int:
    """Copy a region to the end of a file, within the kernel where the file system can; gives the bytes copied."""
    try:
        copied = os.copy_file_range(region.fd, fd, region.size, region.offset)
    except OSError:
        data = os.pread(region.fd, min(region.size, 1 << 20), region.offset)
        write_all(fd, data)
        copied = len(data)
    if not copied:
        raise OSError("a body ended early")
    return copied


def _meta_text(meta: BodyMeta) -> bytes:
    return _text(
        {
            "bucket": meta.bucket,
            "key": meta.key,
            "uploader": meta.uploader,
            "write_id": meta.write_id,
            "etag": meta.etag,
            "headers": dict(meta.headers),
            "metadata": dict(meta.metadata),
            "tags": dict(meta.tags),
        }
    )


def _text(document: dict[str, Any]) -> bytes:
    return _encode(document).encode()
