"""Records of forecasts: numbers, times and cutoffs of each series, with fingerprints of the model and the data."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.zones import length_of, to_utc
from tsforecast.errors import ParameterError, counted
from tsforecast.provenance import versions
from tsforecast.records.chain import Signer, append, place_of

Floats = NDArray[np.float64]
DESCRIBED = ("fingerprint", "form", "time", "time_in_index", "id", "frequency", "season", "cleaning", "number")
POINT = "forecast"  # name of the point forecast, beside those of quantiles such as "q0.5" and "lo80"


class Model(Protocol):
    """A fitted forecaster."""

    panel_: Panel

    def fingerprint(self) -> str: ...
    def get_params(self, deep: bool = True) -> dict[str, Any]: ...


def recorder(path: Any, key: Any, to: Any) -> Callable[..., None] | None:
    """Return what appends a record of forecasts to a file; None where there is no path.

    Place and key are checked at once, before there are forecasts to lose.
    """
    if path is None:
        if key is not None:
            raise ParameterError("record_key signs a record: name its file with record, or leave record_key out")
        return None
    if to is not None:
        raise ParameterError("a record holds forecasts that are returned: leave `to` or record out")
    return partial(_append, place_of(path), None if key is None else Signer.read(key))


def _append(
    place: Path,
    signer: Signer | None,
    model: Model,
    panel: Panel,
    past: Context,
    known: bool,
    points: Floats,
    found: Floats,
    levels: Mapping[str, float],
) -> None:
    """Append a record of points (N, H, K) and quantiles (N, H, K, Q) at the sorted distinct levels."""
    append(place, body_of(model, panel, past, known, points, found, levels), signer)


def body_of(
    model: Model,
    panel: Panel,
    past: Context,
    known: bool,
    points: Floats,
    found: Floats,
    levels: Mapping[str, float],
) -> dict[str, Any]:
    """Return a record of forecasts without what the chain adds: time, number, hashes and signature."""
    place = {level: at for at, level in enumerate(sorted({*levels.values()}))}
    numbers = {POINT: points} | {name: found[..., place[level]] for name, level in levels.items()}
    ahead = past.future_known(points.shape[1]) if known else None
    return {
        "model": {
            "class": type(model).__name__,
            "fingerprint": model.fingerprint(),
            "settings": {name: _plain(value) for name, value in sorted(model.get_params(deep=False).items())},
        },
        "data": described(panel),
        "future": None if ahead is None else hashlib.sha256(ahead.astype("<f8").tobytes()).hexdigest(),
        "options": {"steps": points.shape[1], "levels": dict(levels)},
        "series": [_of_series(panel, i, numbers) for i in range(len(panel))],
        "versions": versions(),
    }


def described(panel: Panel) -> dict[str, Any]:
    """Return what the data are that forecasts go on from, and how they are to be read again."""
    source, roles = panel.source, panel.roles.given
    return {
        "fingerprint": panel.fingerprint(),
        "form": source.form,
        "kind": panel.kind,
        "time": source.time,
        "time_in_index": source.time_in_index,
        "id": source.id,
        "target": list(roles.target),
        "frequency": length_of(panel.frequency),
        "season": panel.season_length,
        "cleaning": asdict(panel.cleaning),
        "number": panel.values.dtype.name,
    }


def _of_series(panel: Panel, i: int, numbers: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the forecasts of a series beside where they begin."""
    horizon, rows = numbers[POINT].shape[1], int(panel.lengths[i])
    moments, words = moments_of(panel, i, rows + horizon)
    return {
        "id": _plain(panel.ids[i]),
        "first": words(moments[0]),
        "cutoff": words(moments[rows - 1]),
        "rows": rows,
        "sha256": history_of(panel, i, moments[:rows], panel.values.dtype.name),
        "times": [words(each) for each in moments[rows:]],
        "numbers": {
            target: {name: [_number(each) for each in held[i, :, k].tolist()] for name, held in numbers.items()}
            for k, target in enumerate(panel.roles.target)
        },
    }


def moments_of(panel: Panel, i: int, count: int) -> tuple[NDArray[np.int64], Callable[[Any], Any]]:
    """Return the first moments of a series, (T,), in UTC where their zone is known, and what writes one.

    Dates are nanoseconds since 1970, and written in ISO 8601, with Z where they are in UTC; others are numbers.
    """
    stamps, source = panel.stamps(i, np.arange(count)), panel.source
    if panel.kind != "datetime":
        return stamps, int
    if source.zone and source.wall_clock:
        stamps = to_utc(stamps, source.zone)
    return stamps, partial(_written, "Z" if source.zone else "")


def _written(zone: str, moment: Any) -> str:
    whole, _, part = str(np.datetime64(int(moment), "ns")).partition(".")
    part = part.rstrip("0")
    day = not (zone or part)  # such as 2024-12-24, where all is said by it
    return (whole.removesuffix("T00:00:00") if day else whole) + (part and f".{part}") + zone


def moment_of(text: Any) -> int:
    """Undo what `moments_of` writes."""
    return text if isinstance(text, int) else int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))


def history_of(panel: Panel, i: int, moments: NDArray[np.int64], number: str) -> str:
    """Return the SHA-256 of moments and targets of the first rows of a series, as numbers of that type.

    Only what was a target counts, so that the truth alone can be compared with it.
    """
    values = panel.series(i)[: len(moments), : panel.n_targets].astype(number).astype("<f8")
    digest = hashlib.sha256(moments.astype("<i8").tobytes())
    digest.update(np.where(np.isnan(values), np.nan, values + 0.0).tobytes())
    return digest.hexdigest()


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Return a setting, or an id, as JSON has it; in words where it is another object."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else " ".join(repr(value).split())


# Reading -------------------------------------------------------------------------------------------------------------


class SeriesForecast(NamedTuple):
    """Forecasts of a series in a record, once they have the form that they must have."""

    line: int
    made: int  # nanoseconds since 1970
    model: str
    name: Any
    first: int
    cutoff: int
    rows: int
    sha256: str
    times: list[int]
    numbers: dict[str, dict[str, list[float]]]  # by target and name

    def __str__(self) -> str:
        return f"line {self.line}, series {str(self.name)!r}"


class Misplaced(ValueError):
    """A record that says something which cannot be, in words."""


def forecasts_in(line: int, record: Mapping[str, Any]) -> Iterator[SeriesForecast]:
    """Yield the series of a record; an error where it has another form, or times that cannot be."""
    made = int(datetime.fromisoformat(record["made"]).timestamp() * 1e9)
    levels = record["options"]["levels"]
    steps, names = int(record["options"]["steps"]), [POINT, *sorted(levels, key=levels.__getitem__)]
    who = f"{record['model']['class']} {record['model']['fingerprint'][:8]}"
    dated = record["data"]["kind"] == "datetime"
    lacking = [name for name in DESCRIBED if name not in record["data"]] + ["future"] * ("future" not in record)
    if lacking:
        raise Misplaced(f"it must contain of its data: {', '.join(lacking)}")
    if record["data"]["number"] not in ("float32", "float64"):
        raise Misplaced(f"its numbers must be float32 or float64: they are {record['data']['number']!r}")
    for each in record["series"]:
        texts = (each["first"], each["cutoff"], *each["times"])
        first, cutoff, *times = map(moment_of, texts)
        if not first <= cutoff < times[0]:
            words = f"it ends at {each['cutoff']}, and the first time is {each['times'][0]}"
            raise Misplaced(f"series {str(each['id'])!r} must end before the times that are forecast: {words}")
        if sorted(set(times)) != times or len(times) != steps:
            raise Misplaced(f"series {str(each['id'])!r} must have {counted(steps, 'time')} in order")
        numbers = {
            target: {name: [np.nan if one is None else float(one) for one in held[name]] for name in names}
            for target, held in each["numbers"].items()
        }
        if {*numbers} != {*record["data"]["target"]} or any(
            len(held) != steps for one in numbers.values() for held in one.values()
        ):
            raise Misplaced(f"series {str(each['id'])!r} must have a number of each target for each time")
        yield SeriesForecast(
            line,
            made if dated else -1,
            who,
            each["id"],
            first,
            cutoff,
            int(each["rows"]),
            each["sha256"],
            times,
            numbers,
        )
