"""anbar reconcile: is what the store says so? What lies at the origins is held against it, and usage counted anew."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    CategoryOption,
    ConfigOption,
    Installation,
    JsonOption,
    OpenStore,
    ProjectOption,
    Refused,
    load_installation,
    operator,
    print_json,
    print_table,
    run_with_store,
)
from gateway.cli.progress import Progress
from gateway.cli.usage import require_known

if TYPE_CHECKING:
    from gateway.objects.drift import Drift, Wanted
    from gateway.objects.reconcile import BadBody
    from gateway.store.ledger import UsageRow
    from gateway.store.recount import Correction

_AMOUNTS = ("bytes", "objects", "reserved_bytes", "reserved_objects")
_MOST_SHOWN = 200
_MENDED = ("restored", "changed")
_MEANING = {
    "restored": "stored through here, and in no row any more; made again from the origin.",
    "adopted": "put there by others, and taken in; they belong to the admins.",
    "unknown": "put there by others and left alone; --adopt takes them in.",
    "changed": "replaced at the origin by others; the catalog follows.",
    "left over": "replaced or never finished, and still at the origin; nothing refers to them.",
    "missing": "in the catalog, and not at the origin; --forget-missing drops them.",
}


def reconcile(
    project: ProjectOption = None,
    category: CategoryOption = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take in what others have put at the origins; it belongs to the admins.")
    ] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="Drop objects whose bodies are gone, and give back their room.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; exit code 1 where there is something to correct.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Make lost rows of the catalog again from the origins, tell what differs, and count usage anew."""
    from gateway.objects.drift import Wanted

    installation = load_installation(config)
    work = _Work(installation, project, category, Wanted(adopt, forget_missing, dry_run))
    found = run_with_store(installation.settings, work.run)
    if as_json:
        print_json(_as_json(found, dry_run=dry_run))
    else:
        _print(found, dry_run=dry_run)
    if dry_run and (found.corrections or any(drift.state in _MENDED for drift in found.drifts)):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a reconciliation has seen and done. `count` is of the bodies of objects that directories were asked for."""

    drifts: list["Drift"]
    corrections: list["Correction"]
    count: int
    bad: list["BadBody"]


class _Work:
    """What is done with the open store."""

    def __init__(self, installation: Installation, project: str | None, category: str | None, wanted: "Wanted") -> None:
        self._installation = installation
        self._project = project
        self._category = category
        self._wanted = wanted
        self._roots = installation.settings.roots

    async def run(self, store: OpenStore) -> _Found:
        """Raises Refused: a project or category that is not there, an origin that is not the one the store knows."""
        from gateway.objects.places import confirm_origins
        from gateway.objects.reconcile import check_bodies
        from gateway.origin.errors import OriginError
        from gateway.store.recount import correct, find_corrections

        await self._make_buckets(store)
        await self._require_known(store)
        try:
            await confirm_origins(store.database, self._roots)
            drifts = await self._search(store)
        except OriginError as error:
            raise Refused(str(error)) from None
        corrections = await find_corrections(store.database, self._project, self._category)
        if corrections and not self._wanted.dry_run:
            corrections = await correct(store.database, operator(), int(time.time()), self._project, self._category)
        progress = Progress()
        try:
            count, bad = await check_bodies(
                store.database, self._roots, _looked_at(progress), self._project, self._category
            )
        finally:
            progress.end()
        return _Found(drifts, corrections, count, bad)

    async def _make_buckets(self, store: OpenStore) -> None:
        """A store that was lost has none until the policies are applied, and no row can be made without."""
        from gateway.rulebook import apply_folder

        settings = self._installation.settings
        if await store.revisions.latest() is None and not self._wanted.dry_run:
            await apply_folder(
                store.revisions,
                settings.policies.path,
                settings.origins,
                author=operator(),
                comment="applied to a new store",
                now_s=int(time.time()),
            )

    async def _search(self, store: OpenStore) -> list["Drift"]:
        """Raises OriginError: an origin cannot be asked."""
        from gateway.objects.drift import DriftSearch
        from gateway.startup import open_surveys
        from gateway.store.adopted import Adoptions
        from gateway.store.buckets import Buckets
        from gateway.store.catalog import Catalog

        buckets = Buckets(store.database)
        await buckets.load()
        adoptions = Adoptions(store.database, Catalog(store.database))
        progress = Progress()
        found: list[Drift] = []
        async with open_surveys(self._installation.settings) as surveys:
            search = DriftSearch(surveys, adoptions, self._wanted, lambda: int(time.time()), _looked_at(progress))
            try:
                for bucket in sorted(buckets.all(), key=lambda each: each.bucket):
                    if self._is_asked(bucket.project, bucket.category) and bucket.origin in surveys:
                        found += await search.search(bucket)
            finally:
                progress.end()
        return found

    def _is_asked(self, project: str, category: str) -> bool:
        return self._project in (None, project) and self._category in (None, category)

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


def _looked_at(progress: Progress) -> Callable[[int], None]:
    return lambda count: progress.show(f"{count:,} bodies looked at")


def _as_json(found: _Found, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "drift": [
            {
                "bucket": each.bucket,
                "key": each.key,
                "state": each.state,
                "owner": each.owner,
                "size": each.size,
                "location": each.location,
                "done": each.done,
            }
            for each in found.drifts
        ],
        "corrections": [
            {
                "project": each.now.project,
                "category": each.now.category,
                "uploader": each.now.uploader,
                "was": {name: getattr(each.was, name) for name in _AMOUNTS},
                "is": {name: getattr(each.now, name) for name in _AMOUNTS},
            }
            for each in found.corrections
        ],
        "bodies": found.count,
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
            for each in found.bad
        ],
    }


def _print(found: _Found, *, dry_run: bool) -> None:
    corrections, count, bad = found.corrections, found.count, found.bad
    _print_drifts(found.drifts)
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


def _print_drifts(drifts: list["Drift"]) -> None:
    if not drifts:
        print("The catalog and the origins agree.")
        return
    rows = [
        (each.bucket, each.key, each.state, "yes" if each.done else "no", each.owner, f"{each.size:,}", each.location)
        for each in drifts[:_MOST_SHOWN]
    ]
    print_table(("BUCKET", "KEY", "STATE", "FOLLOWED", "OWNER", "SIZE", "LOCATION"), rows, right=("SIZE",))
    if len(drifts) > _MOST_SHOWN:
        print(f"… and {len(drifts) - _MOST_SHOWN:,} more; --json tells all of them.")
    for state, count in Counter(each.state for each in drifts).items():
        print(f"{count:,} {state}: {_MEANING[state]}")


def _differences(was: "UsageRow", now: "UsageRow") -> list[tuple[str, int, int]]:
    found = [(name, getattr(was, name), getattr(now, name)) for name in _AMOUNTS]
    return [each for each in found if each[1] != each[2]]


def _bad_row(bad: "BadBody") -> tuple[str, ...]:
    body, found = bad.body, "" if bad.found is None else f"{bad.found:,}"
    return (body.bucket, body.key, bad.state, f"{body.size:,}", found, body.origin, body.location)
