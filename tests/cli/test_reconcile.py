"""anbar reconcile, beside a gateway that serves and without one: what it says, what it changes, how it ends."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.caller import Caller
from tests.support.gateway import Gateway, GatewayError
from tests.support.oracle import usage_is_the_sum_of_the_objects


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("reconcile")) as gateway:
        caller = Caller.of(gateway)
        for number in range(3):
            caller.put("demo-media", f"k{number}", b"12345")
        yield gateway


@pytest.fixture
def wrong(running: Gateway) -> None:
    """The books say more than there is."""
    with closing(sqlite3.connect(running.store_file)) as connection, connection:
        connection.execute("UPDATE usage SET bytes = bytes + 7, reserved_objects = 3 WHERE uploader = ''")


def told(running: Gateway, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(running.command("reconcile", "--json", *options))
    return found


def test_right_books_and_whole_bodies_need_nothing(running):
    assert told(running, "--dry-run") == {
        "dry_run": True, "drift": [], "corrections": [], "bodies": 3, "bad_bodies": [],
    }  # fmt: skip
    text = running.command("reconcile")
    assert "Usage and reservations are right." in text
    assert "3 bodies looked at, 0 of them not as they must be." in text


def test_a_dry_run_ends_with_1_and_changes_nothing(running, wrong):
    for _ in range(2):
        with pytest.raises(GatewayError):
            running.command("reconcile", "--dry-run")
    with pytest.raises(AssertionError):
        usage_is_the_sum_of_the_objects(running)
    told(running)


def test_wrong_books_are_put_right_while_the_gateway_serves(running, wrong):
    found = told(running)
    assert found["dry_run"] is False
    assert found["corrections"][0] == {
        "project": "demo", "category": None, "uploader": None,
        "was": {"bytes": 22, "objects": 3, "reserved_bytes": 0, "reserved_objects": 3},
        "is": {"bytes": 15, "objects": 3, "reserved_bytes": 0, "reserved_objects": 0},
    }  # fmt: skip
    usage_is_the_sum_of_the_objects(running)
    assert told(running)["corrections"] == []
    assert "bytes 22 → 15" in running.command("audit", "--event", "usage.corrected")


def test_people_get_a_table(running, wrong):
    lines = [" ".join(line.split()) for line in running.command("reconcile").splitlines()]
    assert lines[:5] == [
        "The catalog and the origins agree.",
        "Corrected:",
        "PROJECT SCOPE WHAT WAS IS",
        "demo project demo bytes 22 15",
        "demo project demo reserved objects 3 0",
    ]


def test_only_what_is_asked_for_is_looked_at(running):
    assert told(running, "--project", "other")["bodies"] == 0
    assert told(running, "--category", "media")["bodies"] == 3


@pytest.mark.parametrize("option", [("--project", "nowhere"), ("--project", "demo", "--category", "nowhere")])
def test_what_there_is_not_is_refused(running, option):
    with pytest.raises(GatewayError, match='"nowhere"; there is'):
        running.command("reconcile", *option)


def test_a_missing_body_is_told_and_left_as_it_is(running, tmp_path):
    (body,) = [path for path in running.origin_directory.rglob("k1@*") if path.suffix != ".json"]
    shutil.move(body, tmp_path / "kept")
    try:
        found = told(running, "--dry-run")
        assert [(each["key"], each["state"], each["size"]) for each in found["bad_bodies"]] == [("k1", "missing", 5)]
        assert "1 of them not as they must be:" in running.command("reconcile")
    finally:
        shutil.move(tmp_path / "kept", body)
    assert Caller.of(running).get("demo-media", "k1").body == b"12345"


def test_a_disk_that_is_not_mounted_is_no_disk_without_bodies(running, tmp_path):
    shutil.move(running.origin_directory, tmp_path / "objects")
    running.origin_directory.mkdir()
    try:
        with pytest.raises(GatewayError, match="is the disk mounted"):
            running.command("reconcile")
    finally:
        running.origin_directory.rmdir()
        shutil.move(tmp_path / "objects", running.origin_directory)


def test_without_a_gateway_it_works_too(tmp_path):
    with Gateway(tmp_path) as gateway:
        Caller.of(gateway).put("demo-media", "k", b"x")
    with closing(sqlite3.connect(gateway.store_file)) as connection, connection:
        connection.execute("DELETE FROM usage")
    assert len(told(gateway)["corrections"]) == 3
    usage_is_the_sum_of_the_objects(gateway)
