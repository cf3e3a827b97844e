"""What a network is made of: the choices that a user can make, in one place."""

from __future__ import annotations

from dataclasses import dataclass

CELL_NAMES = ("rnn", "gru", "lstm", "conv1d")
CHANNELS = ("independent", "joint")
NORMS = ("layer", "batch")
ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid")


@dataclass(frozen=True)
class Architecture:
    """The shape of a network.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "conv1d"}
    units, layers : int
        Width (U) and depth.
    segment : int
        Consecutive steps that are read, and forecast, at once (S); 1 reads step by step.
    channels : {"independent", "joint"}
        Each target forecast from its own past by one network that all share, or all from the past of all.
    residual : bool
        Add to what a layer says what it was told.
    norm : {"layer", "batch"} or None
        Before each layer.
    dropout : float
        Share of values dropped after each layer.
    bidirectional : bool
        A recurrent layer also reads its window backwards.
    kernel_size : int
        Segments that one convolution reads.
    activation : {"relu", "gelu", "tanh", "sigmoid"}
        Of embedding, convolutions and decoder.
    head_layers : {1, 2}
        Linear layers that read out what the decoder holds.
    """

    cell: str = "gru"
    units: int = 64
    layers: int = 1
    segment: int = 1
    channels: str = "independent"
    residual: bool = False
    norm: str | None = None
    dropout: float = 0.0
    bidirectional: bool = False
    kernel_size: int = 3
    activation: str = "relu"
    head_layers: int = 1
