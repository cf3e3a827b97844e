"""Records that travel with rows: data, versions and fits, so that a result can be traced without fitting again."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.forecasters.base import Pretraining
from tsforecast.provenance import machine, scaling_words, versions
from tsforecast.reporting.tables import to_plain

SEASONS = 2  # of the truth before the oldest cutoff, for figures; at least the horizon
PAST_ROWS = 200_000  # of that truth, at most


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """One fit of one model."""

    model: str
    seed: int | None
    series: int  # number of series that it learned from
    steps: int  # rows of all of them, including those that validate
    left_out: tuple[str, ...]  # the groups that it was tested on, where groups are left out of the fit
    settings: str  # the model as code
    scaling: str = ""
    resolved: dict[str, Any] = field(default_factory=dict)  # settings chosen from the training part
    history: tuple[dict[str, Any], ...] = ()  # fields of `tsforecast.training.history.Epoch`, one dict for each
    fit_seconds: float = float("nan")
    predict_seconds: float = float("nan")
    error: str = ""  # the reason for missing predictions

    @classmethod
    def from_plain(cls, stored: dict[str, Any]) -> Self:
        """Return the record that `dataclasses.asdict` made JSON of."""
        names = {each.name for each in fields(cls) if str(each.type).startswith("tuple")}
        values: dict[str, Any] = {name: tuple(each) if name in names else each for name, each in stored.items()}
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ForecastFit(FitRecord):
    """One fit of one forecaster."""

    learned_from: tuple[str, str]  # first and last time stamp
    leak_audit: str = ""  # outcome of the audit at the cutoff of this fit
    audit_runs: int = 0  # of the model on original and changed data, in that audit
    audit_seconds: float = 0.0
    no_distribution: str = ""  # the reason for missing distributions
    cut_off: int = 0  # contexts that go below all that the value transform was learned on
    explanation: dict[str, Any] = field(default_factory=dict)  # see `Explanation.plain`; of a fit on all data
    release: str | None = None  # date of weights of before, "" where it is not known; None: all was learned here
    trained_on: tuple[str, ...] = ()  # datasets that those weights were trained on, as their authors name them

    def after(self, pretraining: Pretraining | None) -> ForecastFit:
        """Return the record of a model that was trained before as well."""
        if pretraining is None:
            return self
        return replace(self, release=pretraining.release, trained_on=pretraining.trained_on)


@dataclass(frozen=True, kw_only=True)
class ClassifierFit(FitRecord):
    """One fit of one classifier, on one side of a fold."""

    protocol: str
    fold: int


def learned(model: BaseEstimator) -> dict[str, Any]:
    """Return the choices and the training history of a fitted model, as fields of `FitRecord`."""
    chosen = {name: to_plain(value) for name, value in getattr(model, "resolved_", {}).items()}
    history = tuple(asdict(epoch) for epoch in getattr(model, "history_", ()))
    return {"resolved": chosen, "scaling": scaling_words(model.get_params(deep=False) | chosen), "history": history}


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparisonRecord:
    """The data, versions and fits behind the rows of a comparison."""

    fit_type: ClassVar[type[FitRecord]] = FitRecord
    data: str  # in a sentence
    fingerprint: str  # SHA-256 of everything that models can read
    versions: dict[str, str] = field(default_factory=versions)
    machine: str = field(default_factory=machine)
    made: str = field(default_factory=lambda: datetime.now().astimezone().isoformat(timespec="seconds"))
    fits: tuple[FitRecord, ...]

    @classmethod
    def from_plain(cls, stored: dict[str, Any]) -> Self:
        """Return the record that `plain` made JSON of."""
        return cls(**{**stored, "fits": tuple(map(cls.fit_type.from_plain, stored["fits"]))})

    def plain(self) -> dict[str, Any]:
        """Return the record as JSON can hold it."""
        shared = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**shared, "fits": [asdict(fit) for fit in self.fits]}


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassificationRecord(ComparisonRecord):
    """Record of a comparison of classifiers."""

    fit_type = ClassifierFit
    fits: tuple[ClassifierFit, ...]
    protocols: list[str]
    split: str  # SHA-256 of which sequences are learned from and tested in each fold
    class_names: dict[str, str] = field(default_factory=dict)  # by label, where the card of the dataset has them


@dataclass(frozen=True, eq=False, kw_only=True)
class ForecastRecord(ComparisonRecord):
    """Record of a comparison of forecasters."""

    fit_type = ForecastFit
    fits: tuple[ForecastFit, ...]
    kind: str  # of the time axis, see `Panel`
    season_length: int
    horizon: int
    origins: int
    step: int  # between cutoffs
    gap: int
    refit: bool
    train_length: int | None  # None where the past expands
    groups: str
    audit: str
    past: pd.DataFrame  # series, target, time, y: the truth shortly before the oldest cutoff, for figures
    min_past: int = 1  # least number of steps before a cutoff
    align: str = "time"  # or "end", where time stamps were left aside; see `backtest`
    ahead: pd.DataFrame | None = None  # forecasts of the steps after the data, see `backtest.Ahead`
    explained: dict[str, dict[str, Any]] = field(default_factory=dict)  # explanations of them, by model
    dataset: str = ""  # name of the data in the catalogue
    id_column: str = ""  # with the names of series, where they have a column
    time_column: str = ""

    @classmethod
    def of(cls, panel: Panel, protocol: Protocol, fits: tuple[ForecastFit, ...]) -> ForecastRecord:
        """Return the record of a finished comparison."""
        oldest = protocol.folds(panel)[0].cutoffs[0]
        return cls.about(
            panel,
            fits,
            horizon=protocol.horizon,
            origins=protocol.origins,
            step=protocol.step or protocol.horizon,
            gap=protocol.gap,
            refit=protocol.refit,
            train_length=protocol.train_length,
            groups=repr(protocol.groups) if protocol.groups else "each left out in turn" * (panel.groups is not None),
            audit=protocol.audit or "none",
            past=past_of(panel, oldest.start, oldest.seen, protocol.ahead),
            min_past=protocol.min_past,
            align="time" if panel.kind == "none" else protocol.align or "time",
        )

    @classmethod
    def about(cls, panel: Panel, fits: tuple[ForecastFit, ...], **facts: Any) -> ForecastRecord:
        """Return the record of fits on a panel, whose data, kind and season it states, with further facts."""
        data, season = repr(panel).removeprefix("Panel: "), panel.season_length
        facts |= {"kind": panel.kind, "season_length": season, "dataset": panel.source.dataset}
        facts |= {"id_column": panel.source.id or "", "time_column": panel.source.time or ""}
        return cls(data=data, fingerprint=panel.fingerprint(), fits=fits, **facts)

    @classmethod
    def from_plain(cls, stored: dict[str, Any]) -> Self:
        """Return the record that `plain` made JSON of."""
        frames = {name: _frame(stored.get(name)) for name in ("past", "ahead")}
        return super().from_plain({**stored, **frames})

    def plain(self) -> dict[str, Any]:
        """Return the record as JSON can hold it, past and forecasts as Arrow in base 64."""
        return super().plain() | {"past": _text(self.past), "ahead": _text(self.ahead)}

    def with_ahead(self, frames: Sequence[pd.DataFrame | None]) -> Self:
        """Return the record with the forecasts of several records, of each model the first ones."""
        known = dict[str, pd.DataFrame]()
        for frame in frames:
            for model, part in frame.groupby("model", sort=False) if frame is not None else ():
                known.setdefault(str(model), part)
        return replace(self, ahead=pd.concat(known.values(), ignore_index=True) if known else None)


def _text(frame: pd.DataFrame | None) -> str | None:
    if frame is None:
        return None
    buffer = io.BytesIO()
    frame.to_feather(buffer, compression="zstd")
    return base64.b64encode(buffer.getvalue()).decode()


def _frame(text: str | None) -> pd.DataFrame | None:
    return None if text is None else pd.read_feather(io.BytesIO(base64.b64decode(text)))


def as_code(model: BaseEstimator) -> str:
    """Return a model with its settings on one line."""
    return re.sub(r" at 0x[0-9a-f]+>", ">", repr(model).replace("\n", " "))  # a place in memory is no setting


def times_of(panel: Panel, stamps: NDArray[np.int64]) -> NDArray[Any]:
    """Return stamps of a panel as they stand in rows."""
    return stamps.astype("datetime64[ns]").astype("datetime64[us]") if panel.kind == "datetime" else stamps


def past_of(panel: Panel, start: NDArray[np.int64], seen: NDArray[np.int64], ahead: int) -> pd.DataFrame:
    """Return the truth between two rows of each series, the last ones, of at most `PAST_ROWS` rows."""
    count = max(SEASONS * panel.season_length, ahead, 12)
    kept = max(1, PAST_ROWS // (count * panel.n_targets))
    mine, targets = np.arange(min(len(panel), kept)), np.arange(panel.n_targets)
    rows = [np.arange(max(start[i], seen[i] - count), seen[i]) for i in mine for _ in targets]
    lengths, steps = [len(each) for each in rows], np.concatenate(rows)
    series = np.repeat(np.repeat(mine, len(targets)), lengths)
    target = np.repeat(np.tile(targets, len(mine)), lengths)
    frame = {
        "series": panel.ids[series],
        "target": np.asarray(panel.roles.target, dtype=object)[target],
        "time": times_of(panel, panel.frequency.advance(panel.starts[series], steps)),
        "y": panel.values[panel.offsets[series] + steps, target].astype(np.float64),
    }
    return pd.DataFrame(frame)
