"""Tables of docs/gallery, mistakes and the counts of all audits, and of docs/open-board."""

from __future__ import annotations

import numpy as np
import pandas as pd


def mistakes(found: pd.DataFrame) -> str:
    """Draw each mistake of the gallery: in words, at how many cutoffs it is found, and the gain that is not there."""
    table = [
        {
            "name": row["mistake"],
            "mistake": row["how"].rstrip(".").replace("|", "\\|"),
            "found at cutoffs": f"{row['caught']} of {row['cutoffs']}",
            "gain that is not there": f"{row['gain']:.1f} %",
        }
        for _, row in found.iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def counts(leaky: pd.DataFrame, stateful: pd.DataFrame, clean: pd.DataFrame) -> str:
    """Draw the counts of the galleries: procedures, audits, what was found or accused, runs and seconds."""
    table = [
        {
            "procedures": f"{len(leaky)} leaky, and as many honest twins",
            "audits": f"{2 * leaky['cutoffs'].sum()}",
            "missed": f"{(leaky['cutoffs'] - leaky['caught']).sum()}",
            "accused": f"{leaky['accused'].sum()}",
            "seconds of one audit": f"{leaky['seconds'].sum() / (2 * leaky['cutoffs'].sum()):.2f}",
        },
        {
            "procedures": f"{len(stateful)} that keep a state, in processes of their own",
            "audits": f"{stateful['cutoffs'].sum()}",
            "missed": f"{(stateful['cutoffs'] - stateful['caught']).sum()}",
            "accused": "-",
            "seconds of one audit": "-",
        },
        {
            "procedures": f"{len(clean)} clean",
            "audits": f"{clean['audits'].sum()}",
            "missed": "-",
            "accused": f"{clean['accused'].sum()}",
            "seconds of one audit": f"{np.average(clean['seconds'], weights=clean['audits']):.2f}",
        },
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def open_board(shown: pd.DataFrame) -> str:
    """Draw MASE, and the verdict beside it, of each model on each set."""
    cells = shown["mase"].map("{:.3f}".format) + shown["verdict"].map(
        lambda verdict: "" if verdict == "naive" else f" {verdict}"
    )
    order = shown.groupby("model", sort=False)["mase"].mean().sort_values().index
    table = shown.assign(cell=cells).pivot(index="model", columns="set", values="cell").loc[order]
    audits = shown.groupby("model")["leak_audit"].first()
    return str(table[shown["set"].unique()].assign(**{"leak audit": audits}).to_markdown(disable_numparse=True))
