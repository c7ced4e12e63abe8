"""The policy model's look-ups."""

import dataclasses

import pytest

from gateway.policy.model import Category, CorsRule, PolicySet, Principal, Project, Role

MEDIA = Category("demo", "media", "demo-media", "local", "demo-media")
OPS = Principal("demo", "ops", Role.ADMIN)
DEMO = Project("demo", {"media": MEDIA}, {"ops": OPS}, (), "local")
OTHER = Project("other", {}, {"ops": Principal("other", "ops", Role.ADMIN)}, (), "local")
POLICIES = PolicySet((DEMO, OTHER))


def test_a_bucket_is_found_by_its_name():
    assert POLICIES.bucket("demo-media") is MEDIA
    assert POLICIES.bucket("media") is None


def test_a_principal_is_found_in_its_own_project_only():
    assert POLICIES.principal("demo", "ops") is OPS
    assert POLICIES.principal("other", "ops") is not OPS
    assert POLICIES.principal("demo", "sara") is None
    assert POLICIES.principal("nobody", "ops") is None


def test_a_project_is_found_by_its_name():
    assert POLICIES.project("demo") is DEMO
    assert POLICIES.project("nobody") is None


def test_two_projects_or_buckets_of_one_name_are_refused():
    with pytest.raises(ValueError, match="share a name"):
        PolicySet((DEMO, DEMO))
    with pytest.raises(ValueError, match="share a name"):
        PolicySet((DEMO, dataclasses.replace(OTHER, categories={"x": dataclasses.replace(MEDIA, project="other")})))


def test_values_are_frozen():
    for value, name in ((MEDIA, "bucket"), (OPS, "role"), (DEMO, "name"), (POLICIES, "projects")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_equal_policies_are_equal():
    assert PolicySet((DEMO, OTHER)) == POLICIES
    assert CorsRule(("*",), ("GET",)) == CorsRule(("*",), ("GET",))
