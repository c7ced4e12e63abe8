"""Documents that are parsed beside the loop, so that others are answered meanwhile."""

from collections.abc import Callable
from typing import Final, TypeVar

from gateway.threads import Threads

T = TypeVar("T")

AT_ONCE: Final = 64 << 10
"""Bytes that are parsed in the loop: they take some milliseconds, and every ordinary document is smaller."""


async def parsed(threads: Threads, parse: Callable[[bytes], T], body: bytes) -> T:
    """What `parse` makes of a document; raises what it raises."""
    if len(body) <= AT_ONCE:
        return parse(body)
    return await threads.run(parse, body)
