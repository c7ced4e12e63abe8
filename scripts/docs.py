"""Write the generated parts of docs/ and the policy files' schema anew: python -m scripts.docs [--check].

A page keeps its prose; what stands between `<!-- generated: NAME -->` and `<!-- end -->` comes from the code.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.config import Cache, Limits, Log, Nginx, Policies, Secrets, Server, Store
from gateway.metrics import METRICS, Metric, told_by_libraries
from gateway.origin.providers import PROVIDERS
from gateway.origin_settings import DirectoryOriginSettings, OriginCapabilities, S3OriginSettings
from gateway.policy.schema import render_policy_schema
from gateway.policy.tables import (
    CacheDocument,
    CategoryDocument,
    CorsDocument,
    PrincipalDocument,
    ProjectDocument,
    QuotaDocument,
    StatementDocument,
)
from gateway.s3.operations import OPERATIONS, Operation, Support, actions_of
from gateway.web.access_log import FIELDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SCHEMA = ROOT / "policies" / "policy.schema.json"
_PART = re.compile(r"(<!-- generated: ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SIZE_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"))
_SIZES = {"max_object_size", "small_body", "memory_budget", "max_bytes", "memory_bytes"}


def table_of(model: type[BaseModel]) -> str:
    """The keys of one TOML table: name, default, meaning."""
    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        rows.append(f"| `{name}` | {_default(name, field)} | {_cell(field.description or '')} |")
    return "\n".join(rows) + "\n"


def _default(name: str, field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined:
        return "*required*"
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name in _SIZES:
        return f'`"{_size(value)}"`'
    if isinstance(value, int | float):
        return f"`{value:g}`"
    if isinstance(value, tuple | dict | OriginCapabilities):
        return "none"
    return f'`"{value}"`'


def _size(size: int) -> str:
    for unit, name in _SIZE_UNITS:
        if size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def providers_table() -> str:
    """What each provider is known to do, by the key that says otherwise."""
    rows = [f"| key | {' | '.join(PROVIDERS)} | meaning |", "| --- " * (len(PROVIDERS) + 2) + "|"]
    for name, field in OriginCapabilities.model_fields.items():
        known = " | ".join("yes" if getattr(provider, name) else "no" for provider in PROVIDERS.values())
        rows.append(f"| `{name}` | {known} | {_cell(field.description or '')} |")
    return "\n".join(rows) + "\n"


def operations_table(support: Support) -> str:
    """The rows of the operations table that are supported in one way, in their order."""
    rows = ["| operation | request | policy action | note |", "| --- | --- | --- | --- |"]
    rows += [_operation_row(row) for row in OPERATIONS if row.support is support]
    return "\n".join(dict.fromkeys(rows)) + "\n"


def _operation_row(row: Operation) -> str:
    path = {"service": "/", "bucket": "/BUCKET", "object": "/BUCKET/KEY"}[row.on]
    query = "&".join(name if value is None else f"{name}={value}" for name, value in row.query)
    request = f"`{row.method} {path}{'?' if query else ''}{query}`" + (f" with `{row.header}`" if row.header else "")
    note = f"answers `{row.unset.name}`" if row.unset else row.note
    actions = ", ".join(f"`{action}`" for action in actions_of(row, versioned=False))
    return f"| {row.name} | {request} | {actions} | {_cell(note)} |"


def summary() -> str:
    """How many operations there are of each kind."""
    names = {support: len({row.name for row in OPERATIONS if row.support is support}) for support in Support}
    return (
        f"{names[Support.FULL]} operations are done, {names[Support.UNSET]} are answered as S3 answers where the "
        f"thing was never set, and {names[Support.NO]} are refused with `501 NotImplemented`.\n"
    )


def metrics_table(metrics: Iterable[Metric]) -> str:
    """Names, kinds, labels and what they say."""
    rows = ["| metric | kind | labels | what it says |", "| --- | --- | --- | --- |"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {_cell(metric.help)} |")
    return "\n".join(rows) + "\n"


def fields_table() -> str:
    """What stands in a line of the access log."""
    rows = ["| field | what it says |", "| --- | --- |"]
    rows += [f"| `{name}` | {_cell(text)} |" for name, text in FIELDS]
    return "\n".join(rows) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "server": lambda: table_of(Server),
    "store": lambda: table_of(Store),
    "secrets": lambda: table_of(Secrets),
    "origin-directory": lambda: table_of(DirectoryOriginSettings),
    "origin-s3": lambda: table_of(S3OriginSettings),
    "origin-providers": providers_table,
    "policies": lambda: table_of(Policies),
    "cache-settings": lambda: table_of(Cache),
    "limits": lambda: table_of(Limits),
    "log": lambda: table_of(Log),
    "access-log": fields_table,
    "metrics": lambda: metrics_table(METRICS),
    "metrics-process": lambda: metrics_table(told_by_libraries()),
    "nginx": lambda: table_of(Nginx),
    "project": lambda: table_of(ProjectDocument),
    "category": lambda: table_of(CategoryDocument),
    "principal": lambda: table_of(PrincipalDocument),
    "quota": lambda: table_of(QuotaDocument),
    "cache": lambda: table_of(CacheDocument),
    "statement": lambda: table_of(StatementDocument),
    "cors": lambda: table_of(CorsDocument),
    "operations-summary": summary,
    "operations-done": lambda: operations_table(Support.FULL),
    "operations-unset": lambda: operations_table(Support.UNSET),
    "operations-refused": lambda: operations_table(Support.NO),
}


def render(text: str) -> str:
    """A page with its generated parts as they should be; raises KeyError for a part nobody makes."""
    return _PART.sub(lambda found: found[1] + PARTS[found[2]]() + found[3], text)


def parts_of(text: str) -> list[str]:
    return [name for _, name, _ in _PART.findall(text)]


def stale_pages() -> Iterator[tuple[Path, str]]:
    """The files that are not what the code says, in their generated parts or as a whole, with what they should be."""
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        wanted = render(text)
        if wanted != text:
            yield page, wanted
    schema = render_policy_schema()
    if not SCHEMA.exists() or SCHEMA.read_text(encoding="utf-8") != schema:
        yield SCHEMA, schema


def main(arguments: list[str]) -> int:
    stale = list(stale_pages())
    for page, wanted in stale:
        print(page.relative_to(ROOT))
        if "--check" not in arguments:
            page.write_text(wanted, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
