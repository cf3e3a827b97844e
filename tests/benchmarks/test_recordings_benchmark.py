"""The benchmark of recordings reads sets out of the files of packages, and its rows make the page's tables."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a package that brings a set with two recordings of each class, and published numbers."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    lines = ["@classLabel true 1 2", "@data"]
    lines += [",".join(f"{np.sin((1 + i % 2) * t + i):.3f}" for t in range(30)) + f":{1 + i % 2}" for i in range(6)]
    with zipfile.ZipFile(tmp_path / "aeon-0-py3-none-any.whl", "w") as made:
        for part in ("TRAIN", "TEST"):
            made.writestr(f"aeon/datasets/data/GunPoint/GunPoint_{part}.ts", "\n".join(lines))
        made.writestr(
            "aeon/testing/example_results_files/classification/accuracy/InceptionTime_accuracy.csv",
            "Resamples:,0,1\nGunPoint,0.75,0.5\nOther,0.1,0.1\n",
        )
    return tmp_path


def test_a_row_has_the_accuracy_on_the_test_part_beside_what_is_published(packages: Path) -> None:
    import recording_tables
    import recordings

    row = recordings.measured(packages, "GunPoint", "rocket", 0)
    assert (row["recordings"], row["tested"], row["lengths"], row["classes"]) == (6, 6, [30, 30], 2)
    assert row["accuracy"] == 1.0
    assert row["inception_time"] == 0.75
    shown = pd.DataFrame([json.loads(json.dumps(row))])
    assert "+25.0 points over 1 set" in recording_tables.beside(shown)
    assert "| 100.0% (one seed) | 75.0%" in recording_tables.accuracies(shown)


def test_a_package_that_is_not_there_is_named(packages: Path) -> None:
    import recordings

    with pytest.raises(SystemExit, match=r"no tslearn-\*\.whl in .*: pip download --no-deps"):
        recordings.read(packages, "Trace")


def test_the_page_has_the_tables_of_the_committed_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import tables

    text = tables.RECORDINGS.read_text(encoding="utf-8")
    assert tables.written(text, tables.DRAWN[tables.RECORDINGS]) == text
