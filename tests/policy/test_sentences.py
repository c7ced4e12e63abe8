"""What roles and statements let people do, in words."""

from ipaddress import ip_network

import pytest

from gateway.policy import roles
from gateway.policy.model import UNCONDITIONAL, Conditions, Effect, Role, Statement
from gateway.policy.sentences import listed, quoted, render_size, render_statement, rights_beyond


@pytest.mark.parametrize(
    ("role", "other", "expected"),
    [
        (Role.READER, None, "sees buckets and their settings; reads and lists all objects"),
        (
            Role.UPLOADER,
            None,
            "stores new objects; sees buckets and their settings; overwrites, reads, lists, changes and deletes its own objects; lists its own unfinished uploads",
        ),
        (Role.READER, Role.UPLOADER, "reads and lists the objects of others"),
        (
            Role.UPLOADER,
            Role.READER,
            "stores new objects; overwrites, changes and deletes its own objects; lists its own unfinished uploads",
        ),
        (
            Role.ADMIN,
            Role.SERVICE,
            "makes and removes buckets; overwrites, changes and deletes the objects of others; lists the unfinished uploads of others",
        ),
        (Role.SERVICE, Role.ADMIN, "begins sessions of end users, who act as uploaders"),
        (
            Role.SERVICE,
            Role.UPLOADER,
            "begins sessions of end users, who act as uploaders; reads and lists the objects of others",
        ),
        (Role.UPLOADER, Role.SERVICE, ""),
        (None, Role.ADMIN, ""),
    ],
)
def test_what_one_role_may_do_beyond_another(role, other, expected):
    assert rights_beyond(role, other) == expected


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_nothing_beyond_itself(role):
    assert rights_beyond(role, role) == ""


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("group", ["READ_OBJECTS", "CHANGE_OBJECTS", "LIST_OBJECTS", "SEE_BUCKETS", "MANAGE_BUCKETS"])
def test_the_actions_of_a_group_reach_equally_far(role, group):
    """So that one of them can speak for all."""
    assert len({roles.reach_of(role, action) for action in getattr(roles, group)}) == 1


def statement(effect=Effect.ALLOW, principals=("backend",), conditions=UNCONDITIONAL):
    return Statement("x", effect, principals, ("s3:PutObject", "s3:GetObject"), ("demo-a/*", "demo-b"), conditions)


def test_a_statement_is_who_what_and_where():
    assert render_statement(statement()) == "backend: s3:GetObject, s3:PutObject on demo-a/*, demo-b"


def test_everybody_is_told_apart_from_everybody_who_signs():
    assert render_statement(statement(principals=("*",))).startswith("everybody who signs: ")
    assert render_statement(statement(Effect.DENY, ("*",))).startswith("everybody: ")
    assert render_statement(statement(Effect.DENY, ("anonymous", "a/*"))).startswith(
        "a/*, requests without a signature: "
    )


def test_conditions_are_told():
    conditions = Conditions((ip_network("10.0.0.0/8"),), (ip_network("::1"),), ("tmp/", "a b"), True)
    assert render_statement(statement(conditions=conditions)).endswith(
        'demo-b, from 10.0.0.0/8, from elsewhere than ::1/128, where keys begin with "a b", tmp/, over HTTPS'
    )
    assert render_statement(statement(conditions=Conditions(secure_transport=False))).endswith(", over plain HTTP")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 bytes"),
        (1024, "1 KiB"),
        (5 << 20, "5 MiB"),
        (20_000_000_000, "20 GB"),
        (1_500_000, "1,500 KB"),
        (1536 << 20, "1,536 MiB"),
        (5_000_001, "5,000,001 bytes"),
        (2 << 40, "2 TiB"),
    ],
)
def test_a_size_is_told_exactly(size, text):
    assert render_size(size) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("demo-a/*", "demo-a/*"),
        ("صدا/*", "صدا/*"),
        ("عکس\u200cها/*", "عکس\u200cها/*"),
        ("a b", '"a b"'),
        ("a,b", '"a,b"'),
        ('a"b', '"a\\"b"'),
        ("a\x1b[2J", '"a\\u001b[2J"'),
        ("a\u202eb", '"a\\u202eb"'),
    ],
)
def test_what_could_mislead_is_quoted(text, shown):
    assert quoted(text) == shown


def test_a_list_is_told_in_order_and_cannot_be_taken_for_another():
    assert listed(("b", "a")) == "a, b"
    assert listed(("a, b",)) != listed(("a", "b"))
