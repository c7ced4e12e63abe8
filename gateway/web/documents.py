"""Bodies that are read whole before anything is done with them: XML documents, and the forms of STS.

Nothing can be made of half a document, so all of it is in memory: no more than its operation could need, refused on its
length where that is told. The first bytes of each are free, as a piece of any body is, and bounded by the connections.
What comes on top is taken from the memory of all bodies as it comes: who announces much and sends nothing has nothing.
Large ones are parsed beside the loop, so that others are answered meanwhile.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from gateway.errors import Code, S3Error
from gateway.s3.checksums import (
    BodyHasher,
    parse_checksum_headers,
    verify_checksum,
    verify_content_md5,
    verify_payload_sha256,
)
from gateway.s3.headers import parse_content_length, parse_content_md5
from gateway.stream_memory import SMALL
from gateway.threads import Threads
from gateway.web.bodies import received
from gateway.web.call import Call

T = TypeVar("T")

AT_ONCE: Final = 64 << 10
"""Bytes that are parsed in the loop: they take some milliseconds, and every ordinary document is smaller."""

_FREE: Final = SMALL


@asynccontextmanager
async def whole_body(call: Call, limit: int) -> AsyncIterator[bytes]:
    """All of a body of at most `limit` bytes; its memory is counted as long as this is open.

    Raises S3Error: MaxMessageLengthExceeded, SlowDown (there is no memory for it now), and what `received` raises.
    """
    length = parse_content_length(call.headers)
    if length is not None and length > limit:
        raise _too_long(limit)
    budget, counted = call.rooms.budget, 0
    data = bytearray()
    try:
        async for piece in received(call):
            size = len(data) + len(piece)
            if size > limit:  # it had not told its length
                raise _too_long(limit)
            more = max(size - _FREE - counted, 0)
            if not budget.take_kept(more):
                raise S3Error(Code.SlowDown)
            counted += more
            data += piece
            del piece  # it is not needed while the next one is waited for
        body = bytes(data)
        del data
        yield body
    finally:
        budget.give(counted)


@asynccontextmanager
async def document(
    call: Call, limit: int, *, needs_digest: bool = False, of_object: bool = False
) -> AsyncIterator[bytes]:
    """The document of a request, verified; with `needs_digest` it must come with Content-MD5 or a checksum.

    `of_object`: checksum headers speak of the object that the document is about, not of the document.

    Raises S3Error: BadDigest, InvalidDigest, XAmzContentSHA256Mismatch, InvalidRequest, and what `whole_body` raises.
    """
    async with whole_body(call, limit) as body:
        _verify(call, body, needs_digest=needs_digest, of_object=of_object)
        yield body


async def parsed(threads: Threads, parse: Callable[[bytes], T], body: bytes) -> T:
    """What `parse` makes of a document; raises what it raises."""
    if len(body) <= AT_ONCE:
        return parse(body)
    return await threads.run(parse, body)


def _verify(call: Call, body: bytes, *, needs_digest: bool, of_object: bool) -> None:
    sha256_hex = call.verified.payload.sha256_hex if call.verified else None
    md5 = parse_content_md5(call.headers)
    checksum = None if of_object else parse_checksum_headers(call.headers)
    if needs_digest and md5 is None and checksum is None:
        raise S3Error(Code.InvalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    hasher = BodyHasher(md5 is not None, sha256_hex is not None, checksum.algorithm if checksum else None)
    hasher.update(body)
    if sha256_hex is not None:
        verify_payload_sha256(sha256_hex, hasher.sha256_hex)
    if md5 is not None:
        verify_content_md5(md5, hasher.md5_digest)
    if checksum is not None:
        verify_checksum(checksum, hasher.checksum)


def _too_long(limit: int) -> S3Error:
    return S3Error(Code.MaxMessageLengthExceeded, MaxMessageLengthBytes=limit)
