"""The body of a row, and what stands in its place where the row was replaced between look-up and use."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.bounded import BoundedMap
from gateway.cache.names import body_name
from gateway.errors import Code, S3Error
from gateway.objects.adopt import refresh
from gateway.objects.bodies import origin_failed
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyReader, KeptAs
from gateway.origin.errors import BodyChanged, BodyNotFound, OriginError
from gateway.s3.headers import may_be_kept
from gateway.store.records import ObjectRecord

MayRead = Callable[[ObjectRecord], None]
"""Asks the policy about a row; raises S3Error: AccessDenied."""

_named: BoundedMap[tuple[str, str], tuple[ObjectRecord, KeptAs]] = BoundedMap(2048)  # by bucket and key


@dataclass(frozen=True, slots=True)
class Keeping:
    """Bodies that are read may be kept close, those of at most `max_object_size` bytes; None: all of them."""

    max_object_size: int | None = None


def open_body(
    rooms: Rooms, record: ObjectRecord, offset: int, size: int, keeping: Keeping | None = None
) -> Awaitable[BodyReader]:
    """The body of a row, of which `size` bytes from `offset` will be read; raises OriginError."""
    kept_as = None if keeping is None else name_of(record, keeping)
    return rooms.origin(record.origin).open(record.location, record.origin_etag, offset, size, kept_as)


def name_of(record: ObjectRecord, keeping: Keeping) -> KeptAs | None:
    """As what the body of a row may be kept; None: it may not.

    Its blocks are fetched one by one, so only an ETag that every change changes tells that they are of one body; a weak
    one does not.
    """
    etag = record.origin_etag
    if etag is None or etag.startswith("W/"):
        return None
    if keeping.max_object_size is not None and record.size > keeping.max_object_size:
        return None
    cache_control = record.headers.get("cache-control")
    if cache_control is not None and not may_be_kept(cache_control):
        return None
    named = _named.get((record.bucket, record.key))
    if named is not None and named[0] is record:
        return named[1]
    checksum = record.checksum.value if record.checksum is not None else ""
    name = body_name(
        record.origin, record.bucket, record.key, record.etag, str(record.size), str(record.modified_s), checksum
    )
    kept_as = KeptAs(name, record.bucket, record.key, record.size)
    _named.put((record.bucket, record.key), (record, kept_as))
    return kept_as


async def successor(
    rooms: Rooms, gone: ObjectRecord, may_read: MayRead | None, error: BodyNotFound | BodyChanged | None = None
) -> ObjectRecord:
    """The row that replaced one whose body is not there any more, if whoever might read the old one may read it.

    A body that somebody else has changed at the origin makes a new row of its own. It is asked anew where the new row
    belongs to another uploader; without `may_read` such a row is refused.
    Raises S3Error: NoSuchKey, AccessDenied, InternalError, SlowDown.
    """
    current = await rooms.store.catalog.look_again(gone.bucket, gone.key)
    if current is None:
        raise S3Error(Code.NoSuchKey, Key=gone.key) from error
    if _body_of(current) == _body_of(gone):
        if not isinstance(error, BodyChanged):
            raise origin_failed(error or BodyNotFound(gone.location), gone.origin) from error
        try:
            current = await refresh(rooms, current)
        except OriginError as failed:
            raise origin_failed(failed, gone.origin) from failed
    if current.uploader != gone.uploader:
        if may_read is None:
            raise S3Error(Code.AccessDenied) from error
        may_read(current)
    return current


def _body_of(record: ObjectRecord) -> tuple[str, str, str | None, str]:
    """Which body a row says is its own: one place may have one after the other."""
    return record.origin, record.location, record.origin_etag, record.write_id
