"""X17, X28: the catalog made again from what lies at the origins, and what others have done there told and followed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.caller import Caller, complete_document
from tests.support.gateway import Gateway
from tests.support.oracle import recorded_usage, rows, usage_is_the_sum_of_the_objects
from tests.support.process import MIB
from tests.support.s3_gateway import BUCKET, DISK, SMALL, TWO_ORIGINS, s3_gateway, settled
from tests.support.s3_listing import ListQuirks
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.signer import Signer, object_path

DISK_BUCKET = "demo-voice"
UPLOADER = '\n[principals.u1]\nrole = "uploader"\n'
POLICIES = {**TWO_ORIGINS, "demo": TWO_ORIGINS["demo"] + UPLOADER}


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        yield running
        assert running.unexpected == []


@pytest.fixture
def made(tmp_path: Path, origin: ScriptedOrigin) -> Gateway:
    return s3_gateway(tmp_path, origin, settings=DISK, policies=POLICIES, retries=1)


def reconcile(gateway: Gateway, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gateway.command("reconcile", "--json", *options))
    return found


def states(told: dict[str, Any]) -> dict[str, str]:
    return {drift["key"]: drift["state"] for drift in told["drift"]}


def lose_catalog(gateway: Gateway) -> None:
    assert gateway.process is None
    for file in gateway.store_file.parent.glob(gateway.store_file.name + "*"):
        file.unlink()


def uploader_of(gateway: Gateway) -> Caller:
    return Caller(gateway.host, gateway.port, Signer(*gateway.create_key("demo", "u1")))


def all_that_is_told(caller: Caller, bucket: str) -> dict[str, Any]:
    """Everything that a client can see of a bucket's objects, but for dates."""
    seen: dict[str, Any] = {}
    for key in caller.keys(bucket):
        path = object_path(bucket, key)
        head, whole = caller.call("HEAD", path), caller.call("GET", path)
        assert (head.status, whole.status) == (200, 200)
        passing = ("date", "x-amz-request-id", "x-amz-id-2", "last-modified", "x-amz-checksum-crc64nvme")
        headers = sorted(pair for pair in head.headers if pair[0].lower() not in passing)
        headers = [pair for pair in headers if not pair[0].lower().startswith("x-amz-checksum")]
        tags = caller.call("GET", f"{path}?tagging=").body
        seen[key] = (headers, whole.body, tags)
    return seen


def fill(caller: Caller, uploader: Caller, bucket: str) -> None:
    """Objects of every kind, of two owners."""
    caller.put(bucket, "plain", b"plain bytes")
    about = [
        ("Content-Type", "image/jpeg"), ("Cache-Control", "max-age=60"), ("Content-Disposition", 'attachment; filename="x"'),
        ("x-amz-meta-colour", "red"), ("x-amz-meta-name", "=?UTF-8?B?2LPYp9ix2Kc=?="), ("x-amz-meta-anbar-uploader", "x"),
        ("x-amz-tagging", "a=1&b=two%20words"),
    ]  # fmt: skip
    uploader.put(bucket, "folder/سارا عکس.jpg", b"j" * 1000, about)
    uploader.put(bucket, "streamed", b"s" * 3 * SMALL)
    uploader.put(bucket, "empty", b"")
    caller.put(bucket, "folder/", b"")
    caller.put(bucket, "k" * 1000, b"long name")
    caller.put(bucket, "looks-like@" + "0" * 32, b"a key that ends like a write's id")
    for number in range(3):
        caller.put(bucket, "overwritten", f"version {number}".encode())
    caller.put(bucket, "deleted", b"x")
    assert caller.call("DELETE", f"/{bucket}/deleted").status == 204
    upload_id = caller.start_upload(bucket, "film", [("Content-Type", "video/mp4")])
    parts = [
        (n, caller.put_part(bucket, "film", upload_id, n, bytes([n]) * (5 * MIB if n == 1 else 10))) for n in (1, 2)
    ]
    assert caller.complete(bucket, "film", upload_id, complete_document(parts)).status == 200
    copied = [("x-amz-copy-source", object_path(bucket, "plain"))]
    assert caller.call("PUT", f"/{bucket}/copy", b"", copied).status == 200
    tagging = b"<Tagging><TagSet><Tag><Key>late</Key><Value>yes</Value></Tag></TagSet></Tagging>"
    assert caller.call("PUT", f"/{bucket}/plain?tagging=", tagging).status == 200


def test_x28_a_lost_catalog_is_made_again_with_everything_that_was_in_it(made: Gateway, origin: ScriptedOrigin):
    """Over both kinds of origin at once: objects, owners, metadata, tags, usage."""
    with made as gateway:
        caller = Caller.of(gateway)
        for bucket in (BUCKET, DISK_BUCKET):
            fill(caller, uploader_of(gateway), bucket)
        settled(gateway, origin)
        before = {bucket: all_that_is_told(caller, bucket) for bucket in (BUCKET, DISK_BUCKET)}
        owners = rows(gateway, "SELECT bucket, key, uploader, size, etag FROM objects ORDER BY 1, 2")
        usage = {scope: used for scope, used in recorded_usage(gateway).items() if used != (0, 0)}
        gateway.stop()
        lose_catalog(gateway)
        told = reconcile(gateway)
        assert {drift["state"] for drift in told["drift"]} == {"restored"}
        assert all(drift["done"] for drift in told["drift"])
        assert rows(gateway, "SELECT bucket, key, uploader, size, etag FROM objects ORDER BY 1, 2") == owners
        assert {scope: used for scope, used in recorded_usage(gateway).items() if used != (0, 0)} == usage
        gateway.access_key_id = ""  # its keys were in the catalog, too
        gateway.start()
        caller = Caller.of(gateway)
        for bucket in (BUCKET, DISK_BUCKET):
            after = all_that_is_told(caller, bucket)
            assert after.keys() == before[bucket].keys()
            for key, seen in before[bucket].items():
                assert after[key] == seen, key
        assert reconcile(gateway)["drift"] == []
        caller.put(BUCKET, "plain", b"goes on")
        assert caller.get(BUCKET, "plain").body == b"goes on"
        settled(gateway, origin)


def test_x28_reconcile_that_is_killed_goes_on_where_it_was(made: Gateway, origin: ScriptedOrigin):
    count = 30
    with made as gateway:
        caller = Caller.of(gateway)
        for number in range(count):
            caller.put(BUCKET, f"k{number:02d}", str(number).encode())
    lose_catalog(made)
    origin.switches.list_page_size = 10
    origin.clear_journal()
    barrier = origin.barrier("ListObjectsV2", bucket=BUCKET, phase="head", when=third_page_of(origin))
    command = [sys.executable, "-m", "gateway", "reconcile", "--config", str(made.config)]
    with subprocess.Popen(command, env=made.environment, cwd=made.directory, stdout=subprocess.DEVNULL) as process:
        barrier.wait_reached(30)
        process.kill()
    origin.heal()
    assert rows(made, "SELECT count(*) FROM objects") == [(20,)]
    looked_at = {entry.key for entry in origin.requests("HeadObject")}
    origin.clear_journal()
    told = reconcile(made)
    pages = origin.requests("ListObjectsV2", bucket=BUCKET)
    assert pages[0].query["start-after"] == "k19"
    assert not looked_at & {entry.key for entry in origin.requests("HeadObject")}, "nothing is looked at twice"
    assert len(told["drift"]) == 10
    with made as gateway:
        gateway.access_key_id, gateway.secret_access_key = gateway.create_key("demo")
        caller = Caller.of(gateway)
        assert len(caller.keys(BUCKET)) == count
        assert [caller.get(BUCKET, f"k{n:02d}").body for n in range(count)] == [str(n).encode() for n in range(count)]
        usage_is_the_sum_of_the_objects(gateway)
        origin.switches.list_page_size = 1000


def third_page_of(origin: ScriptedOrigin):
    """Is it the request for a bucket's third page?"""
    pages = [0]

    def third(_: object) -> bool:
        pages[0] += 1
        return pages[0] == 3

    return third


def test_drift_is_told_and_followed_as_the_help_says(made: Gateway, origin: ScriptedOrigin):
    with made as gateway:
        caller = Caller.of(gateway)
        for key in ("same", "changed", "gone"):
            caller.put(BUCKET, key, b"ours")
        origin.put_behind(BUCKET, "changed", b"theirs, and longer")
        origin.remove_behind(BUCKET, "gone")
        origin.put_behind(BUCKET, "added", b"new")
        expected = {"changed": "changed", "gone": "missing", "added": "unknown"}
        with pytest.raises(Exception, match="ended with 1"):
            reconcile(gateway, "--dry-run")
        assert caller.call("HEAD", f"/{BUCKET}/changed").header("content-length") == "4"
        told = reconcile(gateway)
        assert states(told) == expected
        assert [drift["key"] for drift in told["drift"] if drift["done"]] == ["changed"]
        assert caller.get(BUCKET, "changed").body == b"theirs, and longer"
        assert caller.get(BUCKET, "added").status == 404
        assert states(reconcile(gateway)) == {"gone": "missing", "added": "unknown"}
        assert caller.keys(BUCKET) == ["changed", "gone", "same"]
        told = reconcile(gateway, "--adopt", "--forget-missing")
        assert states(told) == {"gone": "missing", "added": "adopted"}
        assert all(drift["done"] for drift in told["drift"])
        assert caller.keys(BUCKET) == ["added", "changed", "same"]
        assert caller.get(BUCKET, "added").body == b"new"
        assert reconcile(gateway)["drift"] == []
        usage_is_the_sum_of_the_objects(gateway)
        assert set(origin.objects(BUCKET)) == {"same", "changed", "added"}
        assert not origin.requests("DeleteObject"), "nothing is ever removed"


def test_x17_odd_listings_do_no_harm(made: Gateway, origin: ScriptedOrigin):
    """Pages that come twice, are empty, leave keys out, or show what is not there: the bodies themselves are believed."""
    with made as gateway:
        caller = Caller.of(gateway)
        keys = [f"k{number}" for number in range(25)]
        for key in keys:
            caller.put(BUCKET, key, b"x")
        usage = recorded_usage(gateway)
        origin.switches.list_page_size = 10
        for quirks in (
            ListQuirks(duplicate_page=True),
            ListQuirks(empty_first_page=True),
            ListQuirks(missing=frozenset(keys[3:9])),
            ListQuirks(foreign=("zzz-not-there", "../elsewhere", "a</Key><Key>b")),
            ListQuirks(ignore_max_keys=True),
            ListQuirks(duplicate_page=True, missing=frozenset(keys[:2]), foreign=("\x01",)),
        ):
            origin.switches.list_quirks = quirks
            told = reconcile(gateway, "--adopt", "--forget-missing")
            assert told["drift"] == [], quirks
            assert told["corrections"] == []
        origin.switches.list_quirks = ListQuirks(endless=True)
        with pytest.raises(Exception, match="does not get on"):
            reconcile(gateway)
        origin.switches.list_quirks = ListQuirks()
        assert reconcile(gateway)["drift"] == []
        assert recorded_usage(gateway) == usage
        assert sorted(caller.keys(BUCKET)) == sorted(keys)
        settled(gateway, origin)


def test_reconcile_beside_a_gateway_that_serves_disturbs_no_write(made: Gateway, origin: ScriptedOrigin):
    """A write that is under way is nobody's loss and nobody's find."""
    with made as gateway:
        caller = Caller.of(gateway)
        barrier = origin.barrier("PutObject", key="under-way", phase="applied")
        with caller.connect() as connection:
            connection.send(caller.signed("PUT", f"/{BUCKET}/under-way", b"x").encode())
            barrier.wait_reached()
            told = reconcile(gateway, "--adopt", "--forget-missing")
            assert told["drift"] == []
            assert told["corrections"] == []
            barrier.release()
            assert connection.answer("PUT").status == 200 or caller.get(BUCKET, "under-way").status == 404
        settled(gateway, origin)


def test_an_origin_that_fails_in_the_middle_of_a_reconcile_changes_nothing_wrongly(
    made: Gateway, origin: ScriptedOrigin
):
    """Objects are not missing because the origin cannot be asked."""
    with made as gateway:
        caller = Caller.of(gateway)
        for number in range(5):
            caller.put(BUCKET, f"k{number}", b"x")
        origin.stop()
        with pytest.raises(Exception, match="ended with"):
            reconcile(gateway, "--forget-missing")
        origin.start()
        assert len(caller.keys(BUCKET)) == 5
        assert reconcile(gateway)["drift"] == []
