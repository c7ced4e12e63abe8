"""Patterns with `*`, the one wildcard of statements: it stands for any text, also none, and also for slashes.

A pattern is cut at its stars once; then its pieces are looked for from left to right, each at the first place where it
stands. That is right for stars, and its cost is bounded by the text's length for each piece, whatever the two hold.
"""

from collections.abc import Callable
from functools import lru_cache

Matcher = Callable[[str], bool]


@lru_cache(maxsize=16_384)
def compile_wildcard(pattern: str) -> Matcher:
    """A function that tells whether a whole text matches the pattern."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern.__eq__
    *middle, last = rest
    pieces = [piece for piece in middle if piece]
    if not pieces and not last:
        return lambda text: text.startswith(first)
    shortest = len(pattern) - pattern.count("*")

    def matches(text: str) -> bool:
        if len(text) < shortest or not text.startswith(first) or not text.endswith(last):
            return False
        position, end = len(first), len(text) - len(last)
        for piece in pieces:
            found = text.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True

    return matches


def matches_wildcard(pattern: str, text: str) -> bool:
    return compile_wildcard(pattern)(text)
