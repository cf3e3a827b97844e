"""The folder of a search: its specification, trial log and outcome; readable without the data.

The trial log has one JSON line per event, which are read back as one record per trial or as a table. Workers that do
not reach the folder send the files of a trial with its scores; a folder that stands for a URL is copied there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
from platformdirs import user_data_dir

from tsforecast.errors import Argument, DataError, ParameterError, Phrase, Problem, counted, reason, shorten
from tsforecast.files import OutputError, new_file, new_folder, require_place
from tsforecast.search.objective import LEVEL, Honest
from tsforecast.search.space import Settings, Space

SPEC_FILE, LOG_FILE, OUTCOME_FILE, MARK_FILE = "search.json", "journal.jsonl", "outcome.json", "driver"
MIRROR_EVERY = 10.0  # seconds
Files = dict[str, tuple[int, bytes]]  # by name in a folder: new content from this byte on
Searcher = Literal["tpe", "gp", "random", "grid", "bohb", "hyperopt"]
Scheduler = Literal["auto", "asha", "hyperband", "median", "pbt", "none"]


@dataclass
class TrialRecord:
    """All that was logged of one trial."""

    code: Settings  # as the searcher encodes its settings; see `Space.decode`
    skills: dict[int, float] = field(default_factory=dict)  # by reported epoch, from 0 on
    seconds: float = float("nan")
    ended: bool = False  # stopped, or failed
    lost: int = 0  # times that its process died since its last epoch
    error: str = ""  # also empty where the trial went on since
    trial: int = 1  # its number; 0 is the naive forecast

    def is_over(self, epochs: int) -> bool:
        """Return whether nothing of so many epochs is left to train."""
        return self.ended or max(self.skills, default=-1) >= epochs

    def status(self, epochs: int) -> str:
        """Return how the trial ended, as `RaySearch.trials_` has it."""
        if not self.trial:
            return "naive"
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
    """Return a record of each trial by number; a truncated line is skipped."""
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
            record.lost = 0
            record.skills[0] = event["start"]
            record.skills[event["epoch"]] = event["skill"]
            record.seconds = event["seconds"]
        elif event["event"] in ("done", "failed"):
            record.ended, record.error = not event.get("again"), event.get("error", "")
            record.lost += event.get("lost", 0)
    return [records[trial] for trial in sorted(records)]


def changed_files(folder: Path, sent: dict[str, bytes]) -> Files:
    """Return what changed in the folder of a trial since the files were as in `sent`, which is brought up to date.

    Of files that grew that is their end; files of a folder within come together.
    """
    now = {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted([*folder.glob("*.npy"), *folder.glob("[!.]*/*")])
        if file.is_file()
    }
    changed = {name for name, content in now.items() if sent.get(name) != content}
    parents = {Path(name).parent for name in changed} - {Path()}
    found: Files = {}
    for name, content in now.items():
        if Path(name).parent in parents:
            found[name] = (0, content)
        elif name in changed:
            start = len(sent[name]) if name in sent and content.startswith(sent[name]) else 0
            found[name] = (start, content[start:])
    sent.update(now)
    return found


def write_files(folder: Path, files: Files) -> None:
    """Write what `changed_files` returned elsewhere: each file, and each folder within, whole or not at all."""
    for parent in {Path(name).parent for name in files} - {Path()}:
        of_parent = {Path(name).name: content for name, (_, content) in files.items() if Path(name).parent == parent}
        with new_folder(folder / parent, mark=min(of_parent)) as unfinished:
            for name, content in of_parent.items():
                (unfinished / name).write_bytes(content)
    for name, (start, content) in files.items():
        if Path(name).parent != Path():
            continue
        before = (folder / name).read_bytes()[:start] if start else b""
        with new_file(folder / name) as whole:
            whole.write_bytes(before + content)


class Mirror:
    """A folder at a URL of fsspec that has what a local folder has, except for the weights of trials under way."""

    def __init__(self, url: str, folder: Path) -> None:
        import fsspec

        try:
            self.system, self.root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ParameterError(
                f"storage must be a folder, or a URL that fsspec supports: got {url!r} ({reason(error)})"
            ) from error
        self.url, self.folder = url, folder
        self._sent: dict[Path, tuple[int, int]] = {}
        self._next = 0.0

    def pull(self) -> None:
        """Copy a search from the URL, unless the local folder has as much of it, or more."""
        with self._reachable():
            log = f"{self.root}/{LOG_FILE}"
            there = self.system.size(log) if self.system.exists(log) else 0
            here = self.folder / LOG_FILE
            if self.system.exists(f"{self.root}/{SPEC_FILE}") and there > (
                here.stat().st_size if here.exists() else -1
            ):
                for path in self.system.find(self.root):
                    with new_file(self.folder / path.removeprefix(self.root).lstrip("/")) as unfinished:
                        self.system.get_file(path, str(unfinished))

    def push(self, now: bool = True) -> None:
        """Copy what changed to the URL; unless `now`, only if the last time was a while ago. The log comes last."""
        if not now and time.monotonic() < self._next:
            return
        names = [*self.folder.glob("trials/*/*.npy"), *self.folder.glob("*.json"), self.folder / LOG_FILE]
        with self._reachable():
            for file in names:
                if not file.exists():
                    continue
                state = file.stat()
                if self._sent.get(file) != (state.st_size, state.st_mtime_ns):
                    target = f"{self.root}/{file.relative_to(self.folder).as_posix()}"
                    self.system.makedirs(target.rpartition("/")[0], exist_ok=True)
                    self.system.put_file(str(file), target)
                    self._sent[file] = (state.st_size, state.st_mtime_ns)
        self._next = time.monotonic() + MIRROR_EVERY

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"storage {self.url!r} must be a place that can be read and written: {reason(error)}; what it lacks is "
                f"in {str(self.folder)!r}: run the search again when it can be reached"
            ) from error


def trials_table(records: list[TrialRecord], space: Space, epochs: int) -> pd.DataFrame:
    """Return a row for each trial, the naive forecast first; see `RaySearch.trials_`.

    A trial that is not stopped has so many `epochs`.
    """
    naive = TrialRecord({}, skills={0: 0.0}, seconds=0.0, trial=0)
    return pd.DataFrame([_row(record, space, epochs) for record in (naive, *records)])


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


def pair_problems(searcher: str, scheduler: str) -> list[str]:
    """Return a problem where a searcher and a scheduler do not work together."""
    if searcher == "bohb" and scheduler not in ("auto", "hyperband"):
        return [f"searcher 'bohb' must come with its HyperBand: got scheduler={scheduler!r}; leave scheduler out"]
    if scheduler == "pbt" and searcher not in ("random", "grid"):
        return [
            "scheduler 'pbt' must come with searcher='random' or 'grid', since it proposes settings itself: got "
            f"{searcher!r}"
        ]
    return []


@dataclass(frozen=True)
class SearchSpec:
    """Specification of a search."""

    data: str  # summary of the panel
    forecaster: str  # as code
    space: dict[str, Any]  # see `Space.plain`
    season_length: int  # steps of a season, in which windows may be given
    epochs: int  # of a trial that is not stopped; 0 where nothing is trained in epochs
    trials: int
    horizon: int  # 0 where sequences are classified
    metric: str  # error whose skill counts
    reference: str  # the best naive forecast on the validation targets, or the majority classifier
    cutoffs: int  # forecasts, or sequences, that a trial is scored on
    origins: int  # validation parts that they lie in
    searcher: str
    scheduler: str
    made: str  # start of the search, ISO 8601
    versions: dict[str, str]
    machine: str
    own: dict[str, str] = field(default_factory=dict)  # the forecaster's own settings as text, if the space has them

    @property
    def stopping(self) -> str:
        """Scheduler that stops trials, where ``auto`` is HyperBand for BOHB and ASHA for the others."""
        auto = "hyperband" if self.searcher == "bohb" else "asha"
        return auto if self.scheduler == "auto" else self.scheduler

    @property
    def error(self) -> str:
        """Name of the error whose skill counts."""
        return {"error": "wrong labels", "log_loss": "log loss"}.get(self.metric, self.metric.upper())

    @property
    def cases(self) -> str:
        """Number and kind of the cases that a trial is scored on."""
        kind, horizon = ("cutoff", f", horizon {self.horizon}") if self.horizon else ("sequence", "")
        return f"{counted(self.cutoffs, kind)} in {counted(self.origins, 'validation part')}{horizon}"

    def hopeless(self, honest: Honest, over: int) -> str:
        """Return the sentence about a search that ended after so many trials since nothing can beat naive."""
        begin = f"the search ended after {over} of {self.trials} trials, since nothing beats {self.reference}"
        if honest.best <= 0:
            return f"{begin}: no epoch of any trial has a smaller error on {self.cases}"
        return (
            f"{begin}: best skill {honest.best:+.1%}, of which {100 * honest.optimism:.1f} points are luck of the "
            f"choice; with {LEVEL:.0%} confidence it is below {max(0.0, honest.high):.1%} on other data"
        )


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run; see `RaySearch`."""

    spec: SearchSpec
    folder: Path
    seed: int
    time_budget: float | None
    resources: dict[str, float]
    address: str | None
    give_up: bool  # end when nothing beats naive
    mirror: Mirror | None = None
    mark: str = ""  # see `is_shared`

    @property
    def pauses(self) -> bool:
        """Whether trials are paused, and resumed from a checkpoint of their own or of another trial."""
        return self.spec.stopping in ("hyperband", "pbt")

    def trial_folder(self, trial: int) -> Path:
        """Return the folder that holds the state of a trial, and the losses of its epochs."""
        return self.folder / "trials" / f"{trial:05d}"

    def is_shared(self) -> bool:
        """Return whether this process reaches the folder of the driver, known by a file whose text is `mark`."""
        file = self.folder / MARK_FILE
        return file.is_file() and file.read_text(encoding="utf-8") == self.mark


@dataclass(frozen=True)
class StoredSearch:
    """A search as read from its folder."""

    spec: SearchSpec
    space: Space  # choices that JSON cannot hold are texts
    records: list[TrialRecord]
    optimism: float | None  # None until the search is over
    hopeless: str = ""  # why it ended before all trials

    @property
    def trials(self) -> pd.DataFrame:
        """All trials, the naive forecast first; see `RaySearch.trials_`."""
        return trials_table(self.records, self.space, self.spec.epochs)


def search_folder(storage: str | Path | None, name: str) -> tuple[Path, Mirror | None]:
    """Return the folder of a search, and the copy of it where `storage` is a URL."""
    usual = Path(user_data_dir("tsforecast"), "searches")
    if not isinstance(storage, str) or "://" not in storage:
        return Path(storage or usual).absolute() / name, None
    folder = usual / joblib.hash(storage)[:12] / name
    mirror = Mirror(f"{storage.rstrip('/')}/{name}", folder)
    mirror.pull()
    return folder, mirror


def open_search(folder: Path, identity: dict[str, str], spec: SearchSpec, resume: bool | str) -> None:
    """Write the specification of a new search, or verify that the folder holds the search to resume.

    A resumed search must share its `identity`: data, model and rules. ParameterError is raised when the folder holds
    another search, or none with ``resume=True``, or one with ``resume=False``; OutputError when it holds something
    else, or cannot be written to.
    """
    require_place(folder, mark=SPEC_FILE)
    file = folder / SPEC_FILE
    if not file.is_file():
        if resume is True:
            must = (Argument("resume", True), f" must find a search in {str(folder)!r}")
            raise ParameterError(Problem(must, "there is none", Argument("resume", "auto", verb="use")))
        _write_json(file, {"asked": identity, "about": asdict(spec)})
        return
    stored = _read_json(file)
    differing = [name for name in identity if stored["asked"].get(name) != identity[name]]
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
    if stored["about"]["trials"] != spec.trials:
        _write_json(file, {**stored, "about": {**stored["about"], "trials": spec.trials}})


def write_outcome(folder: Path, optimism: float, hopeless: str = "") -> None:
    """Write the optimism of a search that is over, which cannot be computed without the data, and why it ended."""
    _write_json(folder / OUTCOME_FILE, {"optimism": None if optimism != optimism else optimism, "hopeless": hopeless})


def read_search(folder: Path) -> StoredSearch:
    """Read a search from its folder, whether it is over or not; DataError is raised where there is none."""
    if not (folder / SPEC_FILE).is_file():
        raise DataError(
            f"{str(folder)!r} must hold a search: it has no {SPEC_FILE}; name the folder that a search wrote"
        )
    spec = SearchSpec(**_read_json(folder / SPEC_FILE)["about"])
    outcome = folder / OUTCOME_FILE
    found: dict[str, Any] = _read_json(outcome) if outcome.is_file() else {"optimism": None}
    space = Space.from_plain(spec.space, spec.season_length)
    return StoredSearch(spec, space, read_log(folder), found["optimism"], found.get("hopeless", ""))


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{str(file)!r} must hold the specification of a search: it is no JSON ({error})") from error


def _write_json(file: Path, content: dict[str, Any]) -> None:
    with new_file(file) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
