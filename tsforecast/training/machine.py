"""Where a network is trained: device, threads and random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tsforecast.networks.fused.threads import allow

ONE_THREAD = 128  # units up to which one thread is as fast as two, or faster


def torch_device(name: str) -> torch.device:
    """Return a device by name; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


@contextmanager
def few_threads(units: int) -> Iterator[None]:
    """Run small networks on one thread, for a while; the quick kernels keep those that there were.

    More threads of a small network only wait for each other, the more so on a busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if units <= ONE_THREAD else threads)
    try:
        with allow(threads):
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def seeded(random_state: int | None) -> Iterator[None]:
    """Seed torch's random numbers for a while, by chance where no seed is given."""
    with torch.random.fork_rng():
        if random_state is not None:
            torch.manual_seed(random_state)
        else:
            torch.seed()
        yield
