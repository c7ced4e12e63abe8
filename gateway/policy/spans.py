"""What one caller may see of a bucket, as stretches of the line of keys, so that a listing can seek in them.

Keys are ordered by code point, which is the order of their UTF-8 bytes too. Everything that starts with a prefix is
one stretch of that line: from the prefix itself to the smallest text after all that start with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Span:
    """Keys from `start` (inclusive) up to `end` (exclusive; None: to the last key), of one uploader (None: of all)."""

    start: str = ""
    end: str | None = None
    uploader: str | None = None

    def covers(self, key: str) -> bool:
        """Does the key lie in the stretch, whoever uploaded it?"""
        return self.start <= key and (self.end is None or key < self.end)


EVERYTHING: Final = (Span(),)


def visible_spans(
    *, everything: bool, own: str | None, allowed: Iterable[str], denied: Iterable[str]
) -> tuple[Span, ...]:
    """The keys a caller may see: `everything`, or what `own` uploaded and what starts with an `allowed` prefix.

    Nothing that starts with a `denied` prefix is among them; the prefix "" is all keys. The spans are in the order of
    keys, no two share a key, whoever uploaded it, and there are no more than needed.
    """
    allowing, denying = frozenset([""] if everything else allowed), frozenset(denied)
    prefixes = {"", *allowing, *denying}
    edges = sorted(prefixes | {beyond for beyond in map(after_prefix, prefixes) if beyond is not None})
    ends = [*edges[1:], None]
    spans: list[Span] = []
    # From one edge to the next no prefix begins or ends: what holds for the first key holds for all of them.
    for start, end, shown, hidden in zip(edges, ends, _inside(allowing, edges), _inside(denying, edges), strict=True):
        if hidden or (own is None and not shown):
            continue
        uploader = None if shown else own
        if spans and spans[-1].end == start and spans[-1].uploader == uploader:
            spans[-1] = Span(spans[-1].start, end, uploader)
        else:
            spans.append(Span(start, end, uploader))
    return tuple(spans)


def _inside(prefixes: frozenset[str], edges: Iterable[str]) -> Iterator[bool]:
    """Of each edge: does it start with one of the prefixes? The edges are sorted, and the prefixes are among them."""
    outermost: str | None = None
    for edge in edges:
        if outermost is None or not edge.startswith(outermost):
            outermost = edge if edge in prefixes else None
        yield outermost is not None


def after_prefix(prefix: str) -> str | None:
    """The smallest text greater than every text that starts with `prefix`; None where there is none."""
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1]) + 1
        if point == 0xD800:  # surrogates are no characters
            point = 0xE000
        if point <= 0x10FFFF:
            return prefix[: end - 1] + chr(point)
    return None


def intersection(spans: Iterable[Span], others: Iterable[Span]) -> tuple[Span, ...]:
    """What both show; `others` are of all uploaders. Both are in the order of keys, and so is the result."""
    limits = tuple(others)
    return tuple(
        Span(max(span.start, other.start), _earlier(span.end, other.end), span.uploader)
        for span in spans
        for other in limits
        if (span.end is None or other.start < span.end) and (other.end is None or span.start < other.end)
    )


def _earlier(end: str | None, other: str | None) -> str | None:
    return other if end is None else end if other is None else min(end, other)
