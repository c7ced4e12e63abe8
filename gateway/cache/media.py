"""MediaCache: an origin whose bodies are kept close. Whoever opens one has been authorised before.

Nothing is ever checked for age here: the name of a body is made of what the catalog says now, and what the origin
gives for it was asked for by the ETag that the catalog knows.
"""

from collections.abc import Callable, Sequence
from typing import Final

from gateway.bounded import BoundedMap
from gateway.cache.flights import Source
from gateway.cache.names import BLOCK, block_name
from gateway.cache.readers import BlockReader, HeldReader
from gateway.cache.tiers import Tiers
from gateway.origin.base import Begun, BodyMeta, BodyReader, BodyWriter, Checked, KeptAs, Origin, PartBody, StoredBody
from gateway.origin.survey import Survey

_REMEMBERED: Final = 10_000
"""Bodies whose place is remembered, until something is heard of it."""

_LOOK_AT: Final = 1024
"""Blocks of one request that are counted, kept or not."""

_LOOK_ON_DISK: Final = 8
"""Of them, those that may have been put on the common disk by another process."""

_ASK_EARLY: Final = 8
"""How near a missing block is that the origin is asked for before anything is answered."""


class MediaCache:
    """An origin in front of another one; implements gateway.origin.base.Origin.

    Only `open` is its own, and only of bodies that may be kept; and what was kept of a body goes when the body does, as
    far as it is remembered where that lay.
    """

    def __init__(self, origin: Origin, tiers: Tiers) -> None:
        self._origin = origin
        self._tiers = tiers
        self._lying: BoundedMap[str, KeptAs] = BoundedMap(_REMEMBERED)

    def at_hand(self, kept_as: KeptAs, offset: int, size: int) -> HeldReader | None:
        """`size` bytes from `offset`, if they can be had at once, without waiting for anything."""
        index, within = divmod(offset, BLOCK)
        if within + size > BLOCK:
            return None
        found = self._tiers.at_hand(block_name(kept_as.name, index), within, size)
        if found is None:
            return None
        self._tiers.hit(size)
        data, fetched_s = found
        return HeldReader(data, offset, fetched_s)

    async def open(
        self,
        location: str,
        etag: str | None = None,
        offset: int = 0,
        size: int | None = None,
        kept_as: KeptAs | None = None,
    ) -> BodyReader:
        if kept_as is None or not size or offset + size > kept_as.size:
            return await self._origin.open(location, etag, offset, size)
        held = self.at_hand(kept_as, offset, size)
        if held is not None:
            return held
        self._lying.put(location, kept_as)
        reader = BlockReader(self._tiers, Source(self._origin, location, etag, kept_as), offset, offset + size)
        try:
            await self._prepare(reader, kept_as.name, offset, offset + size)
        except BaseException:
            reader.close()
            raise
        return reader

    async def _prepare(self, reader: BlockReader, name: bytes, offset: int, end: int) -> None:
        """Say what is kept of the bytes, and hear what the origin says where it must be asked soon."""
        first, last = offset // BLOCK, (end - 1) // BLOCK
        missing: list[int] = []
        kept = 0
        is_kept = await reader.begin()
        for index in range(first, min(last, first + _LOOK_AT) + 1):
            if index > first:
                is_kept = await self._is_kept(name, index, look=index < first + _LOOK_ON_DISK)
            if is_kept:
                kept += min(end, (index + 1) * BLOCK) - max(offset, index * BLOCK)
            else:
                missing.append(index)
        if not missing:
            self._tiers.hit(end - offset)
            return
        reader.state = "partial" if kept else "miss"
        self._tiers.missed(kept, end - offset - kept)
        for index in missing:
            if first < index < first + _ASK_EARLY and await reader.ask(index):
                break

    async def _is_kept(self, name: bytes, index: int, *, look: bool) -> bool:
        block = block_name(name, index)
        return self._tiers.is_kept(block) or (look and await self._tiers.look(block))

    @property
    def md5_etags(self) -> bool:
        return self._origin.md5_etags

    @property
    def confirms_checksums(self) -> bool:
        return self._origin.confirms_checksums

    @property
    def copies(self) -> bool:
        return self._origin.copies

    @property
    def assembles_once(self) -> bool:
        return self._origin.assembles_once

    @property
    def settle_s(self) -> int:
        return self._origin.settle_s

    @property
    def survey(self) -> Survey:
        return self._origin.survey

    async def make_bucket(self, bucket: str) -> None:
        await self._origin.make_bucket(bucket)

    def locate(self, bucket: str, key: str, write_id: str) -> str:
        return self._origin.locate(bucket, key, write_id)

    def own_location(self, bucket: str, key: str) -> str | None:
        return self._origin.own_location(bucket, key)

    def foreign_location(self, bucket: str, key: str) -> str | None:
        return self._origin.foreign_location(bucket, key)

    async def require_free(self, location: str, write_id: str) -> None:
        await self._origin.require_free(location, write_id)

    def locate_upload(self, object_location: str) -> str:
        return self._origin.locate_upload(object_location)

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str:
        return self._origin.locate_part(upload_location, part_number, write_id)

    async def create(
        self, location: str, size: int | None, meta: BodyMeta | None = None, sha256_hex: str | None = None
    ) -> BodyWriter:
        return await self._origin.create(location, size, meta, sha256_hex)

    async def store(self, location: str, data: bytes, check: Callable[[], Checked]) -> str | None:
        return await self._origin.store(location, data, check)

    async def copy(
        self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None, etag: str | None = None
    ) -> str | None:
        """A body that goes to its object's own key stays what it is."""
        copied = await self._origin.copy(source, offset, size, target, meta, etag)
        body = self._lying.get(source)
        if body is not None and meta is not None and (meta.bucket, meta.key) == (body.bucket, body.key):
            self._lying.discard(source)
            self._lying.put(target, body)
        return copied

    async def begin_upload(self, location: str, meta: BodyMeta) -> str:
        return await self._origin.begin_upload(location, meta)

    async def assemble(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        return await self._origin.assemble(upload_location, parts, meta)

    async def describe(self, location: str, meta: BodyMeta) -> str | None:
        return await self._origin.describe(location, meta)

    async def delete(
        self, location: str, write_id: str = "", etag: str | None = None, *, begun: Begun | None = None
    ) -> None:
        await self._origin.delete(location, write_id, etag, begun=begun)
        body = self._lying.get(location)
        if body is not None:
            self._lying.discard(location)
            self._tiers.drop(body)

    async def forget_removed(self) -> None:
        await self._origin.forget_removed()
        await self._tiers.forget_removed()

    async def close(self) -> None:
        await self._origin.close()
