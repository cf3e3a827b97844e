"""Tables of the page on recordings: accuracy of default settings on sets of the archives, seconds of a fit."""

from __future__ import annotations

import pandas as pd

TITLES = {
    "gru": "GRU",
    "conv1d": "convolutions",
    "auto": "either of both",
    "rocket": "Rocket",
    "gru-states": "GRU, states alone",
    "conv1d-states": "convolutions, states alone",
    "ensemble": "all three as one",
}


def accuracies(found: pd.DataFrame) -> str:
    """Draw a line for each set: its size, each model's mean over seeds, and the published accuracy."""
    table, tried = [], set(found["model"])
    for name, part in found.groupby("set", sort=False):
        first = part.iloc[0]
        shortest, longest = first["lengths"]
        means = {title: _accuracy(part[part["model"] == model]) for model, title in TITLES.items() if model in tried}
        table.append(
            {
                "set": name,
                "train, test": f"{first['recordings']}, {first['tested']}",
                "steps": f"{longest}" if shortest == longest else f"{shortest} to {longest}",
                "channels": f"{first['channels']}",
                "classes": f"{first['classes']}",
                **means,
                "InceptionTime": "-" if pd.isna(first["inception_time"]) else f"{first['inception_time']:.1%}",
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def beside(found: pd.DataFrame) -> str:
    """Draw a line for each model: sets, seconds of a fit, and how far it is from what is published, in points."""
    table = []
    for model, title in TITLES.items():
        own = found[found["model"] == model].groupby("set", sort=False)
        if not len(own):
            continue
        means = own[["accuracy", "inception_time", "core_seconds"]].mean()
        apart = 100 * (means["accuracy"] - means["inception_time"]).dropna()
        over = f"{len(apart)} {'set' if len(apart) == 1 else 'sets'}"
        table.append(
            {
                "model": title,
                "sets": f"{len(means)}",
                "mean accuracy": f"{means['accuracy'].mean():.1%}",
                "core seconds of a fit": f"{means['core_seconds'].median():.1f} ({means['core_seconds'].min():.1f} to "
                f"{means['core_seconds'].max():.0f})",
                "compared with InceptionTime": f"{apart.mean():+.1f} points over {over}" if len(apart) else "-",
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def _accuracy(part: pd.DataFrame) -> str:
    """Return the mean over seeds, with the number of seeds where it is one."""
    if not len(part):
        return "-"
    return f"{part['accuracy'].mean():.1%}" + ("" if len(part) > 1 else " (one seed)")
