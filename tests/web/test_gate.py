"""The gate's reading of a head: what a proxy in front might read in another way is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.web.gate import lower_headers, new_request_id, split_target


def code_of(work, *args) -> Code:
    with pytest.raises(S3Error) as refused:
        work(*args)
    return refused.value.code


def test_names_are_lower_case_and_lines_of_one_name_are_joined_in_their_order():
    read = lower_headers(((b"X-Amz-Meta-A", b"1"), (b"Host", b"h"), (b"x-amz-meta-a", b" 2 ")))
    assert read == {"x-amz-meta-a": "1, 2 ", "host": "h"}


def test_bytes_that_are_no_utf8_are_kept_as_lone_surrogates():
    value = lower_headers(((b"x-amz-meta-a", b"caf\xe9"), (b"x-amz-meta-b", "é".encode())))
    assert value == {"x-amz-meta-a": "caf\udce9", "x-amz-meta-b": "é"}


@pytest.mark.parametrize(
    "name", [b"Host", b"AUTHORIZATION", b"content-length", b"Content-Type", b"x-amz-date", b"X-Amz-Content-SHA256"]
)
def test_a_header_that_counts_once_is_refused_when_it_is_there_twice(name):
    assert code_of(lower_headers, ((name, b"a"), (name.lower(), b"a"))) is Code.InvalidRequest


def test_headers_have_16_kib_all_together():
    line = (b"x-amz-meta-a", b"v" * 1000)
    assert lower_headers([line] * 15)
    assert code_of(lower_headers, [line] * 17) is Code.RequestHeaderSectionTooLarge


@pytest.mark.parametrize(
    ("target", "split"),
    [
        ("/", ("/", "")),
        ("/b/k?", ("/b/k", "")),
        ("/b/k?a=1?b#", None),
        ("/b/k?a=1?b=2", ("/b/k", "a=1?b=2")),
        ("//b//k", ("//b//k", "")),
        ("/b/%2e%2e/k", ("/b/%2e%2e/k", "")),
        ("http://h/b/k?x", ("/b/k", "x")),
        ("HTTPS://h/b", ("/b", "")),
        ("http://h", ("/", "")),
        ("http://other/b", None),
        ("http://h@other/b", None),
        ("http://h:80/b", None),
        ("ftp://h/b", None),
        ("b/k", None),
        ("*", None),
        ("", None),
        ("/b#k", None),
    ],
)
def test_a_target_is_split_as_it_was_sent_or_refused(target, split):
    if split is None:
        assert code_of(split_target, target, {"host": "h"}) is Code.InvalidURI
    else:
        assert split_target(target, {"host": "h"}) == split


@given(st.text(max_size=40))
def test_any_target_is_split_or_refused(target):
    try:
        path, _ = split_target(target, {"host": "h"})
    except S3Error as error:
        assert error.code is Code.InvalidURI
    else:
        assert path.startswith("/")
        assert "?" not in path


def test_request_ids_are_16_digits_and_never_the_same():
    ids = {new_request_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(each) for each in ids} == {16}
    assert all(set(each) <= set("0123456789ABCDEF") for each in ids)
