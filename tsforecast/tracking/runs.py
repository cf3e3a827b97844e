"""Turn fits and comparisons into MLflow runs; nested activities become nested runs."""

from __future__ import annotations

import getpass
import json
import logging
import math
import os
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.base import ClassifierMixin

from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.errors import TrackingWarning, TrainingWarning, TsForecastError, reason, shorten
from tsforecast.estimators.registry import model_name
from tsforecast.evaluation import summaries
from tsforecast.evaluation.classification import REFERENCE, accuracy_by
from tsforecast.evaluation.metrics import shown_metrics, skill
from tsforecast.evaluation.record import ClassifierFit, FitRecord, ForecastFit, learned
from tsforecast.events import Activity, clock
from tsforecast.forecasters.base import Forecaster
from tsforecast.provenance import machine, naive_note, skill_note, versions
from tsforecast.tracking import figures, flavour
from tsforecast.tracking.outbox import Outbox
from tsforecast.tracking.store import Event
from tsforecast.training.history import Epoch, best_epoch

Facts = dict[str, Any]
Metric = list[Any]  # name, value, milliseconds, step

# Field of an epoch -> metric in MLflow, which groups metrics by the word before the slash.
EPOCH = {
    "train_loss": "loss/training",
    "valid_loss": "loss/validation",
    "skill": "skill/validation",
    "learning_rate": "training/learning_rate",
    "seconds": "training/seconds",
}


def named(model: Any) -> str:
    """Return the name of a model; the cell for a neural model of any cell."""
    name = model_name(model)
    return str(model.cell) if name == "neural" else name


def about(panel: Panel, recordings: bool = False) -> str:
    """Return a short description of the data."""
    targets = shorten(list(panel.roles.target), 2)
    if isinstance(panel, SupervisedPanel) or recordings:
        return f"{len(panel)} {'recordings' if recordings else 'windows'}"
    return targets if len(panel) == 1 else f"{targets}, {len(panel)} series"


def origin() -> Facts:
    """Return tags with the origin of a run: versions, machine, program, user."""
    found = {f"version.{name}": number for name, number in (versions() | {"mlflow": version("mlflow")}).items()}
    source = {"mlflow.source.name": Path(sys.argv[0] or "python").name, "mlflow.source.type": "LOCAL"}
    try:
        source["mlflow.user"] = getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for the user
        source["mlflow.user"] = str(os.getuid())
    return found | source | {"machine": machine()}


def of_data(panel: Panel) -> Facts:
    """Return parameters of the data: size, span and fingerprint."""
    ends = panel.frequency.advance(panel.starts, panel.lengths - 1)
    span = {"data/first": panel.label(panel.starts.min()), "data/last": panel.label(ends.max())}
    return {
        "data": repr(panel).removeprefix("Panel: "),
        "data/fingerprint": panel.fingerprint(),
        **({} if panel.kind == "none" else span),
    }


def of_dataset(panel: Panel, name: str) -> Facts:
    """Return the data of a run as a dataset of MLflow: name, digest, source, columns, and counts."""
    given, source = panel.roles.given, {"dataset": panel.source.dataset, "form": panel.source.form}
    kept = (panel.source.id, panel.source.time, *panel.roles.target, *given.past, *given.future, *given.static)
    types = {str(each): "double" if each in panel.roles.varying else "string" for each in kept if each}
    columns = [{"name": each, "type": kind, "required": True} for each, kind in types.items()]
    return {
        "name": name,
        "digest": panel.fingerprint()[:8],
        "source_type": "tsforecast",
        "source": json.dumps({key: value for key, value in source.items() if value}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps({"num_rows": int(panel.lengths.sum()), "series": len(panel), "panel": repr(panel)}),
    }


def of_settings(model: Any) -> Facts:
    """Return the parameters of a model as text."""
    given = model.get_params(deep=False)
    return {name: value if isinstance(value, str) else " ".join(repr(value).split()) for name, value in given.items()}


def of_fitted(model: Any, panel: Panel) -> Facts:
    """Return parameters resolved by a fit: settings, scaling, training and validation parts."""
    state = learned(model)
    found = {f"resolved/{name}": value for name, value in state["resolved"].items()}
    found |= {"scaling": state["scaling"]} if state["scaling"] else {}
    kept = state["resolved"].get("validation")
    if kept and panel.kind != "none" and panel.groups is None and not isinstance(panel, SupervisedPanel):
        ends = panel.lengths - int(kept)
        first = panel.frequency.advance(panel.starts, ends)
        found["split/training_last"] = panel.label(panel.frequency.advance(panel.starts, ends - 1).max())
        found["split/validation_first"] = panel.label(first.min())
    return found


def of_record(fit: FitRecord) -> tuple[Facts, Facts]:
    """Return tags and parameters of one fit of a comparison."""
    params: Facts = {}
    if isinstance(fit, ForecastFit):
        params |= {"split/first": fit.learned_from[0], "split/last": fit.learned_from[1], "split/series": fit.series}
    elif isinstance(fit, ClassifierFit):
        params |= {"split/protocol": fit.protocol, "split/fold": fit.fold, "split/recordings": fit.series}
    params |= {"split/steps": fit.steps} | ({"split/left_out": ", ".join(fit.left_out)} if fit.left_out else {})
    audited = fit.leak_audit if isinstance(fit, ForecastFit) else ""
    tags = {"model": fit.model, "seed": fit.seed, "leak_audit": audited, "error": fit.error}
    return {name: value for name, value in tags.items() if value not in (None, "")}, params


def of_epochs(epochs: Iterable[Epoch]) -> list[Metric]:
    """Return the metrics of epochs, without missing ones."""
    return [
        [name, value, _now(), epoch.number]
        for epoch in epochs
        for field, value in asdict(epoch).items()
        if (name := EPOCH.get(field)) and _is_number(value) and (epoch.number or name.startswith(("loss", "skill")))
    ]


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)


_log = logging.getLogger("tsforecast")


@dataclass(eq=False)
class _Run:
    """An open run."""

    activity: Activity
    name: str
    kind: str  # fit, leaderboard, comparison (of classifiers) or search
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began: float = field(default_factory=clock)
    children: list[str] = field(default_factory=list)  # nested runs that ended, without an outcome yet
    outcomes: list[tuple[str, FitRecord]] = field(default_factory=list)  # of nested runs


Step = TypeVar("Step", bound=Callable[..., None])


def _safe(step: Step) -> Step:
    """Make a method of a tracker log its errors in place of raising them, and do nothing in a fork."""

    @wraps(step)
    def safe(tracker: Tracker, *arguments: Any) -> None:
        if tracker.outbox.elsewhere:
            return
        try:
            step(tracker, *arguments)
        except Exception as error:
            _log.warning("a run could not be recorded", exc_info=True)
            tracker.outbox.refused.append(reason(error))

    return cast(Step, safe)


class Tracker:
    """Observer that sends activities as runs with these `tags`; its errors never reach the activity.

    The tag ``data`` names the data in names of runs.
    """

    def __init__(self, outbox: Outbox, tags: Mapping[str, Any]) -> None:
        self.outbox, self._tags = outbox, dict(tags)
        self._origin = origin()
        self._open: list[_Run] = []
        self._complained = False

    @_safe
    def on_start(self, activity: Activity) -> None:
        """Start a run, nested in the open one."""
        model = activity.subject
        searches = sys.modules.get("tsforecast.search.search")  # None before a search; its import takes long
        settings: Facts = {}
        if _classifies(model):
            kind, name = "comparison", f"{len(model)} classifiers"
        elif isinstance(model, Mapping):
            kind, name = "leaderboard", f"{len(model)} models"
        elif searches and isinstance(model, searches.RaySearch):
            tuned = "network" if "cell" in model.space else named(model.forecaster)
            kind, name, settings = "search", f"{tuned} search {model.name or ''}".rstrip(), of_settings(model)
        else:
            kind, name, settings = "fit", named(model), of_settings(model)
        run = _Run(activity, f"{name} on {self._data(activity)}", kind)
        self._start(run.id, run.name, kind, of_data(activity.data) | settings, data=activity.data)
        self._open.append(run)

    @_safe
    def on_event(self, activity: Activity, event: Any) -> None:
        """Log an epoch, or the outcome of one fit of a comparison."""
        run = self._run_of(activity)
        if run and isinstance(event, Epoch):
            self._log(run.id, metrics=of_epochs([event]))
        elif run and isinstance(event, FitRecord):
            self._outcome(run, event)

    def on_end(self, activity: Activity, error: BaseException | None) -> None:
        """End a run with its results."""
        self._end(activity, error)
        if not self._open:
            self.complain()

    def complain(self) -> None:
        """Warn once that tracking stopped."""
        if self.outbox.problem and not self._complained:
            self._complained = True
            store = self.outbox.store.uri
            warnings.warn(
                f"tracking stopped, and the work continues: runs can no longer be sent to {store!r} "
                f"({self.outbox.problem}); unsent events are kept in {str(self.outbox.kept)!r}, and "
                f"tsforecast track-sync {self.outbox.kept.parent} sends it",
                TrackingWarning,
                stacklevel=2,
            )

    @_safe
    def _end(self, activity: Activity, error: BaseException | None) -> None:
        run = self._run_of(activity)
        if run is None:
            return
        self._open.remove(run)
        for parent in self._open[-1:]:
            parent.children.append(run.id)
        self._log(run.id, {"training/fit_seconds": clock() - run.began})
        try:
            if error is not None:
                self._log(run.id, tags={"error": f"{type(error).__name__}: {reason(error)}"})
            else:
                kinds = {"leaderboard": self._leaderboard, "comparison": self._comparison, "search": self._search}
                kinds.get(run.kind, self._fit)(run)
        finally:
            stopped = isinstance(error, (KeyboardInterrupt, TrainingWarning))
            self._finish(run.id, "FINISHED" if error is None else "KILLED" if stopped else "FAILED")

    def _fit(self, run: _Run) -> None:
        """Log the resolved settings of a fitted model, its figures, and the model itself."""
        model, panel = run.activity.subject, run.activity.data
        history = list(getattr(model, "history_", ()))
        best = best_epoch(history) if history else None
        numbers = {"loss/best_validation": best.valid_loss, "skill/best_validation": best.skill} if best else {}
        resolved = getattr(model, "resolved_", {})
        recordings = not isinstance(model, Forecaster)
        notes = [skill_note(resolved, best.skill if best else None, recordings), naive_note(resolved)]
        sentences = [f"{named(model)}: {note}." for note in notes if note] or [f"{named(model)} was fitted."]
        data = about(panel, recordings) if recordings else repr(panel).removeprefix("Panel: ")
        description = "\n\n".join([*sentences, f"Data: {data}."])
        self._log(run.id, numbers, of_fitted(model, panel), {"mlflow.note.content": description})
        if recordings:
            self._keep(run, model)
            return
        pictures, place = self.outbox.new_folder(), self.outbox.new_folder()
        forecast = figures.forecast(model, panel)
        # A comparison explains its best model alone.
        parts = None if self._open else figures.explanation(model, panel)

        def drawn() -> Event:
            figures.draw(pictures, forecast, history, parts)
            return Event("files", run.id, {"under": "figures"}, pictures.name)

        self.outbox.put(drawn)
        try:
            kept = flavour.keep(model, place, panel)
        except TsForecastError as error:
            self._log(run.id, tags={"model_kept": f"no: {reason(error)}"})
            return
        values = {"name": named(model), "params": {"run": run.name}}

        def described() -> Event:
            flavour.describe(kept, place)
            return Event("model", run.id, values, place.name)

        self.outbox.put(described)

    def _outcome(self, run: _Run, fit: FitRecord) -> None:
        """Log the outcome of one fit of a comparison, to the run that just ended or to a new one."""
        tags, params = of_record(fit)
        parts = [fit.model] if fit.seed is None else [fit.model, f"seed {fit.seed}"]
        if isinstance(fit, ClassifierFit):
            parts.append(f"{shorten(fit.left_out, 2)} left out" if fit.left_out else f"{fit.protocol} {fit.fold + 1}")
        name = f"{', '.join(parts)} on {self._data(run.activity)}"
        seconds = {"training/predict_seconds": fit.predict_seconds}
        if run.children:
            child = run.children[-1]
            run.children.clear()  # others are of a search within this fit
            self._log(child, tags={"mlflow.runName": name})
        else:
            seconds["training/fit_seconds"] = fit.fit_seconds
            tags["model_kept"] = "no: it was fitted in another process, or before"
            child = uuid.uuid4().hex
            self._start(child, name, "fit", {"settings": fit.settings}, parent=run.id)
            resolved = {f"resolved/{key}": value for key, value in fit.resolved.items()}
            self._log(child, params=resolved, metrics=of_epochs(Epoch(**epoch) for epoch in fit.history))
            self._finish(child, "FINISHED")
        if fit.error:  # also where the forecasts failed after a good fit
            self._finish(child, "FAILED")
        self._log(child, seconds, params, tags)
        run.outcomes.append((child, fit))

    def _leaderboard(self, run: _Run) -> None:
        """Log scores and verdicts of a comparison, to the runs of the models and to its own."""
        board = run.activity.result
        errors = summaries.errors(board.rows, metrics=shown_metrics(board.rows, board.metric))
        table = board.table.set_index("model")
        for child, fit in run.outcomes:
            key = fit.model, -1 if fit.seed is None else fit.seed
            if key in errors.index:
                scores = {f"test/{name}": error for name, error in errors.loc[key].items()}
                scores["test/skill"] = skill(errors.loc[key, board.metric], table.loc[board.reference, board.metric])
                sentence = board.verdicts[fit.model].sentence
                self._log(child, scores, tags={"verdict": sentence, "mlflow.note.content": f"{sentence}."})
        shown = (board.metric, "skill")
        scores = {f"test_{name}/{model}": table.loc[model, name] for name in shown for model in table.index}
        record = board.record
        params = {"metric": board.metric, "reference": board.reference, "horizon": record.horizon}
        params |= {"origins": record.origins, "step": record.step, "gap": record.gap, "refit": record.refit}
        sentences = "\n".join(f"- {verdict}" for verdict in board.verdicts.values())
        tags = {
            "leak_audit": board.audit_line,
            "mlflow.note.content": f"{board.headline}.\n\n{sentences}\n\n{board.audit_line}. {board.summary_line}.",
        }
        self._log(run.id, scores, params, tags)
        place = self.outbox.new_folder()
        board.to_html(place / "report.html", run.name)
        board.to_parquet(place / "rows.parquet")
        (place / "leaderboard.md").write_text(f"# {run.name}\n\n{board.to_markdown()}", encoding="utf-8")
        self.outbox.put(Event("files", run.id, {"under": ""}, place.name))

    def _comparison(self, run: _Run) -> None:
        """Log accuracies and verdicts of a comparison of classifiers, to the runs of the fits and to its own."""
        found = run.activity.result
        rows, first = found.rows.assign(seed=found.rows["seed"].fillna(-1)), found.protocols[0]
        for child, fit in run.outcomes:
            if isinstance(fit, ClassifierFit) and fit.model not in found.failures:
                seed = -1 if fit.seed is None else fit.seed
                here = rows["protocol"].eq(fit.protocol) & rows["fold"].eq(fit.fold)
                part = rows[here & rows["model"].eq(fit.model) & rows["seed"].eq(seed)]
                right = float(accuracy_by(part, "fold").iloc[0, 0])
                whom = f" of {', '.join(fit.left_out)}, who was left out" if fit.left_out else ""
                sentence = f"{fit.model} is right on {right:.1%} of the {found.unit}{whom}"
                self._log(child, {"test/accuracy": right}, tags={"mlflow.note.content": f"{sentence}."})
        scores = {
            f"test_{name}/{model}": value for name, column in found.metrics().items() for model, value in column.items()
        }
        for line in found.table.itertuples(index=False):
            suffix = "" if line.protocol == first else f"_{line.protocol}"
            scores |= {
                f"test_accuracy{suffix}/{line.model}": line.accuracy,
                f"test_lowest{suffix}/{line.model}": line.lowest,
            }
        sentences = "\n".join(f"- {each}" for each in (*found.verdicts.values(), *found.optimism))
        note = f"{found.headline}.\n\n{sentences}\n\n{found.summary_line}."
        params = {"protocols": ", ".join(found.protocols), "reference": REFERENCE}
        self._log(run.id, scores, params, {"mlflow.note.content": note})
        place = self.outbox.new_folder()
        found.to_html(place / "report.html", run.name)
        found.to_parquet(place / "rows.parquet")
        (place / "classification.md").write_text(f"# {run.name}\n\n{found.to_markdown()}", encoding="utf-8")
        self.outbox.put(Event("files", run.id, {"under": ""}, place.name))

    def _keep(self, run: _Run, model: Any) -> None:
        """Keep the folder of a classifier or regressor of recordings, but not of each fit of a comparison."""
        if any(each.kind == "comparison" for each in self._open):
            return
        place = self.outbox.new_folder()
        try:
            model.save(place / "model")
        except TsForecastError as error:
            self._log(run.id, tags={"model_kept": f"no: {reason(error)}"})
            return
        self.outbox.put(Event("files", run.id, {"under": ""}, place.name))

    def _search(self, run: _Run) -> None:
        """Log the trials of a search as nested runs, from its stored results."""
        search = run.activity.subject
        for trial in search.trials_.itertuples(index=False):
            child = uuid.uuid4().hex
            settings = search.reference_ if trial.status == "naive" else _settings_line(trial.params)
            self._start(child, f"trial {trial.trial}: {settings}", "trial", trial.params, parent=run.id)
            skills = [["skill/validation", skill, _now(), epoch] for epoch, skill in enumerate(trial.scores)]
            numbers = {"skill/best_validation": trial.best_score, "training/fit_seconds": trial.seconds}
            tags = {"status": trial.status, "best_epoch": trial.best_epoch}
            tags |= {"error": trial.error} if trial.error else {}
            self._log(child, numbers, tags=tags, metrics=skills)
            self._finish(child, "FAILED" if trial.error else "FINISHED")
        params = {f"best/{name}": value for name, value in search.best_params_.items()}
        params |= {"reference": search.reference_, "best_trial": search.best_index_}
        numbers = {"skill/best_validation": search.best_score_, "skill/optimism": search.optimism_}
        self._log(run.id, numbers, params, {"mlflow.note.content": _verdict_of(search)})
        place = self.outbox.new_folder()
        search.report(place / "search.html", run.name)
        search.trials_.drop(columns=["scores", "params"]).to_csv(place / "trials.csv", index=False)
        self.outbox.put(Event("files", run.id, {"under": ""}, place.name))

    def _start(
        self,
        run: str,
        name: str,
        kind: str,
        params: Mapping[str, Any],
        parent: str | None = None,
        data: Panel | None = None,
    ) -> None:
        """Begin a run in the experiment of its data, or that of the run that it is nested in."""
        outermost = self._open[0].activity.data if self._open else data
        experiment = outermost.source.dataset if outermost is not None else None
        parent = parent or (self._open[-1].id if self._open else None)
        tags = {**self._origin, "kind": kind, **self._tags}
        begun = {"name": name, "parent": parent, "at": _now(), "tags": tags, "params": params, "experiment": experiment}
        if data is not None:
            begun["dataset"] = of_dataset(data, str(self._tags.get("data") or data.source.dataset or about(data)))
        self.outbox.put(Event("begin", run, _plain(begun)))

    def _log(
        self,
        run: str,
        numbers: Facts | None = None,
        params: Facts | None = None,
        tags: Facts | None = None,
        metrics: Sequence[Metric] = (),
    ) -> None:
        """Log numbers without a step, where they are finite, parameters, tags, and metrics of steps."""
        found = [[name, float(value), _now(), 0] for name, value in (numbers or {}).items() if _is_number(value)]
        logged = {"metrics": [*metrics, *found], "params": _plain(params or {}), "tags": _plain(tags or {})}
        self.outbox.put(Event("log", run, logged))

    def _finish(self, run: str, status: str) -> None:
        self.outbox.put(Event("end", run, {"status": status, "at": _now()}))

    def _run_of(self, activity: Activity) -> _Run | None:
        """Return the run of an activity; None where it could not begin."""
        return next((run for run in self._open if run.activity is activity), None)

    def _data(self, activity: Activity) -> str:
        recordings = _classifies(activity.subject) or not isinstance(activity.subject, Forecaster | Mapping)
        return str(self._tags.get("data") or about(activity.data, recordings))


def _classifies(subject: Any) -> bool:
    """Return whether these are the classifiers of a comparison."""
    return isinstance(subject, Mapping) and any(isinstance(model, ClassifierMixin) for model in subject.values())


def _verdict_of(search: Any) -> str:
    """Return the result of a search in two sentences."""
    found = _settings_line(search.best_params_)
    best = f"Best settings: {found}." if found else f"No settings beat {search.reference_}."
    return (
        f"{best} Skill {search.best_score_:+.1%} over {search.reference_} on the validation part, of which about "
        f"{max(0.0, search.optimism_):.1%} is luck of the choice."
    )


def _settings_line(settings: Mapping[str, Any]) -> str:
    """Return settings in a line, numbers with three digits."""
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in settings.items()
    )


def _plain(value: Any) -> Any:
    """Return a value as a JSON value: texts for all but mappings and numbers."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _now() -> int:
    return int(time.time() * 1000)
