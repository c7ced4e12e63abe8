"""anbar reconcile: is what the store says so? Usage is counted anew and put right; bodies are looked at."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    CategoryOption,
    ConfigOption,
    JsonOption,
    OpenStore,
    ProjectOption,
    Refused,
    operator,
    print_json,
    print_table,
    read_settings,
    run_with_store,
)
from gateway.cli.usage import require_known

if TYPE_CHECKING:
    from gateway.objects.reconcile import BadBody
    from gateway.store.ledger import UsageRow
    from gateway.store.recount import Correction

_AMOUNTS = ("bytes", "objects", "reserved_bytes", "reserved_objects")
_PROGRESS_EVERY_S = 0.5


def reconcile(
    project: ProjectOption = None,
    category: CategoryOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; exit code 1 where there is something to correct.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Count usage anew and put it right, and look whether every object's body is at its origin, whole."""
    settings = read_settings(config)
    work = _Work(project, category, dry_run, settings.roots)
    corrections, count, bad = run_with_store(settings, work.run)
    for name in [name for name, root in settings.roots.items() if root is None]:
        print(f"origin {name}: bodies are looked at in directories only", file=sys.stderr)
    if as_json:
        print_json(_as_json(corrections, count, bad, dry_run=dry_run))
    else:
        _print(corrections, count, bad, dry_run=dry_run)
    if dry_run and corrections:
        raise typer.Exit(1)


class _Work:
    """What is done with the open store."""

    def __init__(self, project: str | None, category: str | None, dry_run: bool, roots: dict[str, Path | None]) -> None:
        self._project = project
        self._category = category
        self._dry_run = dry_run
        self._roots = roots

    async def run(self, store: OpenStore) -> tuple[list["Correction"], int, list["BadBody"]]:
        """Raises Refused: a project or category that is not there, an origin that is not the one the store knows."""
        from gateway.objects.places import confirm_origins
        from gateway.objects.reconcile import check_bodies
        from gateway.origin.errors import OriginError
        from gateway.store.recount import correct, find_corrections

        await self._require_known(store)
        try:
            await confirm_origins(store.database, self._roots)
        except OriginError as error:
            raise Refused(str(error)) from None
        corrections = await find_corrections(store.database, self._project, self._category)
        if corrections and not self._dry_run:
            corrections = await correct(store.database, operator(), int(time.time()), self._project, self._category)
        progress = _Progress()
        try:
            count, bad = await check_bodies(store.database, self._roots, progress.show, self._project, self._category)
        finally:
            progress.end()
        return corrections, count, bad

    async def _require_known(self, store: OpenStore) -> None:
        from gateway.store.buckets import Buckets

        buckets = Buckets(store.database)
        await buckets.load()
        places = [(bucket.project, bucket.category) for bucket in buckets.all()]
        if self._project is not None:
            require_known("project", self._project, [project for project, _ in places])
        if self._category is not None:
            categories = [category for project, category in places if self._project in (None, project)]
            require_known("category", self._category, categories)


class _Progress:
    """A line on standard error that is written over, for who looks at a terminal."""

    def __init__(self) -> None:
        self._wanted = sys.stderr.isatty()
        self._next_s = time.monotonic() + _PROGRESS_EVERY_S
        self._shown = False

    def show(self, count: int) -> None:
        if self._wanted and time.monotonic() >= self._next_s:
            print(f"\r{count:,} bodies looked at", end="", file=sys.stderr, flush=True)
            self._next_s = time.monotonic() + _PROGRESS_EVERY_S
            self._shown = True

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)


def _as_json(corrections: list["Correction"], count: int, bad: list["BadBody"], *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "corrections": [
            {
                "project": each.now.project,
                "category": each.now.category,
                "uploader": each.now.uploader,
                "was": {name: getattr(each.was, name) for name in _AMOUNTS},
                "is": {name: getattr(each.now, name) for name in _AMOUNTS},
            }
            for each in corrections
        ],
        "bodies": count,
        "bad_bodies": [
            {
                "bucket": each.body.bucket,
                "key": each.body.key,
                "state": each.state,
                "size": each.body.size,
                "found": each.found,
                "origin": each.body.origin,
                "location": each.body.location,
            }
            for each in bad
        ],
    }


def _print(corrections: list["Correction"], count: int, bad: list["BadBody"], *, dry_run: bool) -> None:
    if corrections:
        print("To be corrected:" if dry_run else "Corrected:")
        rows = [
            (each.now.project, each.scope, name.replace("_", " "), f"{was:,}", f"{now:,}")
            for each in corrections
            for name, was, now in _differences(each.was, each.now)
        ]
        print_table(("PROJECT", "SCOPE", "WHAT", "WAS", "IS"), rows, right=("WAS", "IS"))
    else:
        print("Usage and reservations are right.")
    print(f"{count:,} bodies looked at, {len(bad):,} of them not as they must be{':' if bad else '.'}")
    if bad:
        titles = ("BUCKET", "KEY", "STATE", "SIZE", "FOUND", "ORIGIN", "LOCATION")
        print_table(titles, map(_bad_row, bad), right=("SIZE", "FOUND"))


def _differences(was: "UsageRow", now: "UsageRow") -> list[tuple[str, int, int]]:
    found = [(name, getattr(was, name), getattr(now, name)) for name in _AMOUNTS]
    return [each for each in found if each[1] != each[2]]


def _bad_row(bad: "BadBody") -> tuple[str, ...]:
    body, found = bad.body, "" if bad.found is None else f"{bad.found:,}"
    return (body.bucket, body.key, bad.state, f"{body.size:,}", found, body.origin, body.location)
