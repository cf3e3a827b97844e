"""Models behind a server: answers of predict, also of several requests in one pass; errors are one sentence."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tests.helpers.serving import ask, get
from tsforecast import ConformalForecaster, EnsembleForecaster, GRUForecaster, Panel, SeasonalNaiveForecaster
from tsforecast.errors import ParameterError
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.neural import NeuralClassifier
from tsforecast.serving.app import Server, hosts_of, served
from tsforecast.serving.model import ServedForecaster
from tsforecast.serving.worker import Limits

DAYS = pd.date_range("2024-01-01", periods=90)
SHOPS = pd.concat(
    [pd.DataFrame({"day": DAYS, "shop": name, "sales": wave(90, seed)}) for seed, name in enumerate("ab")]
).assign(promo=np.tile(np.arange(90) % 5 == 0, 2))
ROLES: dict[str, Any] = {"time": "day", "id": "shop", "target": "sales"}


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame as records of JSON."""
    return list(json.loads(frame.assign(day=frame["day"].astype(str)).to_json(orient="records", double_precision=15)))


@pytest.fixture(scope="module", name="shops")
def fitted() -> GRUForecaster:
    return small("gru").fit(Panel.from_frame(SHOPS, **ROLES, future="promo"))


@pytest.fixture(scope="module", name="server")
def serving(shops: GRUForecaster) -> Iterator[Server]:
    with Server(shops, port=0, limits=Limits(max_bytes=200_000, max_rows=1_000)) as server:
        yield server


@pytest.fixture(scope="module", name="classifier")
def gestures() -> Classifier:
    random = np.random.default_rng(0)
    recordings = [random.normal(size=(length, 2)) for length in (9, 7, 8, 9)]
    return NeuralClassifier("gru", units=4, max_epochs=1, random_state=0).fit(recordings, ["rest", "wave"] * 2)


def test_the_documented_example_runs_and_is_answered_as_predict_answers(server: Server, shops: GRUForecaster) -> None:
    _, spec = get(server.url, "/openapi.json")
    content = spec["paths"]["/forecast"]["post"]["requestBody"]["content"]["application/json"]
    assert all(field["description"] for field in content["schema"]["properties"].values())
    status, answer = ask(server.url, "/forecast", content["example"] | {"interval": 0.8})
    assert (status, answer["notes"]) == (200, [])
    past, ahead = (pd.DataFrame(content["example"][name]) for name in ("context", "future"))
    past, ahead = (each.assign(day=pd.to_datetime(each["day"])) for each in (past, ahead))
    right = shops.predict(past, future=ahead, interval=0.8)
    for name in ("sales", "sales_lo80", "sales_hi80"):
        assert answer["forecast"][name] == right[name].tolist()
    assert answer["forecast"]["shop"] == right["shop"].tolist()
    assert answer["forecast"]["day"] == [day.isoformat() for day in right["day"]]


def test_pages_describe_the_model_and_load_nothing(server: Server, shops: GRUForecaster) -> None:
    status, about = get(server.url, "/model")
    assert (status, about["name"], about["horizon"], about["frequency"]) == (200, "gru", 3, "D")
    assert about["fingerprint"] == shops.fingerprint()
    assert about["roles"] == {
        "time": "day",
        "id": "shop",
        "target": ["sales"],
        "past": [],
        "future": ["promo"],
        "static": [],
    }
    assert about["limits"]["max_rows"] == 1_000
    assert get(server.url, "/health")[1]["status"] == "ok"
    status, page = get(server.url, "/")
    assert status == 200
    assert "<h1>gru</h1>" in page
    assert "http" not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b'{"context": NaN}', 400, "the body must be JSON: NaN is no number of JSON; write null for what is missing"),
        (b'{"horizon": 1, "horizon": 2}', 400, "each name must occur once in an object: 'horizon' occurs twice"),
        (b'{"horizon": 1e999}', 400, "numbers must be at most 1.8e308: got 1e999; scale them down"),
        (b'{"horizon": ' + b"9" * 5000 + b"}", 400, "numbers must be at most 1.8e308: got one of 5000 digits"),
        (b"[" * 5_000, 400, "the body must nest few levels"),
        (b'{"\xff": 1}', 400, "the body must be JSON in UTF-8: byte 2 of 8 is 0xff; encode it as UTF-8"),
        (b'{"context": "\\ud800"}', 400, "texts must be characters: the escape \\ud800 is half of one; write both"),
        ({"context": [None]}, 422, "'context' must be an object of columns, or a list of records: got a list with"),
        (b"", 400, "the body must be JSON: expecting value, line 1, column 1; send an object such as {}"),
        (b"[1]", 400, "the body must be a JSON object: got a list of 1"),
        ({"contxt": {}}, 422, "the body must have no field 'contxt'; did you mean 'context'?"),
        ({"context": 3}, 422, "'context' must be an object of columns, or a list of records: got 3"),
        ({"context": {"day": [1], "sales": []}}, 422, "columns of 'context' must have one length: 'day' has 1"),
        ({"context": [{"sales": [1]}]}, 422, "column 'sales' of 'context' must hold numbers, texts and null: it has a"),
        ({"context": [{"x": 1}] * 1001}, 413, "'context' must have at most 1000 rows: got 1001; send fewer rows"),
        ({"horizon": 0}, 422, "horizon must be a whole number >= 1: got 0"),
        ({"horizon": True}, 422, "horizon must be a whole number >= 1: got True"),
        ({"horizon": 101}, 422, "'horizon' must be at most 100 steps: got 101; ask for fewer steps, or start"),
        ({"interval": 80}, 422, "interval must be between 0 and 1, such as 0.8"),
        ({"interval": "80"}, 422, "'interval' must be at most 100 numbers between 0 and 1: got \"80\""),
        ({"series": ["c"]}, 422, "series 'c' must be a fitted one; choose from 'a', 'b'"),
        ({}, 422, "future columns 'promo' must be known for the 3 steps after each series: nothing was given; send"),
        ({"context": rows(SHOPS[5:20].drop(index=7))}, 422, "pass"),
        (b"x" * 200_001, 413, "the body must have at most 200000 bytes: got 200001 or more"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_one_sentence(server: Server, body: Any, status: int, sentence: str) -> None:
    got, answer = ask(server.url, "/forecast", body)
    assert got == status
    if sentence != "pass":
        assert answer["error"].startswith(sentence)
    assert "\n" not in answer["error"]
    assert "Traceback" not in answer["error"]


def test_an_answer_has_a_limit_as_well(shops: GRUForecaster) -> None:
    (rows,) = served(shops, Limits(max_rows=5)).answer([b"{}"])
    assert str(rows).startswith("the answer must have at most 5 rows: got 2 series x 3 steps; ask for fewer steps")
    levels = json.dumps({"quantiles": [at / 100 for at in range(1, 40)]}).encode()
    (numbers,) = served(shops, Limits(max_rows=20)).answer([levels])
    assert str(numbers).startswith("the answer must have at most 200 numbers: got 2 series x 3 steps x 40 columns; ask")


def test_other_types_methods_and_paths_are_refused(server: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        status, answer = ask(server.url, "/forecast", b"{}", Content_Type=kind)
        assert (status, answer["error"][:30]) == (415, "the content type must be appli")
    assert ask(server.url, "/forecast", b"{}", Content_Encoding="gzip")[0] == 415
    assert get(server.url, "/forecast")[0] == 405
    assert ask(server.url, "/model", {})[0] == 405
    status, answer = ask(server.url, "/invocations", {})
    paths = "GET /, /health, /model, /openapi.json and POST /forecast"
    assert (status, answer) == (404, {"error": f"POST '/invocations' must be one of {paths}"})


MODELS: dict[str, Any] = {
    "gru": small("gru"),
    "quantiles": GRUForecaster(horizon=3, window=12, units=4, max_epochs=1, loss="quantile", random_state=0),
    "seasonal-naive": SeasonalNaiveForecaster(horizon=3, season_length=6),
    "conv1d": small("conv1d"),
    "ensemble": EnsembleForecaster([small("lstm"), small("rnn")]),
    "conformal": ConformalForecaster(small("gru"), coverage=0.8),
}


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough if at > 2 else ()) for at, name in enumerate(MODELS)]
)
def test_requests_in_one_pass_have_the_answers_of_each_alone_to_the_bit(name: str) -> None:
    model = MODELS[name].fit(Panel.from_frame(SHOPS, **ROLES, future="promo"))
    behind = served(model, Limits())
    assert isinstance(behind, ServedForecaster)
    assert behind.joined
    random = np.random.default_rng(1)
    bodies = []
    for number in range(20):
        past = SHOPS[SHOPS["shop"] == "ab"[number % 2]].iloc[random.integers(30) : 60 + number % 7]
        past = past.assign(sales=past["sales"] * random.uniform(0.5, 2), shop=random.choice(["a", "b", "new", "é"]))
        ahead = past[["day", "shop"]].tail(3).assign(promo=random.random(3) < 0.5)
        ahead["day"] += pd.Timedelta(days=3)
        more = {"interval": [0.8], "quantiles": [0.1]} if number % 3 else {}
        bodies.append(json.dumps({"context": rows(past), "future": rows(ahead), **more}).encode())
    bodies[7], bodies[12] = b'{"context": 3}', bodies[12].replace(b'"day"', b'"night"')
    alone = [behind.answer([body])[0] for body in bodies]
    together = behind.answer(bodies)
    for one, other in zip(alone, together, strict=True):
        assert str(one) == str(other)
    assert sum(isinstance(one, bytes) for one in together) == 18


def test_requests_around_a_change_of_clocks_have_the_answers_of_each_alone() -> None:
    hours = pd.date_range("2024-03-25", periods=240, freq="h", tz="Europe/Berlin")  # clocks go forward on the 31st
    frame = pd.DataFrame({"day": hours, "load": wave(240)})
    behind = served(SeasonalNaiveForecaster(horizon=24, season_length=24).fit(frame), Limits())
    ends = range(120, 240, 10)
    bodies = [json.dumps({"context": rows(frame[end - 80 : end])}).encode() for end in ends]
    together = behind.answer(bodies)
    assert together == [behind.answer([body])[0] for body in bodies]
    assert all(isinstance(answer, bytes) for answer in together)


@pytest.mark.long
def test_requests_that_wait_are_joined_and_none_beyond_the_limit(shops: GRUForecaster) -> None:
    past = SHOPS[SHOPS["shop"] == "a"]
    ahead = past[["day", "shop", "promo"]].tail(3).assign(day=past["day"].tail(3) + pd.Timedelta(days=3))
    body = {"context": rows(past), "future": rows(ahead)}
    long = {"context": [{"day": 1, "shop": number, "sales": 1.0, "promo": 0} for number in range(60_000)]}
    found: list[tuple[int, Any]] = []
    with Server(shops, port=0, limits=Limits(max_waiting=6)) as server:
        _, right = ask(server.url, "/forecast", body)
        before = get(server.url, "/health")[1]
        threads = [
            threading.Thread(target=lambda sent=sent: found.append(ask(server.url, "/forecast", sent)))
            for sent in [long, *[body] * 30]
        ]
        threads[0].start()
        while get(server.url, "/health")[1]["waiting"] == 0 and not found:
            time.sleep(0.001)
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join()
        _, after = get(server.url, "/health")
    assert {status for status, _ in found} == {200, 422, 503}
    assert all(answer == right for status, answer in found if status == 200)
    assert all("come again" in answer["error"] for status, answer in found if status == 503)
    assert after["waiting"] == 0
    assert after["batches"] - before["batches"] < after["answered"] - before["answered"]


@pytest.mark.long
def test_an_answer_that_takes_too_long_is_refused_and_a_slow_body_as_well() -> None:
    model = SeasonalNaiveForecaster(horizon=3, season_length=6).fit(wave())
    with Server(model, port=0, limits=Limits(max_rows=10**6, max_seconds=0.2, max_horizon=10**6)) as server:
        status, answer = ask(server.url, "/forecast", {"horizon": 300_000})
        assert status == 504
        assert answer["error"].startswith("the answer must come within 0.2 s: it takes longer; ask for less")
    with Server(model, port=0, limits=Limits(max_seconds=0.2)) as server:
        place = server.url.removeprefix("http://").split(":")
        with socket.create_connection((place[0], int(place[1]))) as slow:
            slow.sendall(
                b"POST /forecast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 9\r\n\r\n{"
            )
            assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.long
def test_models_of_arrays_and_of_windows_take_lists() -> None:
    one = SeasonalNaiveForecaster(horizon=2, season_length=3).fit(np.arange(30.0))
    with Server(one, port=0) as server:
        assert ask(server.url, "/forecast", {})[1]["forecast"] == {"y": [27.0, 28.0]}
        assert ask(server.url, "/forecast", {"context": [1, 2, 3, 4]})[1]["forecast"] == [{"y": 2.0}, {"y": 3.0}]
        _, answer = ask(server.url, "/forecast", {"context": [[1, 2, 3, 4], [5, 6, 7]]})
        assert answer["forecast"][2] == {"series": 1, "y": 5.0}
    windows = np.stack([np.arange(at, at + 6.0) for at in range(8)])
    taught = SeasonalNaiveForecaster(horizon=2, season_length=3).fit(windows[:, :4], windows[:, 4:])
    with Server(taught, port=0) as server:
        assert ask(server.url, "/forecast", {"context": [[1, 2, 3, 4]]})[1]["forecast"] == [[2.0, 3.0]]
        status, answer = ask(server.url, "/forecast", {"context": [[1, 2, 3, 4], [1]]})
        assert (status, answer["error"][:46]) == (422, "'context' must be a list of windows of as many")


def test_recordings_are_classified_as_lists_and_as_rows(classifier: Classifier) -> None:
    recordings = [np.arange(12.0).reshape(6, 2), np.ones((4, 2))]
    right = classifier.predict_proba(recordings)
    with Server(classifier, port=0) as server:
        _, spec = get(server.url, "/openapi.json")
        body = spec["paths"]["/classify"]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert ask(server.url, "/classify", body)[0] == 200
        _, answer = ask(server.url, "/classify", {"recordings": [each.tolist() for each in recordings]})
        assert [list(each["probabilities"].values()) for each in answer["predictions"]] == right.tolist()
        assert [each["label"] for each in answer["predictions"]] == classifier.predict(recordings).tolist()
        table = np.concatenate(recordings)
        columns = {"who": ["p"] * 6 + ["q"] * 4, "x": table[:, 0].tolist(), "y": table[:, 1].tolist()}
        _, rowwise = ask(server.url, "/classify", {"recordings": columns, "id": "who"})
        assert [each["id"] for each in rowwise["predictions"]] == ["p", "q"]
        assert [each["probabilities"] for each in rowwise["predictions"]] == [
            each["probabilities"] for each in answer["predictions"]
        ]
        for wrong, sentence in [
            ({}, "'recordings' must be a list of recordings"),
            ({"recordings": [[1, 2]]}, "X must have the 2 channels that were fitted: got 1"),
            ({"recordings": columns}, "rows of recordings must have a column 'id' that names them"),
            ({"recordings": [[[1, 2], [3]]]}, "a recording must be a list of numbers, or of lists of as many numbers"),
        ]:
            status, answer = ask(server.url, "/classify", wrong)
            assert (status, answer["error"][: len(sentence)]) == (422, sentence)


def test_a_port_that_is_taken_is_one_sentence(server: Server, shops: GRUForecaster) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(ParameterError, match=rf"127\.0\.0\.1:{port} must be an address of this machine that is free"):
        Server(shops, port=port)
    with pytest.raises(ParameterError, match="port must be a number up to 65535: got 70000"):
        Server(shops, port=70_000)
    with pytest.raises(ParameterError, match="a server needs a forecaster or a classifier: got a dict"):
        Server({}, port=0)


def asked_by(url: str, name: str) -> tuple[int, str]:
    """Return status and body of a request whose header Host is `name`."""
    place = url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((place[0], int(place[1])), timeout=30) as line:
        line.sendall(f"GET /model HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        with line.makefile("rb") as answer:
            status, _, body = answer.read().decode().partition("\r\n\r\n")
    return int(status.split()[1]), body


@pytest.mark.long
def test_a_server_on_this_machine_answers_no_request_for_another_name(server: Server, shops: GRUForecaster) -> None:
    port = server.url.rsplit(":", 1)[1]
    for name in ("localhost", f"LOCALHOST:{port}", "localhost.", "127.0.0.1", f"127.0.0.1:{port}", f"[::1]:{port}", ""):
        assert asked_by(server.url, name)[0] == 200, name
    for name in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example"):
        assert asked_by(server.url, name)[0] == 421, name
    assert asked_by(server.url, "evil.example")[1] == (
        '{"error": "the header Host must be one of 127.0.0.1, ::1, localhost: got \'evil.example\'; ask by one of '
        'these, or start the server with --allowed-hosts"}'
    )
    with Server(shops, port=0, allowed_hosts=["forecasts.example:443"]) as other:
        assert [asked_by(other.url, name)[0] for name in ("forecasts.example", "evil.example")] == [200, 421]
    with Server(shops, port=0, allowed_hosts=["*"]) as other:
        assert asked_by(other.url, "evil.example")[0] == 200


def test_a_server_for_other_machines_answers_by_any_name_unless_some_are_given() -> None:
    assert hosts_of("0.0.0.0", "0.0.0.0", []) is None
    assert hosts_of("::", "::", ["a.example"]) == {"localhost", "127.0.0.1", "::1", "::", "a.example"}


def test_an_address_of_another_machine_is_one_sentence_with_its_remedy(shops: GRUForecaster) -> None:
    with pytest.raises(ParameterError, match=r"203\.0\.113\.5:\d+ must be .*; name another host, such as 127\.0\.0\.1"):
        Server(shops, port=0, host="203.0.113.5")
