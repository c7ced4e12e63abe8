"""A real counterpart for S3 origins: moto's server, one for all tests, with a bucket for each."""

import itertools
from collections.abc import Iterator

import pytest

_BUCKETS = itertools.count()


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    from moto.server import ThreadedMotoServer  # it takes its time

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


@pytest.fixture
def bucket() -> str:
    return f"photos-{next(_BUCKETS)}"
