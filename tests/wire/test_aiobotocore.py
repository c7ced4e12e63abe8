"""aiobotocore: boto3's protocol over aiohttp, which cuts a framed body into other pieces."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from tests.support.clients import error_code
from tests.support.data import MIB, ODD_KEYS, pattern
from tests.support.gateway import Gateway


@pytest.fixture
async def client(any_gateway: Gateway) -> AsyncIterator[Any]:
    async with get_session().create_client(
        "s3",
        endpoint_url=any_gateway.endpoint,
        region_name="us-east-1",
        aws_access_key_id=any_gateway.access_key_id,
        aws_secret_access_key=any_gateway.secret_access_key,
        verify=str(any_gateway.ca_file) if any_gateway.ca_file else None,
    ) as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 100_000, 3 * MIB + 17])
async def test_bodies_of_any_size_come_back(client: Any, bucket: str, size: int) -> None:
    body = pattern(size)
    await client.put_object(Bucket=bucket, Key="a", Body=body)
    got = await client.get_object(Bucket=bucket, Key="a")
    async with got["Body"] as stream:
        assert await stream.read() == body


async def test_many_at_once_on_one_client(client: Any, bucket: str) -> None:
    await asyncio.gather(*(client.put_object(Bucket=bucket, Key=key, Body=key.encode()) for key in ODD_KEYS))
    listed = [
        entry["Key"]
        async for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 5}
        )
        for entry in page["Contents"]
    ]
    assert listed == sorted(ODD_KEYS, key=lambda key: key.encode())
    done = await client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ODD_KEYS]})
    assert len(done["Deleted"]) == len(ODD_KEYS)


async def test_multipart_and_range(client: Any, bucket: str) -> None:
    bodies = [pattern(5 * MIB), b"end"]
    upload_id = (await client.create_multipart_upload(Bucket=bucket, Key="big"))["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        put = await client.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": put["ETag"], "ChecksumCRC32": put["ChecksumCRC32"]})
    await client.complete_multipart_upload(
        Bucket=bucket, Key="big", UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    got = await client.get_object(Bucket=bucket, Key="big", Range="bytes=-5")
    async with got["Body"] as stream:
        assert await stream.read() == bodies[0][-2:] + b"end"


async def test_errors_are_typed(client: Any, bucket: str) -> None:
    with pytest.raises(client.exceptions.NoSuchKey):
        await client.get_object(Bucket=bucket, Key="missing")
    with pytest.raises(ClientError) as refused:
        await client.list_objects_v2(Bucket="other-media")
    assert error_code(refused) == ("AccessDenied", 403)
