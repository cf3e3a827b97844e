"""Networks correct the naive forecast, learn what can be learned, and say what does not fit."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.base import clone

from tests.helpers.forecasters import small, wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, TrainingError, TrainingWarning
from tsforecast.estimators.registry import NETWORKS
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters import auto
from tsforecast.forecasters.naive import NaiveForecaster, SeasonalNaiveForecaster
from tsforecast.forecasters.neural import (
    Conv1DForecaster,
    GRUForecaster,
    LSTMForecaster,
    NeuralForecaster,
    RNNForecaster,
)
from tsforecast.networks.losses import Elementwise
from tsforecast.training import loop


@pytest.mark.parametrize("cell", NETWORKS)
@pytest.mark.parametrize(("anchor", "naive"), [("last", NaiveForecaster), ("seasonal", SeasonalNaiveForecaster)])
def test_an_untrained_network_is_the_naive_forecast_to_the_bit(
    cell: str, anchor: str, naive: type, ragged: Panel
) -> None:
    model = NeuralForecaster(cell, window=12, horizon=9, units=4, max_epochs=0, anchor=anchor).fit(ragged)
    expected = naive(horizon=9).fit(ragged).predict()
    for got, wanted in zip(model.predict(), expected, strict=True):
        assert np.array_equal(got, wanted)


@pytest.mark.parametrize("cell", NETWORKS)
def test_a_sine_is_learned_from_the_last_value(cell: str) -> None:
    sine = np.sin(2 * np.pi * np.arange(600) / 25)
    model = NeuralForecaster(
        cell, window=25, horizon=5, units=16, max_epochs=30, learning_rate=0.01, anchor="last", random_state=1
    )
    error = np.abs(model.fit(sine[:500]).predict() - sine[500:505]).max()
    assert error < 0.1
    assert np.abs(NaiveForecaster(5).fit(sine[:500]).predict() - sine[500:505]).max() > 0.5


@pytest.mark.thorough
@pytest.mark.parametrize("cell", NETWORKS)
def test_the_value_eight_steps_back_is_found(cell: str) -> None:
    noise = np.tile(np.random.default_rng(0).normal(size=8), 80)  # each value returns after eight steps
    model = NeuralForecaster(
        cell, window=8, horizon=1, units=32, max_epochs=60, learning_rate=0.01, anchor="none", random_state=0
    )
    model.fit(noise[:-8])
    past = Context(Panel.of(noise), np.zeros(8, dtype=int), np.arange(len(noise) - 8, len(noise)))
    assert np.abs(model.forecast(past, 1).ravel() - noise[-8:]).max() < 0.25


def test_early_stopping_cannot_end_below_the_naive_forecast_on_validation() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=300))  # nothing beats the last value
    model = GRUForecaster(window=10, horizon=5, max_epochs=5, anchor="last", random_state=0).fit(walk)
    losses = [epoch.valid_loss for epoch in model.history_]
    seen = 300 - model.resolved_["validation"]
    ends = np.arange(seen, 300 - 4)
    past = Context(model.panel_, np.zeros(len(ends), dtype=int), ends)
    truth = np.stack([walk[e : e + 5] for e in ends])
    found = []
    for share in (model.network_.share.clone(), 1.0):  # of its corrections the network keeps a share
        model.network_.share[:] = share
        found.append(np.abs(model.forecast(past, 5)[..., 0] - truth).mean() / model.inputs_.scaling.scale.item())
    assert found[0] <= losses[0] + 1e-6
    assert found[1] == pytest.approx(min(losses), rel=1e-4)


def test_a_network_that_cannot_learn_keeps_epoch_zero() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=120))
    model = GRUForecaster(window=10, horizon=5, max_epochs=3, learning_rate=5.0, anchor="last", random_state=0).fit(
        walk
    )
    assert model.predict().tolist() == [walk[-1]] * 5


def test_patience_stops_and_none_does_not() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=120))
    settings = {"window": 10, "horizon": 5, "units": 4, "max_epochs": 12, "learning_rate": 1.0, "random_state": 0}
    assert len(GRUForecaster(patience=2, **settings).fit(walk).history_) < 13
    assert len(GRUForecaster(patience=None, **settings).fit(walk).history_) == 13


def test_without_validation_all_rows_train_and_nothing_is_scored() -> None:
    model = GRUForecaster(window=10, horizon=5, units=4, max_epochs=2, validation=None, value_transform=None)
    model.fit(wave(60))
    assert model.resolved_["validation"] == 0
    assert [epoch.valid_loss for epoch in model.history_] == [None, None, None]
    assert model.inputs_.scaling.location.item() == pytest.approx(wave(60).mean())


def test_validation_takes_a_share_or_a_number_of_the_last_steps() -> None:
    for validation, steps in [(0.2, 18), (25, 25), (0.01, 5)]:
        model = GRUForecaster(window=10, horizon=5, units=2, max_epochs=0, validation=validation, value_transform=None)
        model.fit(wave(90))
        assert model.resolved_["validation"] == steps
        assert model.inputs_.scaling.location.item() == pytest.approx(wave(90)[:-steps].mean())


def test_the_automatic_window_fits_the_data() -> None:
    for steps, season, horizon, window in [
        (2_000, 24, 4, 336),
        (400, 24, 4, 96),
        (400, 1, 20, 40),
        (400, 7, 4, 21),
        (40, 12, 1, 11),
    ]:
        panel = Panel.from_array(wave(steps), season_length=season)
        assert GRUForecaster(horizon=horizon, units=2, max_epochs=0).fit(panel).resolved_["window"] == window


def test_beyond_the_trained_horizon_a_network_goes_on_from_its_own_forecasts(network: NeuralForecaster) -> None:
    data = wave(90)
    model = network.fit(data)
    long = model.predict(horizon=7)
    assert np.array_equal(long[:3], model.predict())
    again = model.predict(np.concatenate([data, long[:3]]))
    assert np.allclose(again, long[3:6], rtol=1e-6)
    assert model.predict(horizon=2).tolist() == long[:2].tolist()


def test_a_global_model_learns_from_every_series_and_forecasts_a_new_one(ragged: Panel) -> None:
    model = small("gru").fit(ragged)
    assert [part.shape for part in model.predict()] == [(3,), (3,), (3,)]
    new = Panel.from_array([wave(50, 9) * 1000] * 4, season_length=6)  # a fourth series was never seen
    forecast = model.predict(new)[3]
    assert 5_000 < forecast.mean() < 20_000


def test_the_batch_that_a_series_is_forecast_in_does_not_matter(network: NeuralForecaster, ragged: Panel) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = network.fit(ragged)
        series, seen = np.arange(3), ragged.lengths
        together = model.forecast(Context(ragged, series, seen), 3)
        turned = model.forecast(Context(ragged, series[::-1], seen[::-1]), 3)[::-1]
        alone = np.concatenate([model.forecast(Context(ragged, series[[i]], seen[[i]]), 3) for i in range(3)])
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(together, turned)
    assert np.allclose(together, alone, rtol=1e-6)


def test_a_small_network_forecasts_on_one_thread_as_it_learned() -> None:
    # On a busy machine threads of a small network wait for each other, twenty times as long as one of them computes.
    seen: list[int] = []

    class Watched(Elementwise):
        def point(self, said: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return super().point(said)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model = small("gru").set_params(loss=Watched(lambda forecast, truth: (forecast - truth).abs())).fit(wave())
        seen.clear()
        model.predict()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert seen == [1]


def test_channels_are_forecast_by_one_network_each_on_its_own(network: NeuralForecaster) -> None:
    both = np.stack([wave(90, 0), wave(90, 1)], axis=1)
    model = network.fit(both)
    changed = both.copy()
    changed[-10:, 1] += 5
    first, second = model.predict(), model.predict(changed)
    assert np.allclose(first[:, 0], second[:, 0], rtol=1e-6)
    assert not np.allclose(first[:, 1], second[:, 1], rtol=1e-2)


@pytest.mark.long
def test_past_columns_are_read_and_not_forecast() -> None:
    import pandas as pd

    signal = np.random.default_rng(0).normal(size=400)
    frame = pd.DataFrame({"y": np.concatenate([[0.0], signal[:-1]]), "leads": signal})  # y follows one step later
    panel = Panel.from_frame(frame, target="y", past="leads")
    model = GRUForecaster(
        window=3, horizon=1, units=16, max_epochs=30, learning_rate=0.02, anchor="none", random_state=0
    )
    model.fit(panel)
    assert list(model.predict().columns) == ["y"]
    assert min(epoch.valid_loss for epoch in model.history_) < 0.2  # without the column nothing is known: about 0.8


def test_the_random_numbers_of_the_caller_go_on_undisturbed() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    small("gru").fit(wave(90))
    assert torch.equal(torch.rand(3), expected)


def test_different_seeds_give_different_networks() -> None:
    first, second = (
        small("gru").set_params(random_state=seed, max_epochs=4).fit(wave(90)).predict() for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


EVERY_CELL = [
    ("units", 5), ("layers", 2), ("dropout", 0.5), ("batch_size", 7), ("learning_rate", 0.1), ("max_epochs", 3),
    ("members", 2), ("window", 8), ("anchor", "none"), ("anchor", (12,)), ("segment", 4), ("channels", "joint"),
    ("norm", "layer"), ("norm", "batch"), ("activation", "gelu"), ("value_transform", None),
    ("value_transform", "box-cox"), ("scaler", "robust"),
    ("per_series", False), ("instance_norm", True), ("loss", "mse"), ("loss", "huber"), ("loss", "mase"),
    ("loss", "smape"), ("optimizer", "adam"), ("optimizer", "sgd"), ("schedule", "cosine"), ("weight_decay", 0.3),
    ("schedule", "constant"), ("clip", 1e-4), ("steps_per_epoch", 1), ("mixed_precision", True), ("random_state", 1),
]  # fmt: skip
RECURRENT = [("residual", True), ("bidirectional", True)]


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("cell", "name", "value"),
    [(cell, *setting) for cell in NETWORKS for setting in EVERY_CELL]
    + [(cell, *setting) for cell in ("rnn", "gru", "lstm") for setting in RECURRENT]
    + [("conv1d", "kernel_size", 2)],
)
def test_every_setting_does_something(cell: str, name: str, value: object) -> None:
    optimizer = "adamw" if name == "optimizer" else "adam"
    changed = plain(cell, optimizer).set_params(**{name: value})
    assert not np.array_equal(forecast_plainly(cell, optimizer), changed.fit(two_by_two()).predict())


def plain(cell: str, optimizer: str) -> NeuralForecaster:
    """Return a network in which every setting can be noticed."""
    return small(cell).set_params(learning_rate=0.02, validation=None, optimizer=optimizer, weight_decay=0.1)


@cache
def forecast_plainly(cell: str, optimizer: str) -> np.ndarray:
    """Return the forecast that a setting is to change."""
    return plain(cell, optimizer).fit(two_by_two()).predict()


@cache
def two_by_two() -> Panel:
    """Return two series of two channels, none like another."""
    data = np.stack([wave(90), wave(90, 1)], axis=1)[None].repeat(2, axis=0) * np.array([1.0, 5.0])[:, None, None]
    data += np.arange(90)[:, None] * np.array([0.0, 0.05])
    return Panel.from_array(data, season_length=6)


def test_a_plateau_slows_down_where_nothing_gets_better() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=120))
    settings = {"window": 10, "horizon": 5, "units": 4, "max_epochs": 12, "learning_rate": 0.5, "random_state": 0}
    settings["anchor"] = "last"
    model = GRUForecaster(schedule="plateau", patience=None, **settings).fit(walk)
    assert model.history_[-1].learning_rate <= 0.05
    assert GRUForecaster(schedule="constant", patience=None, **settings).fit(walk).history_[-1].learning_rate == 0.5


def test_a_refit_learns_from_all_rows_for_the_best_number_of_epochs() -> None:
    settings = {
        "window": 12,
        "horizon": 3,
        "units": 4,
        "learning_rate": 0.02,
        "value_transform": None,
        "anchor": "last",
        "random_state": 0,
    }
    panel = Panel.from_array(wave(90), season_length=1)
    model = GRUForecaster(max_epochs=6, refit=True, **settings).fit(panel)
    assert model.inputs_.scaling.location.item() == pytest.approx(wave(90).mean())
    best = model.resolved_["best_epoch"]
    assert best == min(model.history_, key=lambda epoch: epoch.valid_loss).number > 0
    assert not np.array_equal(model.predict(), model.set_params(refit=False).fit(panel).predict())
    assert best == 6  # nothing was cut off: the refit is the fit without validation
    alone = GRUForecaster(max_epochs=6, validation=None, **settings).fit(panel)
    again = model.set_params(refit=True).fit(panel)
    assert 0 < again.resolved_["share"] < 1
    alone.network_.share.copy_(again.network_.share)  # learned by the first training
    assert np.array_equal(again.predict(), alone.predict())


def test_epochs_are_as_many_as_make_2400_steps_and_patience_is_two_fifths_of_them() -> None:
    model = GRUForecaster(batch_size=64)
    epochs = {batches: model.epochs(64 * batches) for batches in (1, 24, 25, 60, 199, 200, 5_000)}
    assert epochs == {1: 100, 24: 100, 25: 96, 60: 40, 199: 13, 200: 12, 5_000: 12}
    fitted = GRUForecaster(window=12, horizon=2, units=2, device="cpu").fit(wave(90))
    assert (fitted.resolved_["max_epochs"], fitted.resolved_["patience"]) == (100, 40)
    assert GRUForecaster(max_epochs=3).epochs(64) == 3


def test_each_window_of_many_series_is_read_by_its_own_spread() -> None:
    many = Panel.from_array(np.stack([wave(60, seed) for seed in range(20)])[..., None], season_length=6)
    settings = {"window": 12, "horizon": 2, "units": 2, "max_epochs": 0}

    def chosen(panel: Panel, **changes: object) -> bool:
        return GRUForecaster(**settings, **changes).fit(panel).resolved_["instance_norm"]

    assert chosen(many)
    assert not chosen(many, instance_norm=False)
    assert not chosen(many, loss="normal")
    assert not chosen(many.select(np.arange(19)))
    assert not chosen(replace(many, values=np.where(many.values > 12, many.values, 0.0)))


def test_what_was_chosen_is_a_plain_dict() -> None:
    import json

    panel = Panel.from_array(np.tile([5.0, 9.0, 6.0, 7.0, 8.0, 4.0], 30), season_length=6)
    model = GRUForecaster(horizon=4, units=2, max_epochs=0, device="cpu").fit(panel)
    assert json.loads(json.dumps(model.resolved_)) == {
        "season_length": 6,
        "window": 24,
        "least": 24,
        "segment": 6,
        "anchor": "seasonal",
        "value_transform": "log",
        "per_series": True,
        "device": "cpu",
        "head_layers": 1,
        "validation": 27,
        "best_epoch": 0,
        "share": 1.0,
        "kernels": "off",
        "instance_norm": False,
        "max_epochs": 0,
        "patience": 8,
    }


@pytest.mark.parametrize(
    ("low", "transform"),
    [(0.005, None), (0.5, "log"), (0.0, None), (-3.0, None)],
    ids=["near zero", "above", "zero", "below"],
)
def test_the_automatic_transform_is_the_logarithm_well_above_zero(low: float, transform: str | None) -> None:
    data = np.r_[np.tile([2.0, 1.0, 3.0], 40), low, np.tile([2.0, 1.0, 3.0], 40)]
    assert GRUForecaster(units=2, max_epochs=0).fit(data).resolved_["value_transform"] == transform


def test_an_interrupt_ends_a_fit_with_a_warning_and_a_backtest_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "run_epoch", stop)
    model = GRUForecaster(window=12, units=2, horizon=3, anchor="last")
    with pytest.warns(TrainingWarning, match="interrupted in epoch 1: the weights of epoch 0"):
        model.fit(wave(90))
    assert model.predict().tolist() == [wave(90)[-1]] * 3
    with pytest.raises(KeyboardInterrupt):
        backtest(model, wave(90), horizon=3)
    with pytest.warns(TrainingWarning) as warned:
        model.set_params(refit=True).fit(wave(90))
    assert len(warned) == 1  # the refit was not begun
    assert warned[0].filename == __file__  # the line that called fit


def test_a_loss_that_is_no_number_leaves_a_forecaster_with_the_last_good_weights() -> None:
    panel = Panel.of(wave(90))
    spoiled = panel.with_values(np.where(np.arange(90)[:, None] == 40, 1e30, panel.values))
    model = GRUForecaster(window=8, horizon=3, units=4, loss="mse", scaler=None, anchor="last", validation=None)
    with pytest.raises(TrainingError, match=r"became inf in epoch 1, step \d of 2, on a batch from series '0'; use a"):
        model.set_params(value_transform=None, batch_size=64).fit(spoiled)
    assert model.predict().tolist() == [wave(90)[-1]] * 3


def test_thin_names_are_the_network_with_their_cell() -> None:
    for thin, cell in [
        (RNNForecaster, "rnn"),
        (GRUForecaster, "gru"),
        (LSTMForecaster, "lstm"),
        (Conv1DForecaster, "conv1d"),
    ]:
        settings = {"window": 12, "horizon": 3, "units": 4, "max_epochs": 1, "random_state": 0}
        assert "cell" not in thin().get_params()
        assert np.array_equal(
            thin(**settings).fit(wave()).predict(), NeuralForecaster(cell, **settings).fit(wave()).predict()
        )


def test_a_series_that_is_too_short_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(DataError) as caught:
        GRUForecaster(window=30, horizon=6, validation=None).fit(Panel.from_array([wave(35), wave(30), wave(20)]))
    assert str(caught.value) == (
        "window + horizon must fit in the training part: needs 30 + 6 = 36 steps, series '0' has 35; "
        "so do 2 other series; use window <= 29 or horizon <= 5"
    )
    with pytest.raises(
        DataError, match=r"series 'y' has 32 \(40 less 8 for validation\); use window <= 26 or horizon <= 2"
    ):
        GRUForecaster(window=30, horizon=6, validation=8).fit(Panel.from_frame(_frame(40)))


def _frame(steps: int) -> object:
    import pandas as pd

    return pd.DataFrame({"y": wave(steps)})


def test_a_context_that_is_too_short_is_refused() -> None:
    model = small("gru").fit(wave(90))
    with pytest.raises(DataError, match="needs 12 steps, series '0' has 5; give more past, or fit with window <= 5"):
        model.predict(wave(5))


def test_a_seasonal_anchor_without_a_season_is_refused() -> None:
    with pytest.raises(DataError, match="anchor 'seasonal' must have a season: season_length is 1; give the panel one"):
        GRUForecaster(window=8, anchor="seasonal").fit(Panel.from_array(wave(90), season_length=1))
    with pytest.raises(DataError, match=r"looks back 24 steps, the window is 8; use window >= 24, or anchor='last'"):
        GRUForecaster(window=8, anchor=(24,)).fit(wave(90))


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        NeuralForecaster("grru", window=0, units=-1, dropout=1.0, learning_rate=0, validation=1.5, anchor="lst").fit(
            wave()
        )
    problems = caught.value.problems
    assert len(problems) == 7
    assert "cell must be one of 'rnn', 'gru', 'lstm', 'conv1d': got 'grru'; did you mean 'gru'?" in problems
    assert "window must be a whole number >= 1 or 'auto': got 0" in problems


def test_a_validation_part_that_holds_no_window_is_refused() -> None:
    with pytest.raises(
        DataError, match="validation must hold a whole horizon: takes 3 steps, the horizon is 6; use val"
    ):
        GRUForecaster(window=5, horizon=6, validation=3).fit(wave(60))
    import pandas as pd

    parts = [pd.DataFrame({"id": f"s{i}", "user": f"u{i}", "y": wave(n)}) for i, n in enumerate([30, 30, 9])]
    panel = Panel.from_frame(pd.concat(parts), id="id", target="y", group="user")
    with pytest.raises(DataError, match=r"none of the held-out groups has a series of 5 \+ 6 steps"):
        GRUForecaster(window=5, horizon=6, validation=1).fit(panel)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta data"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(ParameterError, match=f"device must be 'auto', 'cpu' or a device .* got '{device}'"):
        GRUForecaster(device=device).fit(wave())


def test_validation_that_takes_every_step_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        GRUForecaster(validation=60).fit(wave(60))
    assert str(caught.value) == (
        "validation must leave steps to train on: takes 60, the shortest series has 60; use validation < 60, or "
        "validation=None"
    )


def test_a_network_by_name_has_its_cell() -> None:
    with pytest.raises(
        TypeError, match=r"GRUForecaster has the cell 'gru'; use NeuralForecaster\(cell=...\) for another"
    ):
        GRUForecaster(cell="lstm")


def test_a_setting_with_a_typo_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(TypeError, match="GRUForecaster has no setting 'unit'; did you mean 'units'"):
        GRUForecaster(unit=3)


def test_blocks_that_validate_are_spread_and_none_of_their_targets_is_learned() -> None:
    data = wave(200)
    panel = Panel.from_array(np.stack([data, data])[..., None], season_length=6)
    trains = np.array([170, 200])  # the second series does not validate
    found = auto.blocks(panel, trains, horizon=5, origins=4)
    assert found[0].tolist() == [[193, 200], [171, 178], [149, 156], [127, 134]]  # 30 rows, over the last 90
    assert not found[1].any()
    assert auto.blocks(panel, trains, 5, 100)[0, 6:].max() == 0  # six blocks of a horizon
    assert auto.last_block(panel, trains, 5, 4).tolist() == [193, 200]
    settings = {"validation": 30, "value_transform": None, "scaler": None, "anchor": "none"}
    model = small("gru", 5).set_params(validation_origins="auto", **settings)
    one = clone(model).set_params(validation_origins=1).fit(data)
    model.fit(data)
    assert model.learned_rows().tolist() == [193]
    assert one.learned_rows().tolist() == [170]
    assert model.resolved_["validation"] == 30
    windows = model._windows(model.panel_, model.learned_rows())
    held = windows.validation.batch(torch.arange(len(windows.validation))).future[..., 0].numpy()
    assert len(held) == 4 * 3
    assert held[[0, 3, 6, 9], 0] == pytest.approx(data[[127, 149, 171, 193]])
    learned = windows.training.batch(torch.arange(len(windows.training))).future.numpy()
    assert not np.isin(learned[~np.isnan(learned)], held).any()
    assert model._held_out()[1].tolist() == [193]  # residuals come from the last block alone
