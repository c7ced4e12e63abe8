"""A small working origin in memory, which can be told to fail or to wait at any step.

It stands where a directory or an S3 endpoint stands, and is as strict: a location is written once, a body exists only
after its last step, what was deleted is gone for readers that have not begun.
"""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import md5

from gateway.origin.base import (
    Begun,
    BodyMeta,
    BodyReader,
    BodyWriter,
    Checked,
    FileRegion,
    KeptAs,
    PartBody,
    StoredBody,
)
from gateway.origin.errors import (
    BodyChanged,
    BodyExists,
    BodyNotFound,
    BucketTaken,
    OriginError,
    UploadNotFound,
)
from gateway.origin.survey import ExaminedBody, LyingBody

STEPS = (
    "make_bucket",
    "require_free",
    "create",
    "write",
    "finish",
    "store",
    "open",
    "read",
    "copy",
    "assemble",
    "describe",
    "delete",
    "abort",
)


@dataclass
class Pause:
    """A step that waits: `reached` is set when somebody has come to it, and goes on after `resume`."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    resume: asyncio.Event = field(default_factory=asyncio.Event)


class Faults:
    """What goes wrong, step by step."""

    def __init__(self) -> None:
        self._failures: defaultdict[str, list[OriginError]] = defaultdict(list)
        self._answers_lost: defaultdict[str, list[OriginError]] = defaultdict(list)
        self._pauses: dict[str, Pause] = {}
        self._pauses_after: dict[str, Pause] = {}
        self.seen: list[str] = []

    def fail(self, step: str, times: int = 1, error: OriginError | None = None) -> None:
        """The next `times` of this step fail before they have done anything."""
        self._failures[step] += [error or OriginError(f"{step} was told to fail")] * times

    def lose_answer(self, step: str, error: OriginError | None = None) -> None:
        """The next of this step does all it should and then seems to have failed."""
        self._answers_lost[step].append(error or OriginError(f"the answer to {step} was lost"))

    def pause(self, step: str) -> Pause:
        """The next of this step waits until it is told to go on."""
        return self._pauses.setdefault(step, Pause())

    def pause_after(self, step: str) -> Pause:
        """The next of this step does all it should and then waits."""
        return self._pauses_after.setdefault(step, Pause())

    def heal(self) -> None:
        """Nothing fails or waits any more."""
        self._failures.clear()
        self._answers_lost.clear()
        for pauses in (self._pauses, self._pauses_after):
            for pause in pauses.values():
                pause.resume.set()
            pauses.clear()

    async def before(self, step: str) -> None:
        self.seen.append(step)
        await asyncio.sleep(0)  # as with a real origin, others go on meanwhile
        await _wait_at(self._pauses.pop(step, None))
        if self._failures[step]:
            raise self._failures[step].pop(0)

    async def after(self, step: str) -> None:
        await _wait_at(self._pauses_after.pop(step, None))
        if self._answers_lost[step]:
            raise self._answers_lost[step].pop(0)


async def _wait_at(pause: Pause | None) -> None:
    if pause is not None:
        pause.reached.set()
        await pause.resume.wait()


class MemoryOrigin:
    """Bodies in a dictionary; implements gateway.origin.base.Origin."""

    md5_etags = False
    confirms_checksums = False
    copies = True

    def __init__(self, *, own_keys: bool = False, settle_s: int = 0, describes_by_copy: bool = False) -> None:
        """`own_keys`: one body at a time may lie under its key alone, and parts are gone once they are put together, as
        at an S3 endpoint; `settle_s`: late writes take effect so long.

        `describes_by_copy`: a body that is described anew is called otherwise.
        """
        self.own_keys = own_keys
        self.assembles_once = own_keys
        self.describes_by_copy = describes_by_copy
        self.settle_s = settle_s
        self.survey = MemorySurvey(self)
        self.faults = Faults()
        self.bodies: dict[str, bytes] = {}
        self.metas: dict[str, BodyMeta] = {}
        self.manifests: dict[str, tuple[tuple[str, int], ...]] = {}
        self.unfinished: set[str] = set()
        self.open_readers = 0
        self.versions: Counter[str] = Counter()

    async def make_bucket(self, bucket: str) -> None:
        await self.faults.before("make_bucket")
        if any(location.startswith(f"{bucket}/") for location in self.locations):
            raise BucketTaken(bucket)

    def locate(self, bucket: str, key: str, write_id: str) -> str:
        return f"{bucket}/{key}{'%40' if self.own_keys else '@'}{write_id}"

    def own_location(self, bucket: str, key: str) -> str | None:
        return f"{bucket}/{key}" if self.own_keys else None

    def foreign_location(self, bucket: str, key: str) -> str | None:
        return f"{bucket}/{key}" if self.own_keys else None

    async def require_free(self, location: str, write_id: str) -> None:
        await self.faults.before("require_free")
        self.keep_foreign(location.partition("?")[0])

    def locate_upload(self, object_location: str) -> str:
        return f"{object_location}?uploads/" if self.own_keys else f"{object_location}/"

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str:
        return f"{upload_location}{part_number}-{write_id}"

    @property
    def locations(self) -> set[str]:
        """Everything that is kept, finished or not, beside bodies too."""
        return set(self.bodies) | set(self.metas) | set(self.manifests) | self.unfinished

    async def create(
        self, location: str, size: int | None, meta: BodyMeta | None = None, sha256_hex: str | None = None
    ) -> BodyWriter:
        await self.faults.before("create")
        if not self._is_foreign(location):  # of a condition one hears at the end
            self._begin(location)
        await self.faults.after("create")
        return _Writer(self, location, size, meta)

    async def store(self, location: str, data: bytes, check: Callable[[], Checked]) -> str | None:
        await self.faults.before("store")
        checked = check()
        self.keep_foreign(location)
        self._begin(location)
        self.end(location, bytes(data), checked.meta)
        await self.faults.after("store")
        return self._etag(location)

    async def open(
        self,
        location: str,
        etag: str | None = None,
        offset: int = 0,
        size: int | None = None,
        kept_as: KeptAs | None = None,
    ) -> BodyReader:
        await self.faults.before("open")
        data = self._whole(location)
        if etag is not None and etag != self._etag(location):
            raise BodyChanged(location)
        await self.faults.after("open")
        self.open_readers += 1
        return _Reader(self, data)

    async def copy(
        self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None, etag: str | None = None
    ) -> str | None:
        await self.faults.before("copy")
        data = self._whole(source)[offset : offset + size]
        if len(data) != size:
            raise OriginError(f"{source} ended early")
        self.keep_foreign(target)
        self._begin(target)
        self.end(target, data, meta)
        await self.faults.after("copy")
        return self._etag(target)

    async def begin_upload(self, location: str, meta: BodyMeta) -> str:
        await self.faults.before("begin_upload")
        await self.faults.after("begin_upload")
        return location

    async def assemble(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        await self.faults.before("assemble")
        self.keep_foreign(upload_location.partition("?")[0])
        if self.own_keys:
            return await self._assemble_once(upload_location, parts, meta)
        for location, size, _ in parts:
            if len(self.bodies[location]) != size:
                raise OriginError(f"{location} has not {size} bytes")
        self.manifests[upload_location] = tuple((location, size) for location, size, _ in parts)
        self.metas[upload_location] = meta
        await self.faults.after("assemble")
        return StoredBody(upload_location, self._etag(upload_location))

    async def _assemble_once(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        """At the object's place; an upload that is gone was put together before, where a body of its write lies."""
        place, size = upload_location.partition("?")[0], sum(part.size for part in parts)
        if all(part.location in self.bodies for part in parts):
            if place in self.bodies:
                raise BodyExists(place)
            self.end(place, b"".join(self.bodies[part.location] for part in parts), meta)
            self._remove_below(upload_location)
        elif place not in self.metas or self.metas[place].write_id != meta.write_id or len(self.bodies[place]) != size:
            raise UploadNotFound(upload_location)
        await self.faults.after("assemble")
        return StoredBody(place, self._etag(place))

    async def describe(self, location: str, meta: BodyMeta) -> str | None:
        await self.faults.before("describe")
        if location not in self.bodies and location not in self.manifests:
            raise BodyNotFound(location)
        self.metas[location] = replace(meta, write_id=self.metas[location].write_id)
        self.versions[location] += self.describes_by_copy
        await self.faults.after("describe")
        return self._etag(location)

    async def delete(
        self, location: str, write_id: str = "", etag: str | None = None, *, begun: Begun | None = None
    ) -> None:
        await self.faults.before("delete")
        if self.own_keys and "?" in location and not location.endswith("/"):
            return  # a part goes with its upload
        place = location
        if location.endswith("/"):
            self._remove_below(location)
            place = location.partition("?")[0]  # where the upload's object lies, if it was put together
        if not self._is_anothers(place, write_id, etag):
            for kept in (self.bodies, self.metas, self.manifests):
                kept.pop(place, None)
            self.unfinished.discard(place)
            self.versions[place] += 1  # whatever comes there is called otherwise
        await self.faults.after("delete")

    async def forget_removed(self) -> None:
        await self.faults.before("forget_removed")

    async def close(self) -> None:
        self.faults.heal()

    def _remove_below(self, location: str) -> None:
        for kept in (self.bodies, self.metas, self.manifests):
            for name in [name for name in kept if name.startswith(location)]:
                del kept[name]
        self.unfinished = {name for name in self.unfinished if not name.startswith(location)}

    def end(self, location: str, data: bytes, meta: BodyMeta | None) -> None:
        """A body is whole."""
        self.unfinished.discard(location)
        self.bodies[location] = data
        if meta is not None:
            self.metas[location] = meta

    def put_behind(self, location: str, data: bytes) -> None:
        """Somebody else puts a body there; its ETag tells it from the one before."""
        self.bodies[location] = data
        self.metas.pop(location, None)
        self.versions[location] += 1

    def keep_foreign(self, location: str) -> None:
        """As `If-None-Match: *` does it, at the own keys of an origin that others write to."""
        if self._is_foreign(location):
            raise BodyExists(location)

    def _is_foreign(self, location: str) -> bool:
        return self.own_keys and location in self.bodies and location not in self.metas and "?" not in location

    def _is_anothers(self, location: str, write_id: str, etag: str | None) -> bool:
        """Does somebody else's body lie under an own key?"""
        if not self.own_keys or "%40" in location or "?" in location or location not in self.bodies:
            return False
        meta = self.metas.get(location)
        other_write = bool(write_id) and (meta is None or meta.write_id != write_id)
        return other_write or (etag is not None and etag != self._etag(location))

    def _etag(self, location: str) -> str | None:
        return f'"{location}~{self.versions[location]}"' if self.own_keys else None

    def _begin(self, location: str) -> None:
        if location in self.bodies or location in self.unfinished:
            raise AssertionError(f"{location} is written a second time")
        self.unfinished.add(location)

    def _whole(self, location: str) -> bytes:
        try:
            if location.endswith("/"):
                return b"".join(self.bodies[part] for part, _ in self.manifests[location])
            return self.bodies[location]
        except KeyError:
            raise BodyNotFound(location) from None


class MemorySurvey:
    """What lies there; bodies without a description are somebody else's."""

    def __init__(self, origin: MemoryOrigin) -> None:
        self._origin = origin

    async def bodies(self, bucket: str, prefix: str, after: str) -> AsyncIterator[list[LyingBody]]:
        place = f"{bucket}/{prefix}"
        for location in sorted(self._origin.bodies):
            if location.startswith(place) and location > after and "?" not in location:
                below = location.removeprefix(place)
                keys = tuple(dict.fromkeys((re.sub(r"%40[0-9a-f]{32}$", "", below), below)))
                size = len(self._origin.bodies[location])
                yield [LyingBody(location, keys, size, self._origin._etag(location), location)]

    async def examine(self, location: str) -> ExaminedBody | None:
        await self._origin.faults.before("examine")
        data = self._origin.bodies.get(location)
        if data is None:
            return None
        etag, meta = f'"{md5(data).hexdigest()}"', self._origin.metas.get(location)
        if meta is None:
            return ExaminedBody(len(data), etag, self._origin._etag(location), 1)
        return ExaminedBody(
            len(data), meta.etag or etag, self._origin._etag(location), 1, meta.uploader, meta.write_id, meta.key,
            meta.headers, meta.metadata, meta.tags,
        )  # fmt: skip


class _Writer:
    """A body that is being written."""

    def __init__(self, origin: MemoryOrigin, location: str, size: int | None, meta: BodyMeta | None) -> None:
        self._origin = origin
        self._size = size
        self._meta = meta
        self._data = bytearray()
        self._ended = False
        self.location = location

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._origin.faults.before("write")
        if self._ended:
            raise AssertionError("a write after the end")
        self._data += data
        await self._origin.faults.after("write")

    async def finish(self, etag: str | None = None) -> str | None:
        await self._origin.faults.before("finish")
        if self._size is not None and len(self._data) != self._size:
            raise OriginError(f"{self.location}: {len(self._data)} bytes were written, {self._size} announced")
        self._origin.keep_foreign(self.location)
        self._ended = True
        meta = self._meta
        if meta is not None and etag is not None and not meta.etag:
            meta = replace(meta, etag=etag)
        self._origin.end(self.location, bytes(self._data), meta)
        await self._origin.faults.after("finish")
        return self._origin._etag(self.location)

    async def abort(self) -> None:
        await self._origin.faults.before("abort")
        if not self._ended:
            self._ended = True
            self._origin.unfinished.discard(self.location)
        await self._origin.faults.after("abort")


class _Reader:
    """An open body: what it was when it was opened."""

    plain_file = None

    def __init__(self, origin: MemoryOrigin, data: bytes) -> None:
        self._origin = origin
        self._data = data
        self._open = True

    async def read(self, offset: int, size: int) -> bytes:
        await self._origin.faults.before("read")
        if not self._open:
            raise AssertionError("a read after close")
        piece = self._data[offset : offset + size]
        if not piece:
            raise OriginError("a body ended early")
        await self._origin.faults.after("read")
        return piece

    async def region(self, offset: int, size: int) -> FileRegion | None:
        return None

    def close(self) -> None:
        if not self._open:
            raise AssertionError("a reader is closed twice")
        self._open = False
        self._origin.open_readers -= 1
