"""The XML documents that answers are.

They are written as text, because a page of 1,000 keys must not cost more than finding them; every value goes through
`_text`, so nothing that a client chose can become markup.

XML 1.0 has no way to write most control characters. A list without `encoding-type=url` shows U+FFFD in their place:
one strange key must not make the whole page unreadable.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from gateway.s3.acl import ALL_USERS
from gateway.s3.address import encode_key
from gateway.s3.cors import Rule
from gateway.s3.headers import render_iso_date
from gateway.s3.results import (
    BucketList,
    CompleteResult,
    CopyResult,
    DeletedObject,
    DeleteFailure,
    ListedObject,
    ListedPart,
    ListedVersion,
    ObjectAttributes,
    ObjectList,
    ObjectListV2,
    ObjectParts,
    Owner,
    PartList,
    UploadList,
    VersionList,
)

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

_NOT_XML = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_SPECIAL = re.compile(f'[&<>"\r{_NOT_XML}]')
_PLAIN_ETAG = re.compile(r'"[0-9A-Za-z-]*"\Z')
_UNWRITABLE = re.compile(f"[{_NOT_XML}]")


def render_error(
    code_name: str,
    message: str,
    resource: str,
    request_id: str,
    fields: Mapping[str, str | int] | None = None,
    host_id: str = "",
) -> bytes:
    """An error; `fields` are further elements, whose names are ours.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    further = "".join(element(name, str(value)) for name, value in (fields or {}).items())
    return document(
        f"<Error><Code>{code_name}</Code><Message>{_text(message)}</Message>{further}"
        f"<Resource>{_text(resource)}</Resource><RequestId>{_text(request_id)}</RequestId>"
        f"<HostId>{_text(host_id)}</HostId></Error>"
    )


def render_list_buckets(result: BucketList) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html"""
    buckets = "".join(
        f"<Bucket>{element('Name', bucket.name)}<CreationDate>{render_iso_date(bucket.created_s)}</CreationDate>"
        f"{_optional('BucketRegion', bucket.region)}</Bucket>"
        for bucket in result.buckets
    )
    return document(
        f"<ListAllMyBucketsResult {_XMLNS}>{_owner('Owner', result.owner)}<Buckets>{buckets}</Buckets>"
        f"{_optional('Prefix', result.prefix)}{_optional('ContinuationToken', result.continuation_token)}"
        "</ListAllMyBucketsResult>"
    )


def render_location(region: str | None) -> bytes:
    """GetBucketLocation; None, which S3 means us-east-1 by, is an empty element.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
    """
    if not region:
        return document(f"<LocationConstraint {_XMLNS}/>")
    return document(f"<LocationConstraint {_XMLNS}>{_text(region)}</LocationConstraint>")


def render_versioning(status: str | None = None) -> bytes:
    """GetBucketVersioning; None: it was never switched on.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html
    """
    return document(f"<VersioningConfiguration {_XMLNS}>{_optional('Status', status)}</VersioningConfiguration>")


def render_request_payment() -> bytes:
    """GetBucketRequestPayment: whoever owns the bucket pays."""
    return document(f"<RequestPaymentConfiguration {_XMLNS}><Payer>BucketOwner</Payer></RequestPaymentConfiguration>")


def render_unset(operation_name: str) -> bytes:
    """The empty document of a configuration that was never set.

    For GetBucketLogging, GetBucketNotificationConfiguration and GetBucketAccelerateConfiguration.
    """
    return document(f"<{_UNSET_ROOTS[operation_name]} {_XMLNS}/>")


_UNSET_ROOTS = {
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotification": "NotificationConfiguration",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
}


def render_acl(owner: Owner, *, public_read: bool = False) -> bytes:
    """GetObjectAcl and GetBucketAcl: the owner may do everything; `public_read`: everybody may read.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html
    """
    grants = _grant("CanonicalUser", f"<ID>{_text(owner.id)}</ID>{element('DisplayName', owner.name)}", "FULL_CONTROL")
    if public_read:
        grants += _grant("Group", f"<URI>{ALL_USERS}</URI>", "READ")
    return document(
        f"<AccessControlPolicy {_XMLNS}>{_owner('Owner', owner)}"
        f"<AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    )


def render_cors(rules: Iterable[Rule]) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketCors.html"""
    return document(f"<CORSConfiguration {_XMLNS}>{''.join(map(_cors_rule, rules))}</CORSConfiguration>")


def _cors_rule(rule: Rule) -> str:
    lists = (
        ("AllowedOrigin", rule.allowed_origins),
        ("AllowedMethod", rule.allowed_methods),
        ("AllowedHeader", rule.allowed_headers),
        ("ExposeHeader", rule.expose_headers),
    )
    elements = "".join(element(name, value) for name, values in lists for value in values)
    return f"<CORSRule>{elements}{number_element('MaxAgeSeconds', rule.max_age_s)}</CORSRule>"


def render_list_objects(result: ObjectList) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html"""
    name = _namer(result.encoding_type)
    return document(
        f"<ListBucketResult {_XMLNS}>{element('Name', result.bucket)}"
        f"<Prefix>{name(result.prefix)}</Prefix><Marker>{name(result.marker)}</Marker>"
        f"{_named('NextMarker', result.next_marker, name)}"
        f"<MaxKeys>{result.max_keys}</MaxKeys>{_named('Delimiter', result.delimiter, name)}"
        f"{_optional('EncodingType', result.encoding_type)}<IsTruncated>{_bool(result.truncated)}</IsTruncated>"
        f"{_contents(result.objects, name)}{_common_prefixes(result.common_prefixes, name)}</ListBucketResult>"
    )


def render_list_objects_v2(result: ObjectListV2) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
    name = _namer(result.encoding_type)
    return document(
        f"<ListBucketResult {_XMLNS}>{element('Name', result.bucket)}<Prefix>{name(result.prefix)}</Prefix>"
        f"{_optional('ContinuationToken', result.continuation_token)}"
        f"{_optional('NextContinuationToken', result.next_continuation_token)}"
        f"{_named('StartAfter', result.start_after, name)}"
        f"<KeyCount>{len(result.objects) + len(result.common_prefixes)}</KeyCount>"
        f"<MaxKeys>{result.max_keys}</MaxKeys>{_named('Delimiter', result.delimiter, name)}"
        f"{_optional('EncodingType', result.encoding_type)}<IsTruncated>{_bool(result.truncated)}</IsTruncated>"
        f"{_contents(result.objects, name)}{_common_prefixes(result.common_prefixes, name)}</ListBucketResult>"
    )


def render_list_versions(result: VersionList) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html"""
    name = _namer(result.encoding_type)
    versions = "".join(_version(version, name) for version in result.versions)
    return document(
        f"<ListVersionsResult {_XMLNS}>{element('Name', result.bucket)}<Prefix>{name(result.prefix)}</Prefix>"
        f"<KeyMarker>{name(result.key_marker)}</KeyMarker>{element('VersionIdMarker', result.version_id_marker)}"
        f"{_named('NextKeyMarker', result.next_key_marker, name)}"
        f"{_optional('NextVersionIdMarker', result.next_version_id_marker)}"
        f"<MaxKeys>{result.max_keys}</MaxKeys>{_named('Delimiter', result.delimiter, name)}"
        f"{_optional('EncodingType', result.encoding_type)}<IsTruncated>{_bool(result.truncated)}</IsTruncated>"
        f"{versions}{_common_prefixes(result.common_prefixes, name)}</ListVersionsResult>"
    )


def render_delete(deleted: Iterable[DeletedObject], failures: Iterable[DeleteFailure]) -> bytes:
    """DeleteObjects; where the request was quiet the caller gives no `deleted`.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    """
    done = "".join(
        f"<Deleted>{element('Key', one.key)}{_optional('VersionId', one.version_id)}</Deleted>" for one in deleted
    )
    failed = "".join(
        f"<Error>{element('Key', one.key)}{_optional('VersionId', one.version_id)}"
        f"{element('Code', one.code)}{element('Message', one.message)}</Error>"
        for one in failures
    )
    return document(f"<DeleteResult {_XMLNS}>{done}{failed}</DeleteResult>")


def render_copy_object(result: CopyResult) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html"""
    return _copy("CopyObjectResult", result)


def render_copy_part(result: CopyResult) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html"""
    return _copy("CopyPartResult", result)


def render_tagging(tags: Mapping[str, str]) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html"""
    pairs = "".join(f"<Tag>{element('Key', key)}{element('Value', value)}</Tag>" for key, value in tags.items())
    return document(f"<Tagging {_XMLNS}><TagSet>{pairs}</TagSet></Tagging>")


def render_object_attributes(result: ObjectAttributes) -> bytes:
    """GetObjectAttributes, the one answer in which ETags have no quotes.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
    """
    checksum = ""
    if result.checksums:
        type_ = _optional("ChecksumType", result.checksum_type)
        checksum = f"<Checksum>{_checksums(result.checksums)}{type_}</Checksum>"
    size = "" if result.object_size is None else f"<ObjectSize>{result.object_size}</ObjectSize>"
    etag = None if result.etag is None else result.etag.strip('"')
    return document(
        f"<GetObjectAttributesResponse {_XMLNS}>{_optional('ETag', etag)}{checksum}"
        f"{'' if result.parts is None else _object_parts(result.parts)}"
        f"{_optional('StorageClass', result.storage_class)}{size}</GetObjectAttributesResponse>"
    )


def render_initiate(bucket: str, key: str, upload_id: str) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html"""
    return document(
        f"<InitiateMultipartUploadResult {_XMLNS}>{element('Bucket', bucket)}{element('Key', key)}"
        f"{element('UploadId', upload_id)}</InitiateMultipartUploadResult>"
    )


def render_complete(result: CompleteResult) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html"""
    return document(
        f"<CompleteMultipartUploadResult {_XMLNS}>{element('Location', result.location)}"
        f"{element('Bucket', result.bucket)}{element('Key', result.key)}{element('ETag', result.etag)}"
        f"{_checksums(result.checksums)}{_optional('ChecksumType', result.checksum_type)}"
        "</CompleteMultipartUploadResult>"
    )


def render_list_parts(result: PartList) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html"""
    parts = "".join(map(_part, result.parts))
    return document(
        f"<ListPartsResult {_XMLNS}>{element('Bucket', result.bucket)}{element('Key', result.key)}"
        f"{element('UploadId', result.upload_id)}{_owner('Initiator', result.initiator or result.owner)}"
        f"{_owner('Owner', result.owner)}{element('StorageClass', result.storage_class)}"
        f"<PartNumberMarker>{result.part_number_marker}</PartNumberMarker>"
        f"{number_element('NextPartNumberMarker', result.next_part_number_marker)}"
        f"<MaxParts>{result.max_parts}</MaxParts><IsTruncated>{_bool(result.truncated)}</IsTruncated>"
        f"{_optional('ChecksumAlgorithm', result.checksum_algorithm)}"
        f"{_optional('ChecksumType', result.checksum_type)}{parts}</ListPartsResult>"
    )


def render_list_uploads(result: UploadList) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html"""
    name = _namer(result.encoding_type)
    uploads = "".join(
        f"<Upload><Key>{name(upload.key)}</Key>{element('UploadId', upload.upload_id)}"
        f"{_owner('Initiator', upload.initiator or upload.owner)}{_owner('Owner', upload.owner)}"
        f"{element('StorageClass', upload.storage_class)}<Initiated>{render_iso_date(upload.initiated_s)}</Initiated>"
        f"{_optional('ChecksumAlgorithm', upload.checksum_algorithm)}"
        f"{_optional('ChecksumType', upload.checksum_type)}</Upload>"
        for upload in result.uploads
    )
    return document(
        f"<ListMultipartUploadsResult {_XMLNS}>{element('Bucket', result.bucket)}"
        f"<KeyMarker>{name(result.key_marker)}</KeyMarker>{element('UploadIdMarker', result.upload_id_marker)}"
        f"{_named('NextKeyMarker', result.next_key_marker, name)}"
        f"{_optional('NextUploadIdMarker', result.next_upload_id_marker)}<Prefix>{name(result.prefix)}</Prefix>"
        f"{_named('Delimiter', result.delimiter, name)}{_optional('EncodingType', result.encoding_type)}"
        f"<MaxUploads>{result.max_uploads}</MaxUploads><IsTruncated>{_bool(result.truncated)}</IsTruncated>"
        f"{uploads}{_common_prefixes(result.common_prefixes, name)}</ListMultipartUploadsResult>"
    )


def render_post_response(location: str, bucket: str, key: str, etag: str) -> bytes:
    """The answer to a form that asked for success_action_status=201.

    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
    """
    return document(
        f"<PostResponse>{element('Location', location)}{element('Bucket', bucket)}{element('Key', key)}"
        f"{element('ETag', etag)}</PostResponse>"
    )


def document(text: str) -> bytes:
    """A whole document, from the text of its root element."""
    return f"{_DECLARATION}{text}".encode()


def _text(text: str) -> str:
    """A value as element content."""
    if not _SPECIAL.search(text):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return _UNWRITABLE.sub("\ufffd", text.replace("\r", "&#13;"))


def element(name: str, value: str) -> str:
    """An element whose content is `value`, as text."""
    return f"<{name}>{_text(value)}</{name}>"


def _optional(name: str, value: str | None) -> str:
    return "" if value is None else f"<{name}>{_text(value)}</{name}>"


def number_element(name: str, value: int | None) -> str:
    """An element whose content is a number; None: no element."""
    return "" if value is None else f"<{name}>{value}</{name}>"


def _bool(value: bool) -> str:
    return "true" if value else "false"


_Namer = Callable[[str], str]


def _namer(encoding_type: str | None) -> _Namer:
    """How this document writes keys and prefixes: escaped, or (encoding-type=url) percent-encoded.

    Spaces become %20 and pluses %2B, which clients that decode forms and clients that decode URLs read alike.
    """
    return _text if encoding_type is None else encode_key


def _named(name: str, value: str | None, namer: _Namer) -> str:
    return "" if value is None else f"<{name}>{namer(value)}</{name}>"


def _owner(name: str, owner: Owner) -> str:
    return f"<{name}><ID>{_text(owner.id)}</ID><DisplayName>{_text(owner.name)}</DisplayName></{name}>"


def _grant(grantee_type: str, grantee: str, permission: str) -> str:
    return (
        f'<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{grantee_type}">{grantee}'
        f"</Grantee><Permission>{permission}</Permission></Grant>"
    )


def _contents(objects: Sequence[ListedObject], name: _Namer) -> str:
    return "".join([f"<Contents>{_listed(one, name)}</Contents>" for one in objects])


def _listed(one: ListedObject, name: _Namer) -> str:
    """What the listings say of an object; written for speed, as there are a thousand on a page."""
    etag = one.etag
    etag = f"&quot;{etag[1:-1]}&quot;" if _PLAIN_ETAG.match(etag) else _text(etag)
    checksum = _listed_checksum(one.checksum_algorithm, one.checksum_type) if one.checksum_algorithm else ""
    owner = "" if one.owner_id is None else _listed_owner(one.owner_id, one.owner_name)
    return (
        f"<Key>{name(one.key)}</Key><LastModified>{render_iso_date(one.modified_s)}</LastModified>"
        f"<ETag>{etag}</ETag>{checksum}<Size>{one.size}</Size>{owner}<StorageClass>{one.storage_class}</StorageClass>"
    )


@lru_cache(maxsize=256)
def _listed_owner(owner_id: str, owner_name: str) -> str:
    return _owner("Owner", Owner(owner_id, owner_name))


@lru_cache(maxsize=256)
def _listed_checksum(algorithms: tuple[str, ...], checksum_type: str | None) -> str:
    names = "".join(element("ChecksumAlgorithm", algorithm) for algorithm in algorithms)
    return names + _optional("ChecksumType", checksum_type)


def _version(version: ListedVersion, name: _Namer) -> str:
    one = version.object
    head = f"{element('VersionId', version.version_id)}<IsLatest>{_bool(version.latest)}</IsLatest>"
    if not version.delete_marker:
        return f"<Version>{head}{_listed(one, name)}</Version>"
    owner = "" if one.owner_id is None else _owner("Owner", Owner(one.owner_id, one.owner_name))
    return (
        f"<DeleteMarker><Key>{name(one.key)}</Key>{head}"
        f"<LastModified>{render_iso_date(one.modified_s)}</LastModified>{owner}</DeleteMarker>"
    )


def _common_prefixes(prefixes: Sequence[str], name: _Namer) -> str:
    return "".join([f"<CommonPrefixes><Prefix>{name(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes])


def _checksums(checksums: Mapping[str, str]) -> str:
    return "".join(element(f"Checksum{algorithm}", value) for algorithm, value in checksums.items())


def _copy(root: str, result: CopyResult) -> bytes:
    return document(
        f"<{root} {_XMLNS}><LastModified>{render_iso_date(result.modified_s)}</LastModified>"
        f"{element('ETag', result.etag)}{_checksums(result.checksums)}"
        f"{_optional('ChecksumType', result.checksum_type)}</{root}>"
    )


def _part(part: ListedPart) -> str:
    modified = None if part.modified_s is None else render_iso_date(part.modified_s)
    return (
        f"<Part><PartNumber>{part.part_number}</PartNumber>{_optional('LastModified', modified)}"
        f"{_optional('ETag', part.etag)}<Size>{part.size}</Size>{_checksums(part.checksums)}</Part>"
    )


def _object_parts(parts: ObjectParts) -> str:
    return (
        f"<ObjectParts><PartsCount>{parts.total}</PartsCount>"
        f"<PartNumberMarker>{parts.part_number_marker}</PartNumberMarker>"
        f"{number_element('NextPartNumberMarker', parts.next_part_number_marker)}"
        f"<MaxParts>{parts.max_parts}</MaxParts><IsTruncated>{_bool(parts.truncated)}</IsTruncated>"
        f"{''.join(map(_part, parts.parts))}</ObjectParts>"
    )
