"""Before the first request: what must hold of files, keys, directories and addresses, each refusal with its reason."""

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from enum import Enum, unique
from pathlib import Path
from typing import NoReturn

from cryptography import x509

from gateway.budget import MemoryBudget
from gateway.cache.board import Board, board_path
from gateway.cache.media import MediaCache
from gateway.cache.tiers import Tiers
from gateway.config import Cache, Listen, Settings, Tls
from gateway.objects.background import Background
from gateway.objects.collector import Collector
from gateway.objects.locks import KeyedLocks
from gateway.objects.places import confirm_origins, remember_origins
from gateway.objects.rooms import Rooms
from gateway.origin.base import Origin
from gateway.origin.credentials import credentials_of
from gateway.origin.directory import DirectoryOrigin
from gateway.origin.directory_survey import DirectorySurvey
from gateway.origin.http_client import Deadlines
from gateway.origin.profile_file import read_differences
from gateway.origin.providers import bucket_region, upstream_of
from gateway.origin.read_locks import ReadLocks
from gateway.origin.s3.origin import S3Origin
from gateway.origin.s3.session import Session
from gateway.origin.survey import Survey
from gateway.origin_settings import DirectoryOriginSettings, OriginSettings, S3OriginSettings
from gateway.policy.model import PolicySet
from gateway.store.buckets import Bucket
from gateway.store.store import Store
from gateway.stream_memory import StreamMemory
from gateway.threads import Threads

_log = logging.getLogger("anbar")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SURVEY_THREADS = 2
_HASHING_THREADS = 2
_KEPT_PART = 8  # of the memory of bodies, for documents: all else goes on without
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class StartError(Exception):
    """The gateway cannot start; the text says why."""


class TlsError(Exception):
    """The files of `[server] tls` cannot be served with; the text names the file."""


@unique
class Caching(Enum):
    """What a process has to do with the cache."""

    OFF = "nothing"
    SERVING = "it keeps what its clients read"
    WARMING = "it reads so that others find it on disk"


@contextlib.asynccontextmanager
async def open_rooms(settings: Settings, store: Store, *, caching: Caching = Caching.OFF) -> AsyncIterator[Rooms]:
    """What operations on objects need; at the end it waits for what they have begun, and closes the origins.

    Raises StartError; OriginError: an origin is another one, or not there.
    """
    background, hashing, memory = Background(), Threads(_HASHING_THREADS, "hash"), StreamMemory()
    share = settings.limits.memory_budget // settings.server.worker_count
    budget = MemoryBudget(share, share // _KEPT_PART)
    origins: dict[str, Origin] = {}
    board = Board(board_path(settings.store.path) if caching is not Caching.OFF else None)
    tiers = _open_tiers(settings.cache, board, budget, background, write_through=caching is Caching.WARMING)
    try:
        await confirm_origins(store.database, settings.roots)
        for name, origin in settings.origins.items():
            origins[name] = open_origin(name, origin, store.database.runs, memory=memory)
        await remember_origins(store.database, settings.roots)
        if caching is not Caching.OFF and _has_s3(settings):
            if caching is Caching.SERVING:
                board.join()
            await tiers.start(survey=caching is Caching.SERVING)
            for name, origin in settings.origins.items():
                if isinstance(origin, S3OriginSettings):
                    origins[name] = MediaCache(origins[name], tiers)
        yield Rooms(
            store=store,
            origins=origins,
            limits=settings.limits,
            background=background,
            collector=Collector(store.catalog, origins, background, now_s, store.database.runs),
            budget=budget,
            now_s=now_s,
            hashing=hashing,
            locks=KeyedLocks(store.database.runs),
            stream_memory=memory,
        )
    finally:
        await background.close(settings.limits.drain_s)
        for opened in origins.values():
            await opened.close()
        await tiers.close()
        board.close()
        await hashing.close()


def _open_tiers(
    settings: Cache, board: Board, budget: MemoryBudget, background: Background, *, write_through: bool
) -> Tiers:
    return Tiers(
        board,
        budget,
        background.start,
        now_s,
        memory_bytes=settings.memory_bytes,
        path=settings.path,
        max_bytes=settings.max_bytes,
        write_through=write_through,
    )


def _has_s3(settings: Settings) -> bool:
    return any(isinstance(origin, S3OriginSettings) for origin in settings.origins.values())


def now_s() -> int:
    """Seconds since the epoch."""
    return int(time.time())


def open_origin(
    name: str, settings: OriginSettings, read_locks: ReadLocks | None = None, *, memory: StreamMemory | None = None
) -> Origin:
    """An origin that can be used, beside other processes with the same `read_locks` or alone; raises StartError."""
    if isinstance(settings, S3OriginSettings):
        return open_s3_origin(name, settings, memory)
    return _open_directory(name, settings, read_locks)


@contextlib.asynccontextmanager
async def open_surveys(settings: Settings) -> AsyncIterator[dict[str, Survey]]:
    """What lies at the origins, looked at beside a gateway that may be serving; raises StartError."""
    threads = Threads(_SURVEY_THREADS, "survey")
    opened: list[S3Origin] = []
    surveys: dict[str, Survey] = {}
    try:
        for name, origin in settings.origins.items():
            if isinstance(origin, S3OriginSettings):
                opened.append(open_s3_origin(name, origin))
                surveys[name] = opened[-1].survey
            else:
                surveys[name] = DirectorySurvey(origin.path, threads)
        yield surveys
    finally:
        for each in opened:
            await each.close()
        await threads.close()


def open_s3_origin(name: str, settings: S3OriginSettings, memory: StreamMemory | None = None) -> S3Origin:
    """An S3 origin, which need not answer now; raises StartError: its certificates cannot be read.

    `memory`: out of which its bodies come, where that is not its own.
    """
    upstream = upstream_of(settings)
    tls = origin_tls(name, settings)
    session = Session(
        name,
        upstream,
        credentials_of(settings),
        deadlines=Deadlines(settings.connect_timeout_s, settings.first_byte_timeout_s, settings.gap_timeout_s),
        whole_s=settings.whole_timeout_s,
        retries=settings.retries,
        most_connections=settings.max_connections,
        tls=tls,
        memory=memory,
    )
    return S3Origin(session, upstream.profile, sign_bodies=tls is None, bucket_region=bucket_region(upstream))


def origin_tls(name: str, settings: S3OriginSettings) -> ssl.SSLContext | None:
    """What an endpoint's certificate is checked with; None: it is plain HTTP. Raises StartError."""
    if upstream_of(settings).endpoint.scheme != "https":
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except ssl.SSLError as error:
        raise StartError(f"origin {name}: ca_file {settings.ca_file}: no PEM certificates are in it") from error
    except OSError as error:
        raise StartError(f"origin {name}: ca_file {settings.ca_file}: {error.strerror}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def measured_otherwise(store: Path, origins: Mapping[str, OriginSettings]) -> Iterator[str]:
    """Where the profiles that `anbar doctor` has written say something else of origins than the settings."""
    for name, settings in origins.items():
        if not isinstance(settings, S3OriginSettings):
            continue
        try:
            when, found = read_differences(store, name, settings)
        except ValueError as error:
            yield f"origin {name}: {error}"
            continue
        if found:
            told = ", ".join(f"{flag} = {str(value).lower()}" for flag, value in found.items())
            yield f"origin {name}: the settings are not what was measured on {when}: {told}"


def _open_directory(name: str, settings: DirectoryOriginSettings, read_locks: ReadLocks | None) -> Origin:
    """An origin in whose directory a file could be made; raises StartError."""
    try:
        opened = DirectoryOrigin(settings.path, read_locks, durable=settings.durable, group_read=settings.group_read)
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


async def check_seals(store: Store, key_ring: Path) -> None:
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
            yield bucket.bucket, f"its {place} is in no policy file; see anbar policy plan"
        if bucket.origin not in origins:
            yield bucket.bucket, f"its origin {bucket.origin} is not configured"


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


@contextlib.contextmanager
def listening(listen: Listen, key: str, section: str = "server") -> Iterator[None]:
    """Say which address cannot be had and where it comes from; raises StartError."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise StartError(f"cannot listen on {listen} ([{section}] {key}): {address_error(error)}") from error


def address_error(error: OSError | UnicodeError) -> str:
    """Why an address cannot be had; the loop's own texts repeat the address."""
    if isinstance(error, UnicodeError):
        return "not a host name"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)


@contextlib.contextmanager
def only_server_of(store: Path) -> Iterator[int]:
    """Hold the lock that one gateway has; its descriptor may go to processes that are part of it. Raises StartError."""
    store.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(_serving_lock(store), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another process serves from {store}") from None
        yield fd
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
