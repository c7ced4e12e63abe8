"""gateway/s3/ranges.py: what a Range header means, and for an object of what size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.s3.ranges import ByteRange, if_range_holds, parse_copy_range, parse_range, resolve_range
from tests.s3.refusal import refused

ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'
MODIFIED_S = 784111777
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("header", "size", "first", "last"),
    [
        ("bytes=0-1", 10, 0, 1),
        ("bytes=0-0", 10, 0, 0),
        ("bytes=9-9", 10, 9, 9),
        ("bytes=5-", 10, 5, 9),
        ("bytes=0-", 10, 0, 9),
        ("bytes=-3", 10, 7, 9),
        ("bytes=-10", 10, 0, 9),
        ("bytes=-99999", 10, 0, 9),
        ("bytes=5-99", 10, 5, 9),
        ("bytes=0-99999999999999999999", 10, 0, 9),
        ("bytes=00-001", 10, 0, 1),
        ("Bytes=0-1", 10, 0, 1),
        ("BYTES=0-1", 10, 0, 1),
        (f"bytes=0-{'9' * 5000}", 10, 0, 9),
        (f"bytes=-{'9' * 5000}", 10, 0, 9),
        (f"bytes={'0' * 5000}1-2", 10, 1, 2),
        ("bytes=4294967296-4294967297", 5 << 40, 4294967296, 4294967297),
    ],
)
def test_one_range_gives_its_bytes(header, size, first, last):
    found = resolve_range(parse_range(header), size)
    assert found == ByteRange(first, last)
    assert found.size == last - first + 1


@pytest.mark.parametrize(
    "header",
    [
        *(
            None,
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "bytes=0-0,0-0",
            "bytes=,0-1",
        ),
        *(
            "bytes=0-1,",
            "bytes= 0-1",
            "bytes=0 -1",
            " bytes=0-1",
            "bytes=0-1 ",
            "bytes =0-1",
            "bytes=0-1\n",
            "items=0-1",
        ),
        *(
            "bytes=+1-2",
            "bytes=1_0-20",
            "bytes=0x1-2",
            "bytes=--1",
            "bytes=1--2",
            "bytes=٠-٢",
            "bytes=²-",
            "bytes=1-\u0664",
        ),
        *("bytes=1.0-2", "byteſ=0-1", "bytes=" + "0-0," * 10_000),
    ],
)
def test_what_is_no_single_range_of_bytes_gives_the_whole_object(header):
    assert parse_range(header) is None
    assert resolve_range(parse_range(header), 10) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=99999999999999999999-", 10),
        (f"bytes={'9' * 5000}-", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-5", 0),
    ],
)
def test_a_range_without_a_byte_of_the_object_is_invalid_range(header, size):
    with refused(Code.InvalidRange, RangeRequested=header[:100], ActualObjectSize=size):
        resolve_range(parse_range(header), size)


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}", fullmatch=True), st.integers(0, 1 << 45))
def test_any_range_lies_in_the_object_or_is_refused(header, size):
    try:
        found = resolve_range(parse_range(header), size)
    except S3Error as error:
        assert error.code is Code.InvalidRange
        return
    assert found is None or 0 <= found.first <= found.last < size


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (None, True),
        (ETAG, True),
        (ETAG.strip('"'), True),
        (f"W/{ETAG}", False),
        ('"other"', False),
        (f'"other", {ETAG}', False),
        ("*", False),
        ("", False),
        ('"', False),
        (MODIFIED, True),
        ("Sun, 06 Nov 1994 08:49:36 GMT", False),
        ("Sun, 06 Nov 1994 08:49:38 GMT", False),
        ("Sunday", False),
    ],
)
def test_if_range_takes_the_same_etag_or_the_same_date(value, holds):
    assert if_range_holds(value, ETAG, MODIFIED_S) is holds


@given(st.text(max_size=30))
def test_any_if_range_is_answered(value):
    assert if_range_holds(value, '"never in this test: 6f1ed002ab5595859014ebf0951522d9"', -1) is False


def test_a_copy_range_is_both_ends_inside_the_source():
    assert parse_copy_range("bytes=0-9", 10) == ByteRange(0, 9)
    assert parse_copy_range("bytes=5-5", 10) == ByteRange(5, 5)


@pytest.mark.parametrize(
    "value",
    [
        *("", "bytes=0-10", "bytes=10-10", "bytes=5-4", "bytes=5-", "bytes=-5", "bytes=0-1,2-3", "Bytes=0-1", "0-1"),
        *(
            "bytes=+0-1",
            "bytes=0-1 ",
            "bytes=0-1\n",
            "bytes=٠-٢",
            f"bytes=0-{'9' * 5000}",
            "bytes=0-99999999999999999999",
        ),
    ],
)
def test_any_other_copy_range_is_invalid_argument(value):
    with refused(Code.InvalidArgument, ArgumentName="x-amz-copy-source-range"):
        parse_copy_range(value, 10)


def test_no_copy_range_lies_in_an_empty_source():
    with refused(Code.InvalidArgument):
        parse_copy_range("bytes=0-0", 0)
