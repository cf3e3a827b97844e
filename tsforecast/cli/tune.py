"""`tsforecast tune`: search for settings on the rows before the test part, then compare on that part, once."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.classify import at_steps, tested_part
from tsforecast.cli.console import console, echo, show_search, suffix_of, write_report
from tsforecast.cli.data import protocol_of, read_panel, tracked
from tsforecast.cli.options import (
    Address,
    AnyData,
    CutoffOptions,
    DataOptions,
    LossOptions,
    Mlflow,
    Options,
    RecordingOptions,
    expand_options,
    require_absent,
)
from tsforecast.cli.recordings import read_recordings
from tsforecast.cli.wording import note_of
from tsforecast.errors import DataError, ParameterError, reason
from tsforecast.evaluation.report.terminal import show_leaderboard
from tsforecast.files import require_place, write_or_return

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from tsforecast.data.panel import Panel
    from tsforecast.data.protocol import Protocol
    from tsforecast.search.search import RaySearch

REPORT, SCORES = "search.html", "scores.csv"
PARTS = 5  # of sequences without groups; one tests
LEAST_GROUPS = 3  # one to test, one to validate, one to train on
MOST_LETTERS = 100  # in the name of a folder
# The space unless --space is given; as a file it would look the same.
SPACE: dict[str, Any] = {
    "cell": ["rnn", "gru", "lstm", "conv1d"],
    "units": [16, 32, 64, 128],
    "layers": [1, 2, 3],
    "window": ["1 season", "2 seasons", "4 seasons"],
    "dropout": {"low": 0.0, "high": 0.5},
    "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
}
CLASSIFIER_SPACE = {name: values for name, values in SPACE.items() if name != "window"}


_search = partial(typer.Option, rich_help_panel="Search")


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """Which settings are tried, how, and how long."""

    space: Annotated[
        Path | None, _search(help="TOML file of the space.", show_default="cells, units, layers, window, ...")
    ] = None
    trials: Annotated[int, _search(help="Settings to try.")] = 50
    searcher: Annotated[str, _search(help="tpe, gp, random, grid, bohb or hyperopt.")] = "tpe"
    scheduler: Annotated[str, _search(help="auto, asha, hyperband, median, pbt or none.")] = "auto"
    metric: Annotated[
        str,
        _search(
            help="Error whose skill counts: mase (skill), mae, rmse, smape, rmsse; of distributions crps; of labels "
            "error (skill), log_loss."
        ),
    ] = "skill"
    time_budget: Annotated[
        float | None, _search(help="Seconds after which every trial ends.", show_default="no limit")
    ] = None
    resume: Annotated[bool, _search("--resume", help="Continue this search if it was started.")] = False
    all_trials: Annotated[
        bool, _search("--all-trials", help="Continue, also where half of the trials show that nothing beats naive.")
    ] = False
    validation_origins: Annotated[int, _search(help="Validation parts that a trial is scored on.")] = 1

    def parameters(self, classifies: bool) -> dict[str, Any]:
        """Return parameters of the search."""
        given = {name: value for name, value in vars(self).items() if name not in ("space", "resume", "all_trials")}
        space = _read_space(self.space) if self.space else CLASSIFIER_SPACE if classifies else SPACE
        resume = "auto" if self.resume or self.all_trials else False
        return given | {"space": space, "resume": resume, "give_up": not self.all_trials}


@expand_options
def tune(
    data: AnyData,
    searched: SearchOptions,
    test: CutoffOptions,
    training: LossOptions,
    recordings: RecordingOptions,
    reading: DataOptions,
    address: Address = None,
    folds: Annotated[
        int | None,
        typer.Option(help="With --label: groups to test, each with a search of its own.", show_default="1"),
    ] = None,
    mlflow: Mlflow = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the search.", show_default="tune-NAME")] = None,
) -> None:
    """Search for the settings of a network; the test part stays out of reach until the end."""
    from tsforecast.forecasters.neural import NeuralForecaster
    from tsforecast.search.search import RaySearch
    from tsforecast.sequences.neural import NeuralClassifier

    label, protocol = recordings.label, None
    classifies = bool(label or recordings.files)
    if classifies:
        why = "it belongs to forecasts, sequences are classified whole"
        require_absent("with --label", why, **vars(test))
        require_absent("with --label", "classifiers learn from the cross entropy alone", loss=training.loss)
        panel, label = read_recordings(data, reading, recordings)
        if at_steps(panel, label):
            raise DataError(
                f"tune must have one label for each recording: column {label!r} of {data!r} has one for each step; "
                "compare settings in Python, with output='step'"
            )
    else:
        require_absent("without --label", "forecasts are tested at cutoffs, see --origins", folds=folds)
        require_absent("without --label", "forecasts have no labels", output=recordings.output)
        panel, task = read_panel(data, reading)
        protocol = protocol_of(task, panel, test)
    out = out or Path(f"tune-{Path(data).stem}")
    search = RaySearch(
        (NeuralClassifier if classifies else NeuralForecaster)(**training.settings()),
        **searched.parameters(classifies),
        address=address,
        storage=out.absolute().parent,
        name=out.name,
        random_state=training.seed,
        horizon=protocol.horizon if protocol else None,
        verbose=1,
    )
    with tracked(mlflow, data):
        if protocol is None:
            tune_classifier(search, panel, str(label), 1 if folds is None else folds, out)
        else:
            _tune_forecaster(search, panel, protocol, data, out)


def tune_report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that a search wrote; it may still run.")],
    out: Annotated[Path, typer.Option(help="Report to write, by its ending: HTML or JSON.")] = Path(REPORT),
    title: Annotated[
        str | None, typer.Option(help="Heading.", show_default="which settings beat the reference")
    ] = None,
) -> None:
    """Draw the report of a search, without its data."""
    from tsforecast.search.report import heading, html_search, json_search
    from tsforecast.search.storage import read_search

    suffix = suffix_of(out, (".html", ".json"))
    require_place(out.parent)
    kept = read_search(folder)
    write_or_return(html_search(kept, title) if suffix == ".html" else json_search(kept), out)
    show_search(kept, title or heading(kept), console)
    echo(f"wrote {out}")


def tune_classifier(search: RaySearch, panel: Panel, label: str, folds: int, out: Path) -> None:
    """Search in the training part of each fold, then compare tuned, untuned and majority on the rest of it, once.

    Groups are left out one after the other, the last ones first. `out` holds a folder for each fold with its search and
    report, the scores, and the report of all.
    """
    import pandas as pd
    from sklearn.base import clone

    from tsforecast.evaluation.class_metrics import PREFIX
    from tsforecast.evaluation.compare_classifiers import ClassifierComparison
    from tsforecast.events import observed
    from tsforecast.search.trial import clone_with_seed
    from tsforecast.sequences.baselines import MajorityClassifier

    labels = panel.statics[label]
    rows, answers = list[dict[str, Any]](), list[pd.DataFrame]()
    if panel.groups is None:
        echo("without --group the same user may be on both sides of a test", style="yellow")
    compared = {"tuned": search, "untuned": search.forecaster, "majority": MajorityClassifier()}
    with observed(compared, panel) as activity:
        for name, tests in _folds(panel, labels, folds, search.random_state):
            part, known, test = panel.select(~tests), labels[~tests], panel.select(tests)
            place = out / _folder(name, len(rows))
            found = clone(search).set_params(storage=out.absolute(), name=place.name).fit(part, known)
            _stop_if_cut_short(found)
            found.report(place / REPORT, f"Search {name}")
            _echo_best(found, f"{name}: ")
            if found.best_params_:
                found.best_estimator_.save(place / "model")
            untuned = clone_with_seed(search.forecaster, search.random_state).fit(part, known)
            majority = MajorityClassifier().fit(part, known)
            models = {"majority": majority, "untuned": untuned, "tuned": found.best_estimator_}
            parts = {key: _answers(model, test, labels[tests]) for key, model in models.items()}
            accuracy = {key: float(each["true"].eq(each["predicted"]).mean()) for key, each in parts.items()}
            answers += [each.assign(model=key, fold=len(rows)) for key, each in parts.items()]
            rows.append({"fold": name, "sequences": int(tests.sum()), **accuracy})
            pd.DataFrame(rows).to_csv(out / SCORES, index=False)
        protocol = "leave-users-out" if panel.groups is not None else "random"
        protocol = protocol if tested_part(panel) is None else "given"
        every = pd.concat(answers, ignore_index=True).assign(protocol=protocol)
        missing = dict.fromkeys([name for name in every if name.startswith(PREFIX)], 0.0)  # of classes not in a fold
        results = ClassifierComparison(every.fillna(missing))
        activity.result = results
    _show_scores(rows, label)
    echo(f"{results.headline}.")
    write_report(results, out / "report.html", f"{label}: tuned, untuned and majority")
    echo(f"wrote {out / SCORES}, and for each fold {REPORT} and the tuned model, if any, in its folder")


def _answers(model: Any, test: Panel, truth: NDArray[Any]) -> pd.DataFrame:
    """Return a row for each recording that a fold tests, as `compare_classifiers` has them."""
    import numpy as np
    import pandas as pd

    from tsforecast.evaluation.class_metrics import PREFIX

    shares, classes = np.asarray(model.predict_proba(test)), np.asarray(model.classes_)
    columns = {"group": test.groups, "recording": test.ids, "true": truth, "predicted": classes[shares.argmax(axis=1)]}
    columns |= {f"{PREFIX}{name}": share for name, share in zip(classes, shares.T, strict=True)}
    return pd.DataFrame(columns).assign(seed=pd.NA, chosen="", fit_seconds=np.nan, predict_seconds=np.nan)


def _folder(fold: str, number: int) -> str:
    """Return a safe name for the folder of a fold: groups are named by data, and may be called ``../x``."""
    safe = re.sub(r"[^\w-]", "_", fold)[:MOST_LETTERS]
    return safe if safe == fold else f"{safe}-{number + 1}"


def _folds(panel: Panel, labels: NDArray[Any], folds: int, seed: int) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the name of each fold, and which sequences it tests: part `test`, one group, or a fifth of each class."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    if (tested := tested_part(panel)) is not None:
        found = [("part-test", tested)]
    elif panel.groups is not None:
        names = list(dict.fromkeys(panel.groups.tolist()))[::-1]
        if len(names) < LEAST_GROUPS:
            raise DataError(
                f"--group must name {LEAST_GROUPS} users or more, one to test, one to validate and one to train on: "
                f"column {panel.roles.group!r} names {len(names)}; leave --group out to test on sequences of the same "
                "users"
            )
        found = [(f"without-{panel.roles.group}-{name}", panel.groups == name) for name in names]
    else:
        parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed).split(labels, labels.astype(str))
        found = [(f"part-{k}", np.isin(np.arange(len(labels)), test)) for k, (_, test) in enumerate(parts, 1)]
    if not 1 <= folds <= len(found):
        raise ParameterError(f"--folds must be 1 to {len(found)}, as many as there are groups or parts: got {folds}")
    return found[:folds]


def _show_scores(rows: list[dict[str, Any]], label: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Accuracy of {escape(label)} on sequences that no search used", title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "fold" else "right", overflow="fold")
    for row in rows:
        table.add_row(escape(row["fold"]), str(row["sequences"]), *(f"{row[name]:.1%}" for name in list(row)[2:]))
    if len(rows) > 1:
        means = [f"{sum(row[name] for row in rows) / len(rows):.1%}" for name in list(rows[0])[2:]]
        table.add_row(f"mean of {len(rows)}", str(sum(row["sequences"] for row in rows)), *means, style="bold")
    console.print(table)


def _tune_forecaster(search: RaySearch, panel: Panel, protocol: Protocol, data: str, out: Path) -> None:
    """Search before the test part, compare tuned and untuned on it, and keep the tuned model."""
    from sklearn.base import clone

    from tsforecast.data.splits import training_part
    from tsforecast.estimators.persistence import save
    from tsforecast.evaluation.leaderboard import leaderboard

    before = panel  # of the test, as far as the search does not keep groups apart itself
    if panel.groups is None:
        fold = protocol.folds(panel)[0]
        before = training_part(panel, fold.cutoffs[0], fold.train)
    search.fit(before)
    _stop_if_cut_short(search)
    search.report(out / REPORT, f"Search on {data}, horizon {protocol.horizon}")
    echo(f"wrote {out / REPORT}")
    _echo_best(search)
    echo(
        f"skill {search.best_score_:+.1%} over {search.reference_} on the validation part, of which about "
        f"{max(0.0, search.optimism_):.1%} is luck of the choice"
    )
    chosen = clone(search.best_estimator_)
    if panel.groups is None:
        models = {"untuned": search.forecaster} | ({"tuned": chosen} if search.best_params_ else {})
        metric = "mase" if search.metric == "skill" else search.metric
        counts = (protocol.horizon, protocol.origins, protocol.step)
        board = leaderboard(models, panel, *counts, metric=metric, align=protocol.align)
        title = f"{data}, horizon {protocol.horizon}: the test part, which the search did not use"
        show_leaderboard(board, title, console, note_of)
        write_report(board, out / "report.html", f"Tuned on {data}, horizon {protocol.horizon}")
    if search.best_params_:
        save(chosen.set_params(verbose=0).fit(panel), out / "model")
        echo(f"fitted on all of the data; forecast with: tsforecast predict {shlex.quote(str(out / 'model'))}")


def _echo_best(search: RaySearch, where: str = "") -> None:
    """Print the best settings; that none beats the reference stands out."""
    found = " ".join(f"{name}={value!r}" for name, value in search.best_params_.items())
    echo(f"{where}best settings: {found or f'none beats {search.reference_}'}", style=None if found else "yellow")


def _stop_if_cut_short(search: RaySearch) -> None:
    """End the command where the user ended the search: the test part stays closed until all trials are done."""
    if not (search.complete_ or search.time_budget):
        echo("nothing was tested yet; the same command with --resume continues, and tests when all trials are done")
        raise typer.Exit(130)


def _read_space(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"--space must name a TOML file with lines such as units = [16, 32]: {str(path)!r} cannot be read "
            f"({reason(error)})"
        ) from error
