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


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('endpoint = "http://127.0.0.1:9000"', "origins.far.endpoint: plain http"),
        ('access_key_id = "wJalrXUtnFEMI"', "origins.far.access_key_id: credentials never stand in this file"),
        ('privder = "aws"', 'origins.far.privder: unknown key; did you mean "provider"?'),
    ],
)
def test_an_s3_origin_with_a_mistake_is_never_served(installation, more, reason):
    with (installation / "gateway.toml").open("a", encoding="utf-8") as file:
        file.write(f'[origins.far]\nkind = "s3"\n{more}\n')
    ended = serve(installation)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert reason in ended.stderr
    assert "wJalrXUtnFEMI" not in ended.stderr


def test_a_broken_policy_is_never_served(installation):
    (installation / "policies/demo.toml").write_text('project = "demo"\nopen = true\n')
    ended = serve(installation)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "line 2: open: unknown key" in ended.stderr


def test_missing_policies_are_never_served(installation):
    (installation / "policies/demo.toml").unlink()
    assert serve(installation).returncode == 1


def refused(directory: Path, **environment: str) -> str:
    """The text of a start that is refused."""
    ended = serve(directory, **environment)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize(("old", "key"), [("127.0.0.1:0", "listen"), ("off", "admin_listen")])
def test_an_address_in_use_is_told_with_its_key(installation, edit, old, key):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        edit(f'"{old}"', f'"{address}"')
        told = refused(installation)
    assert told == f"anbar: cannot listen on {address} ([server] {key}): Address already in use\n"


def test_a_host_that_is_no_host_is_told(installation, edit):
    edit("127.0.0.1:0", "a..b:9000")
    assert refused(installation) == "anbar: cannot listen on a..b:9000 ([server] listen): not a host name\n"


def test_a_certificate_that_is_not_there_is_named(certificates):
    (certificates / "key.pem").unlink()
    assert refused(certificates) == f"anbar: [server] tls: {certificates}/key.pem: No such file or directory\n"
    (certificates / "cert.pem").unlink()
    assert refused(certificates) == f"anbar: [server] tls: {certificates}/cert.pem: No such file or directory\n"


def test_certificates_are_looked_at_before_an_address_is_taken(certificates, edit):
    (certificates / "cert.pem").write_text("no certificate")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edit("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        assert "cert.pem: not a PEM certificate" in refused(certificates)


def test_an_origin_that_is_no_directory_is_named(installation):
    (installation / "var/objects").write_text("")
    assert refused(installation) == f"anbar: origin local: {installation}/var/objects: not a directory\n"


def test_an_origin_that_cannot_be_written_is_named(installation, edit):
    edit('"var/objects"', '"/proc"')  # where nobody makes a file, not even root
    assert refused(installation).startswith("anbar: origin local: cannot write in /proc: ")


def test_an_origin_that_can_be_written_keeps_nothing_of_the_trial(installation):
    assert "ERROR" not in log_of_a_start(installation)
    assert [path.name for path in (installation / "var/objects").iterdir()] == [".anbar-origin"]


def test_a_missing_key_ring_is_told_with_what_to_do(installation, anbar, tmp_path_factory):
    ring = (installation / "var/key_ring").rename(installation / "ring")
    told = f"anbar: {installation}/var/key_ring: No such file or directory; to make one, run: anbar init"
    assert refused(installation) == f"{told}\n"
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert refused(elsewhere, ANBAR_CONFIG=f"{installation}/gateway.toml") == f"{told} --dir {installation}\n"
    ring.rename(installation / "var/key_ring")
    assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    (installation / "var/key_ring").unlink()
    assert "Restore the key ring from its backup." in refused(installation)


def test_a_key_ring_that_opens_no_access_key_is_never_served_with(installation, foreign_ring):
    own, other = foreign_ring
    assert refused(installation) == (
        f"anbar: {installation}/var/key_ring has no key {own}, which sealed 3 access keys: "
        f"restore the ring that belongs to this store (it has {other})\n"
    )


def test_a_key_ring_that_lacks_one_key_is_served_with_and_logged(installation, anbar, foreign_ring):
    own, _ = foreign_ring
    assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    log = log_of_a_start(installation)
    assert log.count(f"ERROR anbar: {installation}/var/key_ring has no key {own}, which sealed 3 access keys") == 1


NEARLY_FULL = (
    "import shutil\nfound = shutil.disk_usage\nshutil.disk_usage = lambda path: found(path)._replace(free=%d)\n"
)


@pytest.mark.parametrize("free", [0, 100 << 20, 256 << 20])
def test_a_disk_with_hardly_any_room_is_served_from_and_told_in_a_line(installation, tmp_path, free):
    (tmp_path / "sitecustomize.py").write_text(NEARLY_FULL % free)
    log = log_of_a_start(installation, PYTHONPATH=f"{tmp_path}:{ROOT}")
    told = [line for line in log.splitlines() if "hardly any free space" in line]
    assert len(told) == (free < 256 << 20)
    assert all(f"WARNING anbar: hardly any free space: {free / (1 << 30):.1f} GiB at /" in line for line in told)


def log_of_a_start(directory: Path, **environment: str) -> str:
    """What a gateway writes to standard error that starts, and is stopped as soon as it is ready."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert ready.startswith("ready: "), log
    assert process.returncode == 0
    return log


def test_a_key_ring_that_others_can_read_is_never_served_with(installation):
    (installation / "var/key_ring").chmod(0o644)
    ended = serve(installation)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "chmod 600" in ended.stderr
    assert "Traceback" not in ended.stderr
