"""An opened house: over an origin in memory that fails on demand, and over a directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.origin.directory import DirectoryOrigin
from tests.support.house import House, open_house
from tests.support.memory_origin import MemoryOrigin


@pytest.fixture
def origin() -> MemoryOrigin:
    return MemoryOrigin()


@pytest.fixture
async def house(tmp_path: Path, origin: MemoryOrigin) -> AsyncIterator[House]:
    async with open_house(tmp_path / "var" / "anbar.sqlite", origin) as opened:
        yield opened
        origin.faults.heal()


@pytest.fixture
def objects_root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
async def directory_house(tmp_path: Path, objects_root: Path) -> AsyncIterator[House]:
    directory = DirectoryOrigin(objects_root)
    async with open_house(tmp_path / "var" / "anbar.sqlite", directory) as opened:
        yield opened
    await directory.close()
