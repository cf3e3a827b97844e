"""`project.toml`: options that commands share; help in groups with examples; interrupts; names however spelled."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
import typer

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import wave
from tsforecast import leaderboard
from tsforecast.catalog.card import dataset_names
from tsforecast.cli.app import COMMANDS, app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    days = pd.date_range("2023-01-01", periods=120)
    shops = [pd.DataFrame({"shop": name, "day": days, "sold": wave(120, i)}) for i, name in enumerate("ab")]
    pd.concat(shops).to_csv(tmp_path / "shops.csv", index=False)
    return tmp_path


def project(folder: Path, text: str) -> Path:
    place = folder / "project.toml"
    place.write_text(text, encoding="utf-8")
    return place


@pytest.mark.long
def test_a_project_that_init_writes_serves_all_commands(folder: Path) -> None:
    made = tsforecast("init", "shops.csv", "--horizon", "5", cwd=folder)
    assert made.stdout == "wrote project.toml; next: tsforecast check\n"
    text = (folder / "project.toml").read_text(encoding="utf-8")
    for line in ('data = "shops.csv"', 'time = "day"', 'id = "shop"', 'target = "sold"', "horizon = 5", "[predict]"):
        assert line in text.splitlines()
    checked = tsforecast("check", cwd=folder)
    assert "horizon 5, the oldest of" in checked.stdout
    assert checked.stderr == "Note: project.toml has shops.csv --horizon 5 --time day --target sold --id shop\n"
    assert tsforecast("leaderboard", "--models", "mean", cwd=folder).returncode == 0
    assert (folder / "results" / "leaderboard" / "report.html").exists()
    assert tsforecast("fit", "--model", "drift", cwd=folder).returncode == 0
    assert len(tsforecast("predict", cwd=folder).stdout.splitlines()) == 1 + 2 * 5
    assert "DriftForecaster" in tsforecast("inspect", cwd=folder).stdout
    again = tsforecast("init", cwd=folder)
    assert again.stderr == (
        "Error: there must be no 'project.toml' yet: there is one; edit it, or name another with --out and --project\n"
    )


def test_options_of_the_command_win_and_tables_are_for_one_command(folder: Path) -> None:
    project(folder, 'data = "shops.csv"\nhorizon = 5\n[fit]\nmodel = "drift"\n[predict]\ninterval = [80, 95]\n')
    assert tsforecast("fit", "--horizon", "3", "--out", "model", cwd=folder).returncode == 0
    found = tsforecast("predict", "model", cwd=folder)
    assert found.stdout.splitlines()[0] == "shop,day,sold,sold_lo80,sold_hi80,sold_lo95,sold_hi95"
    assert len(found.stdout.splitlines()) == 1 + 2 * 3
    assert "DriftForecaster" in tsforecast("inspect", "model", cwd=folder).stdout


def test_a_project_elsewhere_is_named_and_its_paths_begin_there(folder: Path) -> None:
    place = project(folder, 'data = "shops.csv"\nhorizon = 4\nout = "results"\n[fit]\nmodel = "naive"\n')
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    assert tsforecast("fit", "--project", place, cwd=elsewhere).returncode == 0
    assert (folder / "results" / "model").is_dir()
    assert not [*elsewhere.iterdir()]


def test_a_project_has_no_columns_for_a_dataset_that_is_named(folder: Path) -> None:
    project(folder, 'data = "shops.csv"\nid = "shop"\nhorizon = 5\nout = "results"\n')
    shown = tsforecast("leaderboard", "sunspots-yearly", "--models", "mean", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "sunspots-yearly, horizon 5" not in shown.stdout
    assert not (folder / "results").exists()
    refused = tsforecast("fit", "sunspots-yearly", cwd=folder)
    assert "--out must be given: project.toml is of other data than sunspots-yearly" in refused.stderr


def test_what_init_leaves_as_comments_are_keys_of_a_project(folder: Path) -> None:
    tsforecast("init", "shops.csv", cwd=folder)
    text = (folder / "project.toml").read_text(encoding="utf-8")
    keys = [line.removeprefix("# ") for line in text.splitlines() if " = " in line or line.startswith("[")]
    project(folder, "\n".join(keys))
    found = tsforecast("check", cwd=folder)
    assert "--date-format %d.%m.%Y" in found.stderr  # which is among the keys, and not how these dates are written
    assert "knows" not in found.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("horzon = 3", "project.toml has 'horzon', which is an option of no command; did you mean 'horizon'?"),
        (
            "[leaderbord]\na = 1",
            "project.toml has 'leaderbord', which is an option of no command; did you mean 'leaderboard'?",
        ),
        (
            "[leaderboard]\nmodel = 'gru'",
            "project.toml has 'model' in [leaderboard], which is no option of that command; did you mean 'models'?",
        ),
        ("horizon = 'x'", "horizon in project.toml must be a whole number: got 'x'"),
        ("horizon = 2.5", "horizon in project.toml must be a whole number: got 2.5"),
        ("sort = 1", "sort in project.toml must be true or false: got 1"),
        ("id = []", "id in project.toml must be text, or a list of texts: got []"),
        ("horizon", "project file 'project.toml' must be TOML, with lines such as horizon = 14: it cannot be read"),
    ],
)
def test_a_mistake_in_a_project_is_one_sentence(folder: Path, text: str, sentence: str) -> None:
    project(folder, text)
    found = tsforecast("check", "shops.csv", cwd=folder)
    assert found.returncode == 2
    assert found.stderr.startswith(f"Error: {sentence}")
    assert found.stderr.count("\n") == 1


def test_options_of_the_help_stand_in_groups() -> None:
    shown = tsforecast("leaderboard", "--help").stdout
    panels = [line.split("─ ")[1].split(" ─")[0] for line in shown.splitlines() if line.startswith("╭")]
    assert panels == ["Arguments", "Options", "Test", "Results", "Networks", "Running", "Reading a file"]
    for option in ("--device", "--verbose", "--project"):
        assert f"{option} " in shown


def test_each_command_has_two_examples_that_it_takes() -> None:
    group = typer.main.get_command(app)
    names = set()
    for examples in COMMANDS.values():
        for example in examples:
            name, *words = shlex.split(example)
            names.add(name)
            command = group.commands[name]  # type: ignore[attr-defined]
            assert f"tsforecast {example}" in command.epilog
            if "--help" not in words:
                command.make_context(name, words, parent=typer.Context(group))
    datasets = group.commands["datasets"]  # type: ignore[attr-defined]
    assert names == set(group.commands) - {"datasets"}  # type: ignore[attr-defined]
    for command in (datasets, *datasets.commands.values()):
        examples = [line.split()[1:] for line in command.epilog.splitlines()[1:] if line]
        assert len(examples) == 2
        for _, *words in examples:
            datasets.make_context("datasets", words, parent=typer.Context(group))
            assert {*words[1:]} <= {*dataset_names()}


@pytest.mark.process
def test_an_interrupted_leaderboard_names_the_rows_that_are_kept(tmp_path: Path) -> None:
    words = ["leaderboard", "sunspots-yearly", "--models", "naive,lstm", "--seeds", "99", "--out", "results"]
    running = subprocess.Popen(
        [sys.executable, "-m", "tsforecast.cli.app", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    rows = tmp_path / "results.unfinished"
    for _ in range(600):
        if rows.is_dir() and len([*rows.glob("*.parquet")]) >= 4:
            break
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    last = errors.strip().splitlines()[-1]
    kept = len([*rows.glob("*.parquet")])
    assert last.startswith(
        f"Interrupted: rows of {kept} finished fits are kept in results.unfinished; the same command "
    )
    assert "Traceback" not in errors


def test_names_of_models_are_spelled_alike_in_python_and_on_the_command_line(tmp_path: Path) -> None:
    board = leaderboard(["Window_Average", "MeanForecaster"], [*wave(60)], horizon=3, origins=2)
    assert {"window-average", "mean"} <= set(board.table["model"])
    shown = tsforecast("leaderboard", "sunspots-yearly", "--models", "MeanForecaster,window_average", "--origins", "2")
    assert shown.returncode == 0, shown.stderr
    assert "│ window-average" in shown.stdout
    assert "│ mean " in shown.stdout


@pytest.mark.long
@pytest.mark.parametrize("data", ["sunspots-yearly", "shops.csv"])
def test_the_same_data_have_the_same_rows_in_python_and_on_the_command_line(
    data: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    more = ["--horizon", "7"] if data.endswith(".csv") else []
    found = tsforecast("leaderboard", data, *more, "--models", "mean,conv1d", "--out", "results")
    assert found.returncode == 0, found.stderr
    # A file that Python is given by its name is mapped in single precision: this reads it as the command line does.
    read = pl.read_csv(data, try_parse_dates=True) if more else data
    board = leaderboard(["mean", "conv1d"], read, *map(int, more[1:]))
    kept = pd.read_parquet("results/rows.parquet")
    own = board.rows[kept.columns].reset_index(drop=True)
    assert len(own) == len(kept) > 0
    for name in own.columns.difference(["fit_seconds", "predict_seconds"]):
        assert own[name].astype(str).tolist() == kept[name].astype(str).tolist(), name
    assert board.reference in found.stdout


@pytest.mark.long
def test_a_fit_and_a_leaderboard_explain_why_their_skills_differ(folder: Path) -> None:
    fitted = tsforecast("fit", "sunspots-yearly", "--epochs", "2", "--out", folder / "model")
    assert (
        "validation steps, which chose the epoch; a leaderboard tests at many cutoffs that chose nothing"
        in fitted.stdout
    )
    words = ("leaderboard", "sunspots-yearly", "--origins", "2", "--models")
    shown = " ".join(tsforecast(*words, "rnn", "--epochs", "1").stdout.split())
    assert "The skill that fit prints is another one: of its validation steps, which chose the epoch." in shown
    assert "The skill that fit prints" not in tsforecast(*words, "mean").stdout
