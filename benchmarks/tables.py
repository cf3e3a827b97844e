"""Tables of the README and of pages in `docs`, drawn from committed rows: ``python benchmarks/tables.py``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import accuracy_tables
import anomaly_tables
import cluster_tables
import drift_tables
import gallery_tables
import hierarchy_tables
import leak_tables
import peer_tables
import people_tables
import recording_tables
import serving_tables
import speed_tables
import streaming_tables
import verdict_tables
from record import rows

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
VERDICTS = DOCS / "concepts" / "verdicts.md"
DISTRIBUTIONS = DOCS / "concepts" / "distributions.md"
SPEED = DOCS / "benchmarks" / "speed.md"
STREAMING = DOCS / "how-to" / "streaming.md"
OPEN_BOARD = DOCS / "open-board" / "README.md"
ACTIVITIES = DOCS / "how-to" / "activities.md"
GALLERY = DOCS / "gallery" / "leaks.md"
CLASSIFICATION = DOCS / "how-to" / "classification.md"
RECORDINGS = DOCS / "benchmarks" / "recordings.md"
SCALE = DOCS / "how-to" / "scale.md"
SERVING = DOCS / "how-to" / "serving.md"
HIERARCHIES = DOCS / "how-to" / "hierarchies.md"
ANOMALIES = DOCS / "how-to" / "anomalies.md"
UPDATE = DOCS / "how-to" / "update.md"


def _of_verdicts(name: str) -> str:
    return verdict_tables.DRAWN[name](rows("verdicts"))


def _of_cluster(name: str) -> str:
    benchmark, draw = cluster_tables.DRAWN[name]
    return draw(rows(benchmark))


OF_VERDICTS: dict[str, Callable[[], str]] = {name: partial(_of_verdicts, name) for name in verdict_tables.DRAWN}


OF_DISTRIBUTIONS: dict[str, Callable[[], str]] = {
    "distributions": accuracy_tables.distributions,
    "stationary": partial(accuracy_tables.held, "stationary"),
    "shifts": partial(accuracy_tables.held, "shift"),
    "sums": partial(accuracy_tables.held, "sums"),
}


OF_GALLERY: dict[str, Callable[[], str]] = {
    "mistakes": lambda: gallery_tables.mistakes(rows("leaks")),
    "counts": lambda: gallery_tables.counts(rows("leaks"), rows("kept"), rows("clean")),
}


def written(text: str, drawn: dict[str, Callable[[], str]]) -> str:
    """Return a text with its tables drawn again between their marks."""
    for name, table in drawn.items():
        pattern = rf"(<!-- table: {name} -->\n).*?(<!-- end -->)"

        def fill(match: re.Match[str], lines: str = table()) -> str:
            return f"{match[1]}{lines}\n{match[2]}"

        text = re.sub(pattern, fill, text, flags=re.DOTALL)
    return text


OF_STREAMING: dict[str, Callable[[], str]] = {
    "earliness": lambda: streaming_tables.earliness(rows("streaming")),
    "push": lambda: streaming_tables.push(rows("streaming")),
    "paced": lambda: streaming_tables.paced(rows("streaming")),
}


OF_SPEED: dict[str, Callable[[], str]] = {
    "speed": lambda: speed_tables.steps(rows("speed")),
    "convolutions": lambda: speed_tables.convolutions(rows("speed")),
    "fits": lambda: speed_tables.fits(rows("speed")),
    "side by side": lambda: speed_tables.side_by_side(rows("speed")),
    "ragged": lambda: speed_tables.ragged(rows("speed")),
    "forecasts": lambda: speed_tables.forecasts(rows("forecasts")),
    "quotes": lambda: speed_tables.quotes(rows("quotes")),
    "peers": peer_tables.peers,
    "peer errors": peer_tables.peer_errors,
    "start": peer_tables.start,
    "reading": peer_tables.reading,
}


def _of_serving(name: str) -> str:
    return serving_tables.DRAWN[name](rows("serving"))


DRAWN = {
    README: {"summary": accuracy_tables.summary},
    DOCS / "benchmarks" / "accuracy.md": {
        "accuracy": accuracy_tables.accuracy,
        "cells": accuracy_tables.cells,
        "others": accuracy_tables.others,
    },
    DOCS / "benchmarks" / "sensors.md": {"sensors": accuracy_tables.sensors, "people": accuracy_tables.people},
    DOCS / "benchmarks" / "leaks.md": {
        "leaks": leak_tables.leaks,
        "clean": leak_tables.clean,
        "kept": leak_tables.kept,
    },
    DOCS / "how-to" / "tuning.md": {"searches": leak_tables.searches, "optimism": leak_tables.optimism},
    DOCS / "how-to" / "mlflow.md": {"tracking": leak_tables.tracking},
    SPEED: OF_SPEED,
    CLASSIFICATION: {"recognition": people_tables.recognition, "transfer": people_tables.transfer},
    VERDICTS: OF_VERDICTS,
    DISTRIBUTIONS: OF_DISTRIBUTIONS,
    GALLERY: OF_GALLERY,
    STREAMING: OF_STREAMING,
    ACTIVITIES: {"activities": people_tables.activities},
    RECORDINGS: {
        "accuracies": lambda: recording_tables.accuracies(rows("recordings")),
        "beside": lambda: recording_tables.beside(rows("recordings")),
    },
    HIERARCHIES: {
        "reconciliation": lambda: hierarchy_tables.methods(rows("hierarchies")),
        "levels": lambda: hierarchy_tables.levels(rows("hierarchies"), "bike-sharing"),
    },
    ANOMALIES: {
        "stretches": lambda: anomaly_tables.stretches(rows("anomalies")),
        "taxis": lambda: anomaly_tables.windows(rows("anomalies"), "nyc-taxi"),
        "machine": lambda: anomaly_tables.windows(rows("anomalies"), "machine-temperature"),
    },
    UPDATE: {
        "false alarms": lambda: drift_tables.false_alarms(rows("drift")),
        "delays": lambda: drift_tables.delays(rows("drift")),
    },
    SCALE: {name: partial(_of_cluster, name) for name in cluster_tables.DRAWN},
    SERVING: {name: partial(_of_serving, name) for name in serving_tables.DRAWN},
    OPEN_BOARD: {"open board": lambda: gallery_tables.open_board(rows("open_board"))},
}


def main() -> None:
    for path, drawn in DRAWN.items():
        path.write_text(written(path.read_text(encoding="utf-8"), drawn), encoding="utf-8")


if __name__ == "__main__":
    main()
