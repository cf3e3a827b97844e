"""Connections to Ray: one that starts on this machine, or a cluster."""

from __future__ import annotations

import logging
import os
import socket
import threading
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any

from tsforecast.errors import ParameterError, Problem, reason

CLUSTER_TIMEOUT = 5.0  # seconds
REFUSAL = ("RAY_gcs_server_port_wait_time_s", "2")  # a head that listens and refuses is asked for 20 seconds otherwise
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
    import ray  # noqa: F401  # which sets the level of its log

    log = logging.getLogger("ray")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


_connecting = threading.Lock()
_users = 0  # blocks within `connected` of a Ray that it started


@contextmanager
def _replaced(values: MutableMapping[str, Any], name: str, value: object) -> Iterator[None]:
    before = values.get(name)
    values[name] = value
    try:
        yield
    finally:
        if before is None:
            del values[name]
        else:
            values[name] = before


def _is_refused(error: BaseException | None) -> bool:
    """Return whether a cluster has a token, and this process has none or another."""
    from ray.exceptions import AuthenticationError

    while error is not None:
        if isinstance(error, AuthenticationError) or "InvalidAuthToken" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Start Ray on this machine, or connect to a cluster, unless that was done already; end only what it started.

    ParameterError is raised where the cluster cannot be reached, or the process is connected to another one.

    Blocks in several threads share it, and the last one ends it.
    """
    global _users
    import ray

    with _connecting:
        own = _users > 0 or not ray.is_initialized()
        if not ray.is_initialized():
            _start(address)
        elif address not in (None, "auto", "local"):
            _require_same(address)
        _users += own
    try:
        yield
    finally:
        with _connecting:
            _users -= own
            if own and not _users:
                ray.shutdown()


def _require_same(address: str) -> None:
    """Raise ParameterError where this process is connected to another Ray than that of an address, ``host:port``."""
    import ray
    from ray.util import client

    if address.startswith("ray://") or client.ray.is_connected():  # type: ignore[no-untyped-call]  # it does not say where
        return

    def place(address: str) -> tuple[str, str]:
        host, _, port = address.rpartition(":")
        with suppress(OSError):
            host = socket.gethostbyname(host)
        return "" if host.startswith("127.") or host == here else host, port

    here = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    joined = ray.get_runtime_context().gcs_address
    if place(address) != place(joined):
        must, got = "must be that of the Ray that this process is connected to", f"{address!r} is not {joined!r}"
        remedy = "call ray.shutdown() before, or leave it out"
        raise ParameterError(Problem(must, got, remedy, parameter="address"))


def _start(address: str | None) -> None:
    """Start Ray on this machine, or connect to a cluster."""
    import ray
    from ray._private import ray_constants, worker
    from ray.exceptions import AuthenticationError

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    # On this machine, other errors of the system are not of a cluster but of the disk: see `tune`.
    unreachable = (OSError if address else ConnectionError, TimeoutError, RuntimeError, ValueError, AuthenticationError)
    try:
        if port.isdigit():  # Ray itself waits for many minutes
            socket.create_connection((host, int(port)), timeout=CLUSTER_TIMEOUT).close()
        # Ray prints which workers died amid the output of the caller, who has the outcomes of their tasks.
        with _replaced(vars(worker), "listen_error_messages", lambda *_: None):
            # Without "local", Ray would join a cluster that another user started here.
            if address in (None, "local"):
                # Of all machines that could reach this one, none is to. The variable is read when Ray is imported.
                with _replaced(vars(ray_constants), "ENABLE_RAY_CLUSTER", False):
                    ray.init("local", include_dashboard=False, **options)
            else:
                with _replaced(os.environ, *REFUSAL):
                    ray.init(address=address, **options)
    except unreachable as error:
        if _is_refused(error):
            must, got = "must be that of a ray cluster that lets this process in", f"{address!r} needs its own token"
            remedy = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token of its head"
        else:
            must, got = "must be that of a ray cluster that runs", f"{address!r} cannot be reached ({reason(error)})"
            remedy = "start one with ray start --head, or leave it out to use this machine"
        raise ParameterError(Problem(must, got, remedy, parameter="address")) from error
