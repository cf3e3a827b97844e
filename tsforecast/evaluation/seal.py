"""Seal: a test part that is set apart, and a ledger of every opening that travels with the data."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import one_of, share_or_count
from tsforecast.data.panel import Panel
from tsforecast.data.splits import Align, Fold, clock_of
from tsforecast.errors import DataError, ParameterError, Problem, counted, raise_any, reason, shorten
from tsforecast.files import locked, new_file
from tsforecast.provenance import versions

ENDING = ".seal"  # of a ledger beside a file of data
VERSION = 1  # of the form of a ledger
MARK = 6  # bytes of the mark of a row
LEAST_ROWS = 3  # different numbers by which a series of another name is recognised
SHOWN = 5  # openings in a note


@dataclass(frozen=True)
class Opening:
    """One opening of a sealed test part."""

    made: str  # ISO 8601
    by: tuple[str, ...]  # models; none where it was opened by hand
    rows: int  # sealed rows that were tested
    versions: dict[str, str]

    def __str__(self) -> str:
        return f"{self.made[:10]} {shorten(list(self.by), SHOWN) or 'by hand'}"


@dataclass(frozen=True)
class SealedSeries:
    """One target of one series of a sealed test part."""

    id: str
    target: str
    first: str  # time of its first sealed row
    last: str
    marks: str  # of the rows, in base 64

    @cached_property
    def known(self) -> frozenset[bytes]:
        """Marks of its rows."""
        return frozenset(_split(base64.b64decode(self.marks, validate=True)))


@dataclass(frozen=True)
class Ledger:
    """A sealed test part as a file has it: marks of its rows, and all openings so far.

    A mark is a hash of the time and the number of a row, so that rows are recognised in another order, next to other
    columns, in other files, and where some of them or some series are gone. The number has six digits: files differ in
    the others.
    """

    made: str  # ISO 8601
    steps: int
    align: str
    fingerprint: str
    series: tuple[SealedSeries, ...]
    openings: tuple[Opening, ...] = ()

    def opened_by(self, opening: Opening) -> Ledger:
        """Return the ledger with one more opening."""
        return replace(self, openings=(*self.openings, opening))

    @property
    def rows(self) -> int:
        """Number of sealed rows, of all series and targets."""
        return sum(len(each.known) for each in self.series)

    @property
    def sentence(self) -> str:
        """Size and age of the sealed part, and how often it was opened and by which models, without a full stop."""
        names = len({each.id for each in self.series})
        part = f"the last {counted(self.steps, 'step')} of {names} series, sealed on {self.made[:10]}"
        if not self.openings:
            return f"{part}, were never opened"
        return f"{part}, were opened {counted(len(self.openings), 'time')}: {self._listed}"

    @property
    def _listed(self) -> str:
        """The openings in words, the newest ones where there are many."""
        more = len(self.openings) - SHOWN
        return f"{more} older ones; " * (more > 0) + "; ".join(map(str, self.openings[-SHOWN:]))

    def recognised(self, panel: Panel, first: NDArray[np.int64], last: NDArray[np.int64]) -> int:
        """Return how many sealed rows are among rows ``first[i]:last[i]`` of each series of a panel."""
        own = {(each.id, each.target): each for each in self.series}
        every: dict[bytes, list[int]] = {}
        for at, each in enumerate(self.series):
            for mark in each.known:
                every.setdefault(mark, []).append(at)
        found: dict[int, set[bytes]] = {}
        places = {key: at for at, key in enumerate(own)}
        for i in np.flatnonzero(last > first):
            for k, target in enumerate(panel.roles.target):
                rows = np.arange(first[i], last[i])
                values = panel.series(int(i))[rows, k].astype(np.float64)
                marks = dict(zip(marks_of(panel, int(i), rows, values), values.tolist(), strict=True))
                at = places.get((str(panel.ids[i]), target), -1)
                same = marks.keys() & own[str(panel.ids[i]), target].known if at >= 0 else set()
                if not same:  # the series, or its column, may have another name now
                    near = Counter(other for mark in marks for other in every.get(mark, ()))
                    at = near.most_common(1)[0][0] if near else -1
                    same = marks.keys() & self.series[at].known if at >= 0 else set()
                    same = same if len({marks[mark] for mark in same}) >= LEAST_ROWS else set()
                if same:
                    found.setdefault(at, set()).update(same)
        return sum(map(len, found.values()))

    def before(self, panel: Panel) -> Panel:
        """Return the rows of a panel before the sealed ones.

        Raises
        ------
        DataError
            When series of the same names have no sealed row.
        """
        first, seen = {each.id: each.first for each in self.series}, panel.lengths.copy()
        start = min(first.values(), key=lambda time: (len(time), time))
        lacking = []
        for i, name in enumerate(map(str, panel.ids)):
            times = _times(panel, i, np.arange(panel.lengths[i]))
            if name in first and first[name] not in times:
                lacking.append(f"series {name!r} has no row at {first[name]}")
            elif name in first:
                seen[i] = times.index(first[name])
            elif self.align == "time":
                seen[i] = sum((len(time), time) < (len(start), start) for time in times)
        if lacking or not first.keys() & set(map(str, panel.ids)):
            got = shorten(lacking) or f"no series has the name {next(iter(first))!r}, or another of the ledger"
            raise DataError(Problem("the data must have the sealed rows, so that these can stay closed", got))
        return panel.until(seen)

    def text(self) -> str:
        """Return the ledger as a file has it: a line of JSON for the seal, for each opening, and for their count."""
        plain: list[dict[str, Any]] = [
            {
                "seal": VERSION,
                "made": self.made,
                "steps": self.steps,
                "align": self.align,
                "sha256": self.fingerprint,
                "series": [
                    {name: getattr(each, name) for name in ("id", "target", "first", "last", "marks")}
                    for each in self.series
                ],
            }
        ]
        for each in self.openings:
            plain.append({"opened": each.made, "by": list(each.by), "rows": each.rows, "versions": each.versions})
        plain.append({"openings": len(self.openings)})
        lines, chain = [], ""
        for line in plain:
            chain = _chained(chain, line)
            lines.append(json.dumps({**line, "chain": chain}, ensure_ascii=False))
        return "".join(f"{line}\n" for line in lines)


def marks_of(panel: Panel, i: int, rows: NDArray[np.int64], values: NDArray[np.float64]) -> list[bytes]:
    """Return a mark for each of some rows of a series, given the numbers there."""
    return [
        hashlib.blake2b(f"{time} {value + 0.0:.6g}".encode(), digest_size=MARK).digest()
        for time, value in zip(_times(panel, i, rows), values.tolist(), strict=True)
    ]


def _times(panel: Panel, i: int, rows: NDArray[np.int64]) -> list[str]:
    """Return the times of rows as text: ISO 8601, of hours in a zone in UTC, of days their dates; else numbers."""
    stamps = panel.stamps(i, rows)
    if panel.kind != "datetime":
        return [str(stamp) for stamp in stamps.tolist()]
    return [str(text) for text in stamps.astype("datetime64[ns]").astype("datetime64[us]").astype(str)]


def _split(joined: bytes) -> Iterable[bytes]:
    return (joined[at : at + MARK] for at in range(0, len(joined), MARK))


def _chained(before: str, line: dict[str, Any]) -> str:
    return hashlib.sha256(f"{before} {json.dumps(line, sort_keys=True)}".encode()).hexdigest()


def place_of(path: Any, name: str = "seal") -> Path:
    """Return the place of a ledger; ParameterError, which names the parameter, where it is no path, or a folder."""
    must = "must be the path of a ledger, such as 'sales.seal'"
    if not isinstance(path, (str, Path)) or not str(path):
        raise ParameterError(Problem(must, f"got {path!r}", parameter=name))
    if Path(path).is_dir():
        raise ParameterError(Problem(must, f"{str(path)!r} is a folder", parameter=name))
    return Path(path)


def read_ledger(path: str | Path) -> Ledger:
    """Read the ledger of a sealed test part.

    Raises
    ------
    DataError
        When there is none, or a line of it was changed or removed.
    ParameterError
    """
    place = place_of(path)

    def damaged(why: str) -> NoReturn:
        must = f"{str(place)!r} must be the ledger of a sealed test part, as it was written"
        raise DataError(Problem(must, why, "restore it from a copy; openings that it has lost cannot be counted"))

    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        must = f"{str(place)!r} must be the ledger of a sealed test part"
        raise DataError(Problem(must, "there is none", "seal the data first, or leave it out")) from None
    except (OSError, UnicodeDecodeError) as error:
        damaged(reason(error))
    lines, chain = text.splitlines(), ""
    plain: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            one = json.loads(line)
            end = one.pop("chain")
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged(f"line {number} is none of its own")
        if number == 1 and one.get("seal") not in (None, VERSION):
            damaged(f"it has the form {one['seal']!r} of another version of tsforecast")
        chain = _chained(chain, one)
        if chain != end:
            damaged(f"line {number} does not follow from those before it: it was changed, or one was removed")
        plain.append(one)
    if len(plain) < 2 or "openings" not in plain[-1]:
        damaged("its last line, which counts the openings, is missing")
    head, *opened, count = plain
    if count["openings"] != len(opened):
        damaged(f"its last line counts {counted(count['openings'], 'opening')}: there are {len(opened)}")
    try:
        series = tuple(SealedSeries(**each) for each in head["series"])
        openings = tuple(Opening(each["opened"], tuple(each["by"]), each["rows"], each["versions"]) for each in opened)
        found = Ledger(head["made"], head["steps"], head["align"], head["sha256"], series, openings)
        rows = found.rows
    except (KeyError, TypeError, ValueError):
        rows = 0
    if not rows:
        damaged("its lines lack some of their fields")
    return found


def changed(path: str | Path, change: Callable[[Ledger | None], Ledger]) -> Ledger:
    """Change a ledger, or write a new one, while no other process does; return it as it is then.

    Raises
    ------
    DataError, OutputError
    """
    place = Path(path).resolve()  # a link stays one
    with locked(place, path):
        ledger = change(read_ledger(place) if place.exists() else None)
        with new_file(place) as unfinished:
            unfinished.write_text(ledger.text(), encoding="utf-8")
    return ledger


def count_opening(path: str | Path, panel: Panel, folds: Sequence[Fold], models: Iterable[str]) -> str:
    """Count an opening by models if folds test sealed rows; return a note on it and on those before.

    Raises
    ------
    DataError, OutputError
    """
    first, last = panel.lengths.copy(), np.zeros_like(panel.lengths)
    for fold in folds:
        for cutoff in fold.cutoffs:
            own = fold.test[(cutoff.last > cutoff.first)[fold.test]]
            first[own], last[own] = np.minimum(first, cutoff.first)[own], np.maximum(last, cutoff.last)[own]
    before = read_ledger(path)
    rows = before.recognised(panel, first, last)
    name = Path(path).name
    if not rows:
        return f"none of the {before.rows} rows that {name!r} seals is in the test part: no opening is counted"
    opening = Opening(_now(), tuple(models), rows, versions())
    after = changed(path, lambda ledger: (ledger or before).opened_by(opening))
    older = replace(after, openings=after.openings[:-1])
    part = f"{rows} of {before.rows} sealed rows are in the test part ({name})"
    return f"{part}, and this board counts as opening {len(after.openings)}; {older.sentence}"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


class SealedPanel:
    """Panel whose last steps are sealed.

    Whatever takes data (`fit`, `leaderboard`, a search) gets `train` alone. `open` returns the whole panel with a note
    of how often it was opened, which a leaderboard repeats: a test part that was used many times proves little. With a
    ledger openings are counted in a file, see `seal`.

    Parameters
    ----------
    panel : Panel
    test : int or float
        Steps, or share of the steps, at the end of the clock that all series share.
    align : {"time", "end"}
        With "end" series with time stamps share no clock: the steps are those before the end of each.
    ledger : path, optional
        File that counts the openings; one that is there must be of the same rows.

    Attributes
    ----------
    train : Panel
        The rows before the test part.
    test : int
        Steps of the test part.
    opened : int
        Number of openings.
    fingerprint : str
        SHA-256 of ids, times and numbers of the targets in the test part.

    Raises
    ------
    ParameterError, DataError, OutputError

    Examples
    --------
    >>> sealed = SealedPanel(Panel.of(np.arange(10.0)), test=3)
    >>> sealed.train.lengths.tolist(), sealed.opened
    ([7], 0)
    >>> sealed.open().notes[0][:48]
    'test part (the last 3 steps) opened 1 time; sha2'
    """

    def __init__(
        self, panel: Panel, test: int | float, align: Align = "time", ledger: str | Path | None = None
    ) -> None:
        raise_any(share_or_count("test", test) + one_of("align", align, get_args(Align)), ParameterError)
        clock = clock_of(panel, align)
        end = clock.clock_end
        self.test = max(1, round(test * end)) if isinstance(test, float) else int(test)
        if self.test >= end:
            raise DataError(
                f"the test part must leave steps to learn from: takes {self.test} of {end}; use test < {end}"
            )
        seen = clock.rows_before(end - self.test)
        self.train = panel.until(seen)
        self.ledger, self._openings = None if ledger is None else place_of(ledger, "ledger"), 0
        made = _sealed(panel, seen, self.test, align)
        self.fingerprint = made.fingerprint
        if self.ledger is not None:
            changed(self.ledger, lambda known: self._joined(known, made))
        self._open: Callable[[], Panel] = lambda: panel  # a function: no attribute leads to the rows by accident

    def __panel__(self) -> Panel:
        return self.train

    def _joined(self, known: Ledger | None, made: Ledger) -> Ledger:
        """Return the ledger that is there; a new one where there is none."""
        if known is not None and known.fingerprint != made.fingerprint:
            got = f"{str(self.ledger)!r} seals {known.rows} other rows since {known.made[:10]}"
            must = "must be new, or of the same test part"
            raise DataError(Problem(must, got, "name another file", parameter="ledger"))
        return known or made

    @property
    def opened(self) -> int:
        """Number of openings."""
        return self._openings if self.ledger is None else len(read_ledger(self.ledger).openings)

    def open(self) -> Panel:
        """Return the whole panel, and count the opening."""
        whole = self._open()
        if self.ledger is None:
            self._openings += 1
        else:
            before = read_ledger(self.ledger)
            opening = Opening(_now(), (), before.rows, versions())
            changed(self.ledger, lambda known: (known or before).opened_by(opening))
        note = f"test part (the last {counted(self.test, 'step')}) opened {counted(self.opened, 'time')}"
        return replace(whole, notes=(*whole.notes, f"{note}; sha256 {self.fingerprint[:12]}"))

    def __repr__(self) -> str:
        return (
            f"SealedPanel: {len(self.train)} series, the last {counted(self.test, 'step')} sealed (sha256 "
            f"{self.fingerprint[:12]}), opened {counted(self.opened, 'time')}"
        )


def _sealed(panel: Panel, seen: NDArray[np.int64], test: int, align: str) -> Ledger:
    """Return the ledger of the rows from `seen` on, which was never opened."""
    series, digest = [], hashlib.sha256()
    order = sorted(np.flatnonzero(panel.lengths > seen), key=lambda i: str(panel.ids[i]))
    for i in map(int, order):
        rows = np.arange(seen[i], panel.lengths[i])
        times = _times(panel, i, rows)
        for k, target in sorted(enumerate(panel.roles.target), key=lambda pair: pair[1]):
            values = panel.series(i)[rows, k].astype(np.float64)
            digest.update(repr((str(panel.ids[i]), target, times, values.tolist())).encode())
            marks = base64.b64encode(b"".join(marks_of(panel, i, rows, values))).decode()
            series.append(SealedSeries(str(panel.ids[i]), target, times[0], times[-1], marks))
    return Ledger(_now(), test, align, digest.hexdigest(), tuple(series))


def seal(
    data: Any, test: int | float, ledger: str | Path | None = None, align: Literal["time", "end"] = "time"
) -> SealedPanel:
    """Set the last steps of data apart, and count every opening of them.

    Models and boards see what lies before the test part. With a ledger the seal travels: the file has marks of the
    sealed rows, and a later `leaderboard` or `backtest` on these data, whatever file or library they come from, that
    is given it as ``seal=`` has a note on how often the rows were opened before and by which models, and is counted.

    Parameters
    ----------
    data : anything that `Panel.of` reads
    test : int or float
        Steps, or share of the steps, at the end.
    ledger : path, optional
        File that counts the openings, such as ``"sales.csv.seal"``; one that is there must be of the same rows.
        Without one they are counted by the object that is returned alone.
    align : {"time", "end"}
        With "end" the steps are those before the end of each series.

    Returns
    -------
    SealedPanel

    Raises
    ------
    ParameterError
    DataError
        When nothing is left to learn from, or the ledger is damaged or of other rows.
    OutputError

    Examples
    --------
    >>> import tempfile
    >>> from tsforecast import leaderboard
    >>> numbers = np.random.default_rng(0).normal(size=60).cumsum()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sealed = seal(numbers, test=6, ledger=f"{folder}/walk.seal")
    ...     before = leaderboard("mean", sealed, horizon=3)
    ...     after = [leaderboard("mean", numbers, horizon=3, seal=sealed.ledger).notes[0] for _ in range(2)]
    >>> sealed.test, after[0][:51]
    (6, '6 of 6 sealed rows are in the test part (walk.seal)')
    >>> after[1].split(" were ")[1][:16]
    'opened 1 time: 2'
    """
    return SealedPanel(Panel.of(data), test, align, ledger)
