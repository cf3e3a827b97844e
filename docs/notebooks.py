"""Execute the notebooks of docs/tutorials from fresh kernels, and keep their outputs: ``python docs/notebooks.py``."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parent / "tutorials"
SECONDS = 180  # of a cell, at most
QUIET = {
    "TSFORECAST_LOG": "error",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


def execute(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of its cells, executed in an empty folder; CellExecutionError on an error."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            coalesce_streams=True,  # else the number of outputs of a cell depends on the time between its lines
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=os.environ | QUIET)
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = re.sub(r"\x1b\[[\d;]*m", "", output["text"])  # colours of a terminal
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main(names: list[str]) -> None:
    """Execute the notebooks that are named, or all of them."""
    for path in [TUTORIALS / name for name in names] or sorted(TUTORIALS.glob("*.ipynb")):
        nbformat.write(execute(path), path)
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
