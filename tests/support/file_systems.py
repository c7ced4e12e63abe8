"""Directories on more than one file system, which every machine has."""

from pathlib import Path

_ANYWHERE = ("/dev/shm", "/run/lock", "/var/tmp", "/tmp", ".")


def another_file_system(than: Path) -> Path:
    """A directory that can be written, on another file system than this path's. Raises FileNotFoundError."""
    for place in map(Path, _ANYWHERE):
        if place.is_dir() and place.stat().st_dev != than.stat().st_dev:
            return place.absolute()
    raise FileNotFoundError("there is only one file system; mount a tmpfs at /dev/shm")
