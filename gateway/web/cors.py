"""Cross-origin requests: preflights, and the headers that let a page read an answer. Rules come from the policies."""

from collections.abc import Mapping, Sequence

from gateway.errors import Code, S3Error
from gateway.policy.model import PolicySet
from gateway.s3.cors import Rule, match_actual, match_preflight
from gateway.s3.xml import render_cors
from gateway.store.buckets import Buckets
from gateway.web.answers import Answer, xml_answer
from gateway.web.call import Call

_VARY = ("Vary", "Origin")
_PREFLIGHT_VARY = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


def rules_of(policies: PolicySet, buckets: Buckets, bucket: str | None) -> Sequence[Rule]:
    """The rules of a bucket: its category's, or its project's; none for a bucket that does not exist."""
    if bucket is None:
        return ()
    category = policies.bucket(bucket)
    if category is not None:
        return category.cors
    found = buckets.find(bucket)
    project = policies.project(found.project) if found else None
    return project.cors if project else ()


def cors_headers(
    policies: PolicySet, buckets: Buckets, bucket: str | None, method: str, origin: str | None
) -> list[tuple[str, str]]:
    """What an answer carries; `Vary` wherever another origin would get another answer."""
    rules = rules_of(policies, buckets, bucket)
    if not rules:
        return []
    allowed: Mapping[str, str] = match_actual(rules, origin, method) if origin is not None else {}
    return [_VARY, *allowed.items()]


async def get_bucket_cors(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketCors.html"""
    rules = rules_of(call.rules.policies, call.store.buckets, call.bucket.bucket)
    if not rules:
        raise S3Error(Code.NoSuchCORSConfiguration, BucketName=call.bucket.bucket)
    return xml_answer(render_cors(rules))


async def preflight(call: Call) -> Answer:
    """OPTIONS: may a page of this origin send that request? The same refusal for a bucket that does not exist.

    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html
    """
    origin = call.headers.get("origin")
    method = call.headers.get("access-control-request-method")
    if not origin or not method:
        raise S3Error(Code.BadRequest, "Insufficient information. Origin request header needed.")
    rules = rules_of(call.rules.policies, call.store.buckets, call.address.bucket)
    asked = call.headers.get("access-control-request-headers", "")
    allowed = match_preflight(rules, origin, method, asked)
    if allowed is None:
        raise S3Error(
            Code.AccessDenied,
            "CORSResponse: This CORS request is not allowed.",
            Method=method[:32],
            ResourceType="OBJECT",
        )
    return Answer(200, [_PREFLIGHT_VARY, *allowed.items()])
