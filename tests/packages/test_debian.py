"""deploy/debian/install: the layout below a DESTDIR, and in a clean root (`make packages`) a gateway installed by it."""

import json
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from gateway.config import load_settings
from gateway.policy.documents import parse_policies
from tests.support.caller import Caller
from tests.support.dockerfile import Container, Image, copy_root, run_step
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.raw_http import eventually

INSTALL = REPOSITORY / "deploy/debian/install"
CONFIG = "/etc/anbar/gateway.toml"
GROWS = ["/var/lib/anbar", "/var/cache/anbar", "/var/log/anbar"]


def install(destdir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INSTALL, *options], env={**os.environ, "DESTDIR": str(destdir)}, capture_output=True, text=True, check=False
    )


def modes(root: Path) -> dict[str, str]:
    return {f"/{path.relative_to(root)}": f"{stat.S_IMODE(path.stat().st_mode):04o}" for path in root.rglob("*")}


def of_instance(name: str) -> dict[str, str]:
    below = f"anbar{name}"
    return {
        f"/etc/{below}": "0750",
        f"/etc/{below}/gateway.toml": "0640",
        f"/etc/{below}/policies": "0750",
        f"/etc/{below}/policies/demo.toml": "0640",
        f"/etc/{below}/policies/policy.schema.json": "0644",
        f"/var/lib/{below}": "0700",
        f"/var/cache/{below}": "0700",
        f"/var/log/{below}": "0750",
    }


SHARED = {
    "/etc": "0755", "/etc/systemd": "0755", "/etc/systemd/system": "0755", "/etc/logrotate.d": "0755",
    "/etc/systemd/system/anbar.service": "0644", "/etc/systemd/system/anbar@.service": "0644",
    "/etc/logrotate.d/anbar": "0644", "/var": "0755", "/var/lib": "0755", "/var/cache": "0755", "/var/log": "0755",
}  # fmt: skip


def test_the_layout_is_debians_and_secrets_are_nobody_elses(tmp_path):
    assert install(tmp_path).returncode == 0
    assert modes(tmp_path) == SHARED | of_instance("")


def test_an_instance_has_directories_of_its_own(tmp_path):
    assert install(tmp_path).returncode == 0
    assert install(tmp_path, "--instance", "photos").returncode == 0
    assert modes(tmp_path) == SHARED | of_instance("") | of_instance("/photos")
    settings = load_settings(tmp_path / "etc/anbar/photos/gateway.toml")
    paths = (settings.store.path, settings.secrets.key_ring, *filter(None, settings.roots.values()))
    assert all(path.is_relative_to("/var/lib/anbar/photos") for path in paths)


@pytest.mark.parametrize("options", [["--instance"], ["--instance", "policies"], ["--instance", "../x"], ["--help"]])
def test_a_wrong_use_changes_nothing(tmp_path, options):
    done = install(tmp_path, *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_what_the_admin_has_is_never_changed(tmp_path):
    install(tmp_path)
    config, policies = tmp_path / "etc/anbar/gateway.toml", tmp_path / "etc/anbar/policies"
    config.write_text("# mine")
    (policies / "demo.toml").rename(policies / "mine.toml")
    (tmp_path / "etc/systemd/system/anbar.service").write_text("old")
    assert install(tmp_path).stdout == f"kept  {config}\n"
    assert config.read_text() == "# mine"
    assert not (policies / "demo.toml").exists()
    assert "ExecStart" in (tmp_path / "etc/systemd/system/anbar.service").read_text(), "units are upgraded"


def test_what_is_installed_can_be_read_by_the_gateway_and_listens_on_loopback_only(tmp_path):
    install(tmp_path)
    settings = load_settings(tmp_path / "etc/anbar/gateway.toml")
    assert settings.server.listen.host == "127.0.0.1"
    policies = settings.policies.path
    assert policies == tmp_path / "etc/anbar/policies"
    parse_policies({file: file.read_text() for file in policies.glob("*.toml")}, settings.origins)


def test_logrotate_takes_its_file_and_the_gateway_goes_on_in_a_new_log(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "access.log"
    with Gateway(tmp_path / "gateway", settings={"log": {"access": str(log)}}) as gateway:
        caller = Caller.of(gateway)
        caller.put("demo-media", "before", b"x")
        assert eventually(lambda: "before" in log.read_text())
        text = (REPOSITORY / "deploy/debian/logrotate").read_text().replace("    su anbar anbar\n", "")
        reload = next(line for line in text.splitlines() if "systemctl reload" in line)
        text = text.replace(reload, f"kill -HUP {gateway.pid}").replace("/var/log/anbar", str(logs))
        (tmp_path / "rotate.conf").write_text(text)
        (tmp_path / "rotate.conf").chmod(0o644)
        logrotate = shutil.which("logrotate", path="/usr/sbin:/usr/bin") or "logrotate"
        done = subprocess.run(
            [logrotate, "--force", "--state", tmp_path / "state", tmp_path / "rotate.conf"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert eventually(log.exists)
        caller.put("demo-media", "after", b"x")
        assert eventually(lambda: "after" in log.read_text())
        assert "before" in (logs / "access.log.1").read_text()
        assert "before" not in log.read_text()


@pytest.fixture(scope="module")
def machine(clean_root: Path, network: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A Debian on which the script was run, as deploy/README.md says."""
    image = Image(tmp_path_factory.mktemp("machine") / "root", directory="/src", user="anbar", volumes=GROWS)
    copy_root(clean_root, image.root)
    for name in ("gateway", "policies", "deploy", "requirements.txt", "pyproject.toml", "README.md", "LICENSE"):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (image.root / "src").mkdir(exist_ok=True)
        copy(source, image.root / "src" / name)
    run_step(image, "deploy/debian/install && deploy/debian/install --instance photos", network)
    image.command = ["/opt/anbar/bin/anbar", "serve", "--config", CONFIG]
    return image


def test_an_installed_gateway_serves_with_nothing_else_writable(machine, tmp_path):
    container = Container.run(machine, tmp_path)
    try:
        container.wait_until_ready()
        anbar = "/opt/anbar/bin/anbar"
        made = container.execute(
            anbar, "keys", "create", "--project", "demo", "--principal", "ops", "--json", "--config", CONFIG
        )
        assert set(json.loads(made.stdout)) == {"access_key_id", "secret_access_key"}, made.stderr
        backup = container.execute(anbar, "backup", "/var/lib/anbar/today", "--media", "--config", CONFIG)
        assert backup.returncode == 0, backup.stderr
        refused = container.execute("/usr/bin/touch", CONFIG, "/etc/anbar/policies/x.toml", "/opt/anbar/x")
        assert refused.returncode != 0
        container.process.send_signal(signal.SIGTERM)
        assert container.process.wait(60) == 0
    finally:
        container.end()


def test_the_directories_have_their_owners(machine):
    users = {
        line.split(":")[0]: int(line.split(":")[2]) for line in (machine.root / "etc/passwd").read_text().splitlines()
    }
    for name in ("", "/photos"):
        for place in ("lib", "cache", "log"):
            assert (machine.root / f"var/{place}/anbar{name}").stat().st_uid == users["anbar"]
        ring = machine.root / f"var/lib/anbar{name}/key_ring"
        assert (ring.stat().st_uid, ring.stat().st_mode & 0o777) == (users["anbar"], 0o600)
        assert (machine.root / f"etc/anbar{name}/gateway.toml").stat().st_uid == 0


def test_a_second_run_upgrades_and_keeps_what_is_there(machine, network):
    ring = (machine.root / "var/lib/anbar/key_ring").read_bytes()
    config = machine.root / "etc/anbar/gateway.toml"
    text = config.read_text() + "\n[limits]\ndrain_s = 20\n"
    config.write_text(text)
    (machine.root / "opt/anbar/bin/anbar").unlink()
    run_step(machine, "deploy/debian/install", network)
    assert config.read_text() == text
    assert (machine.root / "var/lib/anbar/key_ring").read_bytes() == ring
    assert (machine.root / "opt/anbar/bin/anbar").exists()


def test_a_backup_is_restored_by_the_gateways_user_who_may_not_write_in_etc(machine, network):
    anbar = "runuser -u anbar -- /opt/anbar/bin/anbar"
    where = f"--config {CONFIG}"
    steps = (
        f"{anbar} keys create --project demo --principal ops {where}",
        f"{anbar} backup /var/lib/anbar/before {where}",
        "rm /var/lib/anbar/anbar.sqlite /var/lib/anbar/key_ring",
        f"{anbar} restore /var/lib/anbar/before {where}",
        f"{anbar} doctor {where}",
        f"{anbar} keys list {where} | grep -q ops",
    )
    run_step(machine, " && ".join(steps), network)


def test_logrotate_of_debian_takes_the_file_as_it_is(machine, network):
    run_step(machine, "/usr/sbin/logrotate --debug /etc/logrotate.d/anbar", network)
