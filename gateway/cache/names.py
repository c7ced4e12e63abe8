"""What kept bytes are called.

The name of a body is made of what the catalog says of it, so that a changed object has another one and nothing need be
asked before a hit. Where its bytes lie is no part of it: they may be moved, and stay the same. The ETag is an MD5, and
two bodies with one MD5 can be made; then the time of the write and the checksum tell them apart, so that whoever can
make both takes only themselves in, within one second.
"""

from hashlib import blake2b
from typing import Final

BLOCK: Final = 1 << 20
"""Bytes of a block; the last one of a body may be shorter."""

BLOCK_NAME_SIZE: Final = 24
"""Bytes of a block's name."""

_BODY_NAME_SIZE: Final = 20


def body_name(*facts: str) -> bytes:
    """The name of the body of which all these facts hold, in their order."""
    text = f"{tuple(map(len, facts))}{''.join(facts)}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_BODY_NAME_SIZE).digest()


def block_name(body: bytes, index: int) -> bytes:
    """The name of a body's block, counted from 0."""
    return body + index.to_bytes(4, "big")


def block_count(size: int) -> int:
    """How many blocks a body of `size` bytes has."""
    return -(-size // BLOCK)


def block_size(size: int, index: int) -> int:
    """Bytes of one block of a body of `size` bytes."""
    return min(BLOCK, size - index * BLOCK)


def block_path(name: bytes) -> str:
    """Where a block's file lies below the directory of blocks: two levels, 16 × 256 folders."""
    digits = name.hex()
    return f"{digits[0]}/{digits[1:3]}/{digits[3:]}"


def parse_block_path(folder: str, file: str) -> bytes | None:
    """The name of the block whose file this is; None: it is no block's. `folder` is "0/ab"."""
    digits = folder.replace("/", "") + file
    if len(digits) != 2 * BLOCK_NAME_SIZE or digits != digits.lower():
        return None
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return None
