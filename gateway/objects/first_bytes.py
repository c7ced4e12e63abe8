"""The first bytes of a body on its way to an object: checked against its type before anything goes on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from gateway.objects.bodies import IncomingBody
from gateway.objects.current import open_body
from gateway.objects.rooms import Rooms
from gateway.policy.media_types import HEAD_SIZE, check_bytes
from gateway.store.records import ObjectRecord


def checked(body: IncomingBody, types: Sequence[str], headers: Mapping[str, str]) -> IncomingBody:
    """The same body; its pieces raise S3Error InvalidRequest, before the first one, where it is not of its type.

    `types` are the category's content types, `headers` those of the object.
    """
    return replace(body, pieces=_checked(body.pieces, types, headers.get("content-type", "")))


async def check_stored(rooms: Rooms, record: ObjectRecord, types: Sequence[str], headers: Mapping[str, str]) -> None:
    """The same for the body of a row, which is to have these headers; raises OriginError too."""
    head, wanted = b"", min(record.size, HEAD_SIZE)
    if wanted:
        reader = await open_body(rooms, record, 0, wanted)
        try:
            while len(head) < wanted:
                head += await reader.read(len(head), wanted - len(head))
        finally:
            reader.close()
    check_bytes(types, headers.get("content-type", ""), head)


async def _checked(
    pieces: AsyncIterator[bytes | bytearray | memoryview], types: Sequence[str], declared: str
) -> AsyncIterator[bytes | bytearray | memoryview]:
    head = bytearray()
    async for piece in pieces:
        head += piece
        if len(head) >= HEAD_SIZE:
            break
    check_bytes(types, declared, bytes(head[:HEAD_SIZE]))
    yield head
    async for piece in pieces:
        yield piece
