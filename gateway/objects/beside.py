"""A second try beside the key: where the origin has something at a key's own place that nobody here knows of.

Others have put it there behind us, or the store makes paths of keys and takes the folder of `a/b` for an `a`. What is
there is neither replaced nor removed. The write goes on under the id that its place was recorded with, in this order:

    1  the origin refuses the own place: nothing of this write is there
    2  one transaction: the intent says the fresh place, and the own one is on record as garbage
    3  the body is written to the fresh place
    4  commit

Whoever dies before 2 leaves an intent, after it an intent and garbage: each place is on record before anything can come
to lie there, so the next start finds both. The own place stays on record for as long as an earlier attempt of the same
request, whose answer was lost, may still take effect; of what lies there only what has the id of this write is ever
removed. Until then it counts as taken, so the key's next writes come to lie beside it at once.

What has been consumed cannot be written again. So before the first byte of a larger body the own place is looked at;
what comes there while it is under way, or cannot be seen, ends the write after step 2, and the client's own second try
lands beside. A multipart upload is looked after in the same way when it is begun; its parts belong to one place, so
when its Complete is refused it has to be begun anew.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.objects.rooms import Rooms
from gateway.origin.base import Origin
from gateway.origin.errors import BodyExists
from gateway.store.records import Intent

T = TypeVar("T")
_log = logging.getLogger("anbar.origin")


@dataclass(slots=True)
class Writing:
    """A write that has begun; `intent` says where its body goes, by now."""

    rooms: Rooms
    intent: Intent

    @property
    def origin(self) -> Origin:
        return self.rooms.origin(self.intent.origin)

    async def or_beside(self, write: Callable[[str], Awaitable[T]]) -> T:
        """Write what can be written twice to its place, or to the one beside it; BodyExists where there is no other."""
        try:
            return await write(self.intent.location)
        except BodyExists:
            if not await self.step_aside():
                raise
            return await write(self.intent.location)

    async def look_first(self) -> None:
        """Before a body that is here once only: step aside from what can be seen to lie at its place."""
        if self.intent.beside is None:
            return
        try:
            await self.origin.require_free(self.intent.location, self.intent.intent_id)
        except BodyExists:
            await self.step_aside()

    async def step_aside(self) -> bool:
        """From now on the write's place is the one beside its key; False: it was before."""
        if self.intent.beside is None:
            return False
        own = self.intent.location
        _log.warning("origin %s has an object that the catalog does not know: %s", self.intent.origin, own)
        until_s = self.rooms.now_s() + self.origin.settle_s
        self.intent = await self.rooms.store.catalog.step_aside(self.intent, until_s)
        return True
