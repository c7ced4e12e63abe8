"""An endpoint on a raw socket that answers by the book of a test, and a session to it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from gateway.origin.credentials import OriginCredentials
from gateway.origin.http_client import Deadlines
from gateway.origin.providers import PROVIDERS, Upstream
from gateway.origin.s3.session import Session
from gateway.origin_settings import Endpoint
from gateway.sigv4.model import SecretAccessKey
from gateway.stream_memory import StreamMemory


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Step:
    """What happens to one request: `answer` is sent (in two halves where `pause_s`), then the connection closed or not.

    `early`: answered before the body was read. `hangs`: never answered.
    """

    answer: bytes = b""
    close: bool = False
    early: bool = False
    hangs: bool = False
    pause_s: float = 0.0


def answer(status: int = 200, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", f"content-length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def refusal(status: int, code: str, *headers: str) -> bytes:
    return answer(status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode(), *headers)


NOW_S = 1_700_000_000
"""What the clock of a session shows."""

LOST = Step(close=True)
"""The request is read, and the connection closed."""

HANGS = Step(hangs=True)


class Endless(list[Step]):
    """A script that repeats its last step."""

    def pop(self, _index: object = -1) -> Step:  # type: ignore[override]
        return self[0]


class Server:
    """Requests are seen in their order; each takes the next step of `script`."""

    def __init__(self, *script: Step | bytes, again: bool = False) -> None:
        steps = [step if isinstance(step, Step) else Step(step) for step in script]
        self.script = Endless(steps) if again else steps
        self.seen: list[Seen] = []
        self.port = 0
        self.connections = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()

    async def saw(self, count: int) -> None:
        """So many requests have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.seen) >= count)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = dict(line.split(": ", 1) for line in lines[1:-2])
        step = self.script.pop(0)
        body = b"" if step.early else await reader.readexactly(int(headers.get("content-length", 0)))
        async with self._arrived:
            self.seen.append(Seen(method, target, headers, body))
            self._arrived.notify_all()
        if step.hangs:
            await reader.read(-1)
            return False
        half = len(step.answer) // 2 if step.pause_s else len(step.answer)
        writer.write(step.answer[:half])
        await writer.drain()
        if step.pause_s:
            await asyncio.sleep(step.pause_s)
            writer.write(step.answer[half:])
            await writer.drain()
        return not step.close


async def all_arrived() -> None:
    """What is on its way between two ends of this loop has arrived, however busy the machine is."""
    for _ in range(20):
        await asyncio.sleep(0.001)


@dataclass
class Keys:
    """Credentials that a test rotates; `asked` is how often others were asked for."""

    held: list[OriginCredentials] = field(
        default_factory=lambda: [OriginCredentials("AKIDFIRST", SecretAccessKey("first"))]
    )
    next: OriginCredentials | None = None
    asked: int = 0

    async def current(self) -> OriginCredentials:
        return self.held[-1]

    async def refresh(self, refused: OriginCredentials | None = None) -> bool:
        self.asked += 1
        before = refused or self.held[-1]
        if self.next is not None:
            self.held.append(self.next)
        return not self.held[-1].same_as(before)


def session_to(
    port: int,
    *,
    keys: Keys | None = None,
    retries: int = 2,
    whole_s: float = 5.0,
    first_byte_s: float = 2.0,
    clock: Callable[[], float] = lambda: NOW_S,
    provider: str = "minio",
    connect_s: float = 2.0,
    most_connections: int = 8,
    memory: StreamMemory | None = None,
) -> Session:
    upstream = Upstream(Endpoint(scheme="http", host="127.0.0.1", port=port), "us-east-1", "path", PROVIDERS[provider])
    return Session(
        "main",
        upstream,
        keys or Keys(),
        deadlines=Deadlines(connect_s, first_byte_s, 2.0),
        whole_s=whole_s,
        retries=retries,
        most_connections=most_connections,
        tls=None,
        clock=clock,
        memory=memory,
    )
