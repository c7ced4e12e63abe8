"""Is a backup whole: every file as the manifest says, the store undamaged, every body that it names there? Blocks."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gateway.backup.manifest import MEDIA, STORE, BackupError, Manifest, describe_file, read_manifest
from gateway.origin.errors import OriginError
from gateway.origin.measure import measure_body
from gateway.store.database import StoreError
from gateway.store.snapshot import Snapshot

_MOST_TOLD = 20


def verify_backup(root: Path, told: Callable[[str], None]) -> Manifest:
    """Read all of a backup; raises BackupError with what is wrong with it."""
    manifest = read_manifest(root)
    mistakes, size = [], 0
    for file in manifest.files:
        try:
            found = describe_file(root, file.path)
        except OSError as error:
            mistakes.append(f"{root / file.path}: {error.strerror}")
            continue
        if found != file:
            mistakes.append(f"{root / file.path} is damaged: it is not what was backed up")
        size += found.size
        told(f"{size >> 20:,} MiB read")
    if not mistakes:
        mistakes = check_store(root / STORE, root / MEDIA, manifest)
    if mistakes:
        more = len(mistakes) - _MOST_TOLD
        raise BackupError("\n".join(mistakes[:_MOST_TOLD] + ([f"and {more} more"] if more > 0 else [])))
    return manifest


def check_store(store: Path, media: Path, manifest: Manifest) -> list[str]:
    """What is wrong with the store of a backup, and with the bodies that it names below `media`."""
    contents = manifest.contents
    lost = {(each.origin, each.location) for each in contents.lost}
    try:
        with closing(Snapshot.open_copy(store)) as copy:
            damage = copy.damage()
            if damage is not None:
                return [f"{store} is damaged: {damage}"]
            return [
                f"{media / body.origin / body.location} is not the body that the store names"
                for body in copy.bodies()
                if body.origin in contents.media and (body.origin, body.location) not in lost
                if _size(media / body.origin, body.location) != body.size
            ]
    except StoreError as error:
        return [str(error)]


def _size(root: Path, location: str) -> int | None:
    try:
        return measure_body(root, location)
    except OriginError:
        return None
