"""Fixtures of all tests: a running gateway over plain HTTP, one over TLS, and a fresh bucket.

They live for a session of pytest; under pytest-xdist each worker has its own.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.clients import fresh_bucket_name, s3_client
from tests.support.gateway import Gateway

# What an example costs on a busy machine is not what tests are about; where every change must pass, the examples are
# the same each time.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """Clients see no settings, credentials or proxies of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway over plain HTTP."""
    with Gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="session")
def tls_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway over HTTPS; clients trust its `ca_file`."""
    with Gateway(tmp_path_factory.mktemp("tls_gateway"), tls=True) as running:
        yield running


@pytest.fixture(scope="session", params=["gateway", "tls_gateway"], ids=["http", "https"])
def any_gateway(request: pytest.FixtureRequest) -> Gateway:
    """Both, one after the other: a test that asks for it runs twice."""
    running: Gateway = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="session")
def bucket_makers() -> Iterator[Callable[[Gateway], Any]]:
    """One boto3 client for each gateway of the session, for making buckets."""
    made: dict[Gateway, Any] = {}

    def maker(running: Gateway) -> Any:
        if running not in made:
            made[running] = s3_client(running)
        return made[running]

    yield maker
    for client in made.values():
        client.close()


@pytest.fixture
def bucket(request: pytest.FixtureRequest, bucket_makers: Callable[[Gateway], Any]) -> str:
    """The name of a new, empty bucket of the project demo, at the gateway that the test asks for."""
    asked = ("any_gateway", "tls_gateway")
    name = next((name for name in asked if name in request.fixturenames), "gateway")
    made = fresh_bucket_name()
    bucket_makers(request.getfixturevalue(name)).create_bucket(Bucket=made)
    return made
