"""Search space as plain data: domains of settings, number of combinations, and problems."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from tsforecast.errors import ParameterError, Problem, TsForecastError, raise_any
from tsforecast.estimators.base import unknown_settings
from tsforecast.networks.layers import CELL_NAMES

Settings = dict[str, Any]
GRID = 5  # points of a range in a grid
RECURRENT = tuple(name for name in CELL_NAMES if name != "conv1d")
# Settings that only some cells have.
FIXED = ("horizon", "validation", "patience", "refit", "verbose")  # that a search sets
ONLY_WITH = {"kernel_size": ("conv1d",), "bidirectional": RECURRENT, "residual": RECURRENT}


@dataclass(frozen=True)
class Range:
    """Range of numbers, bounds included."""

    low: float
    high: float
    log: bool = False  # whether the logarithm is uniform
    whole: bool = False

    @classmethod
    def of(cls, low: Any, high: Any, log: bool = False) -> Range:
        """Return a range of whole numbers if both bounds are."""
        return cls(low, high, log, whole=all(isinstance(bound, (int, np.integer)) for bound in (low, high)))

    def bounds(self) -> list[float]:
        """Return the lowest and the highest number."""
        return [int(self.low), int(self.high)] if self.whole else [self.low, self.high]

    def draw(self, random: np.random.Generator) -> float:
        """Draw a number, uniformly or log-uniformly."""
        if self.log:
            drawn = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
            return round(drawn) if self.whole else drawn
        if self.whole:
            return int(random.integers(int(self.low), int(self.high) + 1))
        return float(random.uniform(self.low, self.high))

    def middle(self) -> float:
        """Return the number halfway between the bounds."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.whole else middle

    def grid(self) -> list[float]:
        """Return all numbers of a range of whole ones, or evenly spaced ones."""
        if self.whole and not self.log:
            return [int(value) for value in range(int(self.low), int(self.high) + 1)]
        values = [float(value) for value in (np.geomspace if self.log else np.linspace)(self.low, self.high, GRID)]
        return sorted({round(value) for value in values}) if self.whole else values

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (", by size" if self.log else "")


def log(low: float, high: float) -> Range:
    """Return a range with log-uniform values; of whole numbers if both bounds are.

    Examples
    --------
    >>> log(1e-4, 1e-1), log(8, 128)
    (Range(low=0.0001, high=0.1, log=True, whole=False), Range(low=8, high=128, log=True, whole=True))
    """
    return Range.of(low, high, log=True)


@dataclass(frozen=True)
class Space:
    """Domain of each setting of a forecaster.

    Examples
    --------
    >>> space = Space.of({"units": [8, 16], "window": ["1 season", 10], "layers": (1, 3)}, season_length=6)
    >>> space.size, space.describe(trials=3)
    (12, '12 combinations; 3 trials see at most 25 %')
    >>> space.settings({"units": 8, "window": "1 season", "layers": 2})
    {'units': 8, 'window': 6, 'layers': 2}
    """

    domains: dict[str, list[Any] | Range]
    season_length: int = 1  # steps of a season, for windows such as "2 seasons"

    @classmethod
    def of(cls, plain: Mapping[str, Any], season_length: int = 1, model: Any = None, longest: int = 0) -> Space:
        """Read plain data: a list is a choice; a pair in round brackets, or ``{"low": 1, "high": 3}``, a range.

        With ``"log": True`` the range is log-uniform. Bounds that are whole numbers make a range of whole numbers. A
        ParameterError lists every domain that is no choice and no range, and all that cannot work for a model, see
        `problems`.
        """
        if not isinstance(plain, Mapping) or not plain:
            raise ParameterError(f"space must name at least one setting and what to try of it: got {plain!r}")
        problems: list[str] = []
        space = cls({str(name): _domain(str(name), value, problems) for name, value in plain.items()}, season_length)
        raise_any(problems + (space.problems(model, longest) if model is not None else []), ParameterError)
        return space

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], season_length: int) -> Space:
        """Return the space of which `plain` returned the domains."""
        return cls(
            {name: Range(**each) if isinstance(each, dict) else each for name, each in plain.items()}, season_length
        )

    def plain(self) -> dict[str, Any]:
        """Return the domains as JSON can hold them; choices that it cannot hold become text."""
        return {
            name: asdict(domain) if isinstance(domain, Range) else [_to_json(choice) for choice in domain]
            for name, domain in self.domains.items()
        }

    @property
    def size(self) -> float:
        """Number of combinations; infinite with a range of numbers that are not whole."""
        if any(isinstance(domain, Range) and not domain.whole for domain in self.domains.values()):
            return math.inf
        if "cell" in self.domains and any(name in ONLY_WITH for name in self.domains):
            return sum(1 for _ in self.grid())
        return math.prod(
            len(domain.grid()) if isinstance(domain, Range) else len(domain) for domain in self.domains.values()
        )

    def describe(self, trials: int) -> str:
        """Return the size of the space in words, and the share that so many trials cover."""
        if math.isinf(self.size):
            free = [name for name, domain in self.domains.items() if isinstance(domain, Range) and not domain.whole]
            listed = Space({name: domain for name, domain in self.domains.items() if name not in free})
            count = f"{int(listed.size):,} combinations of the others" if listed.domains else "no limit"
            return f"any number for {', '.join(free)}: {count}; {trials} trials"
        share = min(100.0, 100 * trials / self.size)
        return f"{int(self.size):,} combinations; {trials} trials see at most {float(f'{share:.2g}'):g} %"

    def start(self, own: Mapping[str, Any]) -> Settings:
        """Return a forecaster's own settings; where the space does not have them, the first choice or the middle."""
        return {name: _own_or_middle(domain, own.get(name)) for name, domain in self.domains.items()}

    def draw(self, random: np.random.Generator) -> Settings:
        """Draw settings, without those that their cell does not have."""
        return self.active(
            {
                name: domain.draw(random) if isinstance(domain, Range) else domain[int(random.integers(len(domain)))]
                for name, domain in self.domains.items()
            }
        )

    def grid(self) -> Iterator[Settings]:
        """Yield every combination once, with five points of each range that is not of whole numbers."""
        values = [domain.grid() if isinstance(domain, Range) else domain for domain in self.domains.values()]
        yielded = set()
        for combination in product(*values):
            settings = self.active(dict(zip(self.domains, combination, strict=True)))
            key = repr(sorted(settings.items()))
            if key not in yielded:
                yielded.add(key)
                yield settings

    def active(self, chosen: Mapping[str, Any]) -> Settings:
        """Return settings without those that their cell does not have."""
        cell = chosen.get("cell")
        return {name: value for name, value in chosen.items() if cell is None or cell in ONLY_WITH.get(name, (cell,))}

    def encode(self, settings: Mapping[str, Any]) -> Settings:
        """Return settings as a searcher has them: a choice as its index."""
        lists = {name: domain for name, domain in self.domains.items() if isinstance(domain, list)}
        return {name: lists[name].index(value) if name in lists else value for name, value in settings.items()}

    def decode(self, code: Mapping[str, Any]) -> Settings:
        """Return the settings of a code; other names in it are ignored."""
        return {
            name: domain[int(code[name])] if isinstance(domain, list) else (int if domain.whole else float)(code[name])
            for name, domain in self.domains.items()
            if name in code
        }

    def settings(self, chosen: Mapping[str, Any]) -> Settings:
        """Return parameters of a forecaster: seasons are converted to steps."""
        return {name: self._steps(value) for name, value in self.active(chosen).items()}

    def problems(self, model: Any, longest: int) -> list[str]:
        """Return a problem for each part of the space that cannot work; windows have room for `longest` steps."""
        problems = unknown_settings(model, self.domains)
        problems += [
            f"the space must not have {name!r}, which a search sets itself: leave it out"
            for name in FIXED
            if name in self.domains
        ]
        known = {name: domain for name, domain in self.domains.items() if not unknown_settings(model, [name])}
        for name, domain in known.items():
            for value in domain.bounds() if isinstance(domain, Range) else domain:
                problems += self._problems_with(model, name, value)
        windows = self.domains.get("window", [])
        lengths = map(self._steps, windows.bounds()[1:] if isinstance(windows, Range) else windows)
        return problems + [
            f"window {window} of the space must fit in the training part: the longest series has room for {longest} "
            f"steps; leave out windows above {longest}"
            for window in lengths
            if isinstance(window, int) and window > longest
        ]

    def _problems_with(self, model: Any, name: str, value: Any) -> list[str]:
        """Return the problems of a model with one value of a setting."""
        from sklearn.base import clone

        try:
            changed = clone(model).set_params(**{name: self._steps(value)})
            problems = map(Problem.of, changed._problems())
            return [problem.within(after=" (of the space)") for problem in problems if problem.parameter == name]
        except TsForecastError as error:
            return list(error.problems)

    def _steps(self, value: Any) -> Any:
        if isinstance(value, str) and (found := re.fullmatch(r"(\d+) seasons?", value)):
            return int(found[1]) * self.season_length
        return value


def _domain(name: str, value: Any, problems: list[str]) -> list[Any] | Range:
    """Read one entry of a space; append to `problems` what is wrong."""
    if isinstance(value, Mapping) and {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        value = Range.of(value["low"], value["high"], log=bool(value.get("log")))
    elif isinstance(value, tuple) and len(value) == 2:
        value = Range.of(*value)
    if isinstance(value, list) and value:
        return list(value)
    if not isinstance(value, Range) or not (is_number(value.low) and is_number(value.high)):
        problems.append(
            f"space of {name!r} must be a list of choices, a pair (low, high), log(low, high) or a table of low, high "
            f"and log: got {value!r}" + (f"; write [{value!r}]" if isinstance(value, (str, int, float)) else "")
        )
        return []
    if not value.low < value.high or (value.log and value.low <= 0):
        least = "0 < low < high" if value.log else "low < high"
        problems.append(f"range of {name!r} must have {least}: got {value.low:g} and {value.high:g}")
        return []
    return value


def _to_json(choice: Any) -> Any:
    choice = choice.item() if isinstance(choice, np.generic) else choice
    return choice if isinstance(choice, (str, int, float, bool)) or choice is None else str(choice)


def _own_or_middle(domain: list[Any] | Range, own: Any) -> Any:
    if isinstance(domain, list):
        return own if own in domain else domain[0]
    return own if is_number(own) and domain.low <= own <= domain.high else domain.middle()


def is_number(value: Any) -> bool:
    """Return whether a value is a number, of Python or of numpy."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
