"""Tables of docs/how-to/scale: sizes, executors, workers, kills, core hours, and clusters, simulated and real."""

from __future__ import annotations

from statistics import median

import pandas as pd

EXAMPLE = 10_000, 200, 20  # series, steps and epochs


def _markdown(table: list[dict[str, str]]) -> str:
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def costs(found: pd.DataFrame) -> str:
    """Draw what a network and a classical model cost, and the core hours of an example."""
    series, steps, epochs = EXAMPLE
    header = f"core hours of {series:,} series x {steps} steps (x {epochs} epochs)"
    table = []
    for _, row in found[found["measured"] == "throughput"].iterrows():
        hours = series * steps * epochs * row["microseconds"] / 3.6e9
        table.append(
            {
                "model": row["model"],
                "cost": f"{row['microseconds']:.2f} µs for a step and epoch",
                header: f"{hours:.3f}",
            }
        )
    for _, row in found[(found["measured"] == "task") & found["model"].isin(["theta", "ets"])].iterrows():
        seconds = median(row["times"]) / row["series"]
        name = {"theta": "ThetaForecaster", "ets": "ETSForecaster"}[row["model"]]
        table.append({"model": name, "cost": f"{seconds:.4f} s for a series", header: f"{series * seconds / 3600:.3f}"})
    return _markdown(table)


def nodes(found: pd.DataFrame) -> str:
    """Draw the time of a board, and the efficiency of the cores, by number of nodes."""
    table = [
        {
            "nodes": f"{row['nodes']:.0f}",
            "cores": f"{row['cores']:.0f}",
            "minutes": f"{row['seconds'] / 60:.1f}",
            "efficiency": f"{row['efficiency']:.0%}",
        }
        for _, row in found[found["measured"] == "simulated"].iterrows()
    ]
    return _markdown(table)


def points(found: pd.DataFrame) -> str:
    """Draw real times of one and two workers beside those of the simulation."""
    table = [
        {
            "workers": f"{row['workers']:.0f}",
            "seconds of work": f"{row['work']:.1f}",
            "real seconds": f"{median(row['seconds']):.1f} ({min(row['seconds']):.1f} to {max(row['seconds']):.1f})",
            "simulated": f"{row['simulated']:.1f}",
        }
        for _, row in found[found["measured"] == "real"].iterrows()
    ]
    return _markdown(table)


def scans(found: pd.DataFrame) -> str:
    """Draw the time and memory of a scan, and how fast windows are read from the folder."""
    table = [
        {
            "series x steps": f"{row['series']:,.0f} x {row['steps']:,.0f}",
            "order of the rows": f"by {row['order']}",
            "seconds": f"{row['seconds']:.1f}",
            "again": f"{row['seconds_again']:.2f}",
            "memory, MB": f"{row['anonymous_mb']:.0f}",
            "speed of windows, relative to memory": ""
            if pd.isna(row["share_of_memory"])
            else f"{row['share_of_memory']:.0%}",
        }
        for _, row in found.iterrows()
    ]
    return _markdown(table)


def beyond(found: pd.DataFrame) -> str:
    """Draw the time and memory of a fit and of forecasts of panels on the disk."""
    table = [
        {
            "series x steps": f"{row['series']:,.0f} x {row['steps']:,.0f}",
            "size, GB": f"{row['gigabytes']:.2f}",
            "fit, seconds": f"{row['fit_seconds']:.0f}",
            "forecasts, seconds": f"{row['predict_seconds']:.0f}",
            "memory, MB": f"{row['peak_anonymous_mb']:.0f}",
            "limit with cached files, MB": "none" if pd.isna(row["limit_mb"]) else f"{row['limit_mb']:,.0f}",
        }
        for _, row in found.sort_values("gigabytes").iterrows()
    ]
    return _markdown(table)


def executors(found: pd.DataFrame) -> str:
    """Draw a board in one process or worker, and in two."""
    [row] = found.to_dict("records")
    table = [
        {
            "": kind,
            "one, seconds": f"{min(row['seconds'][one]):.1f}",
            "two, seconds": f"{min(row['seconds'][two]):.1f}",
            "gain": f"{row['gain of ' + kind]:.2f}",
        }
        for kind, one, two in (
            ("processes", "one process", "two processes"),
            ("ray", "one worker of ray", "two workers of ray"),
        )
    ]
    return _markdown(table)


def kills(found: pd.DataFrame) -> str:
    """Draw what kills cost."""
    table = [
        {
            "killed": row["killed"],
            "rounds": f"{row['rounds']:.0f}",
            "hit before the end": f"{row['hit']:.0f}",
            "rows lost": f"{row['lost']:.0f}",
            "rows twice": f"{row['twice']:.0f}",
            "same result": f"{row['same']:.0f}",
        }
        for _, row in found.iterrows()
    ]
    return _markdown(table)


def trained(found: pd.DataFrame) -> str:
    """Draw the epochs of one process and of workers."""
    table = [
        {
            "network": row["size"],
            "": {"kernels": "one process, compiled steps", "torch": "one process, steps of torch"}.get(
                row["way"], row["way"]
            ),
            "seconds of an epoch": f"{row['seconds']:.2f} ({row['fastest']:.2f} to {row['slowest']:.2f})",
            "start, seconds": f"{row['start']:.1f}",
            "weights differ by, after one epoch": f"{row['difference'][0]:.0e}" if row["way"] != "torch" else "",
        }
        for _, row in found.iterrows()
    ]
    return _markdown(table)


# Tables with the benchmark whose rows they draw.
DRAWN = {
    "scans": ("scan", scans),
    "beyond": ("beyond_memory", beyond),
    "executors": ("executors", executors),
    "kills": ("kills", kills),
    "trained": ("workers", trained),
    "costs": ("cluster", costs),
    "nodes": ("cluster", nodes),
    "points": ("cluster", points),
}
