"""What is said of answers follows from them: shares, intervals over users, verdicts, the same for rows and tallies."""

from __future__ import annotations

import copy
import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tsforecast.errors import ParameterError
from tsforecast.evaluation.classification import (
    ClassificationResults,
    accuracy_by,
    judge,
    of_shares,
    points,
    reference_accuracy,
    span,
    tallied,
)
from tsforecast.evaluation.folds import LabelledSequences, both_sides, folds
from tsforecast.evaluation.significance import Interval, over_users


def answers(users: int = 8, each: int = 10, right: Any = 0.9, seed: int = 0, **more: Any) -> pd.DataFrame:
    """Return answers of a model and the majority about recordings of three classes of some users."""
    random = np.random.default_rng(seed)
    rows = []
    for user, i in product(range(users), range(3 * each)):
        true = "abc"[i % 3]
        said = true if random.random() < right else "abc"[(i + 1) % 3]
        for model, answer in (("gru", said), ("majority", "a")):
            rows.append(
                {"model": model, "group": f"u{user}", "recording": f"{user}/{i}", "true": true, "predicted": answer}
            )
    about = {"protocol": "leave-users-out", "seed": pd.NA, "chosen": "", "fit_seconds": 1.0, "predict_seconds": 0.1}
    found = pd.DataFrame(rows).assign(**(about | more))
    return found.assign(fold=found["group"].str[1:].astype(int))


def test_shares_and_confusion_are_those_of_a_slow_count() -> None:
    rows = answers()
    for key in ("group", "true"):
        table = accuracy_by(rows, key)
        for name, model in product(table.index, ("gru", "majority")):
            own = [row for row in rows.itertuples() if getattr(row, key) == name and row.model == model]
            assert table.loc[name, model] == sum(row.true == row.predicted for row in own) / len(own)
    table = ClassificationResults(rows).confusion("gru")
    for true, said in product("abc", "abc"):
        assert table.loc[true, said] == sum(
            row.model == "gru" and row.true == true and row.predicted == said for row in rows.itertuples()
        )


def test_an_interval_is_that_of_student_over_users_and_more_recordings_of_each_do_not_narrow_it() -> None:
    rows = answers()
    users = accuracy_by(rows, "group")["gru"]
    low, high = stats.t.interval(0.95, 7, users.mean(), stats.sem(users))
    found = over_users(users)
    assert (found.low, found.high, found.users) == pytest.approx((low, high, 8))
    again = pd.concat([rows] * 10)  # ten times as many recordings, of the same people
    assert of_shares(again, accuracy_by(again, "group")["gru"]) == found
    line = ClassificationResults(again).table.set_index("model").loc["gru"]
    assert (line["low"], line["high"], line["users"]) == (found.low, found.high, 8)


def test_an_interval_is_no_shorter_than_that_of_independent_recordings() -> None:
    rows = answers(users=5, each=2, right=1.0)
    line = ClassificationResults(rows).table.set_index("model").loc["gru"]
    share = 31 / 32  # 30 recordings, with one right and one wrong added
    reach = stats.t.ppf(0.975, 4) * math.sqrt(share * (1 - share) / 30)
    assert (line["low"], line["high"]) == pytest.approx((1 - reach, 1 + reach))


@pytest.mark.thorough
@pytest.mark.parametrize("users", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_a_fair_coin_is_not_better_than_a_majority_that_lies_below_chance(users: int) -> None:
    random, claims = np.random.default_rng(0), 0
    for _ in range(60):
        mine = random.uniform(0.2, 0.8, size=users)
        mine += 0.5 - mine.mean()  # balanced over all users: the majority of the others is the minority of each
        true = random.random((users, 10)) < mine[:, None]
        majority = np.array([true[np.arange(users) != i].mean() >= 0.5 for i in range(users)])
        said = {"coin": random.random(true.shape) < 0.5, "majority": np.repeat(majority[:, None], 10, axis=1)}
        about = {
            "group": np.repeat([f"u{i:02}" for i in range(users)], 10),
            "true": np.where(true, "up", "down").ravel(),
        }
        parts = [
            pd.DataFrame({"model": name, "predicted": np.where(ups, "up", "down").ravel(), **about})
            for name, ups in said.items()
        ]
        rows = pd.concat(parts).assign(protocol="leave-users-out", seed=pd.NA, fold=0)
        assert reference_accuracy(rows)[1].mean() >= 0.5
        claims += judge(rows)["coin"].outcome == "better"
    assert claims / 60 <= 0.05


def test_the_most_frequent_class_that_is_tested_is_the_reference_where_it_is_higher() -> None:
    rows = answers(right=0.9)
    rows.loc[(rows["model"] == "majority"), "predicted"] = "none"
    verdicts = judge(rows)
    assert "gru is better than the most frequent class by " in verdicts["gru"].sentence
    assert verdicts["majority"].sentence == (
        "majority is the reference: accuracy 0.0%; the most frequent class that is tested has 33.3%, which others must "
        "exceed"
    )


def test_a_user_with_many_recordings_counts_as_much_as_one_with_few() -> None:
    rows = answers(users=2, right=1.0)
    wrong = rows.assign(predicted=np.where(rows["group"] == "u0", "none", rows["predicted"]))
    heavy = pd.concat([wrong, *[wrong[wrong["group"] == "u0"]] * 9])
    for part in (wrong, heavy):
        assert ClassificationResults(part).table.set_index("model").loc["gru", "accuracy"] == 0.5


def test_the_verdict_needs_users_and_more_than_luck() -> None:
    good = judge(answers())["gru"]
    assert good.outcome == "better"
    assert good.sentence.endswith(", majority 33.3%, p < 0.001, about further users like these 8")
    few = judge(answers(users=4))["gru"]
    assert few.outcome == "inconclusive"
    assert few.sentence.endswith("in 4 users; a verdict needs at least 5")
    assert judge(answers(right=0.1))["gru"].outcome == "worse"
    rows = answers(right=0.4, seed=2)
    unsure = judge(rows)["gru"]
    assert unsure.outcome == "inconclusive"
    assert unsure.low < 0 < unsure.skill
    assert " points (" in unsure.sentence
    assert " compared with majority in 8 users; accuracy " in unsure.sentence
    assert judge(rows)["majority"].sentence == "majority is the reference: accuracy 33.3%"


def test_many_models_are_held_to_more_than_one() -> None:
    rows = answers(right=0.47, seed=2)
    alone = judge(rows)["gru"]
    assert alone.outcome == "better"
    others = [rows[rows["model"] == "gru"].assign(model=f"gru-{i}", predicted="a") for i in range(30)]
    among = judge(pd.concat([rows, *others]))["gru"]
    assert among.p_value == pytest.approx(31 * alone.p_value)
    assert among.outcome == ("better" if among.p_value < 0.05 else "inconclusive")


def test_tallies_say_the_same_as_rows() -> None:
    rows = pd.concat([answers(seed=i, protocol=name) for i, name in enumerate(("leave-users-out", "random"))])
    found, counted = ClassificationResults(rows), ClassificationResults(tallied(rows))
    assert len(counted.rows) < len(rows) / 3
    pd.testing.assert_frame_equal(found.table, counted.table)
    assert found.to_markdown() == counted.to_markdown()
    assert found.confusion("gru").equals(counted.confusion("gru"))
    assert tallied(counted.rows) is counted.rows


def test_an_unknown_name_is_answered_with_those_that_are_there() -> None:
    found = ClassificationResults(answers(protocol="random"))
    with pytest.raises(ParameterError, match="protocol must be one of 'random': got 'randm'; did you mean 'random'"):
        found.of("randm")
    with pytest.raises(ParameterError, match="key must be one of 'group', 'true', 'fold', 'seed': got 'folds'; did"):
        found.by("folds")
    with pytest.raises(ParameterError, match=r"model must be one of 'gru', .*: got 'grru'; did you mean 'gru'"):
        found.confusion("grru")


@pytest.mark.parametrize("name", ["segments", "along_time"])
def test_scores_of_steps_are_explained_where_each_recording_has_one_label(name: str) -> None:
    results = ClassificationResults(answers(users=2))
    must = f"^{name} must be asked of a comparison of labels of steps: here each recording has one label; compare"
    with pytest.raises(AttributeError, match=must):
        getattr(results, name)
    assert not hasattr(copy.deepcopy(results), name)
    with pytest.raises(AttributeError, match=r"^'ClassificationResults' object has no attribute 'segment'$"):
        _ = results.segment


def test_the_optimism_of_the_random_split_is_the_mean_difference_user_by_user() -> None:
    shares = {"leave-users-out": 0.8, "random": 1.0}
    rows = pd.concat([answers(right=right, protocol=name) for name, right in shares.items()])
    (optimism,) = ClassificationResults(rows).optimism
    users = 1 - accuracy_by(rows[rows["protocol"] == "leave-users-out"], "group")["gru"]
    assert optimism.gain == over_users(users)


def test_users_on_both_sides_of_a_given_split_are_counted() -> None:
    data = LabelledSequences.read(np.arange(6.0).reshape(3, 2), ["up", "down", "up"], ["ann", "ann", "ann"])
    note = "1 of 1 tested users is on both sides of the split that came with the recordings"
    assert both_sides(data, folds(data, [], test=[False, False, True])) == [note]


def test_intervals_are_displayed_in_percent_within_0_and_100() -> None:
    assert points(Interval(0.025, 0.01, 0.04, 8)) == "2.5 points (1.0 to 4.0)"
    assert points(Interval(0.025, math.nan, math.nan, 1)) == "2.5 points"
    assert span(0.955, 1.01) == "95.5 to 100.0"
    assert span(math.nan, math.nan) == "-"
