"""The convolutional encoder: causal, dilated, residual."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast.networks.kernels.choice import MODES, loaded
from tsforecast.networks.layers import ACTIVATIONS, Architecture, every_other, norm_layer, normalise, steps_of


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
        """Return every other step, the last among them."""
        convolved = every_other(self.convolution, self.norm(x))
        mixed: Tensor = x[:, (x.shape[1] - 1) % 2 :: 2] + self.dropout(self.activation(convolved))
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
        self.fused = False  # read with the fast kernels where possible

    def forward(self, x: Tensor, embed: nn.Sequential | None = None) -> Tensor:
        """Map segments of shape (B, T, U), or the inputs of `embed`, to states of shape (B, U)."""
        if self.fused and self.has_kernels(x):
            return self.by_kernels(x, None, embed, self.skipping)[:, -1]  # (B, U)
        x = x if embed is None else embed(x)
        for left, block in zip(range(len(self.blocks), 0, -1), self.blocks, strict=True):
            x = block(x, halve=left <= self.skipping)
        return x[:, -1]  # (B, U)

    def states(self, x: Tensor, lengths: Tensor | None = None, embed: nn.Sequential | None = None) -> Tensor:
        """Map (B, T, U) to the state at each step, (B, T, U); beyond `lengths`, (B,), it has no meaning."""
        if self.fused and self.has_kernels(x):
            return self.by_kernels(x, lengths, embed, 0)
        x = x if embed is None else embed(x)
        mask = None if lengths is None else steps_of(x, lengths)  # (B, T, 1)
        for block in self.blocks:
            x = block(x, mask)
        return x

    def has_kernels(self, x: Tensor) -> bool:
        """Return whether the fast kernels can map x, (B, T, I)."""
        block = cast(CausalBlock, self.blocks[0])
        covered = (
            isinstance(block.norm, nn.Identity)
            and isinstance(block.activation, nn.ReLU)
            and x.device.type == "cpu"
            and x.dtype == block.convolution.weight.dtype == torch.float32
            and x.numel() > 0
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )
        return covered and loaded(MODES["conv1d"]) is not None

    def by_kernels(self, x: Tensor, lengths: Tensor | None, embed: nn.Sequential | None, halved: int) -> Tensor:
        """Map (B, T, I) to (B, T, U), or to the state of the last step alone where so many blocks are `halved`."""
        from tsforecast.networks.kernels.convolution import blocks_of, stack

        if embed is not None and (x.requires_grad or not isinstance(embed[1], nn.ReLU)):
            x, embed = embed(x), None
        blocks = [cast(CausalBlock, block) for block in self.blocks]
        dilations, ahead = zip(*((block.convolution.dilation[0], block.ahead) for block in blocks), strict=True)
        return stack(
            x,
            lengths,
            blocks_of(x.shape[1], dilations, ahead, halved),
            [block.convolution.weight for block in blocks],
            [cast(Tensor, block.convolution.bias) for block in blocks],
            [] if embed is None else list(embed[0].parameters()),
            blocks[0].dropout.p if blocks[0].dropout.training else 0.0,
        )
