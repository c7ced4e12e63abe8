"""Dropping what is kept, from beside the workers: blocking calls, for a command.

The generation is begun anew before and after. Before: what is being fetched is not kept any more, and memory is empty.
After: a worker may have read a block from disk just before it went.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.cache.block_file import Damaged
from gateway.cache.blocks import FOLDERS, Blocks
from gateway.cache.board import Board

Selector = Callable[[str, str], bool]
"""Is an object, by its bucket and key, one whose blocks are to go?"""


@dataclass(frozen=True, slots=True)
class Purged:
    """Blocks that were removed from the disk, and the bytes that they took."""

    blocks: int = 0
    bytes: int = 0


def purge(board: Board, path: Path | None, wanted: Selector | None) -> Purged:
    """Drop what is wanted so (None: everything), in memory and below `path`; raises OSError.

    Memory cannot tell what it holds: it is emptied, whatever is wanted.
    """
    board.begin_generation()
    try:
        return _purge_disk(path, wanted) if path is not None and _is_cache(path) else Purged()
    finally:
        board.begin_generation()


def disk_usage(path: Path) -> int:
    """Bytes that lie below the directory of a cache, as its workers count them; 0 where there is none yet."""
    if not _is_cache(path):
        return 0
    blocks = Blocks(path, 0)
    try:
        blocks.prepare()
        return blocks.used()
    finally:
        blocks.close()


def _purge_disk(path: Path, wanted: Selector | None) -> Purged:
    blocks = Blocks(path, 0)
    count = size = 0
    try:
        blocks.prepare()
        for folder in FOLDERS:
            for name, charge in blocks.survey(folder):
                if (wanted is None or _is_wanted(blocks, name, wanted)) and blocks.remove(name):
                    count += 1
                    size += charge
        blocks.recount()
    finally:
        blocks.close()
    return Purged(count, size)


def _is_wanted(blocks: Blocks, name: bytes, wanted: Selector) -> bool:
    """What cannot say whose it is is dropped as well."""
    try:
        return wanted(*blocks.label(name))
    except FileNotFoundError:
        return False
    except (Damaged, OSError):
        return True


def _is_cache(path: Path) -> bool:
    return (path / "key").exists()
