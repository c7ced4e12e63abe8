"""A watched policy folder: what stands still and has no mistake is applied, and nothing else ever is."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway import policy_watch
from gateway.policy.evaluate import Rules
from gateway.policy_watch import PolicyWatch
from gateway.rulebook import Rulebook, apply_folder
from gateway.store.database import Database
from gateway.store.store import Store
from tests.support.house import RING
from tests.support.raw_http import eventually

ORIGINS = ("local",)
DEMO = 'project = "demo"\n[categories.media]\n[principals.sara]\nrole = "uploader"\n'
READER = DEMO.replace("uploader", "reader")


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(policy_watch, "_SETTLE_S", 0.05)
    monkeypatch.setattr(policy_watch, "_LOOK_AGAIN_S", 0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    made.mkdir()
    (made / "demo.toml").write_text(DEMO)
    return made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    database = await Database.open(tmp_path / "anbar.sqlite")
    yield Store(database, RING)
    await database.close()


@pytest.fixture
async def rulebook(store: Store, folder: Path) -> Rulebook:
    in_force = await apply_folder(store.revisions, folder, ORIGINS, author="serve", comment="", now_s=1)
    return Rulebook(store.revisions, ORIGINS, Rules(*in_force))


@pytest.fixture
def watch(store: Store, rulebook: Rulebook, folder: Path) -> PolicyWatch:
    return PolicyWatch(rulebook, store.revisions, store.audit, folder, ORIGINS)


async def becomes(holds: Callable[[], bool]) -> bool:
    return await asyncio.to_thread(eventually, holds, within_s=10)


async def refusals(store: Store) -> list[str]:
    """What the audit says was not applied."""
    return [str(each.entry.details["why"]) for each in await store.audit.list(event="policy.refused")]


async def test_what_is_new_is_applied_once(store, rulebook, watch, folder):
    await watch.look()
    assert rulebook.rules.revision == 1
    (folder / "demo.toml").write_text(READER)
    for _ in range(3):
        await watch.look()
    assert rulebook.rules.revision == 2
    first = (await store.revisions.list(1))[0]
    assert (first.author, first.comment) == ("serve", "the policy folder has changed")


async def test_a_file_that_is_being_written_is_not_applied(rulebook, watch, folder):
    """Its beginning is a policy without a mistake, and without the denial that follows."""
    (folder / "demo.toml").write_text(READER)
    looking = asyncio.ensure_future(watch.look())
    for number in range(20):
        await asyncio.sleep(0.01)  # the writer's pace
        with (folder / "demo.toml").open("a") as file:
            file.write(f"# {number}\n")
        assert rulebook.rules.revision == 1
    await looking
    assert rulebook.rules.revision == 2
    assert rulebook.rules.policies.projects[0].principals["sara"].role.value == "reader"


async def test_a_file_that_is_away_for_a_moment_is_not_missed(store, rulebook, watch, folder):
    (folder / "demo.toml").unlink()
    looking = asyncio.ensure_future(watch.look())
    await asyncio.sleep(0.01)
    (folder / "demo.toml").write_text(READER)
    await looking
    assert rulebook.rules.revision == 2
    assert await refusals(store) == []


async def test_a_mistake_is_told_once_and_again_when_it_comes_back(store, rulebook, watch, folder, caplog):
    with caplog.at_level(logging.ERROR):
        for text in (DEMO + "x = 1", DEMO + "x = 1", DEMO, DEMO + "x = 1"):
            (folder / "demo.toml").write_text(text)
            await watch.look()
    assert rulebook.rules.revision == 1
    why = f"{folder}/demo.toml: line 5: principals.sara.x: unknown key"
    assert caplog.messages == [f"the policies were not applied, revision 1 stays in force: {why}"] * 2
    assert await refusals(store) == [why] * 2


async def test_no_name_and_no_text_ends_the_watching(store, rulebook, watch, folder, caplog):
    """Names that are no UTF-8, control characters and long mistakes go into the log and the audit all the same."""
    odd = folder / os.fsdecode(b"\xff.toml")
    with caplog.at_level(logging.ERROR):
        odd.write_text(DEMO)
        await watch.look()
        odd.unlink()
        (folder / "demo.toml").write_text(DEMO + '"' + "\\u0001" * 2000 + '" = 1\n')
        await watch.look()
        (folder / "demo.toml").write_text(DEMO + '"' + "🎧" * 2000 + '" = 1\n')
        await watch.look()
    assert len(await refusals(store)) == 3
    assert not [record for record in caplog.records if record.exc_info]
    (folder / "demo.toml").write_text(READER)
    await watch.look()
    assert rulebook.rules.revision == 2


async def test_a_store_that_fails_is_told_and_looked_at_again(store, rulebook, watch, folder, caplog):
    (folder / "demo.toml").write_text(READER)
    await store.database.close()
    await watch.look()
    assert "the policy folder is looked at later" in caplog.text
    assert rulebook.rules.revision == 1


async def test_a_bug_is_told_and_does_not_end_the_watching(rulebook, watch, folder, caplog, monkeypatch):
    def fail(_: object) -> None:
        raise ZeroDivisionError

    (folder / "demo.toml").write_text(READER)
    with monkeypatch.context() as broken:
        broken.setattr(policy_watch, "read_policy_files", fail)
        await watch.look()
    assert "the policy folder could not be looked at" in caplog.text
    await watch.look()
    assert rulebook.rules.revision == 2


async def test_a_folder_that_is_gone_is_told_once_and_followed_again_when_it_is_back(
    store, rulebook, watch, folder, caplog
):
    aside = folder.with_name("aside")
    folder.rename(aside)
    running = asyncio.ensure_future(watch.run())
    try:
        assert await becomes(lambda: "were not applied" in caplog.text and "cannot be watched" in caplog.text)
        (aside / "demo.toml").write_text(READER)
        aside.rename(folder)
        assert await becomes(lambda: rulebook.rules.revision == 2)
        (folder / "demo.toml").write_text(DEMO)
        assert await becomes(lambda: rulebook.rules.revision == 3)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert caplog.text.count("cannot be watched") == 1
    assert len(await refusals(store)) == 1
