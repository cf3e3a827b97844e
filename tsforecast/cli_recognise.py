"""`tsforecast tune --label`: search for settings of a classifier, anew without each group that it is then tested on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.cli_output import console, say
from tsforecast.errors import DataError, ParameterError, nearest

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.search.search import RaySearch

REPORT, SCORES = "search.html", "scores.csv"
PARTS = 5  # of recordings without groups; one tests
LEAST = 3  # groups
MOST_LETTERS = 100  # of the name of a folder


def tune_recognition(search: RaySearch, panel: Panel, label: str, folds: int, out: Path) -> None:
    """Search in the training part of each fold, then compare tuned, untuned and majority on the rest of it, once.

    Parameters
    ----------
    search : RaySearch
        Over a classifier; cloned for each fold.
    panel : Panel
    label : str
        Static column to recognise.
    folds : int
        How many groups are left out, one after the other, the last ones first.
    out : Path
        Holds a folder for each fold with its search and report, and the scores of all.
    """
    import pandas as pd
    from sklearn.base import clone

    from tsforecast.classifiers.naive import MajorityClassifier
    from tsforecast.cli_search import say_best, stop_if_cut_short
    from tsforecast.search.trial import seeded

    labels = _labels(panel, label)
    rows: list[dict[str, Any]] = []
    if panel.groups is None:
        say("without --group the same user may be on both sides of a test", style="yellow")
    for name, tests in _folds(panel, labels, folds, search.random_state):
        part, known, unknown = panel.select(~tests), labels[~tests], panel.select(tests)
        place = out / _folder(name, len(rows))
        found = clone(search).set_params(storage=out.absolute(), name=place.name).fit(part, known)
        stop_if_cut_short(found)
        found.report(place / REPORT, f"Search {name}")
        say_best(found, f"{name}: ")
        if found.best_params_:
            found.best_estimator_.save(place / "model")
        untuned = seeded(search.forecaster, search.random_state).fit(part, known)
        models = {"majority": MajorityClassifier().fit(part, known), "untuned": untuned, "tuned": found.best_estimator_}
        accuracy = {key: model.score(unknown, labels[tests]) for key, model in models.items()}
        rows.append({"fold": name, "recordings": int(tests.sum()), **accuracy})
        pd.DataFrame(rows).to_csv(out / SCORES, index=False)
    _show(rows, label)
    say(f"wrote {out / SCORES}, and for each fold {REPORT} and the tuned model, if any, in its folder")


def recognition_problems(**asked: int | None) -> list[str]:
    """Return a sentence for each option that makes no sense where recordings are recognised."""
    return [
        f"--{name} must be left out with --label: it belongs to forecasts, recordings are recognised whole"
        for name, value in asked.items()
        if value is not None
    ]


def _labels(panel: Panel, label: str) -> NDArray[Any]:
    if label not in panel.facts:
        raise DataError(f"--label must name a column that is constant in each recording: {nearest(label, panel.facts)}")
    if label == panel.roles.group:
        raise ParameterError(f"--label must be another column than the group: got {label!r} for both")
    return panel.facts[label]


def _folder(fold: str, number: int) -> str:
    """Return a name for the folder of a fold: groups are named by data, and may be called ``../x``.

    Examples
    --------
    >>> _folder("without-user-U07", 0), _folder("without-user-../../x", 1)
    ('without-user-U07', 'without-user-______x-2')
    """
    safe = re.sub(r"[^\w-]", "_", fold)[:MOST_LETTERS]
    return safe if safe == fold else f"{safe}-{number + 1}"


def _folds(panel: Panel, labels: NDArray[Any], folds: int, seed: int) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the name of each fold, and which recordings test in it: one group, or a fifth of each class."""
    from sklearn.model_selection import StratifiedKFold

    if panel.groups is not None:
        names = list(dict.fromkeys(panel.groups.tolist()))[::-1]
        if len(names) < LEAST:
            raise DataError(
                f"--group must name {LEAST} users or more, one to test, one to validate and one to learn from: column "
                f"{panel.roles.group!r} names {len(names)}; leave --group out to test on recordings of the same users"
            )
        found = [(f"without-{panel.roles.group}-{name}", panel.groups == name) for name in names]
    else:
        parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed).split(labels, labels.astype(str))
        found = [(f"part-{k}", np.isin(np.arange(len(labels)), test)) for k, (_, test) in enumerate(parts, 1)]
    if not 1 <= folds <= len(found):
        raise ParameterError(f"--folds must be 1 to {len(found)}, as many as there are groups or parts: got {folds}")
    return found[:folds]


def _show(rows: list[dict[str, Any]], label: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Accuracy of {escape(label)} on recordings that no search saw", title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "fold" else "right", overflow="fold")
    for row in rows:
        table.add_row(escape(row["fold"]), str(row["recordings"]), *(f"{row[name]:.1%}" for name in list(row)[2:]))
    if len(rows) > 1:
        means = [f"{np.mean([row[name] for row in rows]):.1%}" for name in list(rows[0])[2:]]
        table.add_row(f"mean of {len(rows)}", str(sum(row["recordings"] for row in rows)), *means, style="bold")
    console.print(table)
