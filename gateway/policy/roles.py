"""What each role may do: one table, from a group of actions and a role to how far the right reaches.

Actions are S3's: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from enum import Enum, unique
from typing import Final

from gateway.policy.model import Role


@unique
class Reach(Enum):
    """How far a right reaches inside the project.

    OWN are the asker's objects and uploads. FREE are these and keys that hold nothing. A listing with OWN shows own
    objects only.
    """

    NONE = "none"
    OWN = "own"
    FREE = "own or free"
    ALL = "all"


_NONE, _OWN, _FREE, _ALL = Reach

READ_OBJECTS: Final = (
    "s3:GetObject",
    "s3:GetObjectAcl",
    "s3:GetObjectAttributes",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionAttributes",
    "s3:GetObjectVersionTagging",
)
STORE_OBJECTS: Final = ("s3:PutObject",)
CHANGE_OBJECTS: Final = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersion",
    "s3:DeleteObjectVersionTagging",
    "s3:ListMultipartUploadParts",
    "s3:PutObjectAcl",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectVersionTagging",
)
LIST_OBJECTS: Final = ("s3:ListBucket", "s3:ListBucketVersions")
LIST_UPLOADS: Final = ("s3:ListBucketMultipartUploads",)
SEE_BUCKETS: Final = (
    "s3:GetAccelerateConfiguration",
    "s3:GetBucketAcl",
    "s3:GetBucketCORS",
    "s3:GetBucketLocation",
    "s3:GetBucketLogging",
    "s3:GetBucketNotification",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPolicyStatus",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketRequestPayment",
    "s3:GetBucketTagging",
    "s3:GetBucketVersioning",
    "s3:GetBucketWebsite",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:ListAllMyBuckets",
)
ASSUME_ROLE: Final = ("sts:AssumeRole",)
MANAGE_BUCKETS: Final = ("s3:CreateBucket", "s3:DeleteBucket", "s3:PutBucketAcl")

# fmt: off
_TABLE: Final = (
    # actions         admin  service  uploader  reader
    (READ_OBJECTS,   (_ALL,  _ALL,    _OWN,     _ALL)),
    (STORE_OBJECTS,  (_ALL,  _FREE,   _FREE,    _NONE)),
    (CHANGE_OBJECTS, (_ALL,  _OWN,    _OWN,     _NONE)),
    (LIST_OBJECTS,   (_ALL,  _ALL,    _OWN,     _ALL)),
    (LIST_UPLOADS,   (_ALL,  _OWN,    _OWN,     _NONE)),
    (SEE_BUCKETS,    (_ALL,  _ALL,    _ALL,     _ALL)),
    (ASSUME_ROLE,    (_NONE, _ALL,    _NONE,    _NONE)),
    (MANAGE_BUCKETS, (_ALL,  _NONE,   _NONE,    _NONE)),
)
# fmt: on
_ROLES: Final = (Role.ADMIN, Role.SERVICE, Role.UPLOADER, Role.READER)
_REACH: Final = {
    (role, action): reach
    for actions, row in _TABLE
    for role, reach in zip(_ROLES, row, strict=True)
    for action in actions
}

ACTIONS: Final = tuple(sorted({action for actions, _ in _TABLE for action in actions}))
"""The actions that a statement may name; others than these S3 has, but no operation of ours asks for."""

LISTINGS: Final = frozenset(LIST_OBJECTS + LIST_UPLOADS)
"""Actions on a bucket that are also asked about each key that a listing would show."""


def reach_of(role: Role, action: str) -> Reach:
    """How far a role's right reaches; an admin may also do, in its project, what no other role is ever asked."""
    found = _REACH.get((role, action))
    if found is not None:
        return found
    return Reach.ALL if role is Role.ADMIN and action.startswith("s3:") else Reach.NONE
