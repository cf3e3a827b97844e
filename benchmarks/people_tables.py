"""Tables of recordings of people: recognition, transfer to new users and activities, from committed rows."""

from __future__ import annotations

import pandas as pd
from record import rows

from tsforecast.evaluation.classification import LABELS, points, span
from tsforecast.evaluation.significance import over_users


def recognition() -> str:
    """Draw the accuracy of classifiers by set and protocol, with intervals over users where they are known."""
    part = rows("gestures")
    seconds = part[part["measured"] == "fit"].set_index(["set", "model"])["core_seconds"]
    part = part[(part["measured"] == "recognition") & ~part["set"].str.contains("epochs")]  # without the short runs
    table = []
    for name, protocol in part[["set", "protocol"]].drop_duplicates().itertuples(index=False):
        here = part[(part["set"] == name) & (part["protocol"] == protocol)]
        shares = {model: _of_users(own) for model, own in here.groupby("model", sort=False)}
        for model in sorted(shares, key=lambda model: -shares[model].mean()):
            own, users = here[here["model"] == model], shares[model]
            found = over_users(users)
            table.append(
                {
                    "set": name,
                    "tested on": LABELS[protocol],
                    "model": model,
                    "accuracy": f"{found.mean:.2%}",
                    "95 % interval": span(found.low, found.high),
                    "lowest user": f"{users.min():.1%}" if len(users) > 1 else "-",
                    "seeds": max(1, own["seed"].nunique()),
                    "fit": f"{seconds[name, model]:.0f} s" if (name, model) in seconds and len(users) > 1 else "-",
                }
            )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def transfer() -> str:
    """Draw the gain by a few recordings of each class of a new user."""
    part = rows("gestures")
    part = part[(part["measured"] == "transfer") & ~part["set"].str.contains("epochs")]
    users = part.groupby(["shots", "group"])["accuracy"].mean().unstack(level=0)  # a line each
    table = [
        {
            "recordings of each gesture": int(shots),
            "accuracy": f"{(found := over_users(users[shots])).mean:.2%}",
            "95 % interval": span(found.low, found.high),
            "lowest user": f"{users[shots].min():.1%}",
            "gain": points(over_users(users[shots] - users[0])) if shots else "-",
        }
        for shots in users
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def activities() -> str:
    """Draw scores of labels of steps by model, means over people, with the interval and the lowest of accuracy."""
    part, table = rows("activities").query("measured == 'steps'"), []
    means = part.groupby("model")["accuracy"].mean().sort_values(ascending=False)
    for model in means.index:
        own = part[part["model"] == model]
        found = over_users(own["accuracy"])
        table.append(
            {
                "model": f"{model}: {own['about'].iloc[0]}",
                "accuracy": f"{found.mean:.1%}",
                "95 % interval": span(found.low, found.high),
                "lowest": f"{own['accuracy'].min():.1%}",
                "edit score": f"{own['edit'].mean():.1%}",
                **{f"F1 at {share} %": f"{own[f'f1_{share}'].mean():.1%}" for share in (10, 25, 50)},
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def _of_users(part: pd.DataFrame) -> pd.Series:
    """Return the accuracy of each user, all seeds together; of all recordings where users are not known."""
    groups = part["group"].fillna("all")
    right = (part["accuracy"] * part["recordings"]).groupby(groups).sum()
    return right / part["recordings"].groupby(groups).sum()
