"""Train one network with several workers of a Ray cluster, each on windows of its own, as a single process would."""

from __future__ import annotations

import copy
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from tempfile import TemporaryDirectory
from typing import Any

import cloudpickle
import torch
from torch import Tensor, distributed

from tsforecast.checks import whole
from tsforecast.clusters import connected, silenced
from tsforecast.data.windows import Windows
from tsforecast.errors import Parameter, ParameterError, Problem, TrainingError, raise_any, reason
from tsforecast.executors import workers as connect_as_computed
from tsforecast.networks.encoders import use_kernels
from tsforecast.networks.layers import TrainableNetwork
from tsforecast.networks.losses import DataScale, Objective
from tsforecast.training.checkpoint import Checkpoints, Snapshot, TrainingState
from tsforecast.training.history import Epoch
from tsforecast.training.loop import TrainingConfig, finished, train, warn_of_interruption
from tsforecast.training.runtime import Team, few_threads

ATTEMPTS = 4  # to come to the end of the same epoch, when workers are lost
POLL = 0.1  # seconds between two looks at what was posted
# Environment of Ray Train: workers stay in the folder of the caller, their end is seen soon, and fewer actors start.
ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


@dataclass(frozen=True)
class Workers:
    """How many workers train a network, and on which Ray."""

    count: int
    address: str | None = None
    device: str = "auto"
    units: int = 64  # of the network, by which threads are chosen

    @classmethod
    def of(cls, model: Any, count: int | None, address: str | None) -> Workers | None:
        """Return the workers that train the network of a model, if `count` is a number of them."""
        problems = whole("workers", count, least=1, also=(None,))
        if not isinstance(address, str | None):
            must = "must be 'auto', or the address of a Ray cluster"
            problems.append(Problem(must, f"got {address!r}", parameter="address"))
        elif count is None and address is not None:
            needs = (Parameter("address"), " must have workers to train there")
            problems.append(Problem(needs, f"got {address!r}", "add workers=2, or leave it out"))
        if not problems and count is not None and count > 1 and model.norm == "batch":
            must = "must be 1 for norm 'batch', which reads a batch as a whole"
            problems.append(Problem(must, f"got {count}", "use norm='layer'", parameter="workers"))
        raise_any(problems, ParameterError)
        return None if count is None else cls(int(count), address, model.device, model.units)

    def train(
        self,
        network: TrainableNetwork,
        training: Any,  # Windows
        validation: Any,  # Windows, or None
        objective: Any,  # tsforecast.networks.losses.Objective
        config: TrainingConfig,
        device: torch.device,
        progress: AbstractContextManager[Callable[[Epoch], None]],
        checkpoints: Checkpoints | None = None,
    ) -> list[Epoch]:
        """Fit `network` in place as `tsforecast.training.loop.train` does, with a share of the windows on each worker.

        All draw the batches of a single process and add up gradients, so that but for dropout their number changes
        rounding alone. The state after each epoch comes here, where checkpoints are written. Where a worker or its node
        is lost, all go on from the last epoch.
        """
        begun = checkpoints.read() if checkpoints else None
        shared = (_moved(network, "cpu"), _moved(objective, "cpu"), config, self.units)
        parts = (self._part(rank, training, validation) for rank in range(self.count))
        history: list[Epoch] = []
        best = network.state_dict()
        if self.address is None:
            connect_as_computed()  # to the cluster of `tsforecast.compute`, where that holds
        with connected(self.address), progress as report:
            work = partial(_train_share, begin=torch.get_rng_state())
            gpus = self._on_gpus()
            try:
                with closing(run_workers(work, self.count, parts, shared, begun, gpus=gpus)) as posted:
                    for snapshot in chain([] if begun is None else [begun], posted):
                        history[:], best = snapshot.history, snapshot.part("best")
                        network.load_state_dict(snapshot.part("network"))
                        if checkpoints and history[-1].number and snapshot is not begun:
                            checkpoints.keep_snapshot(snapshot, finished(history, config, validation is not None))
                        report(history[-1])
            except KeyboardInterrupt:
                if not history:
                    raise
                warn_of_interruption(history)
            finally:
                network.load_state_dict(best)
                network.eval()
        return history

    def _part(self, rank: int, *datasets: Windows | None) -> list[Windows | None]:
        """Return the share of a worker in each of some windows: as many as the others have, one after the other."""
        edges = [[i * len(each) // self.count for i in (rank, rank + 1)] for each in datasets if each is not None]
        parts = iter(edges)
        return [None if each is None else _moved(each.part(*next(parts)), "cpu") for each in datasets]

    def _on_gpus(self) -> bool:
        """Return whether each worker has a GPU, once the Ray that is connected is known to have room for them."""
        import ray

        have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cores, gpus = int(have.get("CPU", 0)), int(have.get("GPU", 0))
        if self.count > cores:
            must, got = "must be at most the cores of the Ray that trains", f"got {self.count}, it has {cores}"
            raise ParameterError(Problem(must, got, f"add nodes, or use workers={cores}", parameter="workers"))
        if self.device.startswith("cuda") and self.count > gpus:
            must, got = "must be at most the GPUs of the Ray that trains on 'cuda'", f"got {self.count}, it has {gpus}"
            raise ParameterError(Problem(must, got, "use device='cpu', or fewer workers", parameter="workers"))
        return self.device != "cpu" and gpus >= self.count


def _moved(part: Any, device: torch.device | str) -> Any:
    """Return a copy of a network, of windows or of an objective with its tensors on a device."""
    if isinstance(part, Tensor):
        return part.to(device)
    if isinstance(part, tuple):
        return tuple(_moved(each, device) for each in part)
    if isinstance(part, TrainableNetwork):
        return copy.deepcopy(part).to(device)
    if isinstance(part, Windows | Objective | DataScale):
        moved = copy.copy(part)
        moved.__dict__.update({name: _moved(value, device) for name, value in vars(part).items()})
        return moved
    return torch.device(device) if isinstance(part, torch.device) else part


def _train_share(
    team: Team,
    device: torch.device,
    part: list[Any],  # windows to train and to validate on, or None
    shared: tuple[TrainableNetwork, Objective, TrainingConfig, int],
    kept: Snapshot | None,
    post: Callable[[Snapshot], None],
    begin: Tensor,
) -> None:
    """Train with the share of one worker, from its beginning, or from the state that was kept last."""
    network, objective, config, units = shared
    network, objective = network.to(device), _moved(objective, device)
    training, validation = (each and _moved(each, device) for each in part)
    if device.type != "cpu":
        use_kernels(network, False)
    course = _Course(kept, begin, post)
    with few_threads(units):
        progress = nullcontext(course.report)
        train(network, training, validation, objective, config, device, progress, course, team)


@dataclass
class _Course:
    """Takes up the state that was kept, and posts that of each later epoch."""

    kept: Snapshot | None
    begin: Tensor  # random numbers without one
    post: Callable[[Snapshot], None]

    def resume(self, state: TrainingState) -> None:
        self.state = state
        if self.kept is None:
            torch.set_rng_state(self.begin)
        else:
            self.kept.restore(state)

    def keep(self, state: TrainingState, done: bool) -> None:
        """Leave it to `report`, which is called for the first epoch as well."""

    def report(self, epoch: Epoch) -> None:
        if self.kept is None or epoch.number > self.kept.history[-1].number:
            self.post(Snapshot.of(self.state))


def run_workers(
    work: Callable[..., None], count: int, parts: Iterable[Any], shared: Any, kept: Any, *, gpus: bool
) -> Generator[Any]:
    """Run `work(team, device, part, shared, kept, post)` on the workers of a Ray, and yield what the first one posts.

    A worker that is lost ends the work of all, which then begins again with the last post as `kept`. TrainingError once
    that has happened several times without a post between; an error that is raised anywhere else is posted, and raised
    here. Close the generator to end the work.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    desk = _desk(kept)
    own, common = [ray.put(part) for part in parts], ray.put((work, shared))
    with silenced(), TemporaryDirectory(prefix="tsforecast-", ignore_cleanup_errors=True) as folder:
        trainer = TorchTrainer(
            _run_worker,
            train_loop_config={"desk": desk, "parts": own, "common": common},
            torch_config=_meeting(),
            scaling_config=ScalingConfig(
                num_workers=count, use_gpu=gpus, resources_per_worker={"CPU": 1} | ({"GPU": 1} if gpus else {})
            ),
            run_config=RunConfig(storage_path=folder, failure_config=FailureConfig(max_failures=-1)),
        )
        ended = list[BaseException | None]()
        thread = threading.Thread(target=_fit, args=(trainer, ended), daemon=True)
        thread.start()
        try:
            while True:
                over = not thread.is_alive()  # what was posted before is then there
                try:
                    posts, attempts, problem = ray.get(desk.take.remote())
                except ray.exceptions.RayError as error:
                    raise TrainingError(
                        f"the Ray of the workers must run until training ends: it is lost ({reason(error)}); start it "
                        "again, and resume from a checkpoint if there is one"
                    ) from error
                for post in map(cloudpickle.loads, posts):
                    if isinstance(post, Exception):
                        raise post
                    yield post
                if attempts > ATTEMPTS or (over and ended[0] is not None):
                    cause = problem or reason(ended[0] or Exception("workers or their nodes ended"))
                    raise TrainingError(
                        f"workers must reach the end of an epoch: {ATTEMPTS} times one was lost before ({cause}); use "
                        "fewer workers or nodes with more memory, and resume from a checkpoint if there is one"
                    )
                if over:
                    break
                thread.join(POLL)
        finally:
            with suppress(ray.exceptions.RayError):  # the cluster may be gone
                for worker in ray.get(desk.end.remote()) if thread.is_alive() else ():
                    ray.kill(worker)


def _meeting() -> Any:
    """Return how workers of Ray Train connect with each other: on the addresses of their nodes alone.

    Those of a Ray of this machine are not reached from others; what Ray itself does listens everywhere.
    """
    import ray
    from ray.train.backend import Backend
    from ray.train.torch import TorchConfig

    class Meeting(Backend):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            host, port = worker_group.execute_single(0, _listen)
            backend = "nccl" if worker_group.get_resources_per_worker().get("GPU") else "gloo"
            team = [Team(rank, len(worker_group)) for rank in range(len(worker_group))]
            ray.get([worker_group.execute_single_async(one.rank, _join, one, host, port, backend) for one in team])

    class Config(TorchConfig):
        @property
        def backend_cls(self) -> type[Backend]:
            return Meeting

    return Config()


_listening: list[socket.socket] = []  # of the first worker


def _listen() -> tuple[str, int]:
    """Listen on the address of the node; return it."""
    from ray.util import get_node_ip_address

    _listening.append(socket.create_server((get_node_ip_address(), 0)))  # type: ignore[no-untyped-call]
    host, port = _listening[-1].getsockname()
    return host, port


def _join(team: Team, host: str, port: int, backend: str) -> None:
    """Connect a worker with the others."""
    if host.startswith("127."):
        loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", loopback)
    own = {} if team.rank else {"master_listen_fd": _listening.pop().detach()}
    store = distributed.TCPStore(host, port, team.size, team.rank == 0, **own)  # type: ignore[arg-type,attr-defined]
    distributed.init_process_group(backend, store=store, rank=team.rank, world_size=team.size)


def _fit(trainer: Any, ended: list[BaseException | None]) -> None:
    try:
        trainer.fit()
    except BaseException as error:  # of Ray: raised where posts are taken
        ended.append(error)
    else:
        ended.append(None)


def _desk(kept: Any) -> Any:
    """Start the actor between the workers and the caller, on the node of the caller.

    It keeps the last post, and counts attempts since it came. Its class is sent to it, and posts are bytes there: its
    process loads nothing large.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class Desk:
        def __init__(self, kept: bytes) -> None:
            self.kept, self.posts, self.over = kept, list[bytes](), False
            self.attempts, self.problem, self.workers = 0, "", dict[int, Any]()

        def begin(self, rank: int, worker: Any) -> tuple[bytes, bool]:
            """Register a worker; return what was kept last, and whether all is over."""
            self.workers[rank] = worker
            self.attempts += rank == 0
            return (self.kept if rank == 0 else b""), self.over

        def post(self, item: bytes, last: bool = False) -> None:
            self.posts.append(item)
            self.attempts, self.problem, self.over = 1, "", self.over or last
            self.kept = self.kept if last else item

        def lose(self, problem: str) -> None:
            """Note why an attempt ended: the first reason is that of the others."""
            self.problem = self.problem or problem

        def take(self) -> tuple[list[bytes], int, str]:
            """Return what came since the last time."""
            posts, self.posts = self.posts, []
            return posts, self.attempts, self.problem

        def end(self) -> list[Any]:
            """Let no worker begin again; return those that work."""
            self.over = True
            return list(self.workers.values())

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Desk).remote(cloudpickle.dumps(kept))  # type: ignore[call-overload]


def _run_worker(config: dict[str, Any]) -> None:
    """Do the work of one worker of Ray Train."""
    import ray
    from ray.train import get_context
    from ray.train.torch import get_device

    desk, context = config["desk"], get_context()
    team = Team(context.get_world_rank(), context.get_world_size())
    given = [ray.get(desk.begin.remote(team.rank, ray.get_runtime_context().current_actor))]
    distributed.broadcast_object_list(given)  # of the first one: a post may come between two questions
    kept, over = given[0]
    if over:
        return

    def post(item: Any, last: bool = False) -> None:
        if team.rank == 0 or last:
            ray.get(desk.post.remote(cloudpickle.dumps(item), last))

    try:
        work, shared = ray.get(config["common"])
        part = ray.get(config["parts"][team.rank])
        work(team, get_device(), part, shared, cloudpickle.loads(kept), post)
    except (RuntimeError, ray.exceptions.RayError) as error:  # of a connection whose other end is lost
        ray.get(desk.lose.remote(reason(error)))
        raise
    except Exception as error:
        post(error, last=True)
