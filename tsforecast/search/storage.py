"""The folder of a search: what it was asked, what it tried, what it found; read again without the data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tsforecast.errors import Argument, DataError, ParameterError, Phrase, Problem, shorten
from tsforecast.files import new_file, require_place
from tsforecast.search.journal import Tried, read, trials_table
from tsforecast.search.space import Space

ORDERS, OUTCOME = "search.json", "outcome.json"


@dataclass(frozen=True)
class About:
    """What a search is about.

    Attributes
    ----------
    data : str
        A sentence about the panel.
    forecaster : str
        As code.
    space : dict
        See `Space.plain`.
    season_length : int
        What ``"2 seasons"`` of the space counts.
    epochs : int
        Of a trial that is not stopped; 0 where nothing is trained in epochs.
    trials : int
        As asked.
    horizon : int
        0 where recordings are recognised.
    metric : str
        The error whose skill counts.
    reference : str
        The best naive forecast on the validation targets, or the majority classifier.
    cutoffs, origins : int
        Forecasts, or recordings, that a trial is scored on, and validation parts that they lie in.
    searcher, scheduler : str
    made : str
        When it began, ISO 8601.
    versions : dict
    machine : str
    """

    data: str
    forecaster: str
    space: dict[str, Any]
    season_length: int
    epochs: int
    trials: int
    horizon: int
    metric: str
    reference: str
    cutoffs: int
    origins: int
    searcher: str
    scheduler: str
    made: str
    versions: dict[str, str]
    machine: str

    @property
    def error(self) -> str:
        """The error whose skill counts, in words."""
        return {"error": "wrong labels", "log_loss": "log loss"}.get(self.metric, self.metric.upper())

    @property
    def cases(self) -> str:
        """What a trial is scored on, in words."""
        kind, ahead = ("cutoff", f", horizon {self.horizon}") if self.horizon else ("recording", "")
        parts = "1 validation part" if self.origins == 1 else f"{self.origins} validation parts"
        return f"{self.cutoffs} {kind}{'' if self.cutoffs == 1 else 's'} in {parts}{ahead}"


@dataclass(frozen=True)
class Kept:
    """A search as its folder tells it.

    Attributes
    ----------
    folder : Path
    about : About
    space : Space
        Choices that JSON cannot hold are words.
    tried : list of Tried
    optimism : float or None
        None until the search is over.
    """

    folder: Path
    about: About
    space: Space
    tried: list[Tried]
    optimism: float | None

    @property
    def trials(self) -> pd.DataFrame:
        """All trials, the naive forecast first; see `RaySearch.trials_`."""
        return trials_table(self.tried, self.space, self.about.epochs)


def begin(folder: Path, asked: dict[str, str], about: About, resume: bool | str) -> None:
    """Keep what a search was asked, or make sure that it is the one that goes on.

    Raises
    ------
    ParameterError
        When the folder holds another search, or none and one must be there, or one and none must.
    OutputError
        When the folder holds something else, or cannot be written to.
    """
    require_place(folder, mark=ORDERS)
    file = folder / ORDERS
    if not file.is_file():
        if resume is True:
            must = (Argument("resume", True), f" must find a search in {str(folder)!r}")
            raise ParameterError(Problem(must, "there is none", Argument("resume", "auto", verb="use")))
        _keep(file, {"asked": asked, "about": asdict(about)})
        return
    kept = _told(file)
    differing = [name for name in asked if kept["asked"].get(name) != asked[name]]
    if differing:
        raise ParameterError(
            Problem(
                f"{str(folder)!r} holds a search with other {shorten(differing)}",
                "",
                ("give this one another ", Phrase("name", "search"), ", or delete it"),
            )
        )
    if resume is False:
        remedy = (Argument("resume", "auto", verb="use"), " to go on, or another ", Phrase("name", "search"))
        raise ParameterError(Problem(f"{str(folder)!r} holds this search already", "", remedy))
    if kept["about"]["trials"] != about.trials:
        _keep(file, {**kept, "about": {**kept["about"], "trials": about.trials}})


def conclude(folder: Path, optimism: float) -> None:
    """Keep what only the data could tell."""
    _keep(folder / OUTCOME, {"optimism": None if optimism != optimism else optimism})


def read_search(folder: Path) -> Kept:
    """Return what a folder tells of its search, whether it is over or not.

    Raises
    ------
    DataError
        When there is none.
    """
    if not (folder / ORDERS).is_file():
        raise DataError(f"{str(folder)!r} must hold a search: it has no {ORDERS}; name the folder that a search wrote")
    about = About(**_told(folder / ORDERS)["about"])
    outcome = folder / OUTCOME
    optimism = _told(outcome)["optimism"] if outcome.is_file() else None
    return Kept(folder, about, Space.from_plain(about.space, about.season_length), read(folder), optimism)


def _told(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{str(file)!r} must hold what a search was asked: it is no JSON ({error})") from error


def _keep(file: Path, told: dict[str, Any]) -> None:
    with new_file(file) as unfinished:
        unfinished.write_text(json.dumps(told, indent=1), encoding="utf-8")
