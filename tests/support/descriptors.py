"""Descriptors of this process whose files were removed: their room is given back when the last one is closed."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

_SOON_S = 10.0


def open_below(below: Path) -> dict[int, str]:
    """The descriptors of files below a folder, and what the kernel calls them."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{fd}")
            if target.startswith(f"{below}/"):
                found[int(fd)] = target
    return found


def open_though_removed(below: Path) -> list[str]:
    """The names that these files had."""
    names = open_below(below).values()
    return [name.removesuffix(" (deleted)") for name in names if name.endswith(" (deleted)")]


async def become_few(below: Path, count: int = 0) -> None:
    """Wait until no more than `count` are left; raises TimeoutError where that does not come soon."""
    async with asyncio.timeout(_SOON_S):
        while len(open_though_removed(below)) > count:  # noqa: ASYNC110  (turns of the loop, no time)
            await asyncio.sleep(0)
