"""L: keys that would be paths. Whatever its name, an object lies below the origin's directory and beside no other."""

import os
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.gateway import Gateway, GatewayError
from tests.support.oracle import files_of
from tests.support.raw_http import eventually
from tests.support.signer import object_path

TRAPS = [
    "..%5c..%5cx",
    "..\\..\\x",
    "C:\\x",
    "/etc/passwd",
    "//etc//passwd",
    "~root",
    "$HOME",
    "a" * 300,
    "é" * 300,
    "a" * 300 + "/" + "b" * 300,
    "/".join("d" * 200),
    "CON",
    "nul.txt",
    "-rf",
    "...",
    "..x",
    ".hidden",
    "%2e%2e/x",
    "a@b",
    "a.json",
    "manifest.json",
    "a\u202eb",
    "a:b",
    "|id",
    "`id`",
    "*",
    "a\u0300",
    "\u00e0",
    "%",
    "%~",
    "@",
    "a//b",
    "a/",
    "a/b/",
    " ",
]


def outside(gateway: Gateway) -> set[Path]:
    """Everything beside the origin's directory that a stray path might make, one level around it."""
    around = {path for path in gateway.directory.rglob("*") if gateway.origin_directory not in (path, *path.parents)}
    return around | set(gateway.directory.parent.iterdir())


def test_l01_no_key_leaves_the_origins_directory(caller, bucket, gateway):
    caller.put(bucket, "warm", b"")
    before = {path for path in outside(gateway) if not path.name.startswith(gateway.store_file.name)}
    for number, key in enumerate(TRAPS):
        caller.put(bucket, key, b"bytes %d" % number)
    assert caller.keys(bucket) == sorted([*TRAPS, "warm"], key=lambda key: key.encode())
    for number, key in enumerate(TRAPS):
        assert caller.get(bucket, key).body == b"bytes %d" % number, key
    after = {path for path in outside(gateway) if not path.name.startswith(gateway.store_file.name)}
    assert after == before
    for key in TRAPS:
        assert caller.call("DELETE", object_path(bucket, key)).status == 204
    assert caller.keys(bucket) == ["warm"]
    assert eventually(lambda: len([name for name in files_of(gateway.origin_directory) if bucket in name]) <= 2)


@pytest.mark.parametrize("key", ["../../etc/passwd", "..", ".", "a/../b", "a/..", "./a", "a\x00b", "\x00"])
def test_l01_a_key_that_climbs_is_refused(caller, untouched, key):
    for method in ("PUT", "GET", "DELETE"):
        refused(caller.call(method, object_path(untouched, key), b""), 400)


def test_l01_files_are_for_the_owner_alone(caller, bucket, gateway):
    caller.put(bucket, "k", b"bytes")
    upload_id = caller.start_upload(bucket, "m")
    caller.put_part(bucket, "m", upload_id, 1, b"part")
    for path in (gateway.origin_directory, *gateway.origin_directory.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    for path in gateway.store_file.parent.glob(gateway.store_file.name + "*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_l02_a_symbolic_link_in_the_origins_directory_is_not_followed(caller, gateway, tmp_path):
    """Somebody with a shell has planted a link where an object's body lies: no file outside is read out."""
    bucket = caller.new_bucket()
    (tmp_path / "secret").write_bytes(b"secret")
    caller.put(bucket, "k", b"mine!!")
    body = next(path for path in (gateway.origin_directory / bucket).rglob("k@*") if path.suffix != ".json")
    body.unlink()
    body.symlink_to(tmp_path / "secret")
    gateway.restart()
    answer = caller.get(bucket, "k")
    assert b"secret" not in answer.body
    assert answer.status >= 400
    caller.put(bucket, "k", b"again")
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert caller.get(bucket, "k").body == b"again"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_l02_a_key_ring_that_others_can_read_is_refused_at_the_start(tmp_path, mode):
    gateway = Gateway(tmp_path)
    (tmp_path / "var" / "key_ring").chmod(mode)
    with pytest.raises(GatewayError) as refusal:
        gateway.start()
    assert "key_ring" in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


def test_l02_a_missing_key_ring_is_refused_and_not_replaced(tmp_path):
    gateway = Gateway(tmp_path)
    os.unlink(tmp_path / "var" / "key_ring")
    with pytest.raises(GatewayError) as refusal:
        gateway.start()
    assert "Traceback" not in str(refusal.value)
    assert not (tmp_path / "var" / "key_ring").exists()


ALIKE = [
    "a",
    "a/b",
    "a/b/c",
    "a/",
    "A",
    "b/C",
    "b/c",
    "B/c",
    "\u00e9",
    "e\u0301",
    "\u212b",
    "\u00c5",
    "stra\u00dfe",
    "strasse",
]


def test_l04_keys_that_a_file_system_would_confuse_are_different_objects(caller, bucket):
    for key in ALIKE:
        caller.put(bucket, key, b"of " + key.encode())
    assert caller.keys(bucket) == sorted(ALIKE, key=lambda key: key.encode())
    for key in ALIKE:
        assert caller.get(bucket, key).body == b"of " + key.encode()
    assert caller.call("DELETE", object_path(bucket, "a")).status == 204
    assert caller.get(bucket, "a/b").body == b"of a/b"
    assert caller.get(bucket, "a/").body == b"of a/"


def test_l04_a_bucket_whose_name_begins_like_another_is_another(caller: Caller, bucket: str):
    sibling = bucket + "2"
    assert caller.call("PUT", f"/{sibling}").status == 200
    caller.put(bucket, "k", b"one")
    caller.put(sibling, "k", b"two")
    assert caller.call("DELETE", f"/{bucket}/k").status == 204
    assert caller.call("DELETE", f"/{bucket}").status == 204
    assert caller.get(sibling, "k").body == b"two"
    assert caller.keys(sibling) == ["k"]


def test_l05_a_put_into_a_bucket_that_is_not_there_makes_nothing(caller, gateway):
    name = "no-such-bucket-of-anybody"
    for method, target in (("PUT", "k"), ("POST", "k?uploads"), ("DELETE", "k"), ("GET", "k")):
        refused(caller.call(method, f"/{name}/{target}", b""), 404, "NoSuchBucket")
    assert not (gateway.origin_directory / name).exists()


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "a" * 64,
        "A-b",
        "a_b",
        "a..b",
        "-ab",
        "ab-",
        ".ab",
        "192.168.0.1",
        "a%20b",
        "ab%00",
        "a%2Fb",
        "%C3%A9-b",
        "abc'def",
    ],
)
def test_l05_a_bucket_name_that_is_none_is_refused(caller, name):
    refused(caller.call("PUT", f"/{name}"), {400, 409}, "InvalidBucketName", "InvalidURI")
