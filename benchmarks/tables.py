"""Tables of the README and of pages in `docs`, drawn from committed rows: ``python benchmarks/tables.py``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anomaly_tables
import cluster_tables
import drift_tables
import gallery_tables
import hierarchy_tables
import pandas as pd
import recording_tables
import serving_tables
import speed_tables
import streaming_tables
import verdict_tables
from scipy.stats import binomtest

from tsforecast.evaluation.classification import LABELS, points, span
from tsforecast.evaluation.significance import over_users

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
VERDICTS = DOCS / "concepts" / "verdicts.md"
DISTRIBUTIONS = DOCS / "concepts" / "distributions.md"
SPEED = DOCS / "benchmarks" / "speed.md"
STREAMING = DOCS / "how-to" / "streaming.md"
OPEN_BOARD = DOCS / "open-board" / "README.md"
ACTIVITIES = DOCS / "how-to" / "activities.md"
GALLERY = DOCS / "gallery" / "leaks.md"
CLASSIFICATION = DOCS / "how-to" / "classification.md"
RECORDINGS = DOCS / "benchmarks" / "recordings.md"
SCALE = DOCS / "how-to" / "scale.md"
SERVING = DOCS / "how-to" / "serving.md"
HIERARCHIES = DOCS / "how-to" / "hierarchies.md"
ANOMALIES = DOCS / "how-to" / "anomalies.md"
UPDATE = DOCS / "how-to" / "update.md"
NAIVE = ("naive", "seasonal-naive", "drift", "mean", "window-average")
SENSED = {  # models of the sensors -> titles
    "ridge": "ridge",
    "ridge of levels": "ridge of levels",
    "gru": "GRU, default",
    "network": "network",
    "ensemble": "three networks",
}
BESIDE = {  # task and part of the peers -> title
    ("one series", "read"): "reading one series",
    ("one series", "fit"): "fit of one series",
    ("many cutoffs", "backtest"): "backtest without fits",
    ("many series", "fit"): "fit of 3,000 series",
    ("many series", "predict"): "forecasts of 3,000 series",
}
OTHERS = ("ets", "arima", "theta", "holt-winters", "reduction", "boosting")


def rows(name: str) -> pd.DataFrame:
    """Read the rows of a benchmark."""
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return pd.DataFrame([json.loads(line) for line in lines])


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


def _beside() -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return the rows of each part in the order of titles, each library with its quicker number of threads."""
    part = rows("peers").sort_values("seconds").drop_duplicates(["task", "measured", "library", "settings"])
    groups = dict(list(part.groupby(["task", "measured"])))
    return [(name, groups[name].sort_index()) for name in BESIDE if name in groups]


def _seconds(value: float) -> str:
    """Return seconds as text, milliseconds below one."""
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.0f} ms"


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


def _of_users(part: pd.DataFrame) -> pd.Series:
    """Return the accuracy of each user, all seeds together; of all recordings where users are not known."""
    groups = part["group"].fillna("all")
    right = (part["accuracy"] * part["recordings"]).groupby(groups).sum()
    return right / part["recordings"].groupby(groups).sum()


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


def _of_verdicts(name: str) -> str:
    return verdict_tables.DRAWN[name](rows("verdicts"))


def _of_cluster(name: str) -> str:
    benchmark, draw = cluster_tables.DRAWN[name]
    return draw(rows(benchmark))


def _spread(values: pd.Series) -> str:
    """Return the mean over seeds, and the lowest and highest in brackets."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})" if len(values) else "-"


SHOWN = ("m4-hourly", "etth1-96", "us-births", "tourism-monthly", "nyc-taxi", "bike-sharing")  # in the README


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


OF_VERDICTS: dict[str, Callable[[], str]] = {name: partial(_of_verdicts, name) for name in verdict_tables.DRAWN}


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


OF_DISTRIBUTIONS: dict[str, Callable[[], str]] = {
    "distributions": distributions,
    "stationary": partial(held, "stationary"),
    "shifts": partial(held, "shift"),
    "sums": partial(held, "sums"),
}


OF_GALLERY: dict[str, Callable[[], str]] = {
    "mistakes": lambda: gallery_tables.mistakes(rows("leaks")),
    "counts": lambda: gallery_tables.counts(rows("leaks"), rows("kept"), rows("clean")),
}


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


def written(text: str, drawn: dict[str, Callable[[], str]]) -> str:
    """Return a text with its tables drawn again between their marks."""
    for name, table in drawn.items():
        pattern = rf"(<!-- table: {name} -->\n).*?(<!-- end -->)"

        def fill(match: re.Match[str], lines: str = table()) -> str:
            return f"{match[1]}{lines}\n{match[2]}"

        text = re.sub(pattern, fill, text, flags=re.DOTALL)
    return text


OF_STREAMING: dict[str, Callable[[], str]] = {
    "earliness": lambda: streaming_tables.earliness(rows("streaming")),
    "push": lambda: streaming_tables.push(rows("streaming")),
    "paced": lambda: streaming_tables.paced(rows("streaming")),
}


OF_SPEED: dict[str, Callable[[], str]] = {
    "speed": lambda: speed_tables.steps(rows("speed")),
    "convolutions": lambda: speed_tables.convolutions(rows("speed")),
    "fits": lambda: speed_tables.fits(rows("speed")),
    "side by side": lambda: speed_tables.side_by_side(rows("speed")),
    "ragged": lambda: speed_tables.ragged(rows("speed")),
    "forecasts": lambda: speed_tables.forecasts(rows("forecasts")),
    "quotes": lambda: speed_tables.quotes(rows("quotes")),
    "peers": peers,
    "peer errors": peer_errors,
    "start": start,
    "reading": reading,
}


def _of_serving(name: str) -> str:
    return serving_tables.DRAWN[name](rows("serving"))


DRAWN = {
    README: {"summary": summary},
    DOCS / "benchmarks" / "accuracy.md": {"accuracy": accuracy, "cells": cells, "others": others},
    DOCS / "benchmarks" / "sensors.md": {"sensors": sensors, "people": people},
    DOCS / "benchmarks" / "leaks.md": {"leaks": leaks, "clean": clean, "kept": kept},
    DOCS / "how-to" / "tuning.md": {"searches": searches, "optimism": optimism},
    DOCS / "how-to" / "mlflow.md": {"tracking": tracking},
    SPEED: OF_SPEED,
    CLASSIFICATION: {"recognition": recognition, "transfer": transfer},
    VERDICTS: OF_VERDICTS,
    DISTRIBUTIONS: OF_DISTRIBUTIONS,
    GALLERY: OF_GALLERY,
    STREAMING: OF_STREAMING,
    ACTIVITIES: {"activities": activities},
    RECORDINGS: {
        "accuracies": lambda: recording_tables.accuracies(rows("recordings")),
        "beside": lambda: recording_tables.beside(rows("recordings")),
    },
    HIERARCHIES: {
        "reconciliation": lambda: hierarchy_tables.methods(rows("hierarchies")),
        "levels": lambda: hierarchy_tables.levels(rows("hierarchies"), "bike-sharing"),
    },
    ANOMALIES: {
        "stretches": lambda: anomaly_tables.stretches(rows("anomalies")),
        "taxis": lambda: anomaly_tables.windows(rows("anomalies"), "nyc-taxi"),
        "machine": lambda: anomaly_tables.windows(rows("anomalies"), "machine-temperature"),
    },
    UPDATE: {
        "false alarms": lambda: drift_tables.false_alarms(rows("drift")),
        "delays": lambda: drift_tables.delays(rows("drift")),
    },
    SCALE: {name: partial(_of_cluster, name) for name in cluster_tables.DRAWN},
    SERVING: {name: partial(_of_serving, name) for name in serving_tables.DRAWN},
    OPEN_BOARD: {"open board": lambda: gallery_tables.open_board(rows("open_board"))},
}


def main() -> None:
    for path, drawn in DRAWN.items():
        path.write_text(written(path.read_text(encoding="utf-8"), drawn), encoding="utf-8")


if __name__ == "__main__":
    main()
