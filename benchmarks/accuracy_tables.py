"""Tables of errors and skills: accuracy by set, sensors and distributions, from committed rows."""

from __future__ import annotations

import pandas as pd
from record import rows

NAIVE = ("naive", "seasonal-naive", "drift", "mean", "window-average")
OTHERS = ("ets", "arima", "theta", "holt-winters", "reduction", "boosting")
SHOWN = ("m4-hourly", "etth1-96", "us-births", "tourism-monthly", "nyc-taxi", "bike-sharing")  # in the README
SENSED = {  # models of the sensors -> titles
    "ridge": "ridge",
    "ridge of levels": "ridge of levels",
    "gru": "GRU, default",
    "network": "network",
    "ensemble": "three networks",
}


def accuracy() -> str:
    """Draw each set as a line: best naive forecast, networks by default, best and for that set, published results."""
    table = []
    for name, part in rows("accuracy").groupby("set", sort=False):
        naive = part[part["model"].isin(NAIVE)].sort_values("value").iloc[0]
        published = part[part["settings"] == "published"].sort_values("value")
        default, best = (part[(part["model"] == "gru") & (part["settings"] == kind)] for kind in ("default", "best"))
        made = part[(part["model"] == "ensemble") & (part["settings"] == "recipe")]
        table.append(
            {
                "set": name,
                "error": naive["metric"].upper(),
                "best naive": f"{naive['value']:.3f} ({naive['model']})",
                "GRU, default": _spread(default["value"]),
                "fit": f"{default['fit_seconds'].median():.0f} s",
                "best": _spread(best["value"]) if len(best) else "-",
                "for this set": _spread(made["value"]) if len(made) else "-",
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
        means = here[~here["settings"].isin(["published", "best"])].groupby("model")["value"].mean()
        shown = {model: f"{means[model]:.3f}" if model in means else "-" for model in (*OTHERS, "gru")}
        naive = means[[model for model in NAIVE if model in means]].min()
        table.append({"set": name, "error": here["metric"].iloc[0].upper(), "best naive": f"{naive:.3f}", **shown})
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def summary() -> str:
    """Draw a few sets as lines, one of them lost: best naive forecast, network by default, best published result."""
    part, table = rows("accuracy"), []
    for name in SHOWN:
        here = part[part["set"] == name]
        naive = here[here["model"].isin(NAIVE)].sort_values("value").iloc[0]
        network = here.loc[(here["model"] == "gru") & (here["settings"] == "default"), "value"].mean()
        published = here[here["settings"] == "published"].sort_values("value").iloc[:1]
        best = [f"{value:.3f} {model}" for model, value in zip(published["model"], published["value"], strict=True)]
        table.append(
            {
                "set": name,
                "error": naive["metric"].upper(),
                "best naive": f"{naive['value']:.3f}",
                "GRU, default": f"{network:.3f}",
                "published": best[0] if best else "-",
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def sensors() -> str:
    """Draw each stream as a line: the error of the best naive forecast, and the share of it that others remove."""
    table, part = [], _measured()
    titles = {model: title for model, title in SENSED.items() if model in set(part["model"])}
    for name, here in part.groupby("set", sort=False):
        best = here[here["model"] == here["reference"]].iloc[0]
        skills = {title: _percent(here.loc[here["model"] == model, "skill"]) for model, title in titles.items()}
        error = {"error": best["metric"].upper(), "best naive": f"{best['value']:.3f} ({best['model']})"}
        table.append({"set": name, **error, **skills})
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def people() -> str:
    """Draw the share of the best naive error that models remove for each person who wore the watch."""
    here = _measured().query("set == 'gestures'")
    naive = here[here["model"] == here["reference"]].iloc[0]["each"]
    errors = pd.DataFrame(here["each"].tolist(), index=here["model"]).groupby(level=0, sort=False).mean()
    shown = errors.loc[[model for model in ("naive", *SENSED) if model in errors.index]]
    skills = 100 * (1 - shown / pd.Series(naive))
    table = skills.rename(index=SENSED).rename_axis("model").reset_index()
    return str(table.to_markdown(index=False, floatfmt=".1f"))


def distributions() -> str:
    """Draw CRPS beside that of the seasonal naive distribution, point error and coverage of each set and model."""
    table, shown = [], rows("distributions")
    for name, part in shown.groupby("set", sort=False):
        best = part[part["model"].isin(NAIVE)].sort_values("crps").iloc[0]
        for model, own in part[~part["model"].isin({*NAIVE} - {"seasonal-naive", best["model"]})].groupby(
            "model", sort=False
        ):
            means = own.mean(numeric_only=True)
            table.append(
                {
                    "set": name,
                    "model": f"{model} (best naive)" if model == best["model"] else model,
                    "CRPS": f"{means['of_seasonal_naive']:.3f}" if means["crps"] > 0 else "-",
                    "MASE": f"{means['mase']:.3f}" if means["crps"] > 0 else "-",
                    "within 80 %": f"{means['coverage80']:.1%}" if means["crps"] > 0 else "-",
                    "within 95 %": f"{means['coverage95']:.1%}" if means["crps"] > 0 else "-",
                    "MSIS": f"{means['msis']:.2f}",
                }
            )
    return pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)


def held(measured: str) -> str:
    """Draw the share of outcomes within conformal intervals, or intervals of sums, by series and method."""
    part, table = rows("conformal"), []
    part, title = part[part["measured"] == measured], "history" if measured == "sums" else "series"
    for (series, method), own in part.groupby(["series", "method"], sort=False):
        shares = {
            f"{100 * row['share']:g} %": f"{100 * row['held']:.1f} % (± {100 * row['standard_error']:.1f})"
            for _, row in own.iterrows()
        }
        table.append(
            {
                title: series,
                "method": method,
                **shares,
                "simulations": own["simulations"].iloc[0],
            }
        )
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True))


def _measured() -> pd.DataFrame:
    """Return the rows of sensors without those by which settings were chosen."""
    part = rows("sensors")
    return part[part["set"] != "gestures, first training part"]


def _percent(values: pd.Series) -> str:
    """Return the mean over seeds in percent, and the lowest and highest in brackets where there are several."""
    if not len(values):
        return "-"
    low, high = 100 * values.min(), 100 * values.max()
    return f"{100 * values.mean():.1f} %" + (f" ({low:.1f} to {high:.1f})" if len(values) > 1 else "")


def _spread(values: pd.Series) -> str:
    """Return the mean over seeds, and the lowest and highest in brackets."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})" if len(values) else "-"
