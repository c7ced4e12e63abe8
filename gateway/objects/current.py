"""A row may be replaced, and its body removed, between look-up and use: what stands in its place now."""

from gateway.errors import Code, S3Error
from gateway.objects.bodies import origin_failed
from gateway.objects.rooms import Rooms
from gateway.origin.errors import BodyNotFound
from gateway.store.records import ObjectRecord


async def successor(rooms: Rooms, gone: ObjectRecord, error: BodyNotFound | None = None) -> ObjectRecord:
    """The row that replaced one whose body is not there any more; raises S3Error: NoSuchKey, InternalError."""
    current = await rooms.store.catalog.find(gone.bucket, gone.key)
    if current is None:
        raise S3Error(Code.NoSuchKey, Key=gone.key) from error
    if current.location == gone.location:
        raise origin_failed(error or BodyNotFound(gone.location), gone.origin) from error
    return current
