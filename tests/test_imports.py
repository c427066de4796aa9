"""A test module is nobody's library: what is shared is in tests/support."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imported(path):
    """Name the modules that a file imports, and what it takes from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", ["benchmarks", "dianet_ray", "tests"])
def test_nothing_imports_a_test_module(folder):
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imported(path)
        if name.startswith("tests.") and ".test_" in name
    ]
    assert found == []


def test_benchmarks_take_only_what_tests_share():
    found = {
        name
        for path in (ROOT / "benchmarks").rglob("*.py")
        for name in imported(path)
        if name.startswith("tests.") and not name.startswith("tests.support")
    }
    assert found == set()
