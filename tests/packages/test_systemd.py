"""The systemd units: what systemd says of them, and that the gateway lives with what they forbid."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.app import LAST_S
from gateway.config import load_settings
from gateway.workers import CUT_OFF_S
from tests.support.caller import Caller
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.programs import program

UNITS = REPOSITORY / "deploy/systemd"
DEBIAN = REPOSITORY / "deploy/debian"
MOST_EXPOSED = 16
"""Tenths of systemd's points from 0 to 10; 10 and more below it calls OK."""

FORBID = "from tests.support.write_execute import forbid\nforbid()\n"


def keys(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", unit.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def analyze() -> str:
    return program("systemd-analyze")


@pytest.mark.parametrize("name", ["anbar.service", "anbar@.service"])
def test_systemd_finds_no_mistake(analyze, tmp_path, name):
    text = (UNITS / name).read_text().replace("/opt/anbar/bin/anbar", "/bin/true")
    unit = tmp_path / name.replace("@", "@photos")
    unit.write_text(text)
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["anbar.service", "anbar@.service"])
def test_systemd_finds_little_that_the_service_could_do_to_the_machine(analyze, tmp_path, name):
    unit = tmp_path / name.replace("@", "@photos")
    shutil.copy(UNITS / name, unit)
    done = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_template_is_the_unit_in_directories_of_its_own():
    one, several = keys(UNITS / "anbar.service"), keys(UNITS / "anbar@.service")
    told_apart = {"Description", "ExecStartPre", "ExecStart", "StateDirectory", "CacheDirectory", "LogsDirectory"}
    assert {name for name in one.keys() | several.keys() if one.get(name) != several.get(name)} == told_apart
    for name in told_apart - {"Description"}:
        assert [value.replace("anbar/%i", "anbar") for value in several[name]] == one[name]


def test_all_that_grows_is_where_the_unit_lets_it_write():
    unit, settings = keys(UNITS / "anbar.service"), load_settings(DEBIAN / "gateway.toml")
    (state,) = unit["StateDirectory"]
    for path in (settings.store.path, settings.secrets.key_ring, *filter(None, settings.roots.values())):
        assert path.is_relative_to(f"/var/lib/{state}")
    assert unit["ProtectSystem"] == ["strict"]


def test_requests_may_end_before_systemd_loses_patience():
    (patience,) = keys(UNITS / "anbar.service")["TimeoutStopSec"]
    assert int(patience) > load_settings(DEBIAN / "gateway.toml").limits.drain_s + CUT_OFF_S + 2 * LAST_S


def test_the_gateway_needs_no_memory_that_is_written_and_run(tmp_path):
    """MemoryDenyWriteExecute=yes, by systemd's own means."""
    assert keys(UNITS / "anbar.service")["MemoryDenyWriteExecute"] == ["yes"]
    (tmp_path / "sitecustomize.py").write_text(FORBID)
    environment = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    with Gateway(tmp_path / "gateway", tls=False, environment=environment) as gateway:
        caller = Caller.of(gateway)
        for size in (10, 300_000, 9_000_000):
            caller.put("demo-media", f"k{size}", b"x" * size)
            assert caller.get("demo-media", f"k{size}").body == b"x" * size
        gateway.command("doctor")
        assert "sitecustomize" not in gateway.stderr()


def test_the_kernels_refusal_is_in_force_in_such_a_process():
    """What the test above rests on."""
    attempt = "import mmap\nmmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
    assert subprocess.run([sys.executable, "-c", attempt], check=False).returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", FORBID + attempt], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert "PermissionError" in done.stderr
