"""gateway/cache/block_file.py: a file that was changed in any way is not the block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.block_file import TRAILER_SIZE, Damaged, label_of, parse_label, render_tail, verify_file

KEY, NONCE, NAME = bytes(range(32)), bytes(12), bytes(range(24))
LABEL = label_of("media", "photos/sara.jpg")
DATA = b"the bytes of a block"
FILE = DATA + render_tail(KEY, NONCE, NAME, [DATA[:5], DATA[5:]], LABEL, 1_700_000_000)


def test_the_file_that_was_written_is_the_block():
    trailer = verify_file(KEY, NAME, memoryview(FILE))
    assert (trailer.size, trailer.fetched_s) == (len(DATA), 1_700_000_000)
    assert FILE[trailer.size : trailer.size + trailer.label_size] == LABEL


@given(st.integers(0, len(FILE) - 1), st.integers(0, 7))
def test_a_flipped_bit_is_found(position, bit):
    changed = bytearray(FILE)
    changed[position] ^= 1 << bit
    with pytest.raises(Damaged):
        verify_file(KEY, NAME, memoryview(changed))


@pytest.mark.parametrize("size", [0, 1, TRAILER_SIZE - 1, TRAILER_SIZE, len(FILE) - 1])
def test_a_file_that_is_cut_is_found(size):
    for cut in (FILE[:size], FILE[len(FILE) - size :]):
        with pytest.raises(Damaged):
            verify_file(KEY, NAME, memoryview(cut))


def test_more_bytes_are_found():
    for longer in (b"x" + FILE, FILE + b"x", DATA + FILE):
        with pytest.raises(Damaged):
            verify_file(KEY, NAME, memoryview(longer))


def test_another_blocks_file_and_another_key_are_found():
    with pytest.raises(Damaged):
        verify_file(KEY, bytes(24), memoryview(FILE))
    with pytest.raises(Damaged):
        verify_file(bytes(32), NAME, memoryview(FILE))


@given(st.text(st.characters(exclude_categories=[], exclude_characters="\0"), max_size=9), st.text(max_size=9))
def test_a_label_tells_bucket_and_key(bucket, key):
    assert parse_label(label_of(bucket, key)) == (bucket, key)


@pytest.mark.parametrize("label", [b"", b"media", b"\xff\xff\0key"])
def test_what_is_no_label_is_found(label):
    with pytest.raises(Damaged):
        parse_label(label)
