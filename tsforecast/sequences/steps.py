"""Labels of the steps of recordings: how they are given and answered, and the pieces of long recordings that train."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, counted, nearest, raise_any, shorten
from tsforecast.networks.sequence import UNLABELLED

Labels = NDArray[np.int64]
# A label for each step of all recordings below each other, (rows,), masked where there is none.
StepLabels: TypeAlias = np.ma.MaskedArray[Any, Any]
PIECE = 256  # steps of "auto": five seconds at 50 Hz; a step of training takes as much longer as pieces are


def labels_apart(X: Any, y: Any) -> tuple[Any, Any]:
    """Take the labels of steps out of the channels of a panel, if `y` is the name of their column.

    Returns
    -------
    X, y
        The panel without that column, and a list of (T,) arrays of its labels; anything else as it is.
    """
    if not (isinstance(y, str) and isinstance(X, Panel)):
        return X, y
    if y not in X.roles.varying:
        raise DataError(f"the panel must have a column {y!r} with a label for each step; {nearest(y, X.roles.varying)}")
    column = X.roles.texts(y, X.values[:, X.roles.varying.index(y)])
    return without_column(X, y), np.split(column, X.offsets[1:-1])


def without_column(panel: Panel, name: str) -> Panel:
    """Return a panel whose channels are all columns but one, whatever its role; the panel itself without such a one."""
    roles = panel.roles
    if name not in roles.varying:
        return panel
    kept = [each != name for each in roles.varying]
    if not any(kept):
        raise DataError(f"recordings must have a channel besides their labels: the panel has the column {name!r} alone")
    left: dict[str, Any] = {
        role: tuple(each for each in getattr(roles, role) if each != name) for role in ("target", "past", "future")
    }
    texts = {each: held for each, held in roles.categories.items() if each != name}
    roles = replace(roles, **left, categories=texts)
    return replace(panel, values=np.compress(kept, panel.values, axis=1), roles=roles)


def step_labels(y: Any, lengths: NDArray[np.int64]) -> StepLabels:
    """Return the label of each step of recordings with so many steps, (N,); None, NaN and "" are no labels.

    DataError has every problem of `y`, which is a list of (T,) arrays or an array (N, T).
    """
    from sklearn.utils.multiclass import check_classification_targets

    if y is None:
        raise DataError("fit requires y to be passed, but the target y is None: give a label for each step")
    if not hasattr(y, "__len__") or isinstance(y, str):
        raise DataError(f"y must be a list of (T,) arrays, one for each recording: got {y!r}")
    if len(y) != len(lengths):
        raise DataError(f"y must have the labels of each recording: got {len(y)} for {len(lengths)} recordings")
    parts = [np.asarray(one, dtype=object) for one in (y.to_numpy() if hasattr(y, "to_numpy") else y)]
    alone = [i for i, part in enumerate(parts) if part.ndim == 0]
    if alone:
        raise DataError(
            f"y must have a label for each step with output='step': recording {alone[0]} has one label, "
            f"{parts[alone[0]].item()!r}; give a (T,) array for each recording, or use output='recording'"
        )
    raise_any(
        f"y must have a label for each step: got shape {part.shape} for the {length} steps of recording {i}"
        for i, (part, length) in enumerate(zip(parts, lengths, strict=True))
        if part.shape != (length,)
    )
    held = np.concatenate(parts)
    there = _labelled(held)
    values = held[there].tolist()
    if not values:
        raise DataError(f"y must have labelled steps: none of {len(held)} has a label")
    texts = {isinstance(value, str) for value in values}
    if len(texts) > 1:
        mixed = shorten([repr(next(v for v in values if isinstance(v, str) == is_text)) for is_text in (True, False)])
        raise DataError(f"labels must be texts or numbers, not both: got {mixed}")
    natural = np.asarray(values)
    check_classification_targets(natural)
    given = np.zeros(len(held), dtype=natural.dtype)
    given[there] = natural
    return np.ma.MaskedArray(given, mask=~there)


def _labelled(held: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of some objects are labels."""
    import pandas as pd

    there = ~np.asarray(pd.isna(held), dtype=np.bool_)
    there[there] = held[there] != ""
    return there


def codes_of(given: StepLabels, classes: NDArray[Any]) -> Labels:
    """Return the position of each label in the classes, (rows,), -1 where there is none, or it is no class."""
    codes = np.full(len(given), UNLABELLED, dtype=np.int64)
    known = ~np.ma.getmaskarray(given) & np.isin(given.data, classes)
    codes[known] = np.searchsorted(classes, given.data[known])
    return codes


def as_given(X: Any, rows: NDArray[Any], lengths: NDArray[np.int64]) -> Any:
    """Return answers for all steps, (rows, ...), as a list of (T, ...) arrays; (N, T, ...) where X was one array."""
    parts = np.split(rows, np.cumsum(lengths)[:-1])
    return np.stack(parts) if isinstance(X, np.ndarray) and X.ndim > 1 else parts


@dataclass(frozen=True, eq=False)
class Pieces:
    """Recordings cut into pieces that train or validate."""

    panel: Panel  # of the same rows, a series for each piece, with the id of its recording
    validates: NDArray[np.bool_]  # (pieces,)
    count: int  # groups or recordings that validate, perhaps with their last steps alone
    by: str  # "groups", "recordings", "last steps", or "none"


def in_pieces(
    panel: Panel,
    codes: Labels,
    groups: NDArray[Any] | None,
    validation: float | int | None,
    size: int,
    random: np.random.Generator,
) -> Pieces:
    """Cut recordings into equal pieces of at most `size` steps, and choose those that validate.

    `validation` is a share or number of the groups, the last ones, or without groups of the recordings. Where these
    are too few for one to be spared, or each has a class that no other has, the last steps of each validate, as large a
    share. Pieces of a recording are alike: they are never drawn at random. A DataError where a class would have no
    steps to train on.
    """
    lengths, count, by = panel.lengths, 0, "none"
    ends, whole = lengths.copy(), np.zeros(len(panel), dtype=np.bool_)
    if validation and groups is not None:
        count, whole = _last_groups(groups, validation)
        by = "groups"
    elif validation:
        whole = _spared(codes, lengths, validation, random)
        count, by = int(whole.sum()), "recordings"
        if not count:
            share = validation if isinstance(validation, float) else validation / len(panel)
            ends = np.maximum(lengths - np.round(share * lengths).astype(np.int64), 1)
            count, by = int((ends < lengths).sum()), "last steps"
    offsets, owner, validates = [0], [], []
    for i, (begin, length, end) in enumerate(zip(panel.offsets, lengths, ends, strict=False)):
        for first, last, held_out in ((0, end, bool(whole[i])), (end, length, True)):
            parts = -(-(last - first) // size)
            offsets += [int(begin + round(first + (last - first) * k / parts)) for k in range(1, parts + 1)]
            owner += [i] * parts
            validates += [held_out] * parts
    index, mask = np.array(owner), np.array(validates)
    pieces = replace(
        panel,
        offsets=np.array(offsets),
        ids=panel.ids[index],
        starts=np.zeros(len(index), dtype=np.int64),
        statics={name: fact[index] for name, fact in panel.statics.items()},
    )
    _require_classes(codes, np.repeat(mask, np.diff(offsets)), by)
    return Pieces(pieces, mask, count, by)


def _last_groups(groups: NDArray[Any], validation: float | int) -> tuple[int, NDArray[np.bool_]]:
    """Return the number of groups that validate, the last ones, and their recordings."""
    names = list(dict.fromkeys(groups.tolist()))
    count = max(1, round(validation * len(names))) if isinstance(validation, float) else int(validation)
    if count >= len(names):
        raise DataError(
            f"validation must leave a group to train on: takes {count} of {counted(len(names), 'group')}; use a "
            "smaller number, validation=None, or recordings without groups, of which the last steps validate"
        )
    return count, np.isin(groups, np.array(names[-count:], dtype=groups.dtype))


def _spared(
    codes: Labels, lengths: NDArray[np.int64], validation: float | int, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw recordings that validate, without which each class still has steps in others; none where that cannot be."""
    count = len(lengths)
    wanted = round(validation * count) if isinstance(validation, float) else int(validation)
    if wanted >= count and not isinstance(validation, float) and count > 1:
        raise DataError(
            f"validation must leave recordings to train on: takes {validation} of {count}; use a smaller number, or "
            "validation=None"
        )
    owner, there = np.repeat(np.arange(count), lengths), codes != UNLABELLED
    table = np.zeros((count, int(codes.max()) + 1), dtype=np.int64)  # steps of each class in each recording
    np.add.at(table, (owner[there], codes[there]), 1)
    left, chosen = table.sum(axis=0), np.zeros(count, dtype=np.bool_)
    for i in random.permutation(count):
        some = table[i].any() and ((left - table[i] > 0) | (left == 0)).all()
        if some and chosen.sum() < min(wanted, count - 1):
            chosen[i] = True
            left = left - table[i]
    return chosen


def _require_classes(codes: Labels, held_out: NDArray[np.bool_], by: str) -> None:
    """Raise DataError where a class has no steps outside those that are held out."""
    every, trained = (np.unique(part[part != UNLABELLED]) for part in (codes, codes[~held_out]))
    lacking = len(every) - len(trained)
    if lacking:
        whose = {"last steps": "the last steps of each recording", "groups": "the last groups"}.get(by, by)
        raise DataError(
            f"every class must have steps to train on: without {whose}, which validate, {lacking} of "
            f"{len(every)} classes {'has' if lacking == 1 else 'have'} none; use validation=None, a smaller share, or "
            "recordings in another order"
        )


def step_problems(settings: dict[str, Any], usual: str) -> list[str]:
    """Return problems of the settings of a network that answers at each step, whose `usual` pooling is left out."""
    if settings["output"] != "step":
        return []
    summed, found = "which sums nothing up over a recording", []
    if settings["pooling"] != usual:
        found.append(f"pooling must be left out with output='step', {summed}: got {settings['pooling']!r}")
    if settings["mixup"]:
        found.append(f"mixup must be 0 with output='step', {summed}: got {settings['mixup']!r}")
    if settings["features"] not in (0, "auto"):
        found.append(
            f"features must be 0 with output='step', those of a whole recording answer no step: got "
            f"{settings['features']!r}"
        )
    if settings["segment"] not in (1, "auto") and not settings["bidirectional"]:
        found.append(
            f"segment must be 1 with output='step' and bidirectional=False: got {settings['segment']!r}, whose steps "
            "are answered together, the first from later ones; use segment=1, or bidirectional=True"
        )
    return found
