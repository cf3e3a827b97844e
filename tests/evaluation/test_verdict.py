"""A verdict needs both test and interval, and accounts for overlapping cutoffs and the number of models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.significance import diebold_mariano, holm
from tsforecast.evaluation.verdict import Trials, Verdict, _verdict, findings, judge, trials
from tsforecast.forecasters.naive import MeanForecaster, NaiveForecaster

RANDOM = np.random.default_rng(0)
NAIVE = 1 + RANDOM.random((1, 30))
CLEAR = Trials({"naive": NAIVE, "model": 0.8 * NAIVE + 0.02 * RANDOM.random((1, 30))}, overlap=1)
FAINT = Trials({"naive": NAIVE, "model": NAIVE - 0.05 + 0.8 * (RANDOM.random((1, 30)) - 0.5)}, overlap=1)


def verdict_of(found: Trials, error: float, p_value: float) -> Verdict:
    """Return the verdict on a model of a given error and p-value."""
    return _verdict(found, "model", "naive", (error, 1.0), (found.skill("model", "naive"), p_value), "MASE")


def test_a_win_needs_both_the_test_and_the_interval() -> None:
    assert verdict_of(CLEAR, 0.8, 0.01).sentence.startswith("model beats naive by 20.0% (")
    for found, p_value in ((CLEAR, 0.06), (FAINT, 0.01)):
        sentence = verdict_of(found, 0.98, p_value).sentence
        assert sentence.startswith("model is inconclusive: 2.0% lower MASE than naive (")
        assert f"; 30 cutoffs would show gains above {found.skill('model', 'naive').detectable:.0%} only" in sentence


@pytest.mark.parametrize(("step", "overlap"), [(1, 4), (2, 2), (3, 2), (4, 1), (6, 1)])
def test_overlap_is_how_many_neighbouring_cutoffs_share_targets(step: int, overlap: int) -> None:
    rows = backtest(NaiveForecaster(), wave(90), horizon=4, origins=6, step=step)
    assert trials(rows, "mae").overlap == overlap


@pytest.mark.parametrize("metric", ["mase", "mae", "smape"])
def test_losses_are_those_of_the_table(metric: str) -> None:
    data = [wave(90), wave(90, 1)]
    rows = pd.concat([backtest(model(), data, horizon=4, origins=6) for model in (NaiveForecaster, MeanForecaster)])
    board = ForecastResults.from_rows(rows, metric, "naive")
    found, table = trials(board.rows, metric), board.table.set_index("model")[metric]
    assert found.shape == (2, 6)
    for name in ("naive", "mean"):
        assert found.losses[name].mean() == pytest.approx(table[name])


def rows_of(losses: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return rows whose absolute errors are the losses, at one step ahead of each cutoff."""
    parts = [
        pd.DataFrame({"model": name, "series": "a", "target": "y", "cutoff": np.arange(len(each)), "step": 1,
                      "time": np.arange(len(each)) + 1, "y": each, "forecast": 0.0, "naive_mae": 1.0, "naive_mse": 1.0})
        for name, each in losses.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_a_win_that_stands_alone_is_none_among_many_that_tried() -> None:
    naive, own = NAIVE[0], NAIVE[0] - 0.07 + 0.8 * (np.random.default_rng(3).random(30) - 0.5)
    p_value = diebold_mariano(own, naive)[1]
    assert 0.005 < p_value < 0.05
    alone = {"naive": naive, "model": own}
    many = alone | {f"other-{i}": naive + np.random.default_rng(i).random(30) for i in range(12)}
    sentences = []
    for losses in (alone, many):
        errors = pd.Series({name: each.mean() for name, each in losses.items()})
        sentences.append(judge(rows_of(losses), errors, "mae", "naive")["model"].sentence)
    assert sentences[0].startswith("model beats naive by")
    assert sentences[1].startswith("model is inconclusive: ")


@pytest.mark.parametrize(("series", "cutoffs", "overlap"), [(1, 5, 1), (1, 24, 6), (20, 1, 1), (3, 8, 2)])
def test_an_oracle_always_beats_the_naive_forecast(series: int, cutoffs: int, overlap: int) -> None:
    data = [wave(200, seed) for seed in range(series)]
    rows = backtest(NaiveForecaster(), data, horizon=4, origins=cutoffs, step=-(-4 // overlap))
    for error in (0.0, 1e-3):
        oracle = rows.assign(model="oracle", forecast=rows["y"] + error)
        verdict = ForecastResults.from_rows(pd.concat([rows, oracle])).verdicts["oracle"]
        assert verdict.outcome == "beats", verdict
        assert verdict.skill > 0.99


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("cutoffs", "overlap"),
    [(30, 2), (24, 6), (100, 10), (8, 4)],
)
def test_equal_models_are_said_to_beat_the_reference_in_no_more_than_one_of_twenty_boards(
    cutoffs: int, overlap: int
) -> None:
    random, boards, claims = np.random.default_rng(0), 300, 0
    for _ in range(boards):
        # Five models of one skill, at cutoffs of which neighbours share targets.
        steps = np.abs(random.normal(size=(5, cutoffs + overlap - 1)))
        windows = np.lib.stride_tricks.sliding_window_view(steps, overlap, axis=1).mean(axis=2)
        found = Trials({name: each[None] for name, each in zip("abcde", windows, strict=True)}, overlap)
        claims += min(holm([found.p_value(name, "a", found.skill(name, "a")) for name in "bcde"])) < 0.05
    assert claims / boards < 0.05 + 3 * np.sqrt(0.05 * 0.95 / boards)  # three standard errors of so many boards


@pytest.mark.thorough
def test_equal_models_are_said_to_beat_the_reference_in_no_more_than_one_of_twenty_boards_of_eight_people() -> None:
    random, boards, claims = np.random.default_rng(0), 300, 0
    for _ in range(boards):
        people = 1 + random.random((8, 1))  # some are harder to forecast than others
        found = Trials({name: people * (1 + 0.2 * random.normal(size=(8, 1))) for name in "abcde"}, 1, "groups")
        claims += min(holm([found.p_value(name, "a", found.skill(name, "a")) for name in "bcde"])) < 0.05
    assert claims / boards < 0.05 + 3 * np.sqrt(0.05 * 0.95 / boards)


def people(gains: list[float], recordings: int = 5) -> pd.DataFrame:
    """Return rows of many recordings for each person, and a model that takes that share of each one's naive error."""
    names = [f"{who}-{i}" for who in range(len(gains)) for i in range(recordings)]
    frame = pd.concat([pd.DataFrame({"id": name, "who": name[0], "y": wave(60, i)}) for i, name in enumerate(names)])
    rows = backtest(NaiveForecaster(), Panel.from_frame(frame, id="id", target="y", group="who"), 2, 10, step=1)
    share = 1 - np.array(gains)[rows["group"].astype(int)]
    return pd.concat([rows, rows.assign(model="model", forecast=rows["y"] + share * (rows["forecast"] - rows["y"]))])


def test_where_groups_are_kept_apart_a_group_is_one_trial() -> None:
    some = ForecastResults.from_rows(people([0.9, 0.9, -0.3, -0.3, -0.3, 0.1])).verdicts["model"]
    assert some.sentence.startswith("model is inconclusive: ")
    assert "; 6 groups would show gains above " in some.sentence
    everyone = ForecastResults.from_rows(people([0.3, 0.35, 0.25, 0.3, 0.4, 0.3])).verdicts["model"]
    assert everyone.sentence.startswith("model beats naive by ")
    few = ForecastResults.from_rows(people([0.3, 0.35, 0.25])).verdicts["model"].sentence
    assert few.endswith(" in 3 groups; a verdict needs at least 5 groups: test more of them")


def test_losses_of_groups_are_means_over_their_series() -> None:
    rows = people([0.5, 0.0, 0.25])
    found = trials(rows, "mae", "groups")
    assert (found.shape, found.overlap) == ((3, 1), 1)  # what neighbouring cutoffs share is within a trial
    assert (1 - found.losses["model"] / found.losses["naive"]).ravel() == pytest.approx([0.5, 0.0, 0.25])
    first = rows[(rows["model"] == "naive") & (rows["group"] == "0")]
    assert found.losses["naive"][0, 0] == pytest.approx((first["y"] - first["forecast"]).abs().mean())


def test_cutoffs_that_share_targets_throughout_are_inconclusive() -> None:
    rows = backtest(NaiveForecaster(), wave(90), horizon=12, origins=8, step=1)
    better = rows.assign(model="model", forecast=rows["y"] + 0.5 * (rows["forecast"] - rows["y"]))
    verdict = ForecastResults.from_rows(pd.concat([rows, better])).verdicts["model"]
    assert verdict.sentence == (
        "model is inconclusive: 50.0% lower MASE than naive; 8 cutoffs that share targets throughout are too few: "
        "use more origins, or longer steps"
    )


def test_findings_begin_with_models_that_beat_the_reference() -> None:
    verdicts = [Verdict("a", "does not beat", "a does not beat b"), Verdict("c", "beats", "c beats b")]
    assert findings(verdicts) == [("beats", "c beats b"), ("does not", "a does not beat b")]
