"""What a store holds, read with MLflow's own client."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient


def runs(uri: str, experiment: str | None = None) -> list[Any]:
    """Return the runs of an experiment, or of all, the oldest first."""
    client = MlflowClient(uri)
    found = [each.experiment_id for each in client.search_experiments() if experiment in (None, each.name)]
    return sorted(client.search_runs(found), key=lambda run: run.info.start_time) if found else []


def named(uri: str, name: str, experiment: str | None = None) -> Any:
    """Return the only run of this name."""
    (found,) = (run for run in runs(uri, experiment) if run.info.run_name == name)
    return found


def children(uri: str, parent: Any, experiment: str | None = None) -> list[Any]:
    """Return the runs within a run."""
    return [run for run in runs(uri, experiment) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]


def history(uri: str, run: Any, metric: str) -> dict[int, float]:
    """Return a metric by step."""
    return {point.step: point.value for point in MlflowClient(uri).get_metric_history(run.info.run_id, metric)}


def files(uri: str, run: Any, folder: str = "") -> set[str]:
    """Return the paths of the files of a run."""
    found = set()
    for item in MlflowClient(uri).list_artifacts(run.info.run_id, folder or None):
        found |= files(uri, run, item.path) if item.is_dir else {item.path}
    return found
