"""The admin listener: alive as long as the loop turns, ready as long as the store can be read."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from gateway.metrics import QUOTA_REFUSED
from gateway.policy.model import PolicySet
from gateway.store.database import Database
from gateway.store.store import Store
from gateway.web.exposition import Exposition
from gateway.web.probes import probes
from tests.support.house import RING

NO_POLICIES = PolicySet(())


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[Store]:
    database = await Database.open(tmp_path / "store")
    yield Store(database, RING)
    await database.close()


@pytest.fixture
async def base(store) -> AsyncIterator[str]:
    runner = web.AppRunner(probes(store, Exposition(store, lambda: NO_POLICIES)), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def asked(base: str, path: str) -> tuple[int, str | None]:
    async with ClientSession() as session, session.get(base + path) as answer:
        return answer.status, answer.headers.get("Cache-Control")


async def test_a_working_gateway_is_live_and_ready(base):
    assert await asked(base, "/-/live") == (200, "no-store")
    assert await asked(base, "/-/ready") == (200, "no-store")


async def test_counters_are_told_to_prometheus(base):
    QUOTA_REFUSED.labels("demo").inc()
    async with ClientSession() as session, session.get(f"{base}/-/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        told = await answer.text()
    assert 'anbar_quota_refused_total{project="demo"}' in told
    assert "process_open_fds" in told


async def test_a_store_that_cannot_be_read_is_live_and_not_ready(base, store):
    await store.database.close()
    assert (await asked(base, "/-/live"))[0] == 200
    assert await asked(base, "/-/ready") == (503, "no-store")


@pytest.mark.parametrize("path", ["/", "/demo-media/k", "/-/", "/-/metrics/../live/x"])
async def test_nothing_else_is_there(base, path):
    assert (await asked(base, path))[0] == 404
