"""An opened store of two projects' buckets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.database import Database
from gateway.store.store import Store
from tests.support.buckets import make_buckets
from tests.support.house import MEDIA, RING, VOICE


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "anbar.sqlite"


@pytest.fixture
async def database(store_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(store_path)
    yield opened
    await opened.close()


@pytest.fixture
async def store(database: Database) -> Store:
    opened = Store(database, RING)
    await make_buckets(opened.buckets, MEDIA, VOICE)
    return opened
