"""A read that is signed by a header, again and again: what follows from its signature is decided once, and never kept
longer than it would be decided so again."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.gateway import Gateway
from tests.support.raw_http import Answer, Connection, eventually
from tests.support.signer import Signer

BUCKET = "demo-media"
POLICY = """project = "demo"
[categories.media]
[principals.ops]
role = "admin"
[principals.sara]
role = "uploader"
[principals.backend]
role = "service"
"""
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
OTHER = 'project = "other"\n[principals.ops]\nrole = "admin"\n'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("reads"), policies={"demo": POLICY, "other": OTHER}) as running:
        yield running


@pytest.fixture(scope="module")
def ops(gateway) -> Caller:
    return Caller.of(gateway)


@pytest.fixture
def connection(ops) -> Iterator[Connection]:
    with ops.connect() as opened:
        yield opened


@pytest.fixture
def path(request, ops) -> str:
    name = f"k-{request.node.name[:40]}".replace("[", "-").replace("]", "")
    ops.put(BUCKET, name, b"first")
    return f"/{BUCKET}/{name}"


def caller_of(gateway: Gateway, ops: Caller, principal: str, project: str = "demo") -> Caller:
    return Caller(ops.host, ops.port, Signer(*gateway.create_key(project, principal)))


def read(connection: Connection, caller: Caller, path: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    return connection.exchange(caller.signed("GET", path, headers=headers))


def used(connection: Connection, caller: Caller, path: str, body: bytes) -> None:
    """Read three times, so that the next one is one that was decided before."""
    for _ in range(3):
        answer = read(connection, caller, path)
        assert (answer.status, answer.body) == (200, body)


def test_what_was_overwritten_deleted_or_stored_again_is_seen(ops, connection, path):
    key = path.rpartition("/")[2]
    used(connection, ops, path, b"first")
    ops.put(BUCKET, key, b"second")
    used(connection, ops, path, b"second")
    ops.call("DELETE", path)
    refused(read(connection, ops, path), 404, "NoSuchKey")
    ops.put(BUCKET, key, b"third")
    used(connection, ops, path, b"third")


def test_the_signature_is_verified_each_time(ops, connection, path):
    used(connection, ops, path, b"first")
    wrong = Caller(ops.host, ops.port, Signer(ops.signer.access_key_id, "of somebody else"))
    refused(read(connection, wrong, path), 403, "SignatureDoesNotMatch")
    old = ops.signed("GET", path, now_s=time.time() - 3600)
    refused(connection.exchange(old), 403, "RequestTimeTooSkewed")
    other = ops.signed("GET", path)
    refused(connection.exchange(other.changing_header("Host", "elsewhere")), 403, "SignatureDoesNotMatch")
    used(connection, ops, path, b"first")


def test_what_one_may_read_another_may_not(gateway, ops, connection, path):
    used(connection, ops, path, b"first")
    refused(read(connection, caller_of(gateway, ops, "sara"), path), 403, "AccessDenied")
    refused(read(connection, caller_of(gateway, ops, "ops", "other"), path), 403, "AccessDenied")
    assert connection.exchange(Caller.request(ops, "GET", path)).status == 403
    used(connection, ops, path, b"first")


def test_a_key_that_is_disabled_or_deleted_opens_nothing_any_more(gateway, ops, connection, path):
    caller = caller_of(gateway, ops, "ops")
    used(connection, caller, path, b"first")
    gateway.command("keys", "disable", caller.signer.access_key_id)
    refused(read(connection, caller, path), 403, "InvalidAccessKeyId")
    gateway.command("keys", "enable", caller.signer.access_key_id)
    used(connection, caller, path, b"first")
    gateway.command("keys", "disable", caller.signer.access_key_id)
    gateway.command("keys", "delete", caller.signer.access_key_id)
    refused(read(connection, caller, path), 403, "InvalidAccessKeyId")


def test_an_applied_policy_counts_at_once(gateway, ops, connection):
    sara = caller_of(gateway, ops, "sara")
    sara.put(BUCKET, "saras", b"hers")
    used(connection, sara, f"/{BUCKET}/saras", b"hers")
    file = gateway.directory / "policies" / "demo.toml"
    before = file.read_text()
    rule = '\n[[statements]]\neffect = "deny"\nprincipals = ["sara"]\nactions = ["s3:GetObject"]\nresources = ["*"]\n'
    file.write_text(before + rule)
    gateway.command("policy", "apply")
    try:
        refused(read(connection, sara, f"/{BUCKET}/saras"), 403, "AccessDenied")
    finally:
        file.write_text(before)
        gateway.command("policy", "apply")
    used(connection, sara, f"/{BUCKET}/saras", b"hers")


def test_a_policy_that_the_gateway_applies_itself_counts_as_well(tmp_path: Path):
    """Nobody else has written then: only the rules themselves say that they are others."""
    with Gateway(
        tmp_path, policies={"demo": POLICY, "other": OTHER}, settings={"policies": {"watch": True}}
    ) as gateway:
        sara = caller_of(gateway, Caller.of(gateway), "sara")
        sara.put(BUCKET, "saras", b"hers")
        url = sara.presigned("GET", f"/{BUCKET}/saras")
        with sara.connect() as connection:
            used(connection, sara, f"/{BUCKET}/saras", b"hers")
            assert connection.exchange(url).status == 200
            file = gateway.directory / "policies" / "demo.toml"
            file.write_text(file.read_text().replace('[principals.sara]\nrole = "uploader"\n', ""))
            assert eventually(lambda: read(connection, sara, f"/{BUCKET}/saras").status == 403)
            assert connection.exchange(url).status == 403


def test_a_rule_that_asks_where_a_request_comes_from_is_asked_every_time(gateway, ops, path):
    file = gateway.directory / "policies" / "demo.toml"
    before = file.read_text()
    rule = (
        '\n[[statements]]\neffect = "deny"\nprincipals = ["*"]\nactions = ["s3:GetObject"]\nresources = ["*"]\n'
        'source_ip = ["127.0.0.2/32"]\n'
    )
    file.write_text(before + rule)
    gateway.command("policy", "apply")
    try:
        with ops.connect() as connection:
            used(connection, ops, path, b"first")
        with Connection.open(ops.host, ops.port, source="127.0.0.2") as elsewhere:
            refused(read(elsewhere, ops, path), 403, "AccessDenied")
    finally:
        file.write_text(before)
        gateway.command("policy", "apply")


def test_an_object_that_changes_hands_is_its_new_owners(gateway, ops, connection):
    sara = caller_of(gateway, ops, "sara")
    sara.put(BUCKET, "handed", b"hers")
    used(connection, sara, f"/{BUCKET}/handed", b"hers")
    ops.call("DELETE", f"/{BUCKET}/handed")
    ops.put(BUCKET, "handed", b"the admin's")
    refused(read(connection, sara, f"/{BUCKET}/handed"), 403, "AccessDenied")


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("x-amz-expected-bucket-owner", "other", 403),
        ("x-amz-server-side-encryption-customer-key", "k", 501),
        ("x-amz-meta-uploader", "somebody", 403),
        ("x-amz-copy-source", "demo-media/k", 400),
        ("Transfer-Encoding", "gzip", 400),
    ],
)
def test_a_header_that_would_be_refused_is_refused_the_fourth_time_too(ops, path, name, value, status):
    for uses in (0, 1):
        with ops.connect() as connection:
            for _ in range(uses):
                used(connection, ops, path, b"first")
            assert read(connection, ops, path, [(name, value)]).status == status


def test_a_service_names_no_uploader_where_it_stores_nothing(gateway, ops, connection, path):
    backend = caller_of(gateway, ops, "backend")
    body = read(connection, backend, path).body
    used(connection, backend, path, body)
    refused(read(connection, backend, path, [("x-amz-meta-uploader", "lea")]), 400, "InvalidRequest")


def test_a_body_in_chunks_is_refused_where_none_is_taken(ops, path):
    for uses in (0, 1):
        with ops.connect() as connection:
            for _ in range(uses):
                used(connection, ops, path, b"first")
            refused(connection.exchange(ops.signed("GET", path, payload=SIGNED_CHUNKS)), 400, "InvalidRequest")


def test_ranges_conditions_overrides_and_versions_are_answered_as_the_first_time(ops, connection, path):
    used(connection, ops, path, b"first")
    part = read(connection, ops, path, [("Range", "bytes=1-2")])
    assert (part.status, part.body) == (206, b"ir")
    etag = part.header("etag") or ""
    assert read(connection, ops, path, [("If-None-Match", etag)]).status == 304
    assert read(connection, ops, path, [("If-Match", '"another"')]).status == 412
    for _ in range(2):
        assert read(connection, ops, f"{path}?response-content-type=text/plain").header("content-type") == "text/plain"
        assert read(connection, ops, f"{path}?versionId=null").header("x-amz-version-id") == "null"
        refused(read(connection, ops, f"{path}?versionId=other"), 400, "InvalidArgument")
        assert connection.exchange(ops.signed("HEAD", path)).status == 200
        assert b"<Tagging" in read(connection, ops, f"{path}?tagging").body


def test_a_bucket_that_was_removed_is_gone(ops, connection):
    bucket = ops.new_bucket()
    ops.put(bucket, "k", b"first")
    used(connection, ops, f"/{bucket}/k", b"first")
    ops.call("DELETE", f"/{bucket}/k")
    assert ops.call("DELETE", f"/{bucket}").status == 204
    refused(read(connection, ops, f"/{bucket}/k"), 404, "NoSuchBucket")


def test_each_counts_against_its_keys_rate(tmp_path: Path):
    with Gateway(tmp_path, settings={"limits": {"requests_per_key": 20}}) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"x")
        with caller.connect() as connection:
            assert {read(connection, caller, f"/{BUCKET}/k").status for _ in range(200)} == {200, 503}
