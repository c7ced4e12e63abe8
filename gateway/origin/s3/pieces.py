"""A body whose size nobody knows before its end: collected in pieces, which become the parts of an upload of our own.

A browser's form says only how long all of it is. What fits into one piece is stored as any small body.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.origin.base import BodyMeta, Checked, PartBody, StoredBody
from gateway.origin.errors import OriginDown, OriginError, OutcomeUnknown

PIECE = 8 << 20
"""Bytes of a piece; S3 takes parts from 5 MiB on, and 10,000 of them: more than the largest form has."""

MOST_AT_ONCE = 16
"""Bodies that may hold a piece in memory at a time; others wait for their turn."""

_TURN_S = 10.0
"""Then one that waits is told to come again: those that have a turn may be as slow as their clients."""

_MD5_ETAG = re.compile(r'"([0-9a-f]{32})"\Z')


class PiecesOrigin(Protocol):
    """What the writer needs of its origin."""

    pieces_turns: asyncio.Semaphore

    def locate_upload(self, object_location: str) -> str: ...

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str: ...

    async def store(self, location: str, data: bytes, check: Callable[[], Checked]) -> str | None: ...

    async def begin_upload(self, location: str, meta: BodyMeta) -> str: ...

    async def assemble(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody: ...

    async def delete(self, location: str, write_id: str = "") -> None: ...


class PiecesWriter:
    """A body of unknown size, or of one too large for a single request, on its way to the origin."""

    def __init__(self, origin: PiecesOrigin, location: str, meta: BodyMeta | None, size: int | None = None) -> None:
        if meta is None:
            raise OriginError(f"{location}: a part of unknown size")
        self._origin = origin
        self._meta = meta
        self._size = size
        self._written = 0
        self._piece = bytearray()
        self._upload: str | None = None
        self._parts: list[PartBody] = []
        self._has_turn = False
        self._ended = False
        self.location = location

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._has_turn:
            await self._take_turn()
        self._piece += data
        self._written += len(data)
        if len(self._piece) >= PIECE:
            await self._send()

    async def finish(self, etag: str | None = None) -> str | None:
        if self._size not in (None, self._written):
            raise OriginError(f"{self.location}: {self._written} bytes were written, {self._size} announced")
        if self._upload is None:
            found = await self._origin.store(
                self.location, bytes(self._piece), lambda: Checked(self._meta, _md5_of(etag))
            )
        else:
            if self._piece:
                await self._send()
            found = (await self._origin.assemble(self._upload, self._parts, self._meta)).etag
        self._end()
        return found

    async def abort(self) -> None:
        """Raises OutcomeUnknown where the upload is still there: nobody but us knows that there is one."""
        if not self._ended:
            self._end()
            if self._upload is not None:
                try:
                    await self._origin.delete(self._upload, self._meta.write_id)
                except OriginError as error:
                    raise OutcomeUnknown(f"{self._upload}: its pieces are left: {error}") from error

    async def _take_turn(self) -> None:
        """Raises OriginDown: nobody else was done in time."""
        try:
            async with asyncio.timeout(_TURN_S):
                await self._origin.pieces_turns.acquire()
        except TimeoutError as error:
            raise OriginDown(f"{self.location}: {MOST_AT_ONCE} other bodies are collected in pieces") from error
        self._has_turn = True

    async def _send(self) -> None:
        if self._upload is None:
            self._upload = await self._origin.begin_upload(self._origin.locate_upload(self.location), self._meta)
        number = len(self._parts) + 1
        location = self._origin.locate_part(self._upload, number, self._meta.write_id)
        data, self._piece = bytes(self._piece), bytearray()
        self._parts.append(PartBody(location, len(data), await self._origin.store(location, data, Checked)))

    def _end(self) -> None:
        self._ended = True
        self._piece = bytearray()
        if self._has_turn:
            self._has_turn = False
            self._origin.pieces_turns.release()


def _md5_of(etag: str | None) -> bytes | None:
    found = _MD5_ETAG.match(etag or "")
    return bytes.fromhex(found[1]) if found else None
