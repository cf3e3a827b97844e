"""NeuralClassifier and its four names: small networks that classify recordings."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import between, one_of
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, Problem, guess, raise_any, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.saving.codec import under
from tsforecast.sequences.base import Floats
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.network import Mask, NeuralSequenceEstimator
from tsforecast.sequences.rocket import Bank, Convolutions
from tsforecast.sequences.steps import PIECE, in_pieces, step_problems
from tsforecast.sequences.targets import Classes, Labels, Ordered, Several, Target

FEW = 500  # recordings that train, up to which features of random convolutions are read by default
FEATURES = 10_000  # of "auto", as of a `RocketClassifier`


def class_weight_problems(name: str, weights: Any) -> list[str]:
    """Require "balanced", or a weight for each label that has one."""
    if not isinstance(weights, dict):
        return one_of(name, weights, ("balanced",), [None])
    problems = []
    for label, value in weights.items():
        problems += between(name, value, 0, float("inf"), open_low=True, part=f" of {label!r}")
    return problems


def ordinal_problems(name: str, ordinal: Any) -> list[str]:
    """Require True or False, or a list of different labels."""
    if isinstance(ordinal, (bool, np.bool_)):
        return []
    twice = [label for i, label in enumerate(ordinal) if label in ordinal[:i]] if isinstance(ordinal, list) else []
    if isinstance(ordinal, list) and not twice and len(ordinal) > 1:
        return []
    got = f"got {twice[0]!r} twice" if twice else f"got {ordinal!r}"
    return [Problem("must be True, False, or a list of two labels at least, from low to high", got, parameter=name)]


@keyword_settings
class NeuralClassifier(NeuralSequenceEstimator, Classifier):
    """A small network, trained on labelled recordings of any length, that classifies new ones.

    Untrained it is the majority classifier: it predicts the share of each class. Scales are learned on the recordings
    that train only. Those that validate, whole groups where there are groups, choose the epoch; epoch 0, the majority
    classifier itself, is a candidate. The prediction for a recording does not depend on its batch-mates.

    Attributes
    ----------
    classes_ : array of shape (K,)
    resolved_ : dict
        Values used where a setting left a choice: cell (of "auto", with the validation loss of each), segment,
        validation (recordings, or groups), max_epochs, best_epoch, device, head_layers (of the head there is, perhaps
        a new one by `fine_tune`), kernels ("on" where they read, or "off"),
        temperature (by which logits are divided, where it was learned). With labels of steps also piece, and
        validated_by: groups, recordings, or last steps (of each recording, where these are too few). Features: the
        summaries of random convolutions that the head reads besides the states.
    network_ : tsforecast.networks.sequence.SequenceNetwork
    convolutions_ : tsforecast.sequences.rocket.Convolutions or None
        What these features are read by.
    scaling_ : Scaling
    scaled_on_ : dict
        Summary of the recordings that scales, and the network, were learned from: steps, and their SHA-256.
    longest_ : int
        Steps of the longest recording that trained.
    history_ : list of Epoch
        Losses are cross entropies; skill is the share of the majority classifier's that the network removes.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> recordings = [np.sin(np.arange(random.integers(9, 20)) * (1 + i % 2)) for i in range(40)]
    >>> labels = ["slow", "fast"] * 20
    >>> model = NeuralClassifier("gru", units=16, layers=1, max_epochs=40, random_state=0).fit(recordings, labels)
    >>> model.score(recordings, labels)
    1.0

    A network that is trained further on a few recordings of a new user:

    >>> tuned = model.fine_tune([2 * wave for wave in recordings[:2]], labels[:2], max_epochs=2, learning_rate=1e-3)
    >>> tuned.classes_.tolist()
    ['fast', 'slow']

    A label for each step:

    >>> wave = np.sin(np.arange(120) * np.repeat([0.3, 1.2, 0.3, 1.2], 30))
    >>> names = np.repeat(["slow", "fast", "slow", "fast"], 30)
    >>> settings = {"units": 8, "layers": 1, "max_epochs": 30, "batch_size": 2, "random_state": 0}
    >>> model = NeuralClassifier("gru", output="step", piece=30, **settings)
    >>> model = model.fit([wave[:90], wave[30:]], [names[:90], names[30:]])
    >>> [answer.shape for answer in model.predict([wave, wave[:7]])], model.score([wave], [names]) > 0.8
    ([(120,), (7,)], True)
    """

    output: Literal["recording", "step"] = setting(
        default="recording",
        fixed=True,
        doc="Whether each recording has a label, or each of its steps, which is predicted by itself: from all of the "
        "recording, or with bidirectional=False from the steps up to it alone. There is no pooling then.",
    )
    piece: int | Literal["auto"] = setting(
        default="auto",
        least=1,
        doc="With labels of steps, longer recordings are cut into equal pieces of at most so many steps to train on, "
        "each read for itself; predictions read recordings as wholes. Auto: 256.",
    )
    label_smoothing: float = setting(
        default=0.1,
        check=partial(between, low=0, high=1),
        doc="Share of each true label that is spread over all classes.",
    )
    class_weight: dict[Any, float] | Literal["balanced"] | None = setting(
        default=None,
        check=class_weight_problems,
        doc="Weight of a sequence, by its label; balanced: all classes alike, however frequent. Of several labels, "
        "weight of sequences with a label for what is learned of this label.",
    )
    focal: float = setting(
        default=0.0,
        check=partial(between, low=0, high=10),
        doc="Focus on sequences that are hard to classify: the loss of a class of probability p counts (1 - p)**focal "
        "[Lin et al. 2017, arXiv 1708.02002].",
    )
    mixup: float = setting(
        default=0.0,
        check=partial(between, low=0, high=10),
        doc="Mix the summary of the states of each sequence that trains with that of another, and their losses, by a "
        "share from Beta(mixup, mixup) [manifold mixup, Verma et al. 2019, arXiv 1806.05236]; 0 mixes none.",
    )
    calibrate: bool | Literal["auto"] = setting(
        default="auto",
        doc="Divide the logits by a temperature, learned after training on the sequences that validate, so that "
        "probabilities are as high as predictions are right [Guo et al. 2017, arXiv 1706.04599]. Auto: where any "
        "validate; predicted labels stay the same.",
    )
    features: int | Literal["auto"] = setting(
        default="auto",
        least=0,
        fixed=True,
        doc="Summaries of random convolutions that the head reads besides the states (F), those of a "
        "`RocketClassifier`, rounded down to a multiple of 672; 0 reads none. Auto: 10,000 where at most 500 "
        "recordings train, each has one answer, states look both ways and nothing is augmented; else 0.",
    )
    ordinal: bool | list[Any] = setting(
        default=False,
        check=ordinal_problems,
        fixed=True,
        doc="Classes have an order, sorted if True, or as they are listed: the network learns the probability of being "
        "above each class, which never rises along the order [CORN, Shi, Cao and Raschka 2021, arXiv 2111.08851], and "
        "`predict` returns the class in the middle of the distribution.",
    )
    _several: ClassVar[bool] = True
    convolutions_: Convolutions | None = dataclasses.field(init=False)

    def _target(self) -> Target:
        how: dict[str, Any] = {
            "class_weight": self.class_weight,
            "smoothing": self.label_smoothing,
            "focal": self.focal,
            "at_steps": self.at_steps,
            "temperature": getattr(self, "resolved_", {}).get("temperature", 1.0),
        }
        if self.multilabel_:
            return Several(self.classes_, **how)
        if not self.ordinal:
            return Classes(self.classes_, **how)
        known = self.classes_.tolist()
        listed = self.ordinal if isinstance(self.ordinal, list) else known  # a list may hold others as well
        return Ordered(self.classes_, order=tuple(label for label in listed if label in known), **how)

    def _decided(self, probabilities: Floats) -> Labels:
        target = self._target()
        return target.medians(probabilities) if isinstance(target, Ordered) else super()._decided(probabilities)

    def _mixing(self) -> float:
        return float(self.mixup)

    def _draw_features(self, panel: Panel) -> None:
        suits = len(panel) <= FEW and self.bidirectional and not self.augment and not self.at_steps
        count = (FEATURES if suits else 0) if self.features == "auto" else int(self.features)
        self.convolutions_ = None
        if count:
            values = self.scaling_.transform(panel.values, 0).astype(np.float32)
            random = np.random.default_rng(self.random_state or 0)  # the same ones when training is resumed
            self.convolutions_ = Convolutions.drawn(values, panel.offsets, count, random)
        self.resolved_["features"] = self._feature_count()

    def _feature_count(self) -> int:
        drawn = getattr(self, "convolutions_", None)
        return 0 if drawn is None else len(drawn.scale)

    def _features(self, values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float32] | None:
        drawn = getattr(self, "convolutions_", None)
        return None if drawn is None else drawn.read(np.ascontiguousarray(values, dtype=np.float32), offsets)

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        drawn = plain.pop("convolutions_", None)
        if drawn is None:
            return plain, arrays
        parts = drawn.bank._asdict() | {"location": drawn.location, "scale": drawn.scale}
        return plain, arrays | {f"convolutions.{name}": part for name, part in parts.items()}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        self.convolutions_ = None
        if parts := under("convolutions.", arrays):
            bank = Bank(*(parts[name] for name in Bank._fields))
            self.convolutions_ = Convolutions(bank, parts["location"], parts["scale"])
            if problem := self.convolutions_.problem(plain["channels_"]):
                raise ValueError(problem)
        super().set_state(plain, arrays)

    def _check_validates(self, validates: Mask) -> None:
        if self.calibrate and self.calibrate != "auto" and not validates.any():
            raise DataError(
                f"calibrate=True must have recordings that validate: got none of {len(validates)}, with "
                f"validation={self.validation!r}; raise validation, or use calibrate=False"
            )

    def _calibrate(self, panel: Panel, truth: NDArray[Any], validates: Mask) -> None:
        if not self.calibrate:
            self.resolved_.pop("temperature", None)
        elif validates.any() and isinstance(target := self._target(), Classes):
            outputs = self._outputs(panel.select(validates))
            own, trained = self._of(panel, truth, validates), self._of(panel, truth, ~validates)
            reads = bool((outputs != outputs[0]).any())  # one that does not answers with shares of classes as they are
            self.resolved_["temperature"] = target.best_temperature(outputs, own, trained) if reads else 1.0

    def _problems(self) -> list[str]:
        return super()._problems() + step_problems(self.get_params(), usual=type(self).pooling)

    def _coded(self, given: Any, head: str) -> tuple[NDArray[Any], dict[str, Any], list[str]]:
        truth, learned, problems = super()._coded(given, head)
        several = learned.get("multilabel_", False)
        if self.ordinal and several:
            problems.append("ordinal must be False where recordings may have several labels, which have no order")
        elif isinstance(self.ordinal, list) and learned:
            strange = [label for label in learned["classes_"].tolist() if label not in self.ordinal]
            must = f"ordinal must list all labels of y: {shorten([repr(label) for label in strange], 12)}"
            problems += [f"{must} {'is' if len(strange) == 1 else 'are'} missing"] if strange else []
        return truth, learned, problems

    def _split(self, panel: Panel, truth: NDArray[Any], groups: NDArray[Any] | None) -> tuple[Panel, Mask]:
        """See `NeuralSequenceEstimator._split`; weights must be by labels that there are."""
        known = self.classes_.tolist()
        weighted = self.class_weight if isinstance(self.class_weight, dict) else {}
        must = f"must be by labels of y, {shorten([repr(label) for label in known], 12)}"
        strange = [label for label in weighted if label not in known]
        raise_any(
            (Problem(must, f"got {label!r}", guess(label, known), parameter="class_weight") for label in strange),
            ParameterError,
        )
        if not self.at_steps:
            return super()._split(panel, truth, groups)
        size = PIECE if self.piece == "auto" else int(self.piece)
        random = np.random.default_rng(self.random_state)
        cut = in_pieces(panel, truth, groups, self.validation, size, random)
        self._resolve(cut.count, cut.validates)
        self.resolved_ |= {"piece": size, "validated_by": cut.by}
        return cut.panel, cut.validates


@keyword_settings
class RNNClassifier(NeuralClassifier):
    """Classify with an Elman network: a `NeuralClassifier` with ``cell="rnn"``."""

    cell: Literal["rnn"] = setting(default="rnn", init=False)


@keyword_settings
class GRUClassifier(NeuralClassifier):
    """Classify with gated recurrent units: a `NeuralClassifier` with ``cell="gru"``.

    Examples
    --------
    >>> GRUClassifier(units=8).get_params()["units"]
    8
    """

    cell: Literal["gru"] = setting(default="gru", init=False)


@keyword_settings
class LSTMClassifier(NeuralClassifier):
    """Classify with long short-term memory: a `NeuralClassifier` with ``cell="lstm"``."""

    cell: Literal["lstm"] = setting(default="lstm", init=False)


@keyword_settings
class Conv1DClassifier(NeuralClassifier):
    """Classify with dilated convolutions: a `NeuralClassifier` with ``cell="conv1d"``."""

    cell: Literal["conv1d"] = setting(default="conv1d", init=False)
