"""Is this interpreter, with these libraries, one that may face the network?"""

import importlib
import os
import re
import sqlite3
import sys
from importlib import metadata

# Floors of security fixes: aiohttp's C parser below 3.14.3 reads past its buffer (CVE-2026-69244).
AIOHTTP_FLOOR = (3, 14, 3)
_AIOHTTP_EXTENSIONS = ("aiohttp._http_parser", "aiohttp._http_writer")


def runtime_mistakes() -> list[str]:
    """Why this process must not serve; empty where it may."""
    found = []
    if sys.flags.optimize:
        found.append("Python runs with -O (or PYTHONOPTIMIZE), which removes checks that libraries rely on")
    if not sys.flags.hash_randomization:
        found.append("PYTHONHASHSEED=0 is set: without random hashes a client can slow the process down at will")
    if os.environ.get("AIOHTTP_NO_EXTENSIONS"):
        found.append("AIOHTTP_NO_EXTENSIONS is set: the pure Python HTTP parser is not served with")
    for name in _AIOHTTP_EXTENSIONS:
        try:
            importlib.import_module(name)
        except ImportError:
            found.append(f"aiohttp has no C extension {name}: install a binary wheel")
    version = metadata.version("aiohttp")
    if version_of(version) < AIOHTTP_FLOOR:
        found.append(f"aiohttp {version} is older than {'.'.join(map(str, AIOHTTP_FLOOR))}, which has security fixes")
    return found


def version_of(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: (3, 14, 3) of "3.14.3rc1"."""
    found = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def has_wal_reset_bug(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """SQLite 3.7.0 to 3.51.2 may damage a WAL file that two processes write at once; 3.50.7 and 3.44.6 have the fix.

    https://sqlite.org/wal.html#walresetbug
    """
    if version[:2] in ((3, 50), (3, 44)):
        return version < ((3, 50, 7) if version[1] == 50 else (3, 44, 6))
    return version < (3, 51, 3)
