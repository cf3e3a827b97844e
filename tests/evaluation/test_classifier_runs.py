"""Comparisons of classifiers run as leaderboards do: failures, processes, checkpoints, records and files."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.classifiers import ROW_COLUMNS
from tests.helpers.kills import kill_and_resume
from tests.helpers.movements import USERS, Known, movements, named_movements
from tsforecast.errors import DataError, ParameterError, TsForecastError
from tsforecast.evaluation.compare_classifiers import ClassifierComparison, compare_classifiers
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
from tsforecast.sequences.neural import GRUClassifier

SECONDS = ["fit_seconds", "predict_seconds"]
SMALL: dict[str, Any] = {"units": 4, "layers": 1, "max_epochs": 2, "random_state": 0}
NEIGHBOR = {"neighbor": NearestNeighborClassifier()}


class Failing(Known):
    """Fails where it learns from more than so many sequences."""

    def __init__(self, most: int = 0) -> None:
        self.most = most

    def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
        if len(X) > self.most:
            raise ZeroDivisionError("no denominator\nand more lines")
        return super().fit(X, y, groups)


class Killed(Known):
    """Ends its own process, as the system does where memory runs out."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class Counted(MajorityClassifier):
    """Writes a line into a file for each fit."""

    def __init__(self, file: str = "") -> None:
        self.file = file

    def _fit(self, *args: Any) -> None:
        with open(self.file, "a") as lines:
            lines.write("fit\n")
        super()._fit(*args)


@pytest.fixture(scope="module")
def found() -> ClassifierComparison:
    models = {"gru": GRUClassifier(**SMALL), "bad": Failing()}
    return compare_classifiers(models, *movements(USERS[:5]), protocol=["leave-users-out", "random"], seeds=2)


@pytest.mark.thorough
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.process)])
def test_a_model_that_fails_on_one_fold_is_named_with_its_error_and_the_others_go_on(n_jobs: int) -> None:
    recordings, labels, users = named_movements()
    data = recordings[:-1], labels[:-1], users[:-1]  # without fay one learns from more than without another one
    failing = compare_classifiers({"bad": Failing(40 - 1), "known": Known()}, *data, n_jobs=n_jobs)
    assert failing.failures == {"bad": "ZeroDivisionError: no denominator"}
    assert failing.table["model"].tolist() == ["majority", "known", "bad"]
    assert failing.table["accuracy"].notna().tolist() == [True, True, False]
    assert failing.verdicts["bad"].outcome == "failed"
    assert str(failing.verdicts["bad"]) == "bad failed: ZeroDivisionError: no denominator"
    assert set(failing.rows["model"]) == {"majority", "known"}
    assert [fit.error != "" for fit in failing.record.fits if fit.model == "bad"] == [False] * 5 + [True]
    assert "bad failed: ZeroDivisionError" in repr(failing)
    assert "bad failed: ZeroDivisionError" in failing.to_html()


def test_a_comparison_of_failures_alone_or_without_the_majority_is_an_error() -> None:
    with pytest.raises(TsForecastError, match=r"(?s)one: ZeroDivisionError: no denominator.*two: ZeroDivisionError"):
        compare_classifiers({"one": Failing(), "two": Failing()}, *named_movements())
    with pytest.raises(TsForecastError, match=r"^majority: ZeroDivisionError: no denominator$"):
        compare_classifiers({"known": Known(), "majority": Failing()}, *named_movements())


@pytest.mark.slow  # the runner is that of forecasts, whose test of this is not
@pytest.mark.process
def test_a_process_that_is_killed_is_a_failure_of_its_model_alone() -> None:
    survived = compare_classifiers(NEIGHBOR | {"killed": Killed()}, *movements(USERS[:2]), n_jobs=2)
    assert survived.failures == {
        "killed": "its process was killed 3 times; it may need more memory: use smaller settings"
    }
    assert set(survived.rows["model"]) == {"neighbor", "majority"}


@pytest.mark.long
def test_a_comparison_resumes_from_its_checkpoint_and_other_data_folds_or_settings_are_fitted_anew(
    tmp_path: Path,
) -> None:
    lines, data = tmp_path / "fits", movements(USERS[:3])

    def fits(models: dict[str, Any], *data: Any, **options: Any) -> tuple[ClassifierComparison, int]:
        before = len(lines.read_text().splitlines()) if lines.exists() else 0
        result = compare_classifiers(models, *data, checkpoint=tmp_path / "kept", **options)
        return result, len(lines.read_text().splitlines()) - before

    counted = {"counted": Counted(str(lines))}
    first, made = fits(counted | {"bad": Failing(15)}, *data)
    assert made == 3
    again, made = fits(counted | {"bad": Failing(100)}, *data)
    assert made == 0
    own = again.rows[again.rows["model"] != "bad"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, first.rows, check_exact=True)
    assert [fit for fit in again.record.fits if fit.model == "counted"] == [
        fit for fit in first.record.fits if fit.model == "counted"
    ]
    assert fits(counted, *data, protocol=["random", "leave-users-out"])[1] == 3  # the random folds alone
    recordings, labels, users = data
    assert fits(counted, recordings, np.where(labels == "slow", "fast", "slow"), users)[1] == 3
    assert fits(counted, [one + 1 for one in recordings], labels, users)[1] == 3
    assert fits(counted, recordings, labels, np.char.upper(users))[1] == 3
    assert fits(counted, *data, test=users == "bob")[1] == 1


SCRIPT = """
import sys, time
from tests.helpers.movements import movements
from tests.evaluation.test_classifier_runs import Counted
from tsforecast import compare_classifiers
class Slow(Counted):
    def _fit(self, *args):
        super()._fit(*args)
        time.sleep(0.5)
if __name__ == "__main__":
    found = compare_classifiers({"slow": Slow(sys.argv[1])}, *movements(), checkpoint=sys.argv[2])
    print(len(found.rows))
"""


@pytest.mark.slow  # as above
@pytest.mark.process
def test_a_comparison_that_is_killed_loses_the_fit_it_was_at_and_no_other(tmp_path: Path) -> None:
    done, resumed, printed = kill_and_resume(SCRIPT, tmp_path, fits=3)
    assert done >= 2
    assert resumed == 6 - done
    assert printed == f"{2 * 48}\n"


@pytest.mark.long
def test_the_record_holds_data_folds_and_fits(found: ClassifierComparison) -> None:
    record = found.record
    assert record.data == "40 recordings of 5 users, 2 classes"
    assert record.protocols == ["leave-users-out", "random"]
    fits = [fit for fit in record.fits if fit.model == "gru" and fit.protocol == "leave-users-out"]
    assert [(fit.seed, fit.fold) for fit in fits] == [(seed, fold) for seed in (0, 1) for fold in range(5)]
    assert [fit.left_out for fit in fits[:5]] == [(user,) for user in USERS[:5]]
    recordings, _, users = movements(USERS[:5])
    assert fits[0].series == 32
    assert fits[0].steps == sum(len(one) for one, user in zip(recordings, users, strict=True) if user != "ann")
    assert fits[0].settings.startswith("GRUClassifier(")
    assert fits[0].scaling != ""
    assert [epoch["number"] for epoch in fits[0].history] == [0, 1, 2]
    assert all(fit.left_out == () for fit in record.fits if fit.protocol == "random")
    rows = found.rows[(found.rows["model"] == "gru") & (found.rows["protocol"] == "leave-users-out")]
    assert rows["fit_seconds"].iloc[0] == fits[0].fit_seconds


@pytest.mark.thorough
def test_results_are_the_same_after_a_way_through_parquet(found: ClassifierComparison, tmp_path: Path) -> None:
    found.to_parquet(tmp_path / "rows.parquet")
    again = ClassifierComparison.from_parquet(tmp_path)  # a folder of results
    pd.testing.assert_frame_equal(again.rows, found.rows, check_exact=True)
    pd.testing.assert_frame_equal(again.table, found.table, check_exact=True)
    assert (repr(again), again.to_json(), again.notes) == (repr(found), found.to_json(), found.notes)
    assert repr(again.record.fits) == repr(found.record.fits)  # NaN is no number that equals itself
    assert again.to_html() == found.to_html()
    columns = (*ROW_COLUMNS[:-2], "p_fast", "p_slow", *ROW_COLUMNS[-2:])
    assert tuple(pl.read_parquet(tmp_path / "rows.parquet").columns) == columns  # plain rows for other programs
    leaderboard([], np.arange(20.0), horizon=2).to_parquet(tmp_path / "forecasts.parquet")
    with pytest.raises(DataError, match="must hold rows of a classifier comparison: columns 'fold', 'predicted', "):
        ClassifierComparison.from_parquet(tmp_path / "forecasts.parquet")
    with pytest.raises(ParameterError, match="at least one file must be given"):
        ClassifierComparison.from_parquet()


@pytest.mark.long
def test_json_holds_what_the_table_shows_and_no_number_that_is_none(found: ClassifierComparison) -> None:
    stored = json.loads(found.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [line["model"] for line in stored["table"]] == found.table["model"].tolist()
    assert stored["table"][0]["accuracy"] == found.table["accuracy"].iloc[0]
    assert [line["accuracy"] for line in stored["table"] if line["model"] == "bad"] == [None, None]
    assert {line["model"]: line["sentence"] for line in stored["verdicts"]} == {
        name: str(verdict) for name, verdict in found.verdicts.items()
    }
    assert stored["protocols"]["random"]["users"]["gru"] == found.by("group", "random")["gru"].to_dict()
    assert (
        stored["protocols"]["random"]["confusion"]["gru"]["fast"]
        == found.confusion("gru", "random").loc["fast"].to_dict()
    )
    assert stored["optimism"][0]["gain"]["mean"] == found.optimism[0].gain.mean
    assert stored["record"]["fingerprint"] == found.record.fingerprint
    assert len(stored["record"]["fits"]) == len(found.record.fits)


def test_markdown_holds_a_table_of_each_protocol_verdicts_optimism_and_notes(found: ClassifierComparison) -> None:
    text = replace(found, notes=("users are few",)).to_markdown()
    assert text.startswith("40 recordings of 5 users, 2 classes.\n\nleave-users-out: users it has not seen\n\n| model ")
    assert "\n\nrandom: users on both sides\n\n| model " in text
    assert text.count("\n| bad ") == 2
    assert all(f"\n- {each}\n" in text for each in (*found.verdicts.values(), *found.optimism))
    assert text.endswith("\n\nNote: users are few.\n")


@pytest.mark.thorough
def test_two_comparisons_of_the_same_data_become_one(tmp_path: Path) -> None:
    data = movements(USERS[:3])
    one, two = (
        compare_classifiers({"bad": Failing(), **NEIGHBOR}, *data),
        compare_classifiers({"gru": GRUClassifier(**SMALL)}, *data),
    )
    both = compare_classifiers({"bad": Failing(), **NEIGHBOR, "gru": GRUClassifier(**SMALL)}, *data)
    merged = two.merge(one)
    ours, theirs = (each.table.set_index("model").drop(columns=SECONDS) for each in (merged, both))
    pd.testing.assert_frame_equal(ours.loc[theirs.index], theirs)
    assert {str(each) for each in merged.verdicts.values()} == {str(each) for each in both.verdicts.values()}
    assert sorted(fit.model for fit in merged.record.fits) == sorted(fit.model for fit in both.record.fits)
    assert merged.failures == {"bad": "ZeroDivisionError: no denominator"}
    assert isinstance(merged, ClassifierComparison)
    one.to_parquet(tmp_path / "one.parquet")
    two.to_parquet(tmp_path / "two.parquet")
    assert repr(ClassifierComparison.from_parquet(tmp_path / "two.parquet", tmp_path / "one.parquet")) == repr(merged)
    assert repr(one.merge(one)) == repr(one)


def test_comparisons_of_other_data_folds_or_one_name_for_two_models_are_not_merged() -> None:
    recordings, labels, users = movements(USERS[:3])
    one = compare_classifiers({"mine": MajorityClassifier()}, recordings, labels, users)
    other = [part + 1 for part in recordings]
    for options, field in (
        ({"X": other}, r"data to be merged: 24 recordings of 3 users, 2 classes \(sha256 [0-9a-f]{12}\) and"),
        ({"protocol": "random"}, "protocols to be merged: "),
        ({"protocol": "leave-users-out", "test": users == "bob"}, "protocols to be merged: "),
    ):
        arguments = {"X": recordings, "y": labels, "groups": users} | options
        two = compare_classifiers({"mine": MajorityClassifier()}, **arguments)
        with pytest.raises(DataError, match=f"boards must have the same {field}"):
            one.merge(two)
    given = [compare_classifiers({}, recordings, labels, users, test=users == user) for user in ("bob", "cem")]
    with pytest.raises(DataError, match=r"same split to be merged: sha256 [0-9a-f]{12} and sha256 [0-9a-f]{12}$"):
        given[0].merge(given[1])
    clash = compare_classifiers({"mine": NearestNeighborClassifier()}, recordings, labels, users)
    with pytest.raises(DataError, match=r"'mine' is on both boards with different predictions: .*\{'mine-2': \.\.\.\}"):
        one.merge(clash)


def test_versions_and_machines_that_differ_are_noted_on_a_merged_comparison() -> None:
    data = movements(USERS[:3])
    one, two = compare_classifiers({}, *data), compare_classifiers(NEIGHBOR, *data)
    older = replace(two.record, versions={**two.record.versions, "numpy": "1.0"}, machine="another")
    assert one.merge(replace(two, record=older)).notes == (
        f"the merged boards were made with numpy {np.__version__} and 1.0",
        "the merged boards were made on different machines: their seconds do not compare",
    )


def test_checkpoints_need_models_that_can_be_pickled(tmp_path: Path) -> None:
    class Local(Known):
        pass

    with pytest.raises(ParameterError, match=r"checkpoint must be the path of a folder: got 5"):
        compare_classifiers({"local": Known()}, *named_movements(), checkpoint=5)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"local must be made of parts that can be pickled where a checkpoint"):
        compare_classifiers({"local": Local()}, *named_movements(), checkpoint=tmp_path)
