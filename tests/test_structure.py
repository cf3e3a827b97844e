"""The package fits in the head; `make lint` checks that its rooms point one way (import-linter, pyproject.toml)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "tsforecast"
CORE = ("data", "networks", "training", "estimators", "forecasters")
OUTSIDE = ("statistical", "meta", "kernels")  # large, and not needed to follow a fit

LINES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file.read_text(encoding="utf-8").splitlines()
    for file in sorted(PACKAGE.rglob("*.py"))
}
WHOLE = re.compile(r"^\s*(from|import)\s.*\btsforecast\b(?!\.)")
CODE = {name: lines for name, lines in LINES.items() if lines}


def test_the_core_has_at_most_forty_modules_and_the_package_two_hundred_and_forty_six() -> None:
    parts = {name: name.split(".") for name in CODE}
    core = [name for name, (room, *rest) in parts.items() if room in CORE and not set(rest) & set(OUTSIDE)]
    assert len(core) <= 40, core
    assert len(CODE) <= 248  # two dozen of them for adapters, one for each library, and a dozen for compiled kernels


def test_files_are_neither_long_nor_tiny() -> None:
    assert {name: len(lines) for name, lines in CODE.items() if len(lines) > 500} == {}
    assert {name: len(lines) for name, lines in CODE.items() if len(lines) < 60} == {}


def test_no_module_imports_the_package_that_imports_them_all() -> None:
    found = set()
    for name, lines in CODE.items():
        # Few lines can be such an import, and only their statements are read.
        for node in ast.walk(ast.parse("\n".join(lines))) if any(map(WHOLE.search, lines)) else ():
            imported = [node.module] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if "tsforecast" in imported:
                found.add(name)
    assert found == set()
