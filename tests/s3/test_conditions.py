"""gateway/s3/conditions.py: If-Match and its companions on reads, copies and writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.conditions import (
    NO_CONDITIONS,
    Conditions,
    Outcome,
    WriteCondition,
    check_copy,
    check_read,
    check_write,
    parse_conditions,
    parse_etags,
    parse_write_condition,
    quoted_etag,
)
from tests.s3.refusal import refused

ETAG = '"9bb58f26192e4ba00f01e2e7b136bbd8"'
OTHER = '"d41d8cd98f00b204e9800998ecf8427e"'
NOW_S = 784111777
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("value", "etags"),
    [
        ('"a"', ('"a"',)),
        ("a", ('"a"',)),
        ('"a", "b"', ('"a"', '"b"')),
        ('"a","b" ,\t"c"', ('"a"', '"b"', '"c"')),
        ("a,b", ('"a"', '"b"')),
        ('W/"a"', ('W/"a"',)),
        ('"a,b"', ('"a,b"',)),
        ('"a b"', ('"a b"',)),
        ('""', ('""',)),
        ("*", ("*",)),
        ('"*"', ('"*"',)),
        ("", ()),
        ("6f1ed002ab5595859014ebf0951522d9-2", ('"6f1ed002ab5595859014ebf0951522d9-2"',)),
    ],
)
def test_etags_are_read_quoted_bare_and_weak(value, etags):
    assert parse_etags(value, "If-Match") == etags


@pytest.mark.parametrize(
    "value", ['"', '"a', 'a"', '"a" "b"', ",", ',"a"', "a b", '"a\n"', "\x00", '"a";', 'w/"a"', "a," * 101]
)
def test_etags_that_cannot_be_read_are_invalid_argument(value):
    with refused(Code.InvalidArgument, ArgumentName="If-Match"):
        parse_etags(value, "If-Match")


@given(st.text(max_size=30) | st.text('W/"a,* ', max_size=30))
def test_any_text_gives_etags_or_a_refusal(value):
    try:
        etags = parse_etags(value, "If-Match")
    except S3Error as error:
        assert error.code is Code.InvalidArgument
        return
    assert all(etag == "*" or etag.endswith('"') for etag in etags)


@pytest.mark.parametrize(("etag", "quoted"), [("a", '"a"'), ('"a"', '"a"'), ('W/"a"', 'W/"a"')])
def test_an_etag_gets_quotes_where_it_has_none(etag, quoted):
    assert quoted_etag(etag) == quoted


def test_no_conditional_header_is_no_condition():
    conditions = parse_conditions({"host": "x", "x-amz-copy-source-if-match": ETAG})
    assert conditions == NO_CONDITIONS
    assert conditions.empty


def test_conditions_on_a_source_have_a_prefix():
    headers = {"if-match": OTHER, "x-amz-copy-source-if-match": ETAG, "x-amz-copy-source-if-modified-since": SAME}
    conditions = parse_conditions(headers, "x-amz-copy-source-")
    assert conditions == Conditions(if_match=(ETAG,), if_modified_since=NOW_S)
    assert not conditions.empty


def test_a_date_that_cannot_be_read_is_no_condition():
    assert parse_conditions({"if-modified-since": "yesterday", "if-unmodified-since": "0"}).empty


READS = [
    ({}, "proceed"),
    ({"if-match": ETAG}, "proceed"),
    ({"if-match": f"{OTHER}, {ETAG}"}, "proceed"),
    ({"if-match": ETAG.strip('"')}, "proceed"),
    ({"if-match": "*"}, "proceed"),
    ({"if-match": OTHER}, "If-Match"),
    ({"if-match": f"W/{ETAG}"}, "If-Match"),
    ({"if-match": ""}, "If-Match"),
    ({"if-none-match": ETAG}, "If-None-Match"),
    ({"if-none-match": f"W/{ETAG}"}, "If-None-Match"),
    ({"if-none-match": f"{OTHER}, {ETAG}"}, "If-None-Match"),
    ({"if-none-match": "*"}, "If-None-Match"),
    ({"if-none-match": OTHER}, "proceed"),
    ({"if-modified-since": SAME}, "If-Modified-Since"),
    ({"if-modified-since": AFTER}, "If-Modified-Since"),
    ({"if-modified-since": BEFORE}, "proceed"),
    ({"if-unmodified-since": SAME}, "proceed"),
    ({"if-unmodified-since": AFTER}, "proceed"),
    ({"if-unmodified-since": BEFORE}, "If-Unmodified-Since"),
    # the pairs of S3's table: an ETag decides, and the date beside it does not count
    ({"if-match": ETAG, "if-unmodified-since": BEFORE}, "proceed"),
    ({"if-match": OTHER, "if-unmodified-since": AFTER}, "If-Match"),
    ({"if-none-match": ETAG, "if-modified-since": BEFORE}, "If-None-Match"),
    ({"if-none-match": OTHER, "if-modified-since": AFTER}, "proceed"),
    ({"if-match": ETAG, "if-none-match": ETAG}, "If-None-Match"),
    ({"if-match": OTHER, "if-none-match": ETAG}, "If-Match"),
]


@pytest.mark.parametrize(("headers", "expected"), READS)
def test_a_read_follows_rfc_9110_s_order(headers, expected):
    conditions = parse_conditions(headers)
    if expected == "proceed":
        assert check_read(conditions, ETAG, NOW_S) is Outcome.PROCEED
    elif expected in ("If-None-Match", "If-Modified-Since"):
        assert check_read(conditions, ETAG, NOW_S) is Outcome.NOT_MODIFIED
    else:
        with refused(Code.PreconditionFailed, Condition=expected):
            check_read(conditions, ETAG, NOW_S)


@pytest.mark.parametrize(("headers", "expected"), READS)
def test_a_copy_fails_where_a_read_would_not_proceed(headers, expected):
    prefixed = {f"x-amz-copy-source-{name}": value for name, value in headers.items()}
    conditions = parse_conditions(prefixed, "x-amz-copy-source-")
    if expected == "proceed":
        check_copy(conditions, ETAG, NOW_S)
    else:
        with refused(Code.PreconditionFailed, Condition=f"x-amz-copy-source-{expected}"):
            check_copy(conditions, ETAG, NOW_S)


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({}, None),
        ({"if-none-match": "*"}, WriteCondition(if_none_match=True)),
        ({"if-match": ETAG}, WriteCondition(if_match=ETAG)),
        ({"if-match": ETAG.strip('"')}, WriteCondition(if_match=ETAG)),
        ({"if-match": "*"}, WriteCondition(if_match="*")),
    ],
)
def test_a_write_has_one_of_two_conditions(headers, condition):
    assert parse_write_condition(headers) == condition


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"if-none-match": ETAG}, Code.NotImplemented),
        ({"if-none-match": '"*"'}, Code.NotImplemented),
        ({"if-none-match": ""}, Code.NotImplemented),
        ({"if-none-match": "*", "if-match": ETAG}, Code.NotImplemented),
        ({"if-modified-since": SAME}, Code.NotImplemented),
        ({"if-unmodified-since": "junk"}, Code.NotImplemented),
        ({"if-match": f"{ETAG}, {OTHER}"}, Code.InvalidArgument),
        ({"if-match": ""}, Code.InvalidArgument),
        ({"if-match": '"'}, Code.InvalidArgument),
    ],
)
def test_any_other_condition_on_a_write_is_refused_and_not_ignored(headers, code):
    with refused(code):
        parse_write_condition(headers)


def test_a_write_condition_is_held_against_what_is_there():
    create, update, exists = WriteCondition(if_none_match=True), WriteCondition(if_match=ETAG), WriteCondition("*")
    for condition, current in [(None, None), (None, ETAG), (create, None), (update, ETAG), (exists, OTHER)]:
        check_write(condition, current)
    with refused(Code.PreconditionFailed, Condition="If-None-Match"):
        check_write(create, ETAG)
    for current in (OTHER, ETAG.strip('"'), f"W/{ETAG}"):
        with refused(Code.PreconditionFailed, Condition="If-Match"):
            check_write(update, current)
    for condition in (update, exists):
        with refused(Code.NoSuchKey):
            check_write(condition, None)


def test_a_weak_etag_never_lets_a_write_through():
    condition = parse_write_condition({"if-match": f"W/{ETAG}"})
    with refused(Code.PreconditionFailed):
        check_write(condition, ETAG)
