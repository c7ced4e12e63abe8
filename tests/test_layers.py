"""The plan of the house: which room may import which, what pure rooms may touch, and that tests mirror modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gateway"

# Imports point rightwards only; rooms on one step do not know each other.
STEPS = (
    ("__main__",),
    ("cli",),
    ("serving",),
    ("app", "backup"),
    ("web", "startup", "free_space", "reload", "workers"),
    ("policy_watch",),
    ("objects", "rulebook"),
    ("cache",),
    ("origin", "store"),
    ("s3", "sigv4", "policy"),
    (
        "errors",
        "config",
        "threads",
        "bounded",
        "budget",
        "metrics",
        "private_files",
        "allocator",
        "stream_memory",
        "traces",
    ),
    ("origin_settings",),
    ("toml_fields", "toml_lines"),
)
STEP_OF = {room: step for step, rooms in enumerate(STEPS) for room in rooms}

PURE_ROOMS = ("s3", "sigv4", "policy")
IMPURE_MODULES = {
    "aiohttp", "asyncio", "io", "multiprocessing", "os", "random", "secrets", "shutil", "signal", "socket", "sqlite3",
    "ssl", "subprocess", "tempfile", "threading", "time", "uuid", "uvloop",
}  # fmt: skip
PATTERN = "*.py"

MODULES = sorted(PACKAGE.rglob(PATTERN))


def room_of(module: str) -> str:
    """The room of "gateway.store.catalog" is "store"; of the package itself ""."""
    return module.split(".")[1] if "." in module else ""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported anywhere in a file; of `from gateway import x` both readings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def wrong_imports(room: str, tree: ast.Module) -> list[str]:
    """The imports of a module in `room` that do not point rightwards."""
    wrong = []
    for module in imported(tree):
        target = room_of(module) if module.split(".")[0] == "gateway" else ""
        if target in STEP_OF and target != room and STEP_OF[target] <= STEP_OF[room]:
            wrong.append(module)
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_rightwards(path):
    room = room_of(name_of(path))
    if room == "":
        assert not [module for module in imported(parsed(path)) if module.startswith("gateway")]
    else:
        assert room in STEP_OF, f"{room} is not in the plan of the house"
        assert wrong_imports(room, parsed(path)) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("store", "from gateway.objects.put import put"),
        ("store", "import gateway.origin.base"),
        ("s3", "from gateway import sigv4"),
        ("errors", "from gateway.config import Settings"),
        ("web", "from gateway.cli import main"),
    ],
)
def test_an_import_to_the_left_or_to_the_side_is_found(room, line):
    assert wrong_imports(room, ast.parse(line))


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(name_of(path)) in PURE_ROOMS], ids=name_of)
def test_pure_rooms_have_no_clock_no_randomness_and_no_input_or_output(path):
    tree = parsed(path)
    assert {module.split(".")[0] for module in imported(tree)} & IMPURE_MODULES == set()
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert not {"open", "print", "input", "eval", "exec"} & set(calls)
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor))]


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_every_pure_module_has_its_tests(room):
    modules = {path.stem for path in (PACKAGE / room).glob(PATTERN)} - {"__init__"}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / room).glob("test_*.py")}
    assert modules - tests == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(parsed(path))


def test_no_module_is_named_after_nothing_in_particular():
    assert not {path.stem for path in MODULES} & {"utils", "util", "helpers", "common", "misc"}
