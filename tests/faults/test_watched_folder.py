"""A watched policy folder with a file in it whose name the watching library cannot read."""

import asyncio
import os
from functools import partial
from pathlib import Path

from gateway import policy_watch
from gateway.policy.evaluate import Rules
from gateway.policy_watch import PolicyWatch
from gateway.rulebook import Rulebook, apply_folder
from gateway.store.database import Database
from gateway.store.store import Store
from tests.support.house import RING
from tests.support.raw_http import eventually

ORIGINS = ("local",)
DEMO = 'project = "demo"\n[principals.sara]\nrole = "uploader"\n'


def _has_moved_on(rulebook: Rulebook, before: Rules) -> bool:
    return rulebook.rules is not before


async def test_a_name_that_is_no_utf8_does_not_end_the_watching(tmp_path: Path, monkeypatch):
    """watchfiles raises a group of errors for it, out of its own task group."""
    monkeypatch.setattr(policy_watch, "_LOOK_AGAIN_S", 0.1)
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "demo.toml").write_text(DEMO)
    database = await Database.open(tmp_path / "anbar.sqlite")
    store = Store(database, RING)
    rulebook = Rulebook(
        store.revisions,
        ORIGINS,
        Rules(*await apply_folder(store.revisions, folder, ORIGINS, author="serve", comment="", now_s=1)),
    )
    watch = PolicyWatch(rulebook, store.revisions, store.audit, folder, ORIGINS)
    running = asyncio.ensure_future(watch.run())
    odd = folder / os.fsdecode(b"\xff.txt")
    try:
        for _ in range(3):
            before = rulebook.rules
            odd.write_text("")
            odd.unlink()
            (folder / "demo.toml").write_text(f"{DEMO}# after revision {before.revision}\n")
            assert await asyncio.to_thread(eventually, partial(_has_moved_on, rulebook, before), within_s=10)
            assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()
