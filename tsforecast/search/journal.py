"""Trials as rows of a table, the naive forecast first."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.search.space import Space

JOURNAL = "journal.jsonl"  # in the folder of a search


@dataclass
class Tried:
    """What is known of one trial.

    Attributes
    ----------
    code : dict
        Its settings, as a searcher speaks of them; see `Space.decode`.
    skills : dict of int to float
        At each epoch that was reported, from 0 on.
    seconds : float
    ended : bool
        Whether it was stopped or has failed.
    error : str
        Empty where there is none, or where it went on since.
    trial : int
        Its number, from 1 on.
    """

    code: dict[str, Any]
    skills: dict[int, float] = field(default_factory=dict)
    seconds: float = float("nan")
    ended: bool = False
    error: str = ""
    trial: int = 1

    def over(self, epochs: int) -> bool:
        """Tell whether nothing of it is left to do, of so many epochs."""
        return self.ended or max(self.skills, default=-1) >= epochs


def write(folder: Path, event: str, trial: int, **told: Any) -> None:
    """Add a line; each is whole on the disk before anything goes on."""
    with (folder / JOURNAL).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"event": event, "trial": trial, **told}) + "\n")


def mend(folder: Path) -> None:
    """End a last line that was cut short, so that the next one does not go on in it."""
    file = folder / JOURNAL
    if file.exists() and not file.read_bytes().endswith(b"\n"):
        with file.open("a", encoding="utf-8") as lines:
            lines.write("\n")


def read(folder: Path) -> list[Tried]:
    """Return all trials by their number; a line that was cut short is left out.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     write(Path(place), "began", 1, code={"units": 0})
    ...     write(Path(place), "epoch", 1, code={"units": 0}, epoch=1, skill=0.2, start=0.1, seconds=2.0)
    ...     read(Path(place))[0].skills
    {0: 0.1, 1: 0.2}
    """
    file = folder / JOURNAL
    found: dict[int, Tried] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        one = found.setdefault(told["trial"], Tried(told.get("code", {}), trial=told["trial"]))
        if told["event"] == "epoch":
            one.code, one.error = told["code"], ""  # a population varies it
            one.skills[0] = told["start"]
            one.skills[told["epoch"]] = told["skill"]
            one.seconds = told["seconds"]
        elif told["event"] in ("done", "failed"):
            one.ended, one.error = not told.get("again"), told.get("error", "")
    return [found[number] for number in sorted(found)]


NAIVE: dict[str, Any] = {
    "trial": 0,
    "status": "naive",
    "error": "",
    "best_score": 0.0,
    "best_epoch": 0,
    "last_score": 0.0,
    "epochs": 0,
    "scores": [0.0],
    "seconds": 0.0,
    "params": {},
}


def trials_table(tried: list[Tried], space: Space, epochs: int) -> pd.DataFrame:
    """Return a row for each trial; see `RaySearch.trials_`.

    Parameters
    ----------
    tried : list of Tried
    space : Space
    epochs : int
        Of a trial that was not stopped.

    Examples
    --------
    >>> one = Tried({"units": 1}, skills={0: 0.0, 1: 0.3, 2: 0.2}, seconds=1.5, ended=True)
    >>> trials_table([one], Space.of({"units": [8, 16]}), 4)[["trial", "status", "best_score", "best_epoch"]]
       trial         status  best_score  best_epoch
    0      0          naive         0.0           0
    1      1  stopped early         0.3           1
    """
    return pd.DataFrame([NAIVE, *(_row(one, space, epochs) for one in tried)])


def _row(one: Tried, space: Space, epochs: int) -> dict[str, Any]:
    skills = [one.skills[epoch] for epoch in sorted(one.skills)]
    settings = space.active(space.decode(one.code))
    last = max(one.skills, default=0)
    return {
        "trial": one.trial,
        "status": _status(one, last, epochs),
        "error": one.error,
        "best_score": max(skills, default=np.nan),
        "best_epoch": max(one.skills, key=lambda epoch: (one.skills[epoch], -epoch), default=0),
        "last_score": one.skills[last] if skills else np.nan,
        "epochs": last,
        "scores": skills,
        "seconds": one.seconds,
        "params": settings,
        **{f"param_{name}": value for name, value in settings.items()},
    }


def _status(one: Tried, last: int, epochs: int) -> str:
    if one.error:
        return "failed"
    if not one.skills:
        return "not run"
    if last >= epochs:
        return "finished"
    return "stopped early" if one.ended else "cut short"
