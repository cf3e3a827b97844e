"""The report, opened in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.reporting.conftest import EVIL
from tsforecast.evaluation.leaderboard import Leaderboard
from tsforecast.evaluation.phrasing import size
from tsforecast.evaluation.report.forecasts import html_report, html_table
from tsforecast.evaluation.verdict import BADGES

PHONE, DESK = 360, 1280
READABLE = 4.5  # contrast of text that WCAG 2.1 asks for, level AA

LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8").rstrip().removesuffix(";")


def opened(browser: Browser, path: Path, width: int = DESK, scheme: str = "light") -> Page:
    """Return the page in a window of that width, with what went wrong and what it asked for."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.wrong, page.asked = [], []
    page.on(
        "console", lambda message: page.wrong.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(path.as_uri())
    return page


@pytest.fixture(scope="session")
def path(evil: Leaderboard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_report(evil), encoding="utf-8")
    return path


@pytest.fixture(params=[(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")], ids=str)
def page(browser: Browser, path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = opened(browser, path, *request.param)
    yield page
    page.close()


@pytest.fixture
def desk(browser: Browser, path: Path) -> Iterator[Page]:
    page = opened(browser, path)
    yield page
    page.close()


def test_nothing_is_asked_for_but_the_file_and_nothing_goes_wrong(page: Page, path: Path) -> None:
    page.wait_for_load_state("networkidle")
    assert page.asked == [path.as_uri()]
    assert page.wrong == []


def test_names_from_the_data_stay_text(desk: Page) -> None:
    assert desk.evaluate("window.hacked") is None
    assert desk.locator("script").count() == 1
    assert desk.locator("body b, body img").count() == 0
    for place in (".verdicts", "figure h3", ".legend", "figcaption", ".chart text", "th", "td", "dd"):
        words = " ".join(desk.locator(place).all_text_contents())
        assert "<script>" in words or "<b>" in words, place


def test_dollar_signs_do_not_turn_a_name_into_a_formula(desk: Page) -> None:
    assert "$x_1$ <script>window.…" in desk.locator(".chart text").all_text_contents()


def test_a_script_that_came_in_after_all_would_not_run(desk: Page) -> None:
    desk.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 2'}))")
    assert desk.evaluate("window.hacked") is None
    assert "Content Security Policy" in desk.wrong[0]


def test_the_page_may_not_ask_for_anything(desk: Page) -> None:
    failed = []
    desk.on("requestfailed", lambda request: failed.append(request.failure))
    desk.route("https://**", lambda route: route.abort())
    load = "new Promise((done) => Object.assign(new Image(), { onerror: done, src: 'https://example.org/a.png' }))"
    desk.evaluate(f"{load}.then(() => null)")
    assert failed == ["csp"]


def test_every_figure_is_drawn_inside_its_frame(page: Page) -> None:
    charts = page.locator("svg.chart")
    titles = page.locator("figure h3").all_text_contents()
    assert charts.count() == len(titles) >= 9
    for i, title in enumerate(titles):
        seen = charts.nth(i).evaluate(f"chart => {LOOK}.marks(chart)")
        left, top, right, bottom = seen["figure"]
        assert right - left > 250, title
        assert bottom - top > 60, title
        assert seen["around"][0] - 0.5 <= left < right <= seen["around"][2] + 0.5, title
        boxes = np.array(seen["marks"])
        assert len(boxes) > 10, title
        inside = (
            (boxes[:, 0] >= left - 1)
            & (boxes[:, 2] <= right + 1)
            & (boxes[:, 1] >= top - 1)
            & (boxes[:, 3] <= bottom + 1)
        )
        assert inside.all(), (title, boxes[~inside])


def test_each_entry_of_a_legend_is_a_line_or_dot_of_its_figure(page: Page) -> None:
    figures = page.locator("figure:has(.legend)")
    assert figures.count() >= 6
    for i in range(figures.count()):
        seen = figures.nth(i).locator(".chart").evaluate(f"chart => {LOOK}.marks(chart)")
        long = {
            stroke
            for stroke, (left, top, right, bottom) in zip(seen["strokes"], seen["marks"], strict=True)
            if max(right - left, bottom - top) > 3
        }
        keys = figures.nth(i).locator(".legend path")
        for colour in keys.evaluate_all("keys => keys.map((key) => getComputedStyle(key).stroke)"):
            assert colour in long


def test_nothing_is_wider_than_the_window(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_letters_of_figures_can_be_read_on_a_phone(browser: Browser, path: Path) -> None:
    page = opened(browser, path, PHONE)
    heights = page.evaluate(f"{LOOK}.letters()")
    page.close()
    assert len(heights) > 100
    assert min(heights) >= 8


def test_all_words_stand_out_from_their_ground(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = page.evaluate(f"{LOOK}.contrasts()")
    assert len(found) > 200
    assert [(round(ratio, 2), words) for ratio, words in found if ratio < READABLE] == []


def test_the_dark_page_is_dark_and_its_lines_are_not(browser: Browser, path: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = opened(browser, path, scheme=scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        truth = page.locator("figure:has-text('actual') .legend path").first.evaluate(
            "key => getComputedStyle(key).stroke"
        )
        colours[scheme] = [sum(map(int, re.findall(r"\d+", colour))) for colour in (ground, truth)]
        page.close()
    assert colours["light"][0] > 700 > 100 > colours["light"][1]
    assert colours["dark"][0] < 100 < 600 < colours["dark"][1]


def test_on_paper_the_page_is_light_and_nothing_is_cut_off(browser: Browser, path: Path) -> None:
    page = opened(browser, path, 700, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for ratio, words in page.evaluate(f"{LOOK}.contrasts()"):
        assert ratio >= READABLE, words
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.locator("figure").first.evaluate("figure => getComputedStyle(figure).breakInside") == "avoid"
    rows = "table => [table.tBodies[0].rows.length < 16, getComputedStyle(table).breakInside]"
    found = [table.evaluate(rows) for table in page.locator("table").all()]
    assert {tuple(each) for each in found} <= {(True, "avoid"), (False, "auto")}  # a short table is on one sheet
    assert [True, "avoid"] in found
    cramped = page.evaluate(f"{LOOK}.cramped()")
    assert cramped == []  # words that are set letter below letter
    assert page.locator("details:visible").count() == 0  # what has to be opened cannot be on paper
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()


def number(text: str) -> float:
    """Return the number that a cell begins with; of so many times an error, the skill in percent."""
    found = float(re.match(r"[+-]?[\d.]+(e[+-]?\d+)?", text.replace("\N{MINUS SIGN}", "-"))[0])
    return 100 * (1 - found) if text.endswith("times") else found


def sorted_cells(cells: list[str], words: bool, down: bool) -> list[str]:
    there = [cell for cell in cells if cell != "-"]
    key = (lambda cell: cell.casefold()) if words else number
    return sorted(there, key=key, reverse=down) + ["-"] * (len(cells) - len(there))


def column(table: Locator, i: int) -> list[str]:
    return [text.strip() for text in table.locator(f"tbody tr > :nth-child({i + 1})").all_text_contents()]


@pytest.mark.parametrize("key", ["click", "Enter"])
def test_a_table_is_sorted_by_each_column_in_both_orders(desk: Page, evil: Leaderboard, key: str) -> None:
    table = desk.locator("table").first
    heads = table.locator("thead th")
    before = table.locator("tbody tr").all_text_contents()
    seen = set()
    for i, title in enumerate(evil.display_table):
        cells, button = column(table, i), heads.nth(i).locator("button")
        seen |= set(cells)
        for down in (False, True):
            table.evaluate("table => table.tBodies[0].append(...[...table.tBodies[0].rows].reverse())")
            if key == "click":
                button.click()
            else:
                button.focus()
                desk.keyboard.press("Enter")
            words = title in ("model", "leak audit")
            assert column(table, i) == sorted_cells(cells, words, down), (title, down)
            assert heads.nth(i).get_attribute("aria-sort") == ("descending" if down else "ascending")
            assert table.locator("thead [aria-sort]").count() == 1
    assert sorted(table.locator("tbody tr").all_text_contents()) == sorted(before)  # rows stay whole
    for pattern in (r"-", r"[+]\d+\.\d%", r"\d\.\d times", r"\d\.\d+ ± \d\.\d+"):  # what a cell may look like was there
        assert any(re.fullmatch(pattern, cell) for cell in seen), pattern


def test_each_section_is_reached_from_the_contents(desk: Page) -> None:
    links, titles = desk.locator("nav a"), desk.locator("main h2")
    assert links.all_text_contents() == titles.all_text_contents()
    links.nth(4).click()
    assert abs(titles.nth(4).bounding_box()["y"]) < 100


def test_pages_on_paper_have_numbers(desk: Page) -> None:
    pages = len(re.findall(rb"/Type\s*/Page\b", desk.pdf(format="A4", prefer_css_page_size=True)))
    assert pages > 2
    rules = desk.evaluate("[...document.styleSheets[0].cssRules].map((rule) => rule.cssText).join(' ')")
    assert re.search(r"@bottom-right \{[^}]*counter\(page\)[^}]*counter\(pages\)", rules)


def test_heads_of_columns_are_reached_by_tab(desk: Page) -> None:
    desk.locator(".scroll").first.focus()
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.matches('th:first-child button')")


def test_numbers_on_the_page_are_those_of_the_rows(desk: Page, evil: Leaderboard) -> None:
    table = desk.locator("table").first
    shown = pd.DataFrame({title: column(table, i) for i, title in enumerate(evil.display_table)}).set_index("model")
    rows = evil.rows.astype({"model": str, "series": str})
    off = (rows["y"] - rows["forecast"]).abs()
    scaled = (off / rows["naive_mae"]).groupby([rows["model"], rows["series"]]).mean().groupby(level=0).mean()
    for name, error in scaled.items():
        assert number(shown.loc[name, "MASE"]) == pytest.approx(error, abs=6e-4)
        assert number(shown.loc[name, "skill"]) / 100 == pytest.approx(
            1 - error / scaled[evil.reference], rel=0.02, abs=6e-4
        )
        assert number(shown.loc[name, "MAE"]) == pytest.approx(off[rows["model"] == name].mean(), rel=1e-3)
    assert set(shown.index) == {*scaled.index, "broken"}
    assert shown.loc["broken", "MASE"] == "-"


def test_verdicts_come_first_and_say_in_words_what_was_found(desk: Page, evil: Leaderboard) -> None:
    badges = desk.locator(".badge").all_text_contents()
    sentences = desk.locator(".verdicts li > :nth-child(2)").all_text_contents()
    naive = [name for name, verdict in evil.verdicts.items() if verdict.outcome == "naive"]
    assert len(badges) == len(evil.verdicts) - len(naive)  # these share the line of the reference
    folded = next(sentence for sentence in sentences if sentence.startswith(evil.reference))
    assert folded.startswith("seasonal-naive (last week's value) is the reference. Other naive forecasts: ")
    assert all(f" {name} " in folded for name in naive)
    verdict = evil.verdicts[f"gru {EVIL}"]
    plain = [sentence.replace("\N{MINUS SIGN}", "-") for sentence in sentences]
    assert f"gru {EVIL} {size(verdict)}. {verdict.reason[0].upper()}{verdict.reason[1:]}." in plain
    order = list(BADGES.values())
    assert [order.index(badge) for badge in badges] == sorted(order.index(badge) for badge in badges)
    assert badges.count("reference") == badges.count("failed") == 1
    assert f"no fit for {EVIL}" in sentences[-1]
    assert desk.locator(".verdicts").bounding_box()["y"] < desk.locator("table").first.bounding_box()["y"]


def test_the_table_for_notebooks_stays_text_and_needs_no_style_sheet(
    browser: Browser, evil: Leaderboard, tmp_path: Path
) -> None:
    path = tmp_path / "cell.html"
    path.write_text(f"<meta charset='utf-8'>{html_table(evil)}", encoding="utf-8")
    page = opened(browser, path)
    assert page.evaluate("window.hacked") is None
    assert page.locator("script, style").count() == 0
    assert column(page.locator("table"), 0) == evil.display_table["model"].tolist()
    assert column(page.locator("table"), 1) == evil.display_table.iloc[:, 1].tolist()
    assert page.locator("li").count() == len(evil.verdicts)
    page.close()
