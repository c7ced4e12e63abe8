"""A gateway that is reached through nginx with the files of deploy/nginx, and who asks it: both ways, for comparison."""

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller
from tests.support.nginx import GatewayBehindNginx


@pytest.fixture(scope="session")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayBehindNginx]:
    """Way 1, over plain HTTP."""
    with GatewayBehindNginx(tmp_path_factory.mktemp("fronted")) as running:
        yield running


@pytest.fixture
def caller(fronted: GatewayBehindNginx) -> Caller:
    """demo's admin, through nginx."""
    return Caller.of(fronted)


@pytest.fixture
def direct(fronted: GatewayBehindNginx) -> Caller:
    """The same at the gateway itself."""
    return Caller("127.0.0.1", fronted.own_port, Caller.of(fronted).signer)


@pytest.fixture
def bucket(caller: Caller) -> str:
    return caller.new_bucket()


@pytest.fixture
def untouched(caller: Caller) -> Iterator[str]:
    """A bucket with the object `victim` in it; after the test nothing in it may have changed."""
    name = caller.new_bucket()
    caller.put(name, "victim", b"the first bytes")
    yield name
    assert caller.keys(name) == ["victim"]
    assert caller.uploads(name) == []
    assert caller.get(name, "victim").body == b"the first bytes"
