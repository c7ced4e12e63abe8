"""The store's parts in one place, and what keeps them in step with other processes."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.store.access_keys import AccessKeys
from gateway.store.adopted import Adoptions
from gateway.store.audit import Audit, Denials
from gateway.store.buckets import Buckets
from gateway.store.catalog import Catalog
from gateway.store.database import Database
from gateway.store.key_ring import KeyRing
from gateway.store.revisions import Revisions
from gateway.store.uploads import Uploads


class Store:
    """Catalog, uploads, buckets, access keys, the policies' history and the audit over one database."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self.database = database
        self.catalog = Catalog(database)
        self.uploads = Uploads(database, self.catalog)
        self.adoptions = Adoptions(database, self.catalog)
        self.buckets = Buckets(database)
        self.access_keys = AccessKeys(database, ring)
        self.revisions = Revisions(database, self.buckets)
        self.audit = Audit(database)
        self.denials = Denials(database)
        self._followers: list[Callable[[], Awaitable[None]]] = []
        self._asked = 0
        self._read = 0
        self._reading = asyncio.Lock()

    def follow(self, catch_up: Callable[[], Awaitable[None]]) -> None:
        """Have something else read anew as well when another process has written; it may raise S3Error: SlowDown."""
        self._followers.append(catch_up)

    @property
    def generation(self) -> int:
        """Another number whenever other processes have written, once somebody here has noticed."""
        return self._asked

    def is_fresh(self) -> bool:
        """Is what is kept in memory what the store says? If not, `refresh` must be awaited at once.

        A change is told once: whoever hears of it answers for all.
        """
        return self._read == self._asked and not self.database.changed_elsewhere()

    async def refresh(self) -> None:
        """Another process has written: drop what is in memory, and read again what is always kept there.

        It is not done before a reading that began after this call has succeeded; raises S3Error: SlowDown.
        """
        self._asked += 1
        mine = self._asked
        self.catalog.forget()
        self.access_keys.forget()
        async with self._reading:
            if self._read < mine:
                covers = self._asked
                await self.buckets.load()
                for catch_up in self._followers:
                    await catch_up()
                self._read = covers
