"""anbar serve refuses what it must not serve with; that it serves is tested by real clients."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def serve(directory: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-m", "gateway", "serve"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("options", "environment", "reason"),
    [
        (("-O",), {}, "-O"),
        ((), {"PYTHONOPTIMIZE": "2"}, "-O"),
        ((), {"AIOHTTP_NO_EXTENSIONS": "1"}, "AIOHTTP_NO_EXTENSIONS"),
        ((), {"PYTHONHASHSEED": "0"}, "PYTHONHASHSEED"),
    ],
)
def test_a_weakened_python_is_refused(installation, options, environment, reason):
    ended = serve(installation, *options, **environment)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert reason in ended.stderr


def test_a_broken_configuration_is_never_served(installation):
    (installation / "gateway.toml").write_text("[server]\n")
    ended = serve(installation)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "store: this key is required" in ended.stderr


def test_a_broken_policy_is_never_served(installation):
    (installation / "policies/demo.toml").write_text('project = "demo"\nopen = true\n')
    ended = serve(installation)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "line 2: open: unknown key" in ended.stderr


def test_missing_policies_are_never_served(installation):
    (installation / "policies/demo.toml").unlink()
    assert serve(installation).returncode == 1


def test_an_address_in_use_is_told(installation):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = installation / "gateway.toml"
        config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        ended = serve(installation)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_key_ring_that_others_can_read_is_never_served_with(installation):
    (installation / "var/key_ring").chmod(0o644)
    ended = serve(installation)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "chmod 600" in ended.stderr
    assert "Traceback" not in ended.stderr
