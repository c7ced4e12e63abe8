"""The rooms of objects/ over a real store: what a gateway has inside, without its door.

An opened house may be dropped as a crash would and opened again over the same files.
"""

import asyncio
import sqlite3
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from gateway.budget import MemoryBudget
from gateway.config import Limits
from gateway.objects.background import Background
from gateway.objects.bodies import Claims, IncomingBody
from gateway.objects.collector import Collector
from gateway.objects.get import Wanted, open_object
from gateway.objects.put import Attributes, Target, put_object
from gateway.objects.rooms import Rooms
from gateway.origin.base import BodyReader, Origin
from gateway.s3.conditions import NO_CONDITIONS, WriteCondition
from gateway.store.buckets import Bucket
from gateway.store.database import Database
from gateway.store.key_ring import KeyRing
from gateway.store.records import ObjectRecord
from gateway.store.store import Store
from gateway.threads import Threads
from tests.support.buckets import make_buckets
from tests.support.oracle import RESERVED, USED

MEDIA = Bucket("demo-media", "demo", "media", "local", "demo-media", "", "policy", 1)
VOICE = Bucket("demo-voice", "demo", "voice", "local", "demo-voice", "", "policy", 1)
RING = KeyRing({"test": bytes(range(32))})
LIMITS = Limits(small_body=64 << 10, memory_budget=1 << 20)
LARGE = 700 << 10
"""Bytes of a body that is streamed: more than `small_body`, and more than two blocks."""


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000_000

    def __call__(self) -> int:
        return self.now_s


class House:
    """A store with two buckets, an origin, and what the operations need."""

    def __init__(self, path: Path, database: Database, origin: Origin, clock: Clock, limits: Limits) -> None:
        self.path = path
        self.database = database
        self.clock = clock
        self.store = Store(database, RING)
        origins = {"local": origin}
        self.background = Background()
        self.hashing = Threads(1, "hash")
        self.rooms = Rooms(
            store=self.store,
            origins=origins,
            limits=limits,
            background=self.background,
            collector=Collector(self.store.catalog, origins, self.background, clock),
            budget=MemoryBudget(limits.memory_budget),
            now_s=clock,
            hashing=self.hashing,
        )

    def target(self, key: str, bucket: Bucket = MEDIA, uploader: str = "ops") -> Target:
        return Target(bucket, key, uploader)

    async def put(
        self,
        key: str,
        data: bytes,
        condition: WriteCondition | None = None,
        *,
        uploader: str = "ops",
        bucket: Bucket = MEDIA,
        attributes: Attributes | None = None,
    ) -> ObjectRecord:
        target = self.target(key, bucket, uploader)
        return await put_object(self.rooms, target, body_of(data), attributes or Attributes(), condition)

    async def find(self, key: str, bucket: str = MEDIA.bucket) -> ObjectRecord | None:
        return await self.store.catalog.find(bucket, key)

    async def get(self, key: str, bucket: str = MEDIA.bucket) -> bytes | None:
        """The bytes of an object; None where there is none."""
        record = await self.find(key, bucket)
        return None if record is None else await self.read(record)

    async def read(self, record: ObjectRecord) -> bytes:
        found, reader = await open_object(self.rooms, record, Wanted(NO_CONDITIONS))
        if reader is None:
            return b""
        try:
            return await read_to_the_end(reader, found.offset, found.size)
        finally:
            reader.close()

    async def settle(self) -> None:
        """Wait for everything that nobody waits for."""
        while self.background._tasks:
            await asyncio.wait(self.background._tasks)

    def rows(self, sql: str) -> list[Any]:
        """The store as another program sees it."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def count(self, table: str) -> int:
        found: int = self.rows(f"SELECT count(*) FROM {table}")[0][0]
        return found

    def usage_is_the_sum_of_the_objects(self) -> None:
        """Garbage that waits is charged as well; open uploads and writes under way hold what they have reserved."""
        wanted: Counter[tuple[str, str, str, str]] = Counter()
        for prefix, rows in (("", self.rows(USED)), ("reserved_", self.rows(RESERVED))):
            for project, category, uploader, size, objects in rows:
                for scope in ((project, "", ""), (project, category, ""), (project, category, uploader)):
                    wanted[*scope, f"{prefix}bytes"] += size
                    wanted[*scope, f"{prefix}objects"] += objects
        told: Counter[tuple[str, str, str, str]] = Counter()
        names = ("bytes", "objects", "reserved_bytes", "reserved_objects")
        for project, category, uploader, *amounts in self.rows(
            f"SELECT project, category, uploader, {', '.join(names)} FROM usage"
        ):
            for name, amount in zip(names, amounts, strict=True):
                told[project, category, uploader, name] = amount
        assert +told == +wanted

    def needed_locations(self) -> set[str]:
        """Where the bodies lie that something refers to; of an upload also all that is below it."""
        return {
            location
            for (location,) in self.rows(
                "SELECT location FROM objects UNION SELECT location FROM uploads WHERE state <> 'done' "
                "UNION SELECT location FROM upload_parts"
            )
        }

    def is_clean(self, kept: Iterable[str]) -> None:
        """Nothing is under way, nothing waits, and the origin keeps only what is needed; `kept` is what it keeps."""
        assert self.count("intents") == 0
        assert self.count("garbage") == 0
        needed = self.needed_locations()
        folders = tuple(location for location in needed if location.endswith("/"))
        assert {name for name in kept if name not in needed and not (folders and name.startswith(folders))} == set()
        self.usage_is_the_sum_of_the_objects()


@asynccontextmanager
async def open_house(
    path: Path, origin: Origin, *, clock: Clock | None = None, limits: Limits = LIMITS
) -> AsyncIterator[House]:
    database = await Database.open(path)
    house = House(path, database, origin, clock or Clock(), limits)
    try:
        await make_buckets(house.store.buckets, MEDIA, VOICE)
        yield house
    finally:
        await house.background.close(10.0)
        await database.close()
        await house.hashing.close()


def copy_store(path: Path, copied: Path) -> None:
    """The store's files as a crash of this moment would leave them.

    By another process: a descriptor of the store that is closed here would take SQLite's locks along.
    """
    for suffix in ("", "-wal"):
        subprocess.run(["cp", f"{path}{suffix}", f"{copied}{suffix}"], check=True)


def body_of(data: bytes, claims: Claims | None = None, piece: int = 50_000, size: int | None = None) -> IncomingBody:
    """A body that arrives in pieces."""
    return IncomingBody(len(data) if size is None else size, pieces_of(data, piece), claims or Claims())


async def pieces_of(data: bytes, piece: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), piece):
        await asyncio.sleep(0)
        yield data[start : start + piece]


async def read_to_the_end(reader: BodyReader, offset: int, size: int, piece: int = 1 << 20) -> bytes:
    data = b""
    while len(data) < size:
        data += await reader.read(offset + len(data), min(piece, size - len(data)))
    return data
