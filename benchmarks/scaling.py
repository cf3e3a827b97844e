"""Cost of a fit against series, steps, window, units and cores, beside the time of its multiplications alone.

Run with ``python benchmarks/scaling.py`` (four minutes, on a machine with nothing else to do); ``--quick`` measures
small sizes and keeps no rows. A whole `fit` of a GRU that reads step by step is measured, without validation: one epoch
over all windows of the series along the axes `series` and `steps`, 200 steps of 256 windows along the others. Sizes of
an axis take turns, so that a slow minute of the machine is shared. The floor is what multiplications of the network's
weights, forwards and twice as many back, take at the pace of a product of large matrices here. Draws the figures of
docs/speed.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from record import RESULTS, record
from speed import pace

from tsforecast import GRUForecaster, Panel
from tsforecast.reporting.figures import COLOURS, REFERENCE, canvas, fan, in_style

DOCS = Path(__file__).parents[1] / "docs"
RUNS = 3
BATCH, STEPS = 256, 200
USUAL = {"series": 1, "steps": BATCH * STEPS + 24, "window": 24, "units": 32, "cores": 2}
AXES: dict[str, tuple[int, ...]] = {
    "series": (10, 30, 100, 300, 1_000, 3_000),
    "steps": (1_000, 3_000, 10_000, 30_000, 100_000),
    "window": (8, 24, 96, 336),
    "units": (8, 16, 32, 64, 128, 256),
    "cores": (1, 2),
}
QUICK: dict[str, tuple[int, ...]] = {"series": (10, 30), "steps": (1_000, 3_000), "units": (8, 32)}
LABELS = {"series": "series of 124 steps", "steps": "steps of one series", "window": "window (steps)"}


def panel_of(series: int, steps: int) -> Panel:
    """Return so many noisy waves."""
    random = np.random.default_rng(0)
    waves = [np.sin(np.arange(steps) / 5) + 0.1 * random.normal(size=steps) for _ in range(series)]
    return Panel.from_array(waves)


def floor_of(model: GRUForecaster, windows: int, steps: int, cores_pace: float) -> float:
    """Return the seconds that the multiplications of a training take at a pace."""
    parts = dict(model.network_.named_parameters())
    read = sum(part.numel() for name, part in parts.items() if part.ndim > 1 and name.startswith(("embed", "encoder")))
    rest = sum(part.numel() for name, part in parts.items() if part.ndim > 1) - read
    return 3 * windows * (read * steps + rest) / cores_pace


def measure(axis: str, sizes: tuple[int, ...], paces: dict[int, float]) -> list[dict[str, Any]]:
    """Return a row for each size: medians of whole fits, and of the floor."""
    fits, times, floors = {}, {size: list[float]() for size in sizes}, {}
    for size in sizes:
        one = USUAL | ({"steps": 124} if axis == "series" else {}) | {axis: size}
        whole = axis in ("series", "steps")
        model = GRUForecaster(
            horizon=1,
            window=one["window"],
            segment=1,
            units=one["units"],
            batch_size=BATCH,
            max_epochs=1,
            steps_per_epoch=None if whole else STEPS,
            validation=None,
            kernels="on",
            random_state=0,
        )
        fits[size] = (model, panel_of(one["series"], one["steps"]), one)
    usual = torch.get_num_threads()
    for run in range(RUNS + 1):
        for size, (model, panel, one) in fits.items():
            torch.set_num_threads(min(one["cores"], usual))
            began = time.perf_counter()
            model.fit(panel)
            if run:  # the first one loads what is slow to load
                times[size].append(time.perf_counter() - began)
    rows = []
    for size, (model, _, one) in fits.items():
        windows = one["series"] * (one["steps"] - one["window"])
        windows = windows if axis in ("series", "steps") else min(windows, BATCH * STEPS)
        floors[size] = floor_of(model, windows, one["window"], paces[min(one["cores"], usual)])
        found = sorted(times[size])
        rows.append(
            {
                "measured": "scaling",
                "axis": axis,
                "size": size,
                "seconds": round(statistics.median(found), 4),
                "least_and_most": [round(found[0], 4), round(found[-1], 4)],
                "floor_seconds": round(floors[size], 4),
                "windows": windows,
                "runs": RUNS,
            }
        )
        print(axis, size, rows[-1]["seconds"], rows[-1]["floor_seconds"], flush=True)  # noqa: T201
    return rows


@in_style()
def figure_of(axis: str, rows: pd.DataFrame) -> Figure:
    """Draw seconds against sizes, with the floor."""
    figure, axes = canvas()
    own = rows[rows["axis"] == axis].sort_values("size")
    fan(axes, own["size"], [zip(*own["least_and_most"], strict=True)], COLOURS[0])
    axes.plot(own["size"], own["seconds"], marker="o", ms=4, color=COLOURS[0], label="fit")
    axes.plot(own["size"], own["floor_seconds"], marker=".", ls="--", color=REFERENCE, label="its multiplications")
    axes.set(xscale="log", yscale="log", xlabel=LABELS.get(axis, axis), ylabel="seconds")
    axes.set_xticks(own["size"], [f"{size:,}" for size in own["size"]])
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.legend(frameon=False)
    return figure


def draw() -> None:
    """Draw all figures from the committed rows."""
    rows = pd.read_json(RESULTS / "scaling.jsonl", lines=True)
    for axis in rows["axis"].unique():
        figure_of(axis, rows).savefig(DOCS / f"speed-{axis}.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=list(AXES))
    parser.add_argument("--quick", action="store_true", help="small sizes, and no rows")
    options = parser.parse_args()
    # The best of several: a moment in which the machine is busy would make the floor too high.
    paces = {cores: max(pace(cores) for _ in range(5)) for cores in range(1, torch.get_num_threads() + 1)}
    for axis in options.axes:
        sizes = QUICK.get(axis, ()) if options.quick else AXES[axis]
        rows = measure(axis, sizes, paces)
        if not options.quick:
            record("scaling", rows, replacing={"axis": axis})
    if not options.quick:
        draw()


if __name__ == "__main__":
    main()
