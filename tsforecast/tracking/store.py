"""The MLflow store, a server or a database file: reached before training, then sent events."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from tsforecast.errors import TrackingError, reason

# What it reads from the environment: it gives up soon, says little, and sends nothing to its makers.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
NEEDED = ("mlflow.models", "mlflow.pyfunc", "mlflow.artifacts")


@contextmanager
def quiet() -> Iterator[None]:
    """Load MLflow, with the warnings and logs of its libraries silenced.

    Not for threads beside others: filters of warnings belong to the whole process.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in NEEDED:
            import_module(module)
        yield


DEFAULT = "tsforecast"  # the experiment of data without a name
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"  # in the working folder, where nothing else is named
WAIT = 4.0  # seconds for a server to answer: with all else, less than five
TRIES = 5  # of a database file, which another process may be writing to
BATCH = 100  # parameters, or tags, in one message; MLflow takes no more
LONGEST = 5000  # letters of a parameter or tag
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


class Refused(Exception):
    """A reachable store rejects an event."""


@dataclass(frozen=True)
class Event:
    """Event of a run, in JSON values."""

    kind: Literal["begin", "log", "files", "model", "end"]
    run: str  # our own name of the run; the store gives it another one
    values: dict[str, Any] = field(default_factory=dict)
    folder: str = ""  # of its files, inside the folder of all events; empty where it has none


def where(uri: str | Path | None) -> str:
    """Return the URI of a store: the given one, else that of MLflow's environment variable, else a file right here."""
    named = str(uri or os.environ.get("MLFLOW_TRACKING_URI") or DATABASE)
    if named.endswith(".db") and "://" not in named:
        named = f"sqlite:///{named}"
    if named.startswith("sqlite:///"):
        return f"sqlite:///{Path(named.removeprefix('sqlite:///')).absolute()}"
    return named.rstrip("/")


class Store:
    """Experiments in a store that was reached; made where there is none of a name.

    Runs go to the one that is named, or each to that of its data. `runs` maps our names of runs that were begun before
    to those of the store. TrackingError is raised within five seconds when the store cannot be reached.
    """

    def __init__(self, uri: str, experiment: str | None, runs: dict[str, str] | None = None) -> None:
        require_reachable(uri)
        with quiet():
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            self.uri, self.experiment, self.runs = uri, experiment, dict(runs or {})
            self.tries = TRIES if uri.startswith("sqlite:") else 1  # before an event counts as lost
            self._resumes, self._refusal = runs is not None, MlflowException
            try:
                # A database file is locked while one process opens it: the first one creates its tables.
                with FileLock(f"{uri.removeprefix('sqlite:///')}.lock") if uri.startswith("sqlite:") else nullcontext():
                    self._client = MlflowClient(uri)
                    self._experiments = dict[str, str]()  # by name
                    if experiment is None:
                        self._client.search_experiments(max_results=1)  # a store that does not answer is an error now
                    else:
                        self._experiment_of(experiment)
            except MlflowException as error:
                raise TrackingError(f"runs cannot be tracked in {uri!r}: {reason(error)}") from error

    def send(self, event: Event, folder: Path) -> None:
        """Send an event to the store, and remove its files then; errors of the client are raised.

        Refused is raised when the store runs, but does not take this event.
        """
        if event.kind != "begin" and event.run not in self.runs:
            raise Refused("its run was refused")
        try:
            getattr(self, f"_{event.kind}")(event, folder / event.folder)
        except self._refusal as error:
            if error.get_http_status_code() == 400:  # type: ignore[no-untyped-call]
                raise Refused(reason(error)) from error
            raise
        if event.folder:
            shutil.rmtree(folder / event.folder, ignore_errors=True)

    def _begin(self, event: Event, folder: Path) -> None:
        values, found = event.values, None
        experiment = self._experiment_of(self.experiment or values.get("experiment") or DEFAULT)
        if self._resumes:  # the run may exist in the store, although the confirmation was lost
            mark = f"tags.`tsforecast.run` = '{event.run}'"
            found = self._client.search_runs([experiment], mark, max_results=1)
        if found:
            run = found[0]
        else:
            tags = {**_as_text(values["tags"]), "tsforecast.run": event.run}
            if values["parent"] in self.runs:
                tags["mlflow.parentRunId"] = self.runs[values["parent"]]
            run = self._client.create_run(experiment, values["at"], tags, values["name"])
        self.runs[event.run] = run.info.run_id
        if data := values.get("dataset"):
            self._input(run.info.run_id, data)
        self._log(event, folder)

    def _input(self, run: str, data: dict[str, str]) -> None:
        """Log the data of a run, which pages of MLflow list by name and digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._client.log_inputs(run, [DatasetInput(Dataset(**data), [InputTag("mlflow.data.context", "training")])])

    def _log(self, event: Event, folder: Path) -> None:
        from mlflow.entities import Metric, Param, RunTag

        values, run = event.values, self.runs[event.run]
        metrics = [Metric(re.sub(r"\s", "_", _key(name)), *rest) for name, *rest in values.get("metrics", ())]
        params = [Param(name, text) for name, text in _as_text(values["params"]).items()]
        tags = [RunTag(name, text) for name, text in _as_text({} if event.kind == "begin" else values["tags"]).items()]
        for begin in range(0, max(len(metrics), len(params), len(tags)), BATCH):
            part = slice(begin, begin + BATCH)
            self._client.log_batch(run, metrics[part], params[part], tags[part], synchronous=True)

    def _files(self, event: Event, folder: Path) -> None:
        self._client.log_artifacts(self.runs[event.run], str(folder), event.values["under"] or None)

    def _model(self, event: Event, folder: Path) -> None:
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus
        from mlflow.models import Model

        run = self.runs[event.run]
        logged = self._client.create_logged_model(
            self._client.get_run(run).info.experiment_id,
            event.values["name"],
            run,
            params=_as_text(event.values["params"]),
            model_type="forecaster",
        )
        described = Model.load(str(folder))
        described.model_id = described.model_uuid = logged.model_id
        described.run_id, described.artifact_path = run, logged.artifact_location
        described.save(str(folder / "MLmodel"))
        self._client.log_model_artifacts(logged.model_id, str(folder))
        self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        self._client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])

    def _end(self, event: Event, folder: Path) -> None:
        self._client.set_terminated(self.runs[event.run], event.values["status"], event.values["at"])

    def _experiment_of(self, name: str) -> str:
        """Return the id of an experiment by its name."""
        if name not in self._experiments:
            self._experiments[name] = self._find_experiment(name)
        return self._experiments[name]

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            files = None  # a server knows where it keeps files
            if self.uri.startswith("sqlite:"):
                files = (Path(self.uri.removeprefix("sqlite:///")).parent / ARTIFACTS).as_uri()
            try:
                return str(self._client.create_experiment(name, files))
            except self._refusal:  # another process was faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise TrackingError(f"experiment {name!r} was deleted: restore it, or name another one")
        return str(found.experiment_id)


def require_reachable(uri: str) -> None:
    """Raise TrackingError when a store cannot be reached, after five seconds at most."""
    if uri.startswith("sqlite:///"):
        folder = Path(uri.removeprefix("sqlite:///")).parent
        if not os.access(folder, os.W_OK):
            raise TrackingError(f"the folder of {uri!r} must be one that can be written to: make {str(folder)!r}")
        return
    if "://" not in uri and uri != "databricks":
        raise TrackingError(
            f"uri must be that of an MLflow server or of a database file, such as http://127.0.0.1:5000 or "
            f"sqlite:///mlflow.db: got {uri!r}"
        )
    if not urllib.parse.urlsplit(uri).hostname:
        return
    found: list[Exception | None] = []
    knock = threading.Thread(target=lambda: found.append(_knock(uri)), daemon=True)
    knock.start()
    knock.join(WAIT)  # the system's search for a name knows no time-out of its own
    error = found[0] if found else TimeoutError(f"no answer within {WAIT:g} seconds")
    if error is not None:
        raise TrackingError(
            f"runs cannot be tracked in {uri!r}: no server answers there ({reason(error)}); start a server with "
            "mlflow server, name another uri, or leave it out to keep runs in a file here"
        ) from error


def _knock(uri: str) -> Exception | None:
    """Return why there is no answer; None where somebody answers."""
    parts = urllib.parse.urlsplit(uri)
    try:
        if parts.scheme in ("http", "https"):
            urllib.request.urlopen(f"{uri}/health", timeout=WAIT).close()
        else:
            port = parts.port or _PORTS.get(parts.scheme.partition("+")[0], 0)
            socket.create_connection((str(parts.hostname), port), timeout=WAIT).close()
    except urllib.error.HTTPError:
        return None  # somebody is there, and may want a password, which MLflow's client has
    except urllib.error.URLError as error:
        return error.reason if isinstance(error.reason, Exception) else error
    except (OSError, ValueError) as error:
        return error
    return None


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    return {_key(name): str(value)[:LONGEST] for name, value in values.items()}


def _key(name: str) -> str:
    """Return a name with only the characters that MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name)
