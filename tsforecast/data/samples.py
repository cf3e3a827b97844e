"""Samples as a panel: rows of X and y of scikit-learn, labelled recordings, and duplicates among these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.data.quality import TOO_LARGE
from tsforecast.data.series import Roles, Source
from tsforecast.errors import DataError, Problem, raise_any, shorten

FAR = 10.0  # ranges of X; a y that lies further away has other units
ALIKE, EXACT, FEW = 2.0, 1e-6, 10  # factor between spreads of one series; rounding of a scaler; rows that show none
FORMS = "a list of (T, C) arrays, an array of shape (N, T, C) or (N, T), or a Panel"


class SupervisedPanel(Panel):
    """A panel whose every series is one row of X (W steps) followed by its row of y (H steps to forecast).

    Build one with `from_rows`. Rows are independent: each trains or validates as a whole.
    """

    unit: ClassVar[str] = "window"

    @classmethod
    def from_rows(cls, X: NDArray[Any], y: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Self:
        """Lay out windows (n, W) or (n, W, C) and the steps that follow them, (n,), (n, H) or (n, H, K).

        The first K channels of `X` are the targets' past; the others are past covariates. `weights` (n,) are those of
        the rows in training. DataError is raised when the shapes are others, or there are more targets than channels.
        """
        if X.ndim not in (2, 3) or y.ndim not in (1, 2, 3) or 0 in X.shape + y.shape:
            raise DataError(
                f"windows must have shape (n, W) or (n, W, C), and y (n,), (n, H) or (n, H, K): got {X.shape} and "
                f"{y.shape}"
            )
        past = X.reshape(len(X), X.shape[1], -1)  # (n, W, C)
        later = y.reshape(len(y), -1, y.shape[2] if y.ndim == 3 else 1)  # (n, H, K)
        (count, window, channels), (_, horizon, targets) = past.shape, later.shape
        if targets > channels:
            raise DataError(f"y must have at most as many targets as X has channels: got {targets} and {channels}")
        values = np.full((count, window + horizon, channels), np.nan, dtype=np.result_type(past, later))
        values[:, :window] = past
        values[:, window:, :targets] = later
        names = ("y",) if targets == 1 else tuple(f"y{k}" for k in range(targets))
        roles = Roles(names, tuple(f"x{c}" for c in range(targets, channels)))
        return cls.untimed(*_laid_out(values), roles, Source("windows", y.ndim, horizon=horizon), weights=weights)

    def contexts(self, X: NDArray[Any]) -> Panel:
        """Lay out windows, (n, W) or (n, W, C), as a panel of n series whose forecasts are written like y.

        DataError is raised when the number of channels differs.
        """
        past = X.reshape(len(X), X.shape[1], -1)  # (n, W, C)
        channels = len(self.roles.varying)
        if past.shape[2] != channels:
            raise DataError(f"X must have the {channels} channels that were fitted: got {past.shape[2]}")
        return Panel.untimed(*_laid_out(past), self.roles, self.source)

    @property
    def horizon(self) -> int:
        """Steps to forecast at the end of each row (H)."""
        return self.source.horizon

    @property
    def window(self) -> int:
        """Steps of each row of X (W)."""
        return int(self.lengths[0]) - self.horizon

    def horizon_or(self, own: int) -> int:
        """Return the steps of y, whatever the model's `own` horizon."""
        return self.horizon

    @property
    def context_lengths(self) -> NDArray[np.int64]:
        """Steps of X in each row, shape (n,)."""
        return self.lengths - self.horizon

    @property
    def target_starts(self) -> NDArray[np.int64]:
        """First step of y in each row, shape (n,): X is context only."""
        return self.context_lengths

    @property
    def units(self) -> NDArray[np.int64]:
        """Each row is a unit of its own, shape (n,)."""
        return np.arange(len(self))

    def first_cutoffs(self, horizon: int) -> NDArray[np.int64]:
        """The one cutoff of each row, shape (n,)."""
        return self.lengths - horizon


def other_units(X: NDArray[Any], y: NDArray[Any]) -> str:
    """Return a sentence where y cannot continue the windows X, (n, W) or (n, W, C), since its units are others.

    Either it lies ten ranges of X away. Or each column of X has been scaled by itself, as a scaler of scikit-learn
    does, and y has not: its median lies more than one and a half standard deviations of X from that of X, or its
    standard deviation is not within half and twice that of X. Columns of windows of one series have numbers of their
    own, and the first of y has almost those of the last of X.
    """
    far = abs(float(np.median(y)) - float(np.median(X))) / max(float(np.ptp(X)), 1e-300)
    if far > FAR:
        return f"lies {far:.0f} times the range of X away from it"
    scaled = _scaled_by_column(X) if X.ndim == 2 and len(X) >= FEW and X.shape[1] > 1 else ""
    spread, apart = float(np.std(X)), abs(float(np.median(y)) - float(np.median(X)))
    if not scaled or (apart <= 1.5 * spread and spread / ALIKE <= float(np.std(y)) <= spread * ALIKE):
        return ""
    return (
        f"has mean {np.mean(y):.3g} and standard deviation {np.std(y):.3g}, while a scaler has given each column of X "
        f"{scaled}"
    )


def _scaled_by_column(X: NDArray[Any]) -> str:
    """Return which numbers all columns of X have alike, as scalers of columns make them, in words; else nothing."""
    varying = X[:, np.ptp(X, axis=0) > 0].astype(np.float64)
    if not varying.size:
        return ""
    low, middle, high = np.percentile(varying, (25, 50, 75), axis=0)
    ways = {
        "mean 0 and standard deviation 1": (varying.mean(axis=0), varying.std(axis=0) - 1),
        "minimum 0 and maximum 1": (varying.min(axis=0), varying.max(axis=0) - 1),
        "median 0 and quartiles 1 apart": (middle, high - low - 1),
        "1 as its largest absolute number": (np.abs(varying).max(axis=0) - 1,),
    }
    alike = (words for words, numbers in ways.items() if all((np.abs(each) < EXACT).all() for each in numbers))
    return next(alike, "")


def _laid_out(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return values, offsets and ids of n series from values of shape (n, T, C)."""
    count, steps, channels = values.shape
    return values.reshape(-1, channels), np.arange(count + 1) * steps, np.arange(count)


def is_ragged(data: Any) -> bool:
    """Return whether sequences are given one by one, each of its own length, rather than as rows of one array."""
    if isinstance(data, Panel):
        return True
    if isinstance(data, np.ndarray):
        return (
            data.dtype == object and data.ndim == 1 and len(data) > 0 and all(hasattr(one, "__len__") for one in data)
        )
    if not isinstance(data, (list, tuple)) or not data or not all(hasattr(one, "__len__") for one in data):
        return False
    return any(hasattr(one, "ndim") for one in data) or len({len(one) for one in data}) > 1


def require_form(data: Any, name: str = "X") -> None:
    """Refuse what holds no recordings: nothing, text, a dict, or a generator."""
    texts = isinstance(data, (list, tuple)) and len(data) > 0 and isinstance(data[0], str)
    if data is None or texts or np.isscalar(data) or isinstance(data, dict) or hasattr(data, "__next__"):
        raise DataError(f"{name} must be {FORMS}: got {shorten([repr(data)[:80]])}")


def read(data: Any) -> Panel:
    """Read sequences into a panel: a list of (T, C) or (T,) arrays, an array (N, T, C) or (N, T), or a panel.

    Without C there is one channel. Columns of frames are matched by name. All varying columns of a panel are channels;
    its static columns, the label among them, are not read, but its groups are kept. DataError names every sequence that
    is empty, not finite, or of another number of channels.
    """
    require_form(data)
    if isinstance(data, Panel):
        must, got = "channels must hold numbers", f"{shorten([*map(repr, data.roles.categories)])} hold text"
        raise_any([Problem(must, got, "leave them out: panel.without(...)")] if data.roles.coded else [])
        raise_any(recording_problems([data.series(i) for i in range(len(data))]))
        statics = {} if data.groups is None else {"group": data.groups}
        roles = Roles(data.roles.varying, group="group" if statics else None)
        source = Source("arrays", 2, dataset=data.source.dataset)
        return Panel.untimed(data.values, data.offsets, data.ids, roles, source, statics)
    parts, problems, columns = [], [], None if isinstance(data, np.ndarray) and data.ndim > 1 else column_names(data)
    for i, one in enumerate(data):
        try:
            part = np.asarray(one if columns is None else one[[*columns]])
            if part.dtype.kind in "cmM":
                raise TypeError("got " + ("complex ones" if part.dtype.kind == "c" else "dates or durations"))
            part = part if part.dtype == np.float32 else part.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(f"recording {i} must hold numbers: {error}")
            continue
        parts.append(part[:, None] if part.ndim == 1 else part)
    raise_any(problems)
    if not parts:
        raise DataError(f"there must be a recording at least: got none; pass {FORMS}")
    raise_any(recording_problems(parts))
    offsets = np.cumsum([0, *map(len, parts)])
    names = columns or tuple(f"c{c}" for c in range(parts[0].shape[1]))
    return Panel.untimed(np.concatenate(parts), offsets, np.arange(len(parts)), Roles(names), Source("arrays", 2))


def column_names(data: Any) -> tuple[str, ...] | None:
    """Return the names of the columns of recordings that are frames, in the order of the first; None without names.

    DataError where names are not those of the first, or one is there twice.
    """
    if isinstance(data, Panel) or not len(data) or not all(hasattr(one, "columns") for one in data):
        return None
    each = [tuple(one.columns) for one in data]
    if not all(isinstance(name, str) for names in each for name in names) or not all(each):
        return None
    usual = Counter(tuple(sorted(names)) for names in each).most_common(1)[0][0]
    if len(set(usual)) < len(usual):
        raise DataError(f"columns must have names of their own: got {shorten([*map(repr, usual)])}")
    raise_any(
        f"recording {i} must have the columns of the others, {shorten([*map(repr, usual)])}: got "
        f"{shorten([*map(repr, names)])}; rename them, or leave the recording out"
        for i, names in enumerate(each)
        if tuple(sorted(names)) != usual
    )
    return each[0]


def recording_problems(parts: Sequence[NDArray[Any]]) -> list[str]:
    """Return a problem for each sequence, (T, C), that is empty, not finite, or of another shape than most."""
    found = []
    counts = Counter(part.shape[1] for part in parts if part.ndim == 2 and part.size)
    channels = counts.most_common(1)[0][0] if counts else 1  # of equal ones the first
    for i, part in enumerate(parts):
        if part.ndim != 2:
            found.append(f"recording {i} must have shape (T, C): got {part.shape}; pass {FORMS}")
        elif not part.size:
            found.append(f"recording {i} must have a step at least: it is empty, {part.shape}; leave it out")
        elif part.shape[1] != channels:
            found.append(
                f"recording {i} must have as many channels as the others: {channels}, got {part.shape[1]}; leave it "
                "out, or give all the same columns (steps are rows)"
            )
        elif not np.isfinite(part).all():
            step, channel = np.argwhere(~np.isfinite(part))[0]
            kinds = [(int(np.isnan(part).sum()), "NaN"), (int(np.isinf(part).sum()), "inf")]
            found.append(
                f"recording {i} must hold finite numbers: it has "
                f"{' and '.join(f'{count} {what}' for count, what in kinds if count)}, the first at step {step}, "
                f"channel {channel}; fill them in, or leave the recording out"
            )
        elif (large := np.abs(part) > TOO_LARGE).any():
            step, channel = np.argwhere(large)[0]
            found.append(
                f"recording {i} must hold numbers within ±{TOO_LARGE:g}: got {part[step, channel]:g} at step {step}, "
                f"channel {channel}; divide them first"
            )
    return found


@dataclass(frozen=True)
class DuplicateSet:
    """Sequences that hold the same numbers, step by step."""

    places: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]  # none where there are none

    @property
    def disagree(self) -> bool:
        """Whether their labels differ, of which one at most can be true."""
        return len(set(self.labels)) > 1

    @property
    def sentence(self) -> str:
        """Description of the finding."""
        named = _joined(self.names)
        if self.disagree:
            return f"recordings {named} are the same, but labelled {_joined(self.labels)}: one label must be wrong"
        whose = f", of {_joined(sorted(set(self.groups)))}" if len(set(self.groups)) > 1 else ""
        return f"recordings {named} are the same{whose}"


def find_duplicates(panel: Panel, labels: NDArray[Any], groups: NDArray[Any] | None = None) -> list[DuplicateSet]:
    """Return the sequences that occur several times, those with different labels, (N,), first."""
    found = [
        DuplicateSet(
            tuple(places),
            tuple(str(panel.ids[i]) for i in places),
            tuple(str(labels[i]) for i in places),
            () if groups is None else tuple(str(groups[i]) for i in places),
        )
        for places in _alike(panel).values()
        if len(places) > 1
    ]
    return sorted(found, key=lambda found: (not found.disagree, found.places))


def content(panel: Panel) -> NDArray[np.int64]:
    """Return a number for each sequence, (N,), that its duplicates share."""
    numbers = np.empty(len(panel), dtype=np.int64)
    for number, places in enumerate(_alike(panel).values()):
        numbers[places] = number
    return numbers


def _alike(panel: Panel) -> dict[bytes, list[int]]:
    """Return the positions of sequences by their bytes."""
    found: dict[bytes, list[int]] = {}
    for i in range(len(panel)):
        found.setdefault((panel.series(i) + 0.0).tobytes(), []).append(i)  # -0.0 and 0.0 are the same number
    return found


def _joined(names: tuple[str, ...] | list[str]) -> str:
    quoted = [repr(name) for name in names]
    return " and ".join(quoted) if len(quoted) == 2 else shorten(quoted)
