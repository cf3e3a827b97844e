"""A scaling undoes itself, knows only what it was fitted on, and survives hard numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import boxcox
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from tsforecast.data.scaling import (
    SCALERS,
    TRANSFORMS,
    Scaling,
    ScalingRecipe,
    by_part,
    seasonal_scale,
    seasonal_scales,
)
from tsforecast.errors import ParameterError


def fit_standard(values: np.ndarray, offsets: np.ndarray) -> Scaling:
    return ScalingRecipe().fit(values, offsets, values.shape[1])


THOROUGH = pytest.mark.thorough
NUMBERS = st.floats(-1e12, 1e12, allow_nan=False, width=64)


VALUES = arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 3)), elements=NUMBERS)


@pytest.mark.long
@pytest.mark.parametrize(
    ("transform", "scaler", "per_series"),
    [
        # Each alone is quick; one after the other, and over all series, is the same check on further cases.
        pytest.param(transform, scaler, alone, marks=() if alone and None in (transform, scaler) else THOROUGH)
        for transform in (None, *TRANSFORMS)
        for scaler in (None, *SCALERS, StandardScaler(), RobustScaler())
        for alone in (True, False)
    ],
)
@given(values=VALUES, cut=st.data())
def test_inverse_undoes_transform(
    transform: str | None, scaler: object, per_series: bool, values: np.ndarray, cut: st.DataObject
) -> None:
    middle = cut.draw(st.integers(1, len(values) - 1))
    offsets = np.array([0, middle, len(values)])
    targets = cut.draw(st.integers(1, values.shape[1]))
    scaling = ScalingRecipe(transform, scaler, per_series).fit(values, offsets, targets)
    owner = np.repeat([0, 1], np.diff(offsets))
    scaled = scaling.transform(values, owner)
    back = scaling.inverse(scaled, owner)
    assert np.isfinite(scaled).all()
    assert np.all(np.abs(back - values) <= 1e-9 * np.maximum(1, np.abs(values).max()))


def test_each_series_gets_mean_zero_and_spread_one() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(5, 2, size=(50, 2)), rng.normal(-1e6, 300, size=(80, 2))])
    scaled = fit_standard(values, np.array([0, 50, 130])).transform(values, np.repeat([0, 1], [50, 80]))
    for part in (scaled[:50], scaled[50:]):
        assert np.allclose(part.mean(axis=0), 0, atol=1e-9)
        assert np.allclose(part.std(axis=0), 1)


def test_a_constant_series_is_shifted_but_not_stretched() -> None:
    for constant in (0.0, 0.1, 1e12, -1e12 / 3):
        values = np.full((7, 1), constant)
        scaling = fit_standard(values, np.array([0, 7]))
        assert scaling.scale.item() == 1.0
        assert np.abs(scaling.transform(values, 0)).max() <= 1e-3


def test_small_moves_of_huge_numbers_are_not_taken_for_rounding() -> None:
    values = 1e12 + np.array([[0.0], [1.0], [2.0]])
    assert fit_standard(values, np.array([0, 3])).scale.item() > 0.8


def test_a_single_row_can_be_scaled() -> None:
    scaling = fit_standard(np.array([[3.0]]), np.array([0, 1]))
    assert scaling.transform(np.array([[3.0], [4.0]]), 0).ravel().tolist() == [0.0, 1.0]


def test_nan_is_left_out_of_the_statistics() -> None:
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    scaling = fit_standard(values, np.array([0, 3]))
    assert scaling.location.tolist() == [[2.0, 0.0]]
    assert scaling.scale.tolist() == [[1.0, 1.0]]


def test_statistics_of_float32_data_are_those_of_float64() -> None:
    values = (1e6 + np.random.default_rng(0).normal(size=(10_000, 1))).astype(np.float32)
    scaling = fit_standard(values, np.array([0, 10_000]))
    assert scaling.location.item() == values.astype(np.float64).mean()
    assert np.isclose(scaling.scale.item(), values.astype(np.float64).std(), rtol=1e-9)


def test_named_scalers_equal_scikit_learn_s() -> None:
    values = np.random.default_rng(0).normal(size=(40, 3)) ** 3
    for name, theirs in [("standard", StandardScaler()), ("min-max", MinMaxScaler()), ("robust", RobustScaler())]:
        mine = ScalingRecipe(scaler=name).fit(values, np.array([0, 40]), 3)
        given = ScalingRecipe(scaler=theirs).fit(values, np.array([0, 40]), 3)
        assert np.allclose(mine.transform(values, 0), theirs.fit_transform(values))
        assert np.allclose(given.transform(values, 0), theirs.fit_transform(values))
        assert np.allclose(given.transform(values[:, :2], 0), theirs.transform(values)[:, :2])  # targets alone


def test_box_cox_finds_scipy_s_power_and_the_logarithm_is_the_power_zero() -> None:
    values = np.random.default_rng(0).gamma(2.0, 3.0, size=(200, 1))
    scaling = ScalingRecipe("box-cox", None).fit(values, np.array([0, 200]), 1)
    expected, power = boxcox(values.ravel())
    assert scaling.power.item() == pytest.approx(power, abs=1e-4)
    assert np.allclose(scaling.transform(values, 0).ravel(), expected, atol=1e-3)
    logs = ScalingRecipe("log", None).fit(values, np.array([0, 200]), 1).transform(values, 0)
    assert np.allclose(logs, np.log(values))


def test_zero_and_negative_numbers_get_an_offset_before_the_logarithm() -> None:
    values = np.array([[-2.0], [0.0], [4.0]])
    scaling = ScalingRecipe("log", None).fit(values, np.array([0, 3]), 1)
    assert scaling.shift.item() > 2
    assert np.isfinite(scaling.transform(np.array([[-1000.0]]), 0)).all()  # lower than ever in training


def test_only_targets_are_transformed() -> None:
    values = np.array([[1.0, -5.0], [10.0, -6.0]])
    scaled = ScalingRecipe("log", None).fit(values, np.array([0, 2]), 1).transform(values, 0)
    assert scaled[:, 1].tolist() == [-5.0, -6.0]
    assert scaled[:, 0].tolist() == pytest.approx([0.0, np.log(10)])


@pytest.mark.sample(4)
@pytest.mark.parametrize("transform", [None, "log", "box-cox"])
@pytest.mark.parametrize("scaler", ["standard", "min-max", "robust", None, StandardScaler()])
def test_what_is_learned_of_a_series_does_not_depend_on_those_beside_it(
    transform: str | None, scaler: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = np.array([5, 40, 1, 12, 30])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.random.default_rng(0).normal(3, 2, size=(len(np.repeat(lengths, lengths)), 2))
    values[7, 0] = np.nan
    recipe = ScalingRecipe(transform, scaler)
    for block in (1, 50, 1 << 16):
        monkeypatch.setattr("tsforecast.mapped.ROWS", block)
        together = recipe.fit(values, offsets, targets=1)
        for i, length in enumerate(lengths):
            alone = recipe.fit(values[offsets[i] : offsets[i + 1]], np.array([0, length]), targets=1)
            for name, learned in alone.numbers().items():
                assert np.array_equal(together.numbers()[name][i], learned[0]), (name, block)


def test_a_series_without_rows_gets_no_scale() -> None:
    scaling = ScalingRecipe("log").fit(np.array([[1.0], [3.0]]), np.array([0, 0, 2, 2]), targets=1)
    assert scaling.location[[0, 2], 0].tolist() == [0.0, 0.0]
    assert scaling.scale[[0, 2], 0].tolist() == [1.0, 1.0]


def test_global_statistics_are_those_of_all_series_together() -> None:
    values = np.random.default_rng(0).normal(size=(30, 1))
    scaling = ScalingRecipe(per_series=False).fit(values, np.array([0, 10, 30]), 1)
    assert scaling.location.ravel().tolist() == pytest.approx([values.mean()] * 2)
    assert scaling.scale.ravel().tolist() == pytest.approx([values.std()] * 2)


def test_a_part_of_the_columns_is_scaled_as_in_the_whole() -> None:
    values = np.random.default_rng(0).normal(size=(20, 4)) * [1, 2, 3, 4]
    for scaler in ("standard", StandardScaler()):
        scaling = ScalingRecipe("log", scaler).fit(values, np.array([0, 20]), 1)
        assert np.allclose(scaling.columns(2).transform(values[:, 2:], 0), scaling.transform(values, 0)[:, 2:])


NEEDED = (
    "scaler must be one of 'standard', 'min-max', 'robust', None, or a scikit-learn transformer that scales each "
    "column by itself and undoes it, such as StandardScaler(): "
)


@pytest.mark.parametrize(
    ("scaler", "got"),
    [
        (StandardScaler, "got the class StandardScaler; pass StandardScaler()"),
        (Ridge(), "Ridge() has no transform and no inverse_transform"),
        (Normalizer(), "Normalizer() has no inverse_transform"),
        (SplineTransformer(), "SplineTransformer() has no inverse_transform"),
        (3, "3 has no fit and no transform and no inverse_transform"),
        (PCA(1), "PCA(n_components=1) turns 2 columns into 1"),
        (PCA(2), "PCA(n_components=2) mixes columns"),
        (PCA(5), "PCA(n_components=5) cannot learn from the data: n_components=5 must be between 0 and"),
        (KBinsDiscretizer(3), "KBinsDiscretizer(n_bins=3) turns 2 columns into 6"),
        (
            KBinsDiscretizer(3, encode="ordinal"),
            "KBinsDiscretizer(encode='ordinal', n_bins=3) does not undo what it does",
        ),
        (FunctionTransformer(np.log1p), "FunctionTransformer(func=<ufunc 'log1p'>) does not undo what it does"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_transformer_that_is_no_scaler_is_named_with_what_is_needed(scaler: object, got: str) -> None:
    values = np.random.default_rng(0).gamma(2.0, [1.0, 100.0], size=(60, 2))
    with pytest.raises(ParameterError) as caught:
        ScalingRecipe(scaler=scaler).fit(values, np.array([0, 60]), 1)
    assert str(caught.value).startswith(NEEDED + got)


@pytest.mark.parametrize(
    "scaler",
    [
        PowerTransformer(),
        PowerTransformer("box-cox"),
        QuantileTransformer(n_quantiles=20, output_distribution="normal"),
        make_pipeline(PowerTransformer(), MinMaxScaler()),
        FunctionTransformer(np.log, np.exp),
        StandardScaler().set_output(transform="pandas"),
    ],
)
def test_a_transformer_that_scales_each_column_is_taken(scaler: object) -> None:
    values = np.random.default_rng(0).gamma(2.0, [1.0, 100.0], size=(60, 2))
    scaling = ScalingRecipe(scaler=scaler).fit(values, np.array([0, 30, 60]), 1)
    owner = np.repeat([0, 1], 30)
    scaled = scaling.transform(values, owner)
    assert np.allclose(scaling.inverse(scaled, owner), values)
    # Targets alone, or what is known ahead alone, are scaled as among all columns.
    assert np.array_equal(scaling.transform(values[:, :1], owner), scaled[:, :1])
    assert np.array_equal(scaling.columns(1).transform(values[:, 1:], owner), scaled[:, 1:])


def test_a_part_without_rows_is_reduced_to_zero() -> None:
    values = np.array([[1.0], [2.0], [4.0]])
    assert by_part(np.add, values, np.array([0, 1, 1, 3])).ravel().tolist() == [1.0, 0.0, 6.0]


def test_the_seasonal_naive_forecast_of_the_past_has_a_mean_absolute_and_squared_error() -> None:
    assert seasonal_scale([1.0, 2.0, 4.0, 2.0], season_length=2) == (1.5, 4.5)


def test_a_logarithm_comes_before_the_scaler() -> None:
    values = np.array([[1.0], [10.0], [100.0]])
    scaling = ScalingRecipe("log", "min-max").fit(values, np.array([0, 3]), targets=1)
    assert scaling.transform(values, 0).ravel().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("steps", "missing"), [(300, False), (300, True), (4, False), (1, False)])
def test_scales_of_many_pasts_are_those_of_each_to_the_bit(steps: int, missing: bool) -> None:
    pasts = np.random.default_rng(0).normal(size=(5, 2, steps))
    if missing:
        pasts[1, 0, 7:40] = np.nan
    found = seasonal_scales(pasts, 6)
    for past, scales in zip(pasts, found, strict=True):
        np.testing.assert_array_equal(scales, [seasonal_scale(part, 6) for part in past])
