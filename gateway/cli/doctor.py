"""anbar doctor: is this installation fit to serve? One line a finding."""

import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Annotated

import typer

from gateway.cli.check_addresses import check_listeners, check_tls
from gateway.cli.check_disk import check_origin, check_space
from gateway.cli.check_origins import check_s3_origins
from gateway.cli.check_store import check_store
from gateway.cli.finding import Finding, Level
from gateway.cli.installation import DEFAULT_CONFIG, ConfigOption, Installation, load_installation
from gateway.cli.probe import probe_origin
from gateway.cli.runtime import has_wal_reset_bug, runtime_mistakes
from gateway.origin_settings import DirectoryOriginSettings


def doctor(
    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="NAME", help="Measure what this S3 origin can do, on scratch keys."),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            "--bucket", metavar="B", help="With --origin: in this bucket there, of those that categories use."
        ),
    ] = None,
    write_profile: Annotated[
        bool, typer.Option("--write-profile", help="With --origin: keep what was found beside the store.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --origin: print JSON, for machines.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Check the interpreter, the files, the disk, the origins and the addresses; exit 1 if anything fails."""
    if origin is not None:
        probe_origin(load_installation(config), origin, bucket, as_json=as_json, write_profile=write_profile)
        return
    if bucket is not None or write_profile or as_json:
        raise typer.BadParameter("--bucket, --write-profile and --json go with --origin")
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
    yield from check_store(installation)
    for name, origin in settings.origins.items():
        if isinstance(origin, DirectoryOriginSettings):
            yield check_origin(name, origin)
    yield from check_s3_origins(settings)
    yield from check_space(settings)
    yield from check_tls(settings.server.tls)
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
