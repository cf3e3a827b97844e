"""Whatever a client sends, the server answers with an answer or one sentence, and never fails."""

from __future__ import annotations

import http.client
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tests.helpers.serving import ask, get
from tsforecast import NearestNeighborClassifier, Panel, SeasonalNaiveForecaster
from tsforecast.serving.app import Server
from tsforecast.serving.worker import Limits

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from hostile_bodies import requests

HOURS = pd.date_range("2024-03-30", periods=120, freq="h", tz="Europe/Berlin")


def models() -> Iterator[tuple[str, Any]]:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=90), "sales": wave(90), "promo": 0, "shop": "a"})
    yield "future", small("gru").fit(Panel.from_frame(frame, target="sales", future="promo", id="shop"))
    gaps = Panel.from_frame(pd.DataFrame({"h": HOURS, "y": wave(120)}), fill_gaps=True, sort=True, nan_policy="mask")
    yield "hours", SeasonalNaiveForecaster(horizon=30, season_length=24).fit(gaps)
    yield "numbers", SeasonalNaiveForecaster(horizon=3, season_length=6).fit(wave())
    windows = np.stack([wave()[at : at + 15] for at in range(20)])
    yield "windows", small("gru").fit(windows[:, :12], windows[:, 12:])
    waves = [np.random.default_rng(at).normal(size=(8 + at, 2)) for at in range(6)]
    yield "recordings", NearestNeighborClassifier().fit(waves, ["rest", "wave"] * 3)


MODELS = dict(models())


def statuses(model: Any, count: int, seed: int) -> Counter[int]:
    """Return how often each status answered so many hostile requests; each answer is JSON of one form."""
    found = Counter[int]()
    with Server(model, port=0, limits=Limits(max_rows=2_000, max_bytes=100_000)) as server:
        path = server.model.path
        host, port = server.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        for method, where, body, headers in requests(server.model.example(), path, count, seed):
            connection.request(method, where, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            found[answer.status] += 1
            shown = f"{method} {where} {headers} {body[:2000]!r}: {answer.status} {content[:500]!r}"
            assert answer.status == 200 or 400 <= answer.status < 500, shown
            if answer.status != 200:
                sentence = json.loads(content)["error"]
                assert sentence, shown
                assert "Traceback" not in sentence, shown
                assert "\n" not in sentence, shown
                assert "must have data that the model can read" not in sentence, shown  # an error of a library beneath
        connection.close()
        assert get(server.url, "/health")[1]["waiting"] == 0
        assert ask(server.url, path, server.model.example())[0] == 200
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_a_hundred_hostile_requests_are_answered_or_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = statuses(MODELS[name], 100, seed=1)
    assert found.keys() >= {400, 405, 415, 422}
    assert capfd.readouterr().err == ""  # nothing failed on the way either


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_ten_thousand_hostile_requests_are_answered_or_refused(name: str) -> None:
    found = statuses(MODELS[name], 2_000, seed=2)
    assert sum(found.values()) == 2_000
