"""The gate: from a request to a call that is authenticated, named by one row of the table, and allowed.

Every handler is behind it. Two operations settle who asks in another place: a preflight has no signature, and a POST
form carries its own inside the body.
"""

import itertools
import re
import secrets
import time
from collections.abc import Iterable, Mapping

from gateway.bounded import BoundedMap
from gateway.errors import Code, S3Error
from gateway.s3.address import parse_address, parse_query
from gateway.s3.operations import PREFLIGHT, Support, find_operation, refuse_unsupported_headers
from gateway.sigv4.model import WireRequest
from gateway.store.buckets import Bucket
from gateway.web.call import Call, Services, check_expected_owner, check_version
from gateway.web.connection import Request
from gateway.web.identity import authenticate, count_use, settle_uploader
from gateway.web.rates import Rates
from gateway.web.repeats import Admitted, Repeats
from gateway.web.sts import admit_sts, is_sts

_STREAMED = frozenset({"PutObject", "UploadPart"})
# Operations on an object that is there, on a key that gets one, and on an upload: how their rights are asked.
_ON_OBJECT = frozenset(
    {
        "DeleteObject",
        "DeleteObjectTagging",
        "GetObject",
        "GetObjectAcl",
        "GetObjectAttributes",
        "GetObjectLegalHold",
        "GetObjectRetention",
        "GetObjectTagging",
        "HeadObject",
        "PutObjectAcl",
        "PutObjectTagging",
    }
)
_STORES = frozenset({"CopyObject", "CreateMultipartUpload", "PutObject"})
_ON_UPLOAD = frozenset({"AbortMultipartUpload", "CompleteMultipartUpload", "ListParts", "UploadPart", "UploadPartCopy"})
_SINGLE = ("host", "authorization", "content-length", "content-type", "x-amz-date", "x-amz-content-sha256")


_MAX_HEADERS_SIZE = 16 << 10
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_RUN = secrets.token_hex(4).upper()
_REQUESTS = itertools.count(1)
_names: BoundedMap[bytes, str] = BoundedMap(512)  # header names as they come, and in lower case
_LONGEST_REMEMBERED = 64


def new_request_id() -> str:
    """16 hex digits, unique while the process lives and telling nothing."""
    return f"{_RUN}{next(_REQUESTS):08X}"


def lower_headers(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header values by lower-case name; lines of one name are joined by a comma, as signatures want it.

    Raises S3Error: InvalidRequest where a header that counts once is there twice.
    """
    headers: dict[str, str] = {}
    size = 0
    for raw_name, raw_value in fields:
        size += len(raw_name) + len(raw_value) + 4
        name = _names.get(raw_name) or _lower_name(raw_name)
        value = raw_value.decode("utf-8", "surrogateescape")
        if name in headers:
            if name in _SINGLE:
                raise S3Error(Code.InvalidRequest, f"The header {name} must be there once.")
            value = f"{headers[name]},{value}"
        headers[name] = value
    if size > _MAX_HEADERS_SIZE:
        raise S3Error(Code.RequestHeaderSectionTooLarge, MaxSizeAllowed=_MAX_HEADERS_SIZE)
    return headers


def _lower_name(raw: bytes) -> str:
    name = raw.decode("utf-8", "surrogateescape").lower()
    if len(raw) <= _LONGEST_REMEMBERED:
        _names.put(raw, name)
    return name


def split_target(target: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """The raw path and query of a request target; an absolute one must name the host that the Host header names.

    https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
    Raises S3Error: InvalidURI.
    """
    if not target.startswith("/"):
        scheme, separator, rest = target.partition("://")
        authority, slash, path = rest.partition("/")
        if not separator or scheme.lower() not in ("http", "https") or authority != headers.get("host"):
            raise S3Error(Code.InvalidURI)
        target = slash + path or "/"
    path, _, query = target.partition("?")
    if "#" in path or "#" in query:
        raise S3Error(Code.InvalidURI)
    return path, query


def _check_framing(request: Request, headers: Mapping[str, str], host: str) -> None:
    """Refuse what a proxy in front of us might read in another way than we do.

    https://www.rfc-editor.org/rfc/rfc9112#section-3.2 and #section-6.1
    """
    if not _HOST.fullmatch(host) and (host or request.version >= (1, 1)):
        raise S3Error(Code.InvalidRequest, "The request has no valid Host header.")
    coding = headers.get("transfer-encoding")
    if coding is None:
        return
    if coding.lower() != "chunked" or request.version < (1, 1) or "content-length" in headers:
        raise S3Error(Code.InvalidRequest, "Transfer-Encoding does not fit this request.")


class Gate:
    """Lets requests in."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._domains = services.settings.server.domains
        self._repeats = Repeats(services.store)
        limits, workers = services.settings.limits, services.settings.server.worker_count
        self._by_address = Rates.shared(limits.requests_per_address, workers)

    def read(self, request: Request, request_id: str) -> Call:
        """What a request's head says, before anything of it is believed.

        Raises S3Error: InvalidRequest, InvalidURI, InvalidBucketName, KeyTooLongError, InvalidArgument.
        """
        headers = lower_headers(request.fields)
        host = headers.get("host", "")
        _check_framing(request, headers, host)
        now_s, rules = int(time.time()), self._services.rulebook.rules
        found = self._repeats.find((request.method, request.target, host), headers, rules, now_s)
        if found is not None:
            return self._again(found, request, request_id, headers, now_s)
        raw_path, raw_query = split_target(request.target, headers)
        return Call(
            services=self._services,
            request=request,
            request_id=request_id,
            wire=WireRequest(request.method, raw_path, raw_query, headers),
            operation=PREFLIGHT,
            address=parse_address(raw_path, host, self._domains),
            query=parse_query(raw_query) if raw_query else {},
            headers=headers,
            host=host,
            now_s=now_s,
            rules=rules,
        )

    def _again(self, found: Admitted, request: Request, request_id: str, headers: dict[str, str], now_s: int) -> Call:
        """The call of a request that was let in before."""
        return Call(
            services=self._services,
            request=request,
            request_id=request_id,
            wire=WireRequest(request.method, *found.wire, headers),
            operation=found.operation,
            address=found.address,
            query=found.query,
            headers=headers,
            host=headers["host"],
            now_s=now_s,
            rules=found.rules,
            identity=found.identity,
            verified=found.verified,
            found_bucket=found.bucket,
            found_object=found.record,
            access_key_id=found.access_key_id,
            is_repeat=True,
        )

    async def admit(self, call: Call) -> None:
        """Find out who asks for what, and whether they may; raises S3Error for what is not to be handled."""
        if not self._store.is_fresh():
            self._services.verifier.forget()
            await self._store.refresh()
            call.forget_admission()
            call.rules = self._services.rulebook.rules
        if call.is_repeat:
            self._pass_again(call)
            return
        if self._by_address is not None:
            self._by_address.require(str(call.address_of_client), time.monotonic())
        if call.address.bucket is not None:
            call.found_bucket = self._store.buckets.find(call.address.bucket)
        if call.wire.method == "OPTIONS":
            return
        if is_sts(call):
            await admit_sts(call)
            return
        await authenticate(call)
        decided = self._repeats.decided(call)
        if decided is not None:
            call.operation, call.found_bucket, call.found_object = decided.operation, decided.bucket, decided.record
            return
        call.operation = find_operation(call.wire.method, call.address, call.query, call.headers)
        if call.operation.name == "PostObject" and call.identity is None:
            return  # its handler finds the signature in the form
        settle_uploader(call, call.headers, stores=call.operation.name in _STORES)
        await self._authorise(call)
        self._repeats.note(call)

    def _pass_again(self, call: Call) -> None:
        """What is counted of every request."""
        if self._by_address is not None:
            self._by_address.require(str(call.address_of_client), time.monotonic())
        count_use(call)

    async def _authorise(self, call: Call) -> None:
        operation = call.operation
        bucket = call.found_bucket
        if operation.on != "service" and bucket is None and operation.name != "CreateBucket":
            if call.identity is None:
                raise S3Error(Code.AccessDenied)
            raise S3Error(Code.NoSuchBucket, BucketName=call.address.bucket or "")
        if operation.support is Support.NO:
            call.require(operation.action if bucket else "s3:CreateBucket", bucket, call.address.key)
            raise S3Error(Code.NotImplemented, Operation=operation.name)
        if operation.name == "CreateBucket":
            pass  # its handler says first whether the name is taken
        elif operation.on == "service" or bucket is None:
            call.require(operation.action, None)
        elif operation.on == "bucket":
            self._authorise_on_bucket(call, bucket)
        else:
            await self._authorise_on_key(call, bucket, call.key)
        check_expected_owner(call, bucket)
        check_version(call)
        if call.verified is not None and call.verified.payload.streaming and operation.name not in _STREAMED:
            raise S3Error(Code.InvalidRequest, f"{operation.name} does not take a streaming body.")
        refuse_unsupported_headers(operation, call.headers, public="x-amz-acl" in call.headers and call.is_public)
        if operation.support is Support.UNSET and operation.unset is not None:
            raise S3Error(operation.unset, BucketName=call.address.bucket or "")

    def _authorise_on_bucket(self, call: Call, bucket: Bucket) -> None:
        name, action = call.operation.name, call.operation.action
        if name == "DeleteObjects":  # its handler asks for each key
            if not call.may_any(action, bucket):
                raise S3Error(Code.AccessDenied)
        elif name != "PostObject":
            call.require(action, bucket)

    async def _authorise_on_key(self, call: Call, bucket: Bucket, key: str) -> None:
        name, action = call.operation.name, call.operation.action
        if name in _ON_OBJECT:
            call.found_object = self._store.catalog.at_hand(bucket.bucket, key) or await call.find(bucket, key)
            call.require_object(bucket, key, call.found_object, *call.actions)
            if call.identity is None:
                _refuse_overrides(call)
        elif name in _STORES:
            if call.adopts(bucket):  # whose it is decides who may replace it
                await call.find(bucket, key)
            call.require(action, bucket, key)
            call.require_extras(bucket, key, call.headers)
        elif name in _ON_UPLOAD:  # its handler finds out whose upload it is
            call.require(action, bucket, key, call.caller.uploader)
        else:
            call.require(action, bucket, key)


def _refuse_overrides(call: Call) -> None:
    """Only who signs chooses how others will see an object; raises S3Error: InvalidRequest.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    if any(name.startswith("response-") for name in call.query):
        message = "Request specific response headers cannot be used for anonymous GET requests."
        raise S3Error(Code.InvalidRequest, message)
