"""Rows of the store as values, and how their JSON columns are written and read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NULL_VERSION = "null"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one each time


@dataclass(frozen=True, slots=True)
class StoredChecksum:
    """A checksum that S3 returns: the algorithm's name, COMPOSITE or FULL_OBJECT, the base64 value (with -N)."""

    algorithm: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object as the catalog knows it. `etag` is with its quotes, `size` in bytes.

    `write_id` is that of the write that made its body; "": not known, or others have made it.
    """

    bucket: str
    key: str
    uploader: str
    size: int
    etag: str
    modified_s: int
    origin: str
    location: str
    origin_etag: str | None = None
    checksum: StoredChecksum | None = None
    part_count: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    version_id: str = NULL_VERSION
    write_id: str = ""


@dataclass(frozen=True, slots=True)
class ObjectPart:
    """One part of a completed multipart object."""

    part_number: int
    size: int
    checksum_value: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that has begun: what it may leave at the origin, the bytes it may come to, and where they are charged.

    `own_location` is given to it in place of `location` where it is free when the write begins; `beside` is then the
    place that it could have instead, and None again once it has it.
    """

    intent_id: str
    kind: str
    bucket: str
    key: str
    uploader: str
    size: int
    origin: str
    location: str
    created_s: int
    upload_id: str | None = None
    part_number: int | None = None
    project: str = ""
    category: str = ""
    own_location: str | None = None
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """A body nothing refers to any more; `bytes` and `objects` are charged until it is gone.

    With a `write_id` only what that write has left is removed, with an `origin_etag` only what the origin calls so.
    Until `until_s` (epoch seconds) a write whose end is not known may still take effect: it stays on record so long,
    however often it was removed. `begun_s`: when something was begun there whose end or name nobody heard; 0: nothing.
    """

    location: str
    origin: str
    project: str
    category: str
    uploader: str
    bytes: int = 0
    objects: int = 0
    write_id: str = ""
    until_s: int = 0
    origin_etag: str | None = None
    begun_s: int = 0


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """A multipart upload; `state` is open, completing or done.

    `result` is what Complete answered. One that is not done has it where its origin, which can be asked once only, was
    asked to put parts together: Complete answers this, or the upload is aborted.
    """

    upload_id: str
    bucket: str
    key: str
    uploader: str
    initiator: str
    state: str
    created_s: int
    origin: str
    location: str
    checksum_algorithm: str | None
    checksum_type: str | None
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A stored part of a multipart upload."""

    part_number: int
    size: int
    etag: str
    modified_s: int
    location: str
    checksum_algorithm: str | None = None
    checksum_value: str | None = None
    origin_etag: str | None = None


def dump_texts(texts: Mapping[str, str]) -> str:
    return _encode(dict(texts)) if texts else "{}"


def load_texts(column: str) -> dict[str, str]:
    if column == "{}":
        return {}
    texts: dict[str, str] = json.loads(column)
    return texts


OBJECT_COLUMNS = (
    "bucket, key, uploader, size, etag, modified_s, origin, location, origin_etag, checksum_algorithm, "
    "checksum_type, checksum_value, part_count, headers, metadata, tags, version_id, write_id"
)


def object_from_row(row: tuple[Any, ...]) -> ObjectRecord:
    """A row of OBJECT_COLUMNS as a record."""
    (bucket, key, uploader, size, etag, modified_s, origin, location, origin_etag, *rest) = row
    algorithm, kind, value, part_count, headers, metadata, tags, version_id, write_id = rest
    return ObjectRecord(
        bucket=bucket,
        key=key,
        uploader=uploader,
        size=size,
        etag=etag,
        modified_s=modified_s,
        origin=origin,
        location=location,
        origin_etag=origin_etag,
        checksum=None if algorithm is None else StoredChecksum(algorithm, kind, value),
        part_count=part_count,
        headers=load_texts(headers),
        metadata=load_texts(metadata),
        tags=load_texts(tags),
        version_id=version_id,
        write_id=write_id,
    )


def object_to_row(record: ObjectRecord) -> tuple[Any, ...]:
    """A record as the values of OBJECT_COLUMNS."""
    checksum = record.checksum
    return (
        record.bucket,
        record.key,
        record.uploader,
        record.size,
        record.etag,
        record.modified_s,
        record.origin,
        record.location,
        record.origin_etag,
        checksum.algorithm if checksum else None,
        checksum.type if checksum else None,
        checksum.value if checksum else None,
        record.part_count,
        dump_texts(record.headers),
        dump_texts(record.metadata),
        dump_texts(record.tags),
        record.version_id,
        record.write_id,
    )
