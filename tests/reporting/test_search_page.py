"""The page of a search, opened in a real browser, and what it says of searches of all kinds."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from rich.console import Console

from tests.helpers.searches import about, searched, write_trial
from tests.reporting.conftest import EVIL
from tests.reporting.test_page import DESK, LOOK, PHONE, READABLE, column, opened, sorted_cells
from tsforecast.cli.console import show_search
from tsforecast.files import write_or_return
from tsforecast.search.figures import heat
from tsforecast.search.report import html_search, json_search, learning_figures
from tsforecast.search.results import Pair, axis_of, own_settings
from tsforecast.search.space import Space
from tsforecast.search.storage import StoredSearch, append_event, open_search, read_search, write_outcome

SECTIONS = [
    "Best trials",
    "How trials learned",
    "Which settings matter",
    "Settings in pairs",
    "What it costs",
    "What failed",
    "All trials",
    "Search",
]


def wicked(folder: Path) -> StoredSearch:
    """Return a search in which whatever can be named is named like a script."""
    space = Space.of(
        {"cell": [f"gru {EVIL}", "$x_1$ <b>lstm</b>"], "layers": (1, 3), "units": [8, 16], f"a{EVIL}": [1, 2]}
    )
    names = dict.fromkeys(("data", "forecaster", "reference", "searcher", "scheduler", "machine"), EVIL)
    open_search(folder, {}, about(space, 30, 5, versions={EVIL: EVIL}, **names), "auto")
    random = np.random.default_rng(0)
    for i in range(30):
        code = space.encode(space.draw(random))
        curve = [0.0, *(0.1 * code["layers"] * (1 - 0.6 ** np.arange(1, 6)) + 0.01 * random.normal(size=5)).tolist()]
        write_trial(folder, i + 1, code, curve[: 3 + i % 4], 1.0 + i)
        event = ("failed", {"error": f"no fit for {EVIL}"}) if i % 10 == 9 else ("done", {})
        append_event(folder, event[0], i + 1, **event[1])
    write_outcome(folder, 0.01)
    return read_search(folder)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    write_or_return(html_search(wicked(folder / "search")), folder / "search.html")
    return folder / "search.html"


class Usual(NamedTuple):
    """A search of 60 trials and its page."""

    search: StoredSearch
    page: str
    path: Path


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Usual:
    folder = tmp_path_factory.mktemp("usual")
    search = searched(folder / "search")
    page = html_search(search)
    write_or_return(page, folder / "search.html")
    return Usual(search, page, folder / "search.html")


@pytest.fixture(params=[(DESK, "light"), (PHONE, "dark")], ids=str)
def page(browser: Browser, path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = opened(browser, path, *request.param)
    yield page
    page.close()


def titles(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def figures(page: str) -> list[str]:
    return re.findall(r"<figure>\s*<h3>(.*?)</h3>", page)


def lede(page: str) -> str:
    return re.search(r'<p class="lede">(.*?)</p>', page)[1]


def test_the_page_asks_for_nothing_and_everything_named_stays_text(page: Page, path: Path) -> None:
    page.wait_for_load_state("networkidle")
    assert page.asked == [path.as_uri()]
    assert page.wrong == []
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 1
    assert page.locator("body b, body img").count() == 0
    for place in ("h1", ".lede", ".verdicts", "figcaption", ".legend", ".chart text", "th", "td", "dt", "dd"):
        words = " ".join(page.locator(place).all_text_contents())
        assert "<script>" in words or "<b>" in words, place


def test_every_figure_is_drawn_inside_its_frame_and_described(page: Page) -> None:
    charts, names = page.locator("svg.chart"), page.locator("figure h3").all_text_contents()
    assert names[:4] == [
        "Learning curves",
        "One trial after the other",
        "Importance of each setting",
        "From settings to skill",
    ]
    assert charts.count() == len(names) == 7
    for i, name in enumerate(names):
        seen = charts.nth(i).evaluate(f"chart => {LOOK}.marks(chart)")
        left, top, right, bottom = seen["figure"]
        assert min(right - left, 3 * (bottom - top)) > 250, name
        boxes = np.array(seen["marks"])
        outside = (boxes[:, :2] < [left - 1, top - 1]) | (boxes[:, 2:] > [right + 1, bottom + 1])
        assert len(boxes) > 10, name
        assert not outside.any(), (name, boxes[outside.any(axis=1)])
        assert charts.nth(i).get_attribute("aria-label").startswith(name)


def test_nothing_is_wider_than_the_window_and_all_words_can_be_read(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert [words for ratio, words in page.evaluate(f"{LOOK}.contrasts()") if ratio < READABLE] == []
    assert min(page.evaluate(f"{LOOK}.letters()")) >= 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_on_the_tints_of_a_heat_map_can_be_read(browser: Browser, usual: Usual, scheme: str) -> None:
    page = opened(browser, usual.path, scheme=scheme)
    chart = page.locator("figure:has-text('Highest mean') .chart")
    ratios = [ratio for i in range(chart.count()) for ratio in chart.nth(i).evaluate(f"chart => {LOOK}.tints(chart)")]
    page.close()
    assert len(ratios) > 40
    assert min(ratios) >= READABLE


def test_the_table_of_the_best_is_sorted_by_keyboard(browser: Browser, path: Path) -> None:
    page = opened(browser, path)
    table = page.locator("table").first
    for i, title in enumerate(["trial", "skill"]):
        cells = column(table, i)
        assert len(cells) == 11  # naive is among them
        for down in (False, True):
            table.locator("thead th button").nth(i).focus()
            page.keyboard.press("Enter")
            if title == "skill":
                assert column(table, i) == sorted_cells(cells, False, down)
            else:
                expected = sorted(cells, key=lambda cell: (cell == "naive", int(cell) if cell != "naive" else 0))
                assert column(table, i) == (expected[::-1] if down else expected)
    page.close()


@pytest.mark.thorough
def test_sections_stand_in_the_order_of_what_matters_and_the_headline_says_what_was_found(usual: Usual) -> None:
    search, page, _ = usual
    assert titles(page) == SECTIONS
    top = search.trials.loc[search.trials["best_score"].idxmax()]
    assert lede(page).startswith(
        f"Best skill {top['best_score']:+.1%} against seasonal-naive (of which about 3.1 points may be luck): "
        f"trial {top['trial']} at epoch {top['best_epoch']}, with cell gru, units "
    )
    assert "60 of 60 trials: 19 finished, 38 stopped early, 3 failed." in page
    assert "2 trials</span><span>ValueError: loss is NaN at epoch 3" in page
    assert "trials stopped early by asha; 40 epochs for a whole trial" in page
    assert "0.0001 to 0.1, by size" in page


@pytest.mark.long
def test_where_nothing_beats_naive_that_is_the_headline(tmp_path: Path) -> None:
    page = html_search(searched(tmp_path, trials=30, shift=-0.3))
    assert lede(page) == (
        "No settings beat seasonal-naive: none of 28 trials did better than untrained, a skill of +0.0%."
    )
    assert "The importance of each setting is unknown: all trials have the same score." in page
    assert figures(page) == ["Learning curves", "One trial after the other", "Skill and time"]
    assert page.index('<th scope="row">naive') < page.index('<th scope="row">1<')  # first where it is as good


def few(folder: Path, curves: list[list[float]], asked: int = 4, **other: object) -> StoredSearch:
    """Return a search over units with these learning curves."""
    space = Space.of({"units": [8, 16], "layers": [1]})
    open_search(folder, {}, about(space, asked, 2, **other), "auto")
    for i, skills in enumerate(curves):
        append_event(folder, "began", i + 1, code={"units": i % 2, "layers": 0})
        if skills:
            write_trial(folder, i + 1, {"units": i % 2, "layers": 0}, skills)
    return read_search(folder)


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("curves", "words", "counted"),
    [
        ([], "No trial has a score yet.", "0 of 4 trials."),
        ([[]], "No trial has a score yet.", "1 of 4 trials: 1 without a score yet."),
        ([[-0.2, -0.1, -0.3]], "the best of 1 trial has a skill of −10.0%, with units 8, layers 1.", "1 finished."),
        (
            [[0.0, 0.2]],
            "known when the search is over): trial 1 at epoch 1",
            "1 of 4 trials: 1 cut short.",
        ),
        ([[0.0, 0.2, 0.1]] * 3, "trial 1 at epoch 1, with units 8, layers 1.", "3 of 4 trials: 3 finished."),
        ([[0.0, -1e9, -1e9], [-5.0, -6.0, -7.0]], "none of 2 trials did better than untrained", "2 finished"),
    ],
)
def test_a_search_of_any_size_has_a_page(curves: list[list[float]], words: str, counted: str, tmp_path: Path) -> None:
    search = few(tmp_path, curves)
    page = html_search(search)
    assert words in lede(page)
    assert counted in page
    assert "Search" in titles(page)
    assert ("Best trials" in titles(page)) == bool(curves and curves[0])
    assert json.loads(json_search(search))["headline"].replace("-", "−") == lede(page).replace("-", "−")


@pytest.mark.long
def test_default_settings_that_were_the_best_are_named_so(tmp_path: Path) -> None:
    curves = [[0.0, 0.3, 0.2], [0.0, 0.1, 0.1]]
    own = few(tmp_path / "own", curves, own={"units": "8", "layers": "1"})
    words = "trial 1 at epoch 1, with the default settings, which were the best (units 8, layers 1)."
    assert words in lede(html_search(own))
    other = few(tmp_path / "other", curves, own={"units": "16", "layers": "1"})
    assert "default" not in lede(html_search(other))
    space = Space.of({"units": [8, 16], "layers": [1]})
    assert own_settings(space, {"units": 8, "layers": 1, "loss": "mae"}) == {"units": "8", "layers": "1"}
    assert own_settings(space, {"units": 32, "layers": 1}) == {}


def test_cells_with_one_trial_are_paler_and_logarithmic_scales_are_named() -> None:
    space = Space.of({"units": [8, 16], "layers": {"low": 1e-3, "high": 1.0, "log": True}})
    across, down = axis_of(space, "units"), axis_of(space, "layers")
    mean, count = np.full((4, 2), 0.1), np.array([[1, 5]] * 4)
    (axes,) = heat(Pair(across, down, mean, mean, count)).axes
    alone, several = (patch.get_alpha() for patch in axes.patches[:2])
    assert alone == pytest.approx(0.4 * several)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("units", "layers (log)")


@pytest.mark.long
def test_settings_that_never_vary_have_no_place_in_a_figure(tmp_path: Path) -> None:
    page = html_search(few(tmp_path, [[0.0, 0.1, 0.2], [0.0, 0.1, 0.3]]))
    assert figures(page) == ["Learning curves", "One trial after the other", "From settings to skill", "Skill and time"]
    trials = few(tmp_path / "one", [[0.0, 0.3]]).trials
    assert [figure.title for figure in learning_figures(trials, "drift")] == ["Learning curves"]
    (chart,) = re.findall(r"<h3>From settings to skill</h3>.*?</figure>", page, flags=re.S)
    assert "units" in chart
    assert "layers" not in chart


def test_luck_as_large_as_the_skill_is_all_of_it(tmp_path: Path) -> None:
    few(tmp_path, [[0.0, 0.02, 0.01]])
    write_outcome(tmp_path, 0.05)
    assert "Best skill +2.0% against seasonal-naive (all of which may be luck)" in html_search(read_search(tmp_path))


def test_a_search_that_ended_as_hopeless_shows_why_and_one_of_before_is_read(tmp_path: Path) -> None:
    few(tmp_path, [[0.0, 0.02, 0.01]])
    write_outcome(tmp_path, 0.05, "the search ended after 1 of 2 trials")
    assert "1 finished. The search ended after 1 of 2 trials." in html_search(read_search(tmp_path))
    (tmp_path / "outcome.json").write_text('{"optimism": 0.05}')
    stored = read_search(tmp_path)
    assert (stored.optimism, stored.hopeless) == (0.05, "")


def test_a_search_that_trains_nothing_in_epochs_speaks_of_none(tmp_path: Path) -> None:
    space = Space.of({"units": [8, 16]})
    open_search(tmp_path, {}, about(space, 2, 0, scheduler="none"), "auto")
    for i in range(2):
        fields = {"epoch": 0, "skill": 0.1 * i, "start": 0.1 * i, "seconds": 1.0}
        append_event(tmp_path, "epoch", i + 1, code={"units": i}, **fields)
    page = html_search(read_search(tmp_path))
    assert "trial 2, with units 16." in lede(page)
    assert "no trial stopped early" in page
    assert "Learning curves" not in page


@pytest.mark.thorough
def test_a_large_search_makes_a_small_page_soon(tmp_path: Path) -> None:
    search = searched(tmp_path, trials=500, epochs=50)
    began = time.process_time()
    page = html_search(search)
    assert time.process_time() - began < 10
    assert len(page.encode()) < 3e6
    assert "301 more trials are not listed." in page
    assert search.trials["trial"].max() == 500


@pytest.mark.thorough
def test_the_json_holds_every_trial_and_no_number_that_is_none(usual: Usual) -> None:
    content = json.loads(json_search(usual.search))
    assert [one["trial"] for one in content["trials"]] == list(range(61))
    assert content["trials"][8]["best_score"] is None
    assert content["importance"]["shares"][0]["setting"] == "learning_rate"
    assert content["specification"]["reference"] == "seasonal-naive"
    assert content["optimism"] == 0.031


@pytest.mark.thorough
@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_terminal_shows_the_best_in_whole_columns(width: int, usual: Usual) -> None:
    text = io.StringIO()
    show_search(usual.search, "a title", Console(file=text, width=width))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]
    assert any(line.startswith("│ naive ") for line in lines)
    assert ("left out for width" in text.getvalue()) == (width < 120)
