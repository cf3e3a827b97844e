"""Models of any origin: what they are given, which answers are refused, and their lines on a board."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import wave
from tsforecast.adapters import tables
from tsforecast.adapters.base import ForeignForecaster, Question, grid_of
from tsforecast.adapters.names import make as make_foreign
from tsforecast.adapters.protocol import FunctionForecaster, ObjectForecaster, as_forecaster, label_of
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.leakage.audit import audit

DAYS = pd.date_range("2024-01-01", periods=20, freq="D")
SHOPS = pd.DataFrame(
    {
        "shop": np.repeat(["b", "a"], 20),
        "day": np.tile(DAYS, 2),
        "sales": np.arange(40.0),
        "price": np.arange(40.0) % 7,
        "town": np.repeat(["x", "y"], 20),
    }
)
PANEL = Panel.from_frame(SHOPS, id="shop", time="day", target="sales", future="price", static="town")


class Level:
    """Repeats the mean of what it was fitted to."""

    def fit(self, frame: Any) -> None:
        self.level = float(np.mean(frame))

    def predict(self, horizon: int) -> np.ndarray:
        return np.repeat(self.level, horizon)


class Last:
    """Is fitted once and repeats the last number of any context."""

    fits = 0

    def fit(self, frame: Any) -> Last:
        type(self).fits += 1
        return self

    def predict(self, context: np.ndarray, horizon: int) -> np.ndarray:
        return np.repeat(context[-1], horizon)


class Locked(Last):
    """Cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Supervised:
    """Has the methods of a regressor, but is none."""

    def fit(self, X: Any, y: Any) -> None:
        """Learn nothing."""

    def predict(self, X: Any) -> None:
        """Return nothing."""


class Unpicklable(Last):
    """Can be copied, and not pickled."""

    def __deepcopy__(self, memo: Any) -> Unpicklable:
        return type(self)()

    def __reduce__(self) -> Any:
        raise TypeError("not this one")


def last(context: Any, horizon: int) -> np.ndarray:
    """Return the last number as often as asked."""
    return np.repeat(np.asarray(context)[-1], horizon)


def test_a_function_is_given_the_rows_up_to_each_cutoff_and_the_known_future_as_the_data_have_them() -> None:
    asked: list[tuple[pd.DataFrame, pd.DataFrame]] = []

    def keep(context: pd.DataFrame, horizon: int, future: pd.DataFrame) -> pd.DataFrame:
        asked.append((context, future))
        return future.sample(frac=1, random_state=0).assign(sales=range(2 * horizon))

    rows = backtest(keep, PANEL, horizon=3, origins=2, audit=None)
    for (context, future), cutoff in zip(asked, (DAYS[13], DAYS[16]), strict=True):
        known = SHOPS[SHOPS["day"] <= cutoff].reset_index(drop=True)
        assert sorted(context.columns) == sorted(SHOPS.columns)
        pd.testing.assert_frame_equal(context[SHOPS.columns], known, check_dtype=False)
        ahead = SHOPS[(SHOPS["day"] > cutoff) & (SHOPS["day"] <= cutoff + pd.Timedelta("3D"))].reset_index(drop=True)
        pd.testing.assert_frame_equal(future[["shop", "day", "price"]], ahead[["shop", "day", "price"]])
    by_place = asked[0][1].sample(frac=1, random_state=0)[["shop", "day"]].to_numpy().tolist()
    first = rows[rows["cutoff"] == DAYS[13]]
    assert [by_place[int(each)] for each in first["forecast"]] == first[["series", "time"]].to_numpy().tolist()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (np.arange(20.0), np.ndarray),
        (np.arange(20.0).reshape(10, 2), np.ndarray),
        (np.arange(20.0).reshape(2, 10, 1), np.ndarray),
        ([np.arange(9.0), np.arange(5.0)], list),
        (pd.Series(np.arange(20.0), index=DAYS), pd.Series),
        (pd.Series(np.arange(20.0), index=DAYS, name="y").to_frame(), pd.DataFrame),
        (pd.Series(np.arange(20.0), index=DAYS.tz_localize("Europe/Berlin")), pd.Series),
        (pl.DataFrame({"day": DAYS.to_numpy(), "y": np.arange(20.0)}), pl.DataFrame),
        (Panel.from_wide(pd.DataFrame({"day": DAYS, "a": np.arange(20.0), "b": [None, *range(19)]})), pd.DataFrame),
    ],
)
def test_a_context_is_the_data_in_their_own_form_and_its_own_last_rows_are_an_answer(data: Any, kind: type) -> None:
    seen: list[Any] = []

    def keep(context: Any, horizon: int) -> Any:
        seen.append(context)
        return NaiveForecaster(horizon=horizon).fit(Panel.from_wide(context) if wide else context).predict()

    wide = isinstance(data, Panel)
    found = FunctionForecaster(keep, horizon=2).fit(data).predict()
    expected = NaiveForecaster(horizon=2).fit(data).predict()
    assert isinstance(seen[0], kind)
    if not wide:
        for mine, theirs in zip(seen[0], data, strict=True) if kind is list else [(seen[0], data)]:
            np.testing.assert_array_equal(mine, theirs)
    if isinstance(found, (pd.DataFrame, pd.Series)):
        assert found.equals(expected)
    else:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def shops(**columns: Any) -> Callable[..., pd.DataFrame]:
    """Return a function that answers with the known future and some columns."""
    return lambda context, horizon, future: future.drop(columns="price").assign(**columns)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            lambda c, h: None,
            "must forecast 3 steps of 2 series, in an array of shape (2, 3) or a frame: it returned None",
        ),
        (lambda c, h: np.zeros((3, 2)), "in an array of shape (2, 3) or a frame: got shape (3, 2)"),
        (lambda c, h: [[0.0] * h, [0.0]], "in an array of shape (2, 3) or a frame: got list"),
        (lambda c, h: [[0.0, 1.0, np.nan], [0.0] * h], "1 of 6 are not, the first in step 3 of series 'b'"),
        (lambda c, h: {"a": [0.0] * h}, "must forecast every series: 'b' of 2 series are missing"),
        (lambda c, h, f: f.head(5).assign(sales=1.0), "once: step 3 of series 'a' is missing"),
        (lambda c, h, f: pd.concat([f, f]).assign(sales=1.0), "once: step 1 of series 'b' is there 2 times"),
        (lambda c, h, f: f.assign(sales=1.0, shop="c"), "once: 6 of 6 rows are of other times or series"),
        (lambda c, h, f: f.assign(sales=1.0, day=f["day"] - pd.Timedelta("1D")), "2 of 6 rows are of other times"),
        (shops(low=1.0, high=2.0), "must forecast a frame that can be read: "),
        (shops(sales="many"), "must forecast"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_is_refused_in_a_sentence(answer: Any, sentence: str) -> None:
    model = FunctionForecaster(answer, horizon=3).fit(PANEL)
    future = PANEL.to_native(np.zeros((2, 3, 1))).rename(columns={"sales": "price"})
    with pytest.raises(DataError) as caught:
        model.predict(future=future)
    assert str(caught.value).startswith("function must forecast")
    assert sentence in str(caught.value)


def test_an_object_is_fitted_once_where_it_reads_a_context_and_at_each_cutoff_where_it_does_not() -> None:
    series, Last.fits = wave(60), 0
    rows = backtest(Last(), series, horizon=2, origins=4, audit=None)
    naive = backtest(NaiveForecaster(), series, horizon=2, origins=4)
    np.testing.assert_array_equal(rows["forecast"], naive["forecast"])
    assert Last.fits == 1
    level = backtest(Level(), series, horizon=2, origins=4, audit=None)
    for cutoff, part in level.groupby("cutoff"):
        assert part["forecast"].tolist() == [series[: int(cutoff) + 1].mean()] * 2
    assert ObjectForecaster(Last()).note == ""
    assert "fitted again at each cutoff" in ObjectForecaster(Level()).note


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (3, "or an object with fit and predict: got int"),
        (Ridge, "got the class Ridge; write Ridge()"),
        ([Level()], "got list; give one (leaderboard compares several)"),
        (lambda: 3, "function must be a function f(context, horizon, future): it takes no context"),
        (lambda a, b, c, d: 3, "must take context, horizon, future, or fewer of them: parameter 'd' is one more"),
        (Locked(), "Locked must be an object that can be copied, to be fitted at several cutoffs: cannot pickle"),
        (
            Supervised(),
            "must have fit(frame), or be a regressor of scikit-learn: Supervised has fit(X, y); let its class",
        ),
        (LogisticRegression(), "LogisticRegression is a classifier, which forecasts no numbers"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(model: Any, sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        as_forecaster(model)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["naive", "seasonal-naive", "mean"])
def test_a_model_takes_no_place_of_a_naive_forecast(name: str) -> None:
    for model in (Ridge(), last):
        with pytest.raises(ParameterError, match=f"'{name}' must be the naive forecast of this name: got .*; rename"):
            leaderboard({name: model}, wave(60), horizon=2, origins=3)


@pytest.mark.long
def test_a_board_of_models_of_any_origin_has_readable_names_notes_and_keeps_the_naive_family(tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), Ridge())
    answers = [Ridge(), pipeline, Level(), Level(), last, lambda c, h: c[-h:] * np.nan]
    options: dict[str, Any] = {"horizon": 2, "origins": 3, "checkpoint": tmp_path / "kept"}
    board = leaderboard([*answers, Unpicklable(), "sklearn:LinearRegression"], wave(60), **options)
    names = ["Ridge", "StandardScaler+Ridge", "Level", "Level-2", "last", "Unpicklable", "sklearn:LinearRegression"]
    assert {"naive", "seasonal-naive", "drift", *names} | {"function"} == set(board.table["model"])
    notes = [note for note in board.notes if not note.startswith("season")]
    assert notes.pop().startswith(
        "Level, Level-2, last, Unpicklable are known by results alone: the leak audit ran them 36 times at the first "
    )
    assert notes == [
        "Unpicklable cannot be pickled: it runs in this process, and an interrupted comparison begins it again",
        "Level predicts only what follows its fit: a copy is fitted again at each cutoff",
        "Level-2 predicts only what follows its fit: a copy is fitted again at each cutoff",
        "Ridge, StandardScaler+Ridge, sklearn:LinearRegression are regressors: ReductionForecaster fits each to "
        "windows of past steps",
    ]
    assert board.failures == {
        "function": "function must forecast finite numbers: 2 of 2 are not, the first in step 1 of series '0'"
    }
    table = board.table.set_index("model")
    assert table.loc["last", "mase"] == table.loc["naive", "mase"]
    assert table.loc["last", "leak_audit"] == "passed (procedure)"  # nothing but its results is known
    assert table.loc["Ridge", "leak_audit"] == "passed (data)"
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "kept").iterdir())
    assert "Unpicklable" not in kept
    assert "last" in kept
    board.to_parquet(tmp_path / "rows.parquet")
    again = Leaderboard.from_parquet(tmp_path / "rows.parquet")
    assert again.table.equals(board.table)
    assert " at 0x" not in again.record.fits[-2].settings
    Last.fits = 0
    leaderboard([Last()], wave(60), **options)
    fits = Last.fits  # one, and those of the audit
    leaderboard([Last()], wave(60), **options)  # from the checkpoint
    assert Last.fits == fits


def test_rows_of_a_function_are_not_taken_up_after_its_code_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def rows(number: float) -> list[float]:
        code = f"def other(): return {number}\ndef mine(context, horizon): return [other()] * horizon"
        (tmp_path / "code_of_mine.py").write_text(code)
        sys.modules.pop("code_of_mine", None)
        importlib.invalidate_caches()
        mine = importlib.import_module("code_of_mine").mine
        board = leaderboard([mine], wave(40), horizon=1, origins=2, checkpoint=tmp_path / "kept")
        return board.rows.loc[board.rows["model"] == "mine", "forecast"].tolist()

    assert rows(1.0) == [1.0, 1.0]
    assert rows(2.0) == [2.0, 2.0]


def test_seeds_of_a_regressor_with_a_random_state_are_those_of_the_board() -> None:
    model = make_foreign("sklearn:ExtraTreesRegressor")
    assert model.random_state == 0
    board = leaderboard({"trees": model.set_params(n_estimators=2)}, wave(40), horizon=1, origins=2, seeds=2)
    mine = board.rows[board.rows["model"] == "trees"]
    assert sorted(mine["seed"].unique()) == [0, 1]
    assert mine.groupby("seed")["forecast"].first().nunique() == 2


MODULE = """
import numpy as np
def middle(context, horizon): return np.repeat(np.median(context), horizon)
def make_model(): return middle
def broken(): raise ValueError("no data")
"""


def test_a_name_with_a_colon_is_a_class_of_a_library_or_a_callable_of_a_module_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("models_of_mine.py").write_text(MODULE)
    Path("statistics.py").write_text("")
    assert (
        label_of(make_foreign("models_of_mine:middle"))
        == label_of(make_foreign("models_of_mine:make_model"))
        == "middle"
    )
    assert isinstance(make_foreign("tsforecast.forecasters.naive:NaiveForecaster"), NaiveForecaster)
    assert isinstance(make_foreign("sklearn:Ridge", window=5), ReductionForecaster)
    wrong = {
        "sklearn:Rigde": "scikit-learn has no regressor 'Rigde'; did you mean 'Ridge'?",
        "sklearn:VotingRegressor": "sklearn:VotingRegressor needs parameters of its own",
        "models_of_mine:midle": "module 'models_of_mine' has no 'midle'; did you mean 'middle'?",
        "models_of_mine:broken": "models_of_mine:broken must make a model without parameters: ValueError: no data",
        "nowhere_at_all:f": "must lie in the current folder or be installed; models of libraries are sklearn:...",
        "statistics:mean": "'statistics.py' of the current folder has the name of another module",
    }
    for name, sentence in wrong.items():
        with pytest.raises((ParameterError, UnknownNameError)) as caught:
            make_foreign(name)
        assert sentence in str(caught.value)


@pytest.mark.thorough
def test_the_command_line_compares_a_function_of_a_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "functions_of_mine.py").write_text(MODULE)
    names = "functions_of_mine:make_model,sklearn:LinearRegression"
    done = tsforecast("leaderboard", "co2-weekly", "--models", names, "--out", "board", cwd=tmp_path, width=200)
    assert done.returncode == 0, done.stderr
    assert "functions_of_mine:make_model" in done.stdout
    assert (tmp_path / "board" / "rows.parquet").is_file()
    words = ("fit", "co2-weekly", "--model", "functions_of_mine:middle", "--out", "model")
    assert "middle cannot be saved in a folder, which holds no code" in tsforecast(*words, cwd=tmp_path).stderr


def test_forecasts_of_other_software_have_intervals_from_a_few_cutoffs() -> None:
    calls: list[int] = []

    def counted(context: np.ndarray, horizon: int) -> np.ndarray:
        calls.append(len(context))
        return last(context, horizon)

    model = FunctionForecaster(counted, horizon=2).fit(wave(400))
    found = model.predict(interval=0.8)
    assert found.shape == (2, 3)
    assert (found[:, 1] < found[:, 2]).all()
    assert len(calls) <= 42


def test_texts_come_as_text_and_what_is_known_ahead_is_asked_for_where_it_is_read_alone() -> None:
    kinds = ["rain", "sun", "sun", "rain", "fog"] * 4
    panel = Panel.from_frame(SHOPS.assign(sky=kinds * 2), id="shop", time="day", target="sales", future="sky")
    seen: list[Any] = []

    def keep(context: pd.DataFrame, horizon: int, future: pd.DataFrame) -> Any:
        seen[:] = context, future
        return np.zeros((2, horizon))

    future = panel.to_native(np.zeros((2, 1, 1))).drop(columns="sales").assign(sky=["hail", "sun"])
    FunctionForecaster(keep).fit(panel).predict(future=future)
    assert seen[0]["sky"].tolist() == kinds * 2
    assert seen[1]["sky"].tolist() == ["hail", "sun"]
    assert tables.long(panel)["sky"].tolist() == kinds * 2
    plain = FunctionForecaster(lambda context, horizon: np.zeros((2, horizon))).fit(panel)
    assert plain.predict()["sales"].tolist() == [0.0, 0.0]


class Fan(ForeignForecaster):
    """Has quantiles of its own, at four levels."""

    @property
    def learns_distribution(self) -> bool:
        return True

    def answer(self, question: Question) -> np.ndarray:
        return np.zeros(question.shape)

    def answer_quantiles(self, question: Question) -> tuple[list[float], np.ndarray]:
        return [0.1, 0.4, 0.8, 0.9], np.broadcast_to([-10.0, -1.0, 5.0, 10.0], (*question.shape, 4))


def test_quantiles_of_other_software_are_those_of_its_forecasts_at_its_levels() -> None:
    data = np.random.default_rng(0).normal(size=(3, 40, 2))
    model = Fan(horizon=2).fit(data)
    found = model.predict(quantiles=(0.1, 0.4, 0.5, 0.8, 0.9))
    assert found.shape == (3, 2, 2, 6)
    np.testing.assert_allclose(found[2, 1, 1], [0, -10, -1, 0.5, 5, 10])
    assert "crps" in leaderboard([Fan()], data, horizon=2, origins=2).table
    with pytest.raises(ParameterError, match=r"quantiles must have levels on both sides of 0\.5: got 0\.1, 0\.4"):
        grid_of([0.1, 0.4], np.zeros((1, 1, 1, 2)))


def test_long_tables_have_a_series_for_each_target_and_forecasts_come_back_in_their_places() -> None:
    frame = SHOPS.assign(visits=-SHOPS["sales"])
    roles = {"target": ["sales", "visits"], "past": "price", "static": "town"}
    panel = Panel.from_frame(frame, id="shop", time="day", **roles).until(np.array([20, 12]))
    long = tables.long(panel)
    assert list(long) == ["unique_id", "ds", "y", "price"]
    assert long.groupby("unique_id").size().tolist() == [20, 20, 12, 12]
    last = long.groupby("unique_id")["y"].last().to_numpy()
    assert last.tolist() == [19.0, -19.0, 31.0, -31.0]
    forecasts = tables.from_long(np.repeat(last[:, None], 3, axis=1), panel)
    np.testing.assert_array_equal(forecasts, NaiveForecaster(horizon=3).fit(panel).forecast(Context.at_end(panel), 3))
    known = PANEL.until(np.array([20, 12]))
    ahead = tables.long_future(known, np.arange(6.0).reshape(2, 3, 1))
    assert ahead["ds"].tolist() == [*(DAYS[-1] + pd.to_timedelta([1, 2, 3], "D")), *DAYS[12:15]]
    assert ahead["price"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    static = tables.static(panel)
    assert static is not None
    assert static["town"].tolist() == ["x", "x", "y", "y"]


@pytest.mark.parametrize("model", [last, Last(), Level()])
def test_a_thorough_audit_of_other_software_that_sees_its_context_alone_passes(model: Any) -> None:
    assert audit(as_forecaster(model), wave(40), horizon=2).passed
