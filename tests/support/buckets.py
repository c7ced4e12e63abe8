"""Buckets for tests of what lies in them."""

from gateway.store.buckets import Bucket, Buckets


async def make_buckets(buckets: Buckets, *wanted: Bucket) -> None:
    """Make those that are not there yet."""
    await buckets.load()
    for bucket in wanted:
        if buckets.find(bucket.bucket) is None:
            await buckets.create(bucket)
