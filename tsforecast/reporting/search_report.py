"""One page that says what a search found: self-contained, for screens of any width and for paper."""

from __future__ import annotations

import json
from dataclasses import asdict

import pandas as pd

from tsforecast.reporting import search_grids, search_pictures
from tsforecast.reporting.page import moment, page
from tsforecast.reporting.plain import plain_data
from tsforecast.search.analysis import best, failures, scored
from tsforecast.search.folder import About, Kept
from tsforecast.search.importance import importance
from tsforecast.search.scales import word_of

# Status of a trial -> how several of them are told.
TOLD = {
    "finished": "finished",
    "stopped early": "stopped early",
    "failed": "failed",
    "cut short": "cut short",
    "not run": "without a score yet",
}


def html_search(kept: Kept, title: str | None = None) -> str:
    """Return the report of a search as one HTML page that needs nothing else.

    Parameters
    ----------
    kept : Kept
        See `read_search`; the search may still run.
    title : str, optional

    Returns
    -------
    str
        What was found comes first, then the best trials, learning, settings, pairs of them, time, failures, all
        trials, and how it was searched. Everything that came from data is escaped.
    """
    trials, space, reference = kept.trials, kept.space, kept.about.reference
    found = importance(trials, space)
    return page(
        "search.html.jinja",
        title=title or heading(kept),
        headline=headline(kept, trials),
        counts=counts(kept, trials),
        about=kept.about,
        made=moment(kept.about.made),
        best=search_grids.best_trials(trials, space) if len(scored(trials)) else None,
        learning=search_pictures.of_learning(trials, reference),
        settings=search_pictures.of_settings(trials, space, found),
        reason=found.reason,
        pairs=search_pictures.of_pairs(trials, space),
        cost=search_pictures.of_cost(trials, reference),
        failures=failures(trials),
        trials=search_grids.all_trials(trials, space),
        facts=_facts(kept),
        space={name: _domain(domain) for name, domain in space.domains.items()},
    )


def json_search(kept: Kept) -> str:
    """Return trials, importance and what the search was about as JSON; what is no number is null.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tsforecast.search.journal import Tried
    >>> from tsforecast.search.space import Space
    >>> words = dict.fromkeys(("data", "forecaster", "searcher", "scheduler", "made", "machine"), "")
    >>> counts = dict.fromkeys(("season_length", "epochs", "horizon", "cutoffs", "origins"), 1)
    >>> about = About(**words, **counts, trials=2, metric="mase", reference="drift", space={}, versions={})
    >>> tried = [Tried({"units": 1}, {0: 0.0, 1: 0.25}, 2.0)]
    >>> json.loads(json_search(Kept(Path(), about, Space.of({"units": [8, 16]}), tried, 0.05)))["headline"]
    'Best skill +25.0% against drift (of which about 5.0 points may be luck): trial 1 at epoch 1, with units 16.'
    """
    trials = kept.trials
    records = trials[[name for name in trials.columns if not name.startswith("param_")]].to_dict("records")
    told = {
        "headline": headline(kept, trials),
        "optimism": kept.optimism,
        "trials": records,
        "importance": importance(trials, kept.space),
        "about": asdict(kept.about),
    }
    return json.dumps(plain_data(told), indent=2, ensure_ascii=False, allow_nan=False)


def heading(kept: Kept) -> str:
    """Return the question that a search answers."""
    return f"Which settings beat {kept.about.reference}?"


def headline(kept: Kept, trials: pd.DataFrame) -> str:
    """Say in a sentence or two whether any settings beat naive, which, and how much of that may be luck."""
    about, reference, tried = kept.about, kept.about.reference, scored(trials)
    if tried.empty:
        failed = (trials["status"] == "failed").sum()
        return f"All {failed} trials failed." if failed and failed == len(trials) - 1 else "No trial has a score yet."
    first = best(trials, 1).iloc[0]
    skill, settings = float(first["best_score"]), _words(first["params"])
    if skill <= 0:
        trained = "1 trial" if len(tried) == 1 else f"{len(tried)} trials"
        if about.epochs and not first["best_epoch"]:
            return (
                f"No settings beat {reference}: none of {trained} did better than untrained, a skill of {skill:+.1%}."
            )
        return f"No settings beat {reference}: the best of {trained} has a skill of {skill:+.1%}, with {settings}."
    when = f" at epoch {first['best_epoch']}" if about.epochs else ""
    luck = _luck(kept, skill)
    if about.epochs and not first["best_epoch"]:
        return (
            f"Best skill {skill:+.1%} against {reference}{luck}, of a network that is not trained: none of "
            f"{len(tried)} got better by training, so their settings say nothing."
        )
    return f"Best skill {skill:+.1%} against {reference}{luck}: trial {first['trial']}{when}, with {settings}."


def counts(kept: Kept, trials: pd.DataFrame) -> str:
    """Say how many trials there were, and how they ended."""
    status = trials["status"].iloc[1:]
    ends = [f"{count} {word}" for name, word in TOLD.items() if (count := int((status == name).sum()))]
    asked = f"{len(status)} of {kept.about.trials} trials"
    return f"{asked}: {', '.join(ends)}." if ends else f"{asked}."


def _luck(kept: Kept, skill: float) -> str:
    if kept.optimism is None:
        return " (how much of it may be luck is known when the search is over)"
    if kept.optimism >= skill:
        return " (all of which may be luck)"
    return f" (of which about {100 * max(0.0, kept.optimism):.1f} points may be luck)"


def _words(params: dict[str, object]) -> str:
    return ", ".join(f"{name} {word_of(value)}" for name, value in params.items())


def _facts(kept: Kept) -> dict[str, str]:
    """Return how it was searched."""
    about = kept.about
    return {
        "Data": about.data,
        "Scored on": f"{about.cases}; the same for all trials",
        "Skill": f"share of the {about.error} of {about.reference} that a trial removes, at its best epoch",
        "Luck": _about_luck(kept),
        "Searched by": f"{about.searcher}, {_stopping(about)}{_epochs(about)}",
        "Size": kept.space.told(about.trials),
        "Season": f"{about.season_length} steps",
        "Versions": ", ".join(f"{name} {version}" for name, version in about.versions.items()),
        "Machine": about.machine,
        "Begun": moment(about.made),
    }


def _about_luck(kept: Kept) -> str:
    how = "the best of many looks better on the targets that chose it than it is: by a bootstrap over them"
    if kept.optimism is None:
        return f"{how}, not yet known"
    return f"{how} about {100 * max(0.0, kept.optimism):.1f} points"


def _stopping(about: About) -> str:
    """Say what stops trials early; see `RaySearch` for what auto is."""
    auto = "hyperband" if about.searcher == "bohb" else "asha"
    name = auto if about.scheduler == "auto" else about.scheduler
    told = {
        "none": "no trial stopped early",
        "pbt": "settings varied while weights were kept (pbt), the last ones count",
    }
    return told.get(name, f"trials stopped early by {name}")


def _epochs(about: About) -> str:
    return f"; {about.epochs} epochs for a whole trial" if about.epochs else ""


def _domain(domain: object) -> str:
    return ", ".join(map(word_of, domain)) if isinstance(domain, list) else str(domain)
