"""gateway/s3/cors.py: which origins, methods and headers a bucket's rules allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.s3.cors import CorsRule, match_actual, match_preflight

APP = "https://app.example"
RULE = CorsRule(
    allowed_origins=(APP, "https://*.photos.example"),
    allowed_methods=("GET", "PUT"),
    allowed_headers=("Content-Type", "x-amz-*"),
    expose_headers=("ETag", "Location"),
    max_age_s=3600,
)
OPEN = CorsRule(allowed_origins=("*",), allowed_methods=("GET",))


def test_a_preflight_is_told_what_it_may():
    assert match_preflight([RULE], APP, "PUT", "content-type, X-Amz-Acl") == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Headers": "content-type, x-amz-acl",
        "Access-Control-Expose-Headers": "ETag, Location",
        "Access-Control-Max-Age": "3600",
    }


def test_a_page_is_told_what_it_may_read():
    assert match_actual([RULE], APP, "GET") == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "ETag, Location",
    }


def test_any_origin_is_answered_with_a_star_and_without_credentials():
    answer = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET"}
    assert match_actual([OPEN], "null", "GET") == answer
    assert match_preflight([OPEN], "https://anywhere.example", "GET") == answer


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.photos.example", True),
        ("https://a.b.photos.example", True),
        ("https://.photos.example", True),
        ("https://photos.example", False),
        ("http://a.photos.example", False),
        ("https://a.photos.example.evil.example", False),
        ("https://a.photos.example:8443", False),
        ("https://APP.example", False),
        ("https://app.example.evil.example", False),
        ("https://a.photos.example\r\nx: y", False),
        ("https://a\x00.photos.example", False),
        ("https://é.photos.example", False),
        (f"https://{'a' * 5000}.photos.example", False),
        ("", False),
    ],
)
def test_an_origin_fits_wholly_or_not_at_all(origin, allowed):
    assert bool(match_actual([RULE], origin, "GET")) is allowed
    assert (match_preflight([RULE], origin, "GET") is not None) is allowed


@pytest.mark.parametrize(
    ("method", "request_headers"),
    [
        ("DELETE", ""),
        ("put", ""),
        ("", ""),
        ("PUT", "authorization"),
        ("PUT", "content-type, authorization"),
        ("PUT", "content-type2"),
        ("PUT", "x-amz acl"),
        ("PUT", "x-amz-a\r\nb"),
        ("PUT", "x-amz-é"),
        ("PUT", ",".join(f"x-amz-{number}" for number in range(101))),
        ("PUT", f"x-amz-{'a' * 300}"),
    ],
)
def test_a_preflight_for_more_than_a_rule_allows_is_refused(method, request_headers):
    assert match_preflight([RULE], APP, method, request_headers) is None


@pytest.mark.parametrize("request_headers", ["", " ", ",", ", ,", "content-type,", " Content-Type ,\tX-AMZ-Date"])
def test_blanks_and_case_in_the_header_list_do_not_matter(request_headers):
    assert match_preflight([RULE], APP, "PUT", request_headers) is not None


def test_the_first_rule_that_fits_counts():
    later = CorsRule((APP,), ("GET", "DELETE"), ("*",))
    assert match_actual([RULE, later], APP, "GET")["Access-Control-Allow-Methods"] == "GET, PUT"
    assert match_actual([RULE, later], APP, "DELETE")["Access-Control-Allow-Methods"] == "GET, DELETE"
    answer = match_preflight([RULE, later], APP, "GET", "authorization")
    assert answer is not None
    assert answer["Access-Control-Allow-Methods"] == "GET, DELETE"


def test_without_rules_nothing_is_allowed():
    assert match_preflight([], APP, "GET") is None
    assert match_actual([], APP, "GET") == {}


def test_many_stars_are_matched_in_one_pass():
    rule = CorsRule(("*a" * 500,), ("GET",))
    assert match_actual([rule], "a" * 1000, "GET")
    assert not match_actual([rule], "a" * 499 + "b" * 500, "GET")
    assert not match_actual([CorsRule(("ab*ba",), ("GET",))], "aba", "GET")
    assert match_actual([CorsRule(("ab*ba",), ("GET",))], "abba", "GET")


@given(st.lists(st.text("ab*", max_size=6), min_size=1, max_size=3), st.text(max_size=20), st.text(max_size=20))
def test_any_request_is_answered(patterns, origin, request_headers):
    rules = [CorsRule(tuple(patterns), ("GET",), tuple(patterns))]
    match_preflight(rules, origin, "GET", request_headers)
    for value in match_actual(rules, origin, "GET").values():
        assert value.isascii()
        assert value.isprintable()
