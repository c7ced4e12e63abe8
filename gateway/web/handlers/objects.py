"""Single objects: PutObject, GetObject, HeadObject, DeleteObject, CopyObject, GetObjectAttributes."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.cache.readers import HeldReader
from gateway.errors import Code, S3Error
from gateway.objects.bodies import origin_failed
from gateway.objects.copy import CopyRequest
from gateway.objects.copy import copy_object as copy_bytes
from gateway.objects.current import Keeping
from gateway.objects.delete import delete_object as remove
from gateway.objects.get import Found, Wanted, find_bytes, object_parts, open_object
from gateway.objects.put import Attributes
from gateway.objects.put import put_object as store
from gateway.origin.base import BodyReader
from gateway.origin.errors import OriginError
from gateway.policy.model import Category
from gateway.s3.address import parse_copy_source
from gateway.s3.checksums import parse_checksum_algorithm
from gateway.s3.conditions import Conditions, parse_conditions, parse_write_condition
from gateway.s3.headers import (
    Directive,
    parse_directive,
    parse_integer,
    parse_object_attributes,
    parse_object_headers,
    parse_response_overrides,
    parse_tagging_header,
)
from gateway.s3.ranges import parse_range
from gateway.s3.results import CopyResult, ListedPart, ObjectAttributes, ObjectParts
from gateway.s3.xml import render_copy_object, render_object_attributes
from gateway.store.records import NULL_VERSION, ObjectPart, ObjectRecord
from gateway.web.answers import Answer, BodySlice, xml_answer
from gateway.web.bodies import incoming_body
from gateway.web.call import Call
from gateway.web.identity import reserved_metadata
from gateway.web.object_headers import (
    cache_headers,
    cache_state,
    checksum_headers,
    downstream_control,
    not_modified_headers,
    read_headers,
)

MAX_COPY_SIZE = 5 << 30
_MAX_PARTS = 10_000
_READ_AT_ONCE = 64 << 10
_READ_TAGS = "s3:GetObjectTagging"


async def put_object(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"""
    record = await store(
        call.rooms, call.target, incoming_body(call), attributes_of(call), parse_write_condition(call.headers)
    )
    headers = [("ETag", record.etag)]
    if record.checksum is not None:
        headers += checksum_headers(record.checksum)
    return Answer(headers=headers)


async def get_object(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""
    category = call.rules.policies.bucket(call.bucket.bucket)
    wanted, overrides = _wanted(call, category), parse_response_overrides(call.query)
    found, reader = await open_object(call.rooms, call.object, wanted)
    control = downstream_control(category)
    if reader is None:
        return read_answer(call, found, overrides, control)
    try:
        answer = read_answer(call, found, overrides, control)
        answer.headers += cache_headers(reader, call.now_s)
        answer.cache = cache_state(reader)
        if isinstance(reader, HeldReader):
            answer.body = reader.data
            return answer
        if found.size > _READ_AT_ONCE:
            answer.slice = BodySlice(reader, found.offset, found.size, found.record.origin)
            return answer
        answer.body = await _read_small(reader, found)
    except BaseException:
        reader.close()
        raise
    reader.close()
    return answer


async def _read_small(reader: BodyReader, found: Found) -> bytes:
    """A small body, whole, while an error can still be answered."""
    try:
        data = await reader.read(found.offset, found.size)
        while len(data) < found.size:
            data += await reader.read(found.offset + len(data), found.size - len(data))
    except OriginError as error:
        raise origin_failed(error, found.record.origin) from error
    return data


async def head_object(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html

    Unlike GET it says no Cache-Control that is not the object's: tools that copy objects store what HEAD has told them.
    """
    wanted, overrides = _wanted(call), parse_response_overrides(call.query)
    found = await find_bytes(call.rooms, call.object, wanted)
    answer = read_answer(call, found, overrides)
    answer.length = found.size
    return answer


async def delete_object(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html"""
    if "if-none-match" in call.headers:  # a deletion asks for what is there, never for what is not
        raise S3Error(Code.NotImplemented, Header="If-None-Match")
    only_of = call.only_of(call.bucket, call.key, *call.actions)
    await remove(call.rooms, call.bucket.bucket, call.key, parse_write_condition(call.headers), only_of)
    return Answer(204, [("x-amz-version-id", NULL_VERSION)] if "versionId" in call.query else [])


async def copy_object(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html"""
    source = await find_copy_source(call)
    if source.size > MAX_COPY_SIZE:
        raise S3Error(
            Code.InvalidRequest,
            f"The specified copy source is larger than the maximum allowable size for a copy source: {MAX_COPY_SIZE}",
        )
    metadata = parse_directive(call.headers.get("x-amz-metadata-directive"), "x-amz-metadata-directive")
    tagging = parse_directive(call.headers.get("x-amz-tagging-directive"), "x-amz-tagging-directive")
    own, uploader = attributes_of(call), reserved_metadata(call)
    _refuse_copy_onto_itself(call, source, metadata, tagging)

    def attributes(current: ObjectRecord) -> Attributes:
        if tagging is Directive.COPY:
            _require_tags(call, current)
        replaced = metadata is Directive.REPLACE
        kept = {name: value for name, value in current.metadata.items() if name != uploader}
        return Attributes(
            own.headers if replaced else current.headers,
            own.metadata if replaced else kept,
            own.tags if tagging is Directive.REPLACE else current.tags,
        )

    algorithm = call.headers.get("x-amz-checksum-algorithm")
    request = CopyRequest(
        call.target,
        attributes,
        parse_checksum_algorithm(algorithm) if algorithm else None,
        source_conditions(call),
        parse_write_condition(call.headers),
        call.may_copy,
        call.max_object_size,
    )
    record = await copy_bytes(call.rooms, source, request)
    return xml_answer(render_copy_object(_copy_result(record)))


async def get_object_attributes(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html"""
    asked = parse_object_attributes(call.headers.get("x-amz-object-attributes"))
    record, parts = call.object, None
    if "ObjectParts" in asked:
        record, parts = await object_parts(call.rooms, record, call.may_read)
    checksum = record.checksum if "Checksum" in asked else None
    result = ObjectAttributes(
        etag=record.etag if "ETag" in asked else None,
        checksums={checksum.algorithm: checksum.value.partition("-")[0]} if checksum else None,
        checksum_type=checksum.type if checksum else None,
        parts=_object_parts(call, record, parts) if parts else None,
        storage_class="STANDARD" if "StorageClass" in asked else None,
        object_size=record.size if "ObjectSize" in asked else None,
    )
    found = Found(record)
    modified = [header for header in read_headers(found) if header[0] == "Last-Modified"]
    return xml_answer(render_object_attributes(result), *modified)


def attributes_of(call: Call) -> Attributes:
    """What the request's headers say is kept with the object."""
    headers, metadata = parse_object_headers(call.headers)
    metadata.pop(reserved_metadata(call), None)
    tagging = call.headers.get("x-amz-tagging")
    return Attributes(headers, metadata, parse_tagging_header(tagging) if tagging else {})


async def find_copy_source(call: Call) -> ObjectRecord:
    """The object that x-amz-copy-source names, if the caller may read it.

    Raises S3Error: InvalidArgument, NoSuchBucket, AccessDenied (also where it does not exist and may not be read),
    NoSuchKey.
    """
    bucket_name, key, version_id = parse_copy_source(call.headers.get("x-amz-copy-source", ""))
    if version_id is not None and version_id != NULL_VERSION:
        raise S3Error(
            Code.InvalidArgument, "Invalid version id specified", ArgumentName="versionId", ArgumentValue=version_id
        )
    bucket = call.store.buckets.get(bucket_name)
    expected = call.headers.get("x-amz-source-expected-bucket-owner")
    if expected is not None and expected != bucket.project:
        raise S3Error(Code.AccessDenied)
    found = await call.find(bucket, key)
    actions = ("s3:GetObject",) if version_id is None else ("s3:GetObject", "s3:GetObjectVersion")
    call.require_object(bucket, key, found, *actions)
    if found is None:
        raise S3Error(Code.NoSuchKey, Key=key)
    return found


def _require_tags(call: Call, source: ObjectRecord) -> None:
    """Tags that a copy takes along are read there and set here; raises S3Error: AccessDenied.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    if source.tags:
        call.require(_READ_TAGS, call.store.buckets.get(source.bucket), source.key, source.uploader)
        call.require("s3:PutObjectTagging", call.bucket, call.key, call.caller.uploader)


def source_conditions(call: Call) -> Conditions:
    """A copy's conditions on its source; a date that has not come yet counts for nothing there, as for S3."""
    conditions = parse_conditions(call.headers, "x-amz-copy-source-")
    since = conditions.if_modified_since
    return replace(conditions, if_modified_since=None) if since is not None and since > call.now_s else conditions


def _refuse_copy_onto_itself(call: Call, source: ObjectRecord, metadata: Directive, tagging: Directive) -> None:
    same = (source.bucket, source.key) == (call.bucket.bucket, call.key)
    named = "x-amz-checksum-algorithm" in call.headers or "x-amz-storage-class" in call.headers
    if same and Directive.REPLACE not in (metadata, tagging) and not named:
        raise S3Error(
            Code.InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )


def _wanted(call: Call, category: Category | None = None) -> Wanted:
    headers = call.headers
    part_number = call.query.get("partNumber")
    header = headers.get("range")
    if part_number is not None and header is not None:
        raise S3Error(Code.InvalidRequest, "Cannot specify both Range header and partNumber query parameter")
    number = None
    if part_number is not None:
        number = parse_integer(part_number, "partNumber", minimum=1, maximum=_MAX_PARTS)
    keeping = Keeping(category.cache_max_object_size) if category is not None and category.cache else None
    return Wanted(
        parse_conditions(headers), parse_range(header), headers.get("if-range"), number, call.may_read, keeping
    )


def read_answer(call: Call, found: Found, overrides: dict[str, str], cache_control: str | None = None) -> Answer:
    """What GET and HEAD say of an object, without its body."""
    if found.not_modified:
        return Answer(304, not_modified_headers(found.record, cache_control))
    checksum_mode = call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    record = found.record
    tags_shown = bool(record.tags) and call.decide(_READ_TAGS, call.bucket, record.key, record.uploader).allowed
    headers = read_headers(
        found,
        overrides,
        checksum_mode=checksum_mode,
        reserved=reserved_metadata(call),
        tags_shown=tags_shown,
        cache_control=cache_control,
    )
    if "versionId" in call.query:
        headers.append(("x-amz-version-id", NULL_VERSION))
    return Answer(206 if found.partial else 200, headers)


def _object_parts(call: Call, record: ObjectRecord, parts: Sequence[ObjectPart]) -> ObjectParts:
    text = call.headers.get("x-amz-part-number-marker", "0")
    marker = parse_integer(text, "x-amz-part-number-marker", minimum=0, maximum=_MAX_PARTS)
    limit = min(
        parse_integer(call.headers.get("x-amz-max-parts", "1000"), "x-amz-max-parts", minimum=0, maximum=2**31 - 1),
        1000,
    )
    following = [part for part in parts if part.part_number > marker]
    page = following[:limit]
    algorithm = record.checksum.algorithm if record.checksum else None
    return ObjectParts(
        total=len(parts),
        part_number_marker=marker,
        next_part_number_marker=page[-1].part_number if page else 0,
        max_parts=limit,
        truncated=len(following) > limit > 0,
        parts=[
            ListedPart(
                part.part_number,
                part.size,
                checksums={algorithm: part.checksum_value} if algorithm and part.checksum_value else {},
            )
            for part in page
        ],
    )


def _copy_result(record: ObjectRecord) -> CopyResult:
    checksum = record.checksum
    return CopyResult(
        record.etag,
        record.modified_s,
        {checksum.algorithm: checksum.value} if checksum else {},
        checksum.type if checksum else None,
    )
