"""New rows are taken in without a new fit: whole or not at all, and as if they had been a context."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tsforecast import (
    ConformalForecaster,
    EnsembleForecaster,
    GRUForecaster,
    Hierarchy,
    NaiveForecaster,
    ReconciledForecaster,
    SeasonalNaiveForecaster,
    as_forecaster,
    load,
)
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.registry import make
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.aggregate import AggregateForecaster
from tsforecast.forecasters.meta.local import LocalForecaster

DAYS = pd.date_range("2024-01-01", periods=320, freq="D")


def shops(begin: int, end: int, other: int | None = None) -> pd.DataFrame:
    """Return two series of days, the second of which ends at another one."""
    one = pd.DataFrame({"day": DAYS[begin:end], "shop": "a", "sales": wave(320)[begin:end]})
    two = pd.DataFrame(
        {"day": DAYS[begin : other or end], "shop": "b", "sales": 3 * wave(320, 1)[begin : other or end]}
    )
    return pd.concat([one, two], ignore_index=True)


def fitted(model: Forecaster, end: int = 100, other: int | None = 97) -> Any:
    return model.fit(Panel.from_frame(shops(0, end, other), id="shop", season_length=6))


def last_of_each(context: pd.DataFrame, horizon: int) -> np.ndarray:
    """Return the last value of each series: a function of somebody else."""
    return np.repeat(context.groupby("shop")["sales"].last().to_numpy()[:, None], horizon, axis=1)


AROUND_OTHERS = [
    ConformalForecaster(SeasonalNaiveForecaster(3), coverage=0.8),
    ConformalForecaster(small("theta"), method="adaptive", refit=False, coverage=0.8),
    ConformalForecaster(small("reduction"), method="mondrian", refit=False, coverage=0.8),
    EnsembleForecaster([small("reduction"), NaiveForecaster(3)]),
    AggregateForecaster([small("theta"), small("reduction")]),
    LocalForecaster(small("reduction")),
    make("ets", horizon=3, parameters="refit"),
    as_forecaster(last_of_each).set_params(horizon=3),
]


@pytest.mark.long
@pytest.mark.parametrize("around", AROUND_OTHERS, ids=lambda model: type(model).__name__)
def test_an_updated_forecaster_is_one_that_had_all_rows_as_context(around: Forecaster) -> None:
    check_updated(around)


def test_an_updated_forecaster_of_each_kind_is_one_that_had_all_rows_as_context(forecaster: Forecaster) -> None:
    check_updated(forecaster)


def check_updated(model: Forecaster) -> None:
    fitted(model)
    before, wanted = model.fingerprint(), model.predict(shops(0, 115, 112))
    parts = model.update(shops(92, 104, 101)).update(shops(101, 115, 112))
    assert parts is model
    assert wanted.equals(model.predict())
    once = fitted(type(model)(**model.get_params(deep=False))).update(shops(0, 115, 112))
    assert once.predict(interval=0.8).equals(model.predict(interval=0.8))
    assert once.fingerprint() == model.fingerprint() != before


def test_weights_of_an_aggregate_go_on_from_the_fit_through_rows_of_updates() -> None:
    level = np.random.default_rng(0).normal(50, 1, 120)
    level[100:] += 30.0  # the mean, which was best, now errs
    frame = pd.DataFrame({"day": DAYS[:120], "level": level})
    model = AggregateForecaster([NaiveForecaster(3)]).fit(Panel.from_frame(frame[:100], season_length=1))
    wanted, at_the_fit = model.predict(frame), model._mean_shares()
    model.update(frame[100:110]).update(frame[110:])
    assert wanted.equals(model.predict())
    now = model._shares(Context.at_end(model.panel_))[0]
    assert np.abs(now - at_the_fit).max() > 0.05


def test_a_saved_update_forecasts_the_same_and_goes_on(tmp_path: Path) -> None:
    for model in (small("gru"), ConformalForecaster(small("reduction"), refit=False, coverage=0.8)):
        fitted(model).update(shops(97, 110))
        model.save(tmp_path / "model")
        again = load(tmp_path / "model")
        assert again.fingerprint() == model.fingerprint()
        assert again.predict(interval=0.8).equals(model.predict(interval=0.8))
        more = [each.update(shops(110, 120)).predict(interval=0.8) for each in (model, again)]
        assert more[0].equals(more[1])
        assert again.provenance()["split"] == model.provenance()["split"]


def test_an_update_of_a_file_must_belong_to_its_panel(tmp_path: Path) -> None:
    model = fitted(NaiveForecaster()).update(shops(97, 110))
    for rows in ([100], [100, 111], [0, 97], [100.0, 97.0]):
        with pytest.raises(ValueError, match="rows_at_fit_ must be rows of 2 series"):
            model.require_updated({"horizon_": 1, "rows_at_fit_": np.array(rows)})
    with pytest.raises(ValueError, match="errors_ must be numbers of 3 steps"):
        model.require_updated({"horizon_": 3, "errors_": np.ones(4)})


def test_rows_that_do_not_follow_on_are_refused_and_change_nothing() -> None:
    model = fitted(small("reduction"))
    before = model.fingerprint()
    with pytest.raises(
        DataError, match=r"'b' has 2024-04-07 next, and .* begins with 2024-04-08; add the rows between"
    ):
        model.update(shops(98, 110))
    changed = shops(90, 110)
    changed.loc[2, "sales"] = 7.0
    with pytest.raises(
        DataError, match=r"known rows must stay as they were: series 'a' had .* at 2024-04-02, now .* 7;"
    ):
        model.update(changed)
    with pytest.raises(DataError, match="'c' is not; leave it out"):
        model.update(shops(97, 110).replace({"shop": {"b": "c"}}))
    with pytest.raises(ParameterError, match="scales must be one of 'keep', 'learn': got 'new'"):
        model.update(shops(97, 110), scales="new")
    with pytest.raises(ParameterError, match=r"only networks can be trained further: .*Reduction.* leave epochs out"):
        model.update(shops(97, 110), epochs=2)
    with pytest.raises(ParameterError, match="settings of training must come with epochs: got learning_rate"):
        model.update(shops(97, 110), learning_rate=0.1)
    assert model.fingerprint() == before
    assert model.last_update == ""


class Breaking(NaiveForecaster):
    """Fails while it takes in rows, after its sibling did."""

    def take_in(self, panel: Any, changes: Any) -> None:
        super().take_in(panel, changes)
        raise KeyboardInterrupt


def test_an_update_that_is_interrupted_leaves_all_members_as_they_were() -> None:
    model = fitted(EnsembleForecaster([SeasonalNaiveForecaster(), Breaking()]))
    wanted = model.predict()
    with pytest.raises(KeyboardInterrupt):
        model.update(shops(97, 110))
    assert wanted.equals(model.predict())
    assert [member.panel_.lengths.tolist() for member in (model, *model.members_)] == [[100, 97]] * 3
    assert not any("rows_at_fit_" in vars(each) for each in model.every_member())


def test_arrays_come_from_their_first_row_on() -> None:
    model = NaiveForecaster().fit(wave(50))
    assert model.update(wave(60)).predict() == wave(60)[-1:]
    with pytest.raises(DataError, match="arrays have no times: give all rows from the first one on"):
        model.update(wave(60)[50:] + 1)
    with pytest.raises(ParameterError, match="supervised windows were fitted; fit series"):
        NaiveForecaster().fit(np.ones((5, 3)), np.ones(5)).update(np.ones((5, 3)))


def test_errors_that_join_a_calibration_are_those_of_forecasts_from_the_rows_before() -> None:
    model = fitted(ConformalForecaster(SeasonalNaiveForecaster(3), coverage=0.8))
    known = len(model.calibration_.errors)
    model.update(shops(97, 112))
    found, values = model.calibration_, [wave(320), 3 * wave(320, 1)]
    assert len(found.errors) == known + (112 - 3 - 100 + 1) + (112 - 3 - 97 + 1)
    for series, end in ((0, 100), (1, 97)):
        own = found.of((found.series == series) & (found.cutoffs >= end))
        assert own.cutoffs.tolist() == list(range(end, 110))
        for cutoff, errors in zip(own.cutoffs, own.errors[..., 0], strict=True):
            rows = values[series]
            unit = np.abs(rows[6:cutoff] - rows[: cutoff - 6]).mean()
            wanted = (rows[cutoff : cutoff + 3] - rows[cutoff - 6 : cutoff - 3]) / unit
            np.testing.assert_allclose(errors, wanted)


def test_scales_are_learned_again_from_all_rows_on_request() -> None:
    model = fitted(small("gru"))
    kept, errors = model.inputs_, model.measured().errors
    assert model.update(shops(97, 110)).inputs_ is kept
    model.update(shops(110, 130), scales="learn")
    wanted = Preprocessor.fit(model.panel_, model._recipe())
    np.testing.assert_array_equal(model.inputs_.scaling.location, wanted.scaling.location)
    assert not np.array_equal(kept.scaling.location, wanted.scaling.location)
    held = model.measured().errors  # those of the model before it learned the scales stay, with later ones
    np.testing.assert_array_equal(held[: len(errors) // 2], errors[: len(errors) // 2])
    known = len(held)
    model.update(shops(130, 140))
    assert len(model.measured().errors) == known + 2 * (10 - 3 + 1)
    np.testing.assert_array_equal(model.measured().errors[:known], held)


def swings(begin: int, end: int) -> pd.DataFrame:
    """Return a series whose swings of 17 days no naive forecast of weeks follows."""
    level = np.sin(2 * np.pi * np.arange(320) / 17) + 0.05 * np.random.default_rng(0).normal(size=320)
    return pd.DataFrame({"day": DAYS[begin:end], "level": level[begin:end]})


@pytest.fixture(scope="module")
def network() -> GRUForecaster:
    """A network that has hardly been trained on 200 days, and then had 80 more."""
    model = GRUForecaster(
        horizon=3, window=20, anchor="last", units=8, max_epochs=1, learning_rate=1e-4, random_state=0
    )
    return model.fit(swings(0, 200)).update(swings(200, 280))


@pytest.mark.long
def test_training_that_helps_on_the_newest_rows_is_kept(network: GRUForecaster) -> None:
    model, before = copy.deepcopy(network), network.measured().errors
    model.update(swings(280, 290), epochs=60, learning_rate=0.01)
    assert "training helped the GRUForecaster on the last 30 rows" in model.last_update
    plain = copy.deepcopy(network).update(swings(280, 290))
    kept = model.measured().errors  # those of the network before it was trained
    np.testing.assert_array_equal(kept, plain.measured().errors)
    assert len(kept) == len(before) + 10
    assert model.learned_rows().tolist() == [290]
    assert not model.predict().equals(plain.predict())
    with pytest.raises(DataError, match="training further must have 6 such rows, of which 3 are held out"):
        model.update(swings(290, 293), epochs=1)
    model.update(swings(290, 300))
    assert len(model.measured().errors) == len(kept) + 10 - 3 + 1
    assert model.sample(2, random_state=0).shape == (6, 3)


def test_training_that_does_not_help_is_not_kept_and_reported(network: GRUForecaster) -> None:
    model = copy.deepcopy(network)
    wanted, rows = model.predict(swings(0, 300)), model.learned_rows().tolist()
    model.update(swings(280, 300), epochs=1, learning_rate=1e-9, validation_origins=1)
    assert "training did not help the GRUForecaster on the last" in model.last_update
    assert "and is not kept" in model.last_update
    weights = [each.network_.state_dict() for each in (network, model)]
    assert all(bool((part == weights[1][name]).all()) for name, part in weights[0].items())
    assert wanted.equals(model.predict())
    assert model.learned_rows().tolist() == rows


def test_sums_that_do_not_add_up_are_refused() -> None:
    tree = Hierarchy.of({"both": ["a", "b"]})
    panel = tree.with_sums(Panel.from_frame(shops(0, 110), id="shop", season_length=6))
    model = ReconciledForecaster(NaiveForecaster(), hierarchy=tree, horizon=2).fit(panel.until(np.full(3, 100)))
    wrong = panel.values.copy()
    wrong[-1] += 1
    with pytest.raises(DataError):
        model.update(replace(panel, values=wrong))
    found = model.update(panel).predict()
    assert model.panel_.lengths.tolist() == [110] * 3
    by_shop = found.groupby("shop")["sales"].sum()
    assert by_shop["both"] == pytest.approx(by_shop["a"] + by_shop["b"])
