"""Rates of verdicts where the truth is known: false claims, coverage and power in simulated situations.

Run with ``OMP_NUM_THREADS=1 python benchmarks/verdicts.py``; ``--draws 500`` is a quick look that records nothing, and
``--part published`` measures these rows alone and replaces them.
Losses are simulated; the package arranges the units of each design, from rows as `backtest` makes them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from best_valid import best_power
from coverage_rates import coverage
from processes import (
    LEVEL_OF_LOSSES,
    absolute,
    ahead,
    difference,
    filtered,
    memory,
    normal,
    panel,
    people,
    scaled,
    skewed,
    tails,
    under_noise,
)
from published_tests import published
from record import record
from scipy.stats import t as student
from verdict_rates import (
    DRAWS,
    LIMIT,
    SEED,
    SIGNIFICANCE,
    Design,
    Situation,
    coins,
    findable,
    over_people,
    rate,
    rates,
    weighed,
)

FEW = 4_000  # draws of large panels
SEASONAL = filtered([0, 0, 0, 0.6])
LONG = filtered([0.5, 0.3])
MOVING = filtered([], [1.0, 1.0, 1.0, 1.0])
UNEQUAL = (60, 1, 1, 1, 1, 1, 1, 1)
GRADED = (20, 12, 8, 5, 4, 3, 2, 2, 1, 1)
EQUAL = (4,) * 10


def one_series() -> Iterator[Situation]:
    """Yield one series at separate cutoffs."""
    part = "one series"
    for count in (5, 10, 12, 16, 24, 30, 60, 100, 500):
        yield Situation(part, "normal errors", Design(count), absolute(), limit=LIMIT if count >= 10 else None)
    kinds: list[tuple[str, Any]] = [
        ("errors of Student's t, 3 degrees of freedom", absolute(tails(3))),
        ("squared errors of Student's t, 5 degrees of freedom", absolute(tails(5), power=2)),
        ("skewed losses (lognormal)", skewed()),
        ("volatility triples halfway", absolute(volatility="halfway")),
        ("volatility differs between cutoffs", absolute(volatility="scattered")),
        ("volatility in clusters (GARCH)", absolute(volatility="clusters")),
        ("errors scaled as in MASE", scaled()),
        ("errors that both models share to nine tenths", absolute(shared=0.9)),
    ]
    for name, draw in kinds:
        for count in (10, 24, 60):
            yield Situation(part, name, Design(count), draw)


def remembered() -> Iterator[Situation]:
    """Yield losses with memory beyond the horizon."""
    for share in (0.3, 0.5, 0.8, 0.95):
        for count in (10, 12, 16, 24, 30, 60, 100, 500):
            limit = 0.1 if share == 0.95 else LIMIT
            name = f"differences of losses: autoregression {share}"
            yield Situation("memory", name, Design(count), difference(memory(share)), limit=limit)
    for count in (12, 24, 60):
        yield Situation("memory", "differences of losses: moving average of four", Design(count), difference(MOVING))
    for count in (12, 24, 60):
        yield Situation("memory", "absolute errors: autoregression 0.8", Design(count), absolute(memory(0.8)))


def overlapping() -> Iterator[Situation]:
    """Yield cutoffs whose steps up to the last target overlap."""
    part = "overlap"
    for gap in (5, 11):
        for count in (24, 30, 60):
            name = f"horizon 1, gap {gap}, every step"
            yield Situation(part, name, Design(count, gap=gap), ahead(), draws=FEW)
    for step in (1, 4, 12):
        for count in (24, 60):
            name = f"horizon 12, every {step} steps" if step > 1 else "horizon 12, every step"
            yield Situation(part, name, Design(count, horizon=12, step=step), ahead(), draws=FEW)
    yield Situation(part, "horizon 12, every step", Design(500, horizon=12), ahead(), draws=2_000)


def panels() -> Iterator[Situation]:
    """Yield several series that share a calendar."""
    part = "panels"
    for correlation in (0.5, 0.9):
        shocks = f"50 series, shocks correlated {correlation}"
        yield Situation(part, f"{shocks}, one cutoff", Design(1, 50), panel(correlation), draws=FEW)
        for count in (6, 10):
            name = f"{shocks}, horizon 12, every step"
            yield Situation(part, name, Design(count, 50, horizon=12), panel(correlation), draws=FEW)
        for count in (10, 24):
            yield Situation(part, shocks, Design(count, 50), panel(correlation), draws=FEW)
    for count in (10, 24):
        draw = panel(0.9, memory(0.5))
        name = "50 series, shocks correlated 0.9, autoregression 0.5"
        yield Situation(part, name, Design(count, 50), draw, draws=FEW)
        name = "20 series, the shortest has a quarter of the cutoffs, shocks correlated 0.5"
        yield Situation(part, name, Design(count, 20, shortest=0.25), panel(0.5), draws=FEW)
        name = "10 series, horizon 4, every step, shocks correlated 0.5"
        yield Situation(part, name, Design(count, 10, horizon=4), ahead(0.3, 0.5), draws=FEW)
    for count in (10, 24, 60):
        name = "RMSE, volatility differs between cutoffs"
        yield Situation("RMSE", name, Design(count, metric="rmse"), absolute(volatility="scattered", power=2))
    for count in (10, 24):
        name = "RMSE of 10 series of unequal volatility"
        yield Situation("RMSE", name, Design(count, 10, metric="rmse"), absolute(volatility="series", power=2))


def separate() -> Iterator[Situation]:
    """Yield series that are independent, and groups."""
    part = "independent series"
    for count in (10, 30):
        design = Design(1, count, independent=True)
        yield Situation(part, "declared to be, one cutoff", design, absolute())
        yield Situation(part, "declared to be, one cutoff, skewed losses", design, skewed())
        design = Design(6, count, clocks=True)
        yield Situation(part, "calendars of their own, autoregression 0.8", design, absolute(memory(0.8)))
        yield Situation(part, "calendars of their own, unequal volatility", design, absolute(volatility="series"))
    for name, groups in (("one of 8 has 60 of 67 series", UNEQUAL), ("1 to 20 series", GRADED), ("4 series", EQUAL)):
        for spread in (0.0, 0.3):
            among = "gains differ between groups" if spread else "gains do not differ"
            yield Situation("groups", f"{name}, {among}", Design(4, sum(groups), groups=groups), people(spread))


def outcomes() -> Iterator[Situation]:
    """Yield models that differ, and models that hardly do."""
    part = "outcomes"
    for count in (12, 24, 60):
        for skill in (0.25, -0.25):
            yield Situation(part, "normal errors", Design(count), absolute(), skill, limit=None)
        for skill in (0.0, 0.05, -0.05):
            near = difference(normal)
            yield Situation(part, "differences of a tenth of the loss", Design(count), near, skill, limit=None)
        for skill in (0.0, 0.05):
            near = absolute(shared=0.9995)
            yield Situation(part, "nearly the same forecasts", Design(count), near, skill, limit=None)
    for count, step in ((24, 12), (60, 12), (60, 4), (60, 1), (500, 1)):
        name = f"horizon 12, every {step} steps" if step > 1 else "horizon 12, every step"
        yield Situation(part, name, Design(count, horizon=12, step=step), ahead(), 0.25, 2_000, limit=None)


def beyond() -> Iterator[Situation]:
    """Yield memory of which the comparison has no model."""
    kinds: list[tuple[str, Any]] = [
        ("differences of losses: autoregression 0.8 and as much noise", difference(under_noise(0.8))),
        ("differences of losses: autoregression 0.9 and as much noise", difference(under_noise(0.9))),
        ("differences of losses: autoregression of second order (0.5, 0.3)", difference(LONG)),
        ("differences of losses: 0.6 of that four cutoffs before", difference(SEASONAL)),
        ("volatility in clusters of each model's own errors", absolute(volatility="each in clusters")),
    ]
    for name, draw in kinds:
        for count in (12, 24, 60, 500):
            yield Situation("beyond", name, Design(count), draw)


def situations() -> Iterator[Situation]:
    """Yield all situations of one model beside one reference."""
    for part in (one_series, remembered, overlapping, panels, separate, outcomes, beyond):
        yield from part()


def families(draws: int) -> Iterator[dict[str, Any]]:
    """Yield the rates with which any of twelve equal models is claimed to be better, or worse, by Holm's adjustment."""
    for name, noise in (("12 models", normal), ("12 models, autoregression 0.8", memory(0.8))):
        for count in (12, 24):
            random, found = np.random.default_rng([SEED, count]), Design(count).units()
            losses = LEVEL_OF_LOSSES + noise(random, (13, draws, count))
            tests = [weighed(found, (each, losses[0])) for each in losses[1:]]
            smallest = np.sort([each.p_value() for each in tests], axis=0)
            passed = np.cumprod(smallest * np.arange(12, 0, -1)[:, None] < SIGNIFICANCE, axis=0).sum(axis=0)
            claims = np.argsort(np.argsort([each.p_value() for each in tests], axis=0), axis=0) < passed
            ahead_of = np.array([each.gain > 0 for each in tests])
            yield {
                "part": "families", "situation": name, "cutoffs": count, "units": count, "kind": "cutoffs",
                "skill": 0.0, "draws": draws, "seed": SEED, "limit": LIMIT,
                **rate("better", (claims & ahead_of).any(axis=0)), **rate("worse", (claims & ~ahead_of).any(axis=0)),
            }  # fmt: skip


def references(draws: int) -> Iterator[dict[str, Any]]:
    """Yield the rates beside the best of three equal naive forecasts, and beside one that was fixed.

    The reference is the one with the lowest error at as many cutoffs before the test; a model that is better must have
    a lower error than all three in the test.
    """
    for count in (12, 24, 60):
        for skill in (0.0, 0.25, 0.5):
            random, found = np.random.default_rng([SEED, count, 3]), Design(count).units()
            shared, *each = random.standard_normal((5, draws, 2 * count))
            losses = np.abs(np.sqrt(0.5) * (shared + np.array(each)))  # three naive forecasts and the model
            losses, before = losses[..., count:], losses[..., :count]
            own, naive = losses[3] * (1 - skill), losses[:3]
            chosen = np.take_along_axis(naive, before[:3].mean(axis=2).argmin(axis=0)[None, :, None], axis=0)[0]
            ahead_of_all = own.mean(axis=1) < naive.mean(axis=2).min(axis=0)
            tests = weighed(found, (own, chosen)), weighed(found, (own, naive[0]))
            better = [(each.p_value() < SIGNIFICANCE) & (each.gain > 0) for each in tests]
            row = {
                "part": "reference", "situation": "the best of three equal naive forecasts before the test",
                "cutoffs": count, "units": count, "kind": "cutoffs", "skill": skill, "draws": draws, "seed": SEED,
                "limit": None if skill else LIMIT,
                **rate("better", better[0] & ahead_of_all), **rate("fixed", better[1]),
            }  # fmt: skip
            yield row | {"kept_of_fixed": row["better"] / row["fixed"]} if skill else row


def classifiers(draws: int) -> Iterator[dict[str, Any]]:
    """Yield the rates of verdicts on a fair coin, and the coverage of accuracies near 100 %."""
    for users in (8, 20, 40):
        for name, sizes, classes, own in (
            ("labels balanced over all, 4 recordings each", [4] * users, (2 * users, 2 * users), 0.0),
            ("labels balanced over all, 30 each", [30] * users, (15 * users, 15 * users), 0.0),
            ("labels balanced over all, each user mostly one class", [10] * users, (5 * users, 5 * users), 1.5),
            ("60 % of one class, 10 each", [10] * users, (6 * users, 4 * users), 0.0),
            ("90 % of one class, 10 each", [10] * users, (9 * users, users), 0.0),
            ("four classes, 8 each", [8] * users, (2 * users,) * 4, 0.0),
            (
                "labels balanced over all, one user has 60, others 4",
                [60] + [4] * (users - 1),
                (2 * users + 28,) * 2,
                0.0,
            ),
        ):
            random = np.random.default_rng([SEED, users, len(name)])
            found = coins(random, draws, np.array(sizes), classes, own)
            significant = found["p_value"] < SIGNIFICANCE
            yield {
                "part": "classifiers", "situation": f"fair coin, {name}", "units": users, "kind": "users",
                "skill": 0.0, "draws": draws, "seed": SEED, "limit": LIMIT,
                **rate("better", significant & (found["gain"] > 0)),
                **(rate("worse", significant & (found["gain"] < 0)) if len(set(classes)) == 1 else {}),
            }  # fmt: skip
    for users, recordings, spread in ((5, 10, 0), (5, 40, 0), (8, 20, 0), (20, 20, 0), (20, 40, 200), (20, 40, 30)):
        random = np.random.default_rng([SEED, users, recordings])
        sizes = np.full(users, recordings)
        true = random.beta(0.98 * spread, 0.02 * spread, (draws, users)) if spread else np.full((draws, users), 0.98)
        right = random.binomial(sizes, true)
        mean, error = over_people(right / sizes, right, sizes)
        reach = student.isf(SIGNIFICANCE / 2, users - 1) * error
        among = f", users differ by {np.sqrt(0.98 * 0.02 / (spread + 1)):.0%}" if spread else ""
        yield {
            "part": "classifiers", "situation": f"interval of an accuracy of 98 %, {recordings} each{among}",
            "units": users, "kind": "users", "skill": 0.0, "draws": draws, "seed": SEED, "limit": None,
            "narrowest": float(2 * reach.min()), **rate("covered", np.abs(mean - 0.98) <= reach),
        }  # fmt: skip


def powers(draws: int) -> Iterator[dict[str, Any]]:
    """Yield the power where a test that knows the memory finds four of five, and that of the best valid test.

    A valid test is one whose false claims are at most 5 %, or the level of ours, whatever the memory up to 0.8; a third
    bound is on those that are valid under as much noise, too.
    """
    for share, counts in ((0.0, (10, 12, 16, 24, 30, 60)), (0.5, (12, 24, 60))):
        for count in counts:
            size = findable(count, share)
            skill = float(size * np.sqrt(2) / LEVEL_OF_LOSSES)
            name = f"differences of losses: autoregression {share}" if share else "independent differences of losses"
            situation = Situation(
                "power", name, Design(count), difference(memory(share), skill), skill, draws, limit=None, beside=share
            )
            row = rates(situation)
            row["kept_of_known"] = row["better"] / row["known"]
            if not share:
                null = [replace(situation, draw=difference(memory(each)), skill=0.0) for each in (0.0, 0.4, 0.6, 0.8)]
                row["level"] = max(rates(each)["better"] for each in null)
                kinds = (("best", LIMIT, False), ("best_of_level", row["level"], False), ("best_hidden", LIMIT, True))
                for best, level, hidden in kinds:
                    random = np.random.default_rng([SEED, count])
                    row[best] = best_power(count, size, level, random, hidden=hidden)
                    row[f"kept_of_{best}"] = row["better"] / row[best]
            yield row


PARTS = {"families": families, "reference": references, "classifiers": classifiers, "power": powers}
PARTS |= {"published": published, "coverage": coverage}


def measured(few: int | None, part: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of all parts, or of one."""
    for each in situations():
        if part in (None, each.part):
            yield rates(each, few and min(few, each.draws))
    for name, rows in PARTS.items():
        if part in (None, name):
            yield from rows(few or DRAWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, help="of each situation; nothing is recorded")
    names = [*dict.fromkeys(each.part for each in situations()), *PARTS]
    parser.add_argument("--part", choices=names, help="its rows alone")
    few, part = (options := parser.parse_args()).draws, options.part
    began, rows = time.process_time(), []
    for row in measured(few, part):
        rows.append(row)
        shown = {name: round(value, 4) for name, value in row.items() if isinstance(value, float)}
        named = f"{row['situation']}, {row['test']}" if "test" in row else row["situation"]
        sys.stdout.write(f"{row['part']}: {named}, {row['units']}: {shown}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(rows)} rows, {time.process_time() - began:.0f} s of processor time\n")
    if not few:
        record("verdicts", rows, {"part": part} if part else None)


if __name__ == "__main__":
    main()
