"""Windows equal a slow twin, never cross a series or a cutoff, and are never copied as a whole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsforecast.data import windows
from tsforecast.data.windows import Windows


def slow_windows(
    parts: list[np.ndarray], window: int, horizon: int, least: int, first: list[int], last: list[int]
) -> list[tuple]:
    """Cut windows one by one: the honest twin."""
    found = []
    for values, low, high in zip(parts, first, last, strict=True):
        for target in range(max(least, low), min(high, len(values)) - horizon + 1):
            past = values[max(target - window, 0) : target]
            found.append((past, values[target : target + horizon]))
    return found


@given(
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=5),
    window=st.integers(1, 6),
    horizon=st.integers(1, 5),
    columns=st.integers(1, 3),
    least=st.integers(1, 6),
    cut=st.data(),
)
def test_windows_equal_those_cut_one_by_one(
    lengths: list[int], window: int, horizon: int, columns: int, least: int, cut: st.DataObject
) -> None:
    first = [cut.draw(st.integers(0, n)) for n in lengths]
    last = [cut.draw(st.integers(low, n)) for low, n in zip(first, lengths, strict=True)]
    # Each number is unique, so that a window from the wrong place cannot look right.
    total = sum(lengths)
    values = np.arange(total * columns, dtype=np.float32).reshape(total, columns)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    parts = [values[a:b] for a, b in pairwise(offsets)]
    least = min(least, window)
    expected = slow_windows(parts, window, horizon, least, first, last)
    limits = {"first": np.array(first), "last": np.array(last)}
    windows = Windows(values, values[:, :1], offsets, window, horizon, least=least, **limits)
    assert len(windows) == len(expected)
    if not expected:
        return
    batch = windows.batch(torch.arange(len(expected)))
    known = np.array([len(past) for past, _ in expected])
    assert (batch.known is None) == (known == window).all()
    assert batch.known is None or np.array_equal(batch.known.numpy(), known)
    for got_past, got_future, (past, future) in zip(batch.past, batch.future, expected, strict=True):
        assert np.array_equal(got_past[window - len(past) :].numpy(), past)
        assert np.array_equal(got_future.numpy(), future[:, :1])


def test_a_missing_truth_stays_missing_and_the_past_stays_whole() -> None:
    values = np.arange(6.0)[:, None]
    truth = values.copy()
    truth[4] = np.nan
    batch = Windows(values, truth, np.array([0, 6]), 2, 2).batch(torch.tensor([1, 2]))
    assert batch.past[..., 0].tolist() == [[1.0, 2.0], [2.0, 3.0]]
    assert np.array_equal(batch.future[..., 0].numpy(), [[3.0, np.nan], [np.nan, 5.0]], equal_nan=True)


def test_the_owner_of_a_window_is_the_series_that_it_was_cut_from() -> None:
    values = np.zeros((12, 1))
    windows = Windows(values, values, np.array([0, 5, 7, 12]), window=2, horizon=1)
    assert windows.counts.tolist() == [3, 0, 3]
    assert windows.series_index(torch.arange(6)).tolist() == [0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize("least", [1_000, 1])
def test_memory_does_not_grow_with_the_window(least: int) -> None:
    values, offsets = np.zeros((5_000, 1), dtype=np.float32), np.arange(0, 5_001, 50) if least == 1 else [0, 5_000]
    windows = Windows(values, values, np.array(offsets), window=1_000, horizon=1, least=least)
    held = [t for t in vars(windows).values() if isinstance(t, torch.Tensor)]
    # Twice, with rows in front of the first series once more: 4 million numbers if copied, 100,000 if each were padded.
    assert sum({t.data_ptr(): t.untyped_storage().nbytes() for t in held}.values()) < 2.5 * values.nbytes


def test_windows_within_blocks_and_without_them_share_no_target() -> None:
    offsets, window, horizon = np.array([0, 30, 70, 75]), 4, 3
    values = np.arange(75.0)[:, None]
    blocks = np.array([[[25, 30], [10, 15]], [[33, 40], [2, 9]], [[0, 0], [0, 0]]])  # as rows of each series
    rows = (offsets[:-1, None, None] + blocks).reshape(-1, 2)
    validation = Windows(values, values, offsets, window, horizon, within=blocks)
    batch = validation.batch(torch.arange(len(validation)))
    starts = batch.future[:, 0, 0].numpy()
    expected = [a + i for a, b in ((10, 15), (25, 30), (34, 39), (63, 70)) for i in range(b - a - horizon + 1)]
    assert starts.tolist() == expected  # row 32 to 33 of the second series has no window before it
    assert torch.equal(validation.series_index(torch.arange(len(validation))), batch.series)
    assert np.array_equal(batch.past[:, -1, 0].numpy(), starts - 1)
    training = Windows(values, values, offsets, window, horizon, without=blocks)
    learned = training.batch(torch.arange(len(training))).future.numpy()
    learned = set(learned[~np.isnan(learned)].tolist())
    hidden = {float(row) for a, b in rows for row in range(a, b)}
    assert not learned & hidden
    every = Windows(values, values, offsets, window, horizon)
    assert learned | hidden >= set(every.batch(torch.arange(len(every))).future.flatten().tolist())
    assert not np.isnan(values).any()


def test_of_very_many_windows_those_of_an_epoch_are_drawn_without_a_list_of_all() -> None:
    torch.manual_seed(0)
    many = windows.LISTED + 1
    drawn = torch.cat(windows.shuffled(many, 64, 2_000))
    assert len(drawn) == len(drawn.unique()) == 128_000
    assert [len(part) for part in windows.shuffled(many, 64, 3)] == [64, 64, 64]
    # Where all numbers are alike, neither place nor size of what is drawn shows any order.
    counts = np.histogram(drawn.numpy(), bins=50, range=(0, many))[0]
    assert ((counts - 2_560) ** 2 / 2_560).sum() < 85.4  # chi-squared of 49 degrees of freedom, one of a thousand
    assert abs(np.corrcoef(np.arange(len(drawn)), drawn.numpy())[0, 1]) < 0.01


def test_numbers_that_come_again_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "LISTED", 10)
    torch.manual_seed(0)
    first = np.zeros(40)
    for _ in range(2_000):
        drawn = torch.cat(windows.shuffled(40, 5, 2)).tolist()
        assert len({*drawn}) == 10
        first[drawn[-1]] += 1
    assert ((first - 50) ** 2 / 50).sum() < 72.1  # of 39 degrees of freedom: the last one drawn is any, as the first
    torch.manual_seed(0)
    listed = torch.randperm(40, dtype=torch.int32)
    torch.manual_seed(0)
    assert torch.cat(windows.shuffled(40, 5, 3)).tolist() == listed[:15].tolist()  # a large share of all is listed
