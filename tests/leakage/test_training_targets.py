"""Training targets end at or before the cutoff, validation targets begin after it, whatever the settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsforecast.data.panel import Panel
from tsforecast.data.splits import RollingOrigin
from tsforecast.data.windows import Windows
from tsforecast.errors import DataError
from tsforecast.estimators import network
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.training.history import Epoch


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(12, 60), min_size=1, max_size=4),
    window=st.integers(1, 8),
    horizon=st.integers(1, 6),
    gap=st.integers(0, 3),
    origins=st.integers(1, 3),
    validation=st.one_of(st.none(), st.floats(0.01, 0.5), st.integers(1, 15)),
)
def test_every_window_lies_on_its_side_of_every_cutoff(
    monkeypatch: pytest.MonkeyPatch,
    lengths: list[int],
    window: int,
    horizon: int,
    gap: int,
    origins: int,
    validation: float | int | None,
) -> None:
    caught: list[tuple[Windows, Windows | None]] = []

    def keep(network: object, training: Windows, held_out: Windows | None, *rest: object) -> list:
        caught.append((training, held_out))
        return [Epoch(0, None, None, 0.0, 0.0)]

    monkeypatch.setattr(network, "train", keep)
    # Each number says which series and row it is.
    panel = Panel.from_array([1000.0 * i + np.arange(n) for i, n in enumerate(lengths)])
    model = NeuralForecaster("gru", window=window, horizon=gap + horizon, units=1, validation=validation)
    model.set_params(value_transform=None, scaler=None, anchor="none")
    try:
        folds = RollingOrigin(horizon, origins, gap=gap).cutoffs(panel)
    except DataError:
        return
    for fold in folds:
        caught.clear()
        try:
            model.fit(panel.until(fold.seen))
        except DataError:
            continue  # too short for these settings, and said so
        ((training, held_out),) = caught
        series_of = np.flatnonzero(fold.seen > 0)
        cut = dict(zip(series_of.tolist(), model.learned_rows().tolist(), strict=True))
        batch = training.batch(torch.arange(len(training)))
        known = [window] * len(training) if batch.known is None else batch.known.tolist()
        for count, past, future in zip(known, batch.past[..., 0], batch.future[..., 0].numpy(), strict=True):
            steps = np.r_[past[window - count :].numpy(), future]
            series = {int(v) // 1000 for v in steps}
            assert len(series) == 1
            assert max(int(v) % 1000 for v in future) < cut[series.pop()]
            assert np.all(np.diff(steps) == 1)
        if held_out is not None:
            batch = held_out.batch(torch.arange(len(held_out)))
            for future in batch.future[..., 0].numpy():
                series = int(future[0]) // 1000
                assert cut[series] <= int(future[0]) % 1000
                assert int(future[-1]) % 1000 < fold.seen[series]
