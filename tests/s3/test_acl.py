"""gateway/s3/acl.py: an ACL says what is so already, or it is refused."""

import pytest

from gateway.errors import Code, S3Error
from gateway.s3.acl import ALL_USERS, Grant, check_canned_acl, check_true_canned_acl, check_true_grants, grants_of

OWNERS_ALONE = ("private", "bucket-owner-full-control", "bucket-owner-read")
OTHERS = ("public-read-write", "authenticated-read", "aws-exec-read", "log-delivery-write")


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("value", OWNERS_ALONE)
def test_an_upload_may_bring_the_acl_of_the_owner_alone(value, public):
    check_canned_acl(value, public=public)


def test_an_upload_may_bring_public_read_where_everybody_reads():
    check_canned_acl("public-read", public=True)
    with pytest.raises(S3Error) as refusal:
        check_canned_acl("public-read", public=False)
    assert refusal.value.code is Code.AccessControlListNotSupported


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("value", OTHERS)
@pytest.mark.parametrize("check", [check_canned_acl, check_true_canned_acl])
def test_what_gives_more_is_refused(check, value, public):
    with pytest.raises(S3Error) as refusal:
        check(value, public=public)
    assert refusal.value.code is Code.AccessControlListNotSupported


@pytest.mark.parametrize("value", ["Private", "public", "everybody", " private", "x" * 5000])
@pytest.mark.parametrize("check", [check_canned_acl, check_true_canned_acl])
def test_what_is_no_canned_acl_is_invalid(check, value):
    with pytest.raises(S3Error) as refusal:
        check(value, public=True)
    assert refusal.value.code is Code.InvalidArgument
    assert len(str(refusal.value.fields["ArgumentValue"])) <= 256


@pytest.mark.parametrize(("value", "public"), [*[(each, True) for each in OWNERS_ALONE], ("public-read", False)])
def test_to_set_an_acl_that_is_not_so_is_refused(value, public):
    check_true_canned_acl(value, public=not public)
    with pytest.raises(S3Error) as refusal:
        check_true_canned_acl(value, public=public)
    assert refusal.value.code is Code.AccessControlListNotSupported


def test_the_grants_that_are_so_are_accepted():
    for public in (False, True):
        check_true_grants(grants_of("sara", public=public), "sara", public=public)


@pytest.mark.parametrize(
    "grants",
    [
        set(),
        {Grant("bob", "FULL_CONTROL")},
        {Grant("sara", "READ")},
        {Grant("sara", "FULL_CONTROL"), Grant(ALL_USERS, "READ")},
        {Grant("sara", "FULL_CONTROL"), Grant("bob", "READ")},
        {Grant("sara", "FULL_CONTROL"), Grant(ALL_USERS, "WRITE")},
    ],
)
def test_other_grants_are_refused(grants):
    with pytest.raises(S3Error) as refusal:
        check_true_grants(frozenset(grants), "sara", public=False)
    assert refusal.value.code is Code.AccessControlListNotSupported
