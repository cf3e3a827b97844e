"""Families of pretrained models: how each is recognised and loaded, reads series and gives quantiles."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from tsforecast.adapters.gluonts import entry_of, quantiles_of
from tsforecast.adapters.libraries import ASKED_LEVELS, Single
from tsforecast.errors import ParameterError, Problem, shorten

FAMILIES = ("chronos", "timesfm", "tirex", "moirai")
Quantiles = tuple[Sequence[float], NDArray[np.float64]]  # levels, and quantiles (n, H, levels)

# Series of Chronos-T5, by the appendix of arXiv:2403.07815; the later corpora name it as a whole.
_CHRONOS_SERIES = (
    *("Brazilian Cities Temperature", "Mexico City Bikes", "Solar (5 Min.)", "Solar (Hourly)"),
    *("Spanish Energy and Weather", "Taxi (Hourly)", "USHCN", "Weatherbench (Hourly)", "Weatherbench (Daily)"),
    *("Weatherbench (Weekly)", "Wiki Daily (100k)", "Wind Farms (Hourly)", "Wind Farms (Daily)"),
    *("Electricity (15 Min.)", "Electricity (Hourly)", "Electricity (Weekly)", "KDD Cup 2018", "London Smart Meters"),
    *("M4 (Daily)", "M4 (Hourly)", "M4 (Monthly)", "M4 (Weekly)", "Pedestrian Counts", "Rideshare", "Taxi (30 Min.)"),
    *("Temperature-Rain", "Uber TLC (Daily)", "Uber TLC (Hourly)", "KernelSynth"),
)


class _Chronos:
    """Chronos-T5, Chronos-Bolt and Chronos-2, which take missing numbers."""

    def __init__(self, folder: str, device: torch.device) -> None:
        load = import_module("chronos").BaseChronosPipeline.from_pretrained
        self.pipeline = load(folder, device_map=str(device), local_files_only=True)
        self.module = self.pipeline.model if hasattr(self.pipeline, "quantiles") else self.pipeline.model.model
        self.levels = tuple(getattr(self.pipeline, "quantiles", ASKED_LEVELS))  # T5 draws samples
        self.at_once = int(self.pipeline.model_prediction_length)

    def limit(self, horizon: int) -> int:
        return int(self.pipeline.model_context_length)

    def quantiles(self, singles: list[Single], horizon: int) -> Quantiles:
        given: list[Any] = [torch.tensor(one.y) for one in singles]
        if self.at_once and type(self.pipeline).__name__ == "Chronos2Pipeline":
            given = [_chronos2_input(one) for one in singles]
        levels = list(self.levels)
        found, _ = self.pipeline.predict_quantiles(given, prediction_length=horizon, quantile_levels=levels)
        return levels, np.stack([np.asarray(each).reshape(horizon, -1) for each in found]).astype(np.float64)


def _chronos2_input(one: Single) -> dict[str, Any]:
    """Return a series with its covariates as Chronos-2 names them."""
    columns = {"past_covariates": one.covariates, "future_covariates": one.future}
    return {"target": one.y} | {
        name: {column: rows[column].to_numpy() for column in rows} for name, rows in columns.items() if rows is not None
    }


class _TimesFM3:
    """TimesFM 3.0, which interpolates missing numbers."""

    at_once = 0  # any horizon in one pass

    def __init__(self, folder: str, device: torch.device) -> None:
        load = import_module("timesfm3").TimesFM3Forecaster.from_pretrained
        self.model = load(folder, device=str(device), local_files_only=True)
        self.module = self.model.model

    def limit(self, horizon: int) -> int:
        return int(self.model.global_context)

    def quantiles(self, singles: list[Single], horizon: int) -> Quantiles:
        past, both = zip(*map(_rows_of_covariates, singles), strict=True)
        found = self.model.predict_batch(
            [one.y for one in singles],
            horizon,
            past_only_covariates=list(past),
            past_future_covariates=list(both),
            return_quantiles=True,
        )
        return self.model.config.quantiles, np.stack([each.quantiles for each in found]).astype(np.float64)


def _rows_of_covariates(one: Single) -> tuple[Any, Any]:
    """Return covariates of the past alone, (P, T), and those known ahead, (F, T + H); None where there are none."""
    rows = pd.DataFrame() if one.covariates is None else one.covariates
    known = [] if one.future is None else list(one.future.columns)
    past = [name for name in rows if name not in known]
    both = pd.concat([rows[known], one.future]).to_numpy().T if known else None
    return rows[past].to_numpy().T if past else None, both


class _TimesFM25:
    """TimesFM 2.5 with its head for quantiles and the flags that its authors recommend."""

    at_once = 1024  # steps of the head for quantiles

    def __init__(self, folder: str, device: torch.device) -> None:
        load = import_module("timesfm").TimesFM_2p5_200M_torch.from_pretrained
        self.model = load(folder, torch_compile=False, local_files_only=True)
        self.module = self.model.model.to(device)
        self.module.device = device

    def limit(self, horizon: int) -> int:
        return int(self.module.config.context_limit - -(-horizon // self.module.o) * self.module.o)

    def quantiles(self, singles: list[Single], horizon: int) -> Quantiles:
        longest = min(max(len(one.y) for one in singles), self.limit(horizon))
        config = import_module("timesfm").ForecastConfig(
            max_context=longest,
            max_horizon=horizon,
            per_core_batch_size=len(singles),
            normalize_inputs=True,
            use_continuous_quantile_head=horizon <= self.module.os,
            fix_quantile_crossing=True,
        )
        self.model.compile(config)
        _, found = self.model.forecast(horizon=horizon, inputs=[one.y for one in singles])
        return self.module.config.quantiles, np.asarray(found[:, :, 1:], dtype=np.float64)  # the first is the mean


class _TiRex:
    """TiRex, which takes missing numbers."""

    at_once = 0

    def __init__(self, folder: str, device: torch.device) -> None:
        load = import_module("tirex.models.tirex").TiRexZero.from_pretrained
        self.module = load(str(Path(folder) / _CHECKPOINT), backend="torch", device=str(device))

    def limit(self, horizon: int) -> int:
        return int(self.module.config.train_ctx_len)

    def quantiles(self, singles: list[Single], horizon: int) -> Quantiles:
        found, _ = self.module.forecast(context=[torch.tensor(one.y) for one in singles], prediction_length=horizon)
        return self.module.config.quantiles, np.asarray(found, dtype=np.float64)


class _Moirai:
    """Moirai 1, Moirai-MoE and Moirai 2 as predictors of GluonTS; the first two draw samples."""

    at_once = 0
    version = ("moirai", "Moirai")

    def __init__(self, folder: str, device: torch.device) -> None:
        module, prefix = self.version
        self.library, self.prefix, self.device = import_module(f"uni2ts.model.{module}"), prefix, device
        load = getattr(self.library, f"{prefix}Module").from_pretrained
        self.module = load(folder, local_files_only=True).to(device).eval()

    def limit(self, horizon: int) -> int:
        patch = min(getattr(self.module, "patch_sizes", None) or [self.module.patch_size])
        return int((self.module.max_seq_len - -(-horizon // patch)) * patch)

    def quantiles(self, singles: list[Single], horizon: int) -> Quantiles:
        entries = [entry_of(one) for one in singles]
        first = entries[0]
        model = getattr(self.library, f"{self.prefix}Forecast")(
            module=self.module,
            prediction_length=horizon,
            context_length=min(max(len(one.y) for one in singles), self.limit(horizon)),
            target_dim=1,
            feat_dynamic_real_dim=len(first.get("feat_dynamic_real", ())),
            past_feat_dynamic_real_dim=len(first.get("past_feat_dynamic_real", ())),
        )
        return self._forecast(model.create_predictor(len(singles), device=str(self.device)), entries)

    def _forecast(self, predictor: Any, entries: list[dict[str, Any]]) -> Quantiles:
        return quantiles_of(predictor.predict(entries))


class _MoiraiMoE(_Moirai):
    version = ("moirai_moe", "MoiraiMoE")


class _Moirai2(_Moirai):
    version = ("moirai2", "Moirai2")

    def _forecast(self, predictor: Any, entries: list[dict[str, Any]]) -> Quantiles:
        predictor.forecast_generator = _outputs  # its own reads what networks of GluonTS 0.14 returned
        found = np.stack(list(predictor.predict(entries))).astype(np.float64)  # (n, levels, H)
        return self.module.quantile_levels, np.moveaxis(found, 1, 2)


def _outputs(inference_data_loader: Any, prediction_net: Any, input_names: list[str], **_: Any) -> Iterator[Any]:
    """Yield what a network of uni2ts returns for each entry."""
    for batch in inference_data_loader:
        yield from prediction_net(**{name: batch[name] for name in input_names}).cpu().numpy()


@dataclass(frozen=True)
class Variant:
    """One kind of pretrained model: its package, what it reads, and its first public weights."""

    family: str
    package: str  # that is imported
    install: str  # name of the package for pip
    load: Callable[[str, torch.device], Any]
    release: str  # see docs/how-to/your-model.md for the sources; the last day of a month where no day is known
    trained_on: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    takes_text: bool = False


_BOTH = ("past", "future")
_CORPORA = ("Chronos datasets", "GIFT-Eval Pretrain", "KernelSynth")
_PAGEVIEWS = ("GIFT-Eval Pretrain", "Wikimedia Pageviews", "Google Trends")
_SALESFORCE = ("GIFT-Eval Pretrain", "GIFT-Eval Train", "Chronos-Mixup", "KernelSynth", "Salesforce operations")
_CHRONOS, _TIMESFM, _UNI2TS = (
    ("chronos", "chronos", "chronos-forecasting"),
    ("timesfm",) * 3,
    ("moirai",) + ("uni2ts",) * 2,
)
VARIANTS = {
    "Chronos-2": Variant(*_CHRONOS, _Chronos, "2025-10-20", _CORPORA, _BOTH, takes_text=True),
    "Chronos-Bolt": Variant(*_CHRONOS, _Chronos, "2024-11-26"),
    "Chronos-T5": Variant(*_CHRONOS, _Chronos, "2024-03-13", _CHRONOS_SERIES),
    "TimesFM 3.0": Variant("timesfm", "timesfm3", "timesfm", _TimesFM3, "2026-08-31", reads=_BOTH),
    "TimesFM 2.5": Variant(*_TIMESFM, _TimesFM25, "2025-09-15", _PAGEVIEWS),
    "TiRex": Variant("tirex", "tirex", "tirex-ts", _TiRex, "2025-05-31", _CORPORA),
    "Moirai 1": Variant(*_UNI2TS, _Moirai, "2024-06-30", ("LOTSA",), _BOTH),  # of 1.1-R; those of 1.0-R are older
    "Moirai-MoE": Variant(*_UNI2TS, _MoiraiMoE, "2024-10-31", ("LOTSA",), _BOTH),
    "Moirai 2": Variant(*_UNI2TS, _Moirai2, "2025-08-31", _SALESFORCE, _BOTH),
}
_CHECKPOINT = "model.ckpt"  # of TiRex, which has no config.json


def variant_of(folder: str | Path, family: str | None = None) -> str:
    """Return the name in `VARIANTS` of the model in a folder, by its config.json.

    Raises
    ------
    ParameterError
        When the folder holds none of them, or none of the family.
    """
    folder = place_of(folder)
    found = _recognised(folder, family)
    must = "must hold a pretrained model of " + (family or ", ".join(FAMILIES))
    if not found:
        files = sorted(path.name for path in folder.iterdir())
        has = f"it holds {shorten(files, 5)}" if files else "it is empty"
        remedy = "download the model with its config.json, or give family=" if family is None else ""
        raise ParameterError(Problem(must, has, remedy, parameter="folder"))
    if family is not None and VARIANTS[found].family != family:
        raise ParameterError(Problem(must, f"it holds {found} of {VARIANTS[found].family}", parameter="folder"))
    return found


def place_of(folder: str | Path) -> Path:
    """Return a folder with its whole path: a hub could have a model of the name of a relative one."""
    return Path(os.path.expanduser(folder)).resolve()


def _recognised(folder: Path, family: str | None) -> str:
    """Return the name of the model that the files of a folder show; empty for none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    config = config if isinstance(config, dict) else {}
    if "chronos_config" in config:
        kinds = {"Chronos2Pipeline": "Chronos-2", "ChronosBoltPipeline": "Chronos-Bolt"}
        return kinds.get(str(config.get("chronos_pipeline_class") or _pipeline_of(config)), "Chronos-T5")
    if "transformer_config" in config:
        return "TimesFM 3.0"
    if "num_predict_token" in config:
        return "Moirai 2"
    if "patch_sizes" in config:
        return "Moirai-MoE" if "d_ff" in config else "Moirai 1"
    if (folder / _CHECKPOINT).is_file():
        return "TiRex"
    named = family == "timesfm" or "timesfm" in json.dumps(config).lower()
    return "TimesFM 2.5" if named and (folder / "model.safetensors").is_file() else ""


def _pipeline_of(config: dict[str, Any]) -> str:
    """Return the pipeline of a Chronos model whose configuration does not name it, by its architecture."""
    architecture = "".join(map(str, config.get("architectures") or ()))
    return "Chronos2Pipeline" if "Chronos2" in architecture else "ChronosBoltPipeline" if "Bolt" in architecture else ""
