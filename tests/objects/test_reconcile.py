"""The look at bodies: what is missing or cut off is told, what is whole or was replaced meanwhile is not."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.objects import reconcile
from gateway.objects.complete import MIN_PART_SIZE, CompleteRequest, complete_upload
from gateway.objects.multipart import create_upload, put_part
from gateway.objects.put import Attributes
from gateway.objects.reconcile import check_bodies
from gateway.s3.documents import CompletePart
from tests.support.house import MEDIA, VOICE, House, body_of


@pytest.fixture
def look(directory_house: House, objects_root):
    """Look at all bodies: how many there are, and (key, state, bytes found) of the bad ones."""

    async def run(**options: str) -> tuple[int, list[tuple[str, str, int | None]]]:
        count, bad = await check_bodies(directory_house.database, {"local": objects_root}, lambda _: None, **options)
        return count, [(each.body.key, each.state, each.found) for each in bad]

    return run


async def test_whole_bodies_are_well(directory_house, look):
    for key, size in (("empty", 0), ("small", 5), ("large", 300_000)):
        await directory_house.put(key, bytes(size))
    assert await look() == (3, [])


async def test_missing_short_and_long_bodies_are_told(directory_house, objects_root, look):
    paths = {}
    for key in ("gone", "long", "short", "well"):
        paths[key] = objects_root / (await directory_house.put(key, b"12345")).location
    paths["gone"].unlink()
    os.truncate(paths["long"], 6)
    os.truncate(paths["short"], 4)
    assert await look() == (4, [("gone", "missing", None), ("long", "long", 6), ("short", "short", 4)])
    assert not paths["gone"].exists()
    assert await directory_house.find("gone") is not None


async def test_bodies_at_an_origin_that_is_no_directory_are_not_looked_at(directory_house):
    await directory_house.put("far", b"12345")
    assert await check_bodies(directory_house.database, {"local": None}, lambda _: None) == (0, [])


async def test_a_part_that_is_gone_or_cut_off_is_told(directory_house, objects_root, look):
    rooms = directory_house.rooms
    folders = []
    for key in ("film", "song"):
        upload = await create_upload(rooms, directory_house.target(key), "ops", Attributes(), None, None)
        etags = [
            (await put_part(rooms, upload, number, body_of(bytes(size))))[0].etag
            for number, size in ((1, MIN_PART_SIZE), (2, 10))
        ]
        parts = [CompletePart(number, etag, {}) for number, etag in enumerate(etags, start=1)]
        folders.append(objects_root / (await complete_upload(rooms, upload, CompleteRequest(parts))).location)
    assert await look() == (2, [])
    next(folders[0].glob("00001-*")).unlink()
    os.truncate(next(folders[1].glob("00001-*")), 7)
    assert await look() == (2, [("film", "missing", None), ("song", "short", 7)])


async def test_an_origin_that_is_not_configured_cannot_be_read(directory_house):
    await directory_house.put("k", b"x")
    count, (bad,) = await check_bodies(directory_house.database, {}, lambda _: None)
    assert (count, bad.state) == (1, "unreadable")


class Replacing(dict[str, Path]):
    """Roots whose first reader finds that an object was replaced, and its body removed, just before it looked."""

    def __init__(self, house: House, root: Path) -> None:
        super().__init__({"local": root})
        self._house = house
        self._loop = asyncio.get_running_loop()

    def get(self, name: str, default: Any = None) -> Any:
        asyncio.run_coroutine_threadsafe(self._replace(), self._loop).result(10)
        return super().get(name, default)

    async def _replace(self) -> None:
        await self._house.put("k", b"another one")
        await self._house.settle()


async def test_an_object_that_is_replaced_during_the_look_is_not_told(directory_house, objects_root):
    await directory_house.put("k", b"old")
    count, bad = await check_bodies(directory_house.database, Replacing(directory_house, objects_root), lambda _: None)
    assert (count, bad) == (1, [])


async def test_every_page_is_looked_at_and_told(directory_house, objects_root, monkeypatch):
    monkeypatch.setattr(reconcile, "_PAGE", 2)
    for number in range(5):
        await directory_house.put(f"k{number}", b"x", bucket=VOICE if number % 2 else MEDIA)
    told: list[int] = []
    count, bad = await check_bodies(directory_house.database, {"local": objects_root}, told.append)
    assert (count, bad, told) == (5, [], [2, 4, 5])
    assert (await check_bodies(directory_house.database, {"local": objects_root}, told.append, "demo", "voice"))[0] == 2
