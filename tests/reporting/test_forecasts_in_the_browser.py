"""The page that forecasts a CSV file in the browser, with onnxruntime-web and nothing from elsewhere."""

from __future__ import annotations

import functools
import http.server
import io
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser

from tsforecast.data.panel import Panel
from tsforecast.forecasters.neural import GRUForecaster

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "browser"
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with onnxruntime-web next to it, as `npm install` puts it there."""
    folder = tmp_path_factory.mktemp("page") / "page"
    shutil.copytree(PAGE, folder, ignore=shutil.ignore_patterns("node_modules"))
    runtime = folder / "node_modules" / "onnxruntime-web" / "dist"
    runtime.mkdir(parents=True)
    installed = PAGE / "node_modules" / "onnxruntime-web" / "dist"
    if installed.exists():
        for name in RUNTIME:
            shutil.copy(installed / name, runtime)
        return folder
    if not shutil.which("npm"):
        pytest.skip("onnxruntime-web comes from npm, which is not installed")
    done = subprocess.run(["npm", "pack", "onnxruntime-web@1.30.0"], cwd=folder.parent, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"onnxruntime-web cannot be had: {done.stderr[-200:]}")
    with tarfile.open(folder.parent / "onnxruntime-web-1.30.0.tgz") as archive:
        for name in RUNTIME:
            file: Any = archive.extractfile(f"package/dist/{name}")
            (runtime / name).write_bytes(file.read())
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A server of these files on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

        def log_message(self, *words: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def table() -> pd.DataFrame:
    """Return two shops, each with a missing number, and four rows to come of each."""
    random, parts = np.random.default_rng(0), []
    for number, name in enumerate(("north, old", "south")):
        steps = 130 - 40 * number
        times = pd.date_range("2024-02-01 06:00", periods=steps + 4, freq="h")
        sales = 30 + 5 * np.sin(np.arange(steps + 4) * np.pi / 12) + random.normal(size=steps + 4)
        sales[steps // 2] = np.nan
        part = pd.DataFrame({"shop": name, "at": times, "sales": sales, "price": random.normal(size=steps + 4)})
        parts.append(
            part.assign(open=random.choice(["yes", "no"], steps + 4), town="ab"[number], last=times > times[-5])
        )
    return pd.concat(parts)


def test_the_page_forecasts_what_predict_does_and_loads_nothing_from_elsewhere(
    browser: Browser, address: str, folder: Path
) -> None:
    every = table()
    data, future = every[~every["last"]].drop(columns="last"), every[every["last"]].drop(columns=["last", "sales"])
    roles: dict[str, Any] = {"future": ["price", "open"], "static": ["town"], "nan_policy": "mask"}
    panel = Panel.from_frame(data, time="at", id="shop", target="sales", **roles).with_calendar("hour", "weekday")
    model = GRUForecaster(horizon=4, units=8, max_epochs=3, random_state=0).fit(panel)
    truth = model.predict(future=future, interval=0.8, ended="forecast")
    model.export(folder / "model.onnx", interval=0.8)
    data.to_csv(folder / "data.csv", index=False)
    future.to_csv(folder / "future.csv", index=False)
    context = browser.new_context(accept_downloads=True, viewport={"width": 390, "height": 844})
    page, asked, errors = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/index.html")
    for role, name in (("model", "model.onnx"), ("ahead", "future.csv"), ("data", "data.csv")):
        page.set_input_files(f"#{role}", folder / name)
    page.wait_for_selector("#result:not([hidden])", timeout=30_000)
    assert page.text_content("#message") == "2 series, 4 steps ahead."
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with page.expect_download() as kept:
        page.click("#save")
    found = pd.read_csv(io.StringIO(Path(kept.value.path()).read_text()), parse_dates=["at"])
    assert found["shop"].tolist() == truth["shop"].tolist()
    assert found["at"].tolist() == truth["at"].tolist()
    columns = ["sales", "sales_lo80", "sales_hi80"]
    np.testing.assert_allclose(found[columns], truth[columns], atol=1e-5 * 10)
    assert {url.split("/")[0] + "//" + url.split("/")[2] for url in asked if not url.startswith("blob:")} == {address}
    assert errors == []
    (folder / "broken.csv").write_text("shop,at,sales\nnorth,2024-02-01,1\n")
    page.set_input_files("#data", folder / "broken.csv")
    page.wait_for_selector("#message.error")
    assert "it lacks price, open" in (page.text_content("#message") or "")
    page.set_input_files("#data", folder / "data.csv")
    page.wait_for_selector("#result:not([hidden])")
    context.close()
