"""WindowedForecaster: window, scaling and the anchor that is corrected, shared by networks and reduction."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin, clone

from tsforecast.checks import one_of, whole
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import CategoryEncoder, Preprocessor, StaticEncoder
from tsforecast.data.samples import SupervisedPanel
from tsforecast.data.scaling import ARRAYS, Scaling, ScalingRecipe
from tsforecast.data.seasons import resolved
from tsforecast.data.series import MISSING, places
from tsforecast.errors import ParameterError, Problem, raise_any, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.forecasters import anchors
from tsforecast.forecasters import auto as choices
from tsforecast.forecasters.anchors import ANCHORS, BLEND, AnchorName, Blend, anchor_forecast, anchor_lags
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import SeasonalNaiveForecaster

Floats = NDArray[np.float64]
NUMBERS = 2**18  # in the windows that are read at once, unless fewer windows than these would hold them
LEAST_ROWS = 64
Known = NDArray[np.int64] | None  # last steps of each window that exist, (n,); None where all do
ForecastBlock = Callable[[Floats, Known, Floats, NDArray[np.float32], Scaling], Floats]


def _anchor_problems(name: str, anchor: Any) -> list[str]:
    """Require the name of an anchor, or season lengths."""
    if isinstance(anchor, str):
        return one_of(name, anchor, ("auto", *ANCHORS))
    lengths = list(anchor) if isinstance(anchor, Sequence) else []
    if lengths and not any(whole(name, length, 1) for length in lengths):
        return []
    meant = "; did you mean 'none'?" if anchor is None else ""
    if not whole(name, anchor, 1):
        meant = f"; did you mean ({anchor},)?"
    must = "must be a name or season lengths such as (24, 168)"
    return [Problem(must, f"got {anchor!r}{meant}", parameter=name)]


def _names(ids: NDArray[Any]) -> str:
    return shorten([repr(str(name)) for name in ids])


@keyword_settings
class WindowedForecaster(Forecaster):
    """Base of forecasters that read a window and correct an anchor, both scaled as learned on the training part.

    Subclasses implement `_fit`, and in `_corrections` what is added to the anchor.
    """

    window: int | Literal["auto"] = setting(
        default="auto",
        least=1,
        fixed=True,
        doc="Steps to read (W). Auto: two weeks where a season is a day, else three seasons, two horizons or 24 steps, "
        "whichever is longest; at most a third of the shortest series' training part or, where half of that window "
        "does not fit there, of the median one's. A series may be shorter: what a window lacks of it is masked.",
    )
    horizon: int = setting(default=1, fixed=True, doc="Steps to forecast (H), all at once.")
    anchor: Literal["auto", AnchorName] | Sequence[int] = setting(
        default="auto",
        check=_anchor_problems,
        fixed=True,
        doc='Naive forecast that is corrected: "last" value, "seasonal" (last season), "average" (mean of the '
        'last season\'s values), "none", or season lengths whose naive forecasts are averaged. "auto": a weighted mean '
        "of last value, mean, drift, seasons, their profile and growth, by step and perhaps by series, where blocks of "
        "the training part that are left out show a clear gain, else the best single one; where most numbers are "
        "zero, the single one with the smallest squared error, or none.",
    )
    value_transform: Literal["auto", "log", "box-cox"] | None = setting(
        default="auto",
        fixed=True,
        doc="Transform of the targets, before scaling; see `ScalingRecipe`. Auto: logarithm where all training values "
        "are well above zero.",
    )
    scaler: Literal["standard", "min-max", "robust"] | TransformerMixin | None = setting(
        default="standard", fixed=True, doc="Scaling of every column: a name, or a transformer of scikit-learn."
    )
    per_series: bool | Literal["auto"] = setting(
        default="auto",
        fixed=True,
        doc="Learn transform and scaler for each series on its own, or once for all. Auto: on its own, unless groups "
        "separate the series of training and test.",
    )

    resolved_: dict[str, Any] = dataclasses.field(init=False)  # where a setting left a choice
    inputs_: Preprocessor = dataclasses.field(init=False)  # scaling and static categories of the training part
    blend_: Blend | None = dataclasses.field(init=False)  # naive forecasts whose weighted mean is the anchor

    def _training_rows(self, panel: Panel, horizon: int | None = None) -> tuple[int, NDArray[np.int64]]:
        """Return how many steps, or wholes, validate, and how many first rows of each series train, at a horizon."""
        return 0, panel.lengths

    def _with_seasons(self, panel: Panel) -> Panel:
        """Return a panel with the seasons of the rows that train; few of these are read, and none is copied."""
        given = panel.season_source not in ("calendar", "auto")
        return panel if given else resolved(panel, panel, self._training_rows(panel)[1])

    def _split(self, panel: Panel) -> tuple[NDArray[np.int64], Panel]:
        """Resolve settings that leave a choice; return how many first rows of each series train, (N,), and these."""
        held_out, trains = self._training_rows(panel)
        past = panel.until(trains)
        self.resolved_, self.blend_ = self._resolve(panel, past) | {"validation": held_out}, None
        if self.resolved_["anchor"] == BLEND:
            found, season = anchors.blend(past, self._block, self.resolved_, self._least), panel.season_length
            self.resolved_["anchor"] = found.single(season) or BLEND
            if self.resolved_["anchor"] == BLEND:
                self.blend_, self.resolved_["blend"] = found, found.shares
        return trains, past

    def learned_rows(self) -> NDArray[np.int64]:
        """Return how many first rows of each fitted series trained, or were known when an update last trained."""
        shortest, lengths = self.resolved_.get("shortest", 0), self.fitted_panel.lengths
        return np.asarray(vars(self).get("changed_rows_", np.where(lengths >= shortest, lengths, 0)))  # older: shorter

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return rows that train, scaling and resolved settings; see `Forecaster.preprocessing_state`."""
        raise_any(self._problems(), ParameterError)  # an audit asks before anything is fitted
        unfitted = clone(self)
        unfitted.horizon_ = panel.horizon_or(unfitted._own_horizon())
        panel = unfitted._with_seasons(panel)
        trains, past = unfitted._split(panel)
        inputs = Preprocessor.fit(past, unfitted._recipe())
        scaling = {f"scaler {name}": getattr(inputs.scaling, name) for name in ARRAYS}
        scaling["scaler categories"] = np.array(repr(inputs.categories.columns))
        resolved = {f"choices {name}": np.array(str(value)) for name, value in unfitted.resolved_.items()}
        if unfitted.blend_ is not None:
            resolved["choices weights"] = unfitted.blend_.weights
        # Windows are views of the rows, which an audit compares, scaled so.
        return {"training rows": trains} | scaling | resolved

    def _resolve(self, panel: Panel, past: Panel) -> dict[str, Any]:
        """Return the values of settings that leave a choice; `past` is the training part."""
        supervised = isinstance(panel, SupervisedPanel)
        if supervised and self.per_series is True:
            raise ParameterError(
                "per_series=True must have series to learn scales from: rows of X are windows; use instance_norm=True"
            )
        new_series = supervised or panel.groups is not None  # test series are not among the fitted ones
        rows = partial(self._training_rows, panel)
        window, least = choices.window(panel, lambda steps: rows(steps)[1], self.window, self.horizon_)
        zeros = choices.zero_share(past) if self.anchor == "auto" and not supervised else 0.0
        note = {"zero_share": round(zeros, 3)} if zeros > choices.INTERMITTENT else {}
        return {
            "season_length": panel.season_length,
            **({"other_seasons": list(panel.other_seasons)} if panel.other_seasons else {}),
            **({"season": "; ".join(panel.season_notes)} if panel.season_notes else {}),
            "window": window,
            "least": least,
            "anchor": choices.anchor(past, self.anchor, window, self.horizon_),
            "value_transform": choices.transform(past, self.value_transform),
            "per_series": not new_series if isinstance(self.per_series, str) else self.per_series,
        } | note

    @property
    def _block(self) -> int:
        """Steps that are forecast at once."""
        return self.horizon_

    @property
    def _least(self) -> int:
        """Fewest known steps that a window may have; a series with fewer is forecast by the seasonal naive."""
        return int(self.resolved_.get("least", self.resolved_["window"]))

    def _tail(self, past: Context) -> tuple[Floats, Known]:
        """Return the last window of each context, (n, W, C), and how many of its steps exist; None: all, always."""
        window, least = self.resolved_["window"], self._least
        return past.tail(window, least), np.minimum(past.lengths, window) if least < window else None

    def _corrections(self, rows: Floats, known: Known, ahead: Floats, static: NDArray[np.float32]) -> Floats:
        """Return the corrections of the anchor of one block, (n, B, K), in scaled units.

        From scaled rows (n, W, C), of which the last ones are `known`, (n,), and future covariates (n, B, F), NaN where
        nothing is known, and static ones (n, S).
        """
        raise NotImplementedError(f"{type(self).__name__} must implement _corrections")

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`.

        Beyond what is forecast at once, the forecaster continues from its own forecasts; past covariates then keep
        their last value.
        """
        if (short := past.lengths < self._least).any():
            naive = SeasonalNaiveForecaster(horizon)
            naive.season_length_ = self.resolved_["season_length"]
            forecasts = np.empty((len(past), horizon, past.n_targets))
            for chosen, model in ((short, naive), (~short, self)):
                if chosen.any():
                    forecasts[chosen] = model.forecast(past.select(chosen), horizon)
            return forecasts
        return self._in_parts(past, horizon, self._forecast_block)

    def _in_parts(self, past: Context, horizon: int, forecast_block: ForecastBlock) -> Floats:
        """Return the forecasts of all blocks, (n, H, K), of some windows at a time, whatever the number of all."""
        forecasts, begin = np.empty((len(past), horizon, past.n_targets)), 0
        for part, scaling in self._parts(past):
            blocks = np.concatenate(list(self._blocks(part, scaling, horizon, forecast_block)), axis=1)
            forecasts[begin : begin + len(part)] = blocks[:, :horizon]
            begin += len(part)
        return forecasts

    def _parts(self, past: Context) -> Iterator[tuple[Context, Scaling]]:
        """Yield contexts whose windows are read at once, with the scaling of each one's series."""
        scaling, width = self.inputs_.of(past), self.resolved_["window"] * len(past.columns)
        most = max(LEAST_ROWS, NUMBERS // width)
        for at in np.split(np.arange(len(past)), np.arange(most, len(past), most)):
            yield (past, scaling) if len(at) == len(past) else (past.select(at), scaling.take(at))

    def _blocks(self, past: Context, scaling: Scaling, horizon: int, forecast_block: ForecastBlock) -> Iterator[Floats]:
        """Yield the forecasts of each block, (n, B, K), up to a horizon, each from a window that ends with the last."""
        window, block = self.resolved_["window"], self._block
        rows, known = self._tail(past)  # (n, W, C), (n,)
        categories = self.inputs_.categories
        rows = categories.levels(rows, past.roles)
        static = self._static(past)  # (n, S)
        blocks = math.ceil(horizon / block)
        beyond = self._ahead(past, blocks * block)  # (n, blocks * B, F)
        beyond = categories.levels(beyond, past.roles, rows.shape[2] - beyond.shape[2])
        for ahead in np.split(beyond, blocks, axis=1):  # (n, B, F)
            part = forecast_block(rows, known, ahead, static, scaling)  # (n, B, K)
            yield part
            following = np.repeat(rows[:, -1:], block, axis=1)  # (n, B, C)
            following[..., : part.shape[2]] = part
            following[..., following.shape[2] - ahead.shape[2] :] = ahead
            rows = np.concatenate([rows, following], axis=1)[:, -window:]  # (n, W, C)
            known = None if known is None else np.minimum(known + block, window)

    def _ahead(self, past: Context, steps: int) -> Floats:
        """Return the known future covariates after each context, (n, H, F)."""
        return past.future_known(steps)

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return which forecasts are the seasonal naive's, since the past is too short for a window, (n, K)."""
        return np.repeat((past.lengths < self._least)[:, None], past.n_targets, axis=1)

    @property
    def has_parts(self) -> bool:
        """Whether its forecast is an anchor and a correction; see `Explainable.has_parts`."""
        return True

    def scope(self) -> tuple[int, bool, bool]:
        """Return window, scaling by series and whether targets are transformed; see `Explainable.scope`."""
        found = self.resolved_
        return found["window"], found["per_series"], found["value_transform"] is not None

    def anchor_of(self, past: Context, horizon: int) -> Floats:
        """Return the anchors of forecasts, (n, H, K), which where a fallback stands in are itself."""
        parts, whole = list[Floats](), np.asarray(~self.is_fallback(past).any(axis=1))

        def forecast_block(
            rows: Floats, known: Known, ahead: Floats, static: NDArray[np.float32], scaling: Scaling
        ) -> Floats:
            nothing = np.zeros((len(rows), ahead.shape[1], past.n_targets))
            parts.append(self._anchored(nothing, rows, known, self._scaled(rows, ahead, scaling)[0], scaling, static))
            return self._forecast_block(rows, known, ahead, static, scaling)

        found = self.forecast(past, horizon)
        if whole.any():
            some = past.select(whole)
            for _ in self._blocks(some, self.inputs_.of(some), horizon, forecast_block):
                pass
            found[whole] = np.concatenate(parts, axis=1)[:, :horizon]
        return found

    def _forecast_block(
        self, rows: Floats, known: Known, ahead: Floats, static: NDArray[np.float32], scaling: Scaling
    ) -> Floats:
        """Forecast one block from rows (n, W, C) in the data's own units, of which the last ones are `known`, (n,).

        Texts are levels there; see `CategoryEncoder`.
        """
        scaled_rows, scaled_ahead = self._scaled(rows, ahead, scaling)
        corrections = self._corrections(scaled_rows, known, scaled_ahead, static)
        return self._anchored(corrections, rows, known, scaled_rows, scaling, static)

    def _scaled(self, rows: Floats, ahead: Floats, scaling: Scaling) -> tuple[Floats, Floats]:
        """Return rows, (n, W, C), and the future covariates of a block, (n, B, F), in scaled units."""
        index, first = np.arange(len(rows)), rows.shape[2] - ahead.shape[2]
        return self.inputs_.scaled(scaling, rows, index), self.inputs_.scaled(scaling, ahead, index, first)

    def _anchored(
        self,
        correction: Floats,
        rows: Floats,
        known: Known,
        scaled_rows: Floats,
        scaling: Scaling,
        static: NDArray[Any],
    ) -> Floats:
        """Return the forecast of a block in the data's own units, given the corrections of its anchor, (n, B, K)."""
        index = np.arange(len(rows))
        if not self._has_anchor:
            return scaling.inverse(correction, index)
        targets, lags = correction.shape[2], self._lags()
        if scaling.powered and (lags is None or lags.shape[1] > 1):  # what is corrected is the mean of powers
            return scaling.inverse(self._naive(scaled_rows[..., :targets], known, static) + correction, index)
        naive = self._naive(rows[..., :targets], known, static)
        # The correction is added in the data's own units: where it is zero this is the naive forecast to the bit.
        scaled = scaling.transform(naive, index)
        return naive + (scaling.inverse(scaled + correction, index) - scaling.inverse(scaled, index))

    @property
    def scaled_on_(self) -> dict[str, Any]:
        """Summary of the rows that scales were learned from."""
        return self.inputs_.origin

    def _cautions(self, past: Context) -> list[str]:
        cautions, window, least = list[str](), self.resolved_["window"], self._least
        if (short := past.lengths < least).any():
            if short.all():
                past.tail(window, least)  # refused
            cautions = [
                f"{short.sum()} of {len(past)} series {'is' if short.sum() == 1 else 'are'} shorter than the "
                f"{f'window of {window}' if least == window else least} steps that a forecast needs, and forecast by "
                f"the seasonal naive: {_names(past.ids[short])}"
            ]
            past = past.select(~short)
        cautions += self._covariates_beyond(past)
        if not (held := self.is_cut_off(past)).any():
            return cautions
        kind = self.resolved_["value_transform"]
        return [
            *cautions,
            f"{held.sum()} of {len(past)} contexts go below the range of training of value_transform {kind!r} and are "
            f"cut off there (series {_names(past.ids[held])}): fit with value_transform=None, or on data like these",
        ]

    def is_cut_off(self, past: Context) -> NDArray[np.bool_]:
        """Return which contexts go below all that the value transform was learned on, (n,)."""
        found, whole = super().is_cut_off(past), past.lengths >= self._least
        if self.resolved_["value_transform"] is not None and whole.any():
            reach = self.resolved_["window"], self._least
            parts = ((part.tail(*reach), scaling) for part, scaling in self._parts(past.select(whole)))
            held = [scaling.held(rows[..., : past.n_targets], np.arange(len(rows))) for rows, scaling in parts]
            found[whole] = np.concatenate(held).any(axis=(1, 2))
        return found

    def _covariates_beyond(self, past: Context) -> list[str]:
        """Return warnings about covariates far beyond those that were learned from, which are held at an edge."""
        if len(past.columns) == past.n_targets:
            return []
        beyond, codes = list[NDArray[np.bool_]](), [np.zeros(0) for _ in self.inputs_.categories.columns]
        for part, scaling in self._parts(past):
            rows, ahead = part.tail(self.resolved_["window"], self._least), part.future_known(self.horizon_)
            index, first = np.arange(len(part)), rows.shape[2] - ahead.shape[2]
            categories = self.inputs_.categories
            held = np.asarray(scaling.beyond(categories.hidden(rows), index).any(axis=1))  # (n, C)
            if ahead.size:
                known = categories.hidden(ahead, first)
                held[:, first:] |= scaling.columns(first).beyond(known, index).any(axis=1)
            beyond.append(held)
            for i, (at, _, _) in enumerate(categories.columns):
                later = [ahead[..., at - first].ravel()] if at >= first else []
                codes[i] = np.unique(np.concatenate([codes[i], rows[..., at].ravel(), *later]))
        return self._texts_beyond(past, codes) + [
            f"column {name!r} goes far beyond the range of training in {there.sum()} of {len(past)} contexts and "
            f"is clipped there (series {_names(past.ids[there])}): correct it, or fit on data like these"
            for name, there in zip(past.columns, np.concatenate(beyond).T, strict=True)
            if there.any()
        ]

    def _texts_beyond(self, past: Context, codes: Sequence[Floats]) -> list[str]:
        """Return warnings about texts that were not learned from, given all codes of each column of text."""
        cautions = list[str]()
        for (at, levels, _), held in zip(self.inputs_.categories.columns, codes, strict=True):
            name = past.columns[at]
            texts = past.texts[name]
            used = np.unique(places(held, len(texts)))
            if new := sorted({texts[code] for code in used if code != MISSING}.difference(levels)):
                cautions.append(
                    f"column {name!r} holds text that is new since training and counts as the mean of all others: "
                    f"{shorten([*map(repr, new)])}; fit on data with {'it' if len(new) == 1 else 'them'}"
                )
            if None not in levels and (held == MISSING).any():
                cautions.append(
                    f"column {name!r} lacks texts, as it never did in training, which counts as the mean "
                    f"of all others: fill them in, such as with {levels[0]!r}"
                )
        return cautions

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `fit` found; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        inputs = plain.pop("inputs_")
        if self.blend_ is not None:
            plain["blend_"] = (self.blend_.candidates, self.blend_.ids)
            numbers |= {f"blend.{name}": getattr(self.blend_, name) for name in ("starts", "weights")}
        plain["statics_"], plain["scaled_ids_"] = inputs.statics.columns, inputs.ids
        plain["categories_"] = inputs.categories.columns
        plain["scaled_on_"] = inputs.origin
        return plain, numbers | inputs.scaling.numbers()

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore what `get_state` returned; see `Estimator.set_state`."""
        plain = dict(learned)
        statics = StaticEncoder(tuple((name, m, s, tuple(c)) for name, m, s, c in plain.pop("statics_")))
        ids, learned_from = plain.pop("scaled_ids_"), plain.pop("scaled_on_")
        categories = CategoryEncoder.checked(plain.pop("categories_", ()), self.panel_.roles)
        blend = plain.pop("blend_", None)  # older models have none
        super().set_state(plain, numbers)
        self._require_window()
        self.blend_ = None
        if self.resolved_["anchor"] == BLEND:
            candidates, names = blend
            found = Blend(self._block, candidates, names, numbers["blend.starts"], numbers["blend.weights"])
            self.blend_ = found.checked(self.resolved_["window"], self.panel_.n_targets)
        powered, columns = self.resolved_["value_transform"] is not None, len(self.panel_.roles.varying)
        scaling = Scaling.from_numbers(numbers, powered, len(ids), self.panel_.n_targets, columns)
        self.inputs_ = Preprocessor(self._recipe(), scaling, statics, ids, learned_from, categories)

    def _require_window(self) -> None:
        """Raise ValueError unless what is read and corrected fits in the series that were fitted."""
        window, anchor, longest = self.resolved_["window"], self.resolved_["anchor"], int(self.panel_.lengths.max())
        if whole("window", window, 1) or window > longest:
            raise ValueError(f"a window must be a whole number up to {longest}: got {window!r}")
        least = self.resolved_.get("least", window)
        if whole("least", least, 1) or least > window:
            raise ValueError(f"the fewest known steps must be a whole number from 1 to {window}: got {least!r}")
        named = anchor in (*ANCHORS, BLEND)
        if not named and (not anchor or isinstance(anchor, str) or not isinstance(anchor, Sequence)):
            raise ValueError(f"an anchor must be a name or season lengths: got {anchor!r}")
        seasons = [] if isinstance(anchor, str) else anchor
        if anchor in ("seasonal", "average"):
            seasons = [self.resolved_["season_length"]]
        for season in seasons:
            if whole("anchor", season, 1) or season > window:
                raise ValueError(f"seasons of an anchor must fit in the window of {window} steps: got {season!r}")

    def _recipe(self) -> ScalingRecipe:
        return ScalingRecipe(self.resolved_["value_transform"], self.scaler, self.resolved_["per_series"])

    def _lags(self) -> NDArray[np.int64] | None:
        """Return the anchor of a block as steps back, (B, A); None for no anchor, and for a blend."""
        anchor = self.resolved_["anchor"]
        return None if anchor in ("none", BLEND) else anchor_lags(anchor, self._block, self.resolved_["season_length"])

    @property
    def _has_anchor(self) -> bool:
        """Whether there is an anchor that is corrected."""
        return bool(self.resolved_["anchor"] != "none")

    def _static(self, data: Panel | Context) -> NDArray[Any]:
        """Return the static columns of each series or cutoff, followed by the weights of a blend, (n, S)."""
        static = self.inputs_.static(data)
        return static if self.blend_ is None else np.concatenate([static, self.blend_.rows(data.ids)], axis=1)

    def _naive(self, own: Floats, known: Known, static: NDArray[Any]) -> Floats:
        """Return the anchor of a block, (n, B, K), from windows of the targets (n, W, K); see `_static`."""
        lags = self._lags()
        if lags is not None:
            return anchor_forecast(own, lags, known)
        assert self.blend_ is not None
        there = None if known is None else (np.arange(own.shape[1]) >= own.shape[1] - known[:, None])[..., None]
        shared = not len(self.blend_.ids)
        weights = self.blend_.weights.reshape(1, -1) if shared else static[:, self.inputs_.statics.width :]
        return np.asarray(self.blend_.forecast(own, weights, there))


@keyword_settings
class AnchorForecaster(WindowedForecaster):
    """Forecast the anchor alone, which a network corrects: the naive forecast, or the mean of several, that was best.

    Examples
    --------
    >>> sine = np.sin(np.arange(100) * 2 * np.pi / 10)
    >>> model = AnchorForecaster(horizon=3).fit(Panel.from_array(sine, season_length=10))
    >>> model.resolved_["anchor"], bool(np.allclose(model.predict(), sine[:3]))
    ('seasonal', True)
    """

    horizon: int = setting(default=1, kw_only=False, doc="Steps to forecast (H).")
    scaler: Literal["standard"] = setting(default="standard", init=False)

    def _fit(self, panel: Panel) -> None:
        self._split(panel)
        self.inputs_ = Preprocessor.fit(panel, self._recipe())

    def _corrections(self, rows: Floats, known: Known, ahead: Floats, static: NDArray[Any]) -> Floats:
        """Return zeros; see `WindowedForecaster._corrections`."""
        return np.zeros((len(rows), self._block, self.panel_.n_targets))

    def _ahead(self, past: Context, steps: int) -> Floats:
        """Return NaN: an anchor reads the targets alone, so that nothing must be known ahead."""
        return np.full((len(past), steps, len(self.panel_.roles.future)), np.nan)

    def _covariates_beyond(self, past: Context) -> list[str]:
        return []
