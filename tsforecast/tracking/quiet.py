"""MLflow as a library that speaks when it is spoken to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

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
    """Load MLflow, and keep what its libraries say to each other from users, for a while.

    Not for threads beside others: filters of warnings belong to the whole process.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in NEEDED:
            import_module(module)
        yield
