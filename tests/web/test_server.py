"""The listener in this process: what a bug or a dying origin looks like from outside, and that nothing is left open."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import pytest

from gateway.objects.put import Attributes, Target, put_object
from gateway.web.dispatch import HANDLERS, Handler
from gateway.web.server import S3Server
from tests.support.data import pattern
from tests.support.house import body_of
from tests.support.raw_http import Request
from tests.support.signer import Signer

MIB = 1 << 20


@dataclass
class Listening:
    """A served port, and who may ask."""

    server: S3Server
    port: int
    signer: Signer

    async def exchange(self, request: Request) -> tuple[int, bytes]:
        """Status and body; a body that breaks off is given as far as it came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request.encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
            length = 0 if request.method == "HEAD" else length
            try:
                body = await reader.readexactly(length)
            except asyncio.IncompleteReadError as short:
                body = short.partial
            except ConnectionError:
                body = b""
        finally:
            writer.close()
        return int(head.split(b" ")[1]), body

    async def get(self, target: str, method: str = "GET") -> tuple[int, bytes]:
        return await self.exchange(self.signer.sign(Request(method, target, (("Host", f"127.0.0.1:{self.port}"),))))


@pytest.fixture
async def listening(services) -> AsyncIterator[Listening]:
    loop = asyncio.get_running_loop()
    server = S3Server(services, loop)
    public = await loop.create_server(server, "127.0.0.1", 0)
    new = await services.store.access_keys.create("demo", "ops", 1, actor="ops")
    yield Listening(server, public.sockets[0].getsockname()[1], Signer(new.access_key_id, new.secret_access_key))
    public.close()
    await server.drain(5.0)


async def stored(services, key: str, body: bytes):
    bucket = services.store.buckets.get("demo-media")
    return await put_object(services.rooms, Target(bucket, key, "ops"), body_of(body, piece=MIB), Attributes(), None)


async def test_an_object_is_served(services, listening):
    await stored(services, "k", pattern(3 * MIB))
    assert await listening.get("/demo-media/k") == (200, pattern(3 * MIB))


async def test_a_bug_tells_the_client_nothing_and_the_log_all(services, listening, monkeypatch, caplog):
    async def bug(_call):
        raise KeyError("the secret of the house")

    monkeypatch.setitem(cast(dict[str, Handler], HANDLERS), "ListBuckets", bug)
    status, body = await listening.get("/")
    assert status == 500
    assert b"<Code>InternalError</Code>" in body
    assert b"secret of the house" not in body
    assert "secret of the house" in caplog.text


async def test_a_body_that_is_shorter_than_the_catalog_says_breaks_the_connection(
    services, listening, tmp_path, caplog
):
    record = await stored(services, "k", pattern(3 * MIB))
    path = tmp_path / "var" / "objects" / record.location
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(MIB)
    with caplog.at_level(logging.CRITICAL):
        status, body = await listening.get("/demo-media/k")
    assert status == 200
    assert len(body) <= MIB
    assert b"<Error>" not in body
    assert pattern(3 * MIB).startswith(body)


async def test_every_reader_is_closed_however_its_answer_ends(services, listening):
    origin = services.rooms.origin("local")
    await stored(services, "k", pattern(3 * MIB))
    await stored(services, "small", b"x" * 1000)
    for target in ("/demo-media/k", "/demo-media/small", "/demo-media/k?response-content-type=a/b"):
        assert (await listening.get(target))[0] == 200
        assert (await listening.get(target, "HEAD"))[0] == 200
    signed = listening.signer.sign(Request("GET", "/demo-media/k", (("Host", f"127.0.0.1:{listening.port}"),)))
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(signed.encode())
        await writer.drain()
        writer.transport.abort()
    await listening.server.drain(5.0)
    assert [file.uses for file in origin._files._files.values() if file.uses] == []


async def test_a_client_that_takes_nothing_loses_its_connection_and_its_reader_is_closed(services, listening):
    origin = services.rooms.origin("local")
    await stored(services, "k", bytes(24 * MIB))
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port, limit=1)
    request = listening.signer.sign(Request("GET", "/demo-media/k", (("Host", f"127.0.0.1:{listening.port}"),)))
    writer.write(request.encode())
    await reader.readexactly(1)
    await listening.server.drain(20.0)  # the time for writing is shorter
    assert not any(file.uses for file in origin._files._files.values())
    writer.close()
