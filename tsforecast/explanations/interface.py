"""Explainable: what a forecaster gains that corrects an anchor: the parts that its forecasts are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import whole
from tsforecast.data.context import Context, held_out, with_future, with_observations
from tsforecast.data.panel import Panel
from tsforecast.distributions.interface import Distributional
from tsforecast.distributions.predictions import asked_levels
from tsforecast.distributions.residuals import scales
from tsforecast.errors import DataError, ParameterError, raise_any
from tsforecast.explanations.explanation import ROUNDING, Effect, Explanation, judged
from tsforecast.explanations.scenario import compared
from tsforecast.explanations.shuffles import Innovations, Part, Shuffled, Units, donors, parts_of, spans

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
MOST, LEAST = 200, 10  # cutoffs that are forecast from, and that show anything


class Explainable(Distributional):
    """Base of forecasters: explanations of those whose forecast is an anchor and a correction of it."""

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return which forecasts after `past` are those of a simpler fallback model, (n, K)."""
        raise NotImplementedError

    def _cautions(self, past: Context) -> list[str]:
        """Return warnings about a forecast from `past`."""
        raise NotImplementedError

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each fitted series trained this model; the others validated."""
        raise NotImplementedError

    @property
    def has_parts(self) -> bool:
        """Whether its forecast is an anchor and a correction: `explain` answers."""
        return False

    def anchor_of(self, past: Context, horizon: int) -> Floats:
        """Return the naive forecast that `forecast` corrects, (n, H, K), in the data's own units."""
        raise NotImplementedError(f"{type(self).__name__} must implement anchor_of")

    def scope(self) -> tuple[int, bool, bool]:
        """Return the steps back that are read, whether series are scaled apart, and whether targets are transformed."""
        raise NotImplementedError(f"{type(self).__name__} must implement scope")

    def explain(
        self,
        panel: Any = None,
        *,
        future: Any = None,
        steps: int | None = None,
        permutations: int = 20,
        random_state: int = 0,
    ) -> Explanation:
        """Measure what each part adds to a forecast: anchor, correction, past steps and covariates.

        The anchor is exact: ``anchor + correction = forecast``, in the data's own units. The rest is measured at
        cutoffs that the model did not learn from (of a model that learned from all rows, a clone is fitted without the
        last fifth): a part is taken from other cutoffs, and the effect is by how much the mean absolute error rises
        [Breiman 2001]. Of past steps that is what the rest of the window does not foretell of them, so that windows
        stay plausible. Beside it stands what chance does: where a part adds nothing, the error with it is one more of
        those of its shuffles, and the rise differs around zero from one span of time to another. `clear` are effects
        far above that: measured, about 1 in 100 parts that add nothing is called clear. Shuffles keep the order of time
        of each series, since columns that are alike from step to step resemble any errors by chance. Covariates that
        resemble each other share their effect: each can stand in for the other.

        Parameters
        ----------
        panel : like the data that were fitted, optional
            Data to explain forecasts of: the fitted ones unless given. Of series that were fitted, cutoffs after the
            rows that were learned from count, where they have dates or an integer axis.
        future : frame, optional
            As in `predict`. Where future columns are read and it is not given, `forecasts` has none after the end.
        steps : int, optional
            Past steps in each block; a season unless given, or several where there would be more than 8 blocks.
        permutations : int
            Shuffles of each part, at least 10; a single series has no more than one less than cutoffs.
        random_state : int
            Seed of the shuffles.

        Returns
        -------
        Explanation

        Raises
        ------
        NotFittedError
        ParameterError
            When the forecast has no anchor that it corrects, or supervised windows were fitted.
        DataError
            When fewer than 10 cutoffs were held out.

        Examples
        --------
        >>> from tsforecast.forecasters.reduction import ReductionForecaster
        >>> series = np.tile([1.0, 5.0, 3.0, 8.0], 60) + np.random.default_rng(0).normal(size=240)
        >>> model = ReductionForecaster(window=8, anchor="last").fit(series)
        >>> found = model.explain()
        >>> parts = found.forecasts
        >>> bool(np.allclose(parts["anchor"] + parts["correction"], parts["forecast"]))
        True
        >>> found.table()["part"].tolist()
        ['anchor', 'correction', '1 to 4 steps back', '5 to 8 steps back']
        """
        self._refuse_windows("explain")
        if not self.has_parts:
            raise ParameterError(
                f"explain must have a forecast that corrects an anchor: {type(self).__name__} has no such parts; "
                "explain a network, a ReductionForecaster, or a mean of them"
            )
        problems = whole("steps", steps, 1, [None]) + whole("permutations", permutations, 10)
        raise_any(problems + whole("random_state", random_state, 0), ParameterError)
        read = self.panel_ if panel is None else self.panel_.read_like(panel)
        model, seen = self._unlearned(read)
        past, truth = with_observations(*held_out(read, seen, self.horizon_, least=1, most=MOST))
        kept = ~model.is_fallback(past).any(axis=1) & ~np.isnan(truth).all(axis=(1, 2))
        past, truth = past.select(kept), truth[kept]
        if len(past) < LEAST:
            raise DataError(
                f"an explanation must have {LEAST} cutoffs that were not learned from: there are {len(past)}; give "
                "more rows, or fit with more of them for validation"
            )
        orders = list(donors(past.series, permutations, np.random.default_rng(random_state)))
        trial = _Trial(model, read, past, truth, orders)
        effects = trial.effects(parts_of(read, trial.window, steps))
        tables = [_rows(read, past, truth, trial.anchor, trial.forecast)]
        if future is not None or not read.roles.given.future:
            end = Context.at_end(read, partial(with_future, read, self.horizon_, future))
            end = end.select(np.asarray(end.has_observations.all(axis=1)))
            forecast = self.forecast(end, self.horizon_)
            unknown = np.full(forecast.shape, np.nan)
            tables.append(_rows(read, end, unknown, self.anchor_of(end, self.horizon_), forecast))
        import pandas as pd

        return Explanation(
            judged(effects),
            read.roles.target[0] if len(read) == 1 and read.n_targets == 1 else "seasonal naive errors",
            float(np.nanmean(trial.errors(trial.forecast))),
            float(np.nanmean(trial.errors(trial.anchor))),
            len(past),
            pd.concat(tables, ignore_index=True),
        )

    def scenario(
        self,
        changes: Mapping[str, Any],
        context: Any = None,
        *,
        future: Any = None,
        horizon: int | None = None,
        interval: float | Sequence[float] | None = 0.8,
    ) -> Any:
        """Forecast what would come if covariates that are known ahead were others, next to the forecast for the plan.

        Both forecasts are this model's, and differ in these columns alone. The difference is what the model has
        learned, and no causal effect: where prices fell in weeks that were bad anyway, the model has learned that
        these belong together. Its interval is that of what comes in the scenario, less the forecast without the
        changes: it is as wide as the errors of the forecast, holds its share as well as the intervals of `predict`
        do, and does not measure how surely the response to the change was learned.

        Parameters
        ----------
        changes : dict
            Of columns that are known ahead: a number for all steps, or a text where the column has texts; a dict from
            times (of data without time stamps from steps, from 1 on) to numbers; or a number for each of H steps, for
            each of N series (N, H).
        context, future, horizon
            As in `predict`; `future` is what is changed.
        interval : float or sequence of float, optional
            Shares of outcomes that central intervals of the difference are to hold.

        Returns
        -------
        frame
            In the form of the data, with columns such as ``y``, ``y_scenario``, ``y_difference``,
            ``y_difference_lo80`` and ``y_difference_hi80``.

        Raises
        ------
        NotFittedError
        ParameterError
            When the model reads no column that is known ahead, or the changes name another one, a time that is not
            forecast, or numbers further beyond those of training than as far again on both sides.
        DataError
            As in `predict`.

        Examples
        --------
        >>> import pandas as pd
        >>> from tsforecast.forecasters.reduction import ReductionForecaster
        >>> random = np.random.default_rng(0)
        >>> shop = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=203), "price": random.uniform(7, 9, 203)})
        >>> shop["sales"] = 50 - 4 * shop["price"] + 0.3 * random.normal(size=203)
        >>> panel = Panel.from_frame(shop[:200], target="sales", future="price")
        >>> model = ReductionForecaster(horizon=3, window=7).fit(panel)
        >>> found = model.scenario({"price": 8.5}, future=shop.loc[200:, ["day", "price"]].assign(price=7.5))
        >>> found["sales_difference"].round().tolist()
        [-4.0, -4.0, -4.0]
        """
        self._refuse_windows("scenario")
        levels = asked_levels((), interval)
        panel, _, steps = self.continued(context, future, horizon, None)
        return compared(self, panel, with_future(panel, steps, future), changes, levels)

    def _unlearned(self, panel: Panel) -> tuple[Any, NDArray[np.int64]]:
        """Return a model, and how many first rows of each series of a panel it may have learned from, (N,)."""
        if panel is self.panel_ or panel.fingerprint() == self.panel_.fingerprint():
            return self._held_out()
        known = {name: at for at, name in enumerate(self.panel_.ids.tolist())} if panel.kind != "none" else {}
        learned, seen = self.learned_rows(), np.minimum(self.scope()[0], panel.lengths)
        for i, name in enumerate(panel.ids.tolist()):
            if (at := known.get(name)) is not None and learned[at]:
                last = self.panel_.stamps(at, int(learned[at]) - 1)
                rows = np.searchsorted(panel.stamps(i, np.arange(panel.lengths[i])), last, side="right")
                seen[i] = max(seen[i], int(rows))
        return self, seen


class _Trial:
    """Forecasts at n held-out cutoffs, and what becomes of their errors when a part is taken from other cutoffs."""

    def __init__(
        self, model: Explainable, panel: Panel, past: Context, truth: Floats, orders: list[NDArray[np.int64]]
    ) -> None:
        self.window, per_series, powered = model.scope()
        self.model, self.past, self.truth, self.orders = model, past, truth, orders
        self.horizon = truth.shape[1]
        self.forecast, self.anchor = model.forecast(past, self.horizon), model.anchor_of(past, self.horizon)
        self.units = Units.of(past, panel, per_series, powered)
        self.innovations = Innovations.of(panel, self.window, per_series, powered)
        self.spans = spans(panel, past, self.horizon)
        alone = len(panel) == 1 and panel.n_targets == 1  # errors are in its own units
        scale = np.ones((len(past), 1)) if alone else scales(past, panel.season_length)
        size = np.abs(past.tail(self.window, 1)[..., : panel.n_targets]).mean(axis=1)
        scale = np.where(scale > ROUNDING * size, scale, np.nan)  # where no season differs there is no unit
        self.scale = (np.ones_like(scale) if np.isnan(scale).all() else scale)[:, None]

    def errors(self, forecast: Floats) -> Floats:
        """Return the mean absolute error at each cutoff, (n,), in units of the scale; NaN where there is none."""
        return _mean(np.abs(self.truth - forecast) / self.scale)

    def effects(self, parts: list[Part]) -> list[Effect]:
        """Return the effects of the anchor, of the correction, and of parts of what is read."""
        own, targets = np.arange(len(self.past)), list(range(self.anchor.shape[2]))
        correction, moved = self.forecast - self.anchor, self.units.moved
        anchors = (moved(self.anchor, order, own, targets) + correction for order in self.orders)
        corrections = (self.anchor + moved(correction, order, own, targets, level=False) for order in self.orders)
        sums = [self._effect("anchor", "anchor", anchors), self._effect("correction", "correction", corrections)]
        return sums + [self._effect(part.name, part.kind, self._shuffles(part)) for part in parts]

    def _shuffles(self, part: Part) -> Iterator[Floats]:
        """Yield the forecasts with a part in each order; an order that leaves it as it is is no shuffle."""
        own = part.seen(self.past, self.window, self.horizon)
        number = own.dtype.kind in "biuf"
        alike = partial(np.allclose, rtol=1e-9, atol=0, equal_nan=True) if number else np.array_equal
        news = self.innovations(self.past, part, self.units, self.window) if part.steps else None
        for order in self.orders:
            if not alike(own, own[order]):
                yield self.model.forecast(Shuffled(self.past, part, order, self.units, news), self.horizon)

    def _effect(self, part: str, kind: str, forecasts: Iterator[Floats]) -> Effect:
        """Return the effect of a part whose shuffles have these forecasts."""
        found = [(self.errors(each), np.nanmean(np.abs(each - self.forecast) / self.scale)) for each in forecasts]
        errors, changes = (np.array([each[at] for each in found]) for at in (0, 1))
        return Effect.of(part, kind, self.errors(self.forecast), errors, changes, self.spans)


def _mean(errors: Floats) -> Floats:
    """Return means over steps and targets of (n, H, K), (n,), without NaN; NaN where there is no number."""
    there = ~np.isnan(errors)
    count = there.sum(axis=(1, 2))
    return np.where(count > 0, np.where(there, errors, 0.0).sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)


def _rows(panel: Panel, past: Context, truth: Floats, anchor: Floats, forecast: Floats) -> pd.DataFrame:
    """Return forecasts, (n, H, K), and their parts as rows."""
    import pandas as pd

    n, horizon, targets = forecast.shape
    last = panel.stamps(past.series, past.rows - 1)
    cutoffs = last.astype("datetime64[ns]").astype("datetime64[us]") if panel.kind == "datetime" else last
    numbers = {"y": truth, "anchor": anchor, "correction": forecast - anchor, "forecast": forecast}
    frame = {
        "series": np.repeat(panel.ids[past.series], horizon * targets),
        "target": np.tile(np.repeat(panel.roles.target, horizon), n),
        "cutoff": np.repeat(cutoffs, horizon * targets),
        "step": np.tile(np.arange(1, horizon + 1), n * targets),
    } | {name: each.transpose(0, 2, 1).ravel() for name, each in numbers.items()}
    return pd.DataFrame(frame)
