"""No test is left out: what it needs `make test` installs, and a case that cannot apply is not generated."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
MODULES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py") if "node_modules" not in path.parts)
LEFT_OUT = re.compile(r"\b(?:pytest|unittest|mark|case)\.(?:skip\w*|importorskip|SkipTest)\b|\bimportorskip\b")


@pytest.mark.parametrize("module", [module for module in MODULES if module != Path(__file__).name])
def test_no_module_leaves_a_test_out(module):
    """There is no exception so far; one would stand here, with its reason."""
    lines = enumerate((TESTS / module).read_text(encoding="utf-8").splitlines(), start=1)
    assert [number for number, line in lines if LEFT_OUT.search(line)] == []


@pytest.mark.parametrize("line", ["pytest.skip('x')", "@pytest.mark.skipif(x)", "pytest.importorskip('x')"])
def test_the_ways_to_leave_one_out_are_found(line):
    assert LEFT_OUT.search(line)
