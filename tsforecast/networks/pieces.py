"""Pieces that all networks share: parts that can be frozen, normalisation and activation by name."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Freezable(nn.Module):
    """A network of which parts can be kept as they are while the rest is trained further."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: tuple[str, ...] = ()

    def freeze(self, names: tuple[str, ...]) -> None:
        """Keep every parameter whose name starts with one of `names` as it is, and let all others move."""
        self.frozen = names
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith(names) if names else True)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but not for frozen parts: their statistics and dropout rest as well."""
        super().train(mode)
        for name, part in self.named_modules():
            if self.frozen and f"{name}.".startswith(self.frozen):
                part.training = False
        return self


class _OverBatch(nn.BatchNorm1d):
    """Batch normalisation of (B, T, U) over windows and steps [Ioffe and Szegedy 2015, arXiv 1502.03167]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).view_as(x)  # (B, T, U)


def norm_layer(name: str | None, units: int) -> nn.Module:
    """Return the normalisation of (B, T, U) over units (layer), over the batch, or none.

    Layer normalisation is that of Ba et al. (2016, arXiv 1607.06450).
    """
    if name is None:
        return nn.Identity()
    return nn.LayerNorm(units) if name == "layer" else _OverBatch(units)


def activation_layer(name: str) -> nn.Module:
    """Return an activation by name; GELU is that of Hendrycks and Gimpel (2016, arXiv 1606.08415).

    Examples
    --------
    >>> activation_layer("tanh")
    Tanh()
    """
    return _ACTIVATIONS[name]()
