"""anbar doctor: a healthy installation passes, and each thing that is wrong is named."""

import asyncio
import fcntl
import os
import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509

from gateway.cli.check_addresses import check_tls
from gateway.cli.check_disk import LITTLE_FREE_BYTES, check_space
from gateway.cli.doctor import check_sqlite
from gateway.cli.finding import Level
from gateway.config import load_settings
from gateway.free_space import LEAST_BYTES
from gateway.store.buckets import Bucket, Buckets
from gateway.store.database import Database


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


def test_files_that_are_not_in_force_are_noted(anbar, installation, edit_policy):
    assert anbar("policy", "apply").code == 0
    told = line_about(anbar("doctor").out, "policies")
    assert told == "ok    policies: revision 1 is in force, and the files say the same"
    edit_policy('role = "reader"', 'role = "uploader"')
    ended = anbar("doctor")
    assert ended.code == 0
    told = line_about(ended.out, "policies")
    assert told == "note  policies: revision 1 is in force; the files differ: anbar policy plan"


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
    assert line_about(anbar("doctor").out, "key ring").endswith("; to make one, run: anbar init")


def test_a_missing_key_ring_beside_a_store_is_to_be_restored(anbar, installation):
    assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    (installation / "var/key_ring").unlink()
    line = line_about(anbar("doctor").out, "key ring")
    assert line.startswith("FAIL")
    assert "Restore the key ring from its backup" in line
    assert "init" not in line


def test_a_key_ring_of_another_store_fails(anbar, installation, foreign_ring):
    own, other = foreign_ring
    ended = anbar("doctor")
    assert ended.code == 1
    assert line_about(ended.out, "key ring") == (
        f"FAIL  key ring: {installation}/var/key_ring has no key {own}, which sealed 3 access keys: "
        f"restore the ring that belongs to this store (it has {other})"
    )


def test_a_key_ring_that_lacks_one_of_its_keys_fails(anbar, installation, foreign_ring):
    assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    assert "which sealed 3 access keys" in line_about(anbar("doctor").out, "key ring")


def test_access_keys_that_do_not_open_fail_by_their_names(anbar, installation):
    for _ in range(5):
        assert anbar("keys", "create", "--project", "demo", "--principal", "ops").code == 0
    with closing(sqlite3.connect(installation / "var/anbar.sqlite")) as connection, connection:
        ids = sorted(row[0] for row in connection.execute("SELECT access_key_id FROM access_keys"))
        connection.execute("UPDATE access_keys SET generation = 2 WHERE access_key_id <> ?", (ids[0],))
    ended = anbar("doctor")
    assert ended.code == 1
    assert f"it does not open {', '.join(ids[1:4])} and 1 more: " in line_about(ended.out, "key ring")


@pytest.fixture
def left_buckets(installation) -> None:
    """A store with a bucket of a category that is gone, and one of a client at an origin that is gone."""
    gone = Bucket("demo-old", "demo", "old", "local", "demo-old", "", "policy", 1)
    made = Bucket("made-by-a-client", "demo", "made", "elsewhere", "made", "", "client", 1)

    async def fill() -> None:
        database = await Database.open(load_settings(installation / "gateway.toml").store.path)
        await Buckets(database).create(gone)
        await Buckets(database).create(made)
        await database.close()

    asyncio.run(fill())


def test_buckets_that_the_configuration_left_behind_are_named(anbar, left_buckets):
    ended = anbar("doctor")
    assert ended.code == 0
    assert line_about(ended.out, "bucket demo-old") == (
        "note  bucket demo-old: its category old of project demo is in no policy file; see anbar policy plan"
    )
    assert line_about(ended.out, "bucket made-by-a-client") == (
        "note  bucket made-by-a-client: its origin elsewhere is not configured"
    )
    assert "demo-media" not in ended.out


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


def test_an_origin_that_is_not_durable_is_noted(anbar, installation, edit):
    (installation / "var/objects").mkdir()
    edit('path = "var/objects"', 'path = "var/objects"\ndurable = false')
    ended = anbar("doctor")
    assert ended.code == 0
    assert line_about(ended.out, "origin local").startswith("note")


@pytest.fixture
def taken(installation, edit):
    """The address that `listen` names is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        edit("127.0.0.1:0", address)
        yield address


def test_an_address_in_use_by_somebody_else_fails(anbar, taken):
    ended = anbar("doctor")
    assert ended.code == 1
    assert line_about(ended.out, "listen") == f"FAIL  listen: {taken} is in use by another program"


def test_an_address_in_use_while_the_gateway_of_this_store_serves_is_fine(anbar, installation, taken):
    lock = installation / "var/anbar.sqlite-serving"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = anbar("doctor")
        assert ended.code == 0
        assert line_about(ended.out, "listen") == f"ok    listen: {taken}, in use by the running gateway"
    assert lock.exists()
    assert anbar("doctor").code == 1  # it serves no more


def test_an_admin_address_in_use_by_another_gateway_fails(anbar, edit, gateway):
    edit('"off"', f'"127.0.0.1:{gateway.admin_port}"')
    ended = anbar("doctor")
    assert ended.code == 1
    assert "is in use by another program" in line_about(ended.out, "admin_listen")


@pytest.mark.parametrize("address", ["192.0.2.1:9000", "a..b:9000", f"{'a' * 70}:9000"])
def test_an_address_that_is_not_here_fails(anbar, edit, address):
    edit("127.0.0.1:0", address)
    ended = anbar("doctor")
    assert ended.code == 1
    assert line_about(ended.out, "listen").startswith(f"FAIL  listen: {address}: ")


def test_a_certificate_is_told_with_its_end_and_its_names(anbar, certificates):
    certificate = x509.load_pem_x509_certificate((certificates / "cert.pem").read_bytes())
    end = certificate.not_valid_after_utc.date().isoformat()
    ended = anbar("doctor")
    assert ended.code == 0
    assert line_about(ended.out, "tls") == (
        f"ok    tls: {certificates}/cert.pem, valid until {end}, for media.example.com, 127.0.0.1"
    )


def test_without_tls_no_certificate_is_looked_for(anbar, installation):
    assert "  tls: " not in anbar("doctor").out


def test_a_certificate_that_cannot_be_served_fails(anbar, certificates):
    (certificates / "cert.pem").unlink()
    ended = anbar("doctor")
    assert ended.code == 1
    assert line_about(ended.out, "tls") == f"FAIL  tls: {certificates}/cert.pem: No such file or directory"


@pytest.mark.parametrize(
    ("days_left", "level", "words"),
    [(31, Level.OK, "valid until"), (29, Level.NOTE, "valid until"), (-1, Level.FAIL, "expired on")],
)
def test_a_certificate_is_noted_before_its_end_and_fails_after_it(certificates, days_left, level, words):
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=100)
    issued = trustme.CA().issue_cert("media.example.com", not_after=end)
    issued.private_key_pem.write_to_path(certificates / "key.pem")
    issued.cert_chain_pems[0].write_to_path(certificates / "cert.pem")
    tls = load_settings(certificates / "gateway.toml").server.tls
    [finding] = check_tls(tls, end - timedelta(days=days_left))
    assert finding.level is level
    assert f"{words} {end.date()}" in finding.text


def test_a_certificate_of_the_future_fails(certificates):
    tls = load_settings(certificates / "gateway.toml").server.tls
    [finding] = check_tls(tls, datetime(1999, 12, 31, tzinfo=UTC))
    assert finding.level is Level.FAIL
    assert "not valid before 2" in finding.text


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (LEAST_BYTES - 1, Level.FAIL),
        (LEAST_BYTES, Level.NOTE),
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
