"""Tables of docs/how-to/serving: latency by clients, memory by requests, and statuses of hostile requests."""

from __future__ import annotations

import pandas as pd


def latency(found: pd.DataFrame) -> str:
    """Draw the median and the 99th percentile of latency by clients, with and without batching."""
    table = [
        {
            "clients": f"{row['clients']:.0f}",
            "in one pass": f"up to {row['batch']:.0f}" if row["batch"] > 1 else "each alone",
            "p50, ms": _with_range(row, "p50_ms"),
            "p99, ms": _with_range(row, "p99_ms"),
            "requests a second": _with_range(row, "per_second"),
            "processor, ms a request": _with_range(row, "cpu_ms", 1),
        }
        for _, row in found[found["measured"] == "latency"].iterrows()
    ]
    return _markdown(table)


def memory(found: pd.DataFrame) -> str:
    """Draw the resident memory of the server by requests that it has answered."""
    (row,) = [row for _, row in found[found["measured"] == "memory"].iterrows()]
    thousands = range(0, 1 + int(row["requests"]) // 1000, int(row["requests"]) // 1000 // (len(row["mib"]) - 1))
    counts = [f"{count:,}" for count in thousands]
    return _markdown(
        [{"thousands of requests": "memory, MiB"} | {c: f"{m:.0f}" for c, m in zip(counts, row["mib"], strict=True)}]
    )


def hostile(found: pd.DataFrame) -> str:
    """Draw how many hostile requests got which status, by model."""
    rows = [row for _, row in found[found["measured"] == "hostile"].iterrows()]
    statuses = sorted({status for row in rows for status in row["statuses"]})
    table = [
        {"model": row["model"]} | {status: str(row["statuses"].get(status, 0)) for status in statuses} for row in rows
    ]
    return _markdown(table)


def _with_range(row: pd.Series, name: str, digits: int = 0) -> str:
    middle, low, high = (f"{row[name + end]:.{digits}f}" for end in ("", "_low", "_high"))
    return f"{middle} ({low} to {high})"


def _markdown(table: list[dict[str, str]]) -> str:
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


DRAWN = {"latency": latency, "memory": memory, "hostile": hostile}
