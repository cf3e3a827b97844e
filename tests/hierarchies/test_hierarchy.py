"""A hierarchy is read from columns or mappings, adds series up, and names what does not add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tsforecast import DataError, Hierarchy, NaiveForecaster, Panel

DAYS = pd.date_range("2024-01-01", periods=5)
SHOPS = {
    "a": ("north", "oslo", "new"),
    "b": ("north", "oslo", "old"),
    "c": ("north", "bergen", "new"),
    "d": ("south", "x", "old"),
}
FRAME = pd.concat(
    pd.DataFrame(
        {"shop": shop, "day": DAYS, "sold": np.arange(5.0) + 10**i, "region": region, "city": city, "kind": kind}
    )
    for i, (shop, (region, city, kind)) in enumerate(SHOPS.items())
)
COLUMNS = ["region", "city", "kind"]


def panel(frame: Any = FRAME, **roles: Any) -> Panel:
    """Return the panel of a frame of shops."""
    return Panel.from_frame(frame, id="shop", time="day", target="sold", static=COLUMNS, **roles)


def test_levels_are_the_columns_of_paths_and_sums_are_those_of_a_group_by() -> None:
    tree = Hierarchy.of(panel(), "region/city", "kind", "region/kind")
    assert repr(tree) == "Hierarchy: total 1, region 2, region/city 3, kind 2, region/kind 3, shop 4"
    full = tree.with_sums(panel())
    found = {name: full.series(i).ravel().tolist() for i, name in enumerate(full.ids)}
    assert tuple(found) == tree.names
    assert found["total"] == FRAME.groupby("day")["sold"].sum().tolist()
    for level in (["region"], ["region", "city"], ["kind"], ["region", "kind"]):
        for names, rows in FRAME.groupby(level):
            assert found["/".join(names)] == rows.groupby("day")["sold"].sum().tolist()
    assert {name: found[name] for name in SHOPS} == {
        name: rows["sold"].tolist() for name, rows in FRAME.groupby("shop")
    }
    assert tree.summing @ np.stack([found[name] for name in SHOPS]) == pytest.approx(np.stack([*found.values()]))
    assert list(dict.fromkeys(tree.level_of.values())) == [
        "total",
        "region",
        "region/city",
        "kind",
        "region/kind",
        "shop",
    ]
    assert not tree.nested
    assert Hierarchy.of(panel(), "region/city/shop").nested


def test_forecasts_of_sums_come_back_in_the_form_of_the_data() -> None:
    tree = Hierarchy.of(panel(), "region")
    frame = NaiveForecaster(horizon=2).fit(tree.with_sums(panel())).predict()
    assert list(frame.columns) == ["shop", "day", "sold"]
    assert frame["shop"].tolist() == [name for name in tree.names for _ in range(2)]
    in_polars = tree.with_sums(panel(pl.from_pandas(FRAME)))
    assert isinstance(NaiveForecaster().fit(in_polars).predict(), pl.DataFrame)
    numbered = FRAME.assign(shop=FRAME["shop"].map({name: i for i, name in enumerate(SHOPS)}))
    sums = Hierarchy.of(panel(numbered), "region").with_sums(panel(numbered))
    answer = NaiveForecaster().fit(sums).predict()
    assert answer["shop"].tolist() == ["total", "north", "south", "0", "1", "2", "3"]
    kinds = FRAME.assign(shop=FRAME["shop"].astype("category"))
    assert NaiveForecaster().fit(tree.with_sums(panel(kinds))).predict()["shop"].tolist() == list(tree.names)
    wide = FRAME.pivot(index="day", columns="shop", values="sold").reset_index()
    answer = NaiveForecaster().fit(tree.with_sums(Panel.from_wide(wide, time="day"))).predict()
    assert list(answer.columns) == ["day", *tree.names]


def test_names_that_would_be_the_same_carry_their_columns() -> None:
    frame = FRAME.assign(kind=FRAME["region"], city=FRAME["shop"])
    tree = Hierarchy.of(panel(frame), "region", "kind", "city")
    assert tree.names[:5] == ("total", "region=north", "region=south", "kind=north", "kind=south")
    assert tree.names[5:] == ("city=a", "city=b", "city=c", "city=d", "a", "b", "c", "d")


def test_a_mapping_of_parents_is_the_hierarchy_of_columns() -> None:
    parents = {"total": ["north", "south"], "north": ["a", "b", "c"], "south": "d"}
    tree, columns = Hierarchy.of(parents), Hierarchy.of(panel(), "region")
    assert (tree.names, tree.series) == (columns.names, columns.series)
    assert np.array_equal(tree.summing.toarray(), columns.summing.toarray())
    assert repr(Hierarchy.of({"n": ["a"], "s": ["b"]})) == "Hierarchy: level 1 2, series 2"
    grouped = Hierarchy.of({"region": {"a": "n", "b": "s"}, "kind": {"b": "x", "a": "x"}})
    assert grouped.names == ("n", "s", "x", "a", "b")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"t": ["a"], "x": ["a"]},
            "each series or sum must lie below one sum: 'a' lies below 't' and 'x'; give levels",
        ),
        (
            {"t": ["u", "c"], "u": ["a"]},
            "every series must lie at one depth: 'c' lies below 1 sum, 'a' below 2; give 'c' a sum of its own",
        ),
        ({"t": ["a"], "q": []}, "a sum must lie above series: 'q' lie below each other, or above none"),
        ({"p": ["q"], "q": ["p"]}, "a sum must lie above series: 'p', 'q' lie below each other"),
        ({"p": ["q", "a"], "q": ["p"]}, "a sum must lie above series: 'p', 'q' lie below each other"),
        ({"r": {"a": "n", "b": "n"}, "k": {"a": "m"}}, "level 'k' must have a sum for every series: it lacks 'b'"),
        ({"r": {"a": "a"}}, "names of series and sums must be unique in all levels: 'a' names several; rename one"),
        ({}, "a hierarchy must have series and a level of sums: got 0 and 0"),
        ([1, 2], "a hierarchy must be read from a Panel or a mapping: got list; read it with Panel.from_frame"),
    ],
)
def test_what_is_no_hierarchy_is_refused_in_a_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        Hierarchy.of(given)
    assert sentence in str(caught.value)


def test_columns_that_cannot_be_levels_are_named() -> None:
    with pytest.raises(
        DataError, match="a path must name static columns, such as 'region/city/kind': got 'regoin'; did"
    ):
        Hierarchy.of(panel(), "regoin/city")
    lacks = FRAME.assign(region=FRAME["region"].where(FRAME["shop"] != "b"))
    with pytest.raises(DataError, match="a level must have a value for every series: 'region' has none for 'b'; fill"):
        Hierarchy.of(panel(lacks), "region")


def test_series_that_begin_later_count_as_zero_before_and_those_that_end_apart_are_refused() -> None:
    tree = Hierarchy.of({"both": ["0", "1"]})
    full = tree.with_sums([np.array([1.0, 2.0, 3.0]), np.array([5.0])])
    assert full.series(0).ravel().tolist() == [1.0, 2.0, 8.0]
    assert full.notes == ("1 of 1 sums have series that begin later and count as 0 before",)
    early = FRAME[(FRAME["shop"] != "b") | (FRAME["day"] < DAYS[3])]
    with pytest.raises(
        DataError, match="series of a hierarchy must end together: 'b' ends 2 steps before others; give"
    ):
        Hierarchy.of(panel(early), "region").with_sums(panel(early))
    with pytest.raises(DataError, match="must hold the series of the hierarchy: '1' is missing"):
        tree.with_sums([np.arange(3.0)])
    with pytest.raises(DataError, match="must hold the series of the hierarchy alone: they have '2'; leave them out"):
        tree.with_sums([np.arange(3.0)] * 3)


def test_covariates_of_a_sum_are_means_or_the_text_that_all_have_and_a_missing_number_is_one() -> None:
    frame = FRAME.assign(price=FRAME["shop"].map({"a": 1.0, "b": 2.0, "c": 6.0, "d": 4.0}))
    frame["open"] = np.where(frame["day"] == DAYS[0], "yes", np.where(frame["shop"] == "a", "no", "yes"))
    frame.loc[(frame["shop"] == "c") & (frame["day"] == DAYS[1]), "sold"] = np.nan
    read = panel(frame, past="price", future="open", nan_policy="mask")
    tree = Hierarchy.of(read, "region")
    north = tree.with_sums(read).select([1])
    assert north.series(0)[:, 1].tolist() == [3.0] * 5
    assert north.roles.texts("open", north.series(0)[:, 2]).tolist() == ["yes", None, None, None, None]
    assert np.flatnonzero(np.isnan(north.series(0)[:, 0])).tolist() == [1]


def test_sums_that_disagree_with_their_series_are_named_with_the_place() -> None:
    tree = Hierarchy.of(panel(), "region")
    full = tree.with_sums(panel())
    tree.require_sums(full)
    tree.require_sums(full.select(np.arange(len(full))[::-1]))
    values = full.values.copy()
    values[full.offsets[1] + 3] += 1.0
    values[full.offsets[2] + 2] += 1.0
    with pytest.raises(DataError) as caught:
        tree.require_sums(full.with_values(values))
    assert str(caught.value) == (
        "sums must be those of their series: 'north' is 121 at 2024-01-04, the sum of its 3 series 120 "
        "(and 1 more of 3 sums likewise); correct it, or give hierarchy.with_sums(series)"
    )
    tree.require_sums(full.with_values(full.values * (1 + 1e-9)))
    with pytest.raises(
        DataError, match="must hold the series and sums of the hierarchy: 'total', 'north', 'south' are"
    ):
        tree.require_sums(panel())
