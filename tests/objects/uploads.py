"""The steps of a multipart upload that many tests take."""

import pytest

from gateway.errors import S3Error
from gateway.objects.complete import MIN_PART_SIZE
from gateway.objects.multipart import create_upload, put_part
from gateway.objects.put import Attributes
from gateway.s3.documents import CompletePart
from gateway.store.records import UploadRecord
from tests.support.data import pattern
from tests.support.house import House, body_of

FIRST, LAST = pattern(MIN_PART_SIZE, 7), pattern(1234, 8)


async def begun(house: House, key: str = "film", algorithm=None, kind=None, **attributes) -> UploadRecord:
    return await create_upload(house.rooms, house.target(key), "ops", Attributes(**attributes), algorithm, kind)


async def parts_of(house: House, upload: UploadRecord, *bodies: bytes) -> list[CompletePart]:
    """Store these parts; gives the list for Complete."""
    listed = []
    for number, body in enumerate(bodies, 1):
        part, _ = await put_part(house.rooms, upload, number, body_of(body, piece=1 << 20))
        listed.append(CompletePart(number, part.etag, {}))
    return listed


async def refusal(work) -> S3Error:
    with pytest.raises(S3Error) as refused:
        await work
    return refused.value
