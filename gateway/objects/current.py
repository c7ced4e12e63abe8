"""The body of a row, and what stands in its place where the row was replaced between look-up and use."""

from collections.abc import Callable

from gateway.errors import Code, S3Error
from gateway.objects.adopt import refresh
from gateway.objects.bodies import origin_failed
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyReader
from gateway.origin.errors import BodyChanged, BodyNotFound, OriginError
from gateway.store.records import ObjectRecord

MayRead = Callable[[ObjectRecord], None]
"""Asks the policy about a row; raises S3Error: AccessDenied."""


async def open_body(rooms: Rooms, record: ObjectRecord, offset: int, size: int) -> BodyReader:
    """The body of a row, of which `size` bytes from `offset` will be read; raises OriginError."""
    return await rooms.origin(record.origin).open(record.location, record.origin_etag, offset, size)


async def successor(
    rooms: Rooms, gone: ObjectRecord, may_read: MayRead | None, error: BodyNotFound | BodyChanged | None = None
) -> ObjectRecord:
    """The row that replaced one whose body is not there any more, if whoever might read the old one may read it.

    A body that somebody else has changed at the origin makes a new row of its own. It is asked anew where the new row
    belongs to another uploader; without `may_read` such a row is refused.
    Raises S3Error: NoSuchKey, AccessDenied, InternalError, SlowDown.
    """
    current = await rooms.store.catalog.find(gone.bucket, gone.key)
    if current is None:
        raise S3Error(Code.NoSuchKey, Key=gone.key) from error
    if current.location == gone.location and isinstance(error, BodyChanged):
        try:
            current = await refresh(rooms, current)
        except OriginError as failed:
            raise origin_failed(failed, gone.origin) from failed
    elif current.location == gone.location:
        raise origin_failed(error or BodyNotFound(gone.location), gone.origin) from error
    if current.uploader != gone.uploader:
        if may_read is None:
            raise S3Error(Code.AccessDenied) from error
        may_read(current)
    return current
