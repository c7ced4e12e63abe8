"""Fixtures of the real clients: boto3 at both gateways, and the project whose principals have all the roles."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.clients import s3_client
from tests.support.gateway import Gateway
from tests.support.media_house import POLICIES, EndUser, MediaHouse


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


@pytest.fixture(scope="session", params=[False, True], ids=["http", "https"])
def media_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaHouse]:
    """The project app, at a gateway of its own: once over HTTP and once over TLS."""
    directory = tmp_path_factory.mktemp("media_house")
    with Gateway(directory, tls=request.param, policies=POLICIES) as running:
        yield MediaHouse(running)


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
