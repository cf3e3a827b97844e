"""The README runs: its Python as it stands, its commands on a file like the one it speaks of."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.commands import in_a_process, tsforecast
from tests.helpers.forecasters import wave

pytestmark = pytest.mark.usefixtures("only_ray")
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_of_the_readme_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("python")
    assert len(code) == 18
    exec("\n".join(code), {})
    printed = capsys.readouterr().out
    for said in re.findall(r"# (Panel: .*)", README):
        assert said in printed
    assert "is the reference: the best naive forecast here" in printed


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    days = pd.date_range("2023-01-01", periods=330)
    frame = pd.concat([pd.DataFrame({"shop": name, "day": days, "sales": wave(330, i)}) for i, name in enumerate("ab")])
    for name, rows in {"shops": frame["day"] < days[300], "new": frame["day"] >= days[300]}.items():
        frame[rows].to_csv(tmp_path / f"{name}.csv", index=False)
    lines = [line for block in blocks("console") for line in block.splitlines() if line.startswith("tsforecast ")]
    assert len(lines) == 13
    for line in lines:
        words = shlex.split(line)[1:]
        quick = ["--epochs", "1"] if words[0] in ("leaderboard", "tune", "fit") else []
        quick += ["--trials", "2"] if words[0] == "tune" else []
        run = in_a_process if "--out" in words and quick else tsforecast  # what trains and writes, as a shell starts it
        result = run(*words, *quick, cwd=tmp_path)
        assert result.returncode == 0, (line, result.stderr)
    assert len(pd.read_csv(tmp_path / "next.csv")) == 28
    assert (tmp_path / "results" / "leaderboard.md").exists()
    assert (tmp_path / "shops.html").exists()
    assert {"search.html", "report.html", "model"} <= {path.name for path in (tmp_path / "tuned").iterdir()}
    searched = json.loads((tmp_path / "tuned" / "search.json").read_text(encoding="utf-8"))["about"]["data"]
    assert searched.startswith("2 series x 205 steps")  # of 300: ten cutoffs, 9 steps apart, test the others
    assert "Best skill" in (tmp_path / "search.html").read_text(encoding="utf-8")


def test_the_targets_of_make_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)`|^make ([a-z]+)$", README, flags=re.MULTILINE)) != set()
    named = {
        name
        for pair in re.findall(r"`make ([a-z]+)`|^make ([a-z]+)$", README, flags=re.MULTILINE)
        for name in pair
        if name
    }
    assert named <= targets


def test_files_that_the_readme_names_exist() -> None:
    for path in re.findall(r"`(tsforecast/[a-z/.]+)`", README):
        assert (ROOT / path).exists(), path


def test_the_tables_of_the_readme_and_of_the_pages_are_those_of_the_committed_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import tables

    for path, drawn in tables.DRAWN.items():
        page = path.read_text(encoding="utf-8")
        assert page.count("<!-- table:") == len(drawn)
        assert tables.written(page, drawn) == page
