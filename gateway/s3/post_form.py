"""Browser uploads: the multipart/form-data body of PostObject and the policy document in it.

    form      := field* file field*         fields behind the file are ignored
    policy    := base64 of {"expiration": time, "conditions": [condition*]}
    condition := {field: value} | ["eq", "$field", value] | ["starts-with", "$field", value]
               | ["content-length-range", minimum, maximum]

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, NoReturn
from urllib.parse import quote

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from gateway.errors import Code, S3Error

MAX_FIELDS_SIZE: Final = 20 * 1024
"""Bytes of a form without the file's content: fields, their headers and the boundaries."""

MAX_FIELDS: Final = 100
MAX_HEADER_LINE: Final = 4096
MAX_HEADERS: Final = 8
MAX_CONDITIONS: Final = 200

_CONTENT_TYPE = re.compile(r"multipart/form-data[ \t]*(;.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r';[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("[^"\\\r\n]*"|[!-:<-~]*)[ \t]*', re.ASCII)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_EXPIRATION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,18}", re.ASCII)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_FIELD_NAME = re.compile(r"[!-~]{1,256}", re.ASCII)
_REDIRECT = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)

_EXEMPT = frozenset({"file", "policy", "x-amz-signature"})
_EXEMPT_SIGV2 = frozenset({"awsaccesskeyid", "signature"})


class PostFormParser:
    """Takes pieces of a form's body; gives back pieces of the file once the fields before it are complete.

    `content_type` is the request's header. Field names are in lower case in `fields`.
    """

    def __init__(
        self, content_type: str, *, max_fields_size: int = MAX_FIELDS_SIZE, max_fields: int = MAX_FIELDS
    ) -> None:
        """Raises S3Error: PreconditionFailed (not a form), MalformedPOSTRequest (no boundary)."""
        boundary = _parse_boundary(content_type)
        self.fields: dict[str, str] = {}
        self.file_started = False
        self.file_finished = False
        self.filename: str | None = None
        self.file_content_type: str | None = None
        self._delimiter_size = len(boundary) + 6  # two line ends or dashes, two dashes, and two more or a line end
        self._before_file = 0
        self._file_size = 0
        self._opening = b"--" + boundary.encode("ascii")  # what has not come yet of the first boundary
        self._room = max_fields_size
        self._max_fields = max_fields
        self._name = ""
        self._value = bytearray()
        self._parser = PushMultipartParser(
            boundary, max_header_size=MAX_HEADER_LINE, max_header_count=MAX_HEADERS, strict=True
        )

    def feed(self, data: bytes) -> list[bytes]:
        """Parse the next bytes, split anywhere; the pieces given back are the file's.

        Raises S3Error: MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument (a field twice).
        """
        if self.file_finished or not data:
            return []  # what comes behind the file is ignored
        self._open(data)
        pieces: list[bytes] = []
        begun = self.file_started
        try:
            for event in self._parser.parse(data):
                if isinstance(event, MultipartSegment):
                    self._part_begins(event)
                elif event is None:
                    self._part_ends()
                    if self.file_finished:
                        break
                elif self.file_started:
                    pieces.append(event)
                else:
                    self._field_data(event)
        except ParserLimitReached as error:
            raise S3Error(Code.MaxPostPreDataLengthExceeded) from error
        except MultipartError as error:
            raise S3Error(Code.MalformedPOSTRequest) from error
        size = sum(map(len, pieces))
        self._file_size += size
        if self.file_started and not begun:
            self._before_file = self._parser._parsed - size
        return pieces

    def largest_file(self, form_size: int) -> int:
        """How many bytes the file has, or has at most: all that comes in a form of so many, but its last delimiter.

        To be asked once the file has started.
        """
        if self.file_finished:
            return self._file_size
        return max(form_size - self._before_file - self._delimiter_size, self._file_size)

    def finish(self) -> None:
        """The input has ended. Raises S3Error: MalformedPOSTRequest (too early), InvalidArgument (no file)."""
        if self.file_finished:
            return
        try:
            self._parser.close()
        except MultipartError as error:
            raise S3Error(Code.MalformedPOSTRequest) from error
        message = "POST requires exactly one file upload per request."
        raise S3Error(Code.InvalidArgument, message, ArgumentName="file", ArgumentValue=0)

    def _open(self, data: bytes) -> None:
        # No client sends a preamble, and the library's answer to one depends on how the body is split.
        if self._opening:
            size = min(len(self._opening), len(data))
            if data[:size] != self._opening[:size]:
                raise S3Error(Code.MalformedPOSTRequest)
            self._opening = self._opening[size:]

    def _part_begins(self, part: MultipartSegment) -> None:
        name: str = part.name
        if not _FIELD_NAME.fullmatch(name):
            raise S3Error(Code.MalformedPOSTRequest)
        self._take_room(self._delimiter_size + sum(len(line[0]) + len(line[1]) + 4 for line in part.headerlist))
        if name.lower() == "file":
            self.file_started = True
            self.filename = part.filename
            self.file_content_type = part.header("Content-Type")
            return
        self._name = name.lower()
        if self._name in self.fields:
            message = "A form field was given twice."
            raise S3Error(Code.InvalidArgument, message, ArgumentName=name, ArgumentValue="")
        if len(self.fields) >= self._max_fields:
            raise S3Error(Code.MaxPostPreDataLengthExceeded)

    def _field_data(self, data: bytes) -> None:
        self._take_room(len(data))
        self._value += data

    def _part_ends(self) -> None:
        if self.file_started:
            self.file_finished = True
            return
        try:
            self.fields[self._name] = self._value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise S3Error(Code.MalformedPOSTRequest) from error
        self._value.clear()

    def _take_room(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise S3Error(Code.MaxPostPreDataLengthExceeded)


def _parse_boundary(content_type: str) -> str:
    match = _CONTENT_TYPE.fullmatch(content_type)
    if match is None:
        message = "At least one of the pre-conditions you specified did not hold"
        condition = "Bucket POST must be of the enclosure-type multipart/form-data"
        raise S3Error(Code.PreconditionFailed, message, Condition=condition)
    parameters = match[1] or ""
    found = [value for name, value in _PARAMETER.findall(parameters) if name.lower() == "boundary"]
    if len(found) != 1 or _PARAMETER.sub("", parameters):
        raise S3Error(Code.MalformedPOSTRequest)
    boundary: str = found[0][1:-1] if found[0].startswith('"') else found[0]
    if not _BOUNDARY.fullmatch(boundary):
        raise S3Error(Code.MalformedPOSTRequest)
    return boundary


def required_field(fields: Mapping[str, str], name: str) -> str:
    """A field that a form must have; `name` as S3 writes it. Raises S3Error: InvalidArgument."""
    value = fields.get(name.lower())
    if value is None:
        hint = "If it is specified, please check the order of the fields."
        message = f"Bucket POST must contain a field named '{name}'.  {hint}"
        raise S3Error(Code.InvalidArgument, message, ArgumentName=name, ArgumentValue="")
    return value


def expand_filename(key_template: str, filename: str | None) -> str:
    """Put the base name of the uploaded file in the place of ${filename}.

    A part without a file name leaves the text as it is, as S3 does. A path is cut to what follows its last slash or
    backslash (old browsers sent whole paths). Raises S3Error: InvalidArgument (control characters, dot segments).
    """
    if filename is None or "${filename}" not in key_template:
        return key_template
    segments = re.split(r"[/\\]", filename)
    if _CONTROLS.search(filename) or "." in segments or ".." in segments:
        raise S3Error(Code.InvalidArgument, "The file name cannot be part of a key.", ArgumentName="file")
    return key_template.replace("${filename}", segments[-1])


class Operator(Enum):
    """How a condition compares."""

    EQ = "eq"
    STARTS_WITH = "starts-with"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a field; `field` is in lower case, without the dollar sign."""

    operator: Operator
    field: str
    value: str
    well_formed: bool = True
    """A field name without its dollar sign matches nothing."""

    def holds(self, actual: str | None) -> bool:
        if not self.well_formed:
            return False
        if self.operator is Operator.EQ:
            return actual == self.value
        if self.field == "content-type":  # commas make a list, of which each must fit
            return all(entry.strip(" \t").startswith(self.value) for entry in (actual or "").split(","))
        # A field that is not there fits "any content": Ceph's tests want it, a report of 2012 says S3 refused it.
        return (actual or "").startswith(self.value)

    def __str__(self) -> str:
        dollar = "$" if self.well_formed else ""
        return json.dumps([self.operator.value, dollar + self.field, self.value])


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """What the signer of a form permits. `content_length_range` is the file's size in bytes, both ends included."""

    expires_s: int
    conditions: tuple[Condition, ...]
    content_length_range: tuple[int, int] | None


def parse_policy(base64_text: str) -> PostPolicy:
    """The policy field of a form. Raises S3Error: InvalidPolicyDocument."""
    document = _parse_json(base64_text)
    if not isinstance(document, dict):
        _refuse("Invalid JSON.")
    for name in document:
        if name not in ("expiration", "conditions"):
            _refuse(f"Unexpected: {json.dumps(name)}.")
    conditions = document.get("conditions")
    if not isinstance(conditions, list):
        _refuse("Policy missing conditions.")
    if len(conditions) > MAX_CONDITIONS:
        _refuse("Too many conditions.")
    sizes = [_parse_range(entry) for entry in conditions if _is_range(entry)]
    return PostPolicy(
        expires_s=_parse_expiration(document.get("expiration")),
        conditions=tuple(_parse_condition(entry) for entry in conditions if not _is_range(entry)),
        content_length_range=(max(low for low, _ in sizes), min(high for _, high in sizes)) if sizes else None,
    )


def check_policy(policy: PostPolicy, fields: Mapping[str, str], bucket: str, key: str, *, now_s: int) -> None:
    """May this form be? `bucket` is the address's, `key` has its file name filled in; names in `fields` are lower case.

    Raises S3Error: AccessDenied (expired, a condition that does not hold, a field that no condition covers).
    """
    if now_s > policy.expires_s:
        raise S3Error(Code.AccessDenied, "Invalid according to Policy: Policy expired.")
    actual = {**fields, "bucket": bucket, "key": key}
    for condition in policy.conditions:
        if not condition.holds(actual.get(condition.field)):
            raise _failed(condition)
    if fields.get("bucket", bucket) != bucket:
        raise _failed(Condition(Operator.EQ, "bucket", fields["bucket"]))
    exempt = _EXEMPT if "x-amz-algorithm" in fields else _EXEMPT | _EXEMPT_SIGV2
    covered = {condition.field for condition in policy.conditions}
    extra = [name for name in actual if name not in covered | exempt and not name.startswith("x-ignore-")]
    if extra:
        raise S3Error(Code.AccessDenied, f"Invalid according to Policy: Extra input fields: {', '.join(sorted(extra))}")


def check_content_length(policy: PostPolicy, size: int) -> None:
    """Is a file of `size` bytes within content-length-range? Raises S3Error: EntityTooSmall, EntityTooLarge."""
    if policy.content_length_range is None:
        return
    low, high = policy.content_length_range
    if size > high:
        raise S3Error(Code.EntityTooLarge, ProposedSize=size, MaxSizeAllowed=high)
    if size < low:
        raise S3Error(Code.EntityTooSmall, ProposedSize=size, MinSizeAllowed=low)


def _failed(condition: Condition) -> S3Error:
    return S3Error(Code.AccessDenied, f"Invalid according to Policy: Policy Condition failed: {condition}")


def _refuse(reason: str) -> NoReturn:
    raise S3Error(Code.InvalidPolicyDocument, f"Invalid Policy: {reason}")


def _parse_json(base64_text: str) -> Any:
    try:
        text = b64decode(base64_text, validate=True).decode("utf-8")
        return json.loads(text, object_pairs_hook=_unique_members, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # of which the errors of base64, UTF-8, JSON and long numbers are some
        _refuse("Invalid JSON.")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse_expiration(text: object) -> int:
    match = _EXPIRATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        _refuse("Invalid 'expiration' value.")
    try:
        return int(datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp())
    except ValueError:
        _refuse("Invalid 'expiration' value.")


def _is_range(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and bool(entry)
        and isinstance(entry[0], str)
        and entry[0].lower() == "content-length-range"
    )


def _parse_range(entry: list[object]) -> tuple[int, int]:
    if len(entry) != 3:
        _refuse("Invalid content-length-range: wrong number of arguments.")
    low, high = _parse_size(entry[1]), _parse_size(entry[2])
    return low, high


def _parse_size(value: object) -> int:
    if isinstance(value, str) and _SIZE.fullmatch(value):
        return int(value)
    if type(value) is int and 0 <= value < 10**18:  # a bool is an int to isinstance
        return value
    _refuse("Invalid content-length-range.")


def _parse_condition(entry: object) -> Condition:
    if isinstance(entry, dict):
        if len(entry) != 1:
            _refuse("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        ((field, value),) = entry.items()
        if not isinstance(value, str):
            _refuse("Invalid Simple-Condition: value must be a string.")
        return Condition(Operator.EQ, field.lower(), value)
    if not isinstance(entry, list) or len(entry) != 3 or not all(isinstance(part, str) for part in entry):
        _refuse("Invalid Condition: it must have an operator, a field and a value.")
    name, field, value = entry
    for operator in Operator:
        if name.lower() == operator.value:
            return Condition(operator, field.removeprefix("$").lower(), value, well_formed=field.startswith("$"))
    _refuse(f"Invalid Condition: unknown operation {json.dumps(name)}.")


@dataclass(frozen=True, slots=True)
class SuccessAction:
    """How a form wants its success answered: a redirect where there is one, the status otherwise."""

    status: int
    redirect: str | None


def parse_success_action(fields: Mapping[str, str]) -> SuccessAction:
    """success_action_status (200, 201; anything else is 204) and success_action_redirect (or the older redirect).

    Raises S3Error: InvalidArgument for a redirect that is not an absolute http or https address.
    """
    status = {"200": 200, "201": 201}.get(fields.get("success_action_status", ""), 204)
    name = "success_action_redirect" if "success_action_redirect" in fields else "redirect"
    redirect = fields.get(name)
    if not redirect:
        return SuccessAction(status, None)
    if not _REDIRECT.fullmatch(redirect):
        message = "The redirect must be an absolute http or https address."
        raise S3Error(Code.InvalidArgument, message, ArgumentName=name)
    return SuccessAction(status, redirect)


def render_redirect(redirect: str, bucket: str, key: str, etag: str) -> str:
    """The address of a 303: the form's own with bucket, key and etag (with its quotes) added to the query."""
    address, hash_sign, fragment = redirect.partition("#")
    separator = "&" if "?" in address else "?"
    query = f"bucket={quote(bucket, safe='')}&key={quote(key, safe='')}&etag={quote(etag, safe='')}"
    return f"{address}{separator}{query}{hash_sign}{fragment}"
