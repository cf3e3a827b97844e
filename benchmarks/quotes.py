"""Quotes beside the fits that follow: how many lie within a quarter.

Run with ``python benchmarks/quotes.py`` (five minutes). Fits of every kind and of many sizes are quoted, and then made;
where patience ended one, the quote is that for as many epochs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from record import record

from tsforecast import (
    Conv1DForecaster,
    GRUClassifier,
    GRUForecaster,
    LSTMForecaster,
    Panel,
    RNNForecaster,
    load_dataset,
)

WITHIN = 0.25


def cases() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Yield names, models and the arguments of their fits."""
    random = np.random.default_rng(0)
    weekly, monthly = load_dataset("co2-weekly"), load_dataset("elnino-monthly")
    for kind in (RNNForecaster, GRUForecaster, LSTMForecaster, Conv1DForecaster):
        yield f"{kind.__name__}, co2-weekly", kind(horizon=8, random_state=0), (weekly,)
    yield "GRU step by step, elnino-monthly", GRUForecaster(horizon=12, segment=1, random_state=0), (monthly,)
    yield "five GRUs, elnino-monthly", GRUForecaster(horizon=12, members=5, random_state=0), (monthly,)
    yield "GRU of quantiles, refit", GRUForecaster(horizon=12, loss="quantile", refit=True, random_state=0), (monthly,)
    many = Panel.from_array([np.sin(np.arange(120) / 3) + random.normal(size=120) for _ in range(1_000)])
    yield "GRU, 1,000 series", GRUForecaster(horizon=12, random_state=0), (many,)
    yield "LSTM of 128 units, 1,000 series", LSTMForecaster(horizon=12, units=128, random_state=0), (many,)
    long = np.sin(np.arange(200_000) / 50) + 0.1 * random.normal(size=200_000)
    yield "GRU, 200,000 steps", GRUForecaster(horizon=24, window=96, random_state=0), (long,)
    yield (
        "GRU, 12 epochs without validation",
        GRUForecaster(horizon=24, max_epochs=12, validation=None),
        (long[:20_000],),
    )
    recordings = [np.sin(np.arange(random.integers(60, 120)) * (1 + i % 3) / 9) for i in range(240)]
    yield "GRUClassifier", GRUClassifier(max_epochs=12, random_state=0), (recordings, np.arange(240) % 3)


def main() -> None:
    rows = []
    for name, model, data in cases():
        quote, began = model.quote(*data), time.perf_counter()
        model.fit(*data)
        seconds = time.perf_counter() - began
        epochs = len(model.history_) - 1
        quoted = quote.after(epochs)
        rows.append(
            {
                "measured": "quote",
                "fit": name,
                "epochs": epochs,
                "of": quote.epochs,
                "quoted": round(quoted, 3),
                "seconds": round(seconds, 3),
                "error": round(quoted / seconds - 1, 3),
                "spent": round(quote.spent, 3),
            }
        )
        print(name, rows[-1], flush=True)  # noqa: T201
    print(sum(abs(row["error"]) <= WITHIN for row in rows), "of", len(rows), "within", WITHIN)  # noqa: T201
    record("quotes", rows)


if __name__ == "__main__":
    main()
