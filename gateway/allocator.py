"""How the C library keeps memory that was freed; glibc only, elsewhere nothing is done.

Bodies pass in pieces of up to 256 KiB, each of which lives for a moment. When a few of them have been freed, glibc
gives the end of its heap back to the system (with pieces of this size all but 512 KiB), and the next ones are mapped
and zeroed anew, page by page. That was the largest single cost of a body: without it a GET from an S3 endpoint costs
21 % less at 1 MiB and 36 % less at 64 MiB, a PUT 7 %, with the same peak of memory.
https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

import ctypes
import os
from collections.abc import Mapping

_TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD
_KEPT = 12 << 20  # bytes at the end of the heap that may be free
_LARGEST_IN_HEAP = 4 << 20  # larger ones are mapped, and given back when they are freed
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory(environ: Mapping[str, str] = os.environ) -> bool:
    """Let the process keep what its pieces need; gives whether that was done. What the operator has chosen stays."""
    if any(name in environ for name in _CHOSEN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP))
