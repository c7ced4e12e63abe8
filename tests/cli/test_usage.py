"""anbar usage: the sums of the store, as a table and as JSON."""

import asyncio
import json

import pytest

from gateway.cli.usage import render_size
from gateway.config import load_settings
from gateway.store.database import Database
from gateway.store.ledger import NO_LIMITS, NOTHING, Account, Amount, settle


@pytest.fixture
def filled(installation):
    """A store in which ops has two objects of 1,536 bytes together in media."""

    async def fill() -> None:
        database = await Database.open(load_settings(installation / "gateway.toml").store.path)
        account = Account("demo", "media", "ops")
        await database.write(lambda connection: settle(connection, account, Amount(1536, 2), NOTHING, NO_LIMITS))
        await database.close()

    asyncio.run(fill())


def test_an_empty_project_holds_nothing(anbar, installation):
    assert json.loads(anbar("usage", "--json").out) == {
        "projects": [{"project": "demo", "bytes": 0, "objects": 0, "categories": []}]
    }


def test_projects_categories_and_uploaders_have_their_sums(anbar, installation, filled):
    ops = {"uploader": "ops", "bytes": 1536, "objects": 2}
    media = {"category": "media", "bytes": 1536, "objects": 2, "uploaders": [ops]}
    expected = {"projects": [{"project": "demo", "bytes": 1536, "objects": 2, "categories": [media]}]}
    assert json.loads(anbar("usage", "--json").out) == expected
    assert json.loads(anbar("usage", "--json", "--project", "demo").out) == expected


def test_people_get_a_table(anbar, installation, filled):
    ended = anbar("usage")
    assert ended.code == 0
    assert all(text in ended.out for text in ("demo", "media", "ops", "1,536", "1.5 KiB"))


def test_an_unknown_project_is_refused(anbar, installation):
    ended = anbar("usage", "--project", "other")
    assert ended.code == 1
    assert 'there is no project "other"; there is demo' in ended.err


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (3 << 50, "3072.0 TiB")],
)
def test_sizes_are_rendered_for_readers(size, text):
    assert render_size(size) == text
