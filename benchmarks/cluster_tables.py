"""Tables of docs/how-to/scale: core hours, simulated clusters, and the simulation beside a real Ray."""

from __future__ import annotations

from statistics import median

import pandas as pd

EXAMPLE = 10_000, 200, 20  # series, steps and epochs


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
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


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
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


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
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


DRAWN = {"costs": costs, "nodes": nodes, "points": points}
