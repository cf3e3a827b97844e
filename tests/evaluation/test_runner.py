"""Many fits: on several cores as on one, with failures kept apart, going on where they were cut short."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import SMALL, Failing, small, wave
from tests.helpers.kills import kill_and_resume
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, FitWarning, ParameterError, TsForecastError
from tsforecast.estimators.registry import make
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.runner import by_name, seeded_clones
from tsforecast.files import OutputError
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import MeanForecaster, NaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.forecasters.statistical.models import ETSForecaster

SECONDS = ["fit_seconds", "predict_seconds"]


class Killed(NaiveForecaster):
    """Ends its own process, as the system does where memory runs out."""

    def _fit(self, panel: Panel) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Counted(NaiveForecaster):
    """Writes a line into a file for each fit."""

    def __init__(self, file: str = "", horizon: int = 1) -> None:
        super().__init__(horizon)
        self.file = file

    def _fit(self, panel: Panel) -> None:
        with open(self.file, "a") as lines:
            lines.write(f"{panel.lengths.max()}\n")


class Warned(NaiveForecaster):
    """Warns that some series cannot be fitted."""

    def _fit(self, panel: Panel) -> None:
        warnings.warn("2 series are strange", FitWarning, stacklevel=2)


def plain(board: Leaderboard) -> pd.DataFrame:
    """Return the rows without what no two runs share."""
    return board.rows.drop(columns=SECONDS)


@pytest.mark.process
def test_several_processes_say_what_one_says_to_the_bit() -> None:
    data = np.stack([wave(90, i) for i in range(3)])[..., None]
    panel = Panel.from_array(data, season_length=6)
    wide = make("gru", **{**SMALL, "units": 130})  # wide enough to train on all threads
    models = {"gru": small("gru"), "wide": wide, "reduction": make("reduction"), "ets": ETSForecaster()}
    options = {"horizon": 3, "origins": 2, "refit": True, "seeds": 2}
    one, two = (leaderboard(models, panel, **options, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(plain(one), plain(two), check_exact=True)
    assert [fit.history != () for fit in one.record.fits] == [fit.history != () for fit in two.record.fits]
    assert [(fit.model, fit.seed, fit.learned_from) for fit in one.record.fits] == [
        (fit.model, fit.seed, fit.learned_from) for fit in two.record.fits
    ]


@pytest.mark.process
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_model_that_fails_at_one_cutoff_is_named_with_its_error_and_the_others_go_on(n_jobs: int) -> None:
    board = leaderboard(
        {"bad": Failing(52), "mean": MeanForecaster()}, wave(60), 3, origins=3, refit=True, n_jobs=n_jobs
    )
    assert board.failures == {"bad": "ZeroDivisionError: no denominator"}
    assert board.table["model"].iloc[-1] == "bad"
    assert board.table["mase"].notna().sum() == 4
    assert board.verdicts["bad"].outcome == "failed"
    assert board.verdicts["bad"].sentence == "bad failed: ZeroDivisionError: no denominator"
    assert "bad" not in set(board.rows["model"])
    assert "bad" not in board.by("step")
    assert board.audit_line == "Leak audit of all models: passed (data)"
    assert [fit.error != "" for fit in board.record.fits if fit.model == "bad"] == [False, True, True]


def test_a_board_of_nothing_but_failures_is_an_error_that_names_them_all() -> None:
    with pytest.raises(TsForecastError, match=r"(?s)one: ZeroDivisionError: no denominator.*two: ZeroDivisionError"):
        leaderboard({"one": Failing(), "two": Failing()}, wave(60), 3)
    with pytest.raises(DataError, match=r"^naive: a target must have a number before its forecast"):
        leaderboard(["mean"], Panel.from_array(np.r_[np.full(57, np.nan), wave(3)], nan_policy="mask"), 3)
    with pytest.raises(TsForecastError, match=r"^bad: ZeroDivisionError: no denominator$"):
        leaderboard({"bad": Failing(), "mean": MeanForecaster()}, wave(60), 3, reference="bad")


def test_a_comparison_without_anything_to_compare_with_ends_at_once(tmp_path: Path) -> None:
    models = {"naive": Failing(), "counted": Counted(str(tmp_path / "fits"))}
    with pytest.raises(TsForecastError, match=r"^naive: ZeroDivisionError"):
        leaderboard(models, wave(60), 3)
    assert not (tmp_path / "fits").exists()


def test_where_a_failure_arose_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    leaderboard({"bad": Failing(), "mean": MeanForecaster()}, wave(60), 3)
    assert "bad failed: ZeroDivisionError" in caplog.text
    assert 'raise ZeroDivisionError("no denominator' in caplog.text


@pytest.mark.process
def test_a_process_that_is_killed_is_a_failure_of_its_model_alone() -> None:
    board = leaderboard({"killed": Killed(), "mean": MeanForecaster()}, wave(60), 3, origins=2, n_jobs=2)
    assert board.failures == {"killed": "its process was killed 3 times; it may need more memory: use smaller settings"}
    assert board.table["mase"].notna().sum() == 4


@pytest.mark.process
def test_warnings_of_other_processes_are_heard() -> None:
    with pytest.warns(FitWarning, match="2 series are strange"):
        leaderboard({"warns": Warned()}, wave(60), 3, n_jobs=2)


@pytest.mark.long
def test_models_with_a_random_state_get_one_seed_after_the_other_and_others_run_once() -> None:
    board = leaderboard({"gru": small("gru"), "mean": MeanForecaster()}, wave(60), 3, seeds=3)
    seeds = board.rows.groupby("model", observed=True)["seed"].unique()
    assert seeds["gru"].tolist() == [0, 1, 2]
    assert seeds["mean"].isna().all()
    alone = leaderboard({"gru": small("gru").set_params(random_state=2)}, wave(60), 3)
    third = board.rows[(board.rows["model"] == "gru") & (board.rows["seed"] == 2)]
    assert third["forecast"].tolist() == alone.rows.loc[alone.rows["model"] == "gru", "forecast"].tolist()
    assert len({tuple(part["forecast"]) for _, part in board.rows[board.rows["model"] == "gru"].groupby("seed")}) == 3


def test_seeds_reach_what_an_ensemble_is_made_of_and_leave_states_alone_that_are_no_numbers() -> None:
    nested = EnsembleForecaster(GRUForecaster(random_state=5), random_state=1)
    second = seeded_clones(nested, 2)[1]
    assert (second.random_state, second.forecasters.random_state) == (2, 6)
    assert [model.random_state for model in seeded_clones(GRUForecaster(), 2)] == [0, 1]
    assert seeded_clones(GRUForecaster(), 1)[0].random_state is None


@pytest.mark.long
def test_a_comparison_goes_on_from_what_it_kept(tmp_path: Path) -> None:
    lines = tmp_path / "fits"
    models = {"counted": Counted(str(lines)), "bad": Failing(52), "gru": small("gru")}
    options = {"horizon": 3, "origins": 3, "refit": True, "checkpoint": tmp_path / "kept"}
    first = leaderboard(models, wave(60), **options)
    assert len(lines.read_text().splitlines()) == 3
    again = leaderboard({**models, "bad": Failing(100)}, wave(60), **options)
    assert len(lines.read_text().splitlines()) == 3
    assert set(again.rows["model"]) == {*first.rows["model"], "bad"}
    mine = again.rows[again.rows["model"] != "bad"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine.astype({"model": str}), first.rows.astype({"model": str}), check_exact=True)
    assert [fit for fit in again.record.fits if fit.model == "gru"] == [
        fit for fit in first.record.fits if fit.model == "gru"
    ]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "change", [{"data": wave(60, 1)}, {"horizon": 2}, {"origins": 4}, {"gap": 1}, {"audit": None}, {"refit": False}]
)
def test_what_was_kept_of_other_data_or_another_test_is_not_used(tmp_path: Path, change: dict[str, object]) -> None:
    lines = tmp_path / "fits"
    options = {"data": wave(60), "horizon": 3, "origins": 3, "refit": True, "checkpoint": tmp_path / "kept"}
    leaderboard({"counted": Counted(str(lines))}, **options)
    before = len(lines.read_text().splitlines())
    changed = {**options, **change}
    leaderboard({"counted": Counted(str(lines))}, **changed)
    assert len(lines.read_text().splitlines()) == before + (changed["origins"] if changed["refit"] else 1)


@pytest.mark.long
def test_other_settings_or_seeds_are_fitted_anew(tmp_path: Path) -> None:
    for model in (small("gru"), small("gru").set_params(units=5), small("gru").set_params(random_state=3)):
        leaderboard({"gru": model}, wave(60), 3, checkpoint=tmp_path)
    assert len(list(tmp_path.glob("gru-*.parquet"))) == 3
    assert len(list(tmp_path.glob("naive-*.parquet"))) == 1


SCRIPT = """
import sys, time
from tests.helpers.forecasters import wave
from tests.evaluation.test_runner import Counted
from tsforecast.evaluation.leaderboard import leaderboard
class Slow(Counted):
    def _fit(self, panel):
        super()._fit(panel)
        time.sleep(0.5)
if __name__ == "__main__":
    board = leaderboard({"slow": Slow(sys.argv[1])}, wave(60), 3, origins=8, refit=True, checkpoint=sys.argv[2])
    print(len(board.rows))
"""


@pytest.mark.process
def test_a_comparison_that_is_killed_loses_the_fit_it_was_at_and_no_other(tmp_path: Path) -> None:
    done, resumed, printed = kill_and_resume(SCRIPT, tmp_path, fits=4)
    assert done >= 3
    assert resumed == 8 - done
    assert printed == f"{4 * 8 * 3}\n"


def test_what_cannot_be_kept_or_counted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        leaderboard(["mean"], wave(60), 3, seeds=0, n_jobs=0)
    assert [problem.split(" must")[0] for problem in caught.value.problems] == ["seeds", "n_jobs"]
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="must be a folder"):
        leaderboard(["mean"], wave(60), 3, checkpoint=file)

    class Local(NaiveForecaster):
        pass

    with pytest.raises(ParameterError, match=r"local must be made of parts that can be pickled where a checkpoint"):
        leaderboard({"local": Local()}, wave(60), 3, checkpoint=tmp_path / "kept")


def test_the_record_says_what_was_fitted_on_what() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    people = [pd.DataFrame({"who": name, "day": days, "y": wave(60, i)}) for i, name in enumerate("abc")]
    panel = Panel.from_frame(pd.concat(people).assign(team=lambda t: t["who"]), id="who", group="team", target="y")
    board = leaderboard({"gru": small("gru")}, panel, 3, origins=2, step=2)
    fits = [fit for fit in board.record.fits if fit.model == "gru"]
    assert [fit.left_out for fit in fits] == [("a",), ("b",), ("c",)]
    assert {fit.series for fit in fits} == {2}
    assert {fit.learned_from for fit in fits} == {("2024-01-01", "2024-02-24")}
    assert {fit.steps for fit in fits} == {2 * 55}
    assert {fit.scaling for fit in fits} == {"log, standard scaler"}
    assert fits[0].resolved["window"] == 12
    assert [epoch["number"] for epoch in fits[0].history] == [0, 1, 2]
    assert [fit.leak_audit for fit in fits] == ["passed (data)", "", ""]
    past = board.record.past
    assert (past["time"] <= pd.Timestamp("2024-02-24")).all()
    assert past.groupby("series").size().tolist() == [14, 14, 14]
    assert board.record.past["y"].iloc[13] == wave(60, 0)[54]


@pytest.mark.process
def test_progress_names_each_model_when_it_starts() -> None:
    for n_jobs in (1, 2):
        names: list[str] = []
        leaderboard({"gru": small("gru")}, wave(60), 3, seeds=2, n_jobs=n_jobs, progress=names.append)
        assert names == ["naive", "seasonal-naive", "drift", "gru"]


def test_repeated_names_are_numbered() -> None:
    found = by_name((name, make(name)) for name in ["drift", "mean", "drift"])
    assert list(found) == ["drift", "mean", "drift-2"]
