"""The one place where the parts are joined: settings in, a serving gateway out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.config import Settings
from gateway.errors import S3Error
from gateway.free_space import nearly_full
from gateway.objects.rooms import Rooms
from gateway.objects.sweeper import keep_swept, recover, settle
from gateway.policy.evaluate import Rules
from gateway.policy.model import PolicySet
from gateway.policy_watch import AUTHOR, PolicyWatch
from gateway.rulebook import Rulebook, apply_folder, read_folder
from gateway.sigv4.signature import Verifier
from gateway.startup import (
    Caching,
    check_seals,
    left_buckets,
    measured_otherwise,
    now_s,
    open_rooms,
)
from gateway.store.buckets import Bucket
from gateway.store.database import Database
from gateway.store.key_ring import load_key_ring
from gateway.store.session_tokens import SessionTokens
from gateway.store.store import Store
from gateway.threads import Threads
from gateway.web.call import Services
from gateway.web.rates import Rates

LAST_S: Final = 5.0
"""For what is done once the requests have ended; who asks a gateway to stop must wait longer than that."""

_log = logging.getLogger("anbar")


@asynccontextmanager
async def build_services(settings: Settings, *, beside: bool = False) -> AsyncIterator[Services]:
    """Open everything that requests need, recovered from whatever an earlier run left; closes it again.

    `beside`: a keeper has done so already, and goes on doing what is done once for all.
    """
    ring = load_key_ring(settings)
    if not beside:
        read_folder(settings.policies.path, settings.origins)  # before anything is touched
    database = await Database.open(settings.store.path, check=not beside)
    parsing = Threads(1, "parse")  # one large document at a time: each takes some tens of MiB
    try:
        store = Store(database, ring)
        if not beside:
            for line in measured_otherwise(settings.store.path, settings.origins):
                _log.warning("%s", line)
            await check_seals(store, settings.secrets.key_ring)
        serves = beside or settings.server.worker_count == 1
        caching = Caching.SERVING if serves else Caching.OFF
        async with open_rooms(settings, store, caching=caching) as rooms:
            if not beside:
                for line in nearly_full(settings):
                    _log.warning("%s", line)
                await recover(rooms)
            rulebook = await (_rulebook_beside(settings, store) if beside else _open_rulebook(settings, store))
            async with _keepers(settings, rooms, rulebook, beside=beside):
                verifier, rates = verifier_of(settings), key_rates_of(settings)
                yield Services(settings, store, rooms, rulebook, verifier, SessionTokens(ring), rates, parsing)
            await _end(rooms)
    finally:
        await parsing.close()
        await database.close()


@asynccontextmanager
async def _keepers(settings: Settings, rooms: Rooms, rulebook: Rulebook, *, beside: bool) -> AsyncIterator[None]:
    """What goes on beside the requests."""
    store, start = rooms.store, rooms.background.start
    keepers = [start(keep_swept(rooms, for_all=not beside), "sweeper")]
    if settings.policies.watch and not beside:
        watch = PolicyWatch(rulebook, store.revisions, store.audit, settings.policies.path, settings.origins)
        keepers.append(start(watch.run(), "policies"))
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()


async def _end(rooms: Rooms) -> None:
    """Do what is due and small, and let what goes on end; the rest is on record, and done after the next start.

    An origin that is slow or away would hold up a whole sweep for as long as it likes, until somebody kills us.
    """
    until_s = asyncio.get_running_loop().time() + LAST_S
    try:
        async with asyncio.timeout_at(until_s):
            await settle(rooms)
    except (S3Error, TimeoutError) as error:
        _log.warning("what was to be settled is left to the next start: %s", str(error) or "there is no time")
    await rooms.background.close(until_s - asyncio.get_running_loop().time())


async def _open_rulebook(settings: Settings, store: Store) -> Rulebook:
    """Apply the policy folder, and follow what other processes will apply; raises ConfigError, PolicyRefused."""
    policies, revision = await apply_folder(
        store.revisions,
        settings.policies.path,
        settings.origins,
        author=AUTHOR,
        comment="applied at start",
        now_s=now_s(),
    )
    rulebook = Rulebook(store.revisions, settings.origins, Rules(policies, revision))
    for bucket, what in left_buckets(await _load_buckets(store, rulebook), policies, settings.origins):
        _log.warning("bucket %s: %s", bucket, what)
    return rulebook


async def _rulebook_beside(settings: Settings, store: Store) -> Rulebook:
    """The rules that the keeper has put in force."""
    rulebook = Rulebook(store.revisions, settings.origins, Rules(PolicySet(()), 0))
    await rulebook.refresh()
    await _load_buckets(store, rulebook)
    return rulebook


async def _load_buckets(store: Store, rulebook: Rulebook) -> Iterator[Bucket]:
    await store.buckets.load()
    store.follow(rulebook.refresh)
    return store.buckets.all()


def verifier_of(settings: Settings) -> Verifier:
    server = settings.server
    return Verifier(server.regions, server.sigv2, server.public_hosts, domains=server.domains)


def key_rates_of(settings: Settings) -> Rates | None:
    return Rates.shared(settings.limits.requests_per_key, settings.server.worker_count)
