"""The one place where the parts are joined: settings in, a serving gateway out."""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import resource
import secrets
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import uvloop
from aiohttp import web
from cryptography import x509

from gateway.config import ConfigError, DirectoryOriginSettings, Listen, Settings, Tls, read_policy_files
from gateway.errors import S3Error
from gateway.objects.background import Background
from gateway.objects.collector import Collector
from gateway.objects.rooms import MemoryBudget, Rooms
from gateway.objects.sweeper import recover, sweep, sweep_forever
from gateway.origin.base import Origin
from gateway.origin.directory import DirectoryOrigin
from gateway.policy.documents import parse_policies
from gateway.policy.model import PolicySet
from gateway.sigv4.signature import Verifier
from gateway.store.buckets import Bucket
from gateway.store.database import Database, StoreError
from gateway.store.key_ring import KeyRingError, load_key_ring
from gateway.store.store import Store
from gateway.threads import Threads
from gateway.web.call import Services
from gateway.web.logs import configure_logging
from gateway.web.probes import probes
from gateway.web.server import S3Server

_log = logging.getLogger("anbar")
_BACKLOG = 1024
_HASHING_THREADS = 2
_TLS_GOODBYE_S = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class StartError(Exception):
    """The gateway cannot start; the text says why."""


class TlsError(Exception):
    """The files of `[server] tls` cannot be served with; the text names the file."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; prints `ready: URL` when requests are accepted.

    Raises StartError: the key ring, a policy, the store, a directory, a certificate or an address cannot be used.
    """
    configure_logging()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no secrets in core files
    try:
        tls = tls_context(settings.server.tls)
        uvloop.run(_serve(settings, tls))
    except TlsError as error:
        raise StartError(f"[server] tls: {error}") from error
    except (StoreError, KeyRingError, ConfigError, S3Error) as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


async def _serve(settings: Settings, tls: ssl.SSLContext | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _only_server_of(settings.store.path):
        async with build_services(settings) as services:
            await _listen_until(stop, settings, services, tls)


async def _listen_until(
    stop: asyncio.Event, settings: Settings, services: Services, tls: ssl.SSLContext | None
) -> None:
    loop = asyncio.get_running_loop()
    server = S3Server(services, loop)
    listen = settings.server.listen
    with _listening(listen, "listen"):
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
    try:
        admin = await _start_probes(settings, services.store)
        _announce(f"ready: {'https' if settings.server.tls else 'http'}://{host}:{port}")
        await stop.wait()
    finally:
        public.close()
        await server.drain(settings.limits.drain_s)
        if admin is not None:
            await admin.cleanup()


@asynccontextmanager
async def build_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything that requests need, recovered from whatever an earlier run left; closes it again."""
    ring = load_key_ring(settings)
    policies = parse_policies(read_policy_files(settings.policies.path), settings.origins)
    database = await Database.open(settings.store.path, check=True)
    background = Background()
    origins: dict[str, Origin] = {}
    hashing = Threads(_HASHING_THREADS, "hash")
    try:
        for name, origin in settings.origins.items():
            origins[name] = open_origin(name, origin)
        store = Store(database, ring)
        await _check_seals(store, settings.secrets.key_ring)
        await store.buckets.apply_policy(policy_buckets(policies, _now_s()))
        rooms = Rooms(
            store=store,
            origins=origins,
            limits=settings.limits,
            background=background,
            collector=Collector(store.catalog, origins, background),
            budget=MemoryBudget(settings.limits.memory_budget),
            now_s=_now_s,
            hashing=hashing,
        )
        for bucket, what in left_buckets(store.buckets.all(), policies, origins):
            _log.warning("bucket %s: %s", bucket, what)
        await recover(rooms)
        sweeper = background.start(sweep_forever(rooms), "sweeper")
        try:
            yield Services(settings, store, rooms, policies, _verifier(settings))
        finally:
            sweeper.cancel()
        await _sweep_once_more(rooms)
    finally:
        await background.close(settings.limits.drain_s)
        for opened in origins.values():
            await opened.close()
        await database.close()
        await hashing.close()


def open_origin(name: str, settings: DirectoryOriginSettings) -> Origin:
    """An origin in whose directory a file could be made; raises StartError."""
    try:
        opened = DirectoryOrigin(settings.path, durable=settings.durable)
        _try_to_write(settings.path)
    except FileExistsError:
        raise StartError(f"origin {name}: {settings.path}: not a directory") from None
    except OSError as error:
        raise StartError(f"origin {name}: cannot write in {settings.path}: {error.strerror}") from error
    return opened


def _try_to_write(folder: Path) -> None:
    """Make and remove a file. A full disk passes: what is on it can be read, and removed."""
    file = folder / f".anbar-start-{secrets.token_hex(8)}"
    try:
        os.close(os.open(file, _NEW_FILE, 0o600))
        os.unlink(file)
    except OSError as error:
        if error.errno not in _FULL:
            raise


async def _check_seals(store: Store, key_ring: Path) -> None:
    """Does the key ring belong to the store? Raises StartError where it opens none of the access keys."""
    seals = await store.access_keys.seals()
    if seals.all_missing:
        raise StartError("\n".join(seals.mistakes(key_ring)))
    for mistake in seals.mistakes(key_ring):
        _log.error("%s", mistake)


def left_buckets(buckets: Iterable[Bucket], policies: PolicySet, origins: Collection[str]) -> Iterator[tuple[str, str]]:
    """The buckets that the configuration does not know any more, each with what is the matter."""
    for bucket in buckets:
        if bucket.source == "policy" and policies.bucket(bucket.bucket) is None:
            place = f"category {bucket.category} of project {bucket.project}"
            yield bucket.bucket, f"its {place} is in no policy file any more; it keeps its objects"
        if bucket.origin not in origins:
            yield bucket.bucket, f"its origin {bucket.origin} is not configured"


async def _sweep_once_more(rooms: Rooms) -> None:
    try:
        await sweep(rooms)
    except S3Error as error:
        _log.warning("the last sweep is left to the next start: %s", error)


def policy_buckets(policies: PolicySet, now_s: int) -> list[Bucket]:
    """The buckets that the policy files name."""
    return [
        Bucket(
            category.bucket,
            category.project,
            category.name,
            category.origin,
            category.origin_bucket,
            category.origin_prefix,
            "policy",
            now_s,
        )
        for project in policies.projects
        for category in project.categories.values()
    ]


def _verifier(settings: Settings) -> Verifier:
    server = settings.server
    return Verifier(server.regions, server.sigv2, server.public_hosts, domains=server.domains)


def tls_context(tls: Tls | None) -> ssl.SSLContext | None:
    """What HTTPS is served with; None: plain HTTP. Raises TlsError."""
    if tls is None:
        return None
    certificate, _ = _read_pem(tls.certificate), _read_pem(tls.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])

    def refuse_passphrase() -> NoReturn:  # OpenSSL would ask the terminal
        raise TlsError(f"{tls.key}: it has a passphrase; write it without one")

    try:
        context.load_cert_chain(tls.certificate, tls.key, refuse_passphrase)
    except ssl.SSLError as error:
        raise TlsError(_tls_mistake(tls, certificate, error)) from error
    return context


def _read_pem(file: Path) -> bytes:
    """What is in a file; the ssl module does not say which one it could not read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise TlsError(f"{file}: {error.strerror}") from error


def _tls_mistake(tls: Tls, certificate: bytes, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{tls.key} is not the key of {tls.certificate}"
    try:
        x509.load_pem_x509_certificates(certificate)
    except ValueError:
        return f"{tls.certificate}: not a PEM certificate"
    if error.reason is None:
        return f"{tls.key}: not a PEM private key"
    return f"{tls.certificate}: {error.reason.replace('_', ' ').lower()}"


async def _start_probes(settings: Settings, store: Store) -> web.AppRunner | None:
    listen = settings.server.admin_listen
    if listen is None:
        return None
    runner = web.AppRunner(probes(store), access_log=None)
    await runner.setup()
    with _listening(listen, "admin_listen"):
        await web.TCPSite(runner, listen.host, listen.port).start()
    return runner


@contextlib.contextmanager
def _listening(listen: Listen, key: str) -> Iterator[None]:
    """Say which address cannot be had and where it comes from; raises StartError."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise StartError(f"cannot listen on {listen} ([server] {key}): {address_error(error)}") from error


def address_error(error: OSError | UnicodeError) -> str:
    """Why an address cannot be had; the loop's own texts repeat the address."""
    if isinstance(error, UnicodeError):
        return "not a host name"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)


@contextlib.contextmanager
def _only_server_of(store: Path) -> Iterator[None]:
    """Hold the lock that one serving process has; raises StartError."""
    store.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(_serving_lock(store), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another process serves from {store}") from None
        yield
    finally:
        os.close(fd)


def is_serving(store: Path) -> bool:
    """Does a process serve from this store now?"""
    try:
        fd = os.open(_serving_lock(store), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _serving_lock(store: Path) -> Path:
    return store.with_name(store.name + "-serving")


def _announce(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        _log.info("%s", line)


def _now_s() -> int:
    return int(time.time())
