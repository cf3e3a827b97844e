"""Out: forecasts in the form that the data came in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.data import frames
from tsforecast.data.calendar import to_utc

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel


def write(panel: Panel, values: NDArray[Any]) -> Any:
    """Write forecasts (N, H, K) for the steps after each series of a panel; see `Panel.answer`."""
    n, horizon, targets = values.shape
    source = panel.source
    if source.form == "array":
        shaped = {1: values[0, :, 0], 2: values[0], 3: values}
        return shaped[source.ndim]
    if source.form == "windows":
        return {1: values[:, 0, 0], 2: values[..., 0], 3: values}[source.ndim]
    if source.form == "arrays":
        return list(values[..., 0] if source.ndim == 1 else values)
    times = None
    if panel.kind != "none":
        alike = bool((panel.starts == panel.starts[0]).all() and (panel.lengths == panel.lengths[0]).all())
        kinds = 1 if alike else n  # series that begin and end together have the same times
        ahead = panel.lengths[:kinds, None] + np.arange(horizon)
        later = panel.frequency.advance(panel.starts[:kinds, None], ahead)
        times = np.broadcast_to(later, (n, horizon)).ravel()
        if source.zone and source.wall_clock:
            times, source = to_utc(times, source.zone), replace(source, wall_clock=False)
    if source.form == "wide":
        return frames.write_wide(source, times, panel.kind, panel.ids, values[..., 0])
    columns = dict(zip(panel.roles.target, values.reshape(n * horizon, targets).T, strict=True))
    return frames.write(source, times, panel.kind, panel.ids, np.repeat(np.arange(n), horizon), columns)
