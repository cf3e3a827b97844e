"""Figures and tables show the rows."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.helpers.forecasters import wave
from tsforecast.cli.console import show_audit
from tsforecast.data.panel import Panel
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.report.figures import plot_forecasts, save_figure
from tsforecast.evaluation.report.terminal import show_leaderboard
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.leakage.audit import audit


@pytest.fixture(params=["dates", pytest.param("index", marks=pytest.mark.thorough)])
def panel(request: pytest.FixtureRequest) -> Panel:
    if request.param == "index":
        return Panel.from_array([wave(60, 0), wave(60, 1)], season_length=6)
    return Panel.of(pd.Series(wave(60), index=pd.date_range("2024-01-01", periods=60), name="load"))


@pytest.fixture
def board(panel: Panel) -> Leaderboard:
    return leaderboard(["mean"], panel, horizon=4, origins=5, step=2)


def test_the_figure_draws_actual_values_and_each_forecast_from_cutoffs_that_do_not_overlap(
    board: Leaderboard, panel: Panel
) -> None:
    (axes,) = plot_forecasts(board, panel).axes
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert {"actual", f"{board.reference} (reference)", "mean", "cutoff"} <= set(lines)
    assert np.array_equal(lines["actual"].get_ydata(), panel.series(0)[-len(lines["actual"].get_ydata()) :, 0])
    mine = board.rows[(board.rows["series"] == panel.ids[0]) & (board.rows["model"] == "mean")]
    cutoffs = np.unique(mine["cutoff"])[[0, 2, 4]]  # every second one: steps of two, four steps ahead
    drawn = [line for line in axes.lines if line.get_color() == lines["mean"].get_color()]
    assert len(drawn) == 3
    for line, cutoff in zip(drawn, cutoffs, strict=True):
        assert np.array_equal(line.get_ydata(), mine.loc[mine["cutoff"] == cutoff, "forecast"])
    assert axes.get_title(loc="left").endswith("forecasts 4 steps ahead (3 of 5 cutoffs)")
    assert axes.get_ylabel() == panel.roles.target[0]


def test_a_figure_of_some_models_says_that_they_are_the_best() -> None:
    panel = Panel.from_array(wave(60), season_length=6)
    board = leaderboard(["mean", "window-average"], panel, horizon=4, origins=1)
    (axes,) = plot_forecasts(board, panel).axes
    assert axes.get_title(loc="left").endswith("4 steps ahead (best 3 of 4 models and the reference)")
    assert len([line for line in axes.lines if not line.get_label().startswith("_")]) == 6  # and actual, cutoff


def test_a_note_is_printed_under_what_was_tested() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    frame = pd.concat([pd.DataFrame({"id": name, "day": days[:n], "y": 1.0 * n}) for name, n in (("a", 60), ("b", 9))])
    text = io.StringIO()
    show_leaderboard(leaderboard([], frame, horizon=2), "a title", Console(file=text, width=200))
    assert "\nNote: 1 of 2 series has no past and target at any cutoff and is left out: 'b';" in text.getvalue()


def test_the_series_to_draw_can_be_chosen() -> None:
    panel = Panel.from_array([wave(60, 0), wave(60, 1) + 50], season_length=6)
    board = leaderboard([], panel, horizon=4)
    (axes,) = plot_forecasts(board, panel, series=1).axes
    assert axes.lines[0].get_ydata().min() > 50


def test_a_figure_is_written_whole(board: Leaderboard, panel: Panel, tmp_path: Path) -> None:
    save_figure(plot_forecasts(board, panel), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().endswith(b"IEND\xaeB`\x82")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["[bold]wide[/bold]", "[/red]", "<script>"])
def test_names_are_shown_as_they_are_whatever_they_mean_to_a_terminal(name: str, panel: Panel) -> None:
    text = io.StringIO()
    board = leaderboard({name: NaiveForecaster()}, panel, horizon=4)
    show_leaderboard(board, f"a title of {name}", Console(file=text, width=160))
    assert f"│ {name} " in text.getvalue()
    assert f"a title of {name}" in text.getvalue()
    report = audit(NaiveForecaster(), panel, cutoffs=1, horizon=4, level="data")
    told = dataclasses.replace(report, findings=report.findings.assign(note=name))
    text = io.StringIO()
    show_audit(told, "a title", Console(file=text, width=200))
    assert text.getvalue().count(name) == len(told.shown)


@pytest.mark.sample(3)
@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_the_table_fits_the_terminal_and_keeps_every_model(board: Leaderboard, width: int) -> None:
    text = io.StringIO()
    show_leaderboard(board, "a title", Console(file=text, width=width))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]
    for model in board.table["model"]:
        assert any(line.startswith(f"│ {model} ") for line in lines)
    assert ("left out for width" in text.getvalue()) == (width < 120)


def test_fit_and_predict_seconds_are_shown_at_eighty_columns(board: Leaderboard) -> None:
    text = io.StringIO()
    show_leaderboard(board, "a title", Console(file=text, width=80))
    for column in ("MASE", "skill", "fit s", "predict s"):
        assert column in text.getvalue()


def test_sentences_under_the_table_hang_where_they_do_not_fit(board: Leaderboard) -> None:
    text, board = io.StringIO(), dataclasses.replace(board, notes=())
    show_leaderboard(board, "a title", Console(file=text, width=50))
    under = text.getvalue().split("┘\n")[1]
    assert all(len(line) <= 50 and line == line.rstrip() for line in under.splitlines())
    assert "\n    " in under
    naive = [name for name, verdict in board.verdicts.items() if verdict.outcome == "naive"]
    sentences = [str(verdict) for verdict in board.verdicts.values() if verdict.outcome != "naive"]
    place = next(at for at, name in enumerate(board.verdicts) if name in naive)
    sentences.insert(place, f"{', '.join(naive[:-1])} and {naive[-1]} are naive forecasts too")
    whole = re.sub(r"\n(    |(?! ))", " ", under)  # a line begins again where it begins with two spaces
    assert whole.rstrip().split("\n") == [
        f"{under.split(')')[0]}) {board.headline}. {board.summary_line}.".replace("\n", " "),
        *(f"  {sentence}" for sentence in sentences[:-1]),
        f"  {sentences[-1]} {board.audit_line}.",
    ]


def test_a_note_hangs_under_its_own_words(board: Leaderboard) -> None:
    text = io.StringIO()
    noted = dataclasses.replace(board, notes=("one two three four five six [seven] eight nine ten",))
    show_leaderboard(noted, "a title", Console(file=text, width=40))
    assert "\nNote: one two three four five six\n      [seven] eight nine ten.\n" in text.getvalue()


@pytest.mark.parametrize("metric", ["mase", "rmse"])
def test_terminal_markdown_and_prompt_show_the_same_titles_and_cells(panel: Panel, metric: str) -> None:
    board = leaderboard(["mean"], panel, horizon=4, origins=5, metric=metric)
    text = io.StringIO()
    show_leaderboard(board, "a title", Console(file=text, width=160))
    printed = [line for line in text.getvalue().splitlines() if line[0] in "┃│"]
    written = [line for line in board.to_markdown().splitlines() if line.startswith("| ")]
    assert [re.findall(r"[^┃│\s]+", line) for line in printed] == [re.findall(r"[^|\s]+", line) for line in written]
    assert written[0].split("|")[2].strip() == metric.upper()
    assert repr(board) == str(board)


@pytest.mark.parametrize(("encoding", "border"), [("utf-8", "│"), ("cp1252", "|")])
def test_print_shows_the_table_of_the_terminal_in_its_width(
    board: Leaderboard, monkeypatch: pytest.MonkeyPatch, encoding: str, border: str
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline=""))
    lines = repr(board).splitlines()
    assert max(map(len, lines)) <= 50
    assert sum(line.startswith(border) for line in lines) >= len(board.table)
    text = io.StringIO()
    show_leaderboard(board, None, Console(file=text, width=50))
    if encoding == "utf-8":
        assert text.getvalue().splitlines() == lines


def test_what_was_not_measured_is_a_dash() -> None:
    board = leaderboard([], np.ones(40), horizon=3)  # no scale, so no MASE
    assert board.display_table["MASE"].tolist() == ["-"] * 3
