"""Monitor: skill of a model from a stream of losses that may be looked at after each of them.

The stream is cut into blocks that are long enough for their means to be nearly independent. Their t statistic, mixed
over sizes of skill, is an e-process: in at most 5 % of streams without skill it ever exceeds 20 [Lai 1976, doi
10.1214/aos/1176343406; Wang and Ramdas 2023, arXiv 2310.03722]. E-values compare forecasts at any stopping time [Henzi
and Ziegel 2022, doi 10.1093/biomet/asab047; Choe and Ramdas 2023, doi 10.1287/opre.2021.0792].
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsforecast.errors import DataError, Problem, counted, raise_any, reason
from tsforecast.files import write_or_return

LEVEL = 0.05  # of streams at most have a false claim, however often they are looked at
FIRST = 8  # losses before which nothing is claimed
GROWTH = 1.25  # of a stream between two measurements of its memory
MOST_BLOCKS = 32  # the longer the stream, the longer the blocks: also memory that is not seen dies out
RELATED = 0.05  # correlation of neighbouring blocks that is let pass
PRIOR = 16.0  # losses that the prior of the mixture counts as
EVERY, PLACES = 16, 128  # losses between two places where skill may have fallen, and places that share the level
MOST_TEXT = 1 << 28  # characters of a state that are read
Floats = NDArray[np.float64]
State = TypeVar("State")


@dataclass(frozen=True)
class Claim:
    """What can be claimed about a model at this moment; see `Monitor`."""

    outcome: str  # "better", "worse" or "inconclusive"
    skill: float  # share of the reference's loss that the model removes; NaN where the reference has no loss
    low: float  # ends of the confidence sequence of skill, which holds at all moments together
    high: float
    e_value: float  # evidence against equal skill; 20 or more is rare without any
    count: int  # losses that are judged: those since skill fell
    blocks: int

    @property
    def span(self) -> str:
        """Confidence sequence in brackets, in percent; nothing where it is unbounded."""
        return f" ({100 * self.low:.1f} to {100 * self.high:.1f})" if math.isfinite(self.low) else ""

    def sentence(self, model: str = "the model", reference: str = "the reference") -> str:
        """Return the claim in words."""
        words = {"better": "is better than", "worse": "is worse than"}.get(
            self.outcome, "is inconclusive compared with"
        )
        skill = f"skill {self.skill:.1%}{self.span} in " if math.isfinite(self.skill) else ""
        few = f"a claim needs at least {FIRST}"
        evidence = f"e-value {self.e_value:.3g}, and a claim needs {1 / LEVEL:.0f}" if self.count >= FIRST else few
        return f"{model} {words} {reference}: {skill}{counted(self.count, 'loss', 'losses')}; {evidence}"


@dataclass
class Monitor:
    """Compare a model with a reference by a stream of losses, after each of them if you like.

    At most 5 % of models that are as good as their reference are ever called better or worse, and the confidence
    sequence covers a skill that stays as it is at all moments together in at least 95 % of streams. Both hold where
    losses of the distant past say little about the next ones: exactly for independent normal differences, and in
    simulations of autoregressive ones up to 0.8, with heavy tails and changing volatility, of 2,000 steps
    (``benchmarks/monitoring.py``). They do not hold where differences are very skewed, such as a model with rare and
    enormous errors, or where a weak and slow memory lies hidden under noise.

    Parameters
    ----------
    model_losses, reference_losses : list of float
        Losses so far, not negative, of the same forecasts in order of time: best one for each cutoff, the mean over its
        steps and series, with cutoffs a horizon apart. Cutoffs that share targets may be judged, too, but later.
    starts : list of int
        Positions from which skill is judged: 0, and those at which it was found to have fallen.

    Raises
    ------
    DataError
        When losses are negative, not finite, or not as many of both.

    Examples
    --------
    >>> monitor, days = Monitor(), np.random.default_rng(0)
    >>> monitor.update(days.gamma(9, 0.8, 100), days.gamma(9, 1.0, 100))
    False
    >>> monitor.claim.outcome, round(monitor.claim.skill, 2), monitor.claim.low > 0
    ('better', 0.21, True)
    >>> monitor.update(days.gamma(9, 1.3, 300), days.gamma(9, 1.0, 300)), monitor.starts, monitor.claim.outcome
    (True, [0, 96], 'worse')
    """

    model_losses: list[float] = field(default_factory=list)
    reference_losses: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        self._require(self.model_losses, self.reference_losses)
        for name in ("model_losses", "reference_losses", "starts"):
            setattr(self, name, list(getattr(self, name)))  # a copy, which grows
        count = len(self.model_losses)
        if not self.starts or self.starts[0] != 0 or sorted({*self.starts}) != self.starts or self.starts[-1] > count:
            raise DataError(f"starts must rise from 0 to at most {count}, the number of losses: got {self.starts}")

    def update(self, model_losses: ArrayLike, reference_losses: ArrayLike) -> bool:
        """Take the next losses, one or several, of both.

        What is claimed depends on the losses alone, not on how many come at a time.

        Parameters
        ----------
        model_losses, reference_losses : float or array of shape (n,)

        Returns
        -------
        bool
            Whether skill that could be claimed was found to have fallen: no skill is possible before and since some
            place. What went before that place is not judged any more. Of streams of 2,000 losses whose skill stays as
            it is, at most 5 % ever have such a place.

        Raises
        ------
        DataError
            When losses are negative, not finite, or not as many of both; none of them is taken.
        """
        own, other = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (model_losses, reference_losses))
        self._require(own, other)
        before, fell = len(self.model_losses), len(self.starts)
        self.model_losses += own.tolist()
        self.reference_losses += other.tolist()
        for end in range(before + 1, len(self.model_losses) + 1):
            if (end - self.starts[-1]) % FIRST == 0:
                self.starts += _fallen(*self._between(self.starts[-1], end), self.starts[-1])
        return len(self.starts) > fell

    @property
    def claim(self) -> Claim:
        """What can be claimed now, about the losses since the last start."""
        return judged(*self._between(self.starts[-1], len(self.model_losses)))

    @property
    def before(self) -> Claim | None:
        """What could be claimed before skill fell the last time; None where it never did."""
        return judged(*self._between(*self.starts[-2:])) if len(self.starts) > 1 else None

    def to_json(self, path: str | Path | None = None) -> str | None:
        """Write the state to a file, whole or not at all; return it as text where there is none."""
        return write_or_return(json.dumps(asdict(self)), path)

    @classmethod
    def from_json(cls, path: str | Path) -> Monitor:
        """Read the state that `to_json` wrote to a file; DataError is raised where there is none."""
        return read_state(cls, Path(path))

    def _between(self, first: int, last: int) -> tuple[Floats, Floats]:
        return np.array(self.model_losses[first:last]), np.array(self.reference_losses[first:last])

    @staticmethod
    def _require(model_losses: ArrayLike, reference_losses: ArrayLike) -> None:
        parts = {"model_losses": np.asarray(model_losses), "reference_losses": np.asarray(reference_losses)}
        shapes = [part.shape for part in parts.values()]
        if shapes[0] != shapes[1] or len(shapes[0]) != 1:
            raise DataError(f"losses of model and reference must be as many, in one dimension: got {shapes}")
        raise_any(
            Problem("must be finite numbers >= 0", f"got {part[wrong][0]} at position {wrong.argmax()}", parameter=name)
            for name, part in parts.items()
            if (wrong := ~(np.isfinite(part) & (part >= 0))).any()
        )


def judged(own: Floats, other: Floats) -> Claim:
    """Return what can be claimed of losses of a model and of its reference, (n,)."""
    total = float(other.sum())
    skill = 1 - float(own.sum()) / total if total else math.nan
    low, high = confidence_sequence(own, other, LEVEL)
    outcome = "better" if low > 0 else "worse" if high < 0 else "inconclusive"
    e_value = math.exp(min(float(log_e_values(own, other, 0.0)[0]), 700.0))  # beyond it there is no float
    return Claim(outcome, skill, low, high, e_value, len(own), len(_blocks(own, other)[0]))


def log_e_values(own: Floats, other: Floats, skills: ArrayLike, before: tuple[Floats, Floats] | None = None) -> Floats:
    """Return the logarithm of the e-value of losses (n,) against each of some skills (s,); see `_blocks`."""
    sums, others, length = _blocks(own, other, before)
    differences = (1 - np.atleast_1d(skills))[:, None] * others - sums  # (s, blocks)
    return log_evidence(differences.sum(axis=1), (differences**2).sum(axis=1) / max(length, 1), len(sums), length)


def _fallen(own: Floats, other: Floats, start: int) -> list[int]:
    """Return the place since which skill that could be claimed has most clearly fallen, plus `start`; none if nowhere.

    Had skill been the same before and since a place, the product of the e-values of both parts against it would be an
    e-value; the least of these products is at most that one. Memory is measured before the place: losses that drift
    away since are no memory.
    """
    limit, count, found = math.log(PLACES / LEVEL), len(own), dict[int, float]()
    places = np.arange(EVERY, count - FIRST + 1, EVERY)
    if not len(places) or not other.sum():
        return []
    differences = own.sum() / other.sum() * other - own
    sums = np.cumsum(differences)[places - 1]
    # Memory only weakens evidence: most places are ruled out by what there would be without any.
    squares = sums**2 * count / (places * (count - places)) / max(float((differences**2).mean()), 1e-300)
    for place in places[(sums > 0) & (squares > limit / 2)].tolist():
        past, since = (own[:place], other[:place]), (own[place:], other[place:])
        if since[1].sum() and confidence_sequence(*past, LEVEL)[0] > 0:
            before, after = (1 - float(mine.sum() / theirs.sum()) for mine, theirs in (past, since))
            between = np.linspace(after, before, 65)
            evidence = float((log_e_values(*past, between) + log_e_values(*since, between, past)).min())
            if evidence >= limit:
                found[place] = evidence
    return [start + max(found, key=lambda place: found[place])] if found else []


def confidence_sequence(own: Floats, other: Floats, level: float) -> tuple[float, float]:
    """Return the range of skills whose e-value is below 1 / `level`; it is unbounded where losses are few.

    An e-value is below its limit where (sum of a R - M)² <= k (sum of (a R - M)²), with sums over blocks M of the model
    and R of the reference, and a = 1 - skill: between the roots of a quadratic, as Fieller has it for a ratio.
    """
    sums, others, length = _blocks(own, other)
    nowhere = (-math.inf, math.inf)
    if not len(sums):
        return nowhere
    count = len(sums) * length
    highest = math.log(1 / level) + 0.5 * math.log1p(count / PRIOR)
    part = -(PRIOR + count) * math.expm1(-2 * highest / len(sums)) / length
    square = others.sum() ** 2 - part * (others**2).sum()
    mixed = others.sum() * sums.sum() - part * (others * sums).sum()
    rest = sums.sum() ** 2 - part * (sums**2).sum()
    inside = mixed**2 - square * rest
    if square <= 0 or inside < 0:
        return nowhere
    reach = math.sqrt(inside)
    return float(1 - (mixed + reach) / square), float(min(1.0, 1 - (mixed - reach) / square))


def log_evidence(total: ArrayLike, squares: ArrayLike, blocks: ArrayLike, length: ArrayLike) -> Floats:
    """Return logarithms of e-values against a mean of 0, from sums over blocks of so many differences.

    `total` is their sum, and `squares` that of their squares, divided by `length`. The ratio of mean and standard
    deviation has a normal prior of variance 1 / `PRIOR`, the standard deviation the right Haar prior: units do not
    matter.
    """
    blocks = np.asarray(blocks)
    count = blocks * length
    squares = np.asarray(squares, dtype=np.float64)
    share = np.square(total) / ((PRIOR + count) * np.where(squares > 0, squares, 1.0))
    return np.asarray(-0.5 * np.log1p(count / PRIOR) - blocks / 2 * np.log1p(-np.minimum(share, 1.0)))


def measured(count: int) -> int:
    """Return how many of so many losses the memory is measured on: so many as `FIRST` has grown to, or 0."""
    found, next_one = 0, FIRST
    while next_one <= count:
        found, next_one = next_one, math.ceil(next_one * GROWTH)
    return found


def block_lengths(differences: Floats, count: int) -> NDArray[np.int64]:
    """Return how long the blocks of `count` losses must be, powers of two, given streams of differences (..., n).

    Neighbouring blocks of an autoregression of coefficient r correlate by r / (1 - r²) / length. Of r, the estimate is
    taken as one standard error higher, and its bias in short streams is added.
    """
    length = differences.shape[-1]
    centred = differences - differences.mean(axis=-1, keepdims=True)
    spread = (centred**2).sum(axis=-1)
    found = (centred[..., 1:] * centred[..., :-1]).sum(axis=-1) / np.where(spread > 0, spread, 1.0)
    found = found + np.sqrt((1 - found**2) / length) + (1 + 3 * np.maximum(found, 0)) / length
    found = np.clip(found, 0, 0.999)
    least = np.maximum(found / (1 - found**2) / RELATED, max(1.0, count / MOST_BLOCKS))
    return np.asarray(2 ** np.ceil(np.log2(least)), dtype=np.int64)


def _blocks(own: Floats, other: Floats, before: tuple[Floats, Floats] | None = None) -> tuple[Floats, Floats, int]:
    """Return sums of both losses over whole blocks, and the length of a block.

    Memory is measured on the losses, or on those `before`. There are no blocks, and their length is 0, up to `FIRST`.
    """
    seen = measured(len(own))
    if not seen:
        return own[:0], other[:0], 0
    mine, theirs = before or (own[:seen], other[:seen])
    total = theirs.sum()
    length = int(block_lengths((mine.sum() / total if total else 1.0) * theirs - mine, seen))
    whole = len(own) // length * length
    return own[:whole].reshape(-1, length).sum(axis=1), other[:whole].reshape(-1, length).sum(axis=1), length


def read_state(cls: type[State], path: Path) -> State:
    """Return a dataclass that was written to a file as JSON, its fields checked; DataError is raised otherwise."""
    from pydantic import TypeAdapter, ValidationError

    try:
        with path.open(encoding="utf-8") as file:
            return TypeAdapter(cls).validate_json(file.read(MOST_TEXT))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    except (OSError, ValueError) as error:
        why = reason(error)
    raise DataError(f"{str(path)!r} must hold the state of a monitor: {why}; name another file, or begin again")
