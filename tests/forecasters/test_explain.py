"""Explanations: parts that matter are found, parts that do not are silent, and the anchor is exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.persistence import load, save
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.report.forecasts import explanation_figures
from tsforecast.explanations.explanation import Effect, Explanation
from tsforecast.explanations.shuffles import Innovations, Shuffled, Units, donors, parts_of
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.aggregate import AggregateForecaster
from tsforecast.forecasters.meta.conformal import ConformalForecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.forecasters.statistical.models import ThetaForecaster

TWELVE = "10 to 12 steps back"


def driven(seed: int = 0, steps: int = 400, series: int = 1) -> Panel:
    """Return series that depend on their value 12 steps ago and on the second of three covariates alone."""
    random, frames = np.random.default_rng(seed), []
    for i in range(series):
        covariates, errors = random.normal(size=(steps, 3)), 0.5 * random.normal(size=steps)
        y = np.zeros(steps)
        for t in range(12, steps):
            y[t] = 0.6 * y[t - 12] + covariates[t, 1] + errors[t]
        frame = pd.DataFrame(covariates, columns=list("abc")).assign(shop=f"s{i}", t=np.arange(steps))
        frames.append(frame.assign(y=(10 + y) * 5**i, kind="old" if i % 2 else "new"))
    options = {"time": "t", "target": "y", "future": list("abc"), "season_length": 12}
    if series == 1:
        return Panel.from_frame(frames[0].drop(columns=["shop", "kind"]), **options)
    return Panel.from_frame(pd.concat(frames), id="shop", static="kind", **options)


def clear(found: Explanation) -> set[str]:
    return {effect.part for effect in found.effects if effect.clear}


def sums(found: Explanation) -> None:
    """Assert that anchor and correction are the forecast."""
    rows = found.forecasts
    assert np.abs(rows["anchor"] + rows["correction"] - rows["forecast"]).max() <= 1e-9 * rows["forecast"].abs().max()


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize("series", [1, 3])
def test_what_matters_is_found_and_the_rest_is_silent(series: int) -> None:
    found = ReductionForecaster(window=24).fit(driven(steps=600 // series, series=series)).explain(steps=3)
    assert clear(found) == {"anchor", "correction", TWELVE, "b"}
    assert found.unit == ("y" if series == 1 else "seasonal naive errors")
    table = found.table().set_index("part")
    assert table.loc["b", "effect"] > 20 * abs(table.loc[["a", "c"], "effect"]).max()
    assert found.error < 0.7 * found.anchor_error
    assert "b (+" in found.sentence
    sums(found)


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "series"), [(400, 1), (150, 4)])
def test_false_alarms_are_rare(steps: int, series: int) -> None:
    tables = []
    for seed in range(40):
        model = ReductionForecaster(window=24).fit(driven(seed, steps, series))
        tables.append(clear(model.explain(steps=3)))
    wrong = [table - {"anchor", "correction", TWELVE, "22 to 24 steps back", "b"} for table in tables]
    assert np.mean([bool(each) for each in wrong]) <= 0.125  # 5 %, and two standard errors of it
    assert np.mean(["b" in table and "anchor" in table for table in tables]) == 1
    assert np.mean([TWELVE in table for table in tables]) > 0.6


@pytest.mark.thorough
def test_of_a_network_the_forecast_that_is_explained_is_the_one_that_it_predicts(tmp_path: Path) -> None:
    panel = driven(steps=150, series=2)
    model = small("gru").fit(panel)
    future = pd.DataFrame({"shop": np.repeat(["s0", "s1"], 3), "t": [150, 151, 152] * 2, "a": 0.0, "b": 1.0, "c": 0.0})
    found = model.explain(future=future, permutations=10)
    sums(found)
    ahead = found.forecasts.query("cutoff == 149 and y != y").groupby(["series", "step"])["forecast"].first()
    assert ahead.to_numpy().tolist() == model.predict(future=future)["y"].tolist()
    assert found.forecasts["correction"].abs().max() > 0
    kinds = found.table().groupby("kind", sort=False)["part"].agg(list).to_dict()
    assert kinds["past steps"] == [f"{first} to {first + 2} steps back" for first in (1, 4, 7, 10)]
    assert (kinds["future"], kinds["static"]) == (["a", "b", "c"], ["kind"])
    assert found.forecasts["y"].notna().sum() > 40
    assert len(model.explain(permutations=10).forecasts) == len(found.forecasts) - 6  # nothing is known ahead
    save(model, tmp_path / "model")
    again = load(tmp_path / "model").explain(future=future, permutations=10)
    pd.testing.assert_frame_equal(again.table(), found.table())
    pd.testing.assert_frame_equal(again.forecasts, found.forecasts)


@pytest.mark.parametrize("strategy", ["multioutput", "recursive"])
def test_the_anchor_is_the_naive_forecast_of_each_step(strategy: str) -> None:
    series = wave(120)
    found = (
        ReductionForecaster(strategy=strategy, window=12, horizon=3, anchor=(6,)).fit(series).explain(permutations=10)
    )
    rows = found.forecasts
    sums(found)
    seen = rows["cutoff"].to_numpy() + rows["step"].to_numpy() - 6
    np.testing.assert_allclose(rows["anchor"], series[seen], rtol=1e-12)


def test_a_seed_gives_the_same_shuffles_and_another_one_others() -> None:
    model = ReductionForecaster(window=12).fit(driven(steps=200))
    one, same, other = (model.explain(permutations=10, random_state=seed).table() for seed in (0, 0, 1))
    assert one.equals(same)
    assert not one["effect"].equals(other["effect"])


def test_of_data_that_go_on_only_rows_after_those_that_were_learned_from_count() -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=120), "y": wave(120)})
    model = ReductionForecaster(window=12, horizon=3).fit(frame[:90])
    rows = model.explain(frame).forecasts
    assert rows.loc[rows["y"].notna(), "cutoff"].min() == pd.Timestamp("2024-03-30")
    assert model.explain(frame[:90]).table().equals(model.explain().table())


def test_groups_that_were_left_out_of_the_training_are_forecast_whole() -> None:
    frame = pd.DataFrame({"t": np.tile(np.arange(60), 6), "user": np.repeat(list("abcdef"), 60)})
    frame["y"] = np.concatenate([wave(60, seed) for seed in range(6)])
    model = small("gru").fit(Panel.from_frame(frame, time="t", id="user", target="y", group="user", season_length=6))
    found = model.explain(permutations=10)
    held_out = set(frame["user"].unique()[model.learned_rows() == 0])
    assert 0 < len(held_out) < 6
    assert set(found.forecasts.loc[found.forecasts["y"].notna(), "series"]) == held_out
    sums(found)


@pytest.mark.parametrize(
    "model",
    [
        ConformalForecaster(ReductionForecaster(window=12), horizon=2),
        EnsembleForecaster([ReductionForecaster(window=12), ReductionForecaster(window=6)], horizon=2),
    ],
)
def test_models_of_models_that_correct_an_anchor_have_its_parts(model: Forecaster) -> None:
    model.fit(Panel.from_array(wave(200), season_length=1))
    found = model.explain(permutations=10)
    sums(found)
    assert found.forecasts["forecast"].tolist()[-2:] == model.predict().tolist()
    assert {"anchor", "correction", "1 to 3 steps back"} <= set(found.table()["part"])


def test_the_sentence_names_clear_parts_and_counts_the_others() -> None:
    parts = [Effect(part, "past", 0.25, 0.1, 0.2, 9, 0.5, clear=part == "b") for part in "abc"]
    settings = {"unit": "y", "error": 1.0, "anchor_error": 1.0, "cutoffs": 10, "forecasts": pd.DataFrame()}
    assert Explanation(tuple(parts), **settings).sentence == (
        "errors rise clearly without b (+0.25); without the other 2 of 3 parts they rise no more than by chance"
    )
    assert Explanation((parts[1],), **settings).sentence == "errors rise clearly without b (+0.25)"


def test_what_cannot_be_explained_is_refused_in_one_sentence() -> None:
    with pytest.raises(ParameterError, match="ThetaForecaster has no such parts; explain a network"):
        ThetaForecaster().fit(wave()).explain()
    blend = AggregateForecaster(ReductionForecaster(window=6))  # of naive forecasts as well
    for model in (NaiveForecaster(), EnsembleForecaster([NaiveForecaster()], combine="median"), blend):
        with pytest.raises(ParameterError, match="must have a forecast that corrects an anchor"):
            model.fit(wave()).explain()
    fitted = ReductionForecaster(window=6).fit(wave(40))
    with pytest.raises(DataError, match="must have 10 cutoffs that were not learned from: there are 8; give more rows"):
        fitted.explain()
    with pytest.raises(ParameterError, match="permutations must be a whole number >= 10: got 3"):
        fitted.explain(permutations=3)
    rows = np.lib.stride_tricks.sliding_window_view(wave(), 7)
    with pytest.raises(ParameterError, match="explain belongs to series"):
        ReductionForecaster().fit(rows[:, :6], rows[:, 6]).explain()


def test_a_column_that_never_changes_has_no_effect() -> None:
    frame = pd.DataFrame({"t": np.arange(200), "y": wave(200), "flat": 3.0})
    found = ReductionForecaster(window=12).fit(Panel.from_frame(frame, time="t", target="y", past="flat")).explain()
    assert replace(found, effects=found.effects[:0]).sentence == "errors do not rise clearly without any of its parts"
    (flat,) = (effect for effect in found.effects if effect.part == "flat")
    assert (flat.effect, flat.spread, flat.change, flat.clear) == (0, 0, 0, False)


def test_a_network_that_stays_naive_is_its_anchor_and_series_that_only_repeat_have_no_unit() -> None:
    lengths = np.array([60, 14, 45, 90])
    frame = pd.DataFrame({"t": np.concatenate([np.arange(n) for n in lengths]), "id": np.repeat(list("abcd"), lengths)})
    season, noise = 10 + np.sin(2 * np.pi * frame["t"] / 6), np.random.default_rng(0).normal(size=len(frame))
    frame["y"], frame["x"] = season + 0.1 * noise * (frame["id"] != "a"), noise[::-1]
    panel = Panel.from_frame(frame, time="t", id="id", target="y", past="x", season_length=6)
    found = small("gru").set_params(max_epochs=1, learning_rate=1e-12, anchor="seasonal").fit(panel).explain()
    assert clear(found) <= {"anchor", "1 to 3 steps back", "4 to 6 steps back"}
    assert "anchor" in clear(found)
    effects = found.table().set_index("part")["effect"]
    assert 0 < effects["anchor"] < 100
    assert abs(effects[["x", "correction"]]).max() < 1e-6


def test_what_comes_from_another_series_lies_where_that_of_its_own_does() -> None:
    panel = driven(steps=100, series=3)  # levels of 10, 50 and 250
    past = Context(panel, np.repeat(np.arange(3), 20), np.tile(np.arange(60, 80), 3))
    units = Units.of(past, panel, True, False)
    order = next(donors(past.series, 1, np.random.default_rng(0)))
    assert (past.series[order] != past.series).any()
    block, a = parts_of(panel, 24, 12)[0], parts_of(panel, 24, 12)[2]
    own, moved = past.tail(24), Shuffled(past, block, order, units).tail(24)
    assert (moved[:, :12] == own[:, :12]).all()
    assert (moved[..., 1:] == own[..., 1:]).all()
    assert (moved[:, 12:, 0] != own[:, 12:, 0]).mean() > 0.9
    assert np.abs(moved[:, 12:, 0].mean(axis=1) / own[:, 12:, 0].mean(axis=1) - 1).max() < 0.2
    news = Innovations.of(panel, 24, True, False)(past, block, units, 24)
    gentle = Shuffled(past, block, order, units, news).tail(24)
    foretold = own[:, 12:, :1] - news
    given = units.moved(news, order, np.arange(60), [0], level=False)
    np.testing.assert_allclose(gentle[:, 12:, :1], foretold + given)
    covariate = Shuffled(past, a, order, units)
    assert (covariate.tail(24)[..., [0, 2, 3]] == own[..., [0, 2, 3]]).all()
    assert (covariate.future_known(3)[..., 1:] == past.future_known(3)[..., 1:]).all()
    assert (covariate.future_known(3)[..., 0] != past.future_known(3)[..., 0]).all()
    some = np.array([3, 44])
    assert (covariate.select(some).tail(24) == covariate.tail(24)[some]).all()
    static = Shuffled(past, parts_of(panel, 24, 12)[-1], order, units)
    assert static.statics["kind"].tolist() == past.statics["kind"][order].tolist()
    assert (static.tail(24) == own).all()


@pytest.mark.thorough
def test_the_best_forecast_of_a_board_is_explained_in_its_report(tmp_path: Path) -> None:
    board = leaderboard([ReductionForecaster(window=12)], wave(200), horizon=3, origins=5, audit=None, forecast=True)
    assert list(board.record.explained) == ["reduction"]
    page = board.to_html()
    assert ">Parts of the forecast</h2>" in page
    assert 'id="explanation-0-' in page
    board.to_parquet(tmp_path / "rows.parquet")
    again = Leaderboard.from_parquet(tmp_path / "rows.parquet")
    assert again.record.explained == board.record.explained
    plain = leaderboard(["mean"], wave(200), horizon=3, origins=5, audit=None, forecast=True)
    assert explanation_figures(plain.record) == []
    assert list(plain.merge(board).record.explained) == ["reduction"]


def test_a_figure_has_a_filled_dot_for_each_part_that_is_clear() -> None:
    found = ReductionForecaster(window=12).fit(driven(steps=200)).explain(permutations=10)
    (axes,) = found.plot().axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [effect.effect for effect in found.effects]
    assert len({dot.get_markerfacecolor() for dot in dots if (dot.get_markerfacecolor() != "#ffffff")}) == 1
    filled = [dot.get_markerfacecolor() != "#ffffff" for dot in dots]
    assert filled == [effect.clear for effect in found.effects]
    assert "rise of the error" in axes.get_xlabel()
