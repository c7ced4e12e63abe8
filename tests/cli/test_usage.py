"""anbar usage: the sums of the store, as a table and as JSON."""

import asyncio
import json

import pytest

from gateway.cli.usage import render_size
from gateway.config import load_settings
from gateway.store.database import Database
from gateway.store.ledger import NO_LIMITS, NOTHING, Account, Amount, reserve, settle


@pytest.fixture
def filled(installation):
    """A store in which ops has two objects of 1,536 bytes together in media, and is writing one of 100 bytes."""

    async def fill() -> None:
        database = await Database.open(load_settings(installation / "gateway.toml").store.path)
        account = Account("demo", "media", "ops")
        await database.write(lambda connection: settle(connection, account, Amount(1536, 2), NOTHING, NO_LIMITS))
        await database.write(lambda connection: reserve(connection, account, Amount(100, 1), NO_LIMITS))
        await database.close()

    asyncio.run(fill())


POLICY = """\
project = "demo"
quota = { bytes = "1MiB" }

[categories.media]
quota = { bytes = "3KiB", objects = 2 }
quota_per_uploader = { bytes = "6KiB" }

[categories.voice]

[principals.ops]
role = "admin"
"""
NOTHING_HELD = {"bytes": 0, "objects": 0, "reserved_bytes": 0, "reserved_objects": 0}
NO_LIMIT = {"limit_bytes": None, "limit_objects": None}
HELD = {"bytes": 1536, "objects": 2, "reserved_bytes": 100, "reserved_objects": 1}
OPS = {"uploader": "ops", **HELD, "limit_bytes": 6 << 10, "limit_objects": None}
MEDIA = {"category": "media", **HELD, "limit_bytes": 3 << 10, "limit_objects": 2}
VOICE: dict[str, object] = {"category": "voice", **NOTHING_HELD, **NO_LIMIT, "uploaders": []}
DEMO = {"project": "demo", **HELD, "limit_bytes": 1 << 20, "limit_objects": None}


@pytest.fixture(autouse=True)
def policy(installation):
    (installation / "policies/demo.toml").write_text(POLICY)


def told(anbar, *options: str) -> list[dict[str, object]]:
    ended = anbar("usage", "--json", *options)
    assert ended.code == 0, ended.err
    projects: list[dict[str, object]] = json.loads(ended.out)["projects"]
    return projects


def test_what_is_empty_has_its_limits(anbar, installation):
    (demo,) = told(anbar)
    assert demo["limit_bytes"] == 1 << 20
    assert demo["bytes"] == demo["reserved_objects"] == 0
    assert demo["categories"] == [{**MEDIA, **NOTHING_HELD, "uploaders": []}, VOICE]


def test_projects_categories_and_uploaders_have_their_sums_and_limits(anbar, installation, filled):
    expected = [{**DEMO, "categories": [{**MEDIA, "uploaders": [OPS]}, VOICE]}]
    assert told(anbar) == expected
    assert told(anbar, "--project", "demo") == expected


def test_a_category_and_an_uploader_can_be_asked_for(anbar, installation, filled):
    assert told(anbar, "--category", "voice") == [{**DEMO, "categories": [VOICE]}]
    assert told(anbar, "--category", "media", "--uploader", "ops") == [
        {**DEMO, "categories": [{**MEDIA, "uploaders": [OPS]}]}
    ]
    assert told(anbar, "--uploader", "nobody") == [{**DEMO, "categories": [{**MEDIA, "uploaders": []}, VOICE]}]


def test_a_category_that_clients_have_made_is_told_without_limits(anbar, installation, filled):
    (installation / "policies/demo.toml").write_text('project = "demo"\n')
    (demo,) = told(anbar, "--category", "media")
    assert demo["categories"] == [{**MEDIA, **NO_LIMIT, "uploaders": [{**OPS, **NO_LIMIT}]}]


def test_people_get_a_table(anbar, installation, filled):
    ended = anbar("usage")
    assert ended.code == 0
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines == [
        "PROJECT CATEGORY UPLOADER BYTES SIZE RESERVED LIMIT USED OBJECTS RESERVED LIMIT USED",
        "demo 1,536 1.5 KiB 100 B 1.0 MiB 0 % 2 1",
        "media 1,536 1.5 KiB 100 B 3.0 KiB 50 % 2 1 2 100 %",
        "ops 1,536 1.5 KiB 100 B 6.0 KiB 25 % 2 1",
        "voice 0 0 B 0",
    ]


def test_an_unknown_project_is_refused(anbar, installation):
    ended = anbar("usage", "--project", "other")
    assert ended.code == 1
    assert 'there is no project "other"; there is demo' in ended.err


def test_an_unknown_category_is_refused(anbar, installation, filled):
    ended = anbar("usage", "--category", "vioce")
    assert ended.code == 1
    assert 'there is no category "vioce"; there is media, voice' in ended.err


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (3 << 50, "3072.0 TiB")],
)
def test_sizes_are_rendered_for_readers(size, text):
    assert render_size(size) == text
