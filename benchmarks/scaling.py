"""Cost of a fit against series, steps, window, units and cores, beside the time of its multiplications alone.

Run with ``python benchmarks/scaling.py`` (four minutes, on a machine with nothing else to do); ``--quick`` measures
small sizes and keeps no rows. A whole `fit` of a GRU that reads step by step is measured, without validation: one epoch
over all windows of the series along the axes `series` and `steps`, 200 steps of 256 windows along the others. Sizes of
an axis take turns, so that a slow minute of the machine is shared. The floor is what multiplications of the network's
weights, forwards and twice as many back, take at the pace of a product of large matrices here. Draws the figures of
docs/benchmarks/speed.md. ``--axes forecasts`` measures `predict` over 1,000 to 100,000 series instead, and the memory
that it takes beyond that of the panel and of the forecasts, each size in a process of its own (Linux, a minute).
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
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
FORECASTS, FITTED = (1_000, 10_000, 100_000), 1_000  # series that are forecast; and those of them that were fitted
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


def forecasts(size: int) -> dict[str, Any]:
    """Forecast so many series of 124 steps; return seconds, and the peak of memory beyond that before and forecasts."""
    random = np.random.default_rng(0)
    waves = 50 + np.sin(np.arange(124) / 5 + random.uniform(0, 6, (size, 1))) + 0.1 * random.normal(size=(size, 124))
    panel = Panel.from_array(waves[..., None], season_length=12)
    model = GRUForecaster(
        horizon=12, window=24, units=8, max_epochs=1, steps_per_epoch=50, validation=None, random_state=0
    ).fit(panel.select(np.arange(FITTED)))
    model.predict(panel.select(np.arange(100)))  # loads what is slow to load
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of before
    before, times = _status("VmRSS"), list[float]()
    for _ in range(RUNS):
        began = time.perf_counter()
        found = model.predict(panel)
        times.append(time.perf_counter() - began)
    row = {"measured": "forecasts", "size": size, "seconds": round(statistics.median(times), 4), "runs": RUNS}
    row["least_and_most"] = [round(min(times), 4), round(max(times), 4)]
    return row | {"panel_bytes": panel.values.nbytes, "bytes": _status("VmHWM") - before - found.nbytes}


def _status(name: str) -> int:
    """Return a number of bytes that Linux keeps about this process."""
    kept = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kept[1]) if kept else 0


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
        figure_of(axis, rows).savefig(DOCS / "images" / f"speed-{axis}.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="+", default=[*AXES, "forecasts"], choices=[*AXES, "forecasts"])
    parser.add_argument("--quick", action="store_true", help="small sizes, and no rows")
    parser.add_argument("--size", type=int, help="forecast so many series in this process, and print the row")
    options = parser.parse_args()
    if options.size:
        print(json.dumps(forecasts(options.size)))  # noqa: T201
        return
    if "forecasts" in options.axes:
        sizes = FORECASTS[:1] if options.quick else FORECASTS
        commands = [[sys.executable, __file__, "--size", str(size)] for size in sizes]
        rows = [json.loads(subprocess.check_output(command, text=True).splitlines()[-1]) for command in commands]
        print(*rows, sep="\n", flush=True)  # noqa: T201
        if not options.quick:
            record("forecasts", rows)
        options.axes.remove("forecasts")
    # The best of several: a moment in which the machine is busy would make the floor too high.
    paces = {cores: max(pace(cores) for _ in range(5)) for cores in range(1, torch.get_num_threads() + 1)}
    for axis in options.axes:
        sizes = QUICK.get(axis, ()) if options.quick else AXES[axis]
        rows = measure(axis, sizes, paces)
        if not options.quick:
            record("scaling", rows, replacing={"axis": axis})
    if options.axes and not options.quick:
        draw()


if __name__ == "__main__":
    main()
