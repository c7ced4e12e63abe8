"""What came to a scripted origin: every request in the order of its arrival, and which operation it was.

An entry is made when a request's head is there, and filled in while the request goes on; tests look at it from another
thread.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote

from tests.support.raw_http import Headers, Request

UNKNOWN = "Unknown"

# fmt: off
OPERATIONS = (  # the first row that fits wins: most specific first
    #   operation                method    on        query that must be there     and that may be
    ("ListBuckets",             "GET",    "service", (),                         ()),
    ("HeadBucket",              "HEAD",   "bucket",  (),                         ()),
    ("GetBucketLocation",       "GET",    "bucket",  ("location",),              ()),
    ("ListMultipartUploads",    "GET",    "bucket",  ("uploads",),
        ("prefix", "max-uploads", "key-marker", "upload-id-marker", "encoding-type")),
    ("ListObjectsV2",           "GET",    "bucket",  ("list-type",),
        ("prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner")),
    ("DeleteObjects",           "POST",   "bucket",  ("delete",),                ()),
    ("GetObjectTagging",        "GET",    "object",  ("tagging",),               ()),
    ("PutObjectTagging",        "PUT",    "object",  ("tagging",),               ()),
    ("DeleteObjectTagging",     "DELETE", "object",  ("tagging",),               ()),
    ("CreateMultipartUpload",   "POST",   "object",  ("uploads",),               ()),
    ("UploadPart",              "PUT",    "object",  ("partNumber", "uploadId"), ()),
    ("ListParts",               "GET",    "object",  ("uploadId",),
        ("max-parts", "part-number-marker")),
    ("CompleteMultipartUpload", "POST",   "object",  ("uploadId",),              ()),
    ("AbortMultipartUpload",    "DELETE", "object",  ("uploadId",),              ()),
    ("GetObject",               "GET",    "object",  (),                         ()),
    ("HeadObject",              "HEAD",   "object",  (),                         ()),
    ("PutObject",               "PUT",    "object",  (),                         ()),
    ("DeleteObject",            "DELETE", "object",  (),                         ()),
)
# fmt: on
COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}
VIRTUAL_HOST = ".localhost"


@dataclass(slots=True, eq=False)
class Entry:
    """One request. Everything below `query` is filled in as it goes on."""

    number: int
    connection: int
    """Which connection it came on, counted from 1."""
    turn: int
    """Which request of its connection it is, counted from 1."""
    request: Request
    bucket: str
    key: str
    operation: str
    """As AWS names it; "Unknown" for what no row of OPERATIONS fits."""
    query: Mapping[str, str]
    received: int = 0
    """Bytes of the body that came."""
    complete: bool = False
    """All of the request came."""
    applied: int | None = None
    """The place of a successful operation among those applied, from 1: the order in which they took effect."""
    status: int | None = None
    """The status of the answer, once it is being sent."""
    code: str | None = None
    """The S3 error code that the origin itself answers."""
    answered: bool = False
    """The whole answer was sent."""
    ended: bool = False
    """The origin has done with the request."""

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def target(self) -> str:
        return self.request.target

    @property
    def headers(self) -> Headers:
        return self.request.headers

    def header(self, name: str) -> str | None:
        return self.request.header(name)


def parse_query(raw_query: str) -> Mapping[str, str]:
    """Names and values decoded; a plus sign is a plus sign."""
    pairs = [item.partition("=") for item in raw_query.split("&") if item]
    return MappingProxyType({_decoded(name): _decoded(value) for name, _, value in pairs})


def parse_place(request: Request) -> tuple[str, str]:
    """Bucket and key, path style or below `.localhost`; "" for what is not named."""
    path = request.raw_path.removeprefix("/")
    host = (request.header("host") or "").partition(":")[0].lower()
    if host.endswith(VIRTUAL_HOST):
        return host.removesuffix(VIRTUAL_HOST), _decoded(path)
    bucket, _, key = path.partition("/")
    return _decoded(bucket), _decoded(key)


def name_operation(request: Request, bucket: str, key: str, query: Mapping[str, str]) -> str:
    level = "object" if key else "bucket" if bucket else "service"
    for operation, method, on, needed, possible in OPERATIONS:
        if (method, on) == (request.method, level) and set(needed) <= set(query) <= {*needed, *possible}:
            copies = request.header("x-amz-copy-source") is not None
            return COPIES.get(operation, operation) if copies else operation
    return UNKNOWN


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")


@dataclass(slots=True)
class Journal:
    """Entries in the order of arrival, and every breach of what a plain client may send."""

    entries: list[Entry] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    _number: int = 0
    _applied: int = 0

    def begin(self, request: Request, connection: int, turn: int) -> Entry:
        bucket, key = parse_place(request)
        query = parse_query(request.raw_query)
        with self.changed:
            self._number += 1
            operation = name_operation(request, bucket, key, query)
            entry = Entry(self._number, connection, turn, request, bucket, key, operation, query)
            self.entries.append(entry)
            self.changed.notify_all()
        return entry

    def breach(self, entry: Entry, text: str) -> None:
        self.unexpected.append(f"request {entry.number} ({entry.operation} {entry.target}): {text}")

    def apply(self, entry: Entry) -> None:
        with self.changed:
            self._applied += 1
            entry.applied = self._applied
            self.changed.notify_all()

    def notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def end(self, entry: Entry) -> None:
        with self.changed:
            entry.ended = True
            self.changed.notify_all()

    def wait_until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        with self.changed:
            return self.changed.wait_for(holds, timeout_s)
