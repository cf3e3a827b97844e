"""Save a fitted model, and load it: a folder with arrays in safetensors and everything else in JSON, no code.

`save` collects the fitted state, its provenance and a golden prediction, and writes all of it at once. `load` checks
every value, migrates older formats, restores the model and compares its golden prediction. `summary` describes
what a folder holds in words.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tsforecast.checks import require_estimator
from tsforecast.data.panel import Panel
from tsforecast.data.series import Roles, Source
from tsforecast.errors import Argument, ModelFileError, ParameterError, Problem, counted, nearest, raise_any, shorten
from tsforecast.estimators.registry import CLASSES, estimator_class
from tsforecast.files import require_place
from tsforecast.provenance import machine, scaling_words, versions
from tsforecast.saving.codec import Numbers, from_plain, pack, to_plain, typed, under, unpack
from tsforecast.saving.folder import DESCRIPTION, GOLDEN_OUTPUTS, read_description, read_numbers, write
from tsforecast.saving.migrations import VERSION, migrated, wrote
from tsforecast.training.history import Epoch, best_epoch

QUANTILES = "QuantileLoss"  # the loss of ours that has arguments
NAMES = 8  # of classes or columns in a summary, before there are "more"
ELSEWHERE = ("device", "verbose", "n_jobs", "history_")  # what changes no forecast
TOLERANCE = 1e-3  # of the spread of a golden prediction: other machines and libraries round otherwise


@runtime_checkable
class Model(Protocol):
    """A model that can be saved, as `tsforecast.estimators.base.Estimator` describes it; no class is named here."""

    members_: list[Any]

    def get_params(self) -> dict[str, Any]: ...
    def check_fitted(self) -> None: ...
    def saved_params(self) -> dict[str, Any]: ...
    def saved_panel(self) -> Panel | None: ...
    def golden(self) -> tuple[dict[str, Any], Numbers]: ...
    def golden_outputs(self, question: dict[str, Any], arrays: Numbers) -> NDArray[np.float64]: ...
    def provenance(self) -> dict[str, Any]: ...
    def get_state(self) -> tuple[dict[str, Any], Numbers]: ...


def require_same(model: Model, question: dict[str, Any], arrays: Numbers, wrote: str) -> None:
    """Repeat the golden prediction of a loaded model; a ModelFileError where it differs names what wrote it."""
    then, now = arrays[GOLDEN_OUTPUTS], model.golden_outputs(question, arrays)
    if then.shape != now.shape:
        raise ModelFileError(f"the golden forecast must have shape {now.shape}: it has {then.shape}")
    finite = np.isfinite(then).all()
    spread = max(float(np.ptp(then)), 1e-6 * float(np.abs(then).max(initial=0.0)), 1e-300) if finite else 1
    difference = np.where((now == then) | (np.isnan(now) & np.isnan(then)), 0.0, np.abs(now - then)) / spread
    if not difference.max(initial=0.0) <= TOLERANCE:
        raise ModelFileError(
            f"a loaded model must predict what it predicted when it was saved: its golden forecast is off by "
            f"{difference.max():.2g} of its spread, and {TOLERANCE:g} is allowed; load it with the versions that wrote "
            f"it{wrote}, or fit it again"
        )


def save(model: Model, folder: str | Path) -> None:
    """Write a fitted forecaster, classifier or search to a folder, whole or not at all.

    Parameters
    ----------
    model : Forecaster or Classifier
        Of a `RaySearch`, the trials and the best estimator are kept, not the folder that it works in.
    folder : path
        Replaced if it holds an older model; any other folder that is not empty is left alone.

    Raises
    ------
    ParameterError, NotFittedError
        When there is nothing to save, or a parameter is an object that has no name.
    OutputError
        When the place cannot be written to, or holds something else than a model.

    Examples
    --------
    >>> import tempfile
    >>> from tsforecast.forecasters.naive import NaiveForecaster
    >>> with tempfile.TemporaryDirectory() as place:
    ...     save(NaiveForecaster(horizon=2).fit([1.0, 2.0, 4.0]), f"{place}/model")
    ...     load(f"{place}/model").predict().tolist()
    [4.0, 4.0]
    """
    require_estimator(model, Model, "GRUForecaster().fit(data)")
    model.check_fitted()
    model.saved_params()  # which refuses what cannot be saved
    question, golden = model.golden()
    try:
        described, arrays = _describe(model)
        fitted = model.saved_panel()
        panel, rows = (None, {}) if fitted is None else pack(fitted)
        made = datetime.now().astimezone().isoformat(timespec="seconds")
        description = {
            "format_version": VERSION,
            "written_by": versions(),
            "fitted": described,
            "panel": panel,
            "provenance": {"made": made, "machine": machine(), **model.provenance()},
            "golden": question,
        }
        plain = to_plain(description, _as_made)
    except TypeError as error:
        raise ParameterError(
            f"this {type(model).__name__} cannot be saved: {error}; use a setting that has a name, or keep the "
            "forecaster with pickle"
        ) from error
    write(Path(folder), plain, arrays | rows | golden)


def fingerprint(model: Model) -> str:
    """Return the SHA-256 of a fitted model, the same after `save` and `load`; see `Estimator.fingerprint`.

    Of a model that cannot be saved, such as one of another library, it is that of its settings in words, of the data
    that were fitted and of a forecast.
    """
    model.check_fitted()
    panel = model.saved_panel()
    try:
        described, arrays = _describe(model)
        text = json.dumps(_on_any_machine(to_plain(described, _as_made)), sort_keys=True)
    except (TypeError, ParameterError):
        settings = {name: value for name, value in model.get_params().items() if name not in ELSEWHERE}
        text = re.sub(" at 0x[0-9a-f]+", "", repr((type(model).__name__, settings, model.provenance()["data"])))
        arrays = model.golden()[1]
    digest = hashlib.sha256(text.encode())
    digest.update(b"" if panel is None else panel.fingerprint().encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _on_any_machine(plain: Any) -> Any:
    """Return a plain value without the settings that name a device or how much is printed."""
    if isinstance(plain, list):
        return [_on_any_machine(each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    return {name: _on_any_machine(each) for name, each in plain.items() if name not in ELSEWHERE}


def check_folder(folder: str | Path) -> None:
    """Raise OutputError if `save` could not write to a folder; before long work, so that its result finds a place."""
    require_place(Path(folder), mark=DESCRIPTION)


def load(folder: str | Path, *, trust: str | Collection[str] = ()) -> Any:
    """Read a model that `save` wrote. Nothing in the folder is executed.

    A model that was fitted on a device which is not here is loaded with ``device="auto"``.

    Parameters
    ----------
    folder : path
    trust : str or collection of str
        Import paths of losses of your own, such as ``"shop.losses.Gumbel"``. A model that was fitted with one names
        it, and code that is not named here as well is not imported.

    Raises
    ------
    ModelFileError
        When the folder does not hold a whole model of a known format, or the model does not predict any more what it
        predicted when it was saved.
    """
    with opened(folder, "loaded", [trust] if isinstance(trust, str) else trust) as (written, description, numbers):
        panel = None if description["panel"] is None else unpack(description["panel"], numbers)
        model = _revive(description["fitted"], numbers, panel)
        if description["golden"] is None:
            model.golden()  # format 1 has no golden prediction: predict once, so that a corrupt model fails here
        else:
            require_same(model, description["golden"], numbers, wrote(written))
        return model


@contextmanager
def opened(
    folder: str | Path, verb: str, trust: Collection[str] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any], Numbers]]:
    """Yield a saved model as it was written, as it would be written today, and its arrays; `trust` as in `made`.

    Whatever they make code stumble over, it is the file that is wrong: a ModelFileError.
    """
    place = Path(folder)
    written = read_description(place)
    numbers = read_numbers(place, written)
    try:
        yield written, from_plain(migrated(written), partial(made, trust=trust)), numbers
    except ModelFileError as error:
        where = f"{str(place)!r} cannot be {verb}: "
        raise ModelFileError([problem.within(where) for problem in error.problems]) from error
    except Exception as error:
        raise ModelFileError(
            f"{str(place)!r} must hold a whole model: {type(error).__name__}: {str(error)[:300]}{wrote(written)}"
        ) from error


def _describe(model: Model) -> tuple[dict[str, Any], Numbers]:
    """Return a fitted model and its members as values and arrays."""
    name, parameters = _as_made(model)
    learned, numbers = model.get_state()
    members = [_describe(member) for member in model.members_]
    for i, (_, theirs) in enumerate(members):
        numbers |= {f"member{i}.{key}": array for key, array in theirs.items()}
    described = {"class": name, "parameters": parameters, "learned": learned, "members": [each for each, _ in members]}
    return described, numbers


def _revive(described: dict[str, Any], numbers: Numbers, panel: Panel | None) -> Any:
    """Undo `_describe`."""
    model = made(described["class"], described["parameters"])
    model.set_panel(panel)
    golden = {name: array for name, array in numbers.items() if name == GOLDEN_OUTPUTS}
    for i, member in enumerate(described["members"]):
        own = model.panel_of_member(i, panel)
        model.members_ = [*model.members_, _revive(member, under(f"member{i}.", numbers) | golden, own)]
    model.set_state(described["learned"], numbers)
    return model


def _as_made(model: Any) -> tuple[str, dict[str, Any]]:
    """Return class and parameters of a model of ours, or of a loss; the class of another's loss with its import path.

    TypeError is raised for other objects.
    """
    name = type(model).__name__
    if isinstance(model, BaseEstimator):
        if name not in CLASSES or type(model) is not estimator_class(name):
            raise TypeError(f"a saved model holds classes of tsforecast only, not {model!r}")
        return name, model.saved_params()
    if "tsforecast.networks.losses" in sys.modules:  # else there is no loss
        from tsforecast.networks.losses import Loss, QuantileLoss

        if type(model) is QuantileLoss:
            return QUANTILES, model.arguments()
        path = f"{type(model).__module__}.{type(model).__qualname__}"
        if isinstance(model, Loss) and not path.startswith(("tsforecast.", "__main__.")) and "<locals>" not in path:
            return path, model.arguments()
        if isinstance(model, Loss):
            raise TypeError(f"a loss of your own must be a class of a module that can be imported, not of {path!r}")
    raise TypeError(f"a saved model holds numbers, text and lists only, and one of its parameters is {model!r}")


def made(name: str, parameters: dict[str, Any], trust: Collection[str] | None = None) -> Any:
    """Return a model of ours that was not fitted, or a loss; undo `_as_made`. ModelFileError is raised otherwise.

    A loss of another's must be among the import paths to `trust`; without these, code that stands for it is returned.
    """
    if name == QUANTILES or "." in str(name):
        return _made_loss(name, parameters, trust)
    if name not in CLASSES:
        raise ModelFileError(
            f"a model must be of a class of tsforecast: got {str(name)[:80]!r}; {nearest(name, CLASSES)}"
        )
    cls = estimator_class(name)
    model = cls(**cls.params_for_this_machine(parameters))
    raise_any(model._problems(), ModelFileError)
    return model


def _made_loss(path: str, parameters: dict[str, Any], trust: Collection[str] | None) -> Any:
    """Return a loss of ours, or one whose import path is to be trusted."""
    from tsforecast.networks.losses import Loss, QuantileLoss, Unknown

    if path == QUANTILES:
        return QuantileLoss(**parameters)
    if trust is None:
        return Unknown(
            f"{path.rpartition('.')[2]}({', '.join(f'{key}={value!r}' for key, value in parameters.items())})"
        )
    if path not in trust:
        must = f"its loss is {path[:200]!r}, code that is not of tsforecast and is not imported"
        consent = Argument("trust", [path[:200]], "load the model with")
        raise ModelFileError([Problem(must, remedy=("if it is yours, ", consent))])
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelFileError(
            f"its loss {path!r} cannot be imported here: {error}; PYTHONPATH must name its folder"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Loss)):
        raise ModelFileError(f"its loss {path!r} must be a subclass of tsforecast.networks.losses.Loss: got {cls!r}")
    return cls(**parameters)


def summary(folder: str | Path) -> dict[str, str]:
    """Summarise a saved model: facts by name, without those that are not known; a ModelFileError where it is none."""
    with opened(folder, "read") as (written, description, numbers):
        fitted, where = description["fitted"], description["provenance"]
        learned, data, scaling = fitted["learned"], where.get("data", {}), where.get("scaling", {})
        panel, classes = description["panel"], learned.get("classes_")
        facts = {
            "model": _as_code(fitted),
            "members": ", ".join(map(_as_code, fitted["members"])),
            "classes": f"{len(classes)}: {_named(classes.tolist())}" if classes is not None else "",
            "columns": _columns(learned, panel),
            "horizon": learned.get("horizon_", ""),
            "chosen": ", ".join(f"{name}={value!r}" for name, value in learned.get("resolved_", {}).items()),
            "training": _training(learned.get("history_", [])),
            "data": data.get("panel") or _span(data, description),
            "cleaned": ", ".join(panel["notes"]) if panel else "",
            "updated": _updates(learned, numbers),
            "fingerprint": data.get("sha256", ""),
            **{part: _span(each, description) for part, each in where.get("split", {}).items()},
            "scaling": scaling.get("steps", ""),
            "scales from": _span(scaling.get("learned_from", {}), description),
            **(_of_members(description) if len(fitted["members"]) > 1 else {}),
            "made": where.get("made", ""),
            "machine": where.get("machine", ""),
            "format": f"version {written['format_version']}{wrote(description)}",
            "golden": "a prediction that load repeats" if description["golden"] is not None else "none",
            "numbers": f"{len(numbers)} arrays, {sum(array.nbytes for array in numbers.values()):,} bytes",
        }
        return {name: str(words) for name, words in facts.items() if words is not None and str(words)}


def _as_code(described: dict[str, Any]) -> str:
    """Return a model as code, with the parameters that are not the default ones."""
    return " ".join(repr(made(described["class"], described["parameters"])).split())


def _named(names: Any) -> str:
    return shorten([repr(name) for name in names], NAMES)


def _updates(learned: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Describe the rows that updates took in, and whether they changed what was learned."""
    if "rows_at_fit_" not in learned:
        return ""
    more = np.diff(numbers["panel.offsets"]) - learned["rows_at_fit_"]
    series = f"{int((more > 0).sum())} of {len(more)} series"
    changed = "scales or weights were" if "changed_rows_" in learned else "nothing was"
    return f"{counted(int(more.sum()), 'row')} of {series} since the fit; {changed} learned again"


def _columns(learned: dict[str, Any], panel: dict[str, Any] | None) -> str:
    """List the columns by role; of sequences and windows their steps."""
    steps = f", {learned['n_features_in_']} steps each" if "n_features_in_" in learned else ""
    if panel is None:
        count, names = learned["channels_"], learned.get("columns_")
        return f"{count} {'channel' if count == 1 else 'channels'}{f' {_named(names)}' if names else ''}{steps}"
    if steps:
        return f"windows{steps}"
    roles = typed(Roles, panel["roles"])
    source = typed(Source, panel["source"])
    found: dict[str, tuple[str | None, ...]] = {"time": (source.time,), "id": (source.id,), "target": roles.target}
    found |= {"past": roles.past, "future": roles.future, "static": roles.static, "group": (roles.group,)}
    return ", ".join(f"{role} {_named(names)}" for role, names in found.items() if any(names))


def _of_members(description: dict[str, Any]) -> dict[str, str]:
    """Describe validation and scaling of the members of an ensemble: by number, once for those that are alike."""
    facts: dict[str, dict[str, list[str]]] = {"validated": {}, "scaling": {}, "scales from": {}}
    members = description["fitted"]["members"]
    for number, member in enumerate(members, 1):
        while len(member["members"]) == 1:  # a search is its best estimator
            member = member["members"][0]
        learned = member["learned"]
        chosen = learned.get("resolved_", {})
        words = (
            _last(chosen.get("validation", 0), description),
            scaling_words(member["parameters"] | chosen),
            _span(learned.get("scaled_on_", {}), description),
        )
        for name, text in zip(facts, words, strict=True):
            facts[name].setdefault(text, []).append(str(number))
    return {
        name: "; ".join(
            f"{'members' if len(who) > 1 else 'member'} {', '.join(who)}: {text}" if len(who) < len(members) else text
            for text, who in by_words.items()
            if text
        )
        for name, by_words in facts.items()
    }


def _last(count: int, description: dict[str, Any]) -> str:
    """Describe the validation part of a member: a number of windows, or of last steps."""
    if description["panel"] is None or not count or typed(Source, description["panel"]["source"]).horizon:
        return _span(count, description)
    return f"the last {f'{count} steps' if count > 1 else 'step'} of each series"


def _training(history: list[dict[str, Any]]) -> str:
    """Describe the best epoch."""
    if not history:
        return ""
    epochs = [typed(Epoch, epoch) for epoch in history]
    best, seconds = best_epoch(epochs), sum(epoch.seconds for epoch in epochs)
    loss = "" if best.valid_loss is None else f", validation loss {best.valid_loss:.4g}"
    skill = "" if best.skill is None else f", skill {100 * best.skill:+.1f} %"
    return f"best epoch {best.number} of {epochs[-1].number}{loss}{skill}; took {seconds:.1f} s"


def _span(part: Any, description: dict[str, Any]) -> str:
    """Describe a part of the data."""
    panel, learned = description["panel"], description["fitted"]["learned"]
    kind = "recordings" if panel is None else "windows" if typed(Source, panel["source"]).horizon else "series"
    if not isinstance(part, dict):
        things = "groups" if learned.get("fitted_on_", {}).get("groups") else kind
        return f"{part} {things if part > 1 or kind == 'series' else things.removesuffix('s')}" if part else ""
    if not part.get("steps"):
        return ""
    if kind != "recordings":
        return f"{part['series']} {kind}, {part['steps']} steps, {part['first']} to {part['last']}"
    shortest, longest = part.get("lengths", ("up", int(part["last"]) + 1))  # which were not always written down
    lengths = counted(shortest, "step") if shortest == longest else f"{shortest} to {longest} steps"
    groups = f", of {counted(part['groups'], 'group')}" if part.get("groups") else ""
    return f"{counted(part['series'], 'recording')} of {lengths}, {part['steps']} in all{groups}"
