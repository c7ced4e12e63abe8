"""The seam to where the bytes lie: an S3 endpoint, a local directory, a cache, a test's fake.

An origin stores immutable *bodies*. It is told a body's bucket, key and a write id that is never used
twice, and answers with a *location*: a text that only the origin understands and the catalog keeps.
A body is never changed in place; a new write makes a new location, so a reader of the old one is never
surprised, and a write that was not committed leaves nothing but a location to delete.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BodyMeta:
    """What is kept beside a body, so that the catalog can be rebuilt from the origin.

    `headers` are standard ones by their lower-case names (content-type, cache-control, …), `metadata` the
    user's without the x-amz-meta- prefix. `uploader` and `write_id` are our own two entries.
    """

    bucket: str
    key: str
    uploader: str
    write_id: str
    etag: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileRegion:
    """Bytes of a body that lie in a local file: `size` bytes from `offset` of the open descriptor `fd`.

    The descriptor belongs to the reader that gave the region and is open for as long as the reader is.
    """

    fd: int
    offset: int
    size: int


class BodyReader(Protocol):
    """An open body; close() must be called once, also after an error."""

    async def read(self, offset: int, size: int) -> bytes:
        """Give 1 to `size` bytes from `offset`; raises OriginError where the body ends early."""
        ...

    async def region(self, offset: int, size: int) -> FileRegion | None:
        """The longest local file region that starts at `offset`, at most `size` bytes; None where there is none."""
        ...

    def close(self) -> None: ...


class BodyWriter(Protocol):
    """A body that is being written; it exists at the origin only after finish().

    Either finish() or abort() ends it; abort() after finish() does nothing.
    """

    @property
    def location(self) -> str: ...

    async def write(self, data: bytes | bytearray | memoryview) -> None: ...

    async def finish(self, meta: BodyMeta | None) -> None:
        """Make the body durable and visible under `location`; returns once it would survive a power cut."""
        ...

    async def abort(self) -> None: ...


class Origin(Protocol):
    """Where bytes live. All sizes are bytes; all methods raise OriginError for what the origin could not do."""

    def locate(self, bucket: str, key: str, write_id: str) -> str:
        """The location a body of this write will have; pure, so that it can be recorded before the write."""
        ...

    def locate_upload(self, bucket: str, key: str, write_id: str) -> str:
        """The location of a multipart object that is being assembled."""
        ...

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str: ...

    async def create(self, location: str, size: int | None) -> BodyWriter:
        """Begin a body of exactly `size` bytes; None where nobody knows yet."""
        ...

    async def store(self, location: str, data: bytes, meta: Callable[[], BodyMeta | None]) -> None:
        """Write a whole small body at once: create, write and finish in one step.

        `meta` is called once, before the first byte is written and perhaps in another thread; what it raises ends
        the write. So a body can be hashed and checked where it is written.
        """
        ...

    async def open(self, location: str) -> BodyReader:
        """Open a body; raises BodyNotFound."""
        ...

    async def copy(self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None) -> None:
        """Make `target` of `size` bytes of `source` from `offset`, without moving bytes where possible."""
        ...

    async def assemble(self, upload_location: str, parts: Sequence[tuple[str, int]], meta: BodyMeta) -> None:
        """Make the parts (location, size), in their order, one body under `upload_location`; repeatable."""
        ...

    async def describe(self, location: str, meta: BodyMeta) -> None:
        """Replace what is kept beside a body."""
        ...

    async def delete(self, location: str) -> None:
        """Remove a body (of an upload: with all its parts); fine if it is not there."""
        ...

    async def close(self) -> None: ...
