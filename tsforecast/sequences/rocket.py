"""RocketClassifier: many random convolutions, summarised over time, and a ridge classifier on top of them."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.base import TransformerMixin

from tsforecast.data.panel import Panel
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.networks.kernels.memory import share
from tsforecast.networks.kernels.vectors import helper, kernel
from tsforecast.sequences.base import Floats
from tsforecast.sequences.classifier import Classifier, Labels

TAPS = 9  # of a convolution: three weigh 2, the others -1, so that they add up to zero [MiniRocket]
TRIPLES = np.array(list(combinations(range(TAPS), 3)), dtype=np.int64)  # (84, 3), the taps that weigh 2
POOLS = 4  # summaries of a convolution over time
DILATIONS = 32  # at most, of each convolution [MiniRocket]
MOST_CHANNELS = 9  # that a convolution reads together [MiniRocket]
GOLDEN_RATIO = (5**0.5 - 1) / 2
NORM = 4.0  # of the features of a recording that a network reads: chosen on held-out thirds of four training parts
PENALTIES = np.logspace(-6, 1, 15)  # of the ridge, as shares of the number of features


class Bank(NamedTuple):
    """P convolutions of steps, or of their changes, and the thresholds that their responses are compared with."""

    changes: NDArray[np.int64]  # (P,), 1 where the changes from step to step are read
    triples: NDArray[np.int64]  # (P,), which of TRIPLES weigh 2
    dilations: NDArray[np.int64]  # (P,)
    whole: NDArray[np.int64]  # (P,), 1 where zeros pad both ends, 0 where responses that need them are left out
    reads: NDArray[np.int64]  # (P + 1,), where the channels of each begin
    channels: NDArray[np.int64]
    begins: NDArray[np.int64]  # (P + 1,), where the thresholds of each begin
    thresholds: NDArray[np.float32]

    def problem(self, channels: int) -> str:
        """Return why compiled code must not run on this bank, which may come from a damaged file; "" if it may."""
        count = len(self.triples)
        for name, least, most, whole in (
            ("changes", 0, 1, count), ("triples", 0, len(TRIPLES) - 1, count), ("dilations", 1, 1 << 40, count),
            ("whole", 0, 1, count), ("reads", 0, len(self.channels), count + 1), ("channels", 0, channels - 1, None),
            ("begins", 0, len(self.thresholds), count + 1),
        ):  # fmt: skip
            part = getattr(self, name)
            if part.dtype != np.int64 or part.ndim != 1 or len(part) != (len(part) if whole is None else whole):
                return f"{name} must be whole numbers, one for each of {count} convolutions"
            if len(part) and (part.min() < least or part.max() > most):
                return f"{name} must be from {least} to {most}"
        for name, all_of in (("reads", self.channels), ("begins", self.thresholds)):
            part = getattr(self, name)
            if part[0] != 0 or part[-1] != len(all_of) or (np.diff(part) < 1).any():
                return f"{name} must rise from 0 to {len(all_of)}"
        flat = self.thresholds.dtype == np.float32 and self.thresholds.ndim == 1
        return "" if flat and np.isfinite(self.thresholds).all() else "thresholds must be finite float32"


@helper
def _respond(rows: Any, triple: Any, dilation: Any, channels: Any, response: Any) -> None:
    """Write the sum of one convolution over some channels of rows (C, T) to a response (T,); zeros lie around both."""
    steps = rows.shape[1]
    response[:] = 0
    for c in channels:
        for tap in range(TAPS):
            weight = np.float32(2 if tap == triple[0] or tap == triple[1] or tap == triple[2] else -1)
            shift = (tap - TAPS // 2) * dilation
            for t in range(max(0, -shift), min(steps, steps - shift)):
                response[t] += weight * rows[c, t + shift]


@helper
def _part(values: Any, first: Any, last: Any, change: Any, rows: Any) -> Any:
    """Write steps `first` to `last` of values (rows, C), or their changes, to rows (C, T); return how many they are."""
    steps = max(1, last - first - change)
    for c in range(values.shape[1]):
        for t in range(steps):
            if change:
                rows[c, t] = values[first + t + 1, c] - values[first + t, c] if first + t + 1 < last else 0
            else:
                rows[c, t] = values[first + t, c]
    return steps


@kernel
def quantiles(
    first: int, last: int, values: Any, offsets: Any, chosen: Any, bank: Bank, triples: Any, ranks: Any, found: Any
) -> None:
    """Write the quantiles `ranks` of the response of convolutions `first` to `last` to one recording each, `chosen`."""
    longest = np.diff(offsets).max()
    buffer, response = np.empty((values.shape[1], longest), np.float32), np.empty(longest, np.float32)
    for p in range(first, last):
        i = chosen[p]
        steps = _part(values, offsets[i], offsets[i + 1], bank.changes[p], buffer)
        reads = bank.channels[bank.reads[p] : bank.reads[p + 1]]
        _respond(buffer[:, :steps], triples[bank.triples[p]], bank.dilations[p], reads, response[:steps])
        ordered = np.sort(response[:steps])
        for b in range(bank.begins[p], bank.begins[p + 1]):
            found[b] = ordered[min(steps - 1, int(ranks[b] * steps))]


@kernel
def summaries(first: int, last: int, values: Any, offsets: Any, bank: Bank, triples: Any, found: Any) -> None:
    """Write four summaries for each threshold of recordings `first` to `last` to (N, POOLS * thresholds).

    Of the responses above a threshold: their share, their mean excess, their mean place, and the longest run of them;
    place and run as shares of the recording.
    """
    longest = np.diff(offsets).max()
    buffer, response = np.empty((2, values.shape[1], longest), np.float32), np.empty(longest, np.float32)
    for i in range(first, last):
        plain = _part(values, offsets[i], offsets[i + 1], 0, buffer[0])
        changed = _part(values, offsets[i], offsets[i + 1], 1, buffer[1])
        for p in range(len(bank.triples)):
            steps = changed if bank.changes[p] else plain
            rows, reads = buffer[bank.changes[p], :, :steps], bank.channels[bank.reads[p] : bank.reads[p + 1]]
            _respond(rows, triples[bank.triples[p]], bank.dilations[p], reads, response[:steps])
            edge = 0 if bank.whole[p] else TAPS // 2 * bank.dilations[p]
            if steps <= 2 * edge:  # too short for a response that needs no zeros
                edge = 0
            count = steps - 2 * edge
            for b in range(bank.begins[p], bank.begins[p + 1]):
                threshold = bank.thresholds[b]
                above, excess, places, run, most = 0, 0.0, 0, 0, 0
                for t in range(edge, steps - edge):
                    if response[t] > threshold:
                        above += 1
                        excess += response[t] - threshold
                        places += t - edge
                        run += 1
                        most = max(most, run)
                    else:
                        run = 0
                found[i, POOLS * b] = above / count
                found[i, POOLS * b + 1] = excess / above if above else 0
                found[i, POOLS * b + 2] = (places / above + 0.5) / count if above else 0
                found[i, POOLS * b + 3] = most / count


def draw(values: NDArray[np.float32], offsets: NDArray[np.int64], features: int, random: np.random.Generator) -> Bank:
    """Draw convolutions for recordings; thresholds are quantiles of the response of one recording to each.

    Half of them read the changes from step to step. Dilations are spaced evenly in their logarithms, up to those at
    which a convolution spans half of the recordings.
    """
    lengths, channels = np.diff(offsets), values.shape[1]
    each = max(1, features // (2 * POOLS * len(TRIPLES)))  # thresholds of a triple
    reach = max(1.0, (float(np.median(lengths)) - 1) / (TAPS - 1))
    spaced = (2 ** np.linspace(0, np.log2(reach), min(each, DILATIONS)) + 1e-9).astype(np.int64)
    of_each = spaced[np.arange(each) * len(spaced) // each]  # (each,), the dilation of each threshold
    dilations, counts = np.unique(of_each, return_counts=True)
    size = 2 * len(dilations) * len(TRIPLES)
    changes, dilation, triples = np.unravel_index(np.arange(size), (2, len(dilations), len(TRIPLES)))
    # One channel is most likely, and twice as many half as likely [MiniRocket].
    widths = (2 ** random.uniform(0, np.log2(min(channels, MOST_CHANNELS) + 1), size)).astype(np.int64)
    widths = np.minimum(widths, channels)
    reads = np.concatenate([random.choice(channels, width, replace=False) for width in widths])
    begins = np.cumsum([0, *counts[dilation]])
    bank = Bank(
        changes,
        triples,
        dilations[dilation],
        (dilation + triples) % 2,
        np.cumsum([0, *widths]),
        reads,
        begins,
        np.empty(begins[-1], np.float32),
    )
    ranks = np.arange(1, begins[-1] + 1) * GOLDEN_RATIO % 1  # spread evenly over every run of them
    chosen = random.integers(len(lengths), size=size)
    work = float(size * TAPS * lengths.mean())
    share(quantiles, size, work, values, offsets, chosen, bank, TRIPLES, ranks, bank.thresholds)
    return bank


def features_of(bank: Bank, values: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the summaries of the convolutions of recordings, (N, F)."""
    found = np.empty((len(offsets) - 1, POOLS * len(bank.thresholds)), np.float32)
    work = float(len(values)) * len(bank.thresholds)
    share(summaries, len(found), work, values, offsets, bank, TRIPLES, found)
    return found


class Convolutions(NamedTuple):
    """Random convolutions, and how a network reads their summaries."""

    bank: Bank
    location: NDArray[np.float32]  # (F,), means over the recordings that train
    scale: NDArray[np.float32]  # (F,), infinite where all are alike: that feature is not read

    @classmethod
    def drawn(
        cls, values: NDArray[np.float32], offsets: NDArray[np.int64], features: int, random: np.random.Generator
    ) -> Self:
        """Draw convolutions, and learn scales, for scaled recordings that train."""
        bank = draw(values, offsets, features, random)
        found = features_of(bank, values, offsets)
        location, scale = found.mean(axis=0, dtype=np.float64), found.std(axis=0, dtype=np.float64)
        scale[scale < 1e-6 * np.maximum(1, np.abs(location))] = np.inf
        # All features together are as long as the state that they stand beside, however many they are.
        scale *= np.sqrt(len(scale)) / NORM
        return cls(bank, location.astype(np.float32), scale.astype(np.float32))

    def read(self, values: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scaled summaries of scaled recordings, (N, F)."""
        return np.asarray((features_of(self.bank, values, offsets) - self.location) / self.scale)

    def problem(self, channels: int) -> str:
        """Return why these must not be used, which may come from a damaged file; "" if they may."""
        shape = (POOLS * len(self.bank.thresholds),)
        for name, part in (("location", self.location), ("scale", self.scale)):
            if part.dtype != np.float32 or part.shape != shape or np.isnan(part).any():
                return f"{name} of features must be numbers, float32 of shape {shape}"
        return self.bank.problem(channels)


class Ridge(NamedTuple):
    """A linear classifier with a penalty on its squared weights, and how it would do without each recording."""

    weights: Floats  # (F, K), of features as they come
    intercept: Floats  # (K,)
    penalty: float  # per feature
    held_out: Floats  # (N, K), decision values for each recording of the ridge without it, or without its group


def ridge(features: NDArray[np.float32], labels: Labels, classes: int, groups: NDArray[Any] | None = None) -> Ridge:
    """Fit a ridge classifier, whose penalty has the smallest squared error on recordings that are left out.

    All solutions without one recording, or without one group, follow from a single decomposition [Golub, Heath and
    Wahba 1979, Technometrics 21, 215-223]. Targets are 1 for the class of a recording and -1 for all others.

    Parameters
    ----------
    features : float32 array of shape (N, F)
        Scaled in place.
    labels : int64 array of shape (N,)
    classes : int
    groups : array of shape (N,), optional
    """
    count, width = features.shape
    location, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale[scale < 1e-6 * np.maximum(1, np.abs(location))] = np.inf  # the same everywhere: not read
    features -= location.astype(np.float32)
    features /= (scale * np.sqrt(width)).astype(np.float32)
    targets = 2.0 * np.eye(classes)[labels] - 1
    mean = targets.mean(axis=0)
    wide = count <= width
    squares, vectors = np.linalg.eigh((features @ features.T if wide else features.T @ features).astype(np.float64))
    real = squares > 1e-6 * max(squares[-1], 1e-12)  # what is below is rounding of float32
    squares, vectors = squares[real], vectors[:, real]
    left = vectors if wide else features @ vectors / np.sqrt(squares)  # (N, R)
    projected = left.T @ (targets - mean)  # (R, K)
    names, sides = np.unique(np.arange(count) if groups is None else groups, return_inverse=True)
    parts = [np.flatnonzero(sides == side) for side in range(len(names))] if 1 < len(names) < count else []

    def without(penalty: float) -> Floats:
        """Return the decision values for each part by the solution without it, (N, K)."""
        shrunk = left * (squares / (squares + penalty))  # (N, R)
        residuals = targets - mean - shrunk @ projected
        if not parts:
            kept = 1 - 1 / count - (shrunk * left).sum(axis=1)
            return np.asarray(targets - residuals / np.maximum(kept, 1e-9)[:, None])
        found = np.empty_like(targets)
        for part in parts:
            own = np.eye(len(part)) - 1 / count - shrunk[part] @ left[part].T
            found[part] = targets[part] - np.linalg.solve(own + 1e-9 * np.eye(len(part)), residuals[part])
        return found

    answers = [without(penalty) for penalty in PENALTIES]
    best = int(np.argmin([((targets - answer) ** 2).mean() for answer in answers]))
    dual = projected / (squares + PENALTIES[best])[:, None]  # (R, K)
    scaled = features.T @ (left @ dual) if wide else vectors @ (np.sqrt(squares)[:, None] * dual)
    weights = scaled / (scale * np.sqrt(width))[:, None]
    return Ridge(weights, mean - location @ weights, float(PENALTIES[best]), answers[best])


def softmax(decisions: Floats, temperature: float) -> Floats:
    """Return probabilities, (N, K), of decision values."""
    exponents = decisions / temperature
    powers = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def best_temperature(decisions: Floats, labels: Labels) -> float:
    """Return the temperature at which held-out decision values (N, K) have the smallest cross entropy.

    One more recording than there are, of all classes alike, keeps it away from zero where all are right.
    """
    count, classes = decisions.shape
    truth = (np.eye(classes)[labels] * count + 1 / classes) / (count + 1)

    def loss(logarithm: float) -> float:
        probabilities = softmax(decisions, float(np.exp(logarithm)))
        return -float((truth * np.log(np.maximum(probabilities, 1e-300))).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-7, 4), method="bounded").x))


@keyword_settings
class RocketClassifier(Classifier):
    """Classify by random convolutions: their summaries over time, and a ridge classifier on top of them.

    A transform after MultiRocket [Tan et al. 2022, arXiv 2102.00457] with the convolutions of MiniRocket [Dempster et
    al. 2021, arXiv 2012.08791], compiled by numba: 84 convolutions of nine taps in several dilations, over random
    channels, of the steps and of their changes. Each response is compared with thresholds, quantiles of responses of
    training recordings, and summarised by share, mean excess, mean place and longest run of what lies above. Places
    and runs are shares of a recording, so that recordings may be of any length.

    The penalty is chosen by leaving out recordings, or whole groups where there are groups; so is the temperature at
    which decision values become probabilities. The prediction for a recording does not depend on its batch-mates.

    Attributes
    ----------
    classes_ : array of shape (K,)
    resolved_ : dict
        Values chosen on recordings that were left out: penalty and temperature.
    scaling_ : Scaling
    scaled_on_ : dict
        Summary of the sequences that scales were learned from: steps, and their SHA-256.
    bank_ : Bank
        The convolutions, their channels and thresholds.
    weights_ : array of shape (F, K)
        Of each feature in the decision value of each class.
    intercept_ : array of shape (K,)

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> sequences = [np.sin(np.arange(random.integers(9, 20)) * (1 + i % 2)) for i in range(40)]
    >>> labels = ["slow", "fast"] * 20
    >>> model = RocketClassifier(features=1000, random_state=0).fit(sequences, labels)
    >>> model.predict([np.sin(np.arange(15)), np.sin(2 * np.arange(30))]).tolist()
    ['slow', 'fast']
    """

    features: int = setting(
        default=10_000,
        least=1,
        doc="Number of features (F), rounded down to a multiple of 672, which is the least.",
    )
    scaler: Literal["standard", "min-max", "robust"] | TransformerMixin | None = setting(
        default="standard", doc="Scaler of every channel, fitted on training sequences alone."
    )
    random_state: int | None = setting(default=None, least=0, doc="Seed; makes a fit repeatable.")

    resolved_: dict[str, Any] = dataclasses.field(init=False)
    bank_: Bank = dataclasses.field(init=False)
    weights_: Floats = dataclasses.field(init=False)
    intercept_: Floats = dataclasses.field(init=False)
    _apart: ClassVar[tuple[str, ...]] = ("bank_", "weights_", "intercept_")

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        self._scale(panel, labels)
        values = self._scaled(panel)
        self.bank_ = draw(values, panel.offsets, self.features, np.random.default_rng(self.random_state))
        found = ridge(features_of(self.bank_, values, panel.offsets), labels, len(self.classes_), groups)
        self.weights_, self.intercept_ = found.weights, found.intercept
        self.resolved_ = {"penalty": found.penalty, "temperature": best_temperature(found.held_out, labels)}

    def _answers(self, panel: Panel) -> Floats:
        features = features_of(self.bank_, self._scaled(panel), panel.offsets)
        # One product for each recording: in a product of many, rounding would depend on how many they are.
        decisions = np.stack([row @ self.weights_ for row in features.astype(np.float64)]) + self.intercept_
        return softmax(decisions, self.resolved_["temperature"])

    def _scaled(self, panel: Panel) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.scaling_.transform(panel.values, 0), dtype=np.float32)

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        for name in self._apart:
            plain.pop(name)
        return plain, numbers | self.bank_._asdict() | {"weights": self.weights_, "intercept": self.intercept_}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        super().set_state(plain, arrays)
        self.bank_ = Bank(*(arrays[name] for name in Bank._fields))
        if problem := self.bank_.problem(self.channels_):
            raise ValueError(problem)
        shape = (POOLS * len(self.bank_.thresholds), len(self.classes_))
        for name, needed in (("weights", shape), ("intercept", shape[1:])):
            if arrays[name].dtype != np.float64 or arrays[name].shape != needed:
                raise ValueError(f"{name} must be float64 of shape {needed}: got {arrays[name].shape}")
        if not 0 < float(self.resolved_["temperature"]) < np.inf:
            raise ValueError(f"the temperature must be above 0: got {self.resolved_['temperature']!r}")
        self.weights_, self.intercept_ = arrays["weights"], arrays["intercept"]
