"""Continuation tokens: what was rendered is read back, and nothing else is read at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, S3Error
from gateway.web.tokens import parse_token, render_token

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(names)
def test_a_token_gives_its_name_back(name):
    token = render_token(name)
    assert token.isascii()
    assert parse_token(token) == name


def test_the_longest_key_has_a_token():
    for key in ("k" * 1024, "\U0010ffff" * 256, "é" * 512 + "/"):
        assert parse_token(render_token(key)) == key


def test_no_token_is_the_beginning():
    assert parse_token(None) == ""


@pytest.mark.parametrize(
    "token", ["", "=", "a", "a b", "YQ==\n", "YQ+/", "_____w==", "\u0661\u0661", "A" * 6000, "YQ=a", "é"]
)
def test_what_is_no_token_is_invalid_argument(token):
    with pytest.raises(S3Error) as refused:
        parse_token(token)
    assert refused.value.code is Code.InvalidArgument


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_=-]{0,40}", fullmatch=True))
def test_garbage_is_a_name_or_invalid_argument(token):
    try:
        parse_token(token).encode()
    except S3Error as error:
        assert error.code is Code.InvalidArgument
