"""What nobody waits for: after a crash at start, and from time to time while serving."""

import asyncio
import logging

from gateway.errors import Code, S3Error
from gateway.metrics import SWEEPS, SWEPT
from gateway.objects.complete import reopen
from gateway.objects.multipart import abort_upload
from gateway.objects.own_keys import move_home
from gateway.objects.put import undo
from gateway.objects.rooms import Rooms
from gateway.origin.errors import OutcomeUnknown

_log = logging.getLogger("anbar.sweeper")
_EVERY_S = 60.0
_REMEMBER_DONE_S = 86400
_BATCH = 100


async def recover(rooms: Rooms) -> None:
    """A process has died, perhaps long ago: end every write that it had begun, and remove what it left.

    What it left at an origin that is another machine is removed while the next requests come.
    """
    if await _end_abandoned(rooms, died=True):  # another machine may take its time, or be away
        rooms.collector.notice_all(watched=True)
    else:
        await rooms.collector.collect_all()


async def _end_abandoned(rooms: Rooms, *, died: bool) -> bool:
    """Release what dead processes had begun; is one of the origins another machine?"""
    now_s = rooms.now_s()
    until_s = {name: now_s + origin.settle_s for name, origin in rooms.origins.items() if origin.settle_s}
    released = await rooms.store.catalog.recover(until_s, died=died)
    if released:
        _log.warning("%d unfinished writes of a process that died were undone", released)
    return bool(until_s)


async def settle(rooms: Rooms) -> None:
    """What each process does for itself: undo failed writes, write down uses of keys and denials.

    And close the files that others have removed: their room was given back, and is not there before.
    """
    for origin in rooms.origins.values():
        origin.let_go()
    for intent in list(rooms.unfinished.values()):
        await undo(rooms, intent, OutcomeUnknown("why it failed is not on record"))
    for upload_id in list(rooms.stuck):
        await reopen(rooms, upload_id)
    await rooms.store.access_keys.write_uses()
    await rooms.store.denials.flush()


async def sweep(rooms: Rooms) -> None:
    """The same, and what one process does for all: remove garbage, end idle uploads, bring bodies home."""
    await settle(rooms)
    if not rooms.store.is_fresh():  # nobody else may ask here
        await rooms.store.refresh()
    await _end_abandoned(rooms, died=False)
    await rooms.collector.collect_all()
    now_s = rooms.now_s()
    idle_since_s = now_s - rooms.limits.upload_expiry_s
    for upload_id in await rooms.store.uploads.idle_since(idle_since_s, _BATCH):
        try:
            await abort_upload(rooms, upload_id, idle_since_s)
        except S3Error as error:
            if error.code is not Code.NoSuchUpload:  # somebody was faster
                raise
    await move_home(rooms)
    await rooms.store.uploads.forget_done(now_s - _REMEMBER_DONE_S)


async def keep_swept(rooms: Rooms, *, for_all: bool) -> None:
    """The keeper of sweep(), or without `for_all` of settle()."""
    while True:
        await asyncio.sleep(_EVERY_S)
        await sweep_once(rooms, for_all=for_all)


async def sweep_once(rooms: Rooms, *, for_all: bool = True) -> None:
    """A sweep that is counted; a failed one is logged, and the next one comes."""
    try:
        await (sweep(rooms) if for_all else settle(rooms))
    except S3Error as error:
        _log.warning("the sweep is left for later: %s", error)
        SWEEPS.labels("postponed").inc()
    except Exception:  # noqa: BLE001  (a bug must not end the sweeping for good)
        _log.exception("the sweep failed")
        SWEEPS.labels("failed").inc()
    else:
        SWEEPS.labels("done").inc()
        SWEPT.set(rooms.now_s())
