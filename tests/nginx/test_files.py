"""The files of deploy/nginx by themselves: what must never be switched on in them."""

import re

import pytest

from gateway.web.ask import CARRIED, KEYED
from tests.support.nginx import FILES

ALL = sorted(FILES.glob("*.conf"))
ENDPOINTS = sorted(FILES.glob("s3*.conf"))
CACHING = ("http-media.conf", "media.conf", "private-media.conf")
UNTOUCHED = r"\$request_uri|/\$anbar_project-\$anbar_media_path"


def directives(text: str) -> list[str]:
    """Its directives, without comments."""
    bare = re.sub(r"(?m)^\s*#.*$|\s#.*$", "", text)
    return [" ".join(each.split()) for each in re.split(r"[;{}]", bare) if each.strip()]


def caches(file_text: str) -> list[str]:
    """What would keep an answer for the next client."""
    found = [each for each in directives(file_text) if re.match(r"(proxy_cache|proxy_store|slice)", each)]
    return [each for each in found if each not in ("proxy_cache off", "proxy_store off")]


@pytest.mark.parametrize("file", ENDPOINTS, ids=lambda file: file.name)
def test_i22_nothing_is_cached_at_the_s3_endpoint(file):
    assert caches(file.read_text()) == []
    assert "proxy_cache off" in directives(file.read_text())


@pytest.mark.parametrize(
    "line", ["proxy_cache anbar;", "proxy_cache $zone;", "  proxy_cache_valid 200 1m;", "proxy_store on;"]
)
def test_i22_the_check_sees_a_cache(line):
    assert caches(f"location / {{ proxy_pass http://anbar; {line} }}")
    assert not caches(f"# {line}\nproxy_cache off;")


@pytest.mark.parametrize("file", [each for each in ALL if each.name not in CACHING], ids=lambda file: file.name)
def test_i22_only_the_files_for_media_cache(file):
    assert caches(file.read_text()) == []


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_i22_only_the_gateway_says_how_long_something_is_kept(file):
    found = directives(file.read_text())
    assert not [each for each in found if each.startswith("proxy_cache_valid")]
    zones = [each for each in found if re.fullmatch(r"proxy_cache anbar_\w+", each)]
    ignored = "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Redirect"
    assert len(zones) == len([each for each in found if each.startswith(ignored)])


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_only_one_location_obeys_an_x_accel_redirect(file):
    passed = [each for each in directives(file.read_text()) if each.startswith("proxy_pass ")]
    ignoring = [
        each for each in directives(file.read_text()) if re.match("proxy_ignore_headers.* X-Accel-Redirect", each)
    ]
    assert len(passed) - len(ignoring) == (1 if file.name == "s3-offload.conf" else 0)


def test_the_authorisation_is_kept_under_every_signed_header_that_the_gateway_counts_on():
    [key] = [
        each for each in directives((FILES / "private-media.conf").read_text()) if each.startswith("proxy_cache_key")
    ]
    for name in KEYED - {"host"}:
        assert f"$http_{name.replace('-', '_')}" in key.split(), name
    for part in ("$request_method", "$scheme", "$http_host", "$request_uri", "$http_authorization"):
        assert part in key.replace('"', "").split(), part


@pytest.mark.parametrize("name", ["s3-offload.conf", "private-media.conf"])
def test_nginx_carries_the_headers_that_the_gateway_counts_on(name):
    text = (FILES / name).read_text()
    added = {each.split()[1].lower() for each in directives(text) if each.startswith("add_header ")}
    ours = {"accept-ranges", "content-range"}  # nginx makes them itself
    kept = {"cache-control", "content-disposition", "content-type", "expires"} if name == "s3-offload.conf" else set()
    assert added >= CARRIED - ours - kept


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_no_request_is_written_anew(file):
    """A URI in proxy_pass or a rewrite would lose a key's %2F and //; a captured rewrite has been a hole in nginx."""
    for each in directives(file.read_text()):
        assert not each.startswith("rewrite "), each
        if each.startswith("proxy_pass "):
            assert re.fullmatch(rf"proxy_pass http://anbar(_nginx)?({UNTOUCHED})?", each), each


@pytest.mark.parametrize("name", ["s3-offload.conf", "private-media.conf"])
def test_no_client_is_led_to_a_place_that_is_nginxs_own(name):
    places = re.findall(r"^location (\S+ )?/-/\S+ \{\n    (.*)$", (FILES / name).read_text(), re.MULTILINE)
    assert [first for _, first in places] == ["internal;"]


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_no_request_is_sent_twice_or_written_to_disk_wherever_it_is_passed_on(file):
    said = directives(file.read_text())
    passed = [each for each in said if each.startswith("proxy_pass ")]
    assert said.count("include anbar/pass.conf") == len(passed)
    if file.name == "pass.conf":
        once = {"proxy_next_upstream off", "proxy_request_buffering off", "proxy_max_temp_file_size 0"}
        assert once <= set(said)


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_no_url_is_logged_whole(file):
    for each in directives(file.read_text()):
        if each.startswith("log_format"):
            assert not re.search(r"\$(request|request_uri|args|query_string|http_referer|http_authorization)\b", each)
