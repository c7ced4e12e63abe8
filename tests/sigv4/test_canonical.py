"""gateway/sigv4/canonical.py: the canonical request, fast test and slow path alike."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.sigv4.canonical import (
    _rebuilt_query,
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    decode_parameter,
    query_as_sent,
    string_to_sign,
    uri_decode,
    uri_encode,
)
from tests.sigv4.signers import refused

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
pairs = st.lists(st.tuples(texts.filter(bool), texts), max_size=6)
# Queries as anybody might write them: reserved characters, escapes of any kind, empty pieces.
raw_queries = st.lists(
    st.sampled_from(["a", "b-", "=", "&", "+", "%20", "%2F", "%2f", "/", "~", "%7E", "%41", "é", "%C3%A9", "X-Amz-"]),
    max_size=20,
).map("".join)


def test_uri_encode_keeps_only_the_unreserved_characters():
    assert uri_encode("AZaz09-._~") == "AZaz09-._~"
    assert uri_encode("a b+c/é*'()!") == "a%20b%2Bc%2F%C3%A9%2A%27%28%29%21"
    assert uri_encode("/b/a b", keep_slash=True) == "/b/a%20b"


@given(st.binary(max_size=40))
def test_uri_decode_undoes_uri_encode(data):
    assert uri_decode(uri_encode(data)) == data


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "%%41", "%4 1", "%+1", "%٤٠"])
def test_a_percent_sign_without_two_hex_digits_is_invalid_uri(text):
    for read in (uri_decode, decode_parameter):
        with refused(Code.InvalidURI):
            read(text)
    with refused(Code.InvalidURI):
        canonical_path("/b/" + text)
    with refused(Code.InvalidURI):
        canonical_query("prefix=" + text)


@pytest.mark.parametrize(
    ("raw_path", "canonical"),
    [
        ("/", "/"),
        ("", "/"),
        ("/b/a%20b", "/b/a%20b"),
        ("/b//a/../c/", "/b//a/../c/"),  # never normalised
        ("/b/a%2Fb", "/b/a%2Fb"),  # never a separator
        ("/b/%c3%a9", "/b/%C3%A9"),
        ("/b/%7E%41", "/b/~A"),
        ("/b/é", "/b/%C3%A9"),
        ("/b/a+b", "/b/a%2Bb"),
        ("/b/(a)", "/b/%28a%29"),
        ("/b/%2541", "/b/%2541"),  # decoded once
        ("/b/%FF", "/b/%FF"),
        ("/b/\udcff", "/b/%FF"),  # the same byte, sent bare
    ],
)
def test_a_path_is_encoded_once_and_otherwise_left_alone(raw_path, canonical):
    assert canonical_path(raw_path) == canonical


@pytest.mark.parametrize(
    ("raw_query", "canonical"),
    [
        ("", ""),
        ("acl", "acl="),
        ("acl=", "acl="),
        ("b=&a", "a=&b="),
        ("x=a/b", "x=a%2Fb"),
        ("c=2&c=1", "c=1&c=2"),
        ("c=2&c=10", "c=10&c=2"),
        ("prefix=a+b", "prefix=a%20b"),
        ("prefix=a%2Bb", "prefix=a%2Bb"),
        ("k=a=b", "k=a%3Db"),
        ("a=1&&b=2&", "a=1&b=2"),
        ("=v", "=v"),
        ("select-type=2&select", "select=&select-type=2"),  # by name: "select" comes before "select-type"
        ("a-b=1&a=2", "a=2&a-b=1"),
        ("a%20=1&a=2", "a=2&a%20=1"),
        ("A=1&a=1&B=1", "A=1&B=1&a=1"),
    ],
)
def test_a_query_is_sorted_by_name_then_value(raw_query, canonical):
    assert canonical_query(raw_query) == canonical


@given(pairs)
def test_a_canonical_query_is_what_encoding_and_sorting_gives(parameters):
    encoded = [(quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parameters]
    sent = "&".join(f"{name}={value}" for name, value in encoded)
    assert canonical_query(sent) == "&".join(f"{name}={value}" for name, value in sorted(encoded))


@given(raw_queries)
def test_the_fast_test_and_the_slow_path_agree(raw_query):
    try:
        slow = _rebuilt_query(raw_query, without_signature=False)
    except S3Error:
        slow = None
    if slow is None:
        with refused(Code.InvalidURI):
            canonical_query(raw_query)
    else:
        assert canonical_query(raw_query) == slow
        assert canonical_query(slow) == slow


@pytest.mark.parametrize("name", ["X-Amz-Signature", "X%2DAmz-Signature"])
def test_exactly_the_signature_is_left_out_of_a_presigned_query(name):
    signature = "0" * 64
    query = f"X-Amz-SignedHeaders=host&{name}={signature}&X-Amz-Signature2=b&x-amz-signature=c"
    expected = "X-Amz-Signature2=b&X-Amz-SignedHeaders=host&x-amz-signature=c"
    assert canonical_query(query, signature) == expected
    assert canonical_query(query).count(signature) == 1


def test_the_query_as_sent_is_only_sorted():
    assert query_as_sent("b=a/b&a=(&X-Amz-Signature=1&acl", without_signature=True) == "a=(&acl=&b=a/b"


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("plain", "plain"),
        ("", ""),
        ("  both ends  ", "both ends"),
        ("runs   of \t blanks", "runs of blanks"),
        ("tab\tbed", "tab bed"),
        ("a: b", "a: b"),
        ("\u2003kept\u2003", "\u2003kept\u2003"),  # only ASCII blanks are blanks
        ("\x85kept\x1c", "\x85kept\x1c"),
    ],
)
@pytest.mark.parametrize("position", ["first", "last"])
def test_header_values_are_trimmed_and_their_runs_of_blanks_made_one(value, canonical, position):
    name = "a" if position == "first" else "z"
    headers = {"host": "h", name: value}
    lines = {"host": "host:h\n", name: f"{name}:{canonical}\n"}
    names = sorted(headers)
    assert canonical_headers(names, headers) == "".join(lines[one] for one in names)


def test_a_signed_header_that_is_not_there_is_empty_and_expect_is_what_proxies_take_away():
    assert canonical_headers(["content-length", "expect", "host"], {"host": "h"}) == (
        "content-length:\nexpect:100-continue\nhost:h\n"
    )


def test_another_host_takes_the_place_of_the_one_sent():
    assert canonical_headers(["host", "range"], {"host": "h", "range": "bytes=0-1"}, "other") == (
        "host:other\nrange:bytes=0-1\n"
    )


def test_the_parts_are_joined_as_the_standard_says():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (the GET Object example)"""
    names = ("host", "range", "x-amz-content-sha256", "x-amz-date")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    lines = (
        f"host:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\nx-amz-content-sha256:{empty}\n"
        "x-amz-date:20130524T000000Z\n"
    )
    request = canonical_request("GET", "/test.txt", "", lines, names, empty)
    assert request == f"GET\n/test.txt\n\n{lines}\nhost;range;x-amz-content-sha256;x-amz-date\n{empty}"
    assert string_to_sign("20130524T000000Z", "20130524/us-east-1/s3/aws4_request", request) == (
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
    )


@given(st.text())
def test_garbage_raises_nothing_but_s3_errors(text):
    for read in (canonical_path, canonical_query, uri_decode, uri_encode, decode_parameter):
        try:
            read(text)
        except S3Error as error:
            assert error.code in (Code.InvalidURI, Code.InvalidRequest)
