"""Panels for exported graphs, and what graphs and forecasters say to the same contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.export.build import Columns, graph_of
from tsforecast.export.file import Entry, inputs_of

SEASON = 12


def panel(
    lengths: Sequence[int] = (160, 90, 60),
    names: Sequence[str] = ("a", "b", "c"),
    *,
    targets: int = 1,
    columns: Sequence[str] = (),
    gaps: bool = False,
    counts: bool = False,
    dtype: type = float,
    calendar: Sequence[str] = (),
) -> Panel:
    """Return hourly series with a season; `columns` are among those of `ROLES`, mood, holiday and kind being text."""
    rng, parts = np.random.default_rng(sum(map(ord, "".join(names)))), []
    for number, (name, steps) in enumerate(zip(names, lengths, strict=True)):
        t = np.arange(steps)[:, None] + np.arange(targets)
        y = 20 + 5 * np.sin(2 * np.pi * t / SEASON) + rng.normal(size=t.shape) + 5 * number
        y = rng.poisson(np.maximum(y - 15, 0.3)).astype(float) if counts else y.astype(dtype)
        if gaps:
            y[rng.random(y.shape) < 0.1] = np.nan
            y[:3, 0] = y[-1, 0] = np.nan
        part = pd.DataFrame({"id": name, "t": pd.date_range("2024-01-01", periods=steps, freq="h")})
        part[[f"y{k}" for k in range(targets)]] = y
        made: dict[str, Any] = {
            "temp": 5 + 3 * rng.normal(size=steps),
            "mood": rng.choice(["low", "high", None], steps),
            "price": 8 + rng.normal(size=steps),
            "holiday": rng.choice(["no", "yes", "half"], steps),
            "size": number + 1.0,
            "kind": "xyz"[number % 3],
        }
        parts.append(part.assign(**{column: made[column] for column in columns}))
    roles = {role: [name for name in names if name in columns] for role, names in ROLES.items()}
    found = Panel.from_frame(
        pd.concat(parts, ignore_index=True),
        time="t",
        id="id",
        target=[f"y{k}" for k in range(targets)],
        season_length=SEASON,
        nan_policy="mask" if gaps else None,
        **roles,
    )
    return found.with_calendar(*calendar) if calendar else found


ROLES = {"past": ("temp", "mood"), "future": ("price", "holiday"), "static": ("size", "kind")}
RAGGED = (160, 90, 30)  # lengths of which the last lets windows begin before their series
OTHERS = {"lengths": (100, 40, 14, 9), "names": ("new", "b", "short", "shorter")}  # three that were not fitted


def with_large_corrections(model: Any) -> Any:
    """Return a fitted model whose networks correct a lot, so that no forecast is the naive one."""
    generator = torch.Generator().manual_seed(1)
    for each in [model, *model.members_]:
        if hasattr(each, "network_"):
            with torch.no_grad():
                each.network_.share.fill_(1.0)
                for name, weights in each.network_.named_parameters():
                    if "head" in name:
                        weights.copy_(torch.randn(weights.shape, generator=generator) * 0.3)
    return model


def said_by_model(model: Any, contexts: Panel, levels: Sequence[float]) -> np.ndarray:
    """Return points and quantiles of the ends of series, (n, H, K, 1 + Q)."""
    past = Context.at_end(contexts)
    points = model.forecast(past, model.horizon_)[..., None]
    if not levels:
        return points
    return np.concatenate([points, model.distribution(past, model.horizon_).quantiles(levels)], axis=-1)


def inputs_for(model: Any, contexts: Panel) -> dict[str, np.ndarray]:
    """Return the inputs of its graph for the ends of series."""
    columns = Columns.of(model)
    inputs = inputs_of(Context.at_end(contexts), columns.ids, columns.texts, model.horizon_)
    return {name: inputs[name] for name in columns.needed}


def said_by_graph(model: Any, contexts: Panel, levels: Sequence[float]) -> np.ndarray:
    """Return what the graph of a model says, in torch."""
    columns = Columns.of(model)
    entry = Entry(graph_of(model, columns, levels), columns.needed, bool(levels)).eval()
    with torch.no_grad():
        found = entry(*(torch.from_numpy(part) for part in inputs_for(model, contexts).values()))
    return together(found if isinstance(found, tuple) else (found,))


def together(outputs: Sequence[Any]) -> np.ndarray:
    """Return points and perhaps quantiles as one array."""
    return np.concatenate([np.asarray(outputs[0])[..., None], *map(np.asarray, outputs[1:])], axis=-1)
