"""Buckets: making, removing, naming them, and what is asked of their configuration."""

import re

from gateway.errors import Code, S3Error
from gateway.objects import buckets
from gateway.s3.address import validate_bucket_name
from gateway.s3.documents import MAX_CREATE_BUCKET_BYTES, parse_create_bucket
from gateway.s3.headers import parse_integer
from gateway.s3.results import BucketList, ListedBucket, Owner
from gateway.s3.xml import (
    render_list_buckets,
    render_location,
    render_request_payment,
    render_unset,
    render_versioning,
)
from gateway.store.buckets import Bucket
from gateway.web.answers import Answer, xml_answer
from gateway.web.call import Call
from gateway.web.documents import document
from gateway.web.tokens import parse_token, render_token

_MAX_BUCKETS = 10_000
_REGION = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


async def list_buckets(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html"""
    prefix = call.query.get("prefix", "")
    limit = parse_integer(
        call.query.get("max-buckets", str(_MAX_BUCKETS)), "max-buckets", minimum=1, maximum=_MAX_BUCKETS
    )
    after = parse_token(call.query.get("continuation-token"))
    project, here = call.caller.project, region(call)
    wanted = call.query.get("bucket-region", here)
    if not _REGION.fullmatch(wanted):
        raise S3Error(Code.InvalidArgument, ArgumentName="bucket-region", ArgumentValue=wanted[:64])
    visible = [
        bucket
        for bucket in call.store.buckets.of_project(project)
        if bucket.bucket.startswith(prefix)
        and bucket.bucket > after
        and wanted == here
        and call.decide("s3:ListBucket", bucket).allowed
    ]
    page = visible[:limit]
    result = BucketList(
        Owner(project, project),
        [ListedBucket(bucket.bucket, bucket.created_s, here if call.query else None) for bucket in page],
        prefix or None,
        render_token(page[-1].bucket) if len(page) < len(visible) else None,
    )
    return xml_answer(render_list_buckets(result))


async def create_bucket(call: Call) -> Answer:
    """A new category of the caller's project, with the project's defaults.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    """
    name, caller = call.address.bucket or "", call.caller
    validate_bucket_name(name)
    found = call.found_bucket
    if found is not None:
        owned = found.project == caller.project
        raise S3Error(Code.BucketAlreadyOwnedByYou if owned else Code.BucketAlreadyExists, BucketName=name)
    project = call.rules.policies.project(caller.project)
    new = Bucket(name, caller.project, name, project.origin if project else "", name, "", "client", call.now_s)
    call.require("s3:CreateBucket", new)
    async with document(call, MAX_CREATE_BUCKET_BYTES) as body:
        parse_create_bucket(body)
    await buckets.create_bucket(call.rooms, new)
    return Answer(headers=[("Location", f"/{name}")])


async def delete_bucket(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html"""
    if call.rules.policies.bucket(call.bucket.bucket) is not None:
        raise S3Error(Code.AccessDenied, "This bucket is a category of a policy file; it is removed there.")
    await call.store.buckets.delete(call.bucket.bucket)
    call.rooms.collector.notice_all()
    return Answer(204)


async def head_bucket(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html"""
    return Answer(headers=[("x-amz-bucket-region", region(call)), ("x-amz-access-point-alias", "false")], length=0)


async def get_bucket_location(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html"""
    found = region(call)
    return xml_answer(render_location(None if found == "us-east-1" else found))


async def get_bucket_versioning(_call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html"""
    return xml_answer(render_versioning())


async def get_request_payment(_call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketRequestPayment.html"""
    return xml_answer(render_request_payment())


async def get_unset(call: Call) -> Answer:
    """A configuration that was never set, and whose absence is an empty document."""
    return xml_answer(render_unset(call.operation.name))


def region(call: Call) -> str:
    """The region clients are told: the first that signatures may name, us-east-1 where any may."""
    regions = call.services.settings.server.regions
    return min(regions) if regions else "us-east-1"
