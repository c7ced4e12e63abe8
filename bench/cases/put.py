"""PUTs of 64 KiB with the hash of their bytes, less what the disk costs any program."""

import struct
import subprocess
import sys
from pathlib import Path

from bench import load
from bench.environment import Environment
from bench.report import Sample, Target
from bench.servers import BUCKET, REPOSITORY, Gateway
from bench.signing import Signer

_SIZE = 64 << 10
_KEYS = 2000
_REFERENCE_OBJECTS = 500


class Put:
    """PUT of new objects. `bench.disk` makes the same files in the same round; its CPU time is taken off.

    In memory (a file system that syncs for nothing) the difference is what the gateway itself costs. On the disk, the
    kernel's share of every fsync is larger than that, and as unsteady as the disk.
    """

    target = Target(400.0, "CPU µs")

    def __init__(self, name: str, *, in_memory: bool) -> None:
        self.name = name
        self._in_memory = in_memory
        self._round = 0

    def measure(self, environment: Environment, /) -> Sample:
        gateway = environment.in_memory if self._in_memory else environment.gateway
        commits_before = _commits(gateway)
        done = load.run(gateway.address, self._requests(gateway), pid=gateway.pid, seconds=environment.seconds)
        commits = (_commits(gateway) - commits_before) / done.requests
        disk_us = _disk_us(environment, gateway, commits)
        return Sample(
            done.cpu_us - disk_us,
            {
                "gateway CPU µs": done.cpu_us,
                "disk CPU µs": disk_us,
                "commits / request": commits,
                "req/s": done.requests / done.seconds,
                "median ms": done.median_ms,
            },
        )

    def _requests(self, gateway: Gateway) -> list[bytes]:
        self._round += 1
        body = self._round.to_bytes(4, "big") * (_SIZE // 4)
        signer = Signer(gateway.address, gateway.key)
        return [signer.signed("PUT", f"/{BUCKET}/put/{self._round}/{number}", body) for number in range(_KEYS)]


def _commits(gateway: Gateway) -> int:
    """The store's count of its commits: the second number of its lock file."""
    lock = gateway.store.with_name(gateway.store.name + "-lock").read_bytes()
    count: int = struct.unpack_from("<QQ", lock)[1]
    return count


def _disk_us(environment: Environment, gateway: Gateway, commits: float) -> float:
    """CPU µs of writing one object's files durably, in a process of its own on the servers' core."""
    folder = gateway.objects.parent / "disk"
    arguments = [str(_REFERENCE_OBJECTS), str(_SIZE), str(commits)]
    command: list[str | Path] = [sys.executable, "-m", "bench.disk", folder, *arguments]
    done = subprocess.run(
        environment.on_server_core(command), cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return float(done.stdout)
