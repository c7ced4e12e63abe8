"""anbar audit: who changed policies and keys, and what was denied."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    print_json,
    print_table,
    read_settings,
    render_time,
    run_with_store,
)

if TYPE_CHECKING:
    from gateway.store.audit import Detail, Recorded


def audit(
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Only this project's.")] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="E", help='Only these, such as "key.create".')] = None,
    after: Annotated[
        int | None, typer.Option("--after", metavar="ID", min=0, help="What came after this entry.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many entries.")] = 100,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print the last entries of the audit, the newest at the end; nothing is ever taken out of it."""
    settings = read_settings(config)
    entries = run_with_store(
        settings, lambda store: store.audit.list(project=project, event=event, after_id=after, limit=limit)
    )
    if as_json:
        print_json([_as_json(each) for each in entries])
        return
    print_table(("ID", "TIME", "ACTOR", "EVENT", "PROJECT", "SUBJECT", "DETAILS"), map(_row, entries), right=("ID",))


def _as_json(recorded: "Recorded") -> dict[str, object]:
    entry = recorded.entry
    return {
        "id": recorded.id,
        "time": render_time(entry.time_s),
        "actor": entry.actor,
        "event": entry.event,
        "project": entry.project,
        "subject": entry.subject,
        "details": dict(entry.details),
    }


def _row(recorded: "Recorded") -> tuple[str, ...]:
    entry = recorded.entry
    time = render_time(entry.time_s) or ""
    details = ", ".join(_detail(*each) for each in entry.details.items() if each[1] not in ("", None))
    return (str(recorded.id), time, entry.actor, entry.event, entry.project or "", entry.subject, details)


def _detail(name: str, value: "Detail") -> str:
    if name.endswith("_s") and isinstance(value, int):
        return f"{name.removesuffix('_s')} {render_time(value)}"
    return f"{name} {value}"
