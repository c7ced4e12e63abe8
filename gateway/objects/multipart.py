"""Multipart uploads: parts arrive in any order, Complete makes of them one object without moving a byte.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import Code, S3Error
from gateway.objects.bodies import Digests, IncomingBody, origin_failed, take_in
from gateway.objects.copy import read_all
from gateway.objects.current import MayRead, open_body, successor
from gateway.objects.first_bytes import check_stored, checked
from gateway.objects.put import Attributes, Target, begin, is_open_end, undo
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyMeta, Origin, PartBody
from gateway.origin.errors import BodyChanged, BodyNotFound, OriginError
from gateway.policy.media_types import check_declared
from gateway.s3.checksums import (
    Algorithm,
    Checksum,
    ChecksumType,
    combine_full_object,
    composite,
    default_checksum_type,
    multipart_etag,
)
from gateway.s3.conditions import Conditions, WriteCondition, check_copy
from gateway.s3.documents import CompletePart
from gateway.s3.ranges import parse_copy_range
from gateway.store.ledger import NO_LIMITS, Allowance
from gateway.store.records import Intent, ObjectPart, ObjectRecord, StoredChecksum, UploadPart, UploadRecord

MIN_PART_SIZE = 5 << 20
"""Bytes; every part but the last has at least as many."""

MAX_OBJECT_SIZE = 5 << 40
"""Bytes; the largest object, uploaded in parts."""

_TRIES = 4
_UPLOADS = itertools.count()
_log = logging.getLogger("anbar.objects")


@dataclass(frozen=True, slots=True)
class CompleteRequest:
    """What a Complete lists and claims; `max_size` is in bytes, the other limits are as for a `Target`."""

    parts: Sequence[CompletePart]
    object_size: int | None = None
    checksum: Checksum | None = None
    checksum_type: ChecksumType | None = None
    condition: WriteCondition | None = None
    only_of: str | None = None
    allowance: Allowance = NO_LIMITS
    max_size: int | None = None
    content_types: tuple[str, ...] = ()


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
    upload = UploadRecord(
        upload_id=upload_id,
        bucket=bucket.bucket,
        key=target.key,
        uploader=target.uploader,
        initiator=initiator,
        state="open",
        created_s=rooms.now_s(),
        origin=bucket.origin,
        location=origin.locate_upload(origin.locate(*place, upload_id)),
        checksum_algorithm=algorithm.value if algorithm else None,
        checksum_type=checksum_type.value if checksum_type else None,
        headers=attributes.headers,
        metadata=attributes.metadata,
        tags=attributes.tags,
    )
    own_location = None if own is None else origin.locate_upload(own)
    try:
        upload = await rooms.store.uploads.create(bucket, upload, target.only_of, target.allowance, own_location)
        return await _begin_at_origin(rooms, origin, upload)
    except (asyncio.CancelledError, OriginError) as error:  # nobody will ever be told its id
        until_s = rooms.now_s() + origin.settle_s if is_open_end(error) else 0
        await rooms.background.finish(_abort_if_begun(rooms, upload_id, until_s), "abort")
        if isinstance(error, OriginError):
            raise origin_failed(error, bucket.origin) from error
        raise


async def _begin_at_origin(rooms: Rooms, origin: Origin, upload: UploadRecord) -> UploadRecord:
    """Tell the origin of an upload; whatever it calls it is kept before its first part comes."""
    location = await origin.begin_upload(upload.location, _upload_meta(upload))
    return upload if location == upload.location else await rooms.store.uploads.locate(upload, location)


async def _abort_if_begun(rooms: Rooms, upload_id: str, until_s: int) -> None:
    """`until_s`: when the origin can no longer begin what it was asked to, where nobody knows whether it has."""
    try:
        await _abort(rooms, upload_id, None, until_s)
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
        digests = await take_in(rooms, upload.origin, intent.location, body, None, keep=kept)
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


async def complete_upload(rooms: Rooms, upload: UploadRecord, request: CompleteRequest) -> ObjectRecord:
    """Make the listed parts the object; asking again with the same list gives the same answer.

    Raises S3Error: NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest, PreconditionFailed,
    InvalidRequest, AccessDenied (the key has become somebody else's: the upload is aborted).
    """
    return await rooms.background.finish(_complete_once(rooms, upload, request), "complete")


async def abort_upload(rooms: Rooms, upload_id: str, idle_since_s: int | None = None) -> None:
    """End an open upload, or only one that is idle since then, and remove its parts; raises S3Error: NoSuchUpload."""
    await rooms.background.finish(_abort(rooms, upload_id, idle_since_s), "abort")


async def _abort(rooms: Rooms, upload_id: str, idle_since_s: int | None, until_s: int = 0) -> None:
    await rooms.collector.collect([await rooms.store.uploads.abort(upload_id, idle_since_s, until_s)])


async def _complete_once(rooms: Rooms, upload: UploadRecord, request: CompleteRequest) -> ObjectRecord:
    async with rooms.locks.hold(upload.upload_id):  # whoever asks meanwhile gets the same answer
        return await _complete(rooms, upload, request)


async def _complete(rooms: Rooms, upload: UploadRecord, request: CompleteRequest) -> ObjectRecord:
    upload = await rooms.store.uploads.find(upload.upload_id, upload.bucket, upload.key)
    if upload.state == "done":
        return _completed_before(upload, request)
    await rooms.store.uploads.start_completing(upload.upload_id)
    try:
        return await _assemble(rooms, upload, request)
    except BaseException as error:
        await reopen(rooms, upload.upload_id)
        if isinstance(error, S3Error) and error.code is Code.AccessDenied:  # the key has become somebody else's
            await _abort(rooms, upload.upload_id, None)
        if isinstance(error, OriginError):
            raise origin_failed(error, upload.origin) from error
        raise


async def reopen(rooms: Rooms, upload_id: str) -> None:
    """Let parts and another Complete come again; where the store cannot take it now, the sweeper does it."""
    try:
        await rooms.store.uploads.reopen(upload_id)
        rooms.stuck.discard(upload_id)
    except S3Error as error:
        _log.warning("an upload is opened again later: %s", error)
        rooms.stuck.add(upload_id)


async def _assemble(rooms: Rooms, upload: UploadRecord, request: CompleteRequest) -> ObjectRecord:
    stored = await rooms.store.uploads.parts(upload.upload_id)
    chosen = choose_parts(stored, request.parts, one_algorithm=upload.checksum_algorithm is not None)
    record = _completed(rooms, upload, chosen)
    largest = MAX_OBJECT_SIZE if request.max_size is None else min(MAX_OBJECT_SIZE, request.max_size)
    if record.size > largest:
        raise S3Error(Code.EntityTooLarge, ProposedSize=record.size, MaxSizeAllowed=largest)
    _check_claims(upload, record, request)
    parts = [PartBody(part.location, part.size, part.origin_etag) for part in chosen]
    body = await rooms.origin(upload.origin).assemble(upload.location, parts, _upload_meta(upload, record.etag))
    record = replace(record, location=body.location, origin_etag=body.etag)
    await _check_type(rooms, record, request.content_types)
    listed = {part.part_number for part in chosen}
    await rooms.store.uploads.finish(
        rooms.store.buckets.get(upload.bucket),
        upload.upload_id,
        record,
        [ObjectPart(part.part_number, part.size, part.checksum_value) for part in chosen],
        [part for part in stored if part.part_number not in listed],
        request.condition,
        _result(record),
        rooms.now_s(),
        request.only_of,
        request.allowance,
    )
    rooms.collector.notice_all()
    return record


async def _check_type(rooms: Rooms, record: ObjectRecord, types: tuple[str, ...]) -> None:
    """Parts come in any order and replace each other: only when they are put together it is known how they begin."""
    if types:
        check_declared(types, record.headers.get("content-type", ""))
        await check_stored(rooms, record, types, record.headers)


def _upload_meta(upload: UploadRecord, etag: str = "") -> BodyMeta:
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


def choose_parts(
    stored: Sequence[UploadPart], listed: Sequence[CompletePart], *, one_algorithm: bool = True
) -> list[UploadPart]:
    """The stored parts that a Complete lists; `one_algorithm`: all their checksums must be of the upload's.

    Raises S3Error: InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest (a checksum of another algorithm).
    """
    by_number = {part.part_number: part for part in stored}
    chosen: list[UploadPart] = []
    for wanted in listed:
        if chosen and wanted.part_number <= chosen[-1].part_number:
            raise S3Error(Code.InvalidPartOrder)
        part = by_number.get(wanted.part_number)
        if part is None or _bare(wanted.etag) != _bare(part.etag):
            raise S3Error(Code.InvalidPart, PartNumber=wanted.part_number, ETag=wanted.etag)
        _check_part_checksum(part, wanted, one_algorithm=one_algorithm)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < MIN_PART_SIZE:
            raise S3Error(
                Code.EntityTooSmall,
                PartNumber=part.part_number,
                ETag=part.etag,
                MinSizeAllowed=MIN_PART_SIZE,
                ProposedSize=part.size,
            )
    return chosen


def _bare(etag: str) -> str:
    return etag.strip('"').lower()


def _check_part_checksum(part: UploadPart, wanted: CompletePart, *, one_algorithm: bool) -> None:
    """What is said of a part's checksum must be so; where nothing is said, what was verified on arrival holds."""
    for name, value in wanted.checksums.items():
        if name != part.checksum_algorithm and not one_algorithm:
            continue
        if name != part.checksum_algorithm:
            message = f"The {name.lower()} you specified for part {part.part_number} did not match what we received."
            raise S3Error(Code.BadDigest, message)
        if value != part.checksum_value:
            raise S3Error(Code.InvalidPart, PartNumber=wanted.part_number, ETag=wanted.etag)


def _completed(rooms: Rooms, upload: UploadRecord, parts: Sequence[UploadPart]) -> ObjectRecord:
    return ObjectRecord(
        bucket=upload.bucket,
        key=upload.key,
        uploader=upload.uploader,
        size=sum(part.size for part in parts),
        etag=multipart_etag([bytes.fromhex(_bare(part.etag)) for part in parts]),
        modified_s=rooms.now_s(),
        origin=upload.origin,
        location=upload.location,
        checksum=object_checksum(upload, parts),
        part_count=len(parts),
        headers=upload.headers,
        metadata=upload.metadata,
        tags=upload.tags,
        write_id=upload.upload_id,
    )


def object_checksum(upload: UploadRecord, parts: Sequence[UploadPart]) -> StoredChecksum | None:
    """The object's checksum, from its parts' ones; None where they are not all of one algorithm."""
    names = {part.checksum_algorithm for part in parts}
    name = names.pop() if len(names) == 1 else None
    if name is None:
        return None
    algorithm = Algorithm[name]
    kind = ChecksumType(upload.checksum_type) if upload.checksum_type else default_checksum_type(algorithm)
    if kind is ChecksumType.FULL_OBJECT:
        value = combine_full_object(algorithm, [(part.checksum_value or "", part.size) for part in parts])
    else:
        value = composite(algorithm, [part.checksum_value or "" for part in parts])
    return StoredChecksum(name, kind.value, value)


def _check_claims(upload: UploadRecord, record: ObjectRecord, request: CompleteRequest) -> None:
    if request.object_size is not None and request.object_size != record.size:
        raise S3Error(Code.InvalidRequest, "The provided 'x-amz-mp-object-size' header does not match what was stored.")
    found, claimed = record.checksum, request.checksum
    if request.checksum_type is not None and found is not None and request.checksum_type.value != found.type:
        raise S3Error(
            Code.InvalidRequest,
            f"The upload was created using the {found.type} checksum mode. "
            "The complete request must use the same checksum mode.",
        )
    if claimed is None or (upload.checksum_algorithm is None and found and found.algorithm != claimed.algorithm.value):
        return  # without an algorithm of the upload's own, S3 keeps CRC64NVME and looks at no other claim
    stored = found.value if found and found.algorithm == claimed.algorithm.value else ""
    if claimed.value not in (stored, stored.partition("-")[0]):
        raise S3Error(
            Code.BadDigest, f"The {claimed.algorithm.value} you specified did not match the calculated checksum."
        )


def _result(record: ObjectRecord) -> dict[str, Any]:
    checksum = record.checksum
    return {
        "etag": record.etag,
        "size": record.size,
        "modified_s": record.modified_s,
        "checksum": [checksum.algorithm, checksum.type, checksum.value] if checksum else None,
        "parts": record.part_count,
    }


def _completed_before(upload: UploadRecord, request: CompleteRequest) -> ObjectRecord:
    """What an earlier Complete made of this upload, if it was the same one."""
    result = upload.result or {}
    try:
        etag = multipart_etag([bytes.fromhex(_bare(part.etag)) for part in request.parts])
    except ValueError:
        etag = ""
    if etag != result.get("etag"):
        raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)
    checksum = result["checksum"]
    return ObjectRecord(
        bucket=upload.bucket,
        key=upload.key,
        uploader=upload.uploader,
        size=result["size"],
        etag=etag,
        modified_s=result["modified_s"],
        origin=upload.origin,
        location=upload.location,
        checksum=StoredChecksum(*checksum) if checksum else None,
        part_count=result["parts"],
        write_id=upload.upload_id,
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
