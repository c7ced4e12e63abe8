"""What roles reach, beside the operations that ask for it."""

import pytest

from gateway.policy.model import Role
from gateway.policy.roles import ACTIONS, LISTINGS, Reach, reach_of
from gateway.s3.operations import OPERATIONS, Support


def test_every_action_that_an_operation_asks_for_is_in_the_table():
    asked = {row.action for row in OPERATIONS if row.support is not Support.NO}
    assert asked - set(ACTIONS) == set()


def test_an_admin_may_do_whatever_s3_knows_and_nothing_else():
    assert reach_of(Role.ADMIN, "s3:PutBucketWebsite") is Reach.ALL
    assert reach_of(Role.ADMIN, "sts:AssumeRole") is Reach.NONE
    assert reach_of(Role.ADMIN, "iam:CreateUser") is Reach.NONE


@pytest.mark.parametrize("role", [Role.SERVICE, Role.UPLOADER, Role.READER])
def test_what_is_not_in_the_table_is_nobodys_but_the_admins(role):
    assert reach_of(role, "s3:PutBucketWebsite") is Reach.NONE
    assert reach_of(role, "s3:CreateBucket") is Reach.NONE


def test_an_uploader_reaches_own_objects_only():
    assert reach_of(Role.UPLOADER, "s3:GetObject") is Reach.OWN
    assert reach_of(Role.UPLOADER, "s3:PutObject") is Reach.FREE
    assert {reach_of(Role.UPLOADER, action) for action in LISTINGS} == {Reach.OWN}


def test_only_a_service_begins_sessions():
    assert [role for role in Role if reach_of(role, "sts:AssumeRole") is not Reach.NONE] == [Role.SERVICE]
