"""Reading an object: conditions, then the range or part, then its bytes, of one and the same body.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from typing import NamedTuple

from gateway.errors import Code, S3Error
from gateway.objects.bodies import origin_failed
from gateway.objects.current import Keeping, MayRead, open_body, successor
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyReader
from gateway.origin.errors import BodyChanged, BodyNotFound, OriginError
from gateway.s3.conditions import Conditions, Outcome, check_read
from gateway.s3.ranges import ByteRange, RangeSpec, if_range_holds, resolve_range
from gateway.store.records import ObjectPart, ObjectRecord, StoredChecksum

_TRIES = 4


class Wanted(NamedTuple):
    """Which bytes of an object, and on what conditions. `range` and `part_number` exclude each other.

    `may_read` is asked about a row that replaced the one that was allowed. `keeping`: what is read may be kept close.
    """

    conditions: Conditions
    range: RangeSpec | None = None
    if_range: str | None = None
    part_number: int | None = None
    may_read: MayRead | None = None
    keeping: Keeping | None = None


class Found(NamedTuple):
    """An object as it is answered. `range` is None for all of it; without `not_modified` the bytes may be read."""

    record: ObjectRecord
    range: ByteRange | None = None
    partial: bool = False
    not_modified: bool = False
    part_count: int | None = None
    part_checksum: StoredChecksum | None = None

    @property
    def checksum(self) -> StoredChecksum | None:
        """The checksum of exactly these bytes: the object's, a part's, or none for a range."""
        return self.part_checksum if self.partial else self.record.checksum

    @property
    def offset(self) -> int:
        return self.range.first if self.range else 0

    @property
    def size(self) -> int:
        """Bytes of the answer's body."""
        return self.range.size if self.range else (0 if self.partial else self.record.size)


async def find_bytes(rooms: Rooms, record: ObjectRecord, wanted: Wanted) -> Found:
    """Decide what a GET or HEAD of this row, or of the one that replaced it, is answered with.

    Raises S3Error: PreconditionFailed, InvalidRange, InvalidPartNumber, NoSuchKey.
    """
    parts: list[ObjectPart] = []
    if wanted.part_number is not None:
        record, parts = await object_parts(rooms, record, wanted.may_read)
    conditions = wanted.conditions
    if not conditions.empty and check_read(conditions, record.etag, record.modified_s) is Outcome.NOT_MODIFIED:
        return Found(record, not_modified=True)
    if wanted.part_number is not None:
        return _part(record, parts, wanted.part_number)
    if wanted.range is None or not if_range_holds(wanted.if_range, record.etag, record.modified_s):
        return Found(record)
    found = resolve_range(wanted.range, record.size)
    return Found(record, found, partial=found is not None)


async def object_parts(
    rooms: Rooms, record: ObjectRecord, may_read: MayRead | None
) -> tuple[ObjectRecord, list[ObjectPart]]:
    """A row and the parts that belong to it, or to the row that replaced it meanwhile."""
    for _ in range(_TRIES):
        parts = await rooms.store.catalog.parts(record)
        if parts is not None:
            return record, parts
        record = await successor(rooms, record, may_read)
    raise S3Error(Code.ServiceUnavailable)


async def open_object(rooms: Rooms, record: ObjectRecord, wanted: Wanted) -> tuple[Found, BodyReader | None]:
    """The same, with the open body; none where there is nothing to read.

    The row may have been replaced, and its body removed, since it was looked up: then the new row is answered.
    Raises S3Error: as find_bytes, and NoSuchKey, ServiceUnavailable.
    """
    for _ in range(_TRIES):
        found = await find_bytes(rooms, record, wanted)
        if found.not_modified or not found.size:
            return found, None
        try:
            return found, await open_body(rooms, found.record, found.offset, found.size, wanted.keeping)
        except (BodyNotFound, BodyChanged) as error:
            record = await successor(rooms, found.record, wanted.may_read, error)
        except OriginError as error:
            raise origin_failed(error, found.record.origin) from error
    raise S3Error(Code.ServiceUnavailable)


def _part(record: ObjectRecord, parts: list[ObjectPart], part_number: int) -> Found:
    """The bytes of one part; an object that was not uploaded in parts has one, its whole."""
    if part_number > max(len(parts), 1):
        raise S3Error(Code.InvalidPartNumber, PartNumberRequested=part_number, ActualPartCount=max(len(parts), 1))
    if not parts:
        return Found(record, _whole(record.size), partial=True, part_checksum=record.checksum)
    first = sum(part.size for part in parts[: part_number - 1])
    part = parts[part_number - 1]
    return Found(
        record,
        ByteRange(first, first + part.size - 1) if part.size else None,
        partial=True,
        part_count=len(parts),
        part_checksum=_part_checksum(record, part, len(parts)),
    )


def _part_checksum(record: ObjectRecord, part: ObjectPart, parts: int) -> StoredChecksum | None:
    """A part's own checksum, by which SDKs that download in parts verify it; S3 tells it of composite ones."""
    whole = record.checksum
    if whole is None or part.checksum_value is None or (whole.type != "COMPOSITE" and parts > 1):
        return None
    return StoredChecksum(whole.algorithm, whole.type, part.checksum_value)


def _whole(size: int) -> ByteRange | None:
    return ByteRange(0, size - 1) if size else None
