"""`tsforecast classify`, and what `fit` and `predict` do with labelled recordings."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.console import (
    COMPARISON,
    console,
    echo,
    interruptible,
    note_replaced,
    progress,
    require_results,
    warn,
    write_comparison,
    write_frame,
    write_report,
)
from tsforecast.cli.data import tracked
from tsforecast.cli.dates import Form
from tsforecast.cli.options import (
    Causal,
    ClusterOptions,
    DataOptions,
    Labelled,
    RecordingOptions,
    ResultOptions,
    TrainingOptions,
    expand_options,
    on_cluster,
)
from tsforecast.cli.recordings import (
    PART,
    TEST,
    TRAIN,
    Layout,
    keep_layout,
    kept_layout,
    marks_of,
    read_new,
    read_recordings,
)
from tsforecast.cli.wording import note_of
from tsforecast.errors import DataError, ParameterError, Problem, UnknownNameError, counted, nearest, raise_any
from tsforecast.estimators.registry import CLASSIFIER_NAMES, known_name
from tsforecast.evaluation.report.terminal import show_classification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsforecast.data.panel import Panel

CLASSIFIERS = "nearest-neighbor,rocket,gru,conv1d"
PROTOCOLS = ("given", "leave-users-out", "random")


@expand_options
def classify(
    data: Labelled,
    training: TrainingOptions,
    fits: ClusterOptions,
    results: ResultOptions,
    recordings: RecordingOptions,
    reading: DataOptions,
    models: Annotated[
        str,
        typer.Option(
            help=f"Names with commas, or all: {', '.join(CLASSIFIER_NAMES)}; the majority is always included."
        ),
    ] = CLASSIFIERS,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="given (column part: train or test), leave-users-out, random, or the last two with a comma.",
            show_default="the first of these that the data allow",
        ),
    ] = None,
    causal: Causal = False,
) -> None:
    """Compare classifiers of labelled recordings with the majority, on people that they have not learned from.

    Where the label changes within recordings, networks learn a label for each step.
    """
    from tsforecast.evaluation.compare_classifiers import compare_classifiers

    chosen = _classifiers(models, training, causal)
    require_results(results, COMPARISON)
    panel, label = read_recordings(data, reading, recordings)
    for note in panel.notes:
        warn("Note", note_of(note))
    if at_steps(panel, label):
        chosen = _for_steps(chosen, named=models != CLASSIFIERS and "all" not in models.split(","))
    protocols, test = _split(panel, protocol)
    if results.out:
        note_replaced(results.out, {*chosen, "majority"})
    title = f"{data}: {label}"
    with (
        interruptible(results),
        on_cluster(fits.address, fits.jobs) as n_jobs,
        tracked(results.mlflow, data),
        progress(f"{data}: ", None) as started,
    ):
        found = compare_classifiers(
            chosen,
            panel,
            label,
            protocol=protocols,
            test=test,
            seeds=fits.seeds,
            n_jobs=n_jobs,
            checkpoint=results.unfinished,
            progress=lambda model, by, fold: started(f"{model}, {by}, fold {fold + 1}"),
        )
    show_classification(found, title, console, note_of)
    if results.out and results.unfinished:
        write_comparison(found, results.out, title, COMPARISON)
        shutil.rmtree(results.unfinished, ignore_errors=True)
    if results.report:
        write_report(found, results.report, title)
    if found.failures:
        raise typer.Exit(1)


def fit_classifier(
    data: str,
    model: str,
    reading: DataOptions,
    recordings: RecordingOptions,
    training: TrainingOptions,
    causal: bool,
    out: Path,
) -> None:
    """Fit one classifier, on part `train` alone where the data have a split, and save it with how it was read."""
    from tsforecast.estimators.persistence import save

    chosen = _classifiers(model, training, causal, verbose=int(console.is_terminal))
    if len(chosen) != 1:
        raise ParameterError(f"--model takes one name: got {model}; classify compares several")
    next(iter(chosen.values())).saved_params()  # which refuses what cannot be saved, before it is fitted
    panel, label = read_recordings(data, reading, recordings)
    output = "step" if at_steps(panel, label) else "recording"
    classifier = next(iter((_for_steps(chosen) if output == "step" else chosen).values()))
    tested = tested_part(panel)
    learned = panel if tested is None else panel.select(~tested)
    classifier.fit(learned, label)
    save(classifier, out)
    read, marks = replace(reading, target=",".join(classifier.columns_)), marks_of(_channels(learned, label))
    keep_layout(out, data, Layout(read, label, recordings.files, output=output, learned=marks))
    echo(f"fitted {model} on {_counted(learned, label)}")
    for note in panel.notes:
        warn("Note", note_of(note))
    if tested is not None:
        were = counted(int(tested.sum()), f"recording of part {TEST!r} was", f"recordings of part {TEST!r} were")
        warn("Note", f"{were} not learned from")
    echo(f"saved in {out}; classify others with: tsforecast predict {shlex.quote(str(out))} NEW")


def predict_labels(classifier: Any, model: Path, data: str, id: str | None, out: Path | None) -> None:
    """Write the predicted label of each new recording, or of each of its steps, and the probability of each class."""
    import numpy as np
    import polars as pl

    for_steps = getattr(classifier, "at_steps", False)
    channels = None if classifier.columns_ else classifier.channels_
    layout = replace(kept_layout(model, classifier.columns_), output="step" if for_steps else "recording")
    layout = replace(layout, channels=channels)
    panel = read_new(data, layout, id)
    for note in panel.notes:
        warn("Note", note_of(note))
    label = layout.label or "label"
    recordings = _channels(panel, label)
    probabilities, predicted = classifier.predict_proba(recordings), classifier.predict(recordings)
    names = "recording" if panel.source.id in (None, label) else str(panel.source.id)
    columns = {names: panel.ids.astype(str)}
    if for_steps:
        columns = {
            names: np.repeat(columns[names], panel.lengths),
            "step": np.concatenate([*map(np.arange, panel.lengths)]),
        }
        probabilities, predicted = np.concatenate(probabilities), np.concatenate(predicted)
    if getattr(classifier, "multilabel_", False):
        held = np.array([*map(str, classifier.classes_.tolist())])
        predicted = np.array([";".join(held[row == 1]) for row in predicted])
    columns[label] = predicted.astype(str)
    shares = {f"{label}={name}": probabilities[:, k] for k, name in enumerate(classifier.classes_.tolist())}
    write_frame(pl.DataFrame(columns | shares), Form(decimals=dict.fromkeys(shares, 3)), out)
    if out:
        echo(f"{counted(len(predicted), 'label')} in {out}")
    if known := len({*marks_of(recordings)} & {*layout.learned}):
        were = "was" if known == 1 else "were"
        some = f"{known} of {counted(len(panel), 'recording')} {were} learned from"
        warn("Note", f"{some}: how well they are recognised is no estimate for new ones")
    if label in panel.statics:
        right = panel.statics[label].astype(str) == columns[label]
        many = counted(len(panel), "recording")
        warn("Note", f"{right.mean():.1%} of {many} got the label in column {label!r}")
    elif for_steps and label in panel.roles.categories:
        truth = _labels(panel, label)
        known = truth != ""
        if known.any():
            share, many = (truth == columns[label])[known].mean(), counted(int(known.sum()), "labelled step")
            warn("Note", f"{share:.1%} of {many} got the label in column {label!r}")


def _channels(panel: Panel, label: str) -> Panel:
    """Return recordings without labels, of each or of its steps, and other facts that no classifier reads."""
    from tsforecast.sequences.steps import without_column

    facts = dict.fromkeys([*panel.roles.static, *filter(None, [panel.roles.group])])
    return without_column(panel.without(*facts), label)


def tested_part(panel: Panel) -> NDArray[np.bool_] | None:
    """Return which recordings are of part `test`, where there are others of part `train`."""
    if PART not in panel.statics:
        return None
    found: NDArray[np.bool_] = panel.statics[PART].astype(str) == TEST
    return found if found.any() and not found.all() else None


def _classifiers(names: str, training: TrainingOptions, causal: bool, **more: Any) -> dict[str, Any]:
    """Return classifiers by name."""
    from tsforecast.estimators.registry import make_classifier

    words = [name.strip() for name in names.split(",") if name.strip()]
    wanted = [name for word in words for name in (CLASSIFIER_NAMES if word == "all" else [known_name(word, True)])]
    if not wanted:
        raise ParameterError(f"at least one model must be named: choose from {', '.join(CLASSIFIER_NAMES)}")
    unknown = [name for name in wanted if name not in CLASSIFIER_NAMES]
    if unknown:
        raise UnknownNameError(
            [f"classifier {name!r} does not exist; {nearest(name, CLASSIFIER_NAMES)}" for name in unknown]
        )
    settings = training.settings() | ({"bidirectional": False} if causal else {}) | more
    models = {name: make_classifier(name, **settings) for name in wanted}
    known = {name for model in models.values() for name in model.get_params(deep=False)}
    lack = f"{', '.join(models)} {'have' if len(models) > 1 else 'has'} no such setting"
    ignored = ["max_epochs"] if training.epochs is not None and "max_epochs" not in known else []
    problems = [Problem("must be left out", lack, parameter=name) for name in ignored]
    if causal and "bidirectional" not in known:
        problems.append(Problem("--causal must be left out", lack))
    raise_any(problems, ParameterError)
    return models


def _for_steps(models: dict[str, Any], named: bool = True) -> dict[str, Any]:
    """Return those models that can learn a label for each step, and do; if `named`, all must."""
    from tsforecast.estimators.registry import make_classifier

    able = {name: model for name, model in models.items() if hasattr(model, "output")}
    unable = ", ".join(name for name in models if name not in able)
    if unable and named:
        known = ", ".join(name for name in CLASSIFIER_NAMES if hasattr(make_classifier(name), "output"))
        must = f"models must be able to learn a label for each step, which are {known}"
        raise ParameterError(Problem(must, f"got {unable}", "name those alone"))
    if unable:
        warn("Note", f"{unable} cannot learn a label for each step and are left out")
    return {name: model.set_params(output="step") for name, model in able.items()}


def _split(panel: Panel, protocol: str | None) -> tuple[list[str], NDArray[np.bool_] | None]:
    """Return protocols, and which recordings are tested where the split came with them."""
    asked = [name.strip() for name in (protocol or "").split(",") if name.strip()]
    unknown = [name for name in asked if name not in PROTOCOLS]
    if unknown or (len(asked) > 1 and "given" in asked):
        found = "given cannot be combined with others" if not unknown else nearest(unknown[0], PROTOCOLS)
        raise ParameterError(f"--protocol must be {', '.join(PROTOCOLS)}, or the last two: got {protocol!r}; {found}")
    tested = tested_part(panel)
    if asked == ["given"] and tested is None:
        raise DataError(
            f"--protocol given needs a column or field {PART!r} that holds {TRAIN!r} and {TEST!r}: there is none"
        )
    if tested is not None and asked in ([], ["given"]):
        return ["random"], tested  # which the test replaces
    if not asked and panel.groups is None:
        echo("without --group the same user may be on both sides of a test", style="yellow")
    return asked or ["random" if panel.groups is None else "leave-users-out"], None


def _counted(panel: Panel, label: str) -> str:
    """Return the number of recordings, users and classes in words."""
    users = "" if panel.groups is None else f" of {counted(len(set(panel.groups.tolist())), 'user')}"
    some = f"{counted(len(panel), 'recording')}{users}"
    if not at_steps(panel, label):
        return f"{some}, {counted(len(set(panel.statics[label].tolist())), 'class', 'classes')}"
    known = [text for text in _labels(panel, label).tolist() if text]
    return f"{some}, {len(known):,} labelled steps, {counted(len(set(known)), 'class', 'classes')}"


def at_steps(panel: Panel, label: str) -> bool:
    """Return whether each step of recordings has a label, rather than each recording."""
    return label not in panel.statics


def _labels(panel: Panel, label: str) -> NDArray[Any]:
    """Return the label of each step of all recordings below each other, (rows,), which is empty where there is none."""
    import numpy as np
    import pandas as pd

    texts = panel.roles.texts(label, panel.values[:, panel.roles.varying.index(label)])
    return np.where(pd.isna(texts), "", texts)
