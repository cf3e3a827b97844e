"""The committed rows of recognition are whole, and say what the README says."""

from __future__ import annotations

import pandas as pd
import pytest

from tsforecast.cli.benchmark_page import html_benchmark, read_rows
from tsforecast.files import shipped

ROWS = read_rows(shipped("benchmarks") / "results" / "gestures.jsonl")
RECORDINGS = {"smartwatch-gestures": 3251, "japanese-vowels": 370, "basic-motions": 40, "gunpoint": 150}


def recognition() -> pd.DataFrame:
    return pd.DataFrame([row for row in ROWS if row["measured"] == "recognition"])


def test_every_recording_is_answered_once_by_each_model_and_seed() -> None:
    for (name, *_), part in recognition().groupby(["set", "protocol", "model", "seed"], dropna=False):
        assert part["recordings"].sum() == RECORDINGS[name]
        answered = [sum(sum(said.values()) for said in answers.values()) for answers in part["answers"]]
        assert answered == part["recordings"].tolist()
        right = [sum(said.get(true, 0) for true, said in answers.items()) for answers in part["answers"]]
        assert (pd.Series(right) / part["recordings"].to_numpy()).tolist() == pytest.approx(part["accuracy"].tolist())


def test_each_user_is_left_out_and_no_two_are_tested_together() -> None:
    part = recognition()
    part = part[part["protocol"] == "leave-users-out"]
    for _, own in part.groupby(["model", "seed"], dropna=False):
        assert sorted(own["group"]) == [f"U0{i}" for i in range(1, 9)]
        assert sorted(own["fold"]) == list(range(8))


def test_a_random_split_seems_to_gain() -> None:
    part = recognition()
    part = part[(part["set"] == "smartwatch-gestures") & (part["model"] == "gru")]
    right = part["accuracy"] * part["recordings"]
    share = right.groupby(part["protocol"]).sum() / part.groupby("protocol")["recordings"].sum()
    assert share["random"] > share["leave-users-out"] + 0.01
    assert share["random"] >= 0.99


@pytest.mark.thorough
def test_the_page_of_the_committed_rows_has_every_section() -> None:
    page = html_benchmark("gestures", ROWS)
    for heading in ("Users", "Optimism of a random split", "Transfer to a new user", "Other sets"):
        assert f">{heading}</h2>" in page
    assert "Recordings &#39;U02/13/20" in page
    assert "and 'U02/14/01' are the same" in page.replace("&#39;", "'")
