"""The page of a classifier comparison in a real browser, with few and with many classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from tests.reporting.conftest import EVIL
from tests.reporting.test_page import DESK, LOOK, READABLE, opened
from tsforecast.data.samples import DuplicateSet
from tsforecast.evaluation.classification import ClassificationResults, copy_notes
from tsforecast.evaluation.report.classification import (
    accuracy_figure,
    drawn_models,
    figure_of_each,
    html_classification,
    mistake_table,
)
from tsforecast.files import write_or_return

NARROW = 390
SECTIONS = [
    "All numbers",
    "Users",
    "Classes and predictions",
    "Optimism of a random split",
    "Transfer to a new user",
    "Duplicates and notes",
    "Other sets",
    "How it was measured",
]


def answers(users: list[str], classes: list[str], models: dict[str, float], protocol: str, **more: Any) -> pd.DataFrame:
    """Return tallies of models that are right so often; what they mistake is the next class."""
    random, rows = np.random.default_rng(0), []
    for (model, right), (fold, user) in [(m, u) for m in models.items() for u in enumerate(users)]:
        for i, true in enumerate(classes):
            count = int(random.binomial(20, right)) if model != "majority" else 20 * (i == 0)
            other = classes[0] if model == "majority" else classes[(i + 1) % len(classes)]
            answer = {"model": model, "group": user, "fold": fold, "true": true}
            for predicted, n in ((true, count), (other, 20 - count)):
                rows += [answer | {"predicted": predicted, "count": n}] * (n > 0)
    about = {"protocol": protocol, "seed": pd.NA, "chosen": "", "fit_seconds": 1.5, "predict_seconds": 0.25}
    return pd.DataFrame(rows).assign(**(about | more))


def tuned(users: list[str]) -> pd.DataFrame:
    """Return tallies of a transfer curve that rises."""
    rows = [
        {"seed": 0, "shots": shots, "group": user, "true": "a", "predicted": predicted, "count": n}
        for user in users
        for shots in (0, 1, 3, 5)
        for predicted, n in (("a", 80 + 3 * shots + len(user) % 3), ("b", 15))
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every section; whatever can be named is named like a script."""
    users = [f"$u_{i}$ {EVIL}" for i in range(6)]
    classes = [f"{EVIL} <b>{i}</b>" for i in range(4)]
    models = {f"gru {EVIL}": 0.95, "nearest": 0.8, "majority": 0.25}
    rows = [answers(users, classes, models, name) for name in ("leave-users-out", "random")]
    notes = copy_notes([DuplicateSet((), (EVIL, "b"), (EVIL, "d"), (EVIL, EVIL))], pd.concat(rows))
    found = ClassificationResults(pd.concat(rows), tuple(notes))
    others = {EVIL: ClassificationResults(answers([EVIL], classes, models, "given", group=None))}
    path = tmp_path_factory.mktemp("recognition") / "page.html"
    write_or_return(html_classification(found, EVIL, tuned(users), others, {EVIL: EVIL}), path)
    return path


@pytest.fixture(params=[(DESK, "light"), (NARROW, "light"), (NARROW, "dark")], ids=str)
def page(browser: Browser, path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = opened(browser, path, *request.param)
    yield page
    page.close()


def test_the_page_asks_for_nothing_and_everything_named_stays_text(page: Page, path: Path) -> None:
    page.wait_for_load_state("networkidle")
    assert page.asked == [path.as_uri()]
    assert page.wrong == []
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 1
    assert page.locator("body b, body img").count() == 0
    for place in ("h1", ".lede", ".verdicts", "figcaption", ".legend", ".chart text", "th", "td", "dt", "dd", "main p"):
        words = " ".join(page.locator(place).all_text_contents())
        assert "<script>" in words or "<b>" in words, place
    assert page.locator("h2").all_text_contents() == SECTIONS


def test_every_figure_is_drawn_inside_its_frame_and_described(page: Page) -> None:
    charts, names = page.locator("svg.chart"), page.locator("figure h3").all_text_contents()
    assert names == [
        "Accuracy of each model",
        "Accuracy of each user",
        "Accuracy of each class",
        "Confusion matrix",
        "Optimism of the random split",
        "A few recordings of the new user",
    ]
    for i, name in enumerate(names):
        seen = charts.nth(i).evaluate(f"chart => {LOOK}.marks(chart)")
        left, top, right, bottom = seen["figure"]
        assert min(right - left, 4 * (bottom - top)) > 250, name
        boxes = np.array(seen["marks"])
        outside = (boxes[:, :2] < [left - 1, top - 1]) | (boxes[:, 2:] > [right + 1, bottom + 1])
        assert len(boxes) > 8, name
        assert not outside.any(), (name, boxes[outside.any(axis=1)])
        assert charts.nth(i).get_attribute("aria-label").startswith(name)


def test_nothing_is_wider_than_the_window_and_all_words_can_be_read(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert [words for ratio, words in page.evaluate(f"{LOOK}.contrasts()") if ratio < READABLE] == []
    assert min(page.evaluate(f"{LOOK}.letters()")) >= 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_matrix_of_many_classes_can_be_read_on_a_phone(browser: Browser, scheme: str, tmp_path: Path) -> None:
    classes = [f"{i:02d}" for i in range(30)]
    found = ClassificationResults(answers(["a", "b"], classes, {"gru": 0.9, "majority": 0.1}, "leave-users-out"))
    write_or_return(html_classification(found), tmp_path / "page.html")
    page = opened(browser, tmp_path / "page.html", NARROW, scheme)
    chart = page.locator("figure:has-text('Confusion matrix') .chart")
    ratios, letters = chart.evaluate(f"chart => {LOOK}.tints(chart)"), page.evaluate(f"{LOOK}.letters()")
    caption = page.locator("figure:has-text('Confusion matrix') figcaption").text_content()
    page.close()
    assert len(ratios) > 30
    assert min(ratios) >= READABLE
    assert min(letters) >= 8
    assert "Shown are the 24 of 30 classes with the most mistakes." in caption


def test_models_with_a_mark_are_the_best_first_and_the_majority_where_it_is_as_good() -> None:
    classes, models = ["up", "down", "rest"], {"poor": 0.6, "good": 0.95, "majority": 0.0}
    rows = answers(["ann", "bob"], classes, models, "leave-users-out")
    assert drawn_models(ClassificationResults(rows)) == ["good", "poor"]
    weak = answers(["ann", "bob"], ["up", "down"], {"weak": 0.4, "majority": 0.0}, "leave-users-out")
    assert drawn_models(ClassificationResults(weak)) == ["majority", "weak"]  # which is right in half of the cases


@pytest.mark.long
def test_what_is_not_known_is_left_out() -> None:
    classes = ["a", "b", "c"]
    given = ClassificationResults(answers(["-"], classes, {"gru": 0.9, "majority": 0.1}, "given", group=None))
    page = html_classification(given)
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "All numbers",
        "Classes and predictions",
        "Duplicates and notes",
    ]
    assert "There are no duplicate recordings." in page
    assert "gru is inconclusive: accuracy" in page
    perfect = ClassificationResults(answers(["u"], classes, {"gru": 1.0, "majority": 0.1}, "random"))
    assert mistake_table(perfect, "gru") is None
    assert (
        "right on 100% instead of 33% of the recordings of users on both sides of the split, incon"
        in html_classification(perfect)
    )


def test_mistakes_are_counted_by_what_they_are_and_whose() -> None:
    rows = answers(["ann", "bob"], ["up", "down"], {"gru": 1.0, "majority": 0.1}, "leave-users-out")
    wrong = {"model": "gru", "true": "up", "predicted": "down", "fold": 0, "protocol": "leave-users-out"}
    more = pd.DataFrame([wrong | {"group": "ann", "count": 3}, wrong | {"group": "bob", "count": 7}])
    grid = mistake_table(ClassificationResults(pd.concat([rows, more])), "gru")
    assert grid.rows == (("up", "down", "10", "20.0%", "bob (7), ann (3)"),)


@pytest.mark.long
def test_where_only_the_majority_is_there_the_page_says_so() -> None:
    page = html_classification(
        ClassificationResults(answers(list("abcdef"), ["x", "y"], {"majority": 0.5}, "leave-users-out"))
    )
    assert "Guessing the most frequent class is the answer to beat: right on 50% of the recordings of a user" in page


@pytest.mark.long
def test_an_axis_of_accuracy_that_does_not_begin_at_0_is_marked() -> None:
    rows = answers(list("abcdef"), ["x", "y"], {"gru": 0.9, "majority": 0.5}, "leave-users-out")
    results = ClassificationResults(rows)
    (axes,) = accuracy_figure(results, ["gru"]).axes
    assert axes.get_xlim()[0] > 0
    assert "//" in [text.get_text() for text in axes.texts]
    assert "Rows: true class. Columns: predicted class, by gru." in html_classification(results)
    (whole,) = figure_of_each(pd.DataFrame({"gru": [0.0, 1.0]}, index=["x", "y"])).axes
    assert [text.get_text() for text in whole.texts] == []
