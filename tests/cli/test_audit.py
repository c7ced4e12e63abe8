"""anbar audit: who did what, filtered, for people and for machines."""

import asyncio
import json
import re
from typing import Any

import pytest

from gateway.store.audit import Audit, AuditEntry, Denials
from gateway.store.database import Database


@pytest.fixture(autouse=True)
def tina(monkeypatch) -> None:
    """Who runs the commands."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "tina")


@pytest.fixture
def audit(anbar, installation):
    """The entries, as `anbar audit --json` tells them."""

    def read(*arguments: str) -> Any:
        ended = anbar("audit", *arguments, "--json")
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)

    return read


@pytest.fixture
def history(anbar, installation, monkeypatch) -> str:
    """Policies applied, a key made and, under sudo, disabled; the key's id."""
    assert anbar("policy", "apply", "-m", "the first").code == 0
    made = json.loads(anbar("keys", "create", "--project", "demo", "--principal", "ops", "--json").out)
    key = str(made["access_key_id"])
    monkeypatch.setenv("SUDO_USER", "omar")
    assert anbar("keys", "disable", key).code == 0
    return key


def test_an_installation_that_nobody_has_used_has_no_entries(anbar, audit):
    assert audit() == []
    assert anbar("audit").out.split() == ["ID", "TIME", "ACTOR", "EVENT", "PROJECT", "SUBJECT", "DETAILS"]


def test_entries_tell_who_did_what_the_newest_at_the_end(audit, history):
    told = audit()
    assert [list(each) for each in told] == [["id", "time", "actor", "event", "project", "subject", "details"]] * 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each["time"]) for each in told)
    assert [each | {"time": ""} for each in told] == [
        {
            "id": 1,
            "time": "",
            "actor": "tina",
            "event": "policy.apply",
            "project": None,
            "subject": "revision 1",
            "details": {"revision": 1, "comment": "the first", "changes": 10},
        },
        {
            "id": 2,
            "time": "",
            "actor": "tina",
            "event": "key.create",
            "project": "demo",
            "subject": history,
            "details": {"principal": "ops"},
        },
        {
            "id": 3,
            "time": "",
            "actor": "omar",
            "event": "key.disable",
            "project": "demo",
            "subject": history,
            "details": {"principal": "ops"},
        },
    ]


def test_people_get_a_table(anbar, history):
    ended = anbar("audit")
    assert ended.code == 0
    titles, applied, made, disabled = ended.out.splitlines()
    assert titles.split() == ["ID", "TIME", "ACTOR", "EVENT", "PROJECT", "SUBJECT", "DETAILS"]
    assert applied.rstrip().endswith("revision 1, comment the first, changes 10")
    assert made.split()[2:] == ["tina", "key.create", "demo", history, "principal", "ops"]
    assert disabled.split()[2:4] == ["omar", "key.disable"]


def test_times_in_the_details_are_times(anbar, installation):
    async def deny() -> None:
        database = await Database.open(installation / "var/anbar.sqlite")
        denials = Denials(database)
        for now_s in (1_000_000_000, 1_000_000_060):
            denials.note("demo", "sara", "GetObject", "demo-media", "AccessDenied", now_s)
        await denials.flush()
        await database.close()

    asyncio.run(deny())
    assert (
        "operation GetObject, code AccessDenied, count 2, first 2001-09-09T01:46:40Z, last 2001-09-09T01:47:40Z"
        in anbar("audit").out
    )


def test_entries_are_filtered(audit, history):
    def ids(*arguments: str) -> list[int]:
        return [each["id"] for each in audit(*arguments)]

    assert ids("--project", "demo") == [2, 3]
    assert ids("--project", "other") == []
    assert ids("--event", "key.create") == [2]
    assert ids("--event", "key") == []
    assert ids("--project", "demo", "--event", "key.disable") == [3]
    assert ids("--limit", "2") == [2, 3]
    assert ids("--after", "1") == [2, 3]
    assert ids("--after", "1", "--limit", "1") == [2]
    assert ids("--after", "0", "--limit", "1") == [1]
    assert ids("--after", "3") == []


def test_what_others_chose_cannot_break_the_table(anbar, audit, installation):
    """A name with control characters must not write to the operator's terminal."""
    name = "\x1b]0;owned\x07\n[bold]x"

    async def enter() -> None:
        database = await Database.open(installation / "var/anbar.sqlite")
        await Audit(database).record([AuditEntry(1, name, "request.denied", None, "b", {"code": name})])
        await database.close()

    asyncio.run(enter())
    ended = anbar("audit")
    assert not set(ended.out) & set("\x1b\x07")
    assert len(ended.out.splitlines()) == 2
    assert "[bold]x" in ended.out
    assert audit()[0]["actor"] == name


def test_broken_policy_files_hide_nothing(anbar, audit, history, edit_policy):
    edit_policy('role = "admin"', 'role = "boss"')
    assert len(audit()) == 3


@pytest.mark.parametrize("arguments", [("--limit", "0"), ("--limit", "x"), ("--after", "-1"), ("all",)])
def test_wrong_usage_is_exit_code_2(anbar, installation, arguments):
    assert anbar("audit", *arguments).code == 2


def test_a_missing_installation_is_refused(anbar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = anbar("audit")
    assert ended.code == 1
    assert "anbar init" in ended.err
