"""Every cell has the same shapes, starts at the naive forecast, reads its whole window and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tsforecast.forecasters.anchors import anchor_forecast, anchor_lags
from tsforecast.networks.encoders import CausalBlock, ConvEncoder
from tsforecast.networks.forecast import Decoder, ForecastNetwork
from tsforecast.networks.layers import CELL_NAMES, Architecture
from tsforecast.networks.losses import LOSSES

B, W, H, U = 5, 20, 7, 6
LAGS = np.array([[4], [3], [2], [1], [4], [3], [2]])


def network(
    cell: str,
    columns: int = 1,
    targets: int = 1,
    lags: np.ndarray | None = None,
    ahead: int = 0,
    members: int = 1,
    **choices: object,
) -> ForecastNetwork:
    torch.manual_seed(0)
    architecture = replace(Architecture(cell, units=U), **choices)
    return ForecastNetwork(architecture, columns, targets, W, H, lags, ahead, members=members)


def trained(cell: str, **settings: object) -> ForecastNetwork:
    """Return a network in use whose heads are no longer zero."""
    made = network(cell, **settings)
    for member in (made, *made.further):
        torch.nn.init.normal_(member.decoder.head.weight)
    return made.eval()


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("columns", "targets"), [(1, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("segment", [1, 5, 6, 40])
@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_windows_of_b_w_c_give_forecasts_of_b_h_k_p(
    cell: str, columns: int, targets: int, segment: int, channels: str
) -> None:
    made = network(cell, columns, targets, layers=2, segment=segment, channels=channels)
    assert made(torch.zeros(B, W, columns)).shape == (B, H, targets, 1)
    assert made(torch.zeros(B, W, columns), add_anchor=False).shape == (B, H, targets, 1)


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_an_untrained_network_corrects_nothing(cell: str, channels: str) -> None:
    past = torch.randn(B, W, 3)
    made = network(cell, 3, 3, lags=LAGS, channels=channels)
    assert torch.equal(made(past)[..., 0], past[:, W - LAGS[:, 0]])
    assert torch.equal(made.naive(past), made(past))
    assert torch.equal(network(cell, 3, 3)(past), torch.zeros(B, H, 3, 1))


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("segment", [1, 4, 6])
def test_the_first_step_of_the_window_is_read(cell: str, segment: int) -> None:
    past = torch.randn(B, W, 1).double()
    changed = past.clone()
    changed[:, 0] += 1
    made = trained(cell, segment=segment, activation="gelu").double()
    assert not torch.allclose(made(past), made(changed), rtol=1e-12, atol=0)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_with_an_anchor_a_shift_of_the_window_shifts_the_forecast_and_no_more(cell: str) -> None:
    made = trained(cell, lags=np.ones((H, 1), dtype=int)).double()
    past = torch.randn(B, W, 1, dtype=torch.float64)
    assert torch.allclose(made(past + 100), made(past) + 100)
    assert not torch.allclose(trained(cell).double()(past + 100), made(past) + 100)


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_independent_targets_do_not_read_each_other_and_all_read_the_past_columns(cell: str, channels: str) -> None:
    made = trained(cell, columns=3, targets=2, channels=channels)
    past = torch.randn(B, W, 3)
    before = made(past)
    other = past.clone()
    other[..., 1] += torch.randn(B, W)
    independent = torch.allclose(made(other)[:, :, 0], before[:, :, 0], atol=1e-6)
    assert independent == (channels == "independent")
    assert not torch.allclose(made(other)[:, :, 1], before[:, :, 1], atol=1e-3)
    shared = past.clone()
    shared[..., 2] += torch.randn(B, W)
    for k in range(2):
        assert not torch.allclose(made(shared)[:, :, k], before[:, :, k], atol=1e-3)


def test_channels_have_an_embedding_of_their_own() -> None:
    made = trained("gru", columns=2, targets=2)
    same = torch.randn(B, W, 1).expand(-1, -1, 2)
    outputs = made(same)
    assert not torch.allclose(outputs[:, :, 0], outputs[:, :, 1], atol=1e-3)
    torch.nn.init.zeros_(made.decoder.channel)
    outputs = made(same)
    assert torch.allclose(outputs[:, :, 0], outputs[:, :, 1])


@pytest.mark.long
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("ahead", [0, 2])
def test_gradients_agree_with_finite_differences(cell: str, ahead: int) -> None:
    made = trained(cell, ahead=ahead, segment=4, layers=2, norm="layer", residual=True, activation="gelu").double()
    past = torch.randn(2, W, 1 + ahead, dtype=torch.float64, requires_grad=True)
    made.embed[0] = torch.nn.Linear(4 * (1 + ahead), U).double()
    known = torch.randn(2, H, ahead, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, (past, known) if ahead else (past,), atol=1e-6)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_of_the_weights_agree_with_finite_differences(cell: str) -> None:
    made = trained(cell, segment=4, activation="tanh").double()
    past = torch.randn(2, W, 1, dtype=torch.float64)
    made(past).square().sum().backward()
    for parameter in made.parameters():
        with torch.no_grad():
            flat, step = parameter.view(-1), 1e-6
            flat[0] += step
            above = made(past).square().sum()
            flat[0] -= 2 * step
            slope = (above - made(past).square().sum()) / (2 * step)
            flat[0] += step
        assert float(parameter.grad.view(-1)[0]) == pytest.approx(float(slope), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("cell", "name", "value"),
    [(cell, *choice) for cell in CELL_NAMES for choice in
     [("layers", 2), ("segment", 4), ("activation", "gelu"), ("activation", "tanh"), ("activation", "sigmoid"),
      ("norm", "layer"), ("norm", "batch"), ("head_layers", 2), ("units", 7)]]
    + [(cell, *choice) for cell in ("rnn", "gru", "lstm") for choice in [("residual", True), ("bidirectional", True)]]
    + [("conv1d", "kernel_size", 2)],
)  # fmt: skip
def test_every_choice_of_architecture_changes_the_outputs(cell: str, name: str, value: object) -> None:
    past = torch.randn(B, W, 1)

    def outputs(**choices: object) -> torch.Tensor:
        made = network(cell, **choices).train()  # a batch normalises itself in training only
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.3)
        return made(past)

    assert not torch.allclose(outputs(), outputs(**{name: value}), atol=1e-4)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_dropout_drops_in_training_only(cell: str) -> None:
    made = trained(cell, dropout=0.5)
    past = torch.randn(B, W, 1)
    assert torch.equal(made(past), made(past))
    made.train()
    assert not torch.equal(made(past), made(past))


def test_a_bidirectional_network_reads_the_window_backwards_too() -> None:
    for both in (False, True):
        made = trained("rnn", bidirectional=both)
        layer = made.encoder.layers[0]
        x = torch.randn(1, 10, U)
        changed = x.clone()
        changed[:, -1] += 1
        first_moved = not torch.allclose(layer(x)[:, 0], layer(changed)[:, 0])
        assert first_moved == both


def test_layer_norm_reads_over_units_and_batch_norm_over_the_batch() -> None:
    x = torch.randn(B, W, U) * 5 + 3
    from tsforecast.networks.layers import norm_layer

    layer, batch = norm_layer("layer", U)(x), norm_layer("batch", U)(x)
    assert torch.allclose(layer.mean(dim=2), torch.zeros(B, W), atol=1e-5)
    assert torch.allclose(batch.mean(dim=(0, 1)), torch.zeros(U), atol=1e-5)


def test_frozen_parts_get_no_gradient_and_stay_in_evaluation() -> None:
    made = trained("gru", norm="batch", dropout=0.5)
    made.freeze(("embed.", "encoder."))
    made.train()
    frozen = {name for name, parameter in made.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in made.named_parameters() if name.startswith(("embed.", "encoder."))}
    assert not made.encoder.training
    assert not made.encoder.layers[0].dropout.training
    assert made.decoder.dropout.training
    made.freeze(())
    made.train()
    assert all(parameter.requires_grad for parameter in made.parameters())
    assert made.encoder.training


@pytest.mark.parametrize("ahead", [0, 1])
def test_members_are_averaged_and_each_trains_alone(ahead: int) -> None:
    made = trained("gru", columns=1 + ahead, ahead=ahead, lags=LAGS, members=3, segment=4)
    past, known = torch.randn(6, W, 1 + ahead), torch.randn(6, H, ahead)
    together, each = made(past, known), []
    for member in (made, *made.further):
        alone = trained("gru", columns=1 + ahead, ahead=ahead, lags=LAGS, segment=4)
        alone.load_state_dict(alone.state_dict() | member.state_dict(), strict=False)
        each.append(alone(past, known))
    assert not torch.allclose(each[0], each[1])
    assert torch.allclose(together, torch.stack(each).mean(0), atol=1e-6)
    for forward, own in zip(made.train().alone(), each, strict=True):
        assert torch.allclose(forward(past, known), own, atol=1e-6)


def test_all_members_are_frozen_and_get_new_heads() -> None:
    made = trained("gru", members=2)
    made.freeze(("embed.", "encoder."))
    free = {name for name, parameter in made.named_parameters() if parameter.requires_grad}
    assert {name.split("decoder.")[0] for name in free} == {"", "further.0."}
    assert all("decoder." in name for name in free)
    made.renew_head(2)
    assert torch.equal(made(torch.randn(B, W, 1)), torch.zeros(B, H, 1, 1))


def test_a_segment_that_is_not_full_repeats_the_first_step() -> None:
    made = network("gru", segment=8)
    rows = torch.arange(20.0).view(1, 1, 20, 1)
    assert made._segments(rows)[0, 0].tolist() == [
        [0, 0, 0, 0, 0, 1, 2, 3],
        list(range(4, 12)),
        list(range(12, 20)),
    ]


def test_segments_of_several_columns_keep_each_step_together() -> None:
    rows = torch.arange(24.0).view(1, 1, 12, 2)
    assert network("gru", 2, 1, segment=4)._segments(rows)[0, 0, 1].tolist() == list(range(8, 16))


def test_what_is_known_ahead_of_a_segment_moves_that_segment_only() -> None:
    torch.manual_seed(0)
    decoder = Decoder(Architecture(units=U), segment=3, horizon=7, channels=1, outputs=1, ahead=1)
    torch.nn.init.normal_(decoder.head.weight)
    state, ahead = torch.randn(1, 1, U), torch.zeros(1, 7, 1)
    changed = ahead.clone()
    changed[0, 4] = 1
    moved = (decoder(state, ahead) != decoder(state, changed)).ravel()
    assert moved.nonzero().ravel().tolist() == [3, 4, 5]


def test_segments_of_the_horizon_differ_by_their_place_alone() -> None:
    made = trained("gru", segment=3)
    outputs = made(torch.randn(B, W, 1))[:, :6, 0, 0].view(B, 2, 3)
    assert not torch.allclose(outputs[:, 0], outputs[:, 1], atol=1e-3)
    torch.nn.init.zeros_(made.decoder.place)
    outputs = made(torch.randn(B, W, 1))[:, :6, 0, 0].view(B, 2, 3)
    assert torch.allclose(outputs[:, 0], outputs[:, 1])


def test_a_causal_block_looks_back_only() -> None:
    torch.manual_seed(0)
    block = CausalBlock(Architecture("conv1d", units=4, kernel_size=3), dilation=2)
    x = torch.randn(1, 30, 4)
    changed = x.clone()
    changed[:, 20] += 1
    moved = (block(x) - block(changed)).abs().sum(dim=(0, 2)) > 0
    assert moved.nonzero().ravel().tolist() == [20, 22, 24]


@pytest.mark.parametrize(("length", "blocks"), [(1, 1), (3, 1), (4, 2), (7, 2), (8, 3), (336, 8)])
def test_a_stack_of_convolutions_is_as_deep_as_the_window_needs(length: int, blocks: int) -> None:
    assert len(ConvEncoder(Architecture("conv1d", units=2), length).blocks) == blocks
    assert len(ConvEncoder(Architecture("conv1d", units=2, layers=3), length).blocks) == 3 * blocks


@pytest.mark.thorough
@pytest.mark.parametrize("width", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 24, 61])
@pytest.mark.parametrize(
    "choices", [{}, {"layers": 3}, {"norm": "layer"}, {"norm": "batch"}, {"bidirectional": True}], ids=str
)
def test_the_last_state_of_convolutions_is_the_last_of_all_states(
    width: int, length: int, choices: dict[str, object]
) -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(replace(Architecture("conv1d", units=U, kernel_size=width), **choices), length)
    reads = [torch.randn(B, length, U, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    reads[1].data.copy_(reads[0])
    encoder.double()
    outputs, gradients = [encoder(reads[0]), encoder.states(reads[1])[:, -1]], []
    for x, state in zip(reads, outputs, strict=True):
        gradients.append(torch.autograd.grad(state.square().sum(), [x, *encoder.parameters()]))
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("channels", ["independent", "joint"])
@pytest.mark.parametrize("instance_norm", [False, True])
def test_a_network_with_an_open_anchor_gate_forecasts_the_last_value(channels: str, instance_norm: bool) -> None:
    architecture = Architecture("gru", units=U, segment=4, channels=channels)
    made = ForecastNetwork(architecture, 2, 2, W, H, LAGS, instance_norm=instance_norm)
    past = torch.randn(B, W, 2)
    gate = made.decoder.head.bias.view(4, -1, 2)[..., 1]  # (S, K or 1): beside each level, the gate
    for share in (1.0, 0.25):
        with torch.no_grad():
            gate.fill_(share)
        last, anchor = past[:, -1:].expand(-1, H, -1), past[:, W - LAGS[:, 0]]
        assert torch.allclose(made(past)[..., 0], share * last + (1 - share) * anchor, atol=1e-6)
    assert ForecastNetwork(architecture, 2, 2, W, H, np.ones((H, 1), dtype=int)).gates == 0


def masked(cell: str, columns: int, lags: np.ndarray | None, **choices: Any) -> ForecastNetwork:
    """Return a network with weights of its own that reads windows of which steps are missing."""
    torch.manual_seed(0)
    loss, instance_norm = choices.pop("loss", None), choices.pop("instance_norm", False)
    architecture = replace(Architecture(cell, units=U), **choices)
    made = ForecastNetwork(architecture, columns, 2, W, H, lags, instance_norm=instance_norm, loss=loss, masked=True)
    torch.nn.init.normal_(made.decoder.head.weight)
    return made.eval()


KNOWN = torch.tensor([1, 2, 3, 11, W])


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("channels", ["independent", "joint"])
@pytest.mark.parametrize("instance_norm", [False, True])
@pytest.mark.parametrize("lags", [LAGS, np.stack([LAGS[:, 0], LAGS[:, 0] + 4], axis=1), None])
def test_nothing_is_read_of_steps_that_do_not_exist(
    cell: str, channels: str, instance_norm: bool, lags: np.ndarray | None
) -> None:
    made = masked(cell, 3, lags, channels=channels, instance_norm=instance_norm, segment=6, loss=LOSSES["normal"])
    past = torch.randn(B, W, 3)
    other = past.clone()
    for window, count in zip(other, KNOWN.tolist(), strict=True):
        window[: W - count] = torch.randn(W - count, 3) * 100
    assert torch.equal(made(other, known=KNOWN), made(past, known=KNOWN))
    assert torch.equal(made.naive(other, known=KNOWN), made.naive(past, known=KNOWN))
    assert made(past, known=KNOWN).isfinite().all()
    # A whole window is read as one without a mask, and a mask is read as such.
    whole = torch.full((B,), W)
    assert torch.allclose(made(past, known=whole), made(past), atol=1e-5)
    zeros = past * (torch.arange(W) >= W - KNOWN[:, None])[..., None]
    assert not torch.allclose(made(zeros, known=KNOWN)[:4], made(zeros)[:4], atol=1e-3)


@pytest.mark.parametrize("anchor", ["last", "seasonal", "average", [4, 8], [4, 8, 12]])
def test_a_network_and_numpy_have_the_same_anchor_where_steps_are_missing(anchor: Any) -> None:
    lags, past = anchor_lags(anchor, H, 4), torch.randn(B, W, 3, dtype=torch.float64)
    made = masked("gru", 3, lags).double()
    expected = np.empty((B, H, 2))
    for i, count in enumerate(KNOWN.tolist()):  # the slow twin
        there = past[i, W - count :, :2].numpy()
        for h, row in enumerate(lags):
            found = [there[count - lag] for lag in row if lag <= count]
            expected[i, h] = np.mean(found or there, axis=0)
    found = anchor_forecast(past[..., :2].numpy(), lags, KNOWN.numpy())
    assert np.allclose(found, expected, rtol=1e-12)
    assert np.allclose(made.naive(past, known=KNOWN)[..., 0].numpy(), expected, rtol=1e-6)
    torch.nn.init.zeros_(made.decoder.head.weight)
    assert np.allclose(made(past, known=KNOWN)[..., 0].detach().numpy(), expected, rtol=1e-6)
    if lags.shape[1] == 1:  # what exists is copied to the bit
        assert np.array_equal(found[-1], past[-1, W - lags[:, 0], :2].numpy())
