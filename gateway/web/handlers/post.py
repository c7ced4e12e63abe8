"""PostObject: a browser's form. Who signed, what for, and where to stand in its fields; the file comes last.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

from collections.abc import AsyncIterator, Mapping, Sequence

from gateway.errors import Code, S3Error
from gateway.objects.bodies import Claims, IncomingBody
from gateway.objects.put import Attributes, put_object
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
from gateway.web.bodies import largest_body, received
from gateway.web.call import Call, check_expected_owner
from gateway.web.identity import find_signer, reserved_metadata, settle, settle_uploader


async def post_object(call: Call) -> Answer:
    """Raises S3Error: MalformedPOSTRequest, AccessDenied (the policy), SignatureDoesNotMatch, EntityTooLarge, …"""
    length = parse_content_length(call.headers)
    if length is None:
        raise S3Error(Code.MissingContentLength)
    parser = PostFormParser(call.headers.get("content-type", ""))
    arriving = received(call)
    first = await _read_fields(parser, arriving)
    fields = parser.fields
    await _authenticate(call, fields)
    settle_uploader(call, fields, stores=True)
    key = expand_filename(required_field(fields, "key"), parser.filename)
    if not key:
        raise S3Error(Code.InvalidArgument, "User key must have a length greater than 0.", ArgumentName="key")
    validate_key(key)
    call.address = Address(call.address.bucket, key)
    policy = parse_policy(required_field(fields, "policy"))
    check_policy(policy, fields, call.address.bucket or "", key, now_s=call.now_s)
    headers = {
        **fields,
        "x-amz-acl": fields.get("acl", fields.get("x-amz-acl", "")),
        "x-amz-tagging": fields.get("tagging", ""),
    }
    if call.adopts(call.bucket):  # whose it is decides who may replace it
        await call.find(call.bucket, call.key)
    _authorise(call, headers)
    refuse_unsupported_headers(call.operation, headers, public=call.is_public)
    success = parse_success_action(fields)
    checksum = parse_checksum_headers(fields)
    largest = _largest_file(call, policy)
    body = IncomingBody(
        min(parser.largest_file(length), largest),  # room is reserved for no more than could be stored
        _file_pieces(parser, first, arriving, policy, largest),
        Claims(
            md5=parse_content_md5(fields),
            algorithm=checksum.algorithm if checksum else None,
            checksum=lambda: checksum,
        ),
        exact=False,
    )
    attributes = _attributes(call, fields)
    record = await put_object(call.rooms, call.target, body, attributes, parse_write_condition(fields))
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


async def _authenticate(call: Call, fields: Mapping[str, str]) -> None:
    credentials = parse_post_credentials(fields)
    if credentials is None:
        raise S3Error(Code.AccessDenied)
    if call.verified is not None:
        raise S3Error(Code.InvalidArgument, "Only one auth mechanism allowed", ArgumentName="Authorization")
    signer = await find_signer(call, credentials)
    token = credentials.session_token if signer is not None and signer.identity.session else None
    verify_post(fields, credentials, signer.secret if signer else None, call.services.verifier, session_token=token)
    if signer is None:
        raise S3Error(Code.InvalidAccessKeyId, AWSAccessKeyId=credentials.access_key_id)
    settle(call, signer)


def _authorise(call: Call, headers: Mapping[str, str]) -> None:
    call.require(call.operation.action, call.bucket, call.key)
    call.require_extras(call.bucket, call.key, headers)
    check_expected_owner(call, call.bucket)


def _largest_file(call: Call, policy: PostPolicy) -> int:
    """Bytes of the file at most, as the settings, the category and the form's policy say."""
    limit = largest_body(call)
    return limit if policy.content_length_range is None else min(limit, policy.content_length_range[1])


async def _file_pieces(
    parser: PostFormParser, first: Sequence[bytes], arriving: AsyncIterator[bytes], policy: PostPolicy, limit: int
) -> AsyncIterator[bytes]:
    """The file, cut off where it grows larger than `limit` bytes; too small a one fails at its end."""
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


def _attributes(call: Call, fields: Mapping[str, str]) -> Attributes:
    headers, metadata = parse_object_headers(fields)
    metadata.pop(reserved_metadata(call), None)
    tagging = fields.get("tagging")
    return Attributes(headers, metadata, parse_tagging(tagging.encode()) if tagging else {})


def _answer(call: Call, record: ObjectRecord, status: int) -> Answer:
    headers = (("ETag", record.etag), ("Location", call.location))
    if status != 201:
        return Answer(status, list(headers))
    body = render_post_response(call.location, record.bucket, record.key, record.etag)
    return xml_answer(body, *headers, status=201)
