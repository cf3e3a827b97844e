"""Streaming: the answer for a recording after each of its steps, in constant time, and labels before its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, expit
from torch import nn

from tsforecast.checks import whole
from tsforecast.data.scaling import Scaling
from tsforecast.errors import DataError, ParameterError, Problem, counted, raise_any
from tsforecast.networks.encoders import CausalBlock, RecurrentEncoder, RecurrentLayer
from tsforecast.networks.layers import BatchNorm, Pooling
from tsforecast.networks.sequence import SequenceNetwork
from tsforecast.sequences.targets import Classes, Ordered, Several, Target

Floats = NDArray[np.float64]
Map = Callable[[Floats], Floats]
State = tuple[Floats, ...]  # the hidden state, and the memory of an LSTM

# A step is a few products of a matrix and a vector, which take microseconds, and calls of torch cost more than that:
# two layers of 64 gated units take 21 in numpy and 49 in torch. Double precision costs 4 of them, and leaves only the
# rounding of the batch between both answers.
ACTIVATIONS: dict[type[nn.Module], Map] = {
    nn.ReLU: lambda x: np.maximum(x, 0),
    nn.GELU: lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    nn.Tanh: np.tanh,
    nn.Sigmoid: expit,
    nn.Identity: lambda x: x,
    nn.Dropout: lambda x: x,
}


class Stream:
    """A recording that arrives step by step, read by a causal network.

    Time and memory of a step do not depend on how many went before. The answers are those of the fitted model for the
    recording so far, to rounding of single precision; they stay those of the model as it was when the stream was made.

    Attributes
    ----------
    steps : int
        Steps read since the beginning, or since `reset`.
    channels : int
        Floats in a step (C).
    classes : array of shape (K,) or None
        Labels that the columns of an answer belong to; None unless the model is a classifier.

    Examples
    --------
    >>> from tsforecast import GRUClassifier
    >>> waves = [np.sin(np.arange(20) * (1 + i % 2) + i) for i in range(20)]
    >>> model = GRUClassifier(units=8, layers=1, bidirectional=False, max_epochs=20, random_state=0)
    >>> stream = model.fit(waves, ["slow", "fast"] * 10).stream()
    >>> for step in waves[0]:
    ...     probabilities = stream.push(step)
    >>> stream.steps, bool(np.allclose(probabilities, model.predict_proba(waves[:1]), atol=1e-6))
    (20, True)
    """

    def __init__(
        self, network: SequenceNetwork, scaling: Scaling, target: Target, classes: NDArray[Any] | None = None
    ) -> None:
        if network.architecture.bidirectional:
            raise ParameterError(
                "a stream needs states that look back only: got bidirectional=True, which reads each recording from "
                "its end as well; fit the model with bidirectional=False"
            )
        self.steps, self.channels, self.classes = 0, scaling.location.shape[1], classes
        self._target, self._scaling, self._network = target, scaling, _Network(network)

    def push(self, rows: ArrayLike) -> Floats:
        """Read further steps and return the answer after each of them.

        Parameters
        ----------
        rows : array of shape (C,) or (n, C)
            One step or several, not scaled; of one channel also a number, or an array of shape (n,).

        Returns
        -------
        array of shape (n, K)
            As `predict_proba` for the recording so far, or at its last step with ``output="step"``. Of a regressor
            (n, M, 1): the M numbers of `predict`, or (n, M, 2) with loss "normal": each with its standard deviation.

        Raises
        ------
        DataError
            When there are no steps, or not C finite numbers in each: nothing is read then.
        """
        steps = self._checked(rows)
        with np.errstate(over="ignore"):
            scaled = self._scaling.transform(steps, 0).astype(np.float32)  # as in a batch
        if not np.isfinite(scaled).all():  # a state would never recover from it
            step, channel = np.argwhere(~np.isfinite(scaled))[0]
            raise DataError(
                f"a push must hold numbers that single precision holds when scaled: got {steps[step, channel]} at step "
                f"{step}, channel {channel}; leave the step out, or repeat the one before"
            )
        outputs = np.stack([self._network(row) for row in scaled.astype(np.float64)])
        self.steps += len(scaled)
        return self._target.answers(torch.from_numpy(outputs.astype(np.float32)))

    def reset(self) -> Self:
        """Begin a new recording."""
        self._network.reset()
        self.steps = 0
        return self

    def decide(self, threshold: float, *, patience: int = 1, deadline: int | None = None) -> EarlyDecision:
        """Return a decision that is taken as soon as a label is probable enough; see `EarlyDecision`.

        Raises
        ------
        ParameterError
            Also when the model does not give one label to a whole recording.
        """
        return EarlyDecision(self, threshold, patience, deadline)

    def leaders(self, probabilities: Floats) -> NDArray[np.int64]:
        """Return the class that each row of an answer, (n, K), is for, as `predict` has it: a position in `classes`."""
        if isinstance(self._target, Ordered):
            return self._target.medians(probabilities)
        return np.asarray(probabilities.argmax(axis=1))

    def _checked(self, rows: ArrayLike) -> Floats:
        """Return steps, (n, C); DataError."""
        form = f"({self.channels},) or (n, {self.channels})"
        try:
            steps = np.asarray(rows, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"a push must hold numbers, {form}: {error}") from None
        if self.channels == 1 and steps.ndim < 2:
            steps = steps.reshape(-1, 1)
        elif steps.ndim == 1:
            steps = steps[None]
        if steps.ndim != 2 or steps.shape[1] != self.channels:
            raise DataError(
                f"a push must have the {self.channels} channels that were fitted, {form}: got shape {np.shape(rows)}"
            )
        if not len(steps):
            raise DataError(f"a push must have a step at least: it is empty, {steps.shape}; leave it out")
        if not np.isfinite(steps).all():
            step, channel = np.argwhere(~np.isfinite(steps))[0]
            raise DataError(
                f"a push must hold finite numbers: got {steps[step, channel]} at step {step}, channel {channel}; fill "
                "it in, perhaps with the number before"
            )
        return steps


@dataclass(frozen=True)
class Decision:
    """A label for a recording, perhaps before its end."""

    label: Any
    probability: float
    steps: int  # that were read until it was taken
    early: bool  # whether the threshold was reached, or the deadline, rather than the end


class EarlyDecision:
    """Label a recording as soon as one class is probable enough, or else at its end.

    The label is decided when the same class has had at least the `threshold` of probability for `patience` steps in
    succession, as in TEASER [Schäfer and Leser 2020, Data Mining and Knowledge Discovery 34], whose acceptance is
    learned by a further model; at step `deadline`, if there is one, the most probable class is taken anyway.

    Parameters
    ----------
    stream : Stream
        Of a classifier of whole recordings, at the beginning of one.
    threshold : float
        In (0, 1]; with 1 no probability is enough, and the recording is read to its deadline or end. Choose it on users
        who validate: see `tsforecast.evaluation.earliness`.
    patience, deadline : int
        Steps, at least 1.

    Attributes
    ----------
    decision : Decision or None
        None until it is taken.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> from tsforecast import GRUClassifier
    >>> waves = [np.sin(np.arange(20) * (1 + i % 2) + i) for i in range(20)]
    >>> model = GRUClassifier(units=8, layers=1, bidirectional=False, max_epochs=150, random_state=0)
    >>> decision = model.fit(waves, ["slow", "fast"] * 10).stream().decide(0.8, patience=2)
    >>> for step in waves[0]:
    ...     if decision.push(step):
    ...         break
    >>> decision.end().label, decision.end().steps
    ('slow', 10)
    """

    def __init__(self, stream: Stream, threshold: float, patience: int = 1, deadline: int | None = None) -> None:
        raise_any(rule_problems(threshold, patience, deadline), ParameterError)
        if not isinstance(stream._target, Classes) or isinstance(stream._target, Several) or stream._target.at_steps:
            raise ParameterError(
                "an early decision needs one label for a whole recording: the model has numbers, several labels, or a "
                "label for each step; decide from what push returns"
            )
        if stream.steps:
            raise ParameterError(
                f"a decision must begin with the recording: {counted(stream.steps, 'step')} of the stream were read "
                "before; reset it first"
            )
        self.threshold, self.patience, self.deadline = threshold, patience, deadline
        self.decision: Decision | None = None
        self._stream, self._last = stream, np.empty(0)
        self._leader, self._lead, self._read = -1, 0, 0

    def push(self, rows: ArrayLike) -> Decision | None:
        """Read further steps, as `Stream.push` takes them, and return the decision, or None if there is none yet.

        Once it is taken nothing more is read.
        """
        if self.decision is not None:
            return self.decision
        for probabilities in self._stream.push(rows):
            self._read, self._last = self._read + 1, probabilities
            leader = int(self._stream.leaders(probabilities[None])[0])
            likely = probabilities[leader] >= self.threshold < 1
            self._lead = (self._lead + 1 if leader == self._leader else 1) if likely else 0
            self._leader = leader
            if self._lead >= self.patience or self._read == self.deadline:
                return self._take(early=True)
        return None

    def end(self) -> Decision:
        """Return the decision, which is taken now, from all that was read, if it was not before; DataError."""
        if self.decision is not None:
            return self.decision
        if not self._read:
            raise DataError("a decision needs a step at least: none was pushed; push the recording first")
        return self._take(early=False)

    def reset(self) -> Self:
        """Begin a new recording, in the stream as well."""
        self._stream.reset()
        self.decision, self._leader, self._lead, self._read = None, -1, 0, 0
        return self

    def _take(self, early: bool) -> Decision:
        assert self._stream.classes is not None
        label = self._stream.classes[self._leader : self._leader + 1].tolist()[0]
        self.decision = Decision(label, float(self._last[self._leader]), self._read, early)
        return self.decision


def decided_at(
    leaders: NDArray[np.int64], likely: Floats, threshold: float, patience: int = 1, deadline: int | None = None
) -> int:
    """Return the steps, at least 1, after which an `EarlyDecision` is taken for a whole recording.

    At each step, (T,), it has the class that leads, and its probability.
    """
    step = np.arange(len(leaders))
    enough = (likely >= threshold) & (threshold < 1)
    begins = np.diff(leaders, prepend=-1) != 0
    begins[1:] |= ~enough[:-1]
    lead = np.where(enough, step - np.maximum.accumulate(np.where(begins, step, 0)) + 1, 0)
    found = np.flatnonzero(lead >= patience)
    last = len(leaders) if deadline is None else min(deadline, len(leaders))
    return min(int(found[0]) + 1, last) if len(found) else last


def rule_problems(threshold: Any, patience: Any, deadline: Any) -> list[Problem | str]:
    """Return problems of the parameters of an early decision."""
    number = isinstance(threshold, (int, float, np.floating)) and not isinstance(threshold, bool)
    problems: list[Problem | str] = []
    if not (number and 0 < threshold <= 1):
        problems.append(Problem("must be a probability in (0, 1]", f"got {threshold!r}", parameter="threshold"))
    problems += whole("patience", patience, 1)
    return problems + (whole("deadline", deadline, 1) if deadline is not None else [])


class _Network:
    """A `SequenceNetwork` that reads step by step.

    Its states are those at the last whole segment. The open segment is filled up with its last step, as at the end of
    a recording, and what follows from it is not kept before it is whole.
    """

    def __init__(self, network: SequenceNetwork) -> None:
        size, blocks = network.architecture.segment, network.encoder
        self.differences = network.differences
        self.embed, self.head = _mapped(network.embed), _mapped(network.head)
        parts = blocks.layers if isinstance(blocks, RecurrentEncoder) else blocks.blocks
        self.layers = [(_Recurrent if isinstance(part, RecurrentLayer) else _Convolution)(part) for part in parts]  # type: ignore[arg-type]
        self.pooling = None if network.pooling is None else _RunningPooling(network.pooling)
        self.prior = _numbers(network.prior)
        read = _numbers(network.embed[0].weight).shape[1]
        self.segment = np.zeros((size, read // size))  # (S, C) or (S, 2C)
        self.reset()

    def reset(self) -> None:
        self.filled = 0  # steps in the open segment
        self.before: Floats | None = None
        for part in (*self.layers, *([self.pooling] if self.pooling else [])):
            part.reset()

    def __call__(self, step: Floats) -> Floats:
        """Return the outputs, (Q,), after a step, (C,)."""
        if self.differences:
            before, self.before = step if self.before is None else self.before, step
            step = np.concatenate([step, step - before])  # (2C,)
        self.segment[self.filled :] = step
        self.filled += 1
        keep = self.filled == len(self.segment)
        x = self.embed(self.segment.ravel())  # (U,)
        for layer in self.layers:
            x = layer(x, keep)
        if self.pooling is not None:
            outputs = self.head(self.pooling(x, keep))  # (Q,)
        else:
            outputs = self.head(x).reshape(len(self.segment), -1)[self.filled - 1]
        if keep:
            self.filled = 0
        return outputs + self.prior


class _Recurrent:
    """A `RecurrentLayer`, with the state after the last step that was kept."""

    def __init__(self, layer: RecurrentLayer) -> None:
        self.norm, self.residual = _mapped(layer.norm), layer.residual
        self.inputs, self.states, *self.biases = (_numbers(part) for part in layer.cell.all_weights[0])
        self.update = UPDATES[layer.cell.mode]
        self.zeros = np.zeros(layer.cell.hidden_size)
        self.reset()

    def reset(self) -> None:
        self.state: State = (self.zeros, self.zeros)

    def __call__(self, x: Floats, keep: bool) -> Floats:
        x = self.norm(x)
        of_input, of_state = self.biases
        state = self.update(self.inputs @ x + of_input, self.states @ self.state[0] + of_state, self.state)
        if keep:
            self.state = state
        return x + state[0] if self.residual else state[0]


def _elman(x: Floats, h: Floats, state: State) -> State:
    return (np.tanh(x + h),)


def _gru(x: Floats, h: Floats, state: State) -> State:
    units = len(state[0])
    gates = expit(x[: 2 * units] + h[: 2 * units])  # reset, update
    new = np.tanh(x[2 * units :] + gates[:units] * h[2 * units :])
    return (new + gates[units:] * (state[0] - new),)


def _lstm(x: Floats, h: Floats, state: State) -> State:
    units, both = len(state[0]), x + h
    gates = expit(both[: 2 * units])  # input, forget
    memory = gates[units:] * state[1] + gates[:units] * np.tanh(both[2 * units : 3 * units])
    return expit(both[3 * units :]) * np.tanh(memory), memory


UPDATES: dict[str, Callable[[Floats, Floats, State], State]] = {"RNN_TANH": _elman, "GRU": _gru, "LSTM": _lstm}


class _Convolution:
    """A `CausalBlock`, with the inputs of its last steps in a ring."""

    def __init__(self, block: CausalBlock) -> None:
        self.norm, self.activation = _mapped(block.norm), _mapped(block.activation)
        width, dilation = block.convolution.kernel_size[0], block.convolution.dilation[0]
        self.weight = _numbers(block.convolution.weight.transpose(1, 2).flatten(1))  # (U, kU)
        self.bias = _numbers(block.convolution.bias)
        self.ring = np.zeros((block.reach + 1, len(self.bias)))
        # Rows of the ring that are read when its row `place` is the newest.
        self.taps = (np.arange(len(self.ring))[:, None] + dilation * np.arange(1 - width, 1)) % len(self.ring)
        self.reset()

    def reset(self) -> None:
        self.ring[:] = 0
        self.place = 0

    def __call__(self, x: Floats, keep: bool) -> Floats:
        self.ring[self.place] = self.norm(x)  # the oldest row; the next step overwrites it unless this one is kept
        read = self.ring[self.taps[self.place]].ravel()  # (kU,)
        if keep:
            self.place = (self.place + 1) % len(self.ring)
        return x + self.activation(self.weight @ read + self.bias)


class _RunningPooling:
    """`Pooling` over the states so far: a sum, the highest, and attention by a softmax that is rescaled."""

    def __init__(self, pooling: Pooling) -> None:
        self.name, self.score, self.width = pooling.name, _mapped(pooling.score), pooling.width
        self.reset()

    def reset(self) -> None:
        self.sum: Any = 0.0  # of states, of attention with weights exp(score - top)
        self.weight, self.top = 0.0, -np.inf
        self.highest: Any = -np.inf

    def __call__(self, state: Floats, keep: bool) -> Floats:
        """Return the summary of the states that were kept, and this one."""
        if self.name == "last":
            return state
        total, weight, top = self.sum, self.weight, self.top
        highest = np.maximum(self.highest, state)
        if self.name == "attention":
            score = float(self.score(state)[0])
            top = max(top, score)
            fade, own = np.exp(self.top - top), np.exp(score - top)
            total, weight = total * fade + own * state, weight * fade + own
        else:
            total, weight = total + state, weight + 1
        if keep:
            self.sum, self.weight, self.top, self.highest = total, weight, top, highest
        if self.name == "max":
            return np.asarray(highest)
        mean = total / weight
        return np.concatenate([mean, highest]) if self.name == "mean-max" else mean


def _mapped(module: nn.Module) -> Map:
    """Return a layer that reads one step at a time, in evaluation mode, as a function of a vector."""
    if type(module) in ACTIVATIONS:
        return ACTIVATIONS[type(module)]
    if isinstance(module, nn.Sequential):
        return _chained([_mapped(part) for part in module])
    if isinstance(module, nn.Linear):
        weight = _numbers(module.weight)
        bias = np.zeros(len(weight)) if module.bias is None else _numbers(module.bias)
        return lambda x: weight @ x + bias
    scale, shift = _numbers(module.weight), _numbers(module.bias)
    if isinstance(module, BatchNorm):
        scale = scale / np.sqrt(_numbers(module.running_var) + module.eps)
        shift = shift - scale * _numbers(module.running_mean)
        return lambda x: scale * x + shift
    if not isinstance(module, nn.LayerNorm):
        raise TypeError(f"a stream must support the layer: got {module}")
    units, eps = len(scale), module.eps

    def normalised(x: Floats) -> Floats:
        centred = x - np.add.reduce(x) / units
        return np.asarray(scale * (centred / np.sqrt(centred @ centred / units + eps)) + shift)

    return normalised


def _chained(maps: list[Map]) -> Map:
    def chained(x: Floats) -> Floats:
        for each in maps:
            x = each(x)
        return x

    return chained


def _numbers(tensor: Any) -> Floats:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float64)  # a copy: training further does not reach it
