"""Bodies go back to their own keys: so that a bucket that others read too has each object under its name.

A body that replaced another one was written beside it, under the id of its write. Once the old one is gone, the origin
makes a copy under the key alone, the row follows, and the copy under the id becomes garbage. Done from time to time,
for objects that have been at rest for a while, and only where the origin copies by itself.
"""

import logging

from gateway.errors import S3Error
from gateway.objects.put import Attributes, Target, begin, body_meta, new_intent, undo
from gateway.objects.rooms import Rooms
from gateway.origin.errors import BodyExists, OriginError
from gateway.store.records import ObjectRecord

AT_REST_S = 60
_BATCH = 100
_log = logging.getLogger("anbar.objects")


async def move_home(rooms: Rooms) -> int:
    """Move what has been at rest and has a free place of its own; gives how many have moved."""
    moved, after = 0, ("", "")
    while page := await rooms.store.adoptions.away(after, rooms.now_s() - AT_REST_S, _BATCH):
        after = page[-1].bucket, page[-1].key
        for record in page:
            try:
                moved += await _move(rooms, record)
            except BodyExists:  # others have put something there: it is no reason to leave the next ones away
                continue
            except (OriginError, S3Error) as error:
                _log.warning("an object stays where it is for now: %s", error)
                return moved
    return moved


async def _move(rooms: Rooms, record: ObjectRecord) -> bool:
    origin, bucket = rooms.origins.get(record.origin), rooms.store.buckets.find(record.bucket)
    if origin is None or bucket is None or bucket.origin != record.origin or not origin.copies:
        return False
    own = origin.own_location(bucket.origin_bucket, bucket.origin_prefix + record.key)
    if own is None or await rooms.store.adoptions.is_taken(record.origin, own):
        return False
    await origin.require_free(own, "")  # what others have put there may stay for good: it costs a look, and no write
    intent = await begin(rooms, new_intent(rooms, "copy", Target(bucket, record.key, record.uploader), 0), None)
    try:
        moves = intent.location == own
        if moves:
            meta = body_meta(intent, Attributes(record.headers, record.metadata, record.tags), record.etag)
            etag = await origin.copy(record.location, 0, record.size, own, meta, record.origin_etag)
            rooms.collector.notice(await rooms.store.adoptions.move(intent, record, etag))
    except BaseException as error:
        await rooms.background.finish(undo(rooms, intent, error), "undo")
        raise
    if not moves:
        await undo(rooms, intent)
    return moves
