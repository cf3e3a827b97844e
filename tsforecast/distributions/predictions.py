"""Predictions with quantiles: levels, columns of them, and distributions with the names and times of the data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution, Floats
from tsforecast.errors import DataWarning, ParameterError, Problem, raise_any, shorten

LEVEL, PATH = "quantile", "path"  # columns of a tidy frame, and of paths


def asked_levels(quantiles: Sequence[float] | Floats, interval: float | Sequence[float] | None) -> dict[str, float]:
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
            example = "0.8 for four outcomes of five" if name == "interval" else "0.9 for a number above nine of ten"
            percent = [f"{value / 100:g}" for value in numbers[name] if 1 < value < 100]
            meant = f"did you mean {', '.join(percent)}?" if len(percent) == len(numbers[name]) else ""
            must = f"must be between 0 and 1, such as {example}"
            problems.append(Problem(must, f"got {values!r}", meant, parameter=name))
    raise_any(problems, ParameterError)
    levels = {f"q{level:g}": level for level in numbers["quantiles"]}
    for share in numbers["interval"]:
        ends = (round((1 - share) / 2, 12), round((1 + share) / 2, 12))
        levels |= {f"{end}{100 * share:g}": level for end, level in zip(("lo", "hi"), ends, strict=True)}
    return levels


def warn_unless_finite(forecasts: Floats, stacklevel: int = 3) -> Floats:
    """Return forecasts as they are, and warn where they are none."""
    wrong = int((~np.isfinite(forecasts)).sum())
    if wrong:
        warnings.warn(
            f"{wrong} of {forecasts.size} forecasts are no finite numbers: look at a loss or regressor of your own, "
            "and for extreme values in the data",
            DataWarning,
            stacklevel=stacklevel,
        )
    return forecasts


def warn_where_still(panel: Panel, found: Floats) -> None:
    """Warn of series that never moved, whose quantiles (N, H, K, Q) are all equal: they show no error."""
    if found.shape[-1] < 2:
        return
    sure = np.flatnonzero((found[..., 0] == found[..., -1]).all(axis=(1, 2)))
    still = [i for i in sure if (np.ptp(panel.series(int(i))[:, : panel.n_targets], axis=0) == 0).all()]
    if still:
        names, whose = shorten([repr(str(panel.ids[i])) for i in still], 8), "its" if len(still) == 1 else "their"
        warnings.warn(
            f"{len(still)} of {len(panel)} series never moved, so that {whose} quantiles are "
            f"all equal and show nothing of a first move: {names}",
            DataWarning,
            stacklevel=4,
        )


def with_levels(panel: Panel, points: Floats, found: Floats, levels: Mapping[str, float], tidy: bool) -> Any:
    """Return points (N, H, K) with quantiles at the sorted distinct `levels`, (N, H, K, Q), in the form of the data.

    ParameterError is raised where arrays are to be tidy: they have no columns.
    """
    require_names_of_their_own(panel, [] if tidy else [*levels], [LEVEL] if tidy else [])
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


def with_paths(panel: Panel, paths: Floats) -> Any:
    """Return paths (P, N, H, K) in the form of the data: a frame with a column `path`, or arrays with an axis more."""
    require_names_of_their_own(panel, [], [PATH])
    parts = [panel.to_native(path, [""]) for path in paths]
    if isinstance(parts[0], list):
        return [np.stack(series) for series in zip(*parts, strict=True)]
    if isinstance(parts[0], np.ndarray):
        return np.stack(parts)
    framed = [nw.from_native(part).with_columns(nw.lit(number).alias(PATH)) for number, part in enumerate(parts)]
    return nw.concat(framed).to_native()


def require_names_of_their_own(panel: Panel, suffixes: Sequence[str], others: Sequence[str]) -> None:
    """Raise ParameterError where columns beside those of the data would take the place of one."""
    if panel.source.form in ("array", "arrays", "windows"):
        return
    numbers = [str(name) for name in (panel.ids if panel.source.form == "wide" else panel.roles.target)]
    taken = {*numbers, panel.source.time, panel.source.id}
    added = [*others, *(f"{name}_{suffix}" for suffix in suffixes for name in numbers)]
    if clash := [name for name in added if name in taken]:
        must = f"the data must have no column {clash[0]!r}, which a forecast adds"
        raise_any([Problem(must, "they have one", "rename it")], ParameterError)


@dataclass(frozen=True, eq=False)
class ForecastDistribution:
    """Distributions of the H steps after N series, of K targets, in the units of the data.

    Attributes
    ----------
    panel : Panel
        The series, at whose ends the forecasts begin.
    points : array of shape (N, H, K)
        Point forecasts, which `predict` returns.
    distribution : Distribution
    """

    panel: Panel
    points: Floats
    distribution: Distribution

    def __repr__(self) -> str:
        series, steps, _ = self.shape
        targets = ", ".join(map(repr, self.targets))
        return f"ForecastDistribution: {series} series x {steps} steps ahead, target {targets}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of series, steps and targets."""
        return self.distribution.shape

    @property
    def ids(self) -> NDArray[Any]:
        """Names of the series, (N,)."""
        return self.panel.ids

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the columns that are forecast, whose units the numbers have."""
        return self.panel.roles.target

    @property
    def times(self) -> NDArray[Any]:
        """Time stamps, or numbers of steps, of the forecasts, (N, H); those of a time zone are in UTC or local time."""
        ahead = self.panel.lengths[:, None] + np.arange(self.shape[1])
        stamps = self.panel.stamps(np.arange(len(self.panel))[:, None], ahead)
        return stamps.astype("datetime64[ns]") if self.panel.kind == "datetime" else stamps

    def quantiles(self, levels: Sequence[float] | Floats) -> Floats:
        """Return the quantiles at Q levels between 0 and 1, in the order given, (N, H, K, Q)."""
        asked_levels(levels, None)  # which refuses those that are none
        order, place = np.unique(np.asarray(levels, dtype=np.float64), return_inverse=True)
        return self.distribution.quantiles(order)[..., place]

    def cdf(self, y: ArrayLike) -> Floats:
        """Return the probability of a number up to y, (N, H, K); y is broadcast to that shape."""
        return self.distribution.cdf(np.broadcast_to(np.asarray(y, dtype=np.float64), self.shape))

    def mean(self) -> Floats:
        """Return the means, (N, H, K)."""
        return self.distribution.mean()

    def median(self) -> Floats:
        """Return the medians, (N, H, K)."""
        return self.distribution.median()

    def crps(self, y: ArrayLike) -> Floats:
        """Return the continuous ranked probability score of the truth, (N, H, K), in the units of the data."""
        return self.distribution.crps(np.broadcast_to(np.asarray(y, dtype=np.float64), self.shape))

    def to_torch(self) -> Any:
        """Return a `torch.distributions` object of batch shape (N, H, K).

        Raises
        ------
        ParameterError
            Where the distributions are known by their quantiles alone.
        """
        return self.distribution.to_torch()

    def to_frame(
        self,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        interval: float | Sequence[float] | None = None,
        tidy: bool = False,
    ) -> Any:
        """Return point forecasts and quantiles in the form of the data, as `predict` does.

        Raises
        ------
        ParameterError
            When a level does not lie between 0 and 1.
        """
        levels = asked_levels(quantiles, interval)
        found = self.distribution.quantiles(sorted(levels.values()))
        return with_levels(self.panel, self.points, found, levels, tidy)
