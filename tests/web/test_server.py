"""The listener in this process: what a bug or a dying origin looks like from outside, and that nothing is left open."""

import asyncio
import logging
from typing import cast

from gateway.objects.put import Attributes, Target, put_object
from gateway.web.dispatch import HANDLERS, Handler
from tests.support.data import pattern
from tests.support.house import body_of
from tests.support.raw_http import Request

MIB = 1 << 20


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
