"""CompleteMultipartUpload: the parts that a client lists become one object, once, without moving a byte.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import Code, S3Error
from gateway.objects.bodies import origin_failed
from gateway.objects.first_bytes import check_stored
from gateway.objects.multipart import abort, upload_meta
from gateway.objects.rooms import Rooms
from gateway.origin.base import PartBody, StoredBody
from gateway.origin.errors import BodyExists, OriginDown, OriginError, OutcomeUnknown
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
from gateway.s3.conditions import WriteCondition
from gateway.s3.documents import CompletePart
from gateway.store.ledger import NO_LIMITS, Allowance
from gateway.store.records import Garbage, ObjectPart, ObjectRecord, StoredChecksum, UploadPart, UploadRecord

MIN_PART_SIZE = 5 << 20
"""Bytes; every part but the last has at least as many."""

MAX_OBJECT_SIZE = 5 << 40
"""Bytes; the largest object, uploaded in parts."""

_log = logging.getLogger("anbar.objects")
_origin_log = logging.getLogger("anbar.origin")


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


async def complete_upload(rooms: Rooms, upload: UploadRecord, request: CompleteRequest) -> ObjectRecord:
    """Make the listed parts the object; asking again with the same list gives the same answer.

    Raises S3Error: NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest, PreconditionFailed,
    InvalidRequest, QuotaExceeded, AccessDenied (the key has become somebody else's: the upload is aborted).
    """
    return await rooms.background.finish(_complete_once(rooms, upload, request), "complete")


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
            await abort(rooms, upload.upload_id)
        if isinstance(error, BodyExists):
            raise await _begin_anew(rooms, upload, error) from error
        if isinstance(error, OriginError):
            raise origin_failed(error, upload.origin) from error
        raise


async def _begin_anew(rooms: Rooms, upload: UploadRecord, error: BodyExists) -> S3Error:
    """The answer where others have put something at the key's own place since the upload was begun there.

    S3 says it of a write that came in between: the upload is to be begun anew. That one will lie beside the key.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html (If-None-Match)
    """
    _origin_log.warning("origin %s has an object that the catalog does not know: %s", upload.origin, error)
    place = upload.location.partition("?")[0]
    mark = Garbage(place, upload.origin, "", "", upload.uploader, write_id=rooms.new_id())
    await rooms.store.catalog.keep_clear(mark, rooms.now_s() + rooms.origin(upload.origin).settle_s)
    return S3Error(Code.ConditionalRequestConflict)


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
    body = await _put_together(rooms, upload, record, parts, request)
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


async def _put_together(
    rooms: Rooms, upload: UploadRecord, record: ObjectRecord, parts: Sequence[PartBody], request: CompleteRequest
) -> StoredBody:
    """Have the origin do it, once nothing is known that would refuse the object.

    Where that can be done once only, it is on record before which list it is: whatever becomes of the answer, and of
    this process, no other list is ever taken for the one that lies there.
    """
    origin = rooms.origin(upload.origin)
    promised = await rooms.store.uploads.promise(
        rooms.store.buckets.get(upload.bucket),
        upload.upload_id,
        record,
        request.condition,
        _result(record) if origin.assembles_once else None,
        request.only_of,
        request.allowance,
    )
    try:
        return await origin.assemble(upload.location, parts, upload_meta(upload, record.etag))
    except OriginDown as error:
        if promised and not isinstance(error, OutcomeUnknown):  # nothing was begun, now or earlier
            await rooms.store.uploads.take_back(upload.upload_id)
        raise


async def _check_type(rooms: Rooms, record: ObjectRecord, types: tuple[str, ...]) -> None:
    """Parts come in any order and replace each other: only when they are put together it is known how they begin."""
    if types:
        check_declared(types, record.headers.get("content-type", ""))
        await check_stored(rooms, record, types, record.headers)


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
