"""The classifier network for sequences of any length, its batch and its loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.networks.layers import Architecture, Pooling, TrainableNetwork
from tsforecast.networks.recurrent import encoder


@dataclass(frozen=True)
class SequenceBatch:
    """B labelled sequences."""

    steps: Tensor  # float32, (B, T, C), scaled; zeros after the end of each
    lengths: Tensor | None  # int64, (B,); None where all have T steps
    labels: Tensor  # int64, (B,), numbers of the classes

    @property
    def inputs(self) -> tuple[Tensor, Tensor | None]:
        """Arguments of the network."""
        return self.steps, self.lengths


class SequenceClassifier(TrainableNetwork):
    """Read a sequence of any length and return the logits of its class.

    The last layer starts at zero and is added to the logarithm of the `shares` of the classes, (K,), none of them 0, so
    an untrained network *is* the majority classifier. A step has C numbers, `channels`; with `differences` the change
    since the step before is read as well. A convolutional state reaches back over `length` steps.
    """

    prior: Tensor

    def __init__(
        self,
        architecture: Architecture,
        channels: int,
        pooling: str,
        differences: bool,
        shares: Tensor,
        length: int,
    ) -> None:
        super().__init__()
        self.architecture, self.differences = architecture, differences
        self.embed = architecture.embedding(architecture.segment * channels * (1 + differences))
        self.encoder = encoder(architecture, -(-length // architecture.segment))
        self.pooling = Pooling(pooling, architecture.units, architecture.bidirectional)
        self.dropout = nn.Dropout(architecture.dropout)
        self.renew_head(shares, architecture.head_layers)

    def forward(self, steps: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits, (B, K), or (B, 1) of the second of two classes, of steps (B, T, C).

        Sequences that end before T have their `lengths`, (B,); zeros follow them and are not read.
        """
        if self.differences:
            before = torch.cat([steps[:, :1], steps[:, :-1]], dim=1)
            steps = torch.cat([steps, steps - before], dim=2)  # (B, T, 2C)
        segments, lengths = self._segments(steps, lengths)  # (B, G, S*C)
        states = self.encoder.states(segments, lengths, self.embed)  # (B, G, U)
        logits: Tensor = self.head(self.dropout(self.pooling(states, lengths))) + self.prior  # (B, Q)
        return logits

    def renew_head(self, shares: Tensor, layers: int = 1) -> None:
        """Replace the head by one or two new layers, for classes with these shares, (K,), which it then predicts."""
        # Two classes have one logit, that of the second against the first.
        prior = torch.log(shares[1:] / shares[:1]) if len(shares) == 2 else torch.log(shares)
        self.register_buffer("prior", prior)  # (Q,)
        self.head = self.architecture.head(self.pooling.width, len(prior), layers)

    def naive(self, steps: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the logits of the majority classifier, (B, Q)."""
        return self.prior.expand(len(steps), -1)

    def _segments(self, steps: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Cut (B, T, C) into segments (B, G, S*C); the last step of a sequence fills up its last one."""
        size = self.architecture.segment
        if size == 1:
            return steps, lengths
        count = -(-steps.shape[1] // size)
        place = torch.arange(count * size, device=steps.device)  # (G*S,)
        if lengths is None:
            full = steps[:, place.clamp(max=steps.shape[1] - 1)]  # (B, G*S, C)
        else:
            ends = lengths.to(steps.device)[:, None] - 1
            full = torch.take_along_dim(steps, torch.minimum(place, ends)[..., None], dim=1)  # (B, G*S, C)
            lengths = -(-lengths // size)
        return full.reshape(len(steps), count, -1), lengths


class CrossEntropy:
    """Cross entropy over classes, each with a weight, (K,), that is 1 in the mean over the training part.

    A share of each truth, `smoothing`, is spread over all classes [Szegedy et al. 2016, arXiv 1512.00567].
    """

    in_nats = False  # the share of the loss that is removed is what counts

    def __init__(self, weights: Tensor, smoothing: float = 0.0) -> None:
        self.weights, self.smoothing = weights, smoothing

    def loss_of(self, logits: Tensor, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of logits (B, Q) over the sequences of a batch, and their number."""
        labels, logits = batch.labels, logits.float()
        if logits.shape[1] == 1:
            truth = labels * (1 - self.smoothing) + self.smoothing / 2
            errors = F.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")
        else:
            errors = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        return (self.weights[labels] * errors).sum(), labels.new_tensor(len(labels))
