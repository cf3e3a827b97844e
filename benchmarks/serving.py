"""A server under load: latency with 1, 10 and 100 clients, memory over 100,000 requests, and 10,000 hostile ones.

Run with ``python benchmarks/serving.py`` (a quarter of an hour), or with the parts to measure: ``latency``, ``memory``,
``hostile``. Clients of one process ask a server in another one, on the same machine, each as soon as it has the answer
before. The model is a network on hourly data with a window of a week; a request has 14 days of it, 336 rows. Without
batching (``--max-batch 1``) each request is computed alone.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hostile_bodies import requests
from record import record

from tsforecast import GRUForecaster, NearestNeighborClassifier, Panel, SeasonalNaiveForecaster, save

CLIENTS = {1: 100, 10: 200, 100: 400}  # and requests of all of them together in a round
BATCHES = (64, 1)
ROUNDS = 5
ALL, EACH = 100_000, 10_000  # requests of the run on memory, and between two looks at it
HOSTILE = 2_000  # requests to each model
SERVER = {name: version(name) for name in ("fastapi", "uvicorn")}


def hourly(steps: int = 3_000) -> pd.DataFrame:
    """Return hours with a day and a week in them."""
    t = np.arange(steps)
    load = 50 + 10 * np.sin(2 * np.pi * t / 24) + 5 * np.sin(2 * np.pi * t / 168)
    load += np.random.default_rng(0).normal(size=steps)
    return pd.DataFrame({"hour": pd.date_range("2024-01-01", periods=steps, freq="h"), "load": load.round(3)})


def network() -> Any:
    """Return the network that is served."""
    panel = Panel.from_frame(hourly(), time="hour", target="load")
    return GRUForecaster(horizon=24, window=168, units=32, max_epochs=3, random_state=0).fit(panel)


def bodies(rows: int, count: int = 50) -> list[bytes]:
    """Return requests with as many rows, of different parts of the data."""
    frame = hourly().assign(hour=lambda every: every["hour"].astype(str))
    begins = np.random.default_rng(1).integers(0, len(frame) - rows, count)
    parts = [frame.iloc[at : at + rows] for at in begins.tolist()]
    return [json.dumps({"context": {name: part[name].tolist() for name in part}}).encode() for part in parts]


@contextmanager
def running(model: Any, *options: str) -> Iterator[tuple[int, int]]:
    """Serve a model in a process of its own; yield its number and port."""
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model")
        words = [sys.executable, "-m", "tsforecast.cli.app", "serve", f"{folder}/model", "--port", "0", *options]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield process.pid, int(line.partition(";")[0].rpartition(":")[2])
        finally:
            process.terminate()
            process.wait()


async def client(port: int, wanted: Iterator[bytes], seconds: list[float]) -> None:
    """Ask on one connection until there is nothing more to ask; note how long each answer took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in wanted:
        began = time.perf_counter()
        lines = (
            "POST /forecast HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        writer.write("\r\n".join([*lines, "\r\n"]).encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        size = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(size)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(answer)
        seconds.append(time.perf_counter() - began)
    writer.close()


def processor(number: int) -> float:
    """Return the seconds of processor time that a process has had, which others on the machine hardly change."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port: int, clients: int, count: int, sent: list[bytes]) -> tuple[list[float], float]:
    """Return the seconds of each of `count` requests of so many clients, and of all together."""
    wanted, seconds = (sent[at % len(sent)] for at in range(count)), list[float]()

    async def every() -> None:
        await asyncio.gather(*(client(port, wanted, seconds) for _ in range(clients)))

    began = time.perf_counter()
    asyncio.run(every())
    return seconds, time.perf_counter() - began


def latency() -> list[dict[str, Any]]:
    """Return rows of latency by clients, with and without batching: two servers that are asked in turn, in rounds."""
    found: dict[tuple[int, int], list[list[float]]] = {(many, batch): [] for many in CLIENTS for batch in BATCHES}
    model, sent, load = network(), bodies(336), os.getloadavg()[0]
    with ExitStack() as stack:
        servers = {batch: stack.enter_context(running(model, "--max-batch", str(batch))) for batch in BATCHES}
        for _, port in servers.values():
            ask(port, 4, 40, sent)
        for turn, (many, count) in product(range(ROUNDS), CLIENTS.items()):
            for batch in BATCHES[:: 1 if turn % 2 else -1]:
                number, port = servers[batch]
                before = processor(number)
                seconds, total = ask(port, many, count, sent)
                cpu = 1_000 * (processor(number) - before) / count
                p50, p99 = np.percentile(seconds, [50, 99]) * 1_000
                found[many, batch].append([p50, p99, count / total, cpu])
                sys.stdout.write(f"{many} clients, batch {batch}: {p50:.1f} {p99:.1f} ms, {cpu:.2f}\n")
                sys.stdout.flush()
    rows = []
    for (many, batch), each in found.items():
        low, middle, high = np.percentile(each, [0, 50, 100], axis=0).round(1).tolist()
        row = {"measured": "latency", "model": "gru", "rows": 336, "clients": many, "batch": batch}
        row |= {"requests": CLIENTS[many], "rounds": ROUNDS, "load_before": round(load, 2), "nice": os.nice(0)}
        row["server"] = SERVER
        for name, at in (("p50_ms", 0), ("p99_ms", 1), ("per_second", 2), ("cpu_ms", 3)):
            row |= {name: middle[at], f"{name}_low": low[at], f"{name}_high": high[at]}
        rows.append(row)
    return rows


def memory() -> list[dict[str, Any]]:
    """Return one row: resident memory after each 10,000 of 100,000 requests of ten clients, in MiB."""
    found, model = list[float](), GRUForecaster(horizon=24, window=48, units=16, max_epochs=2, random_state=0)
    model.fit(Panel.from_frame(hourly(), time="hour", target="load"))
    sent = bodies(60)
    with running(model) as (number, port):
        for done in range(0, ALL + 1, EACH):
            ask(port, 10, EACH if done else 200, sent)
            status = Path(f"/proc/{number}/status").read_text()
            found.append(round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1))
            sys.stdout.write(f"{done} {found[-1]}\n")
            sys.stdout.flush()
    slope = float(np.polyfit(np.arange(1, len(found)), found[1:], 1)[0])
    row = {"measured": "memory", "model": "gru", "rows": 60, "clients": 10, "requests": ALL, "mib": found}
    return [{**row, "mib_per_10000": round(slope, 2), "server": SERVER}]


def hostile() -> list[dict[str, Any]]:
    """Return a row for each of five models: how often each status answered hostile requests."""
    days = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=90), "sales": hourly(90)["load"], "promo": 0})
    hours = hourly(200).assign(hour=lambda every: every["hour"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"))
    gaps = Panel.from_frame(hours, time="hour", target="load", fill_gaps=True, sort=True, nan_policy="mask")
    small: dict[str, Any] = {"window": 12, "units": 4, "max_epochs": 2, "random_state": 0}
    line = hourly(90)["load"].to_numpy()
    windows = np.stack([line[at : at + 15] for at in range(60)])
    waves = [np.random.default_rng(at).normal(size=(8 + at, 2)) for at in range(6)]
    models = {
        "gru with a future column": GRUForecaster(horizon=3, **small).fit(
            Panel.from_frame(days.assign(shop="a"), time="day", id="shop", target="sales", future="promo")
        ),
        "seasonal-naive of hours with gaps": SeasonalNaiveForecaster(horizon=30).fit(gaps),
        "seasonal-naive of an array": SeasonalNaiveForecaster(horizon=3, season_length=6).fit(line),
        "gru of windows": GRUForecaster(horizon=3, **small).fit(windows[:, :12], windows[:, 12:]),
        "nearest-neighbor classifier": NearestNeighborClassifier().fit(waves, ["rest", "wave"] * 3),
    }
    rows = []
    for name, model in models.items():
        with running(model, "--max-rows", "2000", "--max-bytes", "100000") as (_, port):
            connection, found = http.client.HTTPConnection("127.0.0.1", port), Counter[int]()
            connection.request("GET", "/openapi.json")
            paths = json.loads(connection.getresponse().read())["paths"]
            path = next(each for each in paths if "post" in paths[each])
            example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
            for method, where, body, headers in requests(example, path, HOSTILE, seed=3):
                connection.request(method, where, body, headers)
                answer = connection.getresponse()
                answer.read()
                found[answer.status] += 1
            connection.request("POST", path, json.dumps(example), {"Content-Type": "application/json"})
            after = connection.getresponse().status
        statuses = {str(status): count for status, count in sorted(found.items())}
        row = {"measured": "hostile", "model": name, "requests": HOSTILE, "seed": 3, "statuses": statuses}
        rows.append({**row, "sound_one_after": after, "server": SERVER})
        sys.stdout.write(f"{name}: {statuses}\n")
    return rows


def main() -> None:
    parts = {"latency": latency, "memory": memory, "hostile": hostile}
    for part in sys.argv[1:] or parts:
        record("serving", parts[part](), {"measured": part})


if __name__ == "__main__":
    main()
