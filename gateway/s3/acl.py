"""ACLs, where rights come from policies: one may only say what is so already.

S3 works so where ACLs are disabled; but clients go on sending them with every upload (Flysystem, multer-s3), read them
before a copy (Flysystem) and write back what they read (s3cmd). So an ACL that changes nothing is accepted, and one
that would change something is refused, never ignored.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
"""

from dataclasses import dataclass
from typing import Final

from gateway.errors import Code, S3Error

PUBLIC_READ: Final = "public-read"
ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
FULL_CONTROL: Final = "FULL_CONTROL"
READ: Final = "READ"

_OWNERS_ALONE: Final = frozenset({"private", "bucket-owner-full-control", "bucket-owner-read"})
_OTHERS: Final = frozenset(
    {"public-read-write", "authenticated-read", "aws-exec-read", "log-delivery-write", PUBLIC_READ}
)


@dataclass(frozen=True, slots=True)
class Grant:
    """One right of an ACL: to a user by id, or to a group by its URI."""

    grantee: str
    permission: str


def check_canned_acl(value: str, *, public: bool) -> None:
    """The ACL that comes with an upload: that of the owner alone changes nothing, also where everybody may read.

    Raises S3Error: AccessControlListNotSupported, InvalidArgument (no canned ACL).
    """
    if value not in _OWNERS_ALONE and not (public and value == PUBLIC_READ):
        raise _refused(value)


def check_true_canned_acl(value: str, *, public: bool) -> None:
    """The ACL that a request sets: it must say whether everybody may read as the policies do.

    Raises S3Error: AccessControlListNotSupported, InvalidArgument.
    """
    if not (value == PUBLIC_READ if public else value in _OWNERS_ALONE):
        raise _refused(value)


def check_true_grants(grants: frozenset[Grant], owner: str, *, public: bool) -> None:
    """The same for a list of grants; raises S3Error: AccessControlListNotSupported."""
    if grants != grants_of(owner, public=public):
        raise S3Error(Code.AccessControlListNotSupported)


def grants_of(owner: str, *, public: bool) -> frozenset[Grant]:
    """What is so: the owner may do everything; everybody may read what is public."""
    mine = Grant(owner, FULL_CONTROL)
    return frozenset({mine, Grant(ALL_USERS, READ)}) if public else frozenset({mine})


def _refused(value: str) -> S3Error:
    if value in _OTHERS or value in _OWNERS_ALONE:
        return S3Error(Code.AccessControlListNotSupported)
    return S3Error(Code.InvalidArgument, "Unknown canned ACL.", ArgumentName="x-amz-acl", ArgumentValue=value[:256])
