"""The XML of an S3 origin's answers, read with no more trust than a client's.

Origins differ in namespaces, in white space and in elements that nobody asked for, so only what is needed is looked
for, by local name. No answer is larger than a page of 1,000 keys makes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from lxml import etree

from gateway.origin.errors import OriginError

MOST_BYTES = 8 << 20
"""Of one answer."""

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True)
class ListedKey:
    """An object of a page; `etag` with its quotes, `size` in bytes, `modified` as the origin writes it (ISO 8601)."""

    key: str
    size: int
    etag: str
    modified: str


@dataclass(frozen=True, slots=True)
class ListedPage:
    """One page of a listing; `next` is the continuation token, None at the end."""

    keys: tuple[ListedKey, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """An upload under way; `initiated_s` is when it was begun by the origin's clock, None: it does not say."""

    key: str
    upload_id: str
    initiated_s: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What an error document says."""

    code: str
    message: str = ""


def parse_error(body: bytes) -> ErrorAnswer | None:
    """The error that a body is; None: it is none, also where it is not XML at all."""
    try:
        root = _parse(body)
    except OriginError:
        return None
    return ErrorAnswer(_text(root, "Code"), _text(root, "Message")) if _name(root) == "Error" else None


def parse_upload_id(body: bytes) -> str:
    """Of CreateMultipartUpload's answer; raises OriginError."""
    return _required(_parse(body), "UploadId")


def parse_etag(body: bytes) -> str:
    """Of the answers of CompleteMultipartUpload and CopyObject, with its quotes; raises OriginError."""
    return quoted(_required(_parse(body), "ETag").strip())


def quoted(etag: str) -> str:
    """An ETag with its quotes, which some origins leave out."""
    return etag if etag.startswith(('"', "W/")) else f'"{etag}"'


def parse_page(body: bytes) -> ListedPage:
    """Of ListObjectsV2's answer; raises OriginError."""
    root = _parse(body)
    encoded = _text(root, "EncodingType") == "url"
    keys = tuple(_listed(each, encoded=encoded) for each in _children(root, "Contents"))
    token = _text(root, "NextContinuationToken")
    truncated = _text(root, "IsTruncated") == "true"
    if truncated and not token:
        raise OriginError("a page that has a next one without saying which")
    return ListedPage(keys, token if truncated else None)


def parse_uploads(body: bytes) -> list[ListedUpload]:
    """The entries of ListMultipartUploads' answer; raises OriginError."""
    root = _parse(body)
    encoded = _text(root, "EncodingType") == "url"
    return [
        ListedUpload(
            _key(_required(each, "Key"), encoded=encoded),
            _required(each, "UploadId"),
            _seconds(_text(each, "Initiated")),
        )
        for each in _children(root, "Upload")
    ]


def parse_versions(body: bytes) -> list[tuple[str, str]]:
    """Key and version id of each entry of ListObjectVersions, delete markers too; raises OriginError."""
    root = _parse(body)
    found = [*_children(root, "Version"), *_children(root, "DeleteMarker")]
    return [(_text(each, "Key"), _text(each, "VersionId")) for each in found]


def parse_tags(body: bytes) -> dict[str, str]:
    """Of GetObjectTagging's answer; raises OriginError."""
    return {
        _text(tag, "Key"): _text(tag, "Value")
        for found in _children(_parse(body), "TagSet")
        for tag in _children(found, "Tag")
    }


def render_bucket(region: str) -> bytes:
    """The body of CreateBucket where the bucket is to lie in a region."""
    return (
        f'<CreateBucketConfiguration xmlns="{_NAMESPACE}">'
        f"<LocationConstraint>{escape(region)}</LocationConstraint></CreateBucketConfiguration>"
    ).encode()


def render_complete(parts: Sequence[tuple[int, str]]) -> bytes:
    """The body of CompleteMultipartUpload: numbers and ETags."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>" for number, etag in parts
    )
    return (f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">{listed}</CompleteMultipartUpload>').encode()


def render_delete(keys: Sequence[str]) -> bytes:
    """The body of DeleteObjects; the answer names only what could not be removed."""
    listed = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{listed}<Quiet>true</Quiet></Delete>'.encode()


def render_tagging(tags: Mapping[str, str]) -> bytes:
    """The body of PutObjectTagging."""
    listed = "".join(
        f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>" for key, value in tags.items()
    )
    return f'<Tagging xmlns="{_NAMESPACE}"><TagSet>{listed}</TagSet></Tagging>'.encode()


def _seconds(time: str) -> float | None:
    """Epoch seconds of a time in ISO 8601; None: it is none."""
    try:
        found = datetime.fromisoformat(time)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _listed(element: etree._Element, *, encoded: bool) -> ListedKey:
    size = _text(element, "Size")
    if not (size.isascii() and size.isdigit()) or len(size) > 18:
        raise OriginError("a page with an object that has no size")
    etag = _text(element, "ETag")
    key = _key(_required(element, "Key"), encoded=encoded)
    return ListedKey(key, int(size), quoted(etag) if etag else "", _text(element, "LastModified"))


def _key(text: str, *, encoded: bool) -> str:
    """A key of a listing; `encoded`: the origin says that it has percent-encoded them."""
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape") if encoded else text


def _parse(body: bytes) -> etree._Element:
    if len(body) > MOST_BYTES or b"<!DOCTYPE" in body:
        raise OriginError("an answer that is not the XML that was asked for")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_pis=True,
        remove_comments=True,  # a text would end at the first one
    )
    try:
        root = etree.fromstring(body.lstrip(), parser)
    except (ValueError, etree.LxmlError) as error:
        raise OriginError("an answer that is not the XML that was asked for") from error
    if root.getroottree().docinfo.internalDTD is not None:  # in an encoding that hides it from the look at the bytes
        raise OriginError("an answer that is not the XML that was asked for")
    return root


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    return (child for child in element if _name(child) == name)


def _text(element: etree._Element, name: str) -> str:
    found = next(_children(element, name), None)
    return "" if found is None else found.text or ""


def _required(element: etree._Element, name: str) -> str:
    text = _text(element, name)
    if not text:
        raise OriginError(f"an answer without {name}")
    return text
