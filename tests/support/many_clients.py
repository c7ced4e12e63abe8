"""Many clients and an origin that fails them now and then: what each of them may find, and that it finds nothing else."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.caller import Caller, complete_document, parse_xml, text
from tests.support.origin_faults import (
    Behaviour,
    CloseAfter,
    Cut,
    Delay,
    Drip,
    EarlyAnswer,
    ErrorInside,
    Fail,
    Garbage,
    HangUp,
    LoseAnswer,
    SlowRead,
    Stall,
    WrongETag,
    WrongLength,
)
from tests.support.raw_http import Answer, Request
from tests.support.s3_gateway import BUCKET, SMALL
from tests.support.scripted_origin import ScriptedOrigin

KEYS = 3
SIZES = (0, 1, 1000, 20_000, SMALL + 1, 4 * SMALL)
ANSWER_TIMEOUT_S = 60

Body = bytes | None

EVERYWHERE: Sequence[tuple[float, Sequence[Behaviour]]] = (
    (0.010, (Fail(500, "InternalError"),)),
    (0.010, (Fail(503, "SlowDown"),)),
    (0.010, (Cut("head", reset=True),)),
    (0.005, (Cut("mid-head"),)),
    (0.005, (HangUp(),)),
    (0.005, (HangUp(reset=True),)),
    (0.005, (EarlyAnswer(),)),
    (0.010, (LoseAnswer(applied=True),)),
    (0.010, (LoseAnswer(applied=False),)),
    (0.010, (Delay(0.3),)),
    (0.003, (Stall("head"),)),
    (0.003, (Stall("head", applied=False),)),
    (0.005, (Garbage(),)),
    (0.020, (CloseAfter(),)),
    (0.010, (SlowRead(8192, 0.005),)),
)
OF: Sequence[tuple[str, float, Sequence[Behaviour]]] = (
    ("GetObject", 0.03, (Cut(700, reset=True),)),
    ("GetObject", 0.03, (Cut(-1),)),
    ("GetObject", 0.01, (WrongLength(10),)),
    ("GetObject", 0.01, (WrongLength(-1),)),
    ("GetObject", 0.01, (Stall(500),)),
    ("GetObject", 0.03, (Drip(16384, 0.01),)),
    ("PutObject", 0.01, (WrongETag(),)),
    ("CompleteMultipartUpload", 0.05, (ErrorInside(),)),
    ("CompleteMultipartUpload", 0.05, (ErrorInside(applied=True),)),
    ("CopyObject", 0.05, (ErrorInside(),)),
    ("CopyObject", 0.05, (ErrorInside(applied=True),)),
)


class Dice:
    """A share of what comes, by lot."""

    def __init__(self, chance: random.Random, share: float) -> None:
        self._chance, self._share = chance, share

    def __call__(self, _: object) -> bool:
        return self._chance.random() < self._share


def arm(origin: ScriptedOrigin, chance: random.Random, *, part: float = 1.0) -> None:
    """`part`: of the usual shares."""
    for operation, share, behaviours in OF:
        dice = Dice(random.Random(chance.random()), part * share)
        origin.script(operation, do=behaviours, times=None, when=dice)
    for share, behaviours in EVERYWHERE:
        origin.script(do=behaviours, times=None, when=Dice(random.Random(chance.random()), part * share))


async def ask(caller: Caller, request: Request) -> Answer | None:
    """The answer; None where the connection broke before all of it was there. Raises TimeoutError for none at all."""
    answers = await converse(caller, [request])
    return answers[0] if answers else None


async def converse(caller: Caller, requests: Sequence[Request]) -> list[Answer]:
    """Ask one after the other on one connection: the answers up to where it broke, if it did."""
    answers: list[Answer] = []
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(caller.host, caller.port)
        try:
            for request in requests:
                writer.write(request.encode())
                answers.append(await _answer(reader, request.method))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
    return answers


async def _answer(reader: asyncio.StreamReader, method: str) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2]))
    answer = Answer(int(head[0].split(" ")[1]), "", headers, b"")
    length = int(answer.header("content-length") or 0) if method != "HEAD" else 0
    return Answer(answer.status, "", headers, await reader.readexactly(length))


@dataclass(slots=True)
class Client:
    """One of many, with keys of its own: `possible` is what each may hold, several bodies where an answer was lost."""

    caller: Caller
    name: str
    chance: random.Random
    bucket: str = BUCKET
    possible: dict[str, set[Body]] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    heard: Counter[str] = field(default_factory=Counter)

    async def live(self, count: int) -> None:
        steps = (
            [self.put] * 4 + [self.get] * 6 + [self.head, self.delete, self.copy, self.copy, self.upload, self.listed]
        )
        for _ in range(count):
            await self.chance.choice(steps)(f"{self.name}-{self.chance.randrange(KEYS)}")

    def now(self, key: str) -> set[Body]:
        return self.possible.setdefault(key, {None})

    def path(self, key: str) -> str:
        return f"/{self.bucket}/{key}"

    def body(self) -> bytes:
        return self.chance.randbytes(self.chance.choice(SIZES))

    async def send(self, method: str, target: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()):
        answer = await ask(self.caller, self.caller.signed(method, target, body, headers))
        self.heard["broken" if answer is None else str(answer.status)] += 1
        if answer is not None and answer.status >= 400 and answer.status not in (404, 503, 409):
            self.mistakes.append(f"{method} {target}: {answer.status} {answer.body[:200]!r}")
        return answer

    def wrote(self, key: str, body: Body, answer: Answer | None) -> None:
        """Acknowledged it is there, refused it is not, and without an answer it may be."""
        if answer is None:
            self.possible[key] = self.now(key) | {body}
        elif answer.status < 300:
            self.possible[key] = {body}

    async def put(self, key: str) -> None:
        body = self.body()
        self.wrote(key, body, await self.send("PUT", self.path(key), body))

    async def delete(self, key: str) -> None:
        self.wrote(key, None, await self.send("DELETE", self.path(key)))

    async def copy(self, key: str) -> None:
        source = f"{self.name}-{self.chance.randrange(KEYS)}"
        held = self.now(source)
        if source == key or len(held) > 1:
            return
        (body,) = held
        answer = await self.send("PUT", self.path(key), b"", [("x-amz-copy-source", self.path(source))])
        if body is None and answer is not None and answer.status < 300:
            self.mistakes.append(f"a copy of nothing: {source}")
        elif body is not None:
            self.wrote(key, body, answer)

    async def upload(self, key: str) -> None:
        begun = await self.send("POST", f"{self.path(key)}?uploads=")
        if begun is None or begun.status != 200:
            return
        target = f"{self.path(key)}?uploadId={text(parse_xml(begun.body), 'UploadId')}"
        body = self.body()
        part = await self.send("PUT", f"{target}&partNumber=1", body)
        if part is None or part.status != 200 or self.chance.random() < 0.2:
            await self.send("DELETE", target)
            return
        document = complete_document([(1, part.header("etag") or "")])
        answer = await self.send("POST", target, document)
        self.wrote(key, body, answer)
        if answer is None or answer.status != 200:
            again = await self.send("POST", target, document)
            self.wrote(key, body, again)

    async def get(self, key: str) -> None:
        size = max((len(body) for body in self.now(key) if body), default=0)
        first = self.chance.randrange(size) if size and self.chance.random() < 0.4 else None
        headers = [] if first is None else [("Range", f"bytes={first}-{first + 5000}")]
        answer = await self.send("GET", self.path(key), b"", headers)
        if answer is None or answer.status == 503:
            return
        found = None if answer.status == 404 else answer.body
        allowed = {body if body is None or first is None else body[first : first + 5001] for body in self.now(key)}
        if found not in allowed:
            self.mistakes.append(f"GET {key} {headers}: {answer.status}, {len(answer.body)} bytes that nobody stored")

    async def head(self, key: str) -> None:
        answer = await self.send("HEAD", self.path(key))
        if answer is None or answer.status == 503:
            return
        sizes = {None if body is None else len(body) for body in self.now(key)}
        if (None if answer.status == 404 else int(answer.header("content-length") or -1)) not in sizes:
            self.mistakes.append(f"HEAD {key}: {answer.status} {answer.header('content-length')}")

    async def listed(self, key: str) -> None:
        answer = await self.send("GET", f"/{self.bucket}?list-type=2&prefix={key}")
        if answer is None or answer.status == 503:
            return
        found = [text(each, "Size") for each in parse_xml(answer.body).findall("Contents")]
        sizes = [[] if body is None else [str(len(body))] for body in self.now(key)]
        if found not in sizes:
            self.mistakes.append(f"listing of {key}: {found}, not one of {sizes}")

    def verify(self) -> None:
        """At the end, with a healthy origin: every key holds what it may."""
        for key, bodies in self.possible.items():
            answer = self.caller.get(self.bucket, key)
            assert answer.status in (200, 404), (key, answer.status)
            found = None if answer.status == 404 else answer.body
            assert found in bodies, f"{key}: {None if found is None else len(found)} bytes, {len(bodies)} possible"
