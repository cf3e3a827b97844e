"""Covariates of text are codes of a panel, whatever the library, and levels of the training part for a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tsforecast.data import samples
from tsforecast.data.context import Context, with_future
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import CategoryEncoder, Preprocessor
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.errors import DataError

WORDS = ["rain", "sun", None, "sun", "snow"]
COLUMNS: dict[str, Any] = {"t": range(20), "y": np.arange(20.0), "w": WORDS * 4}
ROLES: dict[str, Any] = {"time": "t", "target": "y", "past": "w"}
CODES = [0, 2, -1, 2, 1]  # of rain, snow, sun


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(COLUMNS | columns)


FRAMES = {
    "objects": table(),
    "strings": table().astype({"w": "string"}),
    "strings of arrow": table().astype({"w": "string[pyarrow]"}),
    "categories": table().astype({"w": "category"}),
    "polars": pl.DataFrame(COLUMNS),
    "categories of polars": pl.DataFrame(COLUMNS, schema_overrides={"w": pl.Categorical}),
    "enum of polars": pl.DataFrame(COLUMNS, schema_overrides={"w": pl.Enum(["sun", "fog", "rain", "snow"])}),
    "lazy": pl.LazyFrame(COLUMNS),
    "arrow": pa.table(COLUMNS),
    "dictionary of arrow": pa.table(COLUMNS | {"w": pa.array(WORDS * 4).dictionary_encode()}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_kind_of_text_column_has_the_same_codes(name: str) -> None:
    panel = Panel.from_frame(FRAMES[name], **ROLES)
    assert panel.roles.categories == {"w": ("rain", "snow", "sun")}
    assert panel.values[:, 1].tolist() == CODES * 4
    assert panel.fingerprint() == Panel.from_frame(table(), **ROLES).fingerprint()


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pd.Categorical([1, 2, None, 2] * 5), ("1", "2")),  # numbers that are declared to be categories
        (pd.Categorical([1.0, 2.0, None, 2.5] * 5), ("1", "2", "2.5")),
        ([None] * 19 + ["sun"], ("sun",)),
        ([" ", "", "a", "1"] * 5, ("", " ", "1", "a")),
        (["1", "2"] * 10, None),  # text that is numbers
        ([True, None] * 10, None),
        ([1, 2] * 10, None),
    ],
)
def test_text_is_categories_and_numbers_stay_numbers(column: Any, texts: tuple[str, ...] | None) -> None:
    panel = Panel.from_frame(table(w=column), **ROLES, nan_policy="mask")
    assert panel.roles.categories.get("w") == texts


def test_numbers_are_categories_where_they_are_named() -> None:
    frame = table(w=[1, 2, None, 10] * 5)
    panel = Panel.from_frame(frame, **ROLES, categories="w")
    assert panel.roles.categories == {"w": ("1", "10", "2")}
    assert panel.values[:4, 1].tolist() == [0, 2, -1, 1]
    assert panel.read_like(frame.assign(w=[3, 1, 1, 2] * 5)).values[:4, 1].tolist() == [3, 0, 0, 2]
    with pytest.raises(
        DataError, match="column 'y' must be a past or future covariate to be categories; name it there"
    ):
        Panel.from_frame(frame, **ROLES, categories=["w", "y"])


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            [f"note {i}" for i in range(30)],
            "column 'w' must hold few different texts to be a covariate, 20 at most here: it holds 30 in 30 rows, such "
            "as 'note 0'; leave it out, or write what they have in common into a column",
        ),
        ([[1]] * 30, "column 'w' must hold text or numbers: row 0 holds [1], a list; convert it, or leave it out"),
        (["1"] * 28 + [*"xy"], "column 'w' must hold numbers: row 28 holds 'x', one of 2 such rows among 30; convert"),
        (["1"] * 29 + ["x"], "column 'w' must hold numbers: row 29 holds 'x'; convert the column to numbers, or name"),
    ],
)
def test_columns_that_are_no_categories_are_refused(column: list[Any], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        Panel.from_frame(pd.DataFrame({"t": range(30), "y": 1.0, "w": column}), **ROLES)
    assert sentence in str(caught.value)


OTHERS = ["fog", "sun", "cold", "rain", None] * 4


@pytest.mark.parametrize("as_panel", [False, True])
def test_other_data_continue_the_codes_of_the_fitted_ones(as_panel: bool) -> None:
    panel, other = Panel.from_frame(table(), **ROLES), table(w=OTHERS)
    read = panel.read_like(Panel.from_frame(other, **ROLES) if as_panel else other)
    assert read.roles.categories == {"w": ("rain", "snow", "sun", "cold", "fog")}
    assert read.values[:5, 1].tolist() == [4, 2, 3, 0, -1]
    assert np.array_equal(panel.read_like(panel).values, panel.values)
    assert panel.without("w").roles.categories == {}


def test_text_and_numbers_do_not_stand_in_for_each_other() -> None:
    panel, numbers = Panel.from_frame(table(), **ROLES), table(w=np.arange(20.0))
    assert panel.read_like(table(w=[1, 2] * 10)).roles.categories["w"] == ("rain", "snow", "sun", "1", "2")
    with pytest.raises(DataError, match=r"the context must have text in the columns \['w'\]: got text in \[\]"):
        panel.read_like(Panel.from_frame(numbers, **ROLES))
    with pytest.raises(DataError, match="column 'w' must hold numbers: row 0 holds 'rain'"):
        Panel.from_frame(numbers, **ROLES).read_like(table())
    with pytest.raises(DataError, match=r"channels must hold numbers: 'w' hold text; leave them out: panel\.without"):
        samples.read(panel)


HALF_HOURS = pd.DataFrame(
    {"t": pd.date_range("2024-01-01 00:30", periods=8, freq="30min"), "y": 1.0, "w": ["a", "b", "c", None] * 2}
)


@pytest.mark.parametrize(("aggregate", "codes"), [("mean", [1, -1, 1, -1]), ("nearest", [0, 1, -1, 1, -1])])
def test_bins_hold_one_of_their_texts(aggregate: Any, codes: list[int]) -> None:
    panel = Panel.from_frame(HALF_HOURS, future="w", resample="h", aggregate=aggregate)
    assert panel.values[:, 1].tolist() == codes
    ahead = HALF_HOURS.assign(t=HALF_HOURS["t"] + pd.Timedelta(4, "h"), w=["a", "z"] * 4)[["t", "w"]]
    extended = with_future(panel, 2, ahead)
    assert extended.roles.categories == {"w": ("a", "b", "c", "z")}
    assert extended.values[-2:, 1].tolist() == [3, 3]


def test_no_text_is_made_up_where_rows_are_missing() -> None:
    panel = Panel.from_frame(HALF_HOURS.drop([2, 3]), past="w", fill_gaps=True, nan_policy="mask")
    assert np.isnan(panel.values[2:4]).all()
    assert panel.values[4, 1] == 0


def rows_of(panel: Panel, trains: int) -> tuple[Any, ...]:
    """Return what the inputs of a model are, and the fingerprint of what they were learned from."""
    past = panel.until(np.array([trains]))
    inputs = Preprocessor.fit(past, ScalingRecipe())
    return inputs.categories.columns, inputs.rows(past)[0].tobytes(), inputs.scaling.location.tobytes(), inputs.origin


def test_later_texts_change_nothing_of_what_a_training_part_becomes() -> None:
    later = ["a text that comes first", "sun", None, "z"] * 2
    found, changed = (
        rows_of(Panel.from_frame(table(w=[*(WORDS * 4)[:12], *words]), **ROLES), 12)
        for words in ((WORDS * 4)[12:], later)
    )
    assert found == changed
    assert found[0] == ((1, (None, "rain", "snow", "sun"), (2 / 12, 3 / 12, 2 / 12, 5 / 12)),)


def test_texts_that_were_not_learned_count_as_the_mean_of_the_training_part() -> None:
    panel = Panel.from_frame(table(), **ROLES)
    encoder = CategoryEncoder.fit(panel)
    other = panel.read_like(table(w=OTHERS))
    assert CategoryEncoder.fit(other).columns[0][1] == (None, "cold", "fog", "rain", "sun")  # whatever their codes are
    levels = encoder.levels(other.values, other.roles)
    assert levels[:5, 1].tolist() == [0, 4, 0, 2, 1]
    numbers = encoder.numbers(levels)
    assert numbers[0].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0]
    assert np.allclose(numbers[1, 1:], [-0.2, -0.2, -0.2, 0.6])
    own = encoder.numbers(encoder.levels(panel.values, panel.roles))[:, 1:]
    assert np.allclose(own.mean(axis=0), 0.0)
    garbage = np.array([[0.0, np.nan], [0.0, np.inf], [0.0, -7.0], [0.0, 1e9]])  # of an audit
    assert encoder.levels(garbage, panel.roles)[:, 1].tolist() == [0, 0, 0, 0]


def test_a_known_text_ahead_is_read_at_its_step() -> None:
    frame = table().rename(columns={"w": "kind"})
    panel = Panel.from_frame(frame, time="t", target="y", future="kind")
    ahead = pd.DataFrame({"t": [20, 21, 22], "kind": ["sun", None, "Easter"]})
    past = Context.at_end(panel, lambda: with_future(panel, 3, ahead))
    assert past.future_known(3)[0, :, 0].tolist() == [2, -1, 3]
    assert past.texts["kind"][3] == "Easter"
