"""Data of the command line: a dataset or a file as a panel, rows for a saved model, and tracked runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsforecast.cli.console import echo
from tsforecast.cli.files import lines_of, read_file
from tsforecast.cli.options import DataOptions
from tsforecast.errors import DataError, ModelFileError, ParameterError, UnknownNameError, nearest, reason
from tsforecast.files import new_file

if TYPE_CHECKING:
    from tsforecast.catalog.card import Task
    from tsforecast.data.panel import Panel


@contextmanager
def tracked(mlflow: bool, data: str) -> Iterator[None]:
    """Track fits as runs of MLflow if `mlflow`, with the data as the command names them."""
    if not mlflow:
        yield
        return
    from tsforecast.tracking import track

    with track(data=Path(data).stem) as uri:
        yield
    look = f"; look at them with: mlflow server --backend-store-uri {uri}" if uri.startswith("sqlite:") else ""
    echo(f"runs are in {uri}{look}")


FORMAT_FILE = "reading.json"  # beside a saved model: how dates were written in the file that it was fitted on
MOST_TEXT = 1 << 12  # characters of that file which are read


def read_panel(data: str, reading: DataOptions, label: str | None = None) -> tuple[Panel, Task | None]:
    """Return the panel of a dataset or a file, and the task of its card if it has one.

    Sequences are classified by the static column `label`; without it, a dataset's own label is left out.
    """
    from tsforecast.catalog.card import card, dataset_names
    from tsforecast.catalog.loaders import load_dataset
    from tsforecast.data.panel import Panel

    if data in dataset_names():
        if reading != DataOptions():
            raise ParameterError(f"dataset {data!r} has its own columns, season and cleaning; leave those options out")
        panel, task = load_dataset(data), card(data).task
        return panel.without(task.label) if task.label and not label else panel, task
    path = Path(data)
    if not (path.exists() or path.suffix or path.parent != Path()):
        raise UnknownNameError(f"dataset {data!r} does not exist; {nearest(data, dataset_names())}")
    target, past, future, group, labels = map(
        _names, (reading.target, reading.past, reading.future, reading.group, label)
    )
    with lines_of(path):
        numbers = (*target, *past, *future, *labels, *group) if target else None
        frame, _ = read_file(path, reading.time, reading.date_format, numbers)
        panel = Panel.from_frame(
            frame,
            time=reading.time,
            id=reading.id,
            target=target or None,
            past=past,
            future=future,
            static=label or (),
            group=reading.group,
            frequency=reading.frequency,
            season_length=reading.season,
            nan_policy=reading.nan,  # type: ignore[arg-type]
            fill_gaps=reading.fill_gaps,
            sort=reading.sort,
            duplicates=reading.duplicates,  # type: ignore[arg-type]
        )
    return panel, None


def horizon_of(given: int | None, task: Task | None, panel: Panel) -> int:
    """Return the given horizon, or the card's, or one season but no more than a tenth of the shortest series."""
    if given is not None:
        return given
    if task:
        return task.horizon
    season = panel.season_length if panel.season_length > 1 else 10
    return max(1, min(season, int(panel.lengths.min()) // 10))


def cutoffs_of(origins: int | None, step: int | None, task: Task | None, horizon: int) -> tuple[int, int | None]:
    """Return the number of cutoffs and the steps between them: as given, or the card's.

    The card's cutoffs belong to the card's horizon; another horizon starts from one cutoff again.
    """
    own = task if task and task.horizon == horizon else None
    return (
        origins if origins is not None else own.origins if own else 1,
        step if step is not None else own.step if own else None,
    )


def keep_format(model: Path, date_format: str | None) -> None:
    """Keep beside a saved model how dates were written in the file that it was fitted on."""
    if date_format:
        with new_file(model / FORMAT_FILE) as unfinished:
            unfinished.write_text(json.dumps({"date_format": date_format}), encoding="utf-8")


def kept_format(model: Path) -> str | None:
    """Return how dates were written in the file that a saved model was fitted on, where that was kept."""
    from tsforecast.saving.folder import inside

    kept, why = model / FORMAT_FILE, "it does not"
    if not kept.exists():
        return None
    try:
        with inside(model, FORMAT_FILE).open(encoding="utf-8") as file:
            remembered = json.loads(file.read(MOST_TEXT))["date_format"]
        if isinstance(remembered, str):
            return remembered
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        pass
    except (OSError, ValueError) as error:
        why = reason(error)
    raise ModelFileError(f"{str(kept)!r} must hold how dates are written: {why}; give it with --date-format")


def read_next(
    path: Path, model: Path, time: str | None, date_format: str | None, numbers: Collection[str] | None
) -> tuple[Any, dict[str, str]]:
    """Return the table in a file for a saved model, and how each column of dates is written; see `read_file`.

    Dates are read by `date_format`, or as those that the model was fitted on, or as ISO 8601.
    """
    remembered = None if date_format else kept_format(model)
    try:
        return read_file(path, time, date_format or remembered, numbers)
    except DataError:
        if remembered:
            frame, forms = read_file(path, time, None, numbers)
            if time in frame.columns and frame[time].dtype.is_temporal():
                return frame, forms
        raise


def _names(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]
