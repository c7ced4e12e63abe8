"""Names of buckets and patterns of actions; what the tables take of the other values is with the tables."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.roles import ACTIONS
from gateway.policy.values import check_bucket_name, matching_actions


@pytest.mark.parametrize("bucket", ["abc", "a" * 63, "1.2.3", "a-b.c", "256.1.1.x"])
def test_buckets_have_names_that_s3_takes(bucket):
    assert check_bucket_name(bucket) == bucket


@pytest.mark.parametrize(
    "bucket",
    ["", "ab", "a" * 64, "No", "a_b", "-ab", "ab-", ".ab", "a..b", "a.-b", "a-.b", "10.0.0.1", "xn--a", "sthree-a",
     "a-s3alias", "a--ol-s3", "abc\n", "a b", "äbc"],
)  # fmt: skip
def test_other_names_are_no_buckets(bucket):
    with pytest.raises(ValueError, match="is no bucket name"):
        check_bucket_name(bucket)


@pytest.mark.parametrize(
    ("pattern", "actions"),
    [
        ("s3:GetObject", {"s3:GetObject"}),
        ("s3:*ObjectAcl", {"s3:GetObjectAcl", "s3:PutObjectAcl"}),
        ("s3:*Multipart*s", {"s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads"}),
        ("sts:*", {"sts:AssumeRole"}),
        ("*", set(ACTIONS)),
        ("s3:GetObject*GetObject", set()),
        ("s3:GetObject*t", {"s3:GetObjectRetention"} & set()),
    ],
)
def test_a_wildcard_stands_for_any_text(pattern, actions):
    assert matching_actions(pattern) == actions


@given(st.text("s3:GetObjc*", max_size=12).map(lambda text: f"s3:{text}"))
def test_actions_are_matched_as_a_regular_expression_would(pattern):
    expected = re.compile(".*".join(map(re.escape, pattern.split("*"))))
    assert matching_actions(pattern) == {action for action in ACTIONS if expected.fullmatch(action)}


def test_many_wildcards_cost_no_time():
    assert matching_actions("s3:" + "*e" * 100_000) == frozenset()
