"""One request on its way through: what the gate has settled, and what the handlers work with."""

from asyncio import Transport
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp.web import BaseRequest

from gateway.config import Settings
from gateway.errors import Code, S3Error
from gateway.objects.put import Target
from gateway.objects.rooms import Rooms
from gateway.policy.evaluate import Resource, evaluate
from gateway.policy.model import PolicySet, Principal
from gateway.s3.address import Address, encode_key
from gateway.s3.operations import Operation
from gateway.sigv4.model import WireRequest
from gateway.sigv4.signature import Verified, Verifier
from gateway.store.buckets import Bucket
from gateway.store.records import ObjectRecord
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """What every request needs."""

    settings: Settings
    store: Store
    rooms: Rooms
    policies: PolicySet
    verifier: Verifier


@dataclass(slots=True)
class Call:
    """A request that is authenticated and allowed. `headers` has lower-case names, and what a signed query hoisted."""

    services: Services
    request: BaseRequest
    request_id: str
    wire: WireRequest
    operation: Operation
    address: Address
    query: Mapping[str, str]
    headers: Mapping[str, str]
    host: str
    now_s: int
    principal: Principal | None = None
    verified: Verified | None = None
    found_bucket: Bucket | None = None
    found_object: ObjectRecord | None = None

    @property
    def rooms(self) -> Rooms:
        return self.services.rooms

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def bucket(self) -> Bucket:
        """The bucket that the request names; it exists."""
        if self.found_bucket is None:
            raise S3Error(Code.NoSuchBucket, BucketName=self.address.bucket or "")
        return self.found_bucket

    @property
    def key(self) -> str:
        if self.address.key is None:
            raise S3Error(Code.InvalidRequest, "The request names no key.")
        return self.address.key

    @property
    def object(self) -> ObjectRecord:
        """The object that the request names, as it was when the request was let in; raises S3Error: NoSuchKey."""
        if self.found_object is None:
            raise S3Error(Code.NoSuchKey, Key=self.key)
        return self.found_object

    @property
    def caller(self) -> Principal:
        """Who signed; only anonymous requests have nobody, and those were refused."""
        if self.principal is None:
            raise S3Error(Code.AccessDenied)
        return self.principal

    @property
    def target(self) -> Target:
        """Where a write of this call goes: its bucket and key, owned by the caller."""
        return Target(self.bucket, self.key, self.caller.name)

    @property
    def location(self) -> str:
        """The URL at which the client reaches the object."""
        path = f"/{encode_key(self.key)}"
        if self.wire.raw_path.removeprefix("/").partition("/")[0] == self.bucket.bucket:  # path style
            path = f"/{self.bucket.bucket}{path}"
        return f"{self.scheme}://{self.host}{path}"

    @property
    def scheme(self) -> str:
        """How the client reached us, or the trusted proxy in front of us."""
        transport = self.request.transport
        if transport is None or transport.get_extra_info("sslcontext") is not None:
            return "https"
        forwarded = self.headers.get("x-forwarded-proto")
        if forwarded in ("http", "https") and self._from_trusted_proxy(transport):
            return forwarded
        return "http"

    def _from_trusted_proxy(self, transport: Transport) -> bool:
        peer = transport.get_extra_info("peername")
        proxies = self.services.settings.server.trusted_proxies
        if not proxies or not peer:
            return False
        address = ip_address(peer[0])
        return any(address in network for network in proxies)

    def may_read(self, record: ObjectRecord) -> None:
        """Ask about a row that replaced the one this call was let in for; raises S3Error: AccessDenied."""
        self.require(self.operation.action, self.bucket, record.key, record.uploader)

    def may_copy(self, record: ObjectRecord) -> None:
        """The same about the source of a copy."""
        self.require("s3:GetObject", self.store.buckets.get(record.bucket), record.key, record.uploader)

    def require(self, action: str, bucket: Bucket | None, key: str | None = None, owner: str | None = None) -> None:
        """Check a further resource that the request names; raises S3Error: AccessDenied."""
        require(self.principal, action, bucket, key, owner)


def require(
    principal: Principal | None, action: str, bucket: Bucket | None, key: str | None = None, owner: str | None = None
) -> None:
    """Ask the policy; raises S3Error: AccessDenied."""
    if bucket is None:
        resource = Resource(principal.project if principal else None)
    else:
        resource = Resource(bucket.project, bucket.bucket, key, owner)
    if not evaluate(principal, action, resource).allowed:
        raise S3Error(Code.AccessDenied)


def check_expected_owner(call: Call, bucket: Bucket | None) -> None:
    """Compare x-amz-expected-bucket-owner with the bucket's owner; raises S3Error: AccessDenied."""
    expected = call.headers.get("x-amz-expected-bucket-owner")
    if expected is not None and bucket is not None and expected != bucket.project:
        raise S3Error(Code.AccessDenied)
