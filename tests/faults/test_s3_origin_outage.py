"""X40, and an S3 origin that is away, comes back, changes its certificate or its keys while the gateway runs."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.caller import Caller, complete_document, refused
from tests.support.gateway import Gateway
from tests.support.origin_faults import Fail
from tests.support.raw_http import eventually
from tests.support.s3_gateway import BUCKET, DISK, SMALL, TWO_ORIGINS, s3_gateway, settled
from tests.support.scripted_origin import ScriptedOrigin

DISK_BUCKET = "demo-voice"


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        yield running
        assert running.unexpected == []


@pytest.fixture
def running(tmp_path: Path, origin: ScriptedOrigin) -> Iterator[Gateway]:
    with s3_gateway(tmp_path, origin, settings=DISK, policies=TWO_ORIGINS, retries=1) as gateway:
        yield gateway


def stored(caller: Caller, key: str) -> int:
    return caller.call("PUT", f"/{BUCKET}/{key}", b"x").status


def test_an_origin_that_is_away_costs_its_own_objects_only(running: Gateway, origin: ScriptedOrigin):
    """After a few failures its requests are refused at once; what needs no origin, or another one, goes on."""
    caller = Caller.of(running)
    caller.put(BUCKET, "k", b"bytes", [("x-amz-tagging", "a=b")])
    caller.put(DISK_BUCKET, "d", b"on disk")
    parts = caller.start_upload(BUCKET, "film")
    etag = caller.put_part(BUCKET, "film", parts, 1, b"part")
    origin.stop()
    for _ in range(8):
        refused(caller.get(BUCKET, "k"), 503, "SlowDown")
    began = time.monotonic()
    for _ in range(20):
        answer = caller.get(BUCKET, "k")
        refused(answer, 503, "SlowDown")
        assert answer.header("retry-after")
        refused(caller.call("PUT", f"/{BUCKET}/new", b"x" * 2 * SMALL), 503, "SlowDown")
    print(f"{(time.monotonic() - began) / 40 * 1000:.1f} ms for a refusal")
    assert caller.call("HEAD", f"/{BUCKET}/k").status == 200
    assert caller.keys(BUCKET) == ["k"]
    assert b"<Key>a</Key>" in caller.call("GET", f"/{BUCKET}/k?tagging=").body
    assert caller.uploads(BUCKET) == [parts]
    assert caller.get(DISK_BUCKET, "d").body == b"on disk"
    caller.put(DISK_BUCKET, "d2", b"more")
    assert caller.call("GET", f"/{BUCKET}/k", b"", [("If-None-Match", "*")]).status == 304
    refused(caller.get(BUCKET, "missing"), 404, "NoSuchKey")
    assert caller.call("DELETE", f"/{BUCKET}/k").status == 204, "its bytes are removed when the origin is back"
    refused(caller.get(BUCKET, "k"), 404)
    refused(caller.complete(BUCKET, "film", parts, complete_document([(1, etag)])), 503, "SlowDown")

    origin.start()
    assert eventually(lambda: stored(caller, "again") == 200, within_s=40), "it recovers by itself"
    assert caller.complete(BUCKET, "film", parts, complete_document([(1, etag)])).status == 200
    assert caller.get(BUCKET, "film").body == b"part"
    running.restart()
    settled(running, origin)
    assert "k" not in origin.objects(BUCKET)


def test_a_storm_of_clients_meets_a_closed_door(running: Gateway, origin: ScriptedOrigin):
    """While it is away nobody waits: many clients are refused without a connection each."""
    caller = Caller.of(running)
    caller.put(BUCKET, "k", b"bytes")
    origin.script(do=Fail(503, "SlowDown"), times=None)
    origin.clear_journal()
    for _ in range(100):
        refused(caller.get(BUCKET, "k"), 503, "SlowDown")
    assert len(origin.journal) < 30
    origin.heal()
    assert eventually(lambda: caller.get(BUCKET, "k").status == 200, within_s=40)
    origin.clear_journal()
    for _ in range(20):
        assert caller.get(BUCKET, "k").status == 200
    assert len(origin.journal) == 20


def test_an_origin_that_is_away_at_the_start_does_not_prevent_it(tmp_path: Path, origin: ScriptedOrigin):
    made = s3_gateway(tmp_path, origin, settings=DISK, policies=TWO_ORIGINS)
    origin.stop()
    with made as gateway:
        caller = Caller.of(gateway)
        caller.put(DISK_BUCKET, "d", b"on disk")
        refused(caller.call("PUT", f"/{BUCKET}/k", b"x"), 503, "SlowDown")
        assert caller.keys(BUCKET) == []
        origin.start()
        assert eventually(lambda: stored(caller, "k") == 200, within_s=40)
        settled(gateway, origin)


def test_garbage_waits_for_an_origin_that_is_away_over_a_restart(running: Gateway, origin: ScriptedOrigin):
    caller = Caller.of(running)
    caller.put(BUCKET, "gone", b"x" * 2 * SMALL)
    origin.stop()
    assert caller.call("DELETE", f"/{BUCKET}/gone").status == 204
    running.restart()
    refused(caller.get(BUCKET, "gone"), 404)
    origin.start()
    assert "gone" in origin.objects(BUCKET)
    assert eventually(lambda: stored(caller, "k") == 200, within_s=40)
    running.restart()
    settled(running, origin)
    assert set(origin.objects(BUCKET)) == {"k"}


# X40: TLS.


@pytest.fixture
def tls_origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin(tls=True) as running:
        yield running
        assert running.unexpected == []


@pytest.mark.parametrize("how", ["untrusted", "expired"])
def test_x40_a_certificate_that_changes_to_a_bad_one_ends_all_new_connections(
    tmp_path: Path, tls_origin: ScriptedOrigin, how: str
):
    ca = tls_origin.write_ca(tmp_path / "origin-ca.pem")
    with s3_gateway(tmp_path / "g", tls_origin, ca_file=str(ca), retries=1) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"over TLS")
        caller.put(BUCKET, "streamed", b"s" * 4 * SMALL)
        assert caller.get(BUCKET, "streamed").body == b"s" * 4 * SMALL
        if how == "untrusted":
            tls_origin.change_certificate(trusted=False)
        else:
            tls_origin.change_certificate(not_after=datetime.now(UTC) - timedelta(days=1))
        tls_origin.close_idle()
        tls_origin.clear_journal()
        for _ in range(3):
            refused(caller.get(BUCKET, "k"), 503, "SlowDown")
            refused(caller.call("PUT", f"/{BUCKET}/new", b"secret"), 503, "SlowDown")
        assert tls_origin.journal == []
        assert "certificate does not hold" in gateway.stderr()
        tls_origin.change_certificate()
        assert eventually(lambda: caller.get(BUCKET, "k").body == b"over TLS", within_s=40)
        settled(gateway, tls_origin)


def test_x40_the_systems_authorities_do_not_know_a_private_one(tmp_path: Path, tls_origin: ScriptedOrigin):
    with s3_gateway(tmp_path, tls_origin, retries=0) as gateway:
        refused(Caller.of(gateway).call("PUT", f"/{BUCKET}/k", b"secret"), 503, "SlowDown")
        assert tls_origin.journal == []


# Keys.


def test_keys_that_change_at_the_origin_are_picked_up_without_a_restart(tmp_path: Path, origin: ScriptedOrigin):
    folder = tmp_path / "keys"
    folder.mkdir()

    def write(key_id: str, secret: str) -> None:
        for name, text in (("id", key_id), ("secret", secret)):
            new = folder / f"{name}.new"
            new.write_text(text)
            new.chmod(0o600)
            new.replace(folder / name)

    write(origin.access_key_id, origin.secret_access_key)
    from_files: dict[str, Any] = {
        "access_key_id": {"file": str(folder / "id")},
        "secret_access_key": {"file": str(folder / "secret")},
    }
    with s3_gateway(tmp_path / "g", origin, **from_files) as gateway:
        caller = Caller.of(gateway)
        for number in range(3):
            caller.put(BUCKET, f"before-{number}", b"x")
            key_id, secret = f"AKIAROTATED{number:09d}", f"rotated/{number}" * 4
            origin.add_key(key_id, secret)
            write(key_id, secret)
            old = origin.access_key_id if not number else f"AKIAROTATED{number - 1:09d}"
            origin.revoke_key(old)
            assert caller.get(BUCKET, f"before-{number}").body == b"x", "the very next request"
            caller.put(BUCKET, f"after-{number}", b"x" * 2 * SMALL)
        origin.revoke_key("AKIAROTATED000000002")
        origin.clear_journal()
        for _ in range(3):
            refused(caller.get(BUCKET, "before-0"), 503)
        assert len(origin.journal) == 3, "a key that is not taken, and no other one: no repetition"
        origin.add_key("AKIAROTATED000000002", "rotated/2" * 4)
        settled(gateway, origin)
