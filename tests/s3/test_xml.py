"""gateway/s3/xml.py: documents out, as botocore's parser reads them."""

import urllib.parse
from datetime import UTC, datetime

import botocore.parsers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.s3 import xml
from gateway.s3.cors import CorsRule
from gateway.s3.documents import parse_tagging
from gateway.s3.results import (
    BucketList,
    CompleteResult,
    CopyResult,
    DeletedObject,
    DeleteFailure,
    ListedBucket,
    ListedObject,
    ListedPart,
    ListedUpload,
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
from tests.s3.sdk import MODEL, read, texts

TIME_S = 1795338000
TIME = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
OWNER = Owner("id-1", "photoapp & <co>")
OWNER_READ = {"ID": "id-1", "DisplayName": "photoapp & <co>"}
ETAG = '"9bb58f26192e4ba00f01e2e7b136bbd8"'
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def root_of(body: bytes) -> str:
    assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<')
    return str(etree.fromstring(body).tag)


def test_an_error_has_what_sdks_read():
    body = xml.render_error("NoSuchKey", "No <key>", "/media/a&b\x01", "R1", {"Key": "a&b", "Size": 5}, "H1")
    assert body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>No &lt;key&gt;</Message>'
        b"<Key>a&amp;b</Key><Size>5</Size><Resource>/media/a&amp;b\xef\xbf\xbd</Resource>"
        b"<RequestId>R1</RequestId><HostId>H1</HostId></Error>"
    )
    parser = botocore.parsers.RestXMLParser()
    parsed = parser.parse(
        {"body": body, "headers": {}, "status_code": 404}, MODEL.operation_model("GetObject").output_shape
    )
    assert parsed["Error"]["Code"] == "NoSuchKey"
    assert parsed["Error"]["Key"] == "a&b"


@given(st.text(max_size=30))
def test_an_error_about_anything_is_well_formed(text):
    found = etree.fromstring(xml.render_error("InvalidArgument", text, text, text, {"ArgumentValue": text}, text))
    assert [child.tag for child in found] == ["Code", "Message", "ArgumentValue", "Resource", "RequestId", "HostId"]


def test_list_buckets_is_read_by_the_sdk():
    listed = BucketList(OWNER, [ListedBucket("a", TIME_S), ListedBucket("b", TIME_S, "default")], "a", "next")
    body = xml.render_list_buckets(listed)
    assert root_of(body) == "{http://s3.amazonaws.com/doc/2006-03-01/}ListAllMyBucketsResult"
    assert read("ListBuckets", body) == {
        "Owner": OWNER_READ,
        "Buckets": [
            {"Name": "a", "CreationDate": TIME},
            {"Name": "b", "CreationDate": TIME, "BucketRegion": "default"},
        ],
        "Prefix": "a",
        "ContinuationToken": "next",
    }
    assert read("ListBuckets", xml.render_list_buckets(BucketList(OWNER, []))) == {"Owner": OWNER_READ, "Buckets": []}


def test_a_bucket_s_few_words_are_read_by_the_sdk():
    # botocore reads this one document by a handler of its own: the root's text.
    assert etree.fromstring(xml.render_location("ir-thr-1")).text == "ir-thr-1"
    assert etree.fromstring(xml.render_location(None)).text is None
    assert read("GetBucketVersioning", xml.render_versioning()) == {}
    assert read("GetBucketVersioning", xml.render_versioning("Enabled")) == {"Status": "Enabled"}
    assert read("GetBucketRequestPayment", xml.render_request_payment()) == {"Payer": "BucketOwner"}


@pytest.mark.parametrize(
    ("operation", "root"),
    [
        ("GetBucketLogging", "BucketLoggingStatus"),
        ("GetBucketNotificationConfiguration", "NotificationConfiguration"),
        ("GetBucketAccelerateConfiguration", "AccelerateConfiguration"),
    ],
)
def test_what_was_never_set_is_an_empty_document(operation, root):
    body = xml.render_unset(operation)
    assert root_of(body) == f"{{http://s3.amazonaws.com/doc/2006-03-01/}}{root}"
    assert read(operation, body) == {}


def test_an_acl_is_read_by_the_sdk():
    full = {"Grantee": {**OWNER_READ, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
    everybody = {
        "Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
        "Permission": "READ",
    }
    for operation in ("GetObjectAcl", "GetBucketAcl"):
        assert read(operation, xml.render_acl(OWNER)) == {"Owner": OWNER_READ, "Grants": [full]}
        assert read(operation, xml.render_acl(OWNER, public_read=True))["Grants"] == [full, everybody]


def test_cors_rules_read_as_they_were_written():
    rule = CorsRule(("https://app.example", "https://*.example"), ("GET", "PUT"), ("*",), ("ETag",), 3600)
    answer = read("GetBucketCors", xml.render_cors([rule, CorsRule(("*",), ("GET",))]))
    assert answer["CORSRules"] == [
        {
            "AllowedOrigins": ["https://app.example", "https://*.example"],
            "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 3600,
        },
        {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
    ]


PLAIN = ListedObject("a b", TIME_S, ETAG, 5)
FULL = ListedObject("é&<", TIME_S, ETAG, 5 << 40, "id-1", OWNER.name, ("CRC32", "SHA256"), "COMPOSITE")
PLAIN_READ = {"Key": "a b", "LastModified": TIME, "ETag": ETAG, "Size": 5, "StorageClass": "STANDARD"}
FULL_READ = {
    **PLAIN_READ,
    "Key": "é&<",
    "Size": 5 << 40,
    "Owner": OWNER_READ,
    "ChecksumAlgorithm": ["CRC32", "SHA256"],
    "ChecksumType": "COMPOSITE",
}


def test_list_objects_is_read_by_the_sdk():
    listed = ObjectList("media", 2, True, [PLAIN, FULL], ["p/", "q&/"], "x<", "/", "m>", "n&")
    body = xml.render_list_objects(listed)
    assert root_of(body) == "{http://s3.amazonaws.com/doc/2006-03-01/}ListBucketResult"
    assert read("ListObjects", body) == {
        "Name": "media",
        "Prefix": "x<",
        "Marker": "m>",
        "NextMarker": "n&",
        "MaxKeys": 2,
        "Delimiter": "/",
        "IsTruncated": True,
        "Contents": [PLAIN_READ, FULL_READ],
        "CommonPrefixes": [{"Prefix": "p/"}, {"Prefix": "q&/"}],
    }


def test_an_empty_list_has_the_elements_that_are_always_there():
    assert read("ListObjects", xml.render_list_objects(ObjectList("media", 1000, False, []))) == {
        **{"Name": "media", "Prefix": "", "Marker": "", "MaxKeys": 1000, "IsTruncated": False},
    }
    assert read("ListObjectsV2", xml.render_list_objects_v2(ObjectListV2("media", 1000, False, []))) == {
        **{"Name": "media", "Prefix": "", "KeyCount": 0, "MaxKeys": 1000, "IsTruncated": False},
    }


def test_list_objects_v2_is_read_by_the_sdk():
    listed = ObjectListV2("media", 3, True, [PLAIN, FULL], ["p/"], "x", "/", "s", "t1&", "t2&", None)
    assert read("ListObjectsV2", xml.render_list_objects_v2(listed)) == {
        "Name": "media",
        "Prefix": "x",
        "StartAfter": "s",
        "ContinuationToken": "t1&",
        "NextContinuationToken": "t2&",
        "KeyCount": 3,
        "MaxKeys": 3,
        "Delimiter": "/",
        "IsTruncated": True,
        "Contents": [PLAIN_READ, FULL_READ],
        "CommonPrefixes": [{"Prefix": "p/"}],
    }


def test_list_object_versions_is_read_by_the_sdk():
    versions = [ListedVersion(FULL), ListedVersion(PLAIN, "v2", False), ListedVersion(FULL, "v3", True, True)]
    listed = VersionList("media", 3, True, versions, ["p/"], "x", "/", "k1", "v1", "k2", "v2")
    assert read("ListObjectVersions", xml.render_list_versions(listed)) == {
        **{"Name": "media", "Prefix": "x", "MaxKeys": 3, "Delimiter": "/", "IsTruncated": True},
        **{"KeyMarker": "k1", "VersionIdMarker": "v1", "NextKeyMarker": "k2", "NextVersionIdMarker": "v2"},
        "Versions": [
            {**FULL_READ, "VersionId": "null", "IsLatest": True},
            {**PLAIN_READ, "VersionId": "v2", "IsLatest": False},
        ],
        "DeleteMarkers": [
            {"Key": "é&<", "VersionId": "v3", "IsLatest": True, "LastModified": TIME, "Owner": OWNER_READ}
        ],
        "CommonPrefixes": [{"Prefix": "p/"}],
    }


@given(st.lists(anything, max_size=5), anything)
def test_with_encoding_type_url_every_key_comes_back_as_it_was(keys, other):
    objects = [ListedObject(key, 0, ETAG, 0) for key in keys]
    named = {"prefix": other, "delimiter": other, "encoding_type": "url"}
    uploads = [ListedUpload(key, "u", 0, OWNER) for key in keys]
    versions = [ListedVersion(one) for one in objects]
    v1 = xml.render_list_objects(ObjectList("media", 9, True, objects, keys, marker=other, next_marker=other, **named))
    v2 = xml.render_list_objects_v2(ObjectListV2("media", 9, True, objects, keys, start_after=other, **named))
    v3 = xml.render_list_versions(
        VersionList("media", 9, True, versions, keys, key_marker=other, next_key_marker=other, **named)
    )
    v4 = xml.render_list_uploads(
        UploadList("media", 9, True, uploads, keys, key_marker=other, next_key_marker=other, **named)
    )
    for operation, body, entries, names in [
        ("ListObjects", v1, "Contents", ("Prefix", "Delimiter", "Marker", "NextMarker")),
        ("ListObjectsV2", v2, "Contents", ("Prefix", "Delimiter", "StartAfter")),
        ("ListObjectVersions", v3, "Versions", ("Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")),
        ("ListMultipartUploads", v4, "Uploads", ("Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")),
    ]:
        assert body.isascii()
        found = read(operation, body)
        assert found["EncodingType"] == "url"
        for decode in (urllib.parse.unquote, urllib.parse.unquote_plus):
            assert [decode(one["Key"]) for one in found.get(entries, [])] == keys
            assert [decode(one["Prefix"]) for one in found.get("CommonPrefixes", [])] == keys
            assert {decode(found[name]) for name in names} == {other}


@given(st.lists(texts, max_size=5), texts)
def test_without_encoding_type_what_xml_can_carry_comes_back_as_it_was(keys, other):
    objects = [ListedObject(key, 0, other, 0) for key in keys]
    found = read("ListObjectsV2", xml.render_list_objects_v2(ObjectListV2("media", 9, False, objects, keys, other)))
    assert [(one["Key"], one["ETag"]) for one in found.get("Contents", [])] == [(key, other) for key in keys]
    assert [one["Prefix"] for one in found.get("CommonPrefixes", [])] == keys
    assert found["Prefix"] == other


def test_without_encoding_type_one_odd_key_does_not_spoil_the_page():
    objects = [ListedObject(key, 0, ETAG, 0) for key in ("a\ufffe", "b\uffff", "c\x01", "d")]
    found = read("ListObjects", xml.render_list_objects(ObjectList("media", 9, False, objects)))
    assert [one["Key"] for one in found["Contents"]] == ["a\ufffd", "b\ufffd", "c\ufffd", "d"]


def test_a_delete_s_result_is_read_by_the_sdk():
    deleted = [DeletedObject("a&"), DeletedObject("b", "null")]
    failures = [DeleteFailure("c<", "AccessDenied", "Access Denied"), DeleteFailure("d", "InternalError", "m", "null")]
    assert read("DeleteObjects", xml.render_delete(deleted, failures)) == {
        "Deleted": [{"Key": "a&"}, {"Key": "b", "VersionId": "null"}],
        "Errors": [
            {"Key": "c<", "Code": "AccessDenied", "Message": "Access Denied"},
            {"Key": "d", "VersionId": "null", "Code": "InternalError", "Message": "m"},
        ],
    }
    assert read("DeleteObjects", xml.render_delete([], [])) == {}


def test_copies_are_read_by_the_sdk():
    copied = CopyResult(ETAG, TIME_S, {"CRC32": "AAAAAA==", "SHA256": "x"}, "FULL_OBJECT")
    expected = {"ETag": ETAG, "LastModified": TIME, "ChecksumCRC32": "AAAAAA==", "ChecksumSHA256": "x"}
    assert read("CopyObject", xml.render_copy_object(copied)) == {
        "CopyObjectResult": {**expected, "ChecksumType": "FULL_OBJECT"}
    }
    part = CopyResult(ETAG, TIME_S, {"CRC32": "AAAAAA==", "SHA256": "x"})
    assert read("UploadPartCopy", xml.render_copy_part(part)) == {"CopyPartResult": expected}


def test_tags_are_read_by_the_sdk():
    tags = {"a&": "<b>", "صدا": ""}
    assert read("GetObjectTagging", xml.render_tagging(tags)) == {
        "TagSet": [{"Key": "a&", "Value": "<b>"}, {"Key": "صدا", "Value": ""}]
    }
    assert read("GetObjectTagging", xml.render_tagging({})) == {"TagSet": []}
    assert parse_tagging(xml.render_tagging({"a": "b/c"})) == {"a": "b/c"}


def test_object_attributes_are_read_by_the_sdk():
    parts = ObjectParts(3, 1, 2, 1, True, [ListedPart(2, 5, checksums={"SHA256": "x"})])
    attributes = ObjectAttributes(ETAG, {"SHA256": "y-3"}, "COMPOSITE", parts, "STANDARD", 0)
    assert read("GetObjectAttributes", xml.render_object_attributes(attributes)) == {
        "ETag": ETAG.strip('"'),
        "Checksum": {"ChecksumSHA256": "y-3", "ChecksumType": "COMPOSITE"},
        "ObjectParts": {
            **{
                "TotalPartsCount": 3,
                "PartNumberMarker": 1,
                "NextPartNumberMarker": 2,
                "MaxParts": 1,
                "IsTruncated": True,
            },
            "Parts": [{"PartNumber": 2, "Size": 5, "ChecksumSHA256": "x"}],
        },
        "StorageClass": "STANDARD",
        "ObjectSize": 0,
    }
    assert read("GetObjectAttributes", xml.render_object_attributes(ObjectAttributes(checksums={}))) == {}


@given(texts, texts, texts)
def test_the_steps_of_a_multipart_upload_are_read_by_the_sdk(bucket, key, upload_id):
    assert read("CreateMultipartUpload", xml.render_initiate(bucket, key, upload_id)) == {
        **{"Bucket": bucket, "Key": key, "UploadId": upload_id},
    }
    result = CompleteResult(f"https://h/{key}", bucket, key, ETAG, {"CRC64NVME": "x"}, "FULL_OBJECT")
    assert read("CompleteMultipartUpload", xml.render_complete(result)) == {
        **{"Location": f"https://h/{key}", "Bucket": bucket, "Key": key, "ETag": ETAG},
        **{"ChecksumCRC64NVME": "x", "ChecksumType": "FULL_OBJECT"},
    }


def test_list_parts_is_read_by_the_sdk():
    parts = [ListedPart(1, 5, TIME_S, ETAG), ListedPart(2, 6, TIME_S, ETAG, {"CRC32": "AAAAAA=="})]
    listed = PartList("media", "k&", "u<", 2, True, parts, OWNER, Owner("i", "n"), 0, 2, "CRC32", "COMPOSITE")
    assert read("ListParts", xml.render_list_parts(listed)) == {
        **{"Bucket": "media", "Key": "k&", "UploadId": "u<", "MaxParts": 2, "IsTruncated": True},
        **{"PartNumberMarker": 0, "NextPartNumberMarker": 2, "StorageClass": "STANDARD"},
        **{"ChecksumAlgorithm": "CRC32", "ChecksumType": "COMPOSITE", "Owner": OWNER_READ},
        "Initiator": {"ID": "i", "DisplayName": "n"},
        "Parts": [
            {"PartNumber": 1, "Size": 5, "LastModified": TIME, "ETag": ETAG},
            {"PartNumber": 2, "Size": 6, "LastModified": TIME, "ETag": ETAG, "ChecksumCRC32": "AAAAAA=="},
        ],
    }


def test_list_multipart_uploads_is_read_by_the_sdk():
    uploads = [ListedUpload("k&", "u<", TIME_S, OWNER, checksum_algorithm="SHA1", checksum_type="COMPOSITE")]
    listed = UploadList("media", 1, True, uploads, ["p/"], "x", "/", "k1", "u1", "k2", "u2")
    assert read("ListMultipartUploads", xml.render_list_uploads(listed)) == {
        **{"Bucket": "media", "Prefix": "x", "Delimiter": "/", "MaxUploads": 1, "IsTruncated": True},
        **{"KeyMarker": "k1", "UploadIdMarker": "u1", "NextKeyMarker": "k2", "NextUploadIdMarker": "u2"},
        "Uploads": [
            {
                **{"Key": "k&", "UploadId": "u<", "Initiated": TIME, "StorageClass": "STANDARD", "Owner": OWNER_READ},
                **{"Initiator": OWNER_READ, "ChecksumAlgorithm": "SHA1", "ChecksumType": "COMPOSITE"},
            }
        ],
        "CommonPrefixes": [{"Prefix": "p/"}],
    }


def test_a_form_s_answer_names_the_object():
    found = etree.fromstring(xml.render_post_response("https://h/media/a&b", "media", "a&b", ETAG))
    assert found.tag == "PostResponse"
    assert {child.tag: child.text for child in found} == {
        **{"Location": "https://h/media/a&b", "Bucket": "media", "Key": "a&b", "ETag": ETAG},
    }
