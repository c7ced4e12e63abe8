"""Command line clients as a user runs them: programs of the test environment or of the machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.gateway import Gateway

TIMEOUT_S = 90


def program(name: str) -> str:
    """The path of a program: beside the running Python first, then on the PATH. Raises FileNotFoundError."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: `make test` installs what the tests need")
    return found


def run(
    name: str,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Run a client program to its end; what it said is in the answer, whatever its exit code."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "RCLONE_"))}
    return subprocess.run(
        [program(name), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=directory,
        env=inherited | dict(environment or {}),
        timeout=TIMEOUT_S,
        check=False,
    )


def succeed(done: subprocess.CompletedProcess[bytes]) -> str:
    """The standard output of a program that must have ended well; what it said is shown when it did not."""
    said = f"{done.args}: exit code {done.returncode}\n{done.stdout.decode(errors='replace')}"
    assert done.returncode == 0, f"{said}\n{done.stderr.decode(errors='replace')}"
    return done.stdout.decode()


def aws_environment(gateway: Gateway, *, home: Path, region: str = "us-east-1") -> dict[str, str]:
    """The environment that AWS's own and many other clients read; `home` keeps their files apart."""
    environment = {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": gateway.access_key_id,
        "AWS_SECRET_ACCESS_KEY": gateway.secret_access_key,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ENDPOINT_URL": gateway.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if gateway.ca_file:
        environment |= {"AWS_CA_BUNDLE": str(gateway.ca_file), "SSL_CERT_FILE": str(gateway.ca_file)}
    return environment
