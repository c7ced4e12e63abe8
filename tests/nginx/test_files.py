"""The files of deploy/nginx by themselves: what must never be switched on in them."""

import re

import pytest

from tests.support.nginx import FILES

ALL = sorted(FILES.glob("*.conf"))
ENDPOINTS = sorted(FILES.glob("s3*.conf"))


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


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_no_request_is_written_anew(file):
    """A URI in proxy_pass or a rewrite would lose a key's %2F and //; a captured rewrite has been a hole in nginx."""
    for each in directives(file.read_text()):
        assert not each.startswith("rewrite "), each
        if each.startswith("proxy_pass "):
            assert re.fullmatch(r"proxy_pass http://anbar[a-z_]*(\$[a-z_]+)?", each), each


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_no_url_is_logged_whole(file):
    for each in directives(file.read_text()):
        if each.startswith("log_format"):
            assert not re.search(r"\$(request|request_uri|args|query_string|http_referer|http_authorization)\b", each)
