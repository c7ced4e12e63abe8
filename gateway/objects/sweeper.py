"""What nobody waits for: after a crash at start, and from time to time while serving."""

import asyncio
import logging

from gateway.errors import Code, S3Error
from gateway.metrics import SWEEPS, SWEPT
from gateway.objects.multipart import abort_upload, reopen
from gateway.objects.own_keys import move_home
from gateway.objects.put import undo
from gateway.objects.rooms import Rooms
from gateway.origin.errors import OutcomeUnknown

_log = logging.getLogger("anbar.sweeper")
_EVERY_S = 60.0
_REMEMBER_DONE_S = 86400
_BATCH = 100


async def recover(rooms: Rooms) -> None:
    """Before the first request: end every write that a dead process had begun, and remove what it left.

    What it left at an origin that is another machine is removed while the first requests come.
    """
    now_s = rooms.now_s()
    until_s = {name: now_s + origin.settle_s for name, origin in rooms.origins.items() if origin.settle_s}
    released = await rooms.store.catalog.recover(until_s)
    if released:
        _log.warning("%d unfinished writes of an earlier run were undone", released)
    if until_s:  # another machine may take its time, or be away
        rooms.collector.notice_all(watched=True)
    else:
        await rooms.collector.collect_all()


async def sweep(rooms: Rooms) -> None:
    """Undo failed writes, remove garbage, end idle uploads, forget old ones, write down uses of keys and denials."""
    now_s = rooms.now_s()
    for intent in list(rooms.unfinished.values()):
        await undo(rooms, intent, OutcomeUnknown("why it failed is not on record"))
    for upload_id in list(rooms.stuck):
        await reopen(rooms, upload_id)
    await rooms.collector.collect_all()
    idle_since_s = now_s - rooms.limits.upload_expiry_s
    for upload_id in await rooms.store.uploads.idle_since(idle_since_s, _BATCH):
        try:
            await abort_upload(rooms, upload_id, idle_since_s)
        except S3Error as error:
            if error.code is not Code.NoSuchUpload:  # somebody was faster
                raise
    await move_home(rooms)
    await rooms.store.uploads.forget_done(now_s - _REMEMBER_DONE_S)
    await rooms.store.access_keys.write_uses()
    await rooms.store.denials.flush()


async def sweep_forever(rooms: Rooms) -> None:
    """The keeper of sweep()."""
    while True:
        await asyncio.sleep(_EVERY_S)
        await sweep_once(rooms)


async def sweep_once(rooms: Rooms) -> None:
    """A sweep that is counted; a failed one is logged and tried again at the next turn."""
    try:
        await sweep(rooms)
    except S3Error as error:
        _log.warning("the sweep is left for later: %s", error)
        SWEEPS.labels("postponed").inc()
    except Exception:  # noqa: BLE001  (a bug must not end the sweeping for good)
        _log.exception("the sweep failed")
        SWEEPS.labels("failed").inc()
    else:
        SWEEPS.labels("done").inc()
        SWEPT.set(rooms.now_s())
