"""Pretrained models as forecasters: Chronos, TimesFM, TiRex and Moirai, with weights of a local folder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsforecast.adapters import tables
from tsforecast.adapters.base import Question
from tsforecast.adapters.families import FAMILIES, VARIANTS, Quantiles, Variant, place_of, variant_of
from tsforecast.adapters.libraries import SeriesForecaster, Single
from tsforecast.adapters.names import require_package
from tsforecast.checks import one_of, whole
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, Problem, raise_any, reason, shorten
from tsforecast.estimators.base import keyword_settings, optional, setting
from tsforecast.estimators.network import device_problems
from tsforecast.forecasters.base import Forecaster, Pretraining
from tsforecast.training.runtime import seeded, torch_device


def _folder_problems(name: str, folder: Any) -> list[str]:
    """Require a folder of this machine."""
    if isinstance(folder, str | Path) and str(folder) and os.path.isdir(os.path.expanduser(folder)):
        return []
    remedy = "download the weights first and give a local folder: nothing is downloaded here"
    return [Problem("must be a local folder with a pretrained model", f"got {folder!r}", remedy, parameter=name)]


@keyword_settings
class PretrainedForecaster(SeriesForecaster):
    """Forecasts of a pretrained model, which learns nothing from the data that it is fitted to.

    The weights lie in a local folder, in the format of the model's own package, which must be installed; nothing is
    downloaded. The point forecast is the median of the model. Beyond its own horizon a model goes on from what it
    forecast.

    Examples
    --------
    >>> PretrainedForecaster("weights/chronos-2").fit([1.0, 2.0, 3.0])
    Traceback (most recent call last):
    tsforecast.errors.ParameterError: folder must be a local folder with a pretrained model: got 'weights/chronos-2'; \
download the weights first and give a local folder: nothing is downloaded here
    """

    folder: str | Path = setting(
        kw_only=False, check=_folder_problems, doc="Local folder with the weights and configuration of the model."
    )
    family: str | None = setting(
        default=None,
        check=optional(one_of, options=FAMILIES),
        doc="One of chronos, timesfm, tirex and moirai; that of the folder's config.json unless given.",
    )
    context: int | None = setting(
        default=None,
        check=optional(whole, least=1),
        doc="Last steps of each series that are read; as many as the model reads unless given.",
    )
    batch_size: int = setting(
        default=1,
        least=1,
        doc="Series that are forecast together. More are faster, and a forecast then depends on those in its batch by "
        "rounding, or by padding.",
    )
    device: str = setting(
        default="auto", check=device_problems, doc='Device of torch, or "auto" for a GPU where there is one.'
    )
    release: str | None = setting(
        default=None,
        doc="Date of the weights, YYYY-MM-DD; that of the first public weights of the model unless given.",
    )
    trained_on: Sequence[str] | None = setting(
        default=None,
        doc="Names of the datasets that the weights have learned from; those that its authors name unless given.",
    )

    each_cutoff, learns_distribution, takes_missing = False, True, True

    @property
    def label(self) -> str:
        """Name of the folder; see `ForeignForecaster.label`."""
        return place_of(str(self.folder)).name

    @property
    def variant(self) -> Variant:
        """The kind of the model in the folder; ParameterError where it holds none."""
        raise_any(_folder_problems("folder", self.folder), ParameterError)
        return VARIANTS[variant_of(self.folder, self.family)]

    @property
    def reads(self) -> tuple[str, ...]:
        """See `SeriesForecaster.reads`."""
        return self.variant.reads

    @property
    def takes_text(self) -> bool:  # type: ignore[override]
        """See `SeriesForecaster.takes_text`."""
        return self.variant.takes_text

    @property
    def note(self) -> str:
        """See `ForeignForecaster.note`."""
        return "" if self._problems() else f"is pretrained, and {super().note}"

    @property
    def pretraining(self) -> Pretraining:
        """See `Forecaster.pretraining`."""
        release = self.variant.release if self.release is None else self.release
        return Pretraining(release, self.variant.trained_on if self.trained_on is None else self.trained_on)  # type: ignore[arg-type]

    @property
    def code(self) -> str:
        """SHA-256 of the code and of the files of the folder; see `ForeignForecaster.code`."""
        return hashlib.sha256(
            "".join([super().code, *_hashes_of(_stamps_of(place_of(self.folder)))]).encode()
        ).hexdigest()

    @property
    def sources(self) -> tuple[Any, ...]:
        """See `ForeignForecaster.sources`."""
        return (type(self),)

    def train(self, panel: Panel) -> None:
        """Load the model, which learns nothing here; see `ForeignForecaster.train`."""
        super().train(panel)
        limit = self._loaded().limit(self.horizon_)
        if limit < 1:
            raise ParameterError(
                f"{self.label} must forecast fewer than horizon={self.horizon_} steps: no context fits"
            )
        if self.context is not None and self.context > limit:
            must = f"must be at most the {limit:,} steps that {self.label} reads before {self.horizon_:,}"
            raise ParameterError(Problem(must, f"got {self.context:,}", parameter="context"))

    def answer(self, question: Question) -> NDArray[np.float64]:
        """See `ForeignForecaster.answer`."""
        levels, found = self.answer_quantiles(question)
        if 0.5 not in levels:
            raise ParameterError(f"{self.label} must have a median among its quantiles: got the levels {list(levels)}")
        return found[..., list(levels).index(0.5)]

    def answer_quantiles(self, question: Question) -> Quantiles:
        """See `ForeignForecaster.answer_quantiles`."""
        model, levels, found = self._loaded(), list[float](), []
        for batch in self._batches(question):
            names = shorten([repr(one.id) for one in batch])
            with self.explained(f"{question.horizon} steps of series {names}"), _quiet(), seeded(0):
                known, values = model.quantiles(batch, question.horizon)
            levels = [round(float(level), 6) for level in known]
            found.append(values)
        return levels, tables.from_long(np.concatenate(found), question.panel)

    def _batches(self, question: Question) -> Iterator[list[Single]]:
        """Yield series with the steps that are read, `batch_size` at a time."""
        batch: list[Single] = []
        for one in self.singles(question):
            batch.append(one if self.context is None else _shortened(one, self.context))
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _cautions(self, past: Any) -> list[str]:
        """Return a warning where the model does not make the horizon at once."""
        at_once = self._loaded().at_once
        if not 0 < at_once < self.horizon_:
            return super()._cautions(past)
        return [
            f"{self.label} was trained to forecast {at_once:,} steps: beyond them, up to {self.horizon_:,}, it "
            "continues from its own forecasts",
            *super()._cautions(past),
        ]

    def _loaded(self) -> Any:
        """Return the model, which is not kept in the fitted state: files on this machine have it."""
        name = variant_of(self.folder, self.family)
        variant = VARIANTS[name]
        require_package(variant.package, f"{name} in {self.label!r}", variant.install)
        place = place_of(self.folder)
        return _load(name, place, torch_device(self.device), _stamps_of(place))

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if problems:
            return problems
        try:
            _ = self.variant, self.pretraining  # a model that is known, with a date and names
        except ParameterError as error:
            return list(error.problems)
        return []


def _shortened(one: Single, steps: int) -> Single:
    """Return the last steps of a series."""
    rows = None if one.covariates is None else one.covariates.iloc[-steps:].reset_index(drop=True)
    return dataclasses.replace(one, times=one.times[-steps:], y=one.y[-steps:], covariates=rows)


def _stamps_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return path, size and time of change of each file in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


@lru_cache(maxsize=8)
def _hashes_of(stamps: tuple[tuple[str, int, int], ...]) -> list[str]:
    """Return the SHA-256 of each file, of which the hash of unchanged ones is known."""
    found = []
    for path, _, _ in stamps:
        with open(path, "rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found


@lru_cache(maxsize=2)
def _load(name: str, folder: Path, device: torch.device, stamps: tuple[tuple[str, int, int], ...]) -> Any:
    """Load a model once for all that ask for it with the same files."""
    try:
        with _quiet(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model = VARIANTS[name].load(str(folder), device)
    except Exception as error:  # of the model's package
        raise ParameterError(
            f"{name} cannot be loaded from folder {folder.name!r}: {type(error).__name__}: {reason(error)}"
        ) from error
    missing = _missing_weights(model.module, stamps)
    if missing:
        raise ParameterError(
            f"{name} cannot be loaded from folder {folder.name!r}: {len(missing)} of its weights are in no file there, "
            f"such as {shorten(missing, 1)}; download it once more"
        )
    return model


def _missing_weights(module: torch.nn.Module, stamps: tuple[tuple[str, int, int], ...]) -> list[str]:
    """Return names of weights that no file of safetensors has: some packages draw those at random."""
    files = [path for path, _, _ in stamps if path.endswith(".safetensors")]
    if not files:
        return []
    names = set[str]()
    for path in files:
        with import_module("safetensors").safe_open(path, framework="pt") as opened:
            names |= set(opened.keys())
    weights = module.state_dict()
    shared = {weight.data_ptr() for name, weight in weights.items() if name in names}  # one tensor of two names
    return [name for name, weight in weights.items() if name not in names and weight.data_ptr() not in shared]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out warnings of a package: what matters of them is in sentences of this module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def adapt(model: Any) -> Forecaster | None:
    """Return None: pretrained models are given as a `PretrainedForecaster`."""
    return None


def make(name: str, random_state: int | None = None) -> Forecaster:
    """Return a forecaster by the path of a local folder with a pretrained model.

    Raises
    ------
    ParameterError
        When there is no such folder, or no such model in it.
    """
    model = PretrainedForecaster(name)
    problems = model._problems()
    if problems:
        raise ParameterError(problems)
    variant = model.variant
    require_package(variant.package, f"pretrained:{name}", variant.install)
    return model
