"""Report of a leaderboard: one HTML page for screens and paper, a table for notebooks, and JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.evaluation.calibration import JUDGED
from tsforecast.evaluation.metrics import COVERAGES, WIDTHS, word
from tsforecast.evaluation.phrasing import amount_format, size
from tsforecast.evaluation.record import ForecastFit, ForecastRecord
from tsforecast.evaluation.report import figures
from tsforecast.evaluation.report.figures import MIN_SKILL, View
from tsforecast.evaluation.results import DISPLAY, ForecastResults
from tsforecast.evaluation.scores import INTERVALS
from tsforecast.evaluation.summaries import KEYS
from tsforecast.evaluation.verdict import BADGES, SIGNIFICANCE, findings
from tsforecast.explanations.explanation import Explanation
from tsforecast.reporting.page import CaptionedFigure, captioned, date_and_time, page, template
from tsforecast.reporting.tables import MISSING, Grid, cell, json_text
from tsforecast.training.history import Epoch, best_epoch

# What a metric that ranks most boards is, in brackets after its name.
MEANINGS = {
    "mase": " (mean absolute error, scaled by that of the seasonal naive forecast in the past)",
    "mae": " (mean absolute error)",
    "rmse": " (root of the mean squared error)",
}
MAX_AHEAD = 3  # figures of the next horizon: of the best models, or of some series by the best one
MAX_NEXT = 60  # steps that a table of it lists
MAX_WINS = 12  # models of a table of wins, the best ones: more columns fit no page
MAX_NETWORKS = 12  # whose training is drawn
MAX_FITS = 10  # of one network whose training is drawn


def html_report(results: ForecastResults, title: str | None = None) -> str:
    """Render results as one self-contained HTML page.

    It has the verdicts first, then all numbers, forecasts, errors by step, season and group, wins and ranks, training,
    and the data, protocol and fits behind them. Everything that came from data is escaped.
    """
    record, view = results.record, View(results)
    return page(
        "report.html.jinja",
        title=title or f"Which models beat {results.wording.naive(results.reference)}?",
        summary=f"{results.headline}.",
        made=date_and_time(record.made) if record else "",
        results=results,
        record=record,
        findings=judged(results),
        error=f"Error is the {word(results.metric)}{MEANINGS.get(results.metric, '')}.",
        skill=skill_figures(view),
        numbers=error_table(results),
        ahead=ahead_figures(view),
        next=ahead_table(view),
        forecasts=forecast_figures(view),
        calibrations=list(results.calibrations.values()),
        intervals=interval_table(results) if results.calibrations else None,
        probabilities=probability_figures(view) if results.calibrations else [],
        errors=error_figures(view),
        evenness=rank_figures(view),
        wins=win_table(results),
        training=training_figures(record),
        explanations=explanation_figures(record),
        facts=_facts(results),
        fits=fit_table(record.fits) if record else None,
        settings=_settings(record) if record else {},
        series=series_table(view) if results.rows["series"].nunique() > 1 and view.ranked else None,
    )


@dataclass(frozen=True)
class Judged:
    """A verdict as the page lists it."""

    badge: str
    name: str
    text: str
    reason: str = ""


def judged(results: ForecastResults) -> list[Judged]:
    """Return a verdict for each model, those that beat the reference first, and one line for the naive family."""
    ordered = sorted(results.verdicts.values(), key=lambda verdict: list(BADGES).index(verdict.outcome))
    found = []
    for each in ordered:
        badge = BADGES[each.outcome]
        if each.outcome in ("better", "equivalent", "inconclusive", "worse"):
            reason = _capital(each.reason)
            if reason.startswith("p ") and each.outcome == "inconclusive":
                reason += f", is not below {SIGNIFICANCE:g}"
            if (seen := results.exposures.get(each.model)) and seen.claim:
                reason += f"; {seen.claim}"
            found.append(Judged(badge, each.model, size(each), reason))
        elif each.outcome == "reference":
            plain = results.wording.naive(each.model)
            naive = [f"{other.model} {size(other, interval=False)}" for other in ordered if other.outcome == "naive"]
            others = f". Other naive forecasts: {', '.join(naive)}" if naive else ""
            found.append(Judged(badge, each.model, f"{f'({plain}) ' * (plain != each.model)}is the reference{others}"))
        elif each.outcome != "naive":
            found.append(Judged(badge, "", each.sentence))
    return found


def _capital(text: str) -> str:
    """Return text that begins a sentence; a p-value stays one."""
    return text if text.startswith("p ") else text[:1].upper() + text[1:]


def html_table(results: ForecastResults) -> str:
    """Render the table and verdicts as HTML inside another page, such as a notebook."""
    sentences = [sentence for _, sentence in findings(results.verdicts.values())]
    return template("table.html.jinja").render(grid=error_table(results), results=results, sentences=sentences)


def json_report(results: ForecastResults) -> str:
    """Return table, verdicts, summaries and record as JSON; NaN and infinities are null."""
    record = results.record.plain() if results.record else None
    keys = [key for key in KEYS if key in results.rows and results.rows[key].notna().any()]
    names = ("metric", "reference", "headline", "summary_line", "audit_line", "notes")
    return json_text(
        {name: getattr(results, name) for name in names}
        | {
            "table": results.table.to_dict("records"),
            "verdicts": list(results.verdicts.values()),
            "calibrations": list(results.calibrations.values()),
            "errors": {key: results.by(key).to_dict() for key in keys},
            "win_rates": results.win_rates.to_dict(),
            "ranks": results.ranks,
            "record": record and {name: value for name, value in record.items() if name not in ("past", "ahead")},
        }
    )


# Tables


def error_table(results: ForecastResults) -> Grid:
    """Return all metrics of each model."""
    words = [DISPLAY[name][0] for name in ("release", "trained_on", "exposure", "leak_audit")]
    return Grid.of_frame("Errors of all models", results.display_table, words=words, marked=results.reference)


def interval_table(results: ForecastResults) -> Grid:
    """Return what the central intervals of each model hold, their widths, and verdicts on 80 and 95 %."""
    titles, rows = ["model", *(f"{held}% {kind}" for held in INTERVALS for kind in ("inside", "width"))], []
    table = results.table.set_index("model")
    for name, found in results.calibrations.items():
        line = table.loc[name]
        shares = [
            cell(line[each], look)
            for pair in zip(COVERAGES, WIDTHS, strict=True)
            for each, look in zip(pair, ("{:.1%}", "{:.2f}"), strict=True)
        ]
        rows.append([name, *shares, *(each.outcome for each in found.coverages)])
    words = [f"at {held}%" for held in JUDGED]
    return Grid.of("Intervals", (*titles, *words), rows, words=words, marked=results.reference)


def win_table(results: ForecastResults) -> Grid:
    """Return how often each model has a lower error than each other one; columns have the numbers of the rows."""
    rates = results.win_rates
    names = [str(name) for name in results.table["model"] if name in rates.index]
    shown = names[:MAX_WINS]
    numbered = {name: f"{number} {name}" for number, name in enumerate(shown, 1)}
    rows = [[numbered[name], *(cell(rates.loc[name, other], "{:.0%}") for other in shown)] for name in shown]
    label, marked = "Share of wins of each model over each other", numbered.get(results.reference, "")
    grid = Grid.of(label, ("model", *range(1, len(shown) + 1)), rows, marked=marked)
    return replace(grid, more=len(names) - len(shown))


def ahead_table(view: View) -> Grid | None:
    """Return the next steps of the series that is drawn, as the best model forecasts them, with its interval of 80%."""
    found = _ahead(view)
    if found is None:
        return None
    models, series, target, known = found
    words, rows = view.results.wording, known[(known["model"] == models[0]) & (known["series"] == series)]
    rows = rows[rows["target"] == target]
    spread = [name for name in ("lo80", "hi80") if name in rows and rows[name].notna().any()]
    pattern = amount_format(rows[["forecast", *spread]].to_numpy(dtype=float))
    lines = [
        [words.moment(time), *(pattern.format(value) for value in values)]
        for time, *values in rows[["time", "forecast", *spread]].itertuples(index=False)
    ]
    titles = [words.time or "time", words.titled(target), *(["80% from", "to"] if spread else [])]
    return Grid.of(f"{series}, by {models[0]}", titles, lines, limit=MAX_NEXT)


def series_table(view: View) -> Grid:
    """Return the error on each series, those with the lowest skill of the best model first."""
    results, best, errors = view.results, view.ranked[0], view.errors("series")
    gains = view.gains("series")[best].reindex(errors.index).sort_values(kind="stable")
    models, digits = [results.reference, *view.ranked], results.display[results.metric][1]
    rows = [
        [name, cell(gain, "{:+.1%}"), *(cell(errors.loc[name, model], digits) for model in models)]
        for name, gain in gains.items()
    ]
    return Grid.of(f"{word(results.metric)} of each series", ("series", f"skill of {best}", *models), rows)


def fit_table(fits: tuple[ForecastFit, ...]) -> Grid:
    """Return the training data, audit and duration of each fit, without columns that are empty."""
    words = (
        "model",
        "seed",
        "trained from",
        "to",
        "left out",
        "scaling",
        "release",
        "trained on",
        "leak audit",
        "error",
    )
    counts = ("series", "steps", "epochs", "kept epoch", "fit s", "predict s")
    rows = [
        [
            fit.model,
            MISSING if fit.seed is None else fit.seed,
            *fit.learned_from,
            ", ".join(map(str, fit.left_out)) or MISSING,
            fit.scaling or MISSING,
            MISSING if fit.release is None else fit.release or "not known",
            ", ".join(fit.trained_on) or MISSING,
            fit.leak_audit or MISSING,
            fit.error or MISSING,
            fit.series,
            fit.steps,
            *_epochs(fit),
            cell(fit.fit_seconds, "{:.2f}"),
            cell(fit.predict_seconds, "{:.3f}"),
        ]
        for fit in fits
    ]
    return Grid.of("Fits", (*words, *counts), rows, words=words, drop_empty=True)


def _epochs(fit: ForecastFit) -> tuple[object, object]:
    """Return the number of epochs of a network, and the one that was kept."""
    if not fit.history:
        return MISSING, MISSING
    history = [Epoch(**epoch) for epoch in fit.history]
    return history[-1].number, best_epoch(history).number


# Figures with captions


def ahead_figures(view: View) -> list[CaptionedFigure]:
    """Return the forecast of the best models after the end of the data, of a typical series, with its intervals."""
    ahead = _ahead(view)
    if ahead is None:
        return []
    models, typical, target, known = ahead
    mine = known[(known["model"] == models[0]) & (known["target"] == target)]
    largest = mine.groupby("series", observed=True)["forecast"].mean().sort_values(ascending=False, kind="stable").index
    many = [typical, *(series for series in largest if series != typical)][:MAX_AHEAD]
    pairs = [(series, models[0]) for series in many] if len(largest) > 1 else [(typical, name) for name in models]
    found = []
    for number, (series, model) in enumerate(pairs[:MAX_AHEAD]):
        figure = figures.ahead(view, series, target, model)
        caption = "Fitted on all data. Shades should hold 50, 80 and 95% of outcomes."
        if len(largest) > 1:
            caption += f" Of {len(largest)} series this is {'one of the largest' if number else 'a typical one'}."
        found.append(captioned(f"ahead-{number}", f"{series}, by {model}", figure, caption))
    return found


def _ahead(view: View) -> tuple[list[str], Any, Any, pd.DataFrame] | None:
    """Return the models that forecast the steps after the data, a typical series and its target, and all forecasts."""
    results = view.results
    known = results.record.ahead if results.record else None
    if known is None or known.empty:
        return None
    models, wanted = [name for name in results.table["model"] if name in set(known["model"])], _typical(view)
    series = wanted if wanted in set(known["series"]) else known["series"].iloc[0]
    return models, series, known["target"].iloc[0], known


def _typical(view: View) -> object:
    """Return the series with the middle skill of the best model; the first one where there is none."""
    alone = view.results.rows["series"].iloc[0]
    if not view.ranked or view.results.rows["series"].nunique() == 1:
        return alone
    gains = view.gains("series")[view.ranked[0]].sort_values(kind="stable")
    return gains.index[(len(gains) - 1) // 2] if len(gains) else alone


def probability_figures(view: View) -> list[CaptionedFigure]:
    """Return the histogram of probabilities of the truth, and the reliability of quantiles."""
    pit = (
        "How often the truth fell into each tenth of the distribution that was forecast. A level line is calibrated; "
        "high at both ends is too narrow, high in the middle too wide, a slope is a bias." + view.omitted()
    )
    curve = (
        "Share of outcomes below each quantile. On the dotted diagonal as many lie below it as its level promises. "
        "Distributions are too wide where a line is steeper than the diagonal in its middle, too narrow where it is "
        "flatter, and biased where it lies on one side." + view.omitted()
    )
    return [
        captioned("pit", "Probabilities of the truth", figures.probabilities(view), pit),
        captioned("reliability", "Reliability", figures.reliability(view), curve),
    ]


def skill_figures(view: View) -> list[CaptionedFigure]:
    """Return the skill of each model."""
    if not view.ranked:
        return []
    results = view.results
    known = any(np.isfinite(verdict.low) for verdict in results.verdicts.values())
    lines = "Lines are 95% intervals; one with an arrow is longer." if known else ""
    caption = (
        f"Right of the dashed line a model has a lower {word(results.metric)} than {results.reference}. "
        f"{lines}A filled dot is better than the reference; a hollow one is "
        "worse, equivalent or inconclusive."
    )
    return [captioned("skill", "Skill of each model", figures.skill(view), caption)]


def forecast_figures(view: View) -> list[CaptionedFigure]:
    """Return forecasts of a typical and the worst series; of a single series, from the newest and the worst cutoffs."""
    results = view.results
    key = "series" if results.rows["series"].nunique() > 1 else "cutoff"
    alone = results.rows["series"].iloc[0]
    if not view.ranked or len(gains := view.gains(key)[view.ranked[0]].sort_values(kind="stable")) < 2:
        return [_forecasts_of(view, 0, alone)]
    best, worst, middle = view.ranked[0], gains.index[0], (len(gains) - 1) // 2
    lowest = f"{best} has a skill of {gains.iloc[0]:+.1%} here, its lowest."
    if key == "cutoff":
        return [_forecasts_of(view, 0, alone), _forecasts_of(view, 1, alone, "The worst cutoff: ", lowest, worst)]
    typical = f"{best} has a skill of {gains.iloc[middle]:+.1%} here: half of the series have a higher one."
    return [
        _forecasts_of(view, 0, gains.index[middle], "A typical series: ", typical),
        _forecasts_of(view, 1, worst, "The worst series: ", lowest),
    ]


def _forecasts_of(
    view: View, number: int, series: object, title: str = "", reason: str = "", cutoff: object = None
) -> CaptionedFigure:
    """Return forecasts from one cutoff; or from the newest disjoint ones, as many as a figure has room for."""
    results = view.results
    target = results.rows.loc[results.rows["series"] == series, "target"].iloc[0]
    if cutoff is not None:
        cutoffs, title, caption = np.array([cutoff]), f"{title}{_stamp(cutoff)}", reason
    else:
        rows = figures.rows_of(results, series, target)
        total, cutoffs = rows["cutoff"].nunique(), figures.disjoint_cutoffs(rows)[-figures.MAX_CUTOFFS :]
        newest = f"{len(cutoffs)} of {total} cutoffs, the newest ones that do not overlap"
        which = "the only cutoff" if total == 1 else newest
        caption = f"Forecasts from {which} (dotted): no model was given the values right of it. {reason}".strip()
        title = f"{title}{series}"
    figure = figures.forecasts(view, series, target, cutoffs)
    shades = (
        f" Shades should hold 50, 80 and 95% of outcomes of {figures.fanned(view)}." if "lo80" in results.rows else ""
    )
    return captioned(f"forecasts-{number}", title, figure, f"{caption}{shades}{view.omitted(figures.MAX_MODELS)}")


def error_figures(view: View) -> list[CaptionedFigure]:
    """Return the error by step of the horizon, by position in the season, and by group."""
    results, found = view.results, []
    metric, omitted = word(results.metric), view.omitted()
    counts = {key: results.rows[key].nunique() for key in KEYS if key in results.rows}
    for key, title, label in (
        ("step", "step of the horizon", results.wording.ahead),
        ("phase", results.wording.phase, results.wording.phase + ", from 0" * (not results.wording.names)),
    ):
        if counts.get(key, 0) > 1:
            caption = f"Mean {metric} of all forecasts at each {title}; lower is better.{omitted}"
            found.append(captioned(f"by-{key}", f"Error by {title}", figures.error_by(view, key, label), caption))
    if counts.get("group", 0) > 1 and view.ranked:
        most = figures.MAX_GROUPS
        some = f" Shown are {most} of {counts['group']} groups." if counts["group"] > most else ""
        caption = (
            f"Each row is a group that was left out of the fit; dots left of the bar have a lower {metric} than "
            f"{results.reference}. Groups where {view.ranked[0]} gains least come first.{some}{omitted}"
        )
        found.append(captioned("by-group", "Error by group", figures.error_by_group(view), caption))
    return found


def rank_figures(view: View) -> list[CaptionedFigure]:
    """Return the spread of skill over series, and average ranks."""
    results, found = view.results, []
    if view.ranked and len(gains := view.gains("series")) > 1:
        best = view.ranked[0]
        caption = (
            f"Each tick is a series, of {len(gains)}. The dot is the median, the bar the middle half, the line the "
            f"middle 90%; skill below {MIN_SKILL:.0%} is drawn there. {best} has a lower {word(results.metric)} than "
            f"{results.reference} on {(gains[best] > 0).mean():.0%} of the series."
        )
        found.append(captioned("by-series", "Skill over series", figures.spread_of_skill(view), caption))
    ranks = results.ranks
    if np.isfinite(ranks.critical_difference):  # else there are too few trials to rank
        caption = (
            f"Models ranked on each of {ranks.count} {ranks.unit}, then averaged; 1 is best. Right of the scale a line "
            "joins models without a clear difference: their average ranks differ by at most "
            f"{ranks.critical_difference:.2f}, the critical difference of the Nemenyi test at 5%."
        )
        found.append(captioned("ranks", "Average rank", figures.ranks(view), caption))
    return found


def explanation_figures(record: ForecastRecord | None) -> list[CaptionedFigure]:
    """Return what each part adds to the forecasts of models that were explained."""
    found = []
    for i, (model, plain) in enumerate(record.explained.items() if record else ()):
        known = Explanation.from_plain(plain)
        caption = (
            f"{known.sentence[0].upper()}{known.sentence[1:]}. By how much the mean absolute error "
            f"({known.error:.3g}; of the anchor alone {known.anchor_error:.3g}) "
            f"rises where a part comes from other cutoffs, at {known.cutoffs} held-out cutoffs. The "
            "anchor is the naive forecast, the correction the part that the model adds. Grey is the effect of chance "
            "where a part adds nothing; a filled dot is clearly more."
        )
        found.append(captioned(f"explanation-{i}", model, known.plot(), caption))
    return found


def training_figures(record: ForecastRecord | None) -> list[CaptionedFigure]:
    """Return the training and validation loss of each network by epoch."""
    histories: dict[str, list[Any]] = {}
    for fit in record.fits if record else ():
        if fit.history:
            histories.setdefault(fit.model, []).append(fit.history)
    found = []
    for i, (model, fits) in enumerate(list(histories.items())[:MAX_NETWORKS]):
        figure = figures.training(fits[:MAX_FITS])
        lines = f"One line for each of {min(len(fits), MAX_FITS)} fits" if len(fits) > 1 else "One fit"
        some = f" of {len(fits)}" if len(fits) > MAX_FITS else ""
        caption = f"{lines}{some}; the dot marks the epoch that was kept, the one with the lowest validation loss."
        found.append(captioned(f"training-{i}", model, figure, caption))
    return found


# Text


def _facts(results: ForecastResults) -> dict[str, str]:
    """Return the data, protocol, versions and machine that all models share."""
    rows, record = results.rows, results.record
    first, last = _stamp(rows["cutoff"].min()), _stamp(rows["cutoff"].max())
    seeds = sorted(rows["seed"].dropna().unique()) if "seed" in rows else []
    facts = {
        "Cutoffs": first if first == last else f"{first} to {last}",
        "Last step tested": _stamp(rows["time"].max()),
        "Seeds": ", ".join(map(str, seeds)) or "none",
        "Leak audit": results.audit_line,
    }
    if record is None:
        return facts
    refit = "refitted at each cutoff" if record.refit else "fitted at the oldest cutoff"
    gap = f", gap of {record.gap} steps" if record.gap else ""
    cutoffs = "1 cutoff" if record.origins == 1 else f"{record.origins} cutoffs {record.step} steps apart"
    cutoffs += " counted from the end of each series" * (record.align == "end")
    return {
        "Data": record.data,
        "Fingerprint of the data": record.fingerprint,
        "Protocol": f"horizon {record.horizon}, {cutoffs}{gap}, {refit}, season of {record.season_length} steps",
        "Versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "Machine": record.machine,
        "Made": date_and_time(record.made),
    } | facts


def _settings(record: ForecastRecord) -> dict[str, str]:
    """Return the settings of each model, with the values that replaced "auto"."""
    found = {}
    for fit in record.fits:
        resolved = ", ".join(f"{name}={value}" for name, value in fit.resolved.items())
        found[fit.model] = fit.settings + (f" resolved to {resolved}" if resolved else "")
    return found


def _stamp(value: object) -> str:
    """Return a time stamp without an hour of zeros."""
    return str(value).removesuffix(" 00:00:00") if isinstance(value, pd.Timestamp) else str(value)
