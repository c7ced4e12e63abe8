"""The seam to where the bytes lie: an S3 endpoint, a local directory, a cache, a test's fake.

An origin stores immutable *bodies*. It is told a body's bucket, key and a write id that is never used
twice, and answers with a *location*: a text that only the origin understands and the catalog keeps.
A body is never changed in place; a new write makes a new location, so a reader of the old one is never
surprised, and a write that was not committed leaves nothing but a location to delete.

An object storage that others read too should have an object under the object's own key. Where an origin can do
that, it names a key's *own location* beside the one that is made of the write's id, and the store gives it to a
write as long as nothing else lies there or is about to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.origin.survey import Survey


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
class Checked:
    """A body whose claims hold: what is kept beside it (of a part: nothing), and the digests that are known of it.

    `checksum` is an x-amz-checksum-… header and its value.
    """

    meta: BodyMeta | None = None
    md5: bytes | None = None
    sha256_hex: str | None = None
    checksum: tuple[str, str] | None = None


class Begun(NamedTuple):
    """When something was begun at an origin whose end or name nobody here heard: between these epoch seconds."""

    since_s: int
    until_s: int


class PartBody(NamedTuple):
    """A part of a body that is being assembled; `etag` is the origin's own, where it has one."""

    location: str
    size: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body that has been assembled: where it lies from now on, and the origin's own ETag of it."""

    location: str
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class KeptAs:
    """By what name a body may be kept close: two bodies never have one name.

    `bucket` and `key` are those of its object, for whoever wants it dropped; `size` is all of it, in bytes.
    """

    name: bytes
    bucket: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class FileRegion:
    """Bytes of a body that lie in a local file: `size` bytes from `offset` of the open descriptor `fd`.

    The descriptor belongs to the reader that gave the region and is open for as long as the reader is.
    """

    fd: int
    offset: int
    size: int


class BodyReader(Protocol):
    """An open body; close() must be called once, also after an error.

    `plain_file` is where it lies below its origin's directory, if it is one file there and nothing else.
    """

    @property
    def plain_file(self) -> str | None: ...

    async def read(self, offset: int, size: int) -> bytes:
        """Give 1 to `size` bytes from `offset`; raises OriginError where the body ends early.

        Reading on from where the last piece ended is what costs least.
        """
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

    async def finish(self, etag: str | None = None) -> str | None:
        """Make the body durable and visible under `location`; returns once it would survive a power cut.

        `etag` is the object's, where it is known by now; gives the origin's own.
        """
        ...

    async def abort(self) -> None: ...


class Origin(Protocol):
    """Where bytes live. All sizes are bytes; all methods raise OriginError for what the origin could not do.

    What gives a text or None gives the origin's own ETag of what was written, quotes included, where it has such.
    """

    @property
    def md5_etags(self) -> bool:
        """Is the ETag of a body that was written in one piece its MD5, so that nobody else need compute it?"""
        ...

    @property
    def confirms_checksums(self) -> bool:
        """Does it verify the checksum that comes with a body, and say so, so that no MD5 is needed for that?"""
        ...

    @property
    def copies(self) -> bool:
        """Does it make copies by itself, so that no byte comes here?"""
        ...

    @property
    def assembles_once(self) -> bool:
        """Are an upload's parts gone once they are put together, so that no other list of them can be?"""
        ...

    @property
    def settle_s(self) -> int:
        """For how many seconds a write whose end is not known may still take effect."""
        ...

    @property
    def survey(self) -> Survey:
        """What lies there, looked at from outside."""
        ...

    async def make_bucket(self, bucket: str) -> None:
        """See to it that there is a bucket of this name, with nothing in it; fine if there is one already.

        Raises BucketTaken, BucketRefused.
        """
        ...

    def locate(self, bucket: str, key: str, write_id: str) -> str:
        """The location a body of this write will have; pure, so that it can be recorded before the write."""
        ...

    def own_location(self, bucket: str, key: str) -> str | None:
        """The location that is the key's own, for one body at a time; None: there is no such. Pure."""
        ...

    def foreign_location(self, bucket: str, key: str) -> str | None:
        """Where others put an object of this key, without us; None: nobody else writes there. Pure."""
        ...

    async def require_free(self, location: str, write_id: str) -> None:
        """Look at a key's own location, of a body or of an upload, before much is written there.

        Raises BodyExists where something lies there that this write has not left.
        """
        ...

    def locate_upload(self, object_location: str) -> str:
        """Of a multipart object that is to lie at this location: its location until the origin knows of it. Pure."""
        ...

    def locate_part(self, upload_location: str, part_number: int, write_id: str) -> str: ...

    async def create(
        self, location: str, size: int | None, meta: BodyMeta | None = None, sha256_hex: str | None = None
    ) -> BodyWriter:
        """Begin a body of exactly `size` bytes; None where nobody knows yet.

        `meta` has no ETag yet; `sha256_hex` is what the body must have, where its sender has said so.
        """
        ...

    async def store(self, location: str, data: bytes, check: Callable[[], Checked]) -> str | None:
        """Write a whole small body at once: create, write and finish in one step.

        `check` is called once, before the first byte is written and perhaps in another thread; what it raises ends
        the write. So a body can be hashed and checked where it is written.
        """
        ...

    async def open(
        self,
        location: str,
        etag: str | None = None,
        offset: int = 0,
        size: int | None = None,
        kept_as: KeptAs | None = None,
    ) -> BodyReader:
        """Open a body, of which `size` bytes from `offset` will be read; None: all that are left.

        `etag` is the origin's own, as the catalog has it; a cache may keep the body where it is told as what. Raises
        BodyNotFound; BodyChanged where somebody else has put another body there.
        """
        ...

    async def copy(
        self, source: str, offset: int, size: int, target: str, meta: BodyMeta | None, etag: str | None = None
    ) -> str | None:
        """Make `target` of `size` bytes of `source` from `offset`, without moving bytes where possible.

        `etag` is the origin's own of the source. Raises BodyNotFound, BodyChanged: of the source.
        """
        ...

    async def begin_upload(self, location: str, meta: BodyMeta) -> str:
        """Tell the origin of a multipart object that was located; gives the location it has from now on."""
        ...

    async def assemble(self, upload_location: str, parts: Sequence[PartBody], meta: BodyMeta) -> StoredBody:
        """Make the parts, in their order, one body; repeatable with the same list."""
        ...

    async def describe(self, location: str, meta: BodyMeta) -> str | None:
        """Replace what is kept beside a body."""
        ...

    async def delete(
        self, location: str, write_id: str = "", etag: str | None = None, *, begun: Begun | None = None
    ) -> None:
        """Remove a body (of an upload: with all its parts); fine if it is not there.

        Where others can write, only what the write of this id has left, and the origin has given this ETag, is removed;
        what somebody else has put in its place stays. "" and None: not known. `begun`: the write may then have begun an
        upload that nobody here heard of; it is ended as well, and those that others have begun are not.
        """
        ...

    async def forget_removed(self) -> None:
        """Let go of what is kept open here though another process has removed it; to be called from time to time."""
        ...

    async def close(self) -> None: ...
