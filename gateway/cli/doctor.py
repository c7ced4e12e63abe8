"""anbar doctor: is this installation fit to serve? One line a finding."""

import asyncio
import errno
import os
import secrets
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import typer

from gateway.cli.installation import DEFAULT_CONFIG, ConfigOption, Installation, load_installation
from gateway.cli.runtime import has_wal_reset_bug, runtime_mistakes
from gateway.config import GIB, MIB, DirectoryOriginSettings, Listen, Settings

LEAST_FREE_BYTES = 256 * MIB
LITTLE_FREE_BYTES = 5 * GIB


class Level(Enum):
    """How a check ended; only FAIL makes the command fail."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"


class Finding(NamedTuple):
    level: Level
    about: str
    text: str


def doctor(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Check the interpreter, the files, the disk and the addresses; exit 1 if anything fails."""
    failed = False
    for finding in findings(load_installation(config)):
        failed |= finding.level is Level.FAIL
        print(f"{finding.level.value:<4}  {finding.about}: {finding.text}", flush=True)
    if failed:
        raise typer.Exit(1)


def findings(installation: Installation) -> Iterator[Finding]:
    """All checks, in the order of what depends on what."""
    settings = installation.settings
    names = ", ".join(project.name for project in installation.policies.projects)
    yield Finding(Level.OK, "configuration", f"{installation.config}, projects: {names}")
    yield from check_runtime()
    yield check_sqlite(sqlite3.sqlite_version_info)
    yield check_key_ring(settings)
    yield check_store(settings)
    for name, origin in settings.origins.items():
        yield check_origin(name, origin)
    yield from check_space(settings)
    yield from check_listeners(settings)


def check_runtime() -> Iterator[Finding]:
    mistakes = runtime_mistakes()
    for mistake in mistakes:
        yield Finding(Level.FAIL, "python", mistake)
    if not mistakes:
        python = ".".join(map(str, sys.version_info[:3]))
        yield Finding(Level.OK, "python", f"{python}, aiohttp {metadata.version('aiohttp')} with its C extensions")


def check_sqlite(version: tuple[int, ...]) -> Finding:
    text = ".".join(map(str, version))
    if has_wal_reset_bug(version):
        text += ", which has the WAL-reset bug: writes of several processes are serialised by a lock file"
    return Finding(Level.OK, "sqlite", text)


def check_key_ring(settings: Settings) -> Finding:
    from gateway.store.key_ring import KeyRing, KeyRingError

    try:
        ring = KeyRing.load(settings.secrets.key_ring)
    except KeyRingError as error:
        hint = "" if settings.secrets.key_ring.exists() else "; run: anbar init"
        return Finding(Level.FAIL, "key ring", f"{error}{hint}")
    prints = ", ".join(f"{key_id} {fingerprint[:16]}…" for key_id, fingerprint in ring.fingerprints().items())
    return Finding(Level.OK, "key ring", f"{settings.secrets.key_ring}, mode 0600, {prints}")


def check_store(settings: Settings) -> Finding:
    """Read the whole store for damage, and its schema; a store that is not there is made by `serve`."""
    from gateway.store.database import Database, StoreError

    path = settings.store.path
    if not path.exists():
        return _directory_finding("store", path.parent, f"{path} is not there yet; it is made at the first start")

    async def open_and_close() -> None:
        database = await Database.open(path, check=True)
        await database.close()

    try:
        asyncio.run(open_and_close())
    except StoreError as error:
        return Finding(Level.FAIL, "store", str(error))
    return Finding(Level.OK, "store", f"{path}, undamaged, schema up to date, {path.stat().st_size:,} bytes")


def check_origin(name: str, origin: DirectoryOriginSettings) -> Finding:
    about = f"origin {name}"
    if not origin.path.exists():
        return _directory_finding(about, origin.path, f"{origin.path} is not there yet; it is made at the first start")
    finding = _directory_finding(about, origin.path, f"{origin.path} is writable and fsync works")
    if finding.level is Level.OK and not origin.durable:
        return Finding(Level.NOTE, about, "durable = false: a power cut can lose acknowledged objects")
    return finding


def _directory_finding(about: str, directory: Path, text: str) -> Finding:
    """Write and fsync a file in the directory, or in the nearest one that exists above it."""
    existing = next(folder for folder in (directory, *directory.parents) if folder.exists())
    try:
        _write_durably(existing / f".anbar-doctor-{secrets.token_hex(8)}")
    except OSError as error:
        return Finding(Level.FAIL, about, f"cannot write in {existing}: {error.strerror}")
    return Finding(Level.OK, about, text)


def _write_durably(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"anbar")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        os.unlink(file)


def check_space(
    settings: Settings, free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
) -> Iterator[Finding]:
    """The room left on each file system that grows."""
    seen = set()
    for path in (settings.store.path.parent, *(origin.path for origin in settings.origins.values())):
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        device = existing.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = free_bytes(existing)
        level = Level.FAIL if free < LEAST_FREE_BYTES else Level.NOTE if free < LITTLE_FREE_BYTES else Level.OK
        yield Finding(level, "free space", f"{free / GIB:,.1f} GiB at {existing}")


def check_listeners(settings: Settings) -> Iterator[Finding]:
    """Can the addresses be listened on? A taken one is fine when the gateway itself answers on its admin address."""
    admin = settings.server.admin_listen
    running = admin is not None and _answers_as_gateway(admin)
    for about, listen in (("listen", settings.server.listen), ("admin_listen", admin)):
        if listen is not None:
            yield _listener_finding(about, listen, running)


def _listener_finding(about: str, listen: Listen, running: bool) -> Finding:
    try:
        _bind(listen)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and running:
            return Finding(Level.OK, about, f"{listen}, in use by a running gateway")
        return Finding(Level.FAIL, about, f"{listen}: {error.strerror}")
    return Finding(Level.OK, about, f"{listen} is free")


def _bind(listen: Listen) -> None:
    [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
        listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with socket.socket(family, kind, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1)


def _answers_as_gateway(admin: Listen) -> bool:
    import http.client

    if admin.port == 0:
        return False
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=2)
    try:
        connection.request("GET", "/-/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
