"""M02, M07, M16: uploads that fail give back what they reserved, once; limits that are lowered refuse growth alone."""

import threading
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.caller import Caller, parse_xml, refused, text
from tests.support.gateway import Gateway
from tests.support.oracle import at_rest, recorded_usage, usage_is_the_sum_of_the_objects
from tests.support.raw_http import Request, eventually
from tests.support.signer import UNSIGNED

BUCKET = "demo-media"
OTHER = 'project = "other"\n[principals.ops]\nrole = "admin"\n'
TIMES = 40


def policy(bytes_: int, objects: int) -> str:
    return f"""
project = "demo"
[categories.media]
quota = {{ bytes = {bytes_}, objects = {objects} }}
[principals.ops]
role = "admin"
"""


@pytest.fixture
def gateway(tmp_path) -> Iterator[Gateway]:
    with Gateway(tmp_path, policies={"demo": policy(1_000_000, 5), "other": OTHER}) as running:
        yield running


@pytest.fixture
def caller(gateway: Gateway) -> Caller:
    return Caller.of(gateway)


def reserved(gateway: Gateway) -> tuple[int, int]:
    return recorded_usage(gateway, "reserved_bytes, reserved_objects").get(("demo", "media", ""), (0, 0))


def used(gateway: Gateway) -> tuple[int, int]:
    return recorded_usage(gateway).get(("demo", "media", ""), (0, 0))


def hang_up(caller: Caller, size: int, sent: int) -> None:
    request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/k", bytes(size)), payload=UNSIGNED)
    with caller.connect() as connection:
        connection.send(request.head() + request.body[:sent])
        connection.reset()


def test_m07_whatever_makes_an_upload_fail_its_room_comes_back_once(gateway: Gateway, caller: Caller):
    (gateway.directory / "policies" / "demo.toml").write_text(policy(1_000_000, 100))
    gateway.command("policy", "apply")
    caller.put(BUCKET, "kept", b"x" * 1000)
    wrong = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/k", bytes(900)), payload="0" * 64)
    failures = [
        lambda: hang_up(caller, 400_000, 200_000),
        lambda: hang_up(caller, 900, 0),
        lambda: refused(caller.ask(wrong), 400, "XAmzContentSHA256Mismatch"),
        lambda: refused(
            caller.call("PUT", f"/{BUCKET}/k", b"x", [("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")]), 400, "BadDigest"
        ),
        lambda: refused(
            caller.call("PUT", f"/{BUCKET}/kept", b"x", [("If-None-Match", "*")]), 412, "PreconditionFailed"
        ),
        lambda: refused(caller.call("PUT", f"/{BUCKET}/k", bytes(1_000_001)), 403, "QuotaExceeded"),
    ]
    threads = [threading.Thread(target=lambda fail=fail: [fail() for _ in range(TIMES)]) for fail in failures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert eventually(lambda: at_rest(gateway) and reserved(gateway) == (0, 0), within_s=20), reserved(gateway)
    assert used(gateway) == (1000, 1)
    caller.put(BUCKET, "k", bytes(999_000))  # every byte that is left can be had
    usage_is_the_sum_of_the_objects(gateway)


def test_m02_an_upload_without_a_length_is_refused(gateway: Gateway, caller: Caller):
    request = Request("PUT", f"/{BUCKET}/k", (("Host", caller.authority), ("Transfer-Encoding", "chunked")))
    answer = caller.ask(caller.signer.sign(request, payload=UNSIGNED).with_body(b"1\r\nx\r\n0\r\n\r\n"))
    refused(answer, 411, "MissingContentLength")
    assert reserved(gateway) == (0, 0)


def test_a_refusal_comes_before_the_body_and_names_the_scope(gateway: Gateway, caller: Caller):
    size = 1_000_001
    headers = (("Host", caller.authority), ("Content-Length", str(size)), ("Expect", "100-continue"))
    with caller.connect() as connection:
        connection.send(caller.signer.sign(Request("PUT", f"/{BUCKET}/k", headers), payload=UNSIGNED).head())
        answer = connection.answer("PUT")
    root = refused(answer, 403, "QuotaExceeded")
    assert answer.interim == ()
    told = {name: text(root, name) for name in ("Scope", "Unit", "Limit", "Used", "Requested")}
    assert told == {
        "Scope": "category media", "Unit": "bytes", "Limit": "1000000", "Used": "0", "Requested": str(size),
    }  # fmt: skip


def test_a_quota_that_is_near_or_full_is_counted_for_the_operators_monitoring(gateway: Gateway, caller: Caller):
    caller.put(BUCKET, "k", bytes(960_000))
    refused(caller.call("PUT", f"/{BUCKET}/more", bytes(60_000)), 403, "QuotaExceeded")
    with urllib.request.urlopen(f"{gateway.admin_endpoint}/-/metrics", timeout=10) as answer:
        told = answer.read().decode()
    assert 'anbar_quota_near_total{percent="95",project="demo"} 1.0' in told
    assert 'anbar_quota_refused_total{project="demo"} 1.0' in told


def test_m16_a_limit_below_what_is_held_refuses_growth_and_nothing_else(gateway: Gateway, caller: Caller):
    for number in range(5):
        caller.put(BUCKET, f"k{number}", b"x" * 1000)
    (gateway.directory / "policies" / "demo.toml").write_text(policy(2000, 2))
    gateway.command("policy", "apply")
    refused(caller.call("PUT", f"/{BUCKET}/new", b""), 403, "QuotaExceeded")
    refused(caller.call("PUT", f"/{BUCKET}/k0", b"x" * 1001), 403, "QuotaExceeded")
    caller.put(BUCKET, "k0", b"y" * 1000)
    caller.put(BUCKET, "k1", b"y")
    assert caller.get(BUCKET, "k0").body == b"y" * 1000
    assert len(caller.keys(BUCKET)) == 5
    for number in range(1, 5):
        assert caller.call("DELETE", f"/{BUCKET}/k{number}").status == 204
    assert used(gateway) == (1000, 1)
    caller.put(BUCKET, "new", b"x" * 1000)
    refused(caller.call("PUT", f"/{BUCKET}/one-too-many", b""), 403, "QuotaExceeded")


def test_m16_what_was_let_in_may_end_though_the_limit_was_lowered_meanwhile(gateway: Gateway, caller: Caller):
    body = bytes(500_000)
    request = caller.signer.sign(caller.request("PUT", f"/{BUCKET}/slow", body), payload=UNSIGNED)
    with caller.connect() as connection:
        connection.send(request.head() + body[:1000])
        assert eventually(lambda: reserved(gateway) == (500_000, 1))
        (gateway.directory / "policies" / "demo.toml").write_text(policy(10, 1))
        gateway.command("policy", "apply")
        refused(caller.call("PUT", f"/{BUCKET}/other", b""), 403, "QuotaExceeded")
        connection.send(body[1000:])
        assert connection.answer("PUT").status == 200
    assert used(gateway) == (500_000, 1)


def test_m04_an_upload_that_is_aborted_gives_back_its_parts_and_its_object(gateway: Gateway, caller: Caller):
    uploads = [caller.start_upload(BUCKET, f"k{number}") for number in range(5)]
    refused(caller.call("POST", f"/{BUCKET}/k5?uploads="), 403, "QuotaExceeded")
    for number, upload_id in enumerate(uploads):
        caller.put_part(BUCKET, f"k{number}", upload_id, 1, bytes(200_000))
    target = f"/{BUCKET}/k0?partNumber=2&uploadId={uploads[0]}"
    refused(caller.call("PUT", target, b"x"), 403, "QuotaExceeded")
    assert caller.call("PUT", f"/{BUCKET}/k0?partNumber=1&uploadId={uploads[0]}", bytes(200_000)).status == 200
    for number, upload_id in enumerate(uploads):
        assert caller.call("DELETE", f"/{BUCKET}/k{number}?uploadId={upload_id}").status == 204
    assert reserved(gateway) == used(gateway) == (0, 0)
    assert parse_xml(caller.call("GET", f"/{BUCKET}?uploads").body).findall("Upload") == []
