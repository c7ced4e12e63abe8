"""gateway/cache/disk.py and blocks.py: what lies there is what was written, or nothing; and never too much of it."""

import asyncio
import errno
import os
import random
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cache.block_file import Damaged
from gateway.cache.blocks import Blocks
from gateway.cache.board import Board
from gateway.cache.names import BLOCK, block_name, block_path
from gateway.cache.purge import purge
from gateway.origin.base import BodyMeta
from tests.support.descriptors import become_few, open_below, open_though_removed
from tests.support.memory_origin import MemoryOrigin
from tests.support.warm import Worker, worker

LARGE = random.Random(1).randbytes(3 * BLOCK + 1000)
SMALL = b"small" * 1000
BIG = 200 << 10
"""Bytes of a body that is not kept in memory where there is a disk."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache"


def file_of(warm: Worker, path: Path, key: str, index: int = 0) -> Path:
    return path / "blocks" / block_path(block_name(warm.rows[key][2].name, index))


def lying(path: Path) -> int:
    """Bytes of the blocks' files, in pages."""
    return sum(-(-file.stat().st_size // 4096) * 4096 for file in (path / "blocks").rglob("*") if file.is_file())


@contextmanager
def another_process(*lines: str) -> Iterator[None]:
    """One that has carried out these lines, until it is killed."""
    program = "\n".join(
        ("import sys", "from pathlib import Path", *lines, "print('done', flush=True)", "sys.stdin.read()")
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
            yield
        finally:
            process.kill()


def forget_memory(warm: Worker) -> None:
    warm.tiers.memory.clear()


async def test_a_restart_keeps_what_lies_there(path):
    origin = MemoryOrigin(own_keys=True)
    for expected in ("miss", "hit", "hit"):
        async with worker(origin, path) as warm:
            for key, data in (("large", LARGE), ("small", SMALL)):
                origin.versions[f"media/{key}"] = 0
                warm.put(key, data)
                assert await warm.ask(key) == (expected, data)
    assert origin.faults.seen.count("open") == 2


async def test_what_lies_there_is_known_after_the_survey(path):
    origin = MemoryOrigin(own_keys=True)
    async with worker(origin, path) as warm:
        warm.put("large", LARGE)
        await warm.get("large")
    async with worker(origin, path) as again:
        await again.rest()
        disk = again.tiers.disk
        assert disk is not None
        assert disk.size == lying(path)
        assert disk.knows(block_name(warm.rows["large"][2].name, 3))
        assert not disk.may_have(block_name(bytes(20), 0))


async def test_only_the_owner_can_look(path):
    async with worker(path=path) as warm:
        warm.put("small", SMALL)
        await warm.get("small")
        await warm.rest()
        for found in [path, *path.rglob("*")]:
            assert stat.S_IMODE(found.stat().st_mode) == (0o700 if found.is_dir() else 0o600)


async def test_a_directory_that_others_could_enter_is_closed_to_them(path):
    path.mkdir()
    path.chmod(0o777)
    async with worker(path=path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def flip(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(100)
        byte = opened.read(1)
        opened.seek(100)
        opened.write(bytes([byte[0] ^ 1]))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def link_away(file: Path) -> None:
    other = file.with_suffix(".other")
    file.rename(other)
    file.symlink_to(other)


def remove(file: Path) -> None:
    file.unlink()


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


HARM = [flip, cut, empty, link_away, remove, fifo]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("restart", [False, True])
async def test_whatever_happens_to_a_file_nobody_gets_wrong_bytes(path, harm, restart):
    origin, data = MemoryOrigin(own_keys=True), LARGE[:BIG]
    async with worker(origin, path) as warm:
        warm.put("big", data)
        await warm.get("big")
        await warm.rest()
        file, rows = file_of(warm, path, "big"), warm.rows
        if not restart:
            harm(file)
            assert await warm.ask("big") == ("miss", data)
            await warm.rest()
            assert await warm.ask("big") == ("hit", data)
            return
    harm(file)
    async with worker(origin, path) as warm:
        warm.rows = rows
        await warm.rest()
        assert (await warm.ask("big"))[1] == data
        await warm.rest()
        assert await warm.ask("big") == ("hit", data)
        assert origin.faults.seen.count("open") == 2


@pytest.mark.parametrize("restart", [False, True])
async def test_two_files_that_changed_places_are_found(path, restart):
    origin, bodies = MemoryOrigin(own_keys=True), {"a": LARGE[:BIG], "b": LARGE[-BIG:]}
    async with worker(origin, path) as warm:
        for key, data in bodies.items():
            warm.put(key, data)
            await warm.get(key)
        await warm.rest()
        a, b = file_of(warm, path, "a"), file_of(warm, path, "b")
        rows, aside = warm.rows, path / "aside"
        for source, target in ((a, aside), (b, a), (aside, b)):
            source.rename(target)
        if not restart:
            assert [await warm.get(key) for key in bodies] == list(bodies.values())
    async with worker(origin, path) as warm:
        warm.rows = rows
        assert [await warm.get(key) for key in bodies] == list(bodies.values())


@pytest.mark.parametrize("harm", [flip, cut, empty, remove])
async def test_harm_in_the_middle_of_a_send_goes_unnoticed_by_the_reader(path, harm):
    data = LARGE[: BLOCK + BIG]
    async with worker(path=path) as warm:
        warm.put("film", data)
        await warm.get("film")
        await warm.rest()
        reader = await warm.open("film")
        assert await reader.read(0, 10) == data[:10]
        for index in range(2):
            harm(file_of(warm, path, "film", index))
        got = b""
        while len(got) < len(data):
            region = await reader.region(len(got), 300_000)
            if region is not None:
                got += os.pread(region.fd, region.size, region.offset)
            else:
                got += await reader.read(len(got), 300_000)
        reader.close()
        assert got == data


async def test_large_blocks_are_sent_from_their_files(path):
    async with worker(path=path) as warm:
        warm.put("large", LARGE)
        await warm.get("large")
        await warm.rest()
        reader = await warm.open("large")
        for offset, size in ((0, BLOCK), (BLOCK + 5, BLOCK - 5)):
            region = await reader.region(offset, BLOCK)
            assert region is not None
            assert region.size == size
            assert os.pread(region.fd, region.size, region.offset) == LARGE[offset : offset + size]
        reader.close()


async def test_all_workers_together_keep_no_more_than_they_may(path):
    origin, most = MemoryOrigin(own_keys=True), 5 << 20
    board = Board(None)
    async with worker(origin, path, board=board, disk=most) as one, worker(origin, path, board=board, disk=most) as two:
        for number in range(12):
            for warm in (one, two):
                key = f"{number}-{id(warm)}"
                warm.put(key, LARGE[number : number + 300_000])
                await warm.get(key)
                await warm.rest()
                assert lying(path) <= most
        blocks = Blocks(path, most)
        blocks.prepare()
        assert blocks.used() == lying(path) > most // 2
        blocks.close()


async def test_what_another_worker_has_put_there_is_not_asked_for(path):
    origin, board = MemoryOrigin(own_keys=True), Board(None)
    async with worker(origin, path, board=board) as one, worker(origin, path, board=board) as two:
        await one.rest()
        await two.rest()
        one.put("large", LARGE)
        two.rows = one.rows
        await one.get("large")
        await one.rest()
        assert (await two.ask("large"))[1] == LARGE
        await two.rest()
        assert origin.faults.seen.count("open") == 1
        assert await two.ask("large") == ("hit", LARGE)


async def test_blocks_that_another_worker_has_removed_are_let_go_when_they_are_looked_for(path):
    origin, board = MemoryOrigin(own_keys=True), Board(None)
    async with worker(origin, path, board=board) as one, worker(origin, path, board=board) as two:
        one.put("large", LARGE)
        two.rows = one.rows
        for warm in (one, two):
            await warm.get("large")
            await warm.rest()
        for file in (path / "blocks").rglob("*"):
            if file.is_file():
                file.unlink()
        assert open_though_removed(path)
        for warm in (one, two):
            await warm.cache.forget_removed()
        await become_few(path)
        assert await two.get("large") == LARGE


async def test_a_block_that_another_worker_fetches_is_waited_for(path):
    origin, board = MemoryOrigin(own_keys=True), Board(None)
    async with worker(origin, path, board=board) as one, worker(origin, path, board=board) as two:
        one.put("big", LARGE[:BIG])
        two.rows = one.rows
        pause = origin.faults.pause("read")
        first = asyncio.ensure_future(one.get("big"))
        await pause.reached.wait()
        second = asyncio.ensure_future(two.get("big"))
        for _ in range(200):
            await asyncio.sleep(0)
        pause.resume.set()
        assert [await first, await second] == [LARGE[:BIG]] * 2
        await two.rest()
        assert origin.faults.seen.count("open") == 1


async def test_another_worker_that_fails_or_is_too_slow_is_not_waited_for_long(path):
    origin, board = MemoryOrigin(own_keys=True), Board(None)
    async with (
        worker(origin, path, board=board) as one,
        worker(origin, path, board=board, turn_s=0.05) as two,
    ):
        one.put("big", LARGE[:BIG])
        two.rows = one.rows
        pause = origin.faults.pause("read")
        first = asyncio.ensure_future(one.get("big"))
        await pause.reached.wait()
        assert await two.get("big") == LARGE[:BIG]
        pause.resume.set()
        await first


async def test_a_disk_that_refuses_is_told_of_once_and_used_again_when_it_works(path, caplog, monkeypatch):
    async with worker(path=path) as warm:
        await warm.rest()
        assert warm.tiers.disk is not None
        warm.tiers.disk._retry_s = 0.0
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (BIG // 2, hard))
        try:
            for number in range(3):
                warm.put(f"{number}", LARGE[number : number + BIG])
                assert await warm.ask(f"{number}") == ("miss", LARGE[number : number + BIG])
                await warm.rest()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        alarms = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(alarms) == 1
        assert os.strerror(errno.EFBIG) in alarms[0].getMessage()
        assert [*(path / "fresh").iterdir()] == []
        assert await warm.ask("0") == ("miss", LARGE[:BIG])
        await warm.rest()
        assert await warm.ask("0") == ("hit", LARGE[:BIG])


async def test_a_cache_that_is_deleted_is_made_anew(path, caplog):
    import shutil

    async with worker(path=path) as warm:
        await warm.rest()
        assert warm.tiers.disk is not None
        warm.tiers.disk._retry_s = 0.0
        warm.put("big", LARGE[:BIG])
        await warm.get("big")
        await warm.rest()
        shutil.rmtree(path)
        for _ in range(2):
            assert await warm.ask("big") == ("miss", LARGE[:BIG])
            await warm.rest()
        assert await warm.ask("big") == ("hit", LARGE[:BIG])
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


@pytest.mark.parametrize("what", ["a file", "a file in it", "something else"])
async def test_a_place_where_no_directory_can_be_is_no_reason_to_fail(path, what, caplog):
    if what == "a file":
        path.write_text("not a directory")
    else:
        path.mkdir(mode=0o755)
        (path / ("key" if what == "a file in it" else "other")).write_text("")
        (path / "blocks").write_text("")
    async with worker(path=path) as warm:
        for _ in range(2):
            warm.put("big", LARGE[:BIG])
            assert await warm.ask("big") == ("miss", LARGE[:BIG])
            await warm.rest()
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    if what == "something else":
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        assert sorted(each.name for each in path.iterdir()) == ["blocks", "other"]


async def test_blocks_of_every_size_stay_within_bounds(path):
    rng = random.Random(3)
    async with worker(path=path, disk=3 << 20, memory=100_000) as warm:
        for number in range(60):
            size = rng.choice([1, 100, 5000, BIG, BLOCK, BLOCK + 1])
            warm.put(f"{number}", LARGE[:size])
            assert await warm.get(f"{number}") == LARGE[:size]
            await warm.rest()
            assert lying(path) <= 3 << 20
            assert warm.tiers.memory.size <= 100_000
        assert warm.counted("evictions") > 20


async def test_what_is_asked_for_once_is_put_on_disk_in_the_end_and_what_is_asked_for_again_at_once(path):
    origin = MemoryOrigin(own_keys=True)
    async with worker(origin, path, write_through=False) as warm:
        for key in ("once", "twice"):
            warm.put(key, LARGE[:BIG] + key.encode())
            await warm.get(key)
        await warm.rest()
        assert lying(path) == 0
        assert await warm.ask("twice") == ("hit", LARGE[:BIG] + b"twice")
        await warm.rest()
        assert file_of(warm, path, "twice").exists()
        assert not file_of(warm, path, "once").exists()
        assert await warm.ask("twice") == ("hit", LARGE[:BIG] + b"twice")
        rows = warm.rows
    async with worker(origin, path) as again:
        again.rows = rows
        await again.rest()
        for key in ("once", "twice"):
            assert await again.ask(key) == ("hit", LARGE[:BIG] + key.encode())
    assert origin.faults.seen.count("open") == 2


async def test_what_comes_again_after_it_has_left_memory_is_put_on_disk_at_once(path):
    async with worker(path=path, write_through=False, memory=1 << 20) as warm:
        await warm.rest()
        for number in range(12):
            warm.put(f"{number}", LARGE[number : number + BIG])
            await warm.get(f"{number}")
        assert await warm.ask("0") == ("miss", LARGE[:BIG])
        await warm.rest()
        assert file_of(warm, path, "0").exists()
        assert lying(path) < 2 * BIG
        assert await warm.ask("0") == ("hit", LARGE[:BIG])


async def test_what_is_purged_is_not_put_on_disk_in_the_end(path):
    async with worker(path=path, write_through=False) as warm:
        warm.put("once", LARGE[:BIG])
        await warm.get("once")
        await warm.rest()
        warm.board.begin_generation()
    assert lying(path) == 0


async def test_a_block_that_is_read_just_before_a_purge_removes_it_does_not_stay_in_memory(path):
    looked, go_on = threading.Event(), threading.Event()

    def wanted(bucket: str, key: str) -> bool:
        looked.set()
        return go_on.wait(30)

    async with worker(path=path) as warm:
        warm.put("small", SMALL)
        await warm.get("small")
        await warm.rest()
        purging = asyncio.ensure_future(asyncio.to_thread(purge, warm.board, path, wanted))
        await asyncio.to_thread(looked.wait, 30)
        assert await warm.ask("small") == ("hit", SMALL)
        assert warm.tiers.memory.size
        go_on.set()
        assert (await purging).blocks == 1
        await warm.rest()
        assert await warm.ask("small") == ("miss", SMALL)


async def test_a_file_that_the_disk_tells_nothing_of_any_more_is_fetched_again(path, monkeypatch):
    """A share of another machine calls it stale, a disk that fails says EIO."""
    fstat = os.fstat

    async with worker(path=path) as warm:
        for key, body in (("small", SMALL), ("large", LARGE)):
            warm.put(key, body)
            await warm.get(key)
            await warm.rest()
            assert await warm.ask(key) == ("hit", body)
        held = open_below(path / "blocks")
        assert held

        def stale(fd: int) -> os.stat_result:
            if fd in held:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return fstat(fd)

        forget_memory(warm)
        monkeypatch.setattr(os, "fstat", stale)
        for key, body in (("small", SMALL), ("large", LARGE)):
            assert (await warm.ask(key))[1] == body


async def test_where_other_workers_look_everything_is_put_at_once(path, tmp_path):
    board = Board(tmp_path / "board")
    board.join()
    joins = f"board = Board(Path({str(tmp_path / 'board')!r})); board.join()"
    with another_process("from gateway.cache.board import Board", joins):
        async with worker(path=path, board=board, write_through=False) as warm:
            warm.put("once", LARGE[:BIG])
            await warm.get("once")
            await warm.rest()
            assert file_of(warm, path, "once").exists()
    board.close()


async def test_what_is_deleted_goes_and_what_is_moved_to_its_key_stays(path):
    async with worker(path=path) as warm:
        warm.put("large", LARGE)
        warm.put("small", SMALL)
        for key in ("large", "small"):
            await warm.get(key)
        await warm.rest()
        location, etag, kept_as = warm.rows["large"]
        await warm.cache.copy(location, 0, len(LARGE), "media/home", BodyMeta("media", "large", "ops", "2"), etag)
        await warm.cache.delete(location)
        await warm.rest()  # by now its blocks would be gone
        assert warm.cache.at_hand(kept_as, 0, 10) is not None
        await warm.cache.delete("media/home")
        await warm.rest()
        assert warm.cache.at_hand(kept_as, 0, 10) is None
        assert await warm.ask("small") == ("hit", SMALL)
        assert lying(path) == 8192


def test_a_count_that_a_crash_left_wrong_is_set_right(path):
    blocks = Blocks(path, 1 << 20)
    blocks.prepare()
    names = [block_name(bytes([number]) * 20, 0) for number in range(3)]
    for name in names:
        opened = blocks.write(name, [b"x" * 5000], b"media\0key", 1, lambda: True)
        assert opened is not None
        os.close(opened.fd)
    os.truncate(path / "usage", 0)
    os.unlink(path / "blocks" / block_path(names[0]))
    assert blocks.used() == 0
    from gateway.cache.blocks import FOLDERS

    found = [block.name for each in FOLDERS for block in blocks.survey(each)]
    blocks.recount()
    assert (sorted(found), blocks.used()) == (sorted(names[1:]), 2 * 8192)
    assert blocks.label(names[1]) == ("media", "key")
    assert blocks.remove(names[1])
    assert not blocks.remove(names[1])
    assert blocks.used() == 8192
    with pytest.raises(FileNotFoundError):
        blocks.open(names[1])
    blocks.close()


def test_a_block_that_is_not_wanted_any_more_does_not_appear(path):
    blocks = Blocks(path, 1 << 20)
    blocks.prepare()
    name = block_name(bytes(20), 0)
    assert blocks.write(name, [b"x"], b"m\0k", 1, lambda: False) is None
    with pytest.raises(FileNotFoundError):
        blocks.open(name)
    assert [*(path / "fresh").iterdir()] == []
    blocks.close()


def test_a_hard_link_to_a_block_makes_it_none(path):
    blocks = Blocks(path, 1 << 20)
    blocks.prepare()
    name = block_name(bytes(20), 0)
    opened = blocks.write(name, [b"x"], b"m\0k", 1, lambda: True)
    assert opened is not None
    os.close(opened.fd)
    os.link(path / "blocks" / block_path(name), path / "other")
    with pytest.raises(Damaged):
        blocks.open(name)
    blocks.close()


def test_what_a_dead_process_was_writing_is_removed(path):
    blocks = Blocks(path, 1 << 20)
    blocks.prepare()
    (path / "fresh" / "3ffffff-00").write_text("left")
    (path / "fresh" / f"{os.getpid():x}-00").write_text("being written")
    blocks.recount()
    assert [each.name for each in (path / "fresh").iterdir()] == [f"{os.getpid():x}-00"]
    blocks.close()


@pytest.mark.parametrize("name", ["usage", "claims"])
def test_where_it_cannot_be_made_ready_again_blocks_are_claimed_and_read_as_before(path, name):
    """As when all descriptors are in use: whoever asks for a block meanwhile must not fail of it."""
    blocks = Blocks(path, 1 << 20)
    blocks.prepare()
    block = block_name(bytes(20), 0)
    opened = blocks.write(block, [b"x"], b"m\0k", 1, lambda: True)
    assert opened is not None
    os.close(opened.fd)
    os.rename(path / name, path / "aside")
    (path / name).mkdir()
    with pytest.raises(OSError):
        blocks.prepare()
    assert blocks.claim(block)
    blocks.unclaim(block)
    os.close(blocks.open(block).fd)
    assert blocks.used() == 4096
    (path / name).rmdir()
    os.rename(path / "aside", path / name)
    blocks.prepare()
    assert blocks.remove(block)
    blocks.close()
    assert blocks.claim(block), "nobody is kept out"


def test_two_processes_do_not_claim_one_block(path):
    one, two = Blocks(path, 1 << 20), Blocks(path, 1 << 20)
    one.prepare()
    two.prepare()
    name, other = block_name(bytes(20), 0), block_name(bytes(20), 1)
    assert one.claim(name)
    assert not two.claim(name)
    assert two.claim(other)
    one.unclaim(name)
    assert two.claim(name)
    two.close()
    assert one.claim(name)
    one.close()


def test_whoever_dies_claims_nothing_any_more(path):
    name = block_name(bytes(20), 0)
    blocks = Blocks(path, 1 << 20)
    blocks.prepare()
    claims = f"blocks = Blocks(Path({str(path)!r}), 1 << 20); blocks.prepare(); assert blocks.claim({name!r})"
    with another_process("from gateway.cache.blocks import Blocks", claims):
        assert not blocks.claim(name)
    assert blocks.claim(name)
    blocks.close()


@pytest.mark.parametrize("name", ["key", "usage", "claims"])
def test_no_symbolic_link_is_followed_to_a_file_of_somebody_else(path, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody else's" * 10)
    blocks = Blocks(path, 1 << 20)
    blocks.prepare()
    blocks.close()
    (path / name).unlink()
    (path / name).symlink_to(elsewhere)
    with pytest.raises(OSError):
        Blocks(path, 1 << 20).prepare()
    assert elsewhere.read_bytes() == b"somebody else's" * 10
