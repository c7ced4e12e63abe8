"""A presigned URL that is used again and again: it is let in the quick way, and never when it would not be otherwise."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.gateway import Gateway
from tests.support.raw_http import Connection, Request, eventually
from tests.support.signer import Signer

BUCKET = "demo-media"
POLICY = """project = "demo"
[categories.media]
[principals.ops]
role = "admin"
[principals.sara]
role = "uploader"
"""
OTHER = 'project = "other"\n[principals.ops]\nrole = "admin"\n'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("repeats"), policies={"demo": POLICY, "other": OTHER}) as running:
        yield running


@pytest.fixture(scope="module")
def ops(gateway) -> Caller:
    return Caller.of(gateway)


@pytest.fixture
def connection(ops) -> Iterator[Connection]:
    with ops.connect() as opened:
        yield opened


def used(connection: Connection, url: Request, body: bytes) -> None:
    """Used three times, so that the next time it is one that was let in before."""
    for _ in range(3):
        answer = connection.exchange(url)
        assert (answer.status, answer.body) == (200, body)


@pytest.fixture
def key(request, ops) -> str:
    name = f"k-{request.node.name[:40]}".replace("[", "-").replace("]", "")
    ops.put(BUCKET, name, b"first")
    return name


def test_what_was_overwritten_deleted_or_stored_again_is_seen(ops, connection, key):
    url = ops.presigned("GET", f"/{BUCKET}/{key}")
    used(connection, url, b"first")
    ops.put(BUCKET, key, b"second")
    used(connection, url, b"second")
    ops.call("DELETE", f"/{BUCKET}/{key}")
    refused(connection.exchange(url), 404, "NoSuchKey")
    ops.put(BUCKET, key, b"third")
    used(connection, url, b"third")


def test_a_key_that_is_disabled_or_deleted_opens_nothing_any_more(gateway, ops, connection, key):
    access_key_id, secret = gateway.create_key("demo")
    url = Caller(ops.host, ops.port, Signer(access_key_id, secret)).presigned("GET", f"/{BUCKET}/{key}")
    used(connection, url, b"first")
    gateway.command("keys", "disable", access_key_id)
    refused(connection.exchange(url), 403, "InvalidAccessKeyId")
    gateway.command("keys", "enable", access_key_id)
    used(connection, url, b"first")
    gateway.command("keys", "disable", access_key_id)
    gateway.command("keys", "delete", access_key_id)
    refused(connection.exchange(url), 403, "InvalidAccessKeyId")


def test_an_applied_policy_counts_at_once(gateway, ops, connection, key):
    sara = Caller(ops.host, ops.port, Signer(*gateway.create_key("demo", "sara")))
    sara.put(BUCKET, "saras", b"hers")
    url = sara.presigned("GET", f"/{BUCKET}/saras")
    used(connection, url, b"hers")
    file = gateway.directory / "policies" / "demo.toml"
    before = file.read_text()
    rule = '\n[[statements]]\neffect = "deny"\nprincipals = ["sara"]\nactions = ["s3:GetObject"]\nresources = ["*"]\n'
    file.write_text(before + rule)
    gateway.command("policy", "apply")
    refused(connection.exchange(url), 403, "AccessDenied")
    file.write_text(before)
    gateway.command("policy", "apply")
    used(connection, url, b"hers")


def test_a_rule_that_asks_where_a_request_comes_from_is_asked_every_time(gateway, ops, key):
    file = gateway.directory / "policies" / "demo.toml"
    before = file.read_text()
    rule = (
        '\n[[statements]]\neffect = "deny"\nprincipals = ["*"]\nactions = ["s3:GetObject"]\nresources = ["*"]\n'
        'source_ip = ["127.0.0.2/32"]\n'
    )
    file.write_text(before + rule)
    gateway.command("policy", "apply")
    try:
        url = ops.presigned("GET", f"/{BUCKET}/{key}")
        with ops.connect() as connection:
            used(connection, url, b"first")
        with Connection.open(ops.host, ops.port, source="127.0.0.2") as elsewhere:
            refused(elsewhere.exchange(url), 403, "AccessDenied")
    finally:
        file.write_text(before)
        gateway.command("policy", "apply")


def test_an_object_that_changes_hands_is_its_new_owners(gateway, ops, connection, key):
    sara = Caller(ops.host, ops.port, Signer(*gateway.create_key("demo", "sara")))
    sara.put(BUCKET, "handed", b"hers")
    url = sara.presigned("GET", f"/{BUCKET}/handed")
    used(connection, url, b"hers")
    ops.call("DELETE", f"/{BUCKET}/handed")
    ops.put(BUCKET, "handed", b"the admin's")
    refused(connection.exchange(url), 403, "AccessDenied")


def test_its_end_is_its_end(ops, connection, key):
    url = ops.presigned("GET", f"/{BUCKET}/{key}", expires="3", now_s=time.time() - 1)
    used(connection, url, b"first")
    assert eventually(lambda: connection.exchange(url).status == 403)
    refused(connection.exchange(url), 403, "AccessDenied")


def test_another_method_host_or_target_is_another_request(ops, connection, key):
    url = ops.presigned("GET", f"/{BUCKET}/{key}")
    used(connection, url, b"first")
    assert connection.exchange(Request("HEAD", url.target, url.headers)).status == 403
    refused(connection.exchange(url.changing_header("Host", "elsewhere")), 403, "SignatureDoesNotMatch")
    refused(connection.exchange(Request("GET", url.target + "&x=y", url.headers)), 403, "SignatureDoesNotMatch")
    used(connection, url, b"first")


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("x-amz-meta-a", "b", 403),
        ("X-Amz-Expected-Bucket-Owner", "other", 403),
        ("x-amz-server-side-encryption-customer-key", "k", 403),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/x/s3/aws4_request", 400),
        ("Transfer-Encoding", "gzip", 400),
    ],
)
def test_a_header_that_would_be_refused_is_refused_the_fourth_time_too(ops, connection, key, name, value, status):
    url = ops.presigned("GET", f"/{BUCKET}/{key}")
    fresh = ops.presigned("GET", f"/{BUCKET}/{key}", expires="301").with_header(name, value)
    with ops.connect() as other:
        assert other.exchange(fresh).status == status
    used(connection, url, b"first")
    assert connection.exchange(url.with_header(name, value)).status == status


def test_ranges_conditions_and_overrides_are_answered_as_the_first_time(ops, connection, key):
    url = ops.presigned("GET", f"/{BUCKET}/{key}?response-content-type=text/plain")
    used(connection, url, b"first")
    assert connection.exchange(url).header("content-type") == "text/plain"
    part = connection.exchange(url.with_header("Range", "bytes=1-2"))
    assert (part.status, part.body) == (206, b"ir")
    etag = part.header("etag") or ""
    assert connection.exchange(url.with_header("If-None-Match", etag)).status == 304
    assert connection.exchange(url.with_header("If-Match", '"another"')).status == 412


def test_a_bucket_that_was_removed_is_gone(ops, connection):
    bucket = ops.new_bucket()
    ops.put(bucket, "k", b"first")
    url = ops.presigned("GET", f"/{bucket}/k")
    used(connection, url, b"first")
    ops.call("DELETE", f"/{bucket}/k")
    assert ops.call("DELETE", f"/{bucket}").status == 204
    refused(connection.exchange(url), 404, "NoSuchBucket")


def test_its_key_counts_as_used_and_its_rate_is_counted(tmp_path: Path):
    with Gateway(tmp_path, settings={"limits": {"requests_per_key": 20}}) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"x")
        url = caller.presigned("GET", f"/{BUCKET}/k")
        with caller.connect() as connection:
            assert {connection.exchange(url).status for _ in range(200)} == {200, 503}
