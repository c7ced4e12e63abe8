"""S3 origins for tests, and the steps that many tests take with one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.origin.base import BodyMeta, Checked, PartBody
from gateway.origin.providers import PROVIDERS, Provider
from gateway.origin.s3.documents import parse_uploads
from gateway.origin.s3.origin import S3Origin
from gateway.origin.s3.places import Place
from gateway.origin.s3.requests import Request
from tests.origin.s3.scripted import Seen, session_to
from tests.support.house import read_to_the_end

MIB = 1 << 20
PART = 5 * MIB
ID, OTHER_ID = "0123456789abcdef" * 2, "fedcba9876543210" * 2
PLAIN = PROVIDERS["generic"]
FULL = PROVIDERS["minio"]
COPYING = replace(PLAIN, copy_object=True)  # such as Google's: no tags, no conditions


@asynccontextmanager
async def opened(
    port: int, profile: Provider = FULL, *, retries: int = 0, sign_bodies: bool = False
) -> AsyncIterator[S3Origin]:
    origin = S3Origin(
        session_to(port, retries=retries, whole_s=20.0, first_byte_s=10.0), profile, sign_bodies=sign_bodies
    )
    try:
        yield origin
    finally:
        await asyncio.wait_for(origin.close(), 5)


def meta(bucket: str, write_id: str = ID, **fields) -> BodyMeta:
    headers = fields.pop("headers", {"content-type": "text/é"})
    return BodyMeta(bucket, "k", "ann", write_id, "", headers, {"a": "ü"}, fields.pop("tags", {"t": "1"}), **fields)


async def whole(origin: S3Origin, location: str, size: int, etag: str | None = None, offset: int = 0) -> bytes:
    reader = await origin.open(location, etag, offset, size)
    try:
        return await read_to_the_end(reader, offset, size)
    finally:
        reader.close()


async def put(origin: S3Origin, location: str, body: bytes, about: BodyMeta | None) -> str | None:
    return await origin.store(location, body, lambda: Checked(about, hashlib.md5(body).digest()))


async def written(origin: S3Origin, location: str, body: bytes, about: BodyMeta | None) -> str | None:
    writer = await origin.create(location, len(body), about)
    for start in range(0, len(body), 1000):
        await writer.write(body[start : start + 1000])
    return await writer.finish()


async def upload_of(
    origin: S3Origin, object_location: str, about: BodyMeta, *bodies: bytes
) -> tuple[str, list[PartBody]]:
    """An upload that the origin knows, with these parts in it."""
    location = await origin.begin_upload(origin.locate_upload(object_location), about)
    parts = []
    for number, body in enumerate(bodies, 1):
        part = origin.locate_part(location, number, OTHER_ID)
        parts.append(PartBody(part, len(body), await origin.store(part, body, Checked)))
    return location, parts


async def uploads_to(origin: S3Origin, bucket: str, key: str) -> list[str]:
    """The ids of all uploads that are under way to a key."""
    answer = await origin._session.document(Request("GET", Place(bucket, ""), "uploads="))
    return [upload.upload_id for upload in parse_uploads(answer) if upload.key == key]


def is_put(seen: Seen) -> bool:
    return seen.method == "PUT"


def is_post(seen: Seen) -> bool:
    return seen.method == "POST"
