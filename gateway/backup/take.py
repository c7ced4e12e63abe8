"""Taking a backup while the gateway serves: the catalog of one moment, and every body that it names.

The order is what makes it so. First all bodies that the catalog names are kept (see media.py), which may take long, and
then those that came meanwhile. Then the store stands still for as long as it takes to keep the last few: whatever the
catalog names at that moment cannot have been removed yet, since a row goes before its body. That moment is the one
that is backed up; the store goes on while its copy is written. Where there are too many to find them in time, the rest
is kept while the store goes on, and only a body that was removed meanwhile makes all this happen once more. A body that
is not there although nobody commits was lost before, and is named in the manifest.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from gateway import __version__
from gateway.backup.manifest import (
    CONFIG,
    KEY_RING,
    MEDIA,
    POLICIES,
    STORE,
    BackedUpFile,
    BackupError,
    Contents,
    Lost,
    describe_file,
    open_new,
    write_manifest,
)
from gateway.backup.media import KEPT, KeptBodies, make_folders
from gateway.backup.scratch import scratch, sync_folder
from gateway.config import Settings, policy_files
from gateway.origin.errors import OriginError
from gateway.origin.identity import IDENTITY_FILE, read_identity
from gateway.private_files import NotPrivate, read_private
from gateway.store.database import StoreError
from gateway.store.snapshot import NamedBody, Snapshot, TimeIsUp

_STILL_S = 4.0  # writers wait ten seconds for the lock
_QUICK_S = 0.25
_MOST_PASSES = 8
_MOST_TRIES = 20
_CLOCK_SLACK_S = 60
_KEY_RING_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What goes into a backup beside the store, the rules and gateway.toml."""

    media: bool
    key_ring: bool


def take_backup(
    config: Path, settings: Settings, target: Path, wanted: Wanted, told: Callable[[str], None]
) -> Contents:
    """Make the directory `target`, whole or not at all; `told` hears what is being done.

    Raises BackupError.
    """
    if os.path.lexists(target):
        raise BackupError(f"{target} is there already; a backup never replaces one")
    try:
        with ExitStack() as stack:
            tree = stack.enter_context(scratch(target.parent, f".{target.name}.partial-"))
            contents = _fill(tree, config, settings, wanted, told)
            told("making it safe on disk")
            os.sync()  # also the names in all its directories
            if os.path.lexists(target):
                raise BackupError(f"{target} is there already; a backup never replaces one")
            os.rename(tree, target)
            sync_folder(target.parent)
            return contents
    except StoreError as error:
        raise BackupError(str(error)) from error
    except (OriginError, NotPrivate) as error:
        raise BackupError(str(error)) from error
    except OSError as error:
        raise BackupError(f"{error.filename or target}: {error.strerror}") from error


def _fill(tree: Path, config: Path, settings: Settings, wanted: Wanted, told: Callable[[str], None]) -> Contents:
    roots = {name: root for name, root in settings.roots.items() if root is not None and wanted.media}
    _copy_rules(tree, config, settings)
    if wanted.key_ring:
        _write(tree / KEY_RING, read_private(settings.secrets.key_ring, _KEY_RING_SIZE))
    with closing(Snapshot.open(settings.store.path)) as snapshot, ExitStack() as stack:
        kept = {
            name: KeptBodies(root, stack.enter_context(scratch(root, KEPT)))
            for name, root in roots.items()
            if _is_in_use(name, root, snapshot)
        }
        lost = _Bodies(snapshot, kept, told).keep_all()
        told("copying the store")
        snapshot.write(tree / STORE)
        bodies = _hand_over(snapshot, kept, lost, tree / MEDIA, told)
        for name in kept:
            make_folders(tree / MEDIA / name)
            _write(tree / MEDIA / name / IDENTITY_FILE, (roots[name] / IDENTITY_FILE).read_bytes())
        contents = Contents(
            anbar=__version__,
            taken=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            schema=snapshot.schema,
            key_ring=wanted.key_ring,
            media=tuple(kept),
            bodies=bodies,
            lost=tuple(lost),
        )
    write_manifest(tree, contents, _described(tree, told))
    return contents


def _is_in_use(name: str, root: Path, snapshot: Snapshot) -> bool:
    """Did a gateway ever serve from this directory? Raises BackupError: it is not the one that the store knows."""
    try:
        found = read_identity(root)
    except ValueError as error:
        raise BackupError(f"origin {name}: {error}") from None
    snapshot.look()
    known = snapshot.identities().get(name, found)
    if found != known:
        raise BackupError(f"origin {name}: {root} is not the directory that the store knows: is the disk mounted?")
    return found is not None


class _Bodies:
    """The bodies that the catalog names, being kept."""

    def __init__(self, snapshot: Snapshot, kept: Mapping[str, KeptBodies], told: Callable[[str], None]) -> None:
        self._snapshot = snapshot
        self._kept = kept
        self._told = told
        self._lost: dict[tuple[str, str], NamedBody] = {}

    def keep_all(self) -> list[Lost]:
        """Keep them all; the snapshot is of the moment when that was so. Gives those that were lost before.

        Raises BackupError, StoreError, OSError.
        """
        if not self._kept:
            self._snapshot.look()
            return []
        since_s = self._keep_most()
        suspects: list[NamedBody] = []
        for _ in range(_MOST_TRIES):
            self._told("waiting for the store to stand still")
            self._keep_the_rest(since_s, suspects)
            self._told("looking whether every body is kept")
            suspects = [body for body in self._named() if not self._keep(body) and not self._is_lost(body)]
            if not suspects:
                return self._told_lost()
        raise BackupError("too much is written for a backup that keeps the media: try again when there is less to do")

    def _keep_most(self) -> int:
        """Keep what there is, then what came meanwhile, until little comes; since when there may be more."""
        since_s, last_s = 0, 0
        for _ in range(_MOST_PASSES):
            since_s, last_s = last_s, int(time.time()) - _CLOCK_SLACK_S
            began_s = time.monotonic()
            self._snapshot.look()
            for count, body in enumerate(self._named(since_s)):
                self._keep(body)
                self._told(f"{count + 1:,} bodies kept")
            if time.monotonic() - began_s < _QUICK_S:
                break
        return last_s

    def _keep_the_rest(self, since_s: int, suspects: list[NamedBody]) -> None:
        """Look at the store while it stands still, and keep what it names, as far as there is time for that."""
        with self._snapshot.still(_STILL_S):
            self._told("keeping the last bodies")
            self._snapshot.look()
            until_s = time.monotonic() + _STILL_S
            with suppress(TimeIsUp):
                for body in chain(filter(self._snapshot.names, suspects), self._named(since_s)):
                    self._keep_or_lose(body)
                    if time.monotonic() > until_s:
                        return

    def _named(self, since_s: int = 0) -> Iterator[NamedBody]:
        return (body for body in self._snapshot.bodies(since_s) if body.origin in self._kept)

    def _keep(self, body: NamedBody) -> bool:
        return self._kept[body.origin].keep(body.location)

    def _keep_or_lose(self, body: NamedBody) -> None:
        """Nobody commits now: what is named and not there was lost before."""
        if not self._keep(body):
            self._lost[body.origin, body.location] = body

    def _is_lost(self, body: NamedBody) -> bool:
        return (body.origin, body.location) in self._lost

    def _told_lost(self) -> list[Lost]:
        """Those that the catalog still names, and the kept ones that are not as long as they must be."""
        return [
            Lost(body.bucket, body.key, body.origin, body.location)
            for body in self._named()
            if self._is_lost(body) or self._kept[body.origin].size(body.location) != body.size
        ]


def _hand_over(
    snapshot: Snapshot, kept: Mapping[str, KeptBodies], lost: list[Lost], media: Path, told: Callable[[str], None]
) -> int:
    """Move what the catalog of the backup names into it, and nothing else; gives how many bodies."""
    left, count = {(each.origin, each.location) for each in lost}, 0
    for body in snapshot.bodies():
        if body.origin in kept and (body.origin, body.location) not in left:
            kept[body.origin].hand_over(body.location, media / body.origin)
            count += 1
            told(f"{count:,} bodies backed up")
    return count


def _copy_rules(tree: Path, config: Path, settings: Settings) -> None:
    """gateway.toml and the policy folder, byte for byte."""
    _write(tree / CONFIG, config.read_bytes())
    make_folders(tree / POLICIES)
    for file in policy_files(settings.policies.path):
        _write(tree / POLICIES / file.name, file.read_bytes())


def _write(path: Path, data: bytes) -> None:
    with open_new(path) as file:
        file.write(data)


def _described(tree: Path, told: Callable[[str], None]) -> Iterator[BackedUpFile]:
    """Every file of the tree, read through."""
    size = 0
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(names):
            path = (Path(folder) / name).relative_to(tree).as_posix()
            if path != "MANIFEST":
                found = describe_file(tree, path)
                size += found.size
                told(f"{size >> 20:,} MiB read for their checksums")
                yield found
