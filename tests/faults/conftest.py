"""What tests of faults share: a scripted S3 endpoint for a module (those that stop it, or turn its switches, have one
each), and connections that are closed at the end."""

from collections.abc import Iterator

import pytest

from tests.support.raw_http import Connection
from tests.support.scripted_origin import ScriptedOrigin


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        yield running


@pytest.fixture
def crowd() -> Iterator[list[Connection]]:
    """Connections that are closed at the end, however it comes."""
    opened: list[Connection] = []
    yield opened
    for connection in opened:
        connection.close()
