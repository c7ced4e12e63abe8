"""Of `anbar doctor`: can the directories be written to, and is there room?"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.cli.finding import Finding, Level
from gateway.config import Settings
from gateway.origin_settings import DirectoryOriginSettings
from gateway.toml_fields import GIB, MIB

LEAST_FREE_BYTES = 256 * MIB
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
    existing = _existing(directory)
    try:
        _write_durably(existing / f".anbar-doctor-{secrets.token_hex(8)}")
    except OSError as error:
        return Finding(Level.FAIL, about, f"cannot write in {existing}: {error.strerror}")
    return Finding(Level.OK, about, text)


def check_space(
    settings: Settings, free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
) -> Iterator[Finding]:
    """The room left on each file system that grows."""
    seen = set()
    for path in (settings.store.path.parent, *filter(None, settings.roots.values())):
        existing = _existing(path)
        device = existing.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = free_bytes(existing)
        level = Level.FAIL if free < LEAST_FREE_BYTES else Level.NOTE if free < LITTLE_FREE_BYTES else Level.OK
        yield Finding(level, "free space", f"{free / GIB:,.1f} GiB at {existing}")


def _existing(directory: Path) -> Path:
    return next(folder for folder in (directory, *directory.parents) if os.path.exists(folder))


def _write_durably(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"anbar")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        os.unlink(file)
