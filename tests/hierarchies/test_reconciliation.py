"""Reconciled forecasts are those of the formulas with whole matrices, and add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tsforecast import DataError, Hierarchy, ParameterError, reconcile
from tsforecast.hierarchies.reconciliation import METHODS, Covariance

TREE = Hierarchy.of({"total": ["n", "s"], "n": ["a", "b", "c"], "s": ["d", "e"]})
GROUPED = Hierarchy.of(
    {
        "all": dict.fromkeys("abcd", "total"),
        "region": dict(zip("abcd", "nnss", strict=True)),
        "kind": dict(zip("abcd", "xyxy", strict=True)),
    }
)
Floats = Any


def errors_of(tree: Hierarchy, times: int, seed: int = 0) -> Floats:
    """Return correlated errors of forecasts, (T, N)."""
    random, count = np.random.default_rng(seed), len(tree.names)
    return random.normal(size=(times, count)) @ random.normal(size=(count, count))


def shrunk(errors: Floats) -> tuple[Floats, float]:
    """Return the shrunk covariance, and the share of its diagonal, pair by pair: the slow twin."""
    times, count = errors.shape
    covariance = errors.T @ errors / times
    standard = errors / np.sqrt(np.diag(covariance))
    variances, squares = 0.0, 0.0
    for i in range(count):
        for j in range(count):
            if i != j:
                products = standard[:, i] * standard[:, j]
                variances += ((products - products.mean()) ** 2).sum() / (times * (times - 1))
                squares += products.mean() ** 2
    share = min(1.0, variances / squares)
    return share * np.diag(np.diag(covariance)) + (1 - share) * covariance, share


def by_whole_matrices(tree: Hierarchy, weights: Floats, base: Floats) -> Floats:
    """Return S (S' W^-1 S)^-1 S' W^-1 times base forecasts."""
    summing, inverse = tree.summing.toarray(), np.linalg.inv(weights)
    return summing @ np.linalg.solve(summing.T @ inverse @ summing, summing.T @ inverse @ base)


@pytest.mark.parametrize("times", [4, 30, 400])
@pytest.mark.parametrize("tree", [TREE, GROUPED], ids=["tree", "grouped"])
def test_projections_are_those_of_whole_matrices(tree: Hierarchy, times: int) -> None:
    random, errors = np.random.default_rng(1), errors_of(tree, times)
    base = 10 + random.normal(size=(len(tree.names), 3))
    covariance, share = shrunk(errors)
    weights = {
        "mint": covariance,
        "wls-variance": np.diag(np.diag(covariance)),
        "wls-structure": np.diag(tree.summing.toarray().sum(axis=1)),
        "ols": np.eye(len(base)),
    }
    found = Covariance.of(errors)
    assert found.shrinkage == pytest.approx(share)
    assert found.matrix() == pytest.approx(covariance)
    for method, matrix in weights.items():
        expected = by_whole_matrices(tree, matrix, base)
        assert reconcile(base, tree, method, residuals=errors) == pytest.approx(expected, rel=1e-8), method  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tree", [TREE, GROUPED], ids=["tree", "grouped"])
def test_forecasts_add_up_and_coherent_ones_stay(tree: Hierarchy, method: Any) -> None:
    random, n = np.random.default_rng(2), len(tree.series)
    base = random.normal(size=(len(tree.names), 4)) + 3
    given = {"residuals": errors_of(tree, 50), "history": random.uniform(1, 2, size=(20, n))}
    if tree is GROUPED and method == "top-down-forecasts":
        with pytest.raises(ParameterError, match=r"levels within each other: levels are side by side; use 'mint'"):
            reconcile(base, tree, method, **given)
        return
    found = reconcile(base, tree, method, **given)
    assert np.array_equal(found, tree.summing @ found[-n:])
    if method != "top-down":
        assert reconcile(found, tree, method, **given) == pytest.approx(found)
    counts = reconcile(-base, tree, method, nonnegative=True, **given)
    assert counts.min() >= 0
    assert np.array_equal(counts, tree.summing @ counts[-n:])


def test_top_down_divides_the_total_by_the_history_or_by_forecasts() -> None:
    base = np.array([[100.0], [30.0], [10.0], [1.0], [1.0], [2.0], [0.0], [0.0]])
    history = np.array([[1.0, 1.0, 2.0, 3.0, 1.0], [3.0, 1.0, 2.0, 3.0, 3.0]])
    assert reconcile(base, TREE, "top-down", history=history)[-5:, 0].tolist() == [20.0, 10.0, 20.0, 30.0, 20.0]
    found = reconcile(base, TREE, "top-down-forecasts")[:, 0]
    assert found.tolist() == pytest.approx([100, 75, 25, 18.75, 18.75, 37.5, 12.5, 12.5])  # zeros share equally


@pytest.mark.long
def test_mint_beats_other_methods_where_errors_have_the_covariance_that_it_takes() -> None:
    random = np.random.default_rng(3)
    mixing = random.normal(size=(len(TREE.names),) * 2)
    mixing[0] *= 0.1  # the total is forecast well
    errors = random.normal(size=(20_000, len(mixing))) @ mixing.T
    truth = TREE.summing @ random.normal(size=(5, 10_000))
    lost = {}
    for method in ("bottom-up", "ols", "wls-variance", "mint"):
        found = reconcile(truth + errors[10_000:].T, TREE, method, residuals=errors[:10_000])  # type: ignore[arg-type]
        lost[method] = float(((found - truth) ** 2).mean())
    assert lost["mint"] < 0.8 * lost["wls-variance"]
    assert lost["mint"] < 0.8 * min(lost["ols"], lost["bottom-up"])


def test_steps_of_one_cutoff_are_one_observation_of_the_shrinkage() -> None:
    errors = errors_of(TREE, 60)
    repeated = np.repeat(errors[:, None], 5, axis=1) * np.array([1.0, 2.0, 3.0, 4.0, 5.0])[:, None]
    one, five = Covariance.of(errors), Covariance.of(repeated)
    assert five.shrinkage == pytest.approx(one.shrinkage)
    assert five.matrix() / five.matrix()[0, 0] == pytest.approx(one.matrix() / one.matrix()[0, 0])
    assert Covariance.of(errors, overlap=4.0).shrinkage == pytest.approx(min(1.0, 4 * one.shrinkage))


def test_errors_that_are_missing_or_zero_leave_a_covariance() -> None:
    errors = errors_of(TREE, 40)
    errors[:, 3], errors[5:, 4], errors[:, 5] = np.nan, np.nan, 0.0
    found = Covariance.of(errors)
    assert np.isfinite(found.matrix()).all()
    assert np.linalg.eigvalsh(found.matrix()).min() > 0
    base = np.random.default_rng(0).normal(size=(len(TREE.names), 2))
    assert np.isfinite(reconcile(base, TREE, residuals=errors)).all()
    alone = Hierarchy.of({"total": ["a"]})  # whose errors are the same: nothing tells them apart
    both = np.array([[2.0], [1.0]])
    assert np.ptp(reconcile(both, alone, residuals=np.array([[1.0, 1.0], [-1.0, -1.0]] * 9))) == 0
    summed = (TREE.summing @ errors_of(TREE, 40)[:, -5:].T).T  # as of naive forecasts
    assert reconcile(TREE.summing @ base[-5:], TREE, residuals=summed) == pytest.approx(TREE.summing @ base[-5:])


def frame_of(values: Floats, **columns: Any) -> pd.DataFrame:
    """Return an array (N, T) as a long frame, in an order of its own."""
    count, times = values.shape
    frame = pd.DataFrame({"id": np.repeat(TREE.names, times), "day": np.tile(np.arange(times), count)})
    return frame.assign(y=values.ravel(), **columns).sample(frac=1.0, random_state=0)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_reconciled_by_name_and_key_and_come_back_as_they_were(library: str) -> None:
    base, errors = np.random.default_rng(5).normal(size=(len(TREE.names), 6)), errors_of(TREE, 30)
    expected = reconcile(base, TREE, residuals=errors)
    given, residuals = frame_of(base, note=1), frame_of(errors.T)
    if library == "polars":
        answer = reconcile(pl.from_pandas(given), TREE, residuals=pl.from_pandas(residuals)).to_pandas()
        assert answer["y"].tolist() == reconcile(given, TREE, residuals=residuals)["y"].tolist()
        return
    answer = reconcile(given, TREE, residuals=residuals)
    assert answer.drop(columns="y").equals(given.drop(columns="y"))
    assert answer.pivot(index="id", columns="day", values="y").loc[[*TREE.names]].to_numpy() == pytest.approx(expected)
    two = given.assign(z=2 * given["y"])
    again = reconcile(two, TREE, residuals=residuals.assign(z=2 * residuals["y"]))
    assert again["z"].tolist() == pytest.approx((2 * again["y"]).tolist())
    assert reconcile(two, TREE, "ols", columns="z")["y"].tolist() == two["y"].tolist()
    shares = frame_of(np.abs(base))
    assert reconcile(given, TREE, "top-down", history=shares)["y"].tolist() == pytest.approx(
        [
            {day: base[0, day] for day in range(6)}[row.day]
            * sum(np.abs(base[TREE.names.index(name)]).sum() for name in TREE.series if row.id in above(name))
            / np.abs(base[-5:]).sum()
            for row in given.itertuples()
        ]
    )


def above(name: str) -> set[str]:
    """Return a series and all sums that it is part of."""
    place = TREE.series.index(name)
    return {name, *(sums[place] for sums in TREE.levels.values())}


@pytest.mark.parametrize(
    ("change", "settings", "sentence"),
    [
        (
            lambda frame: frame[frame["id"] != "n"],
            {},
            "forecasts must hold all of 8 names of the hierarchy: 'n' is missing",
        ),
        (
            lambda frame: frame.drop(frame.index[(frame["id"] == "n") & (frame["day"] == 1)]),
            {},
            "forecasts in 'y' must be there of all sums and series: 1 is missing, first of 'n', day 1",
        ),
        (
            lambda frame: pd.concat([frame, frame.head(2)]),
            {},
            "forecasts must be one for each name and 'day': 2 are there",
        ),
        (lambda frame: frame.replace("n", "nn"), {}, "'id' must name series and sums of the hierarchy: got 'nn'"),
        (
            lambda frame: frame.rename(columns={"y": "y_q0.1"}),
            {},
            "columns must not hold quantiles, whose sums are not",
        ),
        (lambda frame: frame.assign(y_lo80=1.0), {}, "got 'y_lo80'; give paths"),
        (lambda frame: frame, {"columns": "yy"}, "a column of forecasts must exist: got 'yy'; did you mean 'y'?"),
        (lambda frame: frame, {"method": "mint"}, "'mint' must have residuals: got none"),
        (lambda frame: frame, {"method": "top-down"}, "'top-down' must have a history: got none"),
        (lambda frame: frame, {"method": "min"}, "method must be one of 'bottom-up'"),
        (
            lambda frame: frame.assign(y=1),
            {},
            "forecasts must have a column of decimals: got none; name one with columns=",
        ),
        (lambda frame: frame.assign(kind="x"), {}, "forecasts must have one column of text, which names series: got"),
        (lambda frame: 3, {}, "forecasts must be a frame or an array: got int"),
        (
            lambda frame: np.ones((3, 2)),
            {},
            "forecasts must have a row for each of 8 sums and series: got shape (3, 2)",
        ),
        (lambda frame: np.full((8, 2), np.nan), {}, "forecasts must be finite numbers: 16 are not"),
        (
            lambda frame: np.ones((8, 2)),
            {"method": "mint", "residuals": np.ones((5, 7))},
            "residuals must have a row for each time and 8 columns: got shape (5, 7)",
        ),
    ],
)
def test_forecasts_that_cannot_be_reconciled_are_refused_in_a_sentence(
    change: Any, settings: dict[str, Any], sentence: str
) -> None:
    given = change(frame_of(np.ones((8, 3))))
    with pytest.raises((DataError, ParameterError)) as caught:
        reconcile(given, TREE, **({"method": "ols"} | settings))
    assert sentence in str(caught.value)


def test_paths_of_a_frame_are_reconciled_one_by_one() -> None:
    base = np.random.default_rng(7).normal(size=(8, 6))
    frame = frame_of(base).assign(path=lambda rows: rows["day"] // 3, day=lambda rows: rows["day"] % 3)
    answer = reconcile(frame, TREE, "wls-structure").pivot(index="id", columns=["path", "day"], values="y")
    assert answer.loc["total"].to_numpy() == pytest.approx(answer.loc[[*TREE.series]].sum().to_numpy(), rel=1e-12)
