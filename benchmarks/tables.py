"""Tables of the README, drawn from committed rows: ``python benchmarks/tables.py`` writes them anew."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
NAIVE = ("naive", "seasonal-naive", "drift", "mean", "window-average")
OTHERS = ("ets", "arima", "theta", "holt-winters", "reduction", "boosting")


def rows(name: str) -> pd.DataFrame:
    """Read the rows of a benchmark."""
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return pd.DataFrame([json.loads(line) for line in lines])


def accuracy() -> str:
    """Draw each set as a line: the best naive forecast, default settings, recipe, what was published."""
    table = []
    for name, part in rows("accuracy").groupby("set", sort=False):
        naive = part[part["model"].isin(NAIVE)].sort_values("value").iloc[0]
        published = part[part["settings"] == "published"].sort_values("value")
        default = part[(part["model"] == "gru") & (part["settings"] == "default")]
        table.append(
            {
                "set": name,
                "error": naive["metric"].upper(),
                "best naive": f"{naive['value']:.3f} ({naive['model']})",
                "GRU, default": _spread(default["value"]),
                "fit": f"{default['fit_seconds'].median():.0f} s",
                "recipe": _spread(part[part["model"] == "ensemble"]["value"]),
                "published": ", ".join(
                    f"{v:.3f} {m}" for m, v in zip(published["model"], published["value"], strict=True)
                )
                or "-",
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def cells() -> str:
    """Draw each cell with default settings, and recipes, on the sets that all cells were measured on."""
    part = rows("accuracy")
    part = part[part["settings"].isin(["default", "recipe"]) & ~part["model"].isin([*NAIVE, *OTHERS])]
    part = part[part.groupby("set")["model"].transform("nunique") > 2]
    table = part.groupby(["model", "set"], sort=False)["value"].agg(_spread).unstack()
    return str(table.fillna("-").reset_index().to_markdown(index=False, disable_numparse=True))


def others() -> str:
    """Draw classical models and regression beside the best naive forecast and a network, a line for each set."""
    part = rows("accuracy")
    part = part[part["set"].isin(part.loc[part["model"] == "ets", "set"])]
    table = []
    for name, here in part.groupby("set", sort=False):
        means = here[here["settings"] != "published"].groupby("model")["value"].mean()
        shown = {model: f"{means[model]:.3f}" if model in means else "-" for model in (*OTHERS, "gru")}
        naive = means[[model for model in NAIVE if model in means]].min()
        table.append({"set": name, "error": here["metric"].iloc[0].upper(), "best naive": f"{naive:.3f}", **shown})
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def leaks() -> str:
    """Draw each mistake of the gallery: the error with it, without it, what it seems to gain, what the audit says."""
    table = [
        {
            "mistake": row["mistake"],
            "RMSE with the leak": f"{row['leaky']:.3f}",
            "RMSE without": f"{row['honest']:.3f}",
            "gain": f"{row['gain']:.1f} %",
            "audit": "found" if row["caught"] and not row["accused"] else "wrong",
        }
        for _, row in rows("leaks").iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def speed() -> str:
    """Draw each cell: how many times quicker a step of training is with kernels, in the mean and at worst."""
    kinds = {"module": "the cell alone", "network": "the whole network"}
    clocks = {"wall": "both cores", "processor": "one core"}
    table = [
        {
            "cell": cell,
            "step of": kinds[kind],
            "on": clocks[clock],
            "sizes": len(part),
            "quicker by": f"{math.exp(part['ratio'].map(math.log).mean()):.1f}",
            "lowest": f"{part['ratio'].min():.2f}",
            "highest": f"{part['ratio'].max():.1f}",
        }
        for (cell, kind, clock), part in rows("speed").groupby(["cell", "kind", "clock"], sort=False)
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def _spread(values: pd.Series) -> str:
    """Say the mean over seeds, and the lowest and highest in brackets."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})" if len(values) else "-"


TABLES: dict[str, Callable[[], str]] = {
    "accuracy": accuracy,
    "cells": cells,
    "others": others,
    "speed": speed,
    "leaks": leaks,
}


def written(text: str) -> str:
    """Return the README with every table drawn anew between its marks."""
    for name, table in TABLES.items():
        pattern = rf"(<!-- table: {name} -->\n).*?(<!-- end -->)"

        def fill(match: re.Match[str], drawn: str = table()) -> str:
            return f"{match[1]}{drawn}\n{match[2]}"

        text = re.sub(pattern, fill, text, flags=re.DOTALL)
    return text


def main() -> None:
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
