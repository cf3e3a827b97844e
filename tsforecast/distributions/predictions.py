"""Predictions with quantiles: the levels that are asked for, and columns of them in the form of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Floats
from tsforecast.errors import ParameterError, Problem, raise_any

LEVEL = "quantile"  # column of a tidy frame


def asked_levels(quantiles: Sequence[float], interval: float | Sequence[float] | None) -> dict[str, float]:
    """Return the levels of quantiles and of the ends of central intervals, by the suffix of their columns.

    Examples
    --------
    >>> asked_levels([0.5], 0.8)
    {'q0.5': 0.5, 'lo80': 0.1, 'hi80': 0.9}
    """
    given = {"quantiles": quantiles, "interval": () if interval is None else interval}
    problems, numbers = list[str](), dict[str, list[float]]()
    for name, values in given.items():
        try:
            numbers[name] = [float(value) for value in np.atleast_1d(np.asarray(values, dtype=np.float64))]
        except (TypeError, ValueError):
            numbers[name] = [np.nan]
        if not all(0 < value < 1 for value in numbers[name]):
            must = "must be between 0 and 1" + (", such as 0.8 for four outcomes of five" if name == "interval" else "")
            problems.append(Problem(must, f"got {values!r}", parameter=name))
    raise_any(problems, ParameterError)
    levels = {f"q{level:g}": level for level in numbers["quantiles"]}
    for share in numbers["interval"]:
        ends = (round((1 - share) / 2, 12), round((1 + share) / 2, 12))
        levels |= {f"{end}{100 * share:g}": level for end, level in zip(("lo", "hi"), ends, strict=True)}
    return levels


def with_levels(panel: Panel, points: Floats, found: Floats, levels: Mapping[str, float], tidy: bool) -> Any:
    """Return points (N, H, K) with quantiles at the sorted distinct `levels`, (N, H, K, Q), in the form of the data.

    ParameterError is raised where arrays are to be tidy: they have no columns.
    """
    place = {level: at for at, level in enumerate(sorted(levels.values()))}
    every = {"": points} | {suffix: found[..., place[level]] for suffix, level in levels.items()}
    if panel.source.form in ("array", "arrays", "windows"):
        if tidy:
            raise ParameterError("tidy=True needs columns, which arrays do not have: leave it out, or fit a frame")
        parts = [panel.to_native(part) for part in every.values()]
        if isinstance(parts[0], list):
            return [np.stack(series, axis=-1) for series in zip(*parts, strict=True)]
        return np.stack(parts, axis=-1)
    if not tidy:
        return panel.to_native(np.concatenate(list(every.values()), axis=2), [*every])
    frames = []
    for level in sorted({*levels.values()}):
        frame = nw.from_native(panel.to_native(found[..., place[level]], [""]))
        frames.append(frame.with_columns(nw.lit(level).alias(LEVEL)))
    return nw.concat(frames).to_native()
