"""Networks whose loss is that of a distribution: untrained the naive distribution, trained its quantiles and point."""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

import tsforecast
from tests.helpers import losses
from tests.helpers.forecasters import small, wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.distributions.parametric import Parametric
from tsforecast.errors import DataError, DataWarning, ModelFileError, ParameterError
from tsforecast.estimators.persistence import summary
from tsforecast.estimators.registry import NETWORKS
from tsforecast.forecasters.neural import GRUForecaster, NeuralForecaster
from tsforecast.networks.losses import QuantileLoss

COUNTS = ("poisson", "negative-binomial", "zero-inflated-poisson", "zero-inflated-negative-binomial")
CONTINUOUS = ("normal", "student-t", "laplace", "lognormal", "quantile")
THOROUGH = pytest.mark.thorough
LEVELS = [0.01, 0.1, 0.5, 0.9, 0.99]


def demand(steps: int = 120) -> np.ndarray:
    """Return counts with a season of six, many of them zero."""
    rate = 3 * np.maximum(0, np.sin(np.arange(steps) * 2 * np.pi / 6))
    return np.random.default_rng(0).poisson(rate).astype(float)


def data_of(loss: str) -> np.ndarray:
    return demand() if loss in COUNTS else wave(120)


def at_ends(model: NeuralForecaster, steps: int = 40) -> tuple[Context, np.ndarray]:
    """Return the last cutoffs of the first series, and what followed them."""
    panel, horizon = model.panel_, model.horizon_
    ends = np.arange(len(panel.series(0)) - steps - horizon, len(panel.series(0)) - horizon + 1)
    truth = np.stack([panel.series(0)[end : end + horizon, : panel.n_targets] for end in ends])
    return Context(panel, np.zeros(len(ends), dtype=np.int64), ends), truth


@pytest.mark.sample(3)
@pytest.mark.parametrize("transform", [None, "log"])
@pytest.mark.parametrize("loss", ["normal", "laplace", "student-t", "quantile"])
def test_untrained_a_head_is_the_anchor_with_the_spread_of_its_errors_by_step(loss: str, transform: str | None) -> None:
    walk = 100 + np.cumsum(np.random.default_rng(0).normal(size=600))
    model = GRUForecaster(
        window=12, horizon=4, units=4, max_epochs=0, anchor="last", loss=loss, value_transform=transform
    )
    model.fit(walk)
    assert model.predict().tolist() == [walk[-1]] * 4  # to the bit
    part = walk[: 600 - model.resolved_["validation"]]
    moves = [np.log(part[12 + k :] / part[11 : len(part) - k - 1]) for k in range(4)]
    if transform is None:
        moves = [part[12 + k :] - part[11 : len(part) - k - 1] for k in range(4)]
    found = model.predict(quantiles=[0.25, 0.5, 0.75])
    width = np.log(found[:, 3] / found[:, 1]) if transform else found[:, 3] - found[:, 1]
    assert found[:, 2] == pytest.approx(np.full(4, walk[-1]))
    assert width == pytest.approx([np.diff(np.quantile(each, [0.25, 0.75]))[0] for each in moves], rel=0.25)
    before = model.network_.start.clone()
    changed = np.r_[part, part[-1] + 50 * np.random.default_rng(1).normal(size=600 - len(part)) ** 2]
    model.fit(changed)  # rows that only validate teach the spread nothing
    assert torch.equal(model.network_.start, before)


@pytest.mark.parametrize("cell", [NETWORKS[0], *[pytest.param(cell, marks=THOROUGH) for cell in NETWORKS[1:]]])
@pytest.mark.parametrize("loss", [*CONTINUOUS, *COUNTS])
def test_every_head_learns_predicts_and_comes_back(cell: str, loss: str, tmp_path: Path) -> None:
    data = data_of(loss)
    model = small(cell).set_params(loss=loss, max_epochs=4, learning_rate=0.01)
    model.set_params(**{"anchor": "last"} if loss in COUNTS else {}).fit(
        data
    )  # the automatic one leaves little to learn
    losses_ = [epoch.valid_loss for epoch in model.history_]
    assert min(losses_[1:]) < losses_[0] or loss in ("lognormal", "laplace", "normal", "student-t", "quantile")
    found = model.predict(quantiles=LEVELS)
    assert found.shape == (3, 6)
    steps = np.diff(found[:, 1:])
    assert (steps >= 0).all() if loss in COUNTS else (steps > 0).all()
    past, truth = at_ends(model)
    said = model.distribution(past, 3)
    assert isinstance(said, Parametric)
    assert (said.crps(truth) >= 0).all()
    point = said.mean() if loss in COUNTS else said.median()
    assert model.forecast(past, 3) == pytest.approx(point, rel=1e-5)
    model.save(tmp_path / "model")
    for copy in (tsforecast.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(copy.predict(quantiles=LEVELS), found)
    assert clone(model).get_params() == model.get_params()


@pytest.mark.thorough
@pytest.mark.parametrize("loss", ["normal", pytest.param("student-t", marks=THOROUGH), "quantile"])
def test_a_head_finds_the_spread_that_was_put_in(loss: str) -> None:
    loud = np.arange(1_500) % 6 >= 3
    noise = 10 + np.where(loud, 2.0, 0.2) * np.random.default_rng(0).normal(size=1_500)
    frame = pd.DataFrame({"y": noise, "loud": loud.astype(float), "t": np.arange(1_500), "id": "a"})
    panel = Panel.from_frame(frame, time="t", id="id", target="y", future="loud", season_length=6)
    model = GRUForecaster(window=12, horizon=6, units=8, anchor="average", loss=loss, value_transform=None)
    model.set_params(max_epochs=12, learning_rate=0.02, random_state=0).fit(panel)
    past, truth = at_ends(model, 300)
    ends = model.distribution(past, 6).quantiles([0.1, 0.9])
    width = (ends[..., 1] - ends[..., 0])[..., 0]
    then = loud[past.lengths[:, None] + np.arange(6)]
    assert np.median(width[then]) == pytest.approx(2.56 * 2, rel=0.3)
    assert np.median(width[~then]) < 2.56
    assert ((ends[..., 0] <= truth) & (truth <= ends[..., 1])).mean() == pytest.approx(0.8, abs=0.1)


@pytest.mark.sample(5)
@pytest.mark.parametrize("channels", ["independent", "joint"])
@pytest.mark.parametrize("anchor", ["none", "seasonal", (6, 12)])
@pytest.mark.parametrize("instance_norm", [False, True])
def test_heads_forecast_several_targets_with_covariates(channels: str, anchor: object, instance_norm: bool) -> None:
    data = np.stack([wave(90), 50 * wave(90, 1)], axis=1)
    frame = pd.DataFrame(data, columns=["a", "b"]).assign(h=np.arange(90) % 6, day=np.arange(90), size=2.0, shop="s")
    panel = Panel.from_frame(
        frame, time="day", id="shop", target=["a", "b"], future="h", static="size", season_length=6
    )
    model = small("gru").set_params(channels=channels, anchor=anchor, instance_norm=instance_norm, loss="student-t")
    model.fit(panel)
    later = pd.DataFrame({"day": np.arange(90, 97), "h": np.arange(90, 97) % 6, "shop": "s"})
    found = model.predict(future=later, horizon=7, quantiles=[0.1, 0.9])
    assert len(found) == 7
    width = found["b_q0.9"] - found["b_q0.1"]
    assert (width > 5 * (found["a_q0.9"] - found["a_q0.1"])).all()
    assert found["b"].between(found["b_q0.1"], found["b_q0.9"]).all()


def test_a_spread_of_a_normalised_window_is_in_units_of_the_window() -> None:
    data = np.concatenate([wave(90), wave(90)])
    model = small("gru").set_params(instance_norm=True, anchor="last", loss="normal", scaler=None, max_epochs=0)
    model.set_params(value_transform=None).fit(data)
    found = [model.predict(factor * data[-30:], quantiles=[0.1, 0.9]) for factor in (1, 100)]
    width = [each[:, 2] - each[:, 1] for each in found]
    assert width[1] == pytest.approx(100 * width[0], rel=1e-4)


def test_a_point_is_the_mean_the_median_or_the_mode() -> None:
    data = np.exp(np.random.default_rng(0).normal(size=300))
    model = small("gru").set_params(loss="lognormal", anchor="last", max_epochs=1)
    points = [model.set_params(point=point).fit(data).predict() for point in ("mode", "median", "mean")]
    assert (points[0] < points[1]).all()
    assert (points[1] < points[2]).all()
    past, _ = at_ends(model)
    assert model.forecast(past, 3) == pytest.approx(model.distribution(past, 3).mean())
    counts = small("gru").set_params(loss="negative-binomial", max_epochs=1, point="median").fit(demand())
    assert (counts.predict() % 1 == 0).all()


def test_beyond_the_horizon_the_distributions_of_its_steps_are_taken_again() -> None:
    model = small("gru").set_params(loss="normal").fit(wave(120))
    found = model.predict(horizon=7, quantiles=[0.1, 0.9])
    assert np.array_equal(found[:3], model.predict(quantiles=[0.1, 0.9]))
    again = model.predict(np.r_[wave(120), found[:3, 0]], quantiles=[0.1, 0.9])
    assert found[3:6] == pytest.approx(again, rel=1e-6)


def test_a_context_that_is_too_short_has_the_distribution_of_the_seasonal_naive() -> None:
    panel = Panel.from_array([wave(90), wave(90, 1)], season_length=6)
    model = small("gru").set_params(loss="normal").fit(panel)
    naive = tsforecast.SeasonalNaiveForecaster(3).fit(panel)
    short = Context(panel, np.array([0, 1]), np.array([8, 90]))
    found = model.distribution(short, 3).quantiles([0.1, 0.9])
    expected = naive.distribution(short, 3).quantiles([0.1, 0.9])
    assert np.array_equal(found[0], expected[0])
    assert not np.allclose(found[1], expected[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert np.isfinite(model.predict([wave(90)[:8], wave(90, 1)], interval=0.8)[0]).all()


def test_a_head_is_refitted_resumed_and_tuned(tmp_path: Path) -> None:
    model = small("gru").set_params(loss="student-t", max_epochs=3, learning_rate=0.02)
    whole = clone(model).fit(wave()).predict(quantiles=LEVELS)

    class Stopped(Exception):
        pass

    def stop(epoch: object) -> None:
        if epoch.number == 2:
            raise Stopped

    with pytest.raises(Stopped):
        clone(model).fit(wave(), checkpoint=tmp_path / "kept", on_epoch=stop)
    resumed = clone(model).fit(wave(), resume_from=tmp_path / "kept")
    assert np.array_equal(resumed.predict(quantiles=LEVELS), whole)
    refitted = clone(model).set_params(refit=True).fit(wave())
    assert not torch.equal(refitted.network_.start, resumed.network_.start)  # learned from all rows
    wider = 10 + 10 * (wave() - 10)
    for head in ("keep", "new"):
        tuned = resumed.fine_tune(wider, head=head, max_epochs=0)
        assert torch.equal(tuned.network_.start, resumed.network_.start) == (head == "keep")
        assert np.isfinite(tuned.predict(interval=0.8)).all()
    tuned = resumed.fine_tune(wider, head="new", scaling="keep", max_epochs=0).predict(interval=0.8)
    kept = resumed.fine_tune(wider, head="keep", scaling="keep", max_epochs=0).predict(interval=0.8)
    assert (tuned[:, 2] - tuned[:, 1]).mean() > 3 * (kept[:, 2] - kept[:, 1]).mean()


def test_numbers_that_a_distribution_cannot_have_are_refused() -> None:
    wrong = demand()
    wrong[[5, 9]] = -1.0, 0.5
    with pytest.raises(DataError) as caught:
        small("gru").set_params(loss="poisson").fit(wrong)
    assert str(caught.value) == (
        "'y' must be counts, whole numbers from 0 on, for loss 'poisson': 2 of 120 are not, the first is -1 in series "
        "'0'; use loss='normal', or loss='quantile'"
    )
    with pytest.raises(
        DataError, match="'y' must be positive numbers, for loss 'lognormal': 83 of 120 are not, the fi"
    ):
        small("gru").set_params(loss="lognormal").fit(demand())
    with pytest.raises(ParameterError) as problem:
        small("gru").set_params(loss="lognormal", value_transform="box-cox").fit(wave())
    assert "value_transform must be 'auto' or 'log' for loss 'lognormal'" in str(problem.value)
    with pytest.raises(ParameterError, match="loss must have a distribution for point='mean': got 'mae', whi"):
        small("gru").set_params(point="mean").fit(wave())
    with pytest.raises(
        ParameterError, match="quantiles must be 1 to 199 levels between 0 and 1 besides the median: got"
    ):
        QuantileLoss([0.1, 1.0])


def test_a_grid_of_quantiles_is_a_setting_that_is_cloned_shown_and_saved(tmp_path: Path) -> None:
    model = small("gru").set_params(loss=QuantileLoss([0.1, 0.9])).fit(wave())
    assert "loss=QuantileLoss(quantiles=[0.1, 0.9])" in repr(model)
    assert model.network_.outputs == 3
    model.save(tmp_path / "model")
    again = tsforecast.load(tmp_path / "model")
    assert again.get_params()["loss"].quantiles == [0.1, 0.9]
    assert np.array_equal(again.predict(quantiles=LEVELS), model.predict(quantiles=LEVELS))
    assert clone(model).loss.quantiles == [0.1, 0.9]
    text = (tmp_path / "model/model.json").read_text()
    (tmp_path / "model/model.json").write_text(text.replace("0.9", "1.9"))
    with pytest.raises(ModelFileError, match="quantiles must be 1 to 199 levels"):
        tsforecast.load(tmp_path / "model")


def test_a_loss_of_ones_own_is_saved_by_its_import_path_and_loaded_with_consent(tmp_path: Path) -> None:
    model = small("gru").set_params(loss=losses.Gumbel(factor=1.5), max_epochs=3).fit(wave())
    found = model.predict(quantiles=LEVELS)
    assert (np.diff(found[:, 1:]) > 0).all()
    past, truth = at_ends(model)
    assert (model.distribution(past, 3).crps(truth) > 0).all()
    model.save(tmp_path / "model")
    losses.IMPORTED.clear()
    path = "tests.helpers.losses.Gumbel"
    with pytest.raises(ModelFileError, match=rf"its loss is '{path}', code that is not of .* with trust=\['{path}'\]"):
        tsforecast.load(tmp_path / "model")
    assert "loss=Gumbel(factor=1.5)" in summary(tmp_path / "model")["model"]
    assert losses.IMPORTED == []
    again = tsforecast.load(tmp_path / "model", trust=[path])
    assert losses.IMPORTED == ["Gumbel"]
    assert np.array_equal(again.predict(quantiles=LEVELS), found)
    text = (tmp_path / "model/model.json").read_text()
    (tmp_path / "model/model.json").write_text(text.replace(path, "os.system"))
    for trust, words in (([path], "its loss is 'os.system'"), (["os.system"], "must be a subclass of tsforecast")):
        with pytest.raises(ModelFileError, match=words):
            tsforecast.load(tmp_path / "model", trust=trust)
    with pytest.raises(ModelFileError, match="its loss is 'os\\.system'"):
        tsforecast.load(tmp_path / "model", trust="os.systematic")  # one path, not letters that hold another one
    point = small("gru").set_params(loss=losses.Absolute()).fit(wave())
    point.save(tmp_path / "point")
    assert np.array_equal(tsforecast.load(tmp_path / "point", trust=[path.replace("Gumbel", "Absolute")]).predict(),
                          point.predict())  # fmt: skip


def test_a_loss_that_cannot_be_imported_is_not_saved(tmp_path: Path) -> None:
    class Mine(losses.Absolute):
        pass

    with pytest.raises(ParameterError, match="a loss of your own must be a class of a module that can be imported"):
        small("gru").set_params(loss=Mine()).fit(wave()).save(tmp_path / "model")


def step_of(loss: str) -> Callable[[], float]:
    """Return a function that does one step of training of a network with a loss, and returns the seconds it took."""
    panel = Panel.from_array(demand(1_200) + 1, season_length=12)
    model = GRUForecaster(horizon=12, segment=4, loss=loss, max_epochs=0, random_state=0).fit(panel)
    data, network = model._windows(panel, panel.lengths), model.network_.train()
    optimizer = torch.optim.AdamW(network.parameters(), foreach=True)
    batch = data.training.batch(torch.arange(64))

    def step() -> float:
        began = time.process_time()
        error, count = data.objective.loss_of(network(*batch.inputs), batch)
        optimizer.zero_grad()
        (error / count).backward()
        optimizer.step()
        return time.process_time() - began

    return step


DEAREST = "zero-inflated-negative-binomial"  # in every run, the others in longer ones


@pytest.mark.process
@pytest.mark.parametrize(
    "loss", [pytest.param(each, marks=[] if each == DEAREST else pytest.mark.slow) for each in (*CONTINUOUS, *COUNTS)]
)
def test_a_step_of_training_costs_little_more_than_that_of_mae(loss: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = {name: step_of(name) for name in ("mae", loss)}
        seconds = [[step() for step in steps.values()] for _ in range(200)]  # by turns
    finally:
        torch.set_num_threads(threads)
    mae, head = np.quantile(seconds, 0.1, axis=0)
    assert head < 1.15 * mae, head / mae


@pytest.mark.thorough
@pytest.mark.parametrize("loss", ["quantile", pytest.param("student-t", marks=pytest.mark.slow)])
def test_quantiles_of_three_thousand_series_take_no_second_pass_of_the_network(loss: str) -> None:
    series = list(np.random.default_rng(0).normal(size=(3_000, 120)).cumsum(axis=1))
    model = GRUForecaster(window=28, horizon=14, loss=loss, max_epochs=1, steps_per_epoch=2, random_state=0).fit(series)

    def seconds(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    turns = [(seconds(lambda: model.predict(interval=0.8)), seconds(model.predict)) for _ in range(5)]
    assert min(turn[0] for turn in turns) < 2 * min(turn[1] for turn in turns)  # it took 2.1 to 2.4, now 1.1 to 1.4
    points = [each[:, 0] for each in model.predict(interval=0.8)]
    assert np.array_equal(points, model.predict())  # to the bit
