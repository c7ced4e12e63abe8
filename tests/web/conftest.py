"""Everything that requests need, opened in this process over a fresh directory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app import build_services
from gateway.config import parse_settings
from gateway.store.key_ring import KeyRing
from gateway.web.call import Services
from gateway.web.server import S3Server
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY
from tests.support.listening import Listening
from tests.support.signer import Signer

SETTINGS = """
[store]
path = "var/anbar.sqlite"
[secrets]
key_ring = "var/key_ring"
[origins.local]
kind = "directory"
path = "var/objects"
durable = false
[policies]
path = "policies"
[limits]
drain_s = 5
write_timeout_s = 0.5
"""


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "demo.toml").write_text(DEMO_POLICY)
    (tmp_path / "policies" / "other.toml").write_text(OTHER_POLICY)
    KeyRing.create(tmp_path / "var" / "key_ring")
    async with build_services(parse_settings(SETTINGS, tmp_path / "gateway.toml")) as opened:
        yield opened


@pytest.fixture
async def listening(services) -> AsyncIterator[Listening]:
    loop = asyncio.get_running_loop()
    server = S3Server(services, loop)
    public = await loop.create_server(server, "127.0.0.1", 0)
    new = await services.store.access_keys.create("demo", "ops", 1, actor="ops")
    yield Listening(server, public.sockets[0].getsockname()[1], Signer(new.access_key_id, new.secret_access_key))
    public.close()
    await server.drain(5.0)
