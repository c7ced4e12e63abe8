"""X31, X32, and memory: a log nobody reads, no descriptors left, and large bodies in little memory."""

import contextlib
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.caller import Caller
from tests.support.gateway import Gateway
from tests.support.oracle import at_rest
from tests.support.process import MIB, forget_peak, open_descriptors, peak_memory
from tests.support.raw_http import BrokenAnswer, Connection, Request, eventually
from tests.support.signer import STREAMING_SIGNED, UNSIGNED, ChunkSigner, object_path, signed_chunks_size

BUCKET = "demo-media"


@contextlib.contextmanager
def serving(gateway: Gateway, *, stderr: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The gateway as a process whose standard output nobody reads any more once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--config", str(gateway.config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=gateway.directory,
        env=gateway.environment,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        assert line.startswith("ready: http"), line
        gateway.port = int(line.strip().rpartition(":")[2])
        process.stdout.close()
        yield process
        process.terminate()
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def use(gateway: Gateway) -> None:
    """Requests of every outcome, more than any buffer of log lines holds."""
    caller = Caller.of(gateway)
    with caller.connect() as connection:
        for number in range(100):
            key = f"k-{number % 10}"
            assert connection.exchange(caller.signed("PUT", f"/{BUCKET}/{key}", b"bytes")).status == 200
            assert connection.exchange(caller.signed("GET", f"/{BUCKET}/{key}")).body == b"bytes"
            assert connection.exchange(caller.signed("GET", f"/{BUCKET}/missing")).status == 404
            assert connection.exchange(caller.request("GET", f"/{BUCKET}/{key}")).status == 403
    for _ in range(20):
        with caller.connect() as broken:
            broken.send(b"\x00\r\n\r\n")
            broken.rest()


@pytest.mark.parametrize("log", ["pipe nobody reads", "full disk", "read-only", "kept full"])
def test_x31_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, log: str):
    gateway = Gateway(tmp_path, settings={"origins.local": {"durable": False}})
    with gateway:
        pass  # makes the access keys
    reader = -1
    if log == "full disk":
        target = os.open("/dev/full", os.O_WRONLY)
    elif log == "read-only":
        target = os.open("/dev/null", os.O_RDONLY)
    else:
        reader, target = os.pipe()
        if log == "pipe nobody reads":
            os.close(reader)
            reader = -1
    try:
        with serving(gateway, stderr=target):
            os.close(target)
            target = -1
            use(gateway)
            if reader >= 0:
                os.close(reader)
                reader = -1
    finally:
        for descriptor in (reader, target):
            if descriptor >= 0:
                os.close(descriptor)


def test_x32_when_descriptors_run_out_those_who_have_one_are_served(tmp_path: Path):
    with Gateway(tmp_path, settings={"limits": {"idle_s": 60.0, "header_timeout_s": 60.0}}) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "k", b"bytes")
        first = caller.connect()
        get = caller.signed("GET", f"/{BUCKET}/k")
        assert first.exchange(get).status == 200
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (open_descriptors(gateway.pid) + 40,) * 2)
        logged = len(gateway.stderr())
        crowd = []
        for _ in range(200):
            with contextlib.suppress(OSError):
                crowd.append(Connection.open(gateway.host, gateway.port, timeout_s=5))
        for _ in range(20):
            # No descriptor is left to open a body with: the answer may be 503, but it comes, and the connection lives.
            assert first.exchange(get).status in (200, 503)
            assert first.exchange(caller.signed("HEAD", f"/{BUCKET}/k")).status == 200
        answer = first.exchange(caller.signed("PUT", f"/{BUCKET}/late", b"late"))
        assert answer.status in (200, 503)
        for connection in crowd:
            connection.close()

        def recovered() -> bool:
            with contextlib.suppress(OSError, BrokenAnswer):
                return caller.ask(get, timeout_s=2).body == b"bytes"
            return False

        assert eventually(recovered, within_s=10)
        assert caller.keys(BUCKET) == (["k", "late"] if answer.status == 200 else ["k"])
        assert eventually(lambda: at_rest(gateway))
        assert len(gateway.stderr()) - logged < 100_000, "an error for each attempt to accept is a log without bounds"
        first.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"origins.local": {"durable": False}}
    with Gateway(tmp_path_factory.mktemp("memory"), settings=settings) as gateway:
        yield gateway


LARGE = 384 * MIB
PIECE = os.urandom(MIB)


def read_back(caller: Caller, key: str) -> str:
    """The SHA-256 of an object, read in pieces."""
    digest = hashlib.sha256()
    with caller.connect() as connection:
        connection.send(caller.signed("GET", object_path(BUCKET, key)).encode())
        size = 0
        while line := connection.line():
            if line.lower().startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        while size:
            data = bytes(connection.received) or b""
            connection.received.clear()
            digest.update(data)
            size -= len(data)
            if size and not connection.fill():
                raise BrokenAnswer
    return digest.hexdigest()


def test_a_large_body_goes_through_little_memory(running: Gateway):
    caller = Caller.of(running)
    head = Request("PUT", f"/{BUCKET}/large", (("Host", caller.authority), ("Content-Length", str(LARGE))))
    before = forget_peak(running.pid)
    digest = hashlib.sha256()
    with caller.connect(timeout_s=60) as connection:
        connection.send(caller.signer.sign(head, payload=UNSIGNED).head())
        for _ in range(LARGE // MIB):
            connection.send(PIECE)
            digest.update(PIECE)
        assert connection.answer("PUT").status == 200
    assert read_back(caller, "large") == digest.hexdigest()
    assert peak_memory(running.pid) - before < 48 * MIB
    assert caller.call("DELETE", f"/{BUCKET}/large").status == 204


def test_a_large_body_in_signed_chunks_goes_through_little_memory(running: Gateway):
    caller = Caller.of(running)
    count = 128
    headers = (
        ("Host", caller.authority),
        ("x-amz-decoded-content-length", str(count * MIB)),
        ("Content-Length", str(signed_chunks_size([MIB] * count))),
    )
    head = caller.signer.sign(Request("PUT", f"/{BUCKET}/chunked", headers), payload=STREAMING_SIGNED)
    chunks = ChunkSigner.after(caller.signer, head)
    before = forget_peak(running.pid)
    with caller.connect(timeout_s=60) as connection:
        connection.send(head.head())
        for _ in range(count):
            connection.send(chunks.chunk(PIECE))
        connection.send(chunks.chunk(b"") + b"\r\n")
        assert connection.answer("PUT").status == 200
    assert read_back(caller, "chunked") == hashlib.sha256(PIECE * count).hexdigest()
    assert peak_memory(running.pid) - before < 48 * MIB
    assert caller.call("DELETE", f"/{BUCKET}/chunked").status == 204


def test_a_chunk_as_large_as_the_body_is_not_held_in_memory(running: Gateway):
    """The size of a chunk is the client's choice: its signature is checked at its end, not by collecting it."""
    caller = Caller.of(running)
    size = 192 * MIB
    headers = (
        ("Host", caller.authority),
        ("x-amz-decoded-content-length", str(size)),
        ("Content-Length", str(signed_chunks_size([size]))),
    )
    head = caller.signer.sign(Request("PUT", f"/{BUCKET}/one-chunk", headers), payload=STREAMING_SIGNED)
    framed = ChunkSigner.after(caller.signer, head).body([bytes(size)])
    before = forget_peak(running.pid)
    with caller.connect(timeout_s=60) as connection:
        connection.send(head.head() + framed)
        assert connection.answer("PUT").status == 200
    assert peak_memory(running.pid) - before < 48 * MIB
    assert caller.call("DELETE", f"/{BUCKET}/one-chunk").status == 204
