"""The report follows from the rows, for any results."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import wave
from tests.reporting.conftest import EVIL
from tsforecast.data.panel import Panel
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.evaluation.report import figures
from tsforecast.evaluation.report import forecasts as report
from tsforecast.evaluation.report.figures import View, disjoint_cutoffs, rows_of
from tsforecast.evaluation.report.forecasts import html_report, html_table
from tsforecast.evaluation.verdict import BADGES
from tsforecast.reporting.figures import INK, MAX_LINES, brief, canvas, in_style
from tsforecast.reporting.svg import inline_svg, legend
from tsforecast.reporting.tables import MAX_ROWS


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    """Five series, six cutoffs, a season of six."""
    panel = Panel.from_array([wave(90, seed) * (1 + seed) for seed in range(5)], season_length=6)
    return leaderboard(["mean", "window-average", "theta"], panel, horizon=4, origins=6, step=3)


@pytest.fixture(scope="module")
def page(board: Leaderboard) -> str:
    return html_report(board)


def with_models(board: Leaderboard, off: dict[str, float]) -> Leaderboard:
    """Return the board with more models whose errors are about so many times the scale of MASE."""
    rows, random = board.rows.astype({"model": str}), np.random.default_rng(0)
    one = rows[rows["model"] == "naive"]
    scale = one["naive_mae"] * random.choice([-1, 1], size=len(one))
    more = [one.assign(model=name, forecast=one["y"] + error * scale) for name, error in off.items()]
    return Leaderboard.from_rows(pd.concat([rows, *more], ignore_index=True))


def titles(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


@pytest.mark.long
def test_sections_stand_in_the_order_of_what_matters(evil: Leaderboard) -> None:
    page = html_report(evil)
    assert titles(page) == [
        "All numbers",
        "Forecasts and actual values",
        "Errors by step, season and group",
        "Wins and ranks",
        "Training of the networks",
        "Data, protocol and fits",
        "Every series",
    ]
    assert page.index("verdicts") < page.index("All numbers")


@pytest.mark.thorough
def test_models_that_beat_the_reference_come_first_and_those_that_failed_last(board: Leaderboard) -> None:
    mixed = with_models(board, {"good": 0.01, "poor": 9.0})
    mixed.__dict__["verdicts"] = dict(reversed(mixed.verdicts.items()))  # as if the table were in another order
    badges = re.findall(r'class="badge ([^"]+)"', html_report(mixed))
    order = list(BADGES.values())
    assert badges == sorted(badges, key=order.index)
    assert {"better", "reference", "worse"} <= set(badges)


@pytest.mark.thorough
def test_what_does_not_apply_is_left_out() -> None:
    page = html_report(leaderboard(["mean"], np.arange(20.0), horizon=1))
    assert titles(page) == [
        "All numbers",
        "Forecasts and actual values",
        "Wins and ranks",
        "Data, protocol and fits",
    ]


@pytest.mark.long
def test_tables_and_figures_have_a_row_or_a_mark_for_each_model() -> None:
    ramp = leaderboard([], range(20), horizon=2)
    assert report.error_table(ramp).rows[0][:3] == ("drift", "0.000", "-")
    assert [row[0] for row in report.error_table(ramp).rows] == ["drift", "naive", "seasonal-naive"]
    assert [figure.title for figure in report.skill_figures(View(ramp))] == ["Skill of each model"]
    steps = leaderboard([], [1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 10.0], horizon=1)  # the last one is 2; 1.4 is the drift
    wins = report.win_table(steps)
    assert wins.columns == ("model", "1", "2", "3")  # names would fit no phone
    assert wins.rows[0] == ("1 drift", "-", "100%", "100%")
    assert wins.rows[1][:2] == ("2 naive", "0%")
    assert wins.marked == "1 drift"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "data",
    [np.ones(40), np.arange(40.0), wave(40), 1e98 * wave(40), np.r_[np.zeros(30), 1e-300 * wave(10)]],
    ids=["constant", "ramp", "wave", "huge", "tiny"],
)
@pytest.mark.parametrize("origins", [1, 3])
def test_a_report_is_drawn_of_any_numbers(data: np.ndarray, origins: int) -> None:
    board = leaderboard(["mean"], data, horizon=2, origins=origins)
    assert "</html>" in html_report(board)
    assert "</table>" in html_table(board)


@pytest.mark.thorough
def test_a_model_that_forecasts_nan_is_listed_as_failed_and_has_no_line(board: Leaderboard) -> None:
    rows = board.rows.copy()
    rows.loc[(rows["model"] == "theta").to_numpy().nonzero()[0][:1], "forecast"] = np.nan
    broken = Leaderboard.from_rows(rows, reference=board.reference)
    assert '<span class="badge failed">failed</span><span>theta cannot be compared' in html_report(broken)
    assert "theta" not in View(broken).drawn


@pytest.mark.thorough
def test_rows_alone_make_a_report_that_names_the_missing_record(board: Leaderboard) -> None:
    page = html_report(Leaderboard.from_rows(board.rows))
    assert "These rows have no record of the data and fits behind them." in page
    assert "<dt>Cutoffs</dt><dd>70 to 85</dd>" in page
    assert "Fingerprint" not in page
    assert f"<dd>{board.record.fingerprint}</dd>" in html_report(board)


@pytest.mark.thorough
def test_the_same_board_gives_the_same_page(board: Leaderboard, page: str) -> None:
    assert html_report(board) == page


@pytest.mark.thorough
def test_the_title_is_escaped(board: Leaderboard) -> None:
    page = html_report(board, EVIL)
    assert "<h1>&lt;script&gt;" in page
    assert "<title>&lt;script&gt;" in page


@pytest.mark.thorough
def test_ids_of_a_page_are_unique_and_all_references_are_met(page: str) -> None:
    counts = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert set(counts.values()) == {1}
    referred = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert referred
    assert referred <= set(counts)


@pytest.mark.long
def test_nothing_on_the_page_lies_elsewhere(page: str) -> None:
    assert re.findall(r"https?:|//[a-z]|@import|<link|<img|src=", page) == []


@pytest.mark.thorough
def test_all_colours_of_figures_are_those_of_the_theme(page: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) > 6
    assert re.findall(r"(?:fill|stroke): (?!var|none)[^;\"]+", " ".join(drawn)) == []


def test_an_svg_keeps_a_name_that_looks_like_what_is_replaced_in_it() -> None:
    figure, axes = canvas()
    name = 'id="a" url(#b) #0072b2 $x_1$ font-family: x;'
    axes.set_title(name, parse_math=False)
    assert f">{name}</text>" in inline_svg(figure, "odd", "")


@pytest.mark.thorough
def test_settings_of_the_user_do_not_reach_the_figures(board: Leaderboard, page: str) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "axes.grid": True, "svg.fonttype": "path"}):
        assert html_report(board) == page
    with in_style():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert matplotlib.rcParams["svg.fonttype"] != "none"


def test_letters_that_the_font_for_measuring_lacks_are_drawn_without_a_warning() -> None:
    figure, axes = canvas()
    axes.set_title(brief("温度\n1"))
    assert "温度\ufffd1</text>" in inline_svg(figure, "letters", "")


@pytest.mark.thorough
def test_a_long_name_is_cut_in_figures_only() -> None:
    name = "a-series-with-a-name-that-no-figure-has-room-for"
    series = pd.Series(wave(40), index=pd.date_range("2024", periods=40), name=name)
    page = html_report(leaderboard([], series, horizon=2))
    assert ">a-series-with-a-name-…</text>" in page
    assert name in page


def lines(figure: object) -> dict[str, object]:
    (axes,) = figure.axes
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_lines_of_errors_are_means_of_the_rows(board: Leaderboard) -> None:
    drawn = lines(figures.error_by(View(board), "step", "steps ahead"))
    rows = board.rows.assign(scaled=(board.rows["y"] - board.rows["forecast"]).abs() / board.rows["naive_mae"])
    expected = (
        rows.groupby(["model", "step", "series"], observed=True)["scaled"]
        .mean()
        .groupby(level=[0, 1], observed=True)
        .mean()
    )
    assert set(drawn) == {f"{board.reference} (reference)", *View(board).drawn}
    for label, line in drawn.items():
        name = label.removesuffix(" (reference)")
        assert line.get_ydata() == pytest.approx(expected[name].to_numpy())
        assert line.get_xdata().tolist() == [1, 2, 3, 4]


def test_skill_is_drawn_with_its_interval_and_filled_where_the_reference_is_beaten(board: Leaderboard) -> None:
    board = with_models(board, {"good": 0.01, "poor": 1.8, "hopeless": 50})
    (axes,) = figures.skill(View(board)).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    flat = [line for line in axes.lines if len(set(line.get_ydata())) == 1]
    dots = {names[int(line.get_ydata()[0])]: line for line in flat if line.get_marker() == "o"}
    spans = {names[int(line.get_ydata()[0])]: line for line in flat if line.get_marker() == "None"}
    for name, dot in dots.items():
        verdict = board.verdicts[name]
        assert dot.get_xdata()[0] == verdict.skill
        assert (dot.get_markerfacecolor() == INK) == (verdict.outcome == "better")
        assert spans[name].get_xdata() == pytest.approx([max(verdict.low, -1), verdict.high])
    assert {board.verdicts[name].outcome for name in dots} >= {"better", "inconclusive"}
    arrows = {names[int(line.get_ydata()[0])] for line in flat if line.get_marker() == "<"}
    assert arrows & set(dots) == {name for name in dots if board.verdicts[name].low < -1} != set()
    # What is too far off for the axis is written at its edge.
    far = {names[int(text.xy[1])]: text.get_text() for text in axes.texts if hasattr(text, "xy")}
    assert set(names) == set(dots) | set(far)
    assert far["hopeless"] == f"{1 - board.verdicts['hopeless'].skill:.0f} times the error"


def test_ranks_are_joined_where_they_do_not_differ(board: Leaderboard) -> None:
    (axes,) = figures.ranks(View(board)).axes
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == board.ranks.average.tolist()
    joined = [tuple(np.round(line.get_ydata()).astype(int)) for line in axes.lines if line.get_marker() == "None"]
    names = board.ranks.average.index.tolist()
    assert joined == [(names.index(run[0]), names.index(run[-1])) for run in board.ranks.ties]


def test_the_typical_and_the_worst_series_are_those_of_the_skill_of_the_best_model(board: Leaderboard) -> None:
    best = board.by("series")[View(board).drawn[0]] / board.by("series")[board.reference]
    order = best.sort_values().index.tolist()  # the highest skill first
    typical, worst = [picture.title for picture in report.forecast_figures(View(board))]
    assert typical == f"A typical series: {order[2]}"
    assert worst == f"The worst series: {order[-1]}"


@pytest.mark.thorough
def test_a_single_series_shows_its_newest_cutoffs_and_the_worst_one() -> None:
    board = leaderboard(["mean"], wave(60), horizon=3, origins=6)
    best = board.by("cutoff")[View(board).drawn[0]] / board.by("cutoff")[board.reference]
    newest, worst = report.forecast_figures(View(board))
    assert worst.title == f"The worst cutoff: {best.idxmax()}"
    assert newest.caption.startswith("Forecasts from 4 of 6 cutoffs, the newest ones that do not overlap")


def test_forecasts_and_actual_values_are_drawn_as_in_the_rows_with_their_cutoffs(board: Leaderboard) -> None:
    rows = rows_of(board, 0, "y")
    cutoffs = disjoint_cutoffs(rows)[-2:]
    figure = figures.forecasts(View(board), 0, "y", cutoffs)
    (axes,) = figure.axes
    best = View(board).drawn[0]
    drawn = [line for line in axes.lines if line.get_color() == lines(figure)[best].get_color()]
    for line, cutoff in zip(drawn, cutoffs, strict=True):
        mine = rows[(rows["model"] == best) & (rows["cutoff"] == cutoff)]
        assert np.array_equal(line.get_ydata(), mine["forecast"])
        assert np.array_equal(line.get_xdata(), mine["time"])
    dotted = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert dotted == list(cutoffs)
    truth = lines(figure)["actual"]
    assert np.array_equal(truth.get_ydata(), wave(90, 0)[truth.get_xdata()])
    assert truth.get_xdata()[0] < cutoffs[0]  # some of the past is there to compare with
    assert legend(figure)[0].label == "actual"


def test_actual_values_before_the_oldest_cutoff_come_from_the_record(board: Leaderboard) -> None:
    cutoffs = np.array([board.rows["cutoff"].min()])
    past = lines(figures.forecasts(View(board), 0, "y", cutoffs))["actual"]
    assert past.get_xdata()[0] == cutoffs[0] - 4  # as many steps as there are forecasts
    assert np.array_equal(past.get_ydata(), wave(90, 0)[past.get_xdata()])
    without = View(Leaderboard.from_rows(board.rows))
    assert lines(figures.forecasts(without, 0, "y", cutoffs))["actual"].get_xdata()[0] == cutoffs[0] + 1


def test_no_line_bridges_a_hole_in_the_actual_values() -> None:
    board = leaderboard([], wave(90), horizon=2, origins=3, step=20)
    figure = figures.forecasts(View(board), 0, "y", disjoint_cutoffs(board.rows))
    assert np.isnan(lines(figure)["actual"].get_ydata()).sum() == 2


def test_every_seed_has_its_line() -> None:
    board = leaderboard(["mean"], wave(60), horizon=3, origins=1)
    seeded = pd.concat(
        [board.rows.assign(seed=pd.array([seed], dtype="Int32").repeat(len(board.rows))) for seed in (0, 1)]
    )
    board = Leaderboard.from_rows(seeded.reset_index(drop=True))
    figure = figures.forecasts(View(board), 0, "y", disjoint_cutoffs(board.rows))
    best = lines(figure)[View(board).drawn[0]]
    assert len([line for line in figure.axes[0].lines if line.get_color() == best.get_color()]) == 2


@pytest.mark.long
def test_training_shows_each_fit_with_the_epoch_that_was_kept(evil: Leaderboard) -> None:
    histories = [fit.history for fit in evil.record.fits if fit.history]
    assert len(histories) == 6  # two seeds, three groups
    (axes,) = figures.training(histories).axes
    valid = [line for line in axes.lines if line.get_linestyle() == "-"]
    kept = [line for line in axes.lines if line.get_marker() == "o"]
    for history, line, dot in zip(histories, valid, kept, strict=True):
        losses = [epoch["valid_loss"] for epoch in history]
        assert line.get_ydata().tolist() == losses
        assert dot.get_ydata()[0] == min(losses)


@pytest.mark.long
def test_at_most_so_many_models_have_a_line_and_the_rest_is_named() -> None:
    board = with_models(leaderboard([], wave(60), horizon=3, origins=6), {f"model {i}": 0.1 for i in range(9)})
    assert len(lines(figures.error_by(View(board), "step", "steps ahead"))) <= MAX_LINES + 1
    (caption, *_) = [picture.caption for picture in report.error_figures(View(board))]
    left_out = caption.partition("Left out: ")[2].rstrip(".").split(", ")
    assert len(left_out) + len(View(board).drawn) + 1 == len(board.table)


def test_groups_that_gain_least_come_first(evil: Leaderboard) -> None:
    errors = figures.groups_shown(View(evil))
    gain = 1 - errors[View(evil).drawn[0]] / errors[evil.reference]
    assert len(gain) == 3
    assert gain.is_monotonic_increasing


@pytest.mark.thorough
def test_a_table_of_many_series_is_cut_and_says_so() -> None:
    panel = Panel.from_array([wave(30, seed) for seed in range(203)], season_length=6)
    board = leaderboard([], panel, horizon=2)
    grid = report.series_table(View(board))
    assert (len(grid.rows), grid.more) == (MAX_ROWS, 3)
    assert "3 more series are not listed" in html_report(board)
    skills = [float(row[1].rstrip("%")) for row in grid.rows]
    assert skills == sorted(skills)


def test_each_fit_has_a_row_with_what_it_learned_from(evil: Leaderboard) -> None:
    grid = report.fit_table(evil.record.fits)
    rows = pd.DataFrame(grid.rows, columns=grid.columns)
    assert len(rows) == len(evil.record.fits)
    assert rows["to"].tolist() == [fit.learned_from[1] for fit in evil.record.fits]
    assert rows.loc[rows["model"] == "broken", "error"].str.contains(EVIL, regex=False).all()
    without = tuple(dataclasses.replace(fit, error="") for fit in evil.record.fits)
    assert "error" not in report.fit_table(without).columns  # a column that says nothing is left out


@pytest.mark.thorough
def test_a_report_of_the_rows_of_m4_hourly_takes_less_than_ten_seconds_and_five_megabytes() -> None:
    series, models, horizon = 414, 8, 48
    rng = np.random.default_rng(0)
    truth = rng.random((series, horizon)) + 5
    steps = np.tile(np.arange(1, horizon + 1), series)
    one = pd.DataFrame(
        {
            "series": np.repeat([f"H{i}" for i in range(series)], horizon),
            "target": "y",
            "cutoff": 700,
            "step": steps,
            "time": 700 + steps,
            "phase": steps % 24,
            "y": truth.ravel(),
            "replaced": False,
            "naive_mae": np.repeat(rng.random(series) + 1, horizon),
            "naive_mse": 2.0,
            "fit_seconds": 1.0,
            "predict_seconds": 1.0,
        }
    )
    names = ["naive", "seasonal-naive", "drift", *(f"network {i}" for i in range(models - 3))]
    noise = [rng.normal(size=truth.size) * (models - i) for i in range(models)]
    rows = pd.concat([one.assign(model=name, forecast=one["y"] + off) for name, off in zip(names, noise, strict=True)])
    began = time.process_time()
    page = html_report(Leaderboard.from_rows(rows))
    assert time.process_time() - began < 10
    assert len(page.encode()) < 5_000_000


def test_cutoffs_of_a_figure_do_not_overlap_and_end_with_the_newest() -> None:
    rows = pd.DataFrame({"cutoff": [1, 1, 2, 2, 3, 3], "time": [2, 3, 3, 4, 4, 5]})
    assert disjoint_cutoffs(rows).tolist() == [1, 3]
