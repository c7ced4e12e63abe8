"""Who attacks: the project's own admin, the admin of another project, and nobody at all."""

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller
from tests.support.gateway import Gateway


@pytest.fixture
def caller(gateway: Gateway) -> Caller:
    """The admin of the project demo."""
    return Caller.of(gateway)


@pytest.fixture
def stranger(gateway: Gateway) -> Caller:
    """The admin of the project other, to whom demo's buckets are closed."""
    return Caller.of(gateway, other=True)


@pytest.fixture
def bucket(caller: Caller) -> str:
    """A new, empty bucket of the project demo."""
    return caller.new_bucket()


@pytest.fixture(scope="session")
def guarded() -> list[str]:
    """The bucket that `untouched` guards, where there is one: it is made once, and anew after it has been changed."""
    return []


@pytest.fixture
def untouched(caller: Caller, guarded: list[str]) -> Iterator[str]:
    """A bucket with the object `victim` in it; after the test nothing in it may have changed."""
    if not guarded:
        name = caller.new_bucket()
        caller.put(name, "victim", b"the first bytes", [("x-amz-meta-mark", "one"), ("Content-Type", "text/plain")])
        guarded.append(name)
    name = guarded.pop()
    yield name
    assert caller.keys(name) == ["victim"]
    assert caller.uploads(name) == []
    found = caller.get(name, "victim")
    assert found.body == b"the first bytes"
    assert found.header("x-amz-meta-mark") == "one"
    assert found.header("content-type") == "text/plain"
    guarded.append(name)
