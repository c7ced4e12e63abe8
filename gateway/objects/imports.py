"""Moving in: objects of a bucket anywhere are stored here, each as any upload is, and verified on the way.

An object that is here already is passed over, so an import that was cut off can simply be run again; it also remembers
how far it had come. Nothing at the source is changed, and nothing that is here is replaced.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.errors import Code, S3Error
from gateway.objects.adopt import owner_of
from gateway.objects.bodies import Claims, IncomingBody
from gateway.objects.copy import read_all
from gateway.objects.put import Attributes, Target, put_object
from gateway.objects.rooms import Rooms
from gateway.origin.base import Origin
from gateway.origin.errors import OriginError
from gateway.origin.survey import ExaminedBody, LyingBody
from gateway.policy.end_users import ADOPTED
from gateway.s3.address import validate_key
from gateway.s3.conditions import WriteCondition
from gateway.s3.headers import DEFAULT_CONTENT_TYPE
from gateway.store.adopted import Progress
from gateway.store.buckets import Bucket
from gateway.store.ledger import NO_LIMITS, Allowance
from gateway.store.records import ObjectRecord

AT_ONCE = 4
_RESUMABLE_S = 7 * 86400
_MD5_ETAG = re.compile(r'"([0-9a-f]{32})"\Z')
_ABSENT = WriteCondition(if_none_match=True)

State = Literal["imported", "already here", "differs", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where objects come from: a bucket and the beginning of their keys, which they leave behind."""

    origin: str
    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Where they go, and whose they will be where the source does not say; the limits on what is stored there."""

    bucket: Bucket
    uploader: str = ADOPTED
    allowance: Allowance = NO_LIMITS
    content_types: tuple[str, ...] = ()
    max_object_size: int | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one object. `verified`: its bytes were held against an MD5, not only counted."""

    key: str
    state: State
    size: int = 0
    verified: bool = False
    why: str = ""


async def import_objects(
    rooms: Rooms, source: Source, destination: Destination, told: Callable[[int, int], None], *, dry_run: bool = False
) -> AsyncGenerator[Imported, None]:
    """What became of each object, as it is known; `told` hears how many were looked at, and how many bytes came.

    Raises OriginError: the source cannot be listed.
    """
    origin, bucket = rooms.origin(source.origin), destination.bucket.bucket
    task = f"import {source.origin} {source.bucket}/{source.prefix} → {bucket}"
    begun = Progress()
    if not dry_run:
        begun = await rooms.store.adoptions.progress(task, rooms.now_s() - _RESUMABLE_S)
    count, moved, whole = begun.count, 0, True
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(body: LyingBody) -> Imported:
        async with turns:
            return await _import(rooms, origin, source, destination, body, dry_run=dry_run)

    async for page in origin.survey.bodies(source.bucket, source.prefix, begun.cursor):
        tasks = [asyncio.ensure_future(one(body)) for body in page]
        try:
            for done in asyncio.as_completed(tasks):
                imported = await done
                count += 1
                moved += imported.size if imported.state == "imported" else 0
                whole = whole and imported.state not in ("refused", "failed")
                told(count, moved)
                yield imported
        finally:  # whoever breaks it off closes what they are stored with
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if whole and not dry_run:  # from what did not come on, all is looked at again
            await rooms.store.adoptions.note(task, Progress(page[-1].cursor, count), rooms.now_s())
    if not dry_run:
        await rooms.store.adoptions.note(task, None, rooms.now_s())


async def _import(
    rooms: Rooms, origin: Origin, source: Source, destination: Destination, body: LyingBody, *, dry_run: bool
) -> Imported:
    key = key_in(body, source.prefix)
    try:
        validate_key(key)
        found = await rooms.store.catalog.find(destination.bucket.bucket, key)
        if found is not None:
            same = found.size == body.size and await _is_here(origin, body, found)
            return Imported(key, "already here" if same else "differs", found.size)
        if dry_run:
            return Imported(key, "imported", body.size or 0)
        return await _store(rooms, origin, destination, body.location, key)
    except S3Error as error:
        return Imported(key, "refused", body.size or 0, why=error.message)
    except OriginError as error:
        return Imported(key, "failed", body.size or 0, why=str(error))


async def _is_here(origin: Origin, body: LyingBody, found: ObjectRecord) -> bool:
    """Has an object that is here, of the same size, the bytes of the source's? Without an MD5 there, they are read."""
    if body.etag in (None, found.etag, found.origin_etag):
        return True
    examined = await origin.survey.examine(body.location)
    if examined is None or _md5_of(examined) is not None:
        return False
    md5 = hashlib.md5(usedforsecurity=False)
    reader = await origin.open(body.location, examined.origin_etag, 0, examined.size) if examined.size else None
    try:
        async for piece in read_all(reader, 0, examined.size) if reader is not None else _nothing():
            md5.update(piece)
    finally:
        if reader is not None:
            reader.close()
    return found.etag == f'"{md5.hexdigest()}"'


async def _store(rooms: Rooms, origin: Origin, destination: Destination, location: str, key: str) -> Imported:
    examined = await origin.survey.examine(location)
    if examined is None:
        return Imported(key, "failed", why="it is gone from the source")
    if destination.max_object_size is not None and examined.size > destination.max_object_size:
        limit = destination.max_object_size
        raise S3Error(Code.EntityTooLarge, ProposedSize=examined.size, MaxSizeAllowed=limit)
    md5 = _md5_of(examined)
    attributes = Attributes(
        {"content-type": DEFAULT_CONTENT_TYPE, **examined.headers}, examined.metadata, examined.tags
    )
    owner = owner_of(examined)
    target = Target(
        destination.bucket,
        key,
        destination.uploader if owner == ADOPTED else owner,
        allowance=destination.allowance,
        content_types=destination.content_types,
    )
    reader = await origin.open(location, examined.origin_etag, 0, examined.size) if examined.size else None
    try:
        pieces = read_all(reader, 0, examined.size) if reader is not None else _nothing()
        await put_object(rooms, target, IncomingBody(examined.size, pieces, Claims(md5=md5)), attributes, _ABSENT)
    finally:
        if reader is not None:
            reader.close()
    return Imported(key, "imported", examined.size, verified=md5 is not None)


def key_in(body: LyingBody, prefix: str) -> str:
    """The key that an object gets: what its own has after the prefix; of one that is the prefix, its last segment."""
    return body.keys[-1] if body.keys and body.keys[-1] else prefix.rstrip("/").rpartition("/")[2]


def _md5_of(examined: ExaminedBody) -> bytes | None:
    """The MD5 that the source tells of a body, where its ETag looks like one and can be one."""
    if examined.keyed:
        return None
    found = _MD5_ETAG.match(examined.origin_etag or "")
    return bytes.fromhex(found[1]) if found else None


async def _nothing() -> AsyncIterator[bytes]:
    pieces: Sequence[bytes] = ()
    for piece in pieces:
        yield piece
