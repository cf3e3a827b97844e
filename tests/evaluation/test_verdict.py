"""A verdict is one test and its interval, in units that depend on each other as the data do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.metrics import weighted
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.verdict import Verdict, findings, judge, spanned, units
from tsforecast.forecasters.naive import MeanForecaster, NaiveForecaster

THOROUGH = pytest.mark.thorough
RANDOM = np.random.default_rng(0)
NAIVE = 1 + RANDOM.random(30)


@pytest.mark.parametrize(
    ("step", "gap", "overlap"), [(1, 0, 4), (2, 0, 2), (3, 0, 2), (4, 0, 1), (6, 0, 1), (1, 5, 9), (4, 5, 3)]
)
def test_cutoffs_overlap_up_to_the_last_target_gap_included(step: int, gap: int, overlap: int) -> None:
    rows = backtest(NaiveForecaster(), wave(90), horizon=4, origins=12, step=step, gap=gap)
    assert units(rows, "mae").overlap == overlap


def dated(series: dict[str, np.ndarray], group: dict[str, str] | None = None) -> Panel:
    """Return a panel of daily series that end on the same day."""
    frames = [
        pd.DataFrame({"id": name, "day": pd.date_range(end="2024-12-31", periods=len(y)), "y": y})
        for name, y in series.items()
    ]
    frame = pd.concat(frames)
    if group:
        return Panel.from_frame(frame.assign(who=frame["id"].map(group)), id="id", time="day", target="y", group="who")
    return Panel.from_frame(frame, id="id", time="day", target="y")


WEIGHTED = ("array by weight", "groups by weight", "independent by weight")
QUICK = (("mase", "one"), ("rmsse", "groups"), ("rmse", "independent by weight"))


@pytest.mark.parametrize(
    ("metric", "case"),
    [
        pytest.param(metric, case, marks=() if (metric, case) in QUICK else THOROUGH)
        for metric in ("mase", "mae", "rmse", "smape", "rmsse")
        for case in ("one", "array", "unequal", "dates", "groups", "independent", *WEIGHTED)
    ],
)
def test_the_weighted_mean_of_the_units_is_the_number_of_the_table(metric: str, case: str) -> None:
    weigh, case = case in WEIGHTED, case.removesuffix(" by weight")
    many = {f"s{i}": wave(120 - 7 * (i if case == "unequal" else 0), i) for i in range(8)}
    data: object = list(many.values())
    if case == "one":
        data = wave(90)
    elif case == "array":
        data = np.stack(list(many.values()))[..., None]
    elif case == "groups":
        data = dated(many, {name: "abbbbbbc"[i] for i, name in enumerate(many)})
    elif case != "unequal":
        data = dated(many)
    rows = pd.concat([backtest(model(), data, 4, 6) for model in (NaiveForecaster, MeanForecaster)])
    weights = {str(name): 1.0 + 3 * i for i, name in enumerate(rows["series"].unique())}
    rows = weighted(rows.astype({"series": str}), weights if weigh else None)
    board = ForecastResults.from_rows(rows, metric, "naive", independent_series=case == "independent")
    found, table = units(board.rows, metric, case == "independent"), board.table.set_index("model")[metric]
    expected = {"one": "cutoffs", "array": "cutoffs", "dates": "cutoffs", "groups": "groups"}.get(case, "series")
    assert (found.kind, found.count) == (expected, {"cutoffs": 6, "groups": 3, "series": 8}[expected])
    for name in ("naive", "mean"):
        assert np.average(found.losses[name], weights=found.sizes) == pytest.approx(table[name])


def rows_of(losses: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return rows whose absolute errors are the losses, at one step ahead of each cutoff; (series, cutoffs) of many."""
    parts = []
    for name, each in losses.items():
        many = np.atleast_2d(each)
        series, cutoffs = (axis.ravel() for axis in np.indices(many.shape))
        places = {"series": [f"s{i}" for i in series], "cutoff": cutoffs, "time": cutoffs + 1, "step": 1}
        parts.append(pd.DataFrame({"model": name, "target": "y", **places, "y": 0.0, "forecast": many.ravel()}))
    times = {"fit_seconds": 0.0, "predict_seconds": 0.0}
    return pd.concat(parts, ignore_index=True).assign(naive_mae=1.0, naive_mse=1.0, **times)


def judged(losses: dict[str, np.ndarray], reference: str = "naive", metric: str = "mae") -> dict[str, Verdict]:
    errors = pd.Series({name: each.mean() for name, each in losses.items()})
    return judge(rows_of(losses), errors, metric, reference)


def test_better_worse_equivalent_and_inconclusive() -> None:
    noise = np.random.default_rng(1).random((4, 30))
    found = judged(
        {
            "naive": NAIVE,
            "good": 0.8 * NAIVE + 0.02 * noise[0],
            "bad": 1.3 * NAIVE + 0.02 * noise[1],
            "alike": NAIVE * (1 + 0.01 * (noise[2] - 0.5)),
            "faint": NAIVE - 0.03 + 0.8 * (noise[3] - 0.5),
        }
    )
    assert {name: verdict.outcome for name, verdict in found.items()} == {
        "naive": "reference",
        "good": "better",
        "bad": "worse",
        "alike": "equivalent",
        "faint": "inconclusive",
    }
    good = found["good"]
    assert good.low > 0
    assert good.sentence.startswith("good is better than naive: ")
    assert f"(skill {100 * good.low:.1f} to {100 * good.high:.1f} %), p < 0.001, adjusted for 4 models" in good.sentence
    assert good.sentence.endswith(", on 30 cutoffs, about later cutoffs")
    assert found["bad"].high < 0
    assert "within ±2% on 30 cutoffs" in found["alike"].sentence
    assert "; 30 cutoffs would show gains above " in found["faint"].sentence


def test_where_holm_decides_the_sentence_has_its_p_value() -> None:
    own = NAIVE - 0.09 + 0.8 * (np.random.default_rng(3).random(30) - 0.5)
    alone = judged({"naive": NAIVE, "model": own})["model"]
    assert alone.outcome == "better"
    assert 0.005 < alone.p_value < 0.05
    others = {f"other-{i}": NAIVE + np.random.default_rng(i).random(30) - 0.4 for i in range(12)}
    among = judged({"naive": NAIVE, "model": own, **others})["model"]
    assert among.outcome == "inconclusive"
    assert (among.low, among.high) == (alone.low, alone.high)
    assert among.low > 0
    assert among.p_value == pytest.approx(min(1, 13 * alone.p_value)) or among.p_value > alone.p_value
    assert f", but p = {among.p_value:.2f}, adjusted for 13 models" in among.sentence


def test_naive_forecasts_are_no_hypotheses() -> None:
    own = NAIVE - 0.09 + 0.8 * (np.random.default_rng(3).random(30) - 0.5)
    few = judged({"naive": NAIVE, "model": own})
    more = judged({"naive": NAIVE, "drift": 1.1 * NAIVE, "mean": 1.2 * NAIVE, "model": own})
    assert more["model"] == few["model"]
    assert more["drift"].outcome == "naive"
    assert more["drift"].sentence.startswith("drift is a naive forecast too: 10.0% higher MAE than naive (skill ")


def test_a_model_must_be_below_every_naive_forecast_to_be_better() -> None:
    found = judged({"naive": NAIVE, "drift": 0.7 * NAIVE, "model": 0.8 * NAIVE + 0.01 * RANDOM.random(30)})["model"]
    assert found.outcome == "inconclusive"
    assert found.sentence.endswith(", but drift has a lower one on these cutoffs")


@pytest.mark.long
@pytest.mark.parametrize(("series", "cutoffs", "overlap"), [(1, 6, 1), (1, 24, 6), (20, 1, 1), (3, 12, 2)])
def test_an_oracle_is_always_better(series: int, cutoffs: int, overlap: int) -> None:
    data = [wave(200 - seed, seed) for seed in range(series)]  # recordings with clocks of their own
    rows = backtest(NaiveForecaster(), data, horizon=4, origins=cutoffs, step=-(-4 // overlap))
    for error in (0.0, 1e-3):
        oracle = rows.assign(model="oracle", forecast=rows["y"] + error)
        verdict = ForecastResults.from_rows(pd.concat([rows, oracle])).verdicts["oracle"]
        assert verdict.outcome == "better", verdict
        assert verdict.skill > 0.99


def test_one_cutoff_of_series_that_share_a_calendar_shows_nothing_beyond_its_date() -> None:
    panel = dated({f"s{i}": wave(60, i) for i in range(30)})
    rows = backtest(NaiveForecaster(), panel, horizon=4)
    half = rows.assign(model="model", forecast=rows["y"] + 0.5 * (rows["forecast"] - rows["y"]))
    both = pd.concat([rows, half])
    one = ForecastResults.from_rows(both).verdicts["model"]
    assert one.sentence == (
        "model is inconclusive: 50.0% lower MASE than naive; in 1 cutoff, whose events all series share; a verdict "
        "needs at least 5 cutoffs: use more origins"
    )
    declared = ForecastResults.from_rows(both, independent_series=True).verdicts["model"]
    assert declared.outcome == "better"
    assert declared.sentence.endswith(", on 30 series, about further series like these")


def test_arrays_of_one_length_share_a_clock_and_recordings_of_several_do_not() -> None:
    together = backtest(NaiveForecaster(), np.stack([wave(60, i) for i in range(9)])[..., None], horizon=4)
    assert (units(together, "mae").kind, units(together, "mae").count) == ("cutoffs", 1)
    apart = backtest(NaiveForecaster(), [wave(60 + i % 2, i) for i in range(9)], horizon=4)
    assert (units(apart, "mae").kind, units(apart, "mae").count) == ("series", 9)


@THOROUGH
def test_common_shocks_of_a_panel_are_one_observation_at_each_cutoff() -> None:
    random, claims = np.random.default_rng(0), 0
    for _ in range(50):
        shocks = random.normal(size=(2, 1, 10))
        own, other = 4 + 0.95 * shocks + 0.3 * random.normal(size=(2, 20, 10))
        claims += judged({"naive": other, "model": own})["model"].outcome in ("better", "worse")
    assert claims / 50 < 0.1  # with series as units it is above a half


def people(gains: list[float], recordings: int = 5) -> pd.DataFrame:
    """Return rows of many recordings for each person, and a model that takes that share of each one's naive error."""
    names = [f"{who}-{i}" for who in range(len(gains)) for i in range(recordings)]
    frame = pd.concat([pd.DataFrame({"id": name, "who": name[0], "y": wave(60, i)}) for i, name in enumerate(names)])
    rows = backtest(NaiveForecaster(), Panel.from_frame(frame, id="id", target="y", group="who"), 2, 10, step=1)
    share = 1 - np.array(gains)[rows["group"].astype(int)]
    return pd.concat([rows, rows.assign(model="model", forecast=rows["y"] + share * (rows["forecast"] - rows["y"]))])


@pytest.mark.long
def test_where_groups_are_kept_apart_a_group_is_one_unit() -> None:
    some = ForecastResults.from_rows(people([0.9, 0.9, -0.3, -0.3, -0.3, 0.1])).verdicts["model"]
    assert some.sentence.startswith("model is inconclusive: ")
    assert "; 6 groups would show gains above " in some.sentence
    everyone = ForecastResults.from_rows(people([0.3, 0.35, 0.25, 0.3, 0.4, 0.3])).verdicts["model"]
    assert everyone.sentence.startswith("model is better than naive: ")
    assert everyone.sentence.endswith(", on 6 groups, about further groups like these")
    few = ForecastResults.from_rows(people([0.3, 0.35, 0.25])).verdicts["model"].sentence
    assert few.endswith("; in 3 groups; a verdict needs at least 5 groups: test more of them")


def test_cutoffs_that_share_targets_throughout_are_inconclusive() -> None:
    rows = backtest(NaiveForecaster(), wave(90), horizon=12, origins=8, step=1)
    better = rows.assign(model="model", forecast=rows["y"] + 0.5 * (rows["forecast"] - rows["y"]))
    verdict = ForecastResults.from_rows(pd.concat([rows, better])).verdicts["model"]
    assert verdict.sentence == (
        "model is inconclusive: 50.0% lower MASE than naive; 8 cutoffs that share targets throughout count as one: "
        "use more origins, or longer steps"
    )


def test_the_reference_is_the_naive_forecast_that_was_best_before_the_test() -> None:
    random = np.random.default_rng(0)
    stays = 20 + np.cumsum(random.normal(size=200))  # naive is best here
    y = np.r_[stays, stays[-1] + 3.0 * np.arange(1, 41)]  # drift is best here, once it has seen enough
    board = leaderboard(["mean"], y, horizon=2, origins=20)
    assert board.reference == "naive"
    assert board.table["model"].iloc[0] == "drift"
    assert ForecastResults.from_rows(board.rows).reference == "drift"
    assert leaderboard([], y, horizon=2, origins=20, reference="drift").reference == "drift"


def test_margin_and_independence_are_stored_with_the_results(tmp_path: object) -> None:
    panel = dated({f"s{i}": wave(60, i) for i in range(6)})
    board = leaderboard([], panel, horizon=4, origins=2, margin=0.1, independent_series=True)
    board.to_parquet(f"{tmp_path}/rows.parquet")
    again = ForecastResults.from_parquet(f"{tmp_path}/rows.parquet")
    assert (again.margin, again.independent_series) == (0.1, True)
    assert again.verdicts == board.verdicts


def test_the_headline_names_the_best_model_and_what_it_is_better_than() -> None:
    random = np.random.default_rng(0)
    losses = {"naive": NAIVE, "drift": 1.2 * NAIVE, "good": 0.8 * NAIVE + 0.02 * random.random(30)}
    board = ForecastResults.from_rows(rows_of(losses), "mae")
    verdict = board.verdicts["good"]
    low, high = 100 * verdict.low, 100 * verdict.high
    start = f"good beats the last value: {verdict.skill:.0%} less error ({low:.0f} to {high:.0f}); off by "
    assert board.headline.startswith(start)
    faint = ForecastResults.from_rows(rows_of({"naive": NAIVE, "faint": NAIVE + random.normal(size=30)}), "mae")
    assert faint.headline.startswith("faint is not shown to beat the last value: ")
    assert ", inconclusive" in faint.headline
    none = ForecastResults.from_rows(rows_of({"naive": NAIVE, "same": NAIVE}), "mae")
    assert none.headline == "same is not shown to beat the last value: the same error, equivalent"
    alone = ForecastResults.from_rows(rows_of({"naive": NAIVE}), "mae")
    assert alone.headline == "The last value is the naive forecast to beat"


def test_findings_begin_with_models_that_are_better_than_the_reference() -> None:
    verdicts = [Verdict("a", "worse", "a is worse than b"), Verdict("c", "better", "c is better than b")]
    assert findings(verdicts) == [("better", "c is better than b"), ("worse", "a is worse than b")]


def test_an_end_of_an_interval_far_below_zero_is_written_in_words() -> None:
    assert spanned(-0.1, 0.25) == " (skill -10.0 to 25.0 %)"
    assert spanned(-10.0, 0.254, 0) == " (skill -1000 to 25 %)"
    assert spanned(-2e16, 1.0) == " (skill under -1000 to 100.0 %)"
    assert spanned(-np.inf, 1.0, 0) == " (skill no limit to 100 %)"
    assert spanned(-np.inf, np.inf) == spanned(np.nan, np.nan) == ""
    losses = {"naive": np.r_[np.full(29, 1e-17), 1.0], "good": np.r_[np.full(29, 1.0), 1e-17]}
    board = ForecastResults.from_rows(rows_of(losses), "mae")
    assert "skill under -1000 to" in board.headline + board.verdicts["good"].sentence
