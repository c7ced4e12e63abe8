"""gateway/policy/session_policy.py: IAM documents, and everything in them that is not understood exactly."""

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.model import EVERYBODY, UNCONDITIONAL, Conditions, Effect, Statement
from gateway.policy.roles import ACTIONS
from gateway.policy.session_policy import MalformedSessionPolicy, parse_session_policy

ALLOW = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::voice/sara/*"}
LISTING = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::voice"}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def parse(*statements: Any, **more: Any) -> tuple[Statement, ...]:
    return parse_session_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)} | more))


def one(**changes: Any) -> Statement:
    """The statement ALLOW with members changed."""
    return parse(ALLOW | changes)[0]


def conditions_of(condition: Any, **changes: Any) -> Conditions:
    return parse(LISTING | {"Condition": condition} | changes)[0].conditions


def refusal(text: str) -> str:
    with pytest.raises(MalformedSessionPolicy) as caught:
        parse_session_policy(text)
    return str(caught.value)


def refused(*statements: Any, **more: Any) -> str:
    return refusal(json.dumps({"Version": "2012-10-17", "Statement": list(statements)} | more))


# --- documents


def test_a_policy_as_aws_documents_it_is_read():
    text = """{
      "Version": "2012-10-17",
      "Id": "for sara",
      "Statement": [
        {"Sid": "Store", "Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"],
         "Resource": ["arn:aws:s3:::voice/sara/*", "arn:aws:s3:::images"]},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
      ]
    }"""
    assert parse_session_policy(text) == (
        Statement("Store", Effect.ALLOW, (EVERYBODY,), ("s3:PutObject", "s3:GetObject"), ("voice/sara/*", "images")),
        Statement("statement 2", Effect.DENY, (EVERYBODY,), ("*",), ("*",), Conditions(secure_transport=False)),
    )


@pytest.mark.parametrize("version", ["2012-10-17", "2008-10-17", None])
def test_both_versions_or_none_and_a_single_statement_are_read(version):
    document = {"Statement": ALLOW} | ({} if version is None else {"Version": version})
    expected = Statement("statement 1", Effect.ALLOW, (EVERYBODY,), ("s3:PutObject",), ("voice/sara/*",), UNCONDITIONAL)
    assert parse_session_policy(json.dumps(document)) == (expected,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"Allow"',
        "1",
        "{}",
        '{"Statement": []}',
        '{"Statement": null}',
        '{"Statement": "Allow"}',
        '{"Statement": [[]]}',
        "{'Statement': []}",
        '{"Statement": [{}]} x',
        "\ufeff{}",
        "[" * 100_000,
        '{"a":' * 100_000,
        "1" * 5000,
    ],
)
def test_what_is_no_policy_is_refused(text):
    refusal(text)


def test_a_member_given_twice_is_refused_at_every_depth():
    allow = json.dumps(ALLOW)
    assert "twice" in refusal(f'{{"Statement": {allow}, "Statement": {allow}}}')
    assert "twice" in refusal(f'{{"Statement": {allow[:-1]}, "Effect": "Allow"}}}}')
    assert "twice" in refusal(
        f'{{"Statement": {allow[:-1]}, "Condition": {{"Bool": {{"aws:SecureTransport": true}}, "Bool": {{}}}}}}}}'
    )


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_json_are_refused(constant):
    assert constant in refusal(f'{{"Statement": {json.dumps(ALLOW)}, "Id": {constant}}}')


@pytest.mark.parametrize("more", [{"Version": "2012-10-18"}, {"Version": ["2012-10-17"]}, {"Version": None}, {"Id": 1}])
def test_another_version_is_refused(more):
    refused(ALLOW, **more)


@pytest.mark.parametrize("name", ["statement", "Principal", "Statements", ""])
def test_an_unknown_member_of_the_document_is_refused(name):
    assert json.dumps(name) in refused(ALLOW, **{name: "*"})


# --- statements


@pytest.mark.parametrize(
    "name", ["Principal", "NotPrincipal", "NotAction", "NotResource", "effect", "Conditions", "Actions", "sid", ""]
)
def test_an_unknown_element_is_refused_by_name(name):
    assert json.dumps(name) in refused(ALLOW | {name: "*"})


@pytest.mark.parametrize("name", ["Effect", "Action", "Resource"])
def test_an_element_that_must_be_there_is_missed(name):
    assert name in refused({key: value for key, value in ALLOW.items() if key != name})


@pytest.mark.parametrize("effect", ["allow", "DENY", "", " Allow", True, None, ["Allow"], {"Allow": 1}])
def test_effects_are_allow_and_deny(effect):
    assert "Effect" in refused(ALLOW | {"Effect": effect})


@pytest.mark.parametrize("sid", ["", "a b", "a-b", "é", "x" * 129, 1, None, ["a"]])
def test_a_sid_is_of_letters_and_digits(sid):
    assert "Sid" in refused(ALLOW | {"Sid": sid})


def test_two_statements_with_one_sid_are_refused():
    assert "Sid" in refused(ALLOW | {"Sid": "A"}, ALLOW | {"Sid": "A"})
    assert [statement.name for statement in parse(ALLOW, ALLOW | {"Sid": "A"}, ALLOW)] == [
        "statement 1",
        "A",
        "statement 3",
    ]


@pytest.mark.parametrize("value", [[], "", [""], None, 1, True, {}, [[]], ["s3:GetObject", None], ["\ud800"]])
@pytest.mark.parametrize("name", ["Action", "Resource"])
def test_actions_and_resources_are_texts(name, value):
    refused(ALLOW | {name: value})


# --- actions


@pytest.mark.parametrize(
    "pattern", ["*", "s3:*", "s3:Get*", "s3:*Object", "s3:*Object*", "s3:GetObject", "*:GetObject*"]
)
def test_patterns_stay_as_they_were_written(pattern):
    if pattern.startswith("*:"):
        refused(ALLOW | {"Action": pattern})
    else:
        assert one(Action=pattern).actions == (pattern,)


def test_actions_are_aws_s_in_any_case_and_become_ours():
    assert one(Action="s3:getobject").actions == ("s3:GetObject",)
    assert one(Action="S3:PUTOBJECT").actions == ("s3:PutObject",)
    assert one(Action=["s3:getobjectT*", "s3:PutObject"]).actions == ("s3:GetObjectTagging", "s3:PutObject")


def test_a_pattern_that_would_miss_actions_by_their_case_names_them():
    """`s3:*s` is also s3:GetBucketCORS for AWS, and a denial must deny it."""
    denied = one(Effect="Deny", Action="s3:*s").actions
    assert denied == tuple(action for action in ACTIONS if action.startswith("s3:") and action.lower().endswith("s"))
    assert "s3:GetBucketCORS" in denied


@pytest.mark.parametrize(
    "action",
    [
        "GetObject",
        "s3:",
        "s3",
        ":GetObject",
        "s3:GetObjects",
        "s3:Get?bject",
        "s3:Get Object",
        "s3:GetObject\n",
        " s3:GetObject",
        "kms:Decrypt",
        "s3:X*",
        "s3:PutObject*Object",
        "s3:GetGetObject",
        "s3:*GetObject*GetObject",
        "s3:${aws:username}",
        "**",
        "s3*",
    ],
)
def test_an_action_that_is_none_is_refused(action):
    assert json.dumps(action) in refused(ALLOW | {"Action": action})


def test_a_pattern_of_many_stars_costs_no_more_than_one_of_few():
    refused(ALLOW | {"Action": "s3:" + "*e" * 900})
    assert one(Action="s3:" + "*" * 1800).actions == ("s3:" + "*" * 1800,)


# --- resources


@pytest.mark.parametrize(
    ("arn", "resource"),
    [
        ("*", "*"),
        ("arn:aws:s3:::*", "*"),
        ("arn:aws:s3:::voice", "voice"),
        ("arn:aws:s3:::voice/*", "voice/*"),
        ("arn:aws:s3:::vo*/a*b/c", "vo*/a*b/c"),
        ("arn:aws:s3:::voice/عکس\u200cها/*", "voice/عکس\u200cها/*"),
        ("arn:aws:s3:::voice/arn:aws:s3:::x", "voice/arn:aws:s3:::x"),
    ],
)
def test_resources_lose_the_beginning_of_their_arn(arn, resource):
    assert one(Resource=arn).resources == (resource,)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:s3:::",
        "arn:aws:s3::",
        "voice/*",
        "**",
        "arn:aws-cn:s3:::voice",
        "arn:aws:s3:us-east-1:123456789012:accesspoint/a",
        "ARN:aws:s3:::voice",
        "arn:*:s3:::voice",
        " arn:aws:s3:::voice",
        "arn:aws:s3:::voice/?",
        "arn:aws:s3:::voice/${aws:username}/*",
        "arn:aws:s3:::voice/${*}",
        "arn:aws:sqs:::voice",
    ],
)
def test_a_resource_that_cannot_be_said_here_is_refused(arn):
    assert json.dumps(arn) in refused(ALLOW | {"Resource": arn})


# --- conditions


def test_addresses_are_networks():
    assert conditions_of({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}) == Conditions(
        source_ip=(ip_network("203.0.113.0/24"),)
    )
    assert conditions_of(
        {
            "IpAddress": {"aws:sourceip": ["203.0.113.7", "2001:db8::/32"]},
            "NotIpAddress": {"AWS:SourceIp": "0.0.0.0/0"},
        }
    ) == Conditions(
        source_ip=(ip_network("203.0.113.7/32"), ip_network("2001:db8::/32")),
        not_source_ip=(ip_network("0.0.0.0/0"),),
    )


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "x",
            "203.0.113.0/33",
            "203.0.113.7/24",
            "203.0.113.0/255.255.255.0",
            "203.0.113.0/",
            "/24",
            "2001:db8::1/32",
        ),
        *("203.0.113", "010.0.0.1", "203.0.113.0/24 ", "fe80::1%eth0", "٢٠٣.0.113.0", "*", 3405803776, None, True, []),
        *("::ffff:203.0.113.7", "::ffff:cb00:7100/120", "::ffff:0:0/96"),
    ],
)
def test_an_address_that_is_none_is_refused(address):
    for operator in ("IpAddress", "NotIpAddress"):
        refused(LISTING | {"Condition": {operator: {"aws:SourceIp": address}}})
        refused(LISTING | {"Condition": {operator: {"aws:SourceIp": ["203.0.113.0/24", address]}}})


@pytest.mark.parametrize(
    ("operator", "value", "prefix"),
    [
        ("StringLike", "sara/*", ("sara/",)),
        ("StringLike", ["sara/*", "public/*"], ("sara/", "public/")),
        ("StringLike", "*", ("",)),
        ("StringLike", "sara/", ("sara/",)),
        ("StringEquals", "sara/", ("sara/",)),
        ("StringEquals", ["", "sara/"], None),
        ("StringEquals", "", ("",)),
        ("StringLike", "عکس/*", ("عکس/",)),
    ],
)
def test_prefixes_are_beginnings_of_keys(operator, value, prefix):
    condition = {operator: {"s3:prefix": value}}
    if prefix is None:
        refused(LISTING | {"Condition": condition})
    else:
        assert conditions_of(condition) == Conditions(prefix=prefix)


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("StringLike", "*/sara"),
        ("StringLike", "sara/*/x"),
        ("StringLike", "sara/**"),
        ("StringLike", "*sara*"),
        ("StringLike", "sara/?"),
        ("StringLike", "${aws:username}/*"),
        ("StringEquals", "sara/*"),
        ("StringLike", []),
        ("StringLike", 1),
        ("StringLike", None),
        ("StringLike", ["sara/*", None]),
    ],
)
def test_a_prefix_that_is_no_beginning_is_refused(operator, value):
    refused(LISTING | {"Condition": {operator: {"s3:prefix": value}}})


def test_denying_one_exact_prefix_cannot_be_said():
    deny = LISTING | {"Effect": "Deny"}
    assert parse(deny | {"Condition": {"StringLike": {"s3:prefix": "a/*"}}})[0].conditions.prefix == ("a/",)
    for operator in ("StringLike", "StringEquals"):
        refused(deny | {"Condition": {operator: {"s3:prefix": "a/"}}})


@pytest.mark.parametrize("action", ["s3:GetObject", "*", "s3:*", "s3:List*", ["s3:ListBucket", "s3:PutObject"]])
def test_a_prefix_goes_with_listings_only(action):
    condition = {"StringLike": {"s3:prefix": "sara/*"}}
    assert "s3:prefix" in refused(LISTING | {"Action": action, "Condition": condition})


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucket*", "s3:listbucket"])
def test_every_listing_takes_a_prefix(action):
    assert conditions_of({"StringLike": {"s3:prefix": "sara/*"}}, Action=action) == Conditions(prefix=("sara/",))


@pytest.mark.parametrize(
    ("value", "secure"),
    [("true", True), ("false", False), (True, True), (False, False), (["true"], True), ([False], False)],
)
def test_secure_transport_is_true_or_false(value, secure):
    assert conditions_of({"Bool": {"aws:SecureTransport": value}}) == Conditions(secure_transport=secure)


@pytest.mark.parametrize("value", ["", "True", "yes", 1, 0, 1.0, None, [], ["true", "false"], {}, [[True]], [1]])
def test_secure_transport_is_nothing_else(value):
    refused(LISTING | {"Condition": {"Bool": {"aws:SecureTransport": value}}})


@pytest.mark.parametrize(
    "condition",
    [
        {"StringNotLike": {"s3:prefix": "a*"}},
        {"StringLikeIfExists": {"s3:prefix": "a*"}},
        {"ForAnyValue:StringLike": {"s3:prefix": "a*"}},
        {"stringlike": {"s3:prefix": "a*"}},
        {"StringLike": {"s3:delimiter": "/"}},
        {"StringLike": {"aws:SourceIp": "10.0.0.0/8"}},
        {"IpAddress": {"aws:VpcSourceIp": "10.0.0.0/8"}},
        {"IpAddress": {"s3:prefix": "10.0.0.0/8"}},
        {"IpAddress": {" aws:SourceIp": "10.0.0.0/8"}},
        {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
        {"Null": {"aws:SourceIp": "true"}},
        {"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}},
        {"NumericLessThan": {"s3:max-keys": "10"}},
        {"": {"": ""}},
        {"IpAddress": {}},
        {"IpAddress": "10.0.0.0/8"},
        {"IpAddress": None},
        {"IpAddress": [{"aws:SourceIp": "10.0.0.0/8"}]},
        [],
        None,
        "x",
    ],
)
def test_a_condition_that_is_not_understood_is_refused(condition):
    refused(LISTING | {"Condition": condition})


def test_one_thing_asked_twice_is_refused_as_we_could_keep_only_one():
    for condition in (
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8", "aws:sourceip": "10.1.0.0/16"}},
        {"StringLike": {"s3:prefix": "a*"}, "StringEquals": {"s3:prefix": "ab"}},
    ):
        assert "twice" in refused(LISTING | {"Condition": condition})


def test_an_empty_condition_asks_nothing():
    assert conditions_of({}) == UNCONDITIONAL


# --- anything


@given(st.text(max_size=60) | anything.map(json.dumps))
def test_garbage_is_refused_and_nothing_else_happens(text):
    refusal(text)


@given(st.sampled_from(["Sid", "Effect", "Action", "Resource", "Condition"]) | st.text(max_size=8), anything)
def test_any_member_of_a_statement_is_read_or_refused(name, value):
    try:
        parse(ALLOW | {name: value})
    except MalformedSessionPolicy as error:
        str(error).encode()


@given(st.sampled_from(["IpAddress", "NotIpAddress", "StringLike", "StringEquals", "Bool"]), anything)
def test_any_condition_is_read_or_refused(operator, value):
    for key in ("aws:SourceIp", "s3:prefix", "aws:SecureTransport"):
        try:
            conditions_of({operator: {key: value}})
        except MalformedSessionPolicy as error:
            str(error).encode()


def test_messages_are_short_and_ascii_whatever_was_sent():
    message = refused(ALLOW | {"Resource": "é\n" * 900})
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 600
