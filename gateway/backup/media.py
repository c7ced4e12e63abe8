"""Bodies of a directory origin, kept for a backup while the gateway goes on removing them. All of it blocks.

A body that is kept gets a second name (a hard link) in a scratch directory of the origin's own root, so that it
outlives its removal and costs no bytes; where the file system has no links, it is copied. From there it goes into the
backup: by rename on the same file system, else by copying. Bodies are never changed in place, so both are whole.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from gateway.backup.manifest import open_new, open_plain
from gateway.origin.disk import load_manifest
from gateway.origin.errors import OriginError
from gateway.origin.measure import measure_body

KEPT = ".anbar-backup-"  # no segment of a body's path begins with a dot
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES)
_MANIFEST = "manifest.json"
_DESCRIPTIONS = (".json", "meta.json")
_SLICE = 1 << 30


class KeptBodies:
    """The bodies of one origin that are kept in `folder`, by their locations."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder

    def keep(self, location: str) -> bool:
        """Keep a body; False where it is not there, nor kept already. Raises OSError."""
        if os.path.lexists(f"{self._folder}/{location}{_MANIFEST if location.endswith('/') else ''}"):
            return True
        try:
            _each_file(f"{self._root}/{location}", f"{self._folder}/{location}", _give_name)
        except (FileNotFoundError, NotADirectoryError, OriginError):
            return False
        return True

    def size(self, location: str) -> int | None:
        """How large a kept body is; None where that cannot be told."""
        try:
            return measure_body(self._folder, location)
        except OriginError:
            return None

    def hand_over(self, location: str, into: Path) -> None:
        """Move a body that is kept into a backup, unless it is there; raises OSError, OriginError."""
        _each_file(f"{self._folder}/{location}", f"{into}/{location}", _move)


def copy_file(source: str, target: str) -> None:
    """Copy a file to a new one, within the kernel where the file system can; raises OSError."""
    with open_plain(Path(source)) as file, open_new(Path(target)) as out:
        try:
            while os.copy_file_range(file.fileno(), out.fileno(), _SLICE):
                pass
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            file.seek(out.seek(0, os.SEEK_END))
            while block := file.read(1 << 20):
                out.write(block)


def _each_file(source: str, target: str, work: Callable[[str, str], None]) -> None:
    """Do it for each file of a body: first its description, which may be missing, last what makes it whole."""
    for name in _files(source):
        try:
            work(source + name, target + name)
        except FileNotFoundError:
            if name not in _DESCRIPTIONS:
                raise


def _files(path: str) -> list[str]:
    """What is to be appended to a body's path to have its files."""
    if not path.endswith("/"):
        return [".json", ""]
    return ["meta.json", *load_manifest(path).names, _MANIFEST]


def _give_name(source: str, target: str) -> None:
    """A second name for a file, or a copy of it; fine if the name is there already."""
    if os.path.lexists(target):  # a part that was kept before its object was made of it
        return
    try:
        _in_folder(target, source, lambda: os.link(source, target, follow_symlinks=False))
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _in_folder(target, source, lambda: copy_file(source, target))


def _move(source: str, target: str) -> None:
    if os.path.lexists(target) and not os.path.lexists(source):  # with the object that it is a part of
        return
    try:
        _in_folder(target, source, lambda: os.rename(source, target))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _in_folder(target, source, lambda: copy_file(source, target))


def _in_folder(target: str, source: str, work: Callable[[], None]) -> None:
    """Do it, after the target's folder was made where it is missing; FileNotFoundError: the source is."""
    try:
        work()
    except FileNotFoundError:
        if not os.path.lexists(source):
            raise
        make_folders(Path(target).parent)
        work()


def make_folders(folder: Path) -> None:
    """Make a directory and those above it, for their owner alone."""
    if not folder.is_dir():
        make_folders(folder.parent)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
