"""Tables of docs/how-to/hierarchies: errors of reconciled and base forecasts by method, and by level."""

from __future__ import annotations

import pandas as pd

LEVELS = {"id": "series"}  # the lowest level has the name of a column


def _change(row: pd.Series) -> str:
    """Return the change of the error in percent, below zero where reconciliation helps, with its standard error."""
    return f"{-100 * row['gain']:+.1f} % ± {100 * row['standard_error']:.1f}"


def methods(found: pd.DataFrame) -> str:
    """Draw the change of the error over all levels, a line for each method, a column for each set and model."""
    part = found[found["level"] == "all levels"].assign(change=lambda rows: rows.apply(_change, axis=1))
    part = part.assign(of=part["data"] + ", " + part["model"])
    table = part.pivot(index="method", columns="of", values="change")
    table = table.loc[part["method"].unique()[::-1], part["of"].unique()]
    base = {name: f"{own['base'].iloc[0]:.3f}" for name, own in part.groupby("of")}
    table = pd.concat([pd.DataFrame(base, index=["base forecasts (error)"])[list(table.columns)], table])
    return str(table.rename_axis("method").reset_index().to_markdown(index=False, disable_numparse=True))


def levels(found: pd.DataFrame, data: str) -> str:
    """Draw the change of the error by `mint` in each level of a set, and outcomes within intervals of 80 %."""
    part = found[(found["data"] == data) & (found["method"] == "mint")]
    table = []
    for level in part["level"].unique():
        own = part[part["level"] == level].set_index("model")
        row = {"level": LEVELS.get(level, level), "forecasts": f"{own['series'].iloc[0]}"}
        table.append(row | {model: f"{_change(line)}, {line['own_held']:.0%}" for model, line in own.iterrows()})
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))
