"""N: clients who cost as much as they can."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.caller import Caller, complete_document, delete_document, refused
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.process import MIB, forget_peak, open_descriptors, peak_memory, resident_memory
from tests.support.raw_http import Connection, Request, eventually, http_chunks
from tests.support.signer import STREAMING_UNSIGNED_TRAILER, UNSIGNED, content_md5, crc32, unsigned_chunks


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with little patience and small limits."""
    limits = {
        "header_timeout_s": 2.0,
        "idle_s": 2.0,
        "body_gap_timeout_s": 2.0,
        "write_timeout_s": 2.0,
        "max_object_size": 4 * MIB,
        "small_body": 4 * MIB,
        "memory_budget": 8 * MIB,
    }
    with Gateway(tmp_path_factory.mktemp("impatient"), settings={"limits": limits}) as running:
        yield running


def connections(gateway: Gateway, count: int, *, receive_buffer: int | None = None) -> list[Connection]:
    return [Connection.open(gateway.host, gateway.port, receive_buffer=receive_buffer) for _ in range(count)]


def test_n01_hundreds_of_slow_and_idle_connections_are_closed_and_others_served(impatient):
    caller = Caller.of(impatient)
    caller.put("demo-media", "probe", b"bytes")
    before = open_descriptors(impatient.pid)
    slow, idle = connections(impatient, 200), connections(impatient, 200)
    get = caller.signed("GET", "/demo-media/probe")
    for connection in slow:
        connection.send(b"G")
    for connection in idle:
        assert connection.exchange(get).status == 200
    assert caller.get("demo-media", "probe").body == b"bytes"
    for connection in (*slow, *idle):
        with contextlib.suppress(ConnectionError):
            connection.rest()  # raises TimeoutError if it is not closed
        connection.close()
    assert eventually(lambda: open_descriptors(impatient.pid) <= before + 2)


def test_n02_readers_that_stop_reading_cost_little_and_are_closed(impatient):
    """100 readers take a first piece of 3 MiB each and stop: what is held for them is bounded, then they are cut off."""
    caller = Caller.of(impatient)
    body = os.urandom(3 * MIB)
    caller.put("demo-media", "large", body)
    assert caller.get("demo-media", "large").body == body
    before_fds, before = open_descriptors(impatient.pid), forget_peak(impatient.pid)
    stuck = [Connection.open(impatient.host, impatient.port, receive_buffer=4096) for _ in range(100)]
    get = caller.signed("GET", "/demo-media/large").encode()
    for connection in stuck:
        connection.send(get)
        assert connection.fill()
    assert caller.get("demo-media", "large").body == body
    assert eventually(lambda: open_descriptors(impatient.pid) <= before_fds + 5, within_s=20)
    assert peak_memory(impatient.pid) - before < 64 * MIB
    for connection in stuck:
        connection.close()


def test_n04_interrupted_transfers_leave_nothing_behind(impatient):
    caller = Caller.of(impatient)
    body = bytes(2 * MIB)
    caller.put("demo-media", "large", body)
    get, put = caller.signed("GET", "/demo-media/large"), caller.signed("PUT", "/demo-media/broken", body)
    for _ in range(20):  # what is made once stays: connections to the store, open files
        with caller.connect() as connection:
            connection.send(get.encode())
            connection.fill()
    assert eventually(lambda: open_descriptors(impatient.pid) < 60)
    before_fds, before = open_descriptors(impatient.pid), resident_memory(impatient.pid)
    for number in range(150):
        down, up = caller.connect(), caller.connect()
        down.send(get.encode())
        down.fill()
        up.send(put.head() + body[: 10_000 * (number % 100)])
        if number % 2:
            down.reset()
            up.reset()
        else:
            down.close()
            up.close()
    assert eventually(lambda: open_descriptors(impatient.pid) <= before_fds + 2)
    assert resident_memory(impatient.pid) - before < 24 * MIB
    assert caller.get("demo-media", "broken").status == 404


def test_n05_a_body_above_the_limit_is_refused_on_its_head(impatient):
    caller = Caller.of(impatient)
    size = 4 * MIB + 1
    request = Request("PUT", "/demo-media/huge", (("Host", caller.authority), ("Content-Length", str(size))))
    signed = caller.signer.sign(request, payload=UNSIGNED).with_header("Expect", "100-continue")
    with caller.connect() as connection:
        connection.send(signed.head())
        answer = connection.answer("PUT")
        refused(answer, 400, "EntityTooLarge")
        assert answer.interim == ()
    head = Request("PUT", "/demo-media/huge", (("Host", caller.authority), ("x-amz-decoded-content-length", str(size))))
    head = caller.signer.sign(head, payload=STREAMING_UNSIGNED_TRAILER).with_header("Content-Length", str(size + 100))
    refused(caller.ask(head), 400, "EntityTooLarge")


@pytest.mark.parametrize("framing", ["http chunks", "aws chunks"])
def test_n05_a_body_longer_than_announced_is_cut_off(impatient, framing):
    """64 MiB behind an announcement of five bytes: refused, and never held in memory."""
    caller = Caller.of(impatient)
    before = forget_peak(impatient.pid)
    headers = (
        ("Host", caller.authority),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    )
    head = caller.signer.sign(Request("PUT", "/demo-media/liar", headers), payload=STREAMING_UNSIGNED_TRAILER)
    inner = unsigned_chunks([bytes(MIB)])[: -len(b"0\r\n\r\n")]
    whole = True
    with caller.connect() as connection:
        if framing == "http chunks":
            connection.send(head.with_header("Transfer-Encoding", "chunked").head())
            inner = http_chunks([inner], end=False)
        else:
            connection.send(head.with_header("Content-Length", str(64 * len(inner))).head())
        for _ in range(64):  # what comes after the refusal may be read and thrown away for a while
            whole = whole and connection.send_leniently(inner)
        if whole:
            refused(connection.answer("PUT"), 400, "IncompleteBody")
            assert connection.ended()
    assert peak_memory(impatient.pid) - before < 24 * MIB
    assert caller.get("demo-media", "liar").status == 404


def test_n05_a_body_shorter_than_announced_is_not_stored(impatient):
    caller = Caller.of(impatient)
    headers = (
        ("Host", caller.authority),
        ("x-amz-decoded-content-length", "500"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    )
    head = caller.signer.sign(Request("PUT", "/demo-media/liar", headers), payload=STREAMING_UNSIGNED_TRAILER)
    body = unsigned_chunks([b"mine"], {"x-amz-checksum-crc32": crc32(b"mine")})
    refused(caller.ask(head.with_header("Content-Length", str(len(body))).with_body(body)), 400, "IncompleteBody")
    assert caller.get("demo-media", "liar").status == 404


def test_n05_many_small_bodies_at_once_stay_within_the_budget(impatient):
    """60 uploads of 4 MiB that all stop before their last byte: 240 MiB in flight, a budget of 8 MiB."""
    caller = Caller.of(impatient)
    body = bytes(4 * MIB)
    before = forget_peak(impatient.pid)
    waiting = connections(impatient, 60)
    for number, connection in enumerate(waiting):
        connection.send_leniently(caller.signed("PUT", f"/demo-media/many-{number}", body).encode()[:-1])
    caller.put("demo-media", "probe", b"bytes")
    assert peak_memory(impatient.pid) - before < 80 * MIB
    for connection in waiting:
        connection.close()
    assert caller.get("demo-media", "many-0").status == 404


@pytest.mark.parametrize("operation", ["PutObjectTagging", "DeleteObjects"])
def test_n05_many_documents_that_do_not_end_stay_within_the_budget(impatient, operation):
    """30 documents of 8 MiB that all stop before their last byte: 240 MiB in flight, a budget of 8 MiB."""
    caller = Caller.of(impatient)
    caller.put("demo-media", "k", b"bytes")
    body = b"<Delete>".ljust(8 * MIB)
    refusals: tuple[str, ...]
    if operation == "PutObjectTagging":
        request = caller.request("PUT", "/demo-media/k?tagging=", body)
        refusals = ("MaxMessageLengthExceeded",)
    else:
        request = caller.request("POST", "/demo-media?delete=", body, [("Content-MD5", content_md5(body))])
        refusals = ("SlowDown", "RequestTimeout")  # the latter to those that have memory
    unfinished = caller.signer.sign(request, payload=UNSIGNED).encode()[:-1]
    before = forget_peak(impatient.pid)
    waiting = connections(impatient, 30)
    for connection in waiting:
        connection.send_leniently(unfinished)
    for connection in waiting:
        refused(connection.answer(), {400, 503}, *refusals)
        connection.close()
    assert peak_memory(impatient.pid) - before < 48 * MIB
    document = delete_document(["k", *(f"{number:0200d}" for number in range(999))])
    assert caller.call("POST", "/demo-media?delete=", document, [("Content-MD5", content_md5(document))]).status == 200
    assert caller.get("demo-media", "k").status == 404


def test_n07_wildcards_are_matched_in_linear_time(tmp_path):
    policy = """\
project = "demo"
[categories.media]
bucket = "demo-media"
origin = "local"
[principals.ops]
role = "admin"
[[cors]]
allowed_origins = ["https://*.a.example"]
allowed_methods = ["GET"]
allowed_headers = ["x-*-a"]
"""
    other = policy.replace('"demo', '"other').split("[[cors]]")[0]
    with Gateway(tmp_path, policies={"demo": policy, "other": other}) as running:
        caller = Caller.of(running)
        headers = [
            ("Origin", "https://" + "a." * 1500 + "example.evil"),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", ",".join(["x-" + "-a" * 500 + "b"] * 3)),
        ]
        for _ in range(20):
            refused(caller.ask(caller.request("OPTIONS", "/demo-media/k", b"", headers)), {400, 403})


def test_n08_a_fixed_hash_seed_is_refused_at_the_start(tmp_path):
    """Dictionaries of names that a client chooses need Python's random hashing."""
    gateway = Gateway(tmp_path, environment={"PYTHONHASHSEED": "0"})
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(gateway.config)],
        env=gateway.environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode not in (0, None)
    assert "PYTHONHASHSEED" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_n11_a_storm_of_errors_writes_a_bounded_log(impatient):
    """Neither long keys nor long headers nor broken requests buy more than a short line each."""
    caller = Caller.of(impatient)
    before = len(impatient.stderr_file.read_bytes())
    with caller.connect() as connection:
        for number in range(300):
            request = caller.signed("GET", f"/demo-media/{'k' * 900}{number}", b"", [("User-Agent", "u" * 4000)])
            assert connection.exchange(request).status == 404
    for _ in range(100):
        with caller.connect() as connection:
            connection.send(b"\x00" * 5000)
            connection.rest()
    assert len(impatient.stderr_file.read_bytes()) - before < 400 * 2500


def test_n11_refusals_of_every_kind_are_no_errors_of_the_gateway(impatient):
    """A client's mistake is an answer, not a traceback in the log."""
    caller = Caller.of(impatient)
    caller.put("demo-media", "k", b"bytes")
    upload_id = caller.start_upload("demo-media", "k")
    etag = caller.put_part("demo-media", "k", upload_id, 1, b"part")
    before = len(impatient.stderr())
    other = [("If-Match", '"another"')]
    document = complete_document([(1, etag)])
    target = f"/demo-media/k?uploadId={upload_id}"
    refused(caller.call("DELETE", "/demo-media/k", b"", other), 412)
    refused(caller.call("PUT", "/demo-media/k", b"new", other), 412)
    refused(caller.call("POST", target, document, other), 412)
    refused(caller.call("POST", target, document, [("x-amz-mp-object-size", "5000")]), 400)
    refused(caller.call("POST", target, complete_document([(2, etag)])), 400)
    refused(caller.call("PUT", "/demo-media/k", b"new", [("Content-MD5", "x")]), 400)
    assert caller.call("DELETE", target).status == 204
    assert "Traceback" not in impatient.stderr()[before:]
    assert "ERROR" not in impatient.stderr()[before:]


def test_n02_a_client_that_asks_on_and_reads_nothing_is_not_read_on(gateway):
    """Answers without a body fill memory as well: the gateway stops reading requests when nobody takes its answers."""
    request = b"HEAD /demo-media/a HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (gateway.host.encode(), gateway.port)
    with socket.create_connection((gateway.host, gateway.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        connection.settimeout(3)
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                connection.sendall(request * 1000)
