"""What S3 answers in XML, as values: one dataclass for each document that has more than a field or two.

Times are epoch seconds, sizes bytes, ETags have their quotes, checksum algorithms are named as in "CRC64NVME" and
their values are base64. `None` leaves an element out. gateway/s3/xml.py writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a bucket or an object, as clients see it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ListedBucket:
    name: str
    created_s: int
    region: str | None = None


@dataclass(frozen=True, slots=True)
class BucketList:
    """ListBuckets; `continuation_token` is where the next page begins."""

    owner: Owner
    buckets: Sequence[ListedBucket]
    prefix: str | None = None
    continuation_token: str | None = None


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object of a listing; without an owner id the owner is left out (version 2 without fetch-owner)."""

    key: str
    modified_s: int
    etag: str
    size: int
    owner_id: str | None = None
    owner_name: str = ""
    checksum_algorithm: tuple[str, ...] = ()
    checksum_type: str | None = None
    storage_class: str = "STANDARD"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """ListObjects, version 1. `encoding_type` is "url" or None; prefixes and keys are given as they are."""

    bucket: str
    max_keys: int
    truncated: bool
    objects: Sequence[ListedObject]
    common_prefixes: Sequence[str] = ()
    prefix: str = ""
    delimiter: str | None = None
    marker: str = ""
    next_marker: str | None = None
    encoding_type: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectListV2:
    """ListObjectsV2; KeyCount is counted here."""

    bucket: str
    max_keys: int
    truncated: bool
    objects: Sequence[ListedObject]
    common_prefixes: Sequence[str] = ()
    prefix: str = ""
    delimiter: str | None = None
    start_after: str | None = None
    continuation_token: str | None = None
    next_continuation_token: str | None = None
    encoding_type: str | None = None


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """One version of an object, or (`delete_marker`) the record that it was deleted."""

    object: ListedObject
    version_id: str = "null"
    latest: bool = True
    delete_marker: bool = False


@dataclass(frozen=True, slots=True)
class VersionList:
    """ListObjectVersions."""

    bucket: str
    max_keys: int
    truncated: bool
    versions: Sequence[ListedVersion]
    common_prefixes: Sequence[str] = ()
    prefix: str = ""
    delimiter: str | None = None
    key_marker: str = ""
    version_id_marker: str = ""
    next_key_marker: str | None = None
    next_version_id_marker: str | None = None
    encoding_type: str | None = None


@dataclass(frozen=True, slots=True)
class DeletedObject:
    key: str
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteFailure:
    """An object that DeleteObjects could not delete, with an S3 error code's name."""

    key: str
    code: str
    message: str
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class CopyResult:
    """CopyObject and UploadPartCopy; a part's copy has no checksum type."""

    etag: str
    modified_s: int
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str | None = None


@dataclass(frozen=True, slots=True)
class CompleteResult:
    """CompleteMultipartUpload; `location` is the URL at which clients reach the object."""

    location: str
    bucket: str
    key: str
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str | None = None


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part of an upload, or of an object that was uploaded in parts (which shows no time and no ETag)."""

    part_number: int
    size: int
    modified_s: int | None = None
    etag: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartList:
    """ListParts; the initiator is the owner unless given."""

    bucket: str
    key: str
    upload_id: str
    max_parts: int
    truncated: bool
    parts: Sequence[ListedPart]
    owner: Owner
    initiator: Owner | None = None
    part_number_marker: int = 0
    next_part_number_marker: int | None = None
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    storage_class: str = "STANDARD"


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """An upload that has begun; the initiator is the owner unless given."""

    key: str
    upload_id: str
    initiated_s: int
    owner: Owner
    initiator: Owner | None = None
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    storage_class: str = "STANDARD"


@dataclass(frozen=True, slots=True)
class UploadList:
    """ListMultipartUploads."""

    bucket: str
    max_uploads: int
    truncated: bool
    uploads: Sequence[ListedUpload]
    common_prefixes: Sequence[str] = ()
    prefix: str = ""
    delimiter: str | None = None
    key_marker: str = ""
    upload_id_marker: str = ""
    next_key_marker: str | None = None
    next_upload_id_marker: str | None = None
    encoding_type: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectParts:
    """The parts of an object, a page of them; `parts` is empty where no checksum of each was kept."""

    total: int
    part_number_marker: int = 0
    next_part_number_marker: int | None = None
    max_parts: int = 1000
    truncated: bool = False
    parts: Sequence[ListedPart] = ()


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """GetObjectAttributes: only what was asked for is set."""

    etag: str | None = None
    checksums: Mapping[str, str] | None = None
    checksum_type: str | None = None
    parts: ObjectParts | None = None
    storage_class: str | None = None
    object_size: int | None = None
