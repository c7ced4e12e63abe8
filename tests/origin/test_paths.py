"""Paths: every pair of keys has two places, none outside the bucket's, none too long for a file system."""

import posixpath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.origin.paths import object_path, write_id_of

BUCKET = "bucket"
WRITE_ID = "0123456789abcdef0123456789abcdef"
LONGEST_NAME = 255
LONGEST_PATH = 4096 - 512
"""Bytes; what a root of 512 leaves of Linux' limit."""

characters = st.sampled_from("ab./%@~2E0\x01\x7f \\é🎧\u0301\ud7ff\ue000\U0010ffff") | st.characters(
    exclude_categories=["Cs"], exclude_characters="\0"
)


def fits(key: str) -> bool:
    return 0 < len(key.encode()) <= 1024


short_keys = st.text(characters, min_size=1, max_size=12)
long_keys = st.builds(
    "".join,
    st.lists(
        st.builds(
            lambda text, times: text * times,
            st.sampled_from(["a", ".", "..", "/", "%", "@", "é", "🎧", "\x01", "~", "a/", "../", "./"]),
            st.integers(0, 250),
        ),
        max_size=6,
    ),
)
keys = (short_keys | long_keys).filter(fits)


def of(key: str, write_id: str = WRITE_ID) -> str:
    return object_path(BUCKET, key, write_id)


@given(keys)
@example("a" * 200 + "../x")
@example("a" * 200 + "./x")
@example("a" * 200 + "/x")
@example("a" * 200 + "..")
@example("../" * 300)
@example(".")
@example("..")
def test_a_path_stays_below_its_bucket_and_is_as_it_is_written(key):
    path = of(key)
    segments = path.split("/")
    assert segments[0] == BUCKET
    assert not {"", ".", ".."} & set(segments)
    assert posixpath.normpath(path) == path
    assert "\0" not in path
    assert path.isprintable() or not any(ord(letter) < 32 for letter in path)


@given(keys)
@example("\x01" * 1024)
@example("é" * 512)
@example("🎧" * 256)
@example("/" * 1024)
@example("." * 1024)
@example("./" * 512)
@example("%" * 1024)
@example("a" * 1024)
@example("a" * 199 + "é" * 400)
def test_no_name_and_no_path_is_too_long(key):
    """With what lies beside a body, or within a multipart one."""
    for name in (f"{of(key)}.json~", f"{of(key)}/manifest.json~", f"{of(key)}/10000-{WRITE_ID}"):
        assert max(len(segment.encode()) for segment in name.split("/")) <= LONGEST_NAME
        assert len(name.encode()) <= LONGEST_PATH


@given(keys, keys)
@example("a%2Fb", "a/b")
@example("a@b", "a%40b")
@example("a//b", "a/%/b")
@example("a/%/b", "a/%25/b")
@example("a" * 200 + "/b", "a" * 200 + "%~/b")
@example("a" * 201, "a" * 200 + "%~/a")
@example("a" * 201 + "/x", "a" * 200 + "%~/a/x")
@example("a" * 200 + "../x", "x")
@example("a/", "a")
@example("/a", "a")
def test_two_keys_never_have_one_place(one, other):
    if one != other:
        assert posixpath.normpath(of(one)) != posixpath.normpath(of(other))


@given(keys, keys)
@example("a", "a/b")
@example("film.mp4", "film.mp4/part")
@example(f"film@{WRITE_ID}", "film")
@example("a.json", "a")
def test_a_file_never_has_the_name_of_a_directory_that_another_key_needs(one, other):
    """Files, what lies beside them, and directories of multipart objects all stand where keys' directories stand."""
    taken = {of(one), f"{of(one)}.json", f"{of(one)}.json~"}
    folder = posixpath.dirname(of(other, "f" * 32))
    while folder:
        assert folder not in taken
        folder = posixpath.dirname(folder)


@given(keys)
def test_two_writes_of_one_key_have_two_places_that_differ_in_the_id_alone(key):
    assert of(key, "1" * 32).replace("1" * 32, "2" * 32) == of(key, "2" * 32) or "1" * 32 in key
    assert of(key, "1" * 32) != of(key, "2" * 32)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("2024/sara.jpg", f"bucket/2024/sara.jpg@{WRITE_ID}"),
        ("a b+c&d=é.ogg", f"bucket/a b+c&d=é.ogg@{WRITE_ID}"),
        (".hidden", f"bucket/%2Ehidden@{WRITE_ID}"),
        ("..", f"bucket/%2E.@{WRITE_ID}"),
        ("a//b", f"bucket/a/%/b@{WRITE_ID}"),
        ("trailing/", f"bucket/trailing/@{WRITE_ID}"),
        ("me@home 100%", f"bucket/me%40home 100%25@{WRITE_ID}"),
        ("line\nbreak", f"bucket/line%0Abreak@{WRITE_ID}"),
    ],
)
def test_a_plain_key_is_readable_in_its_path(key, path):
    assert of(key) == path


@pytest.mark.parametrize("key", ["k", "a@b", "film/", "é@"])
@pytest.mark.parametrize("end", ["", "/"])
def test_the_write_id_is_found_in_every_location(key, end):
    assert write_id_of(object_path("b", key, "f" * 32) + end) == "f" * 32
