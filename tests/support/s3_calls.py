"""What the operations of a scripted origin ask of a request's head, read strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, quote, unquote

from tests.support.origin_journal import Entry
from tests.support.s3_model import Condition, Description, Refusal, S3Model, StoredObject, Upload

DESCRIBING = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
METADATA = "x-amz-meta-"
DEFAULT_TYPE = "binary/octet-stream"
RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


@dataclass(frozen=True, slots=True)
class Call:
    """One operation to perform."""

    model: S3Model
    entry: Entry
    body: bytes

    @property
    def place(self) -> tuple[str, str]:
        return self.entry.bucket, self.entry.key

    @property
    def condition(self) -> Condition:
        return Condition(self.entry.header("if-match"), self.entry.header("if-none-match"))

    @property
    def upload(self) -> Upload:
        return self.model.upload(*self.place, self.entry.query["uploadId"])

    def count(self, name: str, default: int) -> int:
        """A number of the query. Raises Refusal: InvalidArgument."""
        value = self.entry.query.get(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise Refusal("InvalidArgument", ArgumentName=name, ArgumentValue=value)
        return int(value)

    def encoded(self, value: str) -> str:
        """A key for a listing: as encoding-type asks."""
        return quote(value, safe="/-_.~", errors="surrogateescape") if self.encodes else value

    @property
    def encodes(self) -> bool:
        asked = self.entry.query.get("encoding-type")
        if asked not in (None, "url"):
            raise Refusal("InvalidArgument", ArgumentName="encoding-type", ArgumentValue=asked)
        return asked is not None and self.model.switches.encoding_type


def copy_source(call: Call) -> tuple[tuple[str, str], StoredObject]:
    """The object that x-amz-copy-source names, by place too. Raises Refusal."""
    bucket, _, key = unquote((call.entry.header("x-amz-copy-source") or "").removeprefix("/")).partition("/")
    if not bucket or not key:
        raise Refusal("InvalidArgument", ArgumentName="x-amz-copy-source")
    source = call.model.get(bucket, key)
    Condition(match=call.entry.header("x-amz-copy-source-if-match")).check_read(source)
    return (bucket, key), source


def description_of(call: Call) -> Description:
    """What the headers say of the object to be. Raises Refusal: NotImplemented, InvalidArgument."""
    named = {name.lower(): value for name, value in call.entry.headers}
    headers = {name: named[name] for name in DESCRIBING if name in named}
    metadata = {name.removeprefix(METADATA): value for name, value in named.items() if name.startswith(METADATA)}
    return Description({"content-type": DEFAULT_TYPE, **headers}, metadata, _tags_of(call, named.get("x-amz-tagging")))


def needs_tagging(call: Call) -> None:
    if call.model.switches.tagging != "yes":
        raise Refusal("NotImplemented")


def parse_span(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte that a Range asks for; None for all. Raises Refusal: InvalidRange."""
    match = RANGE.fullmatch(header or "")
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if first and last and int(last) < int(first):
        return None
    span = (int(first), min(int(last or size), size - 1)) if first else (max(0, size - int(last)), size - 1)
    if span[0] > span[1]:
        raise Refusal("InvalidRange", ActualObjectSize=str(size), RangeRequested=header or "")
    return span


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def _tags_of(call: Call, header: str | None) -> Mapping[str, str]:
    if header is None or call.model.switches.tagging == "ignored":
        return {}
    needs_tagging(call)
    try:
        return dict(parse_qsl(header, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        raise Refusal("InvalidArgument", ArgumentName="x-amz-tagging", ArgumentValue=header) from None
