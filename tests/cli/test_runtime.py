"""The interpreter and the libraries that may face the network."""

import importlib
import subprocess
import sys
from importlib import metadata

import pytest

from gateway.cli.runtime import has_wal_reset_bug, runtime_mistakes, version_of


def test_the_tests_run_where_serving_is_allowed():
    assert runtime_mistakes() == []


def test_an_old_aiohttp_is_refused(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda _: "3.14.2")
    [mistake] = runtime_mistakes()
    assert "aiohttp 3.14.2 is older than 3.14.3" in mistake


def test_switched_off_extensions_are_refused(monkeypatch):
    monkeypatch.setenv("AIOHTTP_NO_EXTENSIONS", "1")
    [mistake] = runtime_mistakes()
    assert "AIOHTTP_NO_EXTENSIONS" in mistake


def test_missing_extensions_are_refused(monkeypatch):
    def import_module(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert len(runtime_mistakes()) == 2


def test_optimised_python_is_refused():
    program = "from gateway.cli.runtime import runtime_mistakes; print(runtime_mistakes())"
    ended = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "-O" in ended.stdout


@pytest.mark.parametrize(
    ("text", "version"), [("3.14.3", (3, 14, 3)), ("3.14.3rc1", (3, 14, 3)), ("4", (4,)), ("", ()), ("v3", ())]
)
def test_versions_are_compared_by_their_numbers(text, version):
    assert version_of(text) == version


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(version, bug):
    assert has_wal_reset_bug(version) is bug
