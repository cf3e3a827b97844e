"""The classifier network for sequences of any length, its batch and its loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.networks.conv import ConvEncoder
from tsforecast.networks.layers import Architecture, Pooling, TrainableNetwork, activation_layer
from tsforecast.networks.recurrent import RecurrentEncoder


@dataclass(frozen=True)
class SequenceBatch:
    """B labelled sequences.

    Attributes
    ----------
    steps : float32 tensor of shape (B, T, C)
        Scaled; zeros after the end of each.
    lengths : int64 tensor of shape (B,) or None
        Steps of each sequence; None where all have T.
    labels : int64 tensor of shape (B,)
        Numbers of the classes.
    """

    steps: Tensor
    lengths: Tensor | None
    labels: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor | None]:
        """Arguments of the network."""
        return self.steps, self.lengths


class SequenceClassifier(TrainableNetwork):
    """Read a sequence of any length and return the logits of its class.

    The last layer starts at zero and is added to the logarithm of the shares of the classes, so an untrained network
    *is* the majority classifier.

    Parameters
    ----------
    architecture : Architecture
        Its `segment` is the number of steps that are read at once (S).
    channels : int
        Numbers in a step (C).
    pooling : {"mean", "max", "mean-max", "last", "attention"}
    differences : bool
        Also read the change since the step before.
    shares : tensor of shape (K,)
        Of the classes, none of them 0.
    length : int
        Steps that a convolutional state must reach back.

    Examples
    --------
    >>> network = SequenceClassifier(Architecture(units=4), 3, "mean", False, torch.tensor([0.25, 0.25, 0.5]), length=9)
    >>> network(torch.randn(2, 9, 3)).softmax(dim=1)[0].tolist()
    [0.25, 0.25, 0.5]
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
        units, segment = architecture.units, architecture.segment
        self.embed = nn.Sequential(
            nn.Linear(segment * channels * (1 + differences), units), activation_layer(architecture.activation)
        )
        self.encoder = (
            ConvEncoder(architecture, -(-length // segment))
            if architecture.cell == "conv1d"
            else RecurrentEncoder(architecture)
        )
        self.pooling = Pooling(pooling, units, architecture.bidirectional)
        self.dropout = nn.Dropout(architecture.dropout)
        self.renew_head(shares, architecture.head_layers)

    def forward(self, steps: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits: (B, K), or (B, 1) of the second of two classes.

        Parameters
        ----------
        steps : tensor of shape (B, T, C)
        lengths : int64 tensor of shape (B,), optional
            Steps of each sequence where not all have T; zeros follow them and are not read.
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
        architecture, width = self.architecture, self.pooling.width
        last = nn.Linear(width if layers == 1 else architecture.units, len(prior))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        activation, dropout = activation_layer(architecture.activation), nn.Dropout(architecture.dropout)
        hidden = () if layers == 1 else (nn.Linear(width, architecture.units), activation, dropout)
        self.head: nn.Module = nn.Sequential(*hidden, last) if hidden else last

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
    """Cross entropy over classes; of two classes on their one logit.

    Parameters
    ----------
    weights : tensor of shape (K,)
        Of a sequence of each class, 1 in the mean over the training part.
    smoothing : float
        Share of each truth that is spread over all classes [Szegedy et al. 2016, arXiv 1512.00567].

    Examples
    --------
    >>> loss = CrossEntropy(torch.ones(2), smoothing=0.0)
    >>> round(float(loss(torch.zeros(1, 1), torch.tensor([1]))), 4)
    0.6931
    """

    def __init__(self, weights: Tensor, smoothing: float = 0.0) -> None:
        self.weights, self.smoothing = weights, smoothing

    def loss_of(self, logits: Tensor, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss of logits (B, Q) over the sequences of a batch, and their number."""
        return self(logits, batch.labels), batch.labels.new_tensor(len(batch.labels))

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the loss of logits (B, Q), the truth being `labels`, int64 of shape (B,)."""
        logits, weights = logits.float(), self.weights[labels]  # (B, Q), (B,)
        if logits.shape[1] == 1:
            truth = labels * (1 - self.smoothing) + self.smoothing / 2
            return (weights * F.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")).sum()
        errors = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        return (weights * errors).sum()
