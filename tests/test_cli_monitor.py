"""`tsforecast monitor`: new files day after day, a state that is always whole, and an exit code when skill is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import MeanForecaster, NaiveForecaster, Panel, save

pytestmark = pytest.mark.thorough
TRAIN, HORIZON = 40, 2


def table(count: int, seed: int = 0, **more: Any) -> pd.DataFrame:
    numbers = np.random.default_rng(seed).normal(50, 1, count).round(3)
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=count), **more, "sales": numbers})


@pytest.fixture(name="sales")
def new_model(tmp_path: Path) -> pd.DataFrame:
    """White noise, on which the mean beats the naive forecast; a model of the mean lies in ``model``."""
    frame = table(200)
    save(MeanForecaster(horizon=HORIZON).fit(frame[:TRAIN]), tmp_path / "model")
    return frame


def state_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model" / "monitor.json").read_text())
    return found


def append(folder: Path, rows: pd.DataFrame, *words: str, model: str = "model") -> subprocess.CompletedProcess[str]:
    rows.to_csv(folder / "new.csv", index=False)
    return tsforecast("monitor", model, "--data", "new.csv", *words, cwd=folder, width=200)


def test_files_of_each_day_end_where_one_file_does_with_losses_as_by_hand(sales: pd.DataFrame, tmp_path: Path) -> None:
    for day in range(TRAIN, TRAIN + 9):
        result = append(tmp_path, sales[day : day + 1])
        assert (result.returncode, result.stderr) == (0, "")
    assert "0 new cutoffs, 4 in all, 2 steps apart, from 2024-02-10 to before 2024-02-18\n" in result.stdout
    daily = state_of(tmp_path)
    append(tmp_path, sales[TRAIN : TRAIN + 9], "--state", "once.json")
    assert json.loads((tmp_path / "once.json").read_text()) == daily
    numbers = sales["sales"].to_numpy()
    scale = np.abs(numbers[7:TRAIN] - numbers[: TRAIN - 7]).mean()  # the seasonal naive forecast on the fitted rows
    cutoffs = range(TRAIN, TRAIN + 8, HORIZON)
    truth = np.array([numbers[at : at + HORIZON] for at in cutoffs])
    own = np.array([numbers[:at].mean() for at in cutoffs])
    last = np.array([numbers[at - 1] for at in cutoffs])
    shifts = (last - numbers[0]) / (np.array(cutoffs) - 1)
    naive = {"naive": last[:, None], "drift": last[:, None] + shifts[:, None] * [1, 2]}
    naive["seasonal-naive"] = np.array([numbers[at - 7 : at - 7 + HORIZON] for at in cutoffs])
    assert daily["model_losses"] == pytest.approx((np.abs(truth - own[:, None]) / scale).mean(axis=1))
    assert daily["reference_losses"] == pytest.approx((np.abs(truth - naive[daily["reference"]]) / scale).mean(axis=1))


def test_the_reference_is_the_best_naive_forecast_on_the_fitted_rows(tmp_path: Path) -> None:
    frame = table(60)
    frame["sales"] += np.tile([0.0, 9.0, 3.0, -4.0, 7.0, 1.0, -8.0], 9)[:60]
    for name, rows in {"seasonal-naive": frame, "drift": frame.assign(sales=np.arange(60.0) ** 1.1)}.items():
        save(NaiveForecaster(horizon=2).fit(rows[:50]), tmp_path / name)
        assert append(tmp_path, rows[50:], model=name).returncode in (0, 1)
        assert json.loads((tmp_path / name / "monitor.json").read_text())["reference"] == name


def test_skill_is_claimed_and_exit_code_one_warns_once_when_it_is_lost(sales: pd.DataFrame, tmp_path: Path) -> None:
    result = append(tmp_path, sales[TRAIN:])
    assert result.returncode == 0
    assert "mean is better than " in result.stdout
    walk = table(300)[200:].assign(sales=50 + 0.3 * np.arange(100))  # a trend, which the mean does not see
    result = append(tmp_path, walk)
    assert result.returncode == 1
    assert result.stderr.startswith("Warning: skill is lost since 2024-0")
    assert len(state_of(tmp_path)["starts"]) >= 2
    result = tsforecast("monitor", "model", cwd=tmp_path, width=200)
    assert "the verdict is on the losses since then: skill is lost since 2024-0" in result.stdout
    assert result.returncode == (1 if "is worse than" in result.stdout else 0)
    assert result.stderr == ""


def test_a_note_says_when_a_claim_does_not_hold_any_more(sales: pd.DataFrame, tmp_path: Path) -> None:
    append(tmp_path, sales[TRAIN:])
    flat = table(208)[200:].assign(sales=56.0)  # which the naive forecast gets right
    result = append(tmp_path, flat)
    assert "mean is inconclusive compared with naive: " in result.stdout
    assert result.stderr == "Note: it could be called better before these observations, and cannot be any more\n"
    assert result.returncode == 0


def test_known_rows_may_come_again_and_are_not_counted_twice(sales: pd.DataFrame, tmp_path: Path) -> None:
    append(tmp_path, sales[TRAIN:80])
    before = (tmp_path / "model" / "monitor.json").read_bytes()
    for rows in (sales[TRAIN:80], sales[:60], sales[79:80]):
        assert append(tmp_path, rows).returncode == 0
        assert (tmp_path / "model" / "monitor.json").read_bytes() == before
    append(tmp_path, sales[70:90])
    assert state_of(tmp_path)["passed"] == 25
    assert [row for (row,) in state_of(tmp_path)["rows"]["sales"]] == sales["sales"][TRAIN:90].tolist()


def test_rows_that_do_not_follow_on_are_refused_and_nothing_is_written(sales: pd.DataFrame, tmp_path: Path) -> None:
    append(tmp_path, sales[TRAIN:80])
    before = (tmp_path / "model" / "monitor.json").read_bytes()
    changed = sales[70:90].assign(sales=lambda rows: rows["sales"].where(rows.index != 75, 1.0))
    for rows, sentence in [
        (sales[82:90], "series 'sales' has 2024-03-21 next, and the file begins with 2024-03-23; add the rows between"),
        (changed, f"had {sales['sales'][75]:g} in 'sales' at 2024-03-16, now it has 1; leave them out"),
        (sales[80:90].assign(sales="x"), "'x'"),
    ]:
        result = append(tmp_path, rows)
        assert result.returncode == 2
        assert result.stderr.startswith("Error: ")
        assert sentence in result.stderr
        assert (tmp_path / "model" / "monitor.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json", "monitor.json", "numbers.safetensors",
    ]  # fmt: skip


def test_series_of_a_panel_are_averaged_and_waited_for(tmp_path: Path) -> None:
    parts = [table(60, seed, shop=name) for seed, name in enumerate(["a", "b"])]
    parts[1]["sales"] *= 1000
    frame = pd.concat(parts)
    early = frame[frame["day"] < "2024-02-10"]
    save(MeanForecaster(horizon=2).fit(Panel.from_frame(early, id="shop")), tmp_path / "model")
    new = frame[frame["day"] >= "2024-02-10"]
    one, other = new[new["shop"] == "a"], new[new["shop"] == "b"]
    assert append(tmp_path, one[:7]).stdout == "no loss yet: a cutoff needs all of the 2 steps from 2024-02-10 on\n"
    assert "2 new cutoffs, 2 in all" in append(tmp_path, other[:4]).stdout
    both, losses = state_of(tmp_path), []
    for part in parts:
        numbers = part["sales"].to_numpy()
        scale = np.abs(numbers[7:40] - numbers[:33]).mean()
        losses.append([np.abs(numbers[at : at + 2] - numbers[:at].mean()).mean() / scale for at in (40, 42)])
    assert both["model_losses"] == pytest.approx(np.mean(losses, axis=0))
    result = append(tmp_path, one[7:9].assign(shop="c"))
    assert result.returncode == 2
    assert "series must be among those that were fitted: 'c' is not" in result.stderr


def test_missing_numbers_have_no_loss_and_are_kept(tmp_path: Path) -> None:
    frame = table(60)
    save(MeanForecaster(horizon=2).fit(Panel.from_frame(frame[:40], nan_policy="mask")), tmp_path / "model")
    frame.loc[[42, 43, 45], "sales"] = np.nan
    assert "2 new cutoffs, 2 in all" in append(tmp_path, frame[40:46]).stdout
    assert (state_of(tmp_path)["cutoffs"], state_of(tmp_path)["passed"]) == ([0, 2], 3)
    assert state_of(tmp_path)["rows"]["sales"][2:] == [[None], [None], [frame["sales"][44]], [None]]
    assert "1 new cutoff, 3 in all" in append(tmp_path, frame[44:48]).stdout


def test_states_and_models_that_do_not_fit_are_refused_in_a_sentence(sales: pd.DataFrame, tmp_path: Path) -> None:
    result = tsforecast("monitor", "model", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (
        2, "Error: --data must be given: there is no state in 'model/monitor.json' yet\n",
    )  # fmt: skip
    append(tmp_path, sales[TRAIN:60], "--state", "kept.json")
    save(MeanForecaster(horizon=3).fit(sales[:TRAIN]), tmp_path / "other")
    save(MeanForecaster(horizon=3).fit(sales["sales"].to_numpy()), tmp_path / "array")
    kept = (tmp_path / "kept.json").read_text()
    for model, text, sentence in [
        ("other", kept, "'kept.json' must be the state of the model in 'other': it is that of another one"),
        ("array", kept, "the model in 'array' must have been fitted on series with time stamps"),
        ("model", kept[:-20], "'kept.json' must hold the state of a monitor: it: Invalid JSON"),
        ("model", kept.replace('"version": 1', '"version": 2'), "must be a state of version 1: it is of version 2"),
        ("model", kept.replace('"passed"', '"past"'), "passed: Field required"),
    ]:
        (tmp_path / "kept.json").write_text(text)
        result = append(tmp_path, sales[60:70], "--state", "kept.json", model=model)
        assert result.returncode == 2
        assert sentence in result.stderr
        assert (tmp_path / "kept.json").read_text() == text


@pytest.mark.process
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_is_killed_leaves_the_state_before_or_after_it(
    sales: pd.DataFrame, tmp_path: Path, moment: str
) -> None:
    script = """
import os, signal, sys
from tsforecast.cli.app import main
whole, moment = os.replace, sys.argv.pop(1)
def killed(*paths):  # the moment at which the new file takes the place of the old one
    if moment == "after":
        whole(*paths)
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = killed
main()
"""
    append(tmp_path, sales[TRAIN:80])
    before = state_of(tmp_path)
    sales[80:84].to_csv(tmp_path / "more.csv", index=False)
    words = [moment, "monitor", "model", "--data", "more.csv"]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    died = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, env=paths, check=False, timeout=240)
    assert died.returncode == -signal.SIGKILL
    left = state_of(tmp_path)
    assert (left == before) == (moment == "before")
    assert len(left["rows"]["sales"]) == (40 if moment == "before" else 44)
    append(tmp_path, sales[80:90])
    append(tmp_path, sales[TRAIN:90], "--state", "whole.json")
    assert state_of(tmp_path) == json.loads((tmp_path / "whole.json").read_text())
    assert not list((tmp_path / "model").glob(".*"))
