"""Tables of times: peers, start of a process and reading, from committed rows."""

from __future__ import annotations

import pandas as pd
from record import rows

BESIDE = {  # task and part of the peers -> title
    ("one series", "read"): "reading one series",
    ("one series", "fit"): "fit of one series",
    ("many cutoffs", "backtest"): "backtest without fits",
    ("many series", "fit"): "fit of 3,000 series",
    ("many series", "predict"): "forecasts of 3,000 series",
}


def peers() -> str:
    """Draw each part as a line: seconds of each library, and how many times ours the quicker peer takes."""
    table = []
    for (task, part), here in _beside():
        ours = here["library"] == "tsforecast"
        own = here[ours].set_index("settings")["seconds"].to_dict()
        theirs = here[~ours].set_index("library")["seconds"].to_dict()
        peer = min(theirs.values())
        table.append(
            {
                "part": BESIDE[task, part],
                **{name: _seconds(value) for name, value in (own | theirs).items()},
                **{f"faster by, {way}": f"{peer / value:.1f}" for way, value in own.items()},
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def peer_errors() -> str:
    """Draw the error of each library after the fits above, and that of the naive forecast."""
    table = []
    for task, here in rows("peers").groupby("task", sort=False):
        found = {
            row["settings"] if row["library"] == "tsforecast" else row["library"]: row for _, row in here.iterrows()
        }
        errors = {name: f"{row['mae']:.2f}" for name, row in found.items()}
        table.append(
            {"task": task, "steps": here["steps"].iloc[0], "naive": f"{here['naive_mae'].iloc[0]:.2f}", **errors}
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def start() -> str:
    """Draw the seconds of a fresh process to load the package, to answer and to reach a network."""
    table = [
        {"a fresh process": f"`{row['measured']}`", "median": f"{row['median']:.2f} s"}
        | {"lowest to highest": f"{row['lowest']:.2f} to {row['highest']:.2f} s"}
        for _, row in rows("start").iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def reading() -> str:
    """Draw each way to read as a line: its seconds, and how many times those ours takes."""
    table = []
    for _, row in rows("reading").iterrows():
        of = f"{row['numbers']:.0f} columns of numbers" if row["numbers"] > 1 else "a column of numbers"
        what = f"a file, {of}" if row["measured"] == "file" else f"a frame, ids as {row['ids']}"
        times = {"ours takes": f"{row['times']:.2f} times", "of its processor time": f"{row['core_times']:.2f} times"}
        ours = row["library"] == "tsforecast"
        table.append({"reading": what, "with": row["library"], "median": _seconds(row["seconds"])})
        table[-1] |= {"lowest to highest": f"{_seconds(row['lowest'])} to {_seconds(row['highest'])}"}
        table[-1] |= dict.fromkeys(times, "-") if ours else times
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def _beside() -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return the rows of each part in the order of titles, each library with its quicker number of threads."""
    part = rows("peers").sort_values("seconds").drop_duplicates(["task", "measured", "library", "settings"])
    groups = dict(list(part.groupby(["task", "measured"])))
    return [(name, groups[name].sort_index()) for name in BESIDE if name in groups]


def _seconds(value: float) -> str:
    """Return seconds as text, milliseconds below one."""
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.0f} ms"
