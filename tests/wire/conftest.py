"""Fixtures of the real clients: boto3 at both gateways."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.clients import s3_client
from tests.support.gateway import Gateway


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
