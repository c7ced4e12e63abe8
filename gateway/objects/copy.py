"""Copying inside the gateway: the origin makes a second body of the same bytes, the catalog a second row.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from gateway.errors import Code, S3Error
from gateway.objects.beside import Writing
from gateway.objects.bodies import BLOCK, IncomingBody, origin_failed, take_in
from gateway.objects.current import MayRead, open_body, successor
from gateway.objects.first_bytes import check_stored
from gateway.objects.put import Attributes, Target, begin, body_meta, new_intent, undo
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyReader
from gateway.origin.errors import BodyChanged, BodyNotFound, OriginError
from gateway.policy.media_types import check_declared
from gateway.s3.checksums import Algorithm, BodyHasher, ChecksumType
from gateway.s3.conditions import Conditions, WriteCondition, check_copy
from gateway.store.records import ObjectPart, ObjectRecord, StoredChecksum

_TRIES = 4


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """What a copy is asked to be. `attributes` are the copy's, given the source's row (COPY or REPLACE).

    `max_size`: bytes of the largest object that the target takes; None: any.
    """

    target: Target
    attributes: Callable[[ObjectRecord], Attributes]
    algorithm: Algorithm | None = None
    source_conditions: Conditions = field(default_factory=Conditions)
    condition: WriteCondition | None = None
    may_read: MayRead | None = None
    max_size: int | None = None


async def copy_object(rooms: Rooms, source: ObjectRecord, request: CopyRequest) -> ObjectRecord:
    """Make the target an object with the bytes of `source`, or of what replaced it meanwhile.

    Raises S3Error: PreconditionFailed, NoSuchKey (the source went away), NoSuchBucket, ServiceUnavailable,
    EntityTooLarge, InvalidRequest (a content type that is not stored there).
    """
    for _ in range(_TRIES):
        check_copy(request.source_conditions, source.etag, source.modified_s)
        _check_size(source, request.max_size)
        try:
            return await _copy_once(rooms, source, request)
        except (BodyNotFound, BodyChanged) as error:
            source = await successor(rooms, source, request.may_read, error)
        except OriginError as error:
            raise origin_failed(error, source.origin) from error
    raise S3Error(Code.ServiceUnavailable)


def _check_size(source: ObjectRecord, largest: int | None) -> None:
    if largest is not None and source.size > largest:
        raise S3Error(Code.EntityTooLarge, ProposedSize=source.size, MaxSizeAllowed=largest)


async def _copy_once(rooms: Rooms, source: ObjectRecord, request: CopyRequest) -> ObjectRecord:
    target, attributes = request.target, request.attributes(source)
    await _check_type(rooms, source, target.content_types, attributes)
    intent = new_intent(rooms, "copy", target, source.size)
    writing = Writing(rooms, await begin(rooms, intent, request.condition, target.only_of, target.allowance))
    try:
        checksum = await _checksum(rooms, source, request.algorithm)
        parts = await _parts(rooms, source, keep_checksums=checksum == source.checksum)
        origin_etag = await _copy_bytes(rooms, source, writing, attributes)
        intent = writing.intent
        record = replace(
            source,
            bucket=target.bucket.bucket,
            key=target.key,
            uploader=target.uploader,
            modified_s=rooms.now_s(),
            origin=intent.origin,
            location=intent.location,
            origin_etag=origin_etag,
            checksum=checksum,
            part_count=len(parts),
            headers=attributes.headers,
            metadata=attributes.metadata,
            tags=attributes.tags,
            write_id=intent.intent_id,
        )
        replaced = await rooms.store.catalog.commit(
            target.bucket, intent, record, request.condition, parts, only_of=target.only_of, allowance=target.allowance
        )
    except BaseException as error:
        await rooms.background.finish(undo(rooms, writing.intent, error), "undo")
        raise
    rooms.collector.notice(replaced)
    return record


async def _check_type(rooms: Rooms, source: ObjectRecord, types: tuple[str, ...], attributes: Attributes) -> None:
    if types:
        check_declared(types, attributes.headers.get("content-type", ""))
        await check_stored(rooms, source, types, attributes.headers)


async def _parts(rooms: Rooms, source: ObjectRecord, *, keep_checksums: bool) -> list[ObjectPart]:
    """The parts of the copy: its ETag is the source's, so it has the source's parts."""
    parts = await rooms.store.catalog.parts(source)
    if parts is None:
        raise BodyNotFound(source.location)  # the row was replaced
    return parts if keep_checksums else [replace(part, checksum_value=None) for part in parts]


async def _copy_bytes(rooms: Rooms, source: ObjectRecord, writing: Writing, attributes: Attributes) -> str | None:
    """Make the second body, within its origin or through here; gives the origin's own ETag of it."""
    meta, origin = body_meta(writing.intent, attributes, source.etag), writing.origin
    if source.origin == writing.intent.origin:
        return await writing.or_beside(
            lambda location: origin.copy(source.location, 0, source.size, location, meta, source.origin_etag)
        )
    reader = await open_body(rooms, source, 0, source.size)
    try:
        body = IncomingBody(source.size, read_all(reader, 0, source.size))
        return (await take_in(rooms, writing, body, meta)).origin_etag
    finally:
        reader.close()


async def _checksum(rooms: Rooms, source: ObjectRecord, algorithm: Algorithm | None) -> StoredChecksum | None:
    """The checksum of the copy: the source's, or a new one of the kind that was asked for."""
    kept = source.checksum
    if algorithm is None or (kept is not None and kept.algorithm == algorithm.value):
        return kept
    hasher = BodyHasher(md5=False, sha256=False, algorithm=algorithm)
    reader = await open_body(rooms, source, 0, source.size)
    try:
        async for piece in read_all(reader, 0, source.size):
            await rooms.hashing.run(hasher.update, piece)
    finally:
        reader.close()
    found = hasher.checksum
    return None if found is None else StoredChecksum(algorithm.value, ChecksumType.FULL_OBJECT.value, found.value)


async def read_all(reader: BodyReader, offset: int, size: int) -> AsyncIterator[bytes]:
    """The bytes of a body in blocks; the reader stays the caller's."""
    end = offset + size
    while offset < end:
        piece = await reader.read(offset, min(end - offset, 4 * BLOCK))
        offset += len(piece)
        yield piece
