"""Of `anbar doctor`: can the S3 origins be reached, and are there credentials for them?

An origin that does not answer now is noted and fails nothing: the gateway starts without it, serves what is cached, and
goes on when it is back. A start that waits for `anbar doctor` must not hang on it.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.cli.finding import Finding, Level
from gateway.config import Settings
from gateway.origin_settings import S3OriginSettings

MOST_S = 5.0
_FEW_DAYS = 14


@contextmanager
def origins_unlogged() -> Iterator[None]:
    """What origins would log is told by the command itself."""
    log = logging.getLogger("anbar.origin")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def check_s3_origins(settings: Settings) -> Iterator[Finding]:
    """A connection to each, no longer than some seconds; nothing is asked of them but whether they are there."""
    from gateway.startup import measured_otherwise

    for name, origin in settings.origins.items():
        if isinstance(origin, S3OriginSettings):
            yield from check_s3_origin(name, origin)
    for line in measured_otherwise(settings.store.path, settings.origins):
        about, _, text = line.partition(": ")
        yield Finding(Level.NOTE, about, text)


def check_s3_origin(name: str, settings: S3OriginSettings) -> Iterator[Finding]:
    """Its credentials, its endpoint."""
    about = f"origin {name}"
    yield _credentials(about, settings)
    yield _endpoint(about, name, settings)


def _credentials(about: str, settings: S3OriginSettings) -> Finding:
    from gateway.origin.credentials import CredentialsError, credentials_of

    try:
        with origins_unlogged():
            found = asyncio.run(credentials_of(settings).current())
    except CredentialsError as error:
        return Finding(Level.NOTE if settings.access_key_id is None else Level.FAIL, about, str(error))
    return Finding(Level.OK, about, f"there are credentials: access key id {found.access_key_id}")


def _endpoint(about: str, name: str, settings: S3OriginSettings) -> Finding:
    from gateway.origin.errors import NotReached
    from gateway.origin.providers import upstream_of
    from gateway.origin.s3.probe.reach import connect
    from gateway.startup import StartError, origin_tls

    endpoint = upstream_of(settings).endpoint
    try:
        tls = origin_tls(name, settings)
        most_s = min(settings.connect_timeout_s, MOST_S)
        found = asyncio.run(connect(endpoint.host, endpoint.port, tls, most_s))
    except StartError as error:
        return Finding(Level.FAIL, about, str(error).removeprefix(f"{about}: "))
    except NotReached as error:
        return Finding(Level.NOTE, about, f"{endpoint} cannot be reached: {error}")
    soon = found.days_left is not None and found.days_left <= _FEW_DAYS
    how = f"connected in {found.milliseconds} ms{', ' if found.tls else ''}{found.tls}"
    text = f"{endpoint}, {how}; what it can do tells: anbar doctor --origin {name}"
    return Finding(Level.NOTE if soon else Level.OK, about, text)
