"""Notes on a board: what a reader must know about its models beside their numbers, each a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from tsforecast.data.panel import Panel
from tsforecast.errors import shorten
from tsforecast.evaluation.duration import spoken
from tsforecast.evaluation.record import ForecastFit
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
        f"{name} cannot be pickled: it runs in this process, and an interrupted comparison begins it anew"
        for name, model in models.items()
        if packed(model) is None
    ]


def undistributed(outcomes: Iterable[Outcome[ForecastFit]]) -> list[str]:
    """Return a note on each model whose distributions failed, with the reason."""
    reasons = {outcome.fit.model: outcome.fit.no_distribution for outcome in outcomes if outcome.fit.no_distribution}
    return [f"{model} has no distribution: {why}" for model, why in reasons.items()]


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
