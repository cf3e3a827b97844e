"""The kernels of convolutions give the states and gradients of torch's modules, whatever else is in the batch."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.helpers.forecasters import SMALL, wave
from tests.networks.test_kernels import ROUNDING, difference, on_threads, ragged
from tsforecast.estimators.persistence import load, save
from tsforecast.estimators.registry import make
from tsforecast.networks.encoders import ConvEncoder
from tsforecast.networks.kernels import memory
from tsforecast.networks.layers import Architecture

Outputs = list[Tensor]


def stack(steps: int, units: int, **choices: Any) -> ConvEncoder:
    torch.manual_seed(units)
    return ConvEncoder(replace(Architecture("conv1d", units=units), **choices), steps)


def outputs(encoder: ConvEncoder, fused: bool, x: Tensor, lengths: Tensor | None, last: bool, embed: Any) -> Outputs:
    """Return states, zeros beyond lengths, and gradients of a weighted sum of them."""
    encoder.fused = fused
    torch.manual_seed(1)
    states = encoder(x, embed) if last else encoder.states(x, lengths, embed)
    weights = torch.linspace(-1, 1, states.numel(), dtype=x.dtype).view(states.shape)
    if lengths is not None:
        weights = weights * (torch.arange(x.shape[1]) < lengths[:, None])[..., None]
        states = states * (weights != 0)
    wanted = [*encoder.parameters(), *(embed.parameters() if embed else []), *([x] if x.requires_grad else [])]
    return [states, *torch.autograd.grad((states * weights).sum(), wanted)]


sizes = st.tuples(st.integers(1, 40), st.integers(1, 30), st.integers(1, 70))


@pytest.mark.long
@settings(max_examples=25)
@given(
    size=sizes, width=st.integers(1, 4), layers=st.integers(1, 2), inputs=st.integers(0, 5), last=st.booleans(),
    ends=st.booleans(), both=st.booleans(),
)  # fmt: skip
def test_states_and_gradients_are_those_of_torch(
    size: tuple[int, int, int], width: int, layers: int, inputs: int, last: bool, ends: bool, both: bool
) -> None:
    batch, steps, units = size
    encoder = stack(steps, units, kernel_size=width, layers=layers, bidirectional=both)
    embed = nn.Sequential(nn.Linear(inputs, units), nn.ReLU()) if inputs else None
    x = torch.randn(batch, steps, inputs or units, requires_grad=not inputs)
    lengths = ragged(batch, steps) if ends and not last else None
    assert encoder.has_kernels(x)
    ours, theirs = (outputs(encoder, fused, x, lengths, last, embed) for fused in (True, False))
    assert difference(ours, theirs) < ROUNDING


@pytest.mark.thorough
@settings(max_examples=10)
@given(size=sizes, width=st.integers(1, 4), layers=st.integers(1, 3), halved=st.booleans(), ends=st.booleans())
def test_in_double_precision_gradients_agree_to_ten_digits(
    size: tuple[int, int, int], width: int, layers: int, halved: bool, ends: bool
) -> None:
    batch, steps, units = size
    encoder = stack(steps, units, kernel_size=width, layers=layers).double()
    x = torch.randn(batch, steps, units, dtype=torch.float64, requires_grad=True)
    lengths = ragged(batch, steps) if ends and not halved else None
    theirs = outputs(encoder, False, x, lengths, halved, None)
    states = encoder.by_kernels(x, lengths, None, encoder.skipping if halved else 0)
    states = states[:, -1] if halved else states
    weights = torch.linspace(-1, 1, states.numel(), dtype=x.dtype).view(states.shape)
    if lengths is not None:  # what lies beyond is zero
        weights = weights * (torch.arange(steps) < lengths[:, None])[..., None]
        assert not states[weights == 0].any()
    ours = [states, *torch.autograd.grad((states * weights).sum(), [*encoder.parameters(), x])]
    assert difference(ours, theirs) < 1e-12


@pytest.mark.parametrize("width", [2, 3])
def test_only_the_last_state_of_a_stack_is_computed(width: int) -> None:
    encoder = stack(24, 4, kernel_size=width)
    assert encoder.by_kernels(torch.randn(2, 24, 4), None, None, encoder.skipping).shape == (2, 1, 4)


@pytest.mark.parametrize("last", [True, False])
def test_states_do_not_depend_on_the_rest_of_a_batch(last: bool) -> None:
    encoder, x = stack(20, 12), torch.randn(50, 20, 12)
    encoder.fused = True
    with torch.no_grad():
        whole = encoder(x) if last else encoder.states(x)
        parts = [encoder(part) if last else encoder.states(part) for part in x.split([1, 16, 33])]
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_results_are_the_same_on_any_number_of_threads(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WORTH_SHARING", 0)
    encoder, x = stack(20, 12, dropout=dropout), torch.randn(150, 20, 12, requires_grad=True)
    found = []
    for threads in (1, 2, 3, 8):
        with on_threads(threads):
            found.append(outputs(encoder, True, x, ragged(150, 20) * 0 + 17, False, None))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_dropout_scales_what_it_keeps_and_its_gradient() -> None:
    encoder, x = stack(1, 16, kernel_size=1, dropout=0.25), torch.randn(4000, 1, 16, requires_grad=True)
    encoder.fused = True
    convolution = encoder.blocks[0].convolution
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.ones_(convolution.bias)
    added = encoder(x) - x[:, 0]  # 1 / (1 - 0.25) where it is kept
    kept = added > 0.5
    assert torch.allclose(added, kept * (4 / 3), atol=1e-6)
    assert abs(float(kept.float().mean()) - 0.75) < 0.006  # 3.5 standard errors of 64,000
    assert (kept.float().mean(dim=0) - 0.75).abs().max() < 0.03
    assert (kept.float().mean(dim=1).std() - (0.75 * 0.25 / 16) ** 0.5).abs() < 0.01  # windows differ, by chance alone
    (slope,) = torch.autograd.grad(added.sum(), [convolution.bias])
    assert torch.allclose(slope, kept.sum(dim=0) * (4 / 3))
    assert not torch.equal(added, encoder(x) - x[:, 0])
    encoder.eval()
    assert torch.allclose(encoder(x) - x[:, 0], torch.ones(4000, 16), atol=1e-6)


def test_dropout_is_repeated_with_the_random_numbers_of_torch() -> None:
    encoder, x = stack(9, 5, dropout=0.5), torch.randn(20, 9, 5, requires_grad=True)
    first, second = (outputs(encoder, True, x, None, True, None) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "choices", [{"norm": "layer"}, {"norm": "batch"}, {"activation": "gelu"}, {"activation": "tanh"}], ids=str
)
def test_torch_computes_what_kernels_do_not_cover(choices: dict[str, str]) -> None:
    encoder, x = stack(9, 5, **choices), torch.randn(20, 9, 5, requires_grad=True)
    assert not encoder.has_kernels(x)
    ours, theirs = (outputs(encoder, fused, x, None, True, None) for fused in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_torch_computes_other_precisions_and_empty_batches() -> None:
    encoder, x = stack(9, 5), torch.randn(20, 9, 5)
    assert not encoder.has_kernels(x.double())
    assert not encoder.has_kernels(x[:0])
    with torch.autocast("cpu"):
        assert not encoder.has_kernels(x)


def test_an_input_that_needs_a_gradient_is_embedded_by_torch() -> None:
    encoder, embed = stack(9, 5), nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    x = torch.randn(20, 9, 3, requires_grad=True)
    ours, theirs = (outputs(encoder, fused, x, None, True, embed) for fused in (True, False))
    assert difference(ours, theirs) < ROUNDING


def test_an_input_that_was_changed_before_the_way_back_is_noticed() -> None:
    encoder, x = stack(9, 5), torch.randn(20, 9, 5)
    encoder.fused = True
    state = encoder(x)
    x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        state.sum().backward()


def fitted(**choices: Any) -> Any:
    chosen = {**SMALL, "units": 8, "segment": 1, "max_epochs": 3, "horizon": 3, "dropout": 0.1, **choices}
    return make("conv1d", **chosen).fit(wave())


def test_a_fit_with_kernels_is_repeatable_is_saved_as_such_and_forecasts_as_one_without(tmp_path: Any) -> None:
    ours, again = (fitted(kernels="on") for _ in range(2))
    assert ours.resolved_["kernels"] == "on"
    assert np.array_equal(ours.predict(), again.predict())
    plain, close = (fitted(kernels=kernels, dropout=0.0) for kernels in ("off", "on"))
    assert plain.resolved_["kernels"] == "off"
    assert np.allclose(plain.predict(), close.predict(), rtol=1e-4)
    assert not np.array_equal(plain.predict(), close.predict())  # so that one of them did take the other way
    save(ours, tmp_path / "model")
    restored = load(tmp_path / "model")
    assert restored.network_.encoder.fused
    assert np.array_equal(restored.predict(), ours.predict())


@pytest.mark.parametrize("choices", [{"norm": "layer"}, {"activation": "gelu"}], ids=str)
def test_a_fit_that_kernels_do_not_cover_has_that_in_its_choice(choices: dict[str, str]) -> None:
    assert fitted(kernels="on", max_epochs=1, **choices).resolved_["kernels"] == "off"


def test_a_step_of_training_is_faster_than_with_torch() -> None:
    # On one thread; a generous floor: benchmarks/convolution_speed.py measures, this notices when something breaks.
    encoder, x = stack(24, 16), torch.randn(128, 24, 16)

    def seconds(fused: bool) -> float:
        began = time.thread_time()
        encoder.fused = fused
        encoder(x).sum().backward()
        return time.thread_time() - began

    with on_threads(1):
        runs = [(seconds(True), seconds(False)) for _ in range(12)]
    ours, theirs = (min(run[i] for run in runs) for i in (0, 1))
    assert theirs / ours > 1.5
