"""Settings that are read again: what counts at once, what waits for a new start, and that each one is said."""

import re
from pathlib import Path

import pytest

from gateway.config import Settings, parse_settings
from gateway.config.limits import Limits
from gateway.reload import reload_settings

PATH = Path("/etc/anbar/gateway.toml")
BASE = """
[server]
listen = "127.0.0.1:9000"
{server}
[store]
path = "{store}"
[secrets]
key_ring = "key_ring"
[origins.local]
kind = "directory"
path = "{origin}"
[policies]
path = "policies"
[limits]
{limits}
[nginx]
{nginx}
"""


OTHER_LIMITS = {
    "body_gap_timeout_s": 5,
    "connections_per_address": 5,
    "drain_s": 5,
    "header_timeout_s": 5,
    "idle_s": 5,
    "max_connections": 5,
    "max_object_size": 5,
    "memory_budget": 128 << 20,
    "min_upload_rate": 5,
    "quota_headers": "true",
    "requests_per_address": 5,
    "requests_per_key": 5,
    "small_body": 5,
    "upload_expiry_s": 90000,
    "write_timeout_s": 5,
}
"""Every limit, and a value that it does not have."""


def settings(
    server: str = "", limits: str = "", store: str = "anbar.sqlite", origin: str = "objects", nginx: str = ""
) -> Settings:
    text = BASE.format(server=server, limits=limits, store=store, origin=origin, nginx=nginx)
    return parse_settings(text, PATH)


def test_the_same_file_changes_nothing():
    reloaded = reload_settings(settings(), settings())
    assert reloaded.settings == settings()
    assert (reloaded.taken_up, reloaded.waiting) == ((), ())


@pytest.mark.parametrize(
    ("section", "key", "line"),
    [
        ("server", "domains", 'domains = ["s3.example.com"]'),
        ("server", "public_hosts", 'public_hosts = ["media.example.com"]'),
        ("server", "regions", 'regions = ["ir-1"]'),
        ("server", "sigv2", "sigv2 = false"),
        ("server", "trusted_proxies", 'trusted_proxies = ["10.0.0.0/8"]'),
        ("limits", "connections_per_address", "connections_per_address = 5"),
        ("limits", "max_connections", "max_connections = 5"),
        ("limits", "max_object_size", 'max_object_size = "1MiB"'),
        ("limits", "min_upload_rate", "min_upload_rate = 5"),
        ("limits", "requests_per_address", "requests_per_address = 5"),
        ("limits", "requests_per_key", "requests_per_key = 5"),
        ("limits", "header_timeout_s", "header_timeout_s = 5"),
        ("limits", "idle_s", "idle_s = 5"),
        ("limits", "body_gap_timeout_s", "body_gap_timeout_s = 5"),
        ("limits", "write_timeout_s", "write_timeout_s = 5"),
        ("limits", "quota_headers", "quota_headers = true"),
        ("nginx", "authorisation_s", "authorisation_s = 5"),
        ("nginx", "public_s", "public_s = 5"),
    ],
)
def test_what_can_change_while_serving_is_taken_up(section, key, line):
    new = settings(**{section: line})
    reloaded = reload_settings(settings(), new)
    assert reloaded.taken_up == (f"[{section}] {key}",)
    assert reloaded.waiting == ()
    assert getattr(getattr(reloaded.settings, section), key) == getattr(getattr(new, section), key)


def test_of_the_limits_only_those_wait_that_the_operations_page_names():
    page = (Path(__file__).parent.parent / "docs/operations.md").read_text(encoding="utf-8")
    [named] = re.findall(r"all `\[limits\]` but ([a-z_, ]+);", page)
    waiting = set(re.split(", | and ", named))
    for key, other in OTHER_LIMITS.items():
        reloaded = reload_settings(settings(), settings(limits=f"{key} = {other}"))
        assert (f"[limits] {key}" in reloaded.waiting) is (key in waiting), key
        assert bool(reloaded.taken_up) is (key not in waiting), key
    assert OTHER_LIMITS.keys() == Limits.model_fields.keys()


@pytest.mark.parametrize(
    ("new", "name"),
    [
        (settings(server="workers = 3"), "[server] workers"),
        (settings(server='admin_listen = "127.0.0.1:9002"'), "[server] admin_listen"),
        (settings(nginx='listen = "127.0.0.1:9002"'), "[nginx] listen"),
        (settings(store="another.sqlite"), "[store] path"),
        (settings(origin="elsewhere"), "[origins]"),
        (settings(limits="upload_expiry_s = 90000"), "[limits] upload_expiry_s"),
        (settings(limits='memory_budget = "128MiB"'), "[limits] memory_budget"),
        (settings(server='tls = { certificate = "cert.pem", key = "key.pem" }'), "[server] tls"),
    ],
)
def test_what_needs_a_new_start_is_named_and_left(new, name):
    reloaded = reload_settings(settings(), new)
    assert reloaded.waiting == (name,)
    assert reloaded.settings == settings()


def test_another_certificate_is_taken_up_where_there_was_one():
    old = settings(server='tls = { certificate = "old.pem", key = "key.pem" }')
    new = settings(server='tls = { certificate = "new.pem", key = "key.pem" }')
    assert reload_settings(old, new).settings == new


def test_both_at_once():
    new = settings(limits="idle_s = 5\nupload_expiry_s = 90000")
    reloaded = reload_settings(settings(), new)
    assert reloaded.taken_up == ("[limits] idle_s",)
    assert reloaded.waiting == ("[limits] upload_expiry_s",)
    assert reloaded.settings.limits.idle_s == 5
    assert reloaded.settings.limits.upload_expiry_s == settings().limits.upload_expiry_s
