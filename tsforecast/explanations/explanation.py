"""Explanation: what each part of the past adds to a forecast, as a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
LEVEL = 0.025  # nominal chance that a table calls a part clear that adds nothing; 6 to 10 % of short data are measured
ROUNDING = 1e-9  # of an error, below which an effect is none


@dataclass(frozen=True)
class Effect:
    """How much worse forecasts are that have a part from other cutoffs than their own."""

    part: str
    kind: str  # anchor, correction, past steps, past, future, calendar or static
    effect: float  # rise of the mean absolute error
    spread: float  # standard error of it, where the part adds nothing
    change: float  # mean absolute change of the forecast
    freedom: int  # degrees of freedom of the spread
    chance: float  # probability of an effect as large where the part adds nothing
    clear: bool = False  # whether it is too rare for chance

    @classmethod
    def of(
        cls, part: str, kind: str, own: Floats, shuffled: Floats, changes: Floats, spans: NDArray[np.int64]
    ) -> Effect:
        """Return the effect of a part.

        It is that of the errors at n cutoffs, (n,), in their spans of time, (n,), beside those of R shuffles, (R, n),
        which change the forecast by `changes`, (R,). Where the part adds nothing, the mean error is one more draw from
        those of the shuffles, and the rise of the error varies around zero from span to span. The first is exact where
        columns are alike from step to step, and blind to columns that come back, of which a shuffle may be no other;
        the second sees those. The smaller of both probabilities counts, twice, as one of two.
        """
        if not len(shuffled):
            return cls(part, kind, 0.0, 0.0, 0.0, 0, 1.0)
        rises = shuffled.mean(axis=0) - own
        effect, count = float(np.nanmean(rises)), len(shuffled)
        by_span = np.array([np.nanmean(rises[spans == span]) for span in np.unique(spans[~np.isnan(rises)])])
        found = []
        if count > 1:
            found.append((float(np.nanmean(shuffled, axis=1).std(ddof=1)) * (1 + 1 / count) ** 0.5, count - 1))
        if len(by_span) > 1:
            found.append((float(by_span.std(ddof=1)) / len(by_span) ** 0.5, len(by_span) - 1))
        judged = [(float(stdtr(freedom, -effect / max(spread, 1e-300))), spread, freedom) for spread, freedom in found]
        chance, spread, freedom = min(judged, default=(0.5, 0.0, 0))
        chance = 0.5 if abs(effect) <= ROUNDING * float(np.nanmean(own)) else chance
        return cls(part, kind, effect, spread, float(changes.mean()), freedom, min(2 * chance, 1.0))

    @property
    def none(self) -> float:
        """Half of the width of the band in which 95 % of the effects of a part lie that adds nothing."""
        return float(stdtrit(self.freedom, 0.975) * self.spread) if self.freedom else 0.0


def judged(effects: list[Effect]) -> tuple[Effect, ...]:
    """Return effects with the verdict on each: a table, not each of its parts, has one chance to err [Holm 1979]."""
    order, clear = sorted(effects, key=lambda effect: effect.chance), set[int]()
    for rank, effect in enumerate(order):
        if effect.chance > LEVEL / (len(order) - rank):
            break
        clear.add(id(effect))
    return tuple(Effect(**asdict(effect) | {"clear": id(effect) in clear}) for effect in effects)


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What the anchor, the correction, past steps and covariates add to forecasts; see `Explainable.explain`.

    Attributes
    ----------
    effects : tuple of Effect
        One for each part.
    unit : str
        Of errors and effects: the name of the only target of the only series, or seasonal naive errors.
    error, anchor_error : float
        Mean absolute error of the forecast, and of its anchor alone, at the held-out cutoffs.
    cutoffs : int
    forecasts : pandas.DataFrame
        One row for each cutoff, series, target and step, in the data's own units: ``anchor + correction = forecast``;
        ``y`` is the truth, NaN after the end of the data.
    """

    effects: tuple[Effect, ...]
    unit: str
    error: float
    anchor_error: float
    cutoffs: int
    forecasts: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return one row for each part.

        Its columns: ``part, kind``; ``effect``, the rise of the mean absolute error in ``unit`` where the part comes
        from other cutoffs; ``spread``, the standard error of that rise where the part adds nothing; ``change``, the
        mean absolute change of the forecast; ``clear``, whether the effect is distinguishable from none.
        """
        import pandas as pd

        table = pd.DataFrame([asdict(effect) for effect in self.effects])
        table.insert(3, "unit", self.unit)
        return table.drop(columns=["freedom", "chance"])

    @property
    def sentence(self) -> str:
        """What is clear, in one sentence without its full stop."""
        clear = sorted((effect for effect in self.effects if effect.clear), key=lambda effect: -effect.effect)
        silent = len(self.effects) - len(clear)
        read = ", ".join(f"{effect.part} ({effect.effect:+.3g})" for effect in clear)
        if not clear:
            return "errors do not rise clearly without any of its parts"
        rest = f"; without the other {silent} of {len(self.effects)} parts they rise no more than by chance"
        return f"errors rise clearly without {read}{rest * bool(silent)}"

    def plain(self) -> dict[str, Any]:
        """Return all but the forecasts as JSON can hold it."""
        facts = {name: getattr(self, name) for name in ("unit", "error", "anchor_error", "cutoffs")}
        return facts | {"effects": [asdict(effect) for effect in self.effects]}

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> Explanation:
        """Return the explanation, without forecasts, that `plain` was made of."""
        import pandas as pd

        effects = tuple(Effect(**effect) for effect in stored["effects"])
        return cls(**{**stored, "effects": effects, "forecasts": pd.DataFrame()})

    def plot(self) -> Figure:
        """Draw the effect of each part next to the band in which those of parts lie that add nothing.

        A filled dot is clear, a hollow one is no more than chance does.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from tsforecast.reporting.figures import COLOURS, PAPER, REFERENCE, RULE, brief, in_style, rows_canvas

        with in_style():
            figure, axes = rows_canvas([effect.part for effect in self.effects])
            for row, effect in enumerate(self.effects):
                axes.barh(row, 2 * effect.none, left=-effect.none, height=0.6, color=RULE, zorder=1)
                fill = COLOURS[0] if effect.clear else PAPER
                axes.plot(effect.effect, row, "o", ms=6, mfc=fill, mec=COLOURS[0], zorder=3)
            axes.axvline(0, color=REFERENCE, ls="--", lw=1, zorder=2)
            axes.set_xlabel(f"rise of the error without it ({brief(self.unit)})", loc="right")
        return figure

    def __repr__(self) -> str:
        return f"{self.table().to_string(index=False, float_format='{:.3g}'.format)}\n\n{self.sentence}."
