"""ACLs: read from the policies, and set only to what they say already."""

from gateway.errors import Code, S3Error
from gateway.policy.evaluate import Resource
from gateway.s3.acl import check_true_canned_acl, check_true_grants
from gateway.s3.documents import MAX_ACL_BYTES, parse_acl
from gateway.s3.results import Owner
from gateway.s3.xml import render_acl
from gateway.store.records import ObjectRecord
from gateway.web.answers import Answer, xml_answer
from gateway.web.call import Call
from gateway.web.documents import document


async def get_bucket_acl(call: Call) -> Answer:
    """The project has full control; nobody else lists a bucket without a signature.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html
    """
    project = call.bucket.project
    return xml_answer(render_acl(Owner(project, project)))


async def put_bucket_acl(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html"""
    await _check_true(call, call.bucket.project, public=False)
    return Answer()


async def get_object_acl(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html"""
    owner = call.object.uploader
    return xml_answer(render_acl(Owner(owner, owner), public_read=_is_public(call, call.object)))


async def put_object_acl(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html"""
    await _check_true(call, call.object.uploader, public=_is_public(call, call.object))
    return Answer()


def _is_public(call: Call, record: ObjectRecord) -> bool:
    """May everybody read this object? Asked of the rules, since a statement may deny what its category allows."""
    resource = Resource(call.bucket.project, record.bucket, record.key, record.uploader)
    return call.rules.decide(None, "s3:GetObject", resource).allowed


async def _check_true(call: Call, owner: str, *, public: bool) -> None:
    """Raises S3Error: AccessControlListNotSupported, MissingSecurityHeader (no ACL at all), MalformedXML."""
    canned = call.headers.get("x-amz-acl")
    async with document(call, MAX_ACL_BYTES) as body:
        if canned and body:
            raise S3Error(Code.InvalidRequest, "An ACL is given by a header or by a document, not by both.")
        grants = parse_acl(body) if body else None
    if canned:
        check_true_canned_acl(canned, public=public)
    elif grants is not None:
        check_true_grants(grants, owner, public=public)
    else:
        raise S3Error(Code.MissingSecurityHeader, MissingHeaderName="x-amz-acl")
