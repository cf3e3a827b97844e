"""Executors of many tasks: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tsforecast.errors import ParameterError, reason

CLUSTER_TIMEOUT = 5.0  # seconds
# Environment of Ray: no tables in the terminal, no files for TensorBoard, no advice on checkpoints.
RAY_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def silenced() -> Iterator[None]:
    """Silence Ray, whose errors are results here."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    log = logging.getLogger("ray")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Start Ray on this machine, or connect to a cluster, unless that was done already; end only what it started."""
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    # On this machine, other errors of the system are not of a cluster but of the disk: see `tune`.
    unreachable = (OSError if address else ConnectionError, TimeoutError, RuntimeError, ValueError)
    try:
        if port.isdigit():  # Ray itself waits for many minutes
            socket.create_connection((host, int(port)), timeout=CLUSTER_TIMEOUT).close()
        # Without "local", Ray would join a cluster that another user started here.
        if address in (None, "local"):
            ray.init("local", include_dashboard=False, **options)
        else:
            ray.init(address=address, **options)
    except unreachable as error:
        raise ParameterError(
            f"address must be that of a ray cluster that runs: {address!r} cannot be reached ({reason(error)}); start "
            "one with ray start --head, or leave address out to use this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
