"""The convolutional encoder: causal, dilated, residual."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.networks.layers import ACTIVATIONS, Architecture, norm_layer, normalise, steps_of


class CausalBlock(nn.Module):
    """One residual block: normalise, a convolution that looks back only, activation, dropout, plus the input.

    A bidirectional one looks as far ahead as it looks back.
    """

    def __init__(self, architecture: Architecture, dilation: int) -> None:
        super().__init__()
        self.reach = (architecture.kernel_size - 1) * dilation
        self.ahead = self.reach // 2 if architecture.bidirectional else 0
        self.norm = norm_layer(architecture.norm, architecture.units)
        self.convolution = nn.Conv1d(
            architecture.units, architecture.units, architecture.kernel_size, dilation=dilation
        )
        self.activation = ACTIVATIONS[architecture.activation]()
        self.dropout = nn.Dropout(architecture.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, halve: bool = False) -> Tensor:
        """Map (B, T, U) to (B, T, U); step t of the result depends on steps up to t, unless the block looks ahead.

        Steps outside the `mask`, (B, T, 1), are read as zeros. With `halve`, the steps of x are those that lie a
        dilation apart, and every other one is returned, the last among them, (B, ceil(T / 2), U).
        """
        if halve:
            return self._halved(x)
        steps = self.norm(x) if mask is None else normalise(self.norm, x, mask) * mask
        padded = F.pad(steps.transpose(1, 2), (self.reach - self.ahead, self.ahead))  # (B, U, reach + T)
        convolved = self.convolution(padded).transpose(1, 2)  # (B, T, U)
        mixed: Tensor = x + self.dropout(self.activation(convolved))
        return mixed

    def _halved(self, x: Tensor) -> Tensor:
        """Return every other step, the last among them, as one product of matrices."""
        width, odd = self.convolution.kernel_size[0], (x.shape[1] - 1) % 2
        padded = F.pad(self.norm(x), (0, 0, width - 1 - odd, 0))  # (B, P, U); a kernel of one step drops the first
        taps = [padded[:, i : padded.shape[1] - (width - 1 - i) : 2] for i in range(width)]  # k of (B, ceil(T / 2), U)
        weight = self.convolution.weight.transpose(1, 2).flatten(1)  # (U, kU)
        convolved = F.linear(torch.cat(taps, dim=2), weight, self.convolution.bias)
        mixed: Tensor = x[:, odd::2] + self.dropout(self.activation(convolved))
        return mixed


class ConvEncoder(nn.Module):
    """Read embedded segments with stacks of dilated convolutions and return the state at the last one.

    In each of the `layers` stacks the dilation doubles from block to block until the last state reaches back over
    the whole window of `length` segments [van den Oord et al. 2016, arXiv 1609.03499; Bai et al. 2018, arXiv
    1803.01271].
    """

    def __init__(self, architecture: Architecture, length: int) -> None:
        super().__init__()
        dilations: list[int] = []
        reach, dilation = 1, 1
        while not dilations or (
            reach < length and architecture.kernel_size > 1
        ):  # one of a single step never reaches further
            dilations.append(dilation)
            reach += (architecture.kernel_size - 1) * dilation
            dilation *= 2
        self.blocks = nn.Sequential(
            *(CausalBlock(architecture, d) for _ in range(architecture.layers) for d in dilations)
        )
        # Fewer steps matter to the last state from block to block. Blocks that look ahead, and norms over a batch,
        # need all of them.
        skips = not architecture.bidirectional and architecture.norm != "batch"
        self.skipping = len(dilations) if skips else 0  # last blocks that compute only what the next one reads

    def forward(self, x: Tensor, embed: nn.Sequential | None = None) -> Tensor:
        """Map segments of shape (B, T, U), or the inputs of `embed`, to states of shape (B, U)."""
        x = x if embed is None else embed(x)
        for left, block in zip(range(len(self.blocks), 0, -1), self.blocks, strict=True):
            x = block(x, halve=left <= self.skipping)
        return x[:, -1]  # (B, U)

    def states(self, x: Tensor, lengths: Tensor | None = None, embed: nn.Sequential | None = None) -> Tensor:
        """Map (B, T, U) to the state at each step, (B, T, U); beyond `lengths`, (B,), it has no meaning."""
        x = x if embed is None else embed(x)
        mask = None if lengths is None else steps_of(x, lengths)  # (B, T, 1)
        for block in self.blocks:
            x = block(x, mask)
        return x
