"""Tables of docs/how-to/streaming.md: time of a step, and accuracy by how much of a recording is read."""

from __future__ import annotations

import pandas as pd


def push(found: pd.DataFrame) -> str:
    """Draw each network as a line: time of a push and late steps of the watch and the machine."""
    own = found[found["measured"] == "push"]
    table = []
    for (cell, units, layers), part in own.groupby(["cell", "units", "layers"], sort=False):
        row = {"cell": cell, "units": f"{units:.0f}", "layers": f"{layers:.0f}"}
        for source, (one,) in ((name, each.to_dict("records")) for name, each in part.groupby("source", sort=False)):
            row |= {
                f"{source}: p50 / p99": f"{1e6 * one['p50']:.0f} / {1e6 * one['p99']:.0f} µs",
                "late" if source == "machine" else "late ": _share(one["late"]),
                f"again, {one['prefix']:,.0f} steps": f"{1e3 * one['again']:,.0f} ms",
            }
        table.append(row)
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def paced(found: pd.DataFrame) -> str:
    """Draw the time from a step to its answer where steps come at their rate."""
    own = found[(found["measured"] == "push") & found["paced_p50"].notna()]
    table = [
        {
            "cell": row["cell"],
            "p50": f"{1e6 * row['paced_p50']:.0f} µs",
            "p99": f"{1e6 * row['paced_p99']:.0f} µs",
            "highest": f"{1e3 * row['paced_highest']:.1f} ms",
            "late of 20,000": f"{20_000 * row['paced_late']:.0f}",
        }
        for _, row in own.iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def earliness(found: pd.DataFrame) -> str:
    """Draw each rule as a line: accuracy, and what is read, of users who choose and of the one who is tested."""
    own = found[found["measured"] == "earliness"]
    table = []
    for (threshold, deadline), part in own.groupby(["threshold", "deadline"], sort=False, dropna=False):
        choose, test = (part[part["part"] == name].iloc[0] for name in ("choose", "test"))
        rule = f"threshold {threshold:g}" if threshold < 1 else "whole recording"
        rule = f"step {deadline:.0f}, whatever the probabilities" if deadline == deadline else rule
        table.append(
            {
                "decided at": f"**{rule}**, chosen" if test["chosen"] else rule,
                "accuracy, users who choose": f"{choose['accuracy']:.1%}",
                "read": f"{choose['earliness']:.0%}",
                "accuracy, U08": f"{test['accuracy']:.1%}",
                "read ": f"{test['earliness']:.0%}",
                "steps": f"{test['steps']:.1f}",
                "harmonic mean": f"{test['harmonic_mean']:.2f}",
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def _share(late: float) -> str:
    return "0" if late == 0 else f"{late:.2%}"
