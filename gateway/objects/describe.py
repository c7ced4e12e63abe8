"""Changing what is kept with an object without touching its bytes."""

import logging
from collections.abc import Mapping

from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyMeta
from gateway.origin.errors import OriginError
from gateway.store.records import ObjectRecord

_log = logging.getLogger("anbar.objects")


async def set_tags(rooms: Rooms, record: ObjectRecord, tags: Mapping[str, str], only_of: str | None = None) -> None:
    """Replace an object's tags; `only_of`: the uploader whose object it must be, None: anybody.

    Raises S3Error: NoSuchKey, AccessDenied.

    The catalog decides; the origin's copy, for a lost catalog, follows as well as it can.
    """
    async with rooms.locks.hold(f"{record.bucket}/{record.key}"):  # the last commit is the last description, too
        await _set_tags(rooms, record, tags, only_of)


async def _set_tags(rooms: Rooms, record: ObjectRecord, tags: Mapping[str, str], only_of: str | None) -> None:
    changed = await rooms.store.catalog.set_tags(record.bucket, record.key, tags, only_of)
    meta = BodyMeta(
        changed.bucket,
        changed.key,
        changed.uploader,
        "",  # the origin knows who wrote it
        changed.etag,
        changed.headers,
        changed.metadata,
        changed.tags,
    )
    try:
        etag = await rooms.origin(changed.origin).describe(changed.location, meta)
        if etag is not None and etag != changed.origin_etag:
            await rooms.store.adoptions.rename(changed, etag)
    except OriginError as error:
        _log.warning("the origin keeps old tags: %s", error)
