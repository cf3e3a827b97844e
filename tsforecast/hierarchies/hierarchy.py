"""Hierarchy: which series add up to which sums, level by level; and a panel with its sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.data.series import MISSING
from tsforecast.errors import DataError, Problem, counted, likewise, nearest, raise_any, shorten

Floats = NDArray[np.float64]
TOTAL, SERIES = "total", "series"  # names of the sum of all, and of the last level where the data name none
ROUNDING = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-4}  # of sums that agree, in the sum of sizes


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Which series add up to which sums: levels, each of which puts every series into one sum.

    Levels may lie within each other (shops in cities in regions), or side by side (regions and products). Build
    one with `Hierarchy.of`.

    Parameters
    ----------
    series : sequence of str
        Names of the n series, which are sums of nothing.
    levels : mapping of str to sequence of str
        For each level, from few sums to many, the name of the sum that each series belongs to, (n,).
    bottom : str
        Name of the level of the series themselves.

    Raises
    ------
    DataError
        When names are not unique, or a level does not put every series into one sum.

    Examples
    --------
    >>> tree = Hierarchy(["a", "b", "c"], {"total": ["all"] * 3, "region": ["north", "north", "south"]})
    >>> tree
    Hierarchy: total 1, region 2, series 3
    >>> tree.names
    ('all', 'north', 'south', 'a', 'b', 'c')
    >>> tree.summing.toarray().astype(int).tolist()[:3]
    [[1, 1, 1], [1, 1, 0], [0, 0, 1]]
    """

    series: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    bottom: str = SERIES

    def __post_init__(self) -> None:
        object.__setattr__(self, "series", tuple(map(str, self.series)))
        object.__setattr__(self, "levels", {str(name): tuple(map(str, sums)) for name, sums in self.levels.items()})
        raise_any(self._problems())

    @classmethod
    def of(cls, data: Any, *paths: str, total: bool = True) -> Hierarchy:
        """Read a hierarchy from columns of a panel, or from a mapping.

        Parameters
        ----------
        data : Panel or mapping
            A panel of the series; a mapping of each sum to the series or sums right below it; or, where levels do not
            lie within each other, a mapping of each level to a mapping of each series to its sum.
        paths : str
            Static columns of the panel, from the top down, such as ``"region/city"``: sums are then regions, and the
            cities of each. Several paths give levels side by side, such as ``"region", "product"``, and those of
            both are ``"region/product"``. The id column may end a path.
        total : bool
            Of a panel, whether the sum of all series is a level of its own, with the name ``total``.

        Raises
        ------
        DataError
            When a column does not exist, names no sum for some series, or a mapping is no hierarchy.

        Notes
        -----
        A sum is named by the values in its columns, such as ``north/oslo``; by ``region=north/city=oslo`` where another
        sum or series would have the same name.

        Examples
        --------
        >>> Hierarchy.of({"total": ["north", "south"], "north": ["a", "b"], "south": ["c"]})
        Hierarchy: total 1, level 2 2, series 3
        >>> Hierarchy.of({"region": {"a": "north", "b": "south"}, "kind": {"a": "new", "b": "new"}})
        Hierarchy: region 2, kind 1, series 2
        >>> frame = pd.DataFrame({"shop": list("aabb"), "day": [0, 1] * 2, "sold": range(4), "city": list("xxyy")})
        >>> panel = Panel.from_frame(frame, id="shop", time="day", target="sold", static="city")
        >>> Hierarchy.of(panel, "city").names
        ('total', 'x', 'y', 'a', 'b')
        """
        if isinstance(data, Mapping):
            return _of_levels(data) if all(isinstance(one, Mapping) for one in data.values()) else _of_parents(data)
        if not isinstance(data, Panel):
            must, remedy = (
                "a hierarchy must be read from a Panel or a mapping",
                "read it with Panel.from_frame(static=...)",
            )
            raise DataError(Problem(must, f"got {type(data).__name__}", remedy))
        return _of_columns(data, paths, total)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all sums, level by level, and of the series behind them; rows of all results have this order."""
        return (*(name for sums in self.levels.values() for name in dict.fromkeys(sums)), *self.series)

    @cached_property
    def summing(self) -> sparse.csr_array:
        """The summing matrix S, (sums + n, n): what it makes of the series is coherent."""
        place = {name: at for at, name in enumerate(self.names)}
        n = len(self.series)
        rows = [[place[name] for name in sums] for sums in (*self.levels.values(), self.series)]
        columns = np.tile(np.arange(n), len(rows))
        return sparse.csr_array((np.ones(len(columns)), (np.concatenate(rows), columns)), shape=(len(place), n))

    @cached_property
    def level_of(self) -> dict[str, str]:
        """Level of each sum and series, by name, from the top down."""
        found = {name: level for level, sums in self.levels.items() for name in sums}
        return found | dict.fromkeys(self.series, self.bottom)

    @cached_property
    def nested(self) -> bool:
        """Whether each sum lies within one sum of the level above it, as in a tree."""
        every = [*self.levels.values(), self.series]
        return all(len(set(zip(lower, upper, strict=True))) == len(set(lower)) for upper, lower in pairwise(every))

    def with_sums(self, data: Any) -> Panel:
        """Return a panel of all sums and series, in the order of `names`.

        Parameters
        ----------
        data : Panel, or anything that `Panel.of` reads
            The series of the hierarchy, which end together. One that begins later counts as 0 before, with a note.

        Returns
        -------
        Panel
            Targets are added up; other columns are the mean of the series, of texts the one that all have. A sum is
            NaN where a series is. Static columns and groups, which sums do not have, are left out.

        Raises
        ------
        DataError
            When series are missing, unknown or end apart.

        Examples
        --------
        >>> tree = Hierarchy.of({"both": ["0", "1"]})
        >>> tree.with_sums([np.array([1.0, 2.0]), np.array([3.0, 4.0])]).series(0).ravel().tolist()
        [4.0, 6.0]
        """
        panel = Panel.of(data)
        panel = panel.select(_places(panel, self.series, "the series of the hierarchy"))
        _require_same_end(panel)
        begins = panel.firsts - panel.firsts.min()
        matrix = self.summing
        held = np.split(matrix.indices, matrix.indptr[1:-1])
        oldest = np.array([own[begins[own].argmin()] for own in held])  # with which a sum begins
        late = sum(bool(np.ptp(begins[own])) for own in held)
        note = f"{late} of {len(held) - len(self.series)} sums have series that begin later and count as 0 before"
        values = self._added_up(panel, begins)  # (T, sums + n, C)
        rows = [values[begin:, at] for at, begin in enumerate(begins[oldest])]
        source = panel.source
        plain = source.levels is None and all(isinstance(name, str) for name in panel.ids)
        types = source.types if plain else {name: kind for name, kind in source.types.items() if name != source.id}
        order = [name for name in source.order if source.form != "wide" or name not in self.series]
        return replace(
            panel,
            values=np.concatenate(rows),
            offsets=np.append(0, np.cumsum([len(own) for own in rows])),
            ids=np.array(self.names, dtype=object),
            starts=panel.starts[oldest],
            roles=replace(panel.roles, static=(), group=None),
            statics={},
            source=replace(source, types=types, levels=None, order=order),
            weights=None,
            notes=(*panel.notes, *([note] if late else [])),
        )

    def require_sums(self, panel: Panel) -> None:
        """Raise DataError unless a panel holds all series and sums, and these agree in all rows that both have."""
        remedy = "give hierarchy.with_sums(series)"
        if isinstance(panel, SupervisedPanel):
            raise DataError(Problem("a hierarchy must have series", "got supervised windows", remedy))
        panel = panel.select(_places(panel, self.names, "the series and sums of the hierarchy", remedy))
        _require_same_end(panel)
        n, targets = len(self.series), panel.n_targets
        due = self.with_sums(panel.select(np.arange(len(panel) - n, len(panel))))
        largest = [np.nanmax(np.abs(panel.series(i)[:, :targets]), initial=0.0) for i in range(-n, 0)]
        within = ROUNDING[panel.values.dtype] * (self.summing @ np.array(largest))
        wrong = dict[int, tuple[int, int]]()  # of sums, the first row and target that disagree
        for i in range(len(panel) - n):
            both = min(panel.lengths[i], due.lengths[i])
            own, added = (each.series(i)[-both:, :targets] for each in (panel, due))
            if len(places := np.argwhere(np.abs(own - added) > within[i])):
                wrong[i] = int(places[0][0] + panel.lengths[i] - both), int(places[0][1])
        for i, (row, k) in list(wrong.items())[:1]:
            own, added = panel.series(i)[row, k], due.series(i)[row - panel.lengths[i], k]
            count = counted(int(self.summing[[i]].sum()), "series", "series")
            when, what = panel.label(int(panel.stamps(i, row))), f"{panel.roles.target[k]!r} of " * (targets > 1)
            got = f"{what}{self.names[i]!r} is {own:.8g} at {when}, the sum of its {count} {added:.8g}"
            must = "sums must be those of their series"
            raise DataError(
                Problem(
                    must, got + likewise(wrong, len(panel) - n).replace("series", "sums"), f"correct it, or {remedy}"
                )
            )

    def _problems(self) -> list[str]:
        """Return what keeps names and levels from being a hierarchy."""
        problems, n = list[str](), len(self.series)
        names = {name: [*dict.fromkeys(sums)] for name, sums in self.levels.items()} | {self.bottom: [*self.series]}
        if not n or not self.levels:
            problems.append(
                Problem("a hierarchy must have series and a level of sums", f"got {n} and {len(self.levels)}")
            )
        if len(names) == len(self.levels):
            problems.append(
                Problem("the name of the level of the series must be its own", f"got {self.bottom!r} twice")
            )
        for level, sums in self.levels.items():
            if len(sums) != n:
                problems.append(Problem(f"level {level!r} must have a sum for each of {n} series", f"got {len(sums)}"))
        repeated = [
            name for name, times in Counter(name for own in names.values() for name in own).items() if times > 1
        ]
        if repeated:
            got = f"{repeated[0]!r} names several{likewise(repeated, len(repeated)).replace(' series', '')}"
            problems.append(Problem("names of series and sums must be unique in all levels", got, "rename one"))
        return problems

    def __repr__(self) -> str:
        counts = [f"{name} {len(set(sums))}" for name, sums in self.levels.items()]
        return f"Hierarchy: {', '.join([*counts, f'{self.bottom} {len(self.series)}'])}"

    def _added_up(self, panel: Panel, begins: NDArray[np.int64]) -> NDArray[Any]:
        """Return the numbers of all sums and series on the clock that they share, (T, sums + n, C)."""
        matrix, coded, targets = self.summing, panel.roles.coded, panel.n_targets
        every = np.full((int((begins + panel.lengths).max()), len(panel), panel.values.shape[1]), np.nan)
        for i, begin in enumerate(begins):
            every[begin:, i] = panel.series(i)
            every[:begin, i, :targets] = 0.0
        found = np.empty((len(every), matrix.shape[0], every.shape[2]), panel.values.dtype)
        for k in range(every.shape[2]):
            column = every[..., k].T  # (n, T)
            if k < targets:
                found[..., k] = (matrix @ column).T
            elif k in coded:
                low, high = (part.reduceat(column[matrix.indices], matrix.indptr[:-1]) for part in (np.fmin, np.fmax))
                found[..., k] = np.where(low == high, low, MISSING).T
            else:
                there = matrix @ (~np.isnan(column)).astype(np.float64)
                mean = matrix @ np.nan_to_num(column) / np.maximum(there, 1)
                found[..., k] = np.where(there > 0, mean, np.nan).T
        return found


def absent(names: Sequence[str]) -> str:
    """Return that names are missing, in words."""
    return f"{shorten([*map(repr, names)])} {'are' if names[1:] else 'is'} missing"


def _places(panel: Panel, names: Sequence[str], what: str, remedy: str = "") -> list[int]:
    """Return the positions of names in a panel, which must hold `what`: these and no others."""
    place = {str(name): at for at, name in enumerate(panel.ids)}
    problems = list[str]()
    if missing := [name for name in names if name not in place]:
        problems.append(Problem(f"the data must hold {what}", absent(missing), remedy))
    if unknown := [name for name in place if name not in set(names)]:
        hint = "leave them out" if set(names) & set(place) else nearest(unknown[0], names)
        problems.append(
            Problem(f"the data must hold {what} alone", f"they have {shorten([*map(repr, unknown)])}", hint)
        )
    raise_any(problems)
    return [place[name] for name in names]


def _require_same_end(panel: Panel) -> None:
    """Raise DataError where series end apart: their sum would be of some of them."""
    ends = panel.firsts + panel.lengths
    early = np.flatnonzero(ends < ends.max())
    if len(early):
        steps = counted(int(ends.max() - ends[early[0]]), "step")
        got = f"{str(panel.ids[early[0]])!r} ends {steps} before others{likewise(early, len(panel))}"
        remedy = "give its last rows, or leave it out of the hierarchy"
        raise DataError(Problem("series of a hierarchy must end together", got, remedy))


def _of_columns(panel: Panel, paths: Sequence[str], total: bool) -> Hierarchy:
    """Return the hierarchy of static columns of a panel."""
    ids, known = [*map(str, panel.ids)], [*panel.statics]
    source = panel.source.id or SERIES
    columns = [path.strip("/").split("/") for path in paths]
    columns = [names[:-1] if names[-1] == source else names for names in columns]
    wanted = [name for names in columns for name in names]
    raise_any(
        Problem(
            f"a path must name static columns, such as {'/'.join(known) or 'region/city'!r}",
            f"got {name!r}",
            nearest(name, known),
        )
        for name in dict.fromkeys(wanted)
        if name not in panel.statics
    )
    for name in wanted:
        if lacks := [id for id, value in zip(ids, panel.statics[name], strict=True) if pd.isna(value)]:
            got = f"{name!r} has none for {lacks[0]!r}{likewise(lacks, len(ids))}"
            raise DataError(Problem("a level must have a value for every series", got, "fill it in"))
    levels = {TOTAL: [[TOTAL]] * len(ids)} if total else {}
    for names in columns:
        for depth in range(1, len(names) + 1):
            rows = zip(*(panel.statics[name] for name in names[:depth]), strict=True)
            levels["/".join(names[:depth])] = [[*map(str, row)] for row in rows]
    short = {level: ["/".join(part) for part in parts] for level, parts in levels.items()}
    owners = Counter(name for sums in short.values() for name in set(sums)) + Counter(ids)
    for level, parts in levels.items():
        if level != TOTAL and any(owners[name] > 1 for name in short[level]):
            fields = level.split("/")
            short[level] = [
                "/".join(f"{field}={one}" for field, one in zip(fields, part, strict=True)) for part in parts
            ]
    return Hierarchy(tuple(ids), {level: tuple(sums) for level, sums in short.items()}, source)


def _of_levels(given: Mapping[Any, Mapping[Any, Any]]) -> Hierarchy:
    """Return the hierarchy of a mapping of levels to mappings of series to sums."""
    series = [*dict.fromkeys(str(name) for sums in given.values() for name in sums)]
    levels = {str(level): {str(name): str(each) for name, each in sums.items()} for level, sums in given.items()}
    raise_any(
        Problem(f"level {level!r} must have a sum for every series", f"it lacks {shorten([*map(repr, lacks)])}")
        for level, sums in levels.items()
        if (lacks := [name for name in series if name not in sums])
    )
    return Hierarchy(tuple(series), {level: tuple(sums[name] for name in series) for level, sums in levels.items()})


def _of_parents(given: Mapping[Any, Iterable[Any]]) -> Hierarchy:
    """Return the hierarchy of a mapping of sums to the series or sums right below them."""
    below = {
        str(name): [*map(str, [children] if isinstance(children, str) else children)]
        for name, children in given.items()
    }
    above = dict[str, str]()
    for parent, children in below.items():
        for child in children:
            if child in above:
                got = f"{child!r} lies below {above[child]!r} and {parent!r}"
                remedy = "give levels side by side as {'region': {'a': 'north'}, 'kind': {'a': 'new'}}"
                raise DataError(Problem("each series or sum must lie below one sum", got, remedy))
            above[child] = parent
    series, paths = [name for name in above if not below.get(name)], list[list[str]]()
    for name in series:
        path = [name]
        while path[-1] in above and len(path) <= len(above) + 1:
            path.append(above[path[-1]])
        paths.append(path[:0:-1])  # from the top down, without the series
    circle = [name for name in below if name in above and max(map(len, paths), default=0) > len(above)]
    if lost := circle or [name for name in below if not any(name in path for path in paths)]:
        got = f"{shorten([*map(repr, lost)])} lie below each other, or above none"
        raise DataError(Problem("a sum must lie above series", got, "correct the mapping"))
    depths = [len(path) for path in paths]
    if min(depths) < max(depths):
        short, deep = series[int(np.argmin(depths))], series[int(np.argmax(depths))]
        got = f"{short!r} lies below {counted(min(depths), 'sum')}, {deep!r} below {max(depths)}"
        raise DataError(
            Problem("every series must lie at one depth", got, f"give {short!r} a sum of its own in between")
        )
    tops = len({path[0] for path in paths})
    names = [TOTAL if not at and tops == 1 else f"level {at + 1}" for at in range(max(depths))]
    return Hierarchy(tuple(series), {name: tuple(path[at] for path in paths) for at, name in enumerate(names)})
