"""One request on its way through: what the gate has settled, and what the handlers work with."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from gateway.config import Settings
from gateway.errors import Code, S3Error
from gateway.objects.adopt import find_or_adopt
from gateway.objects.put import Target
from gateway.objects.rooms import Rooms
from gateway.policy.evaluate import NO_CONTEXT, Context, Decision, Resource, Rules
from gateway.policy.model import Identity
from gateway.policy.spans import Span
from gateway.rulebook import Rulebook, allowance_of
from gateway.s3.address import Address, encode_key
from gateway.s3.operations import PREFLIGHT, Operation, actions_of
from gateway.sigv4.model import WireRequest
from gateway.sigv4.signature import Verified, Verifier
from gateway.store.access_keys import OpenedKey
from gateway.store.buckets import Bucket
from gateway.store.ledger import Allowance
from gateway.store.records import NULL_VERSION, ObjectRecord, UploadRecord
from gateway.store.session_tokens import SessionTokens
from gateway.store.store import Store
from gateway.threads import Threads
from gateway.web.client_address import client_address, is_trusted
from gateway.web.connection import Request
from gateway.web.rates import Rates

_SOMEBODY: Final = "\0"  # the name of no uploader
_LIST: Final = "s3:ListBucket"
_EXTRAS: Final = (("x-amz-tagging", "s3:PutObjectTagging"), ("x-amz-acl", "s3:PutObjectAcl"))


@dataclass(frozen=True, slots=True)
class Services:
    """What every request needs."""

    settings: Settings
    store: Store
    rooms: Rooms
    rulebook: Rulebook
    verifier: Verifier
    sessions: SessionTokens
    key_rates: Rates | None  # of each access key, its sessions included
    parsing: Threads  # for documents that would keep the loop busy


@dataclass(frozen=True, slots=True)
class StsRequest:
    """A request to STS: its form, which was read before the signature, and the key that has signed it."""

    form: bytes
    key: OpenedKey


@dataclass(slots=True)
class Call:
    """A request that is authenticated and allowed. `headers` has lower-case names, and what a signed query hoisted.

    `rules` are those in force when the request came in; it sees no others, however long it takes. `identity` is None
    for anonymous requests.
    """

    services: Services
    request: Request
    request_id: str
    wire: WireRequest
    operation: Operation
    address: Address
    query: Mapping[str, str]
    headers: Mapping[str, str]
    host: str
    now_s: int
    rules: Rules
    identity: Identity | None = None
    verified: Verified | None = None
    found_bucket: Bucket | None = None
    found_object: ObjectRecord | None = None
    found_upload: UploadRecord | None = None
    sts: StsRequest | None = None
    access_key_id: str = ""  # of the key that signed, or that began the session that signed
    is_repeat: bool = False  # the very same was let in before, and nothing has changed since
    session_ends_s: int | None = None

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
    def caller(self) -> Identity:
        """Who signed; only reads of public objects have nobody."""
        if self.identity is None:
            raise S3Error(Code.AccessDenied)
        return self.identity

    @property
    def target(self) -> Target:
        """Where a write of this call goes: its bucket and key, owned by the caller or whom it stores for."""
        bucket, key = self.bucket, self.key
        only_of = self.only_of(bucket, key, self.operation.action)
        return Target(bucket, key, self.caller.uploader, only_of, self.allowance, self.content_types)

    @property
    def allowance(self) -> Allowance:
        """The limits on what is stored in this call's bucket."""
        return allowance_of(self.rules.policies, self.bucket)

    @property
    def charged(self) -> str:
        """The uploader to whom this call's write is charged."""
        return self.caller.uploader if self.found_upload is None else self.found_upload.uploader

    @property
    def max_object_size(self) -> int | None:
        """The largest object that the category of this call's bucket takes, in bytes; None: it says nothing."""
        category = self.rules.policies.bucket(self.bucket.bucket)
        return category.max_object_size if category is not None else None

    @property
    def content_types(self) -> tuple[str, ...]:
        """What may be stored in this call's bucket, types and groups of them; empty: anything."""
        category = self.rules.policies.bucket(self.bucket.bucket)
        return category.content_types if category is not None else ()

    def forget_admission(self) -> None:
        """Nothing is known yet of who asks and whether they may."""
        self.is_repeat = False
        self.operation = PREFLIGHT
        self.identity = self.verified = self.found_bucket = self.found_object = None
        self.access_key_id = ""

    def adopts(self, bucket: Bucket) -> bool:
        """Is what others have put at the place of this bucket taken in?"""
        category = self.rules.policies.bucket(bucket.bucket)
        return category is not None and category.adopt

    async def find(self, bucket: Bucket, key: str) -> ObjectRecord | None:
        """The row of an object; None: there is no such. Raises S3Error: the origin could not be asked.

        Nobody makes it ask the origin who may read nothing there.
        """
        if self.adopts(bucket) and (self.identity is not None or self.is_public):
            return await find_or_adopt(self.rooms, bucket, key)
        return await self.store.catalog.find(bucket.bucket, key)

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
        if transport is None:  # it hung up: what cannot be known any more was not secure
            return "http"
        if transport.get_extra_info("sslcontext") is not None:
            return "https"
        forwarded, peer = self.headers.get("x-forwarded-proto"), transport.get_extra_info("peername")
        proxies = self.services.settings.server.trusted_proxies
        if forwarded in ("http", "https") and peer and is_trusted(peer[0], proxies):
            return forwarded
        return "http"

    @property
    def is_public(self) -> bool:
        """May everybody read the objects of this call's bucket?"""
        category = self.rules.policies.bucket(self.found_bucket.bucket) if self.found_bucket else None
        return category is not None and category.public

    @property
    def actions(self) -> tuple[str, ...]:
        """What a policy must allow of this operation, all of it: naming a version is a right of its own."""
        return actions_of(self.operation, versioned="versionId" in self.query)

    @property
    def address_of_client(self) -> IPv4Address | IPv6Address | None:
        """Where the request comes from; None where that cannot be known."""
        peer = self.request.transport.get_extra_info("peername") if self.request.transport is not None else None
        proxies = self.services.settings.server.trusted_proxies
        return client_address(peer[0] if peer else "", self.headers.get("x-forwarded-for", ""), proxies)

    @property
    def context(self) -> Context:
        """What rules may ask of where the request comes from; read only where one does."""
        return Context(self.address_of_client, self.scheme == "https")

    @property
    def asks_context(self) -> bool:
        """Could a rule about this call's bucket decide otherwise for who comes from elsewhere?"""
        return self.rules.asks_context(self.identity, self.bucket.project)

    def decide(
        self, action: str, bucket: Bucket | None, key: str | None = None, owner: str | None = None, **more: str
    ) -> Decision:
        """Ask the rules about one resource; without a bucket it is the caller's own project."""
        identity = self.identity
        if bucket is None:
            resource = Resource(identity.project if identity else None)
        else:
            resource = Resource(bucket.project, bucket.bucket, key, owner, **more)
        asked = resource.project is not None and self.rules.asks_context(identity, resource.project)
        return self.rules.decide(identity, action, resource, self.context if asked else NO_CONTEXT)

    def require(self, action: str, bucket: Bucket | None, key: str | None = None, owner: str | None = None) -> None:
        """Ask the rules; raises S3Error: AccessDenied."""
        if not self.decide(action, bucket, key, owner).allowed:
            raise S3Error(Code.AccessDenied)

    def require_object(self, bucket: Bucket, key: str, record: ObjectRecord | None, *actions: str) -> None:
        """Ask about an object that a request names; it may not be there.

        To who may not list it, a missing object looks like a forbidden one: everything that could be allowed about an
        own object is asked first, then whether the caller may know what is there.
        Raises S3Error: AccessDenied.
        """
        if record is not None:
            for action in actions:
                self.require(action, bucket, key, record.uploader)
            return
        for action in actions:
            self.require(action, bucket, key, self.identity.uploader if self.identity else None)
        self.require(_LIST, bucket, key)

    def require_extras(self, bucket: Bucket, key: str, headers: Mapping[str, str]) -> None:
        """Tags and ACLs that come with an upload are rights of their own; raises S3Error: AccessDenied."""
        for name, action in _EXTRAS:
            if headers.get(name):
                self.require(action, bucket, key, self.caller.uploader)

    def may_any(self, action: str, bucket: Bucket) -> bool:
        """Could the action be allowed on some object of the bucket?"""
        return self.rules.may_any(self.identity, action, Resource(bucket.project, bucket.bucket))

    def only_of(self, bucket: Bucket, key: str, *actions: str) -> str | None:
        """The uploader whose objects the caller may touch so, and nobody else's; None: anybody's.

        For a write that is already allowed, and whose object may have changed hands when it is done.
        """
        anybody = all(self.decide(action, bucket, key, _SOMEBODY).allowed for action in actions)
        return None if anybody else self.caller.uploader

    def may_read(self, record: ObjectRecord) -> None:
        """Ask about a row that replaced the one this call was let in for; raises S3Error: AccessDenied."""
        self.require_object(self.bucket, record.key, record, *self.actions)

    def may_copy(self, record: ObjectRecord) -> None:
        """The same about the source of a copy."""
        self.require("s3:GetObject", self.store.buckets.get(record.bucket), record.key, record.uploader)

    def visible(self) -> tuple[Span, ...]:
        """The entries that this call's listing may show."""
        bucket = self.bucket
        resource = Resource(bucket.project, bucket.bucket)
        asked = self.rules.asks_context(self.identity, bucket.project)
        return self.rules.visible(self.caller, self.operation.action, resource, self.context if asked else NO_CONTEXT)


def check_expected_owner(call: Call, bucket: Bucket | None) -> None:
    """Compare x-amz-expected-bucket-owner with the bucket's owner; raises S3Error: AccessDenied."""
    expected = call.headers.get("x-amz-expected-bucket-owner")
    if expected is not None and bucket is not None and expected != bucket.project:
        raise S3Error(Code.AccessDenied)


def check_version(call: Call) -> None:
    """Without versioning an object has one version, `null`; raises S3Error: InvalidArgument for any other."""
    version_id = call.query.get("versionId")
    if version_id is not None and version_id != NULL_VERSION and call.operation.on == "object":
        raise S3Error(
            Code.InvalidArgument,
            "Invalid version id specified",
            ArgumentName="versionId",
            ArgumentValue=version_id[:256],
        )
