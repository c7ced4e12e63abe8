"""What is kept with a body at an S3 origin: whatever goes there comes back, and nobody else's is taken for ours."""

import re
from base64 import b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.origin.base import BodyMeta
from gateway.origin.errors import MetadataTooLarge
from gateway.origin.s3.entries import METADATA, STANDARD, Kept, parse_entries, render_entries
from gateway.s3.headers import parse_tagging_header

# What the gateway lets in: gateway.s3.headers refuses control characters, and names that are no tokens.
VALUES = st.text(st.characters(exclude_characters="\x7f", exclude_categories=["Cs"], min_codepoint=0x20), max_size=60)
NAMES = st.from_regex(r"[!#$%&'*+.^_`|~0-9a-z-]{1,20}", fullmatch=True) | st.sampled_from(
    ["anbar-uploader", "anbar-write", "anbar-tags", "anbar-key", "anbar-header-expires", "anbar-meta-a", "anbar-"]
)
TAG_TEXT = st.text("aZ09é漢 +-=.:/@_", min_size=1, max_size=20)
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
ID = "0123456789abcdef" * 2


def rendered(meta: BodyMeta, *, native_tags: bool = False, cut_key: bool = True, most: int = 1 << 20) -> dict[str, str]:
    return render_entries(meta, native_tags=native_tags, cut_key=cut_key, most_bytes=most)


def meta_with(**fields) -> BodyMeta:
    return BodyMeta("b", fields.pop("key", "k"), fields.pop("uploader", "ann"), fields.pop("write_id", ID), **fields)


@given(
    key=VALUES,
    uploader=VALUES,
    headers=st.dictionaries(st.sampled_from(STANDARD), VALUES.map(str.strip), max_size=4),
    metadata=st.dictionaries(NAMES, VALUES, max_size=6),
    tags=st.dictionaries(TAG_TEXT, TAG_TEXT | st.just(""), min_size=1, max_size=10),
)
@example("k", "=?UTF-8?B?YQ==?=", {"content-type": "=?x"}, {"a": " b ", "c": "=?UTF-8?B?YQ==?="}, {"a b": "c+d=e"})
def test_everything_comes_back(key, uploader, headers, metadata, tags):
    sent = rendered(meta_with(key=key, uploader=uploader, headers=headers, metadata=metadata, tags=tags))
    assert all(re.fullmatch(r"[!-9;-~]+", name) and re.fullmatch(r"[ -~]*", value) for name, value in sent.items())
    received = {name: value.strip(" \t") for name, value in sent.items()}  # as HTTP does
    assert parse_entries(received) == Kept(uploader, ID, headers, metadata, tags, key)


def test_plain_values_travel_as_others_read_them():
    meta = meta_with(
        headers={"content-type": "image/png"}, metadata={"artist": "Googoosh"}, tags={"a": "1", "b c": "é"}
    )
    assert rendered(meta, native_tags=True, cut_key=False) == {
        "content-type": "image/png",
        "x-amz-meta-artist": "Googoosh",
        "x-amz-meta-anbar-uploader": "ann",
        "x-amz-meta-anbar-write": ID,
        "x-amz-tagging": "a=1&b%20c=%C3%A9",
    }


@pytest.mark.parametrize("value", ["not a date", "0", "", "2026-01-01", "Thursday, 01 Jan 2026 00:00:00 GMT"])
def test_an_expires_that_is_no_date_is_an_entry(value):
    headers = rendered(meta_with(headers={"expires": value}))
    assert "expires" not in headers
    assert parse_entries(headers).headers == {"expires": value}
    assert rendered(meta_with(headers={"expires": DATE}))["expires"] == DATE


def test_tags_of_an_origin_without_any_are_an_entry():
    sent = rendered(meta_with(tags={"a": "1"}))
    assert "x-amz-tagging" not in sent
    assert sent["x-amz-meta-anbar-tags"] == "a=1"
    assert parse_tagging_header(sent["x-amz-meta-anbar-tags"]) == {"a": "1"}


def test_no_tags_and_no_write_leave_no_entry():
    sent = rendered(meta_with(write_id=""), cut_key=False)
    assert sent == {"x-amz-meta-anbar-uploader": "ann"}
    assert parse_entries(sent).tags is None


@pytest.mark.parametrize(
    "name", ["anbar-write", "anbar-uploader", "ANBAR-Write", "Anbar-uploader", "anbar-header-expires"]
)
def test_a_users_name_like_ours_stays_the_users(name):
    sent = rendered(meta_with(metadata={name: "forged"}))
    kept = parse_entries({each.lower(): value for each, value in sent.items()})
    assert (kept.uploader, kept.write_id, kept.headers) == ("ann", ID, {})
    assert kept.metadata == {name.lower(): "forged"}


@pytest.mark.parametrize("value", ["a\r\nx-amz-acl: public-read", "a\nb", "\x00", "é\r\n", "a\tb"])
def test_no_value_breaks_out_of_its_header(value):
    sent = rendered(meta_with(headers={"content-type": value}, metadata={"a": value}, uploader=value, key=value))
    assert not re.search(r"[\x00-\x1f]", "".join(sent) + "".join(sent.values()))


def test_metadata_may_have_just_as_many_bytes_as_the_origin_takes():
    meta = meta_with(headers={"content-type": "x" * 5000}, metadata={"a": "b"})
    size = len("a" + "b" + "anbar-uploader" + "ann" + "anbar-write" + ID)
    sent = rendered(meta, cut_key=False, most=size)
    assert f"{METADATA}a" in sent
    assert f"{METADATA}anbar-left-out" not in sent


def bytes_of(sent):
    return sum(len(name.removeprefix(METADATA)) + len(value) for name, value in sent.items() if METADATA in name)


@given(st.dictionaries(NAMES, VALUES, max_size=12), st.dictionaries(TAG_TEXT, TAG_TEXT, max_size=10), st.booleans())
def test_what_has_no_room_is_left_out_and_the_rest_comes_back(metadata, tags, native_tags):
    """The largest first: so whose the body is, which write made it, and the most of what its client said are kept."""
    meta, most = meta_with(metadata=metadata, tags=tags), 400
    sent = rendered(meta, native_tags=native_tags, cut_key=True, most=most)
    assert bytes_of(sent) <= most
    kept = parse_entries(sent)
    assert (kept.uploader, kept.write_id, kept.key) == (meta.uploader, meta.write_id, meta.key)
    assert kept.metadata.items() <= metadata.items()
    everything = rendered(meta, native_tags=native_tags, cut_key=True, most=1 << 20)
    left_out = everything.keys() - sent.keys()
    assert int(sent.get(f"{METADATA}anbar-left-out", "0")) == len(left_out)
    sizes = {name: len(name) + len(everything[name]) for name in everything if METADATA in name}
    mine = [size for name, size in sizes.items() if name in sent and not name.endswith(("uploader", "write", "key"))]
    assert all(sizes[name] >= max(mine, default=0) for name in left_out)


def test_what_a_body_is_known_by_is_never_left_out():
    meta = meta_with(metadata={"a": "b" * 100})
    size = len("anbar-uploader" + "ann" + "anbar-write" + ID + "anbar-left-out" + "1234")
    assert bytes_of(rendered(meta, cut_key=False, most=size)) == size - 3
    with pytest.raises(MetadataTooLarge):
        rendered(meta, cut_key=False, most=size - 1)


def test_a_body_that_somebody_else_wrote_is_nobodys():
    found = {"content-type": "text/plain", "etag": '"e"', "x-amz-meta-note": "hi", "date": "now"}
    assert parse_entries(found) == Kept(headers={"content-type": "text/plain"}, metadata={"note": "hi"})


def test_entries_of_others_set_no_header_but_the_standard_ones():
    """Whoever may write at the origin could otherwise have us send any header with an object."""
    found = {f"{METADATA}anbar-header-set-cookie": "a=b", f"{METADATA}anbar-header-expires": "soon"}
    assert parse_entries(found).headers == {"expires": "soon"}


@pytest.mark.parametrize(
    "text",
    [
        "=?UTF-8?B?YQ?=",
        "=?UTF-8?B?====?=",
        "=?utf-8?q?a?=",
        "=?UTF-8?B?/w==?=",  # no UTF-8
        f"=?UTF-8?B?{b64encode(b'a' + bytes([13, 10]) + b'x-evil: 1').decode()}?=",
        f"=?UTF-8?B?{b64encode(bytes([0])).decode()}?=",
    ],
)
def test_an_encoded_word_that_is_none_or_must_not_be_decoded_stays_as_it_is(text):
    kept = parse_entries(
        {f"{METADATA}a": text, f"{METADATA}anbar-uploader": text, f"{METADATA}anbar-header-expires": text}
    )
    assert (kept.metadata, kept.uploader, kept.headers) == ({"a": text}, text, {"expires": text})


@pytest.mark.parametrize("text", ["a=%zz", "=1", "a=1&a=2", "aws:x=1"])
def test_tags_that_are_none_are_not_known(text):
    assert parse_entries({f"{METADATA}anbar-tags": text}).tags is None


@given(st.dictionaries(st.text(max_size=30).map(lambda name: METADATA + name), st.text(max_size=60), max_size=5))
def test_whatever_an_origin_has_is_read_without_an_error(found):
    parse_entries(found)
