"""Keys and bodies that clients stumble over."""

import random

KIB = 1024
MIB = 1024 * KIB

ODD_KEYS = (
    "plain.txt",
    "with space",
    " leading and trailing ",
    "plus+sign",
    "percent%",
    "percent%41encoded",
    "%2Fslash",
    "amp&and=equals",
    "question?mark",
    "hash#mark",
    "semi;colon",
    "quotes'\"",
    "<xml>&amp;",
    "(parens)!",
    "~tilde*star",
    "back\\slash",
    "colon:at@comma,dollar$",
    "{brace}[bracket]|^`",
    "unicode-é-漢字-🎧.ogg",
    "e\u0301 is not \u00e9",
    "صدا/سلام.ogg",
    "a",
    "a/b",
    "a//b",
    "/leading slash",
    "//two",
    "trailing/",
    "trailing//",
    "..dots",
    "dir/..hidden../x...",
    "dir/.well-known",
    "name.with..dots",
    "k" * 1024,
    "é" * 512,
)
"""Keys that S3 allows. None has a "." or ".." segment or a control character: those are refused."""


def pattern(size: int, seed: int = 1) -> bytes:
    """`size` bytes that look random and are the same at each call."""
    return random.Random(seed).randbytes(size)
