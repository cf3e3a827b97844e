"""Tables of alarms of drift, from the rows of `drift.py`."""

from __future__ import annotations

import pandas as pd

TITLES = {
    ("normal", 0.0): "no memory",
    ("normal", 0.5): "autocorrelation 0.5",
    ("normal", 0.8): "autocorrelation 0.8",
    ("t4", 0.0): "t of 4 degrees",
    ("t4", 0.5): "t of 4 degrees, 0.5",
    ("volatile", 0.0): "spread that wanders",
}
MONITORS = {"any": "any monitor", "mean": "mean", "spread": "spread", "coverage": "coverage", "covariate": "covariate"}


def false_alarms(rows: pd.DataFrame) -> str:
    """Draw the share of runs with a false alarm: a line for each noise, and what was known of it."""
    part, table = rows[rows["measured"] == "false alarms"], []
    for (known, noise, coefficient), here in part.groupby(["known", "noise", "coefficient"], sort=False):
        by = here.set_index("monitor")
        rates = {
            f"{title} (stated {100 * by.loc[name, 'stated']:.3g})": (
                f"{100 * by.loc[name, 'rate']:.1f} ± {100 * by.loc[name, 'error']:.1f}"
            )
            for name, title in MONITORS.items()
        }
        table.append({"rows known": f"{int(known):,}", "noise": TITLES[str(noise), float(coefficient)], **rates})
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def delays(rows: pd.DataFrame) -> str:
    """Draw how soon each drift is found."""
    part = rows[rows["measured"] == "delay"]
    table = [
        {
            "drift": f"{row.drift}, {'×' if row.drift == 'spread' else '+'} {row.extent:g}",
            f"found within {int(row.patience)} steps": f"{int(row.found)} of {int(row.streams)}",
            "median of steps until the alarm": f"{row.median:g}",
        }
        for row in part.rename(columns={"size": "extent"}).itertuples()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))
