"""gateway/s3/operations.py: the table is complete, and each request finds its row or a refusal."""

import urllib.parse

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.address import KNOWN_PARAMETERS, Address
from gateway.s3.operations import (
    OPERATIONS,
    SUBRESOURCES,
    Operation,
    Support,
    actions_of,
    find_operation,
    refuse_unsupported_headers,
)
from tests.s3.refusal import refused

SERVICE, BUCKET, OBJECT = Address(None, None), Address("media", None), Address("media", "k")
PLACES = {"service": SERVICE, "bucket": BUCKET, "object": OBJECT}
BY_NAME = {operation.name: operation for operation in OPERATIONS}
FORM = {"content-type": "multipart/form-data; boundary=x"}
COPY = {"x-amz-copy-source": "media/other"}
MODEL = botocore.session.get_session().get_service_model("s3")

DONE = {
    *("ListBuckets", "CreateBucket", "HeadBucket", "DeleteBucket", "GetBucketLocation", "GetBucketVersioning"),
    *("GetBucketCors",),
    *(
        "GetBucketAcl",
        "GetObjectAcl",
        "PutBucketAcl",
        "PutObjectAcl",
        "PutObject",
        "GetObject",
        "HeadObject",
        "DeleteObject",
        "DeleteObjects",
    ),
    *("CopyObject", "ListObjects", "ListObjectsV2", "ListObjectVersions", "GetObjectAttributes", "PutObjectTagging"),
    *("GetObjectTagging", "DeleteObjectTagging", "CreateMultipartUpload", "UploadPart", "UploadPartCopy"),
    *("CompleteMultipartUpload", "AbortMultipartUpload", "ListParts", "ListMultipartUploads", "PostObject"),
    *("GetBucketLogging", "GetBucketNotificationConfiguration", "GetBucketNotification"),
    *("GetBucketAccelerateConfiguration", "GetBucketRequestPayment"),
}
# Rows that no request finds: an older name of another row, or an operation with a host of its own.
SHADOWED = {
    *("GetBucketLifecycle", "PutBucketLifecycle", "GetBucketNotification", "PutBucketNotification"),
    "ListDirectoryBuckets",
}


def named(method: str, where: Address, query: str = "", headers: dict[str, str] | None = None) -> str:
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    return find_operation(method, where, dict(pairs), headers or {}).name


def test_every_operation_of_the_sdk_s_model_has_its_row_and_no_other_is_invented():
    assert len(BY_NAME) == len(OPERATIONS)
    assert BY_NAME.keys() - {"PostObject"} == set(MODEL.operation_names)


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_a_row_is_where_the_sdk_s_model_has_it(name):
    http = MODEL.operation_model(name).http
    target = urllib.parse.urlsplit(http["requestUri"])
    row = BY_NAME[name]
    assert row.method == http["method"]
    assert row.on == {"/": "service", "/WriteGetObjectResponse": "service", "/{Bucket}": "bucket"}.get(
        target.path, "object"
    )
    query = {part.partition("=")[0] for part in target.query.split("&") if part} - {"select-type"}
    assert query <= {parameter for parameter, _ in row.query}


def test_what_is_done_is_marked_so():
    assert {row.name for row in OPERATIONS if row.support is Support.FULL} == DONE
    assert {row.name for row in OPERATIONS if row.unset} == {
        row.name for row in OPERATIONS if row.support is Support.UNSET
    }


def test_what_is_unset_is_answered_by_a_read_with_an_error_of_its_own():
    for row in OPERATIONS:
        if row.unset is not None:
            assert row.method == "GET"
            assert row.unset.status == 404


@pytest.mark.parametrize(
    "row",
    [row for row in OPERATIONS if row.name not in SHADOWED | {"WriteGetObjectResponse"}],
    ids=lambda row: row.name,
)
def test_a_request_with_just_what_a_row_names_finds_it(row: Operation):
    query = {name: value or "" for name, value in row.query}
    headers = {**FORM, **(COPY if row.header else {})}
    assert find_operation(row.method, PLACES[row.on], query, headers) is row


def test_every_row_has_an_action_with_a_service_before_it():
    assert all(row.action.partition(":")[0] in ("s3", "s3express", "s3-object-lambda") for row in OPERATIONS)


def test_every_parameter_in_a_row_is_one_that_may_not_repeat():
    assert {name for row in OPERATIONS for name, _ in row.query} <= KNOWN_PARAMETERS
    assert SUBRESOURCES <= KNOWN_PARAMETERS


@pytest.mark.parametrize(
    ("method", "where", "query", "headers", "name"),
    [
        ("GET", SERVICE, "", {}, "ListBuckets"),
        ("GET", SERVICE, "x-id=ListBuckets&max-buckets=1", {}, "ListBuckets"),
        ("GET", BUCKET, "", {}, "ListObjects"),
        ("GET", BUCKET, "prefix=a&delimiter=/&max-keys=1&marker=&encoding-type=url", {}, "ListObjects"),
        ("GET", BUCKET, "list-type=2&prefix=a", {}, "ListObjectsV2"),
        ("GET", BUCKET, "uploads", {}, "ListMultipartUploads"),
        ("GET", BUCKET, "uploads=&prefix=", {}, "ListMultipartUploads"),
        ("GET", BUCKET, "versions=&encoding-type=url", {}, "ListObjectVersions"),
        ("GET", BUCKET, "location", {}, "GetBucketLocation"),
        ("GET", BUCKET, "analytics&id=1", {}, "GetBucketAnalyticsConfiguration"),
        ("GET", BUCKET, "analytics", {}, "ListBucketAnalyticsConfigurations"),
        ("HEAD", BUCKET, "", {}, "HeadBucket"),
        ("PUT", BUCKET, "", {}, "CreateBucket"),
        ("POST", BUCKET, "delete=", {}, "DeleteObjects"),
        ("POST", BUCKET, "", FORM, "PostObject"),
        ("POST", BUCKET, "", {"content-type": "Multipart/Form-Data; boundary=x"}, "PostObject"),
        ("GET", OBJECT, "", {}, "GetObject"),
        ("GET", OBJECT, "versionId=null&partNumber=1&response-content-type=a&x-id=GetObject", {}, "GetObject"),
        ("GET", OBJECT, "X-Amz-Signature=0&Content-Type=image%2Fpng&anything=1", {}, "GetObject"),
        ("GET", OBJECT, "AWSAccessKeyId=a&Signature=b&Expires=1", {}, "GetObject"),
        ("GET", OBJECT, "uploadId=1&max-parts=2", {}, "ListParts"),
        ("GET", OBJECT, "attributes&versionId=null", {}, "GetObjectAttributes"),
        ("GET", OBJECT, "annotation&annotationName=a", {}, "GetObjectAnnotation"),
        ("HEAD", OBJECT, "partNumber=1&versionId=null", {}, "HeadObject"),
        ("PUT", OBJECT, "", {}, "PutObject"),
        ("PUT", OBJECT, "x-id=PutObject", {"x-amz-copy-source-if-match": "x"}, "PutObject"),
        ("PUT", OBJECT, "x-id=CopyObject", COPY, "CopyObject"),
        ("PUT", OBJECT, "partNumber=1&uploadId=a", {}, "UploadPart"),
        ("PUT", OBJECT, "partNumber=1&uploadId=a", COPY, "UploadPartCopy"),
        ("PUT", OBJECT, "acl", {}, "PutObjectAcl"),
        ("PUT", OBJECT, "tagging&versionId=null", {}, "PutObjectTagging"),
        ("POST", OBJECT, "uploads", {}, "CreateMultipartUpload"),
        ("POST", OBJECT, "uploadId=a", {}, "CompleteMultipartUpload"),
        ("POST", OBJECT, "select&select-type=2", {}, "SelectObjectContent"),
        ("DELETE", OBJECT, "", {}, "DeleteObject"),
        ("DELETE", OBJECT, "versionId=null", {}, "DeleteObject"),
        ("DELETE", OBJECT, "uploadId=a", {}, "AbortMultipartUpload"),
        ("DELETE", BUCKET, "", {}, "DeleteBucket"),
        ("OPTIONS", OBJECT, "", {}, "Preflight"),
        ("OPTIONS", BUCKET, "delete", {}, "Preflight"),
        ("OPTIONS", SERVICE, "", {}, "Preflight"),
    ],
)
def test_a_request_finds_its_operation(method, where, query, headers, name):
    assert named(method, where, query, headers) == name


@pytest.mark.parametrize(
    ("method", "where", "query"),
    [
        ("PATCH", OBJECT, ""),
        ("TRACE", BUCKET, ""),
        ("CONNECT", SERVICE, ""),
        ("get", OBJECT, ""),
        ("", OBJECT, ""),
        ("PUT", SERVICE, ""),
        ("DELETE", SERVICE, ""),
        ("HEAD", SERVICE, ""),
        ("POST", OBJECT, ""),
        ("PUT", OBJECT, "uploads"),
        ("PUT", OBJECT, "delete"),
        ("PUT", OBJECT, "policy"),
        ("PUT", OBJECT, "attributes"),
        ("PUT", BUCKET, "uploads"),
        ("PUT", BUCKET, "location"),
        ("PUT", BUCKET, "delete"),
        ("DELETE", BUCKET, "acl"),
        ("DELETE", BUCKET, "versioning"),
        ("DELETE", OBJECT, "acl"),
        ("DELETE", OBJECT, "retention"),
        ("GET", OBJECT, "uploads"),
        ("GET", OBJECT, "location"),
        ("GET", OBJECT, "select"),
        ("GET", BUCKET, "delete"),
        ("GET", SERVICE, "acl"),
        ("HEAD", OBJECT, "acl"),
        ("HEAD", OBJECT, "uploadId=1"),
        ("HEAD", BUCKET, "versions"),
        ("POST", OBJECT, "acl"),
        ("POST", BUCKET, "uploads"),
    ],
)
def test_a_sub_resource_with_the_wrong_method_never_falls_through(method, where, query):
    with refused(Code.MethodNotAllowed):
        named(method, where, query, FORM)


@pytest.mark.parametrize(
    ("method", "where", "query"),
    [
        ("PUT", OBJECT, "uploadId=a"),
        ("PUT", OBJECT, "partNumber=1"),
        ("PUT", OBJECT, "versionId=null"),
        ("PUT", OBJECT, "partNumber=1&uploadId=a&versionId=null"),
        ("POST", OBJECT, "uploads&versionId=null"),
        ("POST", OBJECT, "uploads&uploadId=a"),
        ("GET", OBJECT, "acl&tagging"),
        ("GET", OBJECT, "tagging&uploadId=a"),
        ("PUT", OBJECT, "acl&tagging"),
        ("PUT", OBJECT, "tagging&partNumber=1"),
        ("DELETE", OBJECT, "tagging&uploadId=a"),
        ("GET", BUCKET, "location&policy"),
        ("GET", BUCKET, "list-type=2&acl&cors"),
        ("GET", BUCKET, "list-type=1"),
        ("GET", BUCKET, "list-type="),
    ],
)
def test_parameters_that_contradict_each_other_are_invalid_argument(method, where, query):
    with refused(Code.InvalidArgument):
        named(method, where, query)


@pytest.mark.parametrize(
    ("method", "where", "query"),
    [
        ("GET", OBJECT, ""),
        ("HEAD", OBJECT, ""),
        ("DELETE", OBJECT, ""),
        ("POST", OBJECT, "uploads"),
        ("POST", OBJECT, "uploadId=a"),
        ("PUT", OBJECT, "acl"),
        ("PUT", OBJECT, "tagging"),
        ("PUT", BUCKET, ""),
        ("POST", BUCKET, "delete"),
        ("POST", BUCKET, ""),
        ("GET", BUCKET, "list-type=2"),
        ("GET", SERVICE, ""),
    ],
)
def test_f04_a_copy_source_belongs_to_a_put_of_an_object(method, where, query):
    with refused(Code.InvalidArgument, ArgumentName="x-amz-copy-source"):
        named(method, where, query, {**FORM, **COPY})


def test_a_post_on_a_bucket_that_is_no_form_says_what_it_must_be():
    for headers in ({}, {"content-type": "application/xml"}):
        with refused(
            Code.PreconditionFailed, Condition="Bucket POST must be of the enclosure-type multipart/form-data"
        ):
            named("POST", BUCKET, "", headers)


@given(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"]),
    st.sampled_from([SERVICE, BUCKET, OBJECT]),
    st.dictionaries(st.sampled_from(sorted(KNOWN_PARAMETERS)), st.sampled_from(["", "2", "null"]), max_size=3),
    st.booleans(),
)
def test_no_parameter_that_chooses_is_ever_ignored(method, where, query, copies):
    try:
        found = find_operation(method, where, query, {**FORM, **(COPY if copies else {})})
    except S3Error as error:
        assert error.code in (Code.MethodNotAllowed, Code.InvalidArgument)
        return
    if found.name != "Preflight":
        assert set(query) & SUBRESOURCES == {name for name, _ in found.query} & SUBRESOURCES
        assert (found.header is not None) is copies


# --- headers of what we do not do


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-amz-acl": "private"},
        {"x-amz-acl": "bucket-owner-full-control"},
        {"x-amz-storage-class": "STANDARD", "x-amz-meta-server-side-encryption": "AES256"},
        {"x-amz-date": "x", "x-amz-content-sha256": "y", "x-amz-user-agent": "z", "x-amz-request-payer": "requester"},
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-tagging": "a=b", "x-amz-expected-bucket-owner": "o"},
        {"x-amz-server-side-encryption-bucket-key-enabled": "false", "x-amz-bucket-object-lock-enabled": "False"},
        {"x-amz-website-redirect-location": "", "x-amz-storage-class": "", "x-amz-acl": ""},
        {"x-amz-object-ownership": "BucketOwnerEnforced"},
    ],
)
def test_headers_that_we_hold_to_are_accepted(headers):
    for name in ("PutObject", "CopyObject", "CreateMultipartUpload", "CreateBucket", "GetObject"):
        refuse_unsupported_headers(BY_NAME[name], headers)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-amz-acl", "public-read", Code.AccessControlListNotSupported),
        ("x-amz-acl", "public-read-write", Code.AccessControlListNotSupported),
        ("x-amz-acl", "authenticated-read", Code.AccessControlListNotSupported),
        ("x-amz-acl", "Private", Code.InvalidArgument),
        ("x-amz-acl", "everybody", Code.InvalidArgument),
        ("x-amz-grant-read", "uri=http://acs.amazonaws.com/groups/global/AllUsers", Code.AccessControlListNotSupported),
        ("x-amz-grant-full-control", "id=1", Code.AccessControlListNotSupported),
        ("x-amz-storage-class", "GLACIER", Code.InvalidStorageClass),
        ("x-amz-storage-class", "standard", Code.InvalidStorageClass),
        ("x-amz-server-side-encryption", "AES256", Code.NotImplemented),
        ("x-amz-server-side-encryption", "aws:kms", Code.NotImplemented),
        ("x-amz-server-side-encryption-aws-kms-key-id", "k", Code.NotImplemented),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true", Code.NotImplemented),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256", Code.NotImplemented),
        ("x-amz-server-side-encryption-customer-key", "k", Code.NotImplemented),
        ("x-amz-copy-source-server-side-encryption-customer-key", "k", Code.NotImplemented),
        ("x-amz-object-lock-mode", "GOVERNANCE", Code.NotImplemented),
        ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z", Code.NotImplemented),
        ("x-amz-object-lock-legal-hold", "ON", Code.NotImplemented),
        ("x-amz-website-redirect-location", "/other", Code.NotImplemented),
        ("x-amz-write-offset-bytes", "5", Code.NotImplemented),
        ("x-amz-object-annotation-directive", "COPY", Code.NotImplemented),
        ("x-amz-if-match-size", "5", Code.NotImplemented),
        ("x-amz-if-match-last-modified-time", "x", Code.NotImplemented),
        ("x-amz-bucket-object-lock-enabled", "true", Code.NotImplemented),
    ],
)
def test_f26_a_header_that_asks_for_more_is_refused_and_not_ignored(name, value, code):
    for operation in ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "GetObject", "CreateBucket"):
        with refused(code):
            refuse_unsupported_headers(BY_NAME[operation], {"host": "h", name: value})


@pytest.mark.parametrize("value", ["ObjectWriter", "BucketOwnerPreferred"])
def test_a_bucket_with_acls_cannot_be_made(value):
    with refused(Code.NotImplemented, Header="x-amz-object-ownership"):
        refuse_unsupported_headers(BY_NAME["CreateBucket"], {"x-amz-object-ownership": value})


def test_no_header_for_protection_in_the_sdk_s_model_is_overlooked():
    accepted = {
        *("x-amz-acl", "x-amz-storage-class", "x-amz-tagging", "x-amz-tagging-directive", "x-amz-metadata-directive"),
        *("x-amz-request-payer", "x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner", "x-amz-meta-"),
        *("x-amz-checksum-type", "x-amz-sdk-checksum-algorithm", "x-amz-mp-object-size", "x-amz-checksum-algorithm"),
    }
    for operation in (
        "PutObject",
        "CopyObject",
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPartCopy",
        "CompleteMultipartUpload",
    ):
        members = MODEL.operation_model(operation).input_shape.members.values()
        names = {
            member.serialization.get("name", "").lower()
            for member in members
            if member.serialization.get("location") in ("header", "headers")
        }
        for name in names:
            if (
                not name.startswith("x-amz-")
                or name.startswith(("x-amz-copy-source", "x-amz-checksum-"))
                or name in accepted
            ):
                continue
            code = Code.AccessControlListNotSupported if name.startswith("x-amz-grant-") else Code.NotImplemented
            with refused(code):
                refuse_unsupported_headers(BY_NAME[operation], {name: "true"})


def test_an_acl_of_an_upload_is_held_against_who_may_read_it():
    refuse_unsupported_headers(BY_NAME["PutObject"], {"x-amz-acl": "public-read"}, public=True)
    with refused(Code.AccessControlListNotSupported):
        refuse_unsupported_headers(BY_NAME["PutObject"], {"x-amz-acl": "public-read"}, public=False)
    refuse_unsupported_headers(BY_NAME["PutObjectAcl"], {"x-amz-acl": "public-read"}, public=False)


def test_f16_naming_a_version_is_a_right_of_its_own_beside_the_one_on_the_object():
    assert actions_of(BY_NAME["GetObject"], versioned=False) == ("s3:GetObject",)
    assert actions_of(BY_NAME["HeadObject"], versioned=True) == ("s3:GetObject", "s3:GetObjectVersion")
    assert actions_of(BY_NAME["DeleteObject"], versioned=True) == ("s3:DeleteObject", "s3:DeleteObjectVersion")
    assert actions_of(BY_NAME["ListParts"], versioned=True) == ("s3:ListMultipartUploadParts",)


def test_attributes_of_an_object_are_for_who_may_read_it():
    both = ("s3:GetObjectAttributes", "s3:GetObject")
    assert actions_of(BY_NAME["GetObjectAttributes"], versioned=False) == both
    of_versions = ("s3:GetObjectVersionAttributes", "s3:GetObjectVersion")
    assert actions_of(BY_NAME["GetObjectAttributes"], versioned=True) == (*both, *of_versions)
