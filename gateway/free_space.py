"""The room that is left where the gateway's own files grow."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gateway.config import Settings
from gateway.toml_fields import GIB, MIB

LEAST_BYTES: Final = 256 * MIB
"""With less of it writes are about to fail."""


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def free_space(settings: Settings, free_bytes: Callable[[Path], int] = _free_bytes) -> Iterator[tuple[Path, int]]:
    """A directory on each file system that grows, and the bytes that are free there."""
    seen = set()
    for path in (settings.store.path.parent, *filter(None, settings.roots.values())):
        existing = nearest_existing(path)
        device = existing.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield existing, free_bytes(existing)


def render_free(directory: Path, free: int) -> str:
    return f"{free / GIB:,.1f} GiB at {directory}"


def nearly_full(settings: Settings) -> Iterator[str]:
    """A line for each file system on which there is hardly any room; what lies there can be read, and removed."""
    for directory, free in free_space(settings):
        if free < LEAST_BYTES:
            yield f"hardly any free space: {render_free(directory, free)}"


def nearest_existing(directory: Path) -> Path:
    """It, or the directory above it that is there."""
    return next(folder for folder in (directory, *directory.parents) if os.path.exists(folder))
