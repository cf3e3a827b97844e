"""Make the pictures of reports on the pages: ``TSFORECAST_BROWSER=/usr/bin/chromium python docs/pictures.py``.

Reports are made of data that come along, in a minute or two, and opened in Chromium; pictures have few colours, so that
each is smaller than 150 kB.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pypdfium2
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tsforecast import GRUClassifier, GRUForecaster, RaySearch, compare_classifiers, detect, leaderboard, load_dataset

IMAGES = Path(__file__).parent / "images"
LARGEST = 150_000  # bytes


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        place = Path(folder)
        write_reports(place)
        draw_anchor()
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("TSFORECAST_BROWSER"), args=["--no-sandbox"]
        )
        take(browser, place / "forecasts.html", "report", width=1100, height=780)
        take(browser, place / "forecasts.html", "report-dark", width=1440, height=900, scheme="dark")
        take(browser, place / "forecasts.html", "report-phone", width=390, height=844)
        take(browser, place / "shops.html", "report-desktop", width=1440, height=900)
        take_paper(browser, place / "shops.html", "report-print")
        take(browser, place / "classes.html", "report-classes", width=1100, height=780)
        take(browser, place / "search.html", "report-search", width=1100, height=780)
        take(browser, place / "anomalies.html", "report-anomalies", width=1100, height=780)
        browser.close()


def write_reports(place: Path) -> None:
    """Write one report of each kind."""
    co2 = load_dataset("co2-weekly")
    model = GRUForecaster(horizon=13, random_state=0)
    leaderboard([model, "ets"], co2, horizon=13, origins=12, forecast=True).to_html(place / "forecasts.html", "CO2")

    leaderboard(["gru", "rnn"], shops(), horizon=14, origins=8, forecast=True, unit="EUR").to_html(
        place / "shops.html", "Sales of 40 shops, made up"
    )

    random, people = np.random.default_rng(0), np.repeat(np.arange(8), 12)
    names, arms = np.array(["circle", "tap", "wave"] * 32), random.normal(size=8)
    steps = np.arange(30)
    shapes = {"circle": np.cos(steps / 4), "tap": np.exp(-((steps - 15) ** 2) / 8), "wave": np.sin(steps / 2)}
    moves = [arms[who] + shapes[name] + 1.5 * random.normal(size=30) for who, name in zip(people, names, strict=True)]
    small = GRUClassifier(max_epochs=15, random_state=0)
    compare_classifiers(small, moves, names, people).to_html(place / "classes.html", "Gestures of a watch, made up")

    nino = load_dataset("elnino-monthly")
    space = {"units": [16, 32, 64], "layers": (1, 3), "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}}
    search = RaySearch(GRUForecaster(horizon=12), space, trials=16, max_epochs=10, storage=place, random_state=0)
    search.fit(nino).report(place / "search.html", "El Niño")

    hours = np.arange(3000)
    load = 50 + 10 * np.sin(2 * np.pi * hours / 24) + random.normal(size=3000)
    load[[2920, 2950]] += 8
    load[2975:] += 3
    frame = pd.DataFrame({"hour": pd.date_range("2024-01-01", periods=3000, freq="h"), "load": load})
    fitted = GRUForecaster(horizon=1, window=48, max_epochs=10, random_state=0).fit(frame[:2900])
    detect(frame[2900:], fitted).to_html(place / "anomalies.html", "Load, made up")


def draw_anchor() -> None:
    """Draw how a network corrects its anchor at a cutoff that it did not learn from."""
    from matplotlib import pyplot

    model = GRUForecaster(horizon=26, random_state=0).fit(load_dataset("co2-weekly"))
    parts = model.explain().forecasts.dropna(subset="y")
    whole = parts.groupby("cutoff").filter(lambda rows: len(rows) == 26)
    parts = whole[whole["cutoff"] == whole["cutoff"].max()]
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(parts["step"], parts["y"], "o", ms=4, color="black", label="the truth, which came later")
    axes.plot(parts["step"], parts["anchor"], color="#888888", ls="--", label="anchor: a naive forecast")
    axes.plot(parts["step"], parts["forecast"], color="#0072b2", label="forecast: anchor and correction")
    axes.set(xlabel="weeks ahead", ylabel="CO2, ppm")
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(IMAGES / "anchor.svg", metadata={"Date": None})
    pyplot.close(figure)


def shops() -> pd.DataFrame:
    """Return daily sales of 40 shops with a weekly rhythm of their own."""
    random, days = np.random.default_rng(0), np.arange(420)
    frames = []
    for number in range(1, 41):
        week, usual = random.uniform(0.6, 1.6, 7) * np.r_[np.ones(6), 0.3], 300 * random.uniform(0.3, 2)
        sales = usual * (week[days % 7] * (1 + 0.1 * np.sin(days / 58)) + 0.12 * random.normal(size=420))
        dates = pd.date_range("2023-01-02", periods=420)
        frames.append(pd.DataFrame({"shop": f"Shop {number:02d}", "day": dates, "sales": sales.clip(0).round(2)}))
    return pd.concat(frames)


def take_paper(browser: Browser, page: Path, name: str) -> None:
    """Save how the first two sheets of a page are printed."""
    tab = browser.new_page()
    tab.goto(page.as_uri())
    document = pypdfium2.PdfDocument(tab.pdf(format="A4", prefer_css_page_size=True))
    sheets = [document[i].render(scale=1.3).to_pil() for i in range(2)]
    tab.close()
    gap = 12
    both = Image.new("RGB", (sheets[0].width + gap + sheets[1].width, sheets[0].height), "#888888")
    both.paste(sheets[0], (0, 0))
    both.paste(sheets[1], (sheets[0].width + gap, 0))
    save(both, name)


def save(picture: Image.Image, name: str) -> None:
    """Save a picture with few colours."""
    picture.convert("RGB").quantize(64).save(IMAGES / f"{name}.png", optimize=True)
    if (IMAGES / f"{name}.png").stat().st_size > LARGEST:
        raise SystemExit(f"{name}.png must be smaller than {LARGEST} bytes")


def take(browser: Browser, page: Path, name: str, width: int, height: int, scheme: str = "light") -> None:
    """Save what the browser shows of the beginning of a page."""
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    tab.goto(page.as_uri())
    tab.wait_for_timeout(500)
    save(Image.open(io.BytesIO(tab.screenshot())), name)
    tab.close()


if __name__ == "__main__":
    main()
