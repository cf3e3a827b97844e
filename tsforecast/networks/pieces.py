"""Pieces that all networks share: normalisation and activation by name."""

from __future__ import annotations

from torch import Tensor, nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


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
