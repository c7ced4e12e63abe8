"""What the commands share: their options, the files of an installation, and how a command refuses."""

import asyncio
import getpass
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from unicodedata import category

import typer

from gateway.config import ConfigError, Settings, init_command, is_missing, load_settings, read_policy_files
from gateway.policy.documents import parse_policies
from gateway.policy.model import PolicySet, Project

if TYPE_CHECKING:
    from gateway.store.access_keys import AccessKeys
    from gateway.store.audit import Audit
    from gateway.store.database import Database
    from gateway.store.revisions import Revisions
    from gateway.store.store import Store

T = TypeVar("T")

ConfigOption = Annotated[
    Path,
    typer.Option(  # a file that may not be read is refused where it is read, as any other that is not used
        "--config", envvar="ANBAR_CONFIG", metavar="F", help="The installation's gateway.toml.", readable=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ProjectOption = Annotated[str | None, typer.Option("--project", metavar="P", help="Only this project.")]
CategoryOption = Annotated[str | None, typer.Option("--category", metavar="C", help="Only this category.")]
# Tables are as wide as their values: a cut-off access key id helps nobody.
_ANY_WIDTH = 10_000
DEFAULT_CONFIG = Path("gateway.toml")


class Refused(Exception):
    """The command does not do what it was asked; its text says why. Exit code 1."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The files of one gateway: its settings, and its policies as texts, name → text, and as what they say."""

    config: Path
    settings: Settings
    policies: PolicySet
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OpenStore:
    """The store, and what commands ask of it."""

    database: "Database"
    keys: "AccessKeys"
    revisions: "Revisions"
    audit: "Audit"


def load_installation(config: Path) -> Installation:
    """Raises Refused with every mistake of the first file that has one."""
    settings = read_settings(config)
    try:
        files = read_policy_files(settings.policies.path)
        policies = parse_policies(files, settings.origins)
    except ConfigError as error:
        raise Refused(str(error)) from None
    return Installation(config, settings, policies, {file.name: text for file, text in files.items()})


def read_settings(config: Path) -> Settings:
    """The settings alone, for what must work while the policy files are broken; raises Refused."""
    try:
        return load_settings(config)
    except ConfigError as error:
        hint = f"\nTo make a new installation, run: {init_command(config.parent)}" if is_missing(config) else ""
        raise Refused(f"{error}{hint}") from None


def require_project(policies: PolicySet, name: str) -> Project:
    """Refuse a project that no policy file is of."""
    found = policies.project(name)
    if found is None:
        known = ", ".join(sorted(each.name for each in policies.projects))
        raise Refused(f'there is no project "{name}"; there is {known}')
    return found


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[OpenStore]:
    """Open the store and the key ring, also beside a running server; raises Refused."""
    from gateway.errors import S3Error
    from gateway.store.access_keys import AccessKeys, UnknownAccessKey
    from gateway.store.audit import Audit
    from gateway.store.buckets import Buckets
    from gateway.store.database import Database, StoreError
    from gateway.store.key_ring import KeyRingError, load_key_ring
    from gateway.store.revisions import Revisions

    try:
        ring = load_key_ring(settings)
        database = await Database.open(settings.store.path)
        try:
            yield OpenStore(
                database, AccessKeys(database, ring), Revisions(database, Buckets(database)), Audit(database)
            )
        finally:
            await database.close()
    except (KeyRingError, StoreError) as error:
        raise Refused(str(error)) from None
    except UnknownAccessKey as error:
        raise Refused(f"there is no access key {error}") from None
    except S3Error as error:
        raise Refused(f"the store could not do it: {error.__cause__ or error.message}") from error


@asynccontextmanager
async def open_whole_store(settings: Settings) -> AsyncIterator["Store"]:
    """The same, with all that a gateway has of it."""
    from gateway.store.key_ring import load_key_ring
    from gateway.store.store import Store

    async with open_store(settings) as opened:
        yield Store(opened.database, load_key_ring(settings))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one piece of work, from a command."""
    return asyncio.run(work)


def run_with_store(settings: Settings, work: Callable[[OpenStore], Awaitable[T]]) -> T:
    """Run one piece of work on the open store, from a command; raises Refused."""

    async def run() -> T:
        async with open_store(settings) as store:
            return await work(store)

    return asyncio.run(run())


def operator() -> str:
    """Who runs the command, for the audit: the operating system's user, under sudo the one who called it."""
    behind = os.environ.get("SUDO_USER")
    if behind:
        return behind
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print rows under their titles, whole values in every width; `right` names the columns of numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(_on_one_line, row))
    Console(width=_ANY_WIDTH, markup=False, emoji=False, highlight=False).print(table)


def _on_one_line(text: str) -> str:
    """A value without line ends, and without what a terminal obeys."""
    return "".join(each.encode("unicode_escape").decode() if category(each) == "Cc" else each for each in text)


def render_time(epoch_s: int | None) -> str | None:
    """Seconds since the epoch as RFC 3339 text in UTC."""
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
