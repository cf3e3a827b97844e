"""Every cell has the same shapes, starts at the naive forecast, reads its whole window and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsforecast.networks.conv import CausalBlock, ConvEncoder
from tsforecast.networks.forecast import CELL_NAMES, ForecastNetwork

B, W, H, U = 5, 20, 7, 6


def network(
    cell: str, columns: int = 1, targets: int = 1, layers: int = 1, lags: np.ndarray | None = None
) -> ForecastNetwork:
    torch.manual_seed(0)
    return ForecastNetwork(cell, columns, targets, W, H, U, layers, 0.0, lags)


def trained(cell: str, **settings: object) -> ForecastNetwork:
    """Return a network whose head is no longer zero."""
    made = network(cell, **settings)
    torch.nn.init.normal_(made.head.weight)
    return made


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("columns", "targets"), [(1, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("layers", [1, 3])
def test_windows_of_b_w_c_give_forecasts_of_b_h_k(cell: str, columns: int, targets: int, layers: int) -> None:
    made = network(cell, columns, targets, layers)
    assert made(torch.zeros(B, W, columns)).shape == (B, H, targets)
    assert made.forecast(torch.zeros(B, W, columns)).shape == (B, H, targets)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_an_untrained_network_corrects_nothing(cell: str) -> None:
    past = torch.randn(B, W, 3)
    lags = np.array([4, 3, 2, 1, 4, 3, 2])
    assert torch.equal(network(cell, 3, 3, lags=lags).forecast(past), past[:, W - lags])
    assert torch.equal(network(cell, 3, 3).forecast(past), torch.zeros(B, H, 3))


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_first_step_of_the_window_is_read(cell: str) -> None:
    past = torch.randn(B, W, 1)
    changed = past.clone()
    changed[:, 0] += 1
    made = trained(cell).double()
    assert not torch.allclose(made(past.double()), made(changed.double()), rtol=1e-12, atol=0)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_with_an_anchor_a_shift_of_the_window_shifts_the_forecast_and_no_more(cell: str) -> None:
    made = trained(cell, lags=np.ones(H, dtype=int)).double()
    past = torch.randn(B, W, 1, dtype=torch.float64)
    assert torch.allclose(made.forecast(past + 100), made.forecast(past) + 100)
    assert not torch.allclose(trained(cell).double().forecast(past + 100), made.forecast(past) + 100)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_targets_do_not_read_each_other_but_all_read_the_past_columns(cell: str) -> None:
    made = trained(cell, columns=3, targets=2)
    past = torch.randn(B, W, 3)
    before = made(past)
    other = past.clone()
    other[..., 1] += 1
    assert torch.allclose(made(other)[..., 0], before[..., 0], atol=1e-6)
    assert not torch.allclose(made(other)[..., 1], before[..., 1], atol=1e-3)
    shared = past.clone()
    shared[..., 2] += torch.randn(B, W)
    assert not torch.allclose(made(shared)[..., 0], before[..., 0], atol=1e-3)
    assert not torch.allclose(made(shared)[..., 1], before[..., 1], atol=1e-3)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_agree_with_finite_differences(cell: str) -> None:
    made = trained(cell).double()
    past = torch.randn(2, W, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, (past,), atol=1e-6)


def test_a_causal_block_looks_back_only() -> None:
    block = CausalBlock(4, kernel_size=3, dilation=2, dropout=0.0)
    x = torch.randn(1, 4, 30)
    changed = x.clone()
    changed[..., 20] += 1
    moved = (block(x) - block(changed)).abs().sum(dim=(0, 1)) > 0
    assert moved.nonzero().ravel().tolist() == [20, 22, 24]


@pytest.mark.parametrize(("window", "blocks"), [(1, 1), (3, 1), (4, 2), (7, 2), (8, 3), (336, 8)])
def test_a_stack_of_convolutions_is_as_deep_as_the_window_needs(window: int, blocks: int) -> None:
    assert len(ConvEncoder(1, 2, 1, window, 0.0).blocks) == blocks
    assert len(ConvEncoder(1, 2, 3, window, 0.0).blocks) == 3 * blocks
