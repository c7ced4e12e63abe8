"""What the machine says about processes: CPU time, memory, and on which core they run.

CPU time is the scheduler's own count in nanoseconds, over all threads of a process and its children.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))  # as they were before this process took one of them
SERVER_CORE = _CORES[0]
LOAD_CORE = _CORES[-1]  # where there is but one, they share it


def take_load_core() -> None:
    """Move this process, which makes the load, off the servers' core; without a second core it stays."""
    os.sched_setaffinity(0, {LOAD_CORE})


def start(command: Sequence[str | Path], *, cwd: Path, log: Path, core: int = SERVER_CORE) -> subprocess.Popen[bytes]:
    """Start a process on the servers' core or another one; what it says on standard error goes to `log`."""
    with log.open("ab") as errors:
        return subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and insist after ten seconds."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def cpu_ns(pid: int) -> int:
    """CPU time of a process tree so far, in user and kernel."""
    return sum(_process_cpu_ns(each) for each in tree(pid))


def _process_cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def peak_rss(pid: int) -> int:
    """The most memory a process had resident since `reset_peak_rss`, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} is gone")


def reset_peak_rss(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
