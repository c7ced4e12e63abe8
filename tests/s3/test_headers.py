"""gateway/s3/headers.py: what is kept of a request's headers, and strict numbers, digests, tags and dates."""

import base64
import calendar
import email.utils
import urllib.parse
from datetime import UTC, datetime

import pytest
from botocore.utils import parse_timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.headers import (
    DEFAULT_CONTENT_TYPE,
    Directive,
    content_disposition_for,
    may_be_kept,
    parse_content_length,
    parse_content_md5,
    parse_directive,
    parse_http_date,
    parse_integer,
    parse_iso_date,
    parse_object_attributes,
    parse_object_headers,
    parse_response_overrides,
    parse_tagging_header,
    render_http_date,
    render_iso_date,
    validate_tags,
)
from tests.s3.refusal import refused

UNSENDABLE = ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\x00b", "\x01", "a\tb", "\x1f", "\x7f", "a\udce9b", "\ud800"]


# --- what is kept with an object


def test_standard_headers_and_metadata_are_kept_and_nothing_else():
    headers = {
        "host": "media.example",
        "authorization": "AWS4-HMAC-SHA256 …",
        "content-type": "image/png",
        "content-length": "5",
        "content-md5": "x",
        "cache-control": "max-age=60",
        "content-disposition": 'inline; filename="é.png"',
        "content-encoding": "gzip",
        "content-language": "fa, en",
        "expires": "some day",
        "x-amz-acl": "private",
        "x-amz-meta-mtime": "1.5",
        "x-amz-meta-name": "سلام, a  b",
        "x-amz-meta-empty": "",
        "x-amz-metadata-directive": "REPLACE",
    }
    standard, metadata = parse_object_headers(headers)
    kept = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
    assert standard == {name: headers[name] for name in kept}
    assert metadata == {"mtime": "1.5", "name": "سلام, a  b", "empty": ""}


@pytest.mark.parametrize("headers", [{}, {"content-type": ""}])
def test_an_object_without_content_type_gets_s3_s_default(headers):
    assert parse_object_headers(headers) == ({"content-type": DEFAULT_CONTENT_TYPE}, {})
    assert DEFAULT_CONTENT_TYPE == "binary/octet-stream"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("AWS-Chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip,aws-chunked", "gzip"),
        ("gzip, aws-chunked , br", "gzip,br"),
        ("gzip, br", "gzip, br"),
        ("aws-chunked,,", None),
        ("", None),
    ],
)
def test_aws_chunked_is_no_property_of_the_object(sent, kept):
    assert parse_object_headers({"content-encoding": sent})[0].get("content-encoding") == kept


@pytest.mark.parametrize("value", UNSENDABLE)
@pytest.mark.parametrize("name", ["content-type", "cache-control", "content-disposition", "expires", "x-amz-meta-a"])
def test_what_no_header_can_carry_is_refused_when_it_comes_in(name, value):
    with refused(Code.InvalidArgument, ArgumentName=name):
        parse_object_headers({name: value})
    with refused(Code.InvalidArgument):
        parse_object_headers({"content-encoding": f"aws-chunked, {value}"})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a\n", "a\udcff", "(a)"])
def test_a_metadata_name_is_a_token(name):
    with refused(Code.InvalidArgument):
        parse_object_headers({f"x-amz-meta-{name}": "v"})


def test_metadata_has_at_most_2048_bytes_of_utf8():
    assert parse_object_headers({"x-amz-meta-k": "v" * 2047})[1] == {"k": "v" * 2047}
    assert parse_object_headers({"x-amz-meta-k": "é" * 1023, "x-amz-meta-l": ""})
    for headers in ({"x-amz-meta-k": "v" * 2048}, {"x-amz-meta-k": "é" * 1023, "x-amz-meta-lm": ""}):
        with refused(Code.MetadataTooLarge, Size=2049, MaxSizeAllowed=2048):
            parse_object_headers(headers)


@given(
    st.dictionaries(
        st.sampled_from(["content-type", "expires", "x-amz-meta-a", "content-encoding"]), st.text(max_size=20)
    )
)
def test_any_headers_are_kept_sendable_or_refused(headers):
    try:
        standard, metadata = parse_object_headers(headers)
    except S3Error as error:
        assert error.code is Code.InvalidArgument
        return
    for value in (*standard.values(), *metadata.values()):
        value.encode()
        assert not any(ord(one) < 0x20 for one in value)


# --- answers


def test_a_query_overrides_response_headers():
    query = {
        "response-content-type": "text/plain",
        "response-content-disposition": 'attachment; filename="é"',
        "response-cache-control": "no-store",
        "response-content-language": "fa",
        "response-expires": "Sun, 22 Nov 2026 09:00:00 GMT",
        "response-content-encoding": "gzip",
        "response-other": "x",
        "versionId": "null",
    }
    assert parse_response_overrides(query) == {
        name.removeprefix("response-"): value
        for name, value in query.items()
        if name not in ("response-other", "versionId")
    }
    assert parse_response_overrides({"response-content-type": ""}) == {}


@pytest.mark.parametrize("value", UNSENDABLE)
@pytest.mark.parametrize("name", ["response-content-disposition", "response-content-type", "response-expires"])
def test_an_override_cannot_inject_a_header(name, value):
    with refused(Code.InvalidArgument, ArgumentName=name):
        parse_response_overrides({name: value})


@pytest.mark.parametrize(
    "content_type",
    [
        "image/png",
        "IMAGE/JPEG",
        "image/webp; a=b",
        "audio/ogg; codecs=opus",
        "video/mp4",
        "text/plain;charset=utf-8",
        "audio/x-m4a",
    ],
)
def test_media_are_shown_by_a_browser(content_type):
    assert content_disposition_for(content_type, None) is None


@pytest.mark.parametrize(
    "content_type",
    [
        *(
            "text/html",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/xml",
            "application/pdf",
            "binary/octet-stream",
            "",
        ),
        *(
            "image/png, text/html",
            "image/svg+xml; image/png",
            "TEXT/HTML;charset=utf-8",
            "image/",
            "audio/",
            "text/plain\x0b",
        ),
        *("video/mp4 text/html", "text/javascript", "multipart/x-mixed-replace", "\u2003image/png"),
    ],
)
def test_what_might_run_code_is_a_download(content_type):
    assert content_disposition_for(content_type, None) == "attachment"


def test_an_object_s_own_disposition_is_kept():
    assert content_disposition_for("text/html", "inline; filename=a.html") == "inline; filename=a.html"


# --- numbers and digests


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1000", 1000), ("007", 7), ("10000", 10000)])
def test_ascii_digits_are_a_number(text, number):
    assert parse_integer(text, "max-keys", minimum=0, maximum=10000) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+5",
        "-1",
        " 12 ",
        "12\n",
        "1_000",
        "1e3",
        "0x5",
        "1.0",
        "٣",
        "５",
        "²",
        "9" * 5000,
        "10001",
        "1\x00",
        "\udcff",
        "None",
    ],
)
def test_what_python_would_forgive_is_no_number(text):
    with refused(Code.InvalidArgument, ArgumentName="max-keys", ArgumentValue=text[:256]):
        parse_integer(text, "max-keys", minimum=0, maximum=10000)


def test_a_number_below_its_minimum_is_refused():
    with refused(Code.InvalidArgument):
        parse_integer("0", "partNumber", minimum=1, maximum=10000)


def test_a_content_length_is_digits():
    assert parse_content_length({}) is None
    assert parse_content_length({"content-length": "5497558138880"}) == 5 << 40
    for text in ("", "+3", "-1", "3,3", "3, 3", "0x3", "1_0", "9" * 23, " 3", "٣"):
        with refused(Code.InvalidArgument, ArgumentName="Content-Length"):
            parse_content_length({"content-length": text})


def test_content_md5_is_16_bytes_in_base64():
    digest = bytes(range(16))
    assert parse_content_md5({}) is None
    assert parse_content_md5({"content-md5": base64.b64encode(digest).decode()}) == digest


@pytest.mark.parametrize(
    "text",
    ["", "YW$Jj!", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA==\n", " AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", "A" * 24, "d41d8cd98f00b204e9800998ecf8427e", "é" * 22 + "==", "=" * 24],
)  # fmt: skip
def test_any_other_content_md5_is_invalid_digest(text):
    with refused(Code.InvalidDigest):
        parse_content_md5({"content-md5": text})


# --- directives, attributes, tags


def test_a_directive_is_copy_or_replace():
    assert parse_directive(None, "x-amz-metadata-directive") is Directive.COPY
    assert parse_directive("COPY", "x-amz-metadata-directive") is Directive.COPY
    assert parse_directive("REPLACE", "x-amz-metadata-directive") is Directive.REPLACE
    for text in ("REPLAC", "replace", "", "COPY,REPLACE"):
        with refused(Code.InvalidArgument, ArgumentName="x-amz-metadata-directive"):
            parse_directive(text, "x-amz-metadata-directive")


def test_object_attributes_are_known_names():
    assert parse_object_attributes("ETag") == {"ETag"}
    assert parse_object_attributes("ETag, Checksum,ObjectParts,StorageClass,ObjectSize") == {
        *("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
    }
    for text in (None, "", "etag", "ETag,", "ETag;Checksum", "Owner"):
        with refused(Code.InvalidArgument, ArgumentName="x-amz-object-attributes"):
            parse_object_attributes(text)


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a=b&c=d", {"a": "b", "c": "d"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a%20b=c+d%2Be", {"a b": "c d+e"}),
        ("%D8%B5%D8%AF%D8%A7=%D9%A3", {"صدا": "٣"}),
        ("a=b=c", {"a": "b=c"}),
        ("acl=1&prefix=/", {"acl": "1", "prefix": "/"}),
        ("a:b=x@y.z/_-", {"a:b": "x@y.z/_-"}),
    ],
)
def test_the_tagging_header_is_a_query_string(value, tags):
    assert parse_tagging_header(value) == tags


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a=b&a=c", Code.InvalidTag),
        ("=b", Code.InvalidTag),
        ("a%FF=b", Code.InvalidArgument),
        ("a=%zz", Code.InvalidArgument),
        ("a=%00", Code.InvalidArgument),
        ("a=\udcff", Code.InvalidArgument),
        ("a=%0A", Code.InvalidTag),
        ("a=<b>", Code.InvalidTag),
        ("a!=b", Code.InvalidTag),
        ("aws:a=b", Code.InvalidTag),
        ("AWS:a=b", Code.InvalidTag),
        (f"{'k' * 129}=b", Code.InvalidTag),
        (f"a={'v' * 257}", Code.InvalidTag),
        ("&".join(f"k{number}=v" for number in range(11)), Code.BadRequest),
    ],
)
def test_tags_outside_s3_s_rules_are_refused(value, code):
    with refused(code):
        parse_tagging_header(value)


def test_tags_up_to_s3_s_limits_are_fine():
    tags = {f"{number}{'ک' * 127}": "v" * 256 for number in range(10)}
    assert validate_tags(tags.items()) == tags
    assert parse_tagging_header(urllib.parse.urlencode(tags)) == tags


@given(st.text(max_size=40))
def test_any_tagging_header_gives_tags_or_a_refusal(value):
    try:
        parse_tagging_header(value)
    except S3Error as error:
        assert error.code in (Code.InvalidArgument, Code.InvalidTag, Code.BadRequest)


# --- dates


@pytest.mark.parametrize(
    ("text", "epoch_s"),
    [
        # the three forms of https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ("Sunday, 22-Nov-26 09:00:00 GMT", 1795338000),
        ("Thu, 29 Feb 2024 23:59:60 GMT", 1709251200),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
    ],
)
def test_the_three_forms_of_a_date_are_read(text, epoch_s):
    assert parse_http_date(text) == epoch_s


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "0",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 6 Nov 1994 08:49:37 GMT",
        ),
        *("Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT"),
        *("Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT"),
        *("Sun, 06 Nov 0000 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT\n", " Sun, 06 Nov 1994 08:49:37 GMT"),
        *("Sun, 0٦ Nov 1994 08:49:37 GMT", "2026-11-22T09:00:00Z", "784111777", "Sun Nov   08:49:37 1994"),
    ],
)
def test_what_is_none_of_them_is_no_date(text):
    assert parse_http_date(text) is None


times = st.integers(0, calendar.timegm((9999, 12, 31, 23, 59, 59)))


@given(times)
def test_dates_are_written_as_python_s_mail_library_writes_them(epoch_s):
    assert render_http_date(epoch_s) == email.utils.formatdate(epoch_s, usegmt=True)
    assert parse_http_date(render_http_date(epoch_s)) == epoch_s


@given(times)
def test_iso_dates_are_read_by_the_sdk_as_they_were_meant(epoch_s):
    written = render_iso_date(epoch_s)
    assert written == datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").rjust(24, "0")
    assert parse_timestamp(written) == datetime.fromtimestamp(epoch_s, UTC)
    assert parse_iso_date(written) == epoch_s


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-22", "2026-11-22T09:00:00", "2026-13-22T09:00:00Z", "2026-11-22T09:00:00.Z", "٢٠٢٦-11-22T09:00:00Z"],
)
def test_what_is_no_iso_date_is_none(text):
    assert parse_iso_date(text) is None
    assert parse_iso_date("2026-11-22T09:00:00Z") == 1795338000


@given(st.text(max_size=30))
def test_any_text_is_a_date_or_none(text):
    assert parse_http_date(text) is None
    assert parse_iso_date(text) is None


@pytest.mark.parametrize(
    ("cache_control", "kept"),
    [
        ("max-age=60", True),
        ("public, max-age=60", True),
        ("no-cache", True),
        ("", True),
        ("no-store", False),
        ("No-Store", False),
        ("max-age=60 , PRIVATE", False),
        ('private="set-cookie"', False),
        ("x-private", True),
    ],
)
def test_what_says_so_is_kept_by_no_shared_cache(cache_control, kept):
    assert may_be_kept(cache_control) is kept
