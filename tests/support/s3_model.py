"""What a strict S3 endpoint holds, in memory, and its rules: no HTTP, no XML.

Everything a caller did wrong raises `Refusal`. Objects are values: who was given one keeps what it was. A test's thread
and the endpoint's own both use the model, each under `lock`.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html (the limits)
"""

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from tests.support.s3_listing import ListQuirks

MIB = 1024 * 1024
MAX_KEY = 1024
MAX_METADATA = 2048
MAX_PART_NUMBER = 10_000
MAX_TAGS = 10

Support = Literal["yes", "ignored", "refused"]
"""How an origin takes a header: honours it, acts as if it were not there, or answers NotImplemented."""

# fmt: off
STATUS_OF = {
    "AccessDenied": 403, "AuthorizationHeaderMalformed": 400, "BadDigest": 400, "EntityTooSmall": 400,
    "IncompleteBody": 400, "InternalError": 500, "InvalidAccessKeyId": 403, "InvalidArgument": 400,
    "InvalidDigest": 400, "InvalidPart": 400, "InvalidPartOrder": 400, "InvalidRange": 416, "InvalidRequest": 400,
    "InvalidTag": 400, "InvalidToken": 400, "KeyTooLongError": 400, "MalformedXML": 400, "MetadataTooLarge": 400,
    "MethodNotAllowed": 405, "MissingContentLength": 411, "NoSuchBucket": 404, "NoSuchKey": 404, "NoSuchUpload": 404,
    "NotImplemented": 501, "NotModified": 304, "PreconditionFailed": 412, "RequestTimeTooSkewed": 403,
    "ServiceUnavailable": 503, "SignatureDoesNotMatch": 403, "SlowDown": 503, "XAmzContentSHA256Mismatch": 400,
}
# fmt: on


class Refusal(Exception):
    """An S3 error; `elements` go into its document beside Code and Message."""

    def __init__(self, code: str, message: str = "", **elements: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.status = STATUS_OF[code]
        self.message = message or f"The origin answers {code}."
        self.elements = elements


@dataclass(slots=True)
class Switches:
    """What this endpoint can do; all of it at first. A test may turn them while the endpoint runs."""

    conditional_writes: Support = "yes"
    """If-Match and If-None-Match on PutObject, CopyObject and CompleteMultipartUpload."""
    tagging: Support = "yes"
    """x-amz-tagging; ?tagging is NotImplemented unless "yes"."""
    copy: bool = True
    """CopyObject, and UploadPartCopy too."""
    upload_part_copy: bool = True
    delete_objects: bool = True
    md5_etags: bool = True
    """Off: ETags are opaque, other ones for the same bytes."""
    told_checksums: bool = True
    """An answer to PutObject says the x-amz-checksum-… that came with the body."""
    encoding_type: bool = True
    """Off: encoding-type=url is not understood, keys stay as they are."""
    list_page_size: int = 1000
    list_quirks: ListQuirks = field(default_factory=ListQuirks)
    min_part_size: int = 5 * MIB
    late_parts: bool = False
    """A part that comes to an upload that was aborted is stored all the same, until the upload is aborted again."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the writer of an object says of it. Names in lower case; those of metadata without x-amz-meta-."""

    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object; `etag` has its quotes, names in `headers` (content-type, …) are in lower case."""

    body: bytes = field(repr=False)
    etag: str
    modified: datetime
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def description(self) -> Description:
        return Description(self.headers, self.metadata, self.tags)


@dataclass(frozen=True, slots=True)
class Part:
    body: bytes = field(repr=False)
    etag: str
    modified: datetime


@dataclass(slots=True)
class Upload:
    """A multipart upload under way."""

    upload_id: str
    key: str
    description: Description
    initiated: datetime
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """If-Match and If-None-Match as they were sent."""

    match: str | None = None
    none_match: str | None = None

    def check_read(self, found: StoredObject) -> None:
        if self.match is not None and not _names(self.match, found.etag):
            raise Refusal("PreconditionFailed", Condition="If-Match")
        if self.none_match is not None and _names(self.none_match, found.etag):
            raise Refusal("NotModified")


@dataclass(slots=True)
class Bucket:
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    aborted: dict[str, Upload] = field(default_factory=dict)


@dataclass(slots=True)
class Clock:
    """The machine's clock, and how far the origin's is ahead of it."""

    shift: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift


class S3Model:
    """Buckets, their objects and their uploads."""

    def __init__(self, switches: Switches, clock: Clock) -> None:
        self.switches = switches
        self.now = clock.now
        self.buckets: dict[str, Bucket] = {}
        self.lock = threading.RLock()
        self._writes = 0

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refusal("NoSuchBucket", BucketName=name)
        return self.buckets[name]

    def put(
        self, bucket: str, key: str, body: bytes, description: Description, condition: Condition | None = None
    ) -> StoredObject:
        return self._store(bucket, key, body, self._etag(body), description, condition or Condition())

    def get(self, bucket: str, key: str) -> StoredObject:
        found = self.bucket(bucket).objects.get(key)
        if found is None:
            raise Refusal("NoSuchKey", Key=key)
        return found

    def delete(self, bucket: str, key: str) -> None:
        self.bucket(bucket).objects.pop(key, None)

    def retag(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Other tags: neither ETag nor Last-Modified change."""
        found = self.get(bucket, key)
        check_tags(tags)
        self.bucket(bucket).objects[key] = StoredObject(
            found.body, found.etag, found.modified, found.headers, found.metadata, tags
        )

    def create_upload(self, bucket: str, key: str, description: Description) -> Upload:
        _check_new(key, description)
        upload = Upload(secrets.token_urlsafe(24), key, description, self.now())
        self.bucket(bucket).uploads[upload.upload_id] = upload
        return upload

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        upload = self.bucket(bucket).uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise Refusal("NoSuchUpload", UploadId=upload_id)
        return upload

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, body: bytes) -> Part:
        held = self.bucket(bucket)
        if self.switches.late_parts and upload_id in held.aborted:
            held.uploads[upload_id] = held.aborted.pop(upload_id)
        upload = self.upload(bucket, key, upload_id)
        if not 1 <= number <= MAX_PART_NUMBER:
            raise Refusal("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        part = Part(body, self._etag(body), self.now())
        upload.parts[number] = part
        return part

    def complete(
        self, bucket: str, key: str, upload_id: str, asked: Sequence[tuple[int, str]], condition: Condition
    ) -> StoredObject:
        """Make the object of the parts asked for: numbers ascending, ETags as they were answered."""
        upload = self.upload(bucket, key, upload_id)
        if not asked:
            raise Refusal("MalformedXML")
        numbers = [number for number, _ in asked]
        if numbers != sorted(set(numbers)):
            raise Refusal("InvalidPartOrder", UploadId=upload_id)
        for number, etag in asked:
            if number not in upload.parts or upload.parts[number].etag.strip('"') != etag.strip('"'):
                raise Refusal("InvalidPart", UploadId=upload_id, PartNumber=str(number), ETag=etag)
        parts = [upload.parts[number] for number in numbers]
        for number, part in zip(numbers[:-1], parts[:-1], strict=True):
            if len(part.body) < self.switches.min_part_size:
                raise Refusal(
                    "EntityTooSmall",
                    ProposedSize=str(len(part.body)),
                    MinSizeAllowed=str(self.switches.min_part_size),
                    PartNumber=str(number),
                    ETag=part.etag.strip('"'),
                )
        body = b"".join(part.body for part in parts)
        made = self._store(bucket, key, body, self._etag_of_parts(parts), upload.description, condition)
        del self.bucket(bucket).uploads[upload_id]
        return made

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        upload, held = self.upload(bucket, key, upload_id), self.bucket(bucket)
        upload.parts.clear()
        held.aborted[upload_id] = held.uploads.pop(upload_id)

    def _store(
        self, bucket: str, key: str, body: bytes, etag: str, description: Description, condition: Condition
    ) -> StoredObject:
        _check_new(key, description)
        objects = self.bucket(bucket).objects
        self._check_write(objects.get(key), key, condition)
        made = StoredObject(
            body, etag, self.now(), dict(description.headers), dict(description.metadata), dict(description.tags)
        )
        objects[key] = made
        return made

    def _check_write(self, current: StoredObject | None, key: str, condition: Condition) -> None:
        if condition == Condition() or self.switches.conditional_writes == "ignored":
            return
        if self.switches.conditional_writes == "refused":
            raise Refusal("NotImplemented", "A header you provided implies functionality that is not implemented")
        if condition.none_match is not None:
            if condition.none_match != "*":
                raise Refusal("NotImplemented", "If-None-Match of a write may be * only")
            if current is not None:
                raise Refusal("PreconditionFailed", Condition="If-None-Match")
        if condition.match is not None:
            if current is None:
                raise Refusal("NoSuchKey", Key=key)
            if not _names(condition.match, current.etag):
                raise Refusal("PreconditionFailed", Condition="If-Match")

    def _etag(self, body: bytes) -> str:
        return f'"{_md5(body).hex()}"' if self.switches.md5_etags else self._opaque_etag()

    def _etag_of_parts(self, parts: Sequence[Part]) -> str:
        if not self.switches.md5_etags:
            return self._opaque_etag()
        return f'"{_md5(b"".join(_md5(part.body) for part in parts)).hex()}-{len(parts)}"'

    def _opaque_etag(self) -> str:
        self._writes += 1
        return f'"0x8D{self._writes:012X}"'


def check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS or any(not 1 <= len(name) <= 128 or len(value) > 256 for name, value in tags.items()):
        raise Refusal("InvalidTag")


def _check_new(key: str, description: Description) -> None:
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY:
        raise Refusal("KeyTooLongError", MaxSizeAllowed=str(MAX_KEY))
    texts = [text for pair in description.metadata.items() for text in pair]
    if sum(len(text.encode("utf-8", "surrogateescape")) for text in texts) > MAX_METADATA:
        raise Refusal("MetadataTooLarge", MaxSizeAllowed=str(MAX_METADATA))
    check_tags(description.tags)


def _names(condition: str, etag: str) -> bool:
    """Whether a list of ETags, or *, names this one. S3 takes them without quotes too."""
    return condition.strip() == "*" or etag.strip('"') in [item.strip().strip('"') for item in condition.split(",")]


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
