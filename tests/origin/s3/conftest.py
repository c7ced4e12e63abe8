"""An S3 origin before moto's store, through a proxy that loses answers."""

from collections.abc import AsyncIterator

import pytest

from gateway.origin.s3 import session as session_module
from gateway.origin.s3.origin import S3Origin
from gateway.origin.s3.places import Place
from gateway.origin.s3.requests import Request
from tests.origin.s3.origins import opened
from tests.origin.s3.proxy import Proxy


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(session_module, "pause_s", lambda attempt: 0)


@pytest.fixture
async def proxy(moto_port: int, bucket: str) -> AsyncIterator[Proxy]:
    async with Proxy(moto_port) as proxy:
        async with opened(proxy.port) as origin:
            await origin._session.done(Request("PUT", Place(bucket, "")))
        proxy.seen.clear()
        yield proxy


@pytest.fixture
async def origin(proxy: Proxy) -> AsyncIterator[S3Origin]:
    async with opened(proxy.port) as origin:
        yield origin
