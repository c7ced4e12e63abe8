"""What the kernel tells about a process from outside: memory, open files, sockets."""

import os
from pathlib import Path

MIB = 1024 * 1024


def peak_memory(pid: int) -> int:
    """The most memory the process has had resident since `forget_peak`, in bytes."""
    return _status(pid, "VmHWM")


def resident_memory(pid: int) -> int:
    """The memory of the process that is resident now, in bytes."""
    return _status(pid, "VmRSS")


def forget_peak(pid: int) -> int:
    """Start counting the peak anew (proc(5), clear_refs); what is resident now, in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_memory(pid)


def open_descriptors(pid: int) -> int:
    """How many file descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """How many threads the process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def proportional_memory(pid: int) -> int:
    """The memory of the process, where pages that others have too count as a part, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no Pss of process {pid}")


def open_paths(pid: int) -> list[str]:
    """What its descriptors point at."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {field} in the status of process {pid}")
