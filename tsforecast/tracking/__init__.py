"""MLflow: every fit, leaderboard and search within `track` is a run; the only room that imports mlflow.

Fits and comparisons become events (`runs`, an observer of `tsforecast.events`), which go through a queue to
a thread that sends them (`outbox`, `store`); from the first that cannot be sent on, they go to a folder, and `sync`
reads the same events from there and sends them in the same way. `flavour` and `serving` make a model of MLflow's out of
a forecaster. mlflow is imported where it is used, and only then.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsforecast.errors import ParameterError, TrackingError, TrackingWarning, shorten
from tsforecast.events import observing
from tsforecast.tracking.outbox import ABOUT, UNSENT, Outbox, send_later
from tsforecast.tracking.store import Store, where

if TYPE_CHECKING:
    from tsforecast.tracking.flavour import load_model as load_model
    from tsforecast.tracking.flavour import log_model as log_model
    from tsforecast.tracking.flavour import save_model as save_model

__all__ = ["load_model", "log_model", "save_model", "sync", "track"]


@contextmanager
def track(experiment: str | None = None, uri: str | Path | None = None, **tags: Any) -> Iterator[str]:
    """Log every fit in the block as an MLflow run; leaderboards and searches are runs with nested runs of their fits.

    A run has parameters and what was chosen from the data, metrics of each epoch, dates and fingerprint of the data,
    what the leak audit found, a description with the verdict, versions, figures and the model. All of it is sent while
    training goes on, which does not wait.

    Parameters
    ----------
    experiment : str, optional
        Made where there is none of this name. Unless given, the experiment is called like the data: as the tag
        ``data`` has it, or the dataset of the catalogue; ``"tsforecast"`` takes the runs of data without a name.
    uri : str or path, optional
        Of an MLflow server, or a database file. Unless given, the environment variable ``MLFLOW_TRACKING_URI`` names
        it; else it is the file ``mlflow.db`` in the working folder, with files in ``mlartifacts`` next to it.
    **tags
        Of every run. ``data="sales"`` names the data in the names of runs, and their experiment unless it is given.

    Yields
    ------
    str
        The URI of the store.

    Raises
    ------
    TrackingError
        Within five seconds, and before anything is trained, when the store cannot be reached.

    Warns
    -----
    TrackingWarning
        Once, when the store can no longer be reached. Whatever is under way goes on; what could not be sent is kept in
        ``mlflow-unsent``, and ``tsforecast track-sync`` sends it later.

    Examples
    --------
    >>> import tempfile
    >>> from tsforecast import DriftForecaster
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with track("sales", uri=f"{place}/mlflow.db", team="north"):
    ...         model = DriftForecaster(horizon=2).fit([1.0, 2.0, 3.0])
    """
    if experiment is not None and (not isinstance(experiment, str) or not experiment.strip()):
        raise ParameterError(
            f"experiment must be a name: got {experiment!r}; data are fitted within track, not given to it"
        )
    store = Store(where(uri), experiment or (str(tags["data"]) if tags.get("data") else None))
    from tsforecast.tracking.runs import Tracker

    outbox = Outbox(store, Path(UNSENT))
    tracker = Tracker(outbox, tags)
    try:
        with observing(tracker):
            yield store.uri
    finally:
        outbox.close()
        tracker.complain()
        if outbox.refused:
            warnings.warn(
                f"{len(outbox.refused)} parts of runs are not in {store.uri!r}: {shorten(outbox.refused)}",
                TrackingWarning,
                stacklevel=3,
            )


def sync(folder: str | Path = "mlflow-unsent") -> list[str]:
    """Send the events in a folder of `track`, or in one of the folders in it, that could not be sent at their time.

    A sentence is returned for each that was sent, and is gone now. TrackingError is raised when there is nothing to
    send, or it cannot be sent; then it stays where it is.
    """
    place = Path(folder)
    found = [place] if (place / ABOUT).is_file() else sorted(file.parent for file in place.glob(f"*/{ABOUT}"))
    if not found:
        raise TrackingError(f"{str(folder)!r} must hold runs that were not sent: it holds none; name another folder")
    done = []
    for each in found:
        uri, runs = send_later(each)
        done.append(f"sent {runs} run{'' if runs == 1 else 's'} of {each.name} to {uri}")
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    return done


def __getattr__(name: str) -> Any:
    if name not in ("load_model", "log_model", "save_model"):
        raise AttributeError(f"tsforecast.tracking has no {name!r}; it has {', '.join(__all__)}")
    from tsforecast.tracking import flavour

    return getattr(flavour, name)
