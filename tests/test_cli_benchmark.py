"""The command finds the benchmarks that come along, runs them into a folder of the user's, and draws their pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.commands import in_a_process, tsforecast
from tsforecast.cli import extras as cli_benchmark
from tsforecast.cli.benchmark_page import facts, html_benchmark, read_rows
from tsforecast.errors import DataError
from tsforecast.files import shipped

RESULTS = shipped("benchmarks") / "results"


def test_the_benchmarks_that_are_there_are_listed_with_what_they_measure() -> None:
    result = tsforecast("benchmark")
    assert result.returncode == 0, result.stderr
    there = [
        name for name, file in cli_benchmark.BENCHMARKS.items() if (shipped("benchmarks") / f"{file}.py").is_file()
    ]
    assert [line.split()[0] for line in result.stdout.splitlines()] == there
    assert {"smartwatch-gestures", "accuracy"} <= set(there)
    assert "Classify movements of unseen people" in result.stdout


@pytest.mark.process
@pytest.mark.usefixtures("data_folder")
def test_a_benchmark_writes_rows_and_a_page_and_leaves_the_committed_rows_alone(tmp_path: Path) -> None:
    committed = {path: path.read_bytes() for path in RESULTS.iterdir()}
    words = ["--sets", "basic-motions", "--models", "nearest-neighbor", "--seeds", "0"]
    result = in_a_process("benchmark", "smartwatch-gestures", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "basic-motions given nearest-neighbor 0: accuracy 0.9000" in result.stdout
    rows = read_rows(tmp_path / "benchmark-smartwatch-gestures/gestures.jsonl")
    assert {row["model"]: row["accuracy"] for row in rows} == {"majority": 0.25, "nearest-neighbor": 0.9}
    assert all(row["machine"]["cores"] and row["versions"]["torch"] and row["date"] for row in rows)
    page = (tmp_path / "benchmark-smartwatch-gestures/smartwatch-gestures.html").read_text(encoding="utf-8")
    assert "right on 90% instead of 25% of the recordings of the test part" in page
    assert "The label of the nearest recording by dynamic time warping." in page
    again = tsforecast("benchmark", "smartwatch-gestures", *words, cwd=tmp_path)  # in place of the older ones
    assert again.returncode == 0, again.stderr
    assert len(read_rows(tmp_path / "benchmark-smartwatch-gestures/gestures.jsonl")) == len(rows)
    assert {path: path.read_bytes() for path in RESULTS.iterdir()} == committed


@pytest.mark.thorough
def test_what_was_committed_is_drawn_without_measuring(tmp_path: Path) -> None:
    result = tsforecast("benchmark", "accuracy", "--no-measure", "--out", tmp_path / "drawn")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "drawn/accuracy.html").read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["accuracy.html"]
    for row in read_rows(RESULTS / "accuracy.jsonl")[:20]:
        assert row["set"] in page
        assert row["model"] in page


@pytest.mark.process
def test_mistakes_get_one_message_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/other.txt").write_text("mine")
    for run, words, said in (
        (
            tsforecast,
            ["smartwatch-gesturs"],
            "'smartwatch-gesturs' does not exist; did you mean 'smartwatch-gestures'?",
        ),
        (
            tsforecast,
            ["gestures"],
            "'gestures' does not exist; it is called 'smartwatch-gestures' now, as its dataset is",
        ),
        (
            in_a_process,
            ["smartwatch-gestures", "--qick"],
            "error: unrecognized arguments: --qick",
        ),  # said by the script itself
        (
            tsforecast,
            ["smartwatch-gestures", "--no-measure", "--quick"],
            "--no-measure draws measured rows: leave '--quick'",
        ),
        (
            tsforecast,
            ["smartwatch-gestures", "--out", "full"],
            "'full' must be new or empty, or hold an older gestures.jsonl",
        ),
    ):
        result = run("benchmark", *words, cwd=tmp_path)
        assert result.returncode == 2, (words, result.stdout)
        assert said in result.stderr.replace("\n", " ")
        assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["other.txt"]


@pytest.mark.process
def test_data_that_are_not_there_are_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TSFORECAST_DATA", raising=False)
    monkeypatch.setenv("TSFORECAST_CACHE", str(tmp_path / "cache"))
    result = in_a_process("benchmark", "smartwatch-gestures", "--sets", "gunpoint", cwd=tmp_path)
    assert result.returncode == 2
    assert "dataset 'gunpoint' has no automatic download" in result.stderr
    assert "Traceback" not in result.stderr


def test_rows_of_any_shape_have_a_page(tmp_path: Path) -> None:
    evil = "<script>window.hacked = 1</script>"
    rows = [{"measured": evil, "median": 1.25, "each": {"a": 1}, "repeats": 3}, {"measured": "b", "median": None}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = html_benchmark(evil, read_rows(tmp_path / "x.jsonl"), evil)
    assert evil not in page
    assert "7.5" in html_benchmark("sets without a model", [{"set": "air", "seconds": 7.5}])
    assert '<td class="number">1.25</td>' in page
    with pytest.raises(DataError, match="must hold the rows of a benchmark: there is no such file"):
        read_rows(tmp_path / "y.jsonl")
    (tmp_path / "z.jsonl").write_text("no JSON\n")
    with pytest.raises(DataError, match="must hold a JSON object in each line"):
        read_rows(tmp_path / "z.jsonl")


def test_a_page_has_the_dates_machines_and_versions_of_its_rows() -> None:
    found = facts([{"date": "2026-01-31", "versions": {"torch": "2.9"}}, {"date": "2026-02-01"}])
    assert found == {"Measured": "2026-01-31 to 2026-02-01", "Versions": "torch 2.9"}
