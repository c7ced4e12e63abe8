"""May they? Refusals get more tests than permissions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.evaluate import Resource, evaluate
from gateway.policy.model import Principal, Role

OPS = Principal("demo", "ops", Role.ADMIN)


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"])
def test_an_admin_may_do_everything_in_its_project(action):
    assert evaluate(OPS, action, Resource("demo", "demo-media", "a/b", "sara")).allowed


def test_an_admin_may_list_the_buckets_of_its_project():
    assert evaluate(OPS, "s3:ListAllMyBuckets", Resource("demo")).allowed


@pytest.mark.parametrize("project", ["other", "dem", "demo ", "Demo", "", None])
def test_nothing_is_allowed_outside_the_own_project(project):
    decision = evaluate(OPS, "s3:GetObject", Resource(project, "demo-media", "a", "ops"))
    assert not decision.allowed
    assert "project" in decision.reason


def test_owning_an_object_of_another_project_helps_nobody():
    assert not evaluate(OPS, "s3:GetObject", Resource("other", "other-media", "a", owner="ops")).allowed


@pytest.mark.parametrize("project", ["demo", None])
def test_anonymous_requests_are_denied(project):
    decision = evaluate(None, "s3:GetObject", Resource(project, "demo-media", "a"))
    assert not decision.allowed
    assert "anonymous" in decision.reason


@pytest.mark.parametrize("action", ["", "GetObject", "iam:CreateUser", "S3:GetObject", "*"])
def test_what_is_no_s3_action_is_denied(action):
    assert not evaluate(OPS, action, Resource("demo")).allowed


@given(st.text(), st.text(), st.text())
def test_another_project_never_gets_in(project, action, key):
    allowed = evaluate(OPS, action, Resource(project, "b", key)).allowed
    assert not allowed or project == "demo"
