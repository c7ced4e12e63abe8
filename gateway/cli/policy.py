"""anbar policy: the rules as files. Check them, see what they would change, apply them, take them back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from unicodedata import category

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
T = TypeVar("T")

_LONGEST_WORDS = 500


def _check_words(words: str | None) -> str | None:
    """What is kept for good is short, and is text: no control characters, no bytes that are no UTF-8."""
    if words is not None and (len(words) > _LONGEST_WORDS or {"Cc", "Cs"} & set(map(category, words))):
        raise typer.BadParameter(f"at most {_LONGEST_WORDS} characters, on one line")
    return words


AuthorOption = Annotated[
    str | None,
    typer.Option("--author", metavar="A", help="Who does it, for the history. Default: you.", callback=_check_words),
]
MessageOption = Annotated[
    str, typer.Option("--message", "-m", metavar="M", help="Why, for the history.", callback=_check_words)
]
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
        print(f"nothing to apply: revision {found.base} says the same as these files")
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
    seen = _digest_of_folder(settings)

    async def work(store: OpenStore) -> "tuple[Plan, int | None]":
        await _find(store, number)
        found = await _plan_of_revision(store, settings, number, seen)
        if found.is_empty:
            return found, None
        by = author or operator()
        made = await _carry_out(store, found, author=by, comment=comment, event="policy.rollback")
        return found, made.revision

    found, revision = run_with_store(settings, work)
    if as_json:
        print_json({**_plan_as_json(found), "revision": found.base if revision is None else revision})
    elif revision is None:
        print(f"nothing to roll back: revision {found.base}, which is in force, says the same as revision {number}")
    else:
        _print_plan(found)
        print(f"revision {revision} is in force: it says what revision {number} said")
        _print_about_folder(settings, seen, found)


app.command("explain")(explain)


@app.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for an editor's completion."""
    from gateway.policy.schema import render_policy_schema

    print(render_policy_schema(), end="")


def _with_plan(installation: Installation, more: "Callable[[OpenStore, Plan], Awaitable[T]]") -> T:
    """Plan what the policy folder says, and go on with it while the store is open; raises Refused."""
    from gateway.rulebook import make_plan
    from gateway.store.revisions import digest_of

    settings, texts, policies = installation.settings, installation.texts, installation.policies

    async def work(store: OpenStore) -> T:
        found = await make_plan(store.revisions, texts, policies, digest_of(texts), settings.origins, _now_s())
        return await more(store, found)

    return run_with_store(settings, work)


async def _nothing_more(_store: OpenStore, found: "Plan") -> "Plan":
    return found


def _digest_of_folder(settings: Settings) -> str | None:
    """What the policy folder says now; None where it has mistakes."""
    from gateway.rulebook import read_folder
    from gateway.store.revisions import digest_of

    try:
        texts, _ = read_folder(settings.policies.path, settings.origins)
    except ConfigError:
        return None
    return digest_of(texts)


async def _plan_of_revision(store: OpenStore, settings: Settings, number: int, seen: str | None) -> "Plan":
    """What going back would change; the folder as it is now, with the digest `seen`, is old from then on.

    Raises Refused.
    """
    from gateway.rulebook import make_plan, parse_texts

    texts = await store.revisions.texts(number)
    try:
        policies = await asyncio.to_thread(parse_texts, texts, settings.origins)
    except ConfigError as error:
        raise Refused(f"revision {number} cannot be used any more:\n{error}") from None
    latest = await store.revisions.latest()
    if seen is None and latest is not None:  # when the mistakes are mended, that is news
        seen = latest.folder_digest
    return await make_plan(store.revisions, texts, policies, seen or "", settings.origins, _now_s())


def _print_about_folder(settings: Settings, seen: str | None, found: "Plan") -> None:
    """After a rollback: what the files mean from now on."""
    from gateway.store.revisions import digest_of

    folder = settings.policies.path
    if seen is None:
        print(f"the files in {folder} have mistakes: until they are mended, the gateway does not start again")
    elif seen != digest_of(found.texts):
        print(f"the files in {folder} say something else; they count again once they are changed")


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
    from gateway.policy.consequences import from_json, render_consequences

    print(f"revision {found.revision}, applied {render_time(found.applied_s)} by {found.author}")
    if found.comment:
        print(found.comment)
    print(render_consequences(from_json(found.changes)), end="")


def _now_s() -> int:
    return int(time.time())
