"""A read that comes again and again is let in the quick way, and never when it would not be otherwise.

By a presigned URL it is the very same request; by a header it is signed anew each time, and only what follows from its
signature is decided once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.caller import Caller, refused
from tests.support.gateway import Gateway
from tests.support.raw_http import Answer, Connection, Request, eventually
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
BY_HEADER, BY_URL = "by header", "by URL"
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


Way = Callable[[Caller, str], Callable[[], Request]]
"""From who reads which path to the request, each time it is made."""


@pytest.fixture(params=[BY_HEADER, BY_URL])
def way(request) -> Way:
    return asked_by_header if request.param == BY_HEADER else asked_by_url


def asked_by_header(caller: Caller, path: str) -> Callable[[], Request]:
    return lambda: caller.signed("GET", path)


def asked_by_url(caller: Caller, path: str) -> Callable[[], Request]:
    url = caller.presigned("GET", path)
    return lambda: url


def used(connection: Connection, request: Callable[[], Request], body: bytes) -> None:
    """Made three times, so that the next one is one that was let in before."""
    for _ in range(3):
        answer = connection.exchange(request())
        assert (answer.status, answer.body) == (200, body)


@contextmanager
def applied(gateway: Gateway, more: str) -> Iterator[None]:
    """While it lasts these rules are in force as well."""
    file = gateway.directory / "policies" / "demo.toml"
    before = file.read_text()
    file.write_text(before + more)
    gateway.command("policy", "apply")
    try:
        yield
    finally:
        file.write_text(before)
        gateway.command("policy", "apply")


# However it is signed


def test_what_was_overwritten_deleted_or_stored_again_is_seen(ops, connection, path, way):
    key, reading = path.rpartition("/")[2], way(ops, path)
    used(connection, reading, b"first")
    ops.put(BUCKET, key, b"second")
    used(connection, reading, b"second")
    ops.call("DELETE", path)
    refused(connection.exchange(reading()), 404, "NoSuchKey")
    ops.put(BUCKET, key, b"third")
    used(connection, reading, b"third")


def test_a_key_that_is_disabled_or_deleted_opens_nothing_any_more(gateway, ops, connection, path, way):
    caller = caller_of(gateway, ops, "ops")
    access_key_id, reading = caller.signer.access_key_id, way(caller, path)
    used(connection, reading, b"first")
    gateway.command("keys", "disable", access_key_id)
    refused(connection.exchange(reading()), 403, "InvalidAccessKeyId")
    gateway.command("keys", "enable", access_key_id)
    used(connection, reading, b"first")
    gateway.command("keys", "disable", access_key_id)
    gateway.command("keys", "delete", access_key_id)
    refused(connection.exchange(reading()), 403, "InvalidAccessKeyId")


def test_an_applied_policy_counts_at_once(gateway, ops, connection, way):
    sara = caller_of(gateway, ops, "sara")
    sara.put(BUCKET, "saras", b"hers")
    reading = way(sara, f"/{BUCKET}/saras")
    used(connection, reading, b"hers")
    rule = '\n[[statements]]\neffect = "deny"\nprincipals = ["sara"]\nactions = ["s3:GetObject"]\nresources = ["*"]\n'
    with applied(gateway, rule):
        refused(connection.exchange(reading()), 403, "AccessDenied")
    used(connection, reading, b"hers")


def test_a_policy_that_the_gateway_applies_itself_counts_as_well(tmp_path: Path, way):
    """Nobody else has written then: only the rules themselves say that they are others."""
    policies = {"demo": POLICY, "other": OTHER}
    with Gateway(tmp_path, policies=policies, settings={"policies": {"watch": True}}) as gateway:
        sara = caller_of(gateway, Caller.of(gateway), "sara")
        sara.put(BUCKET, "saras", b"hers")
        reading = way(sara, f"/{BUCKET}/saras")
        with sara.connect() as connection:
            used(connection, reading, b"hers")
            file = gateway.directory / "policies" / "demo.toml"
            file.write_text(file.read_text().replace('[principals.sara]\nrole = "uploader"\n', ""))
            assert eventually(lambda: connection.exchange(reading()).status == 403)


def test_a_rule_that_asks_where_a_request_comes_from_is_asked_every_time(gateway, ops, path, way):
    rule = (
        '\n[[statements]]\neffect = "deny"\nprincipals = ["*"]\nactions = ["s3:GetObject"]\nresources = ["*"]\n'
        'source_ip = ["127.0.0.2/32"]\n'
    )
    with applied(gateway, rule):
        reading = way(ops, path)
        with ops.connect() as connection:
            used(connection, reading, b"first")
        with Connection.open(ops.host, ops.port, source="127.0.0.2") as elsewhere:
            refused(elsewhere.exchange(reading()), 403, "AccessDenied")


def test_an_object_that_changes_hands_is_its_new_owners(gateway, ops, connection, way):
    sara = caller_of(gateway, ops, "sara")
    ops.call("DELETE", f"/{BUCKET}/handed")
    sara.put(BUCKET, "handed", b"hers")
    reading = way(sara, f"/{BUCKET}/handed")
    used(connection, reading, b"hers")
    ops.call("DELETE", f"/{BUCKET}/handed")
    ops.put(BUCKET, "handed", b"the admin's")
    refused(connection.exchange(reading()), 403, "AccessDenied")


def test_a_bucket_that_was_removed_is_gone(ops, connection, way):
    bucket = ops.new_bucket()
    ops.put(bucket, "k", b"first")
    reading = way(ops, f"/{bucket}/k")
    used(connection, reading, b"first")
    ops.call("DELETE", f"/{bucket}/k")
    assert ops.call("DELETE", f"/{bucket}").status == 204
    refused(connection.exchange(reading()), 404, "NoSuchBucket")


def test_its_key_counts_as_used_and_its_rate_is_counted(tmp_path: Path, way):
    with Gateway(tmp_path, settings={"limits": {"requests_per_key": 20}}) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"x")
        reading = way(caller, f"/{BUCKET}/k")
        with caller.connect() as connection:
            assert {connection.exchange(reading()).status for _ in range(200)} == {200, 503}


# Signed by a header


def test_the_signature_is_verified_each_time(ops, connection, path):
    used(connection, asked_by_header(ops, path), b"first")
    wrong = Caller(ops.host, ops.port, Signer(ops.signer.access_key_id, "of somebody else"))
    refused(read(connection, wrong, path), 403, "SignatureDoesNotMatch")
    old = ops.signed("GET", path, now_s=time.time() - 3600)
    refused(connection.exchange(old), 403, "RequestTimeTooSkewed")
    other = ops.signed("GET", path)
    refused(connection.exchange(other.changing_header("Host", "elsewhere")), 403, "SignatureDoesNotMatch")
    used(connection, asked_by_header(ops, path), b"first")


def test_what_one_may_read_another_may_not(gateway, ops, connection, path):
    used(connection, asked_by_header(ops, path), b"first")
    refused(read(connection, caller_of(gateway, ops, "sara"), path), 403, "AccessDenied")
    refused(read(connection, caller_of(gateway, ops, "ops", "other"), path), 403, "AccessDenied")
    assert connection.exchange(Caller.request(ops, "GET", path)).status == 403
    used(connection, asked_by_header(ops, path), b"first")


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
                used(connection, asked_by_header(ops, path), b"first")
            assert read(connection, ops, path, [(name, value)]).status == status


def test_a_service_names_no_uploader_where_it_stores_nothing(gateway, ops, connection, path):
    backend = caller_of(gateway, ops, "backend")
    body = read(connection, backend, path).body
    used(connection, asked_by_header(backend, path), body)
    refused(read(connection, backend, path, [("x-amz-meta-uploader", "lea")]), 400, "InvalidRequest")


def test_a_body_in_chunks_is_refused_where_none_is_taken(ops, path):
    for uses in (0, 1):
        with ops.connect() as connection:
            for _ in range(uses):
                used(connection, asked_by_header(ops, path), b"first")
            refused(connection.exchange(ops.signed("GET", path, payload=SIGNED_CHUNKS)), 400, "InvalidRequest")


def test_ranges_conditions_overrides_and_versions_are_answered_as_the_first_time(ops, connection, path):
    used(connection, asked_by_header(ops, path), b"first")
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


# By a presigned URL


def test_its_end_is_its_end(ops, connection, path):
    url = ops.presigned("GET", path, expires="3", now_s=time.time() - 1)
    used(connection, lambda: url, b"first")
    assert eventually(lambda: connection.exchange(url).status == 403)
    refused(connection.exchange(url), 403, "AccessDenied")


def test_another_method_host_or_target_is_another_request(ops, connection, path):
    url = ops.presigned("GET", path)
    used(connection, lambda: url, b"first")
    assert connection.exchange(Request("HEAD", url.target, url.headers)).status == 403
    refused(connection.exchange(url.changing_header("Host", "elsewhere")), 403, "SignatureDoesNotMatch")
    refused(connection.exchange(Request("GET", url.target + "&x=y", url.headers)), 403, "SignatureDoesNotMatch")
    used(connection, lambda: url, b"first")


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
def test_beside_a_url_a_header_that_would_be_refused_is_refused_the_fourth_time_too(
    ops, connection, path, name, value, status
):
    url = ops.presigned("GET", path)
    fresh = ops.presigned("GET", path, expires="301").with_header(name, value)
    with ops.connect() as other:
        assert other.exchange(fresh).status == status
    used(connection, lambda: url, b"first")
    assert connection.exchange(url.with_header(name, value)).status == status


def test_by_a_url_ranges_conditions_and_overrides_are_answered_as_the_first_time(ops, connection, path):
    url = ops.presigned("GET", f"{path}?response-content-type=text/plain")
    used(connection, lambda: url, b"first")
    assert connection.exchange(url).header("content-type") == "text/plain"
    part = connection.exchange(url.with_header("Range", "bytes=1-2"))
    assert (part.status, part.body) == (206, b"ir")
    etag = part.header("etag") or ""
    assert connection.exchange(url.with_header("If-None-Match", etag)).status == 304
    assert connection.exchange(url.with_header("If-Match", '"another"')).status == 412
