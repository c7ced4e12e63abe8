"""gateway/s3/address.py: bucket and key from the raw path, query parameters, copy sources."""

import re
import urllib.parse

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.address import (
    KNOWN_PARAMETERS,
    Address,
    encode_key,
    parse_address,
    parse_copy_source,
    parse_query,
    validate_bucket_name,
    validate_key,
)
from tests.s3.refusal import refused

HOST = "127.0.0.1:9000"
DOMAINS = ("s3.localhost", "eu.s3.localhost")

keys = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda one: not (ord(one) < 0x20 or 0x7F <= ord(one) < 0xA0)),
    min_size=1,
    max_size=60,
).filter(lambda key: not {".", ".."} & set(key.split("/")))


def address(raw_path: str, host: str = HOST) -> Address:
    return parse_address(raw_path, host, DOMAINS)


@pytest.mark.parametrize(
    ("raw_path", "bucket", "key"),
    [
        ("/", None, None),
        ("/media", "media", None),
        ("/media/", "media", None),
        ("/my.old.bucket/", "my.old.bucket", None),
        ("/media/k", "media", "k"),
        ("/media/a/b.jpg", "media", "a/b.jpg"),
        ("/media/a/", "media", "a/"),
        ("/media//", "media", "/"),
        ("/media//k", "media", "/k"),
        ("/media/a//b", "media", "a//b"),
        ("/media/a+b", "media", "a+b"),
        ("/media/a%20b", "media", "a b"),
        ("/media/a%2Fb", "media", "a/b"),
        ("/media/%2Fk", "media", "/k"),
        ("/media/a%252e%252e%252fs", "media", "a%2e%2e%2fs"),
        ("/media/%25FF", "media", "%FF"),
        ("/media/%C3%A9", "media", "é"),
        ("/media/%c3%a9", "media", "é"),
        ("/media/é", "media", "é"),
        ("/media/a..b", "media", "a..b"),
        ("/media/..a/b..", "media", "..a/b.."),
        ("/media/.hidden", "media", ".hidden"),
        ("/media/...", "media", "..."),
        ("/media/a%5C..%5Cb", "media", "a\\..\\b"),
        ("/media/%3F%23", "media", "?#"),
        ("/media/%E2%80%A8", "media", "\u2028"),
        ("/media/a%20", "media", "a "),
        ("/media/%C3%98%C2%B3", "media", "Ø³"),  # a Persian name, read as Latin-1 by an upload library
        ("/media/%C3%99%C2%84%C2%85", "media", "Ù\x84\x85"),
        ("/media/%F0%9F%97%84", "media", "🗄"),
    ],
)
def test_path_style_names_bucket_and_key(raw_path, bucket, key):
    assert address(raw_path) == Address(bucket, key)


@pytest.mark.parametrize(
    ("host", "raw_path", "expected"),
    [
        ("media.s3.localhost", "/", Address("media", None)),
        ("media.s3.localhost:9000", "/a/b", Address("media", "a/b")),
        ("MEDIA.S3.LocalHost:9000", "/a%20b", Address("media", "a b")),
        ("media.s3.localhost.:9000", "/k", Address("media", "k")),
        ("media.eu.s3.localhost", "/k", Address("media", "k")),
        ("my.bucket.s3.localhost", "/k", Address("my.bucket", "k")),
        ("media.s3.localhost", "//k", Address("media", "/k")),
        ("s3.localhost", "/media/k", Address("media", "k")),
        ("eu.s3.localhost:443", "/media/k", Address("media", "k")),
        ("media.elsewhere.example", "/media/k", Address("media", "k")),
        ("notas3.localhost", "/media/k", Address("media", "k")),
        ("[::1]:9000", "/media/k", Address("media", "k")),
        ("[::1]", "/media/k", Address("media", "k")),
        ("", "/media/k", Address("media", "k")),
    ],
)
def test_a_host_below_a_domain_names_the_bucket(host, raw_path, expected):
    assert address(raw_path, host) == expected


def test_without_domains_every_host_is_path_style():
    assert parse_address("/media/k", "media.s3.localhost", ()) == Address("media", "k")


@pytest.mark.parametrize("host", ["a_b.s3.localhost", ".s3.localhost", "a..b.s3.localhost", "10.0.0.1.s3.localhost"])
def test_a_host_whose_bucket_cannot_be_is_refused(host):
    with refused(Code.InvalidBucketName):
        address("/k", host)


@pytest.mark.parametrize("raw_path", ["/b-b%2Fk", "/b-b%2fk", "/b-b%2Fk/x", "/b-b%2F", "/%2Fb-b/k", "//b-b/k", "//"])
def test_an_encoded_slash_never_separates_bucket_and_key(raw_path):
    with refused(Code.InvalidBucketName):
        address(raw_path)


@pytest.mark.parametrize(
    "raw_key",
    [
        *("%", "%z1", "a%2", "%u0041", "%+1", "% 1"),
        *("%FF", "%FE", "%C3", "%C0%AF", "%ED%A0%80", "%F5%80%80%80", "a\udcffb"),
        *("%00", "a%00b", "%0a", "%0D%0A", "%1F", "%7F", "a\nb"),
        *(".", "..", "a/..", "a/../b", "../b", "./b", "a/./b", "%2e%2e", ".%2E/b", "a/%2e", "a%2f..%2fb", "/..", "a/."),
    ],
)
def test_a_key_that_nobody_may_have_is_invalid_uri(raw_key):
    for host, raw_path in [(HOST, f"/media/{raw_key}"), ("media.s3.localhost", f"/{raw_key}")]:
        with refused(Code.InvalidURI):
            address(raw_path, host)


@pytest.mark.parametrize("raw_path", ["", "media/k", "*", "http://host/media/k"])
def test_a_target_that_is_no_path_is_invalid_uri(raw_path):
    with refused(Code.InvalidURI):
        address(raw_path)


@pytest.mark.parametrize("unit", ["k", "é", "%C3%A9", "/k", "%2B", "🗄"])
def test_a_key_has_at_most_1024_bytes_of_utf8(unit):
    size = len(urllib.parse.unquote(unit).encode())
    longest = unit * (1024 // size)
    assert address(f"/media/{longest}").key == urllib.parse.unquote(longest)
    with refused(Code.KeyTooLongError, Size=1024 + size, MaxSizeAllowed=1024):
        address(f"/media/{longest}{unit}")


@given(keys)
def test_an_encoded_key_comes_back_as_it_was(key):
    whole = urllib.parse.quote(key, safe="")
    lower = re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), whole)
    for encoded in (encode_key(key), whole, lower):
        assert address(f"/media/{encoded}") == Address("media", key)
        assert address(f"/{encoded}", "media.s3.localhost") == Address("media", key)


@given(keys)
def test_keys_are_encoded_as_rfc_3986_has_it(key):
    assert encode_key(key) == urllib.parse.quote(key.encode(), safe="/-._~")


@given(st.text(max_size=40) | st.from_regex(r"/[a-z]{3}(/([.%/a]|%2[eEfF]|%[0-9a-f]{2}){0,8})?", fullmatch=True))
def test_any_path_gives_an_address_or_a_refusal(raw_path):
    try:
        found = address(raw_path)
    except S3Error as error:
        assert 400 <= error.code.status < 500
        return
    if found.bucket is not None:
        validate_bucket_name(found.bucket)
    if found.key is not None:
        assert found.key
        validate_key(found.key)
        assert found.key == urllib.parse.unquote(raw_path.partition("/")[2].partition("/")[2])


def test_a_long_path_of_any_kind_is_read_in_linear_time():
    for unit in ("a", "/", "a/", "-", "%41", ".a/", "a."):
        for tail in ("", "!", "%", "\u00e9"):
            try:
                address(f"/media/{unit * 30_000}{tail}")
            except S3Error as error:
                assert error.code in (Code.KeyTooLongError, Code.InvalidURI)


@pytest.mark.parametrize(
    "name", ["abc", "a-b", "a.b", "0ab", "a" * 63, "a--b", "1.2.3", "1.2.3.4.5", "a.1.2.3", "my.old-bucket.1"]
)
def test_names_within_s3_s_rules_are_fine(name):
    validate_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "ab", "a" * 64, "Abc", "a_b", "a b", "-ab", "ab-", ".ab", "ab.", "a..b", "a-.b", "a.-b", "192.168.5.4"),
        *("abc\n", "abé", "ab/c", "..", "٠٠٠", "ab\x00c", "a" * 3000, "a-" * 31 + "."),
    ],
)
def test_names_outside_s3_s_rules_are_invalid_bucket_name(name):
    with refused(Code.InvalidBucketName):
        validate_bucket_name(name)
    with refused(Code.InvalidBucketName, Code.InvalidURI):
        address(f"/{urllib.parse.quote(name, safe='')}/k" if name else "//k")


@pytest.mark.parametrize(
    ("raw_query", "expected"),
    [
        ("", {}),
        ("acl", {"acl": ""}),
        ("acl=", {"acl": ""}),
        ("list-type=2&prefix=od/&delimiter=/", {"list-type": "2", "prefix": "od/", "delimiter": "/"}),
        ("prefix=a%20b+c%2Bd", {"prefix": "a b c+d"}),
        ("prefix=%C3%A9%2F", {"prefix": "é/"}),
        ("prefix=a=b", {"prefix": "a=b"}),
        ("&&prefix=a&", {"prefix": "a"}),
        ("pre%66ix=a", {"prefix": "a"}),
        ("x=1&x=2", {"x": "1"}),
        ("x-id=GetObject&X-Amz-Expires=60", {"x-id": "GetObject", "X-Amz-Expires": "60"}),
        ("=x", {"": "x"}),
    ],
)
def test_a_query_is_decoded_once_with_plus_as_a_space(raw_query, expected):
    assert parse_query(raw_query) == expected


@pytest.mark.parametrize("raw_query", ["prefix=%", "prefix=%zz", "%FF=a", "prefix=%C3", "a=%00", "%00", "a=\udcff"])
def test_a_query_that_is_not_utf8_is_invalid_uri(raw_query):
    with refused(Code.InvalidURI):
        parse_query(raw_query)


@pytest.mark.parametrize(
    "name",
    [
        "prefix",
        "uploadId",
        "versionId",
        "X-Amz-Expires",
        "x-amz-acl",
        "response-content-type",
        "list-type",
        "Signature",
    ],
)
def test_a_parameter_that_s3_reads_may_not_come_twice(name):
    for second in (name, f"%{ord(name[0]):x}{name[1:]}"):
        with refused(Code.InvalidArgument, ArgumentName=name):
            parse_query(f"{name}=1&{second}=1")


def test_more_than_a_hundred_parameters_are_refused():
    hundred = "&".join(f"x{number}" for number in range(100))
    assert len(parse_query(hundred)) == 100
    for query in (f"{hundred}&a", "&" * 101, "a&" * 100_000):
        with refused(Code.InvalidArgument):
            parse_query(query)


@given(st.dictionaries(st.text(max_size=9).filter(lambda name: "\0" not in name), st.text(max_size=9), max_size=9))
def test_a_query_that_python_encodes_is_decoded_to_the_same(parameters):
    parameters = {name: value.replace("\0", "") for name, value in parameters.items() if name}
    assert parse_query(urllib.parse.urlencode(parameters)) == parameters
    assert parse_query(urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)) == parameters


@given(st.text(max_size=40) | st.text("%2fFzZ+&=ac", max_size=40))
def test_any_query_gives_parameters_or_a_refusal(raw_query):
    try:
        parse_query(raw_query)
    except S3Error as error:
        assert error.code in (Code.InvalidURI, Code.InvalidArgument)


def test_every_parameter_of_the_sdk_s_model_is_known():
    model = botocore.session.get_session().get_service_model("s3")
    operations = [model.operation_model(name) for name in model.operation_names]
    members = [member for one in operations if one.input_shape for member in one.input_shape.members.values()]
    names = {one.serialization["name"] for one in members if one.serialization.get("location") == "querystring"}
    for one in operations:
        query = urllib.parse.urlsplit(one.http["requestUri"]).query
        names |= {part.partition("=")[0] for part in query.split("&") if part}
    assert {name for name in names if not name.startswith("response-")} - KNOWN_PARAMETERS == set()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("media/k", ("media", "k", None)),
        ("/media/k", ("media", "k", None)),
        ("/media//k", ("media", "/k", None)),
        ("media/a%20b%2Bc", ("media", "a b+c", None)),
        ("media/a+b", ("media", "a b", None)),
        ("media%2Fa%2Fb", ("media", "a/b", None)),
        ("%2Fmedia%2Fk", ("media", "k", None)),
        ("media/%C3%A9", ("media", "é", None)),
        ("media/é", ("media", "é", None)),
        ("media/a%252Fb", ("media", "a%2Fb", None)),
        ("media/k?versionId=null", ("media", "k", "null")),
        ("media/k?versionId=a%2Bb", ("media", "k", "a+b")),
        ("media/k?versionId=", ("media", "k", None)),
        ("media/k%3FversionId=x", ("media", "k?versionId=x", None)),
        ("media/a/", ("media", "a/", None)),
    ],
)
def test_a_copy_source_names_bucket_key_and_version(value, expected):
    assert parse_copy_source(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("", "/", "media", "media/", "/media", "//media/k", "/k/", "media/k?acl", "media/k?versionid=1", "media/k?"),
        *("media/%", "media/%FF", "media/a%00b", "media/../other/k", "media/%2e%2e/k", "media/\udcff", "A_b/k"),
        *("arn:aws:s3:::media/k", "arn:aws:s3:us-east-1:1:accesspoint/a/object/k", "media/k?versionId=%FF", "../../k"),
        "http://127.0.0.1/media/k",
    ],
)
def test_a_copy_source_that_names_no_object_is_refused(value):
    with refused(Code.InvalidArgument, Code.InvalidBucketName):
        parse_copy_source(value)


def test_a_copy_source_with_too_long_a_key_says_so():
    with refused(Code.KeyTooLongError, Size=1025):
        parse_copy_source(f"media/{'k' * 1025}")


@given(st.text(max_size=40))
def test_any_copy_source_gives_an_object_or_a_refusal(value):
    try:
        bucket, key, _ = parse_copy_source(value)
    except S3Error as error:
        assert error.code in (Code.InvalidArgument, Code.InvalidBucketName)
        return
    validate_bucket_name(bucket)
    validate_key(key)


@given(keys)
def test_a_copy_source_that_the_sdk_writes_is_read_back(key):
    assert parse_copy_source(f"media/{urllib.parse.quote(key, safe='/~')}") == ("media", key, None)


@given(st.text(max_size=20))
def test_validate_key_raises_s3_errors_only(key):
    try:
        validate_key(key)
    except S3Error as error:
        assert error.code is Code.InvalidURI
