"""A scaling undoes itself, knows only what it was fitted on, and survives hard numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsforecast.data.scaling import fit_standard

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False, width=64)


@given(values=arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 3)), elements=NUMBERS), cut=st.data())
def test_inverse_undoes_transform(values: np.ndarray, cut: st.DataObject) -> None:
    middle = cut.draw(st.integers(1, len(values) - 1))
    offsets = np.array([0, middle, len(values)])
    scaling = fit_standard(values, offsets)
    owner = np.repeat([0, 1], np.diff(offsets))
    back = scaling.inverse(scaling.transform(values, owner), owner)
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
