"""Report of a search: one self-contained HTML page for screens of any width and for paper, or JSON."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tsforecast.reporting.figures import percent
from tsforecast.reporting.page import CaptionedFigure, captioned, date_and_time, page
from tsforecast.reporting.tables import MISSING, Grid, cell, json_text
from tsforecast.search import figures
from tsforecast.search.importance import Importance, importance
from tsforecast.search.results import (
    axis_of,
    best,
    failures,
    pairs,
    score_floor,
    scored,
    scores_differ,
    value_text,
    varied,
)
from tsforecast.search.space import Space, is_number
from tsforecast.search.storage import StoredSearch

NAIVE, SKILL = "naive", "{:+.1%}"
TABLED = 10  # of the best trials


def html_search(search: StoredSearch, title: str | None = None) -> str:
    """Return the report of a search, which may still run, as one HTML page that needs nothing else.

    The result comes first, then the best trials, learning, settings, pairs of them, time, failures, all trials, and
    the specification. All data are escaped.
    """
    trials, space, spec = search.trials, search.space, search.spec
    estimate = importance(trials, space)
    return page(
        "search.html.jinja",
        title=title or heading(search),
        headline=headline(search, trials),
        counts=counts(search, trials),
        spec=spec,
        made=date_and_time(spec.made),
        best=best_trials(trials, space) if len(scored(trials)) else None,
        learning=learning_figures(trials, spec.reference),
        settings=setting_figures(trials, space, estimate),
        reason=estimate.reason,
        pairs=pair_figures(trials, space),
        cost=cost_figures(trials, spec.reference),
        failures=failures(trials),
        trials=_grid("All trials", trials, space, list(space.domains), ends=True),
        facts=_facts(search),
        space={
            name: ", ".join(map(value_text, domain)) if isinstance(domain, list) else str(domain)
            for name, domain in space.domains.items()
        },
    )


def json_search(search: StoredSearch) -> str:
    """Return headline, trials, importance and specification as JSON; NaN is null."""
    trials = search.trials
    return json_text(
        {
            "headline": headline(search, trials),
            "optimism": search.optimism,
            "trials": trials[[name for name in trials.columns if not name.startswith("param_")]].to_dict("records"),
            "importance": importance(trials, search.space),
            "specification": search.spec,
        }
    )


def heading(search: StoredSearch) -> str:
    """Return the question that a search answers."""
    return f"Which settings beat {search.spec.reference}?"


def headline(search: StoredSearch, trials: pd.DataFrame) -> str:
    """Return the result in a sentence: whether any settings beat naive, which, and the optimism of the choice."""
    spec, reference, usable = search.spec, search.spec.reference, scored(trials)
    if usable.empty:
        failed = (trials["status"] == "failed").sum()
        return f"All {failed} trials failed." if failed and failed == len(trials) - 1 else "No trial has a score yet."
    first = best(trials, 1).iloc[0]
    skill, untrained = float(first["best_score"]), spec.epochs and not first["best_epoch"]
    settings = ", ".join(f"{name} {value_text(value)}" for name, value in first["params"].items())
    if spec.own and spec.own == {name: value_text(value) for name, value in first["params"].items()}:
        settings = f"the default settings, which were the best ({settings})"
    if skill <= 0:
        trained = "1 trial" if len(usable) == 1 else f"{len(usable)} trials"
        if untrained:
            return (
                f"No settings beat {reference}: none of {trained} did better than untrained, a skill of {skill:+.1%}."
            )
        return f"No settings beat {reference}: the best of {trained} has a skill of {skill:+.1%}, with {settings}."
    if search.optimism is None:
        luck = "how much of it may be luck is known when the search is over"
    elif search.optimism >= skill:
        luck = "all of which may be luck"
    else:
        luck = f"of which about {_points(search.optimism)} may be luck"
    if untrained:
        return (
            f"Best skill {skill:+.1%} against {reference} ({luck}), of a network that is not trained: none of "
            f"{len(usable)} got better by training, so nothing follows for their settings."
        )
    when = f" at epoch {first['best_epoch']}" if spec.epochs else ""
    return f"Best skill {skill:+.1%} against {reference} ({luck}): trial {first['trial']}{when}, with {settings}."


def counts(search: StoredSearch, trials: pd.DataFrame) -> str:
    """Return the number of trials, how they ended, and why the search did where it ended early."""
    status = trials["status"].iloc[1:]
    names = ("finished", "stopped early", "failed", "cut short", "not run")
    ends = [f"{n} {name.replace('not run', 'without a score yet')}" for name in names if (n := sum(status == name))]
    total = f"{len(status)} of {search.spec.trials} trials"
    ended = f" {search.hopeless[0].upper()}{search.hopeless[1:]}." if search.hopeless else ""
    return (f"{total}: {', '.join(ends)}." if ends else f"{total}.") + ended


def best_trials(trials: pd.DataFrame, space: Space) -> Grid:
    """Return a table of the best trials, with the settings that varied, and naive among them."""
    first = best(trials, TABLED)
    present = {name for params in first["params"] for name in params}
    names = [name for name in varied(trials, space) or list(space.domains) if name in present]
    return _grid("Best trials", pd.concat([trials[trials["trial"] == 0], first]), space, names)


def _grid(label: str, trials: pd.DataFrame, space: Space, names: list[str], ends: bool = False) -> Grid:
    """Return a table of trials with some settings, the best first; with `ends` also of how each ended."""
    rows = [
        (
            str(trial.trial) if trial.trial else NAIVE,
            cell(trial.best_score, SKILL),
            *([cell(trial.last_score, SKILL), trial.status] if ends else []),
            *(value_text(trial.params[name]) if name in trial.params else MISSING for name in names),
            f"{trial.best_epoch} of {trial.epochs}" if trial.trial and trial.epochs else MISSING,
            cell(trial.seconds or math.nan, "{:.1f}"),
        )
        for trial in trials.sort_values("best_score", ascending=False, kind="stable").itertuples()
    ]
    columns = ("trial", "skill", *(["last skill", "status"] if ends else []), *names, "best epoch", "seconds")
    # A setting whose values are numbers among text is a column of text.
    texts = [
        name for name in names if isinstance(domain := space.domains[name], list) and not all(map(is_number, domain))
    ]
    return Grid.of(label, columns, rows, words=(*(["status"] if ends else []), *texts), marked=NAIVE)


def learning_figures(trials: pd.DataFrame, reference: str) -> list[CaptionedFigure]:
    """Return figures of the learning curves, and of the scores in order of time."""
    usable, drawn = scored(trials), []
    if len(usable) and usable["epochs"].max() > 0:
        caption = "Skill of each trial on validation at each epoch"
        caption += "; the large dot is the best of all." if scores_differ(trials) else "."
        if (usable["status"] == "stopped early").any():
            caption += " A small dot marks where a trial was stopped early."
        floor = score_floor(trials, "last_score")
        if min(min(scores) for scores in usable["scores"]) < floor:
            caption += f" Values below {_percent(floor)} are not drawn."
        drawn.append(captioned("curves", "Learning curves", figures.curves(trials, reference), caption))
    if len(usable) > 1:
        caption = f"Each dot is a trial, at its best epoch; a hollow one did not run to the end.{_arrows(trials)}"
        figure = figures.progress(trials, reference)
        drawn.append(captioned("progress", "One trial after the other", figure, caption))
    return drawn


def setting_figures(trials: pd.DataFrame, space: Space, estimate: Importance) -> list[CaptionedFigure]:
    """Return figures of the importance of settings, and of the score of each trial by its settings."""
    names, drawn = varied(trials, space), []
    if estimate.shares:
        below = f", and one below {_percent(estimate.floor)} as that" if _any_below_floor(trials) else ""
        caption = (
            f"Share of the differences between the scores of {estimate.trials} trials that each setting causes, alone "
            "and together with others. Lines are 95% intervals over trials; a hollow dot may be no effect. Settings "
            f"predict {estimate.explained:.0%} of the differences between held-out trials. Measured by shuffling each "
            "setting for a random forest (Breiman 2001). A trial stopped early counts with its best score so far"
            f"{below}."
        )
        drawn.append(captioned("importance", "Importance of each setting", figures.importance(estimate), caption))
    if names and scores_differ(trials):
        figure = figures.parallel(trials, [axis_of(space, name) for name in names])
        caption = (
            f"Each line is a trial: through its settings from top to bottom, down to its skill. The best "
            f"{min(figures.LEADERS, len(scored(trials)))} are coloured. A line passes by a setting that its cell does "
            "not have. A setting marked (log) has a logarithmic scale."
        )
        drawn.append(captioned("parallel", "From settings to skill", figure, caption))
    return drawn


def pair_figures(trials: pd.DataFrame, space: Space) -> list[CaptionedFigure]:
    """Return a figure of the skill by each pair of settings."""
    drawn: list[CaptionedFigure] = []
    for pair in pairs(trials, space):
        row, column = np.unravel_index(np.nanargmax(pair.mean), pair.mean.shape)
        across, down, count = pair.across, pair.down, pair.count[row, column]
        caption = (
            f"Highest mean: {across.name} {across.bins[column]} with {down.name} {down.bins[row]}, "
            f"of {count} trial{'' if count == 1 else 's'}."
        )
        title = f"{across.name} and {down.name}"
        drawn.append(captioned(f"pair-{len(drawn)}", title, figures.heat(pair), caption))
    return drawn


def cost_figures(trials: pd.DataFrame, reference: str) -> list[CaptionedFigure]:
    """Return a figure of skill against time, where at least two trials have a time."""
    if (scored(trials)["seconds"] > 0).sum() < 2:
        return []
    caption = (
        "Each dot is a trial, with the time until its end; a hollow one did not run to the end. The line is the best "
        f"skill for so much time or less.{_arrows(trials)}"
    )
    return [captioned("cost", "Skill and time", figures.progress(trials, reference, "seconds"), caption)]


def _arrows(trials: pd.DataFrame) -> str:
    return f" Arrows mark trials below {_percent(score_floor(trials))}." if _any_below_floor(trials) else ""


def _any_below_floor(trials: pd.DataFrame) -> bool:
    return bool((scored(trials)["best_score"] < score_floor(trials)).any())


def _percent(floor: float) -> str:
    return percent(round(floor, 2))


def _points(optimism: float) -> str:
    return f"{100 * max(0.0, optimism):.1f} points"


def _facts(search: StoredSearch) -> dict[str, str]:
    """Return the specification as labelled texts."""
    spec = search.spec
    luck = "not yet known" if search.optimism is None else f"about {_points(search.optimism)}"
    epochs = f"; {spec.epochs} epochs for a whole trial" if spec.epochs else ""
    stopping = {
        "none": "no trial stopped early",
        "pbt": "settings varied while weights were kept (pbt), the last ones count",
    }.get(spec.stopping, f"trials stopped early by {spec.stopping}")
    return {
        "Data": spec.data,
        "Scored on": f"{spec.cases}; the same for all trials",
        "Skill": f"share of the {spec.error} of {spec.reference} that a trial removes, at its best epoch",
        "Luck": f"the best of many looks better on the targets that chose it than it is: by a bootstrap, {luck}",
        "Searched by": f"{spec.searcher}, {stopping}{epochs}",
        "Size": search.space.describe(spec.trials),
        "Season": f"{spec.season_length} steps",
        "Versions": ", ".join(f"{name} {version}" for name, version in spec.versions.items()),
        "Machine": spec.machine,
        "Started": date_and_time(spec.made),
    }
