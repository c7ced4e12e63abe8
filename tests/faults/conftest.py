"""A scripted S3 endpoint for the tests of a module; those that stop it, or turn its switches, have one each."""

from collections.abc import Iterator

import pytest

from tests.support.scripted_origin import ScriptedOrigin


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        yield running
