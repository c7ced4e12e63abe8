"""anbar doctor: a healthy installation passes, and each thing that is wrong is named."""

import os
import socket
from pathlib import Path

import pytest

from gateway.cli import doctor
from gateway.cli.doctor import LEAST_FREE_BYTES, LITTLE_FREE_BYTES, Level, check_space, check_sqlite
from gateway.config import load_settings


def edit(installation: Path, old: str, new: str) -> None:
    config = installation / "gateway.toml"
    text = config.read_text(encoding="utf-8")
    assert old in text
    config.write_text(text.replace(old, new), encoding="utf-8")


def line_about(out: str, about: str) -> str:
    [line] = [line for line in out.splitlines() if line[6:].startswith(f"{about}: ")]
    return line


def test_a_new_installation_is_healthy_and_stays_as_it_is(anbar, installation):
    before = sorted(installation.rglob("*"))
    ended = anbar("doctor")
    assert ended.code == 0
    assert "FAIL" not in ended.out
    for about in ("configuration", "python", "sqlite", "key ring", "store", "origin local", "free space", "listen"):
        assert line_about(ended.out, about)
    assert sorted(installation.rglob("*")) == before


def test_a_used_store_is_read_for_damage(anbar, installation):
    assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    ended = anbar("doctor")
    assert ended.code == 0
    assert "undamaged, schema up to date" in line_about(ended.out, "store")


def test_a_damaged_store_fails(anbar, installation):
    (installation / "var/anbar.sqlite").write_bytes(b"not a database" * 1000)
    ended = anbar("doctor")
    assert ended.code == 1
    assert line_about(ended.out, "store").startswith("FAIL")


def test_an_open_key_ring_fails(anbar, installation):
    (installation / "var/key_ring").chmod(0o640)
    ended = anbar("doctor")
    assert ended.code == 1
    assert "chmod 600" in line_about(ended.out, "key ring")


def test_a_missing_key_ring_fails_with_advice(anbar, installation):
    (installation / "var/key_ring").unlink()
    assert "run: anbar init" in line_about(anbar("doctor").out, "key ring")


def test_an_origin_that_is_no_directory_fails(anbar, installation):
    (installation / "var/objects").write_text("")
    ended = anbar("doctor")
    assert ended.code == 1
    assert line_about(ended.out, "origin local").startswith("FAIL")


def test_an_origin_that_cannot_fsync_fails(anbar, installation, monkeypatch):
    (installation / "var/objects").mkdir()

    def fsync(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    ended = anbar("doctor")
    assert ended.code == 1
    assert "Input/output error" in line_about(ended.out, "origin local")
    assert list((installation / "var/objects").iterdir()) == []


def test_an_origin_that_is_not_durable_is_noted(anbar, installation):
    (installation / "var/objects").mkdir()
    edit(installation, 'path = "var/objects"', 'path = "var/objects"\ndurable = false')
    ended = anbar("doctor")
    assert ended.code == 0
    assert line_about(ended.out, "origin local").startswith("note")


def test_an_address_in_use_fails(anbar, installation):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edit(installation, "127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        ended = anbar("doctor")
    assert ended.code == 1
    assert "Address already in use" in line_about(ended.out, "listen")


def test_an_address_in_use_by_the_gateway_itself_is_fine(anbar, installation, monkeypatch):
    monkeypatch.setattr(doctor, "_answers_as_gateway", lambda admin: True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edit(installation, "127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        edit(installation, '"off"', '"127.0.0.1:0"')
        ended = anbar("doctor")
    assert ended.code == 0
    assert "in use by a running gateway" in line_about(ended.out, "listen")


def test_a_stranger_on_the_admin_address_is_no_gateway(anbar, installation):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.listen(0)
        port = taken.getsockname()[1]
        taken.close()
        edit(installation, '"off"', f'"127.0.0.1:{port}"')
        assert anbar("doctor").code == 0


def test_an_address_that_is_not_here_fails(anbar, installation):
    edit(installation, "127.0.0.1:0", "192.0.2.1:9000")
    ended = anbar("doctor")
    assert ended.code == 1
    assert line_about(ended.out, "listen").startswith("FAIL")


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (LEAST_FREE_BYTES - 1, Level.FAIL),
        (LEAST_FREE_BYTES, Level.NOTE),
        (LITTLE_FREE_BYTES - 1, Level.NOTE),
        (LITTLE_FREE_BYTES, Level.OK),
    ],
)
def test_little_room_is_noted_and_hardly_any_fails(installation, free, level):
    [finding] = check_space(load_settings(installation / "gateway.toml"), lambda path: free)
    assert finding.level is level


def test_an_sqlite_with_the_wal_reset_bug_says_what_is_done_about_it():
    assert "serialised by a lock file" in check_sqlite((3, 40, 1)).text
    assert check_sqlite((3, 51, 3)).text == "3.51.3"
