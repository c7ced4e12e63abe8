"""The tables of a policy file, one by one: what each key takes, and what it refuses in which words."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from gateway.policy.model import Conditions, Quota
from gateway.policy.tables import (
    CategoryDocument,
    PrincipalDocument,
    ProjectDocument,
    QuotaDocument,
    StatementDocument,
)

STATEMENT = {"effect": "allow", "principals": ["backend"], "actions": ["s3:GetObject"], "resources": ["demo-voice/*"]}


def statement_of(**more):
    return StatementDocument.model_validate(STATEMENT | more)


def refusal_of(table, document) -> str:
    with pytest.raises(ValidationError) as refusal:
        table.model_validate(document)
    [error] = refusal.value.errors()
    return error["msg"]


@pytest.mark.parametrize("prefix", ["", "a/", "a/b/", "عکس/", "a" * 199 + "/", "...a/"])
def test_a_prefix_at_the_origin_is_a_relative_path(prefix):
    assert CategoryDocument.model_validate({"origin_prefix": prefix}).origin_prefix == prefix


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("a", 'a prefix ends in "/"'),
        ("/", 'a prefix ends in "/" and does not begin with one'),
        ("/a/", 'a prefix ends in "/" and does not begin with one'),
        ("a//b/", 'between two "/"'),
        ("a/../", 'between two "/"'),
        ("./", 'between two "/"'),
        ("a\n/", "no control characters"),
        ("a\x00/", "no control characters"),
        ("a" * 200 + "/", "at most 200 bytes"),
        ("ع" * 100 + "/", "at most 200 bytes"),
    ],
)
def test_other_prefixes_are_refused(prefix, words):
    assert words in refusal_of(CategoryDocument, {"origin_prefix": prefix})


@pytest.mark.parametrize("types", [["image/jpeg"], ["image/*", "application/vnd.ms-excel+xml"], ["a/b"]])
def test_content_types_are_types_or_groups_of_them(types):
    assert CategoryDocument.model_validate({"content_types": types}).content_types == tuple(types)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ([], "at least 1 item"),
        (["image/jpeg", "image/jpeg"], "listed twice"),
        *[
            ([each], 'like "image/jpeg" or "image/*", in lower case')
            for each in (
                "Image/jpeg",
                "*/*",
                "*",
                "image",
                "image/",
                "/x",
                "image/jp*",
                "text/plain; charset=utf-8",
                "a/b\n",
                "",
            )
        ],
    ],
)
def test_other_content_types_are_refused(types, words):
    assert words in refusal_of(CategoryDocument, {"content_types": types})


def test_a_quota_has_one_limit_or_both():
    assert QuotaDocument.model_validate({"bytes": "20GiB"}).to_model() == Quota(20 << 30, None)
    assert QuotaDocument.model_validate({"objects": 1}).to_model() == Quota(None, 1)


@pytest.mark.parametrize("quota", [{}, 5, "5GiB", [], True])
def test_what_limits_nothing_is_no_quota(quota):
    assert "a quota is a table such as" in refusal_of(CategoryDocument, {"quota": quota})
    assert "a quota is a table such as" in refusal_of(ProjectDocument, {"project": "x", "quota": quota})


@pytest.mark.parametrize("limit", [{"bytes": 0}, {"objects": 0}, {"bytes": -1}, {"objects": 1.5}, {"objects": "5"},
                                   {"objects": 2**63}, {"bytes": 2**63}, {"bytes": True}, {"objects": True}])  # fmt: skip
def test_limits_are_positive_whole_numbers(limit):
    assert refusal_of(CategoryDocument, {"quota_per_uploader": limit})


@pytest.mark.parametrize("size", [0, "0", "0MiB", -1, "big", 1.5])
def test_the_largest_object_has_a_size(size):
    assert refusal_of(CategoryDocument, {"max_object_size": size})
    assert refusal_of(CategoryDocument, {"cache": {"max_object_size": size}})


@pytest.mark.parametrize("table", [{"max_age_s": 60}, {"max_age_s": 0, "read": "private"}])
def test_what_is_private_is_kept_by_nobody_else(table):
    assert 'only a category with read = "public" has one' in refusal_of(CategoryDocument, table)


@pytest.mark.parametrize("seconds", [-1, 366 * 86400 + 1, "60", 1.5, True])
def test_a_time_that_others_keep_objects_is_a_number_of_seconds(seconds):
    assert refusal_of(CategoryDocument, {"read": "public", "max_age_s": seconds})


@pytest.mark.parametrize("cache", [1, "true", [], 0])
def test_a_cache_is_on_off_or_a_table(cache):
    assert refusal_of(CategoryDocument, {"cache": cache}).startswith("must be true, false or a table")


@pytest.mark.parametrize("role", ["root", "Admin", "", None, 1, ["admin"]])
def test_there_are_four_roles(role):
    assert "'admin', 'service', 'uploader' or 'reader'" in refusal_of(PrincipalDocument, {"role": role})


@pytest.mark.parametrize("name", ["a/b", "a*", "", "a" * 65, "-a", "a.", "سارا", "a b", "a\n", "anonymous"])
def test_principals_have_plain_names_and_none_is_anonymous(name):
    assert "principal" in refusal_of(ProjectDocument, {"project": "x", "principals": {name: {"role": "admin"}}})


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True, 2**63])
def test_a_principal_may_have_a_whole_number_of_uploads_open(limit):
    assert refusal_of(ProjectDocument, {"project": "x", "max_open_uploads": limit})


def test_the_uploader_header_is_kept_in_lower_case():
    document = ProjectDocument.model_validate({"project": "x", "uploader_header": "X-Amz-Meta-User_Id"})
    assert document.uploader_header == "x-amz-meta-user_id"


@pytest.mark.parametrize(
    "header", ["x-amz-meta-", "x-user", "x-amz-meta-a b", "x-amz-meta-" + 65 * "a", "x-amz-meta-é", ""]
)
def test_other_headers_do_not_name_uploaders(header):
    assert 'a header "x-amz-meta-…"' in refusal_of(ProjectDocument, {"project": "x", "uploader_header": header})


@pytest.mark.parametrize("action", ["*", "s3:*", "sts:*", "sts:AssumeRole", "s3:GetObject", "s3:Get*", "s3:*Acl"])
def test_actions_are_s3s_or_patterns_of_them(action):
    assert statement_of(actions=[action], resources=["*"]).actions == (action,)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("s3:GetObjct", 'is no action that Anbar knows, nor a pattern like "s3:Get*", "sts:*" or "*"; did you mean "s3:GetObject"?'),
        ("s3:getobject", 'did you mean "s3:GetObject"?'),
        ("GetObject", 'did you mean "s3:GetObject"?'),
        ("s3:Getobjekt*", 'did you mean "s3:GetObject"?'),
        ("s3:?etObject", "only * is a wildcard"),
        ("sts:Assume*", 'did you mean "sts:AssumeRole"?'),
        ("sts:*Role", "is no action"),
        ("s*", "is no action"),
        ("*:*", "is no action"),
        ("*GetObject", "is no action"),
        ("iam:*", "is no action"),
        ("", "is no action"),
        ("s3:GetObject\n", "is no action"),
    ],
)  # fmt: skip
def test_other_actions_are_refused_with_the_closest(action, words):
    assert words in refusal_of(StatementDocument, STATEMENT | {"actions": [action]})


@pytest.mark.parametrize(
    ("resource", "kept"),
    [
        ("*", "*"),
        ("demo-voice/*", "demo-voice/*"),
        ("arn:aws:s3:::demo-voice/a b/*.jpg", "demo-voice/a b/*.jpg"),
        ("arn:aws:s3:::*", "*"),
        ("demo-*", "demo-*"),
        ("demo-voice/صدا", "demo-voice/صدا"),
    ],
)
def test_resources_are_buckets_and_keys(resource, kept):
    assert statement_of(resources=[resource]).resources == (kept,)


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("", "begins with its bucket"),
        ("arn:aws:s3:::", "begins with its bucket"),
        ("/key", "begins with its bucket"),
        ("demo-voice/", '"demo-voice/*" are all objects of the bucket, "demo-voice" is itself'),
        ("demo-voice/a?", "only * is a wildcard"),
        ("demo-voice/\x1b[2J", "no control characters"),
    ],
)
def test_other_resources_are_refused(resource, words):
    assert words in refusal_of(StatementDocument, STATEMENT | {"resources": [resource]})


def test_actions_on_objects_need_resources_that_are_objects():
    actions = ["s3:GetObject", "s3:DeleteObject*"]
    words = refusal_of(StatementDocument, STATEMENT | {"actions": actions, "resources": ["demo-voice"]})
    assert words.endswith('write "demo-voice/*"')
    assert statement_of(actions=[*actions, "s3:ListBucket"], resources=["demo-voice"])
    assert statement_of(actions=["s3:*"], resources=["demo-voice"])
    assert statement_of(actions=actions, resources=["demo-*"])


@pytest.mark.parametrize("name", ["backend", "*", "anonymous", "backend/*", "backend/a:b|c+d=e@f.g_h-i", "a@b.c"])
def test_a_statement_names_principals_and_end_users(name):
    assert statement_of(principals=[name]).principals == (name,)


@pytest.mark.parametrize(
    "name", ["", "back*", "*/sara", "/sara", "backend/", "backend/a*", "backend/a/b", "a b", "backend/ü", "a\n"]
)
def test_other_texts_are_no_principals_of_a_statement(name):
    assert refusal_of(StatementDocument, STATEMENT | {"principals": [name]}).startswith('a principal, "NAME/ENDUSER"')


@pytest.mark.parametrize("key", ["principals", "actions", "resources", "source_ip", "not_source_ip", "prefix"])
def test_lists_are_lists_without_repetition_and_not_empty(key):
    value = {"source_ip": "::1", "not_source_ip": "::1", "prefix": "a"}.get(key) or STATEMENT[key][0]
    assert "at least 1 item" in refusal_of(StatementDocument, STATEMENT | {key: []})
    assert "listed twice" in refusal_of(StatementDocument, STATEMENT | {key: [value, value]})
    assert refusal_of(StatementDocument, STATEMENT | {key: value}) == "Input should be a valid tuple"


@pytest.mark.parametrize("key", ["effect", "principals", "actions", "resources"])
def test_a_statement_is_complete(key):
    assert (
        refusal_of(StatementDocument, {name: value for name, value in STATEMENT.items() if name != key})
        == "Field required"
    )


def test_conditions_are_all_kept():
    statement = statement_of(
        source_ip=["10.0.0.0/8", "::1"], not_source_ip=["10.0.0.1"], prefix=["a/", "b"], secure_transport=True
    )
    assert statement.conditions() == Conditions(
        (ip_network("10.0.0.0/8"), ip_network("::1/128")), (ip_network("10.0.0.1/32"),), ("a/", "b"), True
    )
    assert statement_of().conditions() == Conditions()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("10.1.2.3/8", 'the network is "10.0.0.0/8"'),
        ("2001:db8::1/32", 'the network is "2001:db8::/32"'),
        ("::ffff:10.0.0.0/104", "write the IPv4"),
        ("::ffff:10.0.0.1", "write the IPv4"),
        *[(each, "a text with an address or a network") for each in ("", "all", "10.0.0", "10.0.0.256", "fe80::1%eth0", " ::1", 3, None)],
    ],
)  # fmt: skip
def test_other_addresses_are_refused(network, words):
    assert words in refusal_of(StatementDocument, STATEMENT | {"source_ip": [network]})


@pytest.mark.parametrize(("prefix", "words"), [("", "must not be empty"), ("a/*", "without *"), ("a\t", "no control")])
def test_a_prefix_is_the_beginning_of_keys_as_it_is(prefix, words):
    assert words in refusal_of(StatementDocument, STATEMENT | {"prefix": [prefix]})


def test_there_are_100_prefixes_at_most():
    assert statement_of(prefix=[f"{n}/" for n in range(100)])
    assert "at most 100" in refusal_of(StatementDocument, STATEMENT | {"prefix": [f"{n}/" for n in range(101)]})


@pytest.mark.parametrize("name", ["", "a" * 65, "a/b", "a\n", "a:b", "é"])
def test_a_statements_name_is_plain(name):
    assert "a statement's name" in refusal_of(StatementDocument, STATEMENT | {"name": name})


@pytest.mark.parametrize(("key", "value"), [("effect", "Allow"), ("secure_transport", "true"), ("secure_transport", 1)])
def test_texts_and_numbers_are_not_taken_for_something_else(key, value):
    assert refusal_of(StatementDocument, STATEMENT | {key: value})
