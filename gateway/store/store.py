"""The store's parts in one place, and what keeps them in step with other processes."""

import asyncio

from gateway.store.access_keys import AccessKeys
from gateway.store.buckets import Buckets
from gateway.store.catalog import Catalog
from gateway.store.database import Database
from gateway.store.key_ring import KeyRing
from gateway.store.uploads import Uploads


class Store:
    """Catalog, uploads, buckets and access keys over one database."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self.database = database
        self.catalog = Catalog(database)
        self.uploads = Uploads(database, self.catalog)
        self.buckets = Buckets(database)
        self.access_keys = AccessKeys(database, ring)
        self._reloading: asyncio.Task[None] | None = None

    def is_fresh(self) -> bool:
        """Is what is kept in memory what the store says? If not, `refresh` must be awaited first."""
        return self._reloading is None and not self.database.changed_elsewhere()

    async def refresh(self) -> None:
        """Another process has written: drop what is in memory, and give it time to be read again."""
        self.catalog.forget()
        self.access_keys.forget()
        if self._reloading is None:
            self._reloading = asyncio.ensure_future(self.buckets.load())
            self._reloading.add_done_callback(self._reloaded)
        await asyncio.shield(self._reloading)

    def _reloaded(self, _task: asyncio.Task[None]) -> None:
        self._reloading = None
