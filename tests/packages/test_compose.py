"""deploy/compose: hardened services, no secret in it, mounts that are there, and files that nginx and the gateway read."""

import json
import re
import shutil
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.app import LAST_S
from gateway.config import load_settings
from gateway.workers import CUT_OFF_S
from tests.support.dockerfile import parse_dockerfile
from tests.support.gateway import REPOSITORY
from tests.support.nginx import program
from tests.support.programs import run, succeed

FOLDER = REPOSITORY / "deploy/compose"
NGINX = REPOSITORY / "deploy/nginx"
FINAL = parse_dockerfile((REPOSITORY / "Dockerfile").read_text())[-1]
READ_FROM = "/etc/anbar"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OF_SERVICES = {
    "build", "cap_drop", "command", "depends_on", "environment", "expose", "image", "logging", "networks", "ports",
    "read_only", "restart", "secrets", "security_opt", "stop_grace_period", "tmpfs", "ulimits", "volumes",
}  # fmt: skip
"""What the Compose specification calls them, of what is used here: a word that it does not know is an error there."""
each_service = pytest.mark.parametrize("name", SERVICES)


def test_its_parts_are_those_of_the_specification():
    assert {key for key in COMPOSE if not key.startswith("x-")} == {
        "name",
        "services",
        "networks",
        "volumes",
        "secrets",
    }
    assert set(SERVICES) == {"gateway", "nginx", "prometheus", "grafana"}


def test_it_fits_the_schema_of_the_specification():
    succeed(run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml"))


@each_service
def test_a_service_is_hardened(name):
    service = SERVICES[name]
    assert set(service) <= OF_SERVICES, "nothing is privileged, shares the host's namespaces or runs as root by order"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"


@each_service
def test_an_image_is_pinned_by_a_tag_that_says_a_version(name):
    image = SERVICES[name]["image"]
    assert "build" in SERVICES[name] or re.search(r":v?\d+\.\d+(\.\d+)?$", image)


@each_service
def test_mounts_are_there_and_those_of_files_are_read_only(name):
    for mount in SERVICES[name]["volumes"]:
        assert set(mount) <= {"type", "source", "target", "read_only"}
        if mount["type"] == "volume":
            assert mount["source"] in COMPOSE["volumes"]
            continue
        assert mount["read_only"] is True
        source = (FOLDER / mount["source"]).resolve()
        assert source.is_relative_to(REPOSITORY)
        assert source.exists(), f"{source} is missing"


@each_service
def test_networks_and_secrets_are_declared(name):
    assert set(SERVICES[name]["networks"]) <= set(COMPOSE["networks"])
    assert set(SERVICES[name].get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(SERVICES[name].get("depends_on", ())) <= set(SERVICES)


def test_prometheus_asks_the_gateway_and_knows_the_alerts():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    admin = load_settings(FOLDER / "gateway.toml").server.admin_listen
    assert admin is not None
    assert job["static_configs"] == [{"targets": [f"gateway:{admin.port}"]}]
    assert job["metrics_path"] == "/-/metrics"
    mounted = {mount["target"] for mount in SERVICES["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{file}" for file in config["rule_files"]} <= mounted


def test_grafana_finds_prometheus_and_the_dashboard():
    provisioning = REPOSITORY / "deploy/grafana/provisioning"
    assert SERVICES["grafana"]["environment"]["GF_PATHS_PROVISIONING"] == "/etc/grafana/anbar/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((provisioning / "dashboards/anbar.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/anbar"


def test_no_secret_is_in_the_file():
    for secret in COMPOSE["secrets"].values():
        assert set(secret) == {"file"}
        ignored = subprocess.run(["git", "check-ignore", "-q", FOLDER / secret["file"]], cwd=REPOSITORY, check=False)
        assert ignored.returncode in (0, 128), "and it is not committed by mistake"
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|TOKEN|KEY", variable) or value.startswith("/run/secrets/")


def test_only_nginx_is_public_and_the_metrics_are_in_a_network_without_a_way_out():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"nginx", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])
    assert COMPOSE["networks"]["watch"] == {"internal": True}
    assert "watch" not in SERVICES["nginx"]["networks"]


def test_the_gateway_is_asked_to_end_for_longer_than_it_drains():
    settings = load_settings(FOLDER / "gateway.toml")
    assert (
        int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
        > settings.limits.drain_s + CUT_OFF_S + 2 * LAST_S
    )


def test_the_gateways_settings_fit_the_services():
    settings = load_settings(FOLDER / "gateway.toml")
    subnet = COMPOSE["networks"]["front"]["ipam"]["config"][0]["subnet"]
    assert settings.server.trusted_proxies == (ip_network(subnet),)
    assert settings.server.admin_listen is not None
    ports = [str(settings.server.listen.port), str(settings.server.admin_listen.port)]
    assert SERVICES["gateway"]["expose"] == ports
    volumes = [mount["target"] for mount in SERVICES["gateway"]["volumes"] if mount["type"] == "volume"]
    grows = [settings.store.path, settings.secrets.key_ring, *filter(None, settings.roots.values())]
    assert all(any(path.is_relative_to(volume) for volume in volumes) for path in grows)


OF_A_MACHINE = {
    "server 127.0.0.1:9000;",
    "access_log /var/log/nginx/anbar.log anbar;",
    "error_log /var/log/nginx/anbar-error.log emerg;",
    "include anbar/server.conf;",
}


def directives(path: Path) -> set[str]:
    """Its lines without comments and indentation."""
    lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}


def test_nginx_passes_requests_on_as_everywhere():
    said = directives(FOLDER / "nginx/default.conf")
    for name in ("http.conf", "server.conf", "s3.conf"):
        assert directives(NGINX / name) - OF_A_MACHINE <= said, name
    logs = {"access_log /dev/stdout anbar;", "error_log /dev/stderr emerg;"}
    assert logs <= said, "as little of a query as on a machine"
    own = {"server gateway:9000;", "server {", "listen 8080;", "server_name _;"} | logs
    assert said - own <= set().union(*(directives(NGINX / name) for name in ("http.conf", "server.conf", "s3.conf")))


def test_ports_are_those_of_the_services_and_of_the_page():
    gateway, page = SERVICES["gateway"], (FOLDER / "README.md").read_text()
    assert "listen 8080;" in directives(FOLDER / "nginx/default.conf")
    assert SERVICES["nginx"]["ports"] == ["${HTTP_PORT:-8080}:8080"]
    assert f"server gateway:{gateway['expose'][0]};" in directives(FOLDER / "nginx/default.conf")
    assert f"http://127.0.0.1:{gateway['expose'][1]}/-/ready" in (REPOSITORY / "Dockerfile").read_text(), "its health"
    variables = re.findall(r"\$\{(\w+):-(\d+)\}", (FOLDER / "compose.yaml").read_text())
    assert dict(variables) == {"HTTP_PORT": "8080", "GRAFANA_PORT": "3000"}
    for variable, port in variables:
        assert f"`{variable}`" in page
        assert f":{port}`" in page


def test_the_gateway_reads_what_is_mounted():
    (environment,) = (value for value in FINAL.values("ENV") if "ANBAR_CONFIG=" in value)
    mounted = {mount["target"] for mount in SERVICES["gateway"]["volumes"]}
    assert f"ANBAR_CONFIG={READ_FROM}/gateway.toml" in environment.split()
    assert {f"{READ_FROM}/gateway.toml", f"{READ_FROM}/policies"} <= mounted
    (volumes,) = map(json.loads, FINAL.values("VOLUME"))
    assert set(volumes) <= mounted, "no volume without a name is made"


def test_nginx_takes_its_configuration(tmp_path: Path):
    shutil.copytree(NGINX, tmp_path / "anbar")
    text = (FOLDER / "nginx/default.conf").read_text().replace("gateway:9000", "127.0.0.1:9000")
    (tmp_path / "default.conf").write_text(text)
    whole = (
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; include {tmp_path}/default.conf; }}"
    )
    (tmp_path / "nginx.conf").write_text(whole)
    done = subprocess.run(
        [program(), "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
