"""Notebooks of the tutorials are committed as they ran: in order, without errors, and they still run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))
PLACES = re.compile(r"/(?:home|root|tmp|Users|usr)/|site-packages|pyenv")


def cells_of(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_as_it_ran(path: Path) -> None:
    cells = cells_of(path)
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert len(cells) <= 12
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    said = "".join("".join(output.get("text", "")) for output in outputs)
    assert said
    assert not PLACES.search(said)
    assert path.stat().st_size < 400_000
    assert f"tutorials/{path.name}" in (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")


def test_six_tutorials_are_listed() -> None:
    listed = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 6
    assert all(f"]({path.name})" in listed for path in NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient")
    monkeypatch.syspath_prepend(DOCS)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{Path('/usr/bin')}:{Path('/bin')}")
    import notebooks

    again = [cell for cell in notebooks.execute(path).cells if cell.cell_type == "code"]
    kinds = [[output["output_type"] for output in cell["outputs"]] for cell in cells_of(path)]
    assert [[output.output_type for output in cell.outputs] for cell in again] == kinds
