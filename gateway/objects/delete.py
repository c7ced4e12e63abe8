"""Removing an object: out of the catalog, then its bytes, then what they were charged.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
"""

from gateway.objects.rooms import Rooms
from gateway.s3.conditions import WriteCondition


async def delete_object(rooms: Rooms, bucket: str, key: str, condition: WriteCondition | None) -> None:
    """Remove an object if it is there; when this returns its bytes are gone and given back.

    An origin that cannot remove them now is asked again later: the object is gone for clients, and stays charged.
    Raises S3Error: NoSuchBucket, PreconditionFailed, SlowDown.
    """
    await rooms.background.finish(_delete(rooms, bucket, key, condition), "delete")


async def _delete(rooms: Rooms, bucket: str, key: str, condition: WriteCondition | None) -> None:
    garbage = await rooms.store.catalog.delete(bucket, key, condition)
    if garbage is not None:
        await rooms.collector.collect([garbage])
