"""Multipart uploads: begun, their parts stored in any order, aborted. What Complete makes of them is in `complete.py`.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import asyncio
import itertools
import logging
from dataclasses import replace

from gateway.errors import Code, S3Error
from gateway.objects.beside import Writing
from gateway.objects.bodies import Digests, IncomingBody, origin_failed, take_in
from gateway.objects.copy import read_all
from gateway.objects.current import MayRead, open_body, successor
from gateway.objects.first_bytes import checked
from gateway.objects.put import Attributes, Target, begin, is_open_end, undo
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyMeta, Origin
from gateway.origin.errors import BodyChanged, BodyExists, BodyNotFound, OriginError
from gateway.policy.media_types import check_declared
from gateway.s3.checksums import (
    Algorithm,
    Checksum,
    ChecksumType,
    default_checksum_type,
)
from gateway.s3.conditions import Conditions, check_copy
from gateway.s3.ranges import parse_copy_range
from gateway.store.ledger import NO_LIMITS, Allowance
from gateway.store.records import Intent, ObjectRecord, UploadPart, UploadRecord

_TRIES = 4
_UPLOADS = itertools.count()
_log = logging.getLogger("anbar.objects")


async def create_upload(
    rooms: Rooms,
    target: Target,
    initiator: str,
    attributes: Attributes,
    algorithm: Algorithm | None,
    checksum_type: ChecksumType | None,
) -> UploadRecord:
    """Begin a multipart upload.

    Raises S3Error: NoSuchBucket, AccessDenied (the object there is somebody else's), InvalidRequest (a content type
    that is not stored there).
    """
    if target.content_types:
        check_declared(target.content_types, attributes.headers.get("content-type", ""))
    bucket, upload_id = target.bucket, new_upload_id(rooms)
    origin, place = rooms.origin(bucket.origin), (bucket.origin_bucket, bucket.origin_prefix + target.key)
    own = origin.own_location(*place)
    if algorithm is not None and checksum_type is None:
        checksum_type = default_checksum_type(algorithm)
    beside = origin.locate_upload(origin.locate(*place, upload_id))
    upload = UploadRecord(
        upload_id=upload_id,
        bucket=bucket.bucket,
        key=target.key,
        uploader=target.uploader,
        initiator=initiator,
        state="open",
        created_s=rooms.now_s(),
        origin=bucket.origin,
        location=beside,
        checksum_algorithm=algorithm.value if algorithm else None,
        checksum_type=checksum_type.value if checksum_type else None,
        headers=attributes.headers,
        metadata=attributes.metadata,
        tags=attributes.tags,
    )
    own_location = None if own is None else origin.locate_upload(own)
    try:
        upload = await rooms.store.uploads.create(bucket, upload, target.only_of, target.allowance, own_location)
        return await _begin_at_origin(rooms, origin, upload, beside)
    except (asyncio.CancelledError, OriginError) as error:  # nobody will ever be told its id
        until_s = rooms.now_s() + origin.settle_s if is_open_end(error) else 0
        await rooms.background.finish(_abort_if_begun(rooms, upload_id, until_s), "abort")
        if isinstance(error, OriginError):
            raise origin_failed(error, bucket.origin) from error
        raise


async def _begin_at_origin(rooms: Rooms, origin: Origin, upload: UploadRecord, beside: str) -> UploadRecord:
    """Tell the origin of an upload; whatever it calls it is kept before its first part comes.

    Its parts belong to one place, so what others have put at its key's own is looked for before: then it is `beside`.
    """
    if upload.location != beside:
        try:
            await origin.require_free(upload.location, upload.upload_id)
        except BodyExists:
            upload = await rooms.store.uploads.locate(upload, beside)
    location = await origin.begin_upload(upload.location, upload_meta(upload))
    return upload if location == upload.location else await rooms.store.uploads.locate(upload, location)


async def _abort_if_begun(rooms: Rooms, upload_id: str, until_s: int) -> None:
    """`until_s`: when the origin can no longer begin what it was asked to, where nobody knows whether it has."""
    try:
        await abort(rooms, upload_id, until_s=until_s)
    except S3Error as error:
        if error.code is not Code.NoSuchUpload:
            _log.warning("an upload that nobody knows of ends when it expires: %s", error)


def new_upload_id(rooms: Rooms) -> str:
    """An id that sorts by the time of its making, as S3 lists uploads of one key."""
    return f"{rooms.now_s():08x}{next(_UPLOADS) & 0xFFFFFFFF:08x}{rooms.new_id()[:16]}"


async def put_part(
    rooms: Rooms,
    upload: UploadRecord,
    part_number: int,
    body: IncomingBody,
    allowance: Allowance = NO_LIMITS,
    content_types: tuple[str, ...] = (),
) -> tuple[UploadPart, Checksum]:
    """Store one part, in place of an earlier one of its number; gives it and the checksum its sender is told.

    Where the upload names no algorithm the sender's checksum is verified, and CRC64NVME is kept: S3's own choice.
    Raises S3Error: NoSuchUpload, InvalidRequest (another checksum algorithm than the upload's; a first part that is not
    of its content type), what the body raises.
    """
    if content_types and part_number == 1:  # nothing can come before it; which part is the first, Complete tells
        body = checked(body, content_types, upload.headers)
    kept = Algorithm[upload.checksum_algorithm] if upload.checksum_algorithm else Algorithm.CRC64NVME
    body = replace(body, claims=replace(body.claims, algorithm=_part_algorithm(upload, body.claims.algorithm)))
    intent = await begin(rooms, _part_intent(rooms, upload, part_number, body.size), None, None, allowance)
    try:
        digests = await take_in(rooms, Writing(rooms, intent), body, None, keep=kept)
        part = _part(rooms, intent, part_number, digests)
        replaced = await rooms.store.uploads.commit_part(intent, part, allowance)
    except BaseException as error:
        await rooms.background.finish(undo(rooms, intent, error), "undo")
        raise
    rooms.collector.notice(replaced)
    return part, digests.checksum


async def copy_part(
    rooms: Rooms,
    upload: UploadRecord,
    part_number: int,
    source: ObjectRecord,
    copy_range: str | None,
    conditions: Conditions,
    may_read: MayRead | None = None,
    allowance: Allowance = NO_LIMITS,
    content_types: tuple[str, ...] = (),
    max_size: int | None = None,
) -> UploadPart:
    """Store a part that is a range of an object; it is read through, since a part needs digests of its own.

    Raises S3Error: NoSuchUpload, InvalidArgument (the range), PreconditionFailed, NoSuchKey, InvalidRequest (as for
    `put_part`).
    """
    largest = rooms.limits.max_object_size if max_size is None else min(rooms.limits.max_object_size, max_size)
    for _ in range(_TRIES):
        check_copy(conditions, source.etag, source.modified_s)
        wanted = None if copy_range is None else parse_copy_range(copy_range, source.size)
        offset, size = (wanted.first, wanted.size) if wanted else (0, source.size)
        if size > largest:
            raise S3Error(Code.EntityTooLarge, ProposedSize=size, MaxSizeAllowed=largest)
        try:
            reader = await open_body(rooms, source, offset, size)
        except (BodyNotFound, BodyChanged) as error:
            source = await successor(rooms, source, may_read, error)
            continue
        except OriginError as error:
            raise origin_failed(error, source.origin) from error
        try:
            body = IncomingBody(size, read_all(reader, offset, size))
            part, _ = await put_part(rooms, upload, part_number, body, allowance, content_types)
            return part
        finally:
            reader.close()
    raise S3Error(Code.ServiceUnavailable)


async def abort_upload(rooms: Rooms, upload_id: str, idle_since_s: int | None = None) -> None:
    """End an open upload, or only one that is idle since then, and remove its parts; raises S3Error: NoSuchUpload."""
    await rooms.background.finish(abort(rooms, upload_id, idle_since_s), "abort")


async def abort(rooms: Rooms, upload_id: str, idle_since_s: int | None = None, until_s: int = 0) -> None:
    """The same, for whoever sees to it that it is not interrupted.

    `until_s`: when the origin can no longer begin it, where nobody knows whether it has. An origin may keep a part that
    was under way when its upload ended: then it is asked to end it again, until nothing can land there any more.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
    """
    now_s = rooms.now_s()
    settled_s = {name: now_s + origin.settle_s for name, origin in rooms.origins.items() if origin.settle_s}
    await rooms.collector.collect([await rooms.store.uploads.abort(upload_id, idle_since_s, until_s, settled_s)])


def upload_meta(upload: UploadRecord, etag: str = "") -> BodyMeta:
    return BodyMeta(
        upload.bucket,
        upload.key,
        upload.uploader,
        upload.upload_id,
        etag,
        upload.headers,
        upload.metadata,
        upload.tags,
    )


def _part_algorithm(upload: UploadRecord, named: Algorithm | None) -> Algorithm | None:
    """The algorithm of a part's checksum: the upload's where it has one."""
    if upload.checksum_algorithm is None:
        return named
    if named is not None and named.value != upload.checksum_algorithm:
        raise S3Error(
            Code.InvalidRequest,
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.checksum_algorithm.lower()}, "
            f"actual checksum Type: {named.value.lower()}",
        )
    return Algorithm[upload.checksum_algorithm]


def _part_intent(rooms: Rooms, upload: UploadRecord, part_number: int, size: int) -> Intent:
    intent_id, bucket = rooms.new_id(), rooms.store.buckets.get(upload.bucket)
    location = rooms.origin(upload.origin).locate_part(upload.location, part_number, intent_id)
    return Intent(
        intent_id,
        "part",
        upload.bucket,
        upload.key,
        upload.uploader,
        size,
        upload.origin,
        location,
        rooms.now_s(),
        upload.upload_id,
        part_number,
        bucket.project,
        bucket.category,
    )


def _part(rooms: Rooms, intent: Intent, part_number: int, digests: Digests) -> UploadPart:
    return UploadPart(
        part_number,
        digests.size,
        digests.etag,
        rooms.now_s(),
        intent.location,
        digests.kept.algorithm.value,
        digests.kept.value,
        digests.origin_etag,
    )
