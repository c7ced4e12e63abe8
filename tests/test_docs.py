"""The documentation says what the code does."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from gateway import __version__
from gateway.config import Settings
from gateway.metrics import all_metrics
from gateway.policy.tables import ProjectDocument
from gateway.web import logs
from gateway.web.access_log import FIELDS
from scripts.docs import DOCS, PARTS, parts_of, render, stale_pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(DOCS.glob("*.md")),
    ROOT / "README.md",
    *sorted((ROOT / "deploy").rglob("README.md")),
    ROOT / "CHANGELOG.md",
]
METRIC = re.compile(r"\banbar_[a-z_]+_(?:total|seconds|bytes|objects)\b")


def test_the_generated_parts_are_current():
    assert [page.name for page, _ in stale_pages()] == [], "run: make docs"


def test_every_part_is_on_some_page():
    assert {name for page in PAGES for name in parts_of(page.read_text(encoding="utf-8"))} == set(PARTS)


def test_every_section_of_the_configuration_has_its_part():
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for section in Settings.model_fields:
        assert re.search(rf"^### `\[{section}(\.NAME)?\]`$", page, re.MULTILINE), section


def tables_within(table: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A table of settings and every table that a value in it may be."""
    yield table
    for field in table.model_fields.values():
        for inner in tables_of(field.annotation):
            yield from tables_within(inner)


def tables_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from tables_of(inner)


ONE_TEXT = ("Listen", "Endpoint")  # tables that a file writes as one text: "HOST:PORT", "https://HOST:PORT"


def keys_of(document: type[BaseModel]) -> list[str]:
    """TABLE.KEY of every table within; the sections of a whole file are looked for above."""
    tables = {table for table in tables_within(document) if table.__name__ not in ("Settings", *ONE_TEXT)}
    return sorted(f"{table.__name__}.{key}" for table in tables for key in table.model_fields)


SETTINGS, POLICIES = keys_of(Settings), keys_of(ProjectDocument)


@pytest.mark.parametrize("setting", [*SETTINGS, *POLICIES])
def test_the_configuration_page_names_every_setting(setting):
    key = setting.rpartition(".")[2]
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{key}` \| .+ \| \S.+ \|$", page, re.MULTILINE) or re.search(
        rf"`[^`]*\b{key} = [^`]*`", page
    )


def test_the_settings_that_are_looked_for_are_those_of_all_tables():
    assert {"Server.listen", "Tls.key", "S3OriginSettings.endpoint", "Log.access", "Limits.drain_s"} <= set(SETTINGS)
    assert {"CategoryDocument.quota", "QuotaDocument.bytes", "StatementDocument.effect"} <= set(POLICIES)


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.name)
def test_the_metrics_page_names_every_metric_with_its_labels(metric):
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"^\| `{metric.name}` \| .*$", page, re.MULTILINE)
    assert all(f"`{label}`" in row for label in metric.labels)


@pytest.mark.parametrize("field", [name for name, _ in FIELDS])
def test_the_operations_page_names_every_field_of_the_access_log(field):
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{field}` \| \S.+ \|$", page, re.MULTILINE)


@pytest.mark.parametrize("field", logs.FIELDS)
def test_the_operations_page_names_every_field_of_the_log(field):
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert f"`{field}`" in page.partition("## The log")[2].partition("| line |")[0]


@pytest.mark.parametrize("name", sorted({name for page in PAGES for name in METRIC.findall(page.read_text("utf-8"))}))
def test_no_page_names_a_metric_that_is_not_there(name):
    names = {metric.name for metric in all_metrics()}
    assert name in names or re.sub(r"_(bucket|sum|count)$", "", name) in names


def test_an_unknown_part_is_an_error():
    with pytest.raises(KeyError):
        render("<!-- generated: nothing -->\n<!-- end -->")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_changelog_knows_the_version():
    assert f"\n## {__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_pinned_requirements_name_no_index_and_no_path():
    for name in ("requirements.txt", "requirements-traces.txt", "requirements-test.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"://|--index|--find-links|--trusted|(?<![\w.])/\w+/", text), name
        assert "--hash=sha256:" in text


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, needed in (
        ("requirements.txt", project["dependencies"]),
        ("requirements-traces.txt", project["optional-dependencies"]["traces"]),
    ):
        pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        assert {re.split(r"[<>=]", each)[0] for each in needed} <= pinned
