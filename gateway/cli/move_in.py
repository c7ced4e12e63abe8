"""anbar import: objects of a bucket at an origin are stored in a category, each verified, none replaced."""

import re
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    Installation,
    JsonOption,
    Refused,
    load_installation,
    open_whole_store,
    operator,
    print_json,
    print_table,
    run,
)
from gateway.cli.progress import Progress
from gateway.origin_settings import S3OriginSettings
from gateway.policy.end_users import ADOPTED, is_end_user
from gateway.policy.model import Category

if TYPE_CHECKING:
    from gateway.objects.imports import Imported, Source

_SOURCE = re.compile(r"s3://([^/]+)(?:/(.*))?", re.DOTALL)
_MOST_SHOWN = 200
_TROUBLE = ("differs", "refused", "failed")
_MEANING = {
    "imported": "stored here",
    "already here": "passed over",
    "differs": "something else is here under this key; it stays",
    "refused": "the category's limits or S3's rules do not let them in",
    "failed": "could not be read; run the command again",
}


def move_in(
    source: Annotated[
        str, typer.Argument(metavar="s3://BUCKET[/PREFIX]", help="What is imported; keys lose the prefix.")
    ],
    from_origin: Annotated[str, typer.Option("--from", metavar="ORIGIN", help="The S3 origin that has it.")],
    to_category: Annotated[
        str, typer.Option("--to", metavar="CATEGORY", help="Where it goes: CATEGORY or PROJECT/CATEGORY.")
    ],
    uploader: Annotated[
        str | None,
        typer.Option("--uploader", metavar="U", help="Whose they are where they do not say so; default: the admins'."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be imported.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy a bucket, or a part of it, into a category; goes on where it was cut off, and verifies what it can."""
    installation = load_installation(config)
    bucket, prefix = _parse(source)
    if not isinstance(installation.settings.origins.get(from_origin), S3OriginSettings):
        known = ", ".join(n for n, o in installation.settings.origins.items() if isinstance(o, S3OriginSettings))
        raise Refused(f'"{from_origin}" is no S3 origin of gateway.toml; there is {known or "none"}')
    if uploader is not None and not is_end_user(uploader):
        raise Refused(f'"{uploader}" is no name that an uploader can have')
    category = find_category(installation, to_category)
    from gateway.objects.imports import Source

    done: list[Imported] = []
    place = Source(from_origin, bucket, prefix)
    try:
        run(_import(installation, place, category, uploader or ADOPTED, done, dry_run=dry_run))
    except (Refused, KeyboardInterrupt):
        if done:
            _tell(done, dry_run=dry_run, as_json=as_json)
        raise
    _tell(done, dry_run=dry_run, as_json=as_json)
    if any(each.state in ("refused", "failed") for each in done):
        raise typer.Exit(1)


def _parse(source: str) -> tuple[str, str]:
    found = _SOURCE.fullmatch(source)
    if found is None:
        raise typer.BadParameter("like s3://old-bucket/pictures/", param_hint="s3://BUCKET[/PREFIX]")
    return found[1], found[2] or ""


def find_category(installation: Installation, name: str) -> Category:
    """Raises Refused: there is none of this name, or more than one."""
    project, _, category = name.rpartition("/")
    projects = installation.policies.projects
    found = [each.categories[category] for each in projects if category in each.categories]
    found = [each for each in found if project in ("", each.project)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted(f"{each.name}/{one}" for each in projects for one in each.categories))
    raise Refused(f'there is {"no" if not found else "more than one"} category "{name}"; there is {known}')


async def _import(
    installation: Installation,
    source: "Source",
    category: Category,
    uploader: str,
    done: list["Imported"],
    *,
    dry_run: bool,
) -> None:
    """What became of each object is added to `done`, and recorded also where this is cut off; raises Refused."""
    from gateway.objects.imports import Destination, import_objects
    from gateway.origin.errors import OriginError
    from gateway.rulebook import allowance_of
    from gateway.startup import StartError, now_s, open_rooms
    from gateway.store.audit import AuditEntry, Detail

    progress = Progress()
    try:
        async with (
            open_whole_store(installation.settings) as store,
            open_rooms(installation.settings, store) as rooms,
        ):
            await store.buckets.load()
            bucket = store.buckets.find(category.bucket)
            if bucket is None:
                raise Refused(f"the bucket {category.bucket} is not made yet; run anbar policy apply")
            destination = Destination(
                bucket,
                uploader,
                allowance_of(installation.policies, bucket),
                category.content_types,
                category.max_object_size,
            )

            def told(count: int, moved: int) -> None:
                progress.show(f"{count:,} objects looked at, {moved:,} bytes stored")

            try:
                async with aclosing(import_objects(rooms, source, destination, told, dry_run=dry_run)) as imported:
                    async for each in imported:
                        done.append(each)  # noqa: PERF401  (extend would lose all of it in a cut)
            finally:
                if done and not dry_run:
                    details: dict[str, Detail] = {**_counts(done)}
                    place = f"s3://{source.bucket}/{source.prefix} at {source.origin} → {bucket.bucket}"
                    entry = AuditEntry(now_s(), operator(), "import", bucket.project, place, details)
                    await store.audit.record([entry])
    except (OriginError, StartError) as error:
        raise Refused(str(error)) from None
    finally:
        progress.end()


def _tell(done: list["Imported"], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "objects": [_as_json(each) for each in done]})
    else:
        _print(done, dry_run=dry_run)


def _counts(done: list["Imported"]) -> Counter[str]:
    return Counter(each.state for each in done)


def _as_json(each: "Imported") -> dict[str, Any]:
    return {"key": each.key, "state": each.state, "size": each.size, "verified": each.verified, "why": each.why}


def _print(done: list["Imported"], *, dry_run: bool) -> None:
    trouble = [each for each in done if each.state in _TROUBLE]
    if trouble:
        rows = [(each.key, each.state, f"{each.size:,}", each.why) for each in trouble[:_MOST_SHOWN]]
        print_table(("KEY", "STATE", "SIZE", "WHY"), rows, right=("SIZE",))
    if len(trouble) > _MOST_SHOWN:
        print(f"… and {len(trouble) - _MOST_SHOWN:,} more; --json tells all of them.")
    for state, count in _counts(done).items():
        meaning = "would be stored here" if dry_run and state == "imported" else _MEANING[state]
        print(f"{count:,} {state}: {meaning}.")
    stored = [each for each in done if each.state == "imported"]
    if stored and not dry_run:
        verified = sum(each.verified for each in stored)
        size = sum(each.size for each in stored)
        print(f"{size:,} bytes; {verified:,} of {len(stored):,} objects were held against the source's MD5.")
    if not done:
        print("There is nothing to import.")
