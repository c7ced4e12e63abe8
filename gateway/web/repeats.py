"""Reads that were let in before: the next one of the same kind is let in by comparing, not by deciding.

What such a request is, is a function of its method, target and Host header, as long as no other header in it speaks of
S3, and the rules do not ask where it comes from. Whether it may be done is a function of who asks, the rules, the
bucket and the object's row besides: they are kept as the objects that they were, and must be the same ones still. Keys
are changed by other processes only: what was found out before any of them has written counts no more.

Who asks is told by a presigned URL itself, as long as it signs nothing else. Signed by a header, a request is never the
one before: its signature is verified each time, and what is spared is everything that follows from it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.bounded import BoundedMap
from gateway.policy.evaluate import Rules
from gateway.policy.model import Identity
from gateway.s3.address import Address
from gateway.s3.operations import Operation
from gateway.sigv4.model import Scheme
from gateway.sigv4.signature import Verified, is_alive
from gateway.store.buckets import Bucket
from gateway.store.records import ObjectRecord
from gateway.store.store import Store
from gateway.web.call import Call

_OPERATIONS: Final = frozenset({"GetObject", "HeadObject"})
_OF_THE_SIGNATURE: Final = ("x-amz-date", "x-amz-content-sha256")
_ONLY_HOST: Final = ("host",)
_LONGEST: Final = 2048  # characters of a target
_MOST: Final = 4096

Name = tuple[str, str, str]
"""Method, target, host."""

Asked = tuple[str, str, str, str]
"""The same, and the access key that has signed it by a header."""


class Admitted(NamedTuple):
    """What was found out about a request that was let in, and what it was let in by."""

    wire: tuple[str, str]  # the raw path and query
    address: Address
    query: Mapping[str, str]
    operation: Operation
    rules: Rules
    identity: Identity
    verified: Verified
    access_key_id: str
    bucket: Bucket
    record: ObjectRecord
    generation: int


class Repeats:
    """The requests of one gate."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._admitted: BoundedMap[Name, Admitted] = BoundedMap(_MOST)
        self._decided: BoundedMap[Asked, Admitted] = BoundedMap(_MOST)

    def find(self, name: Name, headers: Mapping[str, str], rules: Rules, now_s: int) -> Admitted | None:
        """What the same URL was let in by, if it would be let in now for the same reasons; the store is fresh."""
        found = self._admitted.get(name)
        if found is None or _speaks_of_more(headers) or not self._stands(found, rules):
            return None
        return found if is_alive(found.verified.credentials, now_s) else None

    def decided(self, call: Call) -> Admitted | None:
        """What was decided of the same request of the same caller, who has just proven to be that."""
        found = self._decided.get((call.wire.method, call.request.target, call.host, call.access_key_id))
        if found is None or found.identity is not call.identity or not _is_plainly_signed(call):
            return None
        return found if self._stands(found, call.rules) else None

    def _stands(self, found: Admitted, rules: Rules) -> bool:
        """Is everything that it was let in by still so?"""
        store, record = self._store, found.record
        return (
            found.rules is rules
            and store.generation == found.generation
            and store.catalog.at_hand(record.bucket, record.key) is record
            and store.buckets.find(record.bucket) is found.bucket
        )

    def note(self, call: Call) -> None:
        """This one was let in, by a signature, the rules, and the row of an object that is there."""
        verified, identity, bucket, record = call.verified, call.identity, call.found_bucket, call.found_object
        if verified is None or identity is None or bucket is None or record is None:
            return
        credentials, wire = verified.credentials, call.wire
        if (
            call.operation.name not in _OPERATIONS
            or identity.session
            or call.rules.asks_context(identity, bucket.project)
            or len(call.request.target) > _LONGEST
        ):
            return
        admitted = Admitted(
            (wire.raw_path, wire.raw_query),
            call.address,
            call.query,
            call.operation,
            call.rules,
            identity,
            verified,
            call.access_key_id,
            bucket,
            record,
            self._store.generation,
        )
        if credentials.scheme is Scheme.HEADER:
            if _is_plainly_signed(call):
                self._decided.put((wire.method, call.request.target, call.host, call.access_key_id), admitted)
        elif (
            credentials.scheme is Scheme.QUERY
            and credentials.signed_headers == _ONLY_HOST
            and not _speaks_of_more(call.headers)
        ):
            self._admitted.put((wire.method, call.request.target, call.host), admitted)


def _speaks_of_more(headers: Mapping[str, str]) -> bool:
    """Is there a header that could change what is asked, or who asks?"""
    names = "\n".join(headers)
    return "x-amz-" in names or "authorization" in names


def _is_plainly_signed(call: Call) -> bool:
    """By a header, with nothing beside the signature that speaks of S3, and no body that must be checked by it?"""
    verified, headers = call.verified, call.headers
    return (
        verified is not None
        and verified.credentials.scheme is Scheme.HEADER
        and not verified.payload.streaming
        and "\n".join(headers).count("x-amz-") == len(_OF_THE_SIGNATURE)
        and all(name in headers for name in _OF_THE_SIGNATURE)
    )
