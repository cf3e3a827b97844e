"""Cells, numbers and names of pages, as they are shown."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd

from tsforecast.reporting.figures import brief, percent, rows_canvas
from tsforecast.reporting.page import date_and_time
from tsforecast.reporting.tables import Grid, cell, json_text, markdown


def test_a_grid_leaves_out_empty_columns_and_counts_the_rows_beyond_its_limit() -> None:
    rows = [("gru", "-", 1), ("mean", "-", 2), ("drift", "-", 3)]
    grid = Grid.of("Errors", ["model", "seed", "rank"], rows, limit=2, drop_empty=True)
    assert (grid.columns, grid.rows, grid.more) == (("model", "rank"), (("gru", "1"), ("mean", "2")), 1)


def test_a_missing_value_is_a_dash_in_a_table_and_null_in_json() -> None:
    assert [cell(0.25, "{:+.1%}"), cell(float("nan"), "{:.2f}"), cell(None, "{}")] == ["+25.0%", "-", "-"]
    text = json_text({"step": {1: np.float64(0.5), 2: math.nan}})
    assert text.startswith('{\n  "step"')
    assert json.loads(text) == {"step": {"1": 0.5, "2": None}}


def test_a_bar_or_a_new_line_in_a_name_ends_no_cell_of_markdown() -> None:
    lines = markdown(pd.DataFrame({"model": ["gru|lstm", "mean\nof all"], "a|b": ["1", "2"]})).splitlines()
    assert len(lines) == 4
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3] * 4
    assert lines[0].endswith(" a\\|b |")
    assert lines[2].startswith("| gru\\|lstm")
    assert lines[3].startswith("| mean of all ")


def test_names_shares_and_times_are_short() -> None:
    assert brief("turbine-north-2024-hourly-power") == "turbine-north-2024-ho…"
    assert [percent(-0.3), percent(0.025)] == ["−30%", "2.5%"]
    assert date_and_time("2026-01-31T08:05:09+00:00") == "2026-01-31 08:05"


def test_a_canvas_has_a_row_for_each_name() -> None:
    _, axes = rows_canvas(["gru", "naive"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gru", "naive"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first on top
