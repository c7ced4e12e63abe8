"""gateway/sigv4/timestamps.py: the times of SigV4."""

import datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sigv4.timestamps import parse_amz_date, parse_http_date, render_amz_date, render_iso_date

moments = st.integers(min_value=0, max_value=253402300799)


@given(moments)
def test_a_time_survives_rendering_and_parsing(epoch_s):
    assert parse_amz_date(render_amz_date(epoch_s)) == epoch_s


@given(moments)
def test_rendering_agrees_with_the_standard_library(epoch_s):
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=epoch_s)
    expected = f"{moment.year:04}{moment:%m%dT%H%M%SZ}"
    assert render_amz_date(epoch_s) == expected


@given(st.integers(min_value=0, max_value=4102444800), st.booleans())
def test_http_dates_are_read_as_they_are_written(epoch_s, usegmt):
    assert parse_http_date(formatdate(epoch_s, usegmt=usegmt)) == epoch_s


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20130524",
        "20130524T000000",
        "20130524T000000z",
        "2013-05-24T00:00:00Z",
        "20130524T240000Z",
        "20130524T006000Z",
        "20130524T000060Z",
        "20130532T000000Z",
        "20130229T000000Z",
        "20131301T000000Z",
        "00000101T000000Z",
        " 20130524T000000Z",
        "20130524T000000Z\n",
        "+2013052T000000Z",
        "٢٠١٣٠٥٢٤T000000Z",
        "²0130524T000000Z",
        "20130524T000000Z" * 1000,
    ],
)
def test_anything_else_is_no_time(text):
    assert parse_amz_date(text) is None
    assert parse_http_date(text) is None


@given(st.text())
def test_garbage_is_no_time_and_no_exception(text):
    parse_amz_date(text)
    parse_http_date(text)


def test_error_documents_show_iso_times_and_clamp_the_far_future():
    assert render_iso_date(1369353600) == "2013-05-24T00:00:00Z"
    assert render_iso_date(10**15) == "9999-12-31T23:59:59Z"
