"""Classify movements of unseen people, beside the majority and the nearest recording.

Smartwatch gestures by leaving users out, and by a random split for its optimism (leak premium); what a few recordings
of the eighth user add; and three sets of the UCR archive by their own split. ``python benchmarks/gestures.py`` writes
rows to ``results/gestures.jsonl`` as they come, an hour's worth, from the data in TSFORECAST_DATA.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from record import record
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit

from tsforecast import (
    Conv1DClassifier,
    EnsembleClassifier,
    GRUClassifier,
    NearestNeighborClassifier,
    compare_classifiers,
    load_dataset,
)
from tsforecast.catalog.card import card
from tsforecast.data.panel import Panel
from tsforecast.evaluation.class_metrics import counts
from tsforecast.evaluation.classification import tallied
from tsforecast.evaluation.transfer_curve import learning, transfer_curve

NAME = "gestures"
SET = "smartwatch-gestures"
LEAVE_OUT, RANDOM = "leave-users-out", "random"
# Found while the classifiers were built, partly by looking at users who are tested here: its own number is flattered,
# and the honest one is that of "chosen", which may take it or not, by users that it learns from.
RECIPE: dict[str, Any] = {"augment": "motion", "segment": 2, "validation": None, "max_epochs": 20}
CANDIDATES: list[dict[str, Any]] = [{}, RECIPE]
LIKE_RECIPE: dict[str, Any] = {"segment": 2, "validation": None, "max_epochs": 20}
TUNING: dict[str, Any] = {"max_epochs": 40, "learning_rate": 0.001}  # of a few recordings; fixed beforehand
QUICK = "smartwatch-gestures, 5 users and 5 gestures, 10 epochs"  # the set of the rows of --quick
QUICK_EPOCHS = 10


def default(seed: int) -> Any:
    """A GRU with default settings."""
    return GRUClassifier(random_state=seed)


def recipe(seed: int) -> Any:
    """A GRU that was set up partly by looking at users who are tested here: its number is flattered."""
    return GRUClassifier(random_state=seed, **RECIPE)


def chosen(seed: int) -> Any:
    """The default GRU or the recipe, whichever is better on two users who are held out of those that train."""
    grid = [{name: [value] for name, value in candidate.items()} for candidate in CANDIDATES]
    held_out = GroupShuffleSplit(1, test_size=2, random_state=seed)
    return GridSearchCV(GRUClassifier(random_state=seed), grid, cv=held_out, error_score="raise")


def ensemble(seed: int) -> Any:
    """Two GRUs and convolutions as one model, put together on three users held out of five: flattered a little."""
    members = [
        GRUClassifier(augment="motion", differences=True, **LIKE_RECIPE),
        GRUClassifier(augment="wearable", differences=True, **LIKE_RECIPE),
        Conv1DClassifier(augment="wearable", **LIKE_RECIPE),
    ]
    return EnsembleClassifier(members, random_state=100 * seed)


def chosen_ensemble(seed: int) -> Any:
    """The recipe or the ensemble, whichever is better on two users who are held out of those that train."""
    candidates = [EnsembleClassifier(recipe(seed), seeds=1), ensemble(seed)]
    held_out = GroupShuffleSplit(1, test_size=2, random_state=seed)
    grid = [{"classifiers": [one.classifiers], "seeds": [one.seeds]} for one in candidates]
    return GridSearchCV(EnsembleClassifier(random_state=100 * seed), grid, cv=held_out, error_score="raise")


def convolutions(seed: int) -> Any:
    """A convolutional network with default settings."""
    return Conv1DClassifier(random_state=seed)


def five_convolutions(seed: int) -> Any:
    """Five convolutional networks with default settings say together what is most probable."""
    return EnsembleClassifier(Conv1DClassifier(), random_state=100 * seed)


def nearest(seed: int) -> Any:
    """The label of the nearest recording by dynamic time warping."""
    return NearestNeighborClassifier()


def quick(seed: int) -> Any:
    """A GRU that is trained for 10 epochs only."""
    return GRUClassifier(random_state=seed, max_epochs=QUICK_EPOCHS)


@dataclass(frozen=True)
class Measurement:
    """One model on one set by one protocol; what is made again for each seed, unless nothing in it is random."""

    set: str
    protocol: str
    model: str
    make: Callable[[int], Any]
    seeds: int | None = None  # at most; all that are asked for if None

    @property
    def key(self) -> dict[str, str]:
        return {"measured": "recognition", "set": self.set, "protocol": self.protocol, "model": self.model}


UCR = ("japanese-vowels", "basic-motions", "gunpoint")
MEASUREMENTS = [
    Measurement(SET, LEAVE_OUT, "recipe", recipe),
    Measurement(SET, LEAVE_OUT, "gru", default),
    Measurement(SET, RANDOM, "gru", default),
    Measurement(SET, RANDOM, "recipe", recipe, 1),
    *(Measurement(name, "given", "gru", default) for name in UCR),
    *(Measurement(name, "given", "conv1d", convolutions) for name in UCR),
    *(Measurement(name, "given", "ensemble", five_convolutions) for name in UCR),
    *(Measurement(name, "given", "nearest-neighbor", nearest, 1) for name in UCR),
    Measurement(SET, LEAVE_OUT, "chosen", chosen, 1),
    Measurement(SET, LEAVE_OUT, "nearest-neighbor", nearest, 1),
    Measurement(SET, LEAVE_OUT, "ensemble", ensemble, 1),
    Measurement(SET, LEAVE_OUT, "chosen ensemble", chosen_ensemble, 3),
]
IN_A_HURRY = [Measurement(QUICK, LEAVE_OUT, "gru", quick, 1), Measurement(QUICK, RANDOM, "gru", quick, 1)]


def read(name: str) -> tuple[Panel, str]:
    """Return recordings, and the name of the column with their labels."""
    if name != QUICK:
        return load_dataset(name), str(card(name).task.label)
    panel, label = load_dataset(SET), str(card(SET).task.label)
    users, gestures = np.asarray(panel.groups), panel.statics[label]
    few = np.isin(users, np.unique(users)[:5]) & np.isin(gestures, np.unique(gestures)[:5])
    return panel.select(few), label


def compared(one: Measurement, seed: int, jobs: int = 1) -> list[dict[str, Any]]:
    """Return the rows of one model: a line for each fit and user, with its predictions by class."""
    panel, label = read(one.set)
    test = panel.statics["part"] == "test" if one.protocol == "given" else None
    protocol = LEAVE_OUT if one.protocol == "given" else one.protocol
    found = compare_classifiers(
        {one.model: one.make(seed)}, panel, label, protocol=protocol, test=test, n_jobs=jobs, progress=said
    )
    keys = ["protocol", "model", "seed", "fold", "group", "chosen", "fit_seconds", "predict_seconds"]
    rows = [
        {"measured": "recognition", "set": one.set}
        | dict(zip(keys, values, strict=True))
        | {"about": one.make.__doc__ if values[1] == one.model else "The most frequent class."}
        | _told(part)
        for values, part in tallied(found.rows).groupby(keys, dropna=False, sort=False)
        if values[1] == one.model or seed == 0
    ]
    accuracy = found.table.set_index("model").loc[one.model, "accuracy"]
    say(f"{one.set} {one.protocol} {one.model} {seed}: accuracy {accuracy:.4f}")
    return rows


def transferred(name: str, make: Callable[[int], Any], seed: int) -> list[dict[str, Any]]:
    """Return the rows of the transfer curve of one seed: a line for each user and number of recordings."""
    panel, label = read(name)
    found = transfer_curve(make(seed), panel, label, progress=lambda user: say(f"  transfer {user}"), **TUNING)
    say(learning(found).round(4).to_string(index=False))
    keys = ["seed", "shots", "group", "tuned_on", "fit_seconds"]
    return [
        {"measured": "transfer", "set": name} | dict(zip(keys, values, strict=True)) | _told(part)
        for values, part in found.groupby(keys, sort=False)
    ]


def fitted(name: str, model: str, make: Callable[[int], Any]) -> dict[str, Any]:
    """Return the row of the time of one fit, on all users but the first: of a clock, and of one processor core."""
    panel, label = read(name)
    learn = np.asarray(panel.groups) != min(panel.groups)
    one, part = make(0), panel.select(learn)
    began, busy = time.perf_counter(), time.process_time()
    one.fit(part, label)
    seconds = {"seconds": time.perf_counter() - began, "core_seconds": time.process_time() - busy}
    say(f"{name} fit {model}: {seconds['seconds']:.1f} s, {seconds['core_seconds']:.1f} s of a core")
    return {"measured": "fit", "set": name, "model": model, "recordings": len(part), **seconds}


def copies(name: str) -> list[dict[str, Any]]:
    """Return a row for each recording of which a set has several."""
    from tsforecast.data.samples import find_duplicates

    panel, label = read(name)
    return [
        {"measured": "copies", "set": name, "names": one.names, "labels": one.labels, "groups": one.groups}
        for one in find_duplicates(panel, panel.statics[label], panel.groups)
    ]


def _told(part: pd.DataFrame) -> dict[str, Any]:
    """Return what was said of each class, and how much of it is right."""
    said = counts(part).groupby([part["true"].astype(str), part["predicted"].astype(str)]).sum()
    answers: dict[str, dict[str, int]] = {}
    for (true, predicted), count in said.items():
        answers.setdefault(true, {})[predicted] = int(count)
    right = sum(each.get(true, 0) for true, each in answers.items())
    return {"recordings": int(said.sum()), "accuracy": right / int(said.sum()), "answers": answers}


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON can hold them."""
    return [
        {name: None if value is pd.NA or value != value else _item(value) for name, value in row.items()}
        for row in rows
    ]


def _item(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def said(model: str, protocol: str, fold: int) -> None:
    say(f"  {model} {protocol} fold {fold}")


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> None:
    names = ["fit", "transfer", *dict.fromkeys(one.model for one in MEASUREMENTS)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", metavar="SET", help=f"all unless named: {SET}, {', '.join(UCR)}")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help=f"all unless named: {', '.join(names)}")
    parser.add_argument("--protocol", choices=[LEAVE_OUT, RANDOM, "given"], help="measure by this one alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], metavar="SEED")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes; seconds are then of a busy machine"
    )
    parser.add_argument("--quick", action="store_true", help=f"a minute or two: {QUICK}; no number of it counts")
    options = parser.parse_args()
    picked = list(_picked(options))
    for name in dict.fromkeys(one.set for one in picked):
        record(NAME, copies(name), {"measured": "copies", "set": name})
    main_set, model, make = (QUICK, "gru", quick) if options.quick else (SET, "recipe", recipe)
    also = {name for name in ("fit", "transfer") if not options.models or name in options.models}
    also &= also if options.quick or main_set in (options.sets or [SET]) else set()
    for seed in options.seeds[:1] if options.quick else options.seeds:
        for one in picked:
            if one.seeds is None or seed < one.seeds:
                _keep(compared(one, seed, options.jobs))
        if "transfer" in also:
            rows = _plain(transferred(main_set, make, seed))
            record(NAME, rows, {"measured": "transfer", "set": main_set, "seed": rows[0]["seed"]})
    for name, one in {model: make, "gru": quick if options.quick else default}.items() if "fit" in also else ():
        record(NAME, [fitted(main_set, name, one)], {"measured": "fit", "set": main_set, "model": name})


def _picked(options: argparse.Namespace) -> Iterator[Measurement]:
    """Yield what is to be measured."""
    for one in IN_A_HURRY if options.quick else MEASUREMENTS:
        by_set, by_model = (
            not options.sets or one.set in options.sets,
            not options.models or one.model in options.models,
        )
        if options.quick or (by_set and by_model and options.protocol in (None, one.protocol)):
            yield one


def _keep(rows: list[dict[str, Any]]) -> None:
    """Put rows in place of those of the same model, set, protocol and seed."""
    plain = _plain(rows)
    for model in dict.fromkeys(row["model"] for row in plain):
        own = [row for row in plain if row["model"] == model]
        record(NAME, own, {key: own[0][key] for key in ("measured", "set", "protocol", "model", "seed")})


if __name__ == "__main__":
    main()
