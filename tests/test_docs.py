"""The documentation says what the code does."""

import re
import tomllib
from pathlib import Path

import pytest

from gateway import __version__
from gateway.config import Settings
from scripts.docs import DOCS, PARTS, parts_of, render, stale_pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(DOCS.glob("*.md")),
    ROOT / "README.md",
    *sorted((ROOT / "deploy").rglob("README.md")),
    ROOT / "CHANGELOG.md",
]


def test_the_generated_parts_are_current():
    assert [page.name for page, _ in stale_pages()] == [], "run: make docs"


def test_every_part_is_on_some_page():
    assert {name for page in PAGES for name in parts_of(page.read_text(encoding="utf-8"))} == set(PARTS)


def test_every_section_of_the_configuration_has_its_part():
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for section in Settings.model_fields:
        assert re.search(rf"^### `\[{section}(\.NAME)?\]`$", page, re.MULTILINE), section


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
    for name in ("requirements.txt", "requirements-test.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"://|--index|--find-links|--trusted|(?<![\w.])/\w+/", text), name
        assert "--hash=sha256:" in text


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert {re.split(r"[<>=]", each)[0] for each in project["dependencies"]} <= pinned
