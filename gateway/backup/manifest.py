"""The manifest of a backup: what it is, and the size and SHA-256 of each file in it. Written last, it makes it whole.

One JSON document a line. The first says what was backed up, each further one is a file, and the last counts them and
has the SHA-256 of all lines before it, so that a manifest that was cut off or changed is not taken for one.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any

NAME = "MANIFEST"
FORMAT = 1
CONFIG = "gateway.toml"
STORE = "anbar.sqlite"
KEY_RING = "key_ring"
POLICIES = "policies"
MEDIA = "media"
_BLOCK = 1 << 20


class BackupError(Exception):
    """A backup that is not taken, or not to be used; the text says why, one line a reason."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An object, or an upload's part, whose body the origin did not have any more, or not as long as it must be."""

    bucket: str
    key: str
    origin: str
    location: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup is of. `media`: the origins whose bodies are in it."""

    anbar: str
    taken: str
    schema: int
    key_ring: bool
    media: tuple[str, ...]
    bodies: int
    lost: tuple[Lost, ...]


@dataclass(frozen=True, slots=True)
class BackedUpFile:
    """A file of a backup; `path` is relative to it, with "/" between names."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    contents: Contents
    files: tuple[BackedUpFile, ...]

    def below(self, folder: str) -> Iterator[BackedUpFile]:
        return (file for file in self.files if file.path.startswith(f"{folder}/"))

    def file(self, path: str) -> BackedUpFile | None:
        return next((file for file in self.files if file.path == path), None)


def write_manifest(root: Path, contents: Contents, files: Iterable[BackedUpFile]) -> None:
    """Write the manifest of a tree that has none yet; raises OSError."""
    digest, count = hashlib.sha256(), 0
    with open_new(root / NAME) as out:

        def line(document: dict[str, Any]) -> None:
            text = f"{json.dumps(document, separators=(',', ':'))}\n".encode("ascii")
            digest.update(text)
            out.write(text)

        line({"format": FORMAT, **asdict(contents)})
        for file in files:
            line(asdict(file))
            count += 1
        line({"files": count, "sha256": digest.hexdigest()})
        out.flush()
        os.fsync(out.fileno())


def read_manifest(root: Path) -> Manifest:
    """Raises BackupError: there is none, it was cut off or changed, or a newer version wrote it."""
    try:
        with open_plain(root / NAME) as file:
            data = file.read()
    except OSError as error:
        raise BackupError(f"{root} is not a whole backup: {NAME}: {error.strerror}") from None
    lines = data.splitlines(keepends=True)
    try:
        head, end = json.loads(lines[0]), json.loads(lines[-1])
        if head["format"] != FORMAT:
            raise BackupError(f"{root / NAME} has format {head['format']}, this program knows {FORMAT}")
        digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
        if end != {"files": len(lines) - 2, "sha256": digest} or not data.endswith(b"\n"):
            raise ValueError
        return Manifest(_contents(head), tuple(_file(json.loads(line)) for line in lines[1:-1]))
    except (ValueError, KeyError, IndexError, TypeError):
        raise BackupError(f"{root / NAME} is damaged: it was cut off or changed") from None


def _contents(head: dict[str, Any]) -> Contents:
    return Contents(
        anbar=str(head["anbar"]),
        taken=str(head["taken"]),
        schema=int(head["schema"]),
        key_ring=bool(head["key_ring"]),
        media=tuple(head["media"]),
        bodies=int(head["bodies"]),
        lost=tuple(Lost(**each) for each in head["lost"]),
    )


def _file(document: dict[str, Any]) -> BackedUpFile:
    """Raises ValueError: a path that leads elsewhere."""
    found = BackedUpFile(**document)
    names = found.path.split("/")
    if any(name in ("", ".", "..") for name in names) or "\0" in found.path:
        raise ValueError(found.path)
    return found


def describe_file(root: Path, path: str) -> BackedUpFile:
    """Read a file and say what it holds; raises OSError."""
    with open_plain(root / path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return BackedUpFile(path, file.tell(), digest.hexdigest())


def copy_checked(root: Path, file: BackedUpFile, target: Path) -> None:
    """Copy a file of a backup to a new one, safely on disk.

    Raises BackupError where it is not what the manifest says, OSError.
    """
    digest, size = hashlib.sha256(), 0
    with open_backed_up(root, file) as source, open_new(target) as out:
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if (size, digest.hexdigest()) != (file.size, file.sha256):
        raise BackupError(f"{root / file.path} is damaged: it is not what was backed up")


def open_backed_up(root: Path, file: BackedUpFile) -> BufferedReader:
    """Raises BackupError."""
    try:
        return open_plain(root / file.path)
    except OSError as error:
        raise BackupError(f"{root / file.path}: {error.strerror}") from None


def open_plain(path: Path) -> BufferedReader:
    """Open a regular file, not through a symbolic link; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file", str(path))
    return open(descriptor, "rb")


def open_new(path: Path) -> BufferedWriter:
    """Make a file of its owner's alone; raises OSError where something is there."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb")
