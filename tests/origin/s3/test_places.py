"""Locations at an S3 origin: no two writes share one, none leaves its bucket, each can be taken apart again."""

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.origin.s3.places import (
    MAX_KEY_BYTES,
    Place,
    fresh_location,
    location_of,
    own_location,
    parse_place,
)
from tests.support.data import ODD_KEYS

KEYS = st.text(min_size=1, max_size=1024).filter(lambda key: len(key.encode()) <= MAX_KEY_BYTES)
LONG_KEYS = st.builds(
    lambda unit, size: unit.encode().decode() * (size // len(unit.encode())),
    st.sampled_from(["k", "é", "漢", "🎧", "a/", "%"]),
    st.integers(900, MAX_KEY_BYTES),
)
WRITE_IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
WIRE = re.compile(r"[a-z0-9.-]+/(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+\Z")
ID = "0123456789abcdef" * 2


@given(KEYS | LONG_KEYS, WRITE_IDS)
@example("../other/secret", ID)
@example("%2e%2e%2Fother", ID)
@example("/leading", ID)
@example("a?uploadId=1#x", ID)
def test_a_location_stays_in_its_bucket_and_is_ready_for_the_wire(key, write_id):
    for location in (fresh_location("photos", key, write_id), own_location("photos", key)):
        if location is not None:
            place = parse_place(location)
            assert WIRE.match(location)
            assert (place.bucket, place.query) == ("photos", "")
            assert place.object_location == location
            assert len(place.key.encode()) <= MAX_KEY_BYTES


@given(st.sampled_from(["p1/", "a b/", "é/%2F/"]), KEYS | LONG_KEYS, WRITE_IDS)
def test_what_begins_with_a_prefix_lies_below_it(prefix, key, write_id):
    place = parse_place(fresh_location("b", prefix + key, write_id))
    assert place.key.startswith(prefix)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_the_key_is_read_back_from_a_location(key):
    fresh = parse_place(fresh_location("b", key, ID))
    assert fresh.write_id == ID
    assert fresh.key == f"{key}@{ID}" or fresh.may_be_cut
    assert parse_place(location_of("b", key)).key == key


@given(st.tuples(KEYS | LONG_KEYS, WRITE_IDS), st.tuples(KEYS | LONG_KEYS, WRITE_IDS))
@example(("a", ID), (f"a@{ID}", ID))
@example(("k" * 1000, ID), ("k" * 1001, ID))
def test_two_writes_never_share_a_location(one, other):
    if one != other:
        assert fresh_location("b", *one) != fresh_location("b", *other)


@given(KEYS, KEYS, WRITE_IDS)
def test_an_own_location_is_nobodys_fresh_one_and_no_other_keys(key, other, write_id):
    own = own_location("b", key)
    assert own is None or own != fresh_location("b", other, write_id)
    assert own is None or key == other or own != own_location("b", other)


@pytest.mark.parametrize("key", ["folder/", f"looks like@{ID}", "k" * 1025, "é" * 513])
def test_some_keys_have_no_location_of_their_own(key):
    assert own_location("b", key) is None


@pytest.mark.parametrize("key", ["a//b", "/a", "//", "a/./b", "../a", "a/..", "..\\a", "a\\..\\b", "."])
def test_a_key_that_is_another_one_as_a_path_lies_where_neither_is_replaced(key):
    assert own_location("b", key) is None
    place = parse_place(fresh_location("b", key, ID))
    assert place.may_be_cut
    segments = place.key.replace("\\", "/").split("/")
    assert "" not in segments
    assert not {".", ".."} & set(segments)
    assert place.path != parse_place(fresh_location("b", key + "/", ID)).path


@pytest.mark.parametrize(
    "key",
    ["k" * 256, f"{'k' * 256}/a", "é" * 128, f"{'a' * 133}/{('b' * 255 + '/') * 3}{'c' * 110}", "k" * 1024, "é" * 512],
)
def test_no_name_is_longer_than_a_file_may_be_called(key):
    own, fresh = own_location("b", key), parse_place(fresh_location("b", key, ID))
    assert own is None or all(len(name.encode()) <= 255 for name in parse_place(own).key.split("/"))
    assert fresh.may_be_cut
    assert all(len(name.encode()) <= 255 for name in fresh.key.split("/"))


@pytest.mark.parametrize(
    "key",
    [
        "k" * 255,
        "é" * 127,
        "a/" * 511 + "k",
        "...",
        "a/...b",
        ".a/b.",
        "a\\b",
        "a@b",
        f"a@{ID}.jpg",
        f"a@{ID.upper()}",
        f"a@{ID}\n",
    ],
)
def test_most_keys_have_one(key):
    place = parse_place(own_location("b", key) or "")
    assert (place.key, place.write_id) == (key, None)


@pytest.mark.parametrize(("size", "cut"), [(991, False), (992, True), (1024, True)])
def test_a_key_that_leaves_no_room_for_the_id_is_cut(size, cut):
    key = ("k/" * size)[: size - 1] + "k"
    place = parse_place(fresh_location("b", key, ID))
    assert place.may_be_cut is cut
    assert (place.key == f"{key}@{ID}") is not cut
    assert len(place.key.encode()) <= MAX_KEY_BYTES


def test_a_cut_does_not_halve_a_character():
    key = "x" + "🎧" * 255
    assert parse_place(fresh_location("b", key, ID)).key.partition("~")[0] == "x" + "🎧" * 44


def test_bytes_that_are_no_text_survive():
    key = "a\udcffb"
    assert location_of("b", key) == "b/a%FFb"
    assert parse_place(own_location("b", key) or "").key == key
    assert parse_place(fresh_location("b", key, ID)).key == f"{key}@{ID}"


@given(st.text(min_size=1))
@example("a+b/c==")
@example("2~x&partNumber=1#?%2F")
def test_the_origins_id_of_an_upload_survives_whatever_it_is(upload_id):
    encoded = quote(upload_id, safe="-._~")
    place = parse_place(f"b/k?uploadId={encoded}&partNumber=7#{ID}")
    assert unquote(place.upload_id or "") == upload_id
    assert place.part_number == 7
    assert place.object_location == "b/k"


def test_an_upload_that_the_origin_does_not_know_has_no_id():
    place = parse_place(f"b/k%40{ID}?uploads")
    assert place == Place("b", f"k%40{ID}", "uploads")
    assert (place.upload_id, place.part_number, place.write_id) == (None, None, ID)
