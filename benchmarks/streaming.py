"""Stream recordings: seconds of a step by cell and units, and how early gestures are recognised.

A watch has 3 channels at 9 steps a second, a made-up machine 6 channels at 1,000. ``python benchmarks/streaming.py``
writes rows to ``results/streaming.jsonl``, six minutes' worth, from the data in TSFORECAST_DATA, and draws the curve of
docs/how-to/streaming.md. With ``--real-time`` steps are timed at the priority of a program that must not miss one,
which the system must allow: other programs on the same cores then do not count.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from record import RESULTS, record
from threadpoolctl import threadpool_limits

from tsforecast import GRUClassifier, NeuralClassifier, choose_threshold, earliness_curve, load_dataset
from tsforecast.evaluation.earliness import earliness_figure
from tsforecast.sequences.stream import Stream

NAME = "streaming"
SET = "smartwatch-gestures"
CELLS = ("rnn", "gru", "lstm", "conv1d")
SECONDS = 20  # of each stream
WARM = 200  # steps that are not timed
REST = 10  # steps after which a pause, not timed, is left to others: a system stops real-time programs without any
TESTED, CHOOSES = ("U08",), ("U06", "U07")  # users: who is tested, and who chooses the threshold; others train
WITHIN = 0.01  # accuracy that early decisions may lose on users who choose
DEADLINES = (5, 8, 10, 12, 15, 20, 30)
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "streaming-earliness.svg"


@dataclass(frozen=True)
class Source:
    """What sends steps."""

    name: str
    rate: int  # steps in a second
    channels: int
    trained: int  # steps of the recordings that trained, over which convolutions reach back
    again: int  # steps of the prefix that is predicted again, to compare with

    @property
    def steps(self) -> int:
        return SECONDS * self.rate


SOURCES = (Source("watch", 9, 3, 51, 180), Source("machine", 1000, 6, 1000, 1000))


def fitted(source: Source, cell: str, units: int, layers: int) -> NeuralClassifier:
    """Return a network of this size; what it learned does not change its time."""
    random = np.random.default_rng(0)
    waves = [random.normal(size=(source.trained, source.channels)) for _ in range(8)]
    model = NeuralClassifier(
        cell, units=units, layers=layers, bidirectional=False, max_epochs=1, validation=None, random_state=0
    )
    return model.fit(waves, np.arange(8) % 4)


def pushed(stream: Stream, rows: NDArray[np.float64], clock: Callable[[], float]) -> NDArray[np.float64]:
    """Return the seconds of each step of a recording that is pushed with few pauses."""
    for row in rows[:WARM]:
        stream.push(row)
    stream.reset()
    found = np.empty(len(rows))
    for i, row in enumerate(rows):
        began = clock()
        stream.push(row)
        found[i] = clock() - began
        if i % REST == REST - 1:
            time.sleep(0.001)
    return found


def late(seconds: NDArray[np.float64], rate: int) -> float:
    """Return the share of steps that are answered after the next one has come, where steps come at a rate."""
    done, count = 0.0, 0
    for i, own in enumerate(seconds):
        done = max(done, i / rate) + own
        count += done > (i + 1) / rate
    return count / len(seconds)


def paced(stream: Stream, rows: NDArray[np.float64], rate: int) -> dict[str, Any]:
    """Return how late answers are by the clock, where steps do come at a rate."""
    for row in rows[:WARM]:
        stream.push(row)
    stream.reset()
    began, delays = time.perf_counter() + 0.01, np.empty(len(rows))
    for i, row in enumerate(rows):
        due = began + i / rate
        time.sleep(max(due - time.perf_counter() - 0.0002, 0))
        while time.perf_counter() < due:
            pass
        stream.push(row)
        delays[i] = time.perf_counter() - due
    low, high = np.percentile(delays, [50, 99])
    return {"p50": low, "p99": high, "highest": delays.max(), "late": float((delays > 1 / rate).mean())}


def predicted_again(model: NeuralClassifier, recording: NDArray[np.float64]) -> float:
    """Return the seconds in which the whole prefix is predicted."""
    found = []
    for _ in range(4):
        began = time.perf_counter()
        model.predict_proba([recording])
        found.append(time.perf_counter() - began)
    return float(np.median(found[1:]))


def latency(source: Source, cell: str, units: int, layers: int) -> dict[str, Any]:
    """Return the row of one network on one source."""
    model = fitted(source, cell, units, layers)
    rows = np.random.default_rng(1).normal(size=(source.steps, source.channels))
    stream = model.stream()
    by_clock, by_core = pushed(stream, rows, time.perf_counter), pushed(stream, rows[:5000], time.thread_time)
    row = {
        "measured": "push",
        "source": source.name,
        "rate": source.rate,
        "channels": source.channels,
        "cell": cell,
        "units": units,
        "layers": layers,
        "steps": source.steps,
        **{name: float(np.percentile(by_clock, at)) for name, at in (("p50", 50), ("p99", 99), ("highest", 100))},
        **{name: float(np.percentile(by_core, at)) for name, at in (("core_p50", 50), ("core_p99", 99))},
        "late": late(by_clock, source.rate),
        "prefix": source.again,
        "again": predicted_again(model, rows[: source.again]),
    }
    if source.rate == 1000 and layers == 2 and units == 64:
        row |= {f"paced_{name}": value for name, value in paced(stream, rows, source.rate).items()}
    say(" ".join(f"{name}={value:.3g}" if isinstance(value, float) else str(value) for name, value in row.items()))
    return row


def earliness() -> list[dict[str, Any]]:
    """Return the rows of the curves of gestures: of users who choose the threshold, and of one who is tested."""
    panel = load_dataset(SET)
    users = np.asarray(panel.groups).astype(str)
    chosen, tested = np.isin(users, CHOOSES), np.isin(users, TESTED)
    began = time.perf_counter()
    model = GRUClassifier(bidirectional=False, random_state=0)
    model.fit(panel.select(~chosen & ~tested), "gesture")
    seconds = time.perf_counter() - began
    whole = GRUClassifier(random_state=0).fit(panel.select(~chosen & ~tested), "gesture")
    found = []
    for part, mask in (("choose", chosen), ("test", tested)):
        curve = earliness_curve(model, panel.select(mask), "gesture", deadlines=DEADLINES)
        if part == "choose":
            threshold = choose_threshold(curve, within=WITHIN)
        own = curve.assign(part=part, chosen=curve["deadline"].isna() & (curve["threshold"] == threshold))
        own["both_ways"] = whole.score(panel.select(mask), panel.statics["gesture"][mask])
        found.append(own)
    rows = pd.concat(found).assign(measured="earliness", set=SET, within=WITHIN, fit_seconds=seconds)
    say(rows[["part", "threshold", "deadline", "accuracy", "earliness", "steps", "chosen"]].round(3).to_string())
    return [{name: None if value != value else value for name, value in row.items()} for row in rows.to_dict("records")]


def draw() -> None:
    """Draw the curve of the user who is tested."""
    rows = pd.read_json(RESULTS / f"{NAME}.jsonl", lines=True)
    curve = rows[(rows["measured"] == "earliness") & (rows["part"] == "test")]
    earliness_figure(curve).savefig(FIGURE, metadata={"Date": None})


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real-time", action="store_true", help="time steps at real-time priority")
    parser.add_argument("--only", choices=["push", "earliness"], help="measure this alone")
    parser.add_argument("--quick", action="store_true", help="half a minute: two networks of each source, no gestures")
    options = parser.parse_args()
    sizes = [(16, 1), (64, 2)] if options.quick else [(units, layers) for units in (16, 64, 128) for layers in (1, 2)]
    cells = ("gru", "conv1d") if options.quick else CELLS
    if options.only != "earliness":
        torch.set_num_threads(1)
        usual = os.sched_getscheduler(0)
        if options.real_time:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        with threadpool_limits(1):
            rows = [
                latency(source, cell, units, layers) | {"priority": "real-time" if options.real_time else "usual"}
                for source in SOURCES
                for cell in cells
                for units, layers in sizes
            ]
        os.sched_setscheduler(0, usual, os.sched_param(0))
        record(NAME, rows, {"measured": "push"})
    if options.only != "push" and not options.quick:
        record(NAME, earliness(), {"measured": "earliness"})
        draw()


if __name__ == "__main__":
    main()
