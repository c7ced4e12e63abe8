"""The directory origin: whole bodies or none, safe on disk before anybody is told, and readers that are never surprised."""

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.origin.base import BodyMeta, BodyReader, BodyWriter, Checked, PartBody
from gateway.origin.directory import DirectoryOrigin
from gateway.origin.errors import BodyNotFound, OriginError, OriginFull
from gateway.store.runs import Runs
from tests.support.data import ODD_KEYS
from tests.support.descriptors import become_few, open_below, open_though_removed
from tests.support.house import read_to_the_end

META = BodyMeta("b", "k", "ann", "w1", '"e"', {"content-type": "text/é"}, {"a": "ü"}, {"t": "1"})
MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
async def origin(root: Path) -> AsyncIterator[DirectoryOrigin]:
    opened = DirectoryOrigin(root)
    yield opened
    await opened.close()


def files_of(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def folders_of(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir() and path.name != ".leaving"}


async def whole(origin: DirectoryOrigin, location: str, size: int, piece: int = MIB) -> bytes:
    reader = await origin.open(location)
    try:
        return await read_to_the_end(reader, 0, size, piece)
    finally:
        reader.close()


async def assembled(origin: DirectoryOrigin, bodies: list[bytes], write_id: str = "up", key: str = "film") -> str:
    """A multipart object of these parts; gives its location."""
    location = origin.locate_upload(origin.locate("b", key, write_id))
    parts = []
    for number, body in enumerate(bodies, 1):
        part = origin.locate_part(location, number, f"w{number}")
        await origin.store(part, body, Checked)
        parts.append(PartBody(part, len(body)))
    await origin.assemble(location, parts, META)
    return location


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * MIB + 5])
async def test_a_stored_body_is_read_back(origin, size):
    body = os.urandom(size)
    location = origin.locate("b", "k", "w1")
    await origin.store(location, body, lambda: Checked(META))
    assert await whole(origin, location, size) == body


async def test_a_written_body_exists_after_finish_and_not_before_it_was_begun(origin, root):
    location = origin.locate("b", "k", "w1")
    writer = await origin.create(location, 6, META)
    assert writer.location == location
    await writer.write(b"abc")
    await writer.write(memoryview(b"def"))
    await writer.finish()
    await writer.abort()
    assert await whole(origin, location, 6) == b"abcdef"
    assert files_of(root) == {location, location + ".json"}


async def test_a_body_of_another_size_than_announced_is_never_finished(origin, root):
    for data in (b"ab", b"abcd"):
        writer = await origin.create(origin.locate("b", "k", "w1"), 3, META)
        await writer.write(data)
        with pytest.raises(OriginError):
            await writer.finish()
        await writer.abort()
        assert files_of(root) == set()
        assert folders_of(root) == set()


async def test_a_location_is_written_once(origin):
    location = origin.locate("b", "k", "w1")
    await origin.store(location, b"first", lambda: Checked(META))
    with pytest.raises(OriginError):
        await origin.store(location, b"other", lambda: Checked(META))
    with pytest.raises(OriginError):
        await origin.create(location, 1)
    assert await whole(origin, location, 5) == b"first"


@pytest.mark.parametrize("location", ["b/none@w", "b/none@w/", "b/none@w/00001-w"])
async def test_what_is_not_there_is_body_not_found_and_may_be_deleted(origin, location):
    with pytest.raises(BodyNotFound):
        await origin.open(location)
    await origin.delete(location)


async def test_a_deleted_body_takes_its_empty_directories_along_and_no_other(origin, root):
    keep, gone = origin.locate("b", "x/keep", "w1"), origin.locate("b", "x/y/z/gone", "w2")
    for location in (keep, gone):
        await origin.store(location, b"1", lambda: Checked(META))
    await origin.delete(gone)
    await origin.delete(gone)
    assert files_of(root) == {keep, keep + ".json"}
    assert folders_of(root) == {"b", "b/x"}
    with pytest.raises(BodyNotFound):
        await origin.open(gone)
    await origin.delete(keep)
    assert folders_of(root) == set()
    assert root.is_dir()


async def test_odd_keys_all_live_beside_each_other(origin, root):
    locations = [origin.locate("b", key, f"{number:032x}") for number, key in enumerate(ODD_KEYS)]
    for number, location in enumerate(locations):
        await origin.store(location, b"%d" % number, lambda number=number: Checked(replace(META, key=ODD_KEYS[number])))
    for number, location in enumerate(locations):
        assert await whole(origin, location, len(str(number))) == b"%d" % number
    for location in locations:
        await origin.delete(location)
    assert files_of(root) == set()
    assert folders_of(root) == set()


@pytest.mark.parametrize(
    "key", ["a" * 200 + "../x", "a" * 200 + "./x", "./" * 300 + "x", "../../x", "a/.." + "b" * 300]
)
async def test_keys_of_dots_are_removed_without_a_trace_as_well(origin, root, key):
    location = origin.locate("b", key, "w1")
    await origin.store(location, b"1", lambda: Checked(META))
    assert all(name.startswith("b/") for name in files_of(root))
    await origin.delete(location)
    assert (files_of(root), folders_of(root)) == (set(), set())


async def test_a_reader_keeps_its_body_when_it_is_deleted_or_replaced(origin, root):
    location = origin.locate("b", "k", "w1")
    await origin.store(location, b"old" * MIB, lambda: Checked(META))
    reader = await origin.open(location)
    assert await reader.read(0, 3) == b"old"
    await origin.delete(location)
    assert await read_to_the_end(reader, 0, 3 * MIB) == b"old" * MIB
    region = await reader.region(5, 100)
    assert region is not None
    assert (region.offset, region.size) == (5, 100)
    assert os.pread(region.fd, 4, 5) == b"dold"
    reader.close()
    await become_few(root)


async def test_a_reader_of_a_multipart_body_keeps_all_of_it_when_it_is_deleted(origin, root):
    bodies = [b"a" * MIB, b"b" * MIB, b"c" * 17]
    location = await assembled(origin, bodies)
    first, second = await origin.open(location), await origin.open(location)
    assert await first.read(0, 10) == b"a" * 10
    await origin.delete(location)
    with pytest.raises(BodyNotFound):
        await origin.open(location)
    for reader in (first, second):
        assert await read_to_the_end(reader, 0, 2 * MIB + 17) == b"".join(bodies)
        reader.close()
    await origin.close()
    assert files_of(root) == set()
    assert open_though_removed(root) == []


async def test_what_was_left_for_readers_of_a_process_that_died_is_removed_at_the_next_start(origin, root):
    location = await assembled(origin, [b"a" * 10, b"b" * 10])
    await origin.open(location)
    await origin.delete(location)
    again = DirectoryOrigin(root)
    assert files_of(root) == set()
    await again.close()


@pytest.fixture
async def two_processes(tmp_path: Path, root: Path) -> AsyncIterator[list[DirectoryOrigin]]:
    """Origins on one directory whose locks keep each other out, as those of two processes do."""
    runs = [Runs(tmp_path / "runs") for _ in range(2)]
    opened = [DirectoryOrigin(root, each) for each in runs]
    yield opened
    for origin in opened:
        await origin.close()
    for each in runs:
        each.close()


async def test_a_reader_keeps_all_of_a_multipart_body_that_another_process_removes(two_processes, root):
    reading, removing = two_processes
    bodies = [b"a" * MIB, b"b" * MIB, b"c" * 17]
    location = await assembled(removing, bodies)
    first, second = await reading.open(location), await reading.open(location)
    assert await first.read(0, 10) == b"a" * 10
    await removing.delete(location)
    await removing.delete(location)  # as whoever takes over from a process that died does
    with pytest.raises(BodyNotFound):
        await removing.open(location)
    for reader in (first, second):
        assert await read_to_the_end(reader, 0, 2 * MIB + 17) == b"".join(bodies)
        reader.close()
    with pytest.raises(BodyNotFound):
        await reading.open(location)
    await reading.close()
    assert (files_of(root), folders_of(root)) == (set(), set())
    await become_few(root)


async def test_the_last_reader_of_all_processes_takes_a_removed_body_along(two_processes, root):
    location = await assembled(two_processes[0], [b"a" * 10, b"b" * 10])
    readers = [await origin.open(location) for origin in two_processes]
    await two_processes[0].delete(location)
    readers[0].close()
    await two_processes[0].close()
    assert await read_to_the_end(readers[1], 0, 20) == b"a" * 10 + b"b" * 10
    readers[1].close()
    await two_processes[1].close()
    assert files_of(root) == set()


async def test_a_body_that_was_read_before_and_then_removed_by_another_process_is_not_found(two_processes, root):
    reading, removing = two_processes
    location = await assembled(removing, [b"a" * 10, b"b" * 10])
    assert await whole(reading, location, 20) == b"a" * 10 + b"b" * 10
    await removing.delete(location)
    found = await asyncio.gather(reading.open(location), reading.open(location), return_exceptions=True)
    assert [type(each) for each in found] == [BodyNotFound, BodyNotFound]
    assert files_of(root) == set()


async def test_an_opening_that_meets_a_removal_by_another_process_reads_all_or_finds_nothing(two_processes, root):
    reading, removing = two_processes
    outcomes = set()
    for number in range(60):
        location = await assembled(removing, [b"a" * 10, b"b" * 10], f"up{number}")
        if number % 2:
            await whole(reading, location, 20)
        opening = asyncio.ensure_future(reading.open(location))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        await asyncio.gather(opening, removing.delete(location), return_exceptions=True)
        if opening.exception() is None:
            assert await read_to_the_end(opening.result(), 0, 20) == b"a" * 10 + b"b" * 10
            opening.result().close()
        outcomes.add(type(opening.exception()))
    assert outcomes <= {type(None), BodyNotFound}
    await reading.close()
    assert files_of(root) == set()


async def test_what_waits_for_readers_stays_when_another_process_starts_and_goes_once_they_have_died(tmp_path, root):
    dying, living = Runs(tmp_path / "runs"), Runs(tmp_path / "runs")
    origin = DirectoryOrigin(root, dying)
    location = await assembled(origin, [b"a" * 10, b"b" * 10])
    await origin.open(location)
    await origin.delete(location)
    await DirectoryOrigin(root, living).close()
    assert len(files_of(root)) == 4
    dying.close()
    await DirectoryOrigin(root, living).close()
    assert files_of(root) == set()
    await origin.close()
    living.close()


async def test_what_another_process_removes_is_let_go_when_it_is_looked_for(origin, root):
    """As the disk does not get the room back before."""
    there = DirectoryOrigin(root)
    await origin.store(origin.locate("b", "k", "w0"), b"gone", lambda: Checked(META))
    await origin.store(origin.locate("b", "kept", "w9"), b"kept", lambda: Checked(META))
    film = await assembled(origin, [b"1" * 10, b"2" * 10])
    assert await whole(there, origin.locate("b", "k", "w0"), 4) == b"gone"
    assert await whole(there, origin.locate("b", "kept", "w9"), 4) == b"kept"
    assert await whole(there, film, 20) == b"1" * 10 + b"2" * 10
    await origin.delete(origin.locate("b", "k", "w0"))
    await origin.delete(film)
    assert len(open_though_removed(root)) == 3
    await there.forget_removed()
    await become_few(root)
    assert await whole(there, origin.locate("b", "kept", "w9"), 4) == b"kept"
    await there.close()


async def test_what_a_share_calls_stale_is_let_go_of_all_the_same(origin, root, monkeypatch):
    """On NFS, once another machine has removed the file."""
    fstat = os.fstat

    def stale(fd: int) -> os.stat_result:
        if str(root) in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return fstat(fd)

    locations = [origin.locate("b", f"k{number}", f"w{number}") for number in range(3)]
    for location in locations:
        await origin.store(location, b"1", lambda: Checked(META))
        assert await whole(origin, location, 1) == b"1"
        await asyncio.to_thread(os.unlink, root / location)
    monkeypatch.setattr("os.fstat", stale)
    await origin.forget_removed()
    await become_few(root)


async def test_an_opening_that_meets_a_deletion_reads_or_finds_nothing_and_keeps_no_descriptor(origin, root):
    await origin.store(origin.locate("b", "keep", "w0"), b"1", lambda: Checked(META))
    for number in range(60):
        location = origin.locate("b", "k", f"w{number + 1}")
        await origin.store(location, b"x" * 100, lambda: Checked(META))
        opening = asyncio.ensure_future(origin.open(location))
        await asyncio.gather(opening, origin.delete(location), return_exceptions=True)
        if opening.exception() is None:
            reader: BodyReader = opening.result()
            assert await reader.read(0, 100) == b"x" * 100
            reader.close()
        else:
            assert isinstance(opening.exception(), BodyNotFound)
    await become_few(root)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data())
def test_any_piece_of_a_multipart_body_is_what_its_parts_say(tmp_path_factory, sizes, data):
    async def scenario() -> None:
        origin = DirectoryOrigin(tmp_path_factory.mktemp("objects"), durable=False)
        body = os.urandom(sum(sizes))
        ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
        location = await assembled(origin, [body[end - size : end] for end, size in zip(ends, sizes, strict=True)])
        offset = data.draw(st.integers(0, len(body) - 1))
        size = data.draw(st.integers(1, len(body) - offset))
        reader = await origin.open(location)
        assert (
            await read_to_the_end(reader, offset, size, data.draw(st.integers(1, 64))) == body[offset : offset + size]
        )
        regions, position = b"", offset
        while position < offset + size:
            region = await reader.region(position, offset + size - position)
            assert region is not None
            regions += os.pread(region.fd, region.size, region.offset)
            position += region.size
        assert regions == body[offset : offset + size]
        assert await reader.region(len(body), 1) is None
        with pytest.raises(OriginError):
            await reader.read(len(body), 1)
        reader.close()
        copied = origin.locate("b", "copy", "w9")
        await origin.copy(location, offset, size, copied, META)
        assert await whole(origin, copied, size) == body[offset : offset + size]
        await origin.close()

    asyncio.run(scenario())


async def test_reading_past_the_end_is_an_error_and_no_empty_piece(origin):
    location = origin.locate("b", "k", "w1")
    await origin.store(location, b"abc", lambda: Checked(META))
    reader = await origin.open(location)
    assert await reader.read(1, 100) == b"bc"
    assert await reader.region(3, 1) is None
    with pytest.raises(OriginError):
        await reader.read(3, 1)
    reader.close()


@pytest.mark.parametrize(("offset", "size"), [(0, 100_000), (0, 10), (99_990, 10), (5, 0), (17, 70_000)])
async def test_a_copy_has_the_bytes_that_were_asked_for_and_outlives_its_source(origin, offset, size):
    body = os.urandom(100_000)
    source, target = origin.locate("b", "k", "w1"), origin.locate("c", "deep/er/k", "w2")
    await origin.store(source, body, lambda: Checked(META))
    await origin.copy(source, offset, size, target, replace(META, key="k2"))
    await origin.delete(source)
    if size:
        assert await whole(origin, target, size) == body[offset : offset + size]


async def test_a_copy_of_more_than_there_is_fails_and_leaves_nothing(origin, root):
    source, target = origin.locate("b", "k", "w1"), origin.locate("b", "k2", "w2")
    await origin.store(source, b"abc", lambda: Checked(META))
    with pytest.raises(OriginError):
        await origin.copy(source, 1, 10, target, META)
    assert files_of(root) == {source, source + ".json"}
    with pytest.raises(BodyNotFound):
        await origin.copy("b/none@w", 0, 1, target, META)


async def test_assembling_again_with_other_parts_takes_the_new_ones(origin):
    location = await assembled(origin, [b"a" * 10, b"b" * 10])
    assert await whole(origin, location, 20) == b"a" * 10 + b"b" * 10
    part = origin.locate_part(location, 3, "w3")
    await origin.store(part, b"c" * 5, Checked)
    await origin.assemble(location, [PartBody(part, 5)], META)
    assert await whole(origin, location, 5) == b"c" * 5


async def test_what_another_process_made_of_an_upload_is_read_and_not_what_it_was_before(origin, root):
    """It was opened here for its first bytes, and then its Complete failed: a part may still be replaced elsewhere."""
    location = await assembled(origin, [b"a" * 10, b"b" * 10])
    assert await whole(origin, location, 20) == b"a" * 10 + b"b" * 10
    other = DirectoryOrigin(root)
    replaced, part = origin.locate_part(location, 1, "w1"), origin.locate_part(location, 1, "w9")
    await other.store(part, b"c" * 10, Checked)
    await other.delete(replaced)
    await other.assemble(location, [PartBody(part, 10), PartBody(origin.locate_part(location, 2, "w2"), 10)], META)
    assert await whole(origin, location, 20) == b"c" * 10 + b"b" * 10
    await other.delete(location)
    with pytest.raises(BodyNotFound):
        await origin.open(location)
    await other.close()


async def test_a_deleted_upload_takes_all_its_parts_along(origin, root):
    location = origin.locate_upload(origin.locate("b", "film", "up"))
    for number in (1, 2):
        await origin.store(origin.locate_part(location, number, "w"), b"x", Checked)
    await origin.delete(location)
    assert (files_of(root), folders_of(root)) == (set(), set())


async def test_describe_replaces_what_lies_beside(origin, root):
    location = origin.locate("b", "k", "w1")
    await origin.store(location, b"x", lambda: Checked(META))
    await origin.describe(location, replace(META, tags={"new": "2"}))
    assert json.loads((root / f"{location}.json").read_bytes())["tags"] == {"new": "2"}
    upload = await assembled(origin, [b"ab", b"cd"])
    await origin.describe(upload, replace(META, tags={"new": "3"}))
    assert json.loads((root / upload / "meta.json").read_bytes())["tags"] == {"new": "3"}
    assert await whole(origin, upload, 4) == b"abcd"
    assert not [name for name in files_of(root) if "~" in name]


@pytest.mark.parametrize("kind", ["body", "multipart"])
async def test_describing_a_body_that_is_gone_leaves_nothing_behind(origin, root, kind):
    keep = origin.locate("b", "keep", "w0")
    await origin.store(keep, b"1", lambda: Checked(META))
    location = origin.locate("b", "k", "w1") if kind == "body" else await assembled(origin, [b"ab"])
    if kind == "body":
        await origin.store(location, b"x", lambda: Checked(META))
    await origin.delete(location)
    with pytest.raises(OriginError):
        await origin.describe(location, META)
    assert files_of(root) == {keep, keep + ".json"}


async def test_a_body_is_on_the_disk_before_anybody_is_told(origin, root, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), root))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    location = origin.locate("b", "x/k", "w1")
    await origin.store(location, b"1", lambda: Checked(META))
    assert {location, ".", "b", "b/x"} <= set(synced)
    synced.clear()
    writer = await origin.create(origin.locate("b", "x/k", "w2"), 1, META)
    await writer.write(b"1")
    await writer.finish()
    assert {origin.locate("b", "x/k", "w2"), "b/x"} <= set(synced)
    synced.clear()
    await origin.copy(location, 0, 1, origin.locate("b", "y/k", "w3"), META)
    assert {"b", "b/y"} <= set(synced)


async def test_a_manifest_is_on_the_disk_and_never_touched_again(origin, root, monkeypatch):
    """It is the only record of the body's parts."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    location = await assembled(origin, [b"a", b"b"])
    assert any(name.startswith("manifest.json") for name in synced)
    before = (root / location / "manifest.json").stat()
    await origin.describe(location, META)
    after = (root / location / "manifest.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_a_store_that_nobody_waits_for_any_more_leaves_nothing_after_its_deletion(origin, root):
    """Cancelled, then removed by who began it: the thread that still writes must not outlive that removal."""
    keep = origin.locate("b", "keep", "w0")
    await origin.store(keep, b"1", lambda: Checked(META))
    for number in range(3):
        location = origin.locate("b", "k", f"w{number + 1}")
        storing = asyncio.ensure_future(origin.store(location, bytes(24 * MIB), lambda: Checked(META)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
        await origin.delete(location)
    await origin.close()
    assert files_of(root) == {keep, keep + ".json"}


async def test_a_writer_that_nobody_waits_for_any_more_writes_into_nobody_elses_file(origin, root, tmp_path):
    """Its descriptor is closed by abort(), but only when no thread may use it any more: its number is given away."""
    writer = await origin.create(origin.locate("b", "k", "w1"), 9, META)
    pipes = [root / "b" / f"pipe{number}@w" for number in range(8)]
    for pipe in pipes:
        os.mkfifo(pipe)
    busy = [asyncio.ensure_future(origin.open(f"b/{pipe.name}")) for pipe in pipes]  # every thread waits for a pipe
    await asyncio.sleep(0)
    writing = asyncio.ensure_future(writer.write(b"mine mine"))
    await asyncio.sleep(0)
    writing.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    aborting = asyncio.ensure_future(_abort_after(writing, writer))
    for _ in range(5):
        await asyncio.sleep(0)
    with (tmp_path / "theirs").open("wb") as theirs:  # takes the lowest number that is free
        for pipe in pipes:
            await asyncio.to_thread(_open_for_a_moment, pipe)
        await asyncio.gather(*busy)
        await aborting
        theirs.flush()
    assert (tmp_path / "theirs").read_bytes() == b""
    for reader in busy:
        reader.result().close()


async def _abort_after(writing: "asyncio.Future[None]", writer: BodyWriter) -> None:
    await asyncio.gather(writing, return_exceptions=True)
    await writer.abort()


def _open_for_a_moment(pipe: Path) -> None:
    with pipe.open("wb"):
        pass


@pytest.mark.parametrize("read_meanwhile", [False, True])
async def test_the_room_of_a_removed_body_is_freed_while_the_loop_goes_on(origin, root, monkeypatch, read_meanwhile):
    """The last close of a removed file frees all its blocks: of a gigabyte that takes a quarter of a second."""
    freed_by: list[int] = []
    close = os.close

    def noted(fd: int) -> None:
        if not os.fstat(fd).st_nlink:
            freed_by.append(threading.get_ident())
        close(fd)

    monkeypatch.setattr(os, "close", noted)
    location = origin.locate("b", "k", "w1")
    await origin.store(location, b"x" * MIB, lambda: Checked(META))
    reader = await origin.open(location)
    if not read_meanwhile:
        reader.close()
    await origin.delete(location)
    if read_meanwhile:
        reader.close()
    await become_few(root)
    assert len(freed_by) == 1
    assert threading.get_ident() not in freed_by


async def test_a_share_that_calls_a_removed_file_stale_keeps_nobody_from_anything(origin, root, monkeypatch):
    location = origin.locate("b", "k", "w1")
    await origin.store(location, b"body", lambda: Checked(META))
    (await origin.open(location)).close()
    fstat, held = os.fstat, open_below(root)

    def stale(fd: int) -> os.stat_result:
        if fd in held:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return fstat(fd)

    assert held
    monkeypatch.setattr(os, "fstat", stale)
    await origin.delete(location)
    await become_few(root)


async def test_a_full_disk_is_said_to_be_full(origin, monkeypatch):
    def full(_fd: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OriginFull):
        await origin.store(origin.locate("b", "k", "w1"), b"abc", lambda: Checked(META))


async def test_a_symbolic_link_in_place_of_a_body_is_not_followed(origin, root, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (root / "b").mkdir()
    location = origin.locate("b", "k", "w1")
    (root / location).symlink_to(secret)
    with pytest.raises(OriginError):
        await origin.open(location)
    with pytest.raises(OriginError):
        await origin.store(location, b"x", lambda: Checked(META))
    assert secret.read_bytes() == b"secret"


async def test_files_are_their_owners_alone(origin, root):
    before = os.umask(0)
    try:
        location = await assembled(origin, [b"a"])
        await origin.store(origin.locate("b", "k", "w1"), b"x", lambda: Checked(META))
        await origin.describe(location, META)
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o077) for path in (root, *root.rglob("*"))} == {"0o0"}


async def test_the_group_reads_bodies_and_nothing_else_where_it_may(tmp_path):
    before = os.umask(0o077)
    try:
        origin = DirectoryOrigin(tmp_path / "shared", group_read=True)
        location = await assembled(origin, [b"a"])
        stored = origin.locate("b", "k", "w1")
        await origin.store(stored, b"x", lambda: Checked(META))
        await origin.describe(location, META)
        await origin.close()
    finally:
        os.umask(before)
    root = tmp_path / "shared"
    modes = {path: path.stat().st_mode & 0o777 for path in (root, *root.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o750}
    assert {mode for path, mode in modes.items() if path.suffix == ".json"} == {0o600}
    assert modes[root / stored] == 0o640


async def test_a_body_that_two_remove_at_once_is_read_to_its_end(origin):
    """A collector and a sweep may meet on one body."""
    for number in range(20):
        location = await assembled(origin, [b"a" * 10, b"b" * 10, b"c" * 10], f"k{number}", f"k{number}")
        reader = await origin.open(location)
        assert await reader.read(0, 10) == b"a" * 10
        await asyncio.gather(origin.delete(location), origin.delete(location))
        assert await reader.read(10, 10) == b"b" * 10
        assert await reader.read(20, 10) == b"c" * 10
        reader.close()


async def test_a_body_opened_after_many_others_outlives_its_removal(origin):
    for number in range(260):
        (await origin.open(await assembled(origin, [b"x"], f"k{number}", f"k{number}"))).close()
    location = await assembled(origin, [b"one", b"two"], "last", "last")
    reader = await origin.open(location)
    await origin.delete(location)
    assert await reader.read(0, 3) == b"one"
    assert await reader.read(3, 3) == b"two"
    reader.close()
