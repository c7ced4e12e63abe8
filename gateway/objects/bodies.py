"""Taking in a body: hashed while it arrives, written to the origin, its last bytes held back until all claims hold."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from gateway.errors import Code, S3Error
from gateway.objects.beside import Writing
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyMeta, BodyWriter, Checked
from gateway.origin.errors import (
    BodyChanged,
    BodyExists,
    BodyNotFound,
    MetadataTooLarge,
    OriginDown,
    OriginError,
    OriginFull,
    UploadNotFound,
)
from gateway.s3.checksums import (
    Algorithm,
    BodyHasher,
    Checksum,
    verify_checksum,
    verify_content_md5,
    verify_payload_sha256,
)
from gateway.stream_memory import LARGE, SMALL, HeldPieces

BLOCK = LARGE
"""Bytes of a block that is hashed and written at once; fewer where many bodies are under way."""

_SMALL_PIECE = 4 << 10
_log = logging.getLogger("anbar.origin")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a client says of a body. `checksum` is asked for when the body has ended: a trailer may carry it."""

    sha256_hex: str | None = None
    md5: bytes | None = None
    algorithm: Algorithm | None = None
    checksum: Callable[[], Checksum | None] = field(default=lambda: None)


@dataclass(frozen=True, slots=True)
class IncomingBody:
    """A body of `size` bytes, or, unless `exact`, of at most as many (a form tells no more).

    `pieces` raises S3Error where the body is not what was announced.
    """

    size: int
    pieces: AsyncIterator[bytes | bytearray | memoryview]
    claims: Claims = field(default_factory=Claims)
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Digests:
    """What a body was found to be; `size` in bytes. `kept` is the checksum to be stored, mostly the sender's own.

    `etag` is the object's, `origin_etag` what the origin calls it. `md5`: None where only the origin has computed it.
    """

    size: int
    md5: bytes | None
    checksum: Checksum
    kept: Checksum
    sha256_hex: str | None = None
    origin_etag: str | None = None

    @property
    def etag(self) -> str:
        etag = self.origin_etag if self.md5 is None else f'"{self.md5.hex()}"'
        if etag is None:  # it is computed here wherever the origin does not
            raise AssertionError("a body without an MD5")
        return etag


class _Measure:
    """What is computed over a body while it arrives: what its sender claims, and the checksum that is kept.

    `md5`: also where nobody claims it. It costs more than everything else together.
    """

    def __init__(self, claims: Claims, keep: Algorithm | None, *, md5: bool) -> None:
        algorithm = claims.algorithm or keep or Algorithm.CRC64NVME  # S3's choice where nobody names one
        self._claims = claims
        self._md5 = md5 or claims.md5 is not None
        self._hasher = BodyHasher(md5=self._md5, sha256=claims.sha256_hex is not None, algorithm=algorithm)
        self._kept = None if keep in (None, algorithm) else BodyHasher(md5=False, sha256=False, algorithm=keep)

    def update(self, data: bytes) -> None:
        self._hasher.update(data)
        if self._kept is not None:
            self._kept.update(data)

    def verified(self, size: int) -> Digests:
        """The digests, if all claims hold; raises S3Error: BadDigest, XAmzContentSHA256Mismatch."""
        claims, checksum = self._claims, self._hasher.checksum
        if claims.sha256_hex is not None:
            verify_payload_sha256(claims.sha256_hex, self._hasher.sha256_hex)
        if claims.md5 is not None:
            verify_content_md5(claims.md5, self._hasher.md5_digest)
        claimed = claims.checksum()
        if claimed is not None:
            verify_checksum(claimed, checksum)
        kept = checksum if self._kept is None else self._kept.checksum
        if checksum is None or kept is None:  # an algorithm was always asked for
            raise AssertionError("a body without a checksum")
        return Digests(size, self._hasher.md5_digest if self._md5 else None, checksum, kept, claims.sha256_hex)


async def take_in(
    rooms: Rooms,
    writing: Writing,
    body: IncomingBody,
    meta: BodyMeta | None,
    *,
    keep: Algorithm | None = None,
) -> Digests:
    """Write a body to its place, which may turn out to be one beside its key; it is whole, verified and durable then.

    `meta` is what the origin keeps with it, its ETag aside; of a part: nothing. `keep` names the checksum to be stored
    where it is not the sender's.
    Raises S3Error: what the body's pieces and claims raise, and ServiceUnavailable or SlowDown for the origin. Nothing
    is left at the origin but, perhaps, unfinished bytes at the place that the intent names.
    """
    held = 2 * body.size  # its pieces, and the whole
    try:
        if body.size > rooms.limits.small_body or not rooms.budget.take(held):
            return await _take_streamed(rooms, writing, body, meta, keep)
        try:
            return await _take_small(writing, body, meta, keep)
        finally:
            rooms.budget.give(held)
    except OriginError as error:
        raise origin_failed(error, writing.intent.origin) from error


def origin_failed(error: OriginError, origin: str) -> S3Error:
    """What a client is told when an origin could not do its part; the operator is told what it was."""
    if isinstance(error, BodyNotFound | BodyChanged):
        _log.critical("a body is gone from origin %s: %s", origin, error)
        return S3Error(Code.InternalError, "The object's data cannot be found.")
    if isinstance(error, UploadNotFound):
        _log.info("a part came to an upload that had ended: %s", error)
        return S3Error(Code.NoSuchUpload)
    if isinstance(error, OriginFull):
        _log.error("origin %s is full: %s", origin, error)
        return S3Error(Code.ServiceUnavailable, "The storage behind this gateway is full.")
    if isinstance(error, MetadataTooLarge):
        return S3Error(Code.MetadataTooLarge)
    if isinstance(error, BodyExists):
        _log.error("origin %s has an object that the catalog does not know: %s", origin, error)
        return S3Error(Code.OperationAborted, "The storage behind this gateway has another object of this name.")
    _log.error("origin %s failed: %s", origin, error)
    return S3Error(Code.SlowDown if isinstance(error, OriginDown) else Code.ServiceUnavailable)


async def _take_small(writing: Writing, body: IncomingBody, meta: BodyMeta | None, keep: Algorithm | None) -> Digests:
    pieces: list[bytes | bytearray | memoryview] = []
    async for piece in body.pieces:
        _gather(pieces, piece)
    data = b"".join(pieces)
    pieces.clear()
    # A part has no checksum at the origin: there all of an upload's must be of the kind that it was begun with.
    confirmed = writing.origin.confirms_checksums and meta is not None
    measure = _Measure(body.claims, keep, md5=not confirmed)
    found: list[Digests] = []

    def check() -> Checked:
        """In the thread that writes: one hop for the hash and the disk."""
        if not found:  # beside the key it need not be hashed once more
            measure.update(data)
            found.append(measure.verified(len(data)))
        digests = found[0]
        if digests.md5 is None:
            checksum = digests.checksum
            return Checked(meta, None, digests.sha256_hex, (checksum.algorithm.header, checksum.value))
        return Checked(_with_etag(meta, digests.etag), digests.md5, digests.sha256_hex)

    etag = await writing.or_beside(lambda location: writing.origin.store(location, data, check))
    return replace(found[0], origin_etag=etag)


async def _take_streamed(
    rooms: Rooms, writing: Writing, body: IncomingBody, meta: BodyMeta | None, keep: Algorithm | None
) -> Digests:
    """One that is gone when it is refused. A look at its place costs little beside a body of such a size."""
    if body.size > rooms.limits.small_body:
        await writing.look_first()
    try:
        return await _stream(rooms, writing, body, meta, keep)
    except BodyExists as error:
        if not await writing.step_aside():
            raise
        raise S3Error(Code.SlowDown, "Something else lies where the object should be. Please try again.") from error


async def _stream(
    rooms: Rooms, writing: Writing, body: IncomingBody, meta: BodyMeta | None, keep: Algorithm | None
) -> Digests:
    origin = writing.origin
    whole = body.exact and origin.md5_etags  # then the origin computes it, and nobody need do it twice
    measure = _Measure(body.claims, keep, md5=not whole)
    size = body.size if body.exact else None
    writer = await origin.create(writing.intent.location, size, meta, body.claims.sha256_hex)
    try:
        with rooms.stream_memory.stream() as held:
            blocks = _Blocks(rooms, writer, measure, held)
            last, count = await _write_blocks(blocks, body)
            digests = measure.verified(count)
            await writer.write(last)
        etag = await writer.finish(None if digests.md5 is None else digests.etag)
        return replace(digests, origin_etag=etag)
    except BaseException:
        await rooms.background.finish(writer.abort(), "abort")
        raise


def _with_etag(meta: BodyMeta | None, etag: str) -> BodyMeta | None:
    """A copy keeps its source's ETag, whatever its own bytes say."""
    return meta if meta is None or meta.etag else replace(meta, etag=etag)


async def _write_blocks(blocks: "_Blocks", body: IncomingBody) -> tuple[bytes, int]:
    """Hash all of a body and write all but its last block, which is given back with the body's size."""
    size = 0
    try:
        async for piece in body.pieces:
            if blocks.full:
                await blocks.write()
            blocks.add(piece)
            size += len(piece)
            if blocks.full and body.exact and size < body.size:  # it is not the last one: nothing need be waited for
                await blocks.write()
        return await blocks.last(), size
    finally:
        await blocks.settle()


class _Blocks:
    """The blocks of a body on their way to the origin.

    While a block is hashed and written the next one arrives, unless there are so many bodies that blocks are small:
    then there is one at a time. A block is joined once it is whole: one that grew with each piece was copied each time.
    """

    def __init__(self, rooms: Rooms, writer: BodyWriter, measure: _Measure, held: HeldPieces) -> None:
        self._rooms = rooms
        self._writer = writer
        self._measure = measure
        self._held = held
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._size = 0
        self._room = held.take()
        self._busy: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        return self._size >= self._room

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        _gather(self._pieces, piece)
        self._size += len(piece)

    async def write(self) -> None:
        """Begin to write the block, once the one before it is written."""
        await self._written()
        self._busy = asyncio.ensure_future(self._hash_and_write(self._block(), self._room))
        self._room = self._held.take()
        if self._room <= SMALL:
            await self._written()

    async def last(self) -> bytes:
        """Everything before it is written, and it is hashed."""
        await self._written()
        block = self._block()
        await self._rooms.hashing.run(self._measure.update, block)
        return block

    async def settle(self) -> None:
        """Wait until nothing is being written any more."""
        if self._busy is not None:
            await _ended(self._busy)

    async def _written(self) -> None:
        if self._busy is not None:
            await self._busy
            self._busy = None

    def _block(self) -> bytes:
        pieces, self._pieces, self._size = self._pieces, [], 0
        return b"".join(pieces)

    async def _hash_and_write(self, block: bytes, room: int) -> None:
        await asyncio.gather(self._rooms.hashing.run(self._measure.update, block), self._writer.write(block))
        self._held.drop(room)


def _gather(pieces: list[bytes | bytearray | memoryview], piece: bytes | bytearray | memoryview) -> None:
    """Add a piece; small ones become one, so that no number of them takes more memory than their bytes."""
    if len(piece) >= _SMALL_PIECE:
        pieces.append(piece if _is_constant(piece) else bytes(piece))
    elif pieces and isinstance(pieces[-1], bytearray):
        pieces[-1] += piece
    else:
        pieces.append(bytearray(piece))


def _is_constant(piece: bytes | bytearray | memoryview) -> bool:
    """Will nobody change it, so that it need not be copied?"""
    return isinstance(piece.obj if isinstance(piece, memoryview) else piece, bytes)


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for a block to be written, however often the waiter is cancelled: its descriptor must stay open so long."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
