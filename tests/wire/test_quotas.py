"""What clients see of quotas: exact refusals before the body, headers where they are wanted, forms up to the last byte."""

from collections.abc import Iterator

import pytest

from tests.security.test_g_post_forms import conditions_for, post
from tests.support.caller import Caller, complete_document, refused, text
from tests.support.gateway import OTHER_POLICY, Gateway
from tests.support.gateways import OpenGateway
from tests.support.raw_http import Answer

KIB = 1024
POLICY = """\
project = "demo"
quota = { bytes = "1MiB" }
max_open_uploads = 2

[categories.media]
bucket = "demo-media"
quota = { bytes = "100KiB" }

[categories.few]
quota = { objects = 1 }

[categories.forms]
quota = { bytes = 1000 }

[categories.own]
quota_per_uploader = { bytes = "10KiB" }

[principals.ops]
role = "admin"

[principals.backend]
role = "service"
"""
FIELDS = ("Scope", "Unit", "Limit", "Used", "Requested")


@pytest.fixture(scope="module")
def limited(open_gateway: OpenGateway) -> Iterator[Gateway]:
    """A gateway with small quotas, which tells them in headers."""
    settings = {"limits": {"quota_headers": True}}
    policies = {"demo": POLICY, "other": OTHER_POLICY}
    with open_gateway(settings=settings, policies=policies) as running:
        yield running


@pytest.fixture
def ops(limited: Gateway) -> Iterator[Caller]:
    """The admin of the limited gateway; what is in its buckets is removed after the test."""
    caller = Caller.of(limited)
    yield caller
    for bucket in ("demo-media", "demo-few", "demo-forms", "demo-own"):
        for key in caller.keys(bucket):
            assert caller.call("DELETE", f"/{bucket}/{key}").status == 204


def full(answer: Answer) -> tuple[str, ...]:
    root = refused(answer, 403, "QuotaExceeded")
    return tuple(text(root, field) for field in FIELDS)


def told(answer: Answer) -> tuple[int, int]:
    """Limit and use, from the headers."""
    return int(answer.header("x-anbar-quota-limit") or -1), int(answer.header("x-anbar-quota-used") or -1)


def test_a_put_that_does_not_fit_is_refused_with_what_there_is(ops: Caller) -> None:
    ops.put("demo-media", "a", bytes(90 * KIB))
    answer = ops.call("PUT", "/demo-media/b", bytes(10 * KIB + 1))
    assert full(answer) == ("category media", "bytes", "102400", "92160", "10241")
    assert told(answer) == (100 * KIB, 90 * KIB)
    ops.put("demo-media", "b", bytes(10 * KIB))
    assert full(ops.call("PUT", "/demo-media/c", b"x"))[3] == "102400"


def test_an_overwrite_counts_its_difference(ops: Caller) -> None:
    ops.put("demo-media", "a", bytes(100 * KIB))
    ops.put("demo-media", "a", bytes(100 * KIB))
    ops.put("demo-media", "a", b"small")
    assert told(ops.put("demo-media", "b", b"x")) == (100 * KIB, 6)


def test_a_client_that_waits_for_100_continue_is_refused_without_it(ops: Caller) -> None:
    ops.put("demo-media", "a", bytes(90 * KIB))
    request = ops.signed("PUT", "/demo-media/b", bytes(20 * KIB), [("Expect", "100-continue")])
    with ops.connect() as connection:
        connection.send(request.head())
        answer = connection.answer("PUT")
    assert answer.interim == ()
    assert full(answer)[:2] == ("category media", "bytes")
    assert ops.call("GET", "/demo-media/b").status == 404


def test_the_headers_tell_of_the_quota_with_the_least_room(ops: Caller) -> None:
    assert told(ops.put("demo-media", "a", bytes(KIB))) == (100 * KIB, KIB)
    assert told(ops.put("demo-own", "a", bytes(2 * KIB))) == (10 * KIB, 2 * KIB)
    copied = ops.call("PUT", "/demo-own/b", b"", [("x-amz-copy-source", "/demo-media/a")])
    assert copied.status == 200
    assert told(copied) == (10 * KIB, 3 * KIB)
    assert told(post(ops, "demo-forms", file=b"mine")) == (1000, 4)


def test_a_category_without_limits_tells_of_its_project(ops: Caller) -> None:
    assert told(ops.put("demo-few", "a", b"xyz")) == (1 << 20, 3)
    answer = ops.call("PUT", "/demo-few/b", b"xyz")
    assert full(answer) == ("category few", "objects", "1", "1", "1")
    assert told(answer) == (1 << 20, 3)


def test_reads_and_deletions_have_no_such_headers(ops: Caller) -> None:
    ops.put("demo-media", "a", b"x")
    for answer in (ops.call("GET", "/demo-media/a"), ops.call("HEAD", "/demo-media/a"), ops.call("GET", "/nowhere/a")):
        assert answer.header("x-anbar-quota-limit") is None


def test_a_completed_upload_tells_of_its_own_uploader(limited: Gateway, ops: Caller) -> None:
    backend = Caller(ops.host, ops.port, type(ops.signer)(*limited.create_key("demo", "backend")))
    backend.put("demo-own", "of-backend", bytes(KIB))
    upload_id = backend.start_upload("demo-own", "film", [("x-amz-meta-uploader", "sara")])
    etag = backend.put_part("demo-own", "film", upload_id, 1, bytes(5 * KIB))
    over = backend.call("PUT", f"/demo-own/film?partNumber=2&uploadId={upload_id}", bytes(6 * KIB))
    assert full(over) == ("uploader sara in category own", "bytes", "10240", "5120", "6144")
    assert told(over) == (10 * KIB, 5 * KIB)
    answer = backend.complete("demo-own", "film", upload_id, complete_document([(1, etag)]))
    assert answer.status == 200
    assert told(answer) == (10 * KIB, 5 * KIB)


@pytest.mark.parametrize("size", [1000, 1001])
def test_a_form_fits_to_the_last_byte_and_not_one_more(ops: Caller, size: int) -> None:
    answer = post(ops, "demo-forms", file=bytes(size))
    if size == 1000:
        assert answer.status == 204
        assert told(answer) == (1000, 1000)
    else:
        assert full(answer)[:4] == ("category forms", "bytes", "1000", "0")
        assert ops.keys("demo-forms") == []


@pytest.mark.parametrize("largest", [1000, 1001])
def test_a_form_takes_no_more_room_than_its_policy_lets_the_file_have(ops: Caller, largest: int) -> None:
    conditions = conditions_for("demo-forms", ops.signer, ["content-length-range", 0, largest])
    answer = post(ops, "demo-forms", conditions=conditions, file=bytes(600 * KIB))  # more than comes at once
    if largest == 1000:
        refused(answer, 400, "EntityTooLarge")
    else:
        assert full(answer) == ("category forms", "bytes", "1000", "0", "1001")


def test_a_principal_has_only_so_many_uploads_open(ops: Caller) -> None:
    uploads = [ops.start_upload("demo-media", f"film{number}") for number in range(2)]
    answer = ops.call("POST", "/demo-media/film2?uploads=")
    assert full(answer) == ("principal ops", "open uploads", "2", "2", "1")
    for number, upload_id in enumerate(uploads):
        assert ops.call("DELETE", f"/demo-media/film{number}?uploadId={upload_id}").status == 204
    last = ops.start_upload("demo-media", "film2")
    assert ops.call("DELETE", f"/demo-media/film2?uploadId={last}").status == 204


def test_without_the_setting_there_are_no_headers(gateway: Gateway) -> None:
    answer = Caller.of(gateway).put("demo-media", "quota-header", b"x")
    assert answer.header("x-anbar-quota-limit") is None
    assert answer.header("x-anbar-quota-used") is None


def test_the_commands_tell_what_is_held_and_allowed(limited: Gateway, ops: Caller) -> None:
    ops.put("demo-media", "a", bytes(90 * KIB))
    table = limited.command("usage", "--category", "media")
    assert "100.0 KiB" in table
    assert "90 %" in table
    assert "category media" in limited.command("audit", "--event", "quota.near")
    assert "project demo: 92160 of 102400 bytes of category media are used (90 %)" in limited.stderr()
