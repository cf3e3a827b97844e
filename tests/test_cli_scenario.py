"""Scenarios on the command line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tsforecast.cli.scenario import _changes


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that reads prices and kinds of days ahead, and of a plan."""
    folder, random, rows = tmp_path_factory.mktemp("shop"), np.random.default_rng(0), 204
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=rows), "price": random.uniform(5, 12, rows)})
    frame["kind"] = random.choice(["plain", "sale"], rows)
    frame["sales"] = 100 - 4 * frame["price"] + 9 * (frame["kind"] == "sale") + random.normal(size=rows) / 4
    frame[:200].to_csv(folder / "shop.csv", index=False, float_format="%.2f")
    plan = frame.loc[200:, ["day", "price", "kind"]].assign(price=9.0, kind="plain")
    plan.to_csv(folder / "plan.csv", index=False)
    how = ("--target", "sales", "--future", "price,kind", "--model", "reduction", "--horizon", "4")
    done = tsforecast("fit", folder / "shop.csv", *how, "--out", folder / "model")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_scenario_is_printed_beside_the_forecast(shop: Path) -> None:
    words = ("scenario", shop / "model", "--future", shop / "plan.csv", "--set", "price=8", "--set")
    done = tsforecast(*words, "kind@2024-07-20=sale", "--interval", "50,90")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(io.StringIO(done.stdout))
    ends = [f"sales_difference_{end}{share}" for share in (50, 90) for end in ("lo", "hi")]
    assert found.columns.tolist() == ["day", "sales", "sales_scenario", "sales_difference", *ends]
    assert found["sales_difference"].to_numpy() == pytest.approx([4, 13, 4, 4], abs=0.6)


def test_errors_name_options(shop: Path) -> None:
    def error(*words: str) -> str:
        done = tsforecast("scenario", shop / "model", "--future", shop / "plan.csv", *words, width=400)
        assert done.returncode == 2
        return done.stderr

    assert "--set of 'price' must lie between" in error("--set", "price=99")
    assert "--set must be of columns that are known ahead: got 'prise'; did you mean 'price'?" in error(
        "--set", "prise=9"
    )
    assert "--set must be a column and a number" in error("--set", "price=8,5")
    assert "from 2024-07-19 to 2024-07-22: got '2024-08-01'" in error("--set", "price@2024-08-01=8")


def test_words_are_changes_by_column_and_time() -> None:
    assert _changes(["a=1", "b@2024-01-01=2", "b@2024-01-02 = 3", "c=x=y"], {"c"}) == {
        "a": 1.0,
        "b": {"2024-01-01": 2.0, "2024-01-02": 3.0},
        "c": "x=y",
    }
    for words in (["a"], ["a="], ["=1"], ["a@=1"], ["a=b"], ["a=1", "a=2"], ["a=1", "a@3=2"]):
        with pytest.raises(ValueError, match="changes must"):
            _changes(words, set())
