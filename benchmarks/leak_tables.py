"""Tables of leaks that audits find, and of what searches and tracking cost, from committed rows."""

from __future__ import annotations

import pandas as pd
from record import rows
from scipy.stats import binomtest


def leaks() -> str:
    """Draw each mistake of the gallery: the error with it and without it, its apparent gain, and the audit."""
    table = [
        {
            "mistake": row["mistake"],
            "RMSE with the leak": f"{row['leaky']:.3f}",
            "RMSE without": f"{row['honest']:.3f}",
            "gain": f"{row['gain']:.1f} %",
            "found": f"at {row['caught']} of {row['cutoffs']} cutoffs",
            "twin accused": f"{row['accused']} times",
        }
        for _, row in rows("leaks").iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def clean() -> str:
    """Draw each clean procedure: how often it was audited and accused, what was rounding, and the runs of an audit."""
    found = rows("clean")
    total = found[["audits", "accused"]].sum()
    most = binomtest(int(total["accused"]), int(total["audits"])).proportion_ci().high
    table = [
        {
            "clean procedure": row["procedure"],
            "audits": row["audits"],
            "accused": row["accused"],
            "passed": row["passed"],
            "rounding": f"{row['rounding'] / row['audits']:.1f}",
            "not proven": f"{row['not_proven'] / row['audits']:.1f}",
            "runs": f"{row['runs']:.0f}",
        }
        for _, row in found.iterrows()
    ]
    rate = {
        "clean procedure": f"all: at most {100 * most:.1f} % (95 %)",
        **total.to_dict(),
        "passed": found["passed"].sum(),
    }
    text = pd.DataFrame([*table, rate]).fillna("").astype({"audits": int, "accused": int, "passed": int})
    return str(text.to_markdown(index=False, disable_numparse=True))


def kept() -> str:
    """Draw each leak through what one run leaves to the next, in one process and in processes of their own."""
    table = [
        {
            "kept from one run to the next": row["mistake"],
            "runs in one process": f"found at {row['caught_together']} of {row['cutoffs']} cutoffs",
            "`isolated=True`": f"found at {row['caught']} of {row['cutoffs']} cutoffs",
        }
        for _, row in rows("kept").iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def searches() -> str:
    """Draw each way to search: trials a minute, and how many times those of the peer."""
    part = rows("search")
    small = part.get("space", pd.Series("large", part.index)) == "small"
    table = []
    for among, space in ((part[~small], ""), (part[small], "; small networks")):
        peer = among.loc[among["library"] != "tsforecast", "median"].max()
        table += [
            {
                "search": row["library"],
                "settings": f"{row['settings']}{space}",
                "trials a minute": f"{row['median']:.1f}",
                "times the peer": f"{row['median'] / peer:.1f}",
            }
            for _, row in among.iterrows()
        ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def optimism() -> str:
    """Draw each situation of searches over white noise: what is left of the best score, and the true skill."""
    table = [
        {
            "searches over white noise": f"{row['searches']}, at {row['situation']}",
            "best score": f"{row['best']:.1f} %",
            "optimism": f"{row['optimism']:.1f} points",
            "true skill": f"{row['true']:.1f} %",
            "score - optimism - true": f"{row['off']:+.2f} ± {row['standard_error']:.2f} points",
        }
        for _, row in rows("optimism").iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def tracking() -> str:
    """Draw the cost of tracking a fit, in percent of one without it."""
    parts = {"fit": "the fit", "processor": "its processor time", "block": "the fit, until all is sent"}
    found = rows("tracking").set_index("measured")
    table = [
        {
            "measured": words,
            "median": f"{found.loc[f'tracking_{part}', 'median']:+.1f} %",
            "lowest to highest": "{lowest:+.1f} to {highest:+.1f} %".format(**found.loc[f"tracking_{part}"]),
        }
        for part, words in parts.items()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))
