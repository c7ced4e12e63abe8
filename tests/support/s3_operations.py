"""The operations of a scripted origin: a request's head and body in, a `Reply` out.

Parameters are read strictly. What the model refuses comes out as `Refusal`, and `perform` makes that an error document.
"""

from collections.abc import Callable, Mapping

from tests.support.origin_signatures import CHECKSUMS
from tests.support.raw_http import Headers
from tests.support.s3_calls import (
    METADATA,
    Call,
    copy_source,
    description_of,
    http_date,
    iso,
    needs_tagging,
    parse_span,
)
from tests.support.s3_documents import (
    Reply,
    child_text,
    optional_text,
    parse_document,
    refusal_reply,
    tag,
    text,
    xml_reply,
)
from tests.support.s3_listing import Asked, list_page
from tests.support.s3_model import Description, Refusal, StoredObject
from tests.support.s3_multipart import MULTIPART_HANDLERS

MAX_DELETED = 1000


def perform(call: Call) -> Reply:
    """Carry out an operation whose request is whole and known to be signed."""
    try:
        return _HANDLERS.get(call.entry.operation, not_implemented)(call)
    except Refusal as refusal:
        return refusal_reply(refusal)


def not_implemented(call: Call) -> Reply:
    raise Refusal("NotImplemented")


def list_buckets(call: Call) -> Reply:
    names = [tag("Bucket", text("Name", name)) for name in sorted(call.model.buckets)]
    return xml_reply("ListAllMyBucketsResult", tag("Buckets", *names))


def head_bucket(call: Call) -> Reply:
    call.model.bucket(call.entry.bucket)
    return Reply(200)


def get_bucket_location(call: Call) -> Reply:
    call.model.bucket(call.entry.bucket)
    return xml_reply("LocationConstraint")


def put_object(call: Call) -> Reply:
    made = call.model.put(*call.place, call.body, description_of(call), call.condition)
    checksums = [(name, value) for name, value in call.entry.headers if name.lower() in CHECKSUMS]
    return Reply(200, (("ETag", made.etag), *(checksums if call.model.switches.told_checksums else ())))


def get_object(call: Call) -> Reply:
    found = call.model.get(*call.place)
    call.condition.check_read(found)
    span = parse_span(call.entry.header("range"), len(found.body))
    if span is None:
        return Reply(200, object_headers(found), found.body)
    first, last = span
    headers = (*object_headers(found), ("Content-Range", f"bytes {first}-{last}/{len(found.body)}"))
    return Reply(206, headers, found.body[first : last + 1])


def delete_object(call: Call) -> Reply:
    call.model.delete(*call.place)
    return Reply(204)


def copy_object(call: Call) -> Reply:
    if not call.model.switches.copy:
        raise Refusal("NotImplemented")
    source_place, source = copy_source(call)
    directive = _directive(call, "x-amz-metadata-directive")
    if source_place == call.place and directive == "COPY":
        raise Refusal("InvalidRequest", "This copy request is illegal because it changes nothing.")
    described, tags = description_of(call), source.tags
    if _directive(call, "x-amz-tagging-directive") == "REPLACE":
        tags = described.tags
    elif call.model.switches.tagging != "yes":
        tags = {}
    about = described if directive == "REPLACE" else source.description
    made = call.model.put(*call.place, source.body, Description(about.headers, about.metadata, tags), call.condition)
    return xml_reply("CopyObjectResult", text("LastModified", iso(made.modified)), text("ETag", made.etag))


def get_object_tagging(call: Call) -> Reply:
    needs_tagging(call)
    found = call.model.get(*call.place)
    tags = [tag("Tag", text("Key", name), text("Value", value)) for name, value in found.tags.items()]
    return xml_reply("Tagging", tag("TagSet", *tags))


def put_object_tagging(call: Call) -> Reply:
    needs_tagging(call)
    tags = parse_document(call.body, "Tagging").iterfind("TagSet/Tag")
    call.model.retag(*call.place, {child_text(item, "Key"): optional_text(item, "Value") for item in tags})
    return Reply(200)


def delete_object_tagging(call: Call) -> Reply:
    needs_tagging(call)
    call.model.retag(*call.place, {})
    return Reply(204)


def delete_objects(call: Call) -> Reply:
    if not call.model.switches.delete_objects:
        raise Refusal("NotImplemented")
    if call.entry.header("content-md5") is None and call.entry.header("x-amz-checksum-crc32") is None:
        raise Refusal("InvalidRequest", "Missing required header for this request: Content-MD5")
    root = parse_document(call.body, "Delete")
    keys = [child_text(item, "Key") for item in root.iterfind("Object")]
    if not 1 <= len(keys) <= MAX_DELETED:
        raise Refusal("MalformedXML")
    call.model.bucket(call.entry.bucket)
    for key in keys:
        call.model.delete(call.entry.bucket, key)
    quiet = optional_text(root, "Quiet") == "true"
    return xml_reply("DeleteResult", *([] if quiet else [tag("Deleted", text("Key", key)) for key in keys]))


def list_objects_v2(call: Call) -> Reply:
    query, switches = call.entry.query, call.model.switches
    if query["list-type"] != "2":
        raise Refusal("NotImplemented")
    objects = call.model.bucket(call.entry.bucket).objects
    max_keys = call.count("max-keys", 1000)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    token, size = query.get("continuation-token"), min(max_keys, switches.list_page_size)
    try:
        asked = Asked(prefix, delimiter, query.get("start-after", ""), token, size)
        page = list_page(objects, asked, switches.list_quirks)
    except ValueError:
        raise Refusal("InvalidArgument", "The continuation token provided is incorrect") from None
    return xml_reply(
        "ListBucketResult",
        text("Name", call.entry.bucket),
        text("Prefix", call.encoded(prefix)),
        text("Delimiter", call.encoded(delimiter)) if delimiter else "",
        text("MaxKeys", max_keys),
        text("EncodingType", "url") if call.encodes else "",
        text("KeyCount", len(page.keys) + len(page.prefixes)),
        text("IsTruncated", str(page.next_token is not None).lower()),
        text("ContinuationToken", token) if token is not None else "",
        text("NextContinuationToken", page.next_token) if page.next_token is not None else "",
        *(_listed(call, key, objects.get(key)) for key in page.keys),
        *(tag("CommonPrefixes", text("Prefix", call.encoded(name))) for name in page.prefixes),
    )


def object_headers(found: StoredObject) -> Headers:
    tags: Headers = (("x-amz-tagging-count", str(len(found.tags))),) if found.tags else ()
    return (
        ("ETag", found.etag),
        ("Last-Modified", http_date(found.modified)),
        ("Accept-Ranges", "bytes"),
        *((name.title(), value) for name, value in found.headers.items()),
        *((METADATA + name, value) for name, value in found.metadata.items()),
        *tags,
    )


def _listed(call: Call, key: str, found: StoredObject | None) -> str:
    """Of a key that is not there (a quirk) the listing tells a story."""
    etag, size = (found.etag, len(found.body)) if found else ('"00000000000000000000000000000000"', 1)
    modified = found.modified if found else call.model.now()
    return tag(
        "Contents",
        text("Key", call.encoded(key)),
        text("LastModified", iso(modified)),
        text("ETag", etag),
        text("Size", size),
        text("StorageClass", "STANDARD"),
    )


def _directive(call: Call, name: str) -> str:
    value = call.entry.header(name) or "COPY"
    if value not in ("COPY", "REPLACE"):
        raise Refusal("InvalidArgument", ArgumentName=name, ArgumentValue=value)
    return value


_HANDLERS: Mapping[str, Callable[[Call], Reply]] = {
    "ListBuckets": list_buckets,
    "HeadBucket": head_bucket,
    "GetBucketLocation": get_bucket_location,
    "PutObject": put_object,
    "GetObject": get_object,
    "HeadObject": get_object,
    "DeleteObject": delete_object,
    "CopyObject": copy_object,
    "GetObjectTagging": get_object_tagging,
    "PutObjectTagging": put_object_tagging,
    "DeleteObjectTagging": delete_object_tagging,
    "DeleteObjects": delete_objects,
    "ListObjectsV2": list_objects_v2,
    **MULTIPART_HANDLERS,
}
