"""Tables of anomalies, from the rows of `anomalies.py`."""

from __future__ import annotations

import re

import pandas as pd
from drift_tables import TITLES

AHEAD = {"nyc-taxi": (1, 48), "machine-temperature": (1, 288)}  # steps, by data: the next row, and a day


def stretches(rows: pd.DataFrame, level: float = 0.01) -> str:
    """Draw the shares of stretches with a false point, and with a false run: a line for each number of residuals."""
    part = rows[(rows["measured"] == "false stretches") & (rows["level"] == level)]
    named = part.assign(
        noise=[TITLES[noise, by] for noise, by in zip(part["noise"], part["coefficient"], strict=True)],
        shares=[
            f"{100 * points:.1f} and {100 * sums:.1f}"
            for points, sums in zip(part["points_power"], part["sums"], strict=True)
        ],
        residuals=[f"{int(count):,}" for count in part["residuals"]],
    )
    table = named.pivot(index="residuals", columns="noise", values="shares")
    order = list(dict.fromkeys(named["noise"]))
    return str(table.loc[list(dict.fromkeys(named["residuals"])), order].to_markdown(disable_numparse=True))


def windows(rows: pd.DataFrame, data: str) -> str:
    """Draw how many labelled windows each model and rule has found, and its false alarms, over all seeds."""
    part = rows[(rows["measured"] == "labelled anomalies") & (rows["data"] == data)]
    part = part[part["kind"].isin(("both", "rule"))]
    part = part.assign(name=[re.sub(r", seed \d+", "", name) for name in part["model"]])
    table = []
    for (name, step), here in part.groupby(["name", "step"], sort=False, dropna=False):
        ahead = {step: "-", AHEAD[data][0]: "the next row", AHEAD[data][1]: "a day"}[step]
        found, false = (", ".join(str(int(count)) for count in here[column]) for column in ("found", "false_alarms"))
        title = f"rule: {name}" if (here["kind"] == "rule").all() else str(name)
        table.append({"model": title, "ahead": ahead, "windows found": found, "false": false})
    title = f"found, of {int(part['windows'].iloc[0])} windows"
    frame = pd.DataFrame(table).rename(columns={"windows found": title, "false": "false alarms"})
    return str(frame.to_markdown(index=False, disable_numparse=True))
