"""The lines of tables and keys, beside the standard library's reading of the same text."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.toml_lines import lines_of_keys

TEXT = '''\
a = 1   # b = 2
c.d = { e = "}", f = [
  # [x]
  "]", ["y"],
] }
text = """
[no]
no = 1 \\"""
""\""
literal = \'\'\'
[[no]]
\'\'\'
[ "q.\\u0041" . 'l"' ]  # a comment
"=" = '='
[[list]]
x = [[1], [2]]\r
[list.inner]
x = 1
[[list]]
[[list.more]]
[[list.more]]
[list.more.deep]
x = """"""
'''


def test_every_table_and_key_has_its_line():
    tomllib.loads(TEXT)
    assert lines_of_keys(TEXT) == {
        ("a",): 1,
        ("c",): 2,
        ("c", "d"): 2,
        ("text",): 6,
        ("literal",): 10,
        ("q.A",): 13,
        ("q.A", 'l"'): 13,
        ("q.A", 'l"', "="): 14,
        ("list",): 15,
        ("list", "0"): 15,
        ("list", "0", "x"): 16,
        ("list", "0", "inner"): 17,
        ("list", "0", "inner", "x"): 18,
        ("list", "1"): 19,
        ("list", "1", "more"): 20,
        ("list", "1", "more", "0"): 20,
        ("list", "1", "more", "1"): 21,
        ("list", "1", "more", "1", "deep"): 22,
        ("list", "1", "more", "1", "deep", "x"): 23,
    }


def test_a_file_with_windows_line_ends_has_the_same_lines():
    assert lines_of_keys(TEXT.replace("\r", "").replace("\n", "\r\n")) == lines_of_keys(TEXT)


@pytest.mark.parametrize(
    "text", ["", "\n# only this", "a", "[a", "a = ", 'a = "', "a = [", "= 1", '"""', "a = ]\nb = 1", 'a = 1\n"\\1" = 2']
)
def test_what_is_not_toml_ends_the_reading(text):
    assert set(lines_of_keys(text)) <= {("a",), ("b",)}


@given(st.text(alphabet="ab=[]{}.,\"'\\#\n 1", max_size=60))
def test_whatever_the_standard_library_takes_has_its_tables_and_keys(text):
    lines = lines_of_keys(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert {path[0] for path in lines} == set(data)
