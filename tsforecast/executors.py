"""Executors of many tasks: the current process, processes of this machine, or a Ray cluster."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

import joblib
from threadpoolctl import threadpool_info, threadpool_limits

from tsforecast.checks import jobs, one_of, whole
from tsforecast.clusters import connected, silenced
from tsforecast.errors import ParameterError, Problem, TsForecastError, counted, raise_any

LOOK = 1.0  # seconds after which nodes that joined or left are seen
CANCEL_TIMEOUT = 5.0  # seconds
_log = logging.getLogger("tsforecast")
T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")


@dataclass(eq=False)
class _Executor:
    """Where tasks of a context run."""

    name: str = "processes"
    n_jobs: int | None = None
    address: str | None = None
    retries: int = 2
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: ExitStack | None = None  # the connection to Ray

    def connect(self) -> None:
        """Connect to Ray at the first need."""
        with self._lock, silenced():
            if self._open is None:
                stack = ExitStack()
                stack.enter_context(connected(self.address))
                self._open = stack

    def close(self) -> None:
        """Close what was opened."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None


# Bound to a context: a thread that is started within it has none.
_executor: ContextVar[_Executor | None] = ContextVar("executor", default=None)
_in_worker: ContextVar[bool] = ContextVar("in_worker", default=False)


@contextmanager
def compute(
    executor: Literal["processes", "ray"] = "processes",
    *,
    n_jobs: int | None = None,
    address: str | None = None,
    retries: int = 2,
) -> Iterator[None]:
    """Run all that consists of independent tasks in processes of this machine, or on a Ray cluster.

    These are the fits of `leaderboard` and `compare_classifiers`, those of `backtest` with ``refit=True``, and the
    series of a classical forecaster. Results are those of one process, to the bit. A `RaySearch`, and ``fit`` with
    ``workers=``, run on the cluster of `address` unless they have their own. Contexts can be nested; the innermost one
    holds, in the thread that it was entered in.

    Parameters
    ----------
    executor : {"processes", "ray"}
    n_jobs : int, optional
        Most tasks at a time; -1 is one for each core, of the machine or of the cluster, and so is None. A function's
        own ``n_jobs`` counts where it is given; one runs all in the current process.
    address : str, optional
        Address of a running Ray cluster, such as ``"auto"`` or ``"10.0.0.1:6379"``. Unless given, a Ray of this
        machine is started at the first need, and ended with the context.
    retries : int
        How often a task is run again whose process was killed, or whose node was lost; then it fails. In processes, at
        least once, since another task may have been the reason.

    Raises
    ------
    ParameterError
        Also at the first need, where no cluster can be reached, or this process is connected to another one.

    Examples
    --------
    >>> import numpy as np
    >>> import tsforecast
    >>> with tsforecast.compute(n_jobs=1):
    ...     board = tsforecast.leaderboard("mean", np.arange(20.0), horizon=2, origins=3)
    >>> board.table["model"].tolist()
    ['drift', 'naive', 'seasonal-naive', 'mean']
    """
    problems = one_of("executor", executor, ("processes", "ray")) + jobs("n_jobs", n_jobs)
    problems += whole("retries", retries, 0)
    if not (address is None or isinstance(address, str)):
        problems.append(Problem("must be the address of a ray cluster", f"got {address!r}", parameter="address"))
    elif address is not None and executor == "processes":
        remedy = 'give executor="ray"'
        problems.append(Problem("must be None with processes", f"got {address!r}", remedy, parameter="address"))
    raise_any(problems, ParameterError)
    chosen = _Executor(executor, n_jobs, address, retries)
    before = _executor.set(chosen)
    try:
        yield
    finally:
        _executor.reset(before)
        chosen.close()


def workers(n_jobs: int | None = None, otherwise: int | None = None) -> int:
    """Return how many tasks run at a time; a Ray cluster is asked for its cores.

    `n_jobs` is that of a function. Where it is None, that of `compute` holds, and outside of it `otherwise`, which is
    one unless given (or what `joblib.parallel_config` has).
    """
    if _in_worker.get():
        return 1
    chosen = _executor.get()
    if n_jobs is None:
        n_jobs = otherwise if chosen is None else chosen.n_jobs or -1
    if chosen is None or chosen.name == "processes" or n_jobs == 1:
        return int(joblib.effective_n_jobs(n_jobs))
    chosen.connect()
    return _capped(n_jobs, _cores())


def computed_address() -> str | None:
    """Return the address of the cluster that `compute` has, if it was given one."""
    chosen = _executor.get()
    return None if chosen is None else chosen.address


def run_here(n_jobs: int | None = None, otherwise: int | None = None) -> bool:
    """Return whether tasks run in the current process, one after the other."""
    chosen = _executor.get()
    if chosen is not None and chosen.name == "ray" and n_jobs is None and not _in_worker.get():
        return False
    return workers(n_jobs, otherwise) == 1


def run_tasks(
    function: Callable[[T, S], R],
    tasks: Mapping[int, T],
    shared: S,
    n_jobs: int | None = None,
    otherwise: int | None = None,
    started: Callable[[T], None] = lambda task: None,
) -> Generator[tuple[int, Future[R]], None, None]:
    """Call ``function(task, shared)`` for each task as set by `compute`; yield number and outcome of each as it ends.

    What is `shared` is sent once to a Ray cluster. `n_jobs` and `otherwise` are those of `workers`; `started` gets each
    task at its start. An outcome is the result, or an error: that of the function, or a `TsForecastError` where the
    process of the task was killed each time. Warnings of this package are issued here. Close the generator where not
    all outcomes are taken: tasks under way are then ended.
    """
    if run_here(n_jobs, otherwise):
        for number, task in tasks.items():
            started(task)
            yield number, _outcome_of(partial(function, task, shared))
        return
    chosen = _executor.get() or _Executor()
    n_jobs = n_jobs or (chosen.n_jobs or -1 if _executor.get() else otherwise)
    call = _Call(function, _torch_threads(), _blas_threads())
    on = _on_ray if chosen.name == "ray" else _in_processes
    with closing(on(call, tasks, shared, n_jobs, chosen, started)) as ended:
        for number, outcome in ended:
            if outcome.exception():
                yield number, outcome
                continue
            result, caught = outcome.result()
            for warning in caught:
                warnings.warn(warning, stacklevel=3)
            yield number, _outcome_of(result.result)


def _same(result: R) -> R:
    return result


def _outcome_of(call: Callable[[], R]) -> Future[R]:
    """Return the result of a call, or its error, as an outcome."""
    outcome = Future[R]()
    try:
        outcome.set_result(call())
    except Exception as error:
        outcome.set_exception(error)
    return outcome


class _Result:
    """A result or an error, as it is sent."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.value, self.error = None, None
        try:
            self.value = call()
        except Exception as error:
            self.error = error

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True)
class _Call:
    """A call in a worker, with as many threads as here, so that sums are rounded alike."""

    function: Callable[[Any, Any], Any]
    torch_threads: int | None  # None where torch is not loaded
    blas_threads: int

    def __call__(self, task: Any, shared: Any) -> tuple[_Result, list[Warning]]:
        for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # of libraries that are loaded later
            os.environ[name] = str(self.blas_threads)
        os.environ["OMP_NUM_THREADS"] = str(self.torch_threads or self.blas_threads)
        if self.torch_threads is not None and (torch := sys.modules.get("torch")):
            torch.set_num_threads(self.torch_threads)
        before = _in_worker.set(True)
        try:
            # Models that would start processes of their own do one thing after the other here.
            with (
                threadpool_limits(self.blas_threads, user_api="blas"),
                joblib.parallel_config("sequential"),
                warnings.catch_warnings(record=True) as caught,
            ):
                warnings.simplefilter("always")
                result = _Result(lambda: self.function(task, shared))
        finally:
            _in_worker.reset(before)
        messages = [item.message for item in caught if type(item.message).__module__.startswith("tsforecast")]
        return result, [message for message in messages if isinstance(message, Warning)]

    def numbered(self, number: int, task: Any, shared: Any) -> tuple[int, tuple[_Result, list[Warning]]]:
        """Call, and return the number of the task as well."""
        return number, self(task, shared)


def _torch_threads() -> int | None:
    return sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None


def _blas_threads() -> int:
    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)


def _killed(times: int) -> Future[Any]:
    """Return the outcome of a task whose process was killed each time."""
    sentence = f"its process was killed {counted(times, 'time')}; it may need more memory: use smaller settings"
    outcome = Future[Any]()
    outcome.set_exception(TsForecastError(sentence))
    return outcome


def _in_processes(
    call: _Call, tasks: Mapping[int, Any], shared: Any, n_jobs: int | None, chosen: _Executor, started: Any
) -> Generator[tuple[int, Future[Any]], None, None]:
    """Run tasks in processes of this machine; those under way when one is killed run again, each alone."""
    left = dict(tasks)
    count = int(joblib.effective_n_jobs(n_jobs))
    while left:
        begun = list[int]()

        def starting(begun: list[int] = begun) -> Iterator[Any]:
            for number, task in left.copy().items():
                started(task)
                begun.append(number)
                yield joblib.delayed(call.numbered)(number, task, shared)

        with joblib.parallel_config("loky", n_jobs=count, inner_max_num_threads=call.blas_threads):
            parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch="2 * n_jobs", batch_size=1)
        try:
            with _ended_quietly(parallel(starting())) as ended:
                for number, result in ended:
                    del left[number]
                    yield number, _outcome_of(partial(_same, result))
        except BrokenExecutor:
            again = {number: left.pop(number) for number in begun if number in left}
            _log.warning("a process was killed; %s under way run again, each alone", counted(len(again), "task"))
            with closing(_each_alone(call, again, shared, count, chosen.retries)) as ended:
                yield from ended


@contextmanager
def _ended_quietly(results: Any) -> Iterator[Any]:
    """Close a generator of joblib, which warns of the tasks that are cancelled with it, as they should be."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.close()


def _each_alone(
    call: _Call, tasks: Mapping[int, Any], shared: Any, count: int, retries: int
) -> Generator[tuple[int, Future[Any]], None, None]:
    """Run each task in a process of its own, so that one that is killed is the reason."""
    from joblib.externals.loky import ProcessPoolExecutor

    attempts, waiting = Counter(tasks.keys()), deque(tasks)  # one attempt was made before
    running = dict[Future[Any], tuple[int, Any]]()
    try:
        while waiting or running:
            while waiting and len(running) < count:
                number, pool = waiting.popleft(), ProcessPoolExecutor(max_workers=1)
                attempts[number] += 1
                running[pool.submit(call, tasks[number], shared)] = number, pool
            for outcome in wait(running, return_when=FIRST_COMPLETED).done:
                number, pool = running.pop(outcome)
                pool.shutdown(kill_workers=True)
                if not isinstance(outcome.exception(), BrokenExecutor):
                    yield number, outcome
                elif attempts[number] <= retries:
                    waiting.append(number)
                else:
                    yield number, _killed(attempts[number])
    finally:
        for _, pool in running.values():
            pool.shutdown(kill_workers=True)


def _on_ray(
    call: _Call, tasks: Mapping[int, Any], shared: Any, n_jobs: int | None, chosen: _Executor, started: Any
) -> Generator[tuple[int, Future[Any]], None, None]:
    """Run tasks on a Ray cluster, on nodes that join as well; those of a worker or node that is lost run again."""
    import ray
    from ray import exceptions

    chosen.connect()
    lost = (
        *(exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError),
        *(exceptions.ObjectLostError, exceptions.LocalRayletDiedError),
    )
    # Retries of Ray itself would not be counted where memory runs out.
    remote = ray.remote(num_cpus=1, max_retries=0)(_on_node)
    data = ray.put((call, shared))
    attempts, waiting = Counter[int](), deque(tasks)
    running = dict[Any, int]()
    seen, cores = -LOOK, 0
    try:
        while waiting or running:
            if time.monotonic() - seen >= LOOK:
                seen, cores = time.monotonic(), _cores()
            # Where all cores are used, as many more wait on the cluster, so that none is idle, nor a node that joins.
            most = _capped(n_jobs, cores)
            most = 2 * most if most >= cores else most
            while waiting and len(running) < most:
                number = waiting.popleft()
                if not attempts[number]:
                    started(tasks[number])
                attempts[number] += 1
                running[remote.remote(data, tasks[number])] = number
            for reference in ray.wait(list(running), timeout=LOOK)[0]:
                number = running.pop(reference)
                outcome = _outcome_of(partial(ray.get, reference))
                if not isinstance(outcome.exception(), lost):
                    yield number, outcome
                elif attempts[number] <= chosen.retries:
                    _log.warning("a worker or a node was lost; its task runs again")
                    waiting.appendleft(number)
                else:
                    yield number, _killed(attempts[number])
    finally:
        with suppress(Exception):  # the cluster may be gone
            _end(list(running))


def _end(tasks: list[Any]) -> None:
    """End tasks on a Ray cluster; one that is on its way to a worker misses what Ray tells that worker, once."""
    import ray

    until = time.monotonic() + CANCEL_TIMEOUT
    while tasks and time.monotonic() < until:
        for reference in tasks:
            ray.cancel(reference, force=True)
        tasks = ray.wait(tasks, num_returns=len(tasks), timeout=0.2)[1]


def _on_node(data: tuple[_Call, Any], task: Any) -> tuple[_Result, list[Warning]]:
    """Run a task; entry point of workers of Ray."""
    call, shared = data
    return call(task, shared)


def _cores() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]


def _capped(n_jobs: int | None, cores: int) -> int:
    """Return how many of the cores are used."""
    wanted = -1 if n_jobs is None else n_jobs
    return min(wanted, cores) if wanted > 0 else max(1, cores + 1 + wanted)
