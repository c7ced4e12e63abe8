"""The tags of an object: PutObjectTagging, GetObjectTagging, DeleteObjectTagging."""

from collections.abc import Mapping

from gateway.objects.describe import set_tags
from gateway.s3.documents import MAX_TAGGING_BYTES, parse_tagging
from gateway.s3.xml import render_tagging
from gateway.web.answers import Answer, xml_answer
from gateway.web.call import Call
from gateway.web.documents import document


async def get_object_tagging(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html"""
    return xml_answer(render_tagging(call.object.tags))


async def put_object_tagging(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html"""
    async with document(call, MAX_TAGGING_BYTES) as body:
        tags = parse_tagging(body)
    await _replace(call, tags)
    return Answer()


async def delete_object_tagging(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectTagging.html"""
    await _replace(call, {})
    return Answer(204)


async def _replace(call: Call, tags: Mapping[str, str]) -> None:
    record = call.object
    await set_tags(call.rooms, record, tags, call.only_of(call.bucket, record.key, *call.actions))
