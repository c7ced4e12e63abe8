"""Tags: the catalog decides, the origin's copy follows as well as it can."""

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.delete import delete_object
from gateway.objects.describe import set_tags
from gateway.objects.put import Attributes


async def test_tags_are_replaced_in_the_catalog_and_beside_the_body(house, origin):
    record = await house.put("k", b"abc", attributes=Attributes({}, {"m": "1"}, {"old": "1"}))
    await set_tags(house.rooms, record, {"new": "2"})
    found = await house.find("k")
    assert found is not None
    assert (found.tags, found.metadata, found.etag) == ({"new": "2"}, {"m": "1"}, record.etag)
    meta = origin.metas[record.location]
    assert (meta.tags, meta.metadata) == ({"new": "2"}, {"m": "1"})
    house.is_clean(origin.locations)


async def test_an_origin_that_cannot_follow_changes_nothing_for_clients(house, origin):
    record = await house.put("k", b"abc")
    origin.faults.fail("describe")
    await set_tags(house.rooms, record, {"new": "2"})
    found = await house.find("k")
    assert found is not None
    assert found.tags == {"new": "2"}


async def test_a_deleted_object_is_no_such_key(house, origin):
    record = await house.put("k", b"abc")
    await delete_object(house.rooms, "demo-media", "k", None)
    with pytest.raises(S3Error) as refused:
        await set_tags(house.rooms, record, {})
    assert refused.value.code is Code.NoSuchKey
    assert origin.locations == set()
