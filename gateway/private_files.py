"""Files with secrets: read only where nobody else may read or change them."""

import os
import stat
from pathlib import Path


class NotPrivate(Exception):
    """A file that is not its owner's alone, or is none; the text says what is to be done, without the path."""


def read_private(path: Path, most: int) -> bytes:
    """The first `most` bytes of a file, after its owner and mode were checked on the open descriptor. Blocks.

    Raises NotPrivate, OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotPrivate("not a regular file")
        if found.st_mode & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            raise NotPrivate(f"others may read or write it (mode {mode:04o}); run: chmod 600 {path}")
        if found.st_uid not in (os.geteuid(), 0):
            raise NotPrivate("it belongs to another user")
        return file.read(most)
