"""Of `anbar doctor`: can the directories be written to, and is there room?"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.cli.finding import Finding, Level
from gateway.config import Settings
from gateway.free_space import LEAST_BYTES, free_space, nearest_existing, render_free
from gateway.origin_settings import DirectoryOriginSettings
from gateway.toml_fields import GIB

LITTLE_FREE_BYTES = 5 * GIB


def check_origin(name: str, origin: DirectoryOriginSettings) -> Finding:
    about = f"origin {name}"
    if not os.path.exists(origin.path):
        return check_directory(about, origin.path, f"{origin.path} is not there yet; it is made at the first start")
    finding = check_directory(about, origin.path, f"{origin.path} is writable and fsync works")
    if finding.level is Level.OK and not origin.durable:
        return Finding(Level.NOTE, about, "durable = false: a power cut can lose acknowledged objects")
    return finding


def check_directory(about: str, directory: Path, text: str) -> Finding:
    """Write and fsync a file in the directory, or in the nearest one that exists above it."""
    existing = nearest_existing(directory)
    try:
        _write_durably(existing / f".anbar-doctor-{secrets.token_hex(8)}")
    except OSError as error:
        return Finding(Level.FAIL, about, f"cannot write in {existing}: {error.strerror}")
    return Finding(Level.OK, about, text)


def check_space(settings: Settings, free_bytes: Callable[[Path], int] | None = None) -> Iterator[Finding]:
    """The room left on each file system that grows."""
    for directory, free in free_space(settings) if free_bytes is None else free_space(settings, free_bytes):
        level = Level.FAIL if free < LEAST_BYTES else Level.NOTE if free < LITTLE_FREE_BYTES else Level.OK
        yield Finding(level, "free space", render_free(directory, free))


def _write_durably(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"anbar")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        os.unlink(file)
