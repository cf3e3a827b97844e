"""Reconciliation: forecasts of series and sums that agree, from forecasts of each that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from tsforecast.errors import DataError, Parameter, ParameterError, Problem
from tsforecast.hierarchies.hierarchy import Hierarchy

Floats = NDArray[np.float64]
Method = Literal["bottom-up", "top-down", "top-down-forecasts", "ols", "wls-structure", "wls-variance", "mint"]
METHODS: tuple[str, ...] = get_args(Method)
OF_ERRORS = ("wls-variance", "mint")  # methods that need errors of forecasts
LEAST = 1e-10  # variance of an error, in the largest one: no forecast is sure
LEAST_SHARE = 1e-4  # of the diagonal: errors of sums may be the sums of errors, as of naive forecasts


@dataclass(frozen=True, eq=False)
class Covariance:
    """Covariance of the errors of N forecasts, known up to a factor: a diagonal, and the products of J rows.

    Attributes
    ----------
    diagonal : array of shape (N,)
    rows : array of shape (J, N)
        Their sum of products is added to the diagonal; none where errors are taken to be uncorrelated.
    shrinkage : float
        Share of the diagonal in the estimate, between 0 and 1.
    """

    diagonal: Floats
    rows: Floats
    shrinkage: float = 1.0

    @classmethod
    def of(cls, errors: Floats, overlap: float = 1.0, diagonal: bool = False) -> Covariance:
        """Estimate the covariance of errors (J, N), or of H steps after J cutoffs, (J, H, N), NaN where unknown.

        Correlations are shrunk to zero by the share that is expected to err least [Schaefer and Strimmer 2005,
        doi 10.2202/1544-6115.1175]. Steps are scaled to one size before they count alike, and the H products of a
        cutoff are one observation; `overlap` is how many cutoffs share a truth. A forecast without errors has the mean
        variance of the others.

        Examples
        --------
        >>> errors = np.random.default_rng(0).normal(size=(900, 3)) @ np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 5]])
        >>> found = Covariance.of(errors)
        >>> found.matrix().round().astype(int).tolist(), bool(found.shrinkage < 0.2)
        ([[1, 1, 0], [1, 2, 0], [0, 0, 26]], True)
        """
        errors = errors[:, None] if errors.ndim == 2 else errors
        known = ~np.isnan(errors)
        filled = np.where(known, errors, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            by_step = (filled**2).sum(axis=0) / known.sum(axis=0)  # (H, N)
            whole = (filled**2).sum(axis=(0, 1)) / known.sum(axis=(0, 1))  # (N,)
            size = np.sqrt(np.nanmean(np.where(whole > 0, by_step / whole, np.nan), axis=1))
        filled = filled / np.where(size > 0, size, 1.0)[:, None]
        counts = known.sum(axis=(0, 1))
        variance = (filled**2).sum(axis=(0, 1)) / np.maximum(counts, 1)
        if not counts.any():
            raise DataError("a covariance must have errors of forecasts: none is known")
        variance = np.where(counts > 0, variance, variance[counts > 0].mean())
        variance = np.maximum(variance, LEAST * max(variance.max(), LEAST))
        units, total = int(known.any(axis=(1, 2)).sum()), int(counts.max())
        if diagonal or units < 2:
            return cls(variance, np.zeros((0, errors.shape[2])))
        # Of a forecast with fewer errors, those that are known stand for the others.
        standard = filled * np.sqrt(total / np.maximum(counts, 1)) / np.sqrt(variance)
        share = _shrinkage(standard[known.any(axis=(1, 2))], overlap)
        rows = standard.reshape(-1, errors.shape[2]) * np.sqrt((1 - share) * variance / total)
        return cls(share * variance, rows, share)

    def matrix(self) -> Floats:
        """Return it whole, (N, N)."""
        return np.asarray(np.diag(self.diagonal) + self.rows.T @ self.rows)


def _shrinkage(standard: Floats, overlap: float) -> float:
    """Return the share of the diagonal for errors in their root mean squares, (J, H, N).

    Sums over all pairs of forecasts follow from the products of rows, of which there are few.
    """
    units, steps, _ = standard.shape
    per_unit = np.einsum("jhn,jgn->jhg", standard, standard) / steps
    own = (standard**2).mean(axis=1)  # (J, N), of each forecast with itself
    squares = (per_unit**2).sum() - (own**2).sum()  # of each unit's products, over pairs
    rows = standard.reshape(units * steps, -1)
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    of_means = (gram**2).sum() / len(rows) ** 2 - (own.mean(axis=0) ** 2).sum()  # of mean products
    variance = overlap * (squares / units - of_means) / (units - 1)
    return float(np.clip(variance / of_means, LEAST_SHARE, 1.0)) if of_means > 0 else 1.0


@dataclass(frozen=True, eq=False)
class Reconciler:
    """How forecasts of one quantity are reconciled.

    Attributes
    ----------
    hierarchy : Hierarchy
    method : str
        One of `METHODS`.
    covariance : Covariance, optional
        Of the errors of sums and series, for methods that weight by them.
    shares : array of shape (n,), optional
        Of each series in the sum of all, for ``"top-down"``.
    nonnegative : bool
        Whether series below zero become zero, before they are added up.
    """

    hierarchy: Hierarchy
    method: str
    covariance: Covariance | None = None
    shares: Floats | None = None
    nonnegative: bool = False

    def __post_init__(self) -> None:
        tree = self.hierarchy
        tops = len(set(next(iter(tree.levels.values()))))
        if self.method.startswith("top-down") and (tops > 1 or not (tree.nested or self.method == "top-down")):
            must = f"{self.method!r} must have one sum on top" + " and levels within each other" * (not tree.nested)
            got = f"the first level has {tops}" if tops > 1 else "levels are side by side"
            raise ParameterError(Problem(must, got, "use 'mint' or 'wls-structure'"))

    def __call__(self, base: Floats) -> Floats:
        """Return coherent forecasts of all sums and series, (N, M), from M forecasts of each, (N, M)."""
        bottom = self._bottom(base)
        return np.asarray(self.hierarchy.summing @ (np.maximum(bottom, 0.0) if self.nonnegative else bottom))

    def _bottom(self, base: Floats) -> Floats:
        """Return the forecasts of the series, (n, M)."""
        if self.method == "bottom-up":
            return base[-len(self.hierarchy.series) :]
        if self.method == "top-down":
            if self.shares is None:
                raise ParameterError(Problem(("'top-down' must have a ", Parameter("history")), "got none"))
            return np.asarray(self.shares[:, None] * base[0])
        if self.method == "top-down-forecasts":
            return self._by_forecasts(base)
        return self._solver(base)

    def _by_forecasts(self, base: Floats) -> Floats:
        """Return series with the shares in each sum that forecasts right below it have [Athanasopoulos et al. 2009]."""
        names = [*self.hierarchy.levels.values(), self.hierarchy.series]
        place = {name: at for at, name in enumerate(self.hierarchy.names)}
        found = base[[place[name] for name in names[0]]]
        for upper, lower in pairwise(names):
            parents = {low: up for up, low in zip(upper, lower, strict=True)}
            total = dict.fromkeys(upper, np.zeros(base.shape[1]))
            for low, up in parents.items():
                total[up] = total[up] + base[place[low]]
            several = {up: sum(1 for each in parents.values() if each == up) for up in total}
            for i, (up, low) in enumerate(zip(upper, lower, strict=True)):
                none = total[up] == 0
                part = np.where(none, 1 / several[up], base[place[low]] / np.where(none, 1.0, total[up]))
                found[i] = found[i] * part
        return found

    def _weights(self) -> Covariance:
        """Return the covariance that the method takes errors to have."""
        count = self.hierarchy.summing.shape[0]
        if self.method == "ols":
            return Covariance(np.ones(count), np.zeros((0, count)))
        if self.method == "wls-structure":
            return Covariance(np.asarray(self.hierarchy.summing.sum(axis=1)), np.zeros((0, count)))
        if self.covariance is None:
            remedy = "give errors at other times, or take 'wls-structure', which needs none"
            raise ParameterError(Problem((f"{self.method!r} must have ", Parameter("residuals")), "got none", remedy))
        return self.covariance

    @cached_property
    def _solver(self) -> _Solver:
        return _Solver.of(self._weights(), self.hierarchy.summing)


@dataclass(frozen=True, eq=False)
class _Solver:
    """Forecasts of series closest to those of all, in a covariance W: b - W_b C' (C W C')^-1 C y.

    C y are the gaps between forecasts of sums and the sums of forecasts. The trace of the errors' covariance is least
    [Wickramasuriya, Athanasopoulos and Hyndman 2019, doi 10.1080/01621459.2018.1448825]; W is never made whole.
    """

    sums: sparse.csr_array  # A, of the series, (m, n)
    weights: Floats  # of the series, (n,)
    rows: Floats  # of the covariance, of the series, (J, n)
    gaps: Floats  # the same of the gaps, (J, m)
    size: Floats  # of the gaps, (m,)
    factor: Any  # of C W C' in these sizes

    @classmethod
    def of(cls, covariance: Covariance, summing: sparse.csr_array) -> _Solver:
        n = summing.shape[1]
        sums = sparse.csr_array(summing[:-n])
        above, below = covariance.diagonal[:-n], covariance.diagonal[-n:]
        own = covariance.rows[:, -n:]
        gaps = covariance.rows[:, :-n] - (sums @ own.T).T
        normal = np.diag(above) + (sums * below @ sums.T).toarray() + gaps.T @ gaps
        size = np.sqrt(np.diag(normal))
        size = np.where(size > 0, size, 1.0)
        normal = normal / size[:, None] / size
        try:
            factor = linalg.cho_factor(normal)
        except linalg.LinAlgError:  # errors of a sum and of its series are the same, such as of one series alone
            factor = linalg.pinvh(normal)
        return cls(sums, below, own, gaps, size, factor)

    def __call__(self, base: Floats) -> Floats:
        """Return the forecasts of n series, (n, M), from those of m + n sums and series, (m + n, M)."""
        m = len(self.size)
        upper, lower = base[:m], base[m:]
        gap = (upper - self.sums @ lower) / self.size[:, None]
        found = linalg.cho_solve(self.factor, gap) if isinstance(self.factor, tuple) else self.factor @ gap
        found = found / self.size[:, None]
        return np.asarray(lower + self.weights[:, None] * (self.sums.T @ found) - self.rows.T @ (self.gaps @ found))


def shares_of(hierarchy: Hierarchy, values: Mapping[str, Floats]) -> Floats:
    """Return the share of each series in the sum of all, (n,), in the numbers of each, by name.

    DataError is raised where they do not add up to something positive.
    """
    totals = np.array([np.nansum(values[name]) for name in hierarchy.series])
    if not totals.sum() > 0:
        must = "'top-down' must have a history with a positive sum"
        raise DataError(Problem(must, f"got {totals.sum():g}", "use another method"))
    return np.asarray(totals / totals.sum())
