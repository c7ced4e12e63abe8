"""Everything that requests need, opened in this process over a fresh directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app import build_services
from gateway.config import parse_settings
from gateway.store.key_ring import KeyRing
from gateway.web.call import Services
from tests.support.gateway import DEMO_POLICY, OTHER_POLICY

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
