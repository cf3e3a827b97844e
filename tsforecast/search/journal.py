"""The trial log of a search: one JSON line per event, read back as one record per trial or as a table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.search.space import Settings, Space

LOG_FILE = "journal.jsonl"  # in the folder of a search


@dataclass
class TrialRecord:
    """All that was logged of one trial."""

    code: Settings  # as the searcher encodes its settings; see `Space.decode`
    skills: dict[int, float] = field(default_factory=dict)  # by reported epoch, from 0 on
    seconds: float = float("nan")
    ended: bool = False  # stopped, or failed
    error: str = ""  # also empty where the trial went on since
    trial: int = 1  # its number, from 1 on

    def is_over(self, epochs: int) -> bool:
        """Return whether nothing of so many epochs is left to train."""
        return self.ended or max(self.skills, default=-1) >= epochs

    def status(self, epochs: int) -> str:
        """Return how the trial ended, as `RaySearch.trials_` has it."""
        if self.error:
            return "failed"
        if not self.skills:
            return "not run"
        if max(self.skills) >= epochs:
            return "finished"
        return "stopped early" if self.ended else "cut short"


def append_event(folder: Path, event: str, trial: int, **fields: Any) -> None:
    """Append a line to the log of a search; it is on the disk before anything goes on."""
    with (folder / LOG_FILE).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"event": event, "trial": trial, **fields}) + "\n")


def repair_log(folder: Path) -> None:
    """End a truncated last line, so that the next event starts a line of its own."""
    file = folder / LOG_FILE
    if file.exists() and not file.read_bytes().endswith(b"\n"):
        with file.open("a", encoding="utf-8") as lines:
            lines.write("\n")


def read_log(folder: Path) -> list[TrialRecord]:
    """Return a record of each trial by number; a truncated line is skipped.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     append_event(Path(name), "began", 1, code={"units": 0})
    ...     append_event(Path(name), "epoch", 1, code={"units": 0}, epoch=1, skill=0.2, start=0.1, seconds=2.0)
    ...     read_log(Path(name))[0].skills
    {0: 0.1, 1: 0.2}
    """
    file = folder / LOG_FILE
    records: dict[int, TrialRecord] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        record = records.setdefault(event["trial"], TrialRecord(event.get("code", {}), trial=event["trial"]))
        if event["event"] == "epoch":
            record.code, record.error = event["code"], ""  # population based training changes the code
            record.skills[0] = event["start"]
            record.skills[event["epoch"]] = event["skill"]
            record.seconds = event["seconds"]
        elif event["event"] in ("done", "failed"):
            record.ended, record.error = not event.get("again"), event.get("error", "")
    return [records[trial] for trial in sorted(records)]


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


def trials_table(records: list[TrialRecord], space: Space, epochs: int) -> pd.DataFrame:
    """Return a row for each trial, the naive forecast first; see `RaySearch.trials_`.

    A trial that is not stopped has so many `epochs`.

    Examples
    --------
    >>> record = TrialRecord({"units": 1}, skills={0: 0.0, 1: 0.3, 2: 0.2}, seconds=1.5, ended=True)
    >>> trials_table([record], Space.of({"units": [8, 16]}), 4)[["trial", "status", "best_score", "best_epoch"]]
       trial         status  best_score  best_epoch
    0      0          naive         0.0           0
    1      1  stopped early         0.3           1
    """
    return pd.DataFrame([NAIVE, *(_row(record, space, epochs) for record in records)])


def _row(record: TrialRecord, space: Space, epochs: int) -> dict[str, Any]:
    skills = [record.skills[epoch] for epoch in sorted(record.skills)]
    settings = space.active(space.decode(record.code))
    return {
        "trial": record.trial,
        "status": record.status(epochs),
        "error": record.error,
        "best_score": max(skills, default=np.nan),
        "best_epoch": max(record.skills, key=lambda epoch: (record.skills[epoch], -epoch), default=0),
        "last_score": skills[-1] if skills else np.nan,
        "epochs": max(record.skills, default=0),
        "scores": skills,
        "seconds": record.seconds,
        "params": settings,
        **{f"param_{name}": value for name, value in settings.items()},
    }
