"""A directory for what is not whole yet: gone at the end, whatever happens, or with the next one of its kind.

Its maker holds a lock on it, so one whose maker was killed is told from one that is being filled. All of it blocks.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A new directory of its owner's alone, `parent/prefix…`; those that killed makers have left are removed first.

    Raises OSError.
    """
    remove_left(parent, prefix)
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    os.mkdir(folder, 0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_left(parent: Path, prefix: str) -> None:
    """Remove the directories of this kind that nobody is filling any more; raises OSError."""
    for name in os.listdir(parent):
        if name.startswith(prefix):
            _remove_if_left(parent / name)


def _remove_if_left(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # gone meanwhile, or none of ours
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a directory safe; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
