"""The Dockerfile: what it promises, and in a clean root (`make packages`) its steps carried out, and the result run."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import load_settings
from tests.support.dockerfile import Container, Image, build, parse_dockerfile
from tests.support.gateway import REPOSITORY

STAGES = parse_dockerfile((REPOSITORY / "Dockerfile").read_text())
FINAL = STAGES[-1]


def test_every_base_is_pinned_by_its_tag_and_slim():
    for stage in STAGES:
        assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", stage.base)


def test_the_image_runs_as_nobody_in_particular_and_says_whether_it_is_well():
    (user,) = FINAL.values("USER")
    assert user not in ("root", "0")
    assert [name for name, _ in FINAL.steps].index("USER") < [name for name, _ in FINAL.steps].index("CMD")
    (health,) = FINAL.values("HEALTHCHECK")
    assert "127.0.0.1:9001/-/ready" in health
    assert FINAL.values("STOPSIGNAL") == ["SIGTERM"]


def test_what_is_copied_is_there_and_nothing_else_is_in_the_image():
    for stage in STAGES:
        for value in stage.values("COPY"):
            *sources, _ = value.split()
            assert sources[0].startswith("--from=") or all((REPOSITORY / source).exists() for source in sources)
    assert not any("COPY . " in f"COPY {value} " for stage in STAGES for value in stage.values("COPY"))


def test_all_that_grows_is_in_a_volume():
    settings = load_settings(REPOSITORY / "deploy/container/gateway.toml")
    (volumes,) = map(json.loads, FINAL.values("VOLUME"))
    grows = [settings.store.path, settings.secrets.key_ring, *filter(None, settings.roots.values())]
    assert all(any(path.is_relative_to(volume) for volume in volumes) for path in grows)


@pytest.fixture(scope="module")
def image(clean_root: Path, network: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(STAGES, REPOSITORY, clean_root, tmp_path_factory.mktemp("image"), network)


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Iterator[Container]:
    running = Container.run(image, tmp_path)
    try:
        yield running
    finally:
        running.end()


CLIENT = """
import sys, urllib.request
put, get = sys.argv[1:]
urllib.request.urlopen(urllib.request.Request(put, b"hello", method="PUT"))
print(urllib.request.urlopen(get).read().decode())
"""


def test_a_container_serves_with_a_read_only_root_and_is_healthy(container: Container):
    assert container.execute(*container.image.health).returncode != 0, "not yet"
    container.wait_until_ready()
    health = container.execute(*container.image.health)
    assert health.returncode == 0, health.stderr
    assert container.execute("touch", "/etc/anbar/x", "/opt/anbar/x", "/x").stderr.count("Read-only file system") == 3
    assert container.execute("id", "-u").stdout == "9000\n"
    assert container.execute("anbar", "keys", "create", "--project", "demo", "--principal", "ops").returncode == 0
    urls = [
        container.execute("anbar", "presign", method, "s3://demo-media/hello").stdout.strip()
        for method in ("PUT", "GET")
    ]
    python = "/opt/anbar/bin/python"
    urls = [url.replace("0.0.0.0", "127.0.0.1") for url in urls]
    client = container.execute(python, "-c", CLIENT, *urls)
    assert client.stdout == "hello\n", (urls, client.stderr)
    backup = container.execute("anbar", "backup", "/var/lib/anbar/backup", "--media")
    assert backup.returncode == 0, backup.stderr
    container.process.send_signal(signal.SIGTERM)
    assert container.process.wait(60) == 0
    kept = {path.name for path in (container.held / "-var-lib-anbar").iterdir()}
    assert {"anbar.sqlite", "key_ring", "objects", "backup"} <= kept


def test_the_image_has_no_installer_and_nothing_that_is_written_at_run_time(image: Image):
    packages = image.root / "opt/anbar"
    assert not (packages / "bin/pip").exists()
    assert list(packages.rglob("gateway/__pycache__/app.*.pyc"))
    writable = [path for path in packages.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert writable == []
