"""The four networks by name: each a `NeuralClassifier` with its cell."""

from __future__ import annotations

from tsforecast.classifiers.neural import NeuralClassifier
from tsforecast.forecasters.cells import with_cell


class RNNClassifier(NeuralClassifier):
    """A `NeuralClassifier` with an Elman network, ``cell="rnn"``; same parameters, by keyword."""

    __init__ = with_cell(NeuralClassifier, "rnn")


class GRUClassifier(NeuralClassifier):
    """A `NeuralClassifier` with gated recurrent units, ``cell="gru"``; same parameters, by keyword.

    Examples
    --------
    >>> GRUClassifier(units=8).get_params()["units"]
    8
    """

    __init__ = with_cell(NeuralClassifier, "gru")


class LSTMClassifier(NeuralClassifier):
    """A `NeuralClassifier` with long short-term memory, ``cell="lstm"``; same parameters, by keyword."""

    __init__ = with_cell(NeuralClassifier, "lstm")


class Conv1DClassifier(NeuralClassifier):
    """A `NeuralClassifier` with convolutions, ``cell="conv1d"``; same parameters, by keyword."""

    __init__ = with_cell(NeuralClassifier, "conv1d")
