"""gateway/allocator.py: memory that pieces of bodies need is kept, unless the operator wants it otherwise."""

import platform
import subprocess
import sys

import pytest

from gateway.allocator import keep_freed_memory

FAULTS = """
import resource
from gateway.allocator import keep_freed_memory
assert keep_freed_memory({})
for number in range(110):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [number.to_bytes(2, "big") * (128 << 10) for _ in range(16)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_pieces_that_come_and_go_are_not_mapped_anew():
    if platform.libc_ver()[0] != "glibc":
        assert not keep_freed_memory({}), "another C library is left alone"
        return
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # of 100,000 pages


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_what_the_operator_has_chosen_stays(name):
    assert not keep_freed_memory({name: "1"})
