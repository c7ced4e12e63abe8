"""Removing an object: out of the catalog, then its bytes, then what they were charged.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
"""

from gateway.objects.rooms import Rooms
from gateway.s3.conditions import WriteCondition


async def delete_object(
    rooms: Rooms, bucket: str, key: str, condition: WriteCondition | None, only_of: str | None = None
) -> None:
    """Remove an object if it is there; when this returns its bytes are gone and given back.

    `only_of`: the uploader whose object may be removed, and nobody else's; None: anybody's.

    An origin that cannot remove them now is asked again later: the object is gone for clients, and stays charged.
    Raises S3Error: NoSuchBucket, AccessDenied (it is somebody else's), PreconditionFailed, SlowDown.
    """
    await rooms.background.finish(_delete(rooms, bucket, key, condition, only_of), "delete")


async def _delete(rooms: Rooms, bucket: str, key: str, condition: WriteCondition | None, only_of: str | None) -> None:
    garbage = await rooms.store.catalog.delete(bucket, key, condition, only_of)
    if garbage is not None:
        await rooms.collector.collect([garbage])
