"""What lies at an origin, looked at from outside: for making the catalog again, and for seeing what others have done.

    bodies()     everything below a place, page by page, in an order that a cursor can go on in
    examine()    one body, with all that is kept beside it

A listing may be stale and may have more than it should; what it says is believed only after a look at the body itself.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LyingBody:
    """A body as a listing shows it: where it lies, and the keys, below the place, that its object may have.

    The first key is the most likely one. `size` is in bytes, None: nothing was said. `etag` is the origin's own.
    `cursor` is where a listing goes on after it.
    """

    location: str
    keys: tuple[str, ...]
    size: int | None
    etag: str | None
    cursor: str


@dataclass(frozen=True, slots=True)
class ExaminedBody:
    """A body with what is kept beside it. `uploader` and `write_id` are None where it was not written by us.

    `key` is that of its object, where it says so itself. `etag` is the object's, `origin_etag` the origin's own.
    `modified_s` is in seconds since the epoch. `keyed`: it is encrypted so that its ETag is no digest of its bytes.
    """

    size: int
    etag: str
    origin_etag: str | None
    modified_s: int
    uploader: str | None = None
    write_id: str | None = None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    keyed: bool = False


class Survey(Protocol):
    """Implemented by every origin. All methods raise OriginError."""

    def bodies(self, bucket: str, prefix: str, after: str) -> AsyncIterator[Sequence[LyingBody]]:
        """Pages of what lies at a place, from a cursor on; "" is the beginning."""
        ...

    async def examine(self, location: str) -> ExaminedBody | None:
        """A body, or None where there is none (any more)."""
        ...
