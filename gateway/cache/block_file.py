"""A block's file: the block's bytes from the beginning on, so that the kernel can send them, then what binds them.

    data | label | magic "ANBARB01", nonce (12), fetched_s (8), size of data (4), size of label (2), name (24), tag (16)

Numbers are little-endian. The label is the bucket, NUL and the key, for whoever wants the blocks of an object dropped.
The tag is GMAC (NIST SP 800-38D, AES-GCM over nothing but associated data) over all the rest, under a key of the
directory's own: it costs a twentieth of BLAKE2b. A nonce is random, and good for one file.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.cache.names import BLOCK, BLOCK_NAME_SIZE

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_MAGIC: Final = b"ANBARB01"
_BOUND: Final = struct.Struct(f"<8s{NONCE_SIZE}sQIH{BLOCK_NAME_SIZE}s")
TRAILER_SIZE: Final = _BOUND.size + _TAG_SIZE
MOST_BYTES: Final = BLOCK + 0xFFFF + TRAILER_SIZE
"""Bytes of the largest file that a block can have."""


class Damaged(Exception):
    """A file is not the block that it should be."""


@dataclass(frozen=True, slots=True)
class Trailer:
    """What stands at the end of a block's file; `size` is that of the block."""

    nonce: bytes
    fetched_s: int
    size: int
    label_size: int
    name: bytes
    tag: bytes

    @property
    def file_size(self) -> int:
        return self.size + self.label_size + TRAILER_SIZE


def label_of(bucket: str, key: str) -> bytes:
    return f"{bucket}\0{key}".encode("utf-8", "surrogatepass")


def parse_label(label: bytes) -> tuple[str, str]:
    """The bucket and the key; raises Damaged."""
    try:
        bucket, separator, key = label.decode("utf-8", "surrogatepass").partition("\0")
    except UnicodeDecodeError:
        raise Damaged("the label is no text") from None
    if not separator:
        raise Damaged("the label has no key")
    return bucket, key


def render_tail(key: bytes, nonce: bytes, name: bytes, pieces: Sequence[bytes], label: bytes, fetched_s: int) -> bytes:
    """What comes after the bytes of a block, which are the `pieces`."""
    bound = _BOUND.pack(_MAGIC, nonce, fetched_s, sum(map(len, pieces)), len(label), name)
    return b"".join([label, bound, _tag(key, nonce, [*pieces, label, bound])])


def parse_trailer(data: bytes) -> Trailer:
    """The last TRAILER_SIZE bytes of a file; raises Damaged."""
    if len(data) != TRAILER_SIZE:
        raise Damaged("too short")
    magic, nonce, fetched_s, size, label_size, name = _BOUND.unpack_from(data)
    if magic != _MAGIC or not 0 < size <= BLOCK:
        raise Damaged("not a block of this version")
    return Trailer(nonce, fetched_s, size, label_size, name, data[_BOUND.size :])


def verify_file(key: bytes, name: bytes, data: memoryview) -> Trailer:
    """Is this, all of it, the file of the block `name`? Raises Damaged."""
    trailer = parse_trailer(bytes(data[-TRAILER_SIZE:]))
    if trailer.name != name:
        raise Damaged("another block's file")
    if trailer.file_size != len(data):
        raise Damaged(f"{len(data)} bytes, not {trailer.file_size}")
    if not compare_digest(_tag(key, trailer.nonce, [data[:-_TAG_SIZE]]), trailer.tag):
        raise Damaged("its bytes are not those that were written")
    return trailer


def _tag(key: bytes, nonce: bytes, pieces: Iterable[bytes | memoryview]) -> bytes:
    sealing = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    for piece in pieces:
        sealing.authenticate_additional_data(piece)
    sealing.finalize()
    return sealing.tag
