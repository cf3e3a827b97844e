"""One page that says what a search found: self-contained, for screens of any width and for paper."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.reporting.figures import percent
from tsforecast.reporting.page import CaptionedFigure, captioned, date_and_time, page
from tsforecast.reporting.tables import MAX_ROWS, MISSING, Grid, cell, json_text
from tsforecast.search import figures as search_charts
from tsforecast.search.importance import Importance, importance
from tsforecast.search.results import (
    at_last,
    best,
    differ,
    failures,
    floor_of,
    pairs,
    scale_of,
    scored,
    varied,
    word_of,
)
from tsforecast.search.space import Space
from tsforecast.search.storage import About, Kept

NAIVE = "naive"


def best_trials(trials: pd.DataFrame, space: Space, count: int = 10) -> Grid:
    """Return the best trials with the settings that were varied, and naive in its place among them.

    Examples
    --------
    >>> from tsforecast.search.journal import Tried
    >>> from tsforecast.search.journal import trials_table
    >>> space = Space.of({"units": [8, 16], "cell": ["gru"]})
    >>> tried = [Tried({"units": i, "cell": 0}, {0: 0.0, 1: 0.3 * i - 0.1}, 1.0, trial=i + 1) for i in (0, 1)]
    >>> best_trials(trials_table(tried, space, 1), space).rows[0]
    ('2', '+20.0%', '16', '1 of 1', '1.0')
    """
    first = best(trials, count)
    had = {name for params in first["params"] for name in params}
    names = [name for name in varied(trials, space) or list(space.domains) if name in had]
    shown = _with_naive(first, trials)
    rows = tuple(
        (_name(one), _skill(one.best_score), *_settings(one.params, names), _epoch_cells(one), _seconds(one.seconds))
        for one in shown.itertuples()
    )
    columns = ("trial", "skill", *names, "best epoch", "seconds")
    return Grid("Best trials", columns, rows, words=_wordy(space, names), marked=NAIVE)


def all_trials(trials: pd.DataFrame, space: Space) -> Grid:
    """Return all trials, the best first and those without a score last; of very many the first ones."""
    names = list(space.domains)
    ordered = trials.sort_values("best_score", ascending=False, kind="stable", na_position="last")
    rows = tuple(
        (
            _name(one),
            _skill(one.best_score),
            _skill(one.last_score),
            one.status,
            *_settings(one.params, names),
            _epoch_cells(one),
            _seconds(one.seconds),
        )
        for one in ordered.head(MAX_ROWS).itertuples()
    )
    columns = ("trial", "skill", "last skill", "status", *names, "best epoch", "seconds")
    more = max(0, len(ordered) - MAX_ROWS)
    return Grid("All trials", columns, rows, words=("status", *_wordy(space, names)), marked=NAIVE, more=more)


def _with_naive(shown: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([trials[trials["trial"] == 0], shown])
    return both.sort_values("best_score", ascending=False, kind="stable")


def _wordy(space: Space, names: list[str]) -> tuple[str, ...]:
    """Return the settings whose values are words, or numbers among words."""
    wordy = []
    for name in names:
        scale = scale_of(space, name)
        if not scale.numeric or any(not _number(word) for word in scale.words):
            wordy.append(name)
    return tuple(wordy)


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _name(one: Any) -> str:
    return str(one.trial) if one.trial else NAIVE


def _settings(params: dict[str, Any], names: list[str]) -> list[str]:
    return [word_of(params[name]) if name in params else MISSING for name in names]


def _epoch_cells(one: Any) -> str:
    return f"{one.best_epoch} of {one.epochs}" if one.trial and one.epochs else MISSING


def _skill(skill: float) -> str:
    return cell(skill, "{:+.1%}")


def _seconds(seconds: float) -> str:
    return cell(seconds or math.nan, "{:.1f}")


def of_learning(trials: pd.DataFrame, reference: str) -> list[CaptionedFigure]:
    """Return how trials learned and how the search went on.

    Examples
    --------
    >>> from tsforecast.search.journal import Tried
    >>> from tsforecast.search.journal import trials_table
    >>> tried = [Tried({"units": i}, {0: 0.0, 1: 0.3}, trial=i + 1) for i in (0, 1)]
    >>> trials = trials_table(tried, Space.of({"units": [8, 16]}), 1)
    >>> [picture.title for picture in of_learning(trials, "drift")]
    ['Learning curves', 'One trial after the other']
    """
    tried, found = scored(trials), []
    below = _below(trials)
    if len(tried) and tried["epochs"].max() > 0:
        large = "; the large dot is the best of all" if differ(trials) else ""
        dots = (
            " A small dot marks where a trial was stopped early." if (tried["status"] == "stopped early").any() else ""
        )
        caption = f"Skill of each trial on validation at each epoch{large}.{dots}{below}"
        found.append(captioned("curves", "Learning curves", search_charts.curves(trials, reference), caption))
    if len(tried) > 1:
        caption = f"Each dot is a trial, at its best epoch; a hollow one did not run to the end.{_arrows(trials)}"
        figure = search_charts.progress(trials, reference)
        found.append(captioned("progress", "One trial after the other", figure, caption))
    return found


def of_settings(trials: pd.DataFrame, space: Space, found: Importance) -> list[CaptionedFigure]:
    """Return which settings matter, and how trials with each did."""
    names, tried = varied(trials, space), scored(trials)
    pictures = []
    if found.shares:
        figure = search_charts.importance(found)
        pictures.append(captioned("importance", "Importance of each setting", figure, _about_importance(found, trials)))
    if names and differ(trials):
        figure = search_charts.parallel(trials, [scale_of(space, name) for name in names])
        few = min(search_charts.LEADERS, len(tried))
        caption = (
            f"Each line is a trial: through its settings from top to bottom, down to its skill. The best {few} are "
            "coloured. A line passes by a setting that its cell does not have."
        )
        pictures.append(captioned("parallel", "From settings to skill", figure, caption))
    return pictures


def of_pairs(trials: pd.DataFrame, space: Space) -> list[CaptionedFigure]:
    """Return the skill by pairs of settings."""
    found: list[CaptionedFigure] = []
    for pair in pairs(trials, space):
        across, down = pair.across, pair.down
        row, column = np.unravel_index(np.nanargmax(pair.mean), pair.mean.shape)
        count = pair.count[row, column]
        caption = (
            f"Highest mean: {across.setting} {across.words[column]} with {down.setting} {down.words[row]}, of {count} "
            f"trial{'' if count == 1 else 's'}."
        )
        title = f"{across.setting} and {down.setting}"
        found.append(captioned(f"pair-{len(found)}", title, search_charts.heat(pair), caption))
    return found


def of_cost(trials: pd.DataFrame, reference: str) -> list[CaptionedFigure]:
    """Return skill against time."""
    tried = scored(trials)
    if (tried["seconds"] > 0).sum() < 2:
        return []
    caption = (
        "Each dot is a trial, with the time until its end; a hollow one did not run to the end. The line is the best "
        f"skill to be had for so much time or less.{_arrows(trials)}"
    )
    return [captioned("cost", "Skill and time", search_charts.cost(trials, reference), caption)]


def _about_importance(found: Importance, trials: pd.DataFrame) -> str:
    below = f", and one below {_percent(found.floor)} as that" if _any_below(trials) else ""
    return (
        f"How much of the differences between the scores of {found.trials} trials each setting makes, alone and "
        "together with others. Lines are 95% intervals over trials; a hollow dot may be nothing. Settings foretell "
        f"{found.explained:.0%} of the differences between trials not seen before. Measured by shuffling each setting "
        f"for a random forest (Breiman 2001). A trial stopped early counts with its best score so far{below}."
    )


def _below(trials: pd.DataFrame) -> str:
    floor = floor_of(at_last(trials))
    lowest = min((min(scores) for scores in scored(trials)["scores"]), default=0.0)
    return f" What lies below {_percent(floor)} is not drawn." if lowest < floor else ""


def _arrows(trials: pd.DataFrame) -> str:
    return f" Arrows mark trials below {_percent(floor_of(trials))}." if _any_below(trials) else ""


def _any_below(trials: pd.DataFrame) -> bool:
    return bool((scored(trials)["best_score"] < floor_of(trials)).any())


def _percent(floor: float) -> str:
    return percent(round(floor, 2))


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
        made=date_and_time(kept.about.made),
        best=best_trials(trials, space) if len(scored(trials)) else None,
        learning=of_learning(trials, reference),
        settings=of_settings(trials, space, found),
        reason=found.reason,
        pairs=of_pairs(trials, space),
        cost=of_cost(trials, reference),
        failures=failures(trials),
        trials=all_trials(trials, space),
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
    >>> import json
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
    return json_text(told)


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
        "Begun": date_and_time(about.made),
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
