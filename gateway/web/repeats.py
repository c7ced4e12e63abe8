"""Presigned URLs that were let in before: the next request by one is let in by comparing, not by deciding.

What such a request is, and who asks, are functions of its method, target and Host header, as long as nothing else in it
is signed or speaks of S3, and the rules do not ask where it comes from. Whether it may be done is a function of the
rules, the bucket and the object's row besides: they are kept as the objects that they were, and must be the same ones
still. Keys are changed by other processes only: what was found out before any of them has written counts no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

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
_ONLY_HOST: Final = ("host",)
_LONGEST: Final = 2048  # characters of a target
_MOST: Final = 4096

Name = tuple[str, str, str]
"""Method, target, host."""


@dataclass(frozen=True, slots=True)
class Admitted:
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

    def find(self, name: Name, headers: Mapping[str, str], rules: Rules, now_s: int) -> Admitted | None:
        """What the same request was let in by, if it would be let in now for the same reasons; the store is fresh."""
        found = self._admitted.get(name)
        if found is None or found.rules is not rules or _speaks_of_more(headers):
            return None
        store, record = self._store, found.record
        if store.generation != found.generation:
            return None
        if store.catalog.at_hand(record.bucket, record.key) is not record:
            return None
        if store.buckets.find(record.bucket) is not found.bucket or not is_alive(found.verified.credentials, now_s):
            return None
        return found

    def note(self, call: Call) -> None:
        """This one was let in, by a signature, the rules, and the row of an object that is there."""
        verified, identity, bucket, record = call.verified, call.identity, call.found_bucket, call.found_object
        if verified is None or identity is None or bucket is None or record is None:
            return
        credentials, wire = verified.credentials, call.wire
        if (
            call.operation.name in _OPERATIONS
            and credentials.scheme is Scheme.QUERY
            and credentials.signed_headers == _ONLY_HOST
            and not identity.session
            and not call.rules.asks_context(identity, bucket.project)
            and len(call.request.target) <= _LONGEST
            and not _speaks_of_more(call.headers)
        ):
            self._admitted.put(
                (wire.method, call.request.target, call.host),
                Admitted(
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
                ),
            )


def _speaks_of_more(headers: Mapping[str, str]) -> bool:
    """Is there a header that could change what is asked, or who asks?"""
    names = "\n".join(headers)
    return "x-amz-" in names or "authorization" in names
