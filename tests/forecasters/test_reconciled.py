"""Reconciled forecasters: coherent points, quantiles and paths, from errors that were not learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tests.helpers.forecasters import small
from tsforecast import (
    DataError,
    DriftForecaster,
    EnsembleForecaster,
    Hierarchy,
    MeanForecaster,
    NaiveForecaster,
    Panel,
    ParameterError,
    ReconciledForecaster,
    ThetaForecaster,
    as_forecaster,
    audit,
    leaderboard,
    load,
    reconcile,
)
from tsforecast.data.context import Context
from tsforecast.hierarchies.reconciliation import METHODS

MONTHS = pd.date_range("2015-01-01", periods=84, freq="MS")


def shops(seed: int = 0, steps: int = 84) -> Panel:
    """Return six shops in two regions that share shocks, with a season."""
    random = np.random.default_rng(seed)
    shared, t = np.cumsum(random.normal(size=steps)), np.arange(steps)
    frames = []
    for i in range(6):
        sold = 40 + 10 * i + shared + 4 * np.sin(2 * np.pi * t / 12 + i) + random.normal(scale=3, size=steps)
        frame = pd.DataFrame({"shop": f"s{i}", "month": MONTHS[:steps], "sold": sold, "region": "ns"[i % 2]})
        frames.append(frame)
    return Panel.from_frame(pd.concat(frames), id="shop", time="month", target="sold", static="region")


PANEL = shops()
TREE = Hierarchy.of(PANEL, "region")
FULL = TREE.with_sums(PANEL)


def gap(answer: pd.DataFrame, column: str = "sold", keys: Any = "month") -> float:
    """Return by how much sums miss those of their series, in their size."""
    wide = answer.pivot(index=keys, columns="shop", values=column)[[*TREE.names]].to_numpy()
    return float(np.abs(wide.T - TREE.summing @ wide[:, -6:].T).max() / np.abs(wide).max())


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_forecasts_and_paths_add_up_whatever_the_method(method: Any) -> None:
    model = ReconciledForecaster(DriftForecaster(), hierarchy=TREE, horizon=4, method=method).fit(FULL)
    assert gap(model.predict()) < 1e-14
    drawn = model.sample(20, random_state=0)
    assert gap(drawn, keys=["path", "month"]) < 1e-14
    quantiles = model.predict(quantiles=[0.1, 0.5, 0.9])
    assert (quantiles["sold_q0.1"] < quantiles["sold_q0.5"]).all()
    assert (quantiles["sold_q0.5"] < quantiles["sold_q0.9"]).all()
    few = model.sample(400, random_state=1).groupby(["shop", "month"])["sold"].quantile(0.9)
    assert quantiles.set_index(["shop", "month"])["sold_q0.9"].sub(few).abs().mean() < 1.5


@pytest.mark.long
@pytest.mark.parametrize("name", ["theta", "reduction", "gru"])
def test_any_forecaster_is_reconciled_and_saved(name: str, tmp_path: Path) -> None:
    model = ReconciledForecaster(small(name), hierarchy=TREE, horizon=3).fit(FULL)
    answer = model.predict(interval=0.8)
    assert gap(answer) < 1e-13
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.predict(interval=0.8).equals(answer)
    assert repr(again.hierarchy) == repr(TREE)
    nested = EnsembleForecaster([clone(model), small("naive")], horizon=3).fit(FULL)
    nested.save(tmp_path / "nested")
    assert load(tmp_path / "nested").predict().equals(nested.predict())


@pytest.mark.long
def test_models_of_other_software_are_reconciled() -> None:
    def rows(context: pd.DataFrame, horizon: int) -> pd.DataFrame:
        ahead = pd.date_range(context["month"].max(), periods=horizon + 1, freq="MS")[1:]
        recent = context.groupby("shop", sort=False)["sold"].apply(lambda numbers: numbers.tail(5).mean() + 1)
        return pd.concat(pd.DataFrame({"shop": name, "month": ahead, "sold": mean}) for name, mean in recent.items())

    model = ReconciledForecaster(as_forecaster(rows), hierarchy=TREE, horizon=2).fit(FULL)
    assert gap(model.predict()) < 1e-14


def test_points_are_the_base_forecasts_reconciled_by_errors_of_a_fit_without_the_last_rows() -> None:
    model = ReconciledForecaster(ThetaForecaster(), hierarchy=TREE, horizon=1, validation=20).fit(FULL)
    base = ThetaForecaster(horizon=1).fit(FULL).predict()["sold"].to_numpy()
    lengths = np.full(len(FULL), 64)
    early = ThetaForecaster(horizon=1).fit(FULL.until(lengths))
    errors = []
    for cutoff in range(64, 84):
        past = Context(FULL, np.arange(len(FULL)), np.full(len(FULL), cutoff))
        truth = np.array([FULL.series(i)[cutoff, 0] for i in range(len(FULL))])
        errors.append(truth - early.forecast(past, 1)[:, 0, 0])
    expected = reconcile(base[:, None], TREE, residuals=np.array(errors))
    assert model.predict()["sold"].tolist() == pytest.approx(expected[:, 0].tolist(), rel=1e-9)


class Recorder(MeanForecaster):
    """A mean that notes how many rows it was fitted on, and from how many it forecasts."""

    calls: list[tuple[str, int]] = []  # noqa: RUF012

    def _fit(self, panel: Panel) -> None:
        self.calls.append(("fit", int(panel.lengths.max())))
        super()._fit(panel)

    def forecast(self, past: Context, horizon: int) -> Any:
        self.calls.append(("forecast", int(past.lengths.min())))
        return super().forecast(past, horizon)


def test_errors_are_those_of_rows_that_were_not_learned_from() -> None:
    Recorder.calls.clear()
    ReconciledForecaster(Recorder(), hierarchy=TREE, horizon=2, validation=30).fit(FULL)
    fits = [rows for kind, rows in Recorder.calls if kind == "fit"]
    assert fits == [54, 84]
    forecasts = [rows for kind, rows in Recorder.calls if kind == "forecast"]
    assert forecasts == list(range(54, 84))
    Recorder.calls.clear()
    ReconciledForecaster(Recorder(), hierarchy=TREE, method="wls-structure").fit(FULL)
    assert Recorder.calls == [("fit", 84)]


@pytest.mark.long
@pytest.mark.parametrize(("name", "method"), [("drift", "top-down"), ("reduction", "mint"), ("gru", "mint")])
def test_no_row_after_a_cutoff_moves_a_forecast(name: str, method: Any) -> None:
    report = audit(ReconciledForecaster(small(name), hierarchy=TREE, horizon=3, method=method), FULL)
    assert report.outcome == "passed (fit)"


def test_forecasts_of_some_series_are_those_of_all() -> None:
    model = ReconciledForecaster(DriftForecaster(), hierarchy=TREE, horizon=3).fit(FULL)
    count = len(FULL)
    cutoffs = np.repeat([70, 75, 80], count)
    every = Context(FULL, np.tile(np.arange(count), 3), cutoffs)
    whole = model.forecast(every, 3)
    for at, cutoff in enumerate([70, 75, 80]):
        alone = Context(FULL, np.arange(count), np.full(count, cutoff))
        assert np.array_equal(model.forecast(alone, 3), whole[at * count : (at + 1) * count])
    chosen = np.random.default_rng(0).permutation(3 * count)[:7]
    assert np.array_equal(model.forecast(every.select(chosen), 3), whole[chosen])
    quantiles = model.distribution(every, 3).quantiles([0.2])
    assert np.array_equal(model.distribution(every.select(chosen), 3).quantiles([0.2]), quantiles[chosen])


def test_the_order_of_the_series_makes_no_difference() -> None:
    model = ReconciledForecaster(DriftForecaster(), hierarchy=TREE, horizon=3)
    answer, order = model.fit(FULL).predict(), np.random.default_rng(0).permutation(len(FULL))
    other = model.fit(FULL.select(order)).predict().set_index(["shop", "month"])["sold"]
    expected = answer.set_index(["shop", "month"])["sold"]
    assert other.loc[expected.index].tolist() == pytest.approx(expected.tolist(), rel=1e-12)


@pytest.mark.long
def test_a_board_has_errors_by_level_beside_those_of_base_forecasts() -> None:
    models = {"theta": ThetaForecaster(), "reconciled": ReconciledForecaster(ThetaForecaster(), hierarchy=TREE)}
    board = leaderboard(models, FULL, horizon=3, origins=4)
    table = board.by_level(TREE)
    assert table.index.tolist() == ["total", "region", "shop"]
    by_series = board.by("series")
    assert table.loc["region", "reconciled"] == pytest.approx(by_series.loc[["n", "s"], "reconciled"].mean())
    assert table.loc["total", "theta"] != table.loc["total", "reconciled"]
    other = Hierarchy.of({"all": ["s0", "s1"]})
    with pytest.raises(
        DataError, match="every series must be one of the hierarchy: 'total', 'n', 's' and 4 more are not"
    ):
        board.by_level(other)
    with pytest.raises(ParameterError, match="hierarchy must be a Hierarchy: got str; make one"):
        board.by_level("region")


def test_a_board_scores_the_quantiles_of_paths() -> None:
    models = {"drift": DriftForecaster(), "reconciled": ReconciledForecaster(DriftForecaster(), hierarchy=TREE)}
    board = leaderboard(models, FULL, horizon=3, origins=3, audit=None, distributions=True, metric="crps")
    table = board.by_level(TREE)
    assert np.isfinite(table[["drift", "reconciled"]].to_numpy()).all()
    assert table["reconciled"].to_numpy() == pytest.approx(table["drift"].to_numpy(), rel=0.2)


def test_forecasts_of_all_series_are_written_to_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsforecast.distributions.parquet.MOST", 2)
    model = ReconciledForecaster(DriftForecaster(), hierarchy=TREE, horizon=3).fit(FULL)
    folder = model.predict(to=tmp_path / "forecasts")
    assert len(list(folder.glob("*.parquet"))) == 1
    assert pd.read_parquet(folder)["sold"].tolist() == model.predict()["sold"].tolist()
    several = EnsembleForecaster([clone(model)], horizon=3).fit(FULL)
    assert several.joint
    assert not DriftForecaster().joint


@pytest.mark.long
def test_intervals_of_coherent_paths_hold_their_share() -> None:
    held = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        shock = random.normal(size=260)  # that all series share
        series = [50 + shock + random.normal(size=260) for _ in range(6)]
        tree = Hierarchy.of({"total": ["x", "y"], "x": ["0", "1", "2"], "y": ["3", "4", "5"]})
        full = tree.with_sums(series)
        model = ReconciledForecaster(MeanForecaster(), hierarchy=tree, horizon=2).fit(full.until(np.full(9, 200)))
        past = Context(full, np.tile(np.arange(9), 15), np.repeat(np.arange(200, 258, 4), 9))
        low, high = np.moveaxis(model.distribution(past, 2).quantiles([0.1, 0.9])[:, :, 0], -1, 0)  # (n, H)
        truth = np.stack([full.series(at)[cut : cut + 2, 0] for at, cut in zip(past.series, past.rows, strict=True)])
        held.append(((low <= truth) & (truth <= high)).reshape(15, 9, 2).mean(axis=(0, 2)))
    assert np.mean(held, axis=0) == pytest.approx(0.8, abs=0.1)  # of the total as of each series


def test_counts_are_never_negative_and_still_add_up() -> None:
    random = np.random.default_rng(0)
    series = [random.poisson(0.4, size=60).astype(float) for _ in range(4)]
    tree = Hierarchy.of({"total": ["x", "y"], "x": ["0", "1"], "y": ["2", "3"]})
    model = ReconciledForecaster(DriftForecaster(), hierarchy=tree, horizon=3, nonnegative=True).fit(
        tree.with_sums(series)
    )
    drawn = np.stack(model.sample(50, random_state=0))  # (N, P, H)
    assert drawn.min() == 0
    assert np.abs(drawn[0] - drawn[-4:].sum(axis=0)).max() < 1e-12
    assert np.stack(model.predict(quantiles=[0.01])).min() >= 0
    free = ReconciledForecaster(DriftForecaster(), hierarchy=tree, horizon=3).fit(tree.with_sums(series))
    assert np.stack(free.sample(50, random_state=0)).min() < 0


def test_each_target_has_weights_of_its_own() -> None:
    random = np.random.default_rng(1)
    arrays = [random.normal(size=(60, 2)).cumsum(axis=0) for _ in range(3)]
    tree = Hierarchy.of({"total": ["0", "1", "2"]})
    both = tree.with_sums(arrays)
    model = ReconciledForecaster(MeanForecaster(), hierarchy=tree, horizon=2).fit(both)
    answer = np.stack(model.predict())
    for k in range(2):
        alone = ReconciledForecaster(MeanForecaster(), hierarchy=tree, horizon=2)
        one = np.stack(alone.fit(tree.with_sums([array[:, k] for array in arrays])).predict())
        assert answer[..., k] == pytest.approx(one)


def test_data_and_settings_that_do_not_fit_are_refused_in_a_sentence() -> None:
    with pytest.raises(
        ParameterError, match=r"hierarchy must be a Hierarchy, such as Hierarchy.of\(panel, .*\): got dict"
    ):
        ReconciledForecaster(NaiveForecaster(), hierarchy={"total": ["a"]}).fit(FULL)  # type: ignore[arg-type]
    model = ReconciledForecaster(NaiveForecaster(), hierarchy=TREE)
    with pytest.raises(DataError, match=r"'total', 'n', 's' are missing; give hierarchy.with_sums\(series\)"):
        model.fit(PANEL)
    with pytest.raises(DataError, match="a hierarchy must have series: got supervised windows"):
        model.fit(np.ones((9, 3)), np.ones(9))
    with pytest.raises(ParameterError, match="method must be one of 'bottom-up'"):
        clone(model).set_params(method="middle-out").fit(FULL)
    fitted = model.fit(FULL)
    with pytest.raises(DataError, match="must have the past of all its series and sums: 'total', 's' have none"):
        fitted.predict(FULL.select(np.array([1, 3, 4, 5, 6, 7, 8])))
    assert gap(fitted.predict(TREE.with_sums(shops(seed=1)))) < 1e-14


def test_known_covariates_of_sums_are_given_for_the_steps_ahead() -> None:
    random, steps = np.random.default_rng(0), 60
    frame = pd.DataFrame({"shop": np.repeat(["a", "b"], steps + 2), "day": np.tile(np.arange(steps + 2), 2)})
    frame["holiday"] = (frame["day"] % 9 == 0).astype(float)
    frame["sold"] = 10 + 5 * frame["holiday"] + random.normal(size=len(frame))
    known = frame[frame["day"] < steps]
    panel = Panel.from_frame(known, id="shop", time="day", target="sold", future="holiday")
    tree = Hierarchy.of({"both": ["a", "b"]})
    model = ReconciledForecaster(small("reduction"), hierarchy=tree, horizon=2).fit(tree.with_sums(panel))
    ahead = frame[frame["day"] >= steps].drop(columns="sold")
    both = ahead[ahead["shop"] == "a"].assign(shop="both")
    answer = model.predict(future=pd.concat([both, ahead])).pivot(index="day", columns="shop", values="sold")
    assert answer["both"].tolist() == pytest.approx((answer["a"] + answer["b"]).tolist(), rel=1e-12)


@pytest.mark.long
def test_mint_errs_less_than_base_forecasts_where_series_are_noisy() -> None:
    gains = []
    for seed in range(8):
        full = TREE.with_sums(shops(seed))
        models = {"theta": ThetaForecaster(), "reconciled": ReconciledForecaster(ThetaForecaster(), hierarchy=TREE)}
        table = leaderboard(models, full, horizon=3, origins=4).by_level(TREE)
        gains.append(1 - table["reconciled"] / table["theta"])
    assert pd.DataFrame(gains).mean().mean() > 0
