"""How often the season of a series is found, and how often one is found where there is none.

Run with ``python benchmarks/seasons.py`` (two minutes on one core). Public sets of the catalogue are read as arrays,
without their dates; those that are not here are left out. Made-up series have seasons of four shapes in three kinds of
noise, as large as 0.6 standard deviations of the season, and at least five cycles; walks reach that within one season.
Thresholds were set on draws with other seeds.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import record
from scipy.signal import lfilter

from tsforecast import Panel, load_dataset
from tsforecast.data.seasons import find, resolved
from tsforecast.errors import TsForecastError

Floats = NDArray[np.float64]
SEED, DRAWS = 2025, 10
NONE = (60, 100, 200, 500, 1000, 2000, 5000)  # steps of series without a season
SINGLE = (
    *((4, 60), (4, 200), (7, 60), (7, 400), (12, 60), (12, 144), (12, 600), (20, 300), (24, 120), (24, 500)),
    *((24, 2000), (30, 400), (48, 1000), (52, 300), (52, 520), (96, 1500), (288, 2000), (288, 4000)),
)
DOUBLE = ((24, 168, 1000), (24, 168, 3000), (48, 336, 2500), (7, 365, 2200))
SHAPES = ("sine", "smooth", "any", "spike")
NOISES = ("white", "red", "walk")
# Sets with a season that is known, from their calendar or their makers; those of None have none.
PUBLIC: dict[str, tuple[int, ...] | None] = {
    "air-passengers": (12,),
    "bike-sharing": (24, 168),
    "co2-weekly": (52,),
    "elnino-monthly": (12,),
    "etth1": (24,),
    "hospital": (12,),
    "m4-hourly": (24, 168),
    "nyc-taxi": (48, 336),
    "opsd-germany": (7,),
    "taylor": (48, 336),
    "us-births": (7,),
    "us-gasoline": (52,),
    "exchange-rate": None,
}
# Not judged: a cycle of about eleven years that keeps no time, and a machine without a plan that is known.
UNKNOWN = ("sunspots", "sunspots-yearly", "machine-temperature")


def cycle(random: np.random.Generator, steps: int, shape: str) -> Floats:
    """Draw one cycle with a mean of zero and a standard deviation of one."""
    at = np.arange(steps)
    if shape == "sine":
        drawn = np.sin(2 * np.pi * (at / steps + random.random()))
    elif shape == "smooth":
        turns = 2 * np.pi * np.arange(1, max(2, min(5, (steps + 1) // 2)))[:, None] * at / steps
        size = random.standard_normal((2, len(turns), 1)) / np.arange(1, len(turns) + 1)[:, None]
        drawn = (size[0] * np.cos(turns) + size[1] * np.sin(turns)).sum(axis=0)
    elif shape == "any":
        drawn = random.standard_normal(steps)
    else:
        drawn = (at == random.integers(steps)).astype(float)
    return np.asarray((drawn - drawn.mean()) / drawn.std())


def red(random: np.random.Generator, steps: int, *weights: float) -> Floats:
    """Draw a stationary autoregression with normal shocks."""
    shocks = random.standard_normal(steps + 500)
    return np.asarray(lfilter([1.0], [1.0, *(-weight for weight in weights)], shocks)[500:])


def single(random: np.random.Generator) -> Iterator[tuple[str, tuple[int, ...], Floats]]:
    """Yield a kind, its season and a series of each length, shape and noise."""
    for period, steps in SINGLE:
        for shape in SHAPES:
            for noise in NOISES:
                y = np.tile(cycle(random, period, shape), steps // period + 1)[:steps]
                if noise == "white":
                    y = y + 0.6 * random.standard_normal(steps)
                elif noise == "red":
                    y = y + 0.36 * red(random, steps, 0.8)
                else:
                    y = y + 0.6 / np.sqrt(period) * random.standard_normal(steps).cumsum()
                yield f"season of {period}", (period,), y + 0.002 * random.standard_normal() * np.arange(steps)


def double(random: np.random.Generator) -> Iterator[tuple[str, tuple[int, ...], Floats]]:
    """Yield a kind, its two seasons and a series: a day and the days of a week, or a week and a sine of a year."""
    for short, long, steps in DOUBLE:
        for shape in ("smooth", "any"):
            y = np.tile(cycle(random, short, shape), steps // short + 1)[:steps]
            nested = long % short == 0
            wide = np.repeat(random.standard_normal(long // short), short) if nested else cycle(random, long, "sine")
            y = y + 0.7 * np.tile(wide, steps // long + 1)[:steps]
            yield f"seasons of {short} and {long}", (short, long), y + 0.4 * random.standard_normal(steps)


def none(random: np.random.Generator, steps: int) -> Iterator[tuple[str, Floats]]:
    """Yield a kind and a series without a season."""
    time, noise = np.arange(steps), random.standard_normal(steps)
    yield "random walk", noise.cumsum()
    yield "random walk with steps of heavy tails", random.standard_t(3, steps).cumsum()
    yield "growth at random", np.exp(0.02 * random.standard_normal(steps).cumsum())
    yield "white noise", random.standard_normal(steps)
    yield "counts", random.poisson(0.2, steps).astype(float)
    for weights in ((0.5,), (0.9,), (-0.5,), (0.5, 0.3), (1.3, -0.4), (1.2, -0.6)):
        yield f"autoregression {weights}", red(random, steps, *weights)
    yield "line and noise", 0.05 * time + random.standard_normal(steps)
    yield "parabola and noise", 10 * (time / steps) ** 2 + random.standard_normal(steps)


def public() -> Iterator[dict[str, Any]]:
    """Yield a row for each public set that is here."""
    for name, known in [*PUBLIC.items(), *((name, None) for name in UNKNOWN)]:
        try:
            panel = load_dataset(name)
        except TsForecastError:
            continue
        targets = [panel.series(i)[:, : panel.n_targets] for i in range(len(panel))]
        array = Panel.from_array(targets if len(targets) > 1 else targets[0], nan_policy="mask")
        began = time.process_time()
        found = resolved(array, array)
        seconds = time.process_time() - began
        seasons = found.seasons if found.season_length > 1 else ()
        row: dict[str, Any] = {"part": "public", "kind": name, "series": len(panel) * panel.n_targets}
        row |= {"known": list(known or ()), "found": list(seasons), "milliseconds": round(1e3 * seconds)}
        yield row if name in UNKNOWN else row | {"right": seasons[:1] == (known or ())[:1]}


def main() -> None:
    """Print and record the shares that are right, by kind."""
    right = defaultdict[tuple[str, str], list[bool]](list)
    for draw in range(DRAWS):
        random = np.random.default_rng([SEED, draw])
        for kind, known, y in [*single(random), *double(random)]:
            found = find([y]).lengths
            right["made up", kind].append(found == known if len(known) > 1 else found[:1] == known)
        for steps in NONE:
            for kind, y in none(random, steps):
                right["none", kind].append(not find([y]).lengths)
                right["none by length", f"{steps} steps"].append(right["none", kind][-1])
    sets = list(public())
    rows: list[dict[str, Any]] = [
        {"part": part, "kind": kind, "series": len(each), "right": float(np.mean(each))}
        for (part, kind), each in right.items()
    ]
    known = [row["right"] for row in sets if row["known"]]
    every = sum((each for (part, _), each in right.items() if part == "made up"), list[bool]())
    empty = sum((each for (part, _), each in right.items() if part == "none"), list[bool]())
    for part, each in (("public", known), ("made up", every), ("known", [*known, *every]), ("none", empty)):
        rows.append({"part": part, "kind": "all", "series": len(each), "right": float(np.mean(each))})
    random = np.random.default_rng(SEED)
    many = Panel.from_array(
        np.tile(cycle(random, 24, "any"), (400, 42))[:, :1000, None] + random.normal(size=(400, 1000, 1))
    )
    times = []
    for _ in range(5):
        began = time.process_time()
        resolved(many, many)
        times.append(time.process_time() - began)
    rows.append({"part": "time", "kind": "400 series of 1,000 steps", "milliseconds": round(1e3 * min(times))})
    rows += sets
    for row in rows:
        sys.stdout.write(f"{row}\n")
    record("seasons", rows)


if __name__ == "__main__":
    main()
