"""The rules in force: they follow what other processes apply, and no mistake takes them away."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.errors import S3Error
from gateway.policy.evaluate import Resource, Rules
from gateway.policy.model import Identity, PolicySet
from gateway.rulebook import Rulebook, apply_files, apply_folder, carry_out_plan, make_plan, parse_texts, read_folder
from gateway.store.bucket_changes import PolicyRefused
from gateway.store.database import Database
from gateway.store.records import Intent, ObjectRecord
from gateway.store.revisions import Revision, RevisionConflict, digest_of
from gateway.store.store import Store
from tests.support.house import RING

ORIGINS = ("local",)
DEMO = """\
project = "demo"

[categories.media]

[principals.sara]
role = "uploader"
"""
READER = DEMO.replace("uploader", "reader")
ELSEWHERE = DEMO.replace('project = "demo"', 'project = "demo"\norigin = "cold"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    made.mkdir()
    (made / "demo.toml").write_text(DEMO)
    return made


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "anbar.sqlite")
    yield opened
    await opened.close()


@pytest.fixture
async def store(database: Database) -> Store:
    return Store(database, RING)


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Store]:
    """The same store in another process."""
    opened = await Database.open(tmp_path / "anbar.sqlite")
    yield Store(opened, RING)
    await opened.close()


async def apply(store: Store, folder: Path, origins: tuple[str, ...] = ORIGINS) -> int:
    """Apply the folder; the number of the revision that is in force then."""
    _, revision = await apply_folder(store.revisions, folder, origins, author="root", comment="", now_s=1)
    return revision


async def roll_back(store: Store, folder: Path, number: int) -> int:
    """As the command does it."""
    texts = await store.revisions.texts(number)
    seen = digest_of(read_folder(folder, ORIGINS)[0])
    plan = await make_plan(store.revisions, texts, parse_texts(texts, ORIGINS), seen, ORIGINS, 1)
    made = await carry_out_plan(store.revisions, plan, author="root", comment="", now_s=1, event="policy.rollback")
    return made.revision


async def opened_rulebook(store: Store, folder: Path) -> Rulebook:
    """As the gateway does it at its start."""
    policies, revision = await apply_folder(store.revisions, folder, ORIGINS, author="serve", comment="", now_s=1)
    rulebook = Rulebook(store.revisions, ORIGINS, Rules(policies, revision))
    store.follow(rulebook.refresh)
    await store.refresh()
    return rulebook


def may_store(rules: Rules) -> bool:
    """May sara store?"""
    sara = rules.policies.principal("demo", "sara")
    assert sara is not None
    return rules.decide(Identity(sara, "sara"), "s3:PutObject", Resource("demo", "demo-media", "k")).allowed


def role_of(policies: PolicySet) -> str:
    sara = policies.principal("demo", "sara")
    return sara.role.value if sara is not None else "nobody"


async def test_what_another_process_has_applied_is_in_force_after_a_refresh(store, other, folder):
    rulebook = await opened_rulebook(store, folder)
    before = rulebook.rules
    assert may_store(before)
    (folder / "demo.toml").write_text(READER)
    assert await apply(other, folder) == 2
    assert not store.is_fresh(), "the next request notices"
    await store.refresh()
    assert rulebook.rules.revision == 2
    assert not may_store(rulebook.rules)
    assert may_store(before), "requests that have begun keep the rules that they came in under"


async def test_a_write_that_is_no_revision_leaves_the_rules_as_they_are(store, other, folder):
    rulebook = await opened_rulebook(store, folder)
    before = rulebook.rules
    await other.access_keys.create("demo", "sara", 1, actor="root")
    assert not store.is_fresh()
    await store.refresh()
    assert rulebook.rules is before


async def test_many_revisions_at_once_end_with_the_last(store, other, folder):
    rulebook = await opened_rulebook(store, folder)
    for number, text in enumerate((READER, DEMO, READER), 2):
        (folder / "demo.toml").write_text(text)
        assert await apply(other, folder) == number
    await asyncio.gather(*(store.refresh() for _ in range(5)))
    assert rulebook.rules.revision == 4
    assert not may_store(rulebook.rules)


async def test_an_older_revision_never_replaces_a_later_one(store, other, folder):
    rulebook = await opened_rulebook(store, folder)
    old = rulebook.rules.policies
    (folder / "demo.toml").write_text(READER)
    await apply(other, folder)
    await store.refresh()
    rulebook.take(old, 1)
    assert rulebook.rules.revision == 2


async def test_a_revision_that_cannot_be_used_here_leaves_the_last_one_in_force_and_is_told_once(
    store, other, folder, caplog
):
    rulebook = await opened_rulebook(store, folder)
    (folder / "demo.toml").write_text(ELSEWHERE.replace("uploader", "reader"))
    assert await apply(other, folder, ("local", "cold")) == 2
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await store.refresh()
    assert may_store(rulebook.rules)
    assert rulebook.rules.revision == 1
    [told] = caplog.messages
    assert told.startswith(
        "revision 2 of the policies cannot be used here, revision 1 stays in force: demo.toml: line 2: origin: "
    )
    (folder / "demo.toml").write_text(READER)
    assert await apply(other, folder) == 3
    await store.refresh()
    assert rulebook.rules.revision == 3


async def test_a_store_that_cannot_be_read_is_an_error_and_not_an_old_rule(store, other, folder):
    await opened_rulebook(store, folder)
    (folder / "demo.toml").write_text(READER)
    await apply(other, folder)
    await store.database.close()
    with pytest.raises(S3Error) as refused:
        await store.refresh()
    assert refused.value.code.status == 503
    assert not store.is_fresh(), "every further request tries again"


async def test_the_same_folder_makes_one_revision(store, folder):
    assert [await apply(store, folder) for _ in range(3)] == [1, 1, 1]
    (folder / "demo.toml").touch()
    (folder / "notes.txt").write_text("no policy")
    (folder / ".demo.toml.swp.toml").write_text("an editor's")
    assert await apply(store, folder) == 1
    assert len(await store.revisions.list(10)) == 1


async def test_after_a_rollback_the_folder_counts_once_it_has_changed(store, folder):
    assert await apply(store, folder) == 1
    (folder / "demo.toml").write_text(READER)
    assert await apply(store, folder) == 2
    assert await roll_back(store, folder, 1) == 3
    policies, revision = await apply_folder(store.revisions, folder, ORIGINS, author="serve", comment="", now_s=1)
    assert (revision, role_of(policies)) == (3, "uploader"), "as at a restart"
    (folder / "demo.toml").write_text(READER + "# changed\n")
    policies, revision = await apply_folder(store.revisions, folder, ORIGINS, author="serve", comment="", now_s=1)
    assert (revision, role_of(policies)) == (4, "reader")


async def test_a_folder_that_was_put_back_after_a_rollback_counts_when_it_changes_again(store, folder):
    assert await apply(store, folder) == 1
    (folder / "demo.toml").write_text(READER)
    assert await apply(store, folder) == 2
    assert await roll_back(store, folder, 1) == 3
    (folder / "demo.toml").write_text(DEMO)
    assert [await apply(store, folder) for _ in range(2)] == [4, 4]
    (folder / "demo.toml").write_text(READER)
    policies, revision = await apply_folder(store.revisions, folder, ORIGINS, author="serve", comment="", now_s=1)
    assert (revision, role_of(policies)) == (5, "reader")


async def test_a_revision_in_force_whose_origin_is_gone_is_not_told_as_a_mistake_of_the_folder(store, folder):
    (folder / "demo.toml").write_text(ELSEWHERE)
    assert await apply(store, folder, ("local", "cold")) == 1
    (folder / "demo.toml").write_text(DEMO)
    assert await apply(store, folder) == 2
    texts = await store.revisions.texts(1)
    seen = digest_of(read_folder(folder, ORIGINS)[0])
    plan = await make_plan(store.revisions, texts, parse_texts(texts, ("local", "cold")), seen, ("local", "cold"), 1)
    await carry_out_plan(store.revisions, plan, author="root", comment="", now_s=1, event="policy.rollback")
    with pytest.raises(ConfigError) as refused:
        await apply(store, folder)
    first, last = str(refused.value).splitlines()
    assert first.startswith("revision 3, which is in force: demo.toml: line 2: origin: ")
    assert last == "revision 3, which is in force: to put the policy files in force instead, run: anbar policy apply"


async def test_a_plan_over_a_revision_that_cannot_be_read_has_everything_as_new(store, folder):
    (folder / "demo.toml").write_text(ELSEWHERE)
    assert await apply(store, folder, ("local", "cold")) == 1
    (folder / "demo.toml").write_text(DEMO)
    texts, policies = read_folder(folder, ORIGINS)
    plan = await make_plan(store.revisions, texts, policies, digest_of(texts), ORIGINS, 1)
    assert (plan.base, plan.old) == (1, None)
    assert {each.sign for each in plan.changes} == {"+"}
    assert await apply(store, folder) == 2


async def test_mistakes_and_refusals_change_nothing(store, folder):
    assert await apply(store, folder) == 1
    await store.buckets.load()
    intent = Intent("i", "put", "demo-media", "k", "sara", 3, "local", "at", 1)
    await store.catalog.begin(intent, None)
    record = ObjectRecord("demo-media", "k", "sara", 3, '"e"', 1, "local", "at")
    await store.catalog.commit(store.buckets.get("demo-media"), intent, record, None)
    for text, error in ((DEMO + "x = 1", ConfigError), (DEMO.replace("media", "films"), PolicyRefused)):
        (folder / "demo.toml").write_text(text)
        with pytest.raises(error):
            await apply(store, folder)
        assert [each.revision for each in await store.revisions.list(10)] == [1]


async def test_who_loses_the_race_tries_again_on_what_the_others_made(store, other, folder):
    revisions = await asyncio.gather(
        *(
            apply_files(
                each.revisions, {folder / "demo.toml": f"{DEMO}# {n}\n"}, ORIGINS, author=f"{n}", comment="", now_s=1
            )
            for n, each in enumerate((store, other, store))
        )
    )
    assert sorted(number for _, number in revisions) == [1, 2, 3]
    assert {each.author for each in await store.revisions.list(10)} == {"0", "1", "2"}


async def test_who_always_loses_the_race_gives_up_in_words(store, folder):
    """Somebody else applies whenever we are about to."""

    class Busy:
        """The store's revisions, with a rival at every turn."""

        def __getattr__(self, name: str) -> object:
            return getattr(store.revisions, name)

        async def apply(self, *_: object, base: int | None, **__: object) -> Revision:
            raise RevisionConflict(base, (base or 0) + 1)

    with pytest.raises(ConfigError, match="the policies: other processes apply some all the time; try again"):
        await apply_folder(Busy(), folder, ORIGINS, author="root", comment="", now_s=1)  # type: ignore[arg-type]


def large(changed: bool) -> str:
    categories = "".join(f"[categories.c{number}]\n" for number in range(500))
    roles = ("uploader", "reader")
    principals = "".join(
        f'[principals.p{number}]\nrole = "{roles[(number + changed) % 2]}"\n' for number in range(1000)
    )
    statements = "".join(
        f'[[statements]]\neffect = "allow"\nprincipals = ["p{number}"]\nactions = ["s3:GetObject"]\n'
        f'resources = ["demo-c{number}/*"]\n'
        for number in range(200)
    )
    return f'project = "demo"\n{categories}{principals}{statements}'


async def test_large_policies_work(store, other, folder):
    (folder / "demo.toml").write_text(large(changed=False))
    rulebook = await opened_rulebook(store, folder)
    assert len(list(store.buckets.all())) == 500
    (folder / "demo.toml").write_text(large(changed=True))
    texts, policies = read_folder(folder, ORIGINS)
    plan = await make_plan(other.revisions, texts, policies, digest_of(texts), ORIGINS, 1)
    assert len(plan.changes) == 1000
    assert await apply(other, folder) == 2
    await store.refresh()
    p7 = rulebook.rules.policies.principal("demo", "p7")
    assert p7 is not None
    assert (rulebook.rules.revision, p7.role.value) == (2, "uploader")
    allowed = rulebook.rules.decide(Identity(p7, "p7"), "s3:GetObject", Resource("demo", "demo-c7", "k", "p8"))
    assert allowed.statement is not None
    assert allowed.statement.name == "statements.7"
