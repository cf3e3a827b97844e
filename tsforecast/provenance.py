"""Facts that a result depends on besides its data: versions of libraries, the machine, scaling, and what was found."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from tsforecast.errors import ParameterError, Problem, raise_any

__version__ = "0.1.0"
DISTRIBUTION = "tsforecast-toolkit"  # as pip knows this package; tsforecast is another one on the public index
LARGELY = 0.5  # share of its corrections, below which a network is largely the naive forecast
PACKAGES = ("tsforecast", "torch", "numpy", "pandas", "scikit-learn", "statsmodels")


def versions() -> dict[str, str]:
    """Return the installed version of every package that results depend on, ``"unknown"`` where there is none.

    Examples
    --------
    >>> list(versions())[:2]
    ['tsforecast', 'torch']
    """
    return {name: installed(name) for name in PACKAGES}


@cache
def installed(name: str) -> str:
    """Return the version of a package, ``"unknown"`` where there is none; of this one by either of its names."""
    if name in (DISTRIBUTION, "tsforecast"):
        return __version__
    from importlib.metadata import PackageNotFoundError, version  # which loads the e-mail library

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def machine() -> str:
    """Return cores, processor, system and version of Python in one line.

    Examples
    --------
    >>> machine()  # doctest: +ELLIPSIS
    '... cores, ..., Python 3...'
    """
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def scaling_words(params: dict[str, Any]) -> str:
    """Describe how values are scaled: first the steps that are the same for all windows, then those of each window.

    The parameters are those of an estimator; an empty text is returned for one that does not scale.

    Examples
    --------
    >>> scaling_words({"scaler": "standard", "value_transform": "log", "per_series": True, "instance_norm": True})
    'log, standard scaler, each series on its own, each window by its own spread'
    """
    if "scaler" not in params:
        return ""
    scaler = params["scaler"]
    words = [str(params["value_transform"])] if params.get("value_transform") else []
    words += [f"{scaler if isinstance(scaler, str) else repr(scaler)} scaler"] if scaler is not None else []
    if words and params.get("per_series"):
        words.append("each series on its own")
    if params.get("instance_norm"):
        words.append("each window by its own spread")
    return ", ".join(words) or "none"


def skill_note(resolved: Mapping[str, Any], skill: float | None, recordings: bool = False) -> str:
    """Return a sentence on the skill of a fit, and why that of a leaderboard differs; empty where nothing validated.

    With `recordings` it is about a classifier or regressor, and a comparison of those.

    Examples
    --------
    >>> skill_note({"validation": 40}, 0.123)[:76]
    'skill +12.3 % over its naive forecast on 40 validation steps, which chose th'
    >>> skill_note({"validation": None}, None)
    ''
    """
    if not resolved.get("validation") or skill is None:
        return ""
    if recordings:
        return (
            f"validation loss {100 * skill:.1f} % below that of an answer that is the same for all recordings, on the "
            "recordings that chose the epoch; a comparison tests recordings that chose nothing"
        )
    return (
        f"skill {100 * skill:+.1f} % over its naive forecast on {resolved['validation']} validation steps, which chose "
        "the epoch; a leaderboard tests at many cutoffs that chose nothing, against the best naive forecast, and has "
        "another skill"
    )


def naive_note(resolved: Mapping[str, Any]) -> str:
    """Return a sentence on a network that fell back to the naive forecast, wholly or largely; empty for any other.

    Examples
    --------
    >>> naive_note({"validation": 40, "best_epoch": 3, "share": 0.3, "anchor": "last"})[:79]
    'little more than the naive forecast (last) was found: 30 % of its corrections a'
    >>> naive_note({"validation": 40, "best_epoch": 0, "anchor": [24, 168]})[:88]
    'nothing better than the naive forecast was found: it is that (mean of 24, 168 steps befo'
    """
    if not resolved.get("validation"):
        return ""
    anchor, share = resolved.get("anchor"), float(resolved.get("share", 1.0))
    if anchor == "blend":
        anchor = "a weighted mean of several"
    elif isinstance(anchor, list | tuple):
        anchor = "mean of " * (len(anchor) > 1) + f"{', '.join(map(str, anchor))} steps before"
    ways = "more history, covariates that are known ahead, or another horizon may help"
    if not resolved.get("best_epoch", 1):
        return f"nothing better than the naive forecast was found: it is that ({anchor}); {ways}"
    if share >= LARGELY:
        return ""
    kept = f"{share:.0%}".replace("%", " %")
    return f"little more than the naive forecast ({anchor}) was found: {kept} of its corrections are kept; {ways}"


@dataclass(frozen=True)
class Pretraining:
    """Data that a model may have seen before any fit here.

    Parameters
    ----------
    release : str
        Date of its weights, such as ``"2024-11-27"``; empty where it is not known.
    trained_on : tuple of str
        Names of the datasets that it was trained on, as its authors give them.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> Pretraining("2024-11-27", ("m4-hourly",)).release
    '2024-11-27'
    """

    release: str = ""
    trained_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems, names = [], self.trained_on
        try:
            known = isinstance(self.release, str) and self.release in ("", date.fromisoformat(self.release).isoformat())
        except ValueError:
            known = self.release == ""
        if not known:
            must = "must be a date such as '2024-11-27', or '' where it is not known"
            problems.append(Problem(must, f"got {self.release!r}", parameter="release"))
        if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
            must = "must be names of datasets, such as ('m4-hourly',)"
            problems.append(Problem(must, f"got {names!r}", parameter="trained_on"))
        raise_any(problems, ParameterError)
        object.__setattr__(self, "trained_on", tuple(names))
