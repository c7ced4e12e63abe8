"""anbar keys: made, shown once, listed, rotated, disabled, deleted."""

import json
import os
import re
import sqlite3
from contextlib import closing

import pytest

from gateway.cli.installation import operator


@pytest.fixture
def new_key(anbar, installation):
    """Make a key; gives (access key id, secret)."""

    def make() -> tuple[str, str]:
        ended = anbar("keys", "create", "--project", "demo", "--principal", "ops", "--json")
        assert ended.code == 0
        key = json.loads(ended.out)
        assert set(key) == {"access_key_id", "secret_access_key"}
        return key["access_key_id"], key["secret_access_key"]

    return make


@pytest.fixture
def states(anbar):
    """The states of all keys by their ids, as `keys list --json` tells them."""

    def read() -> dict[str, str]:
        return {key["access_key_id"]: key["state"] for key in json.loads(anbar("keys", "list", "--json").out)}

    return read


def test_a_key_is_printed_for_people(anbar, installation):
    ended = anbar("keys", "create", "--project", "demo", "--principal", "ops")
    assert ended.code == 0
    assert re.search(r"access key id +AK[A-Z2-7]{18}\nsecret access key +[A-Za-z0-9+/]{40}\n", ended.out)
    assert "not shown again" in ended.out


@pytest.mark.parametrize(
    ("project", "principal", "reason"),
    [
        ("nobody", "ops", 'there is no project "nobody"; there is demo'),
        ("demo", "reza", 'project demo has no principal "reza"; it has backend, dashboard, ops, sara'),
        ("demo", "", 'project demo has no principal ""; it has backend, dashboard, ops, sara'),
    ],
)
def test_a_key_of_nobody_is_refused(anbar, states, installation, project, principal, reason):
    ended = anbar("keys", "create", "--project", project, "--principal", principal)
    assert (ended.code, ended.out) == (1, "")
    assert reason in ended.err
    assert states() == {}


def test_keys_are_listed_without_secrets(anbar, new_key):
    access_key_id, secret = new_key()
    for arguments in ((), ("--json",), ("--project", "demo")):
        listed = anbar("keys", "list", *arguments)
        assert listed.code == 0
        assert access_key_id in listed.out
        assert secret not in listed.out
    [record] = json.loads(anbar("keys", "list", "--json").out)
    assert record | {"created": "", "access_key_id": ""} == {
        "access_key_id": "", "project": "demo", "principal": "ops", "state": "active", "created": "", "last_used": None,
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["created"])


def test_keys_of_another_project_are_not_listed(anbar, new_key):
    new_key()
    assert json.loads(anbar("keys", "list", "--project", "other", "--json").out) == []


def test_a_key_is_disabled_enabled_and_deleted(anbar, new_key, states):
    key, _ = new_key()
    assert anbar("keys", "disable", key).code == 0
    assert states() == {key: "disabled"}
    assert anbar("keys", "enable", key).code == 0
    assert states() == {key: "active"}
    assert anbar("keys", "disable", key).code == 0
    assert anbar("keys", "delete", key).code == 0
    assert states() == {}


def test_an_active_key_is_not_deleted(anbar, new_key, states):
    key, _ = new_key()
    ended = anbar("keys", "delete", key)
    assert ended.code == 1
    assert f"anbar keys disable {key}" in ended.err
    assert states() == {key: "active"}


@pytest.mark.parametrize("command", ["rotate", "disable", "enable", "delete"])
def test_an_unknown_key_is_refused(anbar, installation, command):
    ended = anbar("keys", command, "AKNOBODY")
    assert ended.code == 1
    assert "there is no access key AKNOBODY" in ended.err


def test_rotating_leaves_the_old_key_active(anbar, new_key, states):
    old, secret = new_key()
    ended = anbar("keys", "rotate", old, "--json")
    assert ended.code == 0
    new = json.loads(ended.out)
    assert new["secret_access_key"] != secret
    assert states() == {old: "active", new["access_key_id"]: "active"}


def test_rotating_tells_what_comes_next(anbar, new_key):
    old, _ = new_key()
    assert f"anbar keys disable {old}" in anbar("keys", "rotate", old).out


def test_rotating_with_two_active_keys_is_refused(anbar, new_key, states):
    first, _ = new_key()
    second, _ = new_key()
    ended = anbar("keys", "rotate", first)
    assert ended.code == 1
    assert first in ended.err
    assert second in ended.err
    assert set(states()) == {first, second}


def test_no_secret_lies_open_in_the_store(anbar, new_key, installation):
    _, secret = new_key()
    for file in (installation / "var").iterdir():
        assert secret.encode() not in file.read_bytes()


@pytest.fixture
def audited(installation):
    """What the audit says: (actor, event, project, subject, details) of every entry."""

    def read() -> list[tuple[str, str, str, str, dict[str, str]]]:
        with closing(sqlite3.connect(installation / "var/anbar.sqlite")) as store:
            rows = store.execute("SELECT actor, event, project, subject, details FROM audit ORDER BY id").fetchall()
        return [
            (actor, event, project, subject, json.loads(details)) for actor, event, project, subject, details in rows
        ]

    return read


def test_what_is_done_to_keys_is_in_the_audit_with_who_did_it(anbar, new_key, audited, monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "tina")
    old, _ = new_key()
    rotated = json.loads(anbar("keys", "rotate", old, "--json").out)["access_key_id"]
    monkeypatch.setenv("SUDO_USER", "omar")
    for command in ("disable", "enable", "disable", "delete"):
        assert anbar("keys", command, old).code == 0
    assert audited() == [
        ("tina", "key.create", "demo", old, {"principal": "ops"}),
        ("tina", "key.create", "demo", rotated, {"principal": "ops", "beside": old}),
        ("omar", "key.disable", "demo", old, {"principal": "ops"}),
        ("omar", "key.enable", "demo", old, {"principal": "ops"}),
        ("omar", "key.disable", "demo", old, {"principal": "ops"}),
        ("omar", "key.delete", "demo", old, {"principal": "ops"}),
    ]


def test_a_user_without_a_name_is_told_by_number(monkeypatch):
    for name in ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert operator() == "uid 4000000000"


def test_what_is_refused_is_not_in_the_audit(anbar, new_key, audited):
    key, _ = new_key()
    assert anbar("keys", "delete", key).code == 1
    assert anbar("keys", "disable", "AKNOBODY").code == 1
    assert [event for _, event, *_ in audited()] == ["key.create"]


def test_a_key_ring_that_was_never_made_is_told_with_the_command_that_makes_one(
    anbar, installation, tmp_path_factory, monkeypatch
):
    (installation / "var/key_ring").unlink()
    told = f"anbar: {installation}/var/key_ring: No such file or directory; to make one, run: anbar init"
    ended = anbar("keys", "list")
    assert ended.code == 1
    assert ended.err == f"{told}\n"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert anbar("usage", "--config", installation / "gateway.toml").err == f"{told} --dir {installation}\n"


def test_a_key_ring_that_is_lost_is_to_be_restored(anbar, new_key, installation):
    new_key()
    (installation / "var/key_ring").unlink()
    for arguments in (("keys", "list"), ("usage",)):
        ended = anbar(*arguments)
        assert ended.code == 1
        assert ended.err == (
            f"anbar: {installation}/var/key_ring is missing, but the store {installation}/var/anbar.sqlite "
            "was sealed with it. Restore the key ring from its backup.\n"
        )


def test_a_foreign_store_is_refused(anbar, installation):
    with sqlite3.connect(installation / "var/anbar.sqlite") as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    ended = anbar("keys", "list")
    assert ended.code == 1
    assert "not a store of anbar" in ended.err


def test_a_store_of_a_newer_version_is_refused(anbar, new_key, installation):
    new_key()
    connection = sqlite3.connect(installation / "var/anbar.sqlite")
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    ended = anbar("keys", "list")
    assert ended.code == 1
    assert "newer version" in ended.err


def test_broken_policy_files_keep_nobody_from_taking_a_key_away(anbar, new_key, states, edit_policy):
    key, _ = new_key()
    edit_policy('role = "admin"', 'role = "boss"')
    assert anbar("keys", "disable", key).code == 0
    assert states() == {key: "disabled"}
    assert anbar("keys", "delete", key).code == 0
    assert states() == {}
    ended = anbar("keys", "create", "--project", "demo", "--principal", "ops")
    assert ended.code == 1
    assert "principals.ops.role" in ended.err
