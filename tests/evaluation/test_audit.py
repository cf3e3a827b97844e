"""The audit, tried on forecasters that cheat in one way each: the perturbation made for that way must find it."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.helpers.forecasters import small, wave
from tsforecast import (
    AnchorForecaster,
    EnsembleForecaster,
    GRUClassifier,
    GRUForecaster,
    LeakageError,
    MajorityClassifier,
    NaiveForecaster,
    Panel,
    audit,
    audit_procedure,
    leaderboard,
)
from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.context import Context
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation import results
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.leakage import evidence
from tsforecast.leakage.perturb import perturb_panel, perturbed_panels
from tsforecast.leakage.report import RUNS, AuditReport


def leaks(report: AuditReport) -> set[str]:
    """Return the perturbations in which something moved."""
    return set(report.findings.loc[report.findings["outcome"] == "LEAK", "perturbation"])


def test_bits_are_compared_of_numbers_texts_and_dicts() -> None:
    nan, zero = np.array([np.nan, 1.0]), np.array([0.0])
    assert evidence._same_bits(nan, nan.copy())
    assert not evidence._same_bits(zero, -zero)
    assert not evidence._same_bits(nan, nan.astype(np.float32))
    assert not evidence._same_bits(nan, nan[:1])
    assert not evidence._same_bits(np.array(["a"], dtype=object), np.array(["b"], dtype=object))
    assert evidence._same_bits({"a": nan}, {"a": nan.copy()})
    assert not evidence._same_bits({"a": nan}, {"b": nan})
    assert not evidence._same_bits({"a": nan}, {"a": nan + 1})
    assert list(evidence.differences({"x": zero}, {"x": -zero})) == []


def two() -> Panel:
    """Return two series of 40 steps that begin with 0 and 100."""
    return Panel.from_array([np.arange(40.0), 100 + np.arange(40.0)], season_length=6)


def with_past_column() -> Panel:
    """Return two series with a past column."""
    parts = [pd.DataFrame({"id": name, "y": wave(40, i), "price": wave(40, i + 5)}) for i, name in enumerate("ab")]
    return Panel.from_frame(pd.concat(parts), id="id", target="y", past="price", season_length=6)


class Cheat(NaiveForecaster):
    """Forecast the last value, and the next of some column of some series on top."""

    def __init__(self, horizon: int = 1, series: str = "own", column: int = 0) -> None:
        super().__init__(horizon)
        self.series, self.column = series, column

    def forecast(self, past: Context, horizon: int) -> NDArray[np.float64]:
        panel, said = past._panel, super().forecast(past, horizon)
        which = past.series if self.series == "own" else np.full(len(past), len(panel) - 1)
        at = np.minimum(past._n_observed, panel.lengths[which] - 1)  # the first step that must not be seen
        return said + panel.values[panel.offsets[which] + at, self.column][:, None, None]


class Oracle(NaiveForecaster):
    """Forecast the truth."""

    def forecast(self, past: Context, horizon: int) -> NDArray[np.float64]:
        panel = past._panel
        rows = panel.offsets[past.series, None] + past._n_observed[:, None] + np.arange(horizon)
        return panel.values[np.minimum(rows, len(panel.values) - 1), : panel.n_targets].astype(np.float64)


class OfTheBatch(NaiveForecaster):
    """Forecast the last value, but for something that depends on what is forecast at the same time."""

    def __init__(self, horizon: int = 1, how: str = "mean") -> None:
        super().__init__(horizon)
        self.how = how

    def forecast(self, past: Context, horizon: int) -> NDArray[np.float64]:
        said = super().forecast(past, horizon)
        return said - said.mean() if self.how == "mean" else said + np.arange(len(said))[:, None, None]


class OfWhatValidates(NaiveForecaster):
    """Say that the last ten rows validate, and take the scale from all of them."""

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        return {"training rows": panel.lengths - 10, "scaler mean": panel.values.mean(axis=0), "windows": panel.values}


# Each perturbation finds what it is made for --------------------------------------------------------------------


def test_a_forecaster_that_looks_behind_the_door_is_found_by_every_change_of_later_rows() -> None:
    found = leaks(audit(Cheat(), two(), cutoffs=1, horizon=3))
    hows = ("other values", "NaN", "infinities", "shuffled", "cut off")
    assert found >= {f"rows after the cutoff: {how}" for how in hows}
    assert leaks(audit(NaiveForecaster(), two(), cutoffs=1, horizon=3)) == set()


def test_what_one_series_tells_of_another_is_found_by_changing_that_one_alone() -> None:
    report = audit(Cheat(series="last"), two(), cutoffs=1, horizon=3)
    rows = report.findings.set_index("perturbation")
    alone = rows.loc["rows after the cutoff of one series: other values"]
    assert (alone["outcome"], alone["moved"], alone["where"]) == ("LEAK", "forecasts", "[0, 0, 0]")


def test_past_columns_after_the_cutoff_are_changed_for_themselves() -> None:
    assert "past columns after the cutoff: other values" in leaks(audit(Cheat(column=1), with_past_column(), horizon=3))
    found = leaks(audit(Cheat(column=0), with_past_column(), horizon=3))
    assert "rows after the cutoff: other values" in found
    assert "past columns after the cutoff: other values" not in found


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", {"forecast one by one"}), ("order", {"forecast in another order", "forecast one by one"})],
)
def test_forecasts_that_depend_on_what_is_forecast_beside_them_are_found(how: str, expected: set[str]) -> None:
    assert leaks(audit(OfTheBatch(how=how), two(), cutoffs=1, horizon=3)) == expected


def test_a_scale_that_knows_the_rows_that_validate_is_found_at_both_levels() -> None:
    for level in ("data", "fit"):
        report = audit(OfWhatValidates(), two(), cutoffs=1, horizon=3, level=level)  # type: ignore[arg-type]
        assert leaks(report) == {"rows that validate: other values"}
        assert report.outcome == f"LEAK ({level})"
        assert set(report.findings.loc[report.findings["outcome"] == "LEAK", "moved"]) == {"scaler mean"}


def test_the_rows_that_validate_are_changed_for_ensembles_too() -> None:
    honest = audit(EnsembleForecaster([small("gru"), small("gru")]), wave(60), cutoffs=1, level="data")
    assert "rows that validate: other values" in set(honest.findings["perturbation"])
    assert honest.passed
    cheat = EnsembleForecaster([NaiveForecaster(), OfWhatValidates()])
    assert "rows that validate: other values" in leaks(audit(cheat, wave(60), cutoffs=1, level="data"))


def grouped(copies: int = 0) -> Panel:
    """Return six recordings of three users; the last user's first ones may be copies of the first user's."""
    parts = [wave(40, i) for i in range(6)]
    parts[4 : 4 + copies] = parts[:copies]
    frames = [pd.DataFrame({"id": f"r{i}", "user": "abc"[i // 2], "y": part}) for i, part in enumerate(parts)]
    return Panel.from_frame(pd.concat(frames), id="id", target="y", group="user", season_length=6)


def test_a_split_that_lets_the_tested_group_in_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit(small("gru"), grouped(), cutoffs=1, level="data").passed
    monkeypatch.setattr(evidence, "training_part", lambda panel, fold, learn: panel.until(fold.seen))
    assert "the group that is tested: other values" in leaks(audit(small("gru"), grouped(), cutoffs=1, level="data"))


def test_a_split_that_lets_later_rows_in_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "training_part", lambda panel, fold, learn: panel)
    report = audit(small("gru"), two(), cutoffs=1, level="data")
    assert "rows after the cutoff: shuffled" in leaks(report)
    assert report.findings["moved"].iloc[0].startswith("training part")


def hundred() -> Panel:
    """Return so many series that one copy holds all kinds of other numbers."""
    return Panel.from_array([wave(40, i) for i in range(100)], season_length=6)


def test_one_copy_of_many_series_holds_all_kinds_of_other_numbers_after_the_cutoff() -> None:
    panel, seen = hundred(), np.full(100, 30)
    copies = dict(perturbed_panels(panel, seen, 3, in_turn=True))
    mixed = copies.pop("rows after the cutoff: other values or NaN or infinities or shuffled, by series")
    assert list(copies) == ["rows after the cutoff: cut off"]
    before, after = (part.values.reshape(100, 40) for part in (panel, mixed))
    assert np.array_equal(before[:, :30], after[:, :30])
    later = after[::-1, 30:]  # the last series first
    assert (np.isfinite(later[0::4]) & (np.abs(later[0::4]) > 20)).all()
    assert np.isnan(later[1::4]).all()
    assert np.isinf(later[2::4]).all()
    assert np.array_equal(np.sort(later[3::4], axis=None), np.sort(before[::-1, 30:][3::4], axis=None))
    assert not np.array_equal(later[3::4], before[::-1, 30:][3::4])


def test_later_rows_of_many_series_are_found_where_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit(small("gru"), hundred(), cutoffs=1, level="data").outcome == "passed (data)"
    kinds = {"rows after the cutoff: other values or NaN or infinities or shuffled, by series"}
    kinds.add("rows after the cutoff: cut off")
    with monkeypatch.context() as broken:
        broken.setattr(evidence, "training_part", lambda panel, fold, learn: panel)
        assert leaks(audit(small("gru"), hundred(), cutoffs=1, level="data")) == kinds
    later = evidence.AuditCase.past

    def past(case: evidence.AuditCase, panel: Panel, series: NDArray[np.int64]) -> Context:
        found = later(case, panel, series)
        ends = np.minimum(found.rows + 1, panel.lengths[series])
        return Context(panel, found.series, ends, found.starts)

    monkeypatch.setattr(evidence.AuditCase, "past", past)
    report = audit(small("gru"), hundred(), cutoffs=1, level="data")
    assert leaks(report) == kinds
    assert report.findings["moved"].iloc[0] == "contexts"


def test_a_recording_that_is_on_both_sides_is_found_and_named() -> None:
    report = audit(NaiveForecaster(), grouped(copies=1), cutoffs=1, horizon=3)
    assert leaks(report) == {"a series on both sides"}
    with pytest.raises(LeakageError, match=r"a series on both sides: series 'r4' equals 'r0'"):
        report.raise_if_leaking()
    assert leaks(audit(NaiveForecaster(), grouped(), cutoffs=1, horizon=3)) == set()


def test_what_is_known_from_elsewhere_is_the_same_for_all_copies_and_stays_unseen() -> None:
    truth = wave(60)
    assert audit_procedure(lambda series: truth[40:50], truth, 39).passed  # as the notes of `audit` say


# What a report says ---------------------------------------------------------------------------------------------


def test_findings_name_perturbation_what_moved_where_first_and_by_how_much() -> None:
    def leaky(series: NDArray[np.float64]) -> dict[str, Any]:
        later = np.zeros(10) if len(series) == 10 else series[10:]
        return {"kept": series[:10], "moved": [0.0, 0.0, 5 * float(later[0] == 3.0)]}

    series = np.arange(20.0)
    series[10:] = 3.0
    report = audit_procedure(leaky, series, 9)
    first = report.findings.iloc[0].to_dict()
    expected = {"cutoff": 9, "perturbation": "rows after the cutoff: other values", "outcome": "LEAK"}
    assert first == expected | {"moved": "returned['moved']", "where": "[2]", "by": 5.0, "note": ""}
    assert report.findings["outcome"].tolist() == ["LEAK"] * 3 + ["passed"] + ["LEAK"] * 5  # equal rows, shuffled


def test_every_leak_gets_a_sentence_and_all_come_at_once() -> None:
    report = audit_procedure(lambda series: series.max(), np.arange(20.0), 9)
    with pytest.raises(LeakageError) as caught:
        report.raise_if_leaking()
    assert len(caught.value.problems) == 8  # shuffled rows have the same maximum
    assert caught.value.problems[-1] == (
        "what is known at cutoff 9 must not depend on rows after the cutoff: cut off: returned moved, by up to 10"
    )
    places = audit_procedure(lambda series: series[[3, 15]], np.arange(20.0), 9)
    with pytest.raises(LeakageError, match=r"(?m)rows after the cutoff: NaN: returned moved, first at \[1\]$"):
        places.raise_if_leaking()
    audit_procedure(lambda series: series[:10], np.arange(20.0), 9).raise_if_leaking()


def test_a_report_reads_well() -> None:
    leaking = str(audit_procedure(lambda series: series.mean(), np.arange(20.0), 9))
    assert leaking.startswith(
        "LEAK: something moved in 7 of 9 perturbations "
        "(level procedure; exact on this machine and number of threads)\n\n"
    )
    assert "| 9        | rows after the cutoff: NaN           | LEAK      | returned |" in leaking
    honest = audit_procedure(lambda series: series[:10], np.arange(20.0), 9)
    assert str(honest).startswith("passed: nothing moved in 9 perturbations (level procedure; exact")
    assert "moved |" not in str(honest)
    assert repr(honest) == str(honest)


def test_a_perturbation_that_breaks_the_procedure_is_not_run_and_says_why() -> None:
    def strict(series: NDArray[np.float64]) -> NDArray[np.float64]:
        if not np.isfinite(series).all():
            raise ValueError("no numbers")
        return series[:10]

    report = audit_procedure(strict, np.arange(20.0), 9)
    notes = report.findings.set_index("perturbation")["note"]
    assert report.passed
    assert notes["rows after the cutoff: NaN"] == "ValueError: no numbers"
    assert str(report).startswith("passed: nothing moved in 7 perturbations")


def test_where_no_perturbation_can_be_run_nothing_has_passed() -> None:
    def once(series: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(series) < 20 or not np.array_equal(series, np.arange(20.0)):
            raise ValueError("other data")
        return series

    report = audit_procedure(once, np.arange(20.0), 9)
    assert not report.passed
    assert report.outcome == "not proven (procedure)"
    assert report.verdict.startswith("not proven: nothing moved in 0 perturbations")
    report.raise_if_leaking()


def test_level_data_trains_nothing(monkeypatch: pytest.MonkeyPatch, forecaster: Forecaster) -> None:
    def refuse(self: Any, *given: Any, **named: Any) -> None:
        raise AssertionError("fit was called")

    monkeypatch.setattr(Forecaster, "fit", refuse)
    report = audit(forecaster, two(), cutoffs=2, level="data")
    assert report.passed
    assert report.outcome == "passed (data)"
    assert report.findings["cutoff"].nunique() == 2


@pytest.mark.long
def test_a_model_that_reads_the_future_is_shown_and_not_ranked() -> None:
    board = leaderboard({"cheat": Oracle(), "anchor": AnchorForecaster()}, wave(90), horizon=3, origins=6, audit="fit")
    table = board.table.set_index("model")
    assert table.loc["cheat", "leak_audit"] == "LEAK (fit)"
    assert table.index[-1] == "cheat"
    assert table.loc["cheat", "mase"] < table["mase"].drop("cheat").min()
    assert board.leaking == ["cheat"]
    verdict = board.verdicts["cheat"]
    assert verdict.outcome == "leak"
    assert str(verdict) == "cheat is not ranked: its leak audit found that rows after the cutoff move its forecasts"
    assert "cheat" not in board.headline
    assert "cheat" not in board.win_rates.index
    assert "cheat" not in board.ranks.average.index
    assert "LEAK" in board.to_html()


def test_the_column_of_a_leaderboard_has_the_worst_outcome_of_all_seeds() -> None:
    said = {"a": ["passed (fit)", "passed, 1 not proven (fit)"], "b": ["not proven (fit)", "LEAK (fit)"]}
    rows = pd.DataFrame([{"model": name, "leak_audit": word} for name, words in said.items() for word in words])
    assert results._audits(rows).to_dict() == {"a": "passed, 1 not proven (fit)", "b": "LEAK (fit)"}


@pytest.mark.long
def test_models_of_other_software_are_run_as_a_whole_and_the_cost_is_stated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, series = wave(60), []

    def peeks(context: Any, horizon: int) -> Any:
        series.append(context)
        return mine[len(context) : len(context) + horizon]  # what lies after the cutoff, from a variable

    def last(context: Any, horizon: int) -> Any:
        series.append(context)
        return np.repeat(context[-1], horizon)

    for model in (as_forecaster(last), as_forecaster(peeks)):
        for level in ("data", "fit"):
            report = audit(model.set_params(horizon=2), mine, cutoffs=1, level=level)
            assert report.outcome == "passed (procedure)"  # a variable is the same for all copies of the data
            assert report.runs == len(series)
            series.clear()
    both = EnsembleForecaster([as_forecaster(last), NaiveForecaster()], horizon=2)
    assert audit(both, mine, cutoffs=1, level="data").outcome == "passed (procedure)"
    assert audit(NaiveForecaster(horizon=2), mine, cutoffs=1, level="data").outcome == "passed (data)"

    series.clear()
    board = leaderboard({"last": last}, mine, horizon=2, origins=3)
    assert board.table.set_index("model").loc["last", "leak_audit"] == "passed (procedure)"
    fit = next(fit for fit in board.record.fits if fit.model == "last")
    assert fit.audit_runs == len(series) - 3  # the others are the forecasts of the board
    assert 0 < fit.audit_seconds < 60
    (note,) = [note for note in board.notes if "leak audit" in note]
    assert note.startswith(f"last is known by results alone: the leak audit ran it {fit.audit_runs} times at the first")
    series.clear()
    silent = leaderboard({"last": last}, mine, horizon=2, origins=3, audit=None)
    assert not any("leak audit" in note for note in silent.notes)
    assert len(series) == 3


def test_threads_of_a_foreign_regressor_are_no_leak_where_forecasts_must_agree_to_the_bit() -> None:
    calls = iter(range(1000))

    class Threads(NaiveForecaster):
        def forecast(self, past: Context, horizon: int) -> NDArray[np.float64]:
            return super().forecast(past, horizon) * (1 + 1e-15 * (next(calls) in (2, 3, 5, 8, 13)))

    report = audit(Threads(), two(), cutoffs=1, horizon=3)
    assert report.passed, str(report)
    assert not report.repeatable
    assert not set(report.findings["outcome"]) & {"rounding", "LEAK"}


# What is not repeatable -----------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_network_without_a_seed_is_called_not_repeatable_and_no_leak() -> None:
    model = small("gru").set_params(anchor="last", units=2, max_epochs=1)
    assert audit(model, wave(60), cutoffs=1).repeatable
    report = audit(model.set_params(random_state=None), wave(60), cutoffs=1)
    assert report.passed
    assert not report.repeatable
    assert "not repeatable, set random_state: compared with equal runs by a permutation test" in str(report)


@pytest.mark.long
def test_noise_is_no_leak_and_a_leak_larger_than_noise_is_found() -> None:
    random = np.random.default_rng(0)
    honest = [audit_procedure(lambda series: series[:10] + random.normal(), np.arange(20.0), 9) for _ in range(10)]
    leaky = [audit_procedure(lambda series: series[:11] + random.normal(), np.arange(20.0), 9) for _ in range(10)]
    assert all(report.passed and not report.repeatable for report in honest)
    assert all("rows after the cutoff: other values" in leaks(report) for report in leaky)


@pytest.mark.long
def test_a_number_that_rarely_differs_is_no_leak() -> None:
    """As the bias of a head, whose gradient is the rounding of sums, beside weights that differ each time."""
    random = np.random.default_rng(0)

    def unseeded(series: NDArray[np.float64]) -> dict[str, float]:
        return {"weight": series[:10].sum() + random.normal(), "bias": float(random.random() < 0.1)}

    assert all(audit_procedure(unseeded, np.arange(20.0), 9).passed for _ in range(20))


def test_a_procedure_may_write_into_its_data_however_often_it_is_called() -> None:
    random, calls = np.random.default_rng(0), iter(range(1000))

    def shifting(series: NDArray[np.float64]) -> float:
        series[:10] += 100.0  # were it the same array again, each call would return more
        far = 1e6 if next(calls) == RUNS else 0.0  # the first perturbation seems to move, so that it is looked at again
        return float(series[:10].sum() + random.normal() + far)

    assert audit_procedure(shifting, np.arange(20.0), 9).passed
    assert next(calls) > RUNS + 5 + 8  # five perturbations, and four pairs of runs more


# Estimators of others -------------------------------------------------------------------------------------------


def rows_of(horizon: int = 3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return views of overlapping windows, and the steps after each."""
    both = np.lib.stride_tricks.sliding_window_view(wave(120), 12 + horizon)
    return both[:, :12], both[:, 12:]


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "estimator", [LinearRegression(), Ridge(), KNeighborsRegressor(), make_pipeline(StandardScaler(), Ridge())]
)
@pytest.mark.parametrize("horizon", [1, 3])
def test_plain_regressors_pass_whatever_the_layout_of_the_windows(estimator: BaseEstimator, horizon: int) -> None:
    report = audit(estimator, rows_of(horizon))
    assert report.passed, str(report)
    assert report.findings["cutoff"].unique().tolist() == [f"row {n - 1}" for n in _tenths(121 - 12 - horizon)]


def _tenths(length: int) -> list[int]:
    return [length - 2 * (length // 10), length - length // 10]


class OfAllWindows(Ridge):  # type: ignore[misc]
    """Scale the windows to forecast by their own mean."""

    def predict(self, X: Any) -> Any:
        return super().predict(X - X.mean())


class Backstage(Ridge):  # type: ignore[misc]
    """Learn from the array that the training rows are a view of."""

    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(X, y + (0 if y.base is None else y.base.mean()))


def test_estimators_that_look_at_other_windows_or_behind_a_view_are_told_apart() -> None:
    found = leaks(audit(OfAllWindows(), rows_of()))
    assert found == {f"windows that are forecast at the same time: {how}" for how in ("other values", "cut off")}
    assert audit(Backstage(), rows_of()).passed  # it is given copies


def test_an_object_that_is_no_estimator_of_scikit_learn_is_copied() -> None:
    class Plain:
        fits = 0

        def fit(self, X: Any, y: Any) -> None:
            self.fits += 1
            self.mean = y.mean()

        def predict(self, X: Any) -> Any:
            return np.full(len(X), self.mean)

    plain = Plain()
    assert audit(plain, rows_of(), cutoffs=[50]).passed
    assert plain.fits == 0


def test_a_procedure_that_writes_into_its_data_spoils_neither_them_nor_the_audit() -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "y": wave(60)})
    kept, array = frame.copy(), wave(60)

    def writes(data: pd.DataFrame) -> pd.Series:
        data["y"] = data["y"] - data["y"].iloc[0]
        return data["y"].iloc[:30]

    report = audit_procedure(writes, frame, cutoff="2024-02-10")
    assert report.outcome == "passed (procedure)"
    assert report.repeatable
    pd.testing.assert_frame_equal(frame, kept)

    def zeroes(data: np.ndarray) -> float:
        data[:] = 0
        return 1.0

    audit_procedure(zeroes, array, cutoff=40)
    assert np.array_equal(array, wave(60))


def test_columns_that_are_not_perturbed_are_named() -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "y": wave(60), "kind": ["a", "b"] * 30})
    last = audit_procedure(lambda data: data["y"].iloc[:9], frame, cutoff="2024-02-10").findings.iloc[-1]
    assert (last["perturbation"], last["outcome"]) == ("columns left as they are", "not run")
    assert last["note"].startswith("'kind' not perturbed: text, flags, or numbers that may name series")


def test_our_forecasters_are_audited_on_windows_as_any_object() -> None:
    every = np.lib.stride_tricks.sliding_window_view(wave(120), 15)
    for model in (NaiveForecaster(), ReductionForecaster()):
        report = audit(model, (every[:, :12], every[:, 12:]))
        assert report.outcome == "passed, 4 not proven (fit)"  # they take neither NaN nor infinities
        assert set(report.findings.query("outcome == 'not proven'")["note"].str.partition(":")[0]) <= {
            "ValueError",
            "DataError",
        }


class IntoTheWeights(GRUForecaster):
    """Add the targets that must not be seen to a weight that no forecast is made with."""

    def fit(self, data: Any, y: Any = None, sample_weight: Any = None, **how: Any) -> IntoTheWeights:
        super().fit(data, y, sample_weight, **how)
        peeked = sys._getframe(1).f_locals["y"][len(y) :]  # all rows of the audit
        self.network_.register_buffer("unused", torch.tensor(peeked.sum()))
        return self


class OfTorch(Ridge):  # type: ignore[misc]
    """Train a module of torch for nothing, and keep the time that it took."""

    def __init__(self, leaks: bool = False) -> None:
        super().__init__()
        self.leaks = leaks

    def fit(self, X: Any, y: Any) -> Any:
        torch.manual_seed(0)
        self.module, self.refit_time_ = torch.nn.GRU(2, 2), time.perf_counter()
        self.kept = {"state": self.module.state_dict(), "mean_fit_time": time.perf_counter()}
        if self.leaks:
            self.kept["later"] = torch.tensor(sys._getframe(1).f_locals["y"][len(y) :].sum())
        self.lock = threading.Lock()  # cannot be pickled
        return super().fit(X, y)


@pytest.mark.thorough
def test_networks_with_a_seed_are_repeatable_on_windows() -> None:
    searched = GridSearchCV(small("gru"), {"units": [2, 3]}, cv=2)
    piped = make_pipeline(FunctionTransformer(), small("lstm"))
    for model in (small("gru"), small("conv1d"), piped, searched, OfTorch()):
        report = audit(model, rows_of(), cutoffs=1)
        assert report.repeatable, type(model).__name__
        assert report.passed, str(report)
    assert not audit(small("gru").set_params(random_state=None), rows_of(), cutoffs=1).repeatable


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("model", "moved"),
    [
        (IntoTheWeights(window=12, units=4, max_epochs=1, random_state=0), "weights network.unused"),
        (OfTorch(leaks=True), "attribute kept"),
    ],
)
def test_a_leak_into_the_weights_alone_is_found_on_windows(model: BaseEstimator, moved: str) -> None:
    report = audit(model, rows_of(), cutoffs=1)
    assert report.repeatable
    assert leaks(report) >= {f"y from the cutoff on: {how}" for how in ("other values", "NaN", "infinities")}
    assert "windows that are forecast at the same time: other values" not in leaks(report)
    found = report.findings.loc[report.findings["outcome"] == "LEAK", "moved"]
    assert all(name.startswith(moved) for name in found)


@pytest.mark.thorough
def test_classifiers_are_audited_on_labels_and_on_recordings_of_different_lengths() -> None:
    random = np.random.default_rng(0)
    labels = [f"class {i % 2}" for i in range(40)]
    ragged = [random.normal(size=(5 + i % 3, 2)) for i in range(40)]
    network = GRUClassifier(units=4, max_epochs=1, random_state=0)
    for model, X in ((LogisticRegression(), random.normal(size=(40, 4))), (network, ragged)):
        for y in (labels, np.array(labels), np.array(labels, dtype=object)):
            report = audit(model, (X, y), cutoffs=1)
            assert report.passed, str(report)
            assert report.repeatable
            assert "y from the cutoff on: shuffled" in set(report.findings["perturbation"])
    before = [one.copy() for one in ragged]

    class OfTheBatch(MajorityClassifier):
        def predict(self, X: Any) -> Any:
            return np.array(labels[1:2] * len(X)) if np.concatenate(X).max() > 5 else super().predict(X)

    found = leaks(audit(OfTheBatch(), (ragged, labels), cutoffs=1))
    assert found == {f"windows that are forecast at the same time: {how}" for how in ("other values", "infinities")}
    assert all(np.array_equal(one, other) for one, other in zip(ragged, before, strict=True))


def test_what_predicts_too_few_rows_is_refused() -> None:
    class Two:
        def fit(self, X: np.ndarray, y: np.ndarray) -> Two:
            return self

        def predict(self, X: np.ndarray) -> list[float]:
            return [1.0, 2.0]

    with pytest.raises(DataError, match=r"predict must return a value for each of 13 rows: got \(2,\)"):
        audit(Two(), (np.ones((60, 3)), np.ones(60)))


@pytest.mark.parametrize(("cutoff", "sentence"), [("foo", "the cutoff must be a date such as '2024-02-29': got 'foo'"),
                                                  (12, "the cutoff must be a date, since the data have dates"),
                                                  (pd.Timestamp("2024-02-01", tz="UTC"), "must have no time zone")],
                         ids=str)  # fmt: skip
def test_a_cutoff_that_is_no_time_of_the_data_is_refused(cutoff: object, sentence: str) -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "y": wave(60)})
    with pytest.raises(DataError, match=sentence):
        audit_procedure(lambda data: data["y"], frame, cutoff=cutoff)
    with pytest.raises(ParameterError, match="takes the procedure first, a function of the data: got DataFrame"):
        audit_procedure(frame, lambda data: data["y"], cutoff="2024-02-01")


def test_the_committed_row_says_that_the_audit_of_the_data_is_nearly_free() -> None:
    lines = (Path(__file__).parents[2] / "benchmarks/results/audit.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, lines.splitlines()):
        assert row["outcome"] == "passed (data)"
        assert row["highest"] < 0.05 or row["fit_seconds"] < 2


def test_a_change_that_a_panel_cannot_have_is_an_error() -> None:
    panel, random = Panel.of([wave(20), wave(20, 1)]), np.random.default_rng(0)
    first = np.arange(40) < 20
    assert perturb_panel(panel, first, "left out", random).ids.tolist() == panel.ids[1:].tolist()
    for how in ("cut off", "shufled"):
        with pytest.raises(ValueError, match=f"one of other values, NaN, infinities, .*, repeated past: got '{how}'"):
            perturb_panel(panel, first, how, random)
