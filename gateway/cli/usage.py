"""anbar usage: the bytes and objects that projects, categories and uploaders hold, and how much they may."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    CategoryOption,
    ConfigOption,
    JsonOption,
    ProjectOption,
    Refused,
    load_installation,
    print_json,
    print_table,
    run_with_store,
)
from gateway.policy.model import PolicySet, Project, Quota

if TYPE_CHECKING:
    from gateway.store.ledger import UsageRow

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_NAMES = ("PROJECT", "CATEGORY", "UPLOADER")
_AMOUNTS = ("BYTES", "SIZE", "RESERVED", "LIMIT", "USED", "OBJECTS", "RESERVED", "LIMIT", "USED")


def usage(
    project: ProjectOption = None,
    category: CategoryOption = None,
    uploader: Annotated[str | None, typer.Option("--uploader", metavar="U", help="Only this uploader.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show what each project, category and uploader holds, and what the policy files allow them."""
    installation = load_installation(config)
    policies = installation.policies
    if project is not None:
        require_known("project", project, [each.name for each in policies.projects])
    from gateway.store.ledger import read_usage

    rows = run_with_store(installation.settings, lambda store: read_usage(store.database, project))
    if category is not None:
        require_known("category", category, _categories(rows, policies, project))
        rows = [row for row in rows if row.category in (None, category)]
    if uploader is not None:
        rows = [row for row in rows if row.uploader in (None, uploader)]
    tree = list(_trees(rows, policies, project, category))
    if as_json:
        print_json({"projects": tree})
    else:
        _print_table(tree)


def require_known(kind: str, name: str, names: Iterable[str]) -> None:
    """Raises Refused for what there is not."""
    known = sorted(set(names))
    if name not in known:
        raise Refused(f'there is no {kind} "{name}"; there is {", ".join(known) or "none"}')


def _categories(rows: Iterable["UsageRow"], policies: PolicySet, project: str | None) -> Iterator[str]:
    """Those of the policies, and those that clients have made."""
    for each in policies.projects:
        if project in (None, each.name):
            yield from each.categories
    yield from (row.category for row in rows if row.category is not None)


def _trees(
    rows: list["UsageRow"], policies: PolicySet, project: str | None, category: str | None
) -> Iterator[dict[str, Any]]:
    """One nested table a project; a scope that holds nothing counts as zero."""
    names = {each.name for each in policies.projects} | {row.project for row in rows}
    for name in sorted(names) if project is None else [project]:
        of_project = [row for row in rows if row.project == name]
        policy = policies.project(name) or Project(name, {}, {}, (), "")
        categories = {row.category for row in of_project if row.category is not None} | set(policy.categories)
        yield {
            "project": name,
            **_amounts((row for row in of_project if row.category is None), policy.quota),
            "categories": [
                _category_tree(each, [row for row in of_project if row.category == each], policy)
                for each in sorted(categories)
                if category in (None, each)
            ],
        }


def _category_tree(name: str, rows: list["UsageRow"], policy: Project) -> dict[str, Any]:
    found = policy.categories.get(name)
    quota, each_uploader = (found.quota, found.quota_per_uploader) if found is not None else (None, None)
    return {
        "category": name,
        **_amounts((row for row in rows if row.uploader is None), quota),
        "uploaders": [
            {"uploader": row.uploader, **_amounts([row], each_uploader)} for row in rows if row.uploader is not None
        ],
    }


def _amounts(rows: Iterable["UsageRow"], quota: Quota | None) -> dict[str, int | None]:
    row, limits = next(iter(rows), None), quota or Quota()
    return {
        "bytes": row.bytes if row else 0,
        "objects": row.objects if row else 0,
        "reserved_bytes": row.reserved_bytes if row else 0,
        "reserved_objects": row.reserved_objects if row else 0,
        "limit_bytes": limits.bytes,
        "limit_objects": limits.objects,
    }


def _print_table(tree: list[dict[str, Any]]) -> None:
    rows = [(*names, *_cells(scope)) for names, scope in _scopes(tree)]
    print_table((*_NAMES, *_AMOUNTS), rows, right=_AMOUNTS)


def _cells(scope: dict[str, Any]) -> tuple[str, ...]:
    size, limit = scope["bytes"], scope["limit_bytes"]
    count, most = scope["objects"], scope["limit_objects"]
    return (
        f"{size:,}",
        render_size(size),
        render_size(scope["reserved_bytes"]) if scope["reserved_bytes"] else "",
        "" if limit is None else render_size(limit),
        _percent(size, limit),
        f"{count:,}",
        f"{scope['reserved_objects']:,}" if scope["reserved_objects"] else "",
        "" if most is None else f"{most:,}",
        _percent(count, most),
    )


def _percent(used: int, limit: int | None) -> str:
    return "" if limit is None else f"{100 * used // limit} %"


def _scopes(tree: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    for project in tree:
        yield (project["project"], "", ""), project
        for category in project["categories"]:
            yield ("", category["category"], ""), category
            for uploader in category["uploaders"]:
                yield ("", "", uploader["uploader"]), uploader


def render_size(size: int) -> str:
    """Bytes for a reader: 1536 is "1.5 KiB"."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"
