"""An import that is cut off: nothing of it goes on behind its back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from gateway.objects.imports import Destination, Source, import_objects
from gateway.origin.survey import LyingBody
from tests.support.house import MEDIA, House
from tests.support.memory_origin import MemoryOrigin


async def test_what_is_being_stored_ends_before_a_cut_off_import_does(
    house: House, origin: MemoryOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [LyingBody(f"old/{key}", (key,), 3, None, f"old/{key}") for key in "abcdefgh"]
    for body in bodies:
        origin.put_behind(body.location, b"abc")

    async def pages(*_: str) -> AsyncIterator[list[LyingBody]]:
        yield bodies

    monkeypatch.setattr(origin.survey, "bodies", pages)
    pause = origin.faults.pause("store")

    async def cut_off() -> None:
        found = import_objects(house.rooms, Source("local", "old", ""), Destination(MEDIA), lambda *_: None)
        async with aclosing(found) as imported:
            async for _ in imported:
                pass

    work = asyncio.create_task(cut_off())
    await asyncio.wait_for(pause.reached.wait(), 5)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    house.is_clean(origin.bodies.keys() - {body.location for body in bodies})
