"""Recorded forecasts on the command line: predict --record, verify and record-key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast

DAYS = pd.date_range("2024-01-01", periods=90).strftime("%d.%m.%Y")


def shop(folder: Path, name: str, rows: int, raised: int = -1) -> Path:
    """Write a file of two shops in the dialect of a German spreadsheet; one number of it may be raised."""
    parts = [
        pd.DataFrame({"day": DAYS[:rows], "shop": one, "sales": 20 * (i + 1) + np.arange(rows) % 7})
        for i, one in enumerate("ab")
    ]
    table = pd.concat(parts, ignore_index=True)
    table["sales"] += np.random.default_rng(0).normal(size=(2, 90))[:, :rows].ravel().round(2)
    if raised >= 0:
        table.loc[raised, "sales"] += 1
    table.to_csv(folder / name, index=False, sep=";", decimal=",", float_format="%.2f")
    return folder / name


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a key, and a signed chain of two forecasts."""
    folder = tmp_path_factory.mktemp("desk")
    first, second = shop(folder, "first.csv", 60), shop(folder, "second.csv", 70)
    form = ("--date-format", "%d.%m.%Y", "--target", "sales", "--id", "shop")
    fit = ("fit", first, *form, "--model", "drift", "--horizon", "5", "--out", folder / "model")
    assert tsforecast(*fit).returncode == 0
    assert tsforecast("record-key", folder / "desk.pem").returncode == 0
    how = ("--record", folder / "f.jsonl", "--record-key", folder / "desk.pem", "--interval", "80")
    assert tsforecast("predict", folder / "model", *how).stdout.splitlines()[-1] == f"recorded in {folder / 'f.jsonl'}"
    assert tsforecast("predict", folder / "model", second, *how, "--out", folder / "out.csv").returncode == 0
    shop(folder, "truth.csv", 90)
    return folder


def test_a_chain_is_verified_with_key_data_and_model(desk: Path) -> None:
    words = ["verify", desk / "f.jsonl", "--key", desk / "desk.pub.pem", "--data", desk / "truth.csv"]
    alone = tsforecast(*words, "--date-format", "%d.%m.%Y", width=300)
    assert (alone.returncode, alone.stdout.splitlines()[-1]) == (0, "passed"), alone
    assert "MAE" in alone.stdout
    assert "within the interval of 80 %" in alone.stdout
    with_model = tsforecast(*words, "--model", desk / "model", width=300)
    assert with_model.stdout == alone.stdout
    assert "20 of 20 forecasts were recorded after the time" in with_model.stderr
    lines = (desk / "truth.csv").read_text().splitlines(keepends=True)
    (desk / "lacks.csv").write_text("".join(lines[:72] + lines[73:]))  # a day after the second cutoff
    lacks = tsforecast("verify", desk / "f.jsonl", "--data", desk / "lacks.csv", "--model", desk / "model", width=300)
    assert (lacks.returncode, lacks.stdout.splitlines()[-1]) == (0, "passed"), lacks
    assert "of 19 forecasts" in lacks.stdout


def test_what_was_changed_is_a_problem_with_exit_code_1(desk: Path, tmp_path: Path) -> None:
    changed = shop(tmp_path, "truth.csv", 90, raised=10)
    form = ("--date-format", "%d.%m.%Y")
    found = tsforecast("verify", desk / "f.jsonl", "--data", changed, *form, width=300)
    assert found.returncode == 1
    assert "Problem: line 1, series 'a' must have the history up to 2024-02-29 that was recorded" in found.stderr
    assert "series 'b'" not in found.stderr
    text = (desk / "f.jsonl").read_text()
    (tmp_path / "g.jsonl").write_text(text.replace('"steps":5', '"steps":6', 1))
    found = tsforecast("verify", tmp_path / "g.jsonl", width=300)
    assert found.returncode == 1
    assert "Problem: line 1 must be a record as it was written: it has the hash" in found.stderr
    assert found.stdout.splitlines()[-1].startswith("failed: ")


def test_errors_name_options(desk: Path) -> None:
    other = tsforecast("verify", desk / "f.jsonl", "--key", desk / "desk.pem", width=300)
    assert other.returncode == 2
    assert "--key must be the file of a public ed25519 key, PEM" in other.stderr
    head = tsforecast("verify", desk / "f.jsonl", "--head", "abc", width=300)
    assert "--head must be the hash of a record" in head.stderr
    key = tsforecast("predict", desk / "model", "--record-key", desk / "desk.pem", width=300)
    assert "record_key signs a record: name its file with record" in key.stderr.replace("--record-key", "record_key")
    paths = tsforecast("predict", desk / "model", "--paths", "3", "--record", desk / "g.jsonl", width=300)
    assert "--record must be left out with --paths" in paths.stderr
    dates = tsforecast("verify", desk / "f.jsonl", "--date-format", "%d.%m.%Y", width=300)
    assert "--date-format must be left out without --data" in dates.stderr
    none = tsforecast("verify", desk / "none.jsonl", width=300)
    assert "must be a file of records" in none.stderr
