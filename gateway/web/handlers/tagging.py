"""The tags of an object: PutObjectTagging, GetObjectTagging, DeleteObjectTagging."""

from collections.abc import Mapping

from gateway.objects.describe import set_tags
from gateway.s3.documents import parse_tagging
from gateway.s3.xml import render_tagging
from gateway.web.answers import Answer, xml_answer
from gateway.web.bodies import read_document
from gateway.web.call import Call


async def get_object_tagging(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html"""
    return xml_answer(render_tagging(call.object.tags))


async def put_object_tagging(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html"""
    await _replace(call, parse_tagging(await read_document(call, needs_digest=False)))
    return Answer()


async def delete_object_tagging(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectTagging.html"""
    await _replace(call, {})
    return Answer(204)


async def _replace(call: Call, tags: Mapping[str, str]) -> None:
    record = call.object
    await set_tags(call.rooms, record, tags, call.only_of(call.bucket, record.key, *call.actions))
