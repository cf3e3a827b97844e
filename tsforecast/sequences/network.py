"""Networks that learn something about recordings: settings, training, fine-tuning and answers they all share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from torch import Tensor

from tsforecast.checks import between, one_of
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, Problem, nearest, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.network import NetworkEstimator, TrainingData
from tsforecast.events import observed, unobserved
from tsforecast.networks.sequence import SequenceNetwork
from tsforecast.sequences.base import Floats, SequenceEstimator
from tsforecast.sequences.stream import Stream
from tsforecast.sequences.targets import Labels, Target
from tsforecast.training.batches import Augmentation, SequenceDataset, filled, tiles
from tsforecast.training.history import OnEpoch, best_epoch
from tsforecast.training.runtime import few_threads, seeded, torch_device

CELLS_TO_TRY = ("gru", "conv1d")  # of cell="auto"
Mask = NDArray[np.bool_]

SEGMENTS = 40  # of a recording: held-out thirds of GunPoint are recognised better, and sooner, than step by step
PARTS = ("jitter", "scale", "time_warp", "rotation", "crop")
AUGMENTATIONS: dict[str, dict[str, float]] = {
    "motion": {"jitter": 0.1, "scale": 0.1, "time_warp": 0.1, "rotation": 9.0},
    # People wear and move a sensor otherwise than those who trained: chosen on users who were held out of five others.
    "wearable": {"jitter": 0.1, "scale": 0.3, "time_warp": 0.3, "rotation": 25.0},
}


def validation_mask(
    labels: Labels, groups: NDArray[Any] | None, validation: float | int | None, random: np.random.Generator
) -> tuple[int, Mask]:
    """Choose the sequences that validate: return the number of groups, or sequences, and a mask, (N,).

    `validation` is a share or number of the groups, the last ones in the order in which they appear; without groups of
    the sequences, the same share of each class, of which one at least trains. A DataError where nothing would be left
    to train on, or nothing of some class.
    """
    mask = np.zeros(len(labels), dtype=np.bool_)
    if not validation:
        return 0, mask
    if groups is None:
        share = validation if isinstance(validation, float) else validation / len(labels)
        if share >= 1:
            raise DataError(
                f"validation must leave recordings to train on: takes {validation} of {len(labels)}; use a smaller "
                "number, or validation=None"
            )
        for label in np.unique(labels):
            own = random.permutation(np.flatnonzero(labels == label))
            mask[own[: min(round(share * len(own)), len(own) - 1)]] = True
        return int(mask.sum()), mask
    names = list(dict.fromkeys(groups.tolist()))
    count = max(1, round(validation * len(names))) if isinstance(validation, float) else int(validation)
    if count >= len(names):
        if len(names) == 1:
            raise DataError(
                f"groups must be two at least, one to train on and one to validate: got 1 group, {str(names[0])!r}, "
                f"for all {len(labels)} recordings; use validation=None, or recordings without groups"
            )
        raise DataError(
            f"validation must leave a group to train on: takes {count} of {len(names)} groups; use validation <= "
            f"{len(names) - 1}"
        )
    mask = np.isin(groups, np.array(names[-count:], dtype=groups.dtype))
    lacking = sorted(set(labels.tolist()) - set(labels[~mask].tolist()))
    if lacking:
        held = shorten([repr(str(name)) for name in names[-count:]])
        raise DataError(
            f"every class must have recordings to train on: without the groups that validate ({held}) {len(lacking)} "
            f"of {len(set(labels.tolist()))} classes have none; use validation=None, or order the recordings so that "
            "other groups come last"
        )
    return count, mask


def augment_problems(name: str, augment: Any) -> list[str]:
    """Require a named augmentation, or sizes of its parts."""
    if not isinstance(augment, dict):
        return one_of(name, augment, tuple(AUGMENTATIONS), [None])
    problems: list[str] = []
    for part, value in augment.items():
        if part not in PARTS:
            problems.append(Problem(f"has no part {part!r}", "", nearest(part, PARTS), parameter=name))
        problems += between(name, value, 0, {"rotation": 180, "crop": 1}.get(part, 10), part=f" {part!r}")
    return problems


def head_layers_problems(name: str, layers: Any) -> list[str]:
    """Require one or two layers."""
    one_or_two = isinstance(layers, (int, np.integer)) and not isinstance(layers, bool) and layers in (1, 2)
    return [] if one_or_two else [Problem("must be 1 or 2", f"got {layers!r}", parameter=name)]


@keyword_settings
class SequenceTraining(NetworkEstimator):
    """Settings of training on whole sequences, which are fewer and longer than the windows of series."""

    learning_rate: float = 0.006
    batch_size: int = 32
    max_epochs: int | Literal["auto"] = setting(
        default="auto",
        doc="Epochs, unless patience ends training before. Auto: as many as make 1,200 steps, from 12 up to 300.",
    )
    patience: int | Literal["auto"] | None = None
    _epochs: ClassVar[tuple[int, int, int]] = (1_200, 12, 300)
    validation: float | int | None = setting(
        default=0.15,
        doc="Share or number of sequences kept from training; where there are groups, share or number of whole groups, "
        "the last ones. None trains on all for `max_epochs`.",
    )


@keyword_settings
class NeuralSequenceEstimator(SequenceTraining, SequenceEstimator):
    """Base of networks that learn a target of recordings of any length, such as their class.

    A subclass names the target in `_target`. Untrained a network is the baseline that learns from the truth alone.
    Scales are learned on the recordings that train only. Those that validate, whole groups where there are groups,
    choose the epoch; epoch 0, the baseline itself, is a candidate. The answer for a recording does not depend on its
    batch-mates.

    Attributes
    ----------
    resolved_ : dict
        Values used where a setting left a choice: cell, with the validation loss of each, segment, validation
        (recordings, or groups), max_epochs, best_epoch, device, head_layers (of the head there is, perhaps a new one
        by `fine_tune`), kernels ("on" where they read, or "off").
    network_ : tsforecast.networks.sequence.SequenceNetwork
    scaling_ : Scaling
    scaled_on_ : dict
        Summary of the recordings that scales, and the network, were learned from: steps, and their SHA-256.
    longest_ : int
        Steps of the longest recording that trained.
    history_ : list of Epoch
        Losses of the target; skill is the share of the baseline's that the network removes.
    """

    cell: Literal["rnn", "gru", "lstm", "conv1d", "auto"] = setting(  # type: ignore[assignment]
        default="gru",
        doc="Recurrent cell, or dilated convolutions. Auto: gated recurrent units or convolutions, whichever has the "
        "smaller loss on the recordings that validate; both are trained.",
    )
    segment: int | Literal["auto"] = setting(
        default="auto",
        doc="Consecutive steps read at once (S); 1 reads step by step. Auto: as many as cut a recording of median "
        "length into 40 segments; 1 where each step has an answer of its own.",
    )
    layers: int = 2
    dropout: float = 0.1
    bidirectional: bool = True
    pooling: Literal["mean", "max", "mean-max", "last", "attention"] = setting(
        default="mean-max",
        fixed=True,
        doc="Summary of the states at all steps; see `tsforecast.networks.layers.Pooling`.",
    )
    differences: bool = setting(
        default=False, fixed=True, doc="Read the changes since the step before as further channels."
    )
    head_layers: Literal[1, 2] = setting(
        default=1, check=head_layers_problems, fixed=True, doc="Linear layers of the head; two have dropout between."
    )
    augment: dict[str, float] | Literal["motion", "wearable"] | None = setting(
        default=None,
        check=augment_problems,
        doc="Variation of the sequences that train, drawn again in each epoch, by any of jitter, scale, time_warp, "
        "rotation and crop; see `tsforecast.training.batches.Augmentation`. Motion and wearable are for sensors "
        "with three axes; wearable varies more, for people who did not train.",
    )
    weight_decay: float = 0.01
    validation: float | int | None = setting(
        default=0.15,
        doc="Share or number of sequences kept from training, of each class alike; where there are groups, share or "
        "number of whole groups, the last ones. None trains on all for `max_epochs`.",
    )
    refit: bool = setting(
        default=False,
        doc="Train once more, on all sequences, for as many epochs as were best on validation: worth its time where "
        "groups are few, and each that validates is missed.",
    )

    def fit(
        self,
        X: Any,
        y: Any = None,
        groups: ArrayLike | None = None,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | str = 1,
        resume_from: str | Path | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Learn from recordings and the truth about each; see `SequenceEstimator.fit`.

        Parameters
        ----------
        X, y, groups : as in `SequenceEstimator.fit`
        checkpoint, checkpoint_every, resume_from, on_epoch
            As in `tsforecast.NeuralForecaster.fit`.

        Raises
        ------
        ParameterError, DataError, ModelFileError
        TrainingError
            When the loss is no longer a number; the classifier then has the last good weights.
        """
        if self.cell == "auto":
            places = {"checkpoint": checkpoint, "resume_from": resume_from}
            return self._fit_best_cell(X, y, groups, places, checkpoint_every, on_epoch)
        panel, truth, sides = self._checked(X, y, groups)
        same = {"labels": truth.tolist(), "groups": None if sides is None else sides.tolist()}
        checkpoints = self._checkpoints(panel, same, checkpoint, checkpoint_every, resume_from)
        examples, validates = self._split(panel, truth, sides)
        self._check_validates(validates)
        config = self._training_config(self.resolved_["max_epochs"])
        self.history_ = []
        with observed(self, panel, on_epoch) as activity:
            sequences, network = self._prepare(examples, truth, validates)
            self.channels_ = panel.values.shape[1]  # from the first epoch on there are weights to predict with
            self._train_network(sequences, config, network, checkpoints, activity.notify)
            self._calibrate(examples, truth, validates)
            if self._refits(config):
                # The schedule ends with the best epoch: nothing validates, so the last weights are those that are kept.
                sequences, network = self._prepare(examples, truth, np.zeros_like(validates))
                config = self._training_config(self.resolved_["best_epoch"])
                self._train_network(sequences, config, network, checkpoints, phase="refit")
        return self

    def _fit_best_cell(
        self,
        X: Any,
        y: Any,
        groups: ArrayLike | None,
        places: dict[str, str | Path | None],
        checkpoint_every: int | str,
        on_epoch: OnEpoch | None,
    ) -> Self:
        """Fit with each of `CELLS_TO_TRY`, and become the network with the smallest validation loss."""
        panel, _, _ = self._checked(X, y, groups)
        fitted = {}
        with observed(self, panel, on_epoch) as activity:
            for cell in CELLS_TO_TRY:
                own = {name: None if place is None else Path(place) / cell for name, place in places.items()}
                model = clone(self).set_params(cell=cell)
                with unobserved():
                    fitted[cell] = model.fit(
                        X, y, groups, **own, checkpoint_every=checkpoint_every, on_epoch=activity.notify
                    )
            scored = {cell: best_epoch(model.history_).valid_loss for cell, model in fitted.items()}
            losses = {cell: loss for cell, loss in scored.items() if loss is not None}
            if not losses:
                raise DataError(
                    f"cell='auto' must have recordings that validate: got none of {len(panel)}, with "
                    f"validation={self.validation!r}; raise validation, or name a cell"
                )
            best = min(losses, key=lambda cell: losses[cell])
            self.__dict__.update({name: value for name, value in vars(fitted[best]).items() if name.endswith("_")})
            self.resolved_ |= {"cell": best, "cell_losses": losses}
        return self

    def fine_tune(
        self,
        X: Any,
        y: Any = None,
        groups: ArrayLike | None = None,
        *,
        freeze: Literal["none", "encoder"] = "none",
        head: Literal["keep", "new"] = "keep",
        layers: Literal[1, 2] = 1,
        scaling: Literal["keep", "new"] = "keep",
        **settings: Any,
    ) -> Self:
        """Train a fitted network further, on other sequences; this classifier stays as it is.

        Parameters
        ----------
        X, y, groups : as in `fit`
            A few sequences suffice: with one of a class none validate.
        freeze, head, layers, scaling, **settings
            As in `tsforecast.NeuralForecaster.fine_tune`; a new head is for the classes of `y`, and untrained it
            predicts their shares.

        Returns
        -------
        NeuralClassifier
            A new one, fitted.

        Raises
        ------
        NotFittedError, ParameterError, DataError
        """
        model = self._copy_to_tune(freeze, head, layers, scaling, settings)
        panel, truth, sides = model._checked(X, y, groups, reset=False, head=head)
        examples, validates = model._split(panel, truth, sides)
        model.resolved_["head_layers"] = layers if head == "new" else self.resolved_.get("head_layers", 1)
        model.resolved_["segment"] = self.network_.architecture.segment
        model.resolved_ |= {name: self.resolved_[name] for name in ("cell", "features") if name in self.resolved_}
        if scaling == "new":
            model._scale(examples.select(~validates), model._of(examples, truth, ~validates))
        if head == "new":
            # Training draws from the same seed again, whatever the new head drew.
            with few_threads(model.units), seeded(model.random_state):
                model.network_.renew_head(model._target().prior(model._of(examples, truth, ~validates)), layers)
        model.channels_ = panel.values.shape[1]
        with observed(model, panel) as activity:
            config = model._training_config(model.resolved_["max_epochs"])
            model._tune_network(model._sequences(examples, truth, validates), config, freeze, None, activity.notify)
            if head == "keep" and "temperature" in self.resolved_:
                model.resolved_["temperature"] = self.resolved_["temperature"]  # where none validates
            model._calibrate(examples, truth, validates)
        return model

    def stream(self) -> Stream:
        """Return a recording that arrives step by step: `push` answers after each step, in constant time.

        Raises
        ------
        NotFittedError
        ParameterError
            When states look ahead, or the head reads features of whole recordings: ``bidirectional=False`` and
            ``features=0`` are needed.
        """
        self.check_fitted()
        if self.network_.features:
            raise ParameterError(
                f"a stream needs a head that reads states alone: got {self.network_.features} features of whole "
                "recordings; fit the model with features=0"
            )
        return Stream(self.network_, self.scaling_, self._target(), getattr(self, "classes_", None))

    def _target(self) -> Target:
        """Return what is learned about recordings."""
        raise NotImplementedError(f"{type(self).__name__} must name its target")

    def _mixing(self) -> float:
        """Return how strongly recordings that train are mixed; see `SequenceDataset`."""
        return 0.0

    def _check_validates(self, validates: Mask) -> None:
        """Refuse recordings of which none validates, where a setting needs some."""

    def _calibrate(self, panel: Panel, truth: NDArray[Any], validates: Mask) -> None:
        """Learn on the recordings that validate how certain answers are, where a setting asks for it."""

    def _of(self, panel: Panel, truth: NDArray[Any], mask: Mask) -> NDArray[Any]:
        """Return the truth of the recordings in a mask, (N,)."""
        return truth[np.repeat(mask, panel.lengths) if self._target().at_steps else mask]

    def _split(self, panel: Panel, truth: NDArray[Any], groups: NDArray[Any] | None) -> tuple[Panel, Mask]:
        """Return examples, recordings or pieces of them, and choose those that validate."""
        random = np.random.default_rng(self.random_state)
        count, validates = validation_mask(self._target().strata(truth), groups, self.validation, random)
        self._resolve(count, validates)
        return panel, validates

    def _resolve(self, count: int, validates: Mask) -> None:
        """Choose the values that follow from the number of examples."""
        self.resolved_ = {
            "validation": count,
            "max_epochs": self.epochs(int((~validates).sum())),
            "device": str(torch_device(self.device)),
            "head_layers": int(self.head_layers),
        }

    def _prepare(
        self, panel: Panel, truth: NDArray[Any], validates: Mask
    ) -> tuple[TrainingData, Callable[[], SequenceNetwork]]:
        """Learn scales on the recordings that train; return the examples, and how to build a network for them."""
        self.resolved_.setdefault("segment", self._segment_for(panel.lengths[~validates]))
        trains = self._of(panel, truth, ~validates)
        self._scale(panel.select(~validates), trains)
        self._draw_features(panel.select(~validates))
        self.longest_ = int(panel.lengths[~validates].max())
        return self._sequences(panel, truth, validates), partial(self._untrained_network, self._target().prior(trains))

    def _segment_for(self, lengths: NDArray[np.int64]) -> int:
        """Return how many steps are read at once, of recordings of these lengths that train."""
        if self.segment != "auto":
            return int(self.segment)
        return 1 if self._target().at_steps else max(1, round(float(np.median(lengths)) / SEGMENTS))

    def _sequences(self, panel: Panel, truth: NDArray[Any], validates: Mask) -> TrainingData:
        """Return the scaled recordings that train, augmented, and those that validate."""
        device, target = torch_device(self.device), self._target()

        def dataset(chosen: Mask, augmentation: Augmentation | None = None, mixup: float = 0.0) -> SequenceDataset:
            part, own = panel.select(chosen), target.coded(self._of(panel, truth, chosen))
            values = self.scaling_.transform(part.values, 0)
            features = self._features(values, part.offsets)
            how = (augmentation, device, target.at_steps, mixup, features)
            return SequenceDataset(values, part.offsets, own, part.ids, *how)

        validation = dataset(validates) if validates.any() else None
        segments = -(-int(panel.lengths[~validates].mean()) // self.resolved_["segment"])
        loss = target.loss(self._of(panel, truth, ~validates)).to(device)
        training = dataset(~validates, self._augmentation(device), self._mixing())
        return TrainingData(training, validation, loss, 1, segments)

    def _untrained_network(self, prior: Tensor | None = None) -> SequenceNetwork:
        """Return a network with random weights, and the `prior` of its target."""
        target = self._target()
        return SequenceNetwork(
            self._architecture(),
            self.channels_,
            None if target.at_steps else self.pooling,
            self.differences,
            torch.zeros(target.outputs) if prior is None else prior,
            self.longest_,
            self._feature_count(),
        )

    def _draw_features(self, panel: Panel) -> None:
        """Learn, of the recordings that train, what the head reads besides the states, if anything."""

    def _feature_count(self) -> int:
        """Return how many numbers of a recording the head reads besides the states (F)."""
        return 0

    def _features(self, values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return these numbers of scaled recordings, (N, F); None where there are none."""
        return None

    def _augmentation(self, device: torch.device) -> Augmentation | None:
        if not self.augment:
            return None
        parts = AUGMENTATIONS[self.augment] if isinstance(self.augment, str) else self.augment
        if parts.get("rotation") and self.scaling_.location.shape[1] % 3:
            raise DataError(
                "augment 'rotation' must have channels in threes, the axes of a sensor: got "
                f"{self.scaling_.location.shape[1]}; leave rotation out"
            )
        both = (self.scaling_.location, self.scaling_.scale)
        location, scale = (torch.from_numpy(part[0]).float().to(device) for part in both)
        return Augmentation(**parts, data_scale=(location, scale))

    def _answers(self, panel: Panel) -> Floats:
        """Return the answers of the target for each recording, (N, ...), or for each step, (rows, ...)."""
        return self._target().answers(self._outputs(panel))

    @torch.inference_mode()
    def _outputs(self, panel: Panel) -> Tensor:
        """Return the outputs of the network for each recording, (N, Q), or for each step, (rows, Q)."""
        self.network_.eval()
        target, scaled = self._target(), self.scaling_.transform(panel.values, 0).astype(np.float32)
        device = next(self.network_.parameters()).device
        outputs = torch.empty(len(scaled) if target.at_steps else len(panel), target.outputs)
        known = self._features(scaled, panel.offsets)
        with few_threads(self.units):
            for index, steps in tiles(scaled, panel.offsets):
                features = None if known is None else filled(known[index], len(steps)).to(device)
                found = self.network_(steps.to(device), features=features)[: len(index)]
                found = found.float().cpu()  # (n, Q) or (n, T, Q)
                if target.at_steps:
                    rows = panel.offsets[index][:, None] + np.arange(steps.shape[1])
                    outputs[rows.ravel()] = found.flatten(0, 1)
                else:
                    outputs[index] = found
        return outputs
