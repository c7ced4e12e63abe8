"""Restoring a backup where nothing is: all is checked while it is copied, and put in place only when it is whole.

The store comes last: as long as it is not there, nothing serves from what is. Nothing is ever replaced; a file that is
there already with the same bytes, and a gateway.toml of any kind, stay as they are.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from gateway.backup.manifest import (
    CONFIG,
    KEY_RING,
    MEDIA,
    POLICIES,
    STORE,
    BackedUpFile,
    BackupError,
    Manifest,
    copy_checked,
    describe_file,
    read_manifest,
)
from gateway.backup.media import make_folders
from gateway.backup.scratch import remove_left, scratch, sync_folder
from gateway.config import ConfigError, Settings, load_settings, parse_settings, policy_files
from gateway.origin.disk import open_to_group
from gateway.origin.identity import IDENTITY_FILE
from gateway.origin_settings import DirectoryOriginSettings
from gateway.startup import StartError, only_server_of
from gateway.store.database import StoreError
from gateway.store.snapshot import Snapshot

_RESTORED = ".anbar-restore-"
_BESIDE_STORE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done: files that were made, files that were there already, and what the backup was of."""

    made: tuple[Path, ...]
    kept: tuple[Path, ...]
    settings: Settings
    manifest: Manifest


def restore_backup(root: Path, config: Path, *, media: bool, told: Callable[[str], None]) -> Restored:
    """Restore a backup as the installation of the file `config`. Raises BackupError."""
    manifest = read_manifest(root)
    settings = _settings(root, config, manifest)
    origins = _origins(settings, manifest) if media else {}
    try:
        make_folders(settings.store.path.parent)
        with only_server_of(settings.store.path):
            files = dict(_files(config, settings, manifest))
            kept = _require_free(root, settings, files, origins)
            with ExitStack() as stack:
                drafts = {
                    target: _draft(stack, root, file, target) for target, file in files.items() if target not in kept
                }
                _require_store(drafts[settings.store.path])
                trees = {target: _tree(stack, root, name, target, manifest, told) for name, target in origins.items()}
                for name, target in origins.items():
                    if _group_reads(settings, name):
                        open_to_group(trees[target])
                told("putting it in place")
                os.sync()  # also the names in all directories of bodies
                for target, tree in trees.items():
                    _move_in(tree, target)
                for target, draft in drafts.items():
                    _place(draft, target)
        return Restored((*trees, *drafts), tuple(kept), settings, manifest)
    except StartError as error:
        raise BackupError(f"{error}: stop it first") from None
    except OSError as error:
        raise BackupError(f"{error.filename or root}: {error.strerror}") from error


def _settings(root: Path, config: Path, manifest: Manifest) -> Settings:
    """The settings that are there, or those of the backup as they will be there."""
    try:
        if os.path.lexists(config):
            return load_settings(config)
        file = manifest.file(CONFIG)
        if file is None or describe_file(root, CONFIG) != file:
            raise BackupError(f"{root / CONFIG} is damaged: it is not what was backed up")
        return parse_settings((root / CONFIG).read_text(encoding="utf-8"), config)
    except ConfigError as error:
        raise BackupError(str(error)) from None
    except (OSError, UnicodeError) as error:
        raise BackupError(f"{root / CONFIG}: {error}") from None


def _origins(settings: Settings, manifest: Manifest) -> dict[str, Path]:
    """The directories that get bodies; raises BackupError where one is not configured."""
    found = {}
    for name in manifest.contents.media:
        root = settings.roots.get(name)
        if root is None:
            raise BackupError(f"the backup has the bodies of the origin {name}, which is no directory of the settings")
        found[name] = root
    return found


def _group_reads(settings: Settings, name: str) -> bool:
    origin = settings.origins[name]
    return isinstance(origin, DirectoryOriginSettings) and origin.group_read


def _files(config: Path, settings: Settings, manifest: Manifest) -> Iterator[tuple[Path, BackedUpFile]]:
    """Where each file goes but the bodies, in the order in which they are put there."""
    places = {CONFIG: config, KEY_RING: settings.secrets.key_ring, STORE: settings.store.path}
    for file in manifest.below(POLICIES):
        yield settings.policies.path / file.path.rpartition("/")[2], file
    for path, place in places.items():
        found = manifest.file(path)
        if found is not None:
            yield place, found
        elif path != KEY_RING:
            raise BackupError(f"the backup has no {path}")


def _require_free(
    root: Path, settings: Settings, files: dict[Path, BackedUpFile], origins: dict[str, Path]
) -> list[Path]:
    """What is there already and stays; raises BackupError, naming all that is in the way."""
    kept, in_the_way = [], []
    store = settings.store.path
    for target, file in files.items():
        if target == store or not os.path.lexists(target):
            continue
        if file.path == CONFIG or describe_file(target.parent, target.name).sha256 == file.sha256:
            kept.append(target)
        else:
            in_the_way.append(target)
    beside = [store.with_name(store.name + suffix) for suffix in _BESIDE_STORE]
    in_the_way += [path for path in beside if os.path.lexists(path)]
    if settings.policies.path.is_dir():  # together they would be other rules than those of the backup
        in_the_way += [path for path in policy_files(settings.policies.path) if path not in files]
    for path in origins.values():
        if path.is_dir():
            remove_left(path, _RESTORED)
    in_the_way += [path for path in origins.values() if os.path.lexists(path) and any(path.iterdir())]
    if in_the_way:
        raise BackupError("\n".join(f"{path} is in the way: a restore replaces nothing" for path in in_the_way))
    return kept


def _draft(stack: ExitStack, root: Path, file: BackedUpFile, target: Path) -> Path:
    """A file of the backup in a scratch directory beside its place."""
    make_folders(target.parent)
    draft = stack.enter_context(scratch(target.parent, f"{_RESTORED}{target.name}-")) / target.name
    copy_checked(root, file, draft)
    return draft


def _require_store(draft: Path) -> None:
    try:
        with closing(Snapshot.open_copy(draft)) as copy:
            damage = copy.damage()
    except StoreError as error:
        raise BackupError(str(error)) from None
    if damage is not None:
        raise BackupError(f"the store of the backup is damaged: {damage}")


def _tree(
    stack: ExitStack, root: Path, name: str, target: Path, manifest: Manifest, told: Callable[[str], None]
) -> Path:
    """The bodies of an origin in a scratch directory within its own, which may be a mount point."""
    make_folders(target)
    tree, size = stack.enter_context(scratch(target, _RESTORED)), 0
    above = f"{MEDIA}/{name}"
    for file in manifest.below(above):
        place = tree / file.path.removeprefix(f"{above}/")
        make_folders(place.parent)
        copy_checked(root, file, place)
        size += file.size
        told(f"{size >> 20:,} MiB of {name} restored")
    return tree


def _move_in(tree: Path, target: Path) -> None:
    """The directory's identity comes last: without it, it is not the origin that the store knows."""
    for name in sorted(os.listdir(tree), key=lambda name: name == IDENTITY_FILE):
        os.rename(tree / name, target / name)
    sync_folder(target)


def _place(draft: Path, target: Path) -> None:
    """Give a file its name; a link never replaces one that is there."""
    os.link(draft, target)
    sync_folder(target.parent)
