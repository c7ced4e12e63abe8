"""Taking in what lies at an origin and is in no row, or in a row that says otherwise: one object at a time.

What was stored through a gateway says whose it is; everything else belongs to the project's admins.
"""

import logging

from gateway.errors import Code, S3Error
from gateway.objects.bodies import origin_failed
from gateway.objects.rooms import Rooms
from gateway.origin.errors import BodyNotFound, OriginError
from gateway.origin.survey import ExaminedBody
from gateway.policy.end_users import ADOPTED, is_end_user
from gateway.s3.headers import DEFAULT_CONTENT_TYPE
from gateway.store.buckets import Bucket
from gateway.store.records import ObjectRecord

_log = logging.getLogger("anbar.objects")


async def find_or_adopt(rooms: Rooms, bucket: Bucket, key: str) -> ObjectRecord | None:
    """The row of an object; where there is none, of the object that others have put at its place.

    Raises S3Error: SlowDown, ServiceUnavailable: the origin could not be asked.
    """
    found = await rooms.store.catalog.find(bucket.bucket, key)
    if found is not None:
        return found
    origin = rooms.origin(bucket.origin)
    location = origin.foreign_location(bucket.origin_bucket, bucket.origin_prefix + key)
    if location is None:
        return None
    try:
        examined = await origin.survey.examine(location)
    except OriginError as error:
        raise origin_failed(error, bucket.origin) from error
    if examined is None:
        return None
    record = record_of(bucket, key, location, examined)
    if await rooms.store.adoptions.insert(bucket, record):
        _log.info("an object of %s was taken in", bucket.bucket)
    return await rooms.store.catalog.find(bucket.bucket, key)


async def refresh(rooms: Rooms, record: ObjectRecord) -> ObjectRecord:
    """The row of a body that is another one at its origin than the row says, as it is now.

    A row that was replaced meanwhile is left as it is.
    Raises S3Error: NoSuchKey; OriginError: BodyNotFound where it is gone.
    """
    examined = await rooms.origin(record.origin).survey.examine(record.location)
    if examined is None:
        raise BodyNotFound(record.location)
    bucket = rooms.store.buckets.get(record.bucket)
    changed = record_of(bucket, record.key, record.location, examined)
    if has_same_bytes(record, changed):
        await rooms.store.adoptions.rename(record, changed.origin_etag)
    elif await rooms.store.adoptions.replace(bucket, record, changed):
        _log.warning("an object of %s was changed at its origin, not through here", record.bucket)
    current = await rooms.store.catalog.find(record.bucket, record.key)
    if current is None:
        raise S3Error(Code.NoSuchKey, Key=record.key)
    return current


def record_of(bucket: Bucket, key: str, location: str, examined: ExaminedBody) -> ObjectRecord:
    """The row that a body at an origin makes."""
    return ObjectRecord(
        bucket=bucket.bucket,
        key=key,
        uploader=owner_of(examined),
        size=examined.size,
        etag=examined.etag,
        modified_s=examined.modified_s,
        origin=bucket.origin,
        location=location,
        origin_etag=examined.origin_etag,
        headers={"content-type": DEFAULT_CONTENT_TYPE, **examined.headers},
        metadata=examined.metadata,
        tags=examined.tags,
        write_id=examined.write_id or "",
    )


def has_same_bytes(row: ObjectRecord, found: ObjectRecord) -> bool:
    """Is what was found at a row's place the row's own body, whatever the origin calls it by now?

    A body of ours is copied onto itself for its tags, or by the origin's owner, and keeps the id of its write. Whoever
    puts other bytes there and keeps our entries is found out where the ETag is the body's MD5: a copy has the same.
    """
    if (row.size, row.origin_etag) == (found.size, found.origin_etag):
        return True
    is_md5 = row.origin_etag == row.etag and "-" not in row.etag
    return bool(row.write_id) and not is_md5 and (row.write_id, row.size) == (found.write_id, found.size)


def owner_of(examined: ExaminedBody) -> str:
    """Whose object a body is; one that says nobody's name, or a name that nobody can have, is the admins'."""
    uploader = examined.uploader
    return uploader if uploader is not None and is_end_user(uploader) else ADOPTED
