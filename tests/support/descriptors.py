"""Descriptors of this process whose files were removed: their room is given back when the last one is closed."""

import asyncio
import os
from pathlib import Path

_SOON_S = 10.0


def open_though_removed(below: Path) -> list[str]:
    """The names that these files had."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if target.startswith(f"{below}/") and target.endswith(" (deleted)"):
            found.append(target.removesuffix(" (deleted)"))
    return found


async def become_few(below: Path, count: int = 0) -> None:
    """Wait until no more than `count` are left; raises TimeoutError where that does not come soon."""
    async with asyncio.timeout(_SOON_S):
        while len(open_though_removed(below)) > count:  # noqa: ASYNC110  (turns of the loop, no time)
            await asyncio.sleep(0)
