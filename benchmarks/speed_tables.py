"""Tables of the page on speed: steps of training, whole fits, ensembles, fits side by side, convolutions, quotes."""

from __future__ import annotations

import math

import pandas as pd

CLOCKS = {"wall": "both cores", "processor": "one core"}


def steps(found: pd.DataFrame) -> str:
    """Draw each cell: how many times faster a step of training is with kernels, in the mean and at worst."""
    kinds = {"module": "the cell alone", "network": "the whole network"}
    table = [
        {
            "cell": cell,
            "step of": kinds[kind],
            "on": CLOCKS[clock],
            "sizes": len(part),
            "faster by": f"{math.exp(part['ratio'].map(math.log).mean()):.1f}",
            "lowest": f"{part['ratio'].min():.2f}",
            "highest": f"{part['ratio'].max():.1f}",
        }
        for (cell, kind, clock), part in found.query("measured == 'step'").groupby(
            ["cell", "kind", "clock"], sort=False
        )
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def convolutions(found: pd.DataFrame) -> str:
    """Draw each way through a stack and each rival: how many times faster kernels are, in the mean and at worst."""
    ways = {"last": "the last state", "all": "all states"}
    rivals = {"torch.nn": "`nn.Conv1d` over all steps", "torch": "the package without kernels"}
    table = []
    for (path, threads), part in found[found["kind"] == "conv"].groupby(["path", "threads"], sort=False):
        for rival, name in rivals.items():
            ratios = [each[rival] for each in part["ratios"]]
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            table.append(
                {
                    "of": ways[path],
                    "compared with": name,
                    "threads": f"{threads:.0f}",
                    "sizes": len(ratios),
                    "faster by": f"{mean:.1f}",
                    "lowest": f"{min(ratios):.2f}",
                    "highest": f"{max(ratios):.1f}",
                }
            )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def fits(found: pd.DataFrame) -> str:
    """Draw each cell as a line: whole fits beside a loop of torch, and five networks beside one."""
    table = []
    for cell, part in found[found["kind"].isin(["fit", "members"])].groupby("cell", sort=False):
        row = {"cell": cell}
        for _, one in part[part["kind"] == "fit"].iterrows():
            name = f"{one['steps']:,.0f} steps"
            rival = min(value for key, value in one["seconds"].items() if key != "fit")
            row |= {name: f"{one['seconds']['fit']:.2f} s", f"torch, {name}": f"{rival:.2f} s"}
            row |= {f"faster by, {name}": f"{one['ratio']:.1f}"}
        row["five networks for one"] = f"{part[part['kind'] == 'members']['ratio'].iloc[0]:.1f} times"
        table.append(row)
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def side_by_side(found: pd.DataFrame) -> str:
    """Draw each size as a line: many networks side by side, and one after the other by kernels and by torch."""
    names = {"side by side": "side by side", "in turn": "one after the other", "torch": "one after the other, torch"}
    columns = ["cell", "units", "windows in a batch", *names.values(), "faster by, than kernels", "than torch"]
    table = []
    for _, row in found[found["kind"] == "together"].iterrows():
        seconds = row["seconds"]
        seconds["torch"] = min(value for name, value in seconds.items() if name.startswith("torch"))
        line = [
            row["cell"],
            f"{row['units']:.0f}",
            f"{row['batch']:.0f}",
            *(f"{seconds[name]:.1f} s" for name in names),
        ]
        table.append([*line, f"{row['beside_kernels']:.1f}", f"{row['ratio']:.1f}"])
    return str(pd.DataFrame(table, columns=columns).to_markdown(index=False, disable_numparse=True))


def ragged(found: pd.DataFrame) -> str:
    """Draw each cell, in one direction or both, as a line: an epoch of a classifier beside a loop of torch."""
    ways, table = ("default", "two steps at once"), []
    for _, row in found[found["kind"] == "ragged"].iterrows():
        rival = min(value for name, value in row["seconds"].items() if name not in ways)
        seconds = [f"{value:.2f} s" for value in (*(row["seconds"][way] for way in ways), rival)]
        ratios = [f"{row['ratios'][way]:.1f}" for way in ways]
        table.append([row["cell"], f"{row['directions']:.0f}", *seconds, *ratios])
    columns = ["cell", "directions", *ways, "torch", *(f"faster by, {way}" for way in ways)]
    return str(pd.DataFrame(table, columns=columns).to_markdown(index=False, disable_numparse=True))


def forecasts(found: pd.DataFrame) -> str:
    """Draw each number of series as a line: the seconds of their forecasts, and the memory that these take."""
    table = [
        {
            "series": f"{row['size']:,}",
            "forecasts in": f"{row['seconds']:.2f} s" if row["seconds"] >= 1 else f"{1000 * row['seconds']:.0f} ms",
            "the panel": f"{row['panel_bytes'] / 1e6:.0f} MB",
            "memory beyond it": f"{max(row['bytes'], 0) / 1e6:.0f} MB",
        }
        for _, row in found.iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def quotes(found: pd.DataFrame) -> str:
    """Draw each fit as a line: what was quoted for as many epochs, and what it took."""
    table = [
        {
            "fit": row["fit"],
            "epochs": f"{row['epochs']} of {row['of']}",
            "quoted": f"{row['quoted']:.2f} s",
            "took": f"{row['seconds']:.2f} s",
            "error": f"{row['error']:+.0%}",
            "the quote took": f"{row['spent']:.1f} s",
        }
        for _, row in found.iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))
