"""A step of training a stack of convolutions with the fast kernels and with torch, side by side.

Run with ``python benchmarks/convolution_speed.py`` (under five minutes, on a machine with nothing else to do);
``--quick`` measures few sizes and keeps no rows, ``--scores`` asks whether models forecast as well. A step has
embedding, stack, linear head, MAE, the way back and AdamW. `last` is the way of a forecaster, whose blocks compute only
what the last state reads; `all` is that of a classifier, with the mean of all states. Two rivals: `torch.nn` is the
stack as it is usually written, `nn.Conv1d` over all steps with channels before steps; `torch` is what the package does
without kernels, which leaves out the same steps. A ratio is that of medians over interleaved runs, above 1 kernels are
faster; `ratio` is beside the faster of both. On a busy machine ``--clock processor`` counts the seconds that one thread
computes, on one thread.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
from record import record
from speed import CLOCKS, SEEDS, SETS, interleaved
from torch import Tensor, nn
from torch.nn import functional as F

from tsforecast import backtest, load_dataset
from tsforecast.catalog.card import card
from tsforecast.forecasters.neural import Conv1DForecaster
from tsforecast.networks.encoders import ConvEncoder
from tsforecast.networks.layers import Architecture
from tsforecast.training.optim import make_optimizer

UNITS = (1, 4, 8, 16, 32, 64)
SIZES = ((32, 24), (256, 24), (1024, 24), (32, 96), (256, 96), (32, 336))  # windows in a batch, steps in a window
QUICK = {(8, 32, 24), (32, 256, 24), (64, 32, 24), (64, 256, 24)}
SECONDS, LEAST, MOST = 0.8, 3, 30  # of all runs of a size, about; runs of each
WAYS = ("kernels", "torch", "torch.nn")


class Usual(nn.Module):
    """The same stack with the same weights, as it is usually written: (B, U, T), padded convolutions over all steps."""

    def __init__(self, encoder: ConvEncoder) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(block.convolution for block in encoder.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, U) to (B, T, U)."""
        steps = x.transpose(1, 2)
        for convolution in self.convolutions:
            reach = (convolution.kernel_size[0] - 1) * convolution.dilation[0]
            steps = steps + torch.relu(convolution(F.pad(steps, (reach, 0))))
        return steps.transpose(1, 2)


def training_step(path: str, units: int, batch: int, window: int) -> Callable[[str], None]:
    """Return a step of training, by one of the ways."""
    torch.manual_seed(0)
    encoder = ConvEncoder(Architecture("conv1d", units), window)
    embed, head = nn.Sequential(nn.Linear(1, units), nn.ReLU()), nn.Linear(units, 1)
    usual = Usual(encoder)
    optimizer = make_optimizer(nn.ModuleList([encoder, embed, head]), "adamw", 1e-4)
    x, y = torch.randn(batch, window, 1), torch.randn(batch, 1)

    def state(way: str) -> Tensor:
        if way == "torch.nn":
            states = usual(embed(x))
            return states[:, -1] if path == "last" else states.mean(dim=1)
        encoder.fused = way == "kernels"
        found: Tensor = encoder(x, embed) if path == "last" else encoder.states(x, None, embed).mean(dim=1)
        return found

    def step(way: str) -> None:
        loss = (head(state(way)) - y).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure(step: Callable[[str], None], clock: str, threads: int) -> dict[str, Any]:
    """Return milliseconds of a step by each way, and how many times as fast kernels are."""
    ways: dict[str, tuple[Callable[[], object], int]] = {way: (partial(step, way), threads) for way in WAYS}
    times = interleaved(ways, clock, SECONDS, LEAST, MOST)
    medians = {way: statistics.median(part) for way, part in times.items()}
    ratios = {way: round(medians[way] / medians["kernels"], 3) for way in WAYS[1:]}
    spread = {way: [round(part[0], 4), round(part[-1], 4)] for way, part in times.items()}
    return {
        "ratio": min(ratios.values()),
        "ratios": ratios,
        "ms": {way: round(value, 4) for way, value in medians.items()},
        "ms_lowest_and_highest": spread,
        "runs": len(times[WAYS[0]]),
        "threads": threads,
        "clock": clock,
    }


def scores() -> list[dict[str, Any]]:
    """Return the errors of forecasters that learned with kernels, and without, with the same seeds."""
    rows = []
    for seed, name, kernels in product(SEEDS, SETS, ("on", "off")):
        task = card(name).task
        model = Conv1DForecaster(kernels=kernels, random_state=seed)
        found = backtest(model, load_dataset(name), task.horizon, task.origins, task.step, audit=None)
        mase = float(((found["y"] - found["forecast"]).abs() / found["naive_mae"]).mean())
        about = {"measured": "score", "kind": "conv score", "cell": "conv1d", "clock": "wall", "set": name}
        seconds = float(found["fit_seconds"].iloc[0])
        rows.append(about | {"seed": seed, "kernels": kernels == "on", "mase": mase, "fit_seconds": seconds})
        print(name, seed, kernels, round(mase, 4), f"{seconds:.1f} s", flush=True)  # noqa: T201
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS))
    parser.add_argument("--quick", action="store_true", help="few sizes, and no rows")
    parser.add_argument("--scores", action="store_true", help="errors of models on two data sets, in place of times")
    told = parser.parse_args()
    if told.scores:
        record("speed", scores(), replacing={"kind": "conv score"})
        return
    if not ConvEncoder(Architecture("conv1d", 1), 1).has_kernels(torch.zeros(1, 1, 1)):
        raise SystemExit("the kernels of convolutions must load, or torch is measured beside itself: install numba")
    rows = []
    counts = range(1, torch.get_num_threads() + 1) if told.clock == "wall" else (1,)
    for path, units, (batch, window), threads in product(("last", "all"), UNITS, SIZES, counts):
        if told.quick and (units, batch, window) not in QUICK:
            continue
        about = {"measured": "convolution", "kind": "conv", "cell": "conv1d", "path": path}
        about |= {"units": units, "batch": batch, "window": window}
        rows.append(about | measure(training_step(path, units, batch, window), told.clock, threads))
        print(path, units, batch, window, threads, rows[-1]["ratios"], rows[-1]["ms"], flush=True)  # noqa: T201
    for path, rival in product(("last", "all"), WAYS[1:]):
        ratios = [row["ratios"][rival] for row in rows if row["path"] == path]
        print(path, rival, "mean", round(statistics.geometric_mean(ratios), 2), "lowest", min(ratios))  # noqa: T201
    if not told.quick:
        record("speed", rows, replacing={"kind": "conv", "clock": told.clock})


if __name__ == "__main__":
    main()
