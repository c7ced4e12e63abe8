"""A probe from its first connection to the last thing that it removes: steps in the order of what depends on what.

steps      each asks a few requests and gives outcomes; one whose needs are not met is not tried
deadline   what is not learned by then is not learned; the time for removing comes on top of it
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from gateway.origin.credentials import CredentialsSource
from gateway.origin.errors import OriginError
from gateway.origin.http_client import Deadlines, Endpoint, HttpClient
from gateway.origin.providers import Upstream
from gateway.origin.s3.probe import bodies, framing, listings, parts, reach
from gateway.origin.s3.probe.outcomes import Outcome
from gateway.origin.s3.probe.scratch import FOLDER, Clock, Scratch
from gateway.origin.s3.session import Session

MOST_S = 85.0
MOST_CLEANING_S = 25.0
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """`names` are the outcomes that it gives, `needs` those that must be yes."""

    take: Callable[[Scratch], AsyncIterator[Outcome]]
    names: tuple[str, ...]
    needs: tuple[str, ...]


# fmt: off
STEPS = (
    Step(reach.enter, ("region", "credentials", "bucket", "list", "left_before"), ("reachable",)),
    Step(reach.write, ("put",), ("region", "credentials", "bucket")),
    Step(reach.read, ("get",), ("put",)),
    Step(reach.head, ("head",), ("put",)),
    Step(reach.missing, ("missing",), ("region", "credentials", "bucket")),
    Step(reach.remove, ("delete",), ("put",)),
    Step(bodies.unsigned, ("unsigned_payload",), ("put",)),
    Step(bodies.conditional_reads, ("if_match",), ("put", "get", "head")),
    Step(bodies.ranges, ("range",), ("put", "get")),
    Step(bodies.metadata, ("metadata", "metadata_words", "metadata_upper"), ("put", "head")),
    Step(bodies.metadata_size, ("metadata_bytes",), ("put", "head")),
    Step(bodies.standard_headers, ("headers_kept",), ("put", "head")),
    Step(bodies.etag, ("md5_etags",), ("put", "head")),
    Step(bodies.wrong_digests, ("md5_checked", "sha256_checked"), ("put",)),
    Step(bodies.conditional_writes, ("conditional_writes",), ("put", "get")),
    Step(framing.checksum_headers, ("checksum_headers", "checksums_checked"), ("put",)),
    Step(framing.streaming, ("streaming",), ("put", "get")),
    Step(framing.trailer, ("trailer",), ("put", "get")),
    Step(listings.special_keys, ("special_keys",), ("put", "get")),
    Step(listings.prefixes, ("prefixes",), ("put", "list")),
    Step(listings.pages, ("pages",), ("put", "list", "prefixes")),
    Step(listings.url_encoding, ("list_url_encoding",), ("put", "list", "special_keys")),
    Step(listings.tagging, ("tagging",), ("put",)),
    Step(listings.batch_delete, ("batch_delete",), ("put", "head", "delete")),
    Step(listings.versioning, ("versioning",), ("region", "credentials", "bucket")),
    Step(parts.copies, ("copy_object",), ("put", "get", "head")),
    Step(parts.aborts, ("abort",), ("put",)),
    Step(parts.part_copies, ("upload_part_copy",), ("put", "get")),
    Step(parts.multipart, ("list_uploads", "multipart", "multipart_etags"), ("put", "head")),
)
# fmt: on


class Probe:
    """One probe of one place: `outcomes` by their names, and what could not be removed, also after an interruption."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        credentials: CredentialsSource,
        tls: ssl.SSLContext | None,
        deadlines: Deadlines,
        bucket: str,
        prefix: str,
        *,
        clock: Callable[[], float] = time.time,
        most_s: float = MOST_S,
        most_cleaning_s: float = MOST_CLEANING_S,
    ) -> None:
        """`prefix` is what keys of the category begin with; the scratch keys are below it."""
        self.outcomes: dict[str, Outcome] = {}
        self.prefix = f"{prefix}{FOLDER}{secrets.token_hex(8)}/"
        self._tls = tls
        self._deadlines = deadlines
        self._most_s = most_s
        self._most_cleaning_s = most_cleaning_s
        follows = Clock(clock)
        self._session = Session(
            name,
            upstream,
            credentials,
            deadlines=deadlines,
            whole_s=most_s,
            retries=0,
            most_connections=_CONNECTIONS,
            tls=tls,
            clock=follows.now,
        )

        def connect(host: str) -> HttpClient:
            return HttpClient(Endpoint(host, upstream.endpoint.port, tls), deadlines, most_connections=_CONNECTIONS)

        self._scratch = Scratch(self._session, upstream, credentials, connect, bucket, self.prefix, clock=follows)

    @property
    def left(self) -> list[str]:
        """What was made and not removed: at the end, what could not be."""
        return self._scratch.left

    async def run(self) -> None:
        """Take every step, and remove what was made, whatever happens; raises nothing but cancellation."""
        try:
            async with asyncio.timeout(self._most_s):
                await self._take(reach.reach(self._scratch, self._tls, self._deadlines.connect_s))
                for step in STEPS:
                    missing = [need for need in step.needs if not self._is_so(need)]
                    if missing:
                        self._unknown(step.names, f"not tried: it needs {', '.join(missing)}", tried=False)
                    else:
                        await self._take(step.take(self._scratch), step.names)
        except TimeoutError:
            for step in STEPS:
                self._unknown(step.names, "not learned: the time was up")
        finally:
            try:
                if self._is_so("reachable"):
                    await self._scratch.clean(self._most_cleaning_s)
            finally:
                await self._session.close()

    async def _take(self, step: AsyncIterator[Outcome], names: tuple[str, ...] = ("reachable", "clock_skew_s")) -> None:
        try:
            async for outcome in step:
                self.outcomes[outcome.name] = outcome
        except OriginError as error:
            self._unknown(names, str(error))
        else:
            self._unknown(names, "not tried", tried=False)

    def _unknown(self, names: tuple[str, ...], why: str, *, tried: bool = True) -> None:
        for name in names:
            self.outcomes.setdefault(name, Outcome(name, None, why, tried))

    def _is_so(self, name: str) -> bool:
        found = self.outcomes.get(name)
        return found is not None and found.value is True
