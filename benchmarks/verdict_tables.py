"""Tables of `docs/concepts/verdicts.md`, given the committed rows of `verdicts.py`."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from published_tests import COVERAGE, OWN, VALID

MARK = "\\*"  # of a number that does not keep its limit


def rates(part: pd.DataFrame) -> str:
    """Draw each situation of equally good models as a line: false claims and coverage, by number of units."""
    part = part[(part["skill"] == 0) & ~part["part"].isin(["outcomes", "power", "published"])]
    table = []
    for (name, situation, kind), lines in part.groupby(["part", "situation", "kind"], sort=False):
        each = [row for _, row in lines.iterrows()]
        counts = [str(row["units"]) if row["units"] else f"{row['cutoffs']:.0f} (too few)" for row in each]
        table.append(
            {
                "part": name,
                "situation": situation,
                "units": f"{', '.join(counts)} {kind}",
                **{rate: ", ".join(_rate(row, rate) for row in each) for rate in ("better", "worse", "covered")},
                "±": f"{100 * lines[['better_error', 'worse_error', 'covered_error']].max(axis=None):.1f}",
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def holds(row: pd.Series, name: str) -> bool:
    """Return whether a rate keeps the limit of a row, within two Monte-Carlo errors, where there is one."""
    limit, error = row["limit"], 2 * row[f"{name}_error"]
    if name == "covered":
        return bool(limit > 0.05 or row["units"] < 8 or row[name] + error >= COVERAGE)
    return bool(name != "better" or pd.isna(limit) or row[name] <= limit + error)


def power(part: pd.DataFrame) -> str:
    """Draw the power, that of the test that is given the memory and of the best valid one, and the share kept."""
    titles = {"known": "test that is given the memory", "best": "best valid test", "best_of_level": "best of our level"}
    titles["best_hidden"] = "best valid test, noise included"
    table = []
    for _, row in part[part["part"] == "power"].iterrows():
        line = {"situation": row["situation"], "cutoffs": f"{row['cutoffs']:.0f}", "power": f"{row['better']:.0%}"}
        for name, title in titles.items():
            there = not pd.isna(row[name])
            line[title] = f"{row[name]:.0%} (kept {row[f'kept_of_{name}']:.2f})" if there else "-"
        table.append(line)
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def outcomes(part: pd.DataFrame) -> str:
    """Draw the rate of each outcome by true skill; of a reference that is chosen, the share of power that is kept."""
    part = part[(part["part"] == "outcomes") | ((part["part"] == "reference") & (part["skill"] > 0))]
    table = [
        {
            "situation": row["situation"],
            "cutoffs": f"{row['cutoffs']:.0f}",
            "true skill": f"{row['skill']:.0%}",
            **{name: _rate(row, name) for name in ("better", "worse", "equivalent")},
            "covered": _rate(row, "covered"),
            "kept of a fixed reference": "-" if pd.isna(row["kept_of_fixed"]) else f"{row['kept_of_fixed']:.2f}",
        }
        for _, row in part.iterrows()
    ]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def valid(part: pd.DataFrame) -> pd.Series:
    """Return whether each published test holds its limits under every memory that is asked for, (test, cutoffs)."""
    asked = part[(part["part"] == "published") & (part["skill"] == 0) & part["memory"].isin(VALID)]
    kept = pd.Series([holds(row, "better") and holds(row, "covered") for _, row in asked.iterrows()], asked.index)
    return kept.groupby([asked["test"], asked["cutoffs"]], sort=False).all()


def published(part: pd.DataFrame) -> str:
    """Draw each published test as a line: its rates under the worst memory that is asked for, and its power."""
    here = part[part["part"] == "published"]
    keys, valid_at = ["test", "cutoffs"], valid(here)
    asked = here[(here["skill"] == 0) & here["memory"].isin(VALID)].groupby(keys, sort=False)
    strong = here[here["memory"] > max(VALID)].set_index(keys)["better"]
    columns = {
        "better": asked["better"].max(),
        "covered": asked["covered"].min(),
        "better at 0.95": strong,
        "power": here[here["skill"] > 0].set_index(keys)["better"],
    }
    counts = here["cutoffs"].unique()
    table = []
    for name in here["test"].unique():
        line = {"test": "**this package**" if name == OWN else name}
        for title, values in columns.items():
            line[title] = ", ".join(f"{100 * values[name, count]:.1f}" for count in counts)
        line["valid at"] = ", ".join(f"{count:.0f}" for count in counts if valid_at[name, count]) or "-"
        table.append(line)
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def best_published(part: pd.DataFrame) -> pd.DataFrame:
    """Return, for each number of cutoffs, the valid published test of the highest power, and the share ours has."""
    found = part[(part["part"] == "published") & (part["skill"] > 0)].set_index(["test", "cutoffs"])["better"]
    others = found[valid(part).reindex(found.index) & (found.index.get_level_values("test") != OWN)].unstack("test")
    best = pd.DataFrame({"test": others.idxmax(axis=1), "power": others.max(axis=1)})
    return best.assign(kept=found[OWN] / best["power"])


def coverage(part: pd.DataFrame) -> str:
    """Draw the verdicts on intervals of each situation as a line, by number of cutoffs."""
    here, table = part[part["part"] == "coverage"], []
    for (held, situation), lines in here.groupby(["held", "situation"], sort=False):
        each = [row for _, row in lines.iterrows()]
        line = {"intervals of": f"{held:.0f} %", "situation": situation}
        line["cutoffs"] = ", ".join(f"{row['cutoffs']:.0f}" for row in each)
        for outcome in ("covers", "too narrow", "too wide"):
            shares = (f"{100 * row[outcome]:.1f}{'' if seldom(row, outcome) else MARK}" for row in each)
            line[outcome] = ", ".join(shares)
        line["covered"] = ", ".join(
            f"{100 * row['covered']:.1f}{'' if holds(row, 'covered') else MARK}" for row in each
        )
        line["±"] = f"{100 * lines[['too narrow_error', 'too wide_error', 'covered_error']].max(axis=None):.1f}"
        table.append(line)
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def seldom(row: pd.Series, outcome: str) -> bool:
    """Return whether an outcome that is false is within the limit of a row, two Monte-Carlo errors added."""
    wrong = outcome != "covers" and not pd.isna(row["limit"])
    return not wrong or bool(row[outcome] <= row["limit"] + 2 * row[f"{outcome}_error"])


def _rate(row: pd.Series, name: str) -> str:
    """Return a rate in percent, with a mark where it does not keep its limit; a dash where there is none."""
    if pd.isna(row[name]):
        return "-"
    return f"{100 * row[name]:.1f}" + ("" if row["skill"] or holds(row, name) else MARK)


DRAWN: dict[str, Callable[[pd.DataFrame], str]] = {
    "rates": rates,
    "power": power,
    "published": published,
    "outcomes": outcomes,
    "coverage": coverage,
}
