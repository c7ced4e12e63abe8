"""Traces are an extra: who does not want them needs nothing for them, and who does is told what to install."""

import subprocess
import sys

import pytest

from gateway.traces import TracesError, current, open_traces
from tests.support.gateway import Gateway, GatewayError


def test_without_the_packages_the_start_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracesError, match=r"requirements-traces\.txt"):
        open_traces()


def test_where_nobody_wants_them_nothing_is_imported():
    code = "import sys, gateway.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert current() is None


def test_a_mistaken_wish_is_told(tmp_path):
    gateway = Gateway(tmp_path, settings={"log": {"traces": "yes"}})
    with pytest.raises(GatewayError, match=r"log\.traces"):
        gateway.start()
