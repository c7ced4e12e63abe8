"""The one table of S3's operations: which request is which, and what we do about it.

A row is found by the method, by what the path names, by query parameters that are there (their values mostly do not
count) and by one header. The first row that fits wins. A request that no row fits is refused, never guessed: a
`PUT ?acl` that fell through to PutObject would overwrite the object.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from typing import Final, Literal, NoReturn

from gateway.errors import Code, S3Error
from gateway.s3.acl import check_canned_acl
from gateway.s3.address import Address

Target = Literal["service", "bucket", "object"]

COPY_SOURCE = "x-amz-copy-source"


class Support(Enum):
    """What we do about an operation."""

    FULL = "done"
    UNSET = "answers that it is not set"
    NO = "not implemented"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. `query`: parameters that must be there, with the value that each must have, or None for any.

    `header` must be there, too. `action` is what a policy allows or denies. `unset` is the error of Support.UNSET.
    """

    name: str
    method: str
    on: Target
    query: tuple[tuple[str, str | None], ...]
    header: str | None
    action: str
    support: Support
    unset: Code | None
    note: str


def _op(
    name: str,
    method: str,
    on: Target,
    query: str,
    action: str,
    support: Support | Code = Support.FULL,
    note: str = "",
    *,
    header: str | None = None,
) -> Operation:
    """A row; `query` is "name&name=value", and an error code in place of `support` is what S3 says when unset."""
    pairs = tuple((part.partition("=")[0], part.partition("=")[2] or None) for part in query.split("&") if part)
    unset = support if isinstance(support, Code) else None
    settled = Support.UNSET if isinstance(support, Code) else support
    return Operation(name, method, on, pairs, header, action, settled, unset, note)


_NO: Final = Support.NO
_FULL: Final = Support.FULL
_OLD = "older name of the row above"
_MAPPED = "what the policies say"
_TRUE = "accepts what the policies say already"

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    #   operation                            method    on         query                   action                          support and note
    # --- objects
    _op("ListParts",                         "GET",    "object",  "uploadId",             "s3:ListMultipartUploadParts"),
    _op("GetObjectAcl",                      "GET",    "object",  "acl",                  "s3:GetObjectAcl",              _FULL, _MAPPED),
    _op("GetObjectTagging",                  "GET",    "object",  "tagging",              "s3:GetObjectTagging"),
    _op("GetObjectAttributes",               "GET",    "object",  "attributes",           "s3:GetObjectAttributes"),
    _op("GetObjectRetention",                "GET",    "object",  "retention",            "s3:GetObjectRetention",        Code.NoSuchObjectLockConfiguration),
    _op("GetObjectLegalHold",                "GET",    "object",  "legal-hold",           "s3:GetObjectLegalHold",        Code.NoSuchObjectLockConfiguration),
    _op("GetObjectTorrent",                  "GET",    "object",  "torrent",              "s3:GetObjectTorrent",          _NO),
    _op("GetObjectAnnotation",               "GET",    "object",  "annotation&annotationName", "s3:GetObjectAnnotation",  _NO),
    _op("ListObjectAnnotations",             "GET",    "object",  "annotation",           "s3:ListObjectAnnotations",     _NO),
    _op("GetObject",                         "GET",    "object",  "",                     "s3:GetObject"),
    _op("HeadObject",                        "HEAD",   "object",  "",                     "s3:GetObject"),
    _op("UploadPartCopy",                    "PUT",    "object",  "partNumber&uploadId",  "s3:PutObject",                 header=COPY_SOURCE),
    _op("UploadPart",                        "PUT",    "object",  "partNumber&uploadId",  "s3:PutObject"),
    _op("PutObjectAcl",                      "PUT",    "object",  "acl",                  "s3:PutObjectAcl",              _FULL, _TRUE),
    _op("PutObjectTagging",                  "PUT",    "object",  "tagging",              "s3:PutObjectTagging"),
    _op("PutObjectRetention",                "PUT",    "object",  "retention",            "s3:PutObjectRetention",        _NO),
    _op("PutObjectLegalHold",                "PUT",    "object",  "legal-hold",           "s3:PutObjectLegalHold",        _NO),
    _op("PutObjectAnnotation",               "PUT",    "object",  "annotation",           "s3:PutObjectAnnotation",       _NO),
    _op("UpdateObjectEncryption",            "PUT",    "object",  "encryption",           "s3:UpdateObjectEncryption",    _NO),
    _op("RenameObject",                      "PUT",    "object",  "renameObject",         "s3express:RenameObject",       _NO, "directory buckets only"),
    _op("CopyObject",                        "PUT",    "object",  "",                     "s3:PutObject",                 _FULL, "a copy keeps its source's ETag and parts", header=COPY_SOURCE),
    _op("PutObject",                         "PUT",    "object",  "",                     "s3:PutObject"),
    _op("CreateMultipartUpload",             "POST",   "object",  "uploads",              "s3:PutObject"),
    _op("CompleteMultipartUpload",           "POST",   "object",  "uploadId",             "s3:PutObject",                 _FULL, "the list may leave out checksums of parts"),
    _op("RestoreObject",                     "POST",   "object",  "restore",              "s3:RestoreObject",             _NO),
    _op("SelectObjectContent",               "POST",   "object",  "select",               "s3:GetObject",                 _NO),
    _op("AbortMultipartUpload",              "DELETE", "object",  "uploadId",             "s3:AbortMultipartUpload"),
    _op("DeleteObjectTagging",               "DELETE", "object",  "tagging",              "s3:DeleteObjectTagging"),
    _op("DeleteObjectAnnotation",            "DELETE", "object",  "annotation",           "s3:DeleteObjectAnnotation",    _NO),
    _op("DeleteObject",                      "DELETE", "object",  "",                     "s3:DeleteObject"),
    # --- buckets
    _op("GetBucketLocation",                 "GET",    "bucket",  "location",             "s3:GetBucketLocation"),
    _op("GetBucketVersioning",               "GET",    "bucket",  "versioning",           "s3:GetBucketVersioning"),
    _op("GetBucketAcl",                      "GET",    "bucket",  "acl",                  "s3:GetBucketAcl",              _FULL, _MAPPED),
    _op("ListMultipartUploads",              "GET",    "bucket",  "uploads",              "s3:ListBucketMultipartUploads"),
    _op("ListObjectVersions",                "GET",    "bucket",  "versions",             "s3:ListBucketVersions",        _FULL, "each object once, as version null"),
    _op("GetBucketAbac",                     "GET",    "bucket",  "abac",                 "s3:GetBucketAbac",             _NO),
    _op("GetBucketAccelerateConfiguration",  "GET",    "bucket",  "accelerate",           "s3:GetAccelerateConfiguration", _FULL, "always unset: an empty document"),
    _op("GetBucketAnalyticsConfiguration",   "GET",    "bucket",  "analytics&id",         "s3:GetAnalyticsConfiguration", _NO),
    _op("ListBucketAnalyticsConfigurations", "GET",    "bucket",  "analytics",            "s3:GetAnalyticsConfiguration", _NO),
    _op("GetBucketCors",                     "GET",    "bucket",  "cors",                 "s3:GetBucketCORS",             _FULL, "the rules of the policy files"),
    _op("GetBucketEncryption",               "GET",    "bucket",  "encryption",           "s3:GetEncryptionConfiguration", Code.ServerSideEncryptionConfigurationNotFoundError),
    _op("GetBucketIntelligentTieringConfiguration", "GET", "bucket", "intelligent-tiering&id", "s3:GetIntelligentTieringConfiguration", _NO),
    _op("ListBucketIntelligentTieringConfigurations", "GET", "bucket", "intelligent-tiering", "s3:GetIntelligentTieringConfiguration", _NO),
    _op("GetBucketInventoryConfiguration",   "GET",    "bucket",  "inventory&id",         "s3:GetInventoryConfiguration", _NO),
    _op("ListBucketInventoryConfigurations", "GET",    "bucket",  "inventory",            "s3:GetInventoryConfiguration", _NO),
    _op("GetBucketLifecycleConfiguration",   "GET",    "bucket",  "lifecycle",            "s3:GetLifecycleConfiguration", Code.NoSuchLifecycleConfiguration),
    _op("GetBucketLifecycle",                "GET",    "bucket",  "lifecycle",            "s3:GetLifecycleConfiguration", Code.NoSuchLifecycleConfiguration, _OLD),
    _op("GetBucketLogging",                  "GET",    "bucket",  "logging",              "s3:GetBucketLogging",          _FULL, "always unset: an empty document"),
    _op("GetBucketMetadataConfiguration",    "GET",    "bucket",  "metadataConfiguration", "s3:GetBucketMetadataTableConfiguration", _NO),
    _op("GetBucketMetadataTableConfiguration", "GET",  "bucket",  "metadataTable",        "s3:GetBucketMetadataTableConfiguration", _NO),
    _op("GetBucketMetricsConfiguration",     "GET",    "bucket",  "metrics&id",           "s3:GetMetricsConfiguration",   _NO),
    _op("ListBucketMetricsConfigurations",   "GET",    "bucket",  "metrics",              "s3:GetMetricsConfiguration",   _NO),
    _op("GetBucketNotificationConfiguration", "GET",   "bucket",  "notification",         "s3:GetBucketNotification",     _FULL, "always unset: an empty document"),
    _op("GetBucketNotification",             "GET",    "bucket",  "notification",         "s3:GetBucketNotification",     _FULL, _OLD),
    _op("GetObjectLockConfiguration",        "GET",    "bucket",  "object-lock",          "s3:GetBucketObjectLockConfiguration", Code.ObjectLockConfigurationNotFoundError),
    _op("GetBucketOwnershipControls",        "GET",    "bucket",  "ownershipControls",    "s3:GetBucketOwnershipControls", Code.OwnershipControlsNotFoundError),
    _op("GetBucketPolicy",                   "GET",    "bucket",  "policy",               "s3:GetBucketPolicy",           Code.NoSuchBucketPolicy),
    _op("GetBucketPolicyStatus",             "GET",    "bucket",  "policyStatus",         "s3:GetBucketPolicyStatus",     Code.NoSuchBucketPolicy),
    _op("GetPublicAccessBlock",              "GET",    "bucket",  "publicAccessBlock",    "s3:GetBucketPublicAccessBlock", Code.NoSuchPublicAccessBlockConfiguration),
    _op("GetBucketReplication",              "GET",    "bucket",  "replication",          "s3:GetReplicationConfiguration", Code.ReplicationConfigurationNotFoundError),
    _op("GetBucketRequestPayment",           "GET",    "bucket",  "requestPayment",       "s3:GetBucketRequestPayment",   _FULL, "always BucketOwner"),
    _op("GetBucketTagging",                  "GET",    "bucket",  "tagging",              "s3:GetBucketTagging",          Code.NoSuchTagSet),
    _op("GetBucketWebsite",                  "GET",    "bucket",  "website",              "s3:GetBucketWebsite",          Code.NoSuchWebsiteConfiguration),
    _op("CreateSession",                     "GET",    "bucket",  "session",              "s3express:CreateSession",      _NO, "directory buckets only"),
    _op("ListObjectsV2",                     "GET",    "bucket",  "list-type=2",          "s3:ListBucket"),
    _op("ListObjects",                       "GET",    "bucket",  "",                     "s3:ListBucket"),
    _op("HeadBucket",                        "HEAD",   "bucket",  "",                     "s3:ListBucket"),
    _op("PutBucketAbac",                     "PUT",    "bucket",  "abac",                 "s3:PutBucketAbac",             _NO),
    _op("PutBucketAccelerateConfiguration",  "PUT",    "bucket",  "accelerate",           "s3:PutAccelerateConfiguration", _NO),
    _op("PutBucketAcl",                      "PUT",    "bucket",  "acl",                  "s3:PutBucketAcl",              _FULL, _TRUE),
    _op("PutBucketAnalyticsConfiguration",   "PUT",    "bucket",  "analytics",            "s3:PutAnalyticsConfiguration", _NO),
    _op("PutBucketCors",                     "PUT",    "bucket",  "cors",                 "s3:PutBucketCORS",             _NO, "rules are in the policy files"),
    _op("PutBucketEncryption",               "PUT",    "bucket",  "encryption",           "s3:PutEncryptionConfiguration", _NO),
    _op("PutBucketIntelligentTieringConfiguration", "PUT", "bucket", "intelligent-tiering", "s3:PutIntelligentTieringConfiguration", _NO),
    _op("PutBucketInventoryConfiguration",   "PUT",    "bucket",  "inventory",            "s3:PutInventoryConfiguration", _NO),
    _op("PutBucketLifecycleConfiguration",   "PUT",    "bucket",  "lifecycle",            "s3:PutLifecycleConfiguration", _NO),
    _op("PutBucketLifecycle",                "PUT",    "bucket",  "lifecycle",            "s3:PutLifecycleConfiguration", _NO, _OLD),
    _op("PutBucketLogging",                  "PUT",    "bucket",  "logging",              "s3:PutBucketLogging",          _NO),
    _op("UpdateBucketMetadataAnnotationTableConfiguration", "PUT", "bucket", "metadataAnnotationTable", "s3:UpdateBucketMetadataAnnotationTableConfiguration", _NO),
    _op("UpdateBucketMetadataInventoryTableConfiguration", "PUT", "bucket", "metadataInventoryTable", "s3:UpdateBucketMetadataInventoryTableConfiguration", _NO),
    _op("UpdateBucketMetadataJournalTableConfiguration", "PUT", "bucket", "metadataJournalTable", "s3:UpdateBucketMetadataJournalTableConfiguration", _NO),
    _op("PutBucketMetricsConfiguration",     "PUT",    "bucket",  "metrics",              "s3:PutMetricsConfiguration",   _NO),
    _op("PutBucketNotificationConfiguration", "PUT",   "bucket",  "notification",         "s3:PutBucketNotification",     _NO),
    _op("PutBucketNotification",             "PUT",    "bucket",  "notification",         "s3:PutBucketNotification",     _NO, _OLD),
    _op("PutObjectLockConfiguration",        "PUT",    "bucket",  "object-lock",          "s3:PutBucketObjectLockConfiguration", _NO),
    _op("PutBucketOwnershipControls",        "PUT",    "bucket",  "ownershipControls",    "s3:PutBucketOwnershipControls", _NO),
    _op("PutBucketPolicy",                   "PUT",    "bucket",  "policy",               "s3:PutBucketPolicy",           _NO, "rights are in the policy files"),
    _op("PutPublicAccessBlock",              "PUT",    "bucket",  "publicAccessBlock",    "s3:PutBucketPublicAccessBlock", _NO),
    _op("PutBucketReplication",              "PUT",    "bucket",  "replication",          "s3:PutReplicationConfiguration", _NO),
    _op("PutBucketRequestPayment",           "PUT",    "bucket",  "requestPayment",       "s3:PutBucketRequestPayment",   _NO),
    _op("PutBucketTagging",                  "PUT",    "bucket",  "tagging",              "s3:PutBucketTagging",          _NO),
    _op("PutBucketVersioning",               "PUT",    "bucket",  "versioning",           "s3:PutBucketVersioning",       _NO),
    _op("PutBucketWebsite",                  "PUT",    "bucket",  "website",              "s3:PutBucketWebsite",          _NO),
    _op("CreateBucket",                      "PUT",    "bucket",  "",                     "s3:CreateBucket"),
    _op("DeleteObjects",                     "POST",   "bucket",  "delete",               "s3:DeleteObject"),
    _op("CreateBucketMetadataConfiguration", "POST",   "bucket",  "metadataConfiguration", "s3:CreateBucketMetadataTableConfiguration", _NO),
    _op("CreateBucketMetadataTableConfiguration", "POST", "bucket", "metadataTable",      "s3:CreateBucketMetadataTableConfiguration", _NO),
    _op("PostObject",                        "POST",   "bucket",  "",                     "s3:PutObject",                 _FULL, "a browser's form"),
    _op("DeleteBucketAnalyticsConfiguration", "DELETE", "bucket", "analytics",            "s3:PutAnalyticsConfiguration", _NO),
    _op("DeleteBucketCors",                  "DELETE", "bucket",  "cors",                 "s3:PutBucketCORS",             _NO),
    _op("DeleteBucketEncryption",            "DELETE", "bucket",  "encryption",           "s3:PutEncryptionConfiguration", _NO),
    _op("DeleteBucketIntelligentTieringConfiguration", "DELETE", "bucket", "intelligent-tiering", "s3:PutIntelligentTieringConfiguration", _NO),
    _op("DeleteBucketInventoryConfiguration", "DELETE", "bucket", "inventory",            "s3:PutInventoryConfiguration", _NO),
    _op("DeleteBucketLifecycle",             "DELETE", "bucket",  "lifecycle",            "s3:PutLifecycleConfiguration", _NO),
    _op("DeleteBucketMetadataConfiguration", "DELETE", "bucket",  "metadataConfiguration", "s3:DeleteBucketMetadataTableConfiguration", _NO),
    _op("DeleteBucketMetadataTableConfiguration", "DELETE", "bucket", "metadataTable",    "s3:DeleteBucketMetadataTableConfiguration", _NO),
    _op("DeleteBucketMetricsConfiguration",  "DELETE", "bucket",  "metrics",              "s3:PutMetricsConfiguration",   _NO),
    _op("DeleteBucketOwnershipControls",     "DELETE", "bucket",  "ownershipControls",    "s3:PutBucketOwnershipControls", _NO),
    _op("DeleteBucketPolicy",                "DELETE", "bucket",  "policy",               "s3:DeleteBucketPolicy",        _NO),
    _op("DeletePublicAccessBlock",           "DELETE", "bucket",  "publicAccessBlock",    "s3:PutBucketPublicAccessBlock", _NO),
    _op("DeleteBucketReplication",           "DELETE", "bucket",  "replication",          "s3:PutReplicationConfiguration", _NO),
    _op("DeleteBucketTagging",               "DELETE", "bucket",  "tagging",              "s3:PutBucketTagging",          _NO),
    _op("DeleteBucketWebsite",               "DELETE", "bucket",  "website",              "s3:DeleteBucketWebsite",       _NO),
    _op("DeleteBucket",                      "DELETE", "bucket",  "",                     "s3:DeleteBucket"),
    # --- the service
    _op("ListBuckets",                       "GET",    "service", "",                     "s3:ListAllMyBuckets",          _FULL, "those that the caller may see"),
    _op("ListDirectoryBuckets",              "GET",    "service", "",                     "s3express:ListAllMyDirectoryBuckets", _NO, "has a host of its own; here it is ListBuckets"),
    _op("WriteGetObjectResponse",            "POST",   "service", "",                     "s3-object-lambda:WriteGetObjectResponse", _NO, "has a host of its own"),
)
# fmt: on

# A browser asks before a cross-origin request, without credentials and about any address.
PREFLIGHT = Operation(
    "Preflight", "OPTIONS", "object", (), None, "", Support.FULL, None, "from the policy files' rules"
)
# Of STS, at the same address: a form that no operation of S3 looks like.
ASSUME_ROLE = Operation(
    "AssumeRole", "POST", "service", (), None, "sts:AssumeRole", Support.FULL, None, "temporary credentials"
)

# Parameters in rows that do not choose an operation by themselves; versionId and partNumber have rules of their own.
_COMPANIONS = frozenset({"annotationName", "id", "list-type", "partNumber"})
SUBRESOURCES = frozenset(name for operation in OPERATIONS for name, _ in operation.query) - _COMPANIONS
_SELECTORS = SUBRESOURCES | {"list-type", "partNumber", "versionId"}
_PLACES = {(row.method, row.on) for row in OPERATIONS}
_ROWS = {place: tuple(row for row in OPERATIONS if (row.method, row.on) == place) for place in _PLACES}


def _rows_by_parameter() -> dict[tuple[str, Target, str], list[tuple[int, Operation]]]:
    """The rows that a parameter may choose, with their positions in the table; "" has those that need none."""
    found: dict[tuple[str, Target, str], list[tuple[int, Operation]]] = {}
    for position, row in enumerate(OPERATIONS):
        first = row.query[0][0] if row.query else ""
        found.setdefault((row.method, row.on, first), []).append((position, row))
    return found


_BY_PARAMETER = _rows_by_parameter()
# The answer where no query parameter and no header chooses. A POST on a bucket may be a form: that is looked at.
_PLAIN = {
    place: next(row for row in rows if not row.query and row.header is None)
    for place, rows in _ROWS.items()
    if place[0] != "POST"
}
_TAKES_VERSION = frozenset({
    "DeleteObject", "DeleteObjectAnnotation", "DeleteObjectTagging", "GetObject", "GetObjectAcl", "GetObjectAnnotation",
    "GetObjectAttributes", "GetObjectLegalHold", "GetObjectRetention", "GetObjectTagging", "HeadObject",
    "ListObjectAnnotations", "PutObjectAcl", "PutObjectAnnotation", "PutObjectLegalHold", "PutObjectRetention",
    "PutObjectTagging", "RestoreObject", "UpdateObjectEncryption",
})  # fmt: skip

# What an operation asks for besides its action. S3 tells an object's attributes to who may read it:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html (Permissions)
_FURTHER_ACTIONS: Final = {"GetObjectAttributes": ("s3:GetObject",)}
# Naming a version of an object is a right of its own, beside the one on the object.
_VERSION_ACTIONS: Final = {
    "s3:DeleteObject": "s3:DeleteObjectVersion",
    "s3:DeleteObjectTagging": "s3:DeleteObjectVersionTagging",
    "s3:GetObject": "s3:GetObjectVersion",
    "s3:GetObjectAcl": "s3:GetObjectVersionAcl",
    "s3:GetObjectAttributes": "s3:GetObjectVersionAttributes",
    "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
    "s3:PutObjectAcl": "s3:PutObjectVersionAcl",
    "s3:PutObjectTagging": "s3:PutObjectVersionTagging",
}
_WITHOUT_ACLS = "BucketOwnerEnforced"
_SETS_ACL = frozenset({"PutObjectAcl", "PutBucketAcl"})


def _all_actions(row: Operation, *, versioned: bool) -> tuple[str, ...]:
    actions = (row.action, *_FURTHER_ACTIONS.get(row.name, ()))
    of_versions = [_VERSION_ACTIONS[action] for action in actions if action in _VERSION_ACTIONS]
    return (*actions, *of_versions) if versioned else actions


_ACTIONS: Final = {
    (row.name, versioned): _all_actions(row, versioned=versioned)
    for row in (*OPERATIONS, PREFLIGHT, ASSUME_ROLE)
    for versioned in (False, True)
}
# Headers that ask for protection or behaviour which we do not give: to ignore one would be a lie.
_UNSUPPORTED_PREFIXES = (
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
)
_GRANTS = "x-amz-grant-"
_UNSUPPORTED = frozenset({
    "x-amz-bucket-namespace", "x-amz-bucket-object-lock-enabled", "x-amz-if-match-initiated-time",
    "x-amz-if-match-last-modified-time", "x-amz-if-match-size", "x-amz-object-annotation-directive",
    "x-amz-rename-source", "x-amz-website-redirect-location", "x-amz-write-offset-bytes",
})  # fmt: skip
_OF_EVERY_REQUEST = frozenset({"x-amz-content-sha256", "x-amz-date", "x-amz-security-token"})
_SWITCHES = frozenset({"x-amz-bucket-object-lock-enabled", "x-amz-server-side-encryption-bucket-key-enabled"})


def find_operation(method: str, address: Address, query: Mapping[str, str], headers: Mapping[str, str]) -> Operation:
    """The row that a request fits; parameters that S3 does not know are ignored.

    Raises S3Error: MethodNotAllowed, InvalidArgument (conflicting parameters, or a copy source where none belongs),
    PreconditionFailed (a POST on a bucket that is not a form).
    """
    on: Target = "object" if address.key is not None else "bucket" if address.bucket is not None else "service"
    plain = _PLAIN.get((method, on))
    if plain is not None and COPY_SOURCE not in headers and (not query or _SELECTORS.isdisjoint(query)):
        return plain
    if method == "OPTIONS":
        return PREFLIGHT
    found = _first_fitting(method, on, query, headers)
    if COPY_SOURCE in headers and found.header != COPY_SOURCE:
        message = f"x-amz-copy-source is not for {found.name}."
        raise S3Error(Code.InvalidArgument, message, ArgumentName=COPY_SOURCE)
    _refuse_other_parameters(found, query)
    if found.name == "PostObject":
        _require_form(headers)
    return found


def actions_of(operation: Operation, *, versioned: bool) -> tuple[str, ...]:
    """What a policy must allow of an operation, all of it; `versioned`: the request names a version.

    S3 asks for the right on the version alone; asking for both means that no denial is passed by naming one.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
    """
    return _ACTIONS[operation.name, versioned]


def refuse_unsupported_headers(operation: Operation, headers: Mapping[str, str], *, public: bool = False) -> None:
    """Refuse headers that ask for what we do not do, instead of storing something unprotected.

    A canned ACL must change nothing; `public`: everybody may read what is stored. An operation that sets ACLs reads
    them itself.
    Raises S3Error: NotImplemented, InvalidStorageClass, InvalidArgument, AccessControlListNotSupported.
    """
    for name, value in headers.items():
        if not name.startswith("x-amz-") or not value or name in _OF_EVERY_REQUEST:
            continue
        if name == "x-amz-acl":
            if operation.name not in _SETS_ACL:
                check_canned_acl(value, public=public)
        elif name.startswith(_GRANTS):
            raise S3Error(Code.AccessControlListNotSupported)
        elif name == "x-amz-storage-class":
            if value != "STANDARD":
                raise S3Error(Code.InvalidStorageClass, StorageClassRequested=value[:64])
        elif name in _SWITCHES and value.lower() == "false":
            continue
        elif name in _UNSUPPORTED or name.startswith(_UNSUPPORTED_PREFIXES):
            raise _not_implemented(name)
    if operation.name == "CreateBucket" and headers.get("x-amz-object-ownership", _WITHOUT_ACLS) != _WITHOUT_ACLS:
        raise _not_implemented("x-amz-object-ownership")


def _first_fitting(method: str, on: Target, query: Mapping[str, str], headers: Mapping[str, str]) -> Operation:
    candidates = [row for name in ("", *query) for row in _BY_PARAMETER.get((method, on, name), ())]
    for _, row in sorted(candidates, key=itemgetter(0)):
        if row.header is not None and row.header not in headers:
            continue
        if all(name in query and (value is None or query[name] == value) for name, value in row.query):
            return row
    raise _method_not_allowed(method, next((name for name in query if name in SUBRESOURCES), on))


def _refuse_other_parameters(found: Operation, query: Mapping[str, str]) -> None:
    """Refuse parameters that ask for something else than the row that was found does."""
    meant = {name for name, _ in found.query}
    others = sorted(name for name in query if name in _SELECTORS and name not in meant)
    for name in others:
        if name in SUBRESOURCES:
            _refuse_subresource(found, name)
        if name == "versionId" and found.on == "object" and found.name not in _TAKES_VERSION:
            raise _invalid("This operation does not accept a version-id.", name, query[name])
        if name == "partNumber" and found.method == "PUT":
            raise _invalid("partNumber needs an uploadId.", name, query[name])
        if name == "list-type" and found.name == "ListObjects":
            raise _invalid("Invalid list-type.", name, query[name])


def _refuse_subresource(found: Operation, name: str) -> NoReturn:
    if found.query:
        both = ", ".join([found.query[0][0], name])
        message = f"Conflicting query string parameters: {both}"
        raise S3Error(Code.InvalidArgument, message, ArgumentName="ResourceType", ArgumentValue=name)
    if name == "uploadId" and found.method == "PUT":
        raise _invalid("uploadId needs a partNumber.", name, "")
    raise _method_not_allowed(found.method, name)


def _require_form(headers: Mapping[str, str]) -> None:
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise S3Error(
            Code.PreconditionFailed, Condition="Bucket POST must be of the enclosure-type multipart/form-data"
        )


def _method_not_allowed(method: str, resource_type: str) -> S3Error:
    return S3Error(Code.MethodNotAllowed, Method=method[:32], ResourceType=resource_type.upper())


def _not_implemented(header: str) -> S3Error:
    message = "A header you provided implies functionality that is not implemented"
    return S3Error(Code.NotImplemented, message, Header=header)


def _invalid(message: str, name: str, value: str) -> S3Error:
    return S3Error(Code.InvalidArgument, message, ArgumentName=name, ArgumentValue=value[:256])
