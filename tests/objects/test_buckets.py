"""Buckets that clients ask for: at the origin first, and nothing there that a client has not stored becomes its own."""

from dataclasses import replace

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.buckets import create_bucket
from gateway.origin.errors import BucketRefused, OriginDown, OriginError
from tests.support.house import MEDIA, House
from tests.support.memory_origin import MemoryOrigin

NEW = replace(MEDIA, bucket="new", category="new", origin_bucket="new", source="client")


async def refused(house: House) -> S3Error:
    with pytest.raises(S3Error) as error:
        await create_bucket(house.rooms, NEW)
    return error.value


async def test_a_bucket_is_made_at_its_origin_and_then_here(house: House, origin: MemoryOrigin) -> None:
    await create_bucket(house.rooms, NEW)
    assert house.store.buckets.find("new") == NEW
    assert origin.faults.seen == ["make_bucket"]


async def test_what_lies_in_a_bucket_of_the_origin_is_no_clients(house: House, origin: MemoryOrigin, caplog) -> None:
    origin.bodies["new/secret"] = b"x"
    assert (await refused(house)).code is Code.BucketAlreadyExists
    assert house.store.buckets.find("new") is None
    assert "local" in caplog.text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BucketRefused("why"), Code.AccessDenied),
        (OriginDown("why"), Code.SlowDown),
        (OriginError("why"), Code.ServiceUnavailable),
    ],
)
async def test_an_origin_that_makes_none_is_named_to_the_operator_alone(
    house: House, origin: MemoryOrigin, caplog, error: OriginError, code: Code
) -> None:
    origin.faults.fail("make_bucket", error=error)
    told = await refused(house)
    assert told.code is code
    assert "local" not in told.message
    assert "why" not in told.message
    assert "local" in caplog.text
    assert "why" in caplog.text
    assert house.store.buckets.find("new") is None
    await create_bucket(house.rooms, NEW)
