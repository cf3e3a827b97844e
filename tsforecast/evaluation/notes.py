"""Notes on a board: what a reader must know about its models besides their numbers, each a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tsforecast.data.panel import Panel
from tsforecast.errors import counted, shorten, spoken
from tsforecast.evaluation.record import ForecastFit, ForecastRecord
from tsforecast.evaluation.runner import Outcome, packed
from tsforecast.forecasters.base import Forecaster
from tsforecast.provenance import naive_note


def skipped_series(panel: Panel, rows: pd.DataFrame) -> list[str]:
    """Return a note on the series without rows."""
    tested = set(rows["series"])
    missing = [repr(str(name)) for name in panel.ids if name not in tested]
    if not missing:
        return []
    has, are, reach = ("has", "is", "it") if len(missing) == 1 else ("have", "are", "them")
    return [
        f"{len(missing)} of {len(panel)} series {has} no past and target at any cutoff and {are} left out: "
        f"{shorten(missing, 8)}; more origins may reach {reach}"
    ]


def not_pickled(models: Mapping[str, Forecaster]) -> list[str]:
    """Return a note on each model that neither a checkpoint nor another process can take."""
    return [
        f"{name} cannot be pickled: it runs in this process, and an interrupted comparison begins it again"
        for name, model in models.items()
        if packed(model) is None
    ]


def undistributed(outcomes: Iterable[Outcome[ForecastFit]]) -> list[str]:
    """Return a note on each model whose distributions failed, with the reason."""
    reasons = {outcome.fit.model: outcome.fit.no_distribution for outcome in outcomes if outcome.fit.no_distribution}
    return [f"{model} has no distribution: {why}" for model, why in reasons.items()]


def cut_off(outcomes: Sequence[Outcome[ForecastFit]]) -> list[str]:
    """Return a note on each model whose value transform cannot read some contexts, such as zeros for a logarithm."""
    found, kinds = Counter[str](), dict[str, Any]()
    for fit in (outcome.fit for outcome in outcomes if outcome.fit.cut_off):
        found[fit.model] += fit.cut_off
        kinds[fit.model] = fit.resolved.get("value_transform")
    return [
        f"{model}: {counted(count, 'context goes', 'contexts go')} below the range of training of value_transform "
        f"{kinds[model]!r}, as zeros after positive numbers do, and forecasts after them may be far off: fit with "
        "value_transform=None, or on rows with such numbers"
        for model, count in found.items()
    ]


def audited_as_a_whole(outcomes: Iterable[Outcome[ForecastFit]]) -> list[str]:
    """Return a note on the models of other software, whose audit runs them on changed data, with its cost."""
    fits = [outcome.fit for outcome in outcomes if outcome.fit.leak_audit.endswith("(procedure)")]
    if not fits:
        return []
    names, runs = list(dict.fromkeys(fit.model for fit in fits)), sum(fit.audit_runs for fit in fits)
    seconds = sum(fit.audit_seconds for fit in fits)
    is_, it = ("is", "it") if len(names) == 1 else ("are", "them")
    return [
        f"{shorten(names, 8)} {is_} known by results alone: the leak audit ran {it} {runs} times at the first cutoff, "
        f"which took {spoken(seconds)}"
    ]


def naive_again(outcomes: Sequence[Outcome[ForecastFit]]) -> list[str]:
    """Return a note on each network that fell back to the naive forecast, wholly or largely, in some of its fits."""
    fits = Counter(outcome.fit.model for outcome in outcomes)
    every = [(outcome.fit.model, naive_note(outcome.fit.resolved)) for outcome in outcomes]
    found = Counter(model for model, note in every if note)
    last = {model: note for model, note in every if note}
    some = {
        model: "" if count == fits[model] else f" in {count} of {fits[model]} fits" for model, count in found.items()
    }
    return [f"{model}{some[model]}: {note}" for model, note in last.items()]


def fallbacks(rows: pd.DataFrame) -> list[str]:
    """Return a note on the series that one model left to the seasonal naive."""
    replaced = rows.loc[rows["replaced"], "series"]
    names = [repr(str(name)) for name in replaced.unique()]
    if not names:
        return []
    are = "is" if len(names) == 1 else "are"
    some = "" if len(replaced) == rows["series"].isin(replaced).sum() else " at some cutoffs"
    return [
        f"{rows['model'].iloc[0]}: {len(names)} of {rows['series'].nunique()} series {are} forecast by the seasonal "
        f"naive instead{some}: {shorten(names, 8)}"
    ]


@dataclass(frozen=True)
class Exposure:
    """How far a model that was trained before may have seen the test part then."""

    model: str
    release: str  # date of its weights; empty where it is not known
    trained_on: tuple[str, ...]
    outcome: str  # a cell of the table
    claim: str  # clause about the model that goes on a verdict; empty where it has seen nothing
    note: str  # sentence on the board; empty where it has seen nothing


def exposures(rows: pd.DataFrame, record: ForecastRecord | None) -> dict[str, Exposure]:
    """Return the exposure of each model that was trained before, by name.

    A cutoff may have been seen whose first step is not later than the release. That of a dataset which the model names
    as one of its own was seen.
    """
    fits = {fit.model: fit for fit in (record.fits if record else ()) if fit.release is not None}
    dataset = record.dataset if record else ""
    return {
        name: _exposure(name, fit, rows[rows["model"] == name], dataset)
        for name, fit in fits.items()
        if (rows["model"] == name).any()
    }


def _exposure(name: str, fit: ForecastFit, rows: pd.DataFrame, dataset: str) -> Exposure:
    """Return the exposure of one model, given its rows."""
    release, own = fit.release or "", [each for each in fit.trained_on if dataset and _plain(each) == _plain(dataset)]
    facts = (name, release, fit.trained_on)
    dated = pd.api.types.is_datetime64_any_dtype(rows["time"])
    where = ""
    if release and dated:
        first = rows.groupby("cutoff", observed=True)["time"].min()
        older = int((first < pd.Timestamp(release) + pd.Timedelta(days=1)).sum())
        if not older:
            return Exposure(*facts, "after the release", "", "")
        where = f"{older} of {len(first)} cutoffs" if older < len(first) else ""
    if own:
        claim = f"it was trained on {own[0]}, these data" + (f", up to {where}" if where else "")
        end = (
            f"released {release}, it may have seen the steps of {where}"
            if where
            else "its errors are no estimate for new data"
        )
        return Exposure(*facts, f"seen in training{where and f': {where}'}", claim, f"{name}: {claim}; {end}")
    if not (release and dated):
        why = "the data have no dates to compare with its release" if release else "its release has no date"
        claim = "whether it has seen the test part in training is not known"
        return Exposure(*facts, "not known", claim, f"{name}: {claim}, since {why}")
    seen = f"the steps of {where}" if where else "the test part"
    claim = f"released {release}, it may have seen {seen} in training"
    return Exposure(*facts, f"{where and f'{where} '}may have been seen", claim, f"{name}: {claim}")


def _plain(name: str) -> str:
    """Return a name of a dataset without what its writers differ in."""
    return re.sub("[^a-z0-9]", "", name.casefold())
