"""The one place where the parts are joined: settings in, a serving gateway out."""

import asyncio
import logging
import resource
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from aiohttp import web

from gateway.allocator import keep_freed_memory
from gateway.config import ConfigError, Settings
from gateway.errors import S3Error
from gateway.objects.rooms import Rooms
from gateway.objects.sweeper import recover, sweep, sweep_forever
from gateway.origin.errors import OriginError
from gateway.policy.evaluate import Rules
from gateway.policy_watch import AUTHOR, PolicyWatch
from gateway.rulebook import Rulebook, apply_folder, read_folder
from gateway.sigv4.signature import Verifier
from gateway.startup import (
    StartError,
    TlsError,
    check_seals,
    left_buckets,
    listening,
    measured_otherwise,
    now_s,
    only_server_of,
    open_rooms,
    tls_context,
)
from gateway.store.bucket_changes import PolicyRefused
from gateway.store.database import Database, StoreError
from gateway.store.key_ring import KeyRingError, load_key_ring
from gateway.store.session_tokens import SessionTokens
from gateway.store.store import Store
from gateway.web.access_log import AccessLog, open_access_log
from gateway.web.call import Services
from gateway.web.exposition import Exposition
from gateway.web.logs import configure_logging
from gateway.web.loop_lag import LoopLag
from gateway.web.probes import probes
from gateway.web.server import S3Server

_log = logging.getLogger("anbar")
_BACKLOG = 1024
_HASHING_THREADS = 2
_TLS_GOODBYE_S = 1.0


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; prints `ready: URL` when requests are accepted.

    Raises StartError: the key ring, a policy, the store, a directory, a certificate or an address cannot be used.
    """
    configure_logging(settings.log)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no secrets in core files
    keep_freed_memory()
    try:
        tls = tls_context(settings.server.tls)
        uvloop.run(_serve(settings, tls))
    except TlsError as error:
        raise StartError(f"[server] tls: {error}") from error
    except S3Error as error:
        raise StartError(error.message) from error
    except (StoreError, KeyRingError, ConfigError, OriginError, PolicyRefused) as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


async def _serve(settings: Settings, tls: ssl.SSLContext | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with only_server_of(settings.store.path):
        async with build_services(settings) as services:
            await _listen_until(stop, settings, services, tls)


async def _listen_until(
    stop: asyncio.Event, settings: Settings, services: Services, tls: ssl.SSLContext | None
) -> None:
    access_log = open_access_log(settings)
    try:
        await _listen_and_log(stop, settings, services, tls, access_log)
    finally:
        if access_log is not None:
            await asyncio.to_thread(access_log.close)


async def _listen_and_log(
    stop: asyncio.Event,
    settings: Settings,
    services: Services,
    tls: ssl.SSLContext | None,
    access_log: AccessLog | None,
) -> None:
    loop = asyncio.get_running_loop()
    server = S3Server(services, loop, access_log)
    listen = settings.server.listen
    with listening(listen, "listen"):
        public = await loop.create_server(
            server,
            listen.host,
            listen.port,
            ssl=tls,
            ssl_shutdown_timeout=_TLS_GOODBYE_S if tls else None,
            backlog=_BACKLOG,
            reuse_address=True,
        )
    port = public.sockets[0].getsockname()[1]
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    admin: web.AppRunner | None = None
    lag = LoopLag(loop)
    try:
        admin = await _start_probes(settings, services)
        _announce(f"ready: {'https' if settings.server.tls else 'http'}://{host}:{port}")
        await stop.wait()
    finally:
        lag.stop()
        public.close()
        await server.drain(settings.limits.drain_s)
        if admin is not None:
            await admin.cleanup()


@asynccontextmanager
async def build_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything that requests need, recovered from whatever an earlier run left; closes it again."""
    ring = load_key_ring(settings)
    read_folder(settings.policies.path, settings.origins)  # before anything is touched
    database = await Database.open(settings.store.path, check=True)
    try:
        for line in measured_otherwise(settings.store.path, settings.origins):
            _log.warning("%s", line)
        store = Store(database, ring)
        await check_seals(store, settings.secrets.key_ring)
        async with open_rooms(settings, store) as rooms:
            await recover(rooms)
            rulebook = await _open_rulebook(settings, store)
            for bucket, what in left_buckets(store.buckets.all(), rulebook.rules.policies, rooms.origins):
                _log.warning("bucket %s: %s", bucket, what)
            async with _keepers(settings, rooms, rulebook):
                yield Services(settings, store, rooms, rulebook, _verifier(settings), SessionTokens(ring))
            await _sweep_once_more(rooms)
    finally:
        await database.close()


@asynccontextmanager
async def _keepers(settings: Settings, rooms: Rooms, rulebook: Rulebook) -> AsyncIterator[None]:
    """What goes on beside the requests."""
    store, start = rooms.store, rooms.background.start
    keepers = [start(sweep_forever(rooms), "sweeper")]
    if settings.policies.watch:
        watch = PolicyWatch(rulebook, store.revisions, store.audit, settings.policies.path, settings.origins)
        keepers.append(start(watch.run(), "policies"))
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()


async def _sweep_once_more(rooms: Rooms) -> None:
    try:
        await sweep(rooms)
    except S3Error as error:
        _log.warning("the last sweep is left to the next start: %s", error)


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
    await store.buckets.load()
    rulebook = Rulebook(store.revisions, settings.origins, Rules(policies, revision))
    store.follow(rulebook.refresh)
    return rulebook


def _verifier(settings: Settings) -> Verifier:
    server = settings.server
    return Verifier(server.regions, server.sigv2, server.public_hosts, domains=server.domains)


async def _start_probes(settings: Settings, services: Services) -> web.AppRunner | None:
    listen = settings.server.admin_listen
    if listen is None:
        return None
    exposition = Exposition(services.store, lambda: services.rulebook.rules.policies)
    runner = web.AppRunner(probes(services.store, exposition), access_log=None)
    await runner.setup()
    with listening(listen, "admin_listen"):
        await web.TCPSite(runner, listen.host, listen.port).start()
    return runner


def _announce(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        _log.info("%s", line)
