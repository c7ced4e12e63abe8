"""Multipart uploads, from CreateMultipartUpload to CompleteMultipartUpload and AbortMultipartUpload."""

from gateway.errors import Code, S3Error
from gateway.objects import complete, multipart
from gateway.s3.checksums import (
    Algorithm,
    ChecksumType,
    check_checksum_type,
    parse_checksum_algorithm,
    parse_checksum_type,
    parse_object_checksum,
)
from gateway.s3.conditions import parse_write_condition
from gateway.s3.documents import MAX_COMPLETE_BYTES, parse_complete
from gateway.s3.headers import parse_integer
from gateway.s3.results import (
    CompleteResult,
    CopyResult,
    ListedPart,
    ListedUpload,
    Owner,
    PartList,
    UploadList,
)
from gateway.s3.xml import (
    render_complete,
    render_copy_part,
    render_initiate,
    render_list_parts,
    render_list_uploads,
)
from gateway.store.records import UploadPart, UploadRecord
from gateway.web.answers import Answer, xml_answer
from gateway.web.bodies import incoming_body
from gateway.web.call import Call
from gateway.web.documents import document, parsed
from gateway.web.handlers.listing import MAX_KEYS, encoding_type, list_query
from gateway.web.handlers.objects import attributes_of, find_copy_source, source_conditions

_MAX_PARTS = 10_000


async def create_multipart_upload(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html"""
    algorithm, kind = _checksum_of(call)
    upload = await multipart.create_upload(
        call.rooms, call.target, call.caller.label, attributes_of(call), algorithm, kind
    )
    headers = []
    if upload.checksum_algorithm is not None and upload.checksum_type is not None:
        headers = [
            ("x-amz-checksum-algorithm", upload.checksum_algorithm),
            ("x-amz-checksum-type", upload.checksum_type),
        ]
    return xml_answer(render_initiate(upload.bucket, upload.key, upload.upload_id), *headers)


async def upload_part(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html"""
    number = _part_number(call)
    part, checksum = await multipart.put_part(
        call.rooms, await _open_upload(call), number, incoming_body(call), call.allowance, call.content_types
    )
    return Answer(headers=[("ETag", part.etag), (checksum.algorithm.header, checksum.value)])


async def upload_part_copy(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html"""
    number, upload = _part_number(call), await _open_upload(call)
    part = await multipart.copy_part(
        call.rooms,
        upload,
        number,
        await find_copy_source(call),
        call.headers.get("x-amz-copy-source-range"),
        source_conditions(call),
        call.may_copy,
        call.allowance,
        call.content_types,
        call.max_object_size,
    )
    return xml_answer(render_copy_part(CopyResult(part.etag, part.modified_s, _checksums(part))))


async def complete_multipart_upload(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html"""
    upload = await _upload(call)
    async with document(call, MAX_COMPLETE_BYTES, of_object=True) as body:
        parts = await parsed(call.services.parsing, parse_complete, body)
    request = complete.CompleteRequest(
        parts,
        _object_size(call),
        parse_object_checksum(call.headers),
        parse_checksum_type(kind) if (kind := call.headers.get("x-amz-checksum-type")) else None,
        parse_write_condition(call.headers),
        _only_of(call, upload),
        call.allowance,
        call.max_object_size,
        call.content_types,
    )
    record = await complete.complete_upload(call.rooms, upload, request)
    checksum = record.checksum
    result = CompleteResult(
        call.location,
        record.bucket,
        record.key,
        record.etag,
        {checksum.algorithm: checksum.value} if checksum else {},
        checksum.type if checksum else None,
    )
    return xml_answer(render_complete(result))


async def abort_multipart_upload(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html"""
    upload = await _open_upload(call)
    await multipart.abort_upload(call.rooms, upload.upload_id)
    return Answer(204)


async def list_parts(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html"""
    upload = await _open_upload(call)
    marker = parse_integer(
        call.query.get("part-number-marker", "") or "0", "part-number-marker", minimum=0, maximum=2**31 - 1
    )
    limit = parse_integer(call.query.get("max-parts", "") or "1000", "max-parts", minimum=0, maximum=2**31 - 1)
    limit = min(limit, MAX_KEYS)
    parts = await call.store.uploads.parts(upload.upload_id, marker, limit + 1)
    page = parts[:limit]
    return xml_answer(
        render_list_parts(
            PartList(
                bucket=upload.bucket,
                key=upload.key,
                upload_id=upload.upload_id,
                max_parts=limit,
                truncated=len(parts) > limit > 0,
                parts=[
                    ListedPart(part.part_number, part.size, part.modified_s, part.etag, _checksums(part))
                    for part in page
                ],
                owner=Owner(upload.uploader, upload.uploader),
                initiator=Owner(upload.initiator, upload.initiator),
                part_number_marker=marker,
                next_part_number_marker=page[-1].part_number if page else None,
                checksum_algorithm=upload.checksum_algorithm,
                checksum_type=upload.checksum_type,
            )
        )
    )


async def list_multipart_uploads(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html"""
    marker, id_marker = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
    query = list_query(call, marker, "max-uploads")
    page = await call.store.uploads.list_uploads(query, id_marker if marker else "")
    ends_with_key = page.next_after is not None and bool(page.rows) and page.rows[-1].key == page.next_after
    return xml_answer(
        render_list_uploads(
            UploadList(
                bucket=query.bucket,
                max_uploads=query.limit,
                truncated=page.next_after is not None,
                uploads=[
                    ListedUpload(
                        row.key,
                        row.upload_id,
                        row.created_s,
                        Owner(row.uploader, row.uploader),
                        Owner(row.initiator, row.initiator),
                        row.checksum_algorithm,
                        row.checksum_type,
                    )
                    for row in page.rows
                ],
                common_prefixes=page.common_prefixes,
                prefix=query.prefix,
                delimiter=query.delimiter or None,
                key_marker=marker,
                upload_id_marker=id_marker,
                next_key_marker=page.next_after,
                next_upload_id_marker=page.rows[-1].upload_id if ends_with_key else None,
                encoding_type=encoding_type(call),
            )
        )
    )


def _checksum_of(call: Call) -> tuple[Algorithm | None, ChecksumType | None]:
    name, kind = call.headers.get("x-amz-checksum-algorithm"), call.headers.get("x-amz-checksum-type")
    if name is None:
        if kind is not None:
            raise S3Error(
                Code.InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        return None, None
    algorithm = parse_checksum_algorithm(name)
    if kind is None:
        return algorithm, None
    checksum_type = parse_checksum_type(kind)
    check_checksum_type(algorithm, checksum_type)
    return algorithm, checksum_type


def _part_number(call: Call) -> int:
    return parse_integer(call.query["partNumber"], "partNumber", minimum=1, maximum=_MAX_PARTS)


def _object_size(call: Call) -> int | None:
    text = call.headers.get("x-amz-mp-object-size")
    return (
        None
        if text is None
        else parse_integer(text, "x-amz-mp-object-size", minimum=0, maximum=complete.MAX_OBJECT_SIZE)
    )


async def _upload(call: Call) -> UploadRecord:
    """The upload that the request names, if the caller may touch it.

    Raises S3Error: NoSuchUpload, also where it is for another key or of somebody else's: nobody learns that it exists.
    """
    upload = await call.store.uploads.find(call.query["uploadId"], call.bucket.bucket, call.key)
    owner, initiator = upload.uploader, upload.initiator
    if not call.decide(call.operation.action, call.bucket, call.key, owner, initiator=initiator).allowed:
        raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)
    call.found_upload = upload
    return upload


def _only_of(call: Call, upload: UploadRecord) -> str | None:
    """Whose object an upload may replace: anybody's, or what its own uploader has stored."""
    return None if call.only_of(call.bucket, call.key, call.operation.action) is None else upload.uploader


async def _open_upload(call: Call) -> UploadRecord:
    upload = await _upload(call)
    if upload.state == "done":
        raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)
    return upload


def _checksums(part: UploadPart) -> dict[str, str]:
    if part.checksum_algorithm is None or part.checksum_value is None:
        return {}
    return {part.checksum_algorithm: part.checksum_value}
