"""Workers of one fit as processes that fork from this one, in place of those of a Ray, whose start takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import cloudpickle
import torch
from torch import distributed

from tsforecast import workers
from tsforecast.training.runtime import Team


@contextmanager
def forked_workers() -> Iterator[None]:
    """Let `fit(..., workers=n)` train in n processes that fork from this one; they are connected as those of a Ray."""
    with (
        patch.object(workers, "run_workers", _run),
        patch.object(workers, "connected", lambda address: nullcontext()),
        patch.object(workers.Workers, "_on_gpus", lambda self: False),
    ):
        yield


def _run(
    work: Callable[..., None], count: int, parts: Iterable[Any], shared: Any, kept: Any, *, gpus: bool
) -> Iterator[Any]:
    shares, given = list(parts), cloudpickle.dumps((shared, kept))
    pipes = [multiprocessing.Pipe(duplex=False) for _ in range(count)]
    with TemporaryDirectory() as folder:
        children = []
        for rank in range(count):
            child = os.fork()
            if not child:
                _work(work, Team(rank, count), shares[rank], given, Path(folder, "meeting"), pipes[rank][1])
            children.append(child)
        for _, sends in pipes:
            sends.close()
        try:
            receivers: list[Any] = [receives for receives, _ in pipes]
            while receivers:
                for receiver in wait(receivers):
                    try:
                        post = cloudpickle.loads(receiver.recv_bytes())
                    except EOFError:
                        receivers.remove(receiver)
                        continue
                    if isinstance(post, Exception):
                        raise post
                    yield post
        finally:
            for child in children:
                os.kill(child, 9)
                os.waitpid(child, 0)


def _work(work: Callable[..., None], team: Team, part: Any, given: bytes, meeting: Path, sends: Connection) -> None:
    """Do the work of one worker, in its process."""
    try:
        torch.set_num_threads(1)
        distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=team.rank, world_size=team.size)
        shared, kept = cloudpickle.loads(given)

        def post(item: Any) -> None:
            if team.rank == 0:
                sends.send_bytes(cloudpickle.dumps(item))

        work(team, torch.device("cpu"), part, shared, kept, post)
        distributed.barrier()
    except BaseException as error:
        traceback.print_exc()
        sends.send_bytes(cloudpickle.dumps(error))
    finally:
        os._exit(0)
