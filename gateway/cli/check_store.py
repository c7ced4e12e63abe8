"""Of `anbar doctor`: the store and the key ring, and whether they belong to each other and to the policies."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.check_disk import check_directory
from gateway.cli.finding import Finding, Level
from gateway.cli.installation import Installation
from gateway.config import Settings, is_missing

if TYPE_CHECKING:
    from gateway.store.buckets import Bucket
    from gateway.store.database import Database
    from gateway.store.key_ring import KeyRing
    from gateway.store.revisions import Revisions

_MOST_NAMED_KEYS = 3


@dataclass(frozen=True, slots=True)
class StoreContents:
    """What a store was found to hold; `mistakes` are those of the key ring, a line each.

    `origin_mistake`: an origin is not the place that the store knows. `in_force` is the latest revision and its files.
    """

    buckets: tuple["Bucket", ...]
    mistakes: tuple[str, ...]
    origin_mistake: str | None
    in_force: tuple[int, dict[str, str]] | None


def check_store(installation: Installation) -> Iterator[Finding]:
    """Read the whole store for damage, and its schema; a store that is not there is made by `serve`."""
    from gateway.errors import S3Error
    from gateway.store.database import StoreError

    settings = installation.settings
    path = settings.store.path
    ring, about_ring = load_ring(settings)
    if is_missing(path):
        yield about_ring
        yield check_directory("store", path.parent, f"{path} is not there yet; it is made at the first start")
        return
    try:
        found = asyncio.run(_read(settings, ring))
    except (StoreError, S3Error) as error:
        yield about_ring
        yield Finding(Level.FAIL, "store", str(error))
        return
    yield from [Finding(Level.FAIL, "key ring", mistake) for mistake in found.mistakes] or [about_ring]
    yield Finding(Level.OK, "store", f"{path}, undamaged, schema up to date, {path.stat().st_size:,} bytes")
    if found.origin_mistake is not None:
        yield Finding(Level.FAIL, "origins", found.origin_mistake)
    yield from check_policies(installation, found.in_force)
    yield from check_buckets(installation, found.buckets)


def check_policies(installation: Installation, in_force: tuple[int, dict[str, str]] | None) -> Iterator[Finding]:
    """Are the files what the gateway goes by? Before its first start nothing is in force."""
    if in_force is None:
        return
    revision, texts = in_force
    if texts == installation.texts:
        yield Finding(Level.OK, "policies", f"revision {revision} is in force, and the files say the same")
    else:
        yield Finding(Level.NOTE, "policies", f"revision {revision} is in force; the files differ: anbar policy plan")


def load_ring(settings: Settings) -> tuple["KeyRing | None", Finding]:
    from gateway.store.key_ring import KeyRingError, load_key_ring

    try:
        ring = load_key_ring(settings)
    except KeyRingError as error:
        return None, Finding(Level.FAIL, "key ring", str(error))
    prints = ", ".join(f"{key_id} {fingerprint[:16]}…" for key_id, fingerprint in ring.fingerprints().items())
    return ring, Finding(Level.OK, "key ring", f"{settings.secrets.key_ring}, mode 0600, {prints}")


def check_buckets(installation: Installation, buckets: tuple["Bucket", ...]) -> Iterator[Finding]:
    """The buckets that policies or gateway.toml have left behind: the others are served all the same."""
    from gateway.startup import left_buckets

    for bucket, what in left_buckets(buckets, installation.policies, installation.settings.origins):
        yield Finding(Level.NOTE, f"bucket {bucket}", what)


async def _read(settings: Settings, ring: "KeyRing | None") -> StoreContents:
    """Raises StoreError, S3Error."""
    from gateway.store.buckets import Buckets
    from gateway.store.database import Database
    from gateway.store.revisions import Revisions

    database = await Database.open(settings.store.path, check=True)
    try:
        buckets = Buckets(database)
        await buckets.load()
        mistakes = () if ring is None else await _ring_mistakes(settings, database, ring)
        in_force = await _in_force(Revisions(database, buckets))
        return StoreContents(tuple(buckets.all()), mistakes, await _origin_mistake(settings, database), in_force)
    finally:
        await database.close()


async def _in_force(revisions: "Revisions") -> tuple[int, dict[str, str]] | None:
    latest = await revisions.latest_number()
    return None if latest is None else (latest, await revisions.texts(latest))


async def _origin_mistake(settings: Settings, database: "Database") -> str | None:
    from gateway.objects.places import confirm_origins
    from gateway.origin.errors import OriginError

    try:
        await confirm_origins(database, settings.roots)
    except OriginError as error:
        return str(error)
    return None


async def _ring_mistakes(settings: Settings, database: "Database", ring: "KeyRing") -> tuple[str, ...]:
    from gateway.store.access_keys import AccessKeys

    keys = AccessKeys(database, ring)
    by_reason: dict[str, list[str]] = {}
    for access_key_id, reason in (await keys.unopened()).items():
        by_reason.setdefault(reason, []).append(access_key_id)
    return (
        *(await keys.seals()).mistakes(settings.secrets.key_ring),
        *(f"it does not open {_some(ids)}: {reason}" for reason, ids in by_reason.items()),
    )


def _some(access_key_ids: list[str]) -> str:
    named = ", ".join(access_key_ids[:_MOST_NAMED_KEYS])
    more = len(access_key_ids) - _MOST_NAMED_KEYS
    return f"{named} and {more} more" if more > 0 else named
