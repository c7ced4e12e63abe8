"""anbar usage: the bytes and objects that projects, categories and uploaders hold."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Refused,
    load_installation,
    print_json,
    print_table,
    run_with_store,
)

if TYPE_CHECKING:
    from gateway.store.ledger import UsageRow

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def usage(
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Only this project.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show what each project, category and uploader holds."""
    installation = load_installation(config)
    names = [each.name for each in installation.policies.projects]
    if project is not None and project not in names:
        raise Refused(f'there is no project "{project}"; there is {", ".join(names)}')
    from gateway.store.ledger import read_usage

    rows = run_with_store(installation.settings, lambda store: read_usage(store.database, project))
    wanted = sorted({*names, *(row.project for row in rows)}) if project is None else [project]
    tree = [_project_tree(name, [row for row in rows if row.project == name]) for name in wanted]
    if as_json:
        print_json({"projects": tree})
    else:
        _print_table(tree)


def _project_tree(name: str, rows: list["UsageRow"]) -> dict[str, Any]:
    """One project as nested tables; a scope that holds nothing counts as zero."""
    categories = sorted({row.category for row in rows if row.category is not None})
    return {
        "project": name,
        **_sum(row for row in rows if row.category is None),
        "categories": [_category_tree(each, [row for row in rows if row.category == each]) for each in categories],
    }


def _category_tree(name: str, rows: list["UsageRow"]) -> dict[str, Any]:
    uploaders = [
        {"uploader": row.uploader, "bytes": row.bytes, "objects": row.objects}
        for row in rows
        if row.uploader is not None
    ]
    return {"category": name, **_sum(row for row in rows if row.uploader is None), "uploaders": uploaders}


def _sum(rows: Iterable["UsageRow"]) -> dict[str, int]:
    found = next(iter(rows), None)
    return {"bytes": found.bytes if found else 0, "objects": found.objects if found else 0}


def _print_table(tree: list[dict[str, Any]]) -> None:
    rows = [
        (*names, f"{scope['bytes']:,}", render_size(scope["bytes"]), f"{scope['objects']:,}")
        for names, scope in _scopes(tree)
    ]
    titles = ("PROJECT", "CATEGORY", "UPLOADER", "BYTES", "SIZE", "OBJECTS")
    print_table(titles, rows, right=("BYTES", "SIZE", "OBJECTS"))


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
