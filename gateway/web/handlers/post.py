"""PostObject: a browser's form. Who signed, what for, and where to stand in its fields; the file comes last.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

from collections.abc import AsyncIterator, Mapping, Sequence

from gateway.errors import Code, S3Error
from gateway.objects.bodies import Claims, IncomingBody
from gateway.objects.put import Attributes, Target, put_object
from gateway.policy.model import Principal
from gateway.s3.address import Address, validate_key
from gateway.s3.checksums import parse_checksum_headers
from gateway.s3.conditions import parse_write_condition
from gateway.s3.documents import parse_tagging
from gateway.s3.headers import parse_content_length, parse_content_md5, parse_object_headers
from gateway.s3.operations import refuse_unsupported_headers
from gateway.s3.post_form import (
    PostFormParser,
    PostPolicy,
    check_content_length,
    check_policy,
    expand_filename,
    parse_policy,
    parse_success_action,
    render_redirect,
    required_field,
)
from gateway.s3.xml import render_post_response
from gateway.sigv4.post_policy import parse_post_credentials, verify_post
from gateway.store.records import ObjectRecord
from gateway.web.answers import Answer, xml_answer
from gateway.web.bodies import received
from gateway.web.call import Call, check_expected_owner
from gateway.web.identity import open_key, principal_of


async def post_object(call: Call) -> Answer:
    """Raises S3Error: MalformedPOSTRequest, AccessDenied (the policy), SignatureDoesNotMatch, EntityTooLarge, …"""
    length = parse_content_length(call.headers)
    if length is None:
        raise S3Error(Code.MissingContentLength)
    parser = PostFormParser(call.headers.get("content-type", ""))
    arriving = received(call)
    first = await _read_fields(parser, arriving)
    fields = parser.fields
    call.principal = await _authenticate(call, fields)
    key = expand_filename(required_field(fields, "key"), parser.filename)
    if not key:
        raise S3Error(Code.InvalidArgument, "User key must have a length greater than 0.", ArgumentName="key")
    validate_key(key)
    call.address = Address(call.address.bucket, key)
    policy = parse_policy(required_field(fields, "policy"))
    check_policy(policy, fields, call.address.bucket or "", key, now_s=call.now_s)
    await _authorise(call)
    refuse_unsupported_headers(call.operation, {**fields, "x-amz-acl": fields.get("acl", fields.get("x-amz-acl", ""))})
    success = parse_success_action(fields)
    checksum = parse_checksum_headers(fields)
    body = IncomingBody(
        length,
        _file_pieces(call, parser, first, arriving, policy),
        Claims(
            md5=parse_content_md5(fields),
            algorithm=checksum.algorithm if checksum else None,
            checksum=lambda: checksum,
        ),
        exact=False,
    )
    target = Target(call.bucket, key, call.caller.name)
    record = await put_object(call.rooms, target, body, _attributes(fields), parse_write_condition(fields))
    if success.redirect is not None:
        return Answer(303, [("Location", render_redirect(success.redirect, record.bucket, key, record.etag))])
    return _answer(call, record, success.status)


async def _read_fields(parser: PostFormParser, arriving: AsyncIterator[bytes]) -> Sequence[bytes]:
    """Read until the file begins; gives the file's first bytes."""
    async for data in arriving:
        pieces = parser.feed(data)
        if parser.file_started:
            return pieces
    parser.finish()
    raise S3Error(Code.MalformedPOSTRequest)


async def _authenticate(call: Call, fields: Mapping[str, str]) -> Principal:
    credentials = parse_post_credentials(fields)
    if credentials is None:
        raise S3Error(Code.AccessDenied)
    if call.verified is not None:
        raise S3Error(Code.InvalidArgument, "Only one auth mechanism allowed", ArgumentName="Authorization")
    key = await open_key(call.services, credentials.access_key_id)
    verify_post(fields, credentials, key.secret if key else None, call.services.verifier)
    if key is None:
        raise S3Error(Code.InvalidAccessKeyId, AWSAccessKeyId=credentials.access_key_id)
    return principal_of(call.services, key, call.now_s)


async def _authorise(call: Call) -> None:
    found = await call.store.catalog.find(call.bucket.bucket, call.key)
    call.require(call.operation.action, call.bucket, call.key, found.uploader if found else None)
    check_expected_owner(call, call.bucket)


async def _file_pieces(
    call: Call, parser: PostFormParser, first: Sequence[bytes], arriving: AsyncIterator[bytes], policy: PostPolicy
) -> AsyncIterator[bytes]:
    """The file, cut off where it grows larger than allowed; too small a one fails at its end."""
    limit = call.services.settings.limits.max_object_size
    if policy.content_length_range is not None:
        limit = min(limit, policy.content_length_range[1])
    size = 0
    for piece in first:
        size += len(piece)
        yield piece
    while size <= limit and (data := await anext(arriving, None)) is not None:
        for piece in parser.feed(data):
            size += len(piece)
            yield piece
    if size > limit:
        raise S3Error(Code.EntityTooLarge, ProposedSize=size, MaxSizeAllowed=limit)
    parser.finish()
    check_content_length(policy, size)


def _attributes(fields: Mapping[str, str]) -> Attributes:
    headers, metadata = parse_object_headers(fields)
    tagging = fields.get("tagging")
    return Attributes(headers, metadata, parse_tagging(tagging.encode()) if tagging else {})


def _answer(call: Call, record: ObjectRecord, status: int) -> Answer:
    headers = (("ETag", record.etag), ("Location", call.location))
    if status != 201:
        return Answer(status, list(headers))
    body = render_post_response(call.location, record.bucket, record.key, record.etag)
    return xml_answer(body, *headers, status=201)
