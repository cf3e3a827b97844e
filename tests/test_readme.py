"""The README is short and runs: its Python as it stands, its commands as those of the page on the command line."""

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
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "how-to" / "command-line.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[str]:
    lines = [line for block in blocks("console", text) for line in block.splitlines()]
    return [line for line in lines if line.startswith("tsforecast ")]


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    assert len(README.splitlines()) <= 150
    for path in (ROOT / "docs" / "images").iterdir():
        assert path.stat().st_size < 150_000, path


def test_the_python_of_the_readme_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("python")
    assert len(code) == 2
    exec("\n".join(code), {})
    printed = capsys.readouterr().out
    assert "gru is better than seasonal-naive" in printed
    assert "seasonal-naive is the reference: the best naive forecast here" in printed


def test_the_commands_of_the_readme_are_on_the_page_whose_commands_run(tmp_path: Path) -> None:
    days = pd.date_range("2023-01-01", periods=330)
    frame = pd.concat([pd.DataFrame({"shop": name, "day": days, "sales": wave(330, i)}) for i, name in enumerate("ab")])
    for name, rows in {"shops": frame["day"] < days[300], "new": frame["day"] >= days[300]}.items():
        frame[rows].to_csv(tmp_path / f"{name}.csv", index=False)
    lines = commands(PAGE)
    assert len(lines) == 19
    assert set(commands(README)) <= set(lines)
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
