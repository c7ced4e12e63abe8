"""N: a thousand uploads or downloads that stall cost little memory, and hold up nobody.

The origin here is a few lines, since a thousand answers of 50 MB would not fit into the scripted one either.
"""

import asyncio
import hashlib
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.caller import Caller
from tests.support.gateway import Gateway, free_port
from tests.support.process import MIB, forget_peak, peak_memory, resident_memory
from tests.support.raw_http import eventually
from tests.support.s3_gateway import BUCKET, CAPABILITIES
from tests.support.small_server import SmallServer

MANY = 1000
LARGE = 50 * MIB
MOST = 300 * MIB
SENT = 256 * 1024
"""Bytes of a download that the origin sends before it stalls."""


class StallingOrigin(SmallServer):
    """Takes and gives small bodies; of keys that begin with `stalled` it reads, and writes, only the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.stalled = 0
        self.free_flow = False
        """Whether downloads go on as fast as they are read."""
        self._bodies: dict[str, bytes] = {}

    async def _listen(self) -> asyncio.Server:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)  # what is not read stays at the gateway
        listener.bind(("127.0.0.1", self.port))
        return await asyncio.start_server(self._accept, sock=listener, backlog=4096, limit=64 * 1024)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        key = target.partition("?")[0].removeprefix(f"/{BUCKET}/").partition("%40")[0]
        length = int((re.search(r"\r\ncontent-length: (\d+)", head) or ["", "0"])[1])
        if method == "PUT" and key.startswith("stalled"):
            await self._stall()
        body = await reader.readexactly(length)
        headers = "Content-Length: 0"
        data = b""
        if method == "PUT":
            self._bodies[key] = body
            headers += f'\r\nETag: "{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        elif method == "GET":
            found = self._bodies[key]
            first, last = map(int, (re.search(r"bytes=(\d+)-(\d+)", head) or ["", "0", str(len(found) - 1)]).groups())  # type: ignore[union-attr]
            data = found[first : last + 1]
            headers = f"Content-Length: {len(data)}\r\nContent-Range: bytes {first}-{last}/{len(found)}"
            writer.write(f"HTTP/1.1 206 Partial Content\r\n{headers}\r\n\r\n".encode())
            if key != "large":
                writer.write(data)
                return
            view = memoryview(data)
            for start in range(0, len(data) if self.free_flow else SENT, 64 * 1024):
                writer.write(view[start : start + 64 * 1024])
                await writer.drain()
            await self._stall()
        writer.write(f"HTTP/1.1 {'404 Not Found' if method == 'HEAD' else '200 OK'}\r\n{headers}\r\n\r\n".encode())

    async def _stall(self) -> None:
        self.stalled += 1
        await asyncio.Event().wait()


@contextmanager
def gateway_over(directory: Path, origin: StallingOrigin) -> Iterator[Gateway]:
    local = {
        "kind": "s3", "path": None, "endpoint": f"http://127.0.0.1:{origin.port}", "allow_http": True,
        "access_key_id": {"env": "ORIGIN_ID"}, "secret_access_key": {"env": "ORIGIN_SECRET"},
        "max_connections": 3 * MANY, "capabilities": CAPABILITIES, "connect_timeout_s": 30,
        "first_byte_timeout_s": 300, "gap_timeout_s": 300,
    }  # fmt: skip
    limits = {"small_body": "1MiB", "memory_budget": "64MiB", "body_gap_timeout_s": 300, "write_timeout_s": 300}
    keys = {"ORIGIN_ID": "AKIAORIGIN0000000001", "ORIGIN_SECRET": "secret"}
    with Gateway(directory, settings={"origins.local": local, "limits": limits}, environment=keys) as gateway:
        yield gateway


class Stalled:
    """Clients that have begun and go on no more."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._sockets: list[socket.socket] = []

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def _open(self) -> socket.socket:
        opened = socket.socket()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        opened.connect((self._caller.host, self._caller.port))
        self._sockets.append(opened)
        return opened

    def upload(self, key: str, piece: bytes) -> None:
        """Send as much of 50 MB as is taken."""
        target = f"/{BUCKET}/{key}"
        request = self._caller.request("PUT", target).changing_header("Content-Length", str(LARGE))
        head = self._caller.signer.sign(request, payload="0" * 64).head()
        opened = self._open()
        opened.sendall(head)
        opened.setblocking(False)
        self.push(opened, piece)

    @staticmethod
    def push(opened: socket.socket, piece: bytes) -> bool:
        try:
            while opened.send(piece):
                pass
        except BlockingIOError:
            return False
        return True

    def push_all(self, piece: bytes) -> None:
        for each in self._sockets:
            self.push(each, piece)

    def download(self, key: str) -> None:
        """Ask for 50 MB and read none of it."""
        self._open().sendall(self._caller.signed("GET", f"/{BUCKET}/{key}").encode())


@pytest.fixture
def origin() -> Iterator[StallingOrigin]:
    with StallingOrigin() as running:
        yield running


def settled_memory(pid: int) -> int:
    """What is resident once it grows no more."""
    last = 0
    while (now := resident_memory(pid)) > last + MIB:
        last = now
        time.sleep(0.5)
    return now


def begin(clients: Stalled, what: str) -> None:
    if what == "uploads":
        piece = b"u" * 64 * 1024
        for number in range(MANY):
            clients.upload(f"stalled-{number}", piece)
        for _ in range(10):
            time.sleep(0.2)
            clients.push_all(piece)
    else:
        for _ in range(MANY):
            clients.download("large")


@pytest.mark.parametrize("what", ["uploads", "downloads", "downloads that nobody reads"])
def test_n_a_thousand_stalled_transfers_stay_small(tmp_path: Path, origin: StallingOrigin, what: str):
    with gateway_over(tmp_path, origin) as gateway:
        caller = Caller.of(gateway)
        caller.put(BUCKET, "other", b"other client's")
        large = caller.signed("PUT", f"/{BUCKET}/large", b"\0" * LARGE)
        assert caller.ask(large, timeout_s=60).status == 200
        before = forget_peak(gateway.pid)
        origin.free_flow = what == "downloads that nobody reads"
        clients = Stalled(caller)
        try:
            begin(clients, what)
            assert origin.free_flow or eventually(lambda: origin.stalled >= MANY, within_s=90)
            during = settled_memory(gateway.pid)
            began = time.monotonic()
            answer = caller.ask(caller.signed("GET", f"/{BUCKET}/other"), timeout_s=60)
            assert answer.body == b"other client's"
            took_s = time.monotonic() - began
            peak = peak_memory(gateway.pid)
            print(
                f"{before / MIB:.0f} MiB before, {during / MIB:.0f} with {MANY} {what}, {peak / MIB:.0f} at most; "
                f"another client's GET took {1000 * took_s:.1f} ms"
            )
            assert peak < MOST
        finally:
            clients.close()
