"""What the command line reads: datasets and files, with what the user or a saved model says about their columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.console import say
from tsforecast.cli.files import lines_of, read_and_forms, read_file
from tsforecast.errors import DataError, ModelFileError, ParameterError, UnknownNameError, nearest, reason
from tsforecast.files import new_file

if TYPE_CHECKING:
    from tsforecast.catalog.card import Task
    from tsforecast.data.panel import Panel


@contextmanager
def tracked(mlflow: bool, data: str) -> Iterator[None]:
    """Let fits be runs if that was asked for, with the data as the command names them."""
    if not mlflow:
        yield
        return
    from tsforecast.tracking import track

    with track(data=Path(data).stem) as uri:
        yield
    look = f"; look at them with: mlflow server --backend-store-uri {uri}" if uri.startswith("sqlite:") else ""
    say(f"runs are in {uri}{look}")


def track_sync(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs that were not sent.")] = Path(
        "mlflow-unsent"
    ),
) -> None:
    """Send runs to MLflow that could not be sent when they happened."""
    from tsforecast.tracking import sync

    for sentence in sync(folder):
        say(sentence)


MOST_TEXT = 1 << 12  # characters of that file which are read
FORMAT_FILE = "reading.json"  # beside a saved model: how dates were written in the file that it was fitted on


@dataclass(frozen=True)
class Said:
    """What the user says about a file; as in `Panel.from_frame`, names of several columns with commas."""

    time: str | None = None
    date_format: str | None = None
    target: str | None = None
    id: str | None = None
    past: str | None = None
    future: str | None = None
    frequency: str | None = None
    season: int | None = None
    nan: Any = None
    fill_gaps: bool = False
    sort: bool = False
    duplicates: Any = None
    group: str | None = None
    label: str | None = None  # what is recognised; nothing is read as a label unless it is said


def read_panel(data: str, said: Said) -> tuple[Panel, Task | None]:
    """Return the panel of a dataset or a file, and the task of its card if it has one.

    Raises
    ------
    UnknownNameError, ParameterError, DataError
    """
    from tsforecast.catalog.card import card, dataset_names
    from tsforecast.catalog.loaders import load_dataset
    from tsforecast.data.panel import Panel

    if data in dataset_names():
        if replace(said, label=None) != Said():
            raise ParameterError(f"dataset {data!r} has its own columns, season and mending; leave those options out")
        panel, task = load_dataset(data), card(data).task
        # What a recording will be recognised as is not known while it goes on.
        return panel.without(task.label) if task.label and not said.label else panel, task
    path = Path(data)
    if not (path.exists() or path.suffix or path.parent != Path()):
        raise UnknownNameError(f"dataset {data!r} does not exist; {nearest(data, dataset_names())}")
    target, past, future, own = map(_names, (said.target, said.past, said.future, said.label))
    read = (*target, *past, *future, *own, *_names(said.group)) if target else None
    with lines_of(path):
        panel = Panel.from_frame(
            read_file(path, said.time, said.date_format, read),
            time=said.time,
            id=said.id,
            target=target or None,
            past=past,
            future=future,
            static=said.label or (),
            group=said.group,
            frequency=said.frequency,
            season_length=said.season,
            nan_policy=said.nan,
            fill_gaps=said.fill_gaps,
            sort=said.sort,
            duplicates=said.duplicates,
        )
    return panel, None


def horizon_of(asked: int | None, task: Task | None, panel: Panel) -> int:
    """Return what was asked for, or the card's, or one season but no more than a tenth of the shortest series."""
    if asked is not None:
        return asked
    if task:
        return task.horizon
    season = panel.season_length if panel.season_length > 1 else 10
    return max(1, min(season, int(panel.lengths.min()) // 10))


def cutoffs_of(origins: int | None, step: int | None, task: Task | None, horizon: int) -> tuple[int, int | None]:
    """Return how many cutoffs are tested, and the steps between them: as asked, or the card's.

    The card's cutoffs belong to the card's horizon; another horizon starts from one cutoff again.
    """
    own = task if task and task.horizon == horizon else None
    return (
        origins if origins is not None else own.origins if own else 1,
        step if step is not None else own.step if own else None,
    )


def keep_format(model: Path, date_format: str | None) -> None:
    """Note beside a saved model how dates were written in the file that it was fitted on."""
    if date_format:
        with new_file(model / FORMAT_FILE) as unfinished:
            unfinished.write_text(json.dumps({"date_format": date_format}), encoding="utf-8")


def kept_format(model: Path) -> str | None:
    """Return how dates were written in the file that a saved model was fitted on, where that was noted.

    Raises
    ------
    ModelFileError
    """
    from tsforecast.saving.folder import inside

    kept, remembered = model / FORMAT_FILE, None
    if not kept.exists():
        return None
    why = "it does not"
    try:
        with inside(model, FORMAT_FILE).open(encoding="utf-8") as file:
            remembered = json.loads(file.read(MOST_TEXT))["date_format"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        pass
    except (OSError, ValueError) as error:
        why = reason(error)
    if not isinstance(remembered, str):
        raise ModelFileError(f"{str(kept)!r} must say how dates are written: {why}; say it with --date-format")
    return remembered


def read_next(
    path: Path, model: Path, time: str | None, date_format: str | None, numbers: Collection[str] | None
) -> tuple[Any, dict[str, str]]:
    """Return the table in a file for a saved model, its dates read as those that the model was fitted on.

    What the user says comes first; and dates that are ISO 8601, or no text, need no format. Beside the table stands
    how each column of dates was written, in strptime codes.

    Raises
    ------
    UnknownNameError, ParameterError, DataError, ModelFileError
    """
    remembered = None if date_format else kept_format(model)
    if not remembered:
        return read_and_forms(path, time, date_format, numbers)
    try:
        return read_and_forms(path, time, remembered, numbers)
    except DataError:
        frame, forms = read_and_forms(path, time, None, numbers)
        if time in frame.columns and frame[time].dtype.is_temporal():
            return frame, forms
        raise


def _names(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]
