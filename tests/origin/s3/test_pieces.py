"""A body whose size nobody knows: how it is cut, whose turn it is, and what is left of one that fails."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.origin.base import BodyMeta, Checked, PartBody, StoredBody
from gateway.origin.errors import OriginDown, OriginError, OutcomeUnknown
from gateway.origin.s3 import pieces as module
from gateway.origin.s3.pieces import MOST_AT_ONCE, PiecesWriter

META = BodyMeta("b", "k", "ann", "w1")
PIECE = 10


class Store:
    """A small working origin; `fails` at one of its steps."""

    def __init__(self) -> None:
        self.pieces_turns = asyncio.Semaphore(MOST_AT_ONCE)
        self.bodies: dict[str, bytes] = {}
        self.checked: list[Checked] = []
        self.uploads: set[str] = set()
        self.fails: dict[str, OriginError] = {}

    def locate_upload(self, object_location: str) -> str:
        return f"{object_location}?uploads"

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str:
        return f"{upload_location}&{part_number}#{write_id}"

    async def store(self, location: str, data: bytes, check: Callable[[], Checked]) -> str | None:
        self._step("store")
        self.checked.append(check())
        self.bodies[location] = data
        return f'"{location}"'

    async def begin_upload(self, location: str, meta: BodyMeta) -> str:
        self._step("begin_upload")
        begun = location.replace("?uploads", "?uploadId=1")
        self.uploads.add(begun)
        return begun

    async def assemble(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        self._step("assemble")
        assert [part.etag for part in parts] == [f'"{part.location}"' for part in parts]
        assert [part.size for part in parts] == [len(self.bodies[part.location]) for part in parts]
        self.uploads.remove(upload_location)
        location = upload_location.partition("?")[0]
        self.bodies[location] = b"".join([self.bodies.pop(part.location) for part in parts])
        return StoredBody(location, '"all"')

    async def delete(self, location: str, write_id: str = "", *, lost: bool = False) -> None:
        self._step("delete")
        assert write_id == META.write_id
        self.uploads.discard(location)

    def _step(self, name: str) -> None:
        if name in self.fails:
            raise self.fails[name]


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", PIECE)
        yield


@pytest.fixture
def store() -> Store:
    return Store()


@given(st.lists(st.binary(max_size=25), max_size=8))
def test_whatever_comes_is_put_together_again(chunks):
    async def write() -> None:
        store = Store()
        writer = PiecesWriter(store, "b/k", META)
        for chunk in chunks:
            await writer.write(memoryview(chunk))
        await writer.finish()
        await writer.abort()
        assert store.bodies == {"b/k": b"".join(chunks)}
        assert store.uploads == set()
        assert store.pieces_turns._value == MOST_AT_ONCE

    asyncio.run(write())


async def test_every_part_but_the_last_has_at_least_a_piece(store):
    writer = PiecesWriter(store, "b/k", META)
    for size in (9, 1, 3, 30, 2):
        await writer.write(bytes(size))
    assert [len(body) for body in store.bodies.values()] == [10, 33]
    await writer.finish()
    assert len(store.bodies["b/k"]) == 45


async def test_what_fits_into_one_piece_is_checked_as_any_small_body(store):
    writer = PiecesWriter(store, "b/k", META)
    await writer.write(b"hello")
    md5 = hashlib.md5(b"hello")
    assert await writer.finish(f'"{md5.hexdigest()}"') == '"b/k"'
    assert store.checked == [Checked(META, md5.digest())]


@pytest.mark.parametrize("etag", [None, '"x-2"', ""])
async def test_where_no_md5_is_known_none_is_claimed(store, etag):
    writer = PiecesWriter(store, "b/k", META)
    await writer.finish(etag)
    assert store.checked == [Checked(META)]
    assert store.bodies == {"b/k": b""}


@pytest.mark.parametrize("size", [4, 6, 19, 21])
async def test_a_body_of_another_size_than_announced_is_never_finished(store, size):
    writer = PiecesWriter(store, "b/k", META, 20 if size > 10 else 5)
    await writer.write(bytes(size))
    with pytest.raises(OriginError, match="announced"):
        await writer.finish()
    await writer.abort()
    assert (store.uploads, "b/k" in store.bodies) == (set(), False)
    assert store.pieces_turns._value == MOST_AT_ONCE


def test_a_part_has_a_size():
    with pytest.raises(OriginError):
        PiecesWriter(Store(), "b/k", None)


@pytest.mark.parametrize("step", ["begin_upload", "store", "assemble"])
async def test_one_that_fails_gives_its_turn_and_its_upload_back(store, step):
    writer = PiecesWriter(store, "b/k", META)
    store.fails[step] = OriginDown("down")
    with pytest.raises(OriginDown):
        await writer.write(bytes(PIECE))
        await writer.finish()
    await writer.abort()
    await writer.abort()
    assert store.uploads == set()
    assert store.pieces_turns._value == MOST_AT_ONCE


async def test_an_upload_that_could_not_be_removed_is_told_of_for_nobody_else_knows_it(store):
    writer = PiecesWriter(store, "b/k", META)
    await writer.write(bytes(PIECE))
    store.fails["delete"] = OriginDown("down")
    with pytest.raises(OutcomeUnknown):
        await writer.abort()
    assert store.pieces_turns._value == MOST_AT_ONCE


async def test_so_many_hold_a_piece_and_others_wait_for_their_turn(store):
    writers = [PiecesWriter(store, f"b/{number}", META) for number in range(MOST_AT_ONCE + 2)]
    for writer in writers[:MOST_AT_ONCE]:
        await writer.write(b"x")
    first, second = (asyncio.ensure_future(writer.write(b"x")) for writer in writers[MOST_AT_ONCE:])
    await asyncio.sleep(0)
    assert not first.done()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await writers[MOST_AT_ONCE].abort()
    await writers[0].finish()
    await asyncio.wait_for(second, 1)
    for writer in writers:
        await writer.abort()
    assert store.pieces_turns._value == MOST_AT_ONCE


async def test_who_gets_no_turn_in_time_is_told_to_come_again_and_is_in_nobodys_way(store, monkeypatch):
    """Those that have one may be as slow as they like."""
    monkeypatch.setattr(module, "_TURN_S", 0.01)
    slow = [PiecesWriter(store, f"b/{number}", META) for number in range(MOST_AT_ONCE)]
    for writer in slow:
        await writer.write(b"x")
    late = PiecesWriter(store, "b/late", META)
    async with asyncio.timeout(10):
        with pytest.raises(OriginDown):
            await late.write(b"x")
    await late.abort()
    await slow[0].finish()
    again = PiecesWriter(store, "b/late", META)
    await again.write(b"x")
    await again.finish()
    assert store.bodies["b/late"] == b"x"
    for writer in slow:
        await writer.abort()
    assert store.pieces_turns._value == MOST_AT_ONCE
