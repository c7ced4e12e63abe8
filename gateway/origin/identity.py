"""A directory origin's identity: a small file in its root that a swapped, empty or unmounted directory does not have.

`.anbar-origin` holds 32 hex digits. No part of a body's path begins with a dot, so it is in nobody's way. All of it
blocks.
"""

import os
import re
import secrets
from pathlib import Path

IDENTITY_FILE = ".anbar-origin"
_IDENTITY = re.compile(r"[0-9a-f]{32}\n?")


def read_identity(root: Path) -> str | None:
    """The identity of a directory; None where it has none. Raises OSError, ValueError (a file that is not ours)."""
    try:
        text = (root / IDENTITY_FILE).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    if not _IDENTITY.fullmatch(text):
        raise ValueError(f"{root / IDENTITY_FILE} is damaged")
    return text.strip()


def make_identity(root: Path) -> str:
    """Give a directory an identity, safely on disk; one that it has already stays. Raises OSError, ValueError."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = read_identity(root)
    if known is not None:
        return known
    identity = secrets.token_hex(16)
    fresh = root / f"{IDENTITY_FILE}~{identity[:8]}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{identity}\n".encode("ascii"))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(fresh, root / IDENTITY_FILE)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return identity
