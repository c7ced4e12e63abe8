"""Listings of a bucket's objects: ListObjects, ListObjectsV2, ListObjectVersions."""

from gateway.errors import Code, S3Error
from gateway.s3.headers import parse_integer
from gateway.s3.results import ListedObject, ListedVersion, ObjectList, ObjectListV2, VersionList
from gateway.s3.xml import render_list_objects, render_list_objects_v2, render_list_versions
from gateway.store.catalog import ListedRow
from gateway.store.listing import ListQuery, Page
from gateway.store.records import NULL_VERSION
from gateway.web.answers import Answer, xml_answer
from gateway.web.call import Call
from gateway.web.tokens import parse_token, render_token

MAX_KEYS = 1000
_LARGEST = 2**31 - 1


async def list_objects(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html"""
    marker = call.query.get("marker", "")
    query = list_query(call, marker, "max-keys")
    page = await call.store.catalog.list_objects(query)
    return xml_answer(
        render_list_objects(
            ObjectList(
                bucket=query.bucket,
                max_keys=query.limit,
                truncated=page.next_after is not None,
                objects=[listed(row, owner=True) for row in page.rows],
                common_prefixes=page.common_prefixes,
                prefix=query.prefix,
                delimiter=query.delimiter or None,
                marker=marker,
                next_marker=page.next_after if query.delimiter else None,
                encoding_type=encoding_type(call),
            )
        )
    )


async def list_objects_v2(call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
    token, start_after = call.query.get("continuation-token"), call.query.get("start-after")
    if token == "":
        raise S3Error(
            Code.InvalidArgument, "The continuation token provided is incorrect", ArgumentName="continuation-token"
        )
    after = parse_token(token) if token is not None else start_after or ""
    query = list_query(call, after, "max-keys", past_group=False)
    page = await call.store.catalog.list_objects(query)
    owner = call.query.get("fetch-owner", "").lower() == "true"
    return xml_answer(
        render_list_objects_v2(
            ObjectListV2(
                bucket=query.bucket,
                max_keys=query.limit,
                truncated=page.next_after is not None,
                objects=[listed(row, owner=owner) for row in page.rows],
                common_prefixes=page.common_prefixes,
                prefix=query.prefix,
                delimiter=query.delimiter or None,
                start_after=start_after if token is None else None,
                continuation_token=token,
                next_continuation_token=None if page.next_after is None else render_token(page.next_after),
                encoding_type=encoding_type(call),
            )
        )
    )


async def list_object_versions(call: Call) -> Answer:
    """Each object once, as its version `null`.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
    """
    marker, version_marker = call.query.get("key-marker", ""), call.query.get("version-id-marker", "")
    if version_marker and not marker:
        raise S3Error(Code.InvalidArgument, "A version-id marker cannot be specified without a key marker.")
    query = list_query(call, marker, "max-keys")
    page: Page[ListedRow] = await call.store.catalog.list_objects(query)
    ends_with_key = bool(page.rows) and page.next_after == page.rows[-1].key
    return xml_answer(
        render_list_versions(
            VersionList(
                bucket=query.bucket,
                max_keys=query.limit,
                truncated=page.next_after is not None,
                versions=[ListedVersion(listed(row, owner=True)) for row in page.rows],
                common_prefixes=page.common_prefixes,
                prefix=query.prefix,
                delimiter=query.delimiter or None,
                key_marker=marker,
                version_id_marker=version_marker,
                next_key_marker=page.next_after,
                next_version_id_marker=NULL_VERSION if page.next_after is not None and ends_with_key else None,
                encoding_type=encoding_type(call),
            )
        )
    )


def list_query(call: Call, after: str, limit_name: str, *, past_group: bool = True) -> ListQuery:
    """What a listing's parameters ask for, of what the caller may see; never more than 1,000 entries at once."""
    text = call.query.get(limit_name, "")
    limit = parse_integer(text, limit_name, minimum=0, maximum=_LARGEST) if text else MAX_KEYS
    return ListQuery(
        call.bucket.bucket,
        call.query.get("prefix", ""),
        call.query.get("delimiter", ""),
        after,
        min(limit, MAX_KEYS),
        past_group,
        call.visible(),
    )


def encoding_type(call: Call) -> str | None:
    """Raises S3Error: InvalidArgument for any encoding but url."""
    value = call.query.get("encoding-type")
    if value is None:
        return None
    if value != "url":
        raise S3Error(
            Code.InvalidArgument,
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=value[:64],
        )
    return value


def listed(row: ListedRow, *, owner: bool) -> ListedObject:
    return ListedObject(
        row.key,
        row.modified_s,
        row.etag,
        row.size,
        row.uploader if owner else None,
        row.uploader if owner else "",
        (row.checksum_algorithm,) if row.checksum_algorithm else (),
        row.checksum_type,
    )
