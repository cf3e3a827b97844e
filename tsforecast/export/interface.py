"""Exportable: what a forecaster gains whose forecasts are a graph of its rows: a file that forecasts elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution
from tsforecast.distributions.predictions import asked_levels

Floats = NDArray[np.float64]


class Exportable:
    """Base of forecasters: a graph of those that are networks, naive forecasts, or ensembles of them."""

    horizon_: int
    panel_: Panel

    def check_fitted(self) -> None:
        """Raise NotFittedError unless `fit` was called."""
        raise NotImplementedError

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Forecast H steps after each of n cutoffs, (n, H, K)."""
        raise NotImplementedError

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of H steps after each of n cutoffs."""
        raise NotImplementedError

    def export(
        self,
        file: str | Path,
        *,
        quantiles: Sequence[float] = (),
        interval: float | Sequence[float] | None = None,
        dates: str | None = None,
    ) -> Path:
        """Write one file that forecasts anywhere: a graph from raw rows to forecasts in the units of the data.

        Scaling, value transform, anchor, network and quantiles are in the graph; it repeats `predict` to 1e-5 of the
        range of a target, for series that were fitted and for others. A file ``.onnx`` runs with onnxruntime and numpy
        alone; next to it, a short program `forecast.py` reads a CSV file and forecasts. A file ``.pt2`` is the same
        graph for `torch.export.load`. Names, frequency, horizon and a golden pair of inputs and outputs are in the
        file, as JSON.

        Parameters
        ----------
        file : path
            Ends in ``.onnx`` or ``.pt2``. An older file is replaced once the new one is whole.
        quantiles, interval
            Levels that the graph is to compute, as in `predict`; none unless given.
        dates : str, optional
            How dates are written in the files that `forecast.py` will read, such as ``"%d.%m.%Y"``; as in ISO 8601
            unless given.

        Returns
        -------
        path
            Of the file.

        Raises
        ------
        NotFittedError, OutputError
        ParameterError
            When a part of the forecaster has no graph, such as a scaler or a loss of your own, before anything is
            written.

        Examples
        --------
        >>> import tempfile
        >>> from tsforecast.forecasters.naive import NaiveForecaster
        >>> with tempfile.TemporaryDirectory() as place:
        ...     file = NaiveForecaster(horizon=2).fit([1.0, 2.0, 4.0]).export(f"{place}/naive.onnx")
        ...     sorted(found.name for found in file.parent.iterdir())
        ['forecast.py', 'naive.onnx']
        """
        self.check_fitted()
        levels = asked_levels(quantiles, interval)
        from tsforecast.export.build import exported  # loads torch
        from tsforecast.export.file import require_file, write

        target = require_file(Path(file), "forecast")
        return write(exported(self, levels, dates), target)
