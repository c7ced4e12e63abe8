"""Making a bucket that a client asks for: at its origin first, so that no bucket is ours that nothing can be put into.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
"""

import logging

from gateway.errors import Code, S3Error
from gateway.objects.bodies import origin_failed
from gateway.objects.rooms import Rooms
from gateway.origin.errors import BucketRefused, BucketTaken, OriginError
from gateway.store.buckets import Bucket

_log = logging.getLogger("anbar.origin")


async def create_bucket(rooms: Rooms, bucket: Bucket) -> None:
    """Make a bucket. One that stays empty at the origin, as its row could not be written, is as good the next time.

    Raises S3Error: BucketAlreadyExists (also where the origin has such a bucket with anything in it: a client must not
    get at what it has not stored), BucketAlreadyOwnedByYou, AccessDenied (the origin makes none), SlowDown,
    ServiceUnavailable.
    """
    try:
        await rooms.origin(bucket.origin).make_bucket(bucket.origin_bucket)
    except BucketTaken as error:
        _log.warning(
            "origin %s: a client of project %s asked for the bucket %s, which is not empty there, or somebody else's; "
            "a category of a policy can have it",
            bucket.origin,
            bucket.project,
            bucket.origin_bucket,
        )
        raise S3Error(Code.BucketAlreadyExists, BucketName=bucket.bucket) from error
    except BucketRefused as error:
        _log.error(
            "origin %s makes no bucket %s, which a client of project %s asked for; make it there, or let the gateway's "
            "key list and make buckets: %s",
            bucket.origin,
            bucket.origin_bucket,
            bucket.project,
            error,
        )
        message = "The storage behind this gateway makes no bucket of this name: its operator can."
        raise S3Error(Code.AccessDenied, message) from error
    except OriginError as error:
        raise origin_failed(error, bucket.origin) from error
    await rooms.store.buckets.create(bucket)
