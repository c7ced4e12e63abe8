"""A proxy on a raw socket before a real store: it writes down every request, and loses or changes what it is told to."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from tests.origin.s3.scripted import Seen


class Proxy:
    """`lose_answers` of requests, or the requests themselves (`lose_requests`): the next ones for which it holds.

    `change` may give another answer than the store's.
    """

    def __init__(self, store_port: int) -> None:
        self._store_port = store_port
        self.seen: list[Seen] = []
        self.lose_answers: list[Callable[[Seen], bool]] = []
        self.lose_requests: list[Callable[[Seen], bool]] = []
        self.change: Callable[[Seen, bytes], bytes] = lambda _, answer: answer
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def asked(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            writer.write(await self._exchange(reader))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader) -> bytes:
        """One request and its answer; b"": it was lost."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = dict(line.split(": ", 1) for line in lines[1:-2])
        seen = Seen(method, target, headers, b"")
        self.seen.append(seen)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen[self.seen.index(seen)] = seen = replace(seen, body=body)
        if _next(self.lose_requests, seen):
            return b""
        answer = await self._forward(head, body)
        return b"" if _next(self.lose_answers, seen) else self.change(seen, answer)

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._store_port)
        try:
            writer.write(head[:-2] + b"connection: close\r\n\r\n" + body)
            await writer.drain()
            return await reader.read(-1)
        finally:
            writer.close()


def _next(wanted: list[Callable[[Seen], bool]], seen: Seen) -> bool:
    for holds in wanted:
        if holds(seen):
            wanted.remove(holds)
            return True
    return False
