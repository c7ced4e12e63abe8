"""Writing an object: begin an intent, take in the body, commit. Whoever dies on the way, it is all or nothing.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import S3Error
from gateway.objects.beside import Writing
from gateway.objects.bodies import Digests, IncomingBody, take_in
from gateway.objects.first_bytes import checked
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyMeta
from gateway.origin.errors import OutcomeUnknown
from gateway.policy.media_types import check_declared
from gateway.s3.checksums import ChecksumType
from gateway.s3.conditions import WriteCondition
from gateway.store.buckets import Bucket
from gateway.store.ledger import NO_LIMITS, Allowance
from gateway.store.records import Garbage, Intent, ObjectRecord, StoredChecksum

_log = logging.getLogger("anbar.objects")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is kept with an object: standard headers, user metadata without its prefix, tags."""

    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a write goes and whose the object will be.

    `only_of`: the uploader whose object may be replaced, and nobody else's; None: anybody's. `allowance`: the limits on
    what is stored there. `content_types`: what may be stored there, types and groups of them; empty: anything.
    """

    bucket: Bucket
    key: str
    uploader: str
    only_of: str | None = None
    allowance: Allowance = NO_LIMITS
    content_types: tuple[str, ...] = ()


async def put_object(
    rooms: Rooms, target: Target, body: IncomingBody, attributes: Attributes, condition: WriteCondition | None
) -> ObjectRecord:
    """Store an object, in place of the one that is there.

    Raises S3Error: NoSuchBucket, AccessDenied (the object there is somebody else's), PreconditionFailed,
    QuotaExceeded and InvalidRequest (a content type that is not stored there: both before the body is read), what the
    body raises, ServiceUnavailable, SlowDown.
    """
    if target.content_types:
        check_declared(target.content_types, attributes.headers.get("content-type", ""))
        body = checked(body, target.content_types, attributes.headers)
    intent = new_intent(rooms, "put", target, body.size)
    writing = Writing(rooms, await begin(rooms, intent, condition, target.only_of, target.allowance))
    try:
        digests = await take_in(rooms, writing, body, body_meta(intent, attributes))
        record = _record(rooms, target, writing.intent, attributes, digests)
        replaced = await rooms.store.catalog.commit(
            target.bucket, writing.intent, record, condition, only_of=target.only_of, allowance=target.allowance
        )
    except BaseException as error:
        await rooms.background.finish(undo(rooms, writing.intent, error), "undo")
        raise
    rooms.collector.notice(replaced)
    return record


def new_intent(rooms: Rooms, kind: str, target: Target, size: int) -> Intent:
    """An intent with the location its body will have, unless it gets the key's own."""
    bucket = target.bucket
    intent_id = rooms.new_id()
    origin, place = rooms.origin(bucket.origin), (bucket.origin_bucket, bucket.origin_prefix + target.key)
    return Intent(
        intent_id,
        kind,
        bucket.bucket,
        target.key,
        target.uploader,
        size,
        bucket.origin,
        origin.locate(*place, intent_id),
        rooms.now_s(),
        project=bucket.project,
        category=bucket.category,
        own_location=origin.own_location(*place),
    )


async def begin(
    rooms: Rooms,
    intent: Intent,
    condition: WriteCondition | None,
    only_of: str | None = None,
    allowance: Allowance = NO_LIMITS,
) -> Intent:
    """Record a write, and give it with the location that its body will have.

    Where that fails nothing is recorded, and a waiter that is cancelled leaves nothing either.
    """
    try:
        return await rooms.store.catalog.begin(intent, condition, only_of, allowance)
    except asyncio.CancelledError:
        await rooms.background.finish(undo(rooms, intent), "undo")
        raise


async def undo(rooms: Rooms, intent: Intent, error: BaseException | None = None) -> None:
    """End a write that failed and remove what it left; one that never began, or was committed after all, is left alone.

    `error` is why it failed: where that leaves the end open, what the write may still do is undone again later. Where
    the store cannot take it now, the sweeper does it.
    """
    until_s = 0
    if error is not None and is_open_end(error):
        settle_s = rooms.origin(intent.origin).settle_s
        until_s = rooms.now_s() + settle_s if settle_s else 0
    try:
        garbage: Garbage | None = await rooms.store.catalog.release(intent, until_s)
        rooms.unfinished.pop(intent.intent_id, None)
        if garbage is not None:
            await rooms.collector.collect([garbage])
    except S3Error as error:
        _log.warning("a failed write is undone later: %s", error)
        rooms.unfinished[intent.intent_id] = intent


def is_open_end(error: BaseException) -> bool:
    """Does nobody know whether the origin has done, or will do, what it was asked? So with whoever was interrupted."""
    causes = (error, error.__cause__)
    return any(isinstance(each, OutcomeUnknown | asyncio.CancelledError) for each in causes)


def body_meta(intent: Intent, attributes: Attributes, etag: str = "") -> BodyMeta:
    """What the origin keeps beside the body; `etag` where it is known before the body is written."""
    return BodyMeta(
        bucket=intent.bucket,
        key=intent.key,
        uploader=intent.uploader,
        write_id=intent.intent_id,
        etag=etag,
        headers=attributes.headers,
        metadata=attributes.metadata,
        tags=attributes.tags,
    )


def _record(rooms: Rooms, target: Target, intent: Intent, attributes: Attributes, digests: Digests) -> ObjectRecord:
    return ObjectRecord(
        bucket=target.bucket.bucket,
        key=target.key,
        uploader=target.uploader,
        size=digests.size,
        etag=digests.etag,
        modified_s=rooms.now_s(),
        origin=intent.origin,
        location=intent.location,
        origin_etag=digests.origin_etag,
        checksum=StoredChecksum(
            digests.checksum.algorithm.value, ChecksumType.FULL_OBJECT.value, digests.checksum.value
        ),
        headers=attributes.headers,
        metadata=attributes.metadata,
        tags=attributes.tags,
        write_id=intent.intent_id,
    )
