"""Fixtures of the real clients: gateways over a directory and over S3 endpoints, and the project that has all the roles.

Every test of this folder runs over a directory, over a second Anbar, an S3 endpoint that verifies signatures, and once
over a directory behind a real nginx; those that look closest at what S3 promises run over SeaweedFS and moto too.
ANBAR_WIRE_ORIGINS=all runs all of them over all.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from typing import Any

import pytest

from tests.support.clients import s3_client
from tests.support.gateway import Gateway
from tests.support.gateways import DIRECTORY, NGINX, Gateways, OpenGateway, gateway_over
from tests.support.media_house import POLICIES, EndUser, MediaHouse
from tests.support.s3_origins import ORIGINS
from tests.wire.deviations import reason_of

EVERYWHERE = ("anbar",)
CLOSEST = ("test_boto3_", "test_s3_behaviour_")
SCHEMES = ("http", "https")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs once for each origin, whichever fixture it has its gateway from."""
    origins = _origins_of(metafunc.module.__name__.rpartition(".")[2])
    for fixture, first in (("any_gateway", SCHEMES), ("media_house", SCHEMES), ("gateway", (DIRECTORY,))):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, [*first, *origins], indirect=True, scope="session")
    if "open_gateway" in metafunc.fixturenames:
        metafunc.parametrize("open_gateway", [DIRECTORY, *origins], indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What an origin cannot do is expected to fail over it, with the reason; once it does not, we are told."""
    for item in items:
        for origin in (*ORIGINS, NGINX):
            reason = reason_of(origin, item.nodeid)
            if reason is not None:
                item.add_marker(pytest.mark.xfail(reason=f"{origin}: {reason}"))


def _origins_of(module: str) -> tuple[str, ...]:
    everything = os.environ.get("ANBAR_WIRE_ORIGINS") == "all" or module.startswith(CLOSEST)
    return (*(ORIGINS if everything else EVERYWHERE), NGINX)


@pytest.fixture(scope="session")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """All that are shared by the tests of a session."""
    with Gateways(tmp_path_factory.mktemp) as running:
        yield running


@pytest.fixture(scope="session")
def any_gateway(request: pytest.FixtureRequest, gateways: Gateways) -> Gateway:
    """A gateway over a directory, by HTTP and by HTTPS, and over S3 endpoints."""
    return _shared(gateways, "gateway", request.param)


@pytest.fixture(scope="session")
def gateway(request: pytest.FixtureRequest, gateways: Gateways) -> Gateway:
    """The same, by HTTP alone."""
    if request.param == NGINX:
        return gateways.find("gateway-plain", NGINX)
    return _shared(gateways, "gateway", request.param)


@pytest.fixture(scope="session")
def media_house(request: pytest.FixtureRequest, gateways: Gateways) -> MediaHouse:
    """The project app, at gateways of its own: as any_gateway."""
    return MediaHouse(_shared(gateways, "media_house", request.param, policies=POLICIES))


@pytest.fixture(scope="module")
def open_gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenGateway:
    """For tests that need a gateway of their own."""

    def start(**more: Any) -> AbstractContextManager[Gateway]:
        return gateway_over(request.param, tmp_path_factory.mktemp("own"), **more)

    return start


def _shared(gateways: Gateways, name: str, wanted: str, **more: Any) -> Gateway:
    if wanted == "https":
        return gateways.find(f"{name}-tls", DIRECTORY, tls=True, **more)
    if wanted == NGINX:  # which speaks HTTPS here
        return gateways.find(name, NGINX, tls=True, **more)
    return gateways.find(name, DIRECTORY if wanted == "http" else wanted, **more)


@pytest.fixture(scope="session")
def s3(any_gateway: Gateway) -> Iterator[Any]:
    """boto3 with today's defaults, once over HTTP and once over TLS."""
    with closing(s3_client(any_gateway)) as client:
        yield client


@pytest.fixture(scope="session")
def other_s3(any_gateway: Gateway) -> Iterator[Any]:
    """boto3 with the key of the project other, at the same gateway."""
    with closing(s3_client(any_gateway, other=True)) as client:
        yield client


@pytest.fixture(scope="session")
def ops(media_house: MediaHouse) -> Iterator[Any]:
    """boto3 with the key of app's admin."""
    with closing(media_house.client("ops")) as client:
        yield client


@pytest.fixture(scope="session")
def backend(media_house: MediaHouse) -> Iterator[Any]:
    """boto3 with the key of app's service."""
    with closing(media_house.client("backend")) as client:
        yield client


@pytest.fixture
def lea(media_house: MediaHouse) -> Iterator[EndUser]:
    """An end user of app's service, who has stored nothing yet."""
    with media_house.end_user() as user:
        yield user


@pytest.fixture
def tom(media_house: MediaHouse) -> Iterator[EndUser]:
    """Another one."""
    with media_house.end_user() as user:
        yield user
