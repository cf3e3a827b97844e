"""Graphs in torch repeat their forecasters: for all that is learned, for fitted and for other series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers.exports import OTHERS, RAGGED, panel, said_by_graph, said_by_model, with_large_corrections
from tsforecast.data.panel import Panel
from tsforecast.distributions.families import StudentT
from tsforecast.export.levels import FamilyLevels
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import (
    DriftForecaster,
    MeanForecaster,
    NaiveForecaster,
    SeasonalNaiveForecaster,
    WindowAverageForecaster,
)
from tsforecast.forecasters.neural import GRUForecaster, LSTMForecaster, NeuralForecaster
from tsforecast.forecasters.windowed import AnchorForecaster

LEVELS = (0.025, 0.1, 0.5, 0.9)
SMALL: dict[str, Any] = {"horizon": 5, "units": 8, "max_epochs": 1, "random_state": 0}
FORM: dict[str, Any] = {"layers": 2, "residual": True, "norm": "layer", "segment": 3}
ALL = ("temp", "mood", "price", "holiday", "size", "kind")
POISSON = ("poisson", "negative-binomial", "zero-inflated-poisson", "zero-inflated-negative-binomial")


def gru(**settings: Any) -> GRUForecaster:
    return GRUForecaster(**SMALL | settings)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    **{cell: (NeuralForecaster(cell=cell, **SMALL), {}) for cell in ("rnn", "gru", "lstm", "conv1d")},
    **{
        f"{cell}, more of it": (
            NeuralForecaster(cell=cell, bidirectional=cell != "conv1d", **FORM, **SMALL),
            {"gaps": True},
        )
        for cell in ("rnn", "gru", "lstm", "conv1d")
    },
    "begun late": (gru(), {"lengths": RAGGED, "gaps": True}),
    "begun late, anchor (12, 24)": (gru(anchor=(12, 24), value_transform=None), {"lengths": RAGGED}),
    "begun late, more of it": (
        NeuralForecaster(instance_norm=True, **FORM, **SMALL),
        {"lengths": RAGGED, "gaps": True},
    ),
    "batch norm": (gru(norm="batch"), {}),
    "joint": (gru(channels="joint"), {"targets": 2}),
    "members": (gru(members=2), {"targets": 2, "gaps": True}),
    "instance norm": (gru(instance_norm=True), {"gaps": True}),
    **{loss: (gru(loss=loss), {"gaps": True}) for loss in ("normal", "student-t", "laplace", "lognormal", "quantile")},
    **{loss: (gru(loss=loss), {"counts": True}) for loss in POISSON},
    "median of counts": (gru(loss="negative-binomial", point="median"), {"counts": True}),
    "mean of logarithms": (gru(loss="normal", point="mean", value_transform="log"), {}),
    "mode of logarithms": (gru(loss="normal", point="mode", value_transform="log"), {}),
    **{
        f"{transform} {scaler}": (gru(value_transform=transform, scaler=scaler), {"gaps": True})
        for transform, scaler in (
            ("log", "standard"),
            ("log", None),
            ("box-cox", "robust"),
            ("box-cox", "standard"),
            (None, "min-max"),
            (None, "robust"),
            (None, None),
        )
    },
    "one scale": (gru(per_series=False), {"gaps": True}),
    **{
        f"anchor {anchor}": (gru(anchor=anchor, value_transform=None), {"gaps": True})
        for anchor in ("last", "none", (12, 24))
    },
    **{f"anchor {anchor}, log": (gru(anchor=anchor, value_transform="log"), {}) for anchor in ("seasonal", "average")},
    "covariates": (LSTMForecaster(**SMALL), {"columns": ALL}),
    "covariates with gaps": (gru(), {"columns": ("temp", "price", "size"), "gaps": True}),
    "calendar": (gru(), {"calendar": ("hour", "weekday")}),
    "float32": (gru(), {"dtype": np.float32}),
    "anchor alone": (AnchorForecaster(horizon=5), {"gaps": True}),
    **{
        kind.__name__: (kind(horizon=5), {"targets": 2, "gaps": True})
        for kind in (NaiveForecaster, SeasonalNaiveForecaster, DriftForecaster, MeanForecaster, WindowAverageForecaster)
    },
}


def require_same(model: Any, fitted: Panel, levels: tuple[float, ...], **form: Any) -> None:
    """Compare graph and model on the fitted series and on others."""
    span = np.nanmax(fitted.values[:, :1]) - np.nanmin(fitted.values[:, :1])
    for contexts in (fitted, panel(**form | OTHERS)):
        truth, found = said_by_model(model, contexts, levels), said_by_graph(model, contexts, levels)
        assert found.shape == truth.shape
        there = ~np.isnan(found)
        assert there[..., 0].all()
        assert there[:2].all()  # a short series may have points alone
        np.testing.assert_allclose(found[there], truth[there], atol=1e-6 * span, rtol=0)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_graph_repeats_its_forecaster(case: str) -> None:
    model, form = CASES[case]
    fitted = panel(**form)
    require_same(with_large_corrections(model.fit(fitted)), fitted, LEVELS, **form)


@pytest.mark.parametrize("combine", ["mean", "median"])
def test_the_graph_of_an_ensemble_has_those_of_its_members(combine: Any) -> None:
    fitted = panel(columns=("temp", "kind"), gaps=True)
    members = [
        gru(),
        gru(scaler="robust", anchor="last"),
        SeasonalNaiveForecaster(horizon=5),
        AnchorForecaster(horizon=5),
    ]
    model = with_large_corrections(EnsembleForecaster(members, combine=combine).fit(fitted))
    require_same(model, fitted, LEVELS, columns=("temp", "kind"), gaps=True)


def test_the_graph_of_a_blend_has_the_weights_of_each_series() -> None:
    rng = np.random.default_rng(0)
    walks = [np.cumsum(rng.normal(size=300)) * size + 40 for size in (0.0, 0.5, 1.0, 2.0)]
    seasons = [3 * np.sin(2 * np.pi * np.arange(300) / 12) + rng.normal(size=300) for _ in walks]
    fitted = Panel.from_array([walk + season for walk, season in zip(walks, seasons, strict=True)], season_length=12)
    model = with_large_corrections(gru(value_transform=None, scaler="standard").fit(fitted))
    assert model.resolved_["anchor"] == "blend"
    truth, found = said_by_model(model, fitted, ()), said_by_graph(model, fitted, ())
    np.testing.assert_allclose(found, truth, atol=1e-5)


def test_quantiles_between_degrees_of_freedom_are_right_to_seven_digits() -> None:
    import torch

    family, levels = StudentT(), np.array([0.01, 0.3, 0.975])
    degrees = np.linspace(2.001, 101.9, 999)
    parameters = np.stack([np.zeros_like(degrees), np.ones_like(degrees), degrees], axis=-1)
    found = FamilyLevels(family, levels.tolist())._quantiles(torch.from_numpy(parameters)).numpy()
    np.testing.assert_allclose(found, family.quantiles(parameters, levels), rtol=1e-7)
