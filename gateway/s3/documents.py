"""The XML documents that requests carry, read strictly.

They are read by lxml, without DTDs, entities or network, and only after a glance at their bytes has shown that they
cannot become big in memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from gateway.errors import Code, S3Error
from gateway.s3.acl import Grant
from gateway.s3.address import MAX_KEY_BYTES
from gateway.s3.checksums import parse_checksum_algorithm, parse_checksum_value
from gateway.s3.conditions import quoted_etag
from gateway.s3.headers import parse_http_date, parse_iso_date, validate_tags

MAX_DELETE_BYTES = 8 << 20
MAX_COMPLETE_BYTES = 8 << 20
MAX_TAGGING_BYTES = 64 << 10
MAX_CREATE_BUCKET_BYTES = 64 << 10
MAX_ACL_BYTES = 64 << 10
MAX_GRANTS = 100
MAX_DELETE_OBJECTS = 1000
MAX_PARTS = 10_000
MAX_ATTRIBUTES = 2 * MAX_PARTS

_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?\sencoding\s{0,9}=\s{0,9}[\"']([^\"']{0,40})[\"']")
_LONG_TAG = re.compile(rb"<[^<>]{8192}")
_DIGITS = re.compile(r"[0-9]{1,18}\Z")
_XML_SPACE = " \t\r\n"
_LONGEST_KEY = 4 * MAX_KEY_BYTES  # characters; a thousand of them come back in the answer
_CHECKSUM = re.compile(r"Checksum([A-Z0-9]{1,16})\Z")


@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """One object of DeleteObjects; etag, time and size are conditions on it."""

    key: str
    version_id: str | None = None
    etag: str | None = None
    last_modified_s: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """DeleteObjects; `quiet`: only failures are to be answered."""

    objects: tuple[DeleteTarget, ...]
    quiet: bool


@dataclass(frozen=True, slots=True)
class CompletePart:
    """One part in CompleteMultipartUpload's list; checksums by algorithm, base64."""

    part_number: int
    etag: str
    checksums: dict[str, str]


def parse_delete(body: bytes) -> DeleteRequest:
    """DeleteObjects: 1 to 1,000 objects.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    A key that no object can have is refused where it is deleted, by itself.
    Raises S3Error: MalformedXML, KeyTooLongError (a key that no answer should repeat).
    """
    objects: list[DeleteTarget] = []
    quiet: bool | None = None
    for name, element in _children(_parse(body, "Delete", MAX_DELETE_BYTES, 20 * MAX_DELETE_OBJECTS)):
        if name == "Object" and len(objects) < MAX_DELETE_OBJECTS:
            objects.append(_delete_target(element))
        elif name == "Quiet" and quiet is None:
            quiet = _boolean(_leaf(element))
        else:
            raise S3Error(Code.MalformedXML)
    if not objects:
        raise S3Error(Code.MalformedXML)
    return DeleteRequest(tuple(objects), bool(quiet))


def parse_complete(body: bytes) -> tuple[CompletePart, ...]:
    """CompleteMultipartUpload: 1 to 10,000 parts in ascending order.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    Raises S3Error: MalformedXML, InvalidPartOrder, InvalidArgument (a part number that cannot be).
    """
    parts: list[CompletePart] = []
    last = 0
    for name, element in _children(_parse(body, "CompleteMultipartUpload", MAX_COMPLETE_BYTES, 25 * MAX_PARTS)):
        if name != "Part" or len(parts) == MAX_PARTS:
            raise S3Error(Code.MalformedXML)
        part = _complete_part(element)
        if part.part_number <= last:
            raise S3Error(Code.InvalidPartOrder)
        last = part.part_number
        parts.append(part)
    if not parts:
        raise S3Error(Code.MalformedXML)
    return tuple(parts)


def parse_tagging(body: bytes) -> dict[str, str]:
    """The tags that PutObjectTagging sets.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html
    Raises S3Error: MalformedXML, and what validate_tags raises.
    """
    sets = list(_children(_parse(body, "Tagging", MAX_TAGGING_BYTES, 1000)))
    if [name for name, _ in sets] != ["TagSet"]:
        raise S3Error(Code.MalformedXML)
    pairs: list[tuple[str, str]] = []
    for name, element in _children(sets[0][1]):
        fields = _leaves(element)
        if name != "Tag" or fields.keys() != {"Key", "Value"}:
            raise S3Error(Code.MalformedXML)
        pairs.append((fields["Key"], fields["Value"]))
    return validate_tags(pairs)


def parse_create_bucket(body: bytes) -> str | None:
    """The location that CreateBucket asks for; None: there is no body, or no location in it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    Raises S3Error: MalformedXML, NotImplemented (directory buckets, tags).
    """
    if not body:
        return None
    location: str | None = None
    for name, element in _children(_parse(body, "CreateBucketConfiguration", MAX_CREATE_BUCKET_BYTES, 1000)):
        if name in ("Bucket", "Location", "Tags"):
            raise S3Error(Code.NotImplemented)
        if name != "LocationConstraint" or location is not None:
            raise S3Error(Code.MalformedXML)
        location = _leaf(element).strip(_XML_SPACE)
    return location or None


def parse_acl(body: bytes) -> frozenset[Grant]:
    """The grants that PutObjectAcl and PutBucketAcl list; the owner that they name again is not read.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html
    Raises S3Error: MalformedXML, UnresolvableGrantByEmailAddress.
    """
    grants: list[Grant] = []
    for name, element in _children(_parse(body, "AccessControlPolicy", MAX_ACL_BYTES, 20 * MAX_GRANTS)):
        if name == "AccessControlList":
            grants += [_grant(each_name, each) for each_name, each in _children(element)]
        elif name != "Owner":
            raise S3Error(Code.MalformedXML)
    return frozenset(grants)


def _grant(name: str, element: Any) -> Grant:
    children = dict(_children(element))
    if name != "Grant" or children.keys() != {"Grantee", "Permission"}:
        raise S3Error(Code.MalformedXML)
    grantee = _leaves(children["Grantee"])
    if "EmailAddress" in grantee:
        raise S3Error(Code.UnresolvableGrantByEmailAddress)
    named = grantee.get("URI") or grantee.get("ID")
    if not named or {"URI", "ID"} <= grantee.keys():
        raise S3Error(Code.MalformedXML)
    return Grant(named.strip(_XML_SPACE), _leaf(children["Permission"]).strip(_XML_SPACE))


def _parse(body: bytes, root_name: str, max_bytes: int, max_tags: int) -> Any:
    """The root element of a request, after the checks that make parsing harmless.

    UTF-8 alone is read, so that what the byte checks saw is what the parser sees. A document type is refused before
    anything in it counts. Tags and attributes are counted and names bounded: that bounds nodes, and so memory and time.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    encoding = _ENCODING.match(body)
    if (
        len(body) > max_bytes
        or body.count(b"<") > max_tags
        or _most_attributes(body) > MAX_ATTRIBUTES
        or b"<!DOCTYPE" in body
        or b"\0" in body
        or _LONG_TAG.search(body)
        or (encoding and encoding[1].upper() not in (b"UTF-8", b"UTF8", b"US-ASCII", b"ASCII"))
    ):
        raise S3Error(Code.MalformedXML)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        body.decode("utf-8")
        root = etree.fromstring(body, parser)
    except (UnicodeDecodeError, ValueError, etree.LxmlError) as error:
        raise S3Error(Code.MalformedXML) from error
    if root is None or _local_name(root) != root_name:
        raise S3Error(Code.MalformedXML)
    return root


def _most_attributes(body: bytes) -> int:
    """No fewer than a document has: what stands in texts is counted, too. Clients write one or two, namespaces."""
    tight = body.translate(None, b" \t\r\n")
    return tight.count(b'="') + tight.count(b"='")


def _local_name(element: Any) -> str:
    """An element's name without its namespace: clients send S3's, none at all, and misspelt ones."""
    name: str = element.tag
    return name.rpartition("}")[2]


def _children(element: Any) -> Iterator[tuple[str, Any]]:
    """Name and element of each child; text between them may only be white space."""
    if element.text and element.text.strip(_XML_SPACE):
        raise S3Error(Code.MalformedXML)
    for child in element:
        if not isinstance(child.tag, str) or (child.tail and child.tail.strip(_XML_SPACE)):
            raise S3Error(Code.MalformedXML)
        yield _local_name(child), child


def _leaf(element: Any) -> str:
    """An element's text, exactly; it must have no children."""
    if len(element):
        raise S3Error(Code.MalformedXML)
    text: str = element.text or ""
    return text


def _leaves(element: Any) -> dict[str, str]:
    """The texts of an element's children, each of which is there once; a list may have tens of thousands of them."""
    fields: dict[str, str] = {}
    for name, child in _children(element):
        if name in fields or len(child):
            raise S3Error(Code.MalformedXML)
        fields[name] = child.text or ""
    return fields


def _delete_target(element: Any) -> DeleteTarget:
    fields = _leaves(element)
    key = fields.pop("Key", "")
    if not key or not fields.keys() <= {"VersionId", "ETag", "LastModifiedTime", "Size"}:
        raise S3Error(Code.MalformedXML)
    if len(key) > _LONGEST_KEY:
        raise S3Error(Code.KeyTooLongError, Size=len(key.encode()), MaxSizeAllowed=MAX_KEY_BYTES)
    modified, size, etag = fields.get("LastModifiedTime"), fields.get("Size"), fields.get("ETag")
    return DeleteTarget(
        key,
        fields.get("VersionId") or None,
        None if etag is None else "*" if etag.strip(_XML_SPACE) == "*" else _etag(etag),
        None if modified is None else _date(modified),
        None if size is None else _number(size),
    )


def _complete_part(element: Any) -> CompletePart:
    fields = _leaves(element)
    number = _number(fields.pop("PartNumber", ""))
    etag = _etag(fields.pop("ETag", ""))
    if not 1 <= number <= MAX_PARTS:
        message = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise S3Error(Code.InvalidArgument, message, ArgumentName="partNumber", ArgumentValue=number)
    checksums: dict[str, str] = {}
    for name, value in fields.items():
        found = _CHECKSUM.match(name)
        if found is None:
            raise S3Error(Code.MalformedXML)
        algorithm = parse_checksum_algorithm(found[1])
        checksums[algorithm.value] = parse_checksum_value(algorithm, value.strip(_XML_SPACE))
    if len(checksums) > 1:
        raise S3Error(Code.InvalidRequest, f"Part {number} has more than one checksum.")
    return CompletePart(number, etag, checksums)


def _etag(text: str) -> str:
    etag = text.strip(_XML_SPACE)
    if not etag:
        raise S3Error(Code.MalformedXML)
    return quoted_etag(etag)


def _number(text: str) -> int:
    text = text.strip(_XML_SPACE)
    if not _DIGITS.match(text):
        raise S3Error(Code.MalformedXML)
    return int(text)


def _boolean(text: str) -> bool:
    text = text.strip(_XML_SPACE).lower()
    if text not in ("true", "false"):
        raise S3Error(Code.MalformedXML)
    return text == "true"


def _date(text: str) -> int:
    text = text.strip(_XML_SPACE)
    epoch_s = parse_http_date(text)
    if epoch_s is None:
        epoch_s = parse_iso_date(text)
    if epoch_s is None:
        raise S3Error(Code.MalformedXML)
    return epoch_s
