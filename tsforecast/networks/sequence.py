"""The network for recordings of any length: one answer for each, or one at each step; its batch and its losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.networks.encoders import CELLS, encoder
from tsforecast.networks.layers import Architecture, Pooling, TrainableNetwork

UNLABELLED = -1  # the class of a step that has none: it carries no loss
LEAST = 1e-6  # of a probability of anything else


@dataclass(frozen=True)
class SequenceBatch:
    """B recordings with their truth."""

    steps: Tensor  # float32, (B, T, C), scaled; zeros after the end of each
    lengths: Tensor | None  # int64, (B,), on the host, which knows them without a GPU; None where all have T steps
    truth: Tensor  # (B, ...), or (B, T, ...) at each step: numbers of classes, int64, or other numbers, float32
    mix: tuple[Tensor, Tensor] | None = None  # partner of each in the batch, (B,), and its own share of the mixture
    features: Tensor | None = None  # float32, (B, F), numbers of each recording that the head reads besides its steps

    @property
    def inputs(self) -> tuple[Tensor, Tensor | None, tuple[Tensor, Tensor] | None, Tensor | None]:
        """Arguments of the network."""
        return self.steps, self.lengths, self.mix, self.features


class SequenceNetwork(TrainableNetwork):
    """Read a recording of any length and return the Q outputs of its target, or those at each of its steps.

    The last layer starts at zero and is added to the `prior`, (Q,), so an untrained network *is* the baseline that does
    not read: the majority of classes, the mean of numbers. A step has C numbers, `channels`; with `differences` the
    change since the step before is read as well. A convolutional state reaches back over `length` steps. Without a
    `pooling` there are outputs at each step. Of a recording the head may read so many `features` besides.
    """

    prior: Tensor

    def __init__(
        self,
        architecture: Architecture,
        channels: int,
        pooling: str | None,
        differences: bool,
        prior: Tensor,
        length: int,
        features: int = 0,
    ) -> None:
        super().__init__()
        self.architecture, self.differences, self.features = architecture, differences, features
        self.embed = architecture.embedding(architecture.segment * channels * (1 + differences))
        self.encoder = encoder(architecture, -(-length // architecture.segment))
        self.pooling = None if pooling is None else Pooling(pooling, architecture.units, architecture.bidirectional)
        self.dropout = nn.Dropout(architecture.dropout)
        self.renew_head(prior, architecture.head_layers)

    def forward(
        self,
        steps: Tensor,
        lengths: Tensor | None = None,
        mix: tuple[Tensor, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Return outputs, (B, Q), or (B, T, Q) at each step, of steps (B, T, C) and perhaps `features`, (B, F).

        Recordings that end before T have their `lengths`, (B,); zeros follow them and are not read. In a `mix` the
        summary of each, whatever its length, is mixed with that of its partner.
        """
        count = steps.shape[1]
        if self.differences:
            before = torch.cat([steps[:, :1], steps[:, :-1]], dim=1)
            steps = torch.cat([steps, steps - before], dim=2)  # (B, T, 2C)
        segments, lengths = self._segments(steps, lengths)  # (B, G, S*C)
        states = self.encoder.states(segments, lengths, self.embed)  # (B, G, U)
        if self.pooling is None:
            outputs = self.head(self.dropout(states))  # (B, G, S*Q)
            return outputs.reshape(steps.shape[0], -1, len(self.prior))[:, :count] + self.prior  # type: ignore[no-any-return]
        pooled = self.pooling(states, lengths)  # (B, U) or (B, 2U)
        if features is not None:
            pooled = torch.cat([pooled, features], dim=1)  # (B, U + F) or (B, 2U + F)
        if mix is not None:
            partner, share = mix
            pooled = share[:, None] * pooled + (1 - share[:, None]) * pooled[partner]
        return self.head(self.dropout(pooled)) + self.prior  # type: ignore[no-any-return]  # (B, Q)

    def renew_head(self, prior: Tensor, layers: int = 1) -> None:
        """Replace the head by one or two new layers, whose outputs are then the `prior`, (Q,)."""
        self.register_buffer("prior", prior)
        if self.pooling is None:
            width, outputs = self.architecture.units, self.architecture.segment * len(prior)
        else:
            width, outputs = self.pooling.width + self.features, len(prior)
        self.head = self.architecture.head(width, outputs, layers)

    def naive(self, steps: Tensor, *others: Any) -> Tensor:
        """Return the outputs of the baseline that does not read, (B, Q) or (B, T, Q)."""
        shape = steps.shape[:1] if self.pooling is not None else steps.shape[:2]
        return self.prior.expand(*shape, -1)

    def _segments(self, steps: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Cut (B, T, C) into segments (B, G, S*C); the last step of a recording fills up its last one."""
        size = self.architecture.segment
        if size == 1:
            return steps, lengths
        count = (steps.shape[1] + size - 1) // size  # of positive numbers alone, whose quotient ONNX has as well
        place = torch.arange(count * size, device=steps.device)  # (G*S,)
        if lengths is None:
            full = steps[:, place.clamp(max=steps.shape[1] - 1)]  # (B, G*S, C)
        else:
            ends = (lengths[:, None] - 1).to(steps.device, non_blocking=True)
            read = torch.minimum(place, ends)[..., None].expand(-1, -1, steps.shape[2])
            full = steps.gather(1, read)  # (B, G*S, C)
            lengths = (lengths + size - 1) // size
        return full.reshape(steps.shape[0], count, -1), lengths


class SequenceLoss:
    """Base of the losses of recordings: subclasses return the loss of each term, and which terms count."""

    in_nats = False  # the share of the loss that is removed is what counts

    def to(self, device: torch.device) -> Self:
        """Move the weights of the loss, if it has any, to a device."""
        return self

    def errors(self, outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each term, (B, ...), and where a term counts, a mask of the same shape.

        Parameters
        ----------
        outputs : float32 tensor of shape (B, Q) or (B, T, Q)
        truth : tensor
            As in `SequenceBatch`.
        """
        raise NotImplementedError(f"{type(self).__name__} must return the loss of each term")

    def loss_of(self, outputs: Tensor, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss over a batch, and the number of its terms.

        The loss of a mixture is that of both truths, by their shares [Verma et al. 2019, arXiv 1806.05236].
        """
        errors, counts = self.errors(outputs.float(), batch.truth)
        if batch.mix is None:
            return torch.where(counts, errors, 0.0).sum(), counts.sum()
        partner, share = batch.mix
        others, too = self.errors(outputs.float(), batch.truth[partner])
        own = share.reshape(-1, *[1] * (errors.dim() - 1)) * counts
        other = (1 - share).reshape(-1, *[1] * (errors.dim() - 1)) * too
        mixed = torch.where(counts, errors, 0.0) * own + torch.where(too, others, 0.0) * other
        return mixed.sum(), (own + other).sum()


class CrossEntropy(SequenceLoss):
    """Cross entropy over classes, each with a weight, (K,), that is 1 in the mean over the training part.

    Two classes have one output, the logit of the second against the first. A share of each truth, `smoothing`, is
    spread over all classes [Szegedy et al. 2016, arXiv 1512.00567]. With `focal` above 0 a class of probability p
    counts (1 - p)**focal times as much, so what is known already counts less [Lin et al. 2017, arXiv 1708.02002].
    """

    def __init__(self, weights: Tensor, smoothing: float = 0.0, focal: float = 0.0) -> None:
        self.weights, self.smoothing, self.focal = weights, smoothing, focal

    def to(self, device: torch.device) -> Self:
        """See `SequenceLoss.to`."""
        self.weights = self.weights.to(device)
        return self

    def errors(self, outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """See `SequenceLoss.errors`; a term is a recording, or a step with a label."""
        labelled = truth != UNLABELLED
        labels = truth.clamp(min=0)
        if self.focal:
            errors = self._focal_errors(outputs, labels)
        elif outputs.shape[-1] == 1:
            soft = labels * (1 - self.smoothing) + self.smoothing / 2
            errors = F.binary_cross_entropy_with_logits(outputs[..., 0], soft, reduction="none")
        else:
            classes = outputs.movedim(-1, 1)  # torch has them on the second axis
            errors = F.cross_entropy(classes, labels, reduction="none", label_smoothing=self.smoothing)
        return self.weights[labels] * errors, labelled

    def _focal_errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        if outputs.shape[-1] == 1:
            outputs = torch.cat([torch.zeros_like(outputs), outputs], dim=-1)  # (..., 2)
        return self._of_logs(F.log_softmax(outputs, dim=-1), labels)

    def _of_logs(self, logs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logarithms of probabilities of classes, (..., K), without weights."""
        classes = logs.shape[-1]
        soft = F.one_hot(labels, classes) * (1 - self.smoothing) + self.smoothing / classes
        if self.focal:
            unknown = (-torch.expm1(logs)).clamp(min=LEAST)  # 1 - p; at zero a root has no slope
            soft = soft * unknown**self.focal
        return -(soft * logs).sum(dim=-1)


class OrdinalCrossEntropy(CrossEntropy):
    """Cross entropy over classes in an order, from logits of each step up, (B, K - 1); see `CrossEntropy`.

    The binary cross entropies of the steps that a recording took, and of the one that it did not take, sum up to the
    negative logarithm of the probability of its class [Shi, Cao and Raschka 2021, arXiv 2111.08851].
    """

    def errors(self, outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """See `SequenceLoss.errors`; a term is a recording, or a step with a label."""
        labels = truth.clamp(min=0)
        reached = F.pad(F.logsigmoid(outputs).cumsum(dim=-1), (1, 0))  # (B, K), log of the probability
        logs = reached + F.pad(F.logsigmoid(-outputs), (0, 1))  # of the class itself
        return self.weights[labels] * self._of_logs(logs, labels), truth != UNLABELLED


class BinaryCrossEntropy(CrossEntropy):
    """Cross entropy of each of L labels that a recording may have, with weights (L, 2) without and with it."""

    def errors(self, outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """See `SequenceLoss.errors`; a term is a label of a recording, (B, L)."""
        logs = torch.stack([F.logsigmoid(-outputs), F.logsigmoid(outputs)], dim=-1)  # (B, L, 2)
        weights = torch.where(truth > 0, self.weights[:, 1], self.weights[:, 0])
        return weights * self._of_logs(logs, truth), torch.ones_like(truth, dtype=torch.bool)


class NumberLoss(SequenceLoss):
    """Loss of scaled numbers, (B, M): "mse", "mae", "huber", or "normal", with logarithms of deviations behind them.

    NaN is no truth, and carries no loss.
    """

    def __init__(self, name: str) -> None:
        self.name, self.in_nats = name, name == "normal"

    def errors(self, outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """See `SequenceLoss.errors`; a term is a number of a recording, (B, M)."""
        known = ~torch.isnan(truth)
        level, truth = outputs[..., : truth.shape[-1]], torch.where(known, truth, 0.0)
        if self.name == "normal":
            logs = outputs[..., truth.shape[-1] :]
            errors = 0.5 * ((truth - level) * torch.exp(-logs)) ** 2 + logs + 0.5 * math.log(2 * math.pi)
        elif self.name == "mae":
            errors = (truth - level).abs()
        else:
            loss = F.mse_loss if self.name == "mse" else F.huber_loss
            errors = loss(level, truth, reduction="none")
        return errors, known


@dataclass(frozen=True)
class GeneratorBatch:
    """B descriptions with the sequences that they are of."""

    description: Tensor  # float32, (B, D), scaled
    truth: Tensor  # float32, (B, T, C), scaled; NaN after the end of each
    mix: None = None  # sequences are not mixed

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:
        """Arguments of the network."""
        return self.description, torch.nan_to_num(self.truth)


class GeneratorNetwork(TrainableNetwork):
    """Write a sequence, (B, T, C), for descriptions, (B, D): locations and logarithms of deviations of each step.

    A step reads the description, the step before and its own place. The last layer starts at zero and is added to the
    `prior` of each step, (T, 2C), the mean path of training, which stays as it ends for later ones.
    """

    prior: Tensor

    def __init__(self, architecture: Architecture, described: int, prior: Tensor) -> None:
        super().__init__()
        units, self.channels = architecture.units, prior.shape[1] // 2
        self.register_buffer("prior", prior)
        self.own_share = 0.0  # of steps that read a draw in training
        self.embed = architecture.embedding(described)
        dropout = architecture.dropout if architecture.layers > 1 else 0.0
        self.cell = CELLS[architecture.cell](
            units + self.channels + 1, units, architecture.layers, batch_first=True, dropout=dropout
        )
        self.head = architecture.head(units, 2 * self.channels, 2)

    def forward(self, description: Tensor, sequence: Tensor) -> Tensor:
        """Return outputs at each step, (B, T, 2C), of sequences (B, T, C) of which each step is read after it."""
        known = self.embed(description)
        before = F.pad(sequence[:, :-1], (0, 0, 1, 0))
        if self.training and self.own_share:
            with torch.no_grad():
                level, logs = self._read(known, before, 0, None)[0].chunk(2, dim=-1)
                drawn = F.pad((level + logs.exp() * torch.randn_like(level))[:, :-1], (0, 0, 1, 0))
                own = torch.rand(before.shape[:2], device=before.device) < self.own_share
            before = torch.where(own[..., None], drawn, before)
        return self._read(known, before, 0, None)[0]

    def naive(self, description: Tensor, sequence: Tensor) -> Tensor:
        """Return the outputs of the mean path, (B, T, 2C)."""
        return self._prior(0, sequence.shape[1]).expand(len(description), -1, -1)

    def write(self, description: Tensor, noise: Tensor) -> Tensor:
        """Return sequences, (B, T, C), whose steps lie by so many deviations, `noise`, beside their means."""
        known, state = self.embed(description), None
        before, steps = torch.zeros_like(noise[:, :1]), []
        for step in range(noise.shape[1]):
            outputs, state = self._read(known, before, step, state)
            level, logs = outputs.chunk(2, dim=-1)
            before = level + logs.exp() * noise[:, step : step + 1]
            steps.append(before)
        return torch.cat(steps, dim=1)

    def _read(self, known: Tensor, before: Tensor, first: int, state: Any) -> tuple[Tensor, Any]:
        """Return outputs of steps from `first` on, and the state behind them."""
        count = before.shape[1]
        place = torch.arange(first, first + count, device=before.device) / len(self.prior)
        inputs = [known[:, None].expand(-1, count, -1), before, place[:, None].expand(len(before), -1, 1)]
        states, state = self.cell(torch.cat(inputs, dim=2), state)
        outputs = self.head(states) + self._prior(first, count)
        return outputs, state

    def _prior(self, first: int, count: int) -> Tensor:
        place = torch.arange(first, first + count, device=self.prior.device)
        return self.prior[place.clamp(max=len(self.prior) - 1)]
