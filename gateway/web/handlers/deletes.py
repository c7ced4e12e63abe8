"""DeleteObjects: up to 1,000 objects, each allowed or refused by itself."""

import asyncio

from gateway.errors import Code, S3Error
from gateway.objects.delete import delete_object
from gateway.s3.address import validate_key
from gateway.s3.conditions import WriteCondition
from gateway.s3.documents import MAX_DELETE_BYTES, DeleteTarget, parse_delete
from gateway.s3.operations import actions_of
from gateway.s3.results import DeletedObject, DeleteFailure
from gateway.s3.xml import render_delete
from gateway.store.records import NULL_VERSION
from gateway.web.answers import Answer, xml_answer
from gateway.web.call import Call
from gateway.web.denials import note_denial
from gateway.web.documents import document, parsed

_AT_ONCE = 64


async def delete_objects(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""
    async with document(call, MAX_DELETE_BYTES, needs_digest=True) as body:
        request = await parsed(call.services.parsing, parse_delete, body)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(target: DeleteTarget) -> DeleteFailure | None:
        async with turns:
            return await _delete(call, target)

    results = await asyncio.gather(*(one(target) for target in request.objects))
    failures = [failure for failure in results if failure is not None]
    deleted = [
        DeletedObject(target.key, target.version_id)
        for target, failure in zip(request.objects, results, strict=True)
        if failure is None
    ]
    return xml_answer(render_delete([] if request.quiet else deleted, failures))


async def _delete(call: Call, target: DeleteTarget) -> DeleteFailure | None:
    try:
        validate_key(target.key)
        if target.version_id not in (None, NULL_VERSION):
            raise S3Error(Code.NoSuchVersion, Key=target.key)
        if target.last_modified_s is not None or target.size is not None:
            raise S3Error(Code.NotImplemented, "Only directory buckets compare LastModifiedTime and Size.")
        found = await call.find(call.bucket, target.key)
        actions = actions_of(call.operation, versioned=target.version_id is not None)
        call.require_object(call.bucket, target.key, found, *actions)
        only_of = call.only_of(call.bucket, target.key, *actions)
        condition = None if target.etag is None else WriteCondition(if_match=target.etag)
        await delete_object(call.rooms, call.bucket.bucket, target.key, condition, only_of)
    except S3Error as error:
        if error.code is Code.AccessDenied:
            note_denial(call, error)
        return DeleteFailure(target.key, error.code.name, error.message, target.version_id)
    return None
