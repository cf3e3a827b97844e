"""SequenceGenerator: from a static description to a sequence, step by step."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import r2_score
from torch import Tensor

from tsforecast.checks import between, whole
from tsforecast.data import samples
from tsforecast.data.panel import Panel
from tsforecast.data.quality import TOO_LARGE
from tsforecast.data.scaling import Scaling, ScalingRecipe
from tsforecast.errors import DataError, ParameterError, counted, raise_any
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.network import TrainingData
from tsforecast.events import observed
from tsforecast.networks.sequence import GeneratorBatch, GeneratorNetwork, NumberLoss
from tsforecast.saving.codec import under
from tsforecast.saving.folder import GOLDEN_INPUTS, GOLDEN_OUTPUTS
from tsforecast.sequences.base import Floats, groups_of, learned_from
from tsforecast.sequences.network import SequenceTraining, validation_mask
from tsforecast.training.history import Epoch
from tsforecast.training.runtime import few_threads, torch_device

DESCRIPTION = "description."  # before the names of the arrays that scale it


class GeneratorDataset:
    """Scaled descriptions, (N, D), with the sequences that they are of, (N, T, C), NaN after the end of each."""

    kind = "sequence"  # what `names` name

    def __init__(self, descriptions: Floats, truth: Floats, names: NDArray[Any], device: torch.device) -> None:
        self.names, self.device = names, device
        self._descriptions = torch.from_numpy(descriptions).float().to(device)
        self._truth = torch.from_numpy(truth).float().to(device)
        self._lengths = torch.from_numpy((~np.isnan(truth[..., 0])).sum(axis=1))

    def __len__(self) -> int:
        return len(self._truth)

    def series_index(self, index: Tensor) -> Tensor:
        """Return `index` itself, (B,): each example is a whole sequence."""
        return index

    def batch(self, index: Tensor) -> GeneratorBatch:
        """Gather the sequences `index`, int64 of shape (B,), as long as the longest of them."""
        longest, index = int(self._lengths[index].max()), index.to(self.device, non_blocking=True)
        return GeneratorBatch(self._descriptions[index], self._truth[index, :longest])

    def shuffled(self, batch_size: int, steps: int) -> list[Tensor]:
        """Return the batches of one epoch, at most `steps`, in a random order."""
        return list(torch.split(torch.randperm(len(self))[: steps * batch_size], batch_size))


@keyword_settings
class SequenceGenerator(SequenceTraining):
    """A recurrent network that writes a sequence for a description: numbers that do not change along its steps.

    Each step reads the description and the step before, and has a normal distribution. In training the step before is
    the true one (teacher forcing), and more and more often a draw of the network's own, which is all that there is
    when it writes [scheduled sampling, Bengio et al. 2015, arXiv 1506.03099; all steps of a sequence draw at once,
    each after its true past, Duckworth et al. 2019, arXiv 1906.04331]. Untrained it writes the mean path of the
    sequences that train, whatever the description. Scales are learned on the sequences that train only.

    Attributes
    ----------
    n_features_in_ : int
        Numbers of a description (D).
    channels_ : int
        Numbers in a step of a sequence (C).
    longest_ : int
        Steps of the longest sequence that trained.
    resolved_ : dict
        Values used where a setting left a choice: validation, max_epochs, best_epoch, device.
    network_ : tsforecast.networks.sequence.GeneratorNetwork
    scaling_, description_scaling_ : Scaling
        Of the channels of sequences, and of descriptions.
    history_ : list of Epoch
        Losses are negative logarithms of the likelihood of a number; skill is by how much higher it is than that of
        the mean path.

    Examples
    --------
    >>> heights = np.linspace(1, 3, 20)[:, None]
    >>> hills = [height * np.sin(np.linspace(0, 3, 12)) for height in heights]
    >>> model = SequenceGenerator(units=8, max_epochs=2, random_state=0).fit(heights, hills)
    >>> model.predict([[2.0]]).shape, model.sample([[2.0]], steps=5, samples=3, random_state=0).shape
    ((1, 12, 1), (1, 3, 5, 1))
    """

    cell: Literal["rnn", "gru", "lstm"] = setting(default="gru", doc="Recurrent cell.")
    segment: Literal[1] = setting(default=1, init=False)
    residual: bool = setting(default=False, init=False)
    norm: Literal["layer", "batch"] | None = setting(default=None, init=False)
    bidirectional: bool = setting(default=False, init=False)
    kernel_size: int = setting(default=3, init=False)
    refit: bool = setting(default=False, init=False)
    own_share: float = setting(
        default=0.25,
        check=partial(between, low=0, high=1),
        doc="Share of steps that read a draw of the network's own in place of the true step before at the end of "
        "training; it rises from 0, along a line.",
    )
    scaling_: Scaling = dataclasses.field(init=False)
    description_scaling_: Scaling = dataclasses.field(init=False)
    _fitted_attribute, _fit_call = "longest_", "fit(X, Y)"

    def fit(self, X: Any, Y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Learn to write sequences from their descriptions.

        Parameters
        ----------
        X : array of shape (N, D), or frame
            Descriptions.
        Y : list of (T, C) or (T,) arrays, array of shape (N, T, C) or (N, T), or Panel
            Sequences, each of its own length.
        groups : array of shape (N,), optional
            Person or thing that each sequence is of. Whole groups validate, where any do.

        Returns
        -------
        self

        Raises
        ------
        ParameterError, DataError, TrainingError
        """
        raise_any(self._problems(), ParameterError)
        if Y is None:
            raise DataError("fit requires Y to be passed, but the target Y is None: give a sequence for each row of X")
        rows, panel = _table(X), _sequences(Y)
        sides, problems = groups_of(panel, groups)
        if len(rows) != len(panel):
            problems.append(f"X must have a row for each sequence: got shape {rows.shape} for {len(panel)} sequences")
        raise_any(problems)
        self.__dict__.pop("longest_", None)  # not fitted until it is again
        self._forget_array()
        self.n_features_in_ = rows.shape[1]
        if (names := _names(X)) is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        random = np.random.default_rng(self.random_state)
        count, validates = validation_mask(np.zeros(len(panel), dtype=np.int64), sides, self.validation, random)
        self.fitted_on_, self.history_ = learned_from(panel, rows), []
        self.channels_ = panel.values.shape[1]
        self.resolved_ = {"validation": count, "device": str(torch_device(self.device))}
        config = self._training_config(self.epochs(int((~validates).sum())))
        data, prior = self._prepare(rows, panel, validates)

        def told(epoch: Epoch) -> None:
            self.network_.own_share = self.own_share * min(1.0, epoch.number / max(1, config.max_epochs))
            activity.notify(epoch)

        with observed(self, panel) as activity:
            self._train_network(data, config, partial(self._untrained_network, prior), None, told)
            self.longest_ = len(prior)
        return self

    def predict(self, X: Any, steps: int | None = None) -> Floats:
        """Return the mean path for each description, (N, steps, C): each step reads the mean of the step before.

        Parameters
        ----------
        X : as in `fit`
        steps : int, optional
            As many as the longest sequence that trained has, unless given.

        Raises
        ------
        NotFittedError, ParameterError, DataError
        """
        return self._written(X, steps, None)

    def score(self, X: Any, Y: Any) -> float:
        """Return R², at most 1, of the mean paths over all steps and channels; that of the mean of `Y` is 0.

        Raises
        ------
        NotFittedError, DataError
        """
        panel = _sequences(Y)
        paths = self.predict(X, int(panel.lengths.max()))
        channels = panel.values.shape[1]
        if len(paths) != len(panel) or channels != self.channels_:
            raise DataError(
                f"Y must have a sequence of {self.channels_} channels for each of {len(paths)} rows of X: got "
                f"{len(panel)} sequences of {channels}"
            )
        written = np.concatenate([path[:length] for path, length in zip(paths, panel.lengths, strict=True)])
        return float(r2_score(panel.values, written))

    def sample(self, X: Any, steps: int | None = None, samples: int = 1, random_state: int | None = None) -> Floats:
        """Return sequences drawn for each description, (N, samples, steps, C): each step reads the draw before.

        Parameters
        ----------
        X, steps : as in `predict`
        samples : int
            Sequences for each description.
        random_state : int, optional
            Seed of the draws.

        Raises
        ------
        NotFittedError, ParameterError, DataError
        """
        problems = whole("samples", samples, 1) + whole("random_state", random_state, 0, [None])
        raise_any(problems, ParameterError)
        rows = np.repeat(self._described(X), samples, axis=0)
        found = self._written(rows, steps, np.random.default_rng(random_state))
        return found.reshape(-1, samples, *found.shape[1:])

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        scaling, described = plain.pop("scaling_"), plain.pop("description_scaling_")
        return plain, arrays | scaling.numbers() | {
            f"{DESCRIPTION}{name}": n for name, n in described.numbers().items()
        }

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        names = ("n_features_in_", "channels_", "longest_")
        if [problem for name in names for problem in whole(name, plain[name], 1)]:
            raise ValueError(f"descriptions and sequences must have sizes: got {[plain[name] for name in names]}")
        described, channels = plain["n_features_in_"], plain["channels_"]
        super().set_state(plain, arrays)
        self.scaling_ = Scaling.from_numbers(arrays, False, 1, channels, channels)
        self.description_scaling_ = Scaling.from_numbers(under(DESCRIPTION, arrays), False, 1, described, described)

    def golden(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the mean paths of two descriptions; see `Estimator.golden`."""
        rows = self.description_scaling_.inverse(np.outer([-1.0, 1.0], np.ones(self.n_features_in_)), 0)
        return {}, {GOLDEN_INPUTS: rows, GOLDEN_OUTPUTS: self.golden_outputs({}, {GOLDEN_INPUTS: rows})}

    def golden_outputs(self, question: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Floats:
        """Return the mean paths, (2, T, C); see `Estimator.golden_outputs`."""
        return self._written(arrays[GOLDEN_INPUTS], None, None)

    def _prepare(self, rows: Floats, panel: Panel, validates: NDArray[np.bool_]) -> tuple[TrainingData, Tensor]:
        """Learn scales and the mean path on the sequences that train; return the examples, and outputs of the path."""
        device, trains = torch_device(self.device), panel.select(~validates)
        recipe, some = ScalingRecipe(None, self.scaler, per_series=False), rows[~validates]
        self.scaling_ = recipe.fit(trains.values, trains.offsets[[0, -1]], self.channels_)
        self.description_scaling_ = recipe.fit(some, np.array([0, len(some)]), rows.shape[1])
        self.scaled_on_ = learned_from(trains, some)
        padded = np.full((len(panel), int(panel.lengths.max()), self.channels_), np.nan)
        for own, one in zip(padded, np.split(panel.values, panel.offsets[1:-1]), strict=True):
            own[: len(one)] = self.scaling_.transform(one, 0)
        described = self.description_scaling_.transform(rows, 0)

        def dataset(chosen: NDArray[np.bool_]) -> GeneratorDataset:
            return GeneratorDataset(described[chosen], padded[chosen], panel.ids[chosen], device)

        longest = int(trains.lengths.max())
        path = np.nanmean(padded[~validates, :longest], axis=0)  # (T, C)
        spread = np.sqrt(np.nanmean((padded[~validates, :longest] - path) ** 2, axis=(0, 1)))
        prior = np.concatenate([path, np.tile(np.log(np.maximum(spread, 1e-3)), (longest, 1))], axis=1)
        validation = dataset(validates) if validates.any() else None
        data = TrainingData(dataset(~validates), validation, NumberLoss("normal"), 1, longest)
        return data, torch.from_numpy(prior).float()

    def _untrained_network(self, prior: Tensor | None = None) -> GeneratorNetwork:
        """Return a network with random weights, that writes the mean path."""
        if prior is None:
            prior = torch.zeros(self.longest_, 2 * self.channels_)
        return GeneratorNetwork(self._architecture(), int(self.n_features_in_), prior)

    def _described(self, X: Any) -> Floats:
        self.check_fitted()
        names, known = _names(X), getattr(self, "feature_names_in_", None)
        if names is not None and known is not None and names != known.tolist():
            if sorted(names) != sorted(known.tolist()):
                raise DataError(f"X must have the columns that were fitted, {known.tolist()}: got {names}")
            X = X[known.tolist()]
        rows = _table(X)
        if rows.shape[1] != self.n_features_in_:
            wanted = counted(self.n_features_in_, "number")
            raise DataError(f"X must have the {wanted} of each description that were fitted: got {rows.shape[1]}")
        return rows

    @torch.inference_mode()
    def _written(self, X: Any, steps: int | None, random: np.random.Generator | None) -> Floats:
        """Return a sequence for each description, (N, steps, C): drawn, or the mean path."""
        rows = self._described(X)
        raise_any(whole("steps", steps, 1, [None]), ParameterError)
        self.network_.eval()
        device = next(self.network_.parameters()).device
        described = torch.from_numpy(self.description_scaling_.transform(rows, 0)).float().to(device)
        shape = (len(rows), steps or self.longest_, self.channels_)
        noise = np.zeros(shape) if random is None else random.standard_normal(shape)
        with few_threads(self.units):
            found = self.network_.write(described, torch.from_numpy(noise).float().to(device))
        return self.scaling_.inverse(found.double().cpu().numpy(), np.zeros(len(rows), dtype=np.int64))


def _sequences(Y: Any) -> Panel:
    """Return the sequences of `fit` and `score` as a panel."""
    samples.require_form(Y, "Y")
    return samples.read(list(Y) if isinstance(Y, np.ndarray) else Y)


def _names(X: Any) -> list[str] | None:
    """Return the names of the columns of a frame, None where there are none."""
    names = list(getattr(X, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def _table(X: Any) -> Floats:
    """Return descriptions, (N, D), or raise DataError."""
    form = "X must be a table of numbers, (N, D), a row for each description"
    try:
        rows = np.asarray(X)
        if kind := {"c": "complex ones", "m": "durations", "M": "dates", "U": "text"}.get(rows.dtype.kind):
            raise TypeError(f"got {kind}")
        rows = rows.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{form}: {error}; give numbers alone, as many in each row") from error
    if rows.ndim != 2 or not rows.size:
        got = "None" if X is None else f"shape {rows.shape}"
        raise DataError(
            f"{form}: got {got}" + "; if it is one description, pass [X]" * (rows.ndim == 1 and len(rows) > 0)
        )
    wrong = np.argwhere(~(np.abs(rows) <= TOO_LARGE))
    if len(wrong):
        row, column = wrong[0]
        first = f"the first is {rows[row, column]:g} in row {row}, column {column}"
        held = f"{len(wrong)} of {rows.size} are not, {first}"
        raise DataError(f"X must hold numbers within ±{TOO_LARGE:g}: {held}; fill them in, or leave those rows out")
    return np.asarray(rows)
