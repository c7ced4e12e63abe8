"""Taking in a body: hashed while it arrives, written to the origin, its last bytes held back until all claims hold."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from gateway.errors import Code, S3Error
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyMeta, BodyWriter, Origin
from gateway.origin.errors import BodyNotFound, OriginError, OriginFull
from gateway.s3.checksums import (
    Algorithm,
    BodyHasher,
    Checksum,
    verify_checksum,
    verify_content_md5,
    verify_payload_sha256,
)

BLOCK = 256 << 10
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
    """What a body was found to be; `size` in bytes."""

    size: int
    md5: bytes
    checksum: Checksum

    @property
    def etag(self) -> str:
        return f'"{self.md5.hex()}"'


async def take_in(
    rooms: Rooms, name: str, location: str, body: IncomingBody, meta: Callable[[Digests], BodyMeta | None]
) -> Digests:
    """Write a body to `location` at the origin of this name; when this returns it is whole, verified and durable.

    Raises S3Error: what the body's pieces and claims raise, and ServiceUnavailable for the origin. Nothing is left at
    the origin but, perhaps, unfinished bytes at `location`, which the caller's intent names.
    """
    origin = rooms.origin(name)
    algorithm = body.claims.algorithm or Algorithm.CRC64NVME  # as S3 does where the client names none
    hasher = BodyHasher(md5=True, sha256=body.claims.sha256_hex is not None, algorithm=algorithm)
    try:
        held = 2 * body.size  # its pieces, and the whole
        if body.size <= rooms.limits.small_body and rooms.budget.take(held):
            try:
                return await _take_small(origin, location, body, hasher, meta)
            finally:
                rooms.budget.give(held)
        return await _stream(rooms, origin, location, body, hasher, meta)
    except OriginError as error:
        raise origin_failed(error, name) from error


def origin_failed(error: OriginError, origin: str) -> S3Error:
    """What a client is told when an origin could not do its part; the operator is told what it was."""
    if isinstance(error, BodyNotFound):
        _log.critical("a body is gone from origin %s: %s", origin, error)
        return S3Error(Code.InternalError, "The object's data cannot be found.")
    if isinstance(error, OriginFull):
        _log.error("origin %s is full: %s", origin, error)
        return S3Error(Code.ServiceUnavailable, "The storage behind this gateway is full.")
    _log.error("origin %s failed: %s", origin, error)
    return S3Error(Code.ServiceUnavailable)


async def _take_small(
    origin: Origin,
    location: str,
    body: IncomingBody,
    hasher: BodyHasher,
    meta: Callable[[Digests], BodyMeta | None],
) -> Digests:
    data = b"".join([bytes(piece) async for piece in body.pieces])
    found: list[Digests] = []

    def check() -> BodyMeta | None:
        """In the thread that writes: one hop for the hash and the disk."""
        hasher.update(data)
        found.append(_verified(body.claims, hasher, len(data)))
        return meta(found[0])

    await origin.store(location, data, check)
    return found[0]


async def _stream(
    rooms: Rooms,
    origin: Origin,
    location: str,
    body: IncomingBody,
    hasher: BodyHasher,
    meta: Callable[[Digests], BodyMeta | None],
) -> Digests:
    writer = await origin.create(location, body.size if body.exact else None)
    try:
        last, size = await _write_blocks(rooms, writer, body, hasher)
        digests = _verified(body.claims, hasher, size)
        await writer.write(last)
        await writer.finish(meta(digests))
        return digests
    except BaseException:
        await rooms.background.finish(writer.abort(), "abort")
        raise


async def _write_blocks(
    rooms: Rooms, writer: BodyWriter, body: IncomingBody, hasher: BodyHasher
) -> tuple[bytearray, int]:
    """Hash all of a body and write all but its last block, which is given back with the body's size.

    While a block is hashed and written the next one arrives.
    """
    block = bytearray()
    size = 0
    busy: asyncio.Task[None] | None = None
    try:
        async for piece in body.pieces:
            if len(block) >= BLOCK:
                if busy is not None:
                    await busy
                busy = asyncio.ensure_future(_hash_and_write(rooms, writer, hasher, block))
                block = bytearray()
            block += piece
            size += len(piece)
        if busy is not None:
            await busy
    finally:
        if busy is not None and not busy.done():
            await asyncio.wait([busy])
    await rooms.hashing.run(hasher.update, block)
    return block, size


async def _hash_and_write(rooms: Rooms, writer: BodyWriter, hasher: BodyHasher, block: bytearray) -> None:
    await asyncio.gather(rooms.hashing.run(hasher.update, block), writer.write(block))


def _verified(claims: Claims, hasher: BodyHasher, size: int) -> Digests:
    """The digests of a body that is what its client said; raises S3Error: BadDigest, XAmzContentSHA256Mismatch."""
    md5, checksum = hasher.md5_digest, hasher.checksum
    if claims.sha256_hex is not None:
        verify_payload_sha256(claims.sha256_hex, hasher.sha256_hex)
    if claims.md5 is not None:
        verify_content_md5(claims.md5, md5)
    claimed = claims.checksum()
    if claimed is not None:
        verify_checksum(claimed, checksum)
    if checksum is None:  # an algorithm was always asked for
        raise AssertionError("a body without a checksum")
    return Digests(size, md5, checksum)
