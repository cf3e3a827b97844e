"""Summary of a saved model in words; the model itself is not restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsforecast.data.series import Roles, Source
from tsforecast.errors import shorten
from tsforecast.estimators.persistence import made, opened
from tsforecast.provenance import scaling_words
from tsforecast.saving.codec import typed
from tsforecast.saving.migrations import wrote
from tsforecast.training.history import Epoch, best_epoch

NAMES = 8  # of classes or columns, before there are "more"


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
            "fingerprint": data.get("sha256", ""),
            **{part: _span(each, description) for part, each in where.get("split", {}).items()},
            "scaling": scaling.get("steps", ""),
            "scales from": _span(scaling.get("learned_from", {}), description),
            **(_of_members(description) if len(fitted["members"]) > 1 else {}),
            "made": where.get("made", ""),
            "machine": where.get("machine", ""),
            "format": f"version {written['format_version']}{wrote(description)}",
            "golden": "a forecast that load repeats" if description["golden"] is not None else "none",
            "numbers": f"{len(numbers)} arrays, {sum(array.nbytes for array in numbers.values()):,} bytes",
        }
        return {name: str(words) for name, words in facts.items() if words is not None and str(words)}


def _as_code(described: dict[str, Any]) -> str:
    """Return a model as code, with the parameters that are not the default ones."""
    return " ".join(repr(made(described["class"], described["parameters"])).split())


def _named(names: Any) -> str:
    return shorten([repr(name) for name in names], NAMES)


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
    if not count or typed(Source, description["panel"]["source"]).horizon:
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
    lengths = str(longest) if shortest == longest else f"{shortest} to {longest}"
    groups = f", of {part['groups']} groups" if part.get("groups") else ""
    return f"{part['series']} recordings of {lengths} steps, {part['steps']} in all{groups}"
