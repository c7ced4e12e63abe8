"""anbar policy: the rules as files. Check them, see what they would change, apply them, take them back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli.explain import explain
from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    Installation,
    JsonOption,
    OpenStore,
    Refused,
    load_installation,
    operator,
    print_json,
    print_table,
    read_settings,
    render_time,
    run_with_store,
)
from gateway.config import ConfigError, Settings

if TYPE_CHECKING:
    from gateway.rulebook import Plan
    from gateway.store.revisions import Revision

app = typer.Typer(help="The rules: who may do what, as files.", no_args_is_help=True)
app.command("explain")(explain)
T = TypeVar("T")

AuthorOption = Annotated[
    str | None, typer.Option("--author", metavar="A", help="Who does it, for the history. Default: you.")
]
MessageOption = Annotated[str, typer.Option("--message", "-m", metavar="M", help="Why, for the history.")]
NumberArgument = Annotated[int, typer.Argument(metavar="N", min=1, help="The number of a revision.")]


@app.command()
def check(as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Read the policy files and say what is wrong with them, each mistake with its line."""
    try:
        installation = load_installation(config)
    except Refused as refusal:
        if not as_json:
            raise
        print_json({"ok": False, "mistakes": str(refusal).split("\n")})
        raise typer.Exit(1) from None
    projects = [
        {
            "project": each.name,
            "categories": len(each.categories),
            "principals": len(each.principals),
            "statements": len(each.statements),
        }
        for each in installation.policies.projects
    ]
    if as_json:
        print_json({"ok": True, "projects": projects})
        return
    for each in projects:
        counts = ", ".join(f"{each[name]} {name}" for name in ("categories", "principals", "statements"))
        print(f"ok    {each['project']}: {counts}")


@app.command()
def plan(as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Say what applying the files would change, and what stands in its way; exit 1 if it would be refused."""
    found = _with_plan(load_installation(config), _nothing_more)
    if as_json:
        print_json(_plan_as_json(found))
    else:
        _print_plan(found)
    if found.buckets.refusals:
        raise typer.Exit(1)


@app.command()
def apply(
    author: AuthorOption = None,
    message: MessageOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put the files in force, all or nothing; a running gateway follows with its next request."""
    installation = load_installation(config)

    async def work(store: OpenStore, found: "Plan") -> "tuple[Plan, int | None]":
        if found.is_empty:
            return found, None
        made = await _carry_out(store, found, author=author or operator(), comment=message, event="policy.apply")
        return found, made.revision

    found, revision = _with_plan(installation, work)
    if as_json:
        print_json({**_plan_as_json(found), "revision": found.base if revision is None else revision})
    elif revision is None:
        print(f"revision {found.base} is these files already")
    else:
        _print_plan(found)
        print(f"revision {revision} is in force")


@app.command()
def history(
    number: Annotated[int | None, typer.Argument(metavar="N", min=1, help="Show what this revision changed.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many revisions.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List what was applied, by whom and when, the newest first; or all that one revision changed."""
    settings = read_settings(config)
    if number is not None:
        found = run_with_store(settings, lambda store: _find(store, number))
        print_json(_revision_as_json(found)) if as_json else _print_revision(found)
        return
    revisions = run_with_store(settings, lambda store: store.revisions.list(limit))
    if as_json:
        print_json([_revision_as_json(each) for each in revisions])
        return
    rows = [
        (str(each.revision), render_time(each.applied_s) or "", each.author, str(len(each.changes)), each.comment)
        for each in revisions
    ]
    print_table(("REVISION", "APPLIED", "AUTHOR", "CHANGES", "COMMENT"), rows, right=("REVISION", "CHANGES"))


@app.command()
def rollback(
    number: NumberArgument,
    author: AuthorOption = None,
    message: MessageOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put an earlier revision in force again, as a new one.

    The files stay as they are, and count again once somebody has changed them.
    """
    settings = read_settings(config)
    comment = f"rollback to {number}{f': {message}' if message else ''}"

    async def work(store: OpenStore) -> "tuple[Plan, int]":
        await _find(store, number)
        found = await _plan_of_revision(store, settings, number)
        by = author or operator()
        made = await _carry_out(store, found, author=by, comment=comment, event="policy.rollback")
        return found, made.revision

    found, revision = run_with_store(settings, work)
    if as_json:
        print_json({**_plan_as_json(found), "revision": revision})
        return
    _print_plan(found)
    print(f"revision {revision} is in force: it says what revision {number} said")
    print(f"the files in {settings.policies.path} say something else; they count again once they are changed")


@app.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for an editor's completion."""
    from gateway.policy.schema import render_policy_schema

    print(render_policy_schema(), end="")


def _with_plan(installation: Installation, more: "Callable[[OpenStore, Plan], Awaitable[T]]") -> T:
    """Plan what the policy folder says, and go on with it while the store is open; raises Refused."""
    from gateway.rulebook import make_plan, read_folder
    from gateway.store.revisions import digest_of

    settings = installation.settings

    async def work(store: OpenStore) -> T:
        texts, policies = await asyncio.to_thread(read_folder, settings.policies.path, settings.origins)
        found = await make_plan(store.revisions, texts, policies, digest_of(texts), settings.origins, _now_s())
        return await more(store, found)

    try:
        return run_with_store(settings, work)
    except ConfigError as error:
        raise Refused(str(error)) from None


async def _nothing_more(_store: OpenStore, found: "Plan") -> "Plan":
    return found


async def _plan_of_revision(store: OpenStore, settings: Settings, number: int) -> "Plan":
    """What going back would change; the folder as it is now is remembered as seen. Raises Refused."""
    from gateway.rulebook import make_plan, parse_texts, read_folder
    from gateway.store.revisions import digest_of

    texts = await store.revisions.texts(number)
    latest = await store.revisions.latest()
    try:
        policies = await asyncio.to_thread(parse_texts, texts, settings.origins)
    except ConfigError as error:
        raise Refused(f"revision {number} cannot be used any more:\n{error}") from None
    try:
        seen = digest_of((await asyncio.to_thread(read_folder, settings.policies.path, settings.origins))[0])
    except ConfigError:  # broken files are no news either
        seen = latest.folder_digest if latest is not None else ""
    return await make_plan(store.revisions, texts, policies, seen, settings.origins, _now_s())


async def _carry_out(store: OpenStore, found: "Plan", *, author: str, comment: str, event: str) -> "Revision":
    from gateway.rulebook import carry_out_plan
    from gateway.store.bucket_changes import PolicyRefused
    from gateway.store.revisions import RevisionConflict

    try:
        return await carry_out_plan(store.revisions, found, author=author, comment=comment, now_s=_now_s(), event=event)
    except PolicyRefused as refusal:
        raise Refused(str(refusal)) from None
    except RevisionConflict as conflict:
        raise Refused(f"{conflict}: somebody else has applied policies meanwhile; look at the plan again") from None


async def _find(store: OpenStore, number: int) -> "Revision":
    found = await store.revisions.find(number)
    if found is None:
        raise Refused(f"there is no revision {number}; see: anbar policy history")
    return found


def _print_plan(found: "Plan") -> None:
    from gateway.policy.consequences import render_consequences

    text = render_consequences(found.changes)
    print(text.rstrip("\n") if found.changes else "the rules stay as they are")
    for bucket in found.buckets.removed:
        if not found.buckets.refusals:
            print(f"the bucket {bucket.bucket} is empty and is removed")
    for line in found.buckets.refusals:
        print(f"refused: {line}")


def _plan_as_json(found: "Plan") -> dict[str, Any]:
    from gateway.policy.consequences import to_json

    buckets = found.buckets
    return {
        "base": found.base,
        "changes": to_json(found.changes),
        "buckets": {
            "made": [each.bucket for each in buckets.made],
            "changed": [each.bucket for each in buckets.changed],
            "removed": [each.bucket for each in buckets.removed],
        },
        "refusals": list(buckets.refusals),
    }


def _revision_as_json(found: "Revision") -> dict[str, Any]:
    return {
        "revision": found.revision,
        "applied": render_time(found.applied_s),
        "author": found.author,
        "comment": found.comment,
        "changes": found.changes,
    }


def _print_revision(found: "Revision") -> None:
    print(f"revision {found.revision}, applied {render_time(found.applied_s)} by {found.author}")
    if found.comment:
        print(found.comment)
    for each in found.changes:
        print(f"{each['sign']} {each['project']}: {each['kind']} {each['name']}: {each['text']}")


def _now_s() -> int:
    return int(time.time())
