"""What a leak of the gallery is: a pipeline that is plainly wrong, its honest counterpart, and data to try them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tsforecast
from tsforecast import AuditReport

Floats = NDArray[np.float64]
Pipeline = Callable[[Any, Any], Any]  # data and cutoff (or tested series): forecasts of the steps after it
AUDITED = 3  # cutoffs, spread over all that are scored


@dataclass(frozen=True)
class Entry:
    """One mistake; subclasses say how it is audited and scored.

    Attributes
    ----------
    name : str
        The mistake in a few words.
    leaky, honest : pipeline or estimator
        The second differs from the first in nothing but the mistake.
    data : callable
        Returns the data.
    """

    name: str
    leaky: Any
    honest: Any
    data: Callable[[], Any]

    @property
    def words(self) -> str:
        """The mistake in a sentence."""
        return " ".join(str(self.leaky.__doc__).split("\n\n")[0].split())

    @property
    def audited(self) -> Sequence[Any]:
        """Cutoffs, or tested recordings, at which the mistake reaches what must not be seen."""
        raise NotImplementedError

    def audit_at(self, pipeline: Any, cutoff: Any) -> AuditReport:
        """Audit the leaky pipeline or the honest one at one of them."""
        raise NotImplementedError

    def reports(self, pipeline: Any, count: int = AUDITED) -> dict[Any, AuditReport]:
        """Audit a pipeline at several cutoffs, spread over all; return a report for each."""
        every = list(self.audited)
        chosen = np.unique(np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int))
        return {every[i]: self.audit_at(pipeline, every[i]) for i in chosen}

    def rmse(self, pipeline: Any) -> float:
        """Score it on what it must not have seen."""
        raise NotImplementedError


@dataclass(frozen=True)
class AtCutoffs(Entry):
    """Pipelines that forecast the steps after each of many cutoffs.

    Attributes
    ----------
    cutoffs : sequence
    truth : callable
        From data and cutoff to what was to be forecast.
    """

    cutoffs: Sequence[Any]
    truth: Callable[[Any, Any], Any]

    @property
    def audited(self) -> Sequence[Any]:
        """See `Entry.audited`."""
        return self.cutoffs

    def audit_at(self, pipeline: Any, cutoff: Any) -> AuditReport:
        """See `Entry.audit_at`."""
        return tsforecast.audit(pipeline, self.data(), cutoffs=[cutoff])

    def rmse(self, pipeline: Any) -> float:
        """Score all cutoffs."""
        data = self.data()
        return root_mean_square(*((pipeline(data, at), self.truth(data, at)) for at in self.cutoffs))


@dataclass(frozen=True)
class OfUsers(Entry):
    """Pipelines that go on from the first steps of one user's recording, having learned from other users.

    Attributes
    ----------
    tested : sequence of str
        Recordings, in a frame with the columns user, recording and y.
    seen : int
        Steps of a recording that are known.
    """

    tested: Sequence[str]
    seen: int

    @property
    def audited(self) -> Sequence[Any]:
        """See `Entry.audited`."""
        return self.tested

    def audit_at(self, pipeline: Any, cutoff: Any) -> AuditReport:
        """See `Entry.audit_at`."""
        given = partial(_of_tested, pipeline, cutoff)
        return tsforecast.audit_procedure(
            given, self.data(), self.seen - 1, tested=cutoff, id="recording", group="user"
        )

    def rmse(self, pipeline: Any) -> float:
        """Score all recordings that are tested."""
        data = self.data()
        truths = {name: data.loc[data["recording"] == name, "y"].to_numpy()[self.seen :] for name in self.tested}
        return root_mean_square(*((pipeline(data, name), truth) for name, truth in truths.items()))


def _of_tested(pipeline: Pipeline, name: str, data: Any) -> Any:
    return pipeline(data, name)


@dataclass(frozen=True)
class OnWindows(Entry):
    """Estimators on windows: data are X and y, rows in order of time; those from a cutoff on are forecast at once."""

    cutoffs: Sequence[int]

    @property
    def audited(self) -> Sequence[Any]:
        """See `Entry.audited`."""
        return self.cutoffs

    def audit_at(self, pipeline: Any, cutoff: Any) -> AuditReport:
        """See `Entry.audit_at`."""
        return tsforecast.audit(pipeline, self.data(), cutoffs=[cutoff])

    def rmse(self, pipeline: Any) -> float:
        """Score the rows from the last cutoff on."""
        X, y = self.data()
        cutoff = self.cutoffs[-1]
        said = pipeline.fit(X[:cutoff], y[:cutoff]).predict(X[cutoff:])
        return root_mean_square((said, y[cutoff:]))


def root_mean_square(*pairs: tuple[Any, Any]) -> float:
    """Return the error over all pairs of forecast and truth."""
    errors = [np.ravel(np.asarray(said) - np.asarray(truth)) for said, truth in pairs]
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def windows(series: Floats, window: int, horizon: int) -> tuple[Floats, Floats]:
    """Return all windows of a series, (n, W), and the steps that follow each, (n, H)."""
    both = np.lib.stride_tricks.sliding_window_view(series, window + horizon)
    return both[:, :window].copy(), both[:, window:].copy()


def least_squares(X: Floats, Y: Floats, given: Floats) -> Floats:
    """Fit a linear model with an intercept to the rows of X and return what it says of the row `given`."""
    known = np.column_stack([X, np.ones(len(X))])
    if not (np.isfinite(known).all() and np.isfinite(Y).all()):
        raise ValueError("least squares needs numbers: got NaN or infinities")
    return np.asarray(np.append(given, 1.0) @ np.linalg.lstsq(known, Y)[0])


def nearest_mean(X: Floats, Y: Floats, given: Floats, k: int) -> Floats:
    """Return the mean of the targets of the k rows of X that lie nearest to `given`."""
    order = np.argsort(((X - given) ** 2).sum(axis=1), kind="stable")
    return np.asarray(Y[order[:k]].mean(axis=0))


def real(name: str, last: int | None = None) -> Floats:
    """Return the values of a dataset that comes with the installation, or the last of them."""
    values = _loaded(name)
    return values[-(last or len(values)) :].copy()


@cache
def _loaded(name: str) -> Floats:
    return np.asarray(tsforecast.load_dataset(name).values[:, 0], dtype=np.float64)


def following(steps: int) -> Callable[[Floats, int], Floats]:
    """Return the function that takes the truth from an array."""
    return lambda series, at: series[at + 1 : at + 1 + steps]
